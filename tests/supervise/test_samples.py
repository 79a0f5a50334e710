"""The samples of samples/machines, each on a simulated network with a machine server."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import pytest

from tests.supervise.samples import DIRECTORY, NAMES, load
from vcproxy.api import Peer
from vcproxy.drivers.sim import NetworkFaults
from vcproxy.testing.simulated_machines import SimulatedMachines, TestPeer

GROUP = "232.3.2.32:32323"


@pytest.fixture
def machines() -> Iterator[SimulatedMachines]:
    faults = NetworkFaults(latency=(0.001, 0.001))
    with SimulatedMachines({name: load(name) for name in NAMES}, faults=faults) as machines:
        yield machines


def said(machines: SimulatedMachines, name: str) -> list[str]:
    """Return what a machine has logged itself, without the lines of its lifecycle."""
    begin = f"{machines.machines[name].uid}: "
    return [line.removeprefix(begin) for line in machines.log if line.startswith(begin)]


def ask(machines: SimulatedMachines, to: Peer, *texts: str, client: TestPeer | None = None) -> str:
    """Send messages; return the next letter to the client."""
    client = client or machines.client
    before = len(client.letters)
    for text in texts:
        client.send(to, text)
    machines.run(until=lambda: len(client.letters) > before)
    return client.texts[before]


def ended(machines: SimulatedMachines, name: str) -> int:
    """Let a machine end; return its exit status."""
    machines.run(until=lambda: any(each == name for each, _ in machines.statuses))
    return dict(machines.statuses)[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_executable_and_documented(name: str) -> None:
    file = DIRECTORY / name
    text = file.read_text()
    assert os.access(file, os.X_OK)
    assert text.startswith("#!/usr/bin/env python3\n")
    about = ast.get_docstring(ast.parse(text)) or ""
    assert about.startswith(name)


def test_switch(machines: SimulatedMachines) -> None:
    switch = machines.start("switch/Switch")
    for text in ("on", "on", "off", "off", "on"):
        machines.client.send(switch, text)
    machines.elapse(1)
    assert [line.partition(" transitioned ")[2] for line in machines.log if "transi" in line] == [
        "to OFF",
        "from OFF to ON",
        "from ON to ON",
        "from ON to OFF",
        "from OFF to OFF",
        "from OFF to ON",
    ]
    machines.client.send(switch, "dim")
    assert ended(machines, "switch/Switch") == 1
    assert "errored switch/Switch Unhandled message: dim" in machines.client.texts


def test_a_parent_starts_its_child_again_when_it_has_failed(machines: SimulatedMachines) -> None:
    """The seed's transcript of family/Parent, in virtual time."""
    machines.start("family/Parent")
    machines.run(until=lambda: len(said(machines, "family/Parent")) >= 6)
    child = next(line for line in machines.log if " started family/Child" in line)
    address = child.partition("@")[2].partition(" ")[0]
    assert said(machines, "family/Parent") == [
        "Parent: entered",
        f"Parent: {address} family/Child has started",
        f"Parent: {address} family/Child has errored: AHHHHH",
        f"Parent: {address} family/Child has exited",
        "Parent: left",
        "Parent: entered",
    ]
    machines.elapse(60)
    restarts = said(machines, "family/Parent").count("Parent: entered")
    assert 50 <= restarts <= 61
    assert sorted(machines.running) == ["family/Child", "family/Parent"]
    assert "pulsed family/Parent" in machines.client.texts


def test_twins_are_started_again_each_by_its_name(machines: SimulatedMachines) -> None:
    machines.start("family/Twins")
    machines.elapse(10.5)
    names = [name for name, _ in machines.statuses]
    assert 9 <= names.count("family/Child#Alice") <= 10
    assert 9 <= names.count("family/Child#Bob") <= 10
    assert len(machines.running) == 3


