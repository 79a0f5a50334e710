"""Duties: the keys of duties, as routes and listeners have them.

Tested in tests/http/duties/test_declared.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vcproxy.http.duties.basic_auth import BasicAuth
from vcproxy.http.duties.bearer import Bearer
from vcproxy.http.duties.compression import Compression
from vcproxy.http.duties.cors import Cors
from vcproxy.http.duties.error_pages import ErrorPages
from vcproxy.http.duties.folder import Folder
from vcproxy.http.duties.maintenance import Maintenance
from vcproxy.http.duties.order import ORDER
from vcproxy.http.duties.rate import RateKey
from vcproxy.http.duties.redirect import Redirect
from vcproxy.http.duties.request_fields import RequestFieldEdits
from vcproxy.http.duties.request_id import RequestId
from vcproxy.http.duties.response_fields import ResponseFieldEdits
from vcproxy.http.duties.rewrite import Rewrite
from vcproxy.http.duties.sticky import Sticky
from vcproxy.http.duties.strict_transport_security import StrictTransportSecurity

if TYPE_CHECKING:
    from vcproxy.http.duties.duty import Duty


@dataclass(frozen=True, kw_only=True)
class Duties:
    """What a listener does for all its requests, or a route for its own.

    What a route sets replaces the listener's key of the same name.
    """

    redirect: Redirect | None = None
    """To https, to another host or to another place."""

    rewrite: Rewrite | None = None
    """Other first segments of the path for the server."""

    request_fields: RequestFieldEdits | None = None
    """Fields of requests to servers: set, added, removed."""

    request_id: RequestId | None = None
    """An identifier of each request, in the access log, for the server and for the client."""

    strict_transport_security: StrictTransportSecurity | None = None
    """Browsers use https only from now on."""

    maintenance: Maintenance | None = None
    """Requests are answered by 503, while it is switched on."""

    rate: RateKey | None = None
    """How often requests are served, for each client, user, path and so on."""

    cors: Cors | None = None
    """Which other origins may read responses by scripts."""

    basic_auth: BasicAuth | None = None
    """Requests need the name and the password of a user."""

    bearer: Bearer | None = None
    """Requests need a token."""

    response_fields: ResponseFieldEdits | None = None
    """Fields of every response to clients: set, added, removed."""

    compression: Compression | None = None
    """Bodies are compressed for clients that accept it."""

    error_pages: ErrorPages | None = None
    """Own pages for errors."""

    sticky: Sticky | None = None
    """A client stays with its server, by a cookie."""

    folder: Folder | None = None
    """Files of a folder, in place of a server."""

    @cached_property
    def declared(self) -> dict[str, Duty]:
        """The duties that are set, by their keys, in their order."""
        return {key: duty for key in ORDER if (duty := getattr(self, key)) is not None}


def check_duties(duties: Mapping[str, Duty], place: str) -> None:
    """Raise ValueError for duties that cannot apply together on a route, named by `place`."""
    if "basic_auth" in duties and "bearer" in duties:
        raise ValueError(
            f"basic_auth and bearer both apply on {place}, but a request has one Authorization: "
            'write without = ["basic_auth"] or without = ["bearer"] in the route'
        )
