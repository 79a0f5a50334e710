"""validate and split on real sockets: the configurations of conf/, and half-closed clients."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import Server, all_of, exactly, forward

CONF = Path(__file__).parents[2] / "conf"


def on_free_ports(name: str, server: str) -> str:
    """Return a configuration of conf/ with free ports and the test's own server."""
    text = re.sub(r"(bind = .*:)\d+", r"\g<1>0", (CONF / name).read_text())
    return re.sub(r"servers = .*", f'servers = ["{server}"]', text)


def test_a_server_gets_only_valid_messages(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(on_free_ports("validate.toml", server.uri))
        with running.connect("orders") as client:
            client.sendall(b'{"id": 1}\n')
            assert exactly(client, 23) == b'{"error": "not valid"}\n'
            client.sendall(b'{"id": 1, "op": "a"}\nnonsense\n{"id": 2, "op": "b"}\n{"half')
            client.shutdown(1)
            with server.next() as accepted:
                assert exactly(accepted, 21) == b'{"id": 1, "op": "a"}\n'
                accepted.sendall(b"1\n")
                assert all_of(accepted) == b'{"id": 2, "op": "b"}\n'
                accepted.sendall(b"2\n")
            assert all_of(client) == b'1\n{"error": "not valid"}\n2\n'
        running.wait_for("stream ended inside a message")


def test_a_rejection_reaches_a_client_that_still_sends(proxy: Starter) -> None:
    options = 'options = { pattern = "ok", answer = "no" }'
    with Server() as server:
        text = forward(server.uri, listener=options).replace('"forward"', '"validate"')
        running = proxy(text)
        with running.connect("in") as client:
            client.sendall(b"bad\n" + b"more\n" * 20_000)
            assert all_of(client) == b"no\n"


@pytest.mark.parametrize("threads", [1, 2])
def test_two_clients_on_one_connection(proxy: Starter, threads: int) -> None:
    with Server() as server:
        text = on_free_ports("split.toml", server.uri)
        running = proxy(f"[proxy]\nnet_threads = {threads}\n\n{text}")
        with running.connect("shared") as first, running.connect("shared") as second:
            first.sendall(b'{"id": 1}\n')
            with server.next() as accepted:
                assert exactly(accepted, 10) == b'{"id": 1}\n'
                second.sendall(b'{"id": 2}\n')
                assert exactly(accepted, 10) == b'{"id": 2}\n'
                accepted.sendall(b'[{"id": 2}]\n{"id": 1}\n')
                assert exactly(second, 10) == b'{"id": 2}\n'
                assert exactly(first, 10) == b'{"id": 1}\n'
                first.sendall(b'{"id": 3}\n')
                exactly(accepted, 10)
            assert exactly(first, 23) == b'{"error": "no answer"}\n'
            first.sendall(b'{"id": 4}\n')
            first.shutdown(1)
            with server.next() as accepted:
                exactly(accepted, 10)
                accepted.sendall(b'{"id": 4}\n')
                assert all_of(first) == b'{"id": 4}\n'


def test_a_reload_opens_no_second_connection_to_a_server(proxy: Starter) -> None:
    """If the listener is unchanged, all clients use the first connection; if it is changed, the
    first connection is closed before another is opened."""
    with Server() as server:
        running = proxy(on_free_ports("split.toml", server.uri))
        text = running.file.read_text()
        with running.connect("shared") as old:
            old.sendall(b'{"id": 1}\n')
            with server.next() as accepted:
                assert exactly(accepted, 10) == b'{"id": 1}\n'
                running.signal(signal.SIGHUP)
                running.wait_for("new connections use it")
                with running.connect("shared") as new:
                    new.sendall(b'{"id": 2}\n')
                    assert exactly(accepted, 10) == b'{"id": 2}\n'
                    accepted.sendall(b'{"id": 2}\n')
                    assert exactly(new, 10) == b'{"id": 2}\n'
                running.file.write_text(text.replace('# timeout = "30s"', 'timeout = "20s"'))
                running.signal(signal.SIGHUP)
                running.wait_for("new connections use it", 2)
                with running.connect("shared") as new:
                    new.sendall(b'{"id": 3}\n')
                    running.wait_for("the configuration has changed")
                    accepted.sendall(b'{"id": 1}\n')
                    assert all_of(old) == b'{"id": 1}\n'
                    assert all_of(accepted) == b""
                    with server.next() as second:
                        assert exactly(second, 10) == b'{"id": 3}\n'
                        second.sendall(b'{"id": 3}\n')
                        assert exactly(new, 10) == b'{"id": 3}\n'