def test_a_strict_parent_fails_with_its_child_and_its_own_parent_is_informed(
    machines: SimulatedMachines,
) -> None:
    machines.start("family/Strict")
    with pytest.raises(RuntimeError, match="a child has failed"):
        machines.elapse(5)
    machines.run(until=lambda: not machines.running)
    assert sorted(machines.statuses) == [("family/Child", 1), ("family/Strict", 1)]
    assert machines.client.texts == [
        "started family/Strict",
        "errored family/Strict a child has failed: family/Child AHHHHH",
        "exited family/Strict",
    ]


def test_declared_children_are_restarted_until_that_is_too_often(
    machines: SimulatedMachines,
) -> None:
    machines.start("family/Declared")
    machines.run(until=lambda: not machines.running)
    names = [name for name, _ in machines.statuses]
    assert names.count("family/Child#Alice") == 4
    assert names.count("family/Child#Bob") == 1
    assert machines.client.texts[-2:] == [
        "errored family/Declared child family/Child#Alice has failed: AHHHHH, after more than 3 "
        "restarts in 10s",
        "exited family/Declared",
    ]


def test_echo(machines: SimulatedMachines) -> None:
    echo = machines.start("echo/Echo")
    for text in ("hello", "two  words ", "", "started echo/Echo"):
        assert ask(machines, echo, text) == text
    assert ask(machines, echo, "exit") == "exit"
    assert ended(machines, "echo/Echo") == 0


def test_forward(machines: SimulatedMachines) -> None:
    receiver = machines.peer("receiver")
    machines.run(until=lambda: receiver.address[1] > 0)
    host, port = receiver.address
    forward = machines.start("forward/Forward", f"{host}:{port}")
    machines.client.send(forward, "to  you")
    machines.run(until=lambda: receiver.texts == ["to  you"])


def test_forward_without_a_destination_fails_with_its_usage(machines: SimulatedMachines) -> None:
    machines.client.send(machines.server.address, "start forward/Forward :0")
    with pytest.raises(ValueError, match="usage"):
        machines.elapse(1)
    assert ended(machines, "forward/Forward") == 1
    usage = "usage: forward/Forward DESTINATION"
    assert f"errored forward/Forward {usage}" in machines.client.texts


def test_fizzbuzz(machines: SimulatedMachines) -> None:
    fizzbuzz = machines.start("fizzbuzz/FizzBuzz")
    for number in range(1, 16):
        machines.client.send(fizzbuzz, str(number))
    machines.elapse(1)
    expected = "1 2 Fizz 4 Buzz Fizz 7 8 Fizz Buzz 11 Fizz 13 14 FizzBuzz"
    assert " ".join(said(machines, "fizzbuzz/FizzBuzz")) == expected
    machines.client.send(fizzbuzz, "exit")
    assert ended(machines, "fizzbuzz/FizzBuzz") == 0


@pytest.mark.parametrize("name", ["useless/Useless", "hierarchy/Empty"])
def test_a_machine_that_ends_at_once(machines: SimulatedMachines, name: str) -> None:
    machines.start(name)
    assert ended(machines, name) == 0
    assert machines.client.texts == [f"started {name}", f"exited {name}"]


def test_leaf(machines: SimulatedMachines) -> None:
    leaf = machines.start("hierarchy/Leaf")
    machines.client.send(leaf, "exit")
    assert ended(machines, "hierarchy/Leaf") == 0
    assert said(machines, "hierarchy/Leaf") == ["LEAF: entered", "LEAF: left"]


def moves(machines: SimulatedMachines, name: str, *targets: str) -> list[str]:
    """Start a machine and have it go to states; return what it enters and leaves, for each."""
    machine = machines.start(name)
    machines.elapse(1)
    steps = []
    seen = 0
    for target in (None, *targets):
        if target is not None:
            machines.client.send(machine, f"goto {target}")
            machines.elapse(1)
        shown = said(machines, name)
        steps.append(
            " ".join(
                f"{'+-'[line.endswith('left')]}{line.partition(':')[0]}" for line in shown[seen:]
            )
        )
        seen = len(shown)
    return steps


