"""The settings of TLS beside other programs: openssl and curl as clients, openssl, nginx and
HAProxy as servers."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from trustme import KeyType

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, all_of, eventually, forward, refusing
from tests.e2e.web import nginx, origin, web

from .test_recording import replays
from .test_tls_terminated import echo, s_client

END = "-----END CERTIFICATE-----"
AES, CHACHA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"


# Clients of a listener


@pytest.mark.parametrize(
    ("settings", "offered", "agreed"),
    [
        (', max_version = "1.2"', "-tls1_2", "TLSv1.2"),
        (', max_version = "1.2"', "-tls1_3", None),
        (', min_version = "1.3"', "-tls1_3", "TLSv1.3"),
        (', min_version = "1.3"', "-tls1_2", None),
    ],
)
def test_versions_of_clients(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    settings: str,
    offered: str,
    agreed: str | None,
) -> None:
    running = proxy(echo(certificates, more=settings))
    shown = s_client(tools, running, offered, status=1 if agreed is None else 0)
    if agreed is None:
        running.wait_for("no TLS version in common")
    else:
        assert f"New, {agreed}" in shown


def test_the_preferred_cipher_is_used(
    proxy: Starter, tools: Tools, certificates: Certificates
) -> None:
    running = proxy(echo(certificates, more=f', ciphers = "{CHACHA}:{AES}"'))
    client = ("-tls1_2", "-cipher")
    assert f"Cipher is {CHACHA}" in s_client(tools, running, *client, f"{AES}:{CHACHA}")
    assert f"Cipher is {AES}" in s_client(tools, running, *client, AES)
    s_client(tools, running, *client, "ECDHE-ECDSA-AES256-GCM-SHA384", status=1)
    running.wait_for("no cipher in common with the peer")


def test_the_group_is_used(proxy: Starter, tools: Tools, certificates: Certificates) -> None:
    running = proxy(echo(certificates, more=', groups = "P-384"'))
    shown = s_client(tools, running, "-groups", "X25519:P-256:P-384")
    assert re.search(r"Temp Key: (ECDH, )?(P-384|secp384r1)", shown)
    s_client(tools, running, "-groups", "X25519:P-256", status=1)
    running.wait_for("no group for the key exchange in common with the peer")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_client_certificates_may_be_optional(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    untrusted: Certificates,
    tmp_path: Path,
    version: str,
) -> None:
    """A certificate that is not valid is refused, as by HAProxy."""
    log = tmp_path / "access.log"
    running = proxy(
        f'[access_log]\nfile = "{log}"\n'
        + echo(
            certificates,
            more=f', client_ca = "{certificates.ca}", client_verify = "optional"',
            listener='timeouts = { inactivity = "200ms" }',
        )
    )

    def shown(by: Certificates) -> tuple[str, ...]:
        certificate, key = by.issue("client")
        return "-cert", str(certificate), "-key", str(key)

    assert "hello" in s_client(tools, running, version, *shown(certificates), "-ign_eof")
    assert "hello" in s_client(tools, running, version, "-ign_eof")
    s_client(tools, running, version, *shown(untrusted), "-ign_eof", status=1)
    running.wait_for("the peer's certificate is refused: unknown CA")
    eventually(lambda: log.exists() and len(log.read_bytes().splitlines()) >= 2, "two records")
    records = [json.loads(line) for line in log.read_bytes().splitlines()]
    subjects = [record["certificate"] for record in records if record["bytes_up"]]
    assert len(subjects) == 2
    assert "CN=client" in subjects[0]
    assert subjects[1] is None


def test_a_server_gets_what_the_client_certificate_says(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    """Also when the run is recorded and replayed."""
    shown = "{certificate}|{certificate_issuer}|{certificate_serial}|{certificate_fingerprint}"
    certificate, key = certificates.issue("localhost")
    of_client = certificates.issue("client.example")
    with origin() as server:
        running = proxy(
            web(
                server.uri,
                bind="tls://127.0.0.1:0",
                listener=f'tls = {{ certificate = "{certificate}", key = "{key}", '
                f'client_ca = "{certificates.ca}", client_verify = "optional" }}',
                options=f'request_fields.set = {{ X-Client = "{shown}|{{certificate_names}}" }}',
                upstream=f'[record]\nfile = "{tmp_path}/run.log"',
            )
        )
        curl = ("curl", "-sS", "--cacert", str(certificates.ca), "-H", "X-Client: forged")
        url = f"https://localhost:{running.port('in')}/"
        tools.run(*curl, "-4", "--cert", str(of_client[0]), "--key", str(of_client[1]), url)
        tools.run(*curl, "-4", url)
        fields = [received.fields["X-Client"] for received in server.received]
    facts = ssl._ssl._test_decode_cert(str(of_client[0]))  # type: ignore[attr-defined]
    der = ssl.PEM_cert_to_DER_cert(of_client[0].read_text().partition("-----END")[0] + END)
    subject, issuer, serial, fingerprint, names = fields[0].split("|")
    assert "CN=client.example" in subject
    assert issuer.startswith("OU=Testing CA")
    assert serial == facts["serialNumber"]
    assert fingerprint == hashlib.sha256(der).hexdigest()
    assert names == "client.example"
    assert fields[1] == "||||"
    running.stop()
    replays(tmp_path / "run.log")


def test_certificates_with_names_of_all_kinds_and_letters(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    """A name of a folder of X.500 is none; letters outside of ASCII are escaped as in RFC 4514:
    replaced by one character, different subjects would be the same."""
    own = f"{tmp_path}/own"
    Path(f"{own}.cnf").write_text(NAMES_OF_ALL_KINDS, encoding="utf-8")
    files = ("-keyout", f"{own}.key", "-out", f"{own}.pem", "-config", f"{own}.cnf")
    tools.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files)
    certificate, key = certificates.issue("localhost")
    with origin() as server:
        running = proxy(
            web(
                server.uri,
                bind="tls://127.0.0.1:0",
                listener=f'tls = {{ certificate = "{certificate}", key = "{key}", '
                f'client_ca = "{own}.pem" }}',
                options='request_fields.set = { X-Client = "{certificate}|{certificate_names}" }',
            )
        )
        client = ("--cert", f"{own}.pem", "--key", f"{own}.key")
        url = f"https://localhost:{running.port('in')}/"
        tools.run("curl", "-sS", "-4", "--cacert", str(certificates.ca), *client, url)
        [field] = [received.fields["X-Client"] for received in server.received]
    assert field == r"CN=\C5\81ukasz|http://a.example/b\2Cc,a.example"


NAMES_OF_ALL_KINDS = """
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
utf8 = yes
[subject]
CN = Łukasz
[extensions]
subjectAltName = @names
[names]
dirName = folder
otherName = 1.2.3.4;UTF8:other
RID = 1.2.3.4
URI = "http://a.example/b,c"
DNS = a.example
[folder]
CN = inner
"""


class Keys:
    """Certificates of one authority with keys of each type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()

    def issue(self, file: str, kind: KeyType, *names: str) -> str:
        """Write FILE.pem and FILE.key; return the certificate."""
        issued = self.authority.issue_cert(*names, key_type=kind)
        (self.folder / file).parent.mkdir(exist_ok=True)
        issued.private_key_pem.write_to_path(self.folder / f"{file}.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / f"{file}.pem")
        return issued.cert_chain_pems[0].bytes().decode()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def test_clients_get_a_certificate_with_a_key_that_they_support(
    proxy: Starter, tools: Tools, certificates: Certificates, keys: Keys
) -> None:
    rsa = keys.issue("certs/a", KeyType.RSA, "localhost", "a.example")
    wild = keys.issue("certs/wild", KeyType.RSA, "*.example")
    running = proxy(echo(certificates, more=f', certificate_folder = "{keys.folder}/certs"'))
    ecdsa = certificates.issue("localhost")[0].read_text()
    for name, options, pem in (
        ("localhost", ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), rsa),
        ("localhost", ("-tls1_2", "-cipher", AES), ecdsa),
        ("localhost", ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), rsa),
        ("localhost", ("-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"), ecdsa),
        ("unknown", ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), rsa),
        ("a.example", (), rsa),
        ("b.example", (), wild),
        ("unknown", (), ecdsa),
    ):
        assert pem in s_client(tools, running, "-servername", name, *options), (name, options)


