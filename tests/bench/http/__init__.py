"""HTTP/1.1: reverse proxies between h2load and an nginx that serves files."""
