"""Peers: the forms in which addresses are written."""

from __future__ import annotations

import pytest

from vcproxy.bus.mailbox.peer import Peer, is_group, parse_peer, show_peer


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("10.0.0.7", ("10.0.0.7", 42000)),
        ("10.0.0.7:80", ("10.0.0.7", 80)),
        (":80", ("127.0.0.1", 80)),
        (":0", ("127.0.0.1", 0)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("localhost", ("127.0.0.1", 42000)),
        ("build-7.example.org:80", ("build-7.example.org", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 42000)),
    ],
)
def test_forms(text: str, peer: Peer) -> None:
    assert parse_peer(text, 42000) == peer


@pytest.mark.parametrize(
    "text", ["", "::1", "a b", "h:", "h:80x", "h:-1", "[::1", "h:٣", "h:80:80", "http://h:80"]
)
def test_other_texts_are_refused_with_the_forms_that_are_valid(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address: write IP, IP:PORT, :PORT"):
        parse_peer(text)


def test_a_port_has_16_bits() -> None:
    assert parse_peer("h:65535") == ("h", 65535)
    with pytest.raises(ValueError, match='"h:65536" is not an address: a port is at most 65535'):
        parse_peer("h:65536")


def test_a_peer_is_shown_as_it_is_parsed() -> None:
    for text in ("10.0.0.7:80", "[::1]:80", "a.example:1"):
        assert show_peer(parse_peer(text)) == text


def test_multicast_groups_are_224_to_239() -> None:
    groups = ["224.0.0.1", "239.255.255.255"]
    others = [
        "223.9.9.9",
        "240.0.0.1",
        "127.0.0.1",
        "::1",
        "22x.1",
        "224",
        "٢٣٠.0.0.1",
        "localhost",
    ]
    assert [is_group((host, 1)) for host in groups + others] == [True] * 2 + [False] * 8
