"""The cost of a message of the bus: parse it and call its callback, beside json.loads and a call.

python -m tests.bench.dispatching KIND SECONDS      prints microseconds of CPU for each message
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from vcproxy.bus.dispatch.dispatcher import Dispatcher, DispatchResult
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.dispatch.standard_messages import StandardMessages
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import load, parse
from vcproxy.engine.log_function import Level

from .peer import Failed, Peer
from .workloads import Sample

PARAMETERS = {"name": "front door", "speed": "250", "address": "tcp://10.0.0.7:4040"}
DEFINITION = "[name]\n[speed]\ntype = integer\n[address]\ntype = address\n"
BATCH = 1000
PATIENCE_S = 60.0


def plain() -> Callable[[], object]:
    """A message without names of services, as most are."""
    return _dispatching(Dispatcher("desk", log=log), BusMessage("MOVE", PARAMETERS))


def checked() -> Callable[[], object]:
    """A message to and from named services, with a definition of each parameter."""
    definitions = load()
    definitions.add(parse("MOVE", DEFINITION))
    dispatcher = Dispatcher("desk", server="home", definitions=definitions, log=log)
    return _dispatching(dispatcher, BusMessage("MOVE", PARAMETERS, "home", "desk", "far", "away"))


def _dispatching(dispatcher: Dispatcher, message: BusMessage) -> Callable[[], object]:
    StandardMessages(dispatcher, time.time)
    dispatcher.add("MOVE", received)
    text = message.to_text()

    def once() -> object:
        return dispatcher.dispatch(ReceivedMessage(BusMessage.parse(text), reply))

    assert once() is DispatchResult.CALLED
    return once


def loaded() -> Callable[[], object]:
    """The same fields, as one JSON object."""
    text = json.dumps({"command": "MOVE", **PARAMETERS})
    return lambda: received(json.loads(text))


def received(message: object) -> None:
    """The callback."""


def log(level: Level, text: str, error: Exception | None = None) -> None:
    """Nothing logs."""


def reply(message: BusMessage) -> None:
    """Nothing replies."""


KINDS = {"plain": plain, "checked": checked, "json": loaded}


@dataclass(frozen=True, slots=True)
class Dispatching:
    """Messages in one thread, without connections. The cost is CPU time."""

    seconds: float
    name: str = "bus-dispatch"
    title: str = "parse and dispatch a message of three parameters"
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed."""
        command = (*peer.command, str(self.seconds))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            raise Failed(done.stderr.strip().rpartition("\n")[2])
        cost = float(done.stdout)
        return Sample(cost, 1e6 / cost)


def main(kind: str, seconds: float) -> float:
    """Return the microseconds of CPU for each message."""
    once = KINDS[kind]()
    count, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        for _ in range(BATCH):
            once()
        count += BATCH
    return spent * 1e6 / count


if __name__ == "__main__":
    print(main(sys.argv[1], float(sys.argv[2])))
