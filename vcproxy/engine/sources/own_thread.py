"""OwnThread: a function of an author that runs on a thread of its own, as a source.

For what blocks and goes on: a client library with a loop of its own, a device that is read. What
blocks once and has a result is an `engine.call`, which costs no thread of its own.

Tested in tests/conformance/test_thread_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from traceback import extract_tb
from typing import TYPE_CHECKING, ClassVar, Protocol

from vcproxy.engine.sources.source import PRIORITY
from vcproxy.engine.sources.thread_messages import LIMIT, ThreadMessages

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


MOST_THREADS = 100
"""Own threads of a process, also those that go on after they were stopped. They share one
interpreter lock, so more would mostly wait for it; and each takes some 50 KiB."""

TOO_MANY = (
    f"{MOST_THREADS} own threads run already, or have not ended since they were stopped: "
    "use engine.call for what ends soon"
)
"""The error of one more."""


class ThreadStopped(SystemExit):
    """Raised in the thread, by the methods of ThreadWork, once its source is closed."""


class ThreadWork(Protocol):
    """What the function gets as its first argument. For its own thread only."""

    @property
    def stopping(self) -> bool:
        """Whether the source is closed: return soon."""

    def post(self, value: object) -> None:
        """Pass a message to the continuation: ThreadMessage. It waits while 1024 are waiting.

        Raises TypeError if the value is not plain data, and ThreadStopped.
        """

    def wait(self, seconds: float) -> None:
        """Wait; in a simulation in virtual time. Raises ThreadStopped as soon as it is closed."""


@dataclass(frozen=True, slots=True)
class ThreadDone:
    """The function has returned, or raised an exception. The last event."""

    name: str
    value: object = None
    """What it returned: plain data."""
    error: str = ""
    """What it raised, and where: "ValueError: no such key (feed.py:12)". "": it returned."""


class OwnThread(ThreadMessages):
    """A function on a thread of its own: `function(work, *args)`, where `work` is a ThreadWork.

    Events: ThreadMessage for each `work.post(value)`, then ThreadDone. The function must not use
    anything of the engine. It is not called in a replay: its recorded events are delivered.

    Python cannot end a thread: after `close()`, `work.wait()` and `work.post()` raise ThreadStopped
    in it, and `work.stopping` is true. Until it returns it goes on, without effect. It is a daemon,
    so that it does not delay the end of the process. A process has MOST_THREADS at most, and those
    that go on count; one more is not started, and its ThreadDone has an error. In a simulation the
    function runs only while the simulation waits for it, so it must not block except in
    `work.wait()`.
    """

    __slots__ = ("args", "function")

    last: ClassVar[tuple[type, ...]] = (ThreadDone,)

    def __init__(
        self,
        cont: Continuation,
        name: str,
        function: Callable[..., object],
        *args: object,
        priority: int = PRIORITY,
    ) -> None:
        self.function = function
        self.args = args
        super().__init__(cont, name, priority, limit=LIMIT)

    @property
    def request(self) -> str:
        """See Source. Arguments that are not plain data may differ from run to run."""
        return f"{super().request} {self.detail}"

    @property
    def detail(self) -> str:
        """See Source."""
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)


def error_text(error: BaseException) -> str:
    """Return the text of an exception that a function raised, with the place: its last line."""
    place = ""
    frames = extract_tb(error.__traceback__)
    if frames:
        file = frames[-1].filename.rpartition("/")[2]
        place = f" ({file}:{frames[-1].lineno})"
    return f"{type(error).__name__}: {error}{place}"
