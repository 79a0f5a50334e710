"""Requests and responses: the heads of messages, and how their bodies are framed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

from vcproxy.http.message.fields import Fields
from vcproxy.http.message.grammar import authority, is_target, is_text, is_token
from vcproxy.http.message.resource import canonical_host, canonical_path, under

UNTIL_CLOSE: Final = -1
"""The body of a response that ends with its connection (RFC 9112 6.3, rule 8)."""

Body: TypeAlias = int | None
"""How a body is framed: its length (0: there is none), None: chunked, or UNTIL_CLOSE."""

Form: TypeAlias = Literal["origin", "absolute", "authority", "asterisk"]
"""The forms of a request target (RFC 9112 3.2)."""

Pairs: TypeAlias = Fields | Mapping[str, str] | Iterable[tuple[str, str]]

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_SCHEMES = ("http", "https")


class Request:
    """The head of a request.

    What is said of the client (`persistent`, `expects_continue`, `upgrade`, `host`) is as it was
    read, whatever is done to the fields afterwards.
    """

    __slots__ = (
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
    """What the client asked for, as it came, and as a server is sent it: path and query, or a whole
    URI. It is for passing on, not for comparing: see `path`, `under` and `query`."""
    version: int
    """10 or 11; a later minor version counts as 11."""
    fields: Fields
    body: Body
    """Length of the body, or None: it is chunked."""
    content: bytes
    """The whole body of one's own request; empty for those that were read."""
    host: str
    """The authority it is for, in lower case: that of the target, else of Host. Empty only for an
    HTTP/1.0 request without Host. To compare: see `hostname`."""
    form: Form
    persistent: bool
    """Whether the client keeps the connection open behind it (RFC 9112 9.3)."""
    expects_continue: bool
    """Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1)."""
    upgrade: str | None
    """The protocols asked for, in lower case (RFC 9110 7.8). Never h2c or
    another kind of HTTP, whose requests nobody here would check."""

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
        """Write a request; `host` is needed unless the target or a Host field names it.

        Raises ValueError saying what of it could not be sent.
        """
        if not is_token(method.encode("latin-1", "replace")):
            raise ValueError(f"method {method!r}: it is made of letters, as in GET")
        if version not in (10, 11):
            raise ValueError(f"version {version}: it is 10 or 11")
        if body is not None and body < 0:
            raise ValueError(f"body {body}: a request's has a length, or None: it is chunked")
        self.form, named = target_form(method, target)
        self.method = method
        self.target = target
        self.version = version
        self.fields = Fields.of(fields)
        self.body = len(content) if content else body
        self.content = content
        self.host = (named or self.fields.get("host") or host).lower()
        if authority(self.host.encode("latin-1", "replace")) is None and (
            self.host or version > 10
        ):
            raise ValueError(f"host {self.host!r}: it is a name or an address, and may have a port")
        self.persistent = version > 10
        self.expects_continue = False
        self.upgrade = None

    @property
    def chunked(self) -> bool:
        """Whether its body is sent in chunks (RFC 9112 7.1)."""
        return self.body is None

    @property
    def path(self) -> str:
        """The path in the one spelling by which routes compare it, without the query: see
        `resource.canonical_path`. "*" for all of a server; empty for CONNECT.

        What a server is sent is the `target`, as it came.
        """
        if self.form == "authority":
            return ""
        return canonical_path(self.origin_form.partition("?")[0])

    @property
    def query(self) -> str:
        """What is behind the question mark of the target, as it came; empty if there is none."""
        return self.target.partition("?")[2]

    @property
    def hostname(self) -> str:
        """The host in the one spelling by which routes compare it, without the port: see
        `resource.canonical_host`."""
        return canonical_host(self.host)

    def under(self, prefix: str) -> bool:
        """Whether the path is this one or lies below it, by whole segments, as routes compare it:
        "/api" stands for "/api", "/api/" and "/api/x", not for "/apis"."""
        return under(self.path, prefix)

    @property
    def origin_form(self) -> str:
        """The target as a server itself is asked for it: path and query (RFC 9112 3.2.1)."""
        target = self.target
        if target[:1] in ("/", "*") or self.form == "authority":
            return target
        behind = target.partition("://")[2]
        at = min((at for at in (behind.find("/"), behind.find("?")) if at >= 0), default=-1)
        if at < 0:
            return "*" if self.method == "OPTIONS" else "/"  # RFC 9112 3.2.4
        return behind[at:] if behind[at] == "/" else f"/{behind[at:]}"

    def copy(self) -> Request:
        """Return another that is the same."""
        other = Request.__new__(Request)
        other.method = self.method
        other.target = self.target
        other.version = self.version
        other.fields = self.fields.copy()
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
    """The head of a response; one that answers a request itself has its `content` too."""

    __slots__ = (
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
    """10 or 11; a later minor version counts as 11."""
    fields: Fields
    body: Body
    """Length of the body as it stands on the wire, None: chunked, or UNTIL_CLOSE."""
    bodiless: bool
    """Whether no body follows whatever the fields say: 1xx, 204, 304, what answers HEAD, and 2xx to
    CONNECT (RFC 9112 6.3). A Content-Length of it tells of another answer."""
    persistent: bool
    """Whether the server keeps the connection open behind it (RFC 9112 9.3)."""
    content: bytes
    """The whole body of one's own answer; empty for those that were read."""

    def __init__(
        self, status: int, fields: Pairs = (), body: bytes = b"", reason: str | None = None
    ) -> None:
        """Write an answer. Its Content-Length need not be given.

        Raises ValueError saying what of it could not be sent.
        """
        if not 100 <= status <= 999:
            raise ValueError(f"status {status}: it has three digits, as in 404")
        if reason is None:
            reason = _REASONS.get(status, "")
        if not is_text(reason.encode("latin-1")):
            raise ValueError(f"reason {reason!r} holds a control character")
        self.status = status
        self.reason = reason
        self.version = 11
        self.fields = Fields.of(fields)
        self.body = len(body)
        self.bodiless = has_no_body(status)
        self.persistent = True
        self.content = body
        if self.bodiless and body:
            raise ValueError(f"status {status}: such an answer has no body (RFC 9112 6.3)")

    def copy(self) -> Response:
        """Return another that is the same."""
        other = Response.__new__(Response)
        other.status = self.status
        other.reason = self.reason
        other.version = self.version
        other.fields = self.fields.copy()
        other.body = self.body
        other.bodiless = self.bodiless
        other.persistent = self.persistent
        other.content = self.content
        return other

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"


def has_no_body(status: int, method: str = "GET") -> bool:
    """Whether an answer has no body whatever its fields say (RFC 9112 6.3, rules 1 and 2)."""
    return (
        status < 200
        or status in (204, 304)
        or method == "HEAD"
        or (method == "CONNECT" and status < 300)
    )


def target_form(method: str, target: str) -> tuple[Form, str]:
    """Return the form of a target and the authority that it names, if any (RFC 9112 3.2).

    Raises ValueError for a target that is none, or none for this method.
    """
    raw = target.encode()
    if not is_target(raw):
        raise ValueError(f"target {target!r}: it is made of visible ASCII characters without #")
    if method == "CONNECT":
        named = authority(raw)
        if named is None or not named[1]:
            raise ValueError(f"target {target!r}: CONNECT names a host and a port")
        return "authority", target
    if target[0] == "/":
        return "origin", ""
    if target == "*":
        if method != "OPTIONS":
            raise ValueError(f"target *: it is for OPTIONS, not {method}")
        return "asterisk", ""
    scheme, slashes, behind = target.partition("://")
    if not slashes or scheme.lower() not in _SCHEMES:
        raise ValueError(f"target {target!r}: it begins with /, http:// or https://")
    named_host = behind.partition("/")[0].partition("?")[0]
    if authority(named_host.encode("latin-1", "replace")) is None:
        raise ValueError(f"target {target!r}: {named_host!r} is no host")
    return "absolute", named_host
