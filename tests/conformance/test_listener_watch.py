"""What every driver does to find out whether a socket listens at an address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.running import free_port
from tests.engine.world import EventRecorder
from vcproxy.engine.address import Address
from vcproxy.engine.sources.listening import ListenerWatch, Listening, NotListening

from .source_world import EpollWorld, SimWorld, SourceWorld, opened, world_of

EVERY_S = 0.1


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


def watch(world: SourceWorld, address: Address) -> tuple[EventRecorder, ListenerWatch]:
    return opened(world, lambda recorder: ListenerWatch(recorder, "server", address, EVERY_S))


@contextmanager
def listening(world: SourceWorld, address: Address) -> Iterator[None]:
    """A socket listens at the address."""
    if isinstance(world, SimWorld):
        if address.scheme == "udp":
            sock = world.sim.network.datagrams.bind(address)
            yield
            world.sim.network.datagrams.close(sock)
        else:
            acceptor = world.sim.network.listen(address)
            yield
            world.sim.network.unlisten(acceptor)
        return
    assert isinstance(world, EpollWorld)
    if address.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address.path)
            listener.listen()
            yield
        Path(address.path).unlink()
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if address.scheme == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        yield
        if kind == socket.SOCK_STREAM:
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):  # the look was no connection
                listener.accept()


def free(scheme: str, tmp_path: Path) -> Address:
    """An address at which nothing listens."""
    if scheme == "unix":
        return Address.parse(f"unix:{tmp_path}/server.sock")
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    return Address.parse(f"{scheme}://127.0.0.1:{free_port(kind)}")


@pytest.mark.parametrize("scheme", ["tcp", "tls", "udp", "unix"])
def test_it_reports_the_first_look_and_each_change(
    world: SourceWorld, scheme: str, tmp_path: Path
) -> None:
    address = free(scheme, tmp_path)
    recorder, source = watch(world, address)
    world.run(lambda: recorder.data)
    with listening(world, address):
        world.run(lambda: len(recorder.data) == 2)
    world.run(lambda: len(recorder.data) == 3)
    assert recorder.data == [NotListening("server"), Listening("server"), NotListening("server")]
    assert source.detail == str(address)


def test_while_it_is_disabled_it_does_not_look(world: SourceWorld, tmp_path: Path) -> None:
    address = free("tcp", tmp_path)
    recorder, source = watch(world, address)
    other, _ = watch(world, address)
    world.run(lambda: recorder.data and other.data)
    with recorder.mutex.hold(world.engine):
        source.disable()
    with listening(world, address):
        world.run(lambda: len(other.data) == 2)
        assert recorder.data == [NotListening("server")]
        with recorder.mutex.hold(world.engine):
            source.enable()
        world.run(lambda: len(recorder.data) == 2)
    assert recorder.data[1] == Listening("server")


def test_a_closed_one_looks_no_more(world: SourceWorld, tmp_path: Path) -> None:
    address = free("tcp", tmp_path)
    recorder, source = watch(world, address)
    with recorder.mutex.hold(world.engine):
        source.close()
    other, _ = watch(world, address)
    world.run(lambda: other.data)
    assert recorder.data == []


def test_a_host_that_does_not_answer_does_not_listen() -> None:
    with world_of("sim") as world:
        assert isinstance(world, SimWorld)
        address = Address.parse("tcp://silent:80")
        world.sim.network.unresponsive.add("silent")
        world.sim.network.listen(address)
        recorder, _ = watch(world, address)
        world.run(lambda: recorder.data)
        assert recorder.data == [NotListening("server")]


@pytest.mark.parametrize(
    ("address", "every_s", "error"),
    [
        ("nats://localhost:4222/a", 1.0, "server: nats://.*: use one of tcp, tls, udp, unix"),
        ("tcp://localhost:1", 0.01, "server: every_s is 0.01: it must be at least 0.1"),
    ],
)
def test_what_is_refused(world: SourceWorld, address: str, every_s: float, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        opened(
            world,
            lambda recorder: ListenerWatch(recorder, "server", Address.parse(address), every_s),
        )
