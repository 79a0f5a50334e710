"""Diagrams of declared machines."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from vcproxy.engine.event import Event
from vcproxy.machine.diagram import dot, mermaid
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State
from vcproxy.machine.trace import chart
from vcproxy.plugins.echo_server import EchoServer


class Order:
    """A message."""


class Shop(Machine):
    CLOSED = State(initial=True)
    OPEN = State(timeout="2s")
    BUSY = State(parent=OPEN)
    GONE = State(final=True)
    CLOSED.goes('say "hi"', OPEN)
    CLOSED.goes("a;b", OPEN)
    OPEN.goes(Event.TIMEOUT, CLOSED)

    @OPEN.on(Order, to=(BUSY, GONE))
    def ordered(self, order: Order) -> State | None: ...

    @BUSY.on(Order, "hurry")
    def later(self, data: object) -> None: ...

    @BUSY.on(ANY, to=OPEN)
    def other(self, key: object, data: object) -> None: ...

    @BUSY.enter
    def work(self) -> None: ...


def test_mermaid() -> None:
    assert (
        mermaid(Shop)
        == """\
stateDiagram-v2
    state "CLOSED" as Shop_CLOSED
    [*] --> Shop_CLOSED
    state "OPEN" as Shop_OPEN {
        state "BUSY" as Shop_BUSY
        Shop_BUSY : Order, hurry
    }
    state "GONE" as Shop_GONE
    Shop_GONE --> [*]
    Shop_CLOSED --> Shop_OPEN : say #34;hi#34;, a#59;b
    Shop_OPEN --> Shop_CLOSED : TIMEOUT 2s
    Shop_OPEN --> Shop_BUSY : Order?
    Shop_OPEN --> Shop_GONE : Order?
    Shop_BUSY --> Shop_OPEN : ANY
"""
    )


def test_dot() -> None:
    assert (
        dot(Shop)
        == """\
digraph {
    node [shape=box, style=rounded]
    Shop_CLOSED [label="CLOSED"]
    Shop [shape=point]
    Shop -> Shop_CLOSED
    subgraph cluster_Shop_OPEN {
        Shop_OPEN [label="OPEN"]
        Shop_BUSY [label="BUSY\\nOrder, hurry"]
    }
    Shop_GONE [label="GONE", peripheries=2]
    Shop_CLOSED -> Shop_OPEN [label="say \\"hi\\", a;b"]
    Shop_OPEN -> Shop_CLOSED [label="TIMEOUT 2s"]
    Shop_OPEN -> Shop_BUSY [label="Order?"]
    Shop_OPEN -> Shop_GONE [label="Order?"]
    Shop_BUSY -> Shop_OPEN [label="ANY"]
}
"""
    )


def test_several_machines_have_a_box_each() -> None:
    drawn = mermaid(*EchoServer.machines)
    assert re.findall(r"^    state (\w+) {$", drawn, re.MULTILINE) == [
        "Listener", "Worker", "Rx", "Tx",
    ]  # fmt: skip
    assert "        Worker_RECV --> Worker_FAIL : M2\n" in drawn
    assert drawn.count("{") == drawn.count("}") == 4
    drawn = dot(*EchoServer.machines)
    assert '    subgraph cluster_Worker {\n        label="Worker"\n' in drawn
    assert drawn.count("{") == drawn.count("}") == 5


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
@pytest.mark.parametrize("machines", [[Shop], EchoServer.machines])
def test_graphviz_accepts_it(machines: list[type[Machine]]) -> None:
    drawn = subprocess.run(
        ["dot", "-Tsvg"], input=dot(*machines), capture_output=True, text=True, check=True
    )
    assert not drawn.stderr
    assert "<svg" in drawn.stdout


def test_a_chart_needs_no_trace() -> None:
    assert chart([]) == "sequenceDiagram\n"
