"""The machine server: requests, its machines, live upgrade, its end; and each wrong request."""

from __future__ import annotations

import pytest

from tests.supervise.server_bench import CLIENT, SERVER, ServerBench
from vcproxy.bus.mailbox.codec import LEGACY
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildStopped,
    Launch,
    LaunchFailed,
)
from vcproxy.engine.sources.datagrams import BindFailed, Datagrams
from vcproxy.supervise.server import MACHINES

OTHER = ("127.0.0.1", 50500)


@pytest.fixture
def bench() -> ServerBench:
    bench = ServerBench()
    assert bench.take_log() == ["info: Address: 127.0.0.1:42000"]
    return bench


# -- the requests ----------------------------------------------------------------------------


def test_a_machine_is_started_registers_and_is_listed(bench: ServerBench) -> None:
    bench.arrives("start echo/Echo :0 one two")
    assert bench.launches == [
        Launch(
            "/srv/echo/Echo",
            ("machines/echo/Echo", "echo/Echo", "127.0.0.1:0", "127.0.0.1:50498", "one", "two"),
            environment={"PATH": "/venv/bin"},
        )
    ]
    pid = bench.launched("echo/Echo")
    assert bench.listed() == []

    bench.arrives(f"register echo/Echo {pid}", ("127.0.0.1", 48560))
    assert bench.listed() == [f"48560,{pid},echo/Echo"]
    assert bench.take_log() == [
        "info: < 127.0.0.1:50498 start echo/Echo :0 one two",
        "info: Forked: 1001",
        "info: < 127.0.0.1:50000 list",
        "info: > 127.0.0.1:50000 Port,PID,Machine",
        "info: < 127.0.0.1:48560 register echo/Echo 1001",
        "info: < 127.0.0.1:50000 list",
        "info: > 127.0.0.1:50000 Port,PID,Machine\n48560,1001,echo/Echo",
    ]


def test_a_machine_that_ends_by_itself_leaves_the_list_when_it_unregisters(
    bench: ServerBench,
) -> None:
    bench.running("useless/Useless", 48560)
    bench.arrives("unregister", ("127.0.0.1", 48560))
    assert bench.listed() == []
    bench.take_log()

    bench.happened(bench.children["useless/Useless"], ChildExited("", 0))
    assert bench.take_log() == ["info: Ended: 1001 useless/Useless, exit status 0"]
    assert bench.take_sent() == []
    assert bench.server.machines == {}


def test_a_machine_that_is_killed_leaves_the_list(bench: ServerBench) -> None:
    """The original lists it for ever; its parent learns of it by its missing pulses."""
    bench.running("echo/Echo", 48560)
    bench.take_log()

    bench.happened(bench.children["echo/Echo"], ChildKilled("", 9))
    assert bench.take_log() == ["warning: Ended: 1001 echo/Echo, killed by signal 9"]
    assert bench.listed() == []


def test_stop_ends_a_machine_in_order(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)

    bench.arrives("stop 48560")
    assert bench.signals == [("echo/Echo", 15)]
    assert bench.take_log()[-1] == "info: Killing: 48560 : 1001"

    bench.arrives("unregister", ("127.0.0.1", 48560))
    bench.happened(bench.children["echo/Echo"], ChildExited("", 0))
    bench.pass_s(30)
    assert bench.signals == [("echo/Echo", 15)]


def test_a_machine_that_ignores_sigterm_is_killed(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)
    bench.arrives("stop 48560")
    bench.take_log()

    bench.pass_s(14)
    assert bench.signals == [("echo/Echo", 15)]
    bench.pass_s(2)
    assert bench.signals == [("echo/Echo", 15), ("echo/Echo", 9)]
    assert bench.take_log() == ["warning: echo/Echo (1001): has not ended within 15s; it is killed"]
    bench.happened(bench.children["echo/Echo"], ChildKilled("", 9))
    assert bench.server.machines == {}


def test_a_machine_that_says_it_ends_and_does_not_is_killed(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)
    bench.arrives("unregister", ("127.0.0.1", 48560))

    bench.pass_s(16)
    assert bench.signals == [("echo/Echo", 9)]


def test_stop_before_the_machine_registers(bench: ServerBench) -> None:
    bench.arrives("start echo/Echo :5000")
    bench.arrives("stop 5000")
    bench.launched("echo/Echo")
    assert bench.signals == [("echo/Echo", 15)]

    bench.happened(bench.children["echo/Echo"], ChildKilled("", 15))
    assert bench.take_sent() == [
        (
            CLIENT,
            "errored echo/Echo its process has ended before it registered: killed by signal 15; "
            "see the output of the server",
        )
    ]


