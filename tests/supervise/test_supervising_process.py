"""SupervisingProcess: the seed's three choices, strategies, escalation, and the end, simulated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from signal import SIGKILL, SIGTERM

import pytest

from vcproxy.api import Child as StartedChild
from vcproxy.api import (
    Intensity,
    Letter,
    MachineSpec,
    Process,
    Restart,
    State,
    Strategy,
    SupervisingProcess,
)
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.testing.simulated_machines import SimulatedMachines


class Child(Process):
    """Fails, or ends in order, when it is asked to."""

    MAIN = State(initial=True)

    @MAIN.on("fail")
    def asked_to_fail(self, letter: Letter) -> None:
        self.error("AHHHHH")


class Parent(SupervisingProcess):
    """Its arguments are the restarts of its children #0, #1 ..."""

    MAIN = State(initial=True)
    intensity = Intensity(restarts=2, period_s=10)

    def specs(self) -> Sequence[MachineSpec]:
        return [
            MachineSpec(f"family/Child#{number}", Restart(each))
            for number, each in enumerate(self.arguments)
        ]


class OneForAll(Parent):
    strategy = Strategy.ONE_FOR_ALL


class RestForOne(Parent):
    strategy = Strategy.REST_FOR_ONE


class Grandparent(SupervisingProcess):
    """Has one Parent, whose failure is a failure of its own."""

    MAIN = State(initial=True)

    def specs(self) -> Sequence[MachineSpec]:
        return [MachineSpec("family/Parent", Restart.RAISE, arguments=("raise",), shutdown_s=None)]


class Family:
    """A simulated tree of machines."""

    def __init__(self, seed: int = 0) -> None:
        kinds = (Child, Parent, OneForAll, RestForOne, Grandparent)
        programs = {f"family/{kind.__name__}": kind for kind in kinds}
        self.machines = SimulatedMachines(programs, seed=seed)

    def __enter__(self) -> Family:
        return self

    def __exit__(self, *error: object) -> None:
        self.machines.__exit__(*error)  # type: ignore[arg-type]

    def start(self, name: str, *arguments: str) -> None:
        """Start a machine, and wait until its children have started too."""
        self.machines.start(f"family/{name}", *arguments)
        self.machines.elapse(1)

    def ask(self, name: str, what: str) -> None:
        """Send a machine a message; wait for what follows."""
        self.machines.client.send(self.machines.machines[f"family/{name}"].address, what)
        self.machines.elapse(1)

    @property
    def running(self) -> list[str]:
        return sorted(each.removeprefix("family/") for each in self.machines.running)

    def pid(self, name: str) -> int:
        return self.machines.processes[f"family/{name}"].pid

    def said(self, name: str) -> list[str]:
        """Return what a machine has logged about its supervision."""
        uid = rf"family/{name}@[\d.:]+"
        found = [re.fullmatch(f"{uid}: (child .*)", line) for line in self.machines.log]
        return [each[1] for each in found if each]


# -- the seed's three choices ------------------------------------------------------------------


def test_do_nothing() -> None:
    with Family() as family:
        family.start("Parent", "temporary", "permanent")
        family.ask("Child#0", "fail")
        assert family.running == ["Child#1", "Parent"]
        assert family.said("Parent") == [
            "child family/Child#0 has failed: AHHHHH; it is not started again"
        ]


def test_restart() -> None:
    with Family() as family:
        family.start("Parent", "permanent", "permanent")
        before = family.pid("Child#0"), family.pid("Child#1")
        family.ask("Child#0", "fail")
        assert family.running == ["Child#0", "Child#1", "Parent"]
        assert family.pid("Child#0") > before[1] == family.pid("Child#1")
        assert family.said("Parent") == [
            "child family/Child#0 has failed: AHHHHH; it is started again"
        ]


def test_raise() -> None:
    """The parent fails, after its other children have ended; its own parent, the client, gets the
    reason."""
    with Family() as family:
        family.start("Parent", "permanent", "raise")
        family.ask("Child#1", "fail")
        assert family.running == []
        why = "child family/Child#1 has failed: AHHHHH"
        assert family.said("Parent") == [f"{why}; all are stopped"]
        assert family.machines.client.texts[-2:] == [
            f"errored family/Parent {why}",
            "exited family/Parent",
        ]
        assert family.machines.statuses[-2:] == [("family/Child#0", 0), ("family/Parent", 1)]


