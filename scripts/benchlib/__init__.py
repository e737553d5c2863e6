"""The benchmark: programs it starts, loads it puts on them, tables it writes."""
