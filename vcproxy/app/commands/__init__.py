"""Commands: `vcproxy COMMAND ...`, one module for each, and what only they use."""
