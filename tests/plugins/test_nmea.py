"""nmea: sentences of several receivers are checked, and each is relayed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.relay.test_relay import RelayProxy, sources
from vcproxy.api import Address
from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.plugins.nmea import Nmea, NmeaOptions
from vcproxy.relay.options import RelaySource, Target
from vcproxy.testing import fragments, seeds

GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"
RMC = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A"
VDM = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C"
FEED = Address("udp", "127.0.0.1", 7)


def sentence(content: str) -> bytes:
    """Return a sentence with its checksum."""
    total = 0
    for byte in content.encode():
        total ^= byte
    return b"$%b*%02X" % (content.encode(), total)


def tag(block: str) -> bytes:
    """Return a tag block with its checksum."""
    return b"\\%b\\" % sentence(block)[1:]


def wire(*sentences: bytes) -> bytes:
    return b"".join(each + b"\r\n" for each in sentences)


@contextmanager
def nmea(**options: Any) -> Iterator[RelayProxy]:
    given = {"subscribers": (Address("tcp", "here", 1),), "source": sources("one", "two")} | options
    made = RelayProxy(Nmea, (), options=NmeaOptions(**given), refusing=[str(FEED)])
    with made as proxy:
        proxy.settle()
        yield proxy


def receivers(proxy: RelayProxy) -> tuple[Peer, Peer, Peer]:
    """Return a subscriber and both sources."""
    [subscriber] = proxy.subscribe()
    one, two = (proxy.target(Address("tcp", name, 1)) for name in ("one", "two"))
    return subscriber, one, two


def received(peer: Peer) -> list[bytes]:
    *lines, rest = bytes(peer.received).split(b"\r\n")
    assert rest == b""
    return lines


# -- checksums and bad input -------------------------------------------------------------------


def test_sentences_of_all_receivers_are_relayed() -> None:
    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        proxy.send(one, wire(GGA))
        proxy.send(two, wire(VDM))
        assert received(subscriber) == [GGA, VDM]


@pytest.mark.parametrize("pieces", fragments(wire(GGA, VDM)))
def test_sentences_may_arrive_in_pieces(pieces: tuple[bytes, bytes]) -> None:
    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        for piece in pieces:
            proxy.send(one, piece)
            proxy.send(two, wire(RMC))
        assert sorted(set(received(subscriber))) == sorted((GGA, VDM, RMC))


def test_sentences_may_arrive_byte_by_byte() -> None:
    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        for number, byte in enumerate(wire(GGA, RMC)):
            proxy.send(one, bytes((byte,)))
            if number % 10 == 0:
                proxy.send(two, wire(sentence(f"GPXXX,{number}")))
        assert [each for each in received(subscriber) if b"XXX" not in each] == [GGA, RMC]
        assert "damaged" not in proxy.status.counts


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (GGA[:-1] + b"8", "its checksum is '48', and must be '47'"),
        (GGA[:-3], "it has no checksum"),
        (GGA[10:], "it does not begin with $ or !"),  # its beginning was lost
        (GGA[:20] + RMC, "its checksum is '6A', and must be"),  # its end was lost
        (b'{"class":"VERSION","release":"3.22"}', "it does not begin with $ or !"),
        (b"\x00\xff\xfe", "it does not begin with $ or !"),
        (b"$" + b"x" * 2000 + b"*00", "longer than 1KiB"),
        (b"\\s:mast*00\\" + GGA, "the checksum of its tag block is wrong"),
    ],
)
def test_what_is_no_sentence_is_dropped_and_counted(bad: bytes, why: str) -> None:
    with nmea() as proxy:
        subscriber, one, _ = receivers(proxy)
        proxy.send(one, wire(GGA, bad, RMC))
        assert received(subscriber) == [GGA, RMC]
        assert proxy.status.counts["damaged"] == 1
        name = "warning: proxy tcp://one:1: a damaged message is dropped: "
        assert [line for line in proxy.log if line.startswith(name + why)]


def test_lf_alone_ends_a_sentence_and_blank_lines_are_none() -> None:
    with nmea() as proxy:
        subscriber, one, _ = receivers(proxy)
        proxy.send(one, GGA + b"\n\r\n\n" + RMC + b"\n")
        assert received(subscriber) == [GGA, RMC]
        assert "damaged" not in proxy.status.counts


def test_a_lower_case_checksum_and_a_tag_block_are_relayed_as_they_are() -> None:
    tagged, lower = tag("s:mast") + GGA, RMC[:-2] + b"6a"
    with nmea() as proxy:
        subscriber, one, _ = receivers(proxy)
        proxy.send(one, wire(tagged, lower))
        assert received(subscriber) == [tagged, lower]


@pytest.mark.parametrize(
    ("options", "relayed"),
    [({}, []), ({"unchecked": True}, [GGA[:-3]]), ({"add_checksums": True}, [GGA])],
)
def test_a_sentence_without_a_checksum(options: dict[str, Any], relayed: list[bytes]) -> None:
    with nmea(**options) as proxy:
        subscriber, one, _ = receivers(proxy)
        proxy.send(one, wire(GGA[:-3], RMC[:-1] + b"0"))
        assert received(subscriber) == relayed
        assert proxy.status.counts["damaged"] == 2 - len(relayed)


def test_a_receiver_that_dies_in_mid_sentence_leaves_no_half_of_it() -> None:
    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        proxy.send(one, wire(GGA) + RMC[:30])
        one.reset()
        proxy.settle()
        proxy.send(two, wire(VDM))
        proxy.elapse(2)
        proxy.send(proxy.target(Address("tcp", "one", 1)), RMC[30:] + b"\r\n" + wire(RMC))
        assert received(subscriber) == [GGA, VDM, RMC]
        assert any("one:1: producer closed" in line for line in proxy.log)


# -- datagrams ---------------------------------------------------------------------------------


def test_datagrams_have_one_sentence_or_more_with_or_without_a_line_end() -> None:
    with nmea(source=(RelaySource(FEED),)) as proxy:
        [subscriber] = proxy.subscribe()
        receiver = proxy.sim.datagram_client(FEED)
        for datagram in (wire(GGA, RMC), VDM, b"", GGA[:10], b"garbage"):
            receiver.send(datagram)
            proxy.settle()
        assert received(subscriber) == [GGA, RMC, VDM]
        assert proxy.status.counts["damaged"] == 2


def test_each_sentence_is_a_datagram_of_its_own() -> None:
    out = Address("udp", "239.192.0.1", 60001)
    with nmea(targets=(Target(out),)) as proxy:
        _, one, _ = receivers(proxy)
        proxy.send(one, wire(GGA, RMC))
        assert proxy.datagram_server(str(out)).received == [GGA + b"\r\n", RMC + b"\r\n"]


# -- duplicates --------------------------------------------------------------------------------


def test_what_two_receivers_hear_is_relayed_once() -> None:
    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        proxy.send(one, wire(VDM))
        proxy.send(two, tag("s:two") + wire(VDM))
        proxy.send(one, wire(VDM))
        assert received(subscriber) == [VDM, VDM], "a receiver may repeat itself"
        assert proxy.status.counts["duplicates"] == 1
        proxy.elapse(6)
        proxy.send(two, wire(VDM))
        assert len(received(subscriber)) == 3


def test_the_same_last_part_of_two_ships_is_no_duplicate() -> None:
    def report(ship: str) -> list[bytes]:
        parts = (f"AIVDM,2,1,3,A,{ship},0", "AIVDM,2,2,3,A,88888888880,2")
        return [b"!" + sentence(part)[1:] for part in parts]

    with nmea() as proxy:
        subscriber, one, two = receivers(proxy)
        proxy.send(one, wire(*report("5first")))
        proxy.send(two, wire(*report("5first"), *report("5other")))
        proxy.send(one, wire(*report("5other")))
        assert received(subscriber) == [*report("5first"), *report("5other")]
        assert proxy.status.counts["duplicates"] == 4


def test_duplicates_may_be_relayed() -> None:
    with nmea(duplicates=0.0) as proxy:
        subscriber, one, two = receivers(proxy)
        proxy.send(one, wire(VDM))
        proxy.send(two, wire(VDM))
        assert received(subscriber) == [VDM, VDM]


# -- which sentences ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "relayed"),
    [
        ({"allow": frozenset({"RMC"})}, [RMC]),
        ({"allow": frozenset({"GPRMC", "VDM"})}, [RMC, VDM]),
        ({"allow": frozenset({"GNRMC"})}, []),
        ({"deny": frozenset({"GGA", "PMTK"})}, [RMC, VDM]),
        ({"allow": frozenset({"GGA", "RMC"}), "deny": frozenset({"GPGGA"})}, [RMC]),
    ],
)
def test_sentences_are_chosen(options: dict[str, Any], relayed: list[bytes]) -> None:
    sent = [GGA, RMC, VDM, sentence("PMTK010,001")]
    with nmea(**options) as proxy:
        subscriber, one, _ = receivers(proxy)
        proxy.send(one, wire(*sent))
        assert received(subscriber) == relayed
        assert proxy.status.counts["denied"] == len(sent) - len(relayed)


def gsv(talker: str, second: int) -> list[bytes]:
    """Return a group of two sentences."""
    return [sentence(f"{talker}GSV,2,{part},08,{second:02}") for part in (1, 2)]


def test_rates_let_whole_groups_of_each_talker_pass() -> None:
    with nmea(rates={"GSV": 5.0}) as proxy:
        subscriber, one, _ = receivers(proxy)
        for second in range(10):
            proxy.send(one, wire(*gsv("GP", second), *gsv("GL", second), RMC))
            proxy.elapse(1)
        groups = [*gsv("GP", 0), *gsv("GL", 0), *gsv("GP", 5), *gsv("GL", 5)]
        assert [each for each in received(subscriber) if each != RMC] == groups
        assert received(subscriber).count(RMC) == 10
        assert proxy.status.counts["too_frequent"] == 8 * 4


def test_groups_of_two_receivers_stay_whole() -> None:
    with nmea(rates={"GSV": 5.0}) as proxy:
        subscriber, one, two = receivers(proxy)
        first, second = gsv("GP", 1), gsv("GP", 2)
        proxy.send(one, wire(first[0]))
        proxy.send(two, wire(second[0]))
        proxy.send(one, wire(first[1]))
        proxy.send(two, wire(second[1]))
        assert received(subscriber) == first


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"rates": {"AIVDM": "5s"}}, "VDM is sent by all ships"),
        ({"rates": {"GSV": "0s"}}, "must be greater than 0"),
        ({"allow": ["$GPRMC"]}, 'must be a sentence such as "RMC"'),
        ({"allow": "RMC"}, "allow: must be a list, not text"),
        ({"framing": "lines"}, 'must be "nmea"'),
        ({"check": "xor"}, "check: is for framing ="),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(OptionsError, match=fault.replace("$", ".")):
        read_options(Nmea, {"subscribers": "tcp://127.0.0.1:1"} | options, Path())


def test_names_may_be_in_lower_case() -> None:
    names: dict[str, Any] = {"allow": ["rmc"], "rates": {"gsv": "1s"}}
    options, _ = read_options(Nmea, {"subscribers": "tcp://127.0.0.1:1"} | names, Path())
    assert isinstance(options, NmeaOptions)
    assert (options.allow, options.rates) == (frozenset({"RMC"}), {"GSV": 1.0})


# -- all faults at once ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", list(seeds(50)))
def test_on_a_bad_network_only_whole_sentences_arrive(seed: int) -> None:
    options = NmeaOptions(subscribers=(Address("tcp", "here", 1),), source=sources("one", "two"))
    with RelayProxy(Nmea, (), options=options, seed=seed, faults=NetworkFaults.all()) as proxy:
        subscriber = proxy.client("subscribers")
        sent = [sentence(f"GPXXX,{number}") for number in range(50)]
        for name in ("one", "two"):
            for peer in proxy.peers(f"tcp://{name}:1"):
                peer.send(wire(*sent, sent[0][:-1] + b"!"))
        proxy.elapse(5)
        *lines, _ = bytes(subscriber.received).split(b"\r\n")
        assert set(lines) <= set(sent)
        assert len(lines) == len(set(lines))
