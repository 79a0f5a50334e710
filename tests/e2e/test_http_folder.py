"""Files of a folder on real disks: beside nginx, with TLS, with real clients, in a recording."""

from __future__ import annotations

import hashlib
import os
import ssl
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import connect, eventually, refusing
from tests.e2e.test_command_line import vcproxy
from tests.e2e.test_recording import replays

LARGE = bytes(range(256)) * 20_000

CONF = """
[[listener]]
name = "in"
bind = "{bind}"
plugin = "http_proxy"
options = {{ folder = {{ root = "www" }} }}
{more}
"""

NGINX = """
user root;
daemon off;
pid {scratch}/pid;
error_log {scratch}/error.log;
events {{ }}
http {{
    access_log off;
    types {{ text/css css; text/html html; text/plain txt; }}
    default_type application/octet-stream;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        disable_symlinks if_not_owner from=$document_root;
    }}
}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    www = tmp_path / "www"
    (www / "sub").mkdir(parents=True)
    (www / "index.html").write_text("<h1>index</h1>")
    (www / "sub" / "a b.txt").write_text("spaced")
    (www / "empty.txt").touch()
    (www / "large").write_bytes(LARGE)
    (tmp_path / "secret").write_text("secret")
    (www / "out").symlink_to("../secret")
    (www / "current").symlink_to("sub")
    os.mkfifo(www / "fifo")
    return www


def ask(port: int, method: str, target: str, **fields: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, target)
        for name, value in fields.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/", {}),
    ("GET", "/index.html?x=1", {}),
    ("GET", "/large", {}),
    ("HEAD", "/large", {}),
    ("GET", "/empty.txt", {}),
    ("GET", "/sub/a%20b.txt", {}),
    ("GET", "/current/a%20b.txt", {}),
    ("GET", "/sub/../sub//a%20b.txt", {}),
    ("GET", "/missing", {}),
    ("GET", "/index.html/", {}),
    ("GET", "/large", {"Range": "bytes=0-99"}),
    ("GET", "/large", {"Range": "bytes=100000-"}),
    ("GET", "/large", {"Range": "bytes=-7"}),
    ("GET", "/large", {"Range": "bytes=9999999-"}),
    ("GET", "/large", {"Range": "bytes=0-,0-"}),
    ("GET", "/large", {"Range": "bytes=0-1", "If-Range": '"other"'}),
    ("HEAD", "/large", {"Range": "bytes=0-1"}),
    ("GET", "/large", {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}),
    ("GET", "/large", {"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}),
    ("GET", "/large", {"If-Match": '"other"'}),
    ("GET", "/large", {"If-None-Match": "*"}),
    ("POST", "/index.html", {"Content-Length": "0"}),
]

DIFFERENT = {
    # nginx compares the date exactly by default (if_modified_since), which RFC 9110 allows
    ("GET", "/large", "Fri, 31 Dec 2100 23:59:59 GMT"): (304, 200),
    # a Range of HEAD is to be ignored (RFC 9110, 14.2); nginx uses it
    ("HEAD", "/large", "bytes=0-1"): (200, 206),
}


def test_it_answers_as_nginx_does(
    proxy: Starter, tools: Tools, folder: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "nginx"
    scratch.mkdir()
    port = int(refusing().rpartition(":")[2])
    config = scratch / "nginx.conf"
    config.write_text(NGINX.format(scratch=scratch, port=port, root=folder))
    tools.serve(f"tcp://127.0.0.1:{port}", "nginx", "-p", str(scratch), "-c", str(config))
    ours = proxy(CONF.format(bind="tcp://127.0.0.1:0", more="")).port("in")
    for method, target, fields in REQUESTS:
        named = {name.replace("-", "_"): value for name, value in fields.items()}
        their, their_body = ask(port, method, target, **named)
        our, our_body = ask(ours, method, target, **named)
        key = (method, target, *list(fields.values())[:1])
        if key in DIFFERENT:
            assert (our.status, their.status) == DIFFERENT[key], key
            continue
        assert our.status == their.status, key
        for name in ("Content-Range", "Last-Modified"):
            assert our.getheader(name) == their.getheader(name), (key, name)
        if our.status < 300:
            assert our.getheader("Content-Length") == their.getheader("Content-Length"), key
            assert our_body == their_body, key


def test_what_is_no_file_is_refused(proxy: Starter, folder: Path) -> None:
    port = proxy(CONF.format(bind="tcp://127.0.0.1:0", more="")).port("in")
    for target, status in {
        "/out": 403, "/fifo": 403, "/sub": 301, "/sub/": 404, "/%2e%2e/secret": 404,
        "/..%2fsecret": 404, "/../secret": 404, "/sub/..%5c..%5csecret": 404,
    }.items():  # fmt: skip
        response, body = ask(port, "GET", target)
        assert response.status == status, target
        assert b"secret" not in body


@pytest.mark.parametrize("options", [("-r", "5-9"), ("-C", "-"), ("--compressed",), ("--http1.0",)])
def test_curl(
    proxy: Starter, tools: Tools, folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    uri = proxy(CONF.format(bind="tcp://127.0.0.1:0", more="")).uri("in").replace("tcp:", "http:")
    got = tmp_path / "got"
    if "-C" in options:
        got.write_bytes(LARGE[:1000])
    tools.run("curl", "-sf", *options, "-o", str(got), f"{uri}/large")
    assert got.read_bytes() == (LARGE[5:10] if "-r" in options else LARGE)


def test_with_tls(proxy: Starter, folder: Path, certificates: Certificates) -> None:
    chain, key = certificates.issue("localhost")
    more = f'tls = {{ certificate = "{chain}", key = "{key}" }}'
    running = proxy(CONF.format(bind="tls://127.0.0.1:0", more=more))
    context = ssl.create_default_context(cafile=str(certificates.ca))
    with (
        running.connect("in") as sock,
        context.wrap_socket(sock, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET /large HTTP/1.0\r\nHost: a\r\n\r\n")
        data = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert hashlib.sha256(data.partition(b"\r\n\r\n")[2]).digest() == hashlib.sha256(LARGE).digest()


def test_slow_clients_get_what_was_opened(proxy: Starter, folder: Path) -> None:
    running = proxy(CONF.format(bind="tcp://127.0.0.1:0", more=""))
    with connect(running.uri("in")) as client:
        client.sendall(b"GET /large HTTP/1.0\r\nHost: a\r\n\r\n")
        data = client.recv(1000)
        (folder / "new").write_bytes(b"new")
        (folder / "new").rename(folder / "large")
        while piece := client.recv(1 << 16):
            data += piece
    assert data.endswith(LARGE)
    eventually(lambda: ask(running.port("in"), "GET", "/large")[1] == b"new", "the new file")


def test_a_file_that_gets_shorter_resets_the_client(proxy: Starter, folder: Path) -> None:
    running = proxy(CONF.format(bind="tcp://127.0.0.1:0", more=""))
    big = folder / "big"
    with big.open("wb") as file:
        file.truncate(1 << 28)  # more than sockets hold
    with connect(running.uri("in")) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        client.recv(1000)
        os.truncate(big, 1000)
        with pytest.raises(ConnectionResetError):
            client.makefile("rb").read()
    running.wait_for("big: shorter than when it was opened")


def test_no_descriptor_is_left(proxy: Starter, folder: Path) -> None:
    running = proxy(CONF.format(bind="tcp://127.0.0.1:0", more=""))

    def files() -> list[str]:
        links = Path(f"/proc/{running.pid}/fd").iterdir()
        return [name for each in links if (name := _target(each)).startswith(str(folder))]

    for name in ("index.html", "large", "empty.txt"):
        ask(running.port("in"), "GET", f"/{name}")
    eventually(lambda: not files(), "all files are closed")


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def test_a_recording_is_replayed_without_the_files(
    proxy: Starter, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    text = CONF.format(bind="tcp://127.0.0.1:0", more="")
    running = proxy(f'{text}\n[record]\nfile = "{log}"\n')
    port = running.port("in")
    assert ask(port, "GET", "/large")[1] == LARGE
    assert ask(port, "GET", "/missing")[0].status == 404
    assert ask(port, "GET", "/large", Range="bytes=1-3")[1] == LARGE[1:4]
    running.stop()
    (folder / "large").unlink()
    replays(log)


def test_a_folder_that_is_missing_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(CONF.format(bind="tcp://127.0.0.1:0", more=""))
    status, out, err = vcproxy("-t", "-c", file)
    assert status == 0
    assert "proxy.toml:6:" in out + err
    assert "is not a directory that this user can see" in out + err
