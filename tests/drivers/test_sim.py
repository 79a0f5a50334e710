"""The simulated driver: engines and scripted peers on its network; a seed repeats a run."""

import errno
import os
from collections.abc import Hashable

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, SimDriver, Simulation, Stuck
from vcproxy.engine.address import Address
from vcproxy.engine.calls import Called
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import couple

ECHO = Address.parse("tcp://echo:7")
TEXT = bytes(range(256)) * 1200


class Echo(Continuation):
    """Sends back what it receives; ends its direction when the client does."""

    def __init__(self, vc: NetVConnection) -> None:
        super().__init__(vc.engine, vc.mutex)
        self.vc = vc
        self.events: list[Hashable] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        self.events.append(key)
        vc = self.vc
        if key is Event.ACCEPT:
            buffer = self.engine.buffer()
            reader = buffer.reader()
            source = vc.do_io_read(self, None, buffer)
            self.sink = vc.do_io_write(self, None, reader)
            couple(source, self.sink)
        elif key is Event.EOS:
            self.sink.nbytes = self.sink.ndone + self.sink.reader.avail
            self.sink.reenable()
        elif key is not Event.WRITE_READY:
            self.sink.reader.close()
            vc.do_io_close(vc.error)


class Caller(Continuation):
    """Connects, and keeps the events."""

    def __init__(self, driver: SimDriver) -> None:
        super().__init__(driver.engine, Mutex())
        self.events: list[Hashable] = []
        self.data: object = None

    def handle_event(self, key: Hashable, data: object) -> None:
        self.events.append(key)
        self.data = data

    def connect(self, uri: str, timeout: float = 0.0) -> NetVConnection:
        with self.mutex.hold(self.engine):
            return self.engine.connect(self, Address.parse(uri), timeout=timeout)


def echo_on(
    driver: SimDriver, address: Address = ECHO, *, max_connections: int = 100
) -> tuple[Address, Listener]:
    listener = Listener("echo", Echo, driver.engine, max_connections=max_connections)
    return driver.listen(address, listener), listener


# -- connections ---------------------------------------------------------------------------------


def test_a_client_is_echoed_and_both_ends_end_in_order() -> None:
    with Simulation(1) as sim:
        echo_on(sim.driver())
        client = sim.client(ECHO)
        client.send(TEXT)
        client.end()
        sim.run()
        assert client.received == TEXT
        assert client.ended
        assert not client.reset_seen
        assert not sim.drivers[0].engine.vcs
        assert sim.drivers[0].engine.memory.used == 0


def test_port_0_becomes_a_free_one_and_a_taken_one_is_an_error() -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        address, _ = echo_on(driver, ECHO.with_port(0))
        assert address.port
        with pytest.raises(OSError, match=r"tcp://echo:.*in use"):
            echo_on(driver, address)


def test_without_a_listener_a_connect_is_refused() -> None:
    with Simulation(1) as sim:
        client = sim.client(ECHO)
        sim.run()
        assert isinstance(client.error, ConnectionRefusedError)
        assert not client.connected


def test_after_unlisten_connects_are_refused_and_open_connections_stay() -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        _, listener = echo_on(driver)
        early = sim.client(ECHO)
        sim.run()
        driver.unlisten(listener)
        late = sim.client(ECHO)
        early.send(b"still here")
        sim.run()
        assert early.received == b"still here"
        assert isinstance(late.error, ConnectionRefusedError)


def test_an_engine_connects_to_the_first_address_that_answers() -> None:
    with Simulation(1) as sim:
        sim.network.names["db"] = ["10.0.0.8", "10.0.0.9"]
        server = sim.server(Address.parse("tcp://10.0.0.9:5432"))
        caller = Caller(sim.driver())
        vc = caller.connect("tcp://db:5432")
        sim.run()
        assert caller.events == [Event.CONNECTED]
        assert vc.peer == "10.0.0.9:5432"
        assert len(server.peers) == 1


def test_an_unresponsive_address_delays_a_connect_only_once() -> None:
    with Simulation(1) as sim:
        sim.network.names["db"] = ["10.0.0.8", "10.0.0.9"]
        sim.network.unresponsive.add("10.0.0.8")
        sim.server(Address.parse("tcp://10.0.0.9:5432"))
        waited = []
        driver = sim.driver()
        for _ in range(2):
            caller, began = Caller(driver), sim.now
            vc = caller.connect("tcp://db:5432", timeout=5.0)
            sim.run()
            assert (caller.events, vc.peer) == ([Event.CONNECTED], "10.0.0.9:5432")
            waited.append(sim.now - began)
        assert waited == [pytest.approx(0.25), pytest.approx(0.0)], (
            "the second time it is tried last"
        )


