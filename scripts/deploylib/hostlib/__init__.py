"""What the checks of one host share: result lines, private programs, and a booted systemd."""
