"""The template `validator`: accepts or answers messages.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: forward valid messages, and reply to invalid ones."""

import json

from vcproxy.api import Accept, Resend, Validator, Verdict, json_lines


class {Name}(Validator):
    """Accepts JSON objects with an id."""

    framing = json_lines(limit="64KiB")

    def check(self, message: bytes) -> Verdict:
        """Validate one message."""
        try:
            value = json.loads(message)
        except ValueError:
            value = None
        valid = isinstance(value, dict) and "id" in value
        return Accept() if valid else Resend(b'{{"error": "no id"}}\\n')
'''

TEST = '''\
"""{name}: which messages reach the server, and which are answered."""

from vcproxy.testing import Script, SimulatedProxy, fragments

from {name} import {Name}

VALID = b'{{"id": 1}}\\n'


def test_valid_messages_are_forwarded_and_others_answered() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(VALID)
        server = proxy.server()
        Script("""
            server < {{"id": 1}}
            client > nonsense
            client < {{"error": "no id"}}
            client > "id"
            client < {{"error": "no id"}}
            client > {{"id": 2}}
            server < {{"id": 2}}
            server > done
            client < done
        """).play(proxy.run, client=client, server=server)


def test_a_message_may_arrive_in_pieces() -> None:
    for first, rest in fragments(VALID):
        with SimulatedProxy({Name}) as proxy:
            client = proxy.client()
            client.send(first)
            proxy.run()
            client.send(rest)
            server = proxy.server()
            proxy.run()
            assert server.received == VALID
'''
