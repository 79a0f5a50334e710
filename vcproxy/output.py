"""Output: files that commands write, whole or not at all, never over another by accident."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Exists(FileExistsError):
    """There is a file of that name; the text names it and says what to do."""


def overwriting(parser: ArgumentParser) -> None:
    """Add the option that all commands have which write a file."""
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")


def refuse_existing(out: Path, force: bool) -> None:
    """Raise Exists where a file would be overwritten and that was not asked for.

    Devices and pipes are written to as they are.
    """
    if out.is_file() and not force:
        raise Exists(f"{out} exists: choose another name, or overwrite it with --force")


@contextmanager
def written(out: Path, force: bool) -> Iterator[Path]:
    """Yield a path for a new file, which becomes `out` at the end of the block.

    When the block fails, the new file is removed and `out` is as it was. Raises Exists, OSError.
    """
    refuse_existing(out, force)
    if out.exists() and not out.is_file():
        yield out
        return
    real = out.resolve()  # what a symbolic link names, not the link, is replaced
    new = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        yield new
        if force:
            new.replace(real)
        else:
            _move(new, real, out)
    except OSError as error:
        if error.filename is not None and Path(error.filename) == new:
            error.filename = str(out)
        raise
    finally:
        new.unlink(missing_ok=True)


def _move(new: Path, real: Path, out: Path) -> None:
    """Rename a file, unless another process has made one of that name meanwhile."""
    try:
        os.link(new, real)
    except FileExistsError:
        refuse_existing(out, force=False)
        raise
    except OSError:  # a file system without hard links
        refuse_existing(out, force=False)
        new.replace(real)
