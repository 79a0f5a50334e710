"""The reason why a head is refused. It is determined only after the grammar did not match.

Tested in tests/http/message/test_requests.py and test_responses.py.
"""

from __future__ import annotations

import re

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.grammar import CONTROL_CHARACTER, TARGET, TOKEN, is_target, is_token
from vcproxy.http.message.limits import MessageLimits

_version = re.compile(rb"HTTP/([0-9])\.[0-9]").fullmatch
_status = re.compile(rb"[1-9][0-9]{2}").fullmatch
_token = re.compile(TOKEN + rb"++").match
_target = re.compile(TARGET + rb"++").match

EXCERPT = 60
"""Bytes of the message that a reason quotes: enough to find the place, short in a log."""


def request_error(head: bytes) -> BadMessage:
    """Return the error of a request's head that does not match the grammar."""
    if CONTROL_CHARACTER(head):
        return control_character_error(head)
    line, _, fields = head.partition(b"\r\n")
    parts = line.split(b" ")
    version = _version(parts[-1])
    if version and len(parts) == 3 and version[1] != b"1":
        why = f"version {excerpt(parts[2])} is not supported: use HTTP/1.1"
        return BadMessage(505, why, "RFC 9110 15.6.6", at=len(line) - len(parts[2]))
    if len(parts) != 3 or not version:
        why = f"request line {excerpt(line)} is not a method, a target and HTTP/1.1"
        return BadMessage(400, why, "RFC 9112 3", at=0)
    if not is_token(parts[0]):
        why = f"method {excerpt(parts[0])} is not a token"
        return BadMessage(400, why, "RFC 9110 9.1", at=_token_end(parts[0]))
    if not is_target(parts[1]):
        why = f"target {excerpt(parts[1])} has characters that no URI has"
        return BadMessage(400, why, "RFC 9112 3.2", at=len(parts[0]) + 1 + _target_end(parts[1]))
    return fields_error(fields, 400, len(line) + 2)


def response_error(head: bytes) -> BadMessage:
    """Return the error of a response's head that does not match the grammar."""
    if CONTROL_CHARACTER(head):
        return control_character_error(head, 502)
    line, _, fields = head.partition(b"\r\n")
    parts = line.split(b" ", 2)
    version = _version(parts[0])
    if len(parts) < 2 or not version or version[1] != b"1" or not _status(parts[1]):
        why = f"status line {excerpt(line)} is not HTTP/1.1, three digits and a reason"
        return BadMessage(502, why, "RFC 9112 4", at=0)
    return fields_error(fields, 502, len(line) + 2)


def fields_error(fields: bytes, status: int, at: int = 0) -> BadMessage:
    """Return the error of field lines that do not match the grammar; they begin at this index."""
    if CONTROL_CHARACTER(fields):
        return control_character_error(fields, status)
    for line in fields.split(b"\r\n"):
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            why = f"field line {excerpt(line)} begins with white space (a folded line?)"
            return BadMessage(status, why, "RFC 9112 5.2", at=at)
        if line and not colon:
            why = f"field line {excerpt(line)} has no colon"
            return BadMessage(status, why, "RFC 9112 5", at=at + len(line))
        if name[-1:] in (b" ", b"\t"):
            why = f"field {excerpt(name)} has white space before the colon"
            return BadMessage(status, why, "RFC 9112 5.1", at=at + len(name.rstrip(b" \t")))
        if line and not is_token(name):
            why = f"field name {excerpt(name)} is not a token"
            return BadMessage(status, why, "RFC 9110 5.1", at=at + _token_end(name))
        at += len(line) + 2
    return BadMessage(status, "an empty line inside the head", "RFC 9112 2.1")


def _token_end(text: bytes) -> int:
    """Return the index of the first byte that is not of a token."""
    match = _token(text)
    return match.end() if match else 0


def _target_end(text: bytes) -> int:
    """Return the index of the first byte that no target has."""
    match = _target(text)
    return match.end() if match else 0


def size_error(head: bytes, limits: MessageLimits, status: int) -> BadMessage | None:
    """Return the error if a head exceeds a limit, else None. `status`: 431 or 502."""
    if len(head) > limits.head:
        return too_long("head", limits.head, status)
    start, *lines = head.split(b"\r\n")
    if len(start) > limits.line:
        return too_long("first line", limits.line, 414 if status == 431 else status)
    if len(lines) > limits.fields + 2:
        return BadMessage(status, f"more than {limits.fields} fields", "RFC 6585 5")
    if any(len(line) > limits.field for line in lines):
        return too_long("field line", limits.field, status)
    return None


def too_long(what: str, limit: int, status: int) -> BadMessage:
    """Return the error for a part of a message that is longer than a limit, in bytes."""
    rfc = "RFC 9110 15.5.15" if status == 414 else "RFC 6585 5"
    return BadMessage(status, f"{what} longer than {limit} bytes", rfc)


def control_character_error(data: bytes, status: int = 400) -> BadMessage:
    """Return the error for data with a control character, a bare CR or a bare LF."""
    match = CONTROL_CHARACTER(data)
    assert match is not None
    kind = {b"\r": "a bare CR", b"\n": "a bare LF", b"\0": "a NUL"}
    what = kind.get(match[0], f"the control character 0x{match[0].hex()}")
    rfc = "RFC 9112 2.2" if match[0] in b"\r\n" else "RFC 9110 5.5"
    start = data.rfind(b"\n", 0, match.start()) + 1
    return BadMessage(status, f"{what} in {excerpt(data[start:])}", rfc, at=match.start())


def excerpt(text: bytes) -> str:
    """Return the first EXCERPT bytes of a text, quoted and escaped."""
    cut = text[:EXCERPT]
    return f"{repr(cut)[1:]}{'...' if len(cut) < len(text) else ''}"
