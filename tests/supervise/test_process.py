"""Process: machines as processes, on a simulated network, with a machine server."""

from __future__ import annotations

import signal
import sys

import pytest

from vcproxy.api import ANY, TIMEOUT, Child, GivenUp, Letter, Peer, Process, State, every
from vcproxy.supervise.lifecycle import Lifecycle, Step
from vcproxy.testing import SimulatedMachines, check_machine

SERVER: Peer = ("127.0.0.1", 42000)


class Parent(Process):
    """The seed's: starts a child, and starts it again when it has exited."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        self.log("Parent: OnEntry")
        self.spawn("family/Child")

    @MAIN.leave
    def left(self) -> None:
        self.log("Parent: OnExit")

    @MAIN.on("started")
    def child_has_started(self, letter: Letter) -> None:
        self.log(f"Parent: {letter.name} {letter.words[0]} has started")

    @MAIN.on("pulsed")
    def child_has_pulsed(self, letter: Letter) -> None:
        self.log(f"Parent: {letter.name} {letter.words[0]} has pulsed")

    @MAIN.on("errored")
    def child_has_errored(self, letter: Letter) -> None:
        self.log(f"Parent: {letter.name} {letter.words[0]} has errored: {letter.words[1]}")

    @MAIN.on("exited", to=MAIN)
    def child_has_exited(self, letter: Letter) -> None:
        self.log(f"Parent: {letter.name} {letter.words[0]} has exited")


class FailingChild(Process):
    """The seed's: fails as soon as it runs."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        self.error("AHHHHH")


class Beating(Process):
    """Logs every 10 s, and fails at the third time."""

    MAIN = State(initial=True)
    beats = 0

    @every("10s")
    def beat(self) -> None:
        self.beats += 1
        self.log(f"{self.now:.0f} s: {self.state.name}")
        if self.beats == 3:
            raise ValueError("tired")


def test_periodic_work_of_a_process_ends_with_it() -> None:
    with SimulatedMachines({"Beating": Beating}) as machines:
        machines.start("Beating")
        with pytest.raises(ValueError, match="tired"):
            machines.elapse(40)
        machines.elapse(40)
        assert [line.rpartition(": ")[2] for line in machines.log if "s: MAIN" in line] == [
            "MAIN"
        ] * 3
        assert [status for _, status in machines.statuses] == [1]


class Echo(Process):
    """The original's: returns each message."""

    MAIN = State(initial=True)

    @MAIN.on(ANY)
    def received(self, verb: str, letter: Letter) -> None:
        self.send(letter.sender, letter.text)


class Switch(Process):
    """The seed's: ON is a part of OFF; here "blink" leaves and enters the state it is in."""

    OFF = State(initial=True)
    ON = State(parent=OFF)
    OFF.goes("on", ON)
    OFF.goes("off", OFF)

    @OFF.on("blink", to=(OFF, ON))
    def blinked(self, letter: Letter) -> State:
        return self.state

    @OFF.enter
    def is_off(self) -> None:
        self.log("Switch is OFF")

    @ON.enter
    def is_on(self) -> None:
        self.log("Switch is ON")

    @ON.leave
    def was_on(self) -> None:
        self.log("Switch was ON")

    @OFF.leave
    def was_off(self) -> None:
        self.log("Switch was OFF")


def lines(machines: SimulatedMachines, name: str) -> list[str]:
    """Return the log lines of a machine, without its name and address."""
    found = [line for line in machines.log if line.startswith(f"{name}@")]
    return [line.partition(" ")[2] for line in found]


def tail(machines: SimulatedMachines, name: str, first: str) -> list[str]:
    """Return the log lines of a machine from one line on."""
    found = lines(machines, name)
    return found[found.index(first) :]


# -- the life of a machine -------------------------------------------------------------------


def test_what_a_lifecycle_does_not_receive() -> None:
    """BINDING has no messages and no timers; nothing is bound or flushed twice."""
    assert check_machine(Lifecycle) == {
        *(f"BINDING {key}" for key in ("Letter", "GivenUp", "Flushed")),
        *(f"BINDING {step!r}" for step in Step if step is not Step.REBIND),
        *(f"RUNNING {key}" for key in ("Bound", "BindFailed", "Flushed", repr(Step.REBIND))),
        *(f"FLUSHING {key}" for key in ("Bound", "BindFailed", "Letter")),
        *(f"FLUSHING {step!r}" for step in (Step.REBIND, Step.END)),
    }


