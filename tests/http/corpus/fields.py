"""Field lines: their names, values and ends, and the Host field among them."""

from __future__ import annotations

from tests.http.corpus.case import HOST, Got, Theme, accepted, get, message, refused

LAST = b"0\r\n\r\n"

NAMES = (
    accepted("name-in-capitals", "9110 5.1", get("X-A: 1"), Got(has=("X-A: 1",))),
    accepted(
        "name-of-all-token-characters",
        "9110 5.6.2",
        get("!#$%&'*+-.^_`|~09AZaz: 1"),
        Got(has=("!#$%&'*+-.^_`|~09AZaz: 1",)),
    ),
    accepted("name-twice", "9110 5.3", get("X-A: 1", "x-a: 2"), Got(has=("X-A: 1", "X-A: 2"))),
    accepted(
        "name-with-underscore-is-not-with-hyphen",
        "9110 5.1",
        get("Content_Length: 5", "Transfer_Encoding: chunked"),
    ),
    refused("space-before-colon", "9112 5.1", get("X-A : 1")),
    refused("tab-before-colon", "9112 5.1", get("X-A\t: 1")),
    refused("name-with-space", "9110 5.1", get("X A: 1")),
    refused("name-with-at", "9110 5.1", get("X@A: 1")),
    refused("name-with-slash", "9110 5.1", get("X/A: 1")),
    refused("name-with-bracket", "9110 5.1", get("X[A]: 1")),
    refused("name-with-comma", "9110 5.1", get("X,A: 1")),
    refused("name-quoted", "9110 5.1", get('"X-A": 1')),
    refused("name-with-nul", "9110 5.1", get("X\x00A: 1")),
    refused("name-with-delete", "9110 5.1", get("X\x7fA: 1")),
    refused("name-with-vertical-tab", "9110 5.1", get("X-A\x0b: 1")),
    refused("name-with-obs-text", "9110 5.1", get("X-\xc4: 1")),
    refused("name-with-the-kelvin-sign", "9110 5.1", get("\xe2\x84\xaaeep-Alive: 1")),
    refused("name-with-no-break-space-behind", "9110 5.1", get("X-A\xa0: 1")),
    refused("name-empty", "9110 5.1", get(": 1")),
    refused("name-empty-hides-what-follows", "9110 5.1", get(":", "Content-Length: 5")),
    refused("name-and-value-empty", "9110 5.1", get(":")),
    refused("line-without-colon", "9112 5", get("X-A")),
    refused("line-of-a-request-within-the-head", "9112 5", get("GET /x HTTP/1.1")),
    refused("equals-in-place-of-colon", "9112 5", get("X-A= 1")),
)

VALUES = (
    accepted("value-without-space-before", "9112 5", get("X-A:1"), Got(has=("X-A: 1",))),
    accepted("value-with-spaces-around", "9112 5.1", get("X-A: \t 1 \t "), Got(has=("X-A: 1",))),
    accepted("value-with-tab-inside", "9110 5.5", get("X-A: 1\t2"), Got(has=("X-A: 1\t2",))),
    accepted("value-empty", "9110 5.5", get("X-A:"), Got(has=("X-A: ",))),
    accepted("value-of-spaces", "9110 5.5", get("X-A:   "), Got(has=("X-A: ",))),
    accepted("value-with-colons", "9110 5.5", get("X-A: a:b: c"), Got(has=("X-A: a:b: c",))),
    accepted("value-with-obs-text", "9110 5.5", get("X-A: caf\xe9"), Got(has=("X-A: caf\xe9",))),
    accepted("value-in-utf-8", "9110 5.5", get("X-A: caf\xc3\xa9"), Got(has=("X-A: caf\xc3\xa9",))),
    accepted(
        "value-with-next-line-of-latin-1",
        "9110 5.5",
        get("X-A: a\x85Content-Length: 5"),
        Got(has=("X-A: a\x85Content-Length: 5",)),
    ),
    accepted(
        "value-quoted-with-odd-characters",
        "9110 5.6.4",
        get('X-A: "a\\"b;,=" (c)'),
        Got(has=('X-A: "a\\"b;,=" (c)',)),
    ),
    accepted(
        "value-of-credentials",
        "9110 11.6.2",
        get("Authorization: Basic YTpi"),
        Got(has=("Authorization: Basic YTpi",)),
    ),
    accepted("cookies-on-two-lines", "6265 5.4", get("Cookie: a=1", "Cookie: b=2")),
    refused("value-with-nul", "9110 5.5", get("X-A: 1\x002")),
    refused("value-ends-in-nul", "9110 5.5", get("X-A: 1\x00")),
    refused("value-with-bare-cr", "9112 2.2", get("X-A: 1\r2")),
    refused("value-starts-with-bare-cr", "9112 2.2", get("X-A:\r 1")),
    refused("value-ends-in-two-cr", "9112 2.2", get("X-A: 1\r")),
    refused("value-with-bell", "9110 5.5", get("X-A: 1\x072")),
    refused("value-with-backspace", "9110 5.5", get("X-A: 1\x082")),
    refused("value-with-vertical-tab", "9110 5.5", get("X-A: 1\x0b2")),
    refused("value-with-form-feed", "9110 5.5", get("X-A: 1\x0c2")),
    refused("value-with-escape", "9110 5.5", get("X-A: \x1b[2J")),
    refused("value-with-unit-separator", "9110 5.5", get("X-A: 1\x1f2")),
    refused("value-with-delete", "9110 5.5", get("X-A: 1\x7f2")),
)

