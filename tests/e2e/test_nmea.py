"""nmea between real programs: gpsd on both sides, pynmea2, pyais, ser2net and a serial line."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pynmea2
import pytest
from pyais import decode
from pyais.stream import SocketStream

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import exactly, free_port, reset
from vcproxy.testing.running import Running, eventually

CONF = (Path(__file__).parents[2] / "conf" / "nmea.toml").read_text()
GROUP = "239.192.0.77"

SHIPS = [b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C"]
STATIC = [
    b"!AIVDM,2,1,1,A,55?MbV02;H;s<HtKR20EHE:0@T4@Dn2222222216L961O5Gf0NSQEp6ClRp8,0*1C",
    b"!AIVDM,2,2,1,A,88888888880,2*25",
]


def position(second: int = 19) -> list[bytes]:
    """Return the sentences of a fix, of now as far as gpsd sees it: it ignores old dates."""
    now = datetime.now(UTC)
    time, date = now.strftime("%H%M") + f"{second:02}", now.strftime("%d%m%y")
    contents = (
        f"GPGGA,{time},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
        f"GPRMC,{time},A,4807.038,N,01131.000,E,022.4,084.4,{date},003.1,W,A",
        "GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1",
    )
    return [f"${each}*{pynmea2.NMEASentence.checksum(each):02X}".encode() for each in contents]


def wire(sentences: list[bytes]) -> bytes:
    return b"".join(each + b"\r\n" for each in sentences)


def relay(source: str = "", options: str = "", bind: bool = True) -> str:
    """Return the configuration of a relay of sentences, at any free ports."""
    return f"""
        [[listener]]
        name = "nmea"
        {'bind = "tcp://127.0.0.1:0"' if bind else ""}
        plugin = "nmea"

        [listener.options]
        source = [{source}]
        subscribers = "tcp://127.0.0.1:0"
        {options}
    """


@contextmanager
def subscriber(running: Running) -> Iterator[socket.socket]:
    """A consumer that has been added as a sink."""
    before = running.log.count("sink connected")
    with running.connect("nmea.subscribers") as consumer:
        running.wait_for("sink connected", before + 1)
        yield consumer


def kinds_received(consumer: socket.socket, send: Callable[[bytes], object]) -> list[str]:
    """Send fixes until a consumer gets one; return its kinds of sentences. A program between may
    drop what comes while it starts."""
    consumer.settimeout(0.5)
    lines = b""
    for each in range(200):
        send(wire(position(each % 60)))
        with contextlib.suppress(TimeoutError):
            lines += consumer.recv(65536)
        if lines.count(b"\n") > 2:
            break
    return [pynmea2.parse(line.decode()).sentence_type for line in lines.splitlines()[:3]]


def test_the_configuration_of_conf(proxy: Starter) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    text = CONF.replace("tcp://127.0.0.1:10110", "tcp://127.0.0.1:0")
    text = text.replace("tcp://127.0.0.1:10111", "tcp://127.0.0.1:0")
    running = proxy(text.replace("udp://127.0.0.1:10110", f"udp://127.0.0.1:{udp}"))
    running.wait_for("udp://127.0.0.1.*producer connected")
    sent = position()
    with subscriber(running) as consumer, running.connect("nmea") as receiver:
        receiver.sendall(wire(sent) + b"$GPGLL,broken*00\r\n")
        assert exactly(consumer, len(wire(sent))) == wire(sent)
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.sendto(wire(sent[:1]), ("127.0.0.1", udp))  # a repeat
            other.sendto(SHIPS[0], ("127.0.0.1", udp))  # without a line end
        assert exactly(consumer, len(wire(SHIPS))) == wire(SHIPS)
    running.wait_for("a damaged message is dropped: its checksum is")


def test_pynmea2_and_pyais_read_what_several_receivers_send(proxy: Starter) -> None:
    running = proxy(relay())
    with subscriber(running) as consumer:
        with running.connect("nmea") as one, running.connect("nmea") as two:
            for receiver in (one, two):
                receiver.sendall(wire([*SHIPS, *STATIC]))
            running.wait_for("producer connected", 2)
            fixes_sent = b"".join(wire(position(second)[:2]) for second in range(10))
            one.sendall(fixes_sent)
        size = len(wire([*SHIPS, *STATIC])) + len(fixes_sent)
        lines = exactly(consumer, size).splitlines()
        ships = [line for line in lines if line.startswith(b"!")]
        assert sorted(ships) == sorted([*SHIPS, *STATIC]), "each once"
        assert decode(*SHIPS).mmsi == 477553000
        assert decode(*sorted(line for line in ships if line in STATIC)).mmsi == 351759000
        fixes = [pynmea2.parse(line.decode(), check=True) for line in lines if line[:1] == b"$"]
        assert [fix.sentence_type for fix in fixes] == ["GGA", "RMC"] * 10
        assert {round(fix.latitude, 4) for fix in fixes} == {48.1173}


def test_pyais_reads_from_the_relay_as_from_a_receiver(proxy: Starter) -> None:
    running = proxy(relay())
    with subscriber(running) as consumer, running.connect("nmea") as receiver:
        receiver.sendall(wire([*STATIC, *SHIPS]))
        ships = iter(SocketStream(consumer))
        assert [next(ships).decode().mmsi for _ in range(2)] == [351759000, 477553000]


def test_a_multicast_group_is_a_source(proxy: Starter) -> None:
    port = free_port(socket.SOCK_DGRAM)
    running = proxy(relay(f'"udp://{GROUP}:{port}?interface=127.0.0.1"', bind=False))
    running.wait_for("producer connected")
    with subscriber(running) as consumer, socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
        )
        receiver.sendto(wire(STATIC), (GROUP, port))
        receiver.sendto(SHIPS[0], (GROUP, port))
        sent = wire([*STATIC, *SHIPS])
        assert exactly(consumer, len(sent)) == sent


def test_a_multicast_group_gets_a_sentence_in_each_datagram(proxy: Starter) -> None:
    port = free_port(socket.SOCK_DGRAM)
    to = f"udp://{GROUP}:{port}?interface=127.0.0.1&ttl=0"
    running = proxy(relay(options=f'targets = "{to}"'))
    running.wait_for("sink connected")
    with socket.socket(type=socket.SOCK_DGRAM) as member, running.connect("nmea") as receiver:
        member.settimeout(60)
        member.bind((GROUP, port))
        joined = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        receiver.sendall(wire([*SHIPS, *STATIC]))
        received = [member.recv(1000) for _ in range(3)]
    assert received == [each + b"\r\n" for each in (*SHIPS, *STATIC)]


def start_gpsd(tools: Tools, device: str) -> int:
    port = free_port()
    tools.serve(f"tcp://127.0.0.1:{port}", "gpsd", "-N", "-n", "-S", str(port), device)
    return port


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_gpsd_as_a_consumer(proxy: Starter, tools: Tools, scheme: str) -> None:
    if scheme == "tcp":
        running = proxy(relay())
        device = f"tcp://127.0.0.1:{running.port('nmea.subscribers')}"
    else:
        device = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        running = proxy(relay(options=f'targets = "{device}"'))
    port = start_gpsd(tools, device)
    running.wait_for("sink connected")
    with (
        running.connect("nmea") as receiver,
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
        client.makefile("rb") as lines,
    ):
        reports = map(json.loads, lines)
        client.sendall(b'?WATCH={"enable":true,"json":true};\n')
        assert any(report["class"] == "WATCH" for report in reports)
        for second in range(60):
            receiver.sendall(wire(position(second)))
        fix = next(report for report in reports if report["class"] == "TPV" and "lat" in report)
    assert round(fix["lat"], 4) == 48.1173
    assert fix["mode"] == 3


def test_gpsd_as_a_source(proxy: Starter, tools: Tools) -> None:
    first = proxy(relay())
    port = start_gpsd(tools, f"tcp://127.0.0.1:{first.port('nmea.subscribers')}")
    first.wait_for("sink connected")
    watch = '{"enable":true,"nmea":true}'
    source = f"{{ address = \"tcp://127.0.0.1:{port}\", send = '?WATCH={watch}' }}"
    second = proxy(relay(source, bind=False))
    second.wait_for("a damaged message is dropped: it does not begin with")  # gpsd greets in JSON
    with subscriber(second) as consumer, first.connect("nmea") as receiver:
        kinds = kinds_received(consumer, receiver.sendall)  # gpsd may not be watched yet
        assert sorted(kinds) == ["GGA", "GSA", "RMC"]


def test_a_receiver_at_a_serial_line(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    device, line = tmp_path / "device", tmp_path / "line"
    tools.start("socat", f"pty,raw,echo=0,link={line}", f"pty,raw,echo=0,link={device}")
    eventually(lambda: device.exists() and line.exists(), "socat has made a line")
    running = proxy(relay(f'"serial:{line}?baud=4800"', bind=False))
    running.wait_for("producer connected")
    with subscriber(running) as consumer, device.open("wb", buffering=0) as receiver:
        sent = wire(position())
        receiver.write(b"47\r\n" + sent)  # the end of a sentence comes first
        assert exactly(consumer, len(sent)) == sent


def test_a_receiver_behind_ser2net(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    device, line, port = tmp_path / "device", tmp_path / "line", free_port()
    tools.start("socat", f"pty,raw,echo=0,link={line}", f"pty,raw,echo=0,link={device}")
    eventually(lambda: device.exists() and line.exists(), "socat has made a line")
    config = tmp_path / "ser2net.yaml"
    config.write_text(
        f"connection: &gps\n  accepter: tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{line},4800n81,local\n  options:\n    max-connections: 4\n"
    )
    tools.start("ser2net", "-n", "-c", str(config), "-P", str(tmp_path / "pid"))
    running = proxy(relay(f'"tcp://127.0.0.1:{port}"', bind=False))
    running.wait_for("producer connected")
    with subscriber(running) as consumer, device.open("wb", buffering=0) as receiver:
        assert sorted(kinds_received(consumer, receiver.write)) == ["GGA", "GSA", "RMC"]


def test_a_receiver_that_dies_in_mid_sentence_harms_no_other(proxy: Starter) -> None:
    running = proxy(relay())
    with subscriber(running) as consumer, running.connect("nmea") as other:
        with running.connect("nmea") as dying:
            dying.sendall(wire(SHIPS) + position()[0][:30])
            assert exactly(consumer, len(wire(SHIPS))) == wire(SHIPS)
            reset(dying)
        running.wait_for("producer closed: a connection failed")
        other.sendall(wire(STATIC))
        assert exactly(consumer, len(wire(STATIC))) == wire(STATIC)


def test_receivers_at_a_unix_socket_are_distinguished(proxy: Starter, tmp_path: Path) -> None:
    place = tmp_path / "in.sock"
    running = proxy(relay().replace("tcp://127.0.0.1:0", f"unix:{place}", 1))
    with (
        subscriber(running) as consumer,
        socket.socket(socket.AF_UNIX) as one,
        socket.socket(socket.AF_UNIX) as two,
    ):
        for each in (one, two):
            each.connect(str(place))
        running.wait_for("producer connected", 2)
        one.sendall(wire(SHIPS))
        expected = wire(SHIPS)
        assert exactly(consumer, len(expected)) == expected
        two.sendall(wire(SHIPS + STATIC))
        expected = wire(STATIC)
        assert exactly(consumer, len(expected)) == expected
