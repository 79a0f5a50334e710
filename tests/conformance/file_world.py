"""Worlds with files: the same script changes real files and those of a simulation."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.engine.world import EventRecorder
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.sources.inotify import InotifyWatching
from vcproxy.drivers.sim.driver import SimDriver
from vcproxy.drivers.sim.files.files import SimFiles
from vcproxy.drivers.watching.file_watcher import FileWatcher
from vcproxy.engine.sources.file_changes import FileChanged, FileChanges, FileEvent

from .source_world import EpollWorld, SimWorld, SourceWorld, opened, world_of


class Files(Protocol):
    """What scripts do with files: see SimFiles."""

    def write(self, path: str, content: bytes | str) -> None: ...
    def append(self, path: str, content: bytes | str) -> None: ...
    def read(self, path: str) -> bytes: ...
    def list(self, path: str) -> list[str]: ...
    def mkdir(self, path: str) -> None: ...
    def symlink(self, path: str, target: str) -> None: ...
    def link(self, path: str, other: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def delete(self, path: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def touch(self, path: str) -> None: ...


class RealFiles:
    """Real files. See SimFiles."""

    def write(self, path: str, content: bytes | str) -> None:
        """See SimFiles."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._write(path, os.O_CREAT | os.O_TRUNC, content)

    def append(self, path: str, content: bytes | str) -> None:
        """See SimFiles."""
        self._write(path, os.O_APPEND, content)

    def _write(self, path: str, flags: int, content: bytes | str) -> None:
        fd = os.open(path, flags | os.O_WRONLY)
        if content:
            os.write(fd, content.encode() if isinstance(content, str) else content)
        os.close(fd)

    def read(self, path: str) -> bytes:
        """See SimFiles."""
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, path)
        fd = os.open(path, os.O_RDONLY)
        content = os.read(fd, 1 << 20)
        os.close(fd)
        return content

    def list(self, path: str) -> list[str]:
        """See SimFiles."""
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        """See SimFiles."""
        os.makedirs(path, exist_ok=True)

    def symlink(self, path: str, target: str) -> None:
        """See SimFiles."""
        os.symlink(target, path)

    def link(self, path: str, other: str) -> None:
        """See SimFiles."""
        os.link(path, other)

    def rename(self, old: str, new: str) -> None:
        """See SimFiles."""
        os.rename(old, new)

    def delete(self, path: str) -> None:
        """See SimFiles."""
        if _is_directory(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def remove(self, path: str) -> None:
        """See SimFiles."""
        if _is_directory(path):
            os.rmdir(path)
        else:
            os.unlink(path)

    def touch(self, path: str) -> None:
        """See SimFiles."""
        if os.path.isdir(path):
            os.utime(path)
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.utime(fd)
        os.close(fd)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


class FileWorld:
    """An engine, its driver, and a directory that scripts change."""

    def __init__(self, world: SourceWorld, files: Files, top: str) -> None:
        self.world = world
        self.files = files
        self.top = top

    @property
    def driver(self) -> EpollDriver:
        """The real driver."""
        assert isinstance(self.world, EpollWorld)
        return self.world.driver

    @property
    def sim_files(self) -> SimFiles:
        """The simulated files."""
        assert isinstance(self.files, SimFiles)
        return self.files

    @property
    def watcher(self) -> FileWatcher:
        """What watches the files."""
        driver = self.world.driver if isinstance(self.world, SimWorld) else self.driver
        watching = driver.sources.watching if isinstance(driver, SimDriver) else driver.watching
        assert watching is not None
        return watching.watcher

    def path(self, name: str) -> str:
        """A path in the directory."""
        return f"{self.top}/{name}" if name else self.top

    def elapse(self, seconds: float) -> None:
        """Run for a time."""
        if isinstance(self.world, SimWorld):
            self.world.sim.elapse(seconds)
        else:
            end = self.world.engine.now + seconds
            self.world.run(lambda: self.world.engine.now >= end)

    def settle(self) -> None:
        """Run until all that has happened is delivered."""
        if isinstance(self.world, SimWorld):
            self.world.sim.run()
        else:
            assert isinstance(self.world, EpollWorld)
            driver = self.world.driver
            for _ in range(6):  # the records are there at once
                driver.turn(0.0)
            self.world.run(lambda: driver.watching is None or self._idle(driver.watching))

    def _idle(self, watching: InotifyWatching) -> bool:
        return not (watching.at_intervals or watching.watcher.busy)


class Watched:
    """A FileChanges source and what it reported."""

    def __init__(self, world: FileWorld, name: str = "files") -> None:
        self.world = world
        self.recorder: EventRecorder
        self.recorder, self.source = opened(
            world.world, lambda recorder: FileChanges(recorder, name)
        )

    def do(self, call: Callable[[FileChanges], object]) -> None:
        """Call a method of the source; then settle."""
        with self.recorder.mutex.hold(self.world.world.engine):
            call(self.source)
        self.world.settle()

    def watch(
        self,
        path: str,
        kinds: FileEvent = FileEvent.ALL,
        *,
        pattern: str = "",
        recursive: bool = False,
        follow: bool = True,
        directory_only: bool = False,
    ) -> None:
        """See FileChanges; then settle."""
        self.do(
            lambda source: source.watch(
                path,
                kinds,
                pattern=pattern,
                recursive=recursive,
                follow=follow,
                directory_only=directory_only,
            )
        )

    def take(self) -> list[FileChanged]:
        """Settle; return the events since the last call."""
        self.world.settle()
        taken, self.recorder.data[:] = list(self.recorder.data), []
        self.recorder.events.clear()
        assert all(isinstance(each, FileChanged) for each in taken)
        return taken  # type: ignore[return-value]

    def last(self) -> FileChanged:
        """The event that is being delivered."""
        event = self.recorder.data[-1]
        assert isinstance(event, FileChanged)
        return event

    def seen(self) -> list[str]:
        """Settle; return the events since the last call as text: "a.txt CREATED"."""
        return [shown(each, self.world.top) for each in self.take()]


def shown(changed: FileChanged, top: str = "") -> str:
    """An event as text: the place, and the names of its kinds."""
    names = "|".join(kind.name or "" for kind in FileEvent if kind in changed.kinds)
    place = changed.place.removeprefix(top).lstrip("/") if top else changed.place
    return f"{place or '.'} {names}"


@contextmanager
def file_world_of(kind: str, tmp_path: Path) -> Iterator[FileWorld]:
    """A world of a kind: "epoll" or "sim"."""
    with world_of(kind) as world:
        if isinstance(world, SimWorld):
            world.sim.files.mkdir("/srv/top")
            yield FileWorld(world, world.sim.files, "/srv/top")
        else:
            (tmp_path / "top").mkdir()
            yield FileWorld(world, RealFiles(), str(tmp_path / "top"))
