"""The listening sockets of the master: one for each worker, kept over reloads."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Server, free_port
from vcproxy.config.loader import Configuration, load
from vcproxy.engine.address import Address
from vcproxy.workers.sockets import ListeningSockets, new_sockets

WORKERS = 3


@pytest.fixture
def sockets() -> Iterator[ListeningSockets]:
    """The sockets of three workers."""
    sockets = ListeningSockets(WORKERS)
    yield sockets
    sockets.close()


@pytest.fixture
def configuration(tmp_path: Path) -> Configure:
    """A function that loads the listeners given as "name plugin address"."""
    return Configure(tmp_path)


class Configure:
    """Loads listeners given as "name plugin address"."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "proxy.toml"

    def __call__(self, *listeners: str) -> Configuration:
        text = ""
        for each in listeners:
            name, plugin, address = each.split()
            key = "options.subscribers" if plugin == "relay" else "bind"
            text += f'[[listener]]\nname = "{name}"\nplugin = "{plugin}"\n{key} = "{address}"\n'
            text += 'bind = "unix:source.sock"\n' if plugin == "relay" else ""
        self._file.write_text(f"[proxy]\nworkers = {WORKERS}\n{text}")
        return load(self._file)


def use(sockets: ListeningSockets, configuration: Configuration) -> list[tuple[str, str]]:
    """Prepare and adopt; return what is announced."""
    change = sockets.prepare(configuration)
    return [(name, str(address)) for name, address in sockets.adopt(change)]


def names(sockets: ListeningSockets, worker: int) -> list[object]:
    """The socket addresses of a worker."""
    return [sock.getsockname() for _, _, sock in sockets.of(worker)]


def test_each_worker_has_its_own_socket_at_the_same_port(
    sockets: ListeningSockets, configuration: Configure
) -> None:
    ((name, address),) = use(sockets, configuration("a echo tcp://127.0.0.1:0"))
    port = int(address.rpartition(":")[2])
    assert name == "a"
    assert port > 0
    inodes = set()
    for worker in (1, 2, 3):
        ((name, place, sock),) = sockets.of(worker)
        assert (name, place) == ("a", Address.parse("tcp://127.0.0.1:0"))
        assert sock.getsockname() == ("127.0.0.1", port)
        assert not sock.getblocking()
        inodes.add(sock.fileno())
    assert len(inodes) == WORKERS


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_the_kernel_divides_the_clients(
    sockets: ListeningSockets, configuration: Configure, scheme: str
) -> None:
    ((_, address),) = use(sockets, configuration(f"a echo {scheme}://127.0.0.1:0"))
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    clients = [socket.socket(type=kind) for _ in range(60)]
    for client in clients:
        client.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        client.send(b"x")
    for worker in (1, 2, 3):  # one has no client by chance, in 3e-11 of the runs
        ((_, _, sock),) = sockets.of(worker)
        assert select.select([sock], [], [], 0)[0] == [sock]
    for client in clients:
        client.close()


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_a_second_instance_gets_address_in_use(
    sockets: ListeningSockets, configuration: Configure, scheme: str
) -> None:
    ((_, address),) = use(sockets, configuration(f"a echo {scheme}://127.0.0.1:0"))
    second = ListeningSockets(WORKERS)
    with pytest.raises(OSError, match=f"listener.a: cannot listen at {address}: address already"):
        second.prepare(configuration(f"a echo {address}"))


def test_an_address_used_by_another_program_that_shares_it_is_refused(
    sockets: ListeningSockets, configuration: Configure
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        uri = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="address already in use"):
            sockets.prepare(configuration(f"a echo {uri}"))


def test_a_failed_change_leaves_nothing_bound(
    sockets: ListeningSockets, configuration: Configure, tmp_path: Path
) -> None:
    port = free_port()
    with Server() as taken:
        change = configuration(
            f"a echo tcp://127.0.0.1:{port}", "b echo unix:b.sock", f"c echo {taken.uri}"
        )
        with pytest.raises(OSError, match=r"listener\.c: cannot listen at"):
            sockets.prepare(change)
    assert not (tmp_path / "b.sock").exists()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_a_kept_address_keeps_its_sockets(
    sockets: ListeningSockets, configuration: Configure
) -> None:
    uri = f"tcp://127.0.0.1:{free_port()}"
    assert use(sockets, configuration(f"a echo {uri}")) == [("a", uri)]
    before = sockets.of(2)
    change = sockets.prepare(configuration(f"a echo {uri}", "b echo tcp://127.0.0.1:0"))
    assert [name for name, _, _ in new_sockets(change, 2)] == ["b"]
    assert [name for name, _ in sockets.adopt(change)] == ["b"]
    assert sockets.of(2)[:1] == before
    assert use(sockets, configuration(f"c echo {uri}")) == [("c", uri)]  # under another name
    assert sockets.of(2) == before


