"""Script: a conversation that is equal to the script passes, any other fails with a diff."""

from __future__ import annotations

import pytest

from vcproxy.plugins.echo import Echo
from vcproxy.plugins.forward import Forward
from vcproxy.testing import Script, SimulatedProxy, fragments


def test_a_conversation_equal_to_the_script_passes() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        Script("""
            client > hello
            client > any questions?
            server < hello
            server < any questions?

            server > yes
            server >.
            client < yes
            client <.
        """).play(proxy.run, client=client, server=server)


def test_a_reset_differs_from_an_end() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        Script("""
            server >!
            client <!
        """).play(proxy.run, client=client, server=server)


def test_a_difference_fails_with_a_diff() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        script = Script("""
            client > hello
            client < HELLO
            client > bye
            client < bye
        """)
        with pytest.raises(AssertionError) as caught:
            script.play(proxy.run, client=client)
        assert str(caught.value).splitlines() == [
            "the script (-) and what happened (+):",
            "  client > hello",
            "- client < HELLO",
            "+ client < hello",
            "  client > bye",
            "  client < bye",
        ]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"more\n", "+ client < more"),
        (b"mo", "+ client < mo (and no end of line)"),
        (b"\xff\n", r"+ client < \xff"),
    ],
)
def test_unexpected_data_fails(sent: bytes, shown: str) -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        server.send(sent)
        with pytest.raises(AssertionError) as caught:
            Script("client > hello").play(proxy.run, client=client)
        assert shown in str(caught.value).splitlines()


def test_missing_data_fails() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, _ = proxy.client(), proxy.server()
        with pytest.raises(AssertionError, match="- client < hello"):
            Script("client < hello").play(proxy.run, client=client)


def test_another_line_end() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        Script("client > a\nclient < a", newline=b"\r\n").play(proxy.run, client=client)
        assert client.received == b"a\r\n"


def test_a_malformed_line_is_refused() -> None:
    with pytest.raises(ValueError, match='"client: hello" must be "NAME > sent"'):
        Script("client: hello")


def test_fragments_are_all_divisions() -> None:
    assert fragments(b"abc") == [(b"a", b"bc"), (b"ab", b"c")]


def test_lines_may_be_empty() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        Script("""
            client > first
            client >
            client > last
            client < first
            client <
            client < last
        """).play(proxy.run, client=proxy.client())