def test_the_transcript_of_the_seed() -> None:
    """`family/Parent`, line for line in meaning, in the newest log format.

    The three processes run side by side, so the order is that of each one of them.
    """
    with SimulatedMachines({"family/Parent": Parent, "family/Child": FailingChild}) as machines:
        machines.start("family/Parent")
        machines.run(until=lambda: any("OnExit" in line for line in machines.log))
        assert [line for line in machines.log if not line.startswith("family/")] == [
            "Address: 127.0.0.1:42000",
            "< 127.0.0.1:40000 start family/Parent :0",
            "Forked: 1000",
            "< 127.0.0.1:40001 register family/Parent 1000",
            "< 127.0.0.1:40001 start family/Child :0",
            "Forked: 1001",
            "< 127.0.0.1:40002 register family/Child 1001",
        ]  # the seed's has "unregister" before "OnExit" by chance: it is sent after "exited"
        assert lines(machines, "family/Parent") == [
            "started",
            "> 127.0.0.1:40000 started family/Parent",
            "> 127.0.0.1:42000 register family/Parent 1000",
            "transitioned to MAIN",
            "Parent: OnEntry",
            "> 127.0.0.1:42000 start family/Child :0",
            "< 127.0.0.1:40002 started family/Child",
            "Parent: 127.0.0.1:40002 family/Child has started",
            "< 127.0.0.1:40002 errored family/Child AHHHHH",
            "Parent: 127.0.0.1:40002 family/Child has errored: AHHHHH",
            "< 127.0.0.1:40002 exited family/Child",
            "Parent: 127.0.0.1:40002 family/Child has exited",
            "transitioned from MAIN to MAIN",
            "Parent: OnExit",
            "Parent: OnEntry",  # "Retry": the seed's transcript ends before
            "> 127.0.0.1:42000 start family/Child :0",
        ]
        assert lines(machines, "family/Child") == [
            "started",
            "> 127.0.0.1:40001 started family/Child",
            "> 127.0.0.1:42000 register family/Child 1001",
            "transitioned to MAIN",
            "errored: AHHHHH",
            "> 127.0.0.1:40001 errored family/Child AHHHHH",
            "exited",
            "> 127.0.0.1:40001 exited family/Child",
            "> 127.0.0.1:42000 unregister",
        ]
        machines.run(until=lambda: "< 127.0.0.1:40002 unregister" in machines.log)


def test_a_machine_pulses_every_ten_seconds() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        machines.elapse(35.0)
        assert machines.client.texts == ["started echo/Echo", *["pulsed echo/Echo"] * 3]


class Boss(Process):
    """Has two children."""

    OUTER = State()
    INNER = State(initial=True, parent=OUTER)

    @INNER.enter
    def hire(self) -> None:
        self.spawn("echo/Echo#1")
        self.spawn("echo/Echo#2")

    @INNER.leave
    def leave_inner(self) -> None:
        self.log("leaves INNER")

    @OUTER.leave
    def leave_outer(self) -> None:
        self.log("leaves OUTER")


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "exit"])
def test_the_end_is_orderly_and_ends_the_children(end: str) -> None:
    with SimulatedMachines({"boss/Boss": Boss, "echo/Echo": Echo}) as machines:
        address = machines.start("boss/Boss")
        boss = machines.machines["boss/Boss"]
        machines.run(until=lambda: len(boss.children) == 2)
        one, other = (child.peer[1] for child in reversed([*boss.children]))
        if end == "exit":
            machines.client.send(address, "exit")
        else:
            machines.processes["boss/Boss"].signal(signal.Signals[end])
        machines.run(until=lambda: not machines.running)

        assert tail(machines, "boss/Boss", "leaves INNER") == [
            "leaves INNER",
            "leaves OUTER",
            "exited",
            "> 127.0.0.1:40000 exited boss/Boss",
            "> 127.0.0.1:42000 unregister",
            f"> 127.0.0.1:42000 stop {one}",
            f"> 127.0.0.1:42000 stop {other}",
        ]
        assert machines.client.texts == ["started boss/Boss", "exited boss/Boss"]
        assert sorted(machines.statuses) == [
            ("boss/Boss", 0), ("echo/Echo#1", 0), ("echo/Echo#2", 0)
        ]  # fmt: skip


