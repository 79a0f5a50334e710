"""Child processes under epoll: what real programs do, and what prevents their launch."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from tests.conformance.source_world import EpollWorld, opened, script, world_of
from tests.conformance.test_sources import Child
from vcproxy.drivers.epoll.sources.launching import NotLaunched, launch
from vcproxy.engine.sources.child_process import (
    ChildExited,
    ChildKilled,
    ChildProcess,
    ChildStopped,
    Launch,
    LaunchFailed,
)


@pytest.fixture
def world() -> Iterator[EpollWorld]:
    with world_of("epoll") as made:
        assert isinstance(made, EpollWorld)
        yield made


def reason(world: EpollWorld, what: Launch) -> str:
    """Return why a program is not launched."""
    child = Child(world, what)
    child.run(1)
    (failed,) = child.events
    assert isinstance(failed, LaunchFailed), failed
    return failed.reason


def executable(path: Path, content: str) -> Launch:
    """Return how to launch a new file that is executable."""
    path.write_text(content)
    path.chmod(0o755)
    return Launch(str(path), (path.name,))


def run(world: EpollWorld, what: Launch) -> None:
    """Run a program to its end, which must be a success."""
    child = Child(world, what)
    child.run(2)
    assert child.events[1] == ChildExited("alice", 0)


class TestWhatPreventsALaunch:
    def test_a_file_that_is_not_executable(self, world: EpollWorld, tmp_path: Path) -> None:
        file = tmp_path / "program"
        file.write_text("#!/bin/sh\n")
        assert reason(world, Launch(str(file), ("program",))) == (
            f"{file}: it is not executable (chmod +x)"
        )

    def test_a_directory(self, world: EpollWorld, tmp_path: Path) -> None:
        assert reason(world, Launch(str(tmp_path), ("x",))) == f"{tmp_path}: it is a directory"

    def test_an_interpreter_that_does_not_exist(self, world: EpollWorld, tmp_path: Path) -> None:
        what = executable(tmp_path / "program", "#!/nowhere/python3 -I\n")
        assert reason(world, what) == (
            f"{tmp_path}/program: its interpreter /nowhere/python3 does not exist"
        )

    def test_a_script_whose_lines_end_with_cr_lf(self, world: EpollWorld, tmp_path: Path) -> None:
        """To Linux the CR is a part of the interpreter's name."""
        what = executable(tmp_path / "program", "#!/bin/sh\r\nexit\r\n")
        assert reason(world, what) == (
            f"{tmp_path}/program: its lines end with CR LF: convert them to LF"
        )

    def test_an_interpreter_that_is_not_executable(self, world: EpollWorld, tmp_path: Path) -> None:
        (tmp_path / "interpreter").write_text("")
        what = executable(tmp_path / "program", f"#!{tmp_path}/interpreter\n")
        assert reason(world, what) == (
            f"{tmp_path}/program: its interpreter {tmp_path}/interpreter is not executable"
        )

    def test_neither_a_program_nor_a_script(self, world: EpollWorld, tmp_path: Path) -> None:
        what = executable(tmp_path / "program", "print('hello')\n")
        assert reason(world, what) == (
            f"{tmp_path}/program: it is neither a program of this system nor a script that begins "
            "with #!"
        )

    def test_a_program_that_is_being_written(self, world: EpollWorld, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        copy.write_bytes(Path("/bin/true").read_bytes())
        copy.chmod(0o755)
        with copy.open("ab"):
            assert reason(world, Launch(str(copy), ("copy",))) == f"{copy}: it is being written"
        run(world, Launch(str(copy), ("copy",)))

    def test_a_program_that_was_being_written_until_now(
        self, world: EpollWorld, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy"
        copy.write_bytes(Path("/bin/true").read_bytes())
        copy.chmod(0o755)
        with copy.open("ab"):
            child = Child(world, Launch(str(copy), ("copy",)))
            world.driver.turn(0)  # the launch begins
            world.driver.turn(0.05)  # and is tried again
        child.run(2)
        assert child.events[1] == ChildExited("alice", 0)

    def test_a_directory_that_does_not_exist(self, world: EpollWorld) -> None:
        what = Launch("/bin/sh", ("sh", "-c", "exit"), directory="/nowhere")
        assert reason(world, what) == (
            "its directory /nowhere cannot be used: no such file or directory"
        )

    def test_an_output_that_cannot_be_opened(self, world: EpollWorld) -> None:
        what = Launch("/bin/sh", ("sh", "-c", "exit"), output="/nowhere/log")
        assert reason(world, what) == (
            "its output cannot be written to /nowhere/log: no such file or directory"
        )

    def test_a_user_that_does_not_exist(self, world: EpollWorld) -> None:
        what = Launch("/bin/sh", ("sh", "-c", "exit"), user="no-such-user")
        assert reason(world, what) == 'there is no user "no-such-user"'

    def test_a_nul_character(self, world: EpollWorld) -> None:
        what = Launch("/bin/sh", ("sh", "-c", "exit\0"))
        assert reason(world, what) == "/bin/sh: embedded null byte"

    def test_a_descriptor_that_is_not_open(self, world: EpollWorld) -> None:
        what = Launch("/bin/sh", ("sh", "-c", "exit"), descriptors=(999_999,))
        assert reason(world, what) == "/bin/sh: bad file descriptor"


class TestHowItRuns:
    def test_arguments_directory_environment_and_output(
        self, world: EpollWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INHERITED", "well")
        output = tmp_path / "log"
        output.write_text("before\n")
        what = Launch(
            "/bin/sh",
            (
                "name",
                "-c",
                'echo "$0 $1 $PWD $GREETING $INHERITED."; echo wrong >&2',
                "zero",
                "one",
            ),
            directory="/",
            environment={"GREETING": "hello"},
            output=str(output),
        )
        run(world, what)
        assert output.read_text() == "before\nzero one / hello well.\nwrong\n"

    def test_it_has_a_process_group_of_its_own(self, world: EpollWorld, tmp_path: Path) -> None:
        output = tmp_path / "log"
        script = "import os; print(os.getpgid(0) == os.getpid())"
        run(world, Launch(sys.executable, ("python", "-c", script), output=str(output)))
        assert output.read_text() == "True\n"

    def test_what_it_leaves_in_its_process_group_is_killed(
        self, world: EpollWorld, tmp_path: Path
    ) -> None:
        """A pipe is at its end once no process has it open for writing."""
        first, second = os.pipe()
        try:
            what = Launch("/bin/sh", ("sh", "-c", "sleep 600 &"), descriptors=(second,))
            run(world, what)
        finally:
            os.close(second)
        with open(first, "rb") as pipe:
            assert select.select([pipe], [], [], 10.0)[0], "the program that was left still runs"
            assert pipe.read() == b""

    def test_its_input_is_empty(self, world: EpollWorld) -> None:
        run(world, Launch("/bin/cat", ("cat",)))

    def test_a_relative_path_is_not_searched_in_path(self, world: EpollWorld) -> None:
        assert reason(world, Launch("sh", ("sh", "-c", "exit"))) == (
            f"{os.getcwd()}/sh: no such file or directory"
        )

    def test_it_has_the_given_descriptors_and_no_others(
        self, world: EpollWorld, tmp_path: Path
    ) -> None:
        output = tmp_path / "log"
        first, second = os.pipe()
        other = os.open("/dev/null", os.O_RDONLY)
        os.set_inheritable(other, True)
        try:
            listing = f"ls /proc/$$/fd; echo through >/proc/$$/fd/{second}"
            what = Launch(
                "/bin/sh", ("sh", "-c", listing), output=str(output), descriptors=(second,)
            )
            run(world, what)
            assert os.read(first, 100) == b"through\n"
            found = {int(word) for word in output.read_text().split()}
            assert found == {0, 1, 2, second}
        finally:
            for descriptor in (first, second, other):
                os.close(descriptor)

    def test_it_blocks_no_signals(self, world: EpollWorld, tmp_path: Path) -> None:
        output = tmp_path / "log"
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [SIGTERM])
        try:
            what = Launch(
                "/bin/sh", ("sh", "-c", "exec grep SigBlk /proc/self/status"), output=str(output)
            )
            run(world, what)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert output.read_text() == "SigBlk:\t0000000000000000\n"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
    def test_it_runs_as_a_user_with_the_groups_of_the_user(
        self, world: EpollWorld, tmp_path: Path
    ) -> None:
        output = tmp_path / "log"
        what = Launch("/bin/sh", ("sh", "-c", "id -un; id -Gn"), user="nobody", output=str(output))
        run(world, what)
        assert output.read_text() == "nobody\nnogroup\n"

    def test_a_full_disk_is_the_error_of_the_program(self, world: EpollWorld) -> None:
        child = Child(
            world, Launch("/bin/sh", ("sh", "-c", "echo x || exit 7"), output="/dev/full")
        )
        child.run(2)
        assert child.events[1] == ChildExited("alice", 7)


class TestHowItEnds:
    def test_one_that_ignores_sigterm_is_killed(self, world: EpollWorld, tmp_path: Path) -> None:
        output = tmp_path / "log"
        child = Child(
            world,
            Launch(
                "/bin/sh",
                ("sh", "-c", "trap '' TERM; echo ready; exec sleep 60"),
                output=str(output),
            ),
        )
        world.run(lambda: output.exists() and output.read_text())
        child.signal(SIGTERM)
        child.signal(SIGSTOP)  # it is seen, so SIGTERM was before it
        world.run(lambda: child.events[-1:] == [ChildStopped("alice", SIGSTOP)])
        child.signal(SIGCONT)
        child.signal(SIGKILL)
        world.run(lambda: child.events[-1:] == [ChildKilled("alice", SIGKILL)])

    def test_one_that_forks_away_exits(self, world: EpollWorld, tmp_path: Path) -> None:
        output = tmp_path / "log"
        child = Child(
            world, Launch("/bin/sh", ("sh", "-c", "sleep 60 & echo $!"), output=str(output))
        )
        child.run(2)
        assert child.events[1] == ChildExited("alice", 0)
        os.kill(int(output.read_text()), SIGKILL)  # it was not a child of ours

    def test_close_kills_the_commands_of_a_script_too(self, world: EpollWorld) -> None:
        first, second = os.pipe()
        os.set_blocking(first, False)
        what = Launch("/bin/sh", ("sh", "-c", "sleep 60 & wait"), descriptors=(second,))
        child = Child(world, what)
        child.run(1)
        os.close(second)  # now only the script and its command have it
        child.close()

        def ended() -> bool:
            try:
                return os.read(first, 1) == b""
            except BlockingIOError:
                return False

        world.run(ended)
        os.close(first)

    def test_one_that_stops_itself_at_once(self, world: EpollWorld) -> None:
        children = [Child(world, script("kill -STOP $$"), f"child-{n}") for n in range(10)]
        for number, child in enumerate(children):
            child.run(2)
            assert child.events[1] == ChildStopped(f"child-{number}", SIGSTOP)

    def test_a_status_that_other_code_has_taken(self, world: EpollWorld) -> None:
        child = Child(world, script("exec sleep 60"))
        child.run(1)
        os.kill(child.pid, SIGKILL)
        os.waitpid(child.pid, 0)
        child.run(2)
        assert child.events[1] == ChildExited("alice", 255)
        assert world.log == [
            f"warning: alice: the exit status of pid {child.pid} is lost, because other code in "
            "this process has waited for it: 255 is assumed"
        ]

    def test_a_process_that_ignores_sigchld_gets_the_status(self, world: EpollWorld) -> None:
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            child = Child(world, script("exit 4"))
            child.run(2)
            assert child.events[1] == ChildExited("alice", 4)
        finally:
            signal.signal(signal.SIGCHLD, before)

    def test_no_signal_reaches_a_process_that_has_its_pid(self, world: EpollWorld) -> None:
        child = Child(world, script("exit 0"))
        child.run(1)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        child.signal(SIGKILL)  # to a zombie: nothing happens
        child.run(2)
        assert child.events[1] == ChildExited("alice", 0)
        child.signal(SIGKILL)
        world.driver.turn(0)
        assert world.log == []


class TestThreads:
    def test_it_works_on_any_thread_and_with_others(self) -> None:
        """Two drivers, neither on the main thread, while other threads run."""
        events: list[list[object]] = []

        def serve() -> None:
            world = EpollWorld()
            children = []
            for _ in range(20):
                recorder, child = opened(
                    world, lambda each: ChildProcess(each, "alice", script("kill -STOP $$"))
                )
                children.append((recorder, child))
            for recorder, child in children:
                world.run(lambda recorder=recorder: len(recorder.data) == 2)  # type: ignore[misc]
                with recorder.mutex.hold(world.engine):
                    child.signal(SIGKILL)
            for recorder, _ in children:
                world.run(lambda recorder=recorder: len(recorder.data) == 3)  # type: ignore[misc]
                events.append(recorder.data)
            world.close()

        threads = [threading.Thread(target=serve) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(events) == 40
        for _, stopped, killed in events:
            assert stopped == ChildStopped("alice", SIGSTOP)
            assert killed == ChildKilled("alice", SIGKILL)

    def test_the_end_of_a_driver_does_not_wait_for_its_children(self, world: EpollWorld) -> None:
        children = [Child(world, script("trap '' TERM INT HUP; exec sleep 60")) for _ in range(5)]
        for child in children:
            child.run(1)
        before = time.monotonic()
        world.close()
        assert time.monotonic() - before < 4
        assert not any(world.alive(child.pid) for child in children)


def test_launching_needs_no_engine(tmp_path: Path) -> None:
    with pytest.raises(NotLaunched, match="no such file or directory"):
        launch(Launch(str(tmp_path / "none"), ("none",)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        running = launch(script("exit 5"))
    found = os.waitid(os.P_PIDFD, running.pidfd, os.WEXITED)
    os.close(running.pidfd)
    assert found is not None
    assert found.si_status == 5


def test_a_process_that_has_no_children_does_not_start_the_thread() -> None:
    script_text = (
        "import threading; from tests.conformance.source_world import EpollWorld;"
        "world = EpollWorld(); world.driver.turn(0); world.close();"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", script_text], check=True)
