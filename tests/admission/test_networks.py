"""AdmittedAddresses: allow and deny, compared with a search through all networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.admission.networks import AdmittedAddresses, Network, number_of

V4 = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.sampled_from([0, 1, 2**31, 2**32 - 1]).flatmap(
        lambda base: st.integers(max(base - 300, 0), min(base + 300, 2**32 - 1))
    ),
    st.integers(22, 32),
)
V6 = st.builds(
    lambda number, length: ip_network(
        (IPv6Address(number >> (128 - length) << (128 - length)), length)
    ),
    st.integers(0, 600),
    st.integers(118, 128),
)
NETWORKS = st.lists(st.one_of(V4, V6), max_size=6)


def admitted(allow: str = "", deny: str = "") -> AdmittedAddresses:
    allowed = [ip_network(each) for each in allow.split()]
    return AdmittedAddresses(allowed or None, [ip_network(each) for each in deny.split()])


def edges(network: Network) -> set[str]:
    """The addresses at both ends of a network, inside and outside."""
    bits = network.max_prefixlen
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = IPv4Address if bits == 32 else IPv6Address
    numbers = {first - 1, first, last, last + 1, 0, 2**bits - 1}
    return {str(kind(number)) for number in numbers if 0 <= number < 2**bits}


@given(NETWORKS, NETWORKS)
def test_the_same_as_a_search_through_all_networks(
    allow: list[Network], deny: list[Network]
) -> None:
    addresses = AdmittedAddresses(allow or None, deny)
    for text in set().union(*map(edges, [*allow, *deny])):
        address = ip_address(text)
        allowed = not allow or any(address in each for each in allow)
        denied = any(address in each for each in deny)
        assert (text in addresses) is (allowed and not denied), text


def test_without_lists_all_addresses_are_admitted() -> None:
    addresses = admitted()
    assert "192.0.2.1" in addresses
    assert "2001:db8::1" in addresses


def test_a_list_of_one_version_allows_none_of_the_other() -> None:
    addresses = admitted(allow="192.0.2.0/24")
    assert "192.0.2.1" in addresses
    assert "2001:db8::1" not in addresses


def test_an_empty_list_allows_none() -> None:
    assert AdmittedAddresses([]).empty
    assert "192.0.2.1" not in AdmittedAddresses([])


def test_the_reason_names_the_lists_that_exist() -> None:
    assert admitted(allow="10.0.0.0/8").why_not == "its address is not in allow"
    assert admitted(deny="10.0.0.0/8").why_not == "its address is in deny"
    both = admitted(allow="10.0.0.0/8", deny="10.0.0.0/9")
    assert both.why_not == "its address is in deny or not in allow"


def test_deny_counts_more_than_allow() -> None:
    addresses = admitted(allow="10.0.0.0/8", deny="10.1.0.0/16")
    assert "10.0.255.255" in addresses
    assert "10.1.0.0" not in addresses
    assert "10.2.0.0" in addresses
    assert not addresses.empty
    assert admitted(allow="10.1.0.0/16", deny="10.0.0.0/8").empty


@pytest.mark.parametrize("address", ["0.0.0.0", "10.20.30.40", "255.255.255.255", "::", "fe80::1"])
def test_numbers(address: str) -> None:
    assert number_of(address) == int(ip_address(address))


def test_the_zone_of_an_address_is_ignored() -> None:
    assert "fe80::1%eth0" in admitted(allow="fe80::/10")
