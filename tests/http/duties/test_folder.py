"""folder: files of a folder, in place of a server."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.http.proxy.harness import Http, request
from tests.http.proxy.test_options import read, refused
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.sources.stored_file import StoredFile
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

PAGE = b"<h1>Hello</h1>\n"
LARGE = bytes(range(256)) * 4096


def www(proxy: SimulatedHttp) -> SimulatedHttp:
    """The same, with files."""
    files = proxy.sim.files
    files.write("/srv/www/index.html", PAGE)
    files.write("/srv/www/style.css", "p {}")
    files.write("/srv/www/docs/index.html", "docs")
    files.write("/srv/www/docs/a b.txt", "spaced")
    files.write("/srv/www/large", LARGE)
    files.write("/srv/www/empty.txt", "")
    files.write("/srv/www/.env", "secret")
    files.write("/srv/www/.git/config", "secret")
    files.write("/srv/www/.well-known/security.txt", "Contact: me")
    files.write("/srv/secret", "secret")
    files.symlink("/srv/www/out", "../secret")
    files.symlink("/srv/www/in", "style.css")
    return proxy


def serving(**folder: Any) -> SimulatedHttp:
    options = read(folder={"root": "/srv/www", **folder})
    return www(SimulatedHttp(options=options))


def get(target: str, method: str = "GET", **fields: str) -> Request:
    return Request(
        method,
        target,
        {name.replace("_", "-"): value for name, value in fields.items()},
        host="a.example",
    )


def shown(response: Response) -> tuple[int, bytes]:
    return response.status, response.content


# -- what is sent --------------------------------------------------------------------------------


def test_a_file() -> None:
    with serving() as proxy:
        got = proxy.send(get("/style.css"))
        assert shown(got) == (200, b"p {}")
        assert got.fields["Content-Type"] == "text/css; charset=utf-8"
        assert got.fields["Content-Length"] == "4"
        assert got.fields["Accept-Ranges"] == "bytes"
        assert got.fields["Last-Modified"] == got.fields["Date"]  # virtual time has not passed
        assert got.fields["ETag"].startswith('"')
        assert proxy.received() == []


def test_the_index_of_a_directory() -> None:
    with serving() as proxy:
        assert shown(proxy.send(get("/"))) == (200, PAGE)
        assert shown(proxy.send(get("/docs/"))) == (200, b"docs")
        got = proxy.send(get("/docs?a=1"))
        assert (got.status, got.fields["Location"]) == (301, "/docs/?a=1")


def test_a_directory_without_an_index_is_not_listed() -> None:
    with serving(index=["home.html"]) as proxy:
        assert proxy.send(get("/docs/")).status == 404
        assert proxy.send(get("/")).status == 404


def test_names_are_unescaped() -> None:
    with serving() as proxy:
        assert shown(proxy.send(get("/docs/a%20b.txt"))) == (200, b"spaced")
        assert shown(proxy.send(get("/x/../%73tyle.css?v=2"))) == (200, b"p {}")


def test_head_has_the_length_and_no_body() -> None:
    with serving() as proxy:
        got = proxy.send(get("/large", "HEAD"))
        assert shown(got) == (200, b"")
        assert got.fields["Content-Length"] == str(len(LARGE))


def test_an_empty_file() -> None:
    with serving() as proxy:
        got = proxy.send(get("/empty.txt"))
        assert shown(got) == (200, b"")
        assert got.fields["Content-Length"] == "0"
        assert proxy.send(get("/empty.txt", Range="bytes=0-")).status == 416


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(method: str) -> None:
    with serving() as proxy:
        got = proxy.send(get("/style.css", method))
        assert (got.status, got.fields["Allow"]) == (405, "GET, HEAD")


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving() as proxy:
        targets = ["/large", "/style.css", "/missing", "/", "/large", "/docs/"]
        got = [shown(each) for each in proxy.send_all(*map(get, targets))]
        assert got == [
            (200, LARGE),
            (200, b"p {}"),
            (404, b"404 Not Found\n"),
            (200, PAGE),
            (200, LARGE),
            (200, b"docs"),
        ]


def test_the_fallback_of_an_application() -> None:
    with serving(fallback="index.html") as proxy:
        assert shown(proxy.send(get("/orders/7"))) == (200, PAGE)
        assert shown(proxy.send(get("/style.css"))) == (200, b"p {}")
        proxy.sim.files.delete("/srv/www/index.html")
        proxy.elapse(3)
        assert proxy.send(get("/orders/7")).status == 404


def test_types() -> None:
    with serving(types={"css": "text/x-own"}, default_type="text/plain") as proxy:
        assert proxy.send(get("/style.css")).fields["Content-Type"] == "text/x-own"
        assert proxy.send(get("/large")).fields["Content-Type"] == "text/plain"


# -- compressed files ----------------------------------------------------------------------------


def test_compressed_files_beside_a_file() -> None:
    with serving(precompressed=["br", "gzip"]) as proxy:
        files = proxy.sim.files
        files.write("/srv/www/style.css.gz", "gzipped")
        files.write("/srv/www/docs/index.html.br", "brotli")
        seen = {}
        for target, accepted in [
            ("/style.css", "gzip, br"),
            ("/style.css", "gzip"),
            ("/style.css", "gzip;q=0"),
            ("/docs/", "br"),
        ]:
            got = proxy.send(get(target, Accept_Encoding=accepted))
            assert got.fields["Vary"] == "Accept-Encoding"
            seen[target, accepted] = (
                got.content, got.fields.get("Content-Encoding"), got.fields["Content-Type"],
            )  # fmt: skip
            assert got.fields["ETag"].endswith('-gzip"') == (got.content == b"gzipped")
        css, html = "text/css; charset=utf-8", "text/html; charset=utf-8"
        assert seen == {
            ("/style.css", "gzip, br"): (b"p {}", None, css),  # there is no a.css.br
            ("/style.css", "gzip"): (b"gzipped", "gzip", css),
            ("/style.css", "gzip;q=0"): (b"p {}", None, css),
            ("/docs/", "br"): (b"brotli", "br", html),
        }


# -- what is never sent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/../secret", "/..%2fsecret", "/%2e%2e/secret", "/%2E%2E%2Fsecret", "/.%2e/secret",
        "/docs/../../secret", "/docs/%2e%2e/%2e%2e/secret", "//../secret", "/./../secret",
        "/..;/secret", "/..%00/secret", "/..%5csecret", "/..\\secret", "/%2e%2e%5csecret",
        "/%252e%252e/secret", "/%252e%252e%252fsecret", "/%c0%ae%c0%ae/secret",
        "/%c0%ae%c0%ae%c0%afsecret", "/%ef%bc%8e%ef%bc%8e/secret", "/%u002e%u002e/secret",
        "/....//secret", "/srv/secret", "/%2fsrv/secret", "/file:///srv/secret", "/style.css%00",
        "/style.css/", "/style.css/.", "/style.css%2f..%2f..%2fsecret", "/docs/..%2f..%2fsecret",
        "http://a.example/../secret", "/%", "/%zz", "/%2", "/a%0ab", "/a%7fb", "/docs%5c",
    ],
)  # fmt: skip
def test_no_spelling_leads_out_of_the_folder(target: str) -> None:
    with serving(dot_files=True) as proxy:
        got = proxy.send(get(target))
        assert shown(got) == (404, b"404 Not Found\n")


def test_symlinks_that_lead_out_are_refused() -> None:
    with serving() as proxy:
        assert shown(proxy.send(get("/in"))) == (200, b"p {}")
        assert shown(proxy.send(get("/out"))) == (403, b"403 Forbidden\n")


@pytest.mark.parametrize("target", ["/.env", "/.git/config", "/%2eenv", "/docs/../.env", "/.git/"])
def test_dot_files_are_sent_only_if_that_is_wished(target: str) -> None:
    with serving() as proxy:
        assert proxy.send(get(target)).status == 404
        assert shown(proxy.send(get("/.well-known/security.txt"))) == (200, b"Contact: me")
    with serving(dot_files=True, index=["config"]) as proxy:
        assert shown(proxy.send(get(target))) == (200, b"secret")


def test_a_file_that_may_not_be_read() -> None:
    with serving() as proxy:
        proxy.sim.files.allow("/srv/www/style.css", False)
        assert proxy.send(get("/style.css")).status == 403


def test_the_redirect_to_a_directory_names_no_other_host() -> None:
    with serving() as proxy:
        proxy.sim.files.mkdir("/srv/www/evil.example")
        got = proxy.send(get("//evil.example"))
        assert (got.status, got.fields["Location"]) == (301, "/evil.example/")
        assert proxy.send(get("/\\evil.example")).status == 404


# -- conditions and ranges -----------------------------------------------------------------------


def test_conditional_requests() -> None:
    with serving() as proxy:
        first = proxy.send(get("/style.css"))
        tag, date = first.fields["ETag"], first.fields["Last-Modified"]
        for fields in ({"If_None_Match": tag}, {"If_Modified_Since": date}):
            got = proxy.send(get("/style.css", **fields))
            assert shown(got) == (304, b"")
            assert got.fields["ETag"] == tag
            assert "Content-Type" not in got.fields
            assert "Content-Length" not in got.fields
        got = proxy.send(get("/style.css", If_Match='"other"'))
        assert got.status == 412
        proxy.elapse(5)
        proxy.sim.files.write("/srv/www/style.css", "new")
        got = proxy.send(get("/style.css", If_None_Match=tag))
        assert shown(got) == (200, b"new")
        assert got.fields["ETag"] != tag


def test_one_range() -> None:
    with serving() as proxy:
        got = proxy.send(get("/large", Range="bytes=1000-1003"))
        assert shown(got) == (206, LARGE[1000:1004])
        assert got.fields["Content-Range"] == f"bytes 1000-1003/{len(LARGE)}"
        assert shown(proxy.send(get("/large", Range="bytes=-3"))) == (206, LARGE[-3:])
        got = proxy.send(get("/large", Range="bytes=99999999-"))
        assert (got.status, got.fields["Content-Range"]) == (416, f"bytes */{len(LARGE)}")


def test_several_ranges() -> None:
    with serving() as proxy:
        got = proxy.send(get("/large", Range="bytes=0-3, 65536-65539,-2"))
        assert got.status == 206
        kind, _, boundary = got.fields["Content-Type"].partition("; boundary=")
        assert kind == "multipart/byteranges"
        head, *parts, end = got.content.split(f"\r\n--{boundary}".encode())
        assert (head, end) == (b"", b"--\r\n")
        size = len(LARGE)
        assert [each.partition(b"\r\n\r\n") for each in parts] == [
            (
                b"\r\nContent-Type: application/octet-stream\r\n"
                + f"Content-Range: bytes {place}/{size}".encode(),
                b"\r\n\r\n",
                content,
            )
            for place, content in [
                ("0-3", LARGE[:4]),
                ("65536-65539", LARGE[65536:65540]),
                (f"{size - 2}-{size - 1}", LARGE[-2:]),
            ]
        ]


def test_a_range_of_a_state_that_is_gone_is_the_whole_file() -> None:
    with serving() as proxy:
        got = proxy.send(get("/large", Range="bytes=0-3", If_Range='"old"'))
        assert shown(got) == (200, LARGE)
        tag = got.fields["ETag"]
        assert proxy.send(get("/large", Range="bytes=0-3", If_Range=tag)).status == 206


# -- where it stands -----------------------------------------------------------------------------


def test_the_path_counts_from_that_of_the_route() -> None:
    options = read(routes=[{"path": "/static", "folder": {"root": "/srv/www"}}, {}])
    with www(SimulatedHttp(options=options)) as proxy:
        assert shown(proxy.send(get("/static/style.css"))) == (200, b"p {}")
        assert proxy.send(get("/static")).fields["Location"] == "/static/"
        assert shown(proxy.send(get("/static/"))) == (200, PAGE)
        assert shown(proxy.send(get("/style.css"))) == (200, b"ok\n")  # of the server


def test_filters_come_before_it() -> None:
    class Guard(Filter):
        def request_head(self, tx: Transaction) -> Response | None:
            return Response(401) if "Authorization" not in tx.request.fields else None

    with www(SimulatedHttp(Guard(), options=read(folder={"root": "/srv/www"}))) as proxy:
        assert proxy.send(get("/style.css")).status == 401
        assert proxy.send(get("/style.css", Authorization="x")).status == 200


def test_duties_apply_to_its_responses() -> None:
    options = read(folder={"root": "/srv/www"}, response_fields={"set": {"X-A": "1"}})
    with www(SimulatedHttp(options=options)) as proxy:
        for target in ("/style.css", "/missing"):
            assert proxy.send(get(target)).fields["X-A"] == "1"


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ({}, "folder.root: "),
        ({"root": ""}, "folder.root: must be the path of a file"),
        ({"root": "/a", "index": ["a/b"]}, "folder.index.0: 'a/b' is not the name of a file"),
        ({"root": "/a", "fallback": "../x"}, "folder.fallback: '../x' is not a path below"),
        ({"root": "/a", "types": {".css": "a/b"}}, "folder.types..css"),
        ({"root": "/a", "precompressed": ["deflate"]}, "folder.precompressed.0: "),
    ],
)
def test_refused(folder: dict[str, object], error: str) -> None:
    problems = refused(folder=folder)
    assert problems[0].startswith(error), problems


def test_a_route_has_one_destination() -> None:
    (problem,) = refused(routes=[{"folder": {"root": "/a"}, "answer": {"body": "x"}}])
    assert problem == "routes.0: a route has a folder, an upstream or an answer, one of them"


# -- when something happens ----------------------------------------------------------------------


class Site(Http):
    """A folder, and a check at the end that no connection, no memory and no file is left."""

    def __init__(self, **options: Any) -> None:
        super().__init__(options=read(folder={"root": "/srv/www"}, **options), servers=())
        www(self)  # type: ignore[arg-type]

    def stalled(self, target: str) -> Peer:
        """A client that has asked for a file and reads nothing."""
        client = self.send(request(target=target))
        client.stall()
        self.go()
        return client

    @property
    def open_files(self) -> int:
        return sum(isinstance(each, StoredFile) for each in self.engine.sources.values())

    def _leave(self) -> None:
        super()._leave()
        assert not self.open_files, "a file stays open"


def test_a_client_that_reads_slowly_gets_all_of_it() -> None:
    with Site() as site:
        client = site.stalled("/large")
        site.elapse(20)
        assert site.engine.memory.used < 1000, "ranges of files occupy no memory"
        client.resume()
        site.elapse(1)
        assert bytes(client.received).endswith(LARGE)


def test_a_client_that_reads_nothing_is_reset_in_the_end() -> None:
    with Site(timeouts={"stalled": "10s"}) as site:
        client = site.stalled("/large")
        site.elapse(11)
        assert client.reset_seen
        assert any("connection timed out inside the body" in line for line in site.log)


def test_the_time_for_the_whole_request() -> None:
    with Site(timeouts={"active": "5s"}) as site:
        client = site.stalled("/large")
        site.elapse(6)
        assert client.reset_seen


def test_a_client_that_leaves_lets_go_of_the_file() -> None:
    with Site() as site:
        client = site.stalled("/large")
        assert site.open_files == 1
        client.reset()
        site.elapse(5)
        assert site.open_files == 0
        assert any("response aborted" in line for line in site.log)


def test_a_file_that_got_shorter_cuts_the_response_off() -> None:
    with Site() as site:
        client = site.stalled("/large")
        site.sim.files.write("/srv/www/large", "short")
        client.resume()
        site.elapse(1)
        assert client.reset_seen, "it must not be taken for complete"
        assert len(client.received) < len(LARGE)
        (line,) = [each for each in site.log if "response aborted" in each]
        assert line.endswith("proxy: file /srv/www/large: shorter than when it was opened")


def test_a_replaced_file_is_sent_as_it_was_opened() -> None:
    with Site() as site:
        client = site.stalled("/large")
        site.sim.files.write("/srv/www/large.new", "new")
        site.sim.files.rename("/srv/www/large.new", "/srv/www/large")
        site.elapse(5)
        client.resume()
        other = site.send(request(target="/large"))
        site.elapse(1)
        assert bytes(client.received).endswith(LARGE)
        assert bytes(other.received).endswith(b"\r\n\r\nnew")


def test_a_body_that_is_not_read_closes_the_connection() -> None:
    with Site() as site:
        client = site.send(request("GET", "/style.css", "Content-Length: 5"))
        site.elapse(5)
        assert b"200 OK" in client.received
        assert b"Connection: close" in client.received


def test_the_access_log_has_what_was_sent() -> None:
    options = read(folder={"root": "/srv/www"})
    with www(SimulatedHttp(options=options)) as proxy:
        proxy.send_all(get("/large"), get("/style.css"), get("/large", "HEAD"), get("/no"))
        assert [logged(each) for each in proxy.access_log] == [
            (200, len(LARGE), "folder", "--"),
            (200, 4, "folder", "--"),
            (200, 0, "folder", "--"),
            (404, 14, "folder", "LR"),
        ]


def logged(record: dict[str, object]) -> tuple[object, ...]:
    return tuple(record[each] for each in ("status", "bytes_down", "answered_by", "end"))


def test_the_access_log_has_what_was_sent_until_something_failed() -> None:
    with Site(timeouts={"stalled": "10s"}) as site:
        site.stalled("/large")
        site.elapse(11)
        client = site.stalled("/large")
        client.reset()
        site.elapse(1)
        first, second = site.access_log
        assert logged(first)[2:] == ("folder", "cD")
        assert 0 < int(str(first["bytes_down"])) < len(LARGE)
        assert logged(second)[2:] == ("folder", "CD")


@pytest.mark.parametrize("seed", range(20))
def test_on_a_rough_network(seed: int) -> None:
    faults = NetworkFaults.all().some(Random(seed))
    options = read(folder={"root": "/srv/www"})
    with www(SimulatedHttp(options=options, faults=faults, seed=seed)) as proxy:
        client = proxy.client()
        targets = ["/large", "/style.css", "/missing", "/docs/", "/large"]
        client.send(b"".join(request(target=each) for each in targets))
        proxy.elapse(60)
        data = bytes(client.received)
        whole = [LARGE, b"p {}", b"404 Not Found\n", b"docs", LARGE]
        for body in whole:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end or len(rest) < len(body):
                assert client.reset_seen or client.error is not None or client.ended, head
                assert body.startswith(rest)
                break
            assert rest[: len(body)] == body
            data = rest[len(body) :]


@pytest.mark.parametrize("at_route", [False, True])
def test_the_redirect_to_a_directory_has_the_path_before_it_was_rewritten(at_route: bool) -> None:
    rewrite = {"rewrite": {"prefix": "/site"}}
    route = {"folder": {"root": "/srv/www"}, **(rewrite if at_route else {})}
    options = read(routes=[route], **({} if at_route else rewrite))
    with www(SimulatedHttp(options=options)) as proxy:
        assert shown(proxy.send(get("/site/style.css"))) == (200, b"p {}")
        got = proxy.send(get("/site//docs?a=1"))
        assert (got.status, got.fields["Location"]) == (301, "/site/docs/?a=1")
