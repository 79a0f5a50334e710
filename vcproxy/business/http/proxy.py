"""HttpProxy: one client connection, its requests one after the other, each answered by a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vcproxy.business.http import options
from vcproxy.business.session import Session
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.config.place import KeyPath


class HttpProxy(Session):
    """Closes each client for now."""

    Options = options.Options

    CLOSED = State(initial=True, final=True)

    @classmethod
    def upstreams(cls, options: options.Options) -> Mapping[KeyPath, str | None]:
        """See Session."""
        return options.upstreams
