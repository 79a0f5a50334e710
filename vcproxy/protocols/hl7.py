"""hl7: the header of an HL7 version 2 message, and the acknowledgement that answers it. Values.

A message consists of segments, each ended by CR; the first is MSH, the message header. MSH-1, its
fourth byte, is the field separator, and MSH-2 has the other separators: each message is read, and
answered, with its own (HL7 2.x, chapter 2, "Message delimiters" and "MSH - message header").

    header = Hl7Header.parse(message)
    fault = header.fault()
    if fault is not None:
        answer = header.acknowledgement("AR", b"id-1", now, fault)

Field n of a header is MSH-n. Bytes are not decoded: separators are ASCII in every character set
that MSH-18 may name, and the text between them is only compared, or copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

AckCode: TypeAlias = Literal["AA", "AE", "AR"]
"""MSA-1: accepted; an error in the message or while it was processed; rejected, either because of
its type, processing ID or version, or because of something that is not in the message (HL7 table
0008). After AR for the last reason the same message may be sent again."""

FieldName: TypeAlias = Literal[
    "MSH-3", "MSH-4", "MSH-5", "MSH-6", "MSH-8", "MSH-9", "MSH-11", "MSH-12", "MSH-17", "MSH-18"
]
Hl7Fields: TypeAlias = Mapping[FieldName, tuple[str, ...]]
"""Fields, each with the values that it may have, for the options of a plugin. "ORU" is ORU with any
further components, "ORU^R01" with any after these two: components are separated by ^ here,
whatever separates them in a message."""

UNSUPPORTED = {9: 200, 11: 202, 12: 203}
"""The errors of HL7 table 0357 for fields that are verified before all else: their answer is AR."""

REQUIRED: Mapping[int, tuple[str, AckCode]] = {
    9: ("the message type", "AR"),
    10: ("the message control ID", "AE"),
    11: ("the processing ID", "AR"),
    12: ("the version", "AR"),
}
"""Fields of MSH that every message has, and the answer to one without them: AR for the three that
are verified before all else (HL7 2.x, chapter 2, "Acknowledgments: original mode")."""

FIELDS = 18
"""The last field of MSH that is looked at. The rest is not split."""

LONGEST = 8 << 10
"""Bytes of the longest MSH: several times those of 2.9 with full fields that people use. What an
answer repeats of it is bounded by this."""

CODES = frozenset({b"AA", b"AE", b"AR", b"CA", b"CE", b"CR"})

CONTROL = re.compile(rb"[\x00-\x1f]")

USUAL = b"|^~\\&"
"""The separators of almost all messages."""

BATCH = (b"FHS", b"BHS")
"""The first segments of files and batches (chapter 2, "Message construction"): many messages."""

PUNCTUATION = frozenset(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
"""What separators are made of. A letter or digit could not be told from text."""


class Hl7Fault(NamedTuple):
    """Why a message is not accepted."""

    code: AckCode
    field: int
    """The field of MSH that is not as it must be; 0: the message as a whole."""
    error: int
    """HL7 table 0357: 100 the segments are not in order, 101 a required field is missing, 103 a
    value is not accepted, 200 the type, 202 the processing ID, 203 the version is not supported,
    207 an internal error."""
    text: str
    """For people, in ASCII."""


class Hl7Answer(NamedTuple):
    """The segment MSA of a message that answers another."""

    code: bytes
    """MSA-1: AA, AE, AR, or CA, CE, CR in enhanced mode."""
    control_id: bytes
    """MSA-2: MSH-10 of the message that is answered."""

    @classmethod
    def parse(cls, message: bytes) -> Hl7Answer | None:
        """Return what a message answers; None: it answers nothing, or is not HL7."""
        if message[:3] != b"MSH":
            return None
        separator = message[3:4]
        start = message.find(b"\rMSA" + separator)
        if start < 0:
            return None
        end = message.find(b"\r", start + 1)
        fields = message[start : end if end > 0 else len(message)].split(separator, 3)
        if len(fields) < 3 or fields[1] not in CODES or not fields[2]:
            return None
        return cls(fields[1], fields[2])


@dataclass(frozen=True, slots=True)
class Hl7Header:
    """The segment MSH of one message."""

    separator: bytes
    """MSH-1, which separates fields."""
    encoding: bytes
    """MSH-2: the separators of components and of repetitions, the escape character, the separator
    of subcomponents, and from 2.7 on the mark of truncated text. The last ones may be left out."""
    fields: tuple[bytes, ...]
    """`MSH`, MSH-2, MSH-3 and so on: see `field`."""

    @classmethod
    def parse(cls, message: bytes) -> Hl7Header:
        """Return the header of a message. Raises ValueError, with a text for people, if it has none
        that can be read."""
        if message[:3] != b"MSH":
            batch = " but with a batch: send each message alone" if message[:3] in BATCH else ""
            raise ValueError(f"the message does not begin with MSH{batch}")
        end = message.find(b"\r")
        segment = message[: end if end >= 0 else len(message)]
        if len(segment) > LONGEST:
            raise ValueError("MSH is longer than 8 KiB")
        separator = segment[3:4]
        fields = segment.split(separator, FIELDS) if separator else [segment]
        separators = separator + (fields[1] if len(fields) > 1 else b"")
        if separators != USUAL:
            if not 2 <= len(separators) <= 6:
                raise ValueError("MSH-2 must have one to five characters")
            if len({*separators}) < len(separators) or not PUNCTUATION.issuperset(separators):
                raise ValueError("MSH-1 and MSH-2 must be different characters of punctuation")
        # Answers repeat these fields: a control character could end the answer early.
        if CONTROL.search(segment):
            raise ValueError("MSH may not contain control characters; segments end in CR")
        return cls(separator, fields[1], tuple(fields))

    @classmethod
    def verified(
        cls, message: bytes, accepted: Hl7Fields | None = None
    ) -> tuple[Hl7Header, Hl7Fault | None]:
        """Return the header of a message, or what stands for it, and why the message is not
        accepted: see `fault`."""
        try:
            header = cls.parse(message)
        except ValueError as why:
            return cls.unreadable(), Hl7Fault("AR", 0, 100, str(why))
        fault = header.fault(accepted)
        if fault is None and (b"\rMSH" in message or b"\nMSH" in message):
            # Receivers that split batches would take it for a message, which was not verified. Some
            # let LF end segments, too.
            fault = Hl7Fault("AE", 0, 100, "another MSH follows: a block has one message")
        return header, fault

    @classmethod
    def unreadable(cls) -> Hl7Header:
        """Return what stands for the header of a message that has none: the usual separators, and
        nothing to repeat. MSA-2 of the answer is then empty."""
        return cls(USUAL[:1], USUAL[1:], (b"MSH", USUAL[1:], *[b""] * 8, b"P", b"2.3"))

    def field(self, number: int) -> bytes:
        """Return MSH-number, from 1 to 18; b"" if it is empty or missing."""
        if number == 1:
            return self.separator
        return self.fields[number - 1] if number <= len(self.fields) else b""

    def components(self, number: int) -> list[bytes]:
        """Return the components of a field: of MSH-9, the message code, trigger, structure."""
        return self.field(number).split(self.encoding[:1])

    @property
    def control_id(self) -> bytes:
        """MSH-10, which answers have as MSA-2."""
        return self.field(10)

    def unmatched(self, fields: Hl7Fields) -> FieldName | None:
        """Return the first of these fields that has none of its values; None: all match."""
        for name, values in fields.items():
            found = b"^".join(self.components(int(name[4:]))) + b"^"
            if not any(found.startswith(value.encode() + b"^") for value in values):
                return name
        return None

    def fault(self, accepted: Hl7Fields | None = None) -> Hl7Fault | None:
        """Return why the message is not accepted; None: it is. The required fields must be there,
        each of `accepted` must have one of its values, and the sender must wait for an answer."""
        fields, last = self.fields, len(self.fields)
        for number, (what, code) in REQUIRED.items():
            if number > last or fields[number - 1][:1] in (b"", self.encoding[:1]):
                text = f"MSH-{number}, {what}, is missing"
                return Hl7Fault(code, number, 101, text)
        if not self.always_answered:
            return Hl7Fault("AR", 15, 103, "MSH-15 or MSH-16 must be AL, or both must be empty")
        name = self.unmatched(accepted or {})
        if name is None:
            return None
        number = int(name[4:])
        code = "AR" if number in UNSUPPORTED else "AE"
        return Hl7Fault(
            code, number, UNSUPPORTED.get(number, 103), f"{name}: not an accepted value"
        )

    @property
    def always_answered(self) -> bool:
        """Whether its sender waits for an answer in any case: always in original mode, in which
        MSH-15 and MSH-16 are empty; in enhanced mode if one of them is AL."""
        accept, application = self.field(15), self.field(16)
        return not (accept or application) or b"AL" in (accept, application)

    def acknowledgement(
        self, code: AckCode, control_id: bytes, at: float, fault: Hl7Fault | None = None
    ) -> bytes | None:
        """Return the message that answers; None: MSH-15 and MSH-16 ask for no such answer.

        In enhanced mode, if MSH-15 asks for it, CA, CE or CR stands for AA, AE or AR. `control_id`
        is MSH-10 of the answer, `at` its date in seconds since 1970 (UTC). The fault is described
        in MSA-3, and from version 2.5 on in a segment ERR too.
        """
        shown = self._code(code)
        if shown is None:
            return None
        separator, field = self.separator, self.field
        kind = [b"ACK", *self.components(9)[1:2]]
        if len(self.components(9)) > 2:
            kind.append(b"ACK")  # the message structure, from 2.3.1 on
        date = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S+0000").encode()
        header = (
            *(b"MSH", self.encoding, field(5), field(6), field(3), field(4), date, b""),
            *(self.encoding[:1].join(kind), control_id, field(11), field(12)),
            *(b"", b"", b"", b"", b"", field(18)),
        )
        segments = [header, (b"MSA", shown.encode(), self.control_id)]
        if fault is not None:
            text = self.escape(fault.text)
            segments[1] += (text,)
            if self._has_error_segments:
                place = (b"MSH", b"1", b"%d" % fault.field) if fault.field else ()
                error = (b"%d" % fault.error, text, b"HL70357")
                err_2, err_3 = map(self.encoding[:1].join, (place, error))
                segments.append((b"ERR", b"", err_2, err_3, b"E", b"", b"", b"", text))
        return b"".join(separator.join(each).rstrip(separator) + b"\r" for each in segments)

    def escape(self, text: str) -> bytes:
        """Return a text in which no separator of this message stands for itself: chapter 2, "Use of
        escape sequences in text fields". Without an escape character they become spaces."""
        escape = self.encoding[2:3]
        letters = (b"F", b"S", b"R", b"E", b"T", b"P")
        table = {
            byte: escape + letter + escape if escape else b" "
            for byte, letter in zip(self.separator + self.encoding, letters, strict=False)
        }
        return b"".join(table.get(byte, bytes((byte,))) for byte in text.encode("ascii", "replace"))

    def _code(self, code: AckCode) -> str | None:
        asking = b"SU" if code == "AA" else b"ER"
        accept, application = self.field(15), self.field(16)
        if not accept and not application:
            return code
        if accept in (b"AL", asking):
            return f"C{code[1]}"
        return code if application in (b"AL", asking) else None

    @property
    def _has_error_segments(self) -> bool:
        major, _, minor = self.components(12)[0].partition(b".")
        minor = minor.partition(b".")[0]
        return major == b"2" and minor.isdigit() and (len(minor) > 1 or minor >= b"5")
