"""Failures: what drivers tell of a connection that cannot be made, in kinds that can be told apart.

The kinds that Python has are used as they are: ConnectionRefusedError, ConnectionResetError,
TimeoutError. All of them are OSErrors, are made of one text for people, and are recorded and
replayed as what they are.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence


class NotResolved(OSError):
    """A name has no address, or whoever knows cannot be asked."""


class ResolvedTooLate(TimeoutError):
    """No address of a name was found in time."""


class Unroutable(OSError):
    """There is no way to an address."""


class Exhausted(OSError):
    """The system has no descriptor for a connection."""


class TlsError(ConnectionError):
    """TLS has failed, in the handshake or later; the text says in plain words why."""


class CertificateRefused(TlsError):
    """The peer's certificate does not hold."""


class AlertReceived(TlsError):
    """The peer has ended TLS, and its alert says why."""


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
    """The kind of failure that the system's number of an error stands for."""
    return _KINDS.get(number, OSError)


def all_failed(failures: Sequence[Exception]) -> OSError:
    """One failure for several: of each address of a name.

    It is of the kind of the first that had a way, if any: that a host has no IPv6 says little where
    its IPv4 address has refused.
    """
    if not failures:
        return NotResolved("it has no address")
    kinds = [type(failure) if isinstance(failure, OSError) else OSError for failure in failures]
    kind = next((kind for kind in kinds if kind is not Unroutable), Unroutable)
    return kind("; ".join(dict.fromkeys(map(str, failures))))
