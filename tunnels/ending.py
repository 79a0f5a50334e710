"""How the end of a tunnel is shown in the access log. Tested in tests/access_log/test_record.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.record import cause_of
from vcproxy.tunnels.done import Reason

if TYPE_CHECKING:
    from vcproxy.engine.connection_record import ByLetter, ConnectionRecord
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.tunnels.done import TunnelDone

_BY: dict[Reason, ByLetter] = {
    Reason.INACTIVITY: "c",
    Reason.ACTIVE: "P",
    Reason.LAGGED: "G",
    Reason.FRAMING: "C",
    Reason.UNEXPECTED_DATA: "C",
}


def note_end(record: ConnectionRecord, done: TunnelDone, client: VConnection) -> None:
    """Note what has ended the tunnel of a client, unless it has ended in order."""
    if done.reason in _BY:
        if done.reason is Reason.INACTIVITY and client.message_oriented:
            return  # datagrams have no other end
        record.note(_BY[done.reason], done.reason.value)
    elif done.error is not None:
        if done.ended_by == client.name:
            record.note(cause_of(done.error, "C", "c"), done.error)
        else:
            record.note(cause_of(done.error, "S", "s"), done.error)