def test_files_that_are_added_to_the_folder_are_used(
    proxy: Starter, tools: Tools, certificates: Certificates, keys: Keys
) -> None:
    """As certbot adds them: a new folder, whose files are links to those of an archive."""
    (keys.folder / "live").mkdir()
    running = proxy(echo(certificates, more=f', certificate_folder = "{keys.folder}/live"'))

    def shown(name: str) -> str:
        return s_client(tools, running, "-servername", name)

    def used(times: int) -> None:
        running.wait_for("new connections use the changed TLS files", times)

    default = certificates.issue("localhost")[0].read_text()
    assert default in shown("a.example")
    first = keys.issue("archive/1", KeyType.ECDSA, "a.example")
    live = keys.folder / "live/a.example"
    live.mkdir()
    for name, suffix in (("fullchain", "pem"), ("privkey", "key")):
        (live / f"{name}.pem").symlink_to(f"../../archive/1.{suffix}")
    used(1)
    assert first in shown("a.example")
    second = keys.issue("archive/2", KeyType.ECDSA, "a.example")
    for name, suffix in (("fullchain", "pem"), ("privkey", "key")):
        (live / "new").symlink_to(f"../../archive/2.{suffix}")
        (live / "new").rename(live / f"{name}.pem")
    used(2)
    assert second in shown("a.example")
    third = keys.issue("live/b", KeyType.ECDSA, "b.example")
    used(3)
    assert third in shown("b.example")
    assert second in shown("a.example")
    for file in ("b.pem", "b.key"):
        (keys.folder / "live" / file).unlink()
    used(4)
    assert default in shown("b.example")


