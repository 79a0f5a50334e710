"""`vcproxy check-certificate`: certificates of files, of servers, and of servers with STARTTLS."""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.e2e.running import PATIENCE_S, refusing
from vcproxy.app import cli
from vcproxy.app.commands.check_certificate_command import days, judged
from vcproxy.app.commands.server_certificate import ServerPlace, server_place

NOW = datetime.now(UTC)
AUTHORITY = trustme.CA(organization_name="A test")

Printed = pytest.CaptureFixture[str]


def issued(*names: str, days: float = 100, begins: float = -1) -> trustme.LeafCert:
    """A certificate that ends so many days from now; half a day more, as the test takes time."""
    return AUTHORITY.issue_cert(
        *names,
        common_name=names[0],
        not_before=NOW + timedelta(days=begins),
        not_after=NOW + timedelta(days=days + 0.5),
    )


def written(leaf: trustme.LeafCert, file: Path) -> str:
    file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    return str(file)


class TlsServer:
    """A server that follows a script in plain text, then changes to TLS; for one connection.

    It sends each line of the script after it has received something, and the first at once if
    `greets`. Not `changes`: it closes instead.
    """

    def __init__(
        self, leaf: trustme.LeafCert, *script: bytes, greets: bool = True, changes: bool = True
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(self._context)
        self._context.sni_callback = self._asked
        self._script = script
        self._greets, self._changes = greets, changes
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.port = self._socket.getsockname()[1]
        self.name: str | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _asked(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.name = name

    def _run(self) -> None:
        with self._socket, self._socket.accept()[0] as client:
            client.settimeout(PATIENCE_S)
            try:
                self._talk(client)
            except OSError:  # the client has closed
                pass

    def _talk(self, client: socket.socket) -> None:
        for number, line in enumerate(self._script):
            if number or not self._greets:
                client.recv(1000)
            client.sendall(line)
        if self._changes:
            self._context.wrap_socket(client, server_side=True).close()


@contextmanager
def serving(leaf: trustme.LeafCert, *script: bytes, **how: bool) -> Iterator[TlsServer]:
    server = TlsServer(leaf, *script, **how)
    try:
        yield server
    finally:
        server.thread.join()


# -- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_valid_for_long(tmp_path: Path, capsys: Printed) -> None:
    file = written(issued("a.example", days=100), tmp_path / "a.pem")
    assert cli.main(["check-certificate", file]) == 0
    until = f"{NOW + timedelta(days=100.5):%Y-%m-%d %H:%M:%S}"
    assert capsys.readouterr() == (f"{file}: expires in 100 days: {until} UTC\n", "")


def test_a_file_that_expires_within_the_limit(tmp_path: Path, capsys: Printed) -> None:
    file = written(issued("a.example", days=20), tmp_path / "a.pem")
    assert cli.main(["check-certificate", file]) == 0
    assert cli.main(["check-certificate", "--limit", "3w", file]) == 1
    assert "expires in 20 days, less than the limit of 21 days" in capsys.readouterr().out


def test_a_file_that_has_expired(tmp_path: Path, capsys: Printed) -> None:
    file = written(issued("a.example", days=-3, begins=-50), tmp_path / "a.pem")
    assert cli.main(["check-certificate", "--limit", "0", file]) == 1
    assert ": has expired, 2 days ago: " in capsys.readouterr().out


def test_a_file_that_is_not_valid_yet(tmp_path: Path, capsys: Printed) -> None:
    file = written(issued("a.example", begins=7), tmp_path / "a.pem")
    assert cli.main(["check-certificate", file]) == 1
    assert ": is not valid yet, but from " in capsys.readouterr().out


def test_the_first_of_a_chain_that_expires_counts(tmp_path: Path, capsys: Printed) -> None:
    site, soon = issued("a.example", days=300), issued("between.example", days=5)
    file = tmp_path / "chain.pem"
    file.write_bytes(site.cert_chain_pems[0].bytes() + soon.cert_chain_pems[0].bytes())
    assert cli.main(["check-certificate", str(file)]) == 1
    assert "between.example" in capsys.readouterr().out


def test_a_file_in_der_and_one_with_its_key(tmp_path: Path) -> None:
    leaf = issued("a.example")
    der, both = tmp_path / "a.der", tmp_path / "both.pem"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode()))
    both.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    assert cli.main(["check-certificate", str(der)]) == 0
    assert cli.main(["check-certificate", str(both)]) == 0


