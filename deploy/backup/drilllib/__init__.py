"""Parts of the recovery drill. scripts/deploylib/postgres and scripts/deploylib/backup use them, too."""
