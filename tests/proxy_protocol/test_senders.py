"""Which peers may send headers."""

from ipaddress import ip_network

from vcproxy.proxy_protocol.senders import TrustedSenders


def test_peers_in_the_networks_are_trusted() -> None:
    senders = TrustedSenders([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])
    trusted = ["10.1.2.3", "2001:db8::1"]
    others = ["11.0.0.1", "2001:db9::1", "::ffff:10.1.2.3", ""]
    for _ in range(2):  # the second answers are remembered
        assert [each for each in (*trusted, *others) if senders.trusts(each)] == trusted


def test_the_peers_at_unix_sockets_are_trusted_only_if_named() -> None:
    assert TrustedSenders([], unix=True).trusts("")
    assert not TrustedSenders([ip_network("0.0.0.0/0")]).trusts("")


def test_few_answers_are_remembered() -> None:
    senders = TrustedSenders([ip_network("10.0.0.0/8")])
    for number in range(3000):
        assert senders.trusts(f"10.0.{number // 256}.{number % 256}")
    assert len(senders._answers) <= 1024
