"""FileResponse: a response whose body is a file, or parts of it.

Tested in tests/http/files/test_file_response.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from vcproxy.engine.file_range import FileRange
from vcproxy.http.files.conditions import Validators, precondition, range_applies
from vcproxy.http.files.ranges import ByteRange, read_ranges
from vcproxy.http.message.dates import http_date
from vcproxy.http.message.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.sources.stored_file import FileOpened, StoredFile
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.messages import Request


class FileResponse(Response):
    """A Response whose body is sent from a file. Its `content` is empty."""

    __slots__ = ("length", "pieces", "state")

    def __init__(
        self,
        status: int,
        fields: dict[str, str],
        pieces: tuple[bytes | FileRange, ...] = (),
        state: Validators | None = None,
    ) -> None:
        super().__init__(status, fields)
        self.state = state
        """The validators of the file, where the body is all of it."""
        self.pieces = pieces
        """The body."""
        self.length = sum(map(len, pieces))
        """Bytes of the body."""

    def copy(self) -> Self:
        """Return a copy."""
        other = super().copy()
        other.pieces = self.pieces
        other.length = self.length
        other.state = self.state
        return other


def validators(facts: FileOpened, coding: str, now: int) -> Validators:
    """Return the validators of an open file. `coding`: its content coding, or "".

    A time of change in the future counts as `now` (RFC 9110, 8.8.2.1). The tag has the time in
    nanoseconds and the size, so it is the same on all servers that got the file with its time.
    """
    mark = f"-{coding}" if coding else ""
    modified = facts.modified_ns // 1_000_000_000
    return Validators(
        f'"{facts.modified_ns:x}-{facts.size:x}{mark}"', min(modified, now) if now else modified
    )


def whole(
    source: StoredFile, facts: FileOpened, fields: dict[str, str], coding: str, now: int
) -> FileResponse:
    """Return the response that has the whole file. `fields`: Content-Type and others of it;
    `coding`: its content coding, or "".
    """
    state = validators(facts, coding, now)
    named = {
        **fields,
        "Last-Modified": http_date(state.modified),
        "ETag": state.etag,
        "Accept-Ranges": "bytes",
    }
    pieces = (FileRange(source, 0, facts.size),) if facts.size else ()
    return FileResponse(200, named, pieces, state)


def respond_to(request: Request, file: FileResponse, boundary: Callable[[], str]) -> FileResponse:
    """Return the response to a GET or HEAD, from that with the whole file: that, a part of it, or
    one without a body.

    `boundary`: makes a text that is not in the file, for several ranges.
    """
    fields, state = request.fields, file.state
    assert state is not None
    lower = fields.lower
    if b"\r\nif-" not in lower and b"\r\nrange:" not in lower:  # most requests
        return file.copy()
    status = precondition(fields, state)
    if status == 304:
        return _without_body(304, file.fields)
    if status == 412:
        return FileResponse(
            412, {"Content-Type": "text/plain; charset=utf-8"}, (b"412 Precondition Failed\n",)
        )
    wanted = fields.get("Range")
    if wanted is None or request.method != "GET" or not range_applies(fields, state):
        return file.copy()
    ranges = read_ranges(wanted, file.length)
    if ranges is None:
        return file.copy()
    return _partial(file, ranges, boundary)


def _without_body(status: int, fields: Fields) -> FileResponse:
    """Return a 304: of the fields of the file, those that a cache updates (RFC 9110, 15.4.5)."""
    kept = ("ETag", "Last-Modified", "Vary", "Cache-Control", "Expires", "Content-Location")
    return FileResponse(status, {each: fields[each] for each in kept if each in fields})


def _partial(
    file: FileResponse, ranges: list[ByteRange], boundary: Callable[[], str]
) -> FileResponse:
    size = file.length
    if not ranges:
        return FileResponse(
            416,
            {"Content-Type": "text/plain; charset=utf-8", "Content-Range": f"bytes */{size}"},
            (b"416 Range Not Satisfiable\n",),
        )
    whole_file = file.pieces[0]
    assert isinstance(whole_file, FileRange)
    fields = dict(file.fields.items())
    parts = [whole_file.part(each.start, each.stop) for each in ranges]
    if len(ranges) == 1:
        fields["Content-Range"] = ranges[0].content_range(size)
        return FileResponse(206, fields, tuple(parts))
    mark = boundary()
    kind = fields["Content-Type"]
    fields["Content-Type"] = f"multipart/byteranges; boundary={mark}"
    pieces: list[bytes | FileRange] = []
    for each, part in zip(ranges, parts, strict=True):
        head = f"\r\n--{mark}\r\nContent-Type: {kind}\r\nContent-Range: {each.content_range(size)}"
        pieces += (f"{head}\r\n\r\n".encode("latin-1"), part)
    pieces.append(f"\r\n--{mark}--\r\n".encode())
    return FileResponse(206, fields, tuple(pieces))
