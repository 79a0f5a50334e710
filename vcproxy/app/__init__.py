"""The program: command line, server, log, and templates of new plugins."""
