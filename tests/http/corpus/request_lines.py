"""Request lines: methods, targets and versions, each in forms that some server has accepted."""

from __future__ import annotations

from tests.http.corpus.case import HOST, Got, Theme, accepted, answered, message, post, refused


def line(text: str, *fields: str) -> bytes:
    """A request with that request line, otherwise valid."""
    return message(text, HOST, *fields)


METHODS = (
    accepted("method-get", "9112 3.1", line("GET / HTTP/1.1")),
    accepted("method-head", "9110 9.3.2", line("HEAD / HTTP/1.1"), Got("HEAD")),
    accepted("method-delete", "9110 9.3.5", line("DELETE /x HTTP/1.1"), Got("DELETE", "/x")),
    accepted(
        "method-put",
        "9110 9.3.4",
        message("PUT /x HTTP/1.1", HOST, "Content-Length: 2", body="hi"),
        Got("PUT", "/x", b"hi"),
    ),
    accepted("method-with-a-hyphen", "9110 9.1", line("M-SEARCH / HTTP/1.1"), Got("M-SEARCH")),
    accepted("method-unknown", "9110 9.1", line("BREW / HTTP/1.1"), Got("BREW")),
    accepted("method-in-lower-case", "9110 9.1", line("get / HTTP/1.1"), Got("get")),
    accepted(
        "method-of-all-token-characters",
        "9110 5.6.2",
        line("!#$%&'*+-.^_`|~09AZaz / HTTP/1.1"),
        Got("!#$%&'*+-.^_`|~09AZaz"),
    ),
    accepted(
        "method-behind-what-was-left-over",
        "9112 11.2",
        b"hello" + post("Content-Length: 5"),
        Got("helloPOST", body=b"hello"),
    ),
    refused("method-with-parenthesis", "9110 5.6.2", line("GE(T / HTTP/1.1")),
    refused("method-with-colon", "9110 5.6.2", line("GET: / HTTP/1.1")),
    refused("method-with-slash", "9110 5.6.2", line("GET/POST / HTTP/1.1")),
    refused("method-quoted", "9110 5.6.2", line('"GET" / HTTP/1.1')),
    refused("method-with-nul", "9110 5.6.2", line("GE\x00T / HTTP/1.1")),
    refused("method-with-obs-text", "9110 5.6.2", line("G\xcbT / HTTP/1.1")),
    refused("method-missing", "9112 3", line(" / HTTP/1.1")),
    refused("method-behind-a-byte-order-mark", "9112 3", line("\xef\xbb\xbfGET / HTTP/1.1")),
    answered("trace", "9110 9.3.8", line("TRACE / HTTP/1.1"), 501),
    refused("connect-not-allowed", "9110 9.3.6", line("CONNECT a.example:443 HTTP/1.1"), 403),
    refused("connect-without-port", "9112 3.2.3", line("CONNECT a.example HTTP/1.1")),
    refused("connect-with-empty-port", "9112 3.2.3", line("CONNECT a.example: HTTP/1.1")),
    refused("connect-with-a-path", "9112 3.2.3", line("CONNECT / HTTP/1.1")),
    refused("connect-with-a-url", "9112 3.2.3", line("CONNECT http://a.example/ HTTP/1.1")),
    refused("connect-with-userinfo", "9112 3.2.3", line("CONNECT me@a.example:443 HTTP/1.1")),
)

