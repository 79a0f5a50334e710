"""The configuration: its schema, its loader, its checks, and its errors with their positions."""
