"""Conversations that last too long, or in which nothing moves."""

from __future__ import annotations

import socket
import time

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PIECE, Server, all_of, exactly, forward


def ends(sock: socket.socket) -> bool:
    """Whether it has nothing more to say, and says so."""
    try:
        return all_of(sock) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("settings", ["", "splice = false"], ids=["bridged", "copied"])
def test_silence_ends_a_conversation_and_bytes_do_not(proxy: Starter, settings: str) -> None:
    with Server() as server:
        running = proxy(
            f"[proxy]\n{settings}\n"
            + forward(server.uri, listener='timeouts = { inactivity = "400ms" }')
        )
        with running.connect("in") as client, server.next() as accepted:
            began = time.monotonic()
            while time.monotonic() - began < 1:  # one way only, for longer than the timeout
                accepted.sendall(PIECE[:100_000])
                exactly(client, 100_000)
            began = time.monotonic()
            assert ends(client)
            assert ends(accepted)
            assert 0.3 < time.monotonic() - began < 5
    running.wait_for("connection timed out: nothing moved for too long")


def test_a_conversation_may_not_last_longer(proxy: Starter) -> None:
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
