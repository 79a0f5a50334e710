"""Migration pages: what a page shows of another program and of vcproxy has the same effect.

Each example is run with the other program, and with vcproxy: the commands must print the lines that
the page shows.
"""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.test_docs import free_port
from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.migration.example import EXAMPLES, FOLDER, Example
from tests.e2e.migration.origin import origin
from tests.e2e.migration.peers import PEERS
from tests.e2e.running import PATIENCE_S

SERVERS = {"9000": "A", "9001": "B"}
"""Names of servers by their ports on the pages. The others are those of the proxy."""

SERVERS_TLS = {"9443": "TLS"}
"""The same for servers over TLS, with the certificate for a.example."""

PORTS = ("8080", "8443", *SERVERS, *SERVERS_TLS)


@pytest.fixture
def ports(certificates: Certificates) -> Iterator[Mapping[str, str]]:
    """Free ports by the ports of the pages, with servers behind."""
    free = {port: free_port() for port in PORTS}
    with ExitStack() as servers:
        for port, name in SERVERS.items():
            servers.enter_context(origin(int(free[port]), name))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificates.issue("a.example"))
        for port, name in SERVERS_TLS.items():
            servers.enter_context(origin(int(free[port]), name, tls))
        yield free


def moved(text: str, ports: Mapping[str, str]) -> str:
    """Return a text with the free ports in place of those of the page."""
    return re.sub(rf"\b(?:{'|'.join(ports)})\b", lambda port: ports[port[0]], text)


def write(files: Mapping[str, str], folder: Path, ports: Mapping[str, str]) -> None:
    """Write the files of an example into a folder."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(moved(text, ports))


def check(example: Example, program: str, folder: Path, ports: Mapping[str, str]) -> None:
    """Run the commands of an example that are for a program, and compare what they print."""
    for to, command, lines in example.steps:
        if to not in ("both", program):
            continue
        done = subprocess.run(
            moved(command, ports),
            shell=True,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        printed = [plain(line) for line in done.stdout.splitlines()]
        rest = iter(printed)
        for line in lines:
            wanted = plain(moved(line, ports))
            assert line == "..." or wanted in rest, f"{command}: no {line!r} in {printed}"


def plain(line: str) -> str:
    """Return a line as it is compared: without a status's reason phrase, which means nothing (RFC
    9112, 4), the name of a field in lower case, without trailing spaces."""
    if status := re.match(r"HTTP/1\.1 \d{3}", line):
        return status[0]
    name, colon, value = line.rstrip().partition(": ")
    return f"{name.lower()}: {value}" if colon and " " not in name else line.rstrip()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_other_program_does_so(
    example: Example,
    tools: Tools,
    tmp_path: Path,
    ports: Mapping[str, str],
    certificates: Certificates,
) -> None:
    folder = tmp_path / "theirs"
    write(example.theirs, folder, ports)
    provide(certificates, folder)
    PEERS[example.page](tools, folder, f"tcp://127.0.0.1:{served(example.theirs, ports)}")
    check(example, example.page, folder, ports)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_vcproxy_does_the_same(
    example: Example,
    proxy: Starter,
    tmp_path: Path,
    ports: Mapping[str, str],
    certificates: Certificates,
) -> None:
    write(example.ours, tmp_path, ports)
    provide(certificates, tmp_path)
    running = proxy((tmp_path / "proxy.toml").read_text())
    running.expected_tracebacks = None  # one page shows a filter that fails
    check(example, "vcproxy", tmp_path, ports)


def served(files: Mapping[str, str], ports: Mapping[str, str]) -> str:
    """Return the port that a program serves."""
    text = "".join(files.values())
    return ports["8443" if "8443" in text and "8080" not in text else "8080"]


def provide(certificates: Certificates, folder: Path) -> None:
    """Put the files into a folder that all pages may name: a certificate for a.example, and a
    folder with a file."""
    (folder / "www").mkdir()
    (folder / "www" / "hello.txt").write_text("hello from a file\n")
    (folder / "pages").mkdir()
    (folder / "pages" / "sorry.html").write_text("<h1>sorry</h1>\n")
    certificate, key = certificates.issue("a.example")
    (folder / "server.pem").write_bytes(certificate.read_bytes())
    (folder / "server.key").write_bytes(key.read_bytes())
    (folder / "server.both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    (folder / "ca.pem").write_bytes(certificates.ca.read_bytes())


def test_every_page_has_examples_and_is_of_a_known_program() -> None:
    pages = {page.stem for page in FOLDER.glob("*.md")} - {"README"}
    assert {example.page for example in EXAMPLES} == pages <= set(PEERS)
