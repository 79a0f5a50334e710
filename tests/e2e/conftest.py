"""Fixtures: the program, certificates, and other programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.e2e.running import PATIENCE_S, connect, eventually
from vcproxy.testing.running import Starter as Starter
from vcproxy.testing.running import starting

collect_ignore = ["test_iec104_recipe.py"] if sys.version_info >= (3, 14) else []
"""c104 has no wheels for newer interpreters."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Starter]:
    """Start programs; each must end without open descriptors, with status 0 and no traceback."""
    with starting(tmp_path) as start:
        yield start


class Tools:
    """Programs of the system, killed at the end of the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def require(self, program: str) -> None:
        """Skip the test if a program is not installed."""
        _installed(program)

    def start(self, *command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start a server program; it is killed when the test ends."""
        _installed(command[0])
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._running.append(process)
        return process

    def serve(self, uri: str, *command: str) -> None:
        """Start a server program, and wait until it accepts connections."""
        self.start(*command)

        def reached() -> bool:
            try:
                connect(uri).close()
            except OSError:
                return False
            return True

        eventually(reached, f"{command[0]} at {uri}")

    def run(self, *command: str, stdin: bytes = b"", status: int | None = 0) -> bytes:
        """Run a program to its end; return its standard output and standard error."""
        _installed(command[0])
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        assert status is None or done.returncode == status, done.stdout.decode(errors="replace")
        return done.stdout

    def end(self) -> None:
        """Kill programs that still run, with the processes that they have started."""
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _installed(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Tools]:
    """Other programs."""
    tools = Tools(tmp_path)
    yield tools
    tools.end()


class Certificates:
    """A certificate authority, and the files of certificates it issues."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key for a name or an address."""
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        if not key.exists():
            issued = self._authority.issue_cert(name, common_name=name)
            issued.private_key_pem.write_to_path(key)
            certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return certificate, key


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The trusted authority."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority that is not trusted."""
    return Certificates(tmp_path_factory.mktemp("untrusted"))


Large = tuple[Path, str]


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A file that does not compress or repeat, and its checksum."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    content = os.urandom(100 << 20)
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()
