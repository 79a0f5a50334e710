"""Files that are read whole: with a limit, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vcproxy.config.file_content import read_file as read_option
from vcproxy.drivers.tls_context import client_context
from vcproxy.input_files import MOST, read_file


def reason(path: Path, most: int = MOST) -> str:
    """Return why a file is not read."""
    with pytest.raises(OSError, match=r".") as caught:
        read_file(path, most)
    assert caught.value.filename == str(path)
    return caught.value.strerror or ""


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2048)
    assert read_file(file, 2048) == b"x" * 2048
    assert reason(file, 1024) == "it is larger than 1KiB"
    assert reason(Path("/dev/zero"), 1 << 20) == "it is larger than 1MiB"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert reason(tmp_path / "fifo") == "it is a FIFO or a socket, not a file"
    assert reason(tmp_path) == "Is a directory"
    assert reason(tmp_path / "missing") == "No such file or directory"


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path, tmp_path / "fifo"):
        reason(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_keys_and_options_are_read_so(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for read in (
        lambda: read_option(fifo),
        lambda: client_context(certificate=fifo, key=fifo),
        lambda: client_context(ca=fifo),
    ):
        with pytest.raises(ValueError, match="it is a FIFO or a socket"):
            read()
