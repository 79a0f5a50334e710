"""Ways: what requests pass in which order, as `-T` shows it."""

from __future__ import annotations

import tomllib

from tests.config.conftest import Accept
from vcproxy.config.effective import effective

EDGE = """\
[[listener]]
name = "site"
bind = "tcp://127.0.0.1:1"
plugin = "http_proxy"
upstream = "app"

[listener.options]
request_id = {}
rewrite = { prefix = "/a" }
response_fields = { set = { A = "1" } }

[[listener.options.routes]]
host = "b.example"
methods = ["GET"]
headers = { X = "1" }
without = ["request_id"]
upstream = "other"

[[listener.options.routes]]
path = "/old"
redirect = { to = "/new" }

[[listener.options.routes]]
path = "/no"
answer = { status = 403 }

[[listener.options.routes]]

[[listener]]
name = "plain"
bind = "tcp://127.0.0.1:2"
plugin = "forward"
upstream = "app"

[upstream.app]
servers = ["tcp://127.0.0.1:3"]

[upstream.other]
servers = ["tcp://127.0.0.1:4"]
"""

SHOWN = """\
# listener site: requests pass these in this order, responses in the opposite
#     all: response_fields
#     GET b.example/ with X: rewrite, upstream other
#     */old: request_id, redirect, rewrite, answered by redirect
#     */no: request_id, rewrite, answer 403
#     */: request_id, rewrite, upstream app
"""


def test_the_effective_configuration_shows_the_order(accepted: Accept) -> None:
    text = effective(accepted(EDGE))
    assert text.startswith(SHOWN)
    assert "# listener plain" not in text
    assert tomllib.loads(text)["listener"][0]["options"]["request_id"]["keep"] == "trusted"


def test_one_way_only(accepted: Accept) -> None:
    alone = EDGE.partition("[[listener.options.routes]]")[0] + EDGE[EDGE.index("[upstream.app]") :]
    text = effective(accepted(alone))
    assert "#     all: response_fields, request_id\n#     then: rewrite, upstream app\n" in text
