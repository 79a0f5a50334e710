"""OpenFiles: the files of a folder that are open on one net thread.

A file that is asked for often is opened once a second. Tested in
tests/http/files/test_open_files.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.scheduler import Action
from vcproxy.engine.sources.stored_file import FileFailed, FileOpened, FileRefused, StoredFile
from vcproxy.http.files.file_tags import FILE_FAILED, FILE_READY

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.files.file_response import FileResponse

FRESH_S = 1.0
"""How long what was opened is used, though another file may have its name by now: a second is not
noticed after a change, and saves nearly all openings of a file that many clients ask for."""

MOST_OPEN = 64
"""Files that are kept open for later requests: they take descriptors that clients could use."""

SWEEP = "SWEEP"
"""Tag: close what is no longer fresh."""


class OpenFile(Continuation):
    """A file that is open, or about to be, or was refused. It is closed when it is not kept any
    more and no request uses it."""

    __slots__ = (
        "_files", "_users", "facts", "fresh_until", "kept", "key", "refused", "response", "source",
    )  # fmt: skip

    def __init__(self, files: OpenFiles, key: tuple[str, ...]) -> None:
        """`key`: the paths of which the first that is a file is opened. Raises ValueError for what
        is no path: see StoredFile."""
        super().__init__(files.engine, Mutex())
        self._files = files
        self._users: dict[Continuation, Action] = {}  # the ticket of the events of each
        self.key = key
        self.facts: FileOpened | None = None
        """None: not open yet, or refused."""
        self.refused: FileRefused | None = None
        """Why it is not opened."""
        self.fresh_until = 0.0
        """Until when it may be used for new requests."""
        self.kept = True
        """Whether later requests may use it."""
        self.response: FileResponse | None = None
        """The response that has all of it, to be copied."""
        with self.mutex.hold(self.engine):
            self.source = StoredFile(self, f"{files.name} {key[0]}", files.folder, key)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the events of its source."""
        if isinstance(data, FileOpened):
            self.facts = data
            self.fresh_until = self.engine.now + FRESH_S
            self._files.opened()
            self._report(FILE_READY, self)
        elif isinstance(data, FileRefused):
            self.refused = data
            self._files.forget(self)
            self._report(FILE_READY, self)
        elif isinstance(data, FileFailed):
            self._files.forget(self)
            self._report(FILE_FAILED, data.text)

    def _report(self, key: str, data: object) -> None:
        for ticket in self._users.values():
            self.engine.deliver_soon(ticket, key, data)

    def hold(self, user: Continuation) -> None:
        """Keep it open until `release`. `user` gets FILE_READY if it is not ready yet, and
        FILE_FAILED if it cannot be read later on."""
        self._users[user] = Action(user, FILE_READY, None, self.engine.now, 0.0)

    def release(self, user: Continuation) -> None:
        """End what `hold` began."""
        self._users.pop(user).cancel()
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Close it if it is not kept and not used."""
        if not (self.kept or self._users) and self.source.cont is not None:
            with self.mutex.hold(self.engine):
                self.source.close()


class OpenFiles(Continuation):
    """The files of one folder, on one net thread."""

    __slots__ = ("_files", "_sweeping", "folder", "name")

    def __init__(self, engine: Engine, name: str, folder: str) -> None:
        super().__init__(engine, Mutex())
        self.name = name
        """The name of its listener: those of its sources begin with it."""
        self.folder = folder
        self._files: dict[tuple[str, ...], OpenFile] = {}  # the oldest first
        self._sweeping = False

    def use(self, user: Continuation, paths: tuple[str, ...]) -> OpenFile:
        """Return the file for these paths, which is held for `user`: see OpenFile. It is opened
        unless it is open already, or about to be.

        Raises ValueError for what is no path: see StoredFile.
        """
        file = self._files.get(paths)
        if file is not None and file.facts is not None and file.fresh_until <= self.engine.now:
            self.forget(file)
            file = None
        if file is None:
            file = self._files[paths] = OpenFile(self, paths)
        file.hold(user)
        return file

    def opened(self) -> None:
        """Let go of the oldest files if there are too many; look for those not fresh later on."""
        if not self._sweeping:
            self._sweeping = True
            self.engine.schedule_in(FRESH_S, self, SWEEP, None)
        ready = [each for each in self._files.values() if each.facts is not None]
        for each in ready[: max(0, len(ready) - MOST_OPEN)]:
            self.forget(each)

    def forget(self, file: OpenFile) -> None:
        """Use a file for no later request."""
        if self._files.get(file.key) is file:
            del self._files[file.key]
        file.kept = False
        file.close_if_unused()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Let go of the files that are no longer fresh; look again while any is open."""
        now = self.engine.now
        for each in tuple(self._files.values()):
            if each.facts is not None and each.fresh_until <= now:
                self.forget(each)
        self._sweeping = bool(self._files)
        if self._sweeping:
            self.engine.schedule_in(FRESH_S, self, SWEEP, None)
