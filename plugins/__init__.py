"""The bundled plugins, one module for each; a configuration names them by their module names."""