def test_a_dropped_change_closes_only_what_is_new(
    sockets: ListeningSockets, configuration: Configure
) -> None:
    ((_, address),) = use(sockets, configuration("a echo tcp://127.0.0.1:0"))
    port = free_port()
    change = sockets.prepare(
        configuration("a echo tcp://127.0.0.1:0", f"b echo tcp://127.0.0.1:{port}")
    )
    sockets.drop(change)
    socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_all_workers_share_a_unix_socket(
    sockets: ListeningSockets, configuration: Configure, tmp_path: Path
) -> None:
    path = tmp_path / "a.sock"
    assert use(sockets, configuration("a echo unix:a.sock")) == [("a", f"unix:{path}")]
    listening = [sockets.of(worker)[0][2] for worker in (1, 2, 3)]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert select.select(listening, [], [], 0)[0] == listening
        listening[1].accept()[0].close()
        assert select.select(listening, [], [], 0)[0] == []
    use(sockets, configuration("b echo tcp://127.0.0.1:0"))
    assert not path.exists()


def test_a_removed_unix_socket_is_bound_again(
    sockets: ListeningSockets, configuration: Configure, tmp_path: Path
) -> None:
    path = tmp_path / "a.sock"
    use(sockets, configuration("a echo unix:a.sock"))
    path.unlink()
    change = sockets.prepare(configuration("a echo unix:a.sock"))
    assert len(new_sockets(change, 3)) == 1
    assert sockets.adopt(change) == []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    path.unlink()
    path.write_text("another file")
    change = sockets.prepare(configuration("a echo unix:a.sock"))
    assert change.warnings == [f"a: cannot listen at unix:{path} again: address already in use"]
    sockets.adopt(change)
    sockets.close()
    assert path.read_text() == "another file"


@pytest.mark.parametrize("uri", ["tcp://127.0.0.1:{port}", "unix:a.sock"])
def test_a_listener_moves_between_worker_1_and_all(
    sockets: ListeningSockets, configuration: Configure, uri: str
) -> None:
    address = uri.format(port=free_port())
    use(sockets, configuration(f"a relay {address}"))
    assert [len(sockets.of(worker)) for worker in (1, 2, 3)] == [2, 0, 0]
    use(sockets, configuration(f"a echo {address}"))
    assert [len(sockets.of(worker)) for worker in (1, 2, 3)] == [1, 1, 1]
    use(sockets, configuration(f"a relay {address}"))
    assert [len(sockets.of(worker)) for worker in (1, 2, 3)] == [2, 0, 0]


def test_all_workers_share_a_socket_of_a_service_manager(configuration: Configure) -> None:
    given = socket.create_server(("127.0.0.1", 0))
    uri = f"tcp://127.0.0.1:{given.getsockname()[1]}"
    sockets = ListeningSockets(WORKERS, {Address.parse(uri): given})
    assert use(sockets, configuration(f"a relay {uri}")) != []
    assert [len(sockets.of(worker)) for worker in (1, 2, 3)] == [2, 0, 0]
    use(sockets, configuration(f"a echo {uri}"))
    listening = [sockets.of(worker)[0][2] for worker in (1, 2, 3)]
    with socket.create_connection(given_address(uri)):
        assert select.select(listening, [], [], 0)[0] == listening
        listening[2].accept()[0].close()
        assert select.select(listening, [], [], 0)[0] == []
    sockets.close()


def given_address(uri: str) -> tuple[str, int]:
    """Return host and port of a URI."""
    host, _, port = uri.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def test_workers_cannot_share_a_socket_of_datagrams(configuration: Configure) -> None:
    given = socket.socket(type=socket.SOCK_DGRAM)
    given.bind(("127.0.0.1", 0))
    uri = f"udp://127.0.0.1:{given.getsockname()[1]}"
    sockets = ListeningSockets(WORKERS, {Address.parse(uri): given})
    with pytest.raises(OSError, match="workers cannot share an inherited socket of datagrams"):
        sockets.prepare(configuration(f"a echo {uri}"))
    assert given.fileno() == -1


def test_draining_closes_streams_and_keeps_the_groups_of_datagrams(
    sockets: ListeningSockets, configuration: Configure
) -> None:
    use(sockets, configuration("a echo tcp://127.0.0.1:0", "b echo udp://127.0.0.1:0"))
    sockets.close_streams()
    assert [name for name, _, _ in sockets.of(1)] == ["b"]
