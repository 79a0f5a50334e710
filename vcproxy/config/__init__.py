"""The configuration: schema, loader, checks, and errors with their positions in the file."""
