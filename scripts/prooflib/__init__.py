"""The proof: runs every measurement on this machine, and writes one page with the results."""