def test_a_second_signal_ends_it_at_once() -> None:
    """It need not wait 10 s for the acknowledgement of a parent that is gone."""
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        machines.client.close()
        echo = machines.processes["echo/Echo"]
        echo.signal(signal.SIGTERM)
        machines.elapse(5.0)
        assert not echo.ended
        echo.signal(signal.SIGTERM)
        machines.elapse(0.1)
        assert echo.ended


def test_at_its_end_it_waits_until_its_messages_are_acknowledged_or_given_up() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        machines.client.close()
        machines.processes["echo/Echo"].signal(signal.SIGTERM)
        machines.run(until=lambda: not machines.running)
        assert 10.0 <= machines.simulation.now <= 10.1
        assert tail(machines, "echo/Echo", "exited") == [
            "exited",
            "> 127.0.0.1:40000 exited echo/Echo",
            "> 127.0.0.1:42000 unregister",
            "not acknowledged by 127.0.0.1:40000: exited echo/Echo",
        ]


def test_a_parent_that_is_gone_is_logged_once() -> None:
    """The parent of a machine that was started by a client is a client, which ends."""
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        machines.client.close()
        machines.elapse(60.0)
        not_acknowledged = [line for line in lines(machines, "echo/Echo") if "not ack" in line]
        assert not_acknowledged == ["not acknowledged by 127.0.0.1:40000: pulsed echo/Echo"]


class Useless(Process):
    """The original's: has no states."""


class Finite(Process):
    """Ends by a move to a final state."""

    MAIN = State(initial=True)
    DONE = State(final=True)
    MAIN.goes("done", DONE)

    @DONE.leave
    def leave_done(self) -> None:
        self.log("leaves DONE")


def test_a_machine_without_states_starts_and_exits() -> None:
    with SimulatedMachines({"useless/Useless": Useless}) as machines:
        machines.start("useless/Useless")
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts == ["started useless/Useless", "exited useless/Useless"]
        assert machines.statuses == [("useless/Useless", 0)]


def test_a_move_to_a_final_state_ends_it() -> None:
    with SimulatedMachines({"finite/Finite": Finite}) as machines:
        machines.client.send(machines.start("finite/Finite"), "done")
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts == ["started finite/Finite", "exited finite/Finite"]
        assert tail(machines, "finite/Finite", "transitioned from MAIN to DONE")[1:3] == [
            "leaves DONE", "exited"
        ]  # fmt: skip


# -- messages --------------------------------------------------------------------------------


def test_a_catch_all_gets_the_whole_message() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        echo = machines.start("echo/Echo")
        machines.client.letters.clear()
        for text in ("hello  world", "", " a \udcff"):
            machines.client.send(echo, text)
        machines.run(until=lambda: len(machines.client.letters) == 3)
        assert machines.client.texts == ["hello  world", "", " a \udcff"]


def test_moves_and_their_log() -> None:
    """To a descendant only enters; to an ancestor only leaves; to oneself leaves and enters."""
    with SimulatedMachines({"switch/Switch": Switch}) as machines:
        switch = machines.start("switch/Switch")
        for text in ("on", "blink", "off", "blink"):
            machines.client.send(switch, text)
        machines.elapse(1.0)
        assert [line for line in lines(machines, "switch/Switch")[3:] if line[0] != "<"] == [
            "transitioned to OFF",
            "Switch is OFF",
            "transitioned from OFF to ON",
            "Switch is ON",
            "transitioned from ON to ON",
            "Switch was ON",
            "Switch is ON",
            "transitioned from ON to OFF",
            "Switch was ON",
            "transitioned from OFF to OFF",
            "Switch was OFF",
            "Switch is OFF",
        ]


