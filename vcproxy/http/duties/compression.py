"""compression: bodies of responses are compressed for clients that accept it.

As in nginx, the server's own coding is left alone, entity tags become weak and Vary is added.
Tested in tests/http/duties/test_compression.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field

from vcproxy.config.values import Size
from vcproxy.http.duties.codings import CODINGS, keep_freed_memory
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.message.accept_encoding import IDENTITY, preferred_coding
from vcproxy.http.message.entity_tag import tags, weak_tag
from vcproxy.http.message.vary import vary_by
from vcproxy.instruments.counter import Counter

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

CodingName = Literal["gzip", "br", "zstd"]

TYPES: Final = (
    "text/*",
    "*+json",
    "*+xml",
    "application/javascript",
    "application/json",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
)
"""Types that shrink, and are sent often."""

LARGEST_WHOLE = 256 << 10
"""Bytes. A larger body that a filter or a route has made is sent as it is: it would be compressed
in one turn of the net thread, which takes 5 ms for so many."""

CHUNK = 16 << 10
"""A piece of the body of this size, the largest, is followed by another one; after a smaller one
the server has paused, and the client gets all that was compressed so far."""

ACCEPTED = "vcproxy.accept_encoding"
"""The key of the client's Accept-Encoding in `notes`."""

_LEFT_ALONE = re.compile(
    rb"\r\n(?:content-range|content-md5|content-digest|repr-digest|digest):"
    rb"|\r\ncontent-encoding:[\t ]*+(?!identity[\t ]*\r|\r)"
    rb"|\r\ntrailer:[^\r]*digest"
    rb"|\r\ncache-control:[^\r]*(?<![\w-])no-transform(?![\w-])"
).search
"""Finds in a response what forbids to change its body: it is a part, its bytes have a digest that a
client may check (RFC 9530), it has a coding already, or `no-transform` (RFC 9111, 5.2.2.6)."""

_NO_TRANSFORM = re.compile(rb"\r\ncache-control:[^\r]*(?<![\w-])no-transform(?![\w-])").search
"""The same of a request (RFC 9111, 5.2.1.6)."""


def _type(text: str) -> str:
    if not re.fullmatch(r"(?:\*|[a-z0-9.+-]+)/(?:\*|[a-z0-9.+-]+)|\*\+[a-z0-9.-]+", text):
        raise ValueError(
            f'"{text}" is not a type: write it in lower case, as "text/html", "text/*" or "*+json"'
        )
    return text


Type = Annotated[str, AfterValidator(_type)]


