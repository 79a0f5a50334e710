"""dirmon: a directory monitor of staged machines; its trace is that of the original's demo.

    vcproxy -c samples/staged/dirmon.toml
    touch /tmp/a

It prints each event of the file system, the tag that its machine gets, and what it means. It ends
when the directory is deleted or moved away, or with a signal.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vcproxy.api import (
    FileChanged,
    FileChanges,
    FileEvent,
    MessageQueue,
    Stage,
    StagedMessage,
    StagedProgram,
    StageMachine,
    stop_proxy,
)


@dataclass(frozen=True)
class Options:
    """What is watched."""

    directory: str


WORDS = {
    0: "accessed",
    1: "modified",
    2: "metadata changed",
    3: "closed (write)",
    4: "closed (read)",
    5: "opened",
    8: "created",
    9: "deleted",
}
"""What an event means, by the number of its tag."""


class DirMon(StageMachine):
    """Prints what happens in a directory."""

    kind = "DirMon"

    INIT = Stage(initial=True)
    WORK = Stage()
    DONE = Stage(final=True)

    INIT.goes("M0", WORK)

    def __init__(self, queue: MessageQueue, program: "DirectoryMonitor") -> None:
        super().__init__(queue)
        self.program = program
        self.directory = program.directory

    @INIT.enter
    def begin(self) -> None:
        """Send M0 at once: no setup is needed."""
        self.send(self, "M0")

    @WORK.enter
    def watch(self) -> None:
        """Watch the directory."""
        FileChanges(self, "directory").watch(self.directory, FileEvent.ALL)

    @WORK.on("F0", "F1", "F2", "F3", "F4", "F5", "F8", "F9")
    def happened(self, message: StagedMessage) -> None:
        """Print what happened to an entry, or to the directory itself."""
        changed = self.changed(message)
        self.trace(f"'{changed.file or self.directory}': {WORDS[self.queue.number_of_f(changed)]}")

    @WORK.on("F6")
    def moved_from(self, message: StagedMessage) -> None:
        """Print what was moved away."""
        self.trace(f"'{self.changed(message).file}': moved from '{self.directory}'")

    @WORK.on("F7")
    def moved_to(self, message: StagedMessage) -> None:
        """Print what was moved to the directory."""
        self.trace(f"'{self.changed(message).file}': moved to '{self.directory}'")

    @WORK.on("F10")
    def deleted(self, message: StagedMessage) -> None:
        """Print that the directory is deleted."""
        self.trace(f"'{self.directory}': deleted")

    @WORK.on("F11")
    def moved(self, message: StagedMessage) -> None:
        """Print that the directory is moved."""
        self.trace(f"'{self.directory}': moved somewhere")

    @WORK.on("F12")
    def failed(self, message: StagedMessage) -> None:
        """Print why something is not watched. The original ends with an error."""
        changed = self.changed(message)
        self.trace(f"'{changed.place}': {changed.reason}")

    @WORK.on("F13")
    def unmounted(self, message: StagedMessage) -> None:
        """Print that the file system is unmounted."""
        self.trace("unmounted")

    @WORK.on("F14")
    def overflowed(self, message: StagedMessage) -> None:
        """Print that events are missing."""
        self.trace("event queue overflow occurred")

    @WORK.on("F15", to=DONE)
    def ignored(self, message: StagedMessage) -> None:
        """Print that nothing is watched any more; the program ends."""
        self.trace(f"'{self.directory}': ignored")

    @WORK.on("S0", "S1", to=DONE)
    def signalled(self, message: StagedMessage) -> None:
        """Print the signal; the program ends."""
        self.trace(f"got signal #{message.data.number} from PID {message.data.pid}")

    @WORK.leave
    def print_end(self) -> None:
        """Print the end."""
        self.trace("Bye!")

    def finished(self) -> None:
        """Stop the proxy."""
        stop_proxy(self.engine)

    def changed(self, message: StagedMessage) -> FileChanged:
        """Return the event."""
        assert isinstance(message.data, FileChanged)
        return message.data


class DirectoryMonitor(StagedProgram):
    """One DirMon."""

    Options = Options
    needs_upstream = False
    machines = (DirMon,)

    def make(self) -> Iterator[StageMachine]:
        """Create the machine."""
        self.directory = self.options.directory
        yield DirMon(self.queue, self)
