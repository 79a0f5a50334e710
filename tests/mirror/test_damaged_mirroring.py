"""Damaged messages of a client, a primary and a mirror: none of them is chosen or compared."""

from __future__ import annotations

import pytest

from tests.plugins.test_mirror import connect, end, mirroring
from vcproxy.framing.framing import lines
from vcproxy.mirror.mirroring import Mirroring

GOOD, BAD = b"$GPGLL,1*4D\r\n", b"$GPGLL,1*64\r\n"
OTHER = b"$GPGLL,2*4E\r\n"


def test_a_damaged_request_goes_to_the_primary_only() -> None:
    with mirroring(framing="nmea", on_lag="drop_oldest") as proxy:
        client, primary, mirror = connect(proxy)
        client.send(GOOD + BAD + GOOD)
        proxy.run()
        client.send(GOOD)
        client.end()
        proxy.run()
        assert primary.received == GOOD + BAD + GOOD + GOOD
        assert primary.ended
        assert mirror.received == GOOD
        assert mirror.reset_seen
        assert "client input: its checksum is '64', and must be '4D'" in proxy.log[0]


def test_frames_arrive_as_they_were_sent() -> None:
    """Also those that `encode` would send in another way."""
    sent = b"\n\r\n" + GOOD.replace(b"\r", b"") + GOOD
    with mirroring(framing="nmea", on_lag="drop_oldest") as proxy:
        client, primary, mirror = connect(proxy)
        client.send(sent)
        proxy.run()
        assert primary.received == mirror.received == sent


@pytest.mark.parametrize("damaged", ["primary", "mirror"])
def test_damaged_replies_are_not_compared(damaged: str) -> None:
    with mirroring(framing="nmea") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send((BAD if damaged == "primary" else GOOD) + GOOD)
        mirror.send((BAD if damaged == "mirror" else GOOD) + OTHER)
        client.send(GOOD)
        end(client, primary, mirror)
        proxy.run()
        assert client.received == (BAD if damaged == "primary" else GOOD) + GOOD
        assert mirror.received == GOOD
        assert proxy.service.counts["not_compared"] == 1
        assert not proxy.service.counts["differences"]


def test_a_damaged_reply_of_a_mirror_is_not_chosen() -> None:
    with mirroring(reply="first", framing="nmea") as proxy:
        client, primary, mirror = connect(proxy)
        mirror.send(BAD + OTHER)
        proxy.run()
        primary.send(GOOD)
        proxy.run()
        assert client.received == GOOD
        [line] = [each for each in proxy.log if "damaged reply" in each]
        assert line.endswith("and must be '4D'; its responses are no longer used")


@pytest.mark.parametrize("reply", ["first", "all", "quorum"])
def test_a_damaged_reply_of_the_primary_resets_the_client(reply: str) -> None:
    with mirroring(reply=reply, framing="nmea") as proxy:
        client, primary, _ = connect(proxy)
        primary.send(BAD)
        proxy.elapse(0.1)
        assert client.received == b""
        assert client.reset_seen


def test_requests_and_replies_may_be_framed_in_two_ways() -> None:
    startup, ready = b"\0\0\0\x0e\0\3\0\0user\0\0", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\5I"
    with mirroring(framing="postgresql", reply="all") as proxy:
        client, primary, mirror = connect(proxy)
        client.send(startup)
        primary.send(ready)
        mirror.send(ready)
        proxy.run()
        assert primary.received == mirror.received == startup
        assert client.received == ready[:9] * 2 + ready[9:] * 2


def test_datagrams_cannot_be_mirrored() -> None:
    with pytest.raises(TypeError, match=r"Shadowed\.datagrams: mirrors get streams"):

        class Shadowed(Mirroring):
            datagrams = True
            framing = lines()
