"""http_proxy: HTTP/1.1 for servers behind it, and to servers beyond it where clients ask for that.

[[listener.options.routes]]
path = "/api"
upstream = "api"

[listener.options.connect]
allow = ["*.example:443"]
"""

from __future__ import annotations

from vcproxy import api


class HttpProxy(api.HttpProxy):
    """Serves what its options say, and changes only what every proxy must."""
