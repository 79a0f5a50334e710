"""SyslogMessage: a message of syslog, taken apart as far as a relay needs it.

    RFC 5424    <34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - 'su root' failed
    RFC 3164    <34>Oct 11 22:14:15 mymachine su: 'su root' failed

RFC 3164 describes what programs had sent before it, and few of them keep to it. So any text behind
a priority counts as its format; a time and a host are those it begins with. The time may also be
one of RFC 3339, as rsyslog sends it (its RSYSLOG_ForwardFormat).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_PRIORITY = re.compile(rb"<(0|[1-9]\d?|1[0-8]\d|19[01])>(?:([1-9]\d{0,2}) )?")
"""RFC 5424, 6.2.1 and 6.2.2: 0 to 191 without zeros before it; a version of 1 to 3 digits."""

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
"""RFC 5424, 6.2.3."""

_NAME = rb"[!#-<>-\\^-~]{1,32}"
_ELEMENT = rb'\[%b(?: %b="(?:[^"\\\]]|\\.)*")*\]' % (_NAME, _NAME)
"""RFC 5424, 6.3: an element of the structured data. In values, \\ stands before ", \\ and ]."""

_MODERN = re.compile(
    rb"((?:-|%b) )([!-~]{1,255})( [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} )(-|(?:%b)+)(?= |\Z)"
    % (_TIME, _ELEMENT),
    re.DOTALL,
)
_ELEMENTS = re.compile(_ELEMENT, re.DOTALL)

_OLD = re.compile(
    rb"((?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|%b) )(?:([!-Z\\-~]{1,255})(?<!:)( ))?" % _TIME
)
"""RFC 3164, 4.1.2. A word that ends with a colon or has a bracket is the tag, as in su[4711]:, and
there is no host."""


class SyslogFault(enum.Enum):
    """Why a message is none of syslog."""

    PRIORITY = "it has no priority of 0 to 191"
    VERSION = "its version is not 1"
    HEADER = "its header is not that of RFC 5424"


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """A message. `data` is the whole of it, and the fields are its parts, in their order."""

    version: int
    """1: RFC 5424; 0: RFC 3164."""
    before: bytes
    """What stands before the host: the priority, the version, the time; with RFC 3164 perhaps only
    the priority."""
    host: bytes
    """The host; empty: there is none, "-" in RFC 5424."""
    after: bytes
    """In RFC 5424 the name of the program, its process and the kind of message, with spaces."""
    structured: bytes
    """In RFC 5424 the structured data, or "-"; in RFC 3164 empty."""
    text: bytes
    """The rest; in RFC 5424 with the space before it."""

    @classmethod
    def parse(cls, data: bytes) -> SyslogMessage | SyslogFault:
        """Take a message apart, which has no framing."""
        head = _PRIORITY.match(data)
        if head is None:
            return SyslogFault.PRIORITY
        version, at = head[2], head.end()
        if version is None:
            old = _OLD.match(data, at)
            if old is None:
                return cls(0, data[:at], b"", b"", b"", data[at:])
            before, end = data[: old.end(1)], old.end()
            return cls(0, before, old[2] or b"", old[3] or b"", b"", data[end:])
        if version != b"1":
            return SyslogFault.VERSION
        found = _MODERN.match(data, at)
        if found is None:
            return SyslogFault.HEADER
        host = b"" if found[2] == b"-" else found[2]
        return cls(1, data[: found.end(1)], host, found[3], found[4], data[found.end() :])

    @property
    def data(self) -> bytes:
        """The whole message."""
        return self.head + self.text

    @property
    def head(self) -> bytes:
        """All of it but the text."""
        host = self.host or (b"-" if self.version else b"")
        return b"".join((self.before, host, self.after, self.structured))

    @property
    def facility(self) -> int:
        """The facility, 0 to 23."""
        return self._priority >> 3

    @property
    def severity(self) -> int:
        """The severity: 0, an emergency, to 7, for debugging."""
        return self._priority & 7

    @property
    def _priority(self) -> int:
        return int(self.before[1 : self.before.index(b">")])

    def with_host(self, host: str, wall: int) -> SyslogMessage:
        """Return the message with another host.

        `wall`: the time of day in seconds since 1970. A message without a time gets it, as a host
        can only stand behind a time (RFC 3164, 4.3.2); in UTC, and in the form of RFC 3339.
        """
        before, after = self.before, self.after or b" "
        if before.endswith(b">"):
            before += datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ ").encode()
        return replace(self, before=before, host=host.encode(), after=after)

    def with_origin(self, address: str) -> SyslogMessage:
        """Return a message of RFC 5424 with an address as the last `ip` of its element "origin"
        (RFC 5424, 7.2)."""
        parameter, structured = b' ip="%b"]' % address.encode(), self.structured
        if structured == b"-":
            return replace(self, structured=b"[origin" + parameter)
        for element in _ELEMENTS.finditer(structured):
            if element[0].startswith((b"[origin ", b"[origin]")):
                at = element.end() - 1
                added = structured[:at] + parameter + structured[at + 1 :]
                return replace(self, structured=added)
        return replace(self, structured=b"[origin%b%b" % (parameter, structured))

    def cut(self, largest: int) -> SyslogMessage | None:
        """Return the message with its text cut, so that it has so many bytes at most.

        No character of UTF-8 is cut (RFC 5424, 6.1). None: the head alone is longer.
        """
        text, room = self.text, largest - len(self.head)
        if len(text) <= room:
            return self
        if room < 0:
            return None
        for _ in range(3):  # the most bytes of a character after its first
            if room and text[room] & 0xC0 == 0x80:
                room -= 1
        return replace(self, text=text[:room])