def test_half_a_pair_in_the_folder_leaves_all_certificates(
    proxy: Starter, tools: Tools, certificates: Certificates, keys: Keys
) -> None:
    first = keys.issue("certs/a", KeyType.ECDSA, "a.example")
    running = proxy(echo(certificates, more=f', certificate_folder = "{keys.folder}/certs"'))
    new = keys.issue("new", KeyType.ECDSA, "a.example")
    (keys.folder / "new.pem").rename(keys.folder / "certs/a.pem")
    running.wait_for("the changed TLS files are not used: key .*/a.key: does not belong to")
    assert first in s_client(tools, running, "-servername", "a.example")
    (keys.folder / "new.key").rename(keys.folder / "certs/a.key")
    running.wait_for("new connections use the changed TLS files")
    assert new in s_client(tools, running, "-servername", "a.example")


def test_an_expired_certificate_is_reported_and_served(
    proxy: Starter, tools: Tools, certificates: Certificates, keys: Keys
) -> None:
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3, hours=1)
    begin = then - datetime.timedelta(days=90)
    issued = keys.authority.issue_cert("a.example", not_before=begin, not_after=then)
    issued.private_key_and_cert_chain_pem.write_to_path(keys.folder / "old.pem")
    old = f'{{ certificate = "{keys.folder}/old.pem", key = "{keys.folder}/old.pem" }}'
    running = proxy(echo(certificates, more=f", certificates = [{old}]"))
    running.wait_for(
        r"WARNING configuration: .*:6:\d+: listener.echo.tls.certificates.0.certificate: "
        "/.*/old.pem has expired, 3 days ago: "
    )
    shown = s_client(tools, running, "-servername", "a.example")
    assert issued.cert_chain_pems[0].bytes().decode() in shown


# Servers

NGINX = (
    'location / { return 200 "$ssl_client_s_dn|$ssl_server_name|$ssl_alpn_protocol|'
    '$ssl_protocol|$ssl_cipher|$ssl_session_reused"; }'
)

HAPROXY = (
    "%[ssl_c_s_dn]|%[ssl_fc_sni]|%[ssl_fc_alpn]|%[ssl_fc_protocol]|%[ssl_fc_cipher]|"
    "%[ssl_fc_is_resumed]"
)


def serve(tools: Tools, folder: Path, certificates: Certificates, server: str) -> str:
    """Start a server for localhost that requires a certificate of the client, and answers with what
    it has learnt in the handshake; return its address."""
    certificate, key = certificates.issue("localhost")
    if server == "nginx":
        shows = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"
        # before 1.23.4 it has no TLS 1.3 by default
        versions = "ssl_protocols TLSv1.2 TLSv1.3; keepalive_timeout 0;"
        requires = f"ssl_client_certificate {certificates.ca}; ssl_verify_client on;"
        uri = nginx(tools, folder, f"{versions} {requires} {NGINX}", shows)
    else:
        uri = refusing()
        requires = f"ca-file {certificates.ca} verify required"
        both = folder / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        (folder / "haproxy.conf").write_text(f"""
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend in
    bind {uri.removeprefix("tcp://")} ssl crt {both} {requires} alpn http/1.1
    http-after-response set-header connection close
    http-request return status 200 content-type text/plain lf-string "{HAPROXY}"
""")
        tools.serve(uri, "haproxy", "-db", "-f", str(folder / "haproxy.conf"))
    return uri.replace("tcp://", "tls://")


