"""Connections that last too long, or are idle for too long."""

from __future__ import annotations

import socket
import time

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PIECE, Server, all_of, exactly, forward


def ends(sock: socket.socket) -> bool:
    """Whether a connection ends without more data."""
    try:
        return all_of(sock) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("settings", ["", "splice = false"], ids=["bridged", "copied"])
def test_an_idle_connection_ends_and_a_busy_one_does_not(proxy: Starter, settings: str) -> None:
    with Server() as server:
        running = proxy(
            f"[proxy]\n{settings}\n"
            + forward(server.uri, listener='timeouts = { inactivity = "400ms" }')
        )
        with running.connect("in") as client, server.next() as accepted:
            began = time.monotonic()
            while time.monotonic() - began < 1:  # one direction, longer than the timeout
                accepted.sendall(PIECE[:100_000])
                exactly(client, 100_000)
            began = time.monotonic()
            assert ends(client)
            assert ends(accepted)
            assert 0.3 < time.monotonic() - began < 5
    running.wait_for("connection timed out: nothing moved for too long")


def test_the_active_timeout_ends_a_busy_connection(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri, listener='timeouts = { active = "300ms" }'))
        with running.connect("in") as client, server.next() as accepted:
            began = time.monotonic()
            try:
                while True:
                    client.sendall(b"x")
                    exactly(accepted, 1)
            except (AssertionError, OSError):
                assert 0.25 < time.monotonic() - began < 5
    running.wait_for("connection timed out: open for too long")
