"""The access log under random faults: one record for each accepted connection, which says what
the peers have seen.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from random import Random

import pytest

from vcproxy.access_log.ending import By, Phase
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.plugins.forward import Forward
from vcproxy.plugins.validate import Validate
from vcproxy.testing.proxy import SimulatedProxy

LETTERS = {by.value + phase.value for by in By for phase in Phase}

FAULTS = NetworkFaults(
    latency=(0.0, 0.02),
    short=0.1,
    one_byte=0.01,
    stall=0.02,
    partition=0.005,
    reset=0.01,
    refuse=0.1,
    accept_error=0.05,
    close_s=(0.0, 0.1),
    lock_miss=0.05,
    no_pipe=0.2,
)

BATCHES = [list(seeds(120))[n::6] for n in range(6)]


@pytest.mark.parametrize("batch", [batch for batch in BATCHES if batch], ids=lambda each: each[0])
def test_every_connection_has_one_record(batch: list[int]) -> None:
    for seed in batch:
        every_connection(seed)


def echoing(server: Peer) -> None:
    """Send back what arrives, and end after the client."""
    server.on_data = server.send
    server.on_end = server.end


def every_connection(seed: int) -> None:
    random = Random(seed)
    plugin = random.choice((Forward, Validate))
    with SimulatedProxy(
        plugin,
        servers=("a", "b"),
        on_connect={"a": echoing, "b": echoing},
        connect_s=1.0,
        inactivity_s=5.0,
        seed=seed,
        faults=FAULTS,
    ) as proxy:
        clients, closing = [], []
        for number in range(random.randrange(1, 6)):
            client = proxy.client(client_ip=f"10.1.0.{number}")
            client.send(b"x\n" * random.choice((0, 1, 1000, 30_000)))
            clients.append(client)
            proxy.elapse(random.choice((0.0, 0.05, 1.0)))
            match random.randrange(4):
                case 0:
                    client.reset()
                case 1:
                    client.end()
                case 2:
                    client.close()
                    closing.append(client)  # it reads nothing more
        proxy.run()
        records = proxy.access_log
        (listener,) = proxy.driver._listening
    assert len(records) == listener.accepted
    assert len({each["id"] for each in records}) == len(records)
    by_client = {str(each["client"]).rpartition(":")[0]: each for each in records}
    for number, client in enumerate(clients):
        record = by_client.get(f"10.1.0.{number}")
        if record is None:
            continue
        assert record["end"] in LETTERS, record
        assert (record["end"] == "--") == (record["reason"] is None), record
        assert int(str(record["bytes_down"])) >= len(client.received), record
        if record["end"] == "--" and plugin is Forward and client not in closing:
            assert int(str(record["bytes_down"])) == len(client.received), record
