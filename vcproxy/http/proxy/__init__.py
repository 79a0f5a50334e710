"""The HTTP proxy: it processes heads, and tunnels move bodies. Start at `connection`."""
