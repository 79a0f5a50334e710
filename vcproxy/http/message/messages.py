"""Request and Response: the heads of messages, and the framing of their bodies.

Tested in tests/http/message/test_requests.py, test_responses.py and test_resource.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final, Literal, Self, TypeAlias

from vcproxy.http.message.fields import Fields
from vcproxy.http.message.grammar import authority, is_target, is_text, is_token
from vcproxy.http.message.resource import canonical_host, canonical_path, under

UNTIL_CLOSE: Final = -1
"""The body of a response that ends with its connection (RFC 9112 6.3, rule 8)."""

Body: TypeAlias = int | None
"""The framing of a body: its length (0: no body), None: chunked, or UNTIL_CLOSE."""

Form: TypeAlias = Literal["origin", "absolute", "authority", "asterisk"]
"""The forms of a request target (RFC 9112 3.2)."""

Pairs: TypeAlias = Fields | Mapping[str, str] | Iterable[tuple[str, str]]

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_SCHEMES = ("http", "https")


class Request:
    """The head of a request.

    `persistent`, `expects_continue`, `upgrade` and `host` are as received: later changes of the
    fields do not change them.
    """

    __slots__ = (
        "added",
        "body",
        "content",
        "expects_continue",
        "fields",
        "form",
        "host",
        "method",
        "persistent",
        "target",
        "upgrade",
        "version",
    )

    method: str
    target: str
    """The target as received, and as it is forwarded: path and query, or a URI. Do not compare it:
    see `path`, `under` and `query`."""
    version: int
    """10 or 11; later minor versions count as 11."""
    fields: Fields
    added: bytes
    """Field lines that are sent in addition, each with its CRLF. What is new in every message is
    not in `fields`, so that the head that is sent for them can be reused."""
    body: Body
    """Length of the body; None: chunked."""
    content: bytes
    """The whole body of a request that was made here; empty for a received one."""
    host: str
    """The authority in lower case: that of the target, else of Host. Empty only for an HTTP/1.0
    request without Host. To compare it, see `hostname`."""
    form: Form
    persistent: bool
    """Whether the client keeps the connection open after the request (RFC 9112 9.3)."""
    expects_continue: bool
    """Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1)."""
    upgrade: str | None
    """The protocols of Upgrade, in lower case (RFC 9110 7.8). Never h2c or another version of HTTP,
    whose requests would not be checked."""

    def __init__(
        self,
        method: str,
        target: str,
        fields: Pairs = (),
        *,
        host: str = "",
        body: Body = 0,
        content: bytes = b"",
        version: int = 11,
    ) -> None:
        """Create a request; `host` is required unless the target or a Host field contains it.

        Raises ValueError for a request that cannot be sent.
        """
        if not is_token(method.encode("latin-1", "replace")):
            raise ValueError(f"method {method!r} is not a token such as GET")
        if version not in (10, 11):
            raise ValueError(f"version {version}: it must be 10 or 11")
        if body is not None and body < 0:
            raise ValueError(f"body {body}: it must be a length, or None for a chunked body")
        self.form, named = target_form(method, target)
        self.method = method
        self.target = target
        self.version = version
        self.fields = Fields.of(fields)
        self.added = b""
        self.body = len(content) if content else body
        self.content = content
        self.host = (named or self.fields.get("host") or host).lower()
        if authority(self.host.encode("latin-1", "replace")) is None and (
            self.host or version > 10
        ):
            raise ValueError(
                f"host {self.host!r} is not a name or an address with an optional port"
            )
        self.persistent = version > 10
        self.expects_continue = False
        self.upgrade = None

    @property
    def chunked(self) -> bool:
        """Whether the body is chunked (RFC 9112 7.1)."""
        return self.body is None

    @property
    def path(self) -> str:
        """The path in canonical form, as routes compare it, without the query: see
        `resource.canonical_path`. "*" for the target "*"; empty for CONNECT.

        The server gets the `target` unchanged.
        """
        if self.form == "authority":
            return ""
        return canonical_path(self.origin_form.partition("?")[0])

    @property
    def query(self) -> str:
        """The part of the target after the question mark, as received; empty if there is none."""
        return self.target.partition("?")[2]

    @property
    def hostname(self) -> str:
        """The host in canonical form, as routes compare it, without the port: see
        `resource.canonical_host`."""
        return canonical_host(self.host)

    def under(self, prefix: str) -> bool:
        """Whether the path equals `prefix` or is below it, by whole segments, as routes compare
        it: "/api" matches "/api", "/api/" and "/api/x", not "/apis"."""
        return under(self.path, prefix)

    @property
    def origin_form(self) -> str:
        """The target in origin form: path and query (RFC 9112 3.2.1)."""
        target = self.target
        if target[:1] in ("/", "*") or self.form == "authority":
            return target
        behind = target.partition("://")[2]
        at = min((at for at in (behind.find("/"), behind.find("?")) if at >= 0), default=-1)
        if at < 0:
            return "*" if self.method == "OPTIONS" else "/"  # RFC 9112 3.2.4
        return behind[at:] if behind[at] == "/" else f"/{behind[at:]}"

    def copy(self) -> Request:
        """Return a copy."""
        other = Request.__new__(Request)
        other.method = self.method
        other.target = self.target
        other.version = self.version
        other.fields = self.fields.copy()
        other.added = self.added
        other.body = self.body
        other.content = self.content
        other.host = self.host
        other.form = self.form
        other.persistent = self.persistent
        other.expects_continue = self.expects_continue
        other.upgrade = self.upgrade
        return other

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target} of {self.host or 'no host'}>"


class Response:
    """The head of a response. If the proxy created it, `content` is its body."""

    __slots__ = (
        "added",
        "bodiless",
        "body",
        "content",
        "fields",
        "persistent",
        "reason",
        "status",
        "version",
    )

    status: int
    reason: str
    version: int
    """10 or 11; later minor versions count as 11."""
    fields: Fields
    added: bytes
    """See Request."""
    body: Body
    """Framing of the body as received: its length, None: chunked, or UNTIL_CLOSE."""
    bodiless: bool
    """Whether no body follows, whatever the fields announce: 1xx, 204, 304, the response to HEAD,
    and 2xx to CONNECT (RFC 9112 6.3). Its Content-Length is that of another response."""
    persistent: bool
    """Whether the server keeps the connection open after the response (RFC 9112 9.3)."""
    content: bytes
    """The whole body of a response that was made here, or of a subrequest; else empty."""

    def __init__(
        self, status: int, fields: Pairs = (), body: bytes = b"", reason: str | None = None
    ) -> None:
        """Create a response. Content-Length is added when it is sent.

        Raises ValueError for a response that cannot be sent.
        """
        if not 100 <= status <= 999:
            raise ValueError(f"status {status}: it must have three digits, as 404")
        if reason is None:
            reason = _REASONS.get(status, "")
        if not is_text(reason.encode("latin-1")):
            raise ValueError(f"reason {reason!r} has a control character")
        self.status = status
        self.reason = reason
        self.version = 11
        self.fields = Fields.of(fields)
        self.added = b""
        self.body = len(body)
        self.bodiless = has_no_body(status)
        self.persistent = True
        self.content = body
        if self.bodiless and body:
            raise ValueError(
                f"status {status}: such a response must not have a body (RFC 9112 6.3)"
            )

    def copy(self) -> Self:
        """Return a copy."""
        other = self.__class__.__new__(self.__class__)
        other.status = self.status
        other.reason = self.reason
        other.version = self.version
        other.fields = self.fields.copy()
        other.added = self.added
        other.body = self.body
        other.bodiless = self.bodiless
        other.persistent = self.persistent
        other.content = self.content
        return other

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"


def has_no_body(status: int, method: str = "GET") -> bool:
    """Whether a response has no body, whatever its fields announce (RFC 9112 6.3, rules 1, 2)."""
    return (
        status < 200
        or status in (204, 304)
        or method == "HEAD"
        or (method == "CONNECT" and status < 300)
    )


def target_form(method: str, target: str) -> tuple[Form, str]:
    """Return the form of a target, and its authority or "" (RFC 9112 3.2).

    Raises ValueError for an invalid target, or a form that the method does not allow.
    """
    raw = target.encode()
    if not is_target(raw):
        raise ValueError(f"target {target!r} has characters other than visible ASCII without #")
    if method == "CONNECT":
        named = authority(raw)
        if named is None or not named[1]:
            raise ValueError(f"target {target!r}: CONNECT needs HOST:PORT")
        return "authority", target
    if target[0] == "/":
        return "origin", ""
    if target == "*":
        if method != "OPTIONS":
            raise ValueError(f"target * is allowed for OPTIONS only, not for {method}")
        return "asterisk", ""
    scheme, slashes, behind = target.partition("://")
    if not slashes or scheme.lower() not in _SCHEMES:
        raise ValueError(f"target {target!r} does not begin with /, http:// or https://")
    named_host = behind.partition("/")[0].partition("?")[0]
    if authority(named_host.encode("latin-1", "replace")) is None:
        raise ValueError(f"target {target!r}: {named_host!r} is not a valid host")
    return "absolute", named_host
