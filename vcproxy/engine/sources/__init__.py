"""Sources: what an engine waits for besides connections, one module for each kind."""
