"""The bundled validate: only messages that its options allow are forwarded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sessions.world import World, shout
from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import Simulation
from vcproxy.plugins.validate import Validate
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def exchange(options: dict[str, Any], sent: bytes) -> tuple[bytes, bytes]:
    """Return what the client received, and what the server received."""
    made, _ = read_options(Validate, options, Path())
    with Simulation(1) as sim:
        world = World(sim, Validate, shout, options=made)
        client = world.client(sent)
        client.end()
        sim.run(until=lambda: client.ended)
        return bytes(client.received), world.at_server if world.servers else b""


@pytest.mark.parametrize(
    ("options", "sent", "answered", "forwarded"),
    [
        ({}, b"a\nb\n", b"A\nB\n", b"a\nb\n"),
        ({"pattern": "a.*", "answer": "no"}, b"b\nabc\n", b"no\n", b""),
        (
            {"pattern": "a.*", "answer": "no", "keep": True, "in_turn": True},
            b"abc\nb\na\n\xff\n",
            b"ABC\nno\nA\nno\n",
            b"abc\na\n",
        ),
        ({"wait": "soon"}, b"a\n", b"soon\nA\n", b"a\n"),
        (
            {"framing": "json-lines", "answer": "no", "keep": True},
            b'[1]\n\nNaN\n{"a":\n' + b"[" * 5000 + b"\n",
            b"no\nno\nno\n[1]\n",
            b"[1]\n",
        ),
        (
            {"required": ["id", "op"], "answer": "no", "keep": True},
            b'{"id": 1}\n[]\n{"op": 1, "id": 1}\n',
            b'no\nno\n{"OP": 1, "ID": 1}\n',
            b'{"op": 1, "id": 1}\n',
        ),
        ({"framing": "delimiter", "delimiter": "\r\n"}, b"a\nb\r\n", b"A\nB\r\n", b"a\nb\r\n"),
        (
            {"framing": "length-prefix", "width": 2, "pattern": "a", "answer": "no"},
            b"\0\1b",
            b"\0\2no",
            b"",
        ),
        (
            {
                "framing": "length-prefix",
                "width": 2,
                "byte_order": "little",
                "inclusive": True,
            },
            b"\4\0hi",
            b"\4\0HI",
            b"\4\0hi",
        ),
        ({"framing": "netstring", "limit": "5B"}, b"2:hi,6:longer,", b"2:HI,", b"2:hi,"),
        ({"framing": "fixed", "size": "2B"}, b"abcde", b"ABCD", b"abcd"),
    ],
)
def test_options(options: dict[str, Any], sent: bytes, answered: bytes, forwarded: bytes) -> None:
    assert exchange(options, sent) == (answered, forwarded)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"framing": "delimiter"}, 'is missing: framing = "delimiter" needs it'),
        ({"width": 4}, 'is for framing = "length-prefix" or "length-at", not "lines"'),
        ({"framing": "length-prefix", "width": 3}, "it must have 1, 2, 4 or 8"),
        ({"framing": "line"}, 'did you mean "lines"?'),
        ({"pattern": "("}, "must be a valid regular expression"),
        ({"answer": "two\nlines"}, "may not contain the delimiter"),
        ({"wait": "long", "limit": "3B"}, "over the limit 3B"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionsError) as caught:
        read_options(Validate, options, Path())
    assert problem in str(caught.value.problems[0].message)


def test_datagrams_are_validated_and_a_stream_gets_the_valid_messages() -> None:
    options, _ = read_options(Validate, {"pattern": "a.*", "answer": "no"}, Path())
    with SimulatedProxy(Validate, options=options, datagrams=True, server_datagrams=False) as proxy:
        client = proxy.datagram_client()
        for data in (b"abc\n", b"b\na\n", b"a", b"ab\n"):
            client.send(data)
        proxy.elapse(1)
        assert proxy.peers()[0].received == b"abc\na\na\nab\n"
        assert client.received == [b"no\n"]


def test_the_machine_is_sound() -> None:
    assert check_machine(Validate)
