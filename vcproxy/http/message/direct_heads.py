"""Direct heads: what is forwarded for a head that needs no decision, found by one look-up or one
regular expression.

The rules are those of `parsing` and `forwarding`. If the regular expressions do not cover a head,
these modules parse and forward it once, and the result is reused for equal heads. A head whose
treatment depends on more than its bytes is not found: it takes the ordinary path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarding import to_client, to_server
from vcproxy.http.message.grammar import TARGET, TEXT, authority
from vcproxy.http.message.head_cache import MAX_SIZE, RepeatCache
from vcproxy.http.message.keep_alive import keep_alive_s
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import HEAD_END, parse_request, parse_response

_NAME = rb"[!#$%&'*+.^`|~0-9A-Za-z-]"
"""A byte of a name that no CGI could confuse with another: a token without "_"."""


def _lines(special: bytes) -> bytes:
    """Return a pattern of canonical lines whose names do not match `special`. One line
    `Connection: keep-alive` may be among them; it is a group, because it is not forwarded."""
    line = rb"(?:(?!%b)%b++:(?: [!-~\x80-\xff]%b*+(?<![\t ]))?+\r\n)*+" % (special, _NAME, TEXT)
    return rb"%b((?i:connection: keep-alive)\r\n)?+%b" % (line, line)


# A class for the first letter rules out most lines, and is faster than a match that ignores case.
_REQUEST_LINES = _lines(
    rb"[CcEeFfHhKkPpTtUuVvXx](?i:onnection|ontent-l|xpect|orwarded|ost:|eep-alive|roxy|e:|ransfer-e"
    rb"|pgrade|ia:|-forwarded)"
)
_RESPONSE_LINES = _lines(rb"[CcKkPpTtUu](?i:onnection|ontent-l|eep-alive|roxy|e:|ransfer-e|pgrade)")

_request_line = re.compile(rb"GET /%b*+ HTTP/1\.1\r\n" % TARGET).match
_request_fields = re.compile(
    rb"%b(?i:host): ([^\t\r ]++)\r\n%b\r\n" % (_REQUEST_LINES, _REQUEST_LINES)
).fullmatch
_response = re.compile(
    rb"HTTP/1\.1 (?!204|304)[2-5][0-9][0-9] %b*+\r\n%b(?i:content-length): (0|[1-9][0-9]{0,15})\r\n"
    rb"%b\r\n" % (TEXT, _RESPONSE_LINES, _RESPONSE_LINES)
).fullmatch

_date = re.compile(rb"\r\n(?i:date):").search

_NO_FIELDS = ClientFields("", False, pseudonym="", style="off")
_DEPENDING = (b"forwarded", b"te", b"via", b"x-forwarded-")
"""Prefixes of fields of a request that are forwarded differently for each client, or not at all."""


class RequestFields(NamedTuple):
    """The fields of a request that may be passed on."""

    lines: bytes
    """The lines that are forwarded, without those that are added for the client."""
    host: str
    """See Request."""


class Answer(NamedTuple):
    """The head of a response that may be passed on with its body."""

    head: bytes
    """The head that is forwarded; if `undated`, without the Date and the empty line at its end."""
    length: int
    """Bytes of the body."""
    extra: AnswerExtra | None
    """What few responses need; None: nothing."""


class AnswerExtra(NamedTuple):
    """What is to be done for a response besides sending it."""

    undated: bool
    """Whether the proxy must add the Date."""
    kept_s: float | None
    """The keep-alive time that the server has announced, in seconds."""


UNDATED: Final = AnswerExtra(undated=True, kept_s=None)
"""The Date is missing, and nothing else."""

ORDINARY: Final = Answer(b"", -1000, None)
"""Stands for a response that takes the ordinary path: no received data has this many bytes after
the head, not even if the head is incomplete."""


class DirectHeads:
    """Which heads of one listener may be passed on, and what is forwarded for them."""

    __slots__ = (
        "_answers", "_hosts", "_limits", "_longest", "_pseudonym", "_via", "answers", "edit",
        "last_size",
    )  # fmt: skip

    def __init__(
        self,
        limits: MessageLimits,
        pseudonym: str,
        edit: Callable[[Fields], None] | None = None,
    ) -> None:
        """`edit` changes the fields of each response, before the proxy does."""
        self.edit = edit
        self._limits = limits
        self._pseudonym = pseudonym
        via = f"Via: 1.1 {pseudonym}\r\n" if pseudonym else ""
        self._via = f"{via}\r\n".encode("latin-1")
        self._longest = min(limits.head, limits.line, limits.field)
        self._answers = RepeatCache[Answer]()
        self._hosts: dict[bytes, str] = {}
        self.last_size = 0
        """Bytes of the head of the last response. Many heads are equally long, and a look-up with
        this size is faster than a search for the end of the head."""
        self.answers = self._answers.get
        """Return the Answer for the head of a response; None: unknown, so call `answer`."""

    def request_line(self, head: bytes) -> int | None:
        """Return the index after the request line; None: the request may not be passed on.

        Only a GET is passed on: it may be sent again if the server's connection turns out to be
        closed.
        """
        line = _request_line(head)
        return line.end() if line is not None and self._within_limits(head) else None

    def request(self, fields: bytes) -> RequestFields | None:
        """Return how a request with these fields is passed on; None: they must be parsed.

        `fields` is what follows `request_line`.
        """
        match = _request_fields(fields)
        host = None if match is None else self._host(match[2])
        return None if match is None or host is None else RequestFields(_forwarded(match), host)

    def parsed_request(self, head: bytes) -> RequestFields | None:
        """Parse a head; return the fields to pass on. None: it takes the ordinary path."""
        try:
            request = parse_request(head, self._limits)
        except BadMessage:
            return None
        control = request.fields.control
        if not request.persistent or request.body != 0 or request.upgrade is not None:
            return None
        if b"expect" in control or any(name.startswith(_DEPENDING) for name in control):
            return None
        forwarded = to_server(request, _NO_FIELDS)
        return RequestFields(forwarded[forwarded.find(b"\r\n") + 2 : -2], request.host)

    def answer(self, head: bytes) -> Answer:
        """Return how a response to GET is passed on, or ORDINARY.

        An incomplete head is not cached. Its size would become `last_size`, and later responses
        that begin with the same bytes would be mistaken for it.
        """
        if not (head.endswith(HEAD_END) and self._within_limits(head)):
            return ORDINARY
        match = _response(head)
        answer = ORDINARY
        if match is not None:
            forwarded, length = _forwarded(match), int(match[2])
            if self.edit is not None:
                forwarded = _edited(forwarded, self.edit)
            forwarded += self._via
            if b"\r\nDate: " in forwarded or _date(forwarded):
                answer = Answer(forwarded, length, None)
            else:
                answer = Answer(forwarded[:-2], length, UNDATED)
        if len(head) <= MAX_SIZE and self._answers.seen_before(head):
            if answer is ORDINARY:
                answer = self._parsed_answer(head)
            self._answers.store(head, answer)
        return answer

    def _within_limits(self, head: bytes) -> bool:
        """Whether a head is surely within all limits. False for some long heads that are."""
        size = len(head)
        if size > self._longest:
            return False
        most = self._limits.fields
        # The shortest line has four bytes, so most heads are too short to have too many lines.
        return size <= 4 * most or head.count(b"\n") <= most + 2

    def _host(self, raw: bytes) -> str | None:
        """Return the host of a request as `Request.host` has it; None: it is not valid."""
        host = self._hosts.get(raw)
        if host is None:
            lower = raw.lower()
            if b"," in lower or authority(lower) is None:
                return None
            host = lower.decode().removesuffix(":")
            if len(self._hosts) >= _HOSTS:
                self._hosts.clear()
            self._hosts[raw] = host
        return host

    def _parsed_answer(self, head: bytes) -> Answer:
        try:
            response = parse_response(head, self._limits, "GET")
        except BadMessage:
            return ORDINARY
        body = response.body
        if response.status < 200 or not response.persistent or body is None or body < 0:
            return ORDINARY
        if self.edit is not None:
            self.edit(response.fields)
        forwarded = to_client(response, pseudonym=self._pseudonym, keep=True, body=body)
        undated = "Date" not in response.fields
        kept = b"keep-alive" in response.fields.control
        kept_s = keep_alive_s(response.fields) if kept else None
        if not undated and kept_s is None:
            return Answer(forwarded, body, None)
        return Answer(forwarded[:-2] if undated else forwarded, body, AnswerExtra(undated, kept_s))


def _forwarded(match: re.Match[bytes]) -> bytes:
    """Return the matched head without its last CRLF and without `Connection: keep-alive`."""
    whole = match.string
    begin, end = match.span(1)
    other, behind = match.span(3)
    if other >= 0:
        whole = whole[:other] + whole[behind:]
    if begin >= 0:
        whole = whole[:begin] + whole[end:]
    return whole[:-2]


def _edited(head: bytes, edit: Callable[[Fields], None]) -> bytes:
    """Return a head without its last CRLF, with changed fields."""
    start = head.find(b"\r\n") + 2
    fields = Fields(head[start:])
    edit(fields)
    return head[:start] + fields.raw


_HOSTS = 64
"""How many checked hosts are remembered: more than a proxy usually serves at a time."""
