"""The bundled plugins, one file each, named in configurations by their file names."""