def test_attempts_that_succeed_late_are_closed() -> None:
    with Simulation(1, NetworkFaults(latency=(0.0, 1.0))) as sim:
        sim.network.names["db"] = [f"10.0.0.{number}" for number in range(1, 9)]
        servers = [sim.server(Address.parse(f"tcp://10.0.0.{n}:5432")) for n in range(1, 9)]
        driver = sim.driver()
        for _ in range(20):
            caller = Caller(driver)
            vc = caller.connect("tcp://db:5432", timeout=5.0)
            while not caller.events:
                sim.step()
            assert caller.events == [Event.CONNECTED]
            with caller.mutex.hold(caller.engine):
                vc.do_io_close()
            sim.run()
        assert not caller.engine.vcs
        assert not driver._attempts
        peers = [peer for server in servers for peer in server.peers]
        assert len(peers) > 20, "in some of the runs several attempts succeed"
        assert all(peer.ended or peer.error for peer in peers)


def test_a_failed_connect_has_the_error_of_each_address() -> None:
    with Simulation(1) as sim:
        sim.network.names["db"] = ["10.0.0.8", "10.0.0.9"]
        caller = Caller(sim.driver())
        vc = caller.connect("tcp://db:5432")
        sim.run()
        assert caller.events == [Event.ERROR]
        assert str(vc.error) == (
            "tcp://10.0.0.8:5432: connection refused; tcp://10.0.0.9:5432: connection refused"
        )


def test_an_unknown_name_is_an_error() -> None:
    with Simulation(1) as sim:
        sim.network.names["db"] = []
        caller = Caller(sim.driver())
        vc = caller.connect("tcp://db:5432")
        sim.run()
        assert caller.events == [Event.ERROR]
        assert "db: name or service not known" in str(vc.error)


def test_the_connect_timeout_covers_a_slow_resolver() -> None:
    with Simulation(1, NetworkFaults(resolve_s=(5.0, 6.0))) as sim:
        server = sim.server(ECHO)
        caller = Caller(sim.driver())
        vc = caller.connect("tcp://echo:7", timeout=2.0)
        sim.run(until=lambda: bool(caller.events))
        assert sim.now == pytest.approx(2.0)
        assert isinstance(vc.error, TimeoutError)
        with caller.mutex.hold(caller.engine):
            vc.do_io_close()
        sim.run()
        assert not server.peers
        assert caller.events == [Event.ERROR]
        assert not caller.engine.vcs


def test_a_cancelled_attempt_is_reset_when_it_succeeds() -> None:
    with Simulation(1, NetworkFaults(latency=(1.0, 1.0))) as sim:
        server = sim.server(ECHO)
        caller = Caller(sim.driver())
        vc = caller.connect("tcp://echo:7")
        sim.run(until=lambda: bool(server.peers))
        with caller.mutex.hold(caller.engine):
            vc.do_io_close()
        sim.run()
        assert server.peers[0].reset_seen
        assert caller.events == []


def test_connections_are_assigned_to_the_group_in_turn() -> None:
    with Simulation(1) as sim:
        home, other = sim.driver("home"), sim.driver("other")
        home.group = [home, other]
        _, listener = echo_on(home)
        clients = [sim.client(ECHO) for _ in range(4)]
        for client in clients:
            client.send(b"hello")
        sim.run()
        assert [bytes(client.received) for client in clients] == [b"hello"] * 4
        assert len(home.engine.vcs) == len(other.engine.vcs) == 2
        assert listener.open == 4


def test_accepting_stops_at_max_connections_and_resumes_after_a_close() -> None:
    with Simulation(1) as sim:
        echo_on(sim.driver(), max_connections=1)
        first, second = sim.client(ECHO), sim.client(ECHO)
        first.send(b"1")
        second.send(b"2")
        sim.run()
        assert (bytes(first.received), bytes(second.received)) == (b"1", b"")
        first.end()
        sim.run()
        assert second.received == b"2"


