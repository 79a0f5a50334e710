"""The bundled plugins, in simulation."""
