"""The bundled plugins, one file or folder each. They are loaded by path, never imported by name."""