class Timer(Process):
    """Sends later, at a date, and by the timeout of a state."""

    WAITING = State(initial=True, timeout="7s")
    OVER = State()
    OVER.goes("again", WAITING)

    @WAITING.enter
    def entered(self) -> None:
        self.send_after(3.0, self.parent, "3 s later")
        self.send_after(1.0, self.parent, "never").cancel()
        self.send_at(self.engine.wall + 5, self.parent, "5 s later")

    @WAITING.on(TIMEOUT, to=OVER)
    def timed_out(self, state: State) -> None:
        self.send(self.parent, "7 s later")


def test_messages_later_and_at_a_date() -> None:
    with SimulatedMachines({"time/Timer": Timer}) as machines:
        arrivals: list[tuple[float, str]] = []
        machines.client.on_letter = lambda letter: arrivals.append(
            (machines.simulation.now, letter.text)
        )
        machines.start("time/Timer")
        machines.elapse(9.0)
        assert [text for _, text in arrivals[1:]] == ["3 s later", "5 s later", "7 s later"]
        assert [time for time, _ in arrivals[1:]] == pytest.approx([3.0, 5.0, 7.0], abs=0.5)


class Informed(Process):
    """Sends to an address without a machine, and receives that it was given up."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        self.number = self.send(":9", "hello")

    @MAIN.on(GivenUp)
    def given_up(self, given_up: GivenUp) -> None:
        assert given_up.token == self.number
        self.send(self.parent, f"given up: {given_up.text}")


def test_a_sender_is_informed_of_a_message_that_is_given_up() -> None:
    with SimulatedMachines({"informed/Informed": Informed}) as machines:
        machines.start("informed/Informed")
        machines.run(until=lambda: "given up: hello" in machines.client.texts)
        assert 10.0 <= machines.simulation.now <= 10.1


class Chatty(Process):
    """Sends to an address that it is given, and does not receive GivenUp."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        self.send(self.arguments[0], "hello")


def test_a_message_that_is_given_up_without_a_receiver_is_logged() -> None:
    with SimulatedMachines({"chatty/Chatty": Chatty}) as machines:
        machines.start("chatty/Chatty", ":9")
        machines.elapse(11.0)
        assert "not acknowledged by 127.0.0.1:9: hello" in lines(machines, "chatty/Chatty")
        assert machines.running == ["chatty/Chatty"]


class Member(Process):
    """Receives from a multicast group."""

    MAIN = State(initial=True)

    def groups(self) -> tuple[Peer, ...]:
        return (("239.1.2.3", 5000),)

    @MAIN.on("news")
    def news(self, letter: Letter) -> None:
        self.send(self.parent, f"{letter.to[0]}:{letter.rest}")


class Announcer(Process):
    """Sends to a multicast group."""

    MAIN = State(initial=True)

    @MAIN.enter
    def announce(self) -> None:
        self.send("239.1.2.3:5000", "news of today")


def test_multicast() -> None:
    with SimulatedMachines({"group/Member": Member, "group/Announcer": Announcer}) as machines:
        for number in range(3):
            machines.start(f"group/Member#{number}")
        machines.start("group/Announcer")
        machines.elapse(1.0)
        assert machines.client.texts.count("239.1.2.3: of today") == 3


# -- failures --------------------------------------------------------------------------------


def test_a_message_that_no_state_receives_ends_it_without_a_traceback() -> None:
    with SimulatedMachines({"switch/Switch": Switch}) as machines:
        machines.client.send(machines.start("switch/Switch"), "dim 50")
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts[1:] == [
            "errored switch/Switch Unhandled message: dim",
            "exited switch/Switch",
        ]
        assert machines.statuses == [("switch/Switch", 1)]
        assert (
            "switch/Switch@127.0.0.1:40001: switch/Switch @ OFF: no receiver for dim (Letter); it "
            "receives on, off, blink: declare one for it, or a catch-all (ANY)"
        ) in machines.log


def test_lifecycle_messages_of_children_need_no_receiver() -> None:
    with SimulatedMachines({"switch/Switch": Switch}) as machines:
        switch = machines.start("switch/Switch")
        for text in ("started x", "pulsed x", "errored x of y", "exited x"):
            machines.client.send(switch, text)
        machines.elapse(1.0)
        assert machines.running == ["switch/Switch"]


