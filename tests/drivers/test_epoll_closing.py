"""Closing with a reset: how long the driver waits for acknowledgements of what was sent before."""

from __future__ import annotations

import socket
import struct

import pytest

from vcproxy.drivers.epoll.closing import linger_timeout_s


def tcp_info(retransmits: int, timer_s: float) -> bytes:
    return struct.pack("BBB5xI", 1, 0, retransmits, round(timer_s * 1e6))


@pytest.mark.parametrize(
    ("retransmits", "timer_s", "seconds"),
    [(0, 0.2, 2), (0, 12.8, 2), (1, 0.4, 2), (3, 1.6, 3.2), (5, 6.4, 12.8), (9, 102.4, 30)],
)
def test_a_peer_that_dropped_segments_is_waited_for(
    retransmits: int, timer_s: float, seconds: float
) -> None:
    assert linger_timeout_s(tcp_info(retransmits, timer_s)) == seconds


def test_the_kernel_answers_in_this_form() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client, server.accept()[0]:
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 12)
    state, _, retransmits, timer_us = struct.unpack("BBB5xI", info)
    assert (state, retransmits) == (1, 0)  # ESTABLISHED
    assert 100_000 < timer_us < 10_000_000
