"""Hop-by-hop fields: Connection and those it nominates, Upgrade, Expect, Max-Forwards."""

from __future__ import annotations

from tests.http.corpus.case import (
    HOST,
    Got,
    Theme,
    accepted,
    answered,
    chunked,
    get,
    message,
    post,
    refused,
)

HELLO = Got("POST", body=b"hello")

NOMINATED = (
    accepted("connection-close", "9112 9.6", get("Connection: close"), kept=False),
    accepted("connection-close-in-capitals", "9112 9.6", get("Connection: CLOSE"), kept=False),
    accepted("connection-close-in-a-list", "9112 9.6", get("Connection: x-a, close"), kept=False),
    accepted(
        "connection-close-on-a-second-line",
        "9112 9.6",
        get("Connection: keep-alive", "Connection: close"),
        kept=False,
    ),
    accepted("connection-keep-alive", "9112 9.3", get("Connection: keep-alive")),
    accepted("connection-empty", "9110 5.6.1", get("Connection:")),
    accepted("connection-of-empty-elements", "9110 5.6.1", get("Connection: ,, keep-alive ,")),
    accepted("connection-closes-is-not-close", "9110 7.6.1", get("Connection: closes, not-close")),
    accepted(
        "nominated-field-is-removed",
        "9110 7.6.1",
        get("Connection: X-A", "X-A: 1"),
        Got(lacks=("X-A",)),
    ),
    accepted(
        "nominated-field-before-connection-is-removed",
        "9110 7.6.1",
        get("x-a: 1", "Connection: keep-alive, X-A"),
        Got(lacks=("X-A",)),
    ),
    accepted(
        "nominated-fields-on-two-lines-are-removed",
        "9110 7.6.1",
        get("X-A: 1", "Connection: X-A", "X-B: 2", "Connection: X-B", "X-C: 3"),
        Got(has=("X-C: 3",), lacks=("X-A", "X-B")),
    ),
    accepted(
        "nominated-field-of-two-lines-is-removed",
        "9110 7.6.1",
        get("X-A: 1", "Connection: X-A", "X-A: 2"),
        Got(lacks=("X-A",)),
    ),
    accepted(
        "nominated-prefix-stays",
        "9110 7.6.1",
        get("Connection: X-A", "X-AB: 1"),
        Got(has=("X-AB: 1",)),
    ),
    accepted(
        "length-nominated-stays",
        "9110 7.6.1",
        post("Connection: Content-Length", "Content-Length: 5"),
        HELLO,
    ),
    accepted(
        "coding-nominated-stays",
        "9110 7.6.1",
        chunked("5\r\nhello\r\n0\r\n\r\n", "Connection: Transfer-Encoding"),
        HELLO,
    ),
    accepted("host-nominated-stays", "9110 7.6.1", get("Connection: Host"), Got(has=(HOST,))),
    accepted(
        "cookie-nominated-stays",
        "9110 7.6.1",
        get("Connection: Cookie", "Cookie: a=1"),
        Got(has=("Cookie: a=1",)),
    ),
    accepted(
        "authorization-is-no-business-of-ours",
        "9110 11.6.2",
        get("Connection: keep-alive", "Authorization: Basic YTpi"),
        Got(has=("Authorization: Basic YTpi",)),
    ),
    accepted(
        "keep-alive-is-removed",
        "9110 7.6.1",
        get("Keep-Alive: timeout=5"),
        Got(lacks=("Keep-Alive",)),
    ),
    accepted(
        "proxy-connection-is-removed",
        "9110 7.6.1",
        get("Proxy-Connection: keep-alive"),
        Got(lacks=("Proxy-Connection",)),
    ),
    accepted("proxy-connection-closes-nothing", "9112 C.2.2", get("Proxy-Connection: close")),
    accepted(
        "te-of-trailers-goes-on",
        "9110 10.1.4",
        get("TE: deflate;q=0.5, trailers", "Connection: TE"),
        Got(has=("TE: trailers", "Connection: te")),
    ),
    accepted(
        "te-of-codings-is-removed",
        "9110 10.1.4",
        get("TE: deflate;q=0.5, xtrailers", "Connection: TE"),
        Got(lacks=("TE", "Connection")),
    ),
    accepted(
        "proxy-authorization-is-removed",
        "9110 11.7.2",
        get("Proxy-Authorization: Basic YTpi"),
        Got(lacks=("Proxy-Authorization",)),
    ),
    accepted(
        "forged-forwarding-is-replaced",
        "7239 8.1",
        get("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"),
        Got(lacks=("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")),
    ),
    accepted(
        "forged-forwarding-with-underscores-is-dropped",
        "3875 4.1.18",
        get("X_Forwarded_For: 6.6.6.6", "X-Forwarded_Proto: https", "Content_Length: 5"),
        Got(lacks=("X_Forwarded_For", "X-Forwarded_Proto", "Content_Length")),
    ),
    accepted(
        "proxy-is-dropped", "3875 4.1.18", get("Proxy: http://evil.example"), Got(lacks=("Proxy",))
    ),
    accepted(
        "forwarding-nominated-is-sent-nevertheless",
        "9110 7.6.1",
        get("Connection: X-Forwarded-For", "X-Forwarded-For: 6.6.6.6"),
        Got(lacks=("X-Forwarded-For: 6.6.6.6",)),
    ),
    accepted(
        "via-of-others-stays",
        "9110 7.6.3",
        get("Via: 1.0 fred"),
        Got(has=("Via: 1.0 fred",)),
    ),
)

WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
UPGRADES = (
    accepted(
        "upgrade-that-is-declined",
        "9110 7.8",
        get(*WEBSOCKET, "Sec-WebSocket-Version: 13"),
        Got(has=("Upgrade: websocket", "Sec-WebSocket-Version: 13")),
    ),
    accepted(
        "upgrade-not-nominated-is-removed",
        "9110 7.8",
        get("Upgrade: websocket"),
        Got(lacks=("Upgrade",)),
    ),
    accepted(
        "upgrade-nominated-only", "9110 7.8", get("Connection: Upgrade"), Got(lacks=("Upgrade",))
    ),
    accepted(
        "upgrade-in-1.0-is-removed",
        "9110 7.8",
        message("GET / HTTP/1.0", HOST, *WEBSOCKET),
        Got(lacks=("Upgrade",)),
        kept=False,
    ),
    accepted(
        "upgrade-to-h2c-is-removed",
        "9113 3.1",
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        Got(lacks=("Upgrade", "HTTP2-Settings")),
    ),
    accepted(
        "upgrade-to-h2c-in-capitals-is-removed",
        "9110 7.8",
        get("Connection: upgrade", "Upgrade: H2C"),
        Got(lacks=("Upgrade",)),
    ),
    accepted(
        "upgrade-with-a-request-behind",
        "9110 7.8",
        get(*WEBSOCKET) + get("X-A: 1"),
        Got(has=("Upgrade: websocket",)),
        Got(has=("X-A: 1",)),
    ),
)

EXPECTATIONS = (
    accepted("expect", "9110 10.1.1", post("Expect: 100-continue", "Content-Length: 5"), HELLO),
    accepted(
        "expect-in-capitals",
        "9110 10.1.1",
        post("Expect: 100-Continue", "Content-Length: 5"),
        HELLO,
    ),
    accepted(
        "expect-of-a-chunked-body",
        "9110 10.1.1",
        chunked("5\r\nhello\r\n0\r\n\r\n", "Expect: 100-continue"),
        HELLO,
    ),
    accepted("expect-without-a-body", "9110 10.1.1", get("Expect: 100-continue")),
    accepted(
        "expect-in-1.0-is-ignored",
        "9110 10.1.1",
        message("POST / HTTP/1.0", HOST, "Expect: 100-continue", "Content-Length: 5", body="hello"),
        HELLO,
        kept=False,
    ),
    refused(
        "expect-something-else", "9110 10.1.1", post("Expect: 200-ok", "Content-Length: 5"), 417
    ),
    refused(
        "expect-more", "9110 10.1.1", post("Expect: 100-continue, x", "Content-Length: 5"), 417
    ),
    refused(
        "expect-with-value", "9110 10.1.1", post("Expect: 100-continue=1", "Content-Length: 5"), 417
    ),
    refused(
        "expect-with-letters-behind",
        "9110 10.1.1",
        post("Expect: 100-continuee", "Content-Length: 5"),
        417,
    ),
    refused(
        "expect-behind-no-break-space",
        "9110 10.1.1",
        post("Expect: \xa0100-continue", "Content-Length: 5"),
        417,
    ),
    refused("expect-with-nul", "9110 5.5", post("Expect: 100-continue\x00", "Content-Length: 5")),
    refused("expect-folded", "9112 5.2", post("Expect:", " 100-continue", "Content-Length: 5")),
    refused(
        "expect-does-not-excuse-two-framings",
        "9112 6.1",
        chunked("0\r\n\r\n", "Expect: 100-continue", "Content-Length: 5"),
    ),
)

FORWARDS = (
    accepted(
        "max-forwards-of-get-is-not-counted",
        "9110 7.6.2",
        get("Max-Forwards: 0"),
        Got(has=("Max-Forwards: 0",)),
    ),
    accepted(
        "max-forwards-of-options-is-counted-down",
        "9110 7.6.2",
        message("OPTIONS /x HTTP/1.1", HOST, "Max-Forwards: 5"),
        Got("OPTIONS", "/x", has=("Max-Forwards: 4",)),
    ),
    answered(
        "max-forwards-0-of-options-is-for-us",
        "9110 7.6.2",
        message("OPTIONS /x HTTP/1.1", HOST, "Max-Forwards: 0"),
        204,
    ),
    answered(
        "max-forwards-0-of-options-asterisk-is-for-us",
        "9110 7.6.2",
        message("OPTIONS * HTTP/1.1", HOST, "Max-Forwards: 0"),
        204,
    ),
    answered(
        "max-forwards-0-of-trace",
        "9110 7.6.2",
        message("TRACE / HTTP/1.1", HOST, "Max-Forwards: 0"),
        501,
    ),
)

THEMES = (
    Theme(
        "Hop-by-hop fields",
        "fields that Connection names are removed (RFC 9110 7.6.1), except framing and Host",
        NOMINATED,
    ),
    Theme(
        "Upgrade",
        "forwarded if Connection names it; never h2c, whose requests would not be checked",
        UPGRADES,
    ),
    Theme(
        "Expect",
        "100-continue or 417: a body that one side does not expect is read as a request",
        EXPECTATIONS,
    ),
    Theme("Max-Forwards", "decremented for OPTIONS; at 0 the proxy answers", FORWARDS),
)