# -- restart, strategy, intensity --------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "again"), [("permanent", True), ("transient", False), ("raise", False)]
)
def test_an_orderly_end(restart: str, again: bool) -> None:
    with Family() as family:
        family.start("Parent", restart)
        family.ask("Child#0", "exit")
        assert ("Child#0" in family.running) == again
        assert "Parent" in family.running


@pytest.mark.parametrize(("name", "same"), [("OneForAll", [False]), ("RestForOne", [True])])
def test_strategies(name: str, same: list[bool]) -> None:
    with Family() as family:
        family.start(name, "permanent", "permanent", "permanent")
        before = {child: family.pid(child) for child in ("Child#0", "Child#1", "Child#2")}
        family.ask("Child#1", "fail")
        assert family.running == ["Child#0", "Child#1", "Child#2", name]
        assert [family.pid("Child#0") == before["Child#0"]] == same
        assert family.pid("Child#1") < family.pid("Child#2")
        assert family.pid("Child#1") > before["Child#2"]


def test_a_killed_child_is_noticed_after_a_minute_and_started_again() -> None:
    with Family() as family:
        family.start("Parent", "permanent")
        family.machines.processes["family/Child#0"].signal(SIGKILL)
        family.machines.elapse(50)
        assert family.running == ["Parent"]
        family.machines.elapse(20)
        assert family.running == ["Child#0", "Parent"]
        assert family.said("Parent") == [
            "child family/Child#0 has failed: heartbeat timeout; it is started again"
        ]


def test_a_child_that_hangs_is_killed_and_started_again() -> None:
    with Family() as family:
        family.start("Parent", "permanent")
        family.machines.processes["family/Child#0"].hang()
        family.machines.elapse(100)
        assert family.running == ["Child#0", "Parent"], "the one that hung was killed by the server"


def test_too_many_failures_are_one_of_the_parent() -> None:
    with Family() as family:
        family.start("Parent", "permanent", "permanent")
        for _ in range(3):
            family.ask("Child#0", "fail")
        assert family.running == []
        why = "child family/Child#0 has failed: AHHHHH, after more than 2 restarts in 10s"
        assert f"errored family/Parent {why}" in family.machines.client.texts


def test_a_failure_is_raised_through_three_levels() -> None:
    with Family() as family:
        family.start("Grandparent")
        assert family.running == ["Child#0", "Grandparent", "Parent"]
        family.ask("Child#0", "fail")
        assert family.running == []
        why = "child family/Parent has failed: child family/Child#0 has failed: AHHHHH"
        assert family.machines.client.texts[-2:] == [
            f"errored family/Grandparent {why}",
            "exited family/Grandparent",
        ]


# -- starts that fail --------------------------------------------------------------------------


def test_a_child_that_the_server_cannot_start() -> None:
    with Family() as family:
        del family.machines.simulation.programs["/machines/family/Child"]
        family.machines.start("family/Parent", "permanent")
        family.machines.elapse(5)
        (last,) = [text for text in family.machines.client.texts if text.startswith("errored")]
        assert last == (
            "errored family/Parent child family/Child#0 cannot be started: /machines/family/Child: "
            "no such file or directory, after more than 2 restarts in 10s"
        )


def test_a_server_that_does_not_answer() -> None:
    class Lonely(Parent):
        def specs(self) -> Sequence[MachineSpec]:
            return [MachineSpec("family/Child", host="127.0.0.9")]

    with Family() as family:
        family.machines.replace("family/Lonely", Lonely)
        family.machines.start("family/Lonely")
        family.machines.elapse(60)
        why = "child family/Child cannot be started: no machine server answers at 127.0.0.9:42000"
        assert family.said("Lonely")[0] == f"{why}; it is started again"


def test_a_request_that_cannot_be_sent() -> None:
    class Wordy(Parent):
        def specs(self) -> Sequence[MachineSpec]:
            return [MachineSpec("family/Child", arguments=("two words",))]

    with Family() as family:
        family.machines.replace("family/Wordy", Wordy)
        family.machines.start("family/Wordy")
        family.machines.elapse(5)
        why = 'child family/Child cannot be started: "two words" is not one word'
        assert family.said("Wordy")[0].startswith(why)
        assert family.running == []


