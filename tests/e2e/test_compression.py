"""Compression between real programs: nginx as server, cache and peer; curl, Python's clients."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import Running, free_port
from tests.e2e.web import web

PAGE = " ".join(random.Random(18).choices(["one", "two", "three", "four", "five"], k=400_000))
"""2 MB of text: it does not fit into any buffer on its way."""

NGINX = """\
user root;
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    types {{ text/html html; text/plain txt; image/png png; }}
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


def started(tools: Tools, folder: Path, server: str) -> str:
    """Run an nginx whose server has these lines; return its URI."""
    folder.mkdir()
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, server=server))
    tools.serve(f"tcp://127.0.0.1:{port}", "nginx", "-p", str(folder), "-c", str(conf))
    return f"127.0.0.1:{port}"


@pytest.fixture
def origin(tools: Tools, tmp_path: Path) -> str:
    """A server of files."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "page.html").write_text(PAGE)
    (root / "small.txt").write_text("x" * 100)
    (root / "image.png").write_bytes(bytes(5000))
    (root / "coded.html").write_bytes(gzip.compress(PAGE.encode()))
    lines = f"""
        root {root};
        location = /coded.html {{ add_header Content-Encoding gzip; }}
        location = /fixed.html {{ add_header Cache-Control no-transform; alias {root}/page.html; }}
        location = /kept.html {{ add_header Cache-Control max-age=60; alias {root}/page.html; }}
    """
    return started(tools, tmp_path / "origin", lines)


def url(running: Running, path: str) -> str:
    return f"http://127.0.0.1:{running.port('in')}{path}"


def test_curl_decodes_every_coding(
    proxy: Starter, tools: Tools, origin: str, tmp_path: Path
) -> None:
    codings = 'compression = { codings = ["zstd", "br", "gzip"] }'
    running = proxy(web(f"tcp://{origin}", options=codings))
    known = tools.run("curl", "--version").decode()
    for coding, feature in (("gzip", "libz"), ("br", "brotli"), ("zstd", "zstd")):
        if feature not in known:
            assert coding != "gzip"
            continue
        saved, head = tmp_path / "saved", tmp_path / "head"
        tools.run(
            *("curl", "-sS", "--max-time", "60", "--compressed"),
            *("-H", f"Accept-Encoding: {coding}"),
            *("-D", str(head), "-o", str(saved), url(running, "/page.html")),
        )
        assert f"\nContent-Encoding: {coding}\n" in head.read_text()
        assert saved.read_text() == PAGE


def test_a_client_that_keeps_the_tag_gets_304(proxy: Starter, tools: Tools, origin: str) -> None:
    running = proxy(web(f"tcp://{origin}", options="compression = {}"))
    with requests.Session() as client:  # asks for gzip, deflate
        first = client.get(url(running, "/page.html"), timeout=60)
        assert first.text == PAGE
        tag = first.headers["ETag"]
        assert tag.startswith('W/"')
        again = client.get(url(running, "/page.html"), headers={"If-None-Match": tag}, timeout=60)
        assert (again.status_code, again.headers["ETag"]) == (304, tag)


CASES = {
    "a page": ("/page.html", "GET", {}),
    "no coding": ("/page.html", "GET", {"Accept-Encoding": "identity"}),
    "gzip refused": ("/page.html", "GET", {"Accept-Encoding": "gzip;q=0"}),
    "any coding": ("/page.html", "GET", {"Accept-Encoding": "deflate, *"}),
    "a part": ("/page.html", "GET", {"Range": "bytes=5-2000"}),
    "a small one": ("/small.txt", "GET", {}),
    "an image": ("/image.png", "GET", {}),
    "a coded one": ("/coded.html", "GET", {}),
    "none at all": ("/nothing.html", "GET", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_compressed_is_what_nginx_compresses(
    proxy: Starter, tools: Tools, origin: str, tmp_path: Path, case: str
) -> None:
    path, method, fields = CASES[case]
    peer = started(
        tools,
        tmp_path / "peer",
        f"""
        gzip on; gzip_types text/plain; gzip_min_length 1024; gzip_proxied any; gzip_vary on;
        location / {{ proxy_pass http://{origin}; proxy_http_version 1.1; }}
        """,
    )
    running = proxy(web(f"tcp://{origin}", options="compression = {}"))
    seen = []
    for place in (f"http://{peer}{path}", url(running, path)):
        sent = {"Accept-Encoding": "gzip"} | fields
        got = requests.request(method, place, headers=sent, timeout=60)
        names = ("Content-Encoding", "ETag", "Accept-Ranges", "Content-Range")
        seen.append((got.status_code, [got.headers.get(name) for name in names], got.content))
    theirs, ours = seen
    if case == "any coding":  # nginx looks for the text "gzip"
        assert theirs[1][0] is None
        assert ours[1][0] == "gzip"
        assert theirs[2] == ours[2]
    else:
        assert ours == theirs


def test_no_transform_is_obeyed_unlike_by_nginx(
    proxy: Starter, tools: Tools, origin: str, tmp_path: Path
) -> None:
    lines = f"gzip on; gzip_proxied any; location / {{ proxy_pass http://{origin}; }}"
    peer = started(tools, tmp_path / "peer", lines)
    running = proxy(web(f"tcp://{origin}", options="compression = {}"))
    for place, coding in (
        (f"http://{peer}/fixed.html", "gzip"),
        (url(running, "/fixed.html"), None),
    ):
        got = requests.get(place, timeout=60)
        assert got.text == PAGE
        assert got.headers["Cache-Control"] == "no-transform"
        assert got.headers.get("Content-Encoding") == coding


def test_head_has_the_fields_of_get_as_with_nginx(
    proxy: Starter, tools: Tools, origin: str, tmp_path: Path
) -> None:
    lines = f"gzip on; gzip_proxied any; location / {{ proxy_pass http://{origin}; }}"
    peer = started(tools, tmp_path / "peer", lines)
    running = proxy(web(f"tcp://{origin}", options="compression = {}"))
    for place in (f"http://{peer}/page.html", url(running, "/page.html")):
        got = requests.head(place, headers={"Accept-Encoding": "gzip"}, timeout=60)
        assert got.headers["Content-Encoding"] == "gzip"
        assert got.headers["ETag"].startswith('W/"')
        assert "Content-Length" not in got.headers


def test_a_cache_in_front_keeps_both_forms(
    proxy: Starter, tools: Tools, origin: str, tmp_path: Path
) -> None:
    running = proxy(web(f"tcp://{origin}", options="compression = {}"))
    cache = started(
        tools,
        tmp_path / "front",
        f"""
        location / {{
            proxy_pass http://127.0.0.1:{running.port("in")};
            proxy_http_version 1.1;
            proxy_cache pages;
            add_header X-Cache $upstream_cache_status;
        }}
        """,
    )
    for state in ("MISS", "HIT"):
        for accept, coding in (("gzip", "gzip"), ("identity", None)):
            got = requests.get(
                f"http://{cache}/kept.html", headers={"Accept-Encoding": accept}, timeout=60
            )
            assert got.headers["X-Cache"] == state
            assert got.headers.get("Content-Encoding") == coding
            assert got.text == PAGE
