"""UDP through the real program: socat on both sides, many clients, multicast, signals."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import ExitStack, closing

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import PATIENCE_S, Running, eventually, forward, free_port

SHORT = 'timeouts = { inactivity = "300ms" }'

BIND = "udp://127.0.0.1:0"


def datagrams() -> socket.socket:
    """A socket on a port of its own."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(PATIENCE_S)
    return sock


def port(sock: socket.socket) -> int:
    number: int = sock.getsockname()[1]
    return number


def uri(sock: socket.socket) -> str:
    return f"udp://127.0.0.1:{port(sock)}"


def client(running: Running, name: str = "in") -> socket.socket:
    sock = datagrams()
    sock.connect(("127.0.0.1", running.port(name)))
    return sock


def free_for_both() -> int:
    """A port number that is free for TCP and UDP alike."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as stream:
            try:
                with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as same:
                    same.bind(stream.getsockname())
                    return port(same)
            except OSError:
                continue


def bound(number: int) -> bool:
    """Whether a UDP socket is bound to the port."""
    with open("/proc/net/udp") as table:
        return f":{number:04X} 00000000:0000" in table.read()


def test_socat_to_socat(proxy: Starter, tools: Tools) -> None:
    there = free_port(socket.SOCK_DGRAM)
    tools.start("socat", "-T", "2", f"UDP4-LISTEN:{there},bind=127.0.0.1,fork", "EXEC:cat")
    eventually(lambda: bound(there), "socat listens")
    running = proxy(forward(f"udp://127.0.0.1:{there}", bind=BIND, listener=SHORT))
    to = f"UDP4-SENDTO:127.0.0.1:{running.port('in')}"
    for word in (b"hello\n", b"again\n"):
        assert tools.run("socat", "-t", "0.5", "-", to, stdin=word) == word


def test_udp_and_tcp_share_a_port_number(proxy: Starter) -> None:
    number = free_for_both()
    running = proxy(
        f"""
[[listener]]
name = "both"
bind = ["udp://127.0.0.1:{number}", "tcp://127.0.0.1:{number}"]
plugin = "echo"
{SHORT}
"""
    )
    assert running.uris("both") == [f"udp://127.0.0.1:{number}", f"tcp://127.0.0.1:{number}"]
    with closing(datagrams()) as by_datagram:
        by_datagram.sendto(b"datagram", ("127.0.0.1", number))
        assert by_datagram.recv(100) == b"datagram"
    with socket.create_connection(("127.0.0.1", number), PATIENCE_S) as by_stream:
        by_stream.sendall(b"stream")
        assert by_stream.recv(100) == b"stream"


def test_each_of_many_clients_gets_its_own_replies(proxy: Starter) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(datagrams())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        running = proxy(forward(uri(server), bind=BIND, listener=SHORT))
        clients = [stack.enter_context(client(running)) for _ in range(50)]
        for round_ in range(10):
            for number, each in enumerate(clients):
                each.send(b"%d.%d" % (number, round_))
            seen = [server.recvfrom(100) for _ in clients]
            for data, source in seen:
                server.sendto(b"to " + data, source)
            assert len({source for _, source in seen}) == 50
            for number, each in enumerate(clients):
                assert each.recv(100) == b"to %d.%d" % (number, round_)
        eventually(lambda: running.descriptors() <= running.idle_descriptors, "sessions have ended")
        assert re.search("nothing moved|inactivity|ended", running.log) is None


def test_large_datagrams_and_empty_ones(proxy: Starter) -> None:
    with datagrams() as server:
        running = proxy(forward(uri(server), bind=BIND, listener=SHORT))
        with client(running) as sock:
            for size in (0, 1, 65_507, 0, 9_000):
                sock.send(bytes(size))
                data, source = server.recvfrom(70_000)
                assert data == bytes(size)
                server.sendto(data, source)
                assert sock.recv(70_000) == bytes(size)


def test_the_next_server_after_a_missing_one(proxy: Starter) -> None:
    with datagrams() as server:
        missing = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        running = proxy(forward(missing, uri(server), bind=BIND, listener=SHORT))
        with client(running) as sock:
            sock.send(b"one")
            running.wait_for("connection refused")
            eventually(
                lambda: running.descriptors() <= running.idle_descriptors, "the session has ended"
            )
            sock.send(b"two")
            assert server.recv(10) == b"two"


def test_over_the_limit(proxy: Starter) -> None:
    with ExitStack() as stack:
        limit = f"{SHORT}\nlimits = {{ max_connections = 2 }}"
        server = stack.enter_context(datagrams())
        running = proxy(forward(uri(server), bind=BIND, listener=limit))
        clients = [stack.enter_context(client(running)) for _ in range(5)]
        for each in clients:
            each.send(b"hello")
        running.wait_for("in: .* dropped: limits.max_connections = 2 sessions are open")
        assert {server.recv(10) for _ in range(2)} == {b"hello"}
        eventually(lambda: running.descriptors() <= running.idle_descriptors, "sessions have ended")
        clients[4].send(b"later")
        assert server.recv(10) == b"later"


def test_multicast_groups_as_source_and_target(proxy: Starter) -> None:
    source_port, target_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    on = "interface=127.0.0.1"
    running = proxy(
        forward(
            f"udp://239.255.77.3:{target_port}?{on}&ttl=0",
            bind=f"udp://239.255.77.2:{source_port}?{on}",
            listener=SHORT,
        )
    )
    loopback = socket.inet_aton("127.0.0.1")
    with datagrams() as sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.bind(("239.255.77.3", target_port))
        member.settimeout(PATIENCE_S)
        joined = socket.inet_aton("239.255.77.3") + loopback
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
        for number in range(10):
            sender.sendto(b"%d" % number, ("239.255.77.2", source_port))
        assert [member.recv(10) for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert f"udp://239.255.77.2:{source_port}" in running.uri("in")


def test_a_reload_keeps_sessions_and_a_drain_waits_for_them(proxy: Starter) -> None:
    with datagrams() as first, datagrams() as second:
        running = proxy(forward(uri(first), bind=BIND, listener=SHORT))
        with client(running) as old, client(running) as new:
            old.send(b"before")
            assert first.recv(10) == b"before"
            running.file.write_text(forward(uri(second), bind=BIND, listener=SHORT))
            running.signal(signal.SIGHUP)
            running.wait_for("reloaded")
            old.send(b"after")
            assert first.recv(10) == b"after"
            new.send(b"new")
            assert second.recv(10) == b"new"
            running.signal(signal.SIGTERM)
            running.wait_for("draining connections: 4")
            old.send(b"last")
            assert first.recv(10) == b"last"
            assert running.wait() == 0
