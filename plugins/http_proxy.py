"""http_proxy: a reverse and forward proxy for HTTP/1.1.

[[listener.options.routes]]
path = "/api"
upstream = "api"

[listener.options.connect]
allow = ["*.example:443"]

Tested in tests/http/proxy and tests/e2e/test_http_conf.py.
"""

from __future__ import annotations

from vcproxy import api


class HttpProxyPlugin(api.HttpProxy):
    """Serves HTTP/1.1 as its options configure, and changes only what every proxy must."""

    __slots__ = ()
