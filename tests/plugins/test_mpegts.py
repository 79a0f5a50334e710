"""mpegts: whole packets, PIDs, continuity, RTP; and everything that is not a transport stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.test_rtp import rtp
from tests.relay.test_relay import RelayProxy
from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import DatagramPeer
from vcproxy.engine.address import Address
from vcproxy.plugins.mpegts import SIZE, MpegTs, MpegTsOptions
from vcproxy.protocols.continuity import NULL_PID as NULL
from vcproxy.relay.options import RelaySource
from vcproxy.testing import fragments

SOURCE = Address.parse("udp://239.1.1.1:5000?interface=127.0.0.1")
HERE = Address("tcp", "here", 1)


def packet(
    counter: int,
    pid: int = 256,
    *,
    payload: bool = True,
    error: bool = False,
    adaptation: bytes | None = None,
) -> bytes:
    """Return a packet. `adaptation`: the adaptation field after its length."""
    flags = (payload << 4) | ((adaptation is not None) << 5) | counter & 15
    head = bytes([0x47, error << 7 | pid >> 8, pid & 255, flags])
    if adaptation is not None:
        head += bytes([len(adaptation)]) + adaptation
    return head.ljust(SIZE, b"\xff")


def with_bytes(*values: int) -> bytes:
    """Return a packet with these values of its fourth and fifth byte."""
    return packet(0)[:3] + bytes(values) + packet(0)[5:]


@contextmanager
def ts(**options: Any) -> Iterator[tuple[RelayProxy, DatagramPeer]]:
    """A relay of a group with a subscriber and a UDP target; and the sender of the group."""
    given_options = MpegTsOptions(
        **{"source": (RelaySource(SOURCE),), "subscribers": (HERE,), **options}
    )
    made = RelayProxy(MpegTs, (), options=given_options, refusing=[str(SOURCE)])
    with made as proxy:
        proxy.settle()
        yield proxy, proxy.sim.datagram_client(SOURCE)


def relayed(*datagrams: bytes, **options: Any) -> tuple[bytes, dict[str, int]]:
    """Return what a subscriber gets of these datagrams, and the counts that are not of sinks."""
    with ts(**options) as (proxy, sender):
        [subscriber] = proxy.subscribe()
        for data in datagrams:
            sender.send(data)
            proxy.settle()
        counts = {what: count for what, count in proxy.status.counts.items() if what != "joined"}
        return bytes(subscriber.received), counts


# -- packets ---------------------------------------------------------------------------------


def test_packets_are_relayed_as_they_came() -> None:
    sent = [b"".join(packet(7 * n + m) for m in range(7)) for n in range(10)]
    assert relayed(*sent) == (b"".join(sent), {})


def test_a_subscriber_begins_with_a_whole_packet() -> None:
    with ts() as (proxy, sender):
        sender.send(packet(0) + packet(1))
        proxy.settle()
        [late] = proxy.subscribe()
        sender.send(packet(2))
        proxy.settle()
        assert late.received == packet(2)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 187, 189, 204, 7 * SIZE - 1, 7 * SIZE + 1])
def test_a_datagram_of_parts_of_packets_is_dropped(size: int) -> None:
    data = (8 * packet(1))[:size]
    assert relayed(packet(0), data, packet(1)) == (packet(0) + packet(1), {"damaged": 1})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"#" + packet(1)[1:],
        packet(1) + b"\x00" + packet(2)[1:] + packet(3),
        b"\x00\x00\x00\x00" + packet(1),  # with a time stamp before each packet, as on a Blu-ray
        bytes(SIZE),
    ],
)
def test_a_datagram_of_something_else_is_dropped(data: bytes) -> None:
    assert relayed(packet(0), data, packet(1)) == (packet(0) + packet(1), {"damaged": 1})


def test_a_packet_that_was_damaged_before_is_dropped() -> None:
    sent = packet(0) + packet(1, error=True) + packet(2)
    received, counts = relayed(sent)
    assert received == packet(0) + packet(2)
    assert counts == {"transport_errors": 1, "discontinuities": 1, "missing_packets": 1}


@pytest.mark.parametrize(
    ("control", "length", "whole"),
    [(1, 0, True), (1, 255, True), (0, 0, False), (2, 183, True), (2, 182, False), (2, 184, False),
     (3, 0, True), (3, 182, True), (3, 183, False), (3, 255, False)],
)  # fmt: skip
def test_an_adaptation_field_that_does_not_fit_is_damage(
    control: int, length: int, whole: bool
) -> None:
    sent = with_bytes(control << 4, length)
    assert relayed(sent) == ((sent, {}) if whole else (b"", {"damaged": 1}))


# -- PIDs ------------------------------------------------------------------------------------

MIXED = b"".join(packet(0, pid) for pid in (0, 256, 257, NULL, 4095, 256))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [0, 256, 257, NULL, 4095, 256]),
        ({"pids": {0, 257}}, [0, 257]),
        ({"without_pids": {NULL}}, [0, 256, 257, 4095, 256]),
        ({"pids": {0, 256, 257}, "without_pids": {256}}, [0, 257]),
        ({"pids": {5}}, []),
    ],
)
def test_only_wanted_pids_are_relayed(options: dict[str, Any], kept: list[int]) -> None:
    received, _ = relayed(MIXED, **options)
    assert received == b"".join(packet(0, pid) for pid in kept)


def test_a_datagram_without_a_wanted_packet_is_not_sent() -> None:
    with ts(pids={7}) as (proxy, sender):
        sender.send(MIXED)
        proxy.settle()
        assert proxy.relay.tunnel.buffer.written == 0


def test_pids_are_numbers_of_13_bits() -> None:
    table = {"source": str(SOURCE), "subscribers": str(HERE)}
    options, _ = read_options(MpegTs, table | {"pids": [0, 8191]}, Path())
    assert isinstance(options, MpegTsOptions)
    assert options.pids == {0, 8191}
    with pytest.raises(OptionsError, match="pids"):
        read_options(MpegTs, table | {"pids": [8192]}, Path())


def test_a_selection_without_the_table_of_programs_is_noted() -> None:
    options = MpegTsOptions(
        source=(RelaySource(SOURCE),), subscribers=(HERE,), pids=frozenset({256})
    )
    assert MpegTs.notes(options) == {
        "pids": "without 0, the table of programs, most players find nothing to play"
    }


# -- continuity ------------------------------------------------------------------------------


def test_missing_packets_are_counted() -> None:
    sent = [packet(0) + packet(1), packet(3), packet(9, adaptation=b"\x80"), packet(10)]
    counts = {"discontinuities": 1, "missing_packets": 1}
    assert relayed(*sent) == (b"".join(sent), counts)
    assert relayed(b"".join(sent)) == (b"".join(sent), counts)


def test_packets_that_are_not_relayed_are_not_counted() -> None:
    sent = packet(0) + packet(0, 257) + packet(5, 257) + packet(1)
    assert relayed(sent, pids={256}) == (packet(0) + packet(1), {})


def test_missing_packets_are_logged_ten_times_in_a_minute() -> None:
    with ts() as (proxy, sender):
        for n in range(100):
            sender.send(packet(2 * n))
            proxy.elapse(0.25)
        lines = [line for line in proxy.log if "are missing" in line]
        assert lines == [
            f"warning: proxy: packets of PID 256 are missing; {so_far} of all so far"
            for so_far in range(1, 11)
        ]
        assert proxy.status.counts["missing_packets"] == 99


# -- RTP -------------------------------------------------------------------------------------


def test_rtp_headers_are_removed() -> None:
    sent = [rtp(n, packet(2 * n) + packet(2 * n + 1), extension=n) for n in range(3)]
    assert relayed(*sent) == (b"".join(map(packet, range(6))), {})


def test_late_rtp_packets_and_copies_are_dropped() -> None:
    order = [65534, 65535, 65535, 0, 65534, 2, 1, 3]
    received, counts = relayed(*(rtp(n, packet(n + 2)) for n in order))
    assert received == b"".join(packet(n + 2) for n in (65534, 65535, 0, 2, 3))
    assert counts == {"late": 3, "discontinuities": 1, "missing_packets": 1}


@pytest.mark.parametrize(
    "data",
    [
        rtp(1, packet(1))[:11],
        rtp(1, packet(1)[:-1]),
        b"\x9f" + rtp(1, packet(1))[1:],  # an extension, of the packet's bytes
        b"\xa0" + rtp(1, packet(1))[1:],  # padding of 255 bytes
        rtp(1, b"\x00\x01" + packet(1)),  # not a transport stream
    ],
)
def test_damaged_rtp_packets_are_dropped(data: bytes) -> None:
    received, counts = relayed(packet(0), data, packet(1))
    assert received == packet(0) + packet(1)
    assert counts == {"damaged": 1}


@given(st.lists(st.binary(max_size=600) | st.binary(max_size=3).map(lambda b: b + packet(1))))
def test_only_whole_packets_are_ever_relayed(datagrams: list[bytes]) -> None:
    received, _ = relayed(*datagrams)
    assert len(received) % SIZE == 0
    assert set(received[::SIZE]) <= {0x47}


# -- streams ---------------------------------------------------------------------------------


def streamed(*pieces: bytes, how: str = "end") -> tuple[bytes, dict[str, int], list[str]]:
    """Return what a subscriber gets of a producer that sends this over TCP; counts; the log."""
    options = MpegTsOptions(subscribers=(HERE,))
    with RelayProxy(MpegTs, (), options=options) as proxy:
        [subscriber] = proxy.subscribe()
        producer = proxy.produce(*pieces)
        getattr(producer, how)()
        proxy.settle()
        return bytes(subscriber.received), dict(proxy.status.counts), proxy.log


FILM = b"".join(packet(n) for n in range(10))


@pytest.mark.parametrize("pieces", fragments(packet(0) + packet(1)))
def test_a_stream_may_arrive_in_pieces(pieces: tuple[bytes, bytes]) -> None:
    received, counts, _ = streamed(*pieces)
    assert received == packet(0) + packet(1)
    assert counts == {"joined": 1}


def test_ten_packets_in_one_segment_or_one_in_ten() -> None:
    cut = [FILM[at : at + SIZE // 10] for at in range(0, len(FILM), SIZE // 10)]
    assert streamed(FILM)[0] == streamed(*cut)[0] == FILM


@pytest.mark.parametrize("garbage", [b"?", b"GET / HTTP/1.1\r\n\r\n", bytes(3000), packet(3)[5:]])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_is_between_packets_is_dropped(garbage: bytes, before: int) -> None:
    sent = FILM[: before * SIZE] + garbage + FILM[before * SIZE :]
    received, counts, log = streamed(sent)
    assert received in (FILM, FILM[: before * SIZE] + FILM[before * SIZE + SIZE :]), "one is lost"
    assert counts["damaged"] >= 1
    assert "producer closed: the source ended" in log[-1]


@pytest.mark.parametrize("how", ["end", "close", "reset"])
def test_half_a_packet_before_the_end_is_dropped(how: str) -> None:
    received, _, log = streamed(FILM + packet(10)[:100], how=how)
    assert received == FILM
    assert "producer closed: " in log[-1]


def test_a_stream_that_is_none_yields_nothing() -> None:
    received, counts, _ = streamed(100 * b"This is no transport stream. ")
    assert received == b""
    assert counts["damaged"] >= 1


def test_packets_missing_in_a_stream_are_counted() -> None:
    received, counts, _ = streamed(packet(0) + packet(2), packet(3, error=True))
    assert received == packet(0) + packet(2)
    assert counts["missing_packets"] == counts["transport_errors"] == 1


@pytest.mark.parametrize("framing", ["lines", "none", "fixed"])
def test_other_framings_are_refused(framing: str) -> None:
    table: dict[str, object] = {"subscribers": str(HERE), "framing": framing}
    with pytest.raises(OptionsError, match='must be "mpegts" or "datagram"'):
        read_options(MpegTs, table, Path())


@pytest.mark.parametrize(
    "table", [{"producers": "interleave"}, {"source": ["udp://127.0.0.1:1", "udp://127.0.0.1:2"]}]
)
def test_streams_are_not_mixed(table: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="must not be mixed"):
        read_options(MpegTs, {"subscribers": str(HERE)} | table, Path())


def test_a_wrong_media_type_is_refused() -> None:
    table: dict[str, object]
    table = {"http_subscribers": str(HERE), "content_type": "video/mp2t\r\nX: y"}
    with pytest.raises(OptionsError, match="must be a media type"):
        read_options(MpegTs, table, Path())