def test_a_child_that_starts_too_late_does_not_run_beside_its_successor() -> None:
    class Hasty(Parent):
        def specs(self) -> Sequence[MachineSpec]:
            return [MachineSpec("family/Child", start_s=1)]

    with Family() as family:
        family.machines.replace("family/Hasty", Hasty)
        family.machines.start("family/Hasty")
        family.machines.simulation.processes.faults = ProcessFaults(launch_s=(1.5, 1.5))
        family.machines.elapse(10)
        text = "child family/Child has not started within 1s"
        assert family.said("Hasty") == [f"{text}: it is killed", f"{text}; it is started again"]
        assert family.running == ["Child", "Hasty"]


def test_a_child_that_it_spawns_itself_is_not_supervised() -> None:
    class Spawning(Parent):
        def child_started(self, child: StartedChild) -> None:
            super().child_started(child)
            if len(self.children) == 1:
                self.spawn("family/Child#own")

    with Family() as family:
        family.machines.replace("family/Spawning", Spawning)
        family.start("Spawning", "permanent")
        family.ask("Child#own", "fail")
        assert family.running == ["Child#0", "Spawning"]
        assert family.said("Spawning") == []


# -- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit", "SIGTERM"])
def test_children_end_before_their_parent_the_last_one_first(how: str) -> None:
    with Family() as family:
        family.start("Parent", "permanent", "temporary", "transient")
        if how == "exit":
            family.ask("Parent", "exit")
        else:
            family.machines.processes["family/Parent"].signal(SIGTERM)
            family.machines.elapse(1)
        assert family.machines.statuses == [
            ("family/Child#2", 0),
            ("family/Child#1", 0),
            ("family/Child#0", 0),
            ("family/Parent", 0),
        ]


def test_a_child_that_hangs_delays_the_end_until_the_server_has_killed_it() -> None:
    with Family() as family:
        family.start("Parent", "permanent", "permanent")
        family.machines.processes["family/Child#1"].hang()
        family.machines.processes["family/Parent"].signal(SIGTERM)
        family.machines.elapse(14)
        assert family.running == ["Child#0", "Child#1", "Parent"]
        family.machines.elapse(10)
        assert family.running == []
        assert family.said("Parent") == [
            "child family/Child#1 has not ended within 20s: it is killed"
        ]


def test_a_child_is_stopped_although_it_had_not_started_yet() -> None:
    with Family() as family:
        family.machines.simulation.processes.faults = ProcessFaults(launch_s=(1.0, 1.0))
        family.machines.start("family/Parent", "permanent")
        family.ask("Parent", "exit")
        family.machines.elapse(2)
        assert family.running == []
        assert family.machines.statuses == [("family/Child#0", 0), ("family/Parent", 0)]


def test_a_final_state_ends_the_children_too() -> None:
    class Finite(SupervisingProcess):
        RUNNING, DONE = State(initial=True), State(final=True)
        RUNNING.goes("done", DONE)

        def specs(self) -> Sequence[MachineSpec]:
            return [MachineSpec("family/Child#0")]

    with Family() as family:
        family.machines.replace("family/Finite", Finite)
        family.start("Finite")
        family.ask("Finite", "done")
        assert family.machines.statuses == [("family/Child#0", 0), ("family/Finite", 0)]


def test_the_end_of_the_server_is_that_of_the_whole_tree() -> None:
    with Family() as family:
        family.start("Grandparent")
        family.machines.stop()
        family.machines.elapse(60)
        assert family.running == []


def test_a_mistake_in_the_parent_ends_its_children() -> None:
    class Mistaken(Parent):
        def child_started(self, child: object) -> None:
            raise ValueError("wrong")

    with Family() as family:
        family.machines.replace("family/Mistaken", Mistaken)
        family.machines.start("family/Mistaken", "permanent", "permanent")
        with pytest.raises(ValueError, match="wrong"):
            family.machines.elapse(1)
        family.machines.elapse(60)
        assert family.running == []
        assert "errored family/Mistaken wrong" in family.machines.client.texts
