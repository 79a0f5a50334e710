"""Recording: an engine that writes each driver call to a log."""
