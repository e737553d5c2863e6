"""The rehearsal of a migration: see scripts/check-migration."""
