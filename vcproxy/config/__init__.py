"""The configuration: its schema, its loader, and where in the file each mistake stands."""
