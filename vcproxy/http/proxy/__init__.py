"""The HTTP proxy: heads are judged here, bodies are moved by tunnels. Start at `connection`."""
