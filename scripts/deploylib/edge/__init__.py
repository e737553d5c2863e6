"""What the checks of the reverse proxies share."""
