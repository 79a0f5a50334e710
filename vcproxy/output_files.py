"""Write the output files of commands: completely or not at all.

An existing file is replaced only with `--force`.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Exists(FileExistsError):
    """The output file exists. The text contains its name and how to overwrite it."""


def overwriting(parser: ArgumentParser) -> None:
    """Add the option `--force`, common to all commands that write a file."""
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")


def refuse_existing(out: Path, force: bool) -> None:
    """Raise Exists if the file exists and `force` is not given.

    Devices and pipes are not checked.
    """
    if out.is_file() and not force:
        raise Exists(f"{out} exists: choose another name, or overwrite it with --force")


@contextmanager
def written(out: Path, force: bool) -> Iterator[Path]:
    """Yield the path of a temporary file, and rename it to `out` at the end of the block.

    If the block fails, the temporary file is removed and `out` unchanged. Raises Exists, OSError.
    """
    refuse_existing(out, force)
    if out.exists() and not out.is_file():
        yield out
        return
    real = out.resolve()  # replace the target of a symbolic link, not the link
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
    """Rename `new` to `real`. Raises Exists if another process has created `real` meanwhile."""
    try:
        os.link(new, real)
    except FileExistsError:
        refuse_existing(out, force=False)
        raise
    except OSError:  # the file system has no hard links
        refuse_existing(out, force=False)
        new.replace(real)