def test_the_fields_of_a_certificate(tmp_path: Path, capsys: Printed) -> None:
    file = written(issued("a.example", "*.b.example", "192.0.2.1", "2001:db8::1"), tmp_path / "a")
    assert cli.main(["check-certificate", "--info", file]) == 0
    *shown, _ = capsys.readouterr().out.splitlines()
    fields = dict(line.split(": ", 1) for line in shown)
    assert list(fields) == [
        "domain", "not-before", "not-after", "issuer-organization-name",
        "issuer-organizational-unit", "subject-common-name", "subject-organization-name",
        "subject-organizational-unit", "subject-alternative-names", "serial-number",
        "public-key", "signature-hash", "sha256-fingerprint",
    ]  # fmt: skip
    assert fields["issuer-organization-name"] == "A test"
    assert fields["subject-common-name"] == "a.example"
    assert fields["subject-alternative-names"] == "a.example, *.b.example, 192.0.2.1, 2001:db8::1"
    assert fields["public-key"] == "EC, secp256r1"
    assert len(fields["sha256-fingerprint"]) == 3 * 32 - 1


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\n!\n"])
def test_a_file_without_a_certificate(content: bytes, tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "a.pem"
    file.write_bytes(content)
    assert cli.main(["check-certificate", str(file)]) == 3
    assert capsys.readouterr().err.startswith(f"{file}: contains no certificate, PEM or DER")


def test_the_file_of_the_key(tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "a.key"
    file.write_text("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n")
    assert cli.main(["check-certificate", str(file)]) == 3
    reason = "contains no certificate, PEM or DER: it is a private key"
    assert capsys.readouterr().err == f"{file}: {reason}\n"


def test_a_file_that_is_missing(tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "a.pem"
    assert cli.main(["check-certificate", str(file)]) == 3
    assert capsys.readouterr().err == f"{file}: cannot be read: no such file or directory\n"


# -- servers --------------------------------------------------------------------------------------


def test_a_server(capsys: Printed) -> None:
    with serving(issued("localhost")) as server:
        assert cli.main(["check-certificate", f"localhost:{server.port}"]) == 0
    assert server.name == "localhost"
    printed = capsys.readouterr()
    assert printed.out.startswith(f"localhost:{server.port}: expires in 100 days: ")
    assert printed.err == ""


def test_the_chain_of_a_server_is_shown(capsys: Printed) -> None:
    between = trustme.CA(AUTHORITY, organization_name="Between")
    leaf = between.issue_cert("localhost", not_after=NOW + timedelta(days=100))
    with serving(leaf) as server:
        assert cli.main(["check-certificate", "--info", f"localhost:{server.port}"]) == 0
    [chain] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("chain: ")]
    assert "O=Between" in chain


def test_an_expired_certificate_is_read_all_the_same() -> None:
    with serving(issued("localhost", days=-2, begins=-9)) as server:
        assert cli.main(["check-certificate", f"localhost:{server.port}"]) == 1


def test_a_certificate_for_another_name(capsys: Printed) -> None:
    with serving(issued("a.example", "*.b.example")) as server:
        place = f"127.0.0.1:{server.port}"
        assert cli.main(["check-certificate", place]) == 0
    assert server.name is None  # an address is not sent
    text = f"{place}: it is not for 127.0.0.1, but for a.example, *.b.example\n"
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a.example", True),
        ("A.Example.", True),
        ("x.b.example", True),
        ("x.y.b.example", False),
        ("b.example", False),
    ],
)
def test_the_name_asked_for_is_compared(name: str, fits: bool, capsys: Printed) -> None:
    with serving(issued("a.example", "*.b.example")) as server:
        place = f"127.0.0.1:{server.port}"
        assert cli.main(["check-certificate", "--server-name", name, place]) == 0
    assert (capsys.readouterr().err == "") is fits


@pytest.mark.parametrize("name", ["bücher.example", "xn--bcher-kva.example."])
def test_a_name_is_sent_in_ascii_without_a_dot_at_its_end(name: str, capsys: Printed) -> None:
    with serving(issued("xn--bcher-kva.example")) as server:
        place = f"127.0.0.1:{server.port}"
        assert cli.main(["check-certificate", "--server-name", name, place]) == 0
    assert server.name == "xn--bcher-kva.example"
    assert capsys.readouterr().err == ""


