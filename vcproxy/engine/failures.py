"""Failures: the exceptions that drivers report for connections, by kind.

Python's own kinds are used where they fit: ConnectionRefusedError, ConnectionResetError,
TimeoutError. All are OSErrors with one readable text. A replay raises the same kind as the
recording.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence


class NotResolved(OSError):
    """A name has no address, or the resolver failed."""


class ResolvedTooLate(TimeoutError):
    """No address of a name was found in time."""


class Unroutable(OSError):
    """There is no route to an address."""


class Exhausted(OSError):
    """The system has no file descriptor for a connection."""


class NoRoom(ConnectionError):
    """There is no room in a queue."""


class TlsError(ConnectionError):
    """TLS has failed, in the handshake or later; the text is the reason in plain words."""


class CertificateRefused(TlsError):
    """The peer's certificate is not valid."""


class AlertReceived(TlsError):
    """The peer has ended TLS with an alert, which is the reason."""


class HeaderRefused(ConnectionError):
    """A connection whose PROXY header is missing or not valid."""


class HeaderLate(HeaderRefused, TimeoutError):
    """A connection whose PROXY header has not come in time."""


class UntrustedSender(HeaderRefused):
    """A connection of a peer that may not send PROXY headers, where all others must."""


class Killed(ConnectionAbortedError):
    """An operator has ended a connection."""


_KINDS: dict[int | None, type[OSError]] = {
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.ECONNRESET: ConnectionResetError,
    errno.ETIMEDOUT: TimeoutError,
    errno.EMFILE: Exhausted,
    errno.ENFILE: Exhausted,
    errno.ENETUNREACH: Unroutable,
    errno.EHOSTUNREACH: Unroutable,
    errno.ENETDOWN: Unroutable,
    errno.EHOSTDOWN: Unroutable,
}


def kind_of(number: int | None) -> type[OSError]:
    """Return the kind of failure of an errno."""
    return _KINDS.get(number, OSError)


def all_failed(failures: Sequence[Exception]) -> OSError:
    """Return one failure that stands for the failures of all addresses of a name.

    Its kind is that of the first routable address, if any: a missing IPv6 route matters little
    when the IPv4 address has refused the connection.
    """
    if not failures:
        return NotResolved("the name has no address")
    kinds = [type(failure) if isinstance(failure, OSError) else OSError for failure in failures]
    kind = next((kind for kind in kinds if kind is not Unroutable), Unroutable)
    return kind("; ".join(dict.fromkeys(map(str, failures))))
