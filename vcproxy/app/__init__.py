"""The program: command line, server, log, and files for new plugins."""