def test_simple(machines: SimulatedMachines) -> None:
    assert moves(machines, "hierarchy/Simple", "LEAF1", "PARENT", "PARENT", "LEAF2") == [
        "+PARENT +LEAF2",
        "-LEAF2 +LEAF1",
        "-LEAF1",
        "-PARENT +PARENT",
        "+LEAF2",
    ]


def test_bigger(machines: SimulatedMachines) -> None:
    assert moves(machines, "hierarchy/Bigger", "LEAF3", "LEAF2", "LEAF1", "LEAF2", "PARENT") == [
        "+PARENT +CHILD1",
        "+LEAF3",
        "-LEAF3 +LEAF2",
        "-LEAF2 -CHILD1 +LEAF1",
        "-LEAF1 +CHILD1 +LEAF2",
        "-LEAF2 -CHILD1",
    ]


def test_bigger_receives_where_the_nearest_receiver_is(machines: SimulatedMachines) -> None:
    bigger = machines.start("hierarchy/Bigger")
    assert ask(machines, bigger, "where") == "CHILD1 received where in CHILD1"
    assert ask(machines, bigger, "goto LEAF3", "where") == "CHILD1 received where in LEAF3"
    assert ask(machines, bigger, "goto LEAF1", "where") == "PARENT received where in LEAF1"


def test_forrest(machines: SimulatedMachines) -> None:
    assert moves(machines, "hierarchy/Forrest", "LEAF5", "CHILD2", "LEAF7", "LEAF6", "LEAF3") == [
        "+LEAF1",
        "-LEAF1 +PARENT1 +CHILD2 +LEAF5",
        "-LEAF5",
        "-CHILD2 -PARENT1 +PARENT2 +CHILD4 +LEAF7",
        "-LEAF7 -CHILD4 +CHILD3 +LEAF6",
        "-LEAF6 -CHILD3 -PARENT2 +PARENT3 +LEAF3",
    ]


@pytest.mark.parametrize("name", ["Simple", "Bigger", "Forrest"])
def test_an_unknown_state_is_an_error(machines: SimulatedMachines, name: str) -> None:
    machine = machines.start(f"hierarchy/{name}")
    machines.client.send(machine, "goto NOWHERE")
    with pytest.raises(ValueError, match="Unrecognized"):
        machines.elapse(1)
    assert ended(machines, f"hierarchy/{name}") == 1
    assert machines.client.texts[1:] == [
        f"errored hierarchy/{name} Unrecognized state: NOWHERE",
        f"exited hierarchy/{name}",
    ]


def test_publish_and_subscribe(machines: SimulatedMachines) -> None:
    host, port = publisher = machines.start("pubsub/Publisher")
    machines.start("pubsub/Subscriber#1", f"{host}:{port}")
    machines.start("pubsub/Subscriber#2", f"{host}:{port}")
    machines.client.send(publisher, "publish the news")
    machines.elapse(5)
    for number in "12":
        assert said(machines, f"pubsub/Subscriber#{number}") == [
            f"{host}:{port} published: the news"
        ]
    machines.elapse(7)
    machines.client.send(publisher, "publish too late")
    assert ended(machines, "pubsub/Subscriber#1") == 0
    assert ended(machines, "pubsub/Subscriber#2") == 0
    assert len(said(machines, "pubsub/Subscriber#1")) == 1


def test_a_subscriber_that_is_gone_is_removed(machines: SimulatedMachines) -> None:
    publisher = machines.start("pubsub/Publisher")
    reader = machines.peer("reader")
    assert ask(machines, publisher, "subscribe", "publish 1", client=reader) == "update 1"
    reader.close()
    machines.client.send(publisher, "publish 2")
    machines.elapse(15)
    machines.client.send(publisher, "publish 3")
    machines.elapse(15)
    sent = [line for line in machines.log if f"> {reader.address[0]}:{reader.address[1]} " in line]
    assert [line.rpartition(" ")[2] for line in sent if "Publisher@" in line] == ["1", "2"]


