"""Recipes for protocols of others: good and bad messages, with scripted peers."""

from __future__ import annotations

import pytest

from tests.cookbook.recipes import recipe

REFUSED = b"-NOPERM this command is not allowed here\r\n"


def command(*words: bytes) -> bytes:
    """Return a command of Redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def test_commands_of_redis_are_answered_in_their_order() -> None:
    with recipe("redis_commands", {"allowed": ["GET"]}) as proxy:
        client = proxy.client()
        client.send(command(b"get", b"a") + command(b"DEL", b"a") + command(b"GET", b"b"))
        server = proxy.server()
        proxy.run()
        assert server.received == command(b"get", b"a")
        assert client.received == b""  # the refusal waits for the reply before it
        server.send(b"$1\r\nx\r\n")
        proxy.run()
        assert server.received == command(b"get", b"a") + command(b"GET", b"b")
        server.send(b"$-1\r\n")
        proxy.run()
        assert client.received == b"$1\r\nx\r\n" + REFUSED + b"$-1\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"+GET\r\n",
        b"$3\r\nGET\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*1\r\n*1\r\n$3\r\nGET\r\n",
        b"*1\r\n$8\r\nGET\r\nDEL\r\n",
        b"*2\r\n:3\r\n$3\r\nGET\r\n",
        command(b"GET\xff"),
    ],
)
def test_what_is_no_allowed_command_of_redis_is_refused(message: bytes) -> None:
    with recipe("redis_commands", {"allowed": ["GET"]}) as proxy:
        client = proxy.client()
        client.send(message)
        proxy.run()
        assert client.received == REFUSED
        assert proxy.connections() == 0


def test_inline_commands_of_redis_end_the_input() -> None:
    with recipe("redis_commands", {"allowed": ["GET"]}) as proxy:
        client = proxy.client()
        client.send(b"GET a\r\n")
        proxy.run()
        assert client.received == b""
        assert client.ended
        assert proxy.connections() == 0


def question(*labels: bytes, flags: bytes = b"\1\0", count: int = 1) -> bytes:
    """Return a question for addresses (RFC 1035, 4.1)."""
    name = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    return b"ID" + flags + count.to_bytes(2, "big") + bytes(6) + name + b"\0\1\0\1"


def framed(message: bytes) -> bytes:
    """Return a message as it is sent by TCP."""
    return len(message).to_bytes(2, "big") + message


def test_hidden_names_do_not_exist() -> None:
    with recipe("dns_names", {"hidden": ["ads.example"]}) as proxy:
        client = proxy.client()
        client.send(framed(question(b"x", b"ADS", b"example")) + framed(question(b"example")))
        server = proxy.server()
        proxy.run()
        assert server.received == framed(question(b"example"))
        hidden = question(b"x", b"ADS", b"example", flags=b"\x81\x83")
        assert client.received == framed(hidden)


def test_names_are_asked_for_by_udp_and_resolved_by_tcp() -> None:
    options = {"hidden": ["ads.example"]}
    with recipe("dns_names", options, datagrams=True, server_datagrams=False) as proxy:
        client = proxy.datagram_client()
        client.send(question(b"ads", b"example"))
        client.send(question(b"badads", b"example"))
        server = proxy.server()
        proxy.run()
        assert server.received == framed(question(b"badads", b"example"))
        server.send(framed(b"the answer"))
        proxy.run()
        assert client.received == [question(b"ads", b"example", flags=b"\x81\x83"), b"the answer"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"ID\1\0\0\1",
        question(b"ads", b"example")[:-1],
        question(b"ads", b"example", count=0),
        question(b"ads", b"example", count=2),
        question(b"ads")[:12] + b"\xc0\x0c\0\1\0\1",  # a pointer, where none can be
        question(b"a" * 64),
    ],
)
def test_a_message_that_is_not_one_question_reaches_no_server(message: bytes) -> None:
    with recipe("dns_names", {"hidden": ["ads.example"]}) as proxy:
        client = proxy.client()
        client.send(framed(message))
        proxy.run()
        assert client.ended
        assert proxy.connections() == 0


def packet(body: bytes, kind: bytes = b"") -> bytes:
    """Return a message of a PostgreSQL client."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


STARTUP = packet(b"\0\3\0\0user\0ann\0database\0shop\0\0")


def test_statements_are_logged_with_their_user() -> None:
    with recipe("postgresql_audit") as proxy:
        client = proxy.client()
        client.send(packet(b"\x04\xd2\x16\x2f"))  # SSLRequest
        proxy.run()
        assert client.received == b"N"
        assert proxy.connections() == 0
        client.send(STARTUP + packet(b"SELECT 'a\nb'\0", b"Q") + packet(b"s1\0DELETE\0\0\0", b"P"))
        server = proxy.server()
        proxy.run()
        assert server.received.startswith(STARTUP)
        logged = [text.partition(": ann: ")[2] for text in proxy.log if ": ann: " in text]
        assert logged == ["\"SELECT 'a\\nb'\"", "'DELETE'"]


def test_a_statement_that_is_cut_does_not_reach_the_server() -> None:
    with recipe("postgresql_audit") as proxy:
        client = proxy.client()
        client.send(STARTUP + packet(b"SELECT 1\0", b"Q")[:-3])
        server = proxy.server()
        proxy.run()
        client.end()
        proxy.run()
        assert server.received == STARTUP


def test_a_statement_may_be_missing_where_one_is_prepared() -> None:
    with recipe("postgresql_audit") as proxy:
        client = proxy.client()
        client.send(STARTUP + packet(b"name only", b"P"))
        proxy.server()
        proxy.run()
        assert any(text.endswith(": ann: ''") for text in proxy.log)
