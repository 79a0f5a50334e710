"""HTTP/1.1: `message` reads and writes heads and bodies, `proxy` forwards requests."""
