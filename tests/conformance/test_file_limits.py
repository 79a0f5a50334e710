"""What the system allows: the limit of watches, and unmounting. With the kernel in a user namespace
of its own, in which these may be changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcproxy.engine.sources.file_changes import FileEvent

from .file_world import FileWorld, RealFiles, Watched, file_world_of
from .source_world import EpollWorld

NAMES = FileEvent.CREATED | FileEvent.DELETED
ROOT = Path(__file__).parents[2]
FULL = "this user has reached the limit of watches: raise fs.inotify.max_user_watches (sysctl)"


def limit_of_watches(world: FileWorld, limit: int) -> None:
    """Allow so many watches."""
    if world.world.kind == "sim":
        world.sim_files.max_watches = limit
    else:
        Path("/proc/sys/user/max_inotify_watches").write_text(f"{limit}\n")


def mounted(world: FileWorld, path: str) -> None:
    """Mount an empty file system."""
    if world.world.kind == "sim":
        world.sim_files.mount(path)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)


def unmounted(world: FileWorld, path: str) -> None:
    """Unmount it."""
    if world.world.kind == "sim":
        world.sim_files.unmount(path)
    else:
        subprocess.run(["umount", path], check=True)


def full(world: FileWorld) -> None:
    """Some directories cannot be watched; the rest goes on, and so it does when there is room."""
    for number in range(20):
        world.files.write(world.path(f"{number:02}/a"), "")
    files = Watched(world)
    limit_of_watches(world, 14)  # the directories above need some
    files.watch(world.top, NAMES, recursive=True)
    errors = files.take()
    assert [(each.kinds, each.reason) for each in errors] == [(FileEvent.ERROR, FULL)]
    assert world.world.log == [f"warning: files: {errors[0].place} is not watched: {FULL}"]
    world.files.write(world.path("b"), "")
    assert files.seen() == ["b CREATED"]
    unwatched = errors[0].place
    other = Watched(world, "other")
    other.watch(unwatched, NAMES)
    assert [each.reason for each in other.take()] == [FULL]
    limit_of_watches(world, 1000)
    other.do(lambda source: source.unwatch(unwatched))
    other.watch(unwatched, NAMES)
    world.files.write(f"{unwatched}/b", "")
    assert [each.place for each in other.take()] == [f"{unwatched}/b"]


def unmount(world: FileWorld) -> None:
    """What is mounted at a watched path, and below one, is unmounted."""
    for name in ("disk", "tree/disk"):
        world.files.mkdir(world.path(name))
        world.files.write(world.path(f"{name}/below"), "")
        mounted(world, world.path(name))
        world.files.write(world.path(f"{name}/above"), "")
    files = Watched(world)
    files.watch(world.path("disk"), NAMES)
    files.watch(world.path("tree"), NAMES, recursive=True)
    world.files.write(world.path("disk/more"), "")
    world.files.write(world.path("tree/disk/more"), "")
    assert files.seen() == ["disk/more CREATED", "tree/disk/more CREATED"]
    unmounted(world, world.path("disk"))
    assert files.seen() == ["disk UNMOUNTED", "disk GONE", "disk CREATED|DIRECTORY"]
    unmounted(world, world.path("tree/disk"))
    assert files.seen() == ["tree/disk UNMOUNTED", "tree/disk/below CREATED"]
    for name in ("disk", "tree/disk"):
        world.files.write(world.path(f"{name}/again"), "")
    assert files.seen() == ["disk/again CREATED", "tree/disk/again CREATED"]


SCRIPTS = {"full": full, "unmount": unmount}


@pytest.mark.parametrize("name", SCRIPTS)
def test_in_a_simulation(name: str, tmp_path: Path) -> None:
    with file_world_of("sim", tmp_path) as world:
        SCRIPTS[name](world)


@pytest.mark.parametrize("name", SCRIPTS)
def test_with_the_kernel(name: str, tmp_path: Path) -> None:
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    allowed = "mount -t tmpfs none . && echo 9 > /proc/sys/user/max_inotify_watches"
    try:
        tried = subprocess.run([*space, "sh", "-c", allowed], cwd=tmp_path, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if tried.returncode:
        pytest.skip(f"no user namespaces here: {tried.stderr.decode().strip()}")
    command = [*space, sys.executable, "-m", __name__, name, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def main(name: str, directory: str) -> None:
    """Run a script with the kernel, in the namespace that the test has made."""
    world = EpollWorld()
    try:
        SCRIPTS[name](FileWorld(world, RealFiles(), directory))
    finally:
        world.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
