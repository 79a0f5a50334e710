"""page: an HTTP server with one page about this proxy: what runs here, and what to try next.

Behind an `http_proxy` listener, the page shows the fields that the proxy added about the client.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from importlib.metadata import version
from string import Template

from vcproxy.api import (
    HEAD_END,
    BadMessage,
    Message,
    MessageLimits,
    Request,
    Session,
    State,
    delimiter,
    parse_request,
)

LIMITS = MessageLimits()

SHOWN = ("Host", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
"""Fields that a proxy adds to a request. No other field is shown: it may be secret."""

VERSION = version("vcproxy")


class Page(Session):
    """Answers GET and HEAD requests for "/" with the page, one request after the other."""

    needs_upstream = False
    alpn_refused = frozenset({"h2"})  # the page supports HTTP/1.1 and 1.0
    framing = delimiter(HEAD_END, LIMITS.head)

    SERVING = State(initial=True)
    CLOSED = State(final=True)

    @SERVING.on(Message, to=(CLOSED,))
    def request_arrived(self, message: Message) -> State | None:
        """Answer the request. Close after one with a body, because the body is not read."""
        try:
            request = parse_request(message.data + HEAD_END, LIMITS)
        except BadMessage as problem:
            self.answer(response(problem.status, f"{problem.why}\n", "text/plain", last=True))
            return self.CLOSED
        last = not request.persistent or request.body != 0
        head, _, body = self.reply(request, last).partition(HEAD_END)
        self.answer(head + HEAD_END + (b"" if request.method == "HEAD" else body))
        return self.CLOSED if last else None

    def reply(self, request: Request, last: bool) -> bytes:
        """Return the whole response to GET; `last`: the connection is closed after it."""
        if request.method not in ("GET", "HEAD"):
            return response(405, "only GET and HEAD\n", "text/plain", "Allow: GET, HEAD", last=last)
        if request.path.partition("?")[0] != "/":
            return response(404, "there is only /\n", "text/plain", last=last)
        rows = "".join(
            f"<tr><th>{name}<td><code>{escape(value)}</code>"
            for name in SHOWN
            if (value := request.fields.get(name)) is not None
        )
        page = PAGE.substitute(version=escape(VERSION), rows=rows)
        return response(200, page, "text/html", POLICY, last=last)


POLICY = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def response(status: int, text: str, kind: str, *fields: str, last: bool) -> bytes:
    """Return a response as bytes; `last`: the connection is closed after it."""
    body = text.encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *fields,
        *(["Connection: close"] if last else []),
    ]
    return "\r\n".join(lines).encode() + HEAD_END + body


PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>vcproxy</title>
<style>
  :root { color-scheme: light dark; --ink: light-dark(#1d2433, #e6e9f0); --line: #8884; }
  body { font: 1rem/1.6 system-ui, sans-serif; color: var(--ink); max-width: 44rem;
         margin: 4rem auto; padding: 0 1.5rem; background: light-dark(#fff, #14171f); }
  h1 { font-size: 2.4rem; line-height: 1.2; margin: 0; }
  h1 small { font-size: 1rem; font-weight: normal; opacity: .6; }
  h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
  p.lead { font-size: 1.15rem; opacity: .8; margin: .5rem 0 0; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; vertical-align: top; font-weight: normal;
           padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); }
  th { white-space: nowrap; width: 1%; }
  code, pre { font: .9rem/1.6 ui-monospace, monospace; }
  pre { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto;
        margin: .5rem 0; }
</style>
<h1>vcproxy <small>$version</small></h1>
<p class="lead">It works. You received this page through the proxy that it describes.</p>

<h2>What conf/proxy.toml runs</h2>
<table>
<tr><th><code>127.0.0.1:8080</code><td>web: HTTP/1.1, forwarded to page
<tr><th><code>127.0.0.1:15002</code><td>page: the server of this page
<tr><th><code>127.0.0.1:15000</code><td>tunnel: TCP, forwarded to echo
<tr><th><code>127.0.0.1:15001</code><td>echo: a service that sends back what it receives
</table>

<h2>How your request arrived at page</h2>
<table>
$rows
</table>

<h2>What to try next</h2>
<pre>curl -v http://127.0.0.1:8080/</pre>
<pre>echo hello | socat - tcp:127.0.0.1:15000</pre>
<pre>vcproxy -t -c conf/http-reverse.toml</pre>
<p>Put the address of your own server into <code>[upstream.page]</code>, check the file with
<code>vcproxy -t</code>, and send the proxy a <code>SIGHUP</code>. Next is
<code>docs/tutorial.md</code>: a plugin of your own, with its test.
</html>
""")
