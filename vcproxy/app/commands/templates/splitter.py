"""The template `splitter`: shares a server connection among clients.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: clients share one server connection; each gets the replies to its requests."""

import json
from collections.abc import Iterator

from vcproxy.api import Part, Reject, Splitter, json_lines


class {Name}(Splitter):
    """Requests and replies are JSON objects with an id; the server sends lists of replies."""

    framing = json_lines(limit="64KiB")

    def key(self, request: bytes) -> str | Reject:
        """Return the id that the reply will have."""
        try:
            return str(json.loads(request)["id"])
        except (ValueError, TypeError, KeyError):
            return Reject(b'{{"error": "no id"}}\\n', keep=True)

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        """Split a list of replies."""
        for each in json.loads(reply):
            yield Part(str(each["id"]), json.dumps(each).encode())
'''

TEST = '''\
"""{name}: one server connection, and to each client its own replies."""

from vcproxy.testing import Script, SimulatedProxy

from {name} import {Name}


def test_each_client_gets_its_own_replies() -> None:
    with SimulatedProxy({Name}) as proxy:
        ann, bob = proxy.client(), proxy.client()
        ann.send(b'{{"id": 1}}\\n')
        server = proxy.server()
        Script("""
            server < {{"id": 1}}
            bob > {{"id": 2}}
            server < {{"id": 2}}
            server > [{{"id": 2}}, {{"id": 1}}]
            ann < {{"id": 1}}
            bob < {{"id": 2}}
        """).play(lambda: proxy.elapse(1), ann=ann, bob=bob, server=server)
        assert proxy.connections() == 1


def test_a_request_without_an_id_is_answered_at_once() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        Script("""
            client > nonsense
            client < {{"error": "no id"}}
        """).play(proxy.run, client=client)
        assert proxy.connections() == 0
'''
