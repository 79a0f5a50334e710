"""TlsContext: a TLS context, and whether its files have changed since it was made.

Certificate and key files are replaced while the proxy runs. A context is then made again, alone:
listeners and connections continue, and new connections use the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.config.certificate_files import TlsTable, files_of, key_pairs
from vcproxy.input_files import read_file

if TYPE_CHECKING:
    from vcproxy.drivers.certificate import CertificateFacts
    from vcproxy.engine.log_function import LogFunction

_UNREADABLE = "unreadable"


@dataclass(slots=True)
class TlsContext:
    """A TLS context in use."""

    name: str
    """What uses it, for the log: `web`, `upstream.db`."""
    make: Callable[[], object]
    """Makes it from the files; raises ValueError if they cannot be used."""
    made: object
    """An ssl.SSLContext of listeners, or the ClientTls of connections to servers."""
    table: TlsTable
    """The table that names its files."""
    digests: Mapping[Path, str]
    """The content of its files, before it was made from them."""
    listeners: tuple[str, ...] = ()
    """The names of the listeners that use it; () for connections to servers."""
    certificates: Mapping[Path, CertificateFacts] = field(default_factory=dict)
    """What is known of the first certificate of each file that has one."""
    refused: str = ""
    """Why the last change of its files could not be used; "": it is used."""

    @property
    def presented(self) -> tuple[Path, ...]:
        """The files of the certificates that it presents to peers, without authorities."""
        return tuple(dict.fromkeys(pair.certificate for pair in key_pairs(self.table)))

    def differs(self, digests: Mapping[Path, str]) -> bool:
        """Whether its files, by these digests, are others than those that it was made from.

        A file that cannot be read, although it is there, counts as unchanged: a proxy that runs
        as another user than it was started as may not read its keys.
        """
        return self.digests.keys() != digests.keys() or any(
            digest not in (self.digests[path], _UNREADABLE) for path, digest in digests.items()
        )


@dataclass(frozen=True, slots=True)
class Remade:
    """A context that was made again, or why it could not be made."""

    context: TlsContext
    made: object
    digests: Mapping[Path, str]
    error: str = ""
    certificates: Mapping[Path, CertificateFacts] = field(default_factory=dict)

    def use(self, use: Callable[[TlsContext, object], None], log: LogFunction) -> bool:
        """Call `use`, if there is a new context to use; return whether there is.

        The outcome is logged, the same error once.
        """
        context = self.context
        if self.error:
            if self.error != context.refused:
                context.refused = self.error
                text = f"{context.name}: the changed TLS files are not used: {self.error}"
                log("error", text)
            return False
        use(context, self.made)
        context.digests, context.refused = self.digests, ""
        context.certificates = self.certificates
        log("info", f"{context.name}: new connections use the changed TLS files")
        return True


def make_context(
    name: str, table: TlsTable, make: Callable[[], object], listeners: tuple[str, ...] = ()
) -> TlsContext:
    """Make a context from the files of a table. Raises ValueError if they cannot be used."""
    files = files_of(table)
    digests = file_digests(files)
    return TlsContext(name, make, make(), table, digests, listeners, facts_of(files))


def facts_of(files: Iterable[Path]) -> dict[Path, CertificateFacts]:
    """Return what is known of the first certificate of each file that has one."""
    from vcproxy.drivers.certificate import read_facts  # it imports ssl

    read = ((path, read_facts(path)) for path in files)
    return {path: facts for path, facts in read if facts is not None}


def remake(contexts: Iterable[TlsContext]) -> list[Remade]:
    """Make those contexts again whose files have changed. It reads files, on any thread."""
    remade = []
    for context in contexts:
        digests = file_digests(files_of(context.table))
        if not context.differs(digests):
            continue
        try:
            facts = facts_of(digests)
            remade.append(Remade(context, context.make(), digests, certificates=facts))
        except ValueError as error:
            remade.append(Remade(context, None, digests, str(error)))
    return remade


def file_digests(files: Iterable[Path]) -> dict[Path, str]:
    """Return the digests of files; "" for one that is not there."""
    # It imports hashlib, which only proxies with TLS need.
    from vcproxy.engine.sources.content_watch import content_digest

    digests = {}
    for path in files:
        try:
            digests[path] = content_digest(read_file(path))
        except PermissionError:
            digests[path] = _UNREADABLE
        except OSError:
            digests[path] = ""
    return digests