def test_after(machines: SimulatedMachines) -> None:
    begin = machines.client.engine.now
    machines.start("time/After")
    assert ended(machines, "time/After") == 0
    assert 10 <= machines.client.engine.now - begin < 11


def test_at(machines: SimulatedMachines) -> None:
    machines.start("time/At")
    machines.run(until=lambda: machines.client.texts[-1] == "exited time/At")
    assert machines.client.engine.wall % 60 <= 1


def test_stop_watch(machines: SimulatedMachines) -> None:
    watch = machines.start("time/StopWatch")
    machines.client.send(watch, "stop")
    machines.client.send(watch, "start")
    machines.elapse(7.5)
    assert ask(machines, watch, "stop") == "elapsed 7 seconds"


def test_ticker(machines: SimulatedMachines) -> None:
    machines.start("time/Ticker", "2")
    machines.elapse(9)
    assert machines.client.texts == ["started time/Ticker", *["tick time/Ticker"] * 4]
    machines.client.close()
    assert ended(machines, "time/Ticker") == 0


def test_multicast(machines: SimulatedMachines) -> None:
    machines.start("multicast/Receiver#1", GROUP)
    machines.start("multicast/Receiver#2", GROUP)
    machines.start("multicast/Multicaster", GROUP)
    for name in ("multicast/Receiver#1", "multicast/Receiver#2", "multicast/Multicaster"):
        assert ended(machines, name) == 0
    sender = machines.machines["multicast/Multicaster"].address
    assert said(machines, "multicast/Receiver#1") == [
        f"{sender[0]}:{sender[1]} has sent hello to {GROUP.partition(':')[0]}"
    ]


SQUARES = "A_0RB;A..NH;B__RC;B..NH;C_1RD;C..NH;D__RA;D..NH"
BEAVER = "A01RB;A11LC;B01LA;B11RB;C01LB;C11NH"


@pytest.mark.parametrize(
    ("blank", "quintuples", "tape", "result"),
    [
        ("_", SQUARES, "_______________.", "0_1_0_1_0_1_0_1."),
        ("_", SQUARES, ".", "."),
        ("0", BEAVER, "000000000000000", "111111000000000000"),
        ("0", BEAVER, "", "111111"),
    ],
    ids=["squares", "empty squares", "beaver", "a beaver without a tape"],
)
def test_universal(
    machines: SimulatedMachines, blank: str, quintuples: str, tape: str, result: str
) -> None:
    universal = machines.start("turing/Universal", blank, quintuples)
    assert ask(machines, universal, tape) == result
    assert ask(machines, universal, tape) == result


def test_a_computation_that_does_not_halt_can_be_ended(machines: SimulatedMachines) -> None:
    universal = machines.start("turing/Universal", "0", "A00NA")
    machines.client.send(universal, "0")
    machines.elapse(1)
    assert ask(machines, universal, "1") == "busy"
    assert ask(machines, universal, "step") == "busy"
    machines.client.send(universal, "exit")
    assert ended(machines, "turing/Universal") == 0


@pytest.mark.parametrize(
    ("quintuples", "tape", "problem"),
    [
        ("A01XB", "0", '"A01XB" is not a quintuple such as A01RB'),
        ("A01RB;", "0", '"" is not a quintuple such as A01RB'),
        ("A01NB", "0", "no quintuple for the symbol 1 in the state B"),
    ],
)
def test_a_universal_machine_that_fails(
    machines: SimulatedMachines, quintuples: str, tape: str, problem: str
) -> None:
    request = f"start turing/Universal :5000 0 {quintuples}"
    machines.client.send(machines.server.address, request)
    machines.client.send(("127.0.0.1", 5000), tape)
    with pytest.raises(ValueError, match="quintuple"):
        machines.elapse(5)
    machines.elapse(1)
    assert f"errored turing/Universal {problem}" in machines.client.texts