def test_an_accept_that_fails_pauses_for_100_ms_and_warns() -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        driver.accept_errors.append(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
        echo_on(driver)
        client = sim.client(ECHO)
        client.send(b"hello")
        sim.run()
        assert client.received == b"hello"
        assert sim.now == pytest.approx(0.1)
        [(_, level, text)] = sim.log
        assert level == "warning"
        assert "echo: cannot accept" in text


# -- ends ----------------------------------------------------------------------------------------


def test_a_reset_by_the_peer_is_an_error_not_an_end() -> None:
    made: list[Echo] = []

    def acceptor(vc: NetVConnection) -> Echo:
        made.append(Echo(vc))
        return made[-1]

    with Simulation(1) as sim:
        driver = sim.driver()
        driver.listen(ECHO, Listener("echo", acceptor, driver.engine))
        client = sim.client(ECHO)
        client.send(b"hello")
        sim.run()
        client.reset()
        sim.run()
        assert made[0].events == [Event.ACCEPT, Event.WRITE_READY, Event.ERROR]
        assert not driver.engine.vcs


def test_a_reset_loses_what_is_in_flight() -> None:
    with Simulation(1, NetworkFaults(latency=(1.0, 1.0))) as sim:
        server = sim.server(ECHO)
        client = sim.client(ECHO)
        sim.run()
        client.send(b"arrives")
        sim.elapse(1.5)
        client.send(b"lost")
        client.reset()
        sim.run()
        assert server.peers[0].received == b"arrives"
        assert server.peers[0].reset_seen


def test_a_close_delivers_what_was_sent_and_then_answers_with_a_reset() -> None:
    def curt(peer: Peer) -> None:
        peer.send(b"bye")
        peer.close()

    with Simulation(1, NetworkFaults(latency=(0.5, 1.0))) as sim:
        sim.server(ECHO, curt)
        client = sim.client(ECHO)
        client.send(b"hello")
        sim.run()
        assert client.received == b"bye"
        assert client.ended
        client.send(b"late")
        sim.run()
        assert client.reset_seen


def test_half_close_leaves_the_other_direction_open() -> None:
    def late(peer: Peer) -> None:
        peer.on_end = lambda: peer.send(b"after the end")

    with Simulation(1) as sim:
        server = sim.server(ECHO, late)
        client = sim.client(ECHO)
        client.end()
        sim.run()
        assert server.peers[0].ended
        assert client.received == b"after the end"
        assert not client.ended


# -- flow ----------------------------------------------------------------------------------------


def test_a_stalled_peer_stops_the_engine_reading_and_memory_is_bounded() -> None:
    with Simulation(1) as sim:
        driver = sim.driver(bridges=False)
        echo_on(driver)
        client = sim.client(ECHO)
        client.stall()
        client.send(TEXT * 20)
        sim.run()
        stuck_at = client.sent
        assert stuck_at < len(TEXT) * 20
        assert 0 < driver.engine.memory.used <= 2 * 256 * 1024
        client.resume()
        sim.run()
        assert client.received == TEXT * 20


def test_bulk_is_bridged_with_the_same_result() -> None:
    def echoed(bridges: bool) -> tuple[bytes, bool]:
        with Simulation(3, trace=True) as sim:
            echo_on(sim.driver(bridges=bridges))
            client = sim.client(ECHO)
            client.send(TEXT * 8)
            client.end()
            sim.run()
            assert sim.trace is not None
            bridged = any(call == "moved" for _, _, call, _, _ in sim.trace)
            assert client.ended
            return bytes(client.received), bridged

    assert echoed(bridges=True) == (TEXT * 8, True)
    assert echoed(bridges=False) == (TEXT * 8, False)


# -- each fault alone ----------------------------------------------------------------------------

ALONE = {
    "latency": NetworkFaults(latency=(0.001, 0.5)),
    "short": NetworkFaults(short=1.0),
    "stall": NetworkFaults(stall=0.5),
    "partition": NetworkFaults(partition=0.5),
    "lock misses": NetworkFaults(lock_miss=1.0),
    "no pipe": NetworkFaults(no_pipe=1.0),
    "small pipes": NetworkFaults(pipe=(1, 64)),
    "small sockets": NetworkFaults(socket=(1, 4096)),
    "accept_error": NetworkFaults(accept_error=0.5),
    "late close": NetworkFaults(close_s=(0.1, 1.0)),
}


@pytest.mark.parametrize("name", ALONE)
def test_single_faults_lose_no_data(name: str) -> None:
    for seed in range(5):
        with Simulation(seed, ALONE[name]) as sim:
            driver = sim.driver()
            echo_on(driver)
            client = sim.client(ECHO)
            client.send(TEXT)
            client.end()
            sim.run()
            assert client.received == TEXT
            assert client.ended
            assert not driver.engine.vcs


def test_reads_and_writes_of_one_byte() -> None:
    with Simulation(1, NetworkFaults(one_byte=1.0)) as sim:
        echo_on(sim.driver())
        client = sim.client(ECHO)
        client.send(TEXT[:300])
        client.end()
        sim.run()
        assert client.received == TEXT[:300]


def test_a_reset_connection_fails_at_both_ends() -> None:
    with Simulation(1, NetworkFaults(reset=1.0)) as sim:
        driver = sim.driver()
        echo_on(driver)
        client = sim.client(ECHO)
        client.send(TEXT)
        sim.run()
        assert client.reset_seen
        assert not driver.engine.vcs


def test_connects_are_refused_at_random() -> None:
    with Simulation(1, NetworkFaults(refuse=1.0)) as sim:
        echo_on(sim.driver())
        client = sim.client(ECHO)
        sim.run()
        assert isinstance(client.error, ConnectionRefusedError)


# -- calls ---------------------------------------------------------------------------------------


def test_a_call_has_a_delayed_result_an_error_or_a_timeout() -> None:
    def fail() -> None:
        raise ValueError("no such order")

    with Simulation(1, NetworkFaults(call_s=(1.0, 2.0))) as sim:
        caller = Caller(sim.driver())
        with caller.mutex.hold(caller.engine):
            caller.engine.call(caller, lambda: 42)
        sim.run()
        assert 1.0 <= sim.now <= 2.0
        assert caller.data == Called(42)
        with caller.mutex.hold(caller.engine):
            caller.engine.call(caller, fail)
        sim.run()
        assert isinstance(caller.data, Called)
        assert str(caller.data.error) == "no such order"
        made: list[int] = []
        with caller.mutex.hold(caller.engine):
            caller.engine.call(caller, made.append, 1, deadline=0.5)
        sim.run()
        assert isinstance(caller.data, Called)
        assert str(caller.data.error) == "timed out: no answer in 500ms"
        assert not made, "the cancelled call is not made"


# -- the seed ------------------------------------------------------------------------------------


def traced(seed: int) -> list[tuple[float, str, str, str, tuple[object, ...]]]:
    with Simulation(seed, NetworkFaults.all(), trace=True) as sim:
        echo_on(sim.driver())
        for _ in range(3):
            client = sim.client(ECHO)
            client.send(TEXT)
            client.end()
        sim.run()
        assert sim.trace
        return sim.trace


def test_a_seed_repeats_a_run_call_by_call_and_another_differs() -> None:
    for seed in range(5):
        assert traced(seed) == traced(seed)
        assert traced(seed) != traced(seed + 100)


def test_a_failed_run_reports_its_seed() -> None:
    with pytest.raises(Stuck, match="seed=77"), Simulation(77) as sim:
        sim.run(until=lambda: False)
    with pytest.raises(AssertionError) as caught, Simulation(78):
        raise AssertionError("no reply")
    assert caught.value.__notes__ == ["seed=78 (VCPROXY_SEED=78 repeats it)"]


def test_a_run_that_takes_too_long_is_an_error() -> None:
    with Simulation(5) as sim:
        driver = sim.driver()
        caller = Caller(driver)
        with caller.mutex.hold(driver.engine):
            driver.engine.schedule_every(1.0, caller, "tick", None)
        with pytest.raises(Stuck, match=r"seed=5: the condition does not hold after 10\.0 s"):
            sim.run(limit=10.0)
        assert caller.events == ["tick"] * 10


def test_an_exception_of_a_callback_ends_the_run() -> None:
    class Wrong(Echo):
        def handle_event(self, key: Hashable, data: object) -> None:
            raise ZeroDivisionError("oops")

    with Simulation(1) as sim:
        driver = sim.driver()
        driver.listen(ECHO, Listener("echo", Wrong, driver.engine))
        client = sim.client(ECHO)
        with pytest.raises(ZeroDivisionError):
            sim.run()
        sim.run()
        assert client.reset_seen
