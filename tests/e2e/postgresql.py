"""A PostgreSQL server for a test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT

import pytest

from tests.e2e.running import eventually, free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Where Debian installs it; only its clients are on PATH."""

CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
"""


@contextmanager
def postgresql_server(settings: str = "", files: Mapping[str, Path] | None = None) -> Iterator[str]:
    """Run a server with an empty database, as another user than root, whom it refuses; its place.

    `settings`: lines of its configuration; `files`: copied into its folder, by their names there.
    """
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed")
    programs = PROGRAMS[-1]
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory() as folder:  # which that user can reach
        data = Path(folder) / "data"
        shutil.chown(folder, user)
        subprocess.run(
            [programs / "initdb", "--auth=trust", "--no-sync", "-U", "owner", "-D", data],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for name, source in (files or {}).items():
            shutil.copy(source, data / name)
            shutil.chown(data / name, user)
            (data / name).chmod(0o600)
        port = free_port()
        (data / "postgresql.conf").write_text(CONFIGURATION.format(port=port) + settings)
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data],
                user=user,
                cwd=folder,
                stdout=output,
                stderr=output,
            )
        try:
            eventually(
                lambda: "ready to accept connections" in log.read_text(errors="replace"),
                "a PostgreSQL that is ready",
            )
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(SIGINT)  # with SIGTERM it would wait for its clients
            process.wait()