SPACES = (
    refused("two-spaces-before-the-target", "9112 3", line("GET  / HTTP/1.1")),
    refused("two-spaces-before-the-version", "9112 3", line("GET /  HTTP/1.1")),
    refused("tab-before-the-target", "9112 3", line("GET\t/ HTTP/1.1")),
    refused("tab-before-the-version", "9112 3", line("GET /\tHTTP/1.1")),
    refused("vertical-tab-before-the-target", "9112 3", line("GET\x0b/ HTTP/1.1")),
    refused("form-feed-before-the-version", "9112 3", line("GET /\x0cHTTP/1.1")),
    refused("no-break-space-before-the-target", "9112 3", line("GET\xa0/ HTTP/1.1")),
    refused("space-before-the-method", "9112 3", line(" GET / HTTP/1.1")),
    refused("space-behind-the-version", "9112 3", line("GET / HTTP/1.1 ")),
    refused("tab-behind-the-version", "9112 3", line("GET / HTTP/1.1\t")),
    refused("word-behind-the-version", "9112 3", line("GET / HTTP/1.1 HTTP/1.1")),
    refused("bare-cr-as-space", "9112 2.2", line("GET\r/ HTTP/1.1")),
    refused("bare-cr-before-the-version", "9112 2.2", line("GET /\rHTTP/1.1")),
    refused("bare-cr-behind-the-version", "9112 2.2", line("GET / HTTP/1.1\r")),
    accepted("empty-line-before-the-request", "9112 2.2", b"\r\n" + line("GET / HTTP/1.1")),
    refused("two-empty-lines-before-it", "9112 2.2", b"\r\n\r\n" + line("GET / HTTP/1.1")),
    refused("bare-lf-before-the-request", "9112 2.2", b"\n" + line("GET / HTTP/1.1")),
    refused("bare-cr-before-the-request", "9112 2.2", b"\r" + line("GET / HTTP/1.1")),
    refused("request-line-ends-in-lf", "9112 2.2", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n"),
    refused("request-line-ends-in-cr", "9112 2.2", b"GET / HTTP/1.1\rHost: a.example\r\n\r\n"),
    refused("request-line-ends-in-lf-cr", "9112 2.2", b"GET / HTTP/1.1\n\rHost: a.example\r\n\r\n"),
    refused("whole-head-in-lf", "9112 2.2", b"GET / HTTP/1.1\nHost: a.example\n\n"),
)

TARGETS = (
    accepted(
        "target-with-query", "9112 3.2.1", line("GET /a?b=c&d HTTP/1.1"), Got(target="/a?b=c&d")
    ),
    accepted("target-with-empty-query", "9112 3.2.1", line("GET /a? HTTP/1.1"), Got(target="/a?")),
    accepted(
        "target-with-a-url-in-its-query",
        "9112 3.2.1",
        line("GET /go?to=http://b.example/ HTTP/1.1"),
        Got(target="/go?to=http://b.example/"),
    ),
    accepted(
        "target-percent-encoded",
        "3986 2.1",
        line("GET /a%20b%2Fc%00 HTTP/1.1"),
        Got(target="/a%20b%2Fc%00"),
    ),
    accepted(
        "target-with-dot-segments",
        "9112 3.2",
        line("GET /a/../b/./c HTTP/1.1"),
        Got(target="/a/../b/./c"),
    ),
    accepted(
        "target-with-two-slashes", "9112 3.2.1", line("GET //a//b HTTP/1.1"), Got(target="//a//b")
    ),
    accepted(
        "target-with-sub-delimiters",
        "3986 3.3",
        line("GET /a;v=1,2/(b)!*'$&+=:@~ HTTP/1.1"),
        Got(target="/a;v=1,2/(b)!*'$&+=:@~"),
    ),
    accepted(
        "target-with-what-browsers-do-not-encode",
        "3986 2",
        line("GET /a|b?c={d}[e] HTTP/1.1"),
        Got(target="/a|b?c={d}[e]"),
    ),
    accepted("options-asterisk", "9112 3.2.4", line("OPTIONS * HTTP/1.1"), Got("OPTIONS", "*")),
    accepted("options-of-a-path", "9110 9.3.7", line("OPTIONS /x HTTP/1.1"), Got("OPTIONS", "/x")),
    refused("asterisk-with-get", "9112 3.2.4", line("GET * HTTP/1.1")),
    refused("asterisk-and-more", "9112 3.2.4", line("OPTIONS *x HTTP/1.1")),
    refused("target-missing", "9112 3", line("GET HTTP/1.1")),
    refused("target-empty", "9112 3", line("GET  HTTP/1.1")),
    refused("target-with-space", "9112 3.2", line("GET /a b HTTP/1.1")),
    refused("target-with-tab", "9112 3.2", line("GET /a\tb HTTP/1.1")),
    refused("target-with-nul", "9112 3.2", line("GET /a\x00b HTTP/1.1")),
    refused("target-with-bare-cr", "9112 2.2", line("GET /a\rb HTTP/1.1")),
    refused("target-with-escape", "9112 3.2", line("GET /a\x1b[2Jb HTTP/1.1")),
    refused("target-with-delete", "9112 3.2", line("GET /a\x7fb HTTP/1.1")),
    refused("target-in-utf-8", "9112 3.2", line("GET /caf\xc3\xa9 HTTP/1.1")),
    refused("target-in-latin-1", "9112 3.2", line("GET /caf\xe9 HTTP/1.1")),
    refused("target-with-fragment", "9112 3.2.1", line("GET /a#b HTTP/1.1")),
    refused("target-with-fragment-in-query", "9112 3.2.1", line("GET /a?b#c HTTP/1.1")),
    refused("target-is-a-fragment", "9112 3.2", line("GET # HTTP/1.1")),
    refused("target-without-slash", "9112 3.2", line("GET a HTTP/1.1")),
    refused("target-is-a-query", "9112 3.2", line("GET ?a HTTP/1.1")),
    refused("target-is-dots", "9112 3.2", line("GET ../a HTTP/1.1")),
    refused("target-is-an-authority", "9112 3.2.3", line("GET a.example:80 HTTP/1.1")),
    refused("target-starts-with-a-backslash", "9112 3.2", line("GET \\a HTTP/1.1")),
    refused("target-smuggles-a-request-line", "9112 3.2", line("GET / HTTP/1.1/../../x HTTP/1.1")),
)

ABSOLUTE = (
    accepted(
        "absolute-form",
        "9112 3.2.2",
        line("GET http://a.example/x?y HTTP/1.1"),
        Got(target="/x?y", has=(HOST,)),
    ),
    accepted(
        "absolute-form-without-path",
        "9112 3.2.2",
        line("GET http://a.example HTTP/1.1"),
        Got(has=(HOST,)),
    ),
    accepted(
        "absolute-form-with-query-only",
        "9112 3.2.2",
        line("GET http://a.example?x HTTP/1.1"),
        Got(target="/?x", has=(HOST,)),
    ),
    accepted(
        "absolute-form-with-port",
        "9112 3.2.2",
        message("GET http://a.example:8080/ HTTP/1.1", "Host: a.example:8080"),
        Got(has=("Host: a.example:8080",)),
    ),
    accepted(
        "absolute-form-in-capitals",
        "3986 3.1",
        line("GET HTTP://A.EXAMPLE/X HTTP/1.1"),
        Got(target="/X"),
    ),
    accepted(
        "absolute-form-of-ipv6",
        "3986 3.2.2",
        message("GET http://[::1]:80/ HTTP/1.1", "Host: [::1]:80"),
        Got(has=("Host: [::1]:80",)),
    ),
    accepted(
        "absolute-form-options-of-the-server",
        "9112 3.2.4",
        line("OPTIONS http://a.example HTTP/1.1"),
        Got("OPTIONS", "*"),
    ),
    accepted(
        "absolute-form-in-1.0-without-host",
        "9112 3.2.2",
        message("GET http://a.example/x HTTP/1.0"),
        Got(target="/x", has=(HOST,)),
        kept=False,
    ),
    accepted(
        "absolute-form-of-another-host",
        "9112 3.2.2",
        message("GET http://a.example/ HTTP/1.1", "Host: b.example"),
        Got(has=(HOST,), lacks=("Host: b.example",)),
    ),
    accepted(
        "absolute-form-of-another-port",
        "9112 3.2.2",
        message("GET http://a.example:8080/ HTTP/1.1", "Host: a.example:8081"),
        Got(has=("Host: a.example:8080",)),
    ),
    refused(
        "absolute-form-without-host-field", "9112 3.2", message("GET http://a.example/ HTTP/1.1")
    ),
    refused("absolute-form-without-authority", "9110 4.2.1", line("GET http:///x HTTP/1.1")),
    refused("absolute-form-with-one-slash", "9112 3.2.2", line("GET http:/a.example/ HTTP/1.1")),
    refused("absolute-form-without-slashes", "9112 3.2.2", line("GET http:a.example HTTP/1.1")),
    refused(
        "absolute-form-with-userinfo", "9110 4.2.4", line("GET http://me:pw@a.example/ HTTP/1.1")
    ),
    refused(
        "absolute-form-with-port-in-letters",
        "9112 3.2.2",
        line("GET http://a.example:http/ HTTP/1.1"),
    ),
    refused(
        "absolute-form-with-backslash",
        "3986 3.2",
        line("GET http://a.example\\@b.example/ HTTP/1.1"),
    ),
    refused("absolute-form-with-fragment", "9110 7.1", line("GET http://a.example/#x HTTP/1.1")),
    refused("absolute-form-of-broken-ipv6", "3986 3.2.2", line("GET http://[::1/ HTTP/1.1")),
    refused("absolute-form-of-another-scheme", "9112 3.2.2", line("GET ftp://a.example/ HTTP/1.1")),
    refused("absolute-form-of-a-script", "9112 3.2.2", line("GET javascript:alert(1) HTTP/1.1")),
    refused("absolute-form-with-empty-scheme", "9112 3.2.2", line("GET ://a.example/ HTTP/1.1")),
)

VERSIONS = (
    accepted("version-1.2", "9110 2.5", line("GET / HTTP/1.2")),
    accepted("version-1.9", "9110 2.5", line("GET / HTTP/1.9")),
    refused("version-0.9", "9110 15.6.6", line("GET / HTTP/0.9"), 505),
    refused("version-2.0", "9110 15.6.6", line("GET / HTTP/2.0"), 505),
    refused("version-3.1", "9110 15.6.6", line("GET / HTTP/3.1"), 505),
    refused("preface-of-http-2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    refused("version-missing", "9112 3", line("GET /")),
    refused("simple-request-of-0.9", "1945 4.1", b"GET /\r\n\r\n"),
    refused("version-missing-behind-its-space", "9112 3", line("GET / ")),
    refused("version-without-minor", "9112 2.3", line("GET / HTTP/1")),
    refused("version-with-empty-minor", "9112 2.3", line("GET / HTTP/1.")),
    refused("version-without-dot", "9112 2.3", line("GET / HTTP/11")),
    refused("version-of-three", "9112 2.3", line("GET / HTTP/1.1.1")),
    refused("version-with-two-digits", "9112 2.3", line("GET / HTTP/1.10")),
    refused("version-with-leading-zero", "9112 2.3", line("GET / HTTP/01.1")),
    refused("version-with-sign", "9112 2.3", line("GET / HTTP/+1.1")),
    refused("version-with-comma", "9112 2.3", line("GET / HTTP/1,1")),
    refused("version-in-lower-case", "9112 2.3", line("GET / http/1.1")),
    refused("version-in-letters", "9112 2.3", line("GET / HTTP/x.y")),
    refused("version-in-arabic-digits", "9112 2.3", line("GET / HTTP/\xd9\xa1.\xd9\xa1")),
    refused("version-in-superscript", "9112 2.3", line("GET / HTTP/1.\xb9")),
    refused("version-with-space", "9112 2.3", line("GET / HTTP/ 1.1")),
    refused("version-of-https", "9112 2.3", line("GET / HTTPS/1.1")),
    refused("version-of-shoutcast", "9112 2.3", line("GET / ICE/1.0")),
    refused("version-without-slash", "9112 2.3", line("GET / HTTP1.1")),
)

NO_REQUESTS = (
    refused("hello-of-tls", "9112 2", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n"),
    refused("status-line", "9112 2.1", message("HTTP/1.1 200 OK", "Content-Length: 0")),
    refused("word", "9112 3", b"hello\r\n\r\n"),
    refused("field-in-place-of-request-line", "9112 3", b"Host: a.example\r\n\r\n"),
    refused("proxy-protocol-not-asked-for", "9112 3", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n\r\n"),
)

THEMES = (
    Theme(
        "Methods",
        "a method is a token; TRACE is not supported, CONNECT must be allowed",
        METHODS,
    ),
    Theme(
        "Spaces and ends of the request line",
        "exactly one space and CRLF: other separators, where accepted, shift the target",
        SPACES,
    ),
    Theme(
        "Targets",
        "no byte that logs, caches or routers read differently; all else is forwarded unchanged",
        TARGETS,
    ),
    Theme(
        "Absolute-form targets",
        "the target's authority counts, and replaces Host, as RFC 9112 3.2.2 demands",
        ABSOLUTE,
    ),
    Theme("Versions", "HTTP/1.x exactly; other major versions are other protocols (505)", VERSIONS),
    Theme("Not a request", "another protocol on this port is refused at once", NO_REQUESTS),
)
