"""`vcproxy check-certificate` against OpenSSL's server and a real PostgreSQL."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.e2e.conftest import Certificates, Tools
from tests.e2e.postgresql import postgresql_server
from tests.e2e.running import VCPROXY


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*VCPROXY, "check-certificate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class OpenSsl:
    """`openssl s_server` with a certificate for a.example; its output shows its port."""

    def __init__(self, certificates: Certificates, *options: str) -> None:
        certificate, key = certificates.issue("a.example")
        self.process = subprocess.Popen(
            [
                "openssl",
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-cert",
                certificate,
                "-key",
                key,
                *options,
            ],
            stdin=subprocess.PIPE,  # it ends with it
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.fullmatch(r"ACCEPT (\S+)\n", line):
                self.place = found[1]
                return
        pytest.fail("openssl s_server has ended")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_certificate_for_the_name_asked_for(certificates: Certificates, tools: Tools) -> None:
    tools.require("openssl")
    other, key = certificates.issue("b.example")
    server = OpenSsl(
        certificates, "-servername", "b.example", "-cert2", str(other), "-key2", str(key)
    )
    try:
        first = check("--info", "--server-name", "a.example", server.place)
        second = check("--info", "--server-name", "b.example", server.place)
    finally:
        server.end()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "subject-common-name: a.example\n" in first.stdout
    assert "subject-common-name: b.example\n" in second.stdout
    assert (first.stderr, second.stderr) == ("", "")


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_3", "-Verify", "1"),  # it wants a certificate of the client,
        ("-tls1_2", "-Verify", "1"),  # and refuses it in the handshake
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    ],
    ids=" ".join,
)
def test_old_and_demanding_servers_show_their_certificate(
    options: tuple[str, ...], certificates: Certificates, tools: Tools
) -> None:
    tools.require("openssl")
    server = OpenSsl(certificates, *options)
    try:
        done = check("--server-name", "a.example", server.place)
    finally:
        server.end()
    assert (done.returncode, done.stderr) == (0, "")


TLS = """
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
"""


def test_postgresql(certificates: Certificates) -> None:
    certificate, key = certificates.issue("db.example")
    with postgresql_server(TLS, {"server.pem": certificate, "server.key": key}) as place:
        done = check("--starttls", "postgres", "--server-name", "db.example", "--info", place)
        plain = check(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "subject-common-name: db.example\n" in done.stdout
    assert plain.returncode == 3
    assert "the TLS handshake failed" in plain.stderr