ENDS = (
    refused("line-ends-in-lf", "9112 2.2", get("X-A: 1\nX-B: 2")),
    refused("lf-hides-a-length", "9112 2.2", get("X-A: 1\nContent-Length: 5") + b"hello"),
    refused("lf-hides-a-coding", "9112 2.2", get("X-A: 1\nTransfer-Encoding: chunked") + LAST),
    refused("cr-hides-a-length", "9112 2.2", get("X-A: 1\rContent-Length: 5") + b"hello"),
    refused("line-ends-in-lf-cr", "9112 2.2", get("X-A: 1\n\rX-B: 2")),
    refused("head-ends-in-lf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n"),
    refused("head-ends-in-two-lf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\n\n"),
    refused("head-ends-in-two-cr", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\r\r"),
    refused("head-ends-in-cr-cr-lf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n"),
    refused("head-ends-in-lf-crlf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n"),
    refused("nul-before-the-empty-line", "9112 5", get("\x00")),
    refused("space-for-an-empty-line", "9112 2.2", get(" ")),
)

FOLDS = (
    refused("fold", "9112 5.2", get("X-A: 1", " 2")),
    refused("fold-by-tab", "9112 5.2", get("X-A: 1", "\t2")),
    refused("fold-of-an-empty-value", "9112 5.2", get("X-A:", " 1")),
    refused("fold-that-looks-like-a-field", "9112 5.2", get("X-A: 1", " Content-Length: 5")),
    refused("fold-of-a-length", "9112 5.2", get("Content-Length:", " 5") + b"hello"),
    refused("fold-of-a-coding", "9112 5.2", get("Transfer-Encoding:", " chunked") + LAST),
    refused("fold-of-spaces", "9112 5.2", get("X-A: 1", "  ")),
    refused("fold-of-the-request-line", "9112 2.2", message("GET / HTTP/1.1", " " + HOST, HOST)),
    refused("fold-of-host", "9112 5.2", message("GET / HTTP/1.1", "Host:", " a.example")),
)


def host(*values: str) -> bytes:
    """A request with these Host fields."""
    return message("GET / HTTP/1.1", *(f"Host: {value}" for value in values))


HOSTS = (
    accepted("host-with-port", "9110 7.2", host("a.example:80"), Got(has=("Host: a.example:80",))),
    accepted(
        "host-of-ipv4", "9110 7.2", host("127.0.0.1:8080"), Got(has=("Host: 127.0.0.1:8080",))
    ),
    accepted("host-of-ipv6", "9110 7.2", host("[::1]"), Got(has=("Host: [::1]",))),
    accepted("host-of-ipv6-with-port", "9110 7.2", host("[::1]:80"), Got(has=("Host: [::1]:80",))),
    accepted("host-in-capitals", "9110 7.2", host("A.EXAMPLE")),
    accepted("host-with-underscore", "3986 3.2.2", host("a_b.example")),
    accepted("host-with-dot-at-its-end", "3986 3.2.2", host("a.example.")),
    accepted("host-in-punycode", "3986 3.2.2", host("xn--bcher-kva.example")),
    accepted("host-with-sub-delimiters", "3986 3.2.2", host("a!$&'()*+;=b.example")),
    accepted("host-percent-encoded", "3986 3.2.2", host("%61.example")),
    accepted("host-with-comma", "3986 3.2.2", host("a,b.example")),
    accepted("host-missing-in-1.0", "9112 3.2", message("GET / HTTP/1.0"), kept=False),
    accepted(
        "host-behind-other-fields",
        "9110 7.2",
        message("GET / HTTP/1.1", "Accept: */*", HOST),
        Got(has=(HOST, "Accept: */*")),
    ),
    accepted("host-name-in-lower-case", "9110 5.1", message("GET / HTTP/1.1", "host: a.example")),
    refused("host-missing", "9112 3.2", message("GET / HTTP/1.1", "X-A: 1")),
    refused("no-fields-at-all", "9112 3.2", b"GET / HTTP/1.1\r\n\r\n"),
    refused("host-empty", "9110 7.2", host("")),
    refused("host-twice", "9112 3.2", host("a.example", "a.example")),
    refused("two-hosts", "9112 3.2", host("a.example", "b.example")),
    refused("two-hosts-the-second-empty", "9112 3.2", host("a.example", "")),
    refused(
        "two-hosts-apart", "9112 3.2", message("GET / HTTP/1.1", HOST, "X-A: 1", "hOST: b.example")
    ),
    refused("two-hosts-in-1.0", "9112 3.2", message("GET / HTTP/1.0", HOST, "Host: b.example")),
    refused("host-list", "9112 3.2", host("a.example, b.example")),
    refused("host-with-space", "9112 3.2", host("a example")),
    refused("host-with-path", "9112 3.2", host("a.example/x")),
    refused("host-with-query", "9112 3.2", host("a.example?x")),
    refused("host-with-fragment", "9112 3.2", host("a.example#x")),
    refused("host-with-userinfo", "9112 3.2", host("me@a.example")),
    refused("host-with-backslash", "9112 3.2", host("a.example\\b")),
    refused("host-with-scheme", "9112 3.2", host("http://a.example")),
    refused("host-quoted", "9112 3.2", host('"a.example"')),
    refused("host-with-markup", "9112 3.2", host("<script>.example")),
    refused("host-with-obs-text", "9112 3.2", host("\xe4.example")),
    refused("host-with-tab", "9112 3.2", host("a\texample")),
    refused("host-of-port-only", "9112 3.2", host(":80")),
    refused("host-with-port-in-letters", "9112 3.2", host("a.example:http")),
    refused("host-with-negative-port", "9112 3.2", host("a.example:-80")),
    refused("host-with-two-ports", "9112 3.2", host("a.example:80:81")),
    refused("host-with-port-out-of-range", "9112 3.2", host("a.example:65536")),
    refused("host-of-ipv6-without-brackets", "3986 3.2.2", host("::1")),
    refused("host-of-open-bracket", "3986 3.2.2", host("[::1")),
    refused("host-of-ipv6-and-more", "3986 3.2.2", host("[::1]x")),
    refused("host-of-bracketed-name", "3986 3.2.2", host("[a.example]")),
    refused("host-with-broken-percent", "3986 2.1", host("a%zz.example")),
    refused(
        "host-with-space-before-colon", "9112 5.1", message("GET / HTTP/1.1", "Host : a.example")
    ),
)

THEMES = (
    Theme(
        "Field names",
        "servers drop, cut or rename a name that is no token",
        NAMES,
    ),
    Theme(
        "Field values",
        "no control characters: they cut values, end lines or forge logs; others are forwarded",
        VALUES,
    ),
    Theme(
        "Ends of lines",
        "a line ends in CRLF: a server that accepts LF or CR alone sees other fields",
        ENDS,
    ),
    Theme(
        "Folded lines",
        "obs-fold is obsolete since 2014: a server that does not unfold sees other fields",
        FOLDS,
    ),
    Theme(
        "Host",
        "exactly one, a host and a port: it selects the route here and the site at the server",
        HOSTS,
    ),
)