@dataclass(frozen=True)
class Compression(Duty):
    """Bodies that clients accept compressed. A body that is compressed already is left alone."""

    codings: Annotated[tuple[CodingName, ...], Field(min_length=1)] = ("gzip",)
    """"gzip", "br" and "zstd", the best first; a client gets the one that it prefers, and of equal
    ones the first. "br" needs the package brotli, "zstd" zstandard."""

    levels: dict[CodingName, Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    """How much work is done, by coding, from 1 to 6. Left out: gzip = 4, br = 3, zstd = 3."""

    types: tuple[Type, ...] = TYPES
    """Types of bodies: "text/html", "text/*", or "*+json" for all that end so."""

    min_size: Size = 1024
    """The smallest body, in bytes, if its length is known: one below is sent in a single packet
    anyway."""

    memory: Size = 64 << 20
    """The most memory for compressors on a net thread; beyond it bodies are sent uncompressed. One
    body needs 256 KiB for gzip, and 1 MiB for br and zstd (3 MiB above level 3 and 4)."""

    def __post_init__(self) -> None:
        for name in self.codings:
            coding = CODINGS[name]
            if coding.missing():
                raise ValueError(
                    f"{name} needs the library {coding.package}: "
                    "pip install '.[compression]' in the checkout"
                )
        for name, level in self.levels.items():
            if name not in self.codings:
                raise ValueError(f"levels has {name}, which is not in codings")
            if level > CODINGS[name].most:
                raise ValueError(
                    f"level {level} of {name}: the highest is {CODINGS[name].most}, as more would "
                    "stop all other connections for too long"
                )
        if len(set(self.codings)) < len(self.codings):
            raise ValueError("codings has one twice")

    def level(self, name: CodingName) -> int:
        """Return the level of a coding."""
        return self.levels.get(name, CODINGS[name].level)

    def phases(self) -> CompressionPhases:
        """See Duty."""
        return CompressionPhases(self)


class CompressedBody:
    """Compresses the body of one response: see Transaction.encoder."""

    __slots__ = ("_compressor", "_left", "_streamed", "coding", "held", "received", "sent")

    def __init__(
        self, coding: str, level: int, length: int, *, held: int = 0, streamed: bool = False
    ) -> None:
        """`length`: bytes of the body, -1: not known; `held`: memory that the compressor needs;
        `streamed`: whether each piece is sent at once."""
        self.coding = coding
        self._compressor = CODINGS[coding].make(level, max(0, length))
        self._left = length
        self._streamed = streamed
        self.held = held
        self.received = self.sent = 0
        """Bytes before and after."""

    def feed(self, data: bytes) -> bytes:
        """Return compressed bytes for a piece of the body; for b"", the end of them."""
        compressor = self._compressor
        if not data:
            out = compressor.finish()
        else:
            out = compressor.feed(data)
            size = len(data)
            self.received += size
            self._left -= size
            if self._left and (self._streamed or size < CHUNK):
                out += compressor.flush()
        self.sent += len(out)
        return out


class CompressionPhases(DutyPhases):
    """Decides for each response, and compresses."""

    before = Counter("http_compression_bytes_before", "Bytes of bodies.", labels=("coding",))
    after = Counter("http_compression_bytes_after", "The same, compressed.", labels=("coding",))
    skipped = Counter("http_compression_skipped", "Bodies for which there was no memory.")

    def __init__(self, options: Compression) -> None:
        super().__init__(options)
        keep_freed_memory()
        self._codings = tuple(options.codings)
        self._min_size = options.min_size
        self._memory = options.memory
        self._used = 0
        self._levels: dict[str, int] = {name: options.level(name) for name in options.codings}
        self._suits = lru_cache(256)(_matcher(options.types))  # a site has few different values

    def request_head(self, tx: Transaction) -> None:
        """Keep what the client accepts: `request_fields` may remove it for the server, so that it
        does not compress itself."""
        accept = tx.request.fields.get("Accept-Encoding")
        if accept is not None:
            tx.notes[ACCEPTED] = accept

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        status, fields = response.status, response.fields
        if status == 304:
            self._weaken_304(tx, response)
            return
        if status in (204, 205, 206) or _LEFT_ALONE(fields.lower):
            return
        length = self._length(tx, response)
        if (
            not length
            or 0 < length < self._min_size
            or not self._suits(fields.get("Content-Type", ""))
        ):
            return
        if response.content and length > LARGEST_WHOLE:
            return
        if not (response.content or tx.server):  # a file: its folder has `precompressed`
            return
        if tx.request.method == "CONNECT" or _NO_TRANSFORM(tx.request.fields.lower):
            return
        vary_by(fields, "Accept-Encoding")
        coding = self._coding(tx)
        if coding == IDENTITY:
            return
        head_only = tx.request.method == "HEAD"
        if response.content:
            whole = CompressedBody(coding, self._levels[coding], length)
            response.content = whole.feed(response.content) + whole.feed(b"")
            self._count(whole)
        elif not head_only:
            level = self._levels[coding]
            held = CODINGS[coding].memory(level)
            if self._used + held > self._memory:
                self.skipped.add()
                return
            self._used += held
            streamed = length < 0 or _is_event_stream(response)
            tx.encoder = CompressedBody(coding, level, length, held=held, streamed=streamed)
        else:  # the length that GET would get is not known
            fields.discard("Content-Length")
        fields.pop("Content-Encoding", "")
        fields.add("Content-Encoding", coding)
        fields.pop("Accept-Ranges", "")
        if "ETag" in fields:
            weak = weak_tag(fields["ETag"])
            if weak:
                fields["ETag"] = weak
            else:
                del fields["ETag"]

    def done(self, tx: Transaction) -> None:
        """Free the compressor."""
        encoder = tx.encoder
        if isinstance(encoder, CompressedBody):
            tx.encoder = None
            self._used -= encoder.held
            self._count(encoder)

    def _count(self, body: CompressedBody) -> None:
        self.before.add(body.received, coding=body.coding)
        self.after.add(body.sent, coding=body.coding)

    def _coding(self, tx: Transaction) -> str:
        """Return the coding for the client: IDENTITY for one of HTTP/1.0, as in nginx and HAProxy,
        since such a client cannot be sent chunks."""
        request = tx.request
        if request.version < 11:
            return IDENTITY
        accept = tx.notes.get(ACCEPTED) or request.fields.get("Accept-Encoding")
        return preferred_coding(accept if isinstance(accept, str) else None, self._codings)

    def _length(self, tx: Transaction, response: Response) -> int:
        """Return the length of the body, or of the one that GET would get; -1: not known."""
        if response.content:
            return len(response.content)
        if response.bodiless or tx.request.method == "HEAD":
            stated = response.fields.control.get(b"content-length", b"")
            return int(stated) if stated.isdigit() else -1
        body = response.body
        return -1 if body is None else body

    def _weaken_304(self, tx: Transaction, response: Response) -> None:
        """Give the tag of a 304 the form that the client has, which is that of the compressed body:
        a cache freshens the response with an equal tag only (RFC 9111, 4.3.4)."""
        fields = response.fields
        weak = weak_tag(fields.get("ETag", ""))
        if weak and weak in tags(tx.request.fields.get("If-None-Match", "")):
            fields["ETag"] = weak
            vary_by(fields, "Accept-Encoding")


def _is_event_stream(response: Response) -> bool:
    return response.fields.get("Content-Type", "").lower().startswith("text/event-stream")


def _matcher(types: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that says whether a Content-Type is one of these types."""
    exact = frozenset(types)
    suffixes = tuple(each[1:] for each in types if each.startswith("*+"))

    def matches(content_type: str) -> bool:
        own = content_type.partition(";")[0].strip(" \t").lower()
        group = own.partition("/")[0]
        return bool(own) and (
            own in exact
            or f"{group}/*" in exact
            or "*/*" in exact
            or bool(suffixes and own.endswith(suffixes))
        )

    return matches
