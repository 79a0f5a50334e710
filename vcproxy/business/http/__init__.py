"""HTTP/1.1: reverse proxy, forward proxy and CONNECT, and the phases that plugins see of it."""