def test_a_register_that_is_faster_than_the_report_of_the_launch(bench: ServerBench) -> None:
    bench.arrives("start echo/Echo :0")
    bench.arrives("register echo/Echo 77", ("127.0.0.1", 48561))
    bench.arrives("register echo/Echo 1001", ("127.0.0.1", 48560))
    assert bench.listed() == []

    assert bench.launched("echo/Echo") == 1001
    assert bench.listed() == ["48560,1001,echo/Echo"]


def test_a_stopped_and_continued_machine_is_logged(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)
    bench.take_log()

    bench.happened(bench.children["echo/Echo"], ChildStopped("", 19))
    bench.happened(bench.children["echo/Echo"], ChildContinued(""))
    assert bench.take_log() == [
        "info: echo/Echo (1001): stopped by signal 19",
        "info: echo/Echo (1001): continued",
    ]
    assert bench.listed() == ["48560,1001,echo/Echo"]


def test_the_oldest_generation_of_the_protocol() -> None:
    bench = ServerBench(LEGACY)

    bench.running("echo/Echo", 48560)
    assert bench.launches[0].arguments == ("echo/Echo", "127.0.0.1:0", "127.0.0.1:50498")
    bench.arrives("list")
    assert bench.take_sent() == [(CLIENT, "Port,Machine,PID\n48560,echo/Echo,1001\n")]


# -- machines that cannot be started -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "start ../outside :0",
            'errored ../outside "../outside" is not the name of a machine: '
            'it leads out of the served directory with ".."',
        ),
        (
            "start /bin/sh :0",
            'errored /bin/sh "/bin/sh" is not the name of a machine: '
            "it is an absolute path; names are paths below the served directory",
        ),
        (
            "start echo/Echo 70000",
            "errored echo/Echo the port 70000 is above 65535",
        ),
        (
            "start echo/Echo one",
            'errored echo/Echo the port must be a decimal number, not "one"',
        ),
    ],
)
def test_a_wrong_start_is_answered(bench: ServerBench, text: str, answer: str) -> None:
    bench.arrives(text)

    assert bench.take_sent() == [(CLIENT, answer)]
    assert bench.launches == []
    reason = answer.split(" ", 2)[2]
    assert bench.take_log() == [
        f"info: < 127.0.0.1:50498 {text}",
        f"warning: 127.0.0.1:50498: the request is not carried out: {reason}",
        f"info: > 127.0.0.1:50498 {answer}",
    ]


def test_a_missing_program_is_answered(bench: ServerBench) -> None:
    """The original logs it in the child, and its client times out."""
    problem = "machines/echo/Missing: no such file or directory"
    bench.files.problems["echo/Missing"] = ("", "", problem)

    bench.arrives("start echo/Missing#1 :0")
    assert bench.take_sent() == [(CLIENT, f"errored echo/Missing#1 {problem}")]
    assert f"warning: echo/Missing#1: {problem}" in bench.take_log()
    assert bench.server.machines == {}


def test_a_program_that_cannot_be_executed_is_answered(bench: ServerBench) -> None:
    bench.arrives("start echo/Echo :0")
    bench.happened(
        bench.children["echo/Echo"], LaunchFailed("", "/srv/echo/Echo: permission denied")
    )

    assert bench.take_sent() == [(CLIENT, "errored echo/Echo /srv/echo/Echo: permission denied")]
    assert bench.server.machines == {}
    bench.arrives("stop 0")


def test_a_program_that_exits_at_once_is_answered(bench: ServerBench) -> None:
    bench.arrives("start echo/Echo :0")
    bench.launched("echo/Echo")
    bench.happened(bench.children["echo/Echo"], ChildExited("", 3))

    assert bench.take_sent() == [
        (
            CLIENT,
            "errored echo/Echo its process has ended before it registered: exit status 3; "
            "see the output of the server",
        )
    ]
    assert "warning: Ended: 1001 echo/Echo, exit status 3" in bench.take_log()


def test_a_program_that_is_no_machine_is_stopped(bench: ServerBench) -> None:
    bench.arrives("start tools/sleep :0")
    bench.launched("tools/sleep")

    bench.pass_s(59)
    assert bench.signals == []
    bench.pass_s(2)
    assert bench.signals == [("tools/sleep", 15)]
    assert bench.take_sent() == [(CLIENT, "errored tools/sleep it has not registered within 60s")]
    bench.happened(bench.children["tools/sleep"], ChildKilled("", 15))
    assert bench.take_sent() == []