def answers(tools: Tools, running: Running, count: int = 1) -> list[Sequence[str]]:
    url = f"http://127.0.0.1:{running.port('in')}/"
    return [tools.run("curl", "-sS", url).decode().split("|") for _ in range(count)]


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_what_a_server_gets(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path, server: str
) -> None:
    """The server is reached by its IP address, which is not in its certificate."""
    uri = serve(tools, tmp_path, certificates, server)
    certificate, key = certificates.issue("client")
    mine = f'ca = "{certificates.ca}", certificate = "{certificate}", key = "{key}"'
    more = f'server_name = "localhost", alpn = ["http/1.1"], max_version = "1.2", ciphers = "{AES}"'
    running = proxy(web(uri, upstream=f"tls = {{ {mine}, {more}, resume = false }}"))
    for answer in answers(tools, running, 3):
        assert "CN=client" in answer[0]
        assert answer[1:5] == ["localhost", "http/1.1", "TLSv1.2", AES]
        assert answer[5] in (".", "0")  # not resumed


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_a_name_is_verified_that_is_not_sent(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path, server: str
) -> None:
    uri = serve(tools, tmp_path, certificates, server)
    certificate, key = certificates.issue("client")
    mine = f'ca = "{certificates.ca}", certificate = "{certificate}", key = "{key}"'
    running = proxy(web(uri, upstream=f'tls = {{ {mine}, verify_name = "localhost" }}'))
    first, *later = answers(tools, running, 3)
    assert first[1] in ("", "-")  # an IP address is not sent
    assert first[3] == "TLSv1.3"
    assert {answer[5] for answer in later} <= {"r", "1"}  # resumed, as it has been verified
    other = proxy(web(uri, upstream=f'tls = {{ {mine}, verify_name = "other.example" }}'))
    assert b"502" in tools.run("curl", "-sSi", f"http://127.0.0.1:{other.port('in')}/")
    other.wait_for("the peer's certificate is refused: it is not for other.example")


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_a_server_that_requires_a_certificate_refuses_us_without(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path, server: str
) -> None:
    uri = serve(tools, tmp_path, certificates, server).replace("127.0.0.1", "localhost")
    running = proxy(web(uri, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    url = f"http://127.0.0.1:{running.port('in')}/"
    answer = tools.run("curl", "-sSi", url).decode()
    if server == "nginx":  # it makes the connection, and answers itself
        assert "No required SSL certificate was sent" in answer
    else:
        assert " 502 " in answer
        running.wait_for("the peer requires our certificate, and we have none")


def test_a_health_check_presents_the_certificate(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    uri = serve(tools, tmp_path, certificates, "haproxy")
    certificate, key = certificates.issue("client")
    mine = f'ca = "{certificates.ca}", certificate = "{certificate}", key = "{key}"'
    check = 'check = { kind = "http", interval = "50ms", rise = 1, fall = 1 }'
    tls = f'tls = {{ {mine}, verify_name = "localhost" }}'
    running = proxy(web(uri, upstream=f"{check}\n{tls}"))
    assert "CN=client" in answers(tools, running)[0][0]
    other = proxy(web(uri, upstream=f"{check}\n{tls.replace('localhost', 'a.example')}"))
    other.wait_for("it is not for a.example")


def test_s_server_gets_the_group_and_the_protocols(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.issue("localhost")
    uri = refusing()
    port = uri.rpartition(":")[2]
    tools.serve(
        uri,
        *("openssl", "s_server", "-accept", port, "-rev", "-quiet", "-groups", "P-384"),
        *("-cert", str(certificate), "-key", str(key)),
    )
    server = f"tls://localhost:{port}"
    running = proxy(forward(server, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    with running.connect("in") as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"olleh\n"
    tls = f'tls = {{ ca = "{certificates.ca}", groups = "X25519" }}'
    other = proxy(forward(server, upstream=tls))
    with other.connect("in") as client:
        assert all_of(client) == b""
    other.wait_for("no cipher, group or certificate type in common .reported by the peer.")