def test_a_port_that_refuses(capsys: Printed) -> None:
    place = refusing().removeprefix("tcp://")
    assert cli.main(["check-certificate", place]) == 3
    assert capsys.readouterr().err == f"{place}: cannot be reached: connection refused\n"


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 70 + ".example"])
def test_a_name_that_does_not_exist(name: str, capsys: Printed) -> None:
    assert cli.main(["check-certificate", name]) == 3
    text = capsys.readouterr().err
    assert "cannot be found" in text or "is not a valid host name" in text


def test_a_server_without_tls(capsys: Printed) -> None:
    with serving(issued("localhost"), b"220 mail.example ESMTP\r\n") as server:
        place = f"localhost:{server.port}"
        assert cli.main(["check-certificate", place]) == 3
    assert f"{place}: the TLS handshake failed (" in (text := capsys.readouterr().err)
    assert "does it speak TLS at this port?" in text


def test_a_server_that_does_not_answer(capsys: Printed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        assert cli.main(["check-certificate", "--timeout", "50ms", place]) == 3
        assert (
            cli.main(["check-certificate", "--timeout", "50ms", "--starttls", "imap", place]) == 3
        )
    assert capsys.readouterr().err == f"{place}: no answer within 0.05s\n" * 2


@pytest.mark.parametrize(
    ("starttls", "script"),
    [
        ("smtp", [b"220 ready\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"220 go\r\n"]),
        ("imap", [b"* OK ready\r\n", b"a1 OK go\r\n"]),
        ("postgres", [b"S"]),
    ],
)
def test_a_server_with_starttls(starttls: str, script: list[bytes], capsys: Printed) -> None:
    with serving(issued("localhost"), *script, greets=starttls != "postgres") as server:
        place = f"localhost:{server.port}"
        assert cli.main(["check-certificate", "--starttls", starttls, place]) == 0
    assert server.name == "localhost"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([b"554 no\r\n"], 'no TLS: the server answered "554 no", not "220"'),
        ([b"220 "], 'no TLS: the server closed the connection after "220"'),
        (
            [b"220 ready\r\n", b"250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
            'no TLS: the server sent more than its answer: "220 go\r\n250 injected"',
        ),
        ([b"220-" + b"x" * (1 << 17)], "no TLS: the server sent too much after"),
    ],
)
def test_a_server_that_does_not_change_to_tls(
    script: list[bytes], reason: str, capsys: Printed
) -> None:
    with serving(issued("localhost"), *script, changes=False) as server:
        place = f"localhost:{server.port}"
        assert cli.main(["check-certificate", "--starttls", "smtp", place]) == 3
    assert capsys.readouterr().err.replace("\\x0d", "\r").startswith(f"{place}: {reason}")


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a.example", ServerPlace("a.example", 443)),
        ("a.example:8443", ServerPlace("a.example", 8443)),
        ("https://a.example/path?query", ServerPlace("a.example", 443)),
        ("tls://a.example:8443", ServerPlace("a.example", 8443)),
        ("[::1]:25", ServerPlace("::1", 25)),
        ("::1", ServerPlace("::1", 443)),
    ],
)
def test_places_of_servers(text: str, place: ServerPlace) -> None:
    assert server_place(text) == place


@pytest.mark.parametrize(
    "text", ["a.example:0", "a.example:70000", "a.example:x", "", "a b", "[::1"]
)
def test_what_is_no_place(text: str, capsys: Printed) -> None:
    assert cli.main(["check-certificate", text]) == 3
    assert f'"{text}" is not a server' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("14", 14), ("30d", 30), ("1y", 365), ("2w", 14), ("36h", 1.5), ("1.5", 1.5)],
)
def test_limits(text: str, value: float) -> None:
    assert days(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-1", "14m", "999999d"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        days(text)


def test_the_limit_itself_is_enough() -> None:
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    two = timedelta(days=2)
    assert judged(begin, end, end - two, two) == (0, "expires in 2 days: 2026-02-01 00:00:00 UTC")
    assert judged(begin, end, end - two + timedelta(seconds=1), two) == (
        1, "expires in 47 hours, less than the limit of 2 days: 2026-02-01 00:00:00 UTC"
    )  # fmt: skip
    assert judged(begin, end, end, two)[1].startswith("has expired, 0 hours ago")
    assert judged(begin, end, begin - two, two)[0] == 1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.delitem(sys.modules, "vcproxy.app.commands.certificate_facts", raising=False)
    monkeypatch.delattr("vcproxy.app.commands.certificate_facts", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [name for name in sys.modules if name.startswith("cryptography.")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["check-certificate", "a.example"]) == 2
    assert capsys.readouterr().err == (
        "vcproxy check-certificate needs the library cryptography: pip install cryptography\n"
    )
