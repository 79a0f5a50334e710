"""Strategies of hypothesis for messages: mostly valid ones of all shapes, and mutations of them."""

from __future__ import annotations

from hypothesis import strategies as st

lines = st.sampled_from(
    [
        *[b"GET / HTTP/1.1"] * 4,
        b"POST /a?b=c%20 HTTP/1.1",
        b"PUT /{}|^`<> HTTP/1.0",
        b"HEAD http://a.example/ HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a.example:443 HTTP/1.1",
        b"x~y / HTTP/1.3",
        b"GET / HTTP/2.0",
    ]
)
statuses = st.sampled_from(
    [
        *[b"HTTP/1.1 200 OK"] * 4,
        b"HTTP/1.1 404",
        b"HTTP/1.1 204 ",
        b"HTTP/1.1 304 \xe4 \t",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 20 OK",
    ]
)
names = st.sampled_from(
    [b"Accept", b"X-A", b"cookie", b"x!#$%&'*+-.^_`|~9", b"Connection", b"Date", b"Host2"]
)
spaces = st.sampled_from([*[b" "] * 6, b"", b"\t", b"  ", b" \t"])
values = st.sampled_from([b"a", b"b; c=d", b"\xff\x80", b"e\tf  g", b'"h"', b"close", b"i,j", b""])
ends = st.sampled_from([*[b""] * 6, b" ", b"\t "])
plain = st.builds(lambda n, s, v, e: n + b":" + s + v + e, names, spaces, values, ends)
hosts = st.builds(
    lambda s, v, e: b"Host:" + s + v + e,
    spaces,
    st.sampled_from([*[b"a.example"] * 4, b"A.example:80", b"[::1]", b"b"]),
    ends,
)
framing = st.sampled_from(
    [
        [],
        [b"Content-Length: 5"],
        [b"content-length:05 "],
        [b"Transfer-Encoding: chunked"],
        [b"transfer-encoding:\tCHUNKED "],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip, chunked"],
    ]
)


def _head(first: bytes, host: list[bytes], fields: list[bytes]) -> bytes:
    return b"\r\n".join([first, *host, *fields, b"", b""])


fields = st.builds(
    lambda some, framed, more: some + framed + more,
    st.lists(plain, max_size=4),
    framing,
    st.lists(plain, max_size=2),
)
request_heads = st.builds(
    _head, lines, st.one_of(hosts.map(lambda host: [host]), st.lists(hosts, max_size=2)), fields
)
response_heads = st.builds(_head, statuses, st.just([]), fields)

chunks = st.builds(
    lambda zeros, size, extension: b"%s%x%s\r\n%s\r\n" % (zeros, size, extension, b"x" * size),
    st.sampled_from([b"", b"00"]),
    st.sampled_from([1, 2, 3, 4, 17]),
    st.sampled_from([*[b""] * 4, b";a", b";a=b;c", b';a="b;c"', b" ;a = b", b" "]),
)
chunked = st.builds(
    lambda pieces, trailers: b"".join([*pieces, b"0\r\n", *trailers, b"\r\n"]),
    st.lists(chunks, max_size=3),
    st.lists(plain.map(lambda line: line + b"\r\n"), max_size=2),
)
rests = st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"\r\n"])


def _messages(heads: st.SearchStrategy[bytes], start: bytes) -> st.SearchStrategy[bytes]:
    """Messages of any kind; half of them have a chunked body and a head that announces it."""
    announced = st.just(start + b"Transfer-Encoding: chunked\r\n\r\n")
    return st.one_of(
        st.builds(lambda *parts: b"".join(parts), announced, chunked, rests),
        st.builds(lambda *parts: b"".join(parts), heads, st.just(b"hello") | chunked, rests),
    )


requests = _messages(request_heads, b"PUT / HTTP/1.1\r\nHost: a\r\n")
responses = _messages(response_heads, b"HTTP/1.1 200 OK\r\n")

_inserted = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"a",
        b"\x80",
        b"\x7f",
        b'"',
        b"",
    ]
)


@st.composite
def mutated(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message with one or two bytes changed, removed or added, mostly in critical places."""
    message = draw(messages)
    for _ in range(draw(st.integers(0, 2))):
        joints = [at for at, byte in enumerate(message) if byte in b"\r\n:;=, "]
        at = draw(st.sampled_from(joints) | st.integers(0, len(message)))
        message = message[:at] + draw(_inserted) + message[at + draw(st.integers(0, 1)) :]
    return message


@st.composite
def pieces(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> list[bytes]:
    """A message in pieces, sometimes without its end."""
    message = draw(messages)
    if draw(st.integers(0, 3)) == 0:
        message = message[: draw(st.integers(0, len(message)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=6)))
    return [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