class Careless(Process):
    """Fails in every way."""

    A = State(initial=True)
    B = State()
    A.goes("b", B)
    B.goes("a", A)

    @A.on("divide")
    def divide(self, letter: Letter) -> None:
        _ = 1 // 0

    @A.on("wander", to=(A,))
    def wander(self, letter: Letter) -> State:
        return self.B

    @A.leave
    def leave_a(self) -> None:
        if "leave" in self.arguments:
            raise LookupError("the key is under\nthe mat \ud800")


@pytest.mark.parametrize(
    ("message", "kind", "errored"),
    [
        ("divide", ZeroDivisionError, "integer division or modulo by zero"),
        (
            "wander",
            ValueError,
            "careless/Careless @ A: the receiver of wander returned Careless.B; it declares A: "
            "return one of them, or None",
        ),
    ],
)
def test_an_exception_and_an_undeclared_target_end_it(
    message: str, kind: type[Exception], errored: str
) -> None:
    with SimulatedMachines({"careless/Careless": Careless}) as machines:
        machines.client.send(machines.start("careless/Careless"), message)
        with pytest.raises(kind):
            machines.run(until=lambda: not machines.running)
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts[1:] == [
            f"errored careless/Careless {errored}",
            "exited careless/Careless",
        ]
        assert machines.statuses == [("careless/Careless", 1)]
        (failed,) = (line for line in machines.log if " failed" in line)
        assert failed.splitlines() == [
            "careless/Careless@127.0.0.1:40001 failed",
            f"careless/Careless @ A got '{message}' from 127.0.0.1:40000",
        ]


def test_an_exception_in_a_leave_hook_is_an_error_too() -> None:
    with SimulatedMachines({"careless/Careless": Careless}) as machines:
        machines.client.send(machines.start("careless/Careless", "leave"), "exit")
        with pytest.raises(LookupError):
            machines.run(until=lambda: not machines.running)
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts[1:] == [
            "errored careless/Careless the key is under",
            "exited careless/Careless",
        ]


def test_a_receiver_that_hides_a_method_of_process_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Bad\.MAIN on go: its method start hides Process\.start"):

        class Bad(Process):
            MAIN = State(initial=True)

            @MAIN.on("go")
            def start(self) -> None: ...


def test_a_receiver_of_two_words_is_refused() -> None:
    with pytest.raises(TypeError, match=r'Bad\.MAIN on "go on": it would receive nothing'):

        class Bad(Process):
            MAIN = State(initial=True)

            @MAIN.on("go on")
            def go_on(self) -> None: ...