def test_a_limit_of_machines(bench: ServerBench) -> None:
    for number in range(MACHINES):
        bench.arrives(f"start echo/Echo#{number} :0", OTHER)
    assert bench.take_sent() == []

    bench.arrives("start echo/Echo :0")
    assert bench.take_sent() == [
        (CLIENT, "errored echo/Echo the server has 4096 machines, its limit")
    ]


# -- wrong and forged requests -----------------------------------------------------------------


@pytest.mark.parametrize("datagram", [b"", b"\n", b"1234567", b"list\0"])
def test_a_malformed_datagram_is_not_answered(bench: ServerBench, datagram: bytes) -> None:
    bench.raw(datagram)

    assert (bench.sent, bench.acknowledged) == ([], [])
    (line,) = bench.take_log()
    assert line.startswith("warning: 127.0.0.1:42000: a datagram was dropped: ")


def test_an_acknowledgement_of_nothing_is_not_answered(bench: ServerBench) -> None:
    bench.raw(b"\x01" + 7 * b"\0" + b"ack")

    assert (bench.sent, bench.acknowledged) == ([], [])


@pytest.mark.parametrize("text", ["", "exit", "frob", "stop", "stop x", "register a", "list all"])
def test_what_is_not_a_request_is_acknowledged_and_logged(bench: ServerBench, text: str) -> None:
    bench.arrives(text)

    assert (bench.sent, bench.acknowledged) == ([], [(CLIENT, 0)])
    received, refused = bench.take_log()
    assert received == f"info: < 127.0.0.1:50498 {text}"
    assert refused.startswith("warning: 127.0.0.1:50498: the request is not carried out: ")


def test_a_replayed_request_is_acknowledged_and_not_repeated(bench: ServerBench) -> None:
    for _ in range(3):
        bench.raw(bytes(8) + b"start echo/Echo :0")

    assert len(bench.launches) == 1
    assert bench.acknowledged == [(CLIENT, 0)] * 3


@pytest.mark.parametrize(
    ("pid", "sender", "reason"),
    [
        (1, OTHER, "process 1 was not started by this server, or has ended"),
        (1001, OTHER, "process 1001 is registered already, at port 48560"),
        (1002, OTHER, "process 1002 was started at port 5000"),
        (1001, ("127.0.0.9", 48560), "machines of this server have the host 127.0.0.1"),
    ],
)
def test_a_forged_register_is_refused(
    bench: ServerBench, pid: int, sender: tuple[str, int], reason: str
) -> None:
    bench.running("echo/Echo", 48560)
    bench.arrives("start echo/Echo :5000")
    bench.launched("echo/Echo")
    bench.take_log()

    bench.arrives(f"register echo/Echo {pid}", sender)
    assert bench.take_log()[-1] == f"warning: {sender[0]}:{sender[1]}: not registered: {reason}"
    bench.arrives(f"stop {sender[1]}")
    assert bench.signals == ([("echo/Echo", 15)] if sender[1] == 48560 else [])
    assert bench.listed() == ["48560,1001,echo/Echo"]


def test_stop_where_the_server_has_started_nothing(bench: ServerBench) -> None:
    bench.arrives("stop 22")

    assert bench.signals == []
    assert bench.take_log()[-1] == (
        "info: 127.0.0.1:50498: stop 22: this server has no machine there"
    )


def test_unregister_of_a_stranger(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)

    bench.arrives("unregister", OTHER)
    assert bench.take_log()[-1] == "info: 127.0.0.1:50500: unregister: it is not registered"
    assert bench.listed() == ["48560,1001,echo/Echo"]


def test_a_sender_outside_of_the_allowed_networks_gets_nothing() -> None:
    bench = ServerBench(allows=lambda sender: sender[0].startswith("10."))

    bench.arrives("start echo/Echo :0", ("192.0.2.7", 50000))
    assert (bench.launches, bench.sent, bench.acknowledged) == ([], [], [])

    bench.arrives("start echo/Echo :0", ("10.0.0.7", 50000))
    assert len(bench.launches) == 1


# -- live upgrade ------------------------------------------------------------------------------


