"""Addresses as URIs."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vcproxy.engine.address import Address, unmapped

names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
ports = st.integers(0, 65535)
inet = st.builds(Address, st.sampled_from(("tcp", "tls", "udp")), hosts, ports)
groups = st.builds(
    lambda group, port, parameters: Address(
        "udp", group, port, parameters=tuple(sorted(parameters.items()))
    ),
    st.sampled_from(("239.1.1.1", "ff02::1234")),
    ports,
    st.fixed_dictionaries(
        {},
        optional={
            "interface": st.sampled_from(("lo", "127.0.0.1", "::1")),
            "source": st.sampled_from(("10.0.0.1", "fe80::1")),
            "ttl": st.integers(0, 255).map(str),
        },
    ),
)
subjects = st.from_regex(r"[a-zA-Z0-9_$]+(\.[a-zA-Z0-9_*%?]+){0,3}", fullmatch=True)
nats = st.builds(
    lambda host, port, subject, durable: Address(
        "nats", host, port, subject, (("durable", durable),) if durable else ()
    ),
    hosts,
    ports,
    subjects,
    st.from_regex(r"[a-z0-9_]{0,5}", fullmatch=True),
)
paths = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=100
).filter(lambda path: len(path.encode()) <= 107)
files = st.fixed_dictionaries(
    {},
    optional={
        "group": st.sampled_from(("adm", "a b&c", "0")),
        "mode": st.sampled_from(("600", "0660")),
        "owner": st.sampled_from(("daemon", "1000")),
    },
)
unix = st.builds(
    lambda scheme, path, file: Address(scheme, path=path, file=tuple(sorted(file.items()))),
    st.sampled_from(("unix", "unixgram", "unixpacket", "fifo")),
    paths,
    files,
)
lines = st.builds(
    lambda path, settings: Address("serial", path=path, parameters=tuple(sorted(settings.items()))),
    paths,
    st.fixed_dictionaries(
        {},
        optional={
            "baud": st.sampled_from(("9600", "4000000")),
            "bits": st.sampled_from("5678"),
            "flow": st.sampled_from(("none", "hardware", "software")),
            "parity": st.sampled_from(("none", "even", "odd")),
            "stop": st.sampled_from("12"),
        },
    ),
)
terminals = st.sampled_from(
    (Address("stdio"), Address("terminal"), Address("terminal", parameters=(("raw", "true"),)))
)
addresses = st.one_of(inet, groups, nats, unix, lines, terminals)


@given(addresses)
@example(Address("unix", path="//run/app.sock"))
def test_an_address_survives_printing_and_parsing(address: Address) -> None:
    parsed = Address.parse(str(address))
    assert (parsed, parsed.file) == (address, address.file)
    assert (Address.parse(address.text), hash(parsed)) == (address, hash(address))


@given(st.one_of(st.text(), st.text().map("tcp://".__add__), st.text().map("unix:".__add__)))
@example("tcp://[::1:80")
@example("tcp://host\n:80")
def test_any_text_is_an_address_or_a_value_error_that_names_it(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError as error:
        complaint = str(error)
    else:
        complaint = f'"{text}"'
        assert Address.parse(str(address)) == address
    assert f'"{text}"' in complaint


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("tcp://127.0.0.1:80", Address("tcp", "127.0.0.1", 80)),
        ("tls://Example.COM:443/", Address("tls", "example.com", 443)),
        ("tcp://[::1]:0", Address("tcp", "::1", 0)),
        ("unix:///run/app.sock", Address("unix", path="/run/app.sock")),
        ("unix:app.sock", Address("unix", path="app.sock")),
        ("unix:a%3fb%25", Address("unix", path="a?b%")),
        (
            "unix:/run/app.sock?mode=0660&group=web",
            Address("unix", path="/run/app.sock", file=(("group", "web"), ("mode", "0660"))),
        ),
        ("unixgram:/dev/log", Address("unixgram", path="/dev/log")),
        ("unixpacket:app.sock", Address("unixpacket", path="app.sock")),
        ("fifo:/run/app.fifo", Address("fifo", path="/run/app.fifo")),
        (
            "serial:///dev/ttyUSB0?baud=9600&parity=none",
            Address(
                "serial", path="/dev/ttyUSB0", parameters=(("baud", "9600"), ("parity", "none"))
            ),
        ),
        ("terminal:?raw=true", Address("terminal", parameters=(("raw", "true"),))),
        ("stdio:", Address("stdio")),
        ("udp://127.0.0.1:53", Address("udp", "127.0.0.1", 53)),
        (
            "udp://239.1.1.1:5000?ttl=4&interface=lo",
            Address("udp", "239.1.1.1", 5000, parameters=(("interface", "lo"), ("ttl", "4"))),
        ),
        ("nats://127.0.0.1/orders.new", Address("nats", "127.0.0.1", 4222, "orders.new")),
        (
            "nats://bob:secret@host:4000/a.%3E?durable=d",
            Address("nats", "host", 4000, "a.>", (("durable", "d"),), user="bob:secret"),
        ),
    ],
)
def test_spellings(uri: str, address: Address) -> None:
    assert Address.parse(uri) == address


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://h:80/x", '"http://h:80/x" is not an address here: write tcp://h:80$'),
        ("https://h:443", "write tls://h:443"),
        ("rtp://239.1.1.1:5000", "write udp://239.1.1.1:5000"),
        ("localhost:80", "must begin with one of tcp:, tls:, unix:, unixgram:"),
        ("udp://127.0.0.1:53?ttl=1", "ttl is for multicast groups, and 127.0.0.1 is not one"),
        ("udp://239.1.1.1:53?ttl=256", "ttl must have a number of hops from 0 to 255"),
        ("udp://239.1.1.1:53?iface=lo", "iface: udp:// has interface, source, ttl"),
        ("udp://239.1.1.1:53?source=lo", "source must be an IP address"),
        ("udp://239.1.1.1:53?ttl=1&ttl=2", "each parameter may be given once"),
        ("udp://[ff02::5%lo]:1", r"write the group as \[ff02::5\], and \?interface=lo"),
        ("udp://[ff02::5%lo]:1?ttl=1", r"write the group as \[ff02::5\], and \?interface=lo"),
        ("tcp://127.0.0.1:53?ttl=1", "unknown parameter ttl: tcp:// has none"),
        ("nats://127.0.0.1", "names no subject"),
        ("nats://127.0.0.1/a..b", '"a..b" is not a subject'),
        ("nats://127.0.0.1/.a", '".a" is not a subject'),
        ("nats://127.0.0.1/%3E.a", '">.a" is not a subject'),
        ("tcp://127.0.0.1", "names no port"),
        ("tcp://:80", "names no host"),
        ("tcp://host:99999", "Port out of range"),
        ("tcp://host:http", "Port could not be cast"),
        ("tcp://host:80/path", "only host and port"),
        ("tcp://me:secret@host:80", "only host and port"),
        ("tcp://:secret@host:80", "only host and port"),
        ("tcp://[::1:80", "Invalid IPv6 URL"),
        ("unix:", "names no socket path"),
        ("unix:" + "x" * 108, "at most 107 bytes"),
        ("unixgram:" + "x" * 108, "at most 107 bytes"),
        ("unixpacket:", "names no path"),
        ("unix:a%00b", "contains no NUL byte"),
        ("unix:app.sock?mode=0999", "mode must be an octal number, as 0660"),
        ("unix:app.sock?mode=rw", "mode must be an octal number, as 0660"),
        ("unix:app.sock?owner=", "owner must have a value"),
        ("unix:app.sock?user=bob", "unknown parameter user: unix: has group, mode, owner"),
        ("serial:", "names no path"),
        ("serial:/dev/ttyS0?baud=9601", "baud must be a speed of termios"),
        ("serial:/dev/ttyS0?bits=9", "bits must be 5, 6, 7 or 8"),
        ("serial:/dev/ttyS0?parity=mark", "parity must be none, even or odd"),
        ("serial:/dev/ttyS0?stop=1.5", "stop must be 1 or 2"),
        ("serial:/dev/ttyS0?flow=dtr", "flow must be none, hardware or software"),
        ("fifo:a?baud=9600", "unknown parameter baud: fifo: has group, mode, owner"),
        ("terminal:?raw=1", "raw must be true or false"),
        ("terminal:/dev/tty", "nothing may follow terminal:"),
        ("stdio:0", "nothing may follow stdio:"),
    ],
)
def test_errors_name_the_fault(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        Address.parse(uri)
    assert uri in str(caught.value)


def test_port_0_is_resolved() -> None:
    assert str(Address.parse("tcp://[::1]:0").with_port(8080)) == "tcp://[::1]:8080"


@pytest.mark.parametrize(
    ("uri", "numeric"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://[fe80::1]:1", True),
        ("unix:app.sock", True),
        ("tcp://localhost:1", False),
        ("tcp://1.2.3.4.example:1", False),
    ],
)
def test_only_names_have_to_be_resolved(uri: str, numeric: bool) -> None:
    assert Address.parse(uri).numeric is numeric


@pytest.mark.parametrize(
    ("uri", "wildcard"),
    [
        ("nats://h/orders.new", False),
        ("nats://h/orders.*", True),
        ("nats://h/orders.%3E", True),
        ("nats://h/a*b", False),
        ("unix:/run/*", False),
    ],
)
def test_wildcard_subjects(uri: str, wildcard: bool) -> None:
    assert Address.parse(uri).wildcard is wildcard


@pytest.mark.parametrize(
    ("place", "plain"),
    [
        ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
        ("[::ffff:c000:201]:80", "192.0.2.1:80"),
        ("[::ffff:0:192.0.2.1]:80", "[::ffff:0:192.0.2.1]:80"),
        ("[::1]:80", "[::1]:80"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("unix", "unix"),
    ],
)
def test_ipv4_addresses_mapped_into_ipv6(place: str, plain: str) -> None:
    assert unmapped(place) == plain
