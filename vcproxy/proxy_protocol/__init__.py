"""The PROXY protocol of HAProxy, versions 1 and 2, as values: no I/O.

`parser` reads a ProxyHeader, with its Tlv fields, out of bytes; `encoder` writes one.
"""
