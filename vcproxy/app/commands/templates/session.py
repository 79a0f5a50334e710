"""The template `session`: reads a message, then starts a tunnel.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: reply to the first line, then connect the client to a server."""

from vcproxy.api import TIMEOUT, Message, Session, State, TunnelDone


class {Name}(Session):
    """Reads one line before it connects to the server."""

    needs_upstream = True

    READING = State(initial=True, timeout="5s")
    RELAYING, DONE = State(), State(final=True)

    READING.goes(TIMEOUT, DONE)

    @READING.on(Message, to=RELAYING)
    def line_received(self, message: Message) -> None:
        """Reply, and relay everything after the first line."""
        self.answer(b"hello, " + message.data + b"\\n")
        self.lend()

    @RELAYING.on(TunnelDone, to=DONE)
    def relayed(self, done: TunnelDone) -> None:
        """Log how the tunnel has ended."""
        self.log(done)
'''

TEST = '''\
"""{name}: tests with a simulated client and server."""

from vcproxy.testing import Script, SimulatedProxy, check_machine

from {name} import {Name}


def test_it_greets_and_relays() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(b"Ann\\nwhat is new?\\n")
        server = proxy.server()
        Script("""
            client < hello, Ann
            server < what is new?
            server > nothing
            client < nothing
        """).play(proxy.run, client=client, server=server)


def test_a_silent_client_causes_no_connection() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        proxy.elapse(6)
        assert client.ended
        assert proxy.connections() == 0


def test_its_machine() -> None:
    assert check_machine({Name}) == {{"READING TunnelDone", "RELAYING Message"}}
'''
