"""SubrequestRecord: the record of one request that the proxy itself sends, in the access log.

It is a subrequest of a filter, or a mirrored copy: `parent` is the identifier of the client's
request. It has no client, but the server, sizes and times of its own. Tested in
tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import NORMAL_END, By, End, Phase
from vcproxy.access_log.record import cause_of
from vcproxy.engine.lifecycle import NOT_YET
from vcproxy.http.proxy.record_templates import VERSIONS

if TYPE_CHECKING:
    from vcproxy.engine.connection_record import ByLetter
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.request_record import RequestRecord
    from vcproxy.http.proxy.subrequests import Subrequest


class SubrequestRecord:
    """Follows one subrequest, and writes its record."""

    __slots__ = (
        "_asked", "_began_s", "_by", "_connect_s", "_end", "_first_at", "_id", "_parent",
        "_queue_s", "_reason", "_server", "_size",
    )  # fmt: skip

    def __init__(self, parent: RequestRecord, request: Request, mirror: bool) -> None:
        """Make it, before the request is sent. `mirror`: it is a mirrored copy."""
        self._parent = parent
        self._id = parent.next_child()
        self._by: ByLetter = "M" if mirror else "S"
        self._asked: dict[str, object] = {
            "method": request.method,
            "host": request.host or None,
            "target": request.target,
            "version": VERSIONS[11],
        }
        self._size = len(request.content)
        self._began_s = parent.now
        self._server: str | None = None
        self._queue_s: float | None = None
        self._connect_s: float | None = None
        self._first_at: float | None = None
        self._end: End | None = None
        self._reason: str | None = None

    def connected(self, server: NetVConnection) -> None:
        """Note that there is a connection to a server."""
        self._server = server.name
        opened = server.opened_at
        if opened < self._began_s:  # reused
            self._queue_s = 0.0
        else:
            self._queue_s = server.started_at - opened
            self._connect_s = server.established_at - server.started_at

    def received(self) -> None:
        """Note that a part of the response is there."""
        if self._first_at is None:
            self._first_at = self._parent.now

    def failed(self, error: object, server: NetVConnection | None = None) -> None:
        """Note why there is no response; `server`: it could not be connected to."""
        late: ByLetter = "M" if self._by == "M" else "s"
        by = cause_of(error, self._by, late) if isinstance(error, Exception) else self._by
        phase = Phase.WAITING
        if server is not None:
            waiting = server.started_at == NOT_YET
            phase = Phase.QUEUE if waiting else Phase.CONNECTING
            self._server = None if waiting else server.name
        elif self._server is None:
            phase = Phase.CONNECTING
        elif self._first_at is not None:
            phase = Phase.DATA
        self._end, self._reason = End(By(by), phase), str(error)

    def write(self, subrequest: Subrequest, response: Response) -> None:
        """Write the record: there is a response, the server's or one that the proxy has made."""
        parent, end, first_at = self._parent, self._end, self._first_at
        parent.write_child(
            end is None,
            self._asked
            | {
                "id": self._id,
                "parent": parent.id,
                "status": response.status,
                "answered_by": None if end is None else "vcproxy",
                "upstream": subrequest.upstream.name,
                "server": self._server,
                "bytes_up": self._size,
                "bytes_down": len(response.content),
                "time_queue": self._queue_s,
                "time_connect": self._connect_s,
                "time_first_byte": None if first_at is None else first_at - self._began_s,
                "end": str(end or NORMAL_END),
                "reason": self._reason,
            },
            self._began_s,
        )
