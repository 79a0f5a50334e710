"""HTTP/1.1 as a business machine: heads are judged here, bodies are handed to tunnels."""
