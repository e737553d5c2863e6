"""The benchmark: starts programs, generates load, and writes the tables of `docs/`."""
