"""Files that are sent to clients: their paths, types, conditions and ranges, and which are open."""