def test_the_new_machine_is_started_when_the_old_one_has_ended(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")
    bench.running("echo/Echo", 48560)

    bench.arrives("start switch/Switch :5000", OTHER)
    assert bench.signals == [("switch/Switch", 15)]
    assert len(bench.launches) == 2

    bench.arrives("unregister", ("127.0.0.1", 5000))
    assert len(bench.launches) == 2

    bench.happened(bench.children["switch/Switch"], ChildExited("", 0))
    assert bench.launches[2].arguments == (
        "machines/switch/Switch",
        "switch/Switch",
        "127.0.0.1:5000",
        "127.0.0.1:50500",
    )
    pid = bench.launched("switch/Switch")
    bench.new_process(("127.0.0.1", 5000))
    bench.arrives(f"register switch/Switch {pid}", ("127.0.0.1", 5000))
    assert bench.listed() == ["5000,1003,switch/Switch", "48560,1002,echo/Echo"]
    assert bench.take_sent() == []


def test_an_old_machine_that_waits_for_acknowledgements_is_not_waited_for_long(
    bench: ServerBench,
) -> None:
    """Its parent may be a command that has ended; messages for the new one wait meanwhile."""
    bench.running("switch/Switch", 5000, where=":5000")
    bench.arrives("start switch/Switch :5000", OTHER)
    bench.pass_s(5)
    assert bench.signals == [("switch/Switch", 15)]

    bench.arrives("unregister", ("127.0.0.1", 5000))
    bench.pass_s(2)
    assert bench.signals == [("switch/Switch", 15)]
    bench.pass_s(1)
    assert bench.signals == [("switch/Switch", 15)] * 2


def test_a_machine_that_ends_by_itself_yields_too(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")
    bench.arrives("unregister", ("127.0.0.1", 5000))
    bench.pass_s(5)
    bench.arrives("start switch/Switch :5000", OTHER)

    bench.pass_s(3)
    assert bench.signals == [("switch/Switch", 15)]


def test_a_machine_at_a_port_of_the_kernel_can_be_replaced_there(bench: ServerBench) -> None:
    bench.running("echo/Echo", 48560)

    bench.arrives("start forward/Forward :48560", OTHER)
    assert bench.signals == [("echo/Echo", 15)]
    bench.happened(bench.children["echo/Echo"], ChildExited("", 0))
    assert len(bench.launches) == 2


def test_a_wrong_name_stops_no_machine(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")
    bench.files.problems["switch/Swich"] = ("", "", "machines/switch/Swich: no such file")

    bench.arrives("start switch/Swich :5000", OTHER)
    assert bench.signals == []
    assert bench.take_sent() == [
        (OTHER, "errored switch/Swich machines/switch/Swich: no such file")
    ]


def test_the_last_of_several_upgrades_is_started(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")

    bench.arrives("start switch/Switch#1 :5000", OTHER)
    bench.arrives("start switch/Switch#2 :5000")
    assert bench.take_sent() == [
        (OTHER, "errored switch/Switch#1 a later request has replaced it at port 5000")
    ]
    assert bench.signals == [("switch/Switch", 15)]

    bench.happened(bench.children["switch/Switch"], ChildExited("", 0))
    assert [launch.arguments[1] for launch in bench.launches] == [
        "switch/Switch",
        "switch/Switch#2",
    ]


def test_stop_while_an_upgrade_waits(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")
    bench.arrives("start switch/Switch#1 :5000", OTHER)

    bench.arrives("stop 5000")
    assert bench.take_sent() == [
        (OTHER, "errored switch/Switch#1 it was stopped before it was started")
    ]
    bench.happened(bench.children["switch/Switch"], ChildExited("", 0))
    assert len(bench.launches) == 1
    assert bench.server.machines == {}


# -- logs --------------------------------------------------------------------------------------


def test_each_machine_has_a_log_file_that_is_written_to_the_disk(bench: ServerBench) -> None:
    bench.files.logs = True
    bench.running("family/Child#Alice", 48560)
    log = "/log/20261130120000family_Child_Alice.log"
    assert bench.launches[0].output == log

    bench.pass_s(10)
    assert bench.files.synced == [(log,), (log,)]

    bench.happened(bench.children["family/Child#Alice"], ChildExited("", 0))
    bench.pass_s(10)
    assert bench.files.synced == [(log,)] * 3


def test_a_full_disk_is_a_line(bench: ServerBench) -> None:
    bench.files.logs = True
    bench.files.disk = "/log/a.log: no space left on device"
    bench.running("echo/Echo", 48560)
    bench.take_log()

    bench.pass_s(5)
    assert bench.take_log() == [
        "error: logs are not on the disk: /log/a.log: no space left on device"
    ]
    assert bench.listed() == ["48560,1001,echo/Echo"]


def test_a_machine_without_a_log_file_is_started_all_the_same(bench: ServerBench) -> None:
    problem = "/log/a.log: cannot be opened: no space left on device; it writes to standard output"
    bench.files.problems["echo/Echo"] = ("/srv/echo/Echo", "", problem)

    bench.running("echo/Echo", 48560)
    assert bench.launches[0].output == ""
    assert f"warning: echo/Echo: {problem}" in bench.take_log()
    assert bench.take_sent() == []


# -- the beginning and the end -----------------------------------------------------------------


def test_an_address_in_use() -> None:
    bench = ServerBench(bound=False)

    bench.happened(bench.sources[Datagrams], BindFailed("", "127.0.0.1:42000 is in use"))
    assert bench.take_log() == ["error: the server cannot start: 127.0.0.1:42000 is in use"]
    assert bench.stopped
    assert bench.server.status == 1


@pytest.mark.parametrize("number", [1, 2, 15])
def test_a_signal_ends_a_server_without_machines(bench: ServerBench, number: int) -> None:
    bench.signal(number)

    assert bench.stopped
    assert bench.server.status == 0


def test_children_end_before_their_parents_and_brothers_side_by_side(bench: ServerBench) -> None:
    bench.running("family/Parent", 48560)
    parent = ("127.0.0.1", 48560)
    bench.running("family/Child#Alice", 48561, parent)
    bench.running("family/Child#Bob", 48562, parent)
    bench.running("echo/Echo", 48563)

    bench.signal(15)
    assert bench.signals == [
        ("echo/Echo", 15),
        ("family/Child#Bob", 15),
        ("family/Child#Alice", 15),
    ]
    bench.arrives("start family/Child#Carol :0", parent)
    assert bench.take_sent() == [(parent, "errored family/Child#Carol the server is stopping")]

    bench.happened(bench.children["echo/Echo"], ChildExited("", 0))
    bench.happened(bench.children["family/Child#Alice"], ChildExited("", 0))
    assert ("family/Parent", 15) not in bench.signals

    bench.happened(bench.children["family/Child#Bob"], ChildExited("", 0))
    assert bench.signals[-1] == ("family/Parent", 15)
    assert not bench.stopped

    bench.happened(bench.children["family/Parent"], ChildExited("", 0))
    assert bench.stopped
    assert bench.server.status == 0


def test_a_child_outlives_a_parent_that_has_ended_before(bench: ServerBench) -> None:
    bench.running("family/Parent", 48560)
    bench.running("family/Child", 48561, ("127.0.0.1", 48560))
    bench.happened(bench.children["family/Parent"], ChildKilled("", 9))

    bench.signal(15)
    bench.happened(bench.children["family/Child"], ChildExited("", 0))
    assert bench.stopped


def test_the_server_ends_when_a_machine_has_not_been_launched_yet(bench: ServerBench) -> None:
    bench.running("switch/Switch", 5000, where=":5000")
    bench.arrives("start switch/Switch#1 :5000", OTHER)

    bench.signal(15)
    bench.happened(bench.children["switch/Switch"], ChildExited("", 0))
    assert bench.stopped
    assert len(bench.launches) == 1


def test_a_second_signal_kills_the_machines(bench: ServerBench) -> None:
    bench.running("family/Parent", 48560)
    bench.running("family/Child", 48561, ("127.0.0.1", 48560))

    bench.signal(2)
    bench.signal(2)
    assert bench.signals == [("family/Child", 15), ("family/Parent", 9), ("family/Child", 9)]
    for name in ("family/Parent", "family/Child"):
        bench.happened(bench.children[name], ChildKilled("", 9))
    assert bench.stopped


def test_the_server_waits_until_its_last_messages_are_given_up(bench: ServerBench) -> None:
    bench.acknowledges = False
    bench.arrives("list")
    bench.signal(15)

    bench.pass_s(9)
    assert not bench.stopped
    bench.pass_s(2)
    assert bench.stopped
    assert bench.take_log()[-1] == ("info: 127.0.0.1:50498 has not acknowledged: Port,PID,Machine")
    assert SERVER not in {to for to, _ in bench.sent}


def test_a_request_of_a_machine_that_was_killed_starts_nothing(bench: ServerBench) -> None:
    """Its children would have no parent that stops them."""
    bench.running("boss/Boss", 48560)
    bench.happened(bench.children["boss/Boss"], ChildKilled("", 9))
    bench.arrives("start echo/Echo :0", ("127.0.0.1", 48560))
    assert len(bench.launches) == 1
    assert bench.take_sent()[-1] == (
        ("127.0.0.1", 48560),
        "errored echo/Echo the machine that has asked for it has ended",
    )


def test_the_children_of_a_machine_that_was_killed_are_stopped(bench: ServerBench) -> None:
    bench.running("boss/Boss", 48560)
    bench.arrives("start echo/Echo :0", ("127.0.0.1", 48560))
    bench.launched("echo/Echo")
    bench.happened(bench.children["boss/Boss"], ChildKilled("", 9))
    assert bench.signals == [("echo/Echo", 15)]
