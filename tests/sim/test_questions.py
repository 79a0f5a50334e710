"""Questions and changes while connections come, break and end at random, on a faulty network.

Every question is answered, with rows as documented, whatever a session or a tunnel does just then;
nothing is left open; and a recording of all this replays without a difference.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.control.questions.asked_proxy import AskedProxy
from tests.control.questions.test_rows import FORWARD, HTTP, MIRROR, RELAY, SPLIT
from vcproxy.control.questions.table import QUESTIONS
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.replay.playback.replay import Replay

SEEDS = list(seeds(100))
BATCHES = [SEEDS[n::5] for n in range(5) if SEEDS[n::5]]

FAULTS = NetworkFaults(latency=(0.0, 0.05), short=0.2, one_byte=0.05, stall=0.05, reset=0.02)

KINDS = {
    FORWARD: ("front", b"ping"),
    HTTP: ("web", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    SPLIT: ("shared", b'{"id": 1}\n'),
    MIRROR: ("shop", b"ping"),
    RELAY: ("ticker", b"tick\n"),
}


def reply(server: Peer, random: Random) -> None:
    """Answer, or end, or break."""
    match random.randrange(4):
        case 0:
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        case 1:
            server.send(b'{"id": 1}\n')
        case 2:
            server.close()
        case 3:
            server.reset()


def change(proxy: AskedProxy, random: Random) -> None:
    """Make a change; whether there was anything to change does not matter."""
    match random.randrange(4):
        case 0 | 1:
            conns = proxy.ask("conns")
            if conns:
                proxy.change("KILL", conn=random.choice(conns)["id"])
        case 2:
            state = random.choice(["ready", "drain", "maint"])
            proxy.change("SERVER", name="tcp://10.0.0.7:1", state=state)
        case 3:
            if random.random() < 0.1:
                proxy.change("DRAIN")


def run(folder: Path, seed: int, record: Path | None) -> None:
    """Run one proxy with random clients, questions and changes."""
    random = Random(seed)
    text = random.choice(list(KINDS))
    listener, data = KINDS[text]
    with AskedProxy(folder, text, record, seed=seed, faults=FAULTS) as proxy:
        servers = [proxy.server(f"tcp://10.0.0.{number}:1") for number in (7, 8, 9)]
        clients: list[Peer] = []
        for _ in range(40):
            if random.random() < 0.5:
                clients.append(proxy.client(listener, data))
            if text is RELAY and random.random() < 0.2:
                clients.append(proxy.client("ticker.subscribers"))
            peers = [peer for each in servers for peer in each]
            if peers and random.random() < 0.7:
                reply(random.choice(peers), random)
            if clients and random.random() < 0.4:
                random.choice([Peer.send, Peer.send, end, reset])(random.choice(clients), data)
            proxy.sim.elapse(random.uniform(0.0, 0.3))
            proxy.ask(random.choice(list(QUESTIONS)))
            if random.random() < 0.2:
                change(proxy, random)
        for peer in (*clients, *(peer for each in servers for peer in each)):
            peer.reset()
        for row in proxy.ask("conns"):
            proxy.change("KILL", conn=row["id"])
        proxy.sim.elapse(30.0)
        left = proxy.ask("conns", kind="client")
        assert left == [], f"seed={seed}: left open"


def end(peer: Peer, data: bytes) -> None:
    peer.end()


def reset(peer: Peer, data: bytes) -> None:
    peer.reset()


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_every_question_is_answered_at_any_moment(batch: list[int], tmp_path: Path) -> None:
    for seed in batch:
        run(tmp_path, seed, None)


@pytest.mark.parametrize("batch", [batch[:4] for batch in BATCHES], ids=lambda batch: f"{batch[0]}")
def test_recorded_changes_replay(batch: list[int], tmp_path: Path) -> None:
    for seed in batch:
        log = tmp_path / f"{seed}.log"
        run(tmp_path, seed, log)
        replay = Replay(log)
        while replay.step():
            pass
