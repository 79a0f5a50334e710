"""TlsContext: a TLS context, and whether its files have changed since it was made.

Certificate and key files are replaced while the proxy runs. A context is then made again, alone:
listeners and connections continue, and new connections use the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.config.certificate_files import files_of
from vcproxy.config.tables.listener import ListenerTls

if TYPE_CHECKING:
    from vcproxy.config.tables.upstream import UpstreamTls
    from vcproxy.listeners.hosts import Host

_UNREADABLE = "unreadable"


@dataclass(slots=True)
class TlsContext:
    """A TLS context in use."""

    name: str
    """What uses it, for the log: `web`, `upstream.db`."""
    table: ListenerTls | UpstreamTls
    made: object
    """The context of a listener, an ssl.SSLContext, or the ClientTls of connections to servers."""
    digests: Mapping[Path, str]
    """The content of its files, before it was made from them."""
    listeners: tuple[str, ...] = ()
    """The names of the listeners that use it; () for connections to servers."""
    refused: str = ""
    """Why the last change of its files could not be used; "": it is used."""

    def differs(self, digests: Mapping[Path, str]) -> bool:
        """Whether its files, by these digests, are others than those that it was made from.

        A file that cannot be read, although it is there, counts as unchanged: a proxy that runs
        as another user than it was started as may not read its keys.
        """
        return any(
            digest not in (self.digests[path], _UNREADABLE) for path, digest in digests.items()
        )


@dataclass(frozen=True, slots=True)
class Remade:
    """A context that was made again, or why it could not be made."""

    context: TlsContext
    made: object
    digests: Mapping[Path, str]
    error: str = ""


def make_context(
    host: Host, name: str, table: ListenerTls | UpstreamTls, listeners: tuple[str, ...] = ()
) -> TlsContext:
    """Make a context. Raises ValueError for files that cannot be used."""
    digests = file_digests(table)
    return TlsContext(name, table, _make(host, table), digests, listeners)


def remake(host: Host, contexts: Iterable[TlsContext]) -> list[Remade]:
    """Make those contexts again whose files have changed. It reads files, on any thread."""
    remade = []
    for context in contexts:
        digests = file_digests(context.table)
        if not context.differs(digests):
            continue
        try:
            remade.append(Remade(context, _make(host, context.table), digests))
        except ValueError as error:
            remade.append(Remade(context, None, digests, str(error)))
    return remade


def _make(host: Host, table: ListenerTls | UpstreamTls) -> object:
    return host.server_tls(table) if isinstance(table, ListenerTls) else host.client_tls(table)


def file_digests(table: ListenerTls | UpstreamTls) -> dict[Path, str]:
    """Return the digests of the files that a table names; "" for one that is not there."""
    from vcproxy.engine.content_watch import content_digest  # hashlib: only where TLS is used

    digests = {}
    for path in files_of(table):
        try:
            digests[path] = content_digest(path.read_bytes())
        except PermissionError:
            digests[path] = _UNREADABLE
        except OSError:
            digests[path] = ""
    return digests
