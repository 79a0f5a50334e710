"""Hosts of recorded and replayed proxies: RecordedHost records its answers, OfflineHost is the base
of hosts without sockets. Tested in tests/e2e/test_recording.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.replay.format.values import FailureValue

if TYPE_CHECKING:
    from vcproxy.config.tables.tls import ListenerTls, UpstreamTls
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener
    from vcproxy.listeners.hosts import Host
    from vcproxy.replay.format.entries import Listening


class OfflineHost:
    """Base of hosts without sockets and private keys.

    It binds nothing, so it releases nothing. It returns the TLS settings themselves instead of TLS
    contexts: the engine never reads the content of a context.
    """

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """See Host."""

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """See Host."""

    def renew(self, address: Address, listener: Listener) -> None:
        """See Host."""

    def server_tls(self, tls: ListenerTls) -> object:
        """See Host."""
        return tls

    def client_tls(self, tls: UpstreamTls) -> object:
        """See Host."""
        return tls


class RecordedHost:
    """Wrap a host and record the result of each `listen`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.unlisten, self.hand_over, self.renew = host.unlisten, host.hand_over, host.renew
        self.server_tls, self.client_tls = host.server_tls, host.client_tls
        self._answers: list[Listening] = []

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        number: int = listener.number  # type: ignore[attr-defined]
        try:
            real = self._host.listen(address, listener)
        except OSError as error:
            self._answers.append((number, listener.name, str(address), FailureValue.of(error)))
            raise
        self._answers.append((number, listener.name, str(address), str(real)))
        return real

    def take_answers(self) -> tuple[Listening, ...]:
        """Return the results recorded since the last call, and clear them."""
        answers, self._answers = tuple(self._answers), []
        return answers
