"""HTTP/1.1 heads and bodies (RFC 9110, RFC 9112): strict, bounded, and without any I/O."""