class Verbose(Process):
    """Fails with a long text that is not Unicode."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        self.error("\ud800" + "x" * 5000)


def test_the_text_of_an_error_can_always_be_sent() -> None:
    with SimulatedMachines({"verbose/Verbose": Verbose}) as machines:
        machines.start("verbose/Verbose")
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts[1] == "errored verbose/Verbose \\ud800" + "x" * 999


class Exiting(Process):
    """Calls sys.exit(), as programs that are no machines do."""

    MAIN = State(initial=True)

    @MAIN.on("leave")
    def leaves(self, letter: Letter) -> None:
        sys.exit(3)


def test_sys_exit_ends_it_with_an_error_that_names_what_to_call() -> None:
    with SimulatedMachines({"exiting/Exiting": Exiting}) as machines:
        machines.peer("sender").send(machines.start("exiting/Exiting"), "leave")
        with pytest.raises(RuntimeError, match=r"sys\.exit\(\)"):
            machines.run(until=lambda: not machines.running)
        machines.run(until=lambda: not machines.running)
        assert machines.client.texts[1] == (
            "errored exiting/Exiting sys.exit() (3) ends a machine as an error does; "
            "its method exit() ends it in order"
        )


class Quitter(Process):
    """Counts messages and exits at the third."""

    MAIN = State(initial=True)
    count = 0

    @MAIN.on("one")
    def one(self, letter: Letter) -> None:
        self.count += 1
        if self.count == 3:
            self.exit()


def test_a_message_to_a_machine_that_has_ended_is_given_up() -> None:
    """Each message is received, or its sender is informed; none is acknowledged and lost."""
    with SimulatedMachines({"quitter/Quitter": Quitter}) as machines:
        quitter = machines.start("quitter/Quitter")
        machine = machines.machines["quitter/Quitter"]
        assert isinstance(machine, Quitter)
        sender = machines.peer("sender")
        for _ in range(8):
            sender.send(quitter, "one")
        machines.elapse(30.0)
        assert machines.running == []
        assert machine.count >= 3
        assert len(sender.given_up) == 8 - machine.count


def test_a_word_with_a_space_cannot_be_spawned() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        echo = machines.machines["echo/Echo"]
        with pytest.raises(ValueError, match='"two words" is not one word'):
            echo.spawn("echo/Echo", "two words")


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("build-7:4000", '"build-7:4000": machines send to addresses, such as 10.0.0.7:4000, not'),
        ("::1", '"::1" is not an address'),
    ],
)
def test_a_message_to_a_name_is_refused(to: str, why: str) -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.start("echo/Echo")
        with pytest.raises(ValueError, match=why):
            machines.machines["echo/Echo"].send_after(1.0, to, "hello")


# -- children --------------------------------------------------------------------------------


class Watcher(Process):
    """Keeps what it gets of its children, in the hooks and in the receivers."""

    MAIN = State(initial=True)

    def child_started(self, child: Child) -> None:
        self.log(f"hook: started {child.name}")

    def child_errored(self, child: Child, text: str) -> None:
        self.log(f"hook: errored {child.name}: {text}")

    def child_exited(self, child: Child) -> None:
        self.log(f"hook: exited {child.name}, {len(self.children)} are left")

    @MAIN.on("started", "errored", "exited")
    def reported(self, letter: Letter) -> None:
        self.log(f"receiver: {letter.text}")


def test_a_child_that_is_silent_for_a_minute_has_failed() -> None:
    """Hooks come first, then the receiver; the child is no child any more in `exited`."""
    with SimulatedMachines({"watcher/Watcher": Watcher}) as machines:
        watcher = machines.start("watcher/Watcher")
        child = machines.peer("child")
        child.send(watcher, "started x/X")
        machines.elapse(30.0)
        child.send(watcher, "pulsed x/X")
        machines.elapse(59.0)
        assert len(machines.machines["watcher/Watcher"].children) == 1
        machines.elapse(2.0)
        name = f"127.0.0.1:{child.address[1]}"
        assert [line for line in tail(machines, "watcher/Watcher", f"< {name} started x/X")
                if "pulsed" not in line] == [
            f"< {name} started x/X",
            "hook: started x/X",
            "receiver: started x/X",
            f"> 127.0.0.1:42000 stop {child.address[1]}",
            f"< {name} errored x/X heartbeat timeout",
            "hook: errored x/X: heartbeat timeout",
            "receiver: errored x/X heartbeat timeout",
            f"< {name} exited x/X",
            "hook: exited x/X, 0 are left",
            "receiver: exited x/X",
        ]  # fmt: skip


def test_a_child_whose_started_was_lost_is_one_from_its_first_pulse_on() -> None:
    with SimulatedMachines({"watcher/Watcher": Watcher}) as machines:
        child = machines.peer("child")
        child.send(machines.start("watcher/Watcher"), "pulsed x/X")
        machines.elapse(1.0)
        assert "hook: started x/X" in lines(machines, "watcher/Watcher")


def test_a_child_that_hangs_is_killed() -> None:
    """Its parent has it stopped, and its server kills what SIGTERM does not end."""
    with SimulatedMachines({"boss/Boss": Boss, "echo/Echo": Echo}) as machines:
        machines.start("boss/Boss")
        boss = machines.machines["boss/Boss"]
        machines.run(until=lambda: len(boss.children) == 2)
        machines.processes["echo/Echo#1"].hang()
        machines.elapse(80.0)
        assert sorted(machines.running) == ["boss/Boss", "echo/Echo#2"]


def test_children_of_a_parent_that_is_killed_are_stopped_by_their_server() -> None:
    with SimulatedMachines({"boss/Boss": Boss, "echo/Echo": Echo}) as machines:
        machines.start("boss/Boss")
        boss = machines.machines["boss/Boss"]
        machines.run(until=lambda: len(boss.children) == 2)
        machines.processes["boss/Boss"].signal(signal.SIGKILL)
        machines.run(until=lambda: not machines.running, limit=15.0)


def test_a_child_that_is_killed_is_reported_by_its_silence() -> None:
    with SimulatedMachines({"boss/Boss": Boss, "echo/Echo": Echo}) as machines:
        machines.start("boss/Boss")
        boss = machines.machines["boss/Boss"]
        machines.run(until=lambda: len(boss.children) == 2)
        machines.processes["echo/Echo#1"].signal(signal.SIGKILL)
        machines.elapse(61.0)
        assert [child.name for child in boss.children] == ["echo/Echo#2"]


def test_a_suspended_computer_loses_no_child() -> None:
    """After a sleep, what has arrived is read before a child counts as silent."""
    with SimulatedMachines({"boss/Boss": Boss, "echo/Echo": Echo}) as machines:
        machines.start("boss/Boss")
        boss = machines.machines["boss/Boss"]
        machines.run(until=lambda: len(boss.children) == 2)
        machines.simulation.suspend(600.0)
        machines.elapse(700.0)
        assert len(boss.children) == 2
        assert machines.log.count("boss/Boss@127.0.0.1:40001 exited") == 0


# -- live upgrade, ports ---------------------------------------------------------------------


class Louder(Echo):
    """The next version of Echo."""

    def received(self, verb: str, letter: Letter) -> None:
        self.send(letter.sender, letter.text.upper())


def test_a_new_version_takes_over_at_the_old_port() -> None:
    """What is sent meanwhile waits at its senders; neighbours keep their processes."""
    with SimulatedMachines({"echo/Echo": Echo, "switch/Switch": Switch}) as machines:
        echo = machines.start("echo/Echo")
        machines.start("switch/Switch")
        neighbour = machines.processes["switch/Switch"].pid
        sender = machines.peer("sender")
        sender.send(echo, "one")
        machines.run(until=lambda: sender.texts == ["one"])
        machines.replace("echo/Echo", Louder)
        machines.client.send(SERVER, f"start echo/Echo :{echo[1]}")
        machines.run(until=lambda: machines.machines["echo/Echo"].ending)
        sender.send(echo, "two")
        sender.send(echo, "three")
        machines.run(until=lambda: len(sender.letters) == 3)
        assert sender.texts == ["one", "TWO", "THREE"]
        assert sender.given_up == []
        assert machines.machines["echo/Echo"].address == echo
        assert machines.processes["switch/Switch"].pid == neighbour


def test_a_port_in_use_is_awaited_for_some_time() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        holder = machines.peer("holder", ("127.0.0.1", 5000))
        machines.client.send(SERVER, "start echo/Echo :5000")
        machines.elapse(10.0)
        assert machines.client.texts == []
        holder.close()
        machines.run(until=lambda: machines.client.texts == ["started echo/Echo"])


def test_a_port_that_stays_in_use_is_an_error() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        machines.peer("holder", ("127.0.0.1", 5000))
        machines.client.send(SERVER, "start echo/Echo :5000")
        machines.run(until=lambda: len(machines.client.letters) == 1)
        assert machines.statuses == [("echo/Echo", 1)]
        assert machines.client.texts == [
            "errored echo/Echo its process has ended before it registered: exit status 1; "
            "see the output of the server"
        ]
        why = "127.0.0.1:5000: the port is in use: choose another, or 0 for a free one"
        assert f"echo/Echo: waits until it can bind: {why}" in machines.log
        assert f"echo/Echo: not started: {why}" in machines.log


def test_a_machine_without_a_parent_reports_to_none() -> None:
    with SimulatedMachines({"echo/Echo": Echo}) as machines:
        orphan = machines.launch("echo/Echo", parent=("127.0.0.1", 0))
        machines.elapse(15.0)
        orphan.signal(signal.SIGTERM)
        machines.run(until=lambda: not machines.running)
        assert [line for line in lines(machines, "echo/Echo") if line.startswith(">")] == [
            "> 127.0.0.1:42000 register echo/Echo 1000",
            "> 127.0.0.1:42000 unregister",
        ]
