"""The question `splits`: the shared connections of splitters, and what they wait for.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Question
from vcproxy.messages.succession import shared_connections

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    engine, listeners = asked.engine, asked.running.listeners
    for name in listeners.named:
        for shared in shared_connections(listeners.persistent(name, engine)):
            counts = shared.counts()
            yield {
                "listener": name,
                "upstream": shared.place,
                "server": counts.server,
                "state": shared.state.name,
                "sources": counts.requesters,
                "subscribed": counts.subscribed,
                "waiting_sources": counts.waiting_for_room,
                "open": counts.open,
                "in_flight": counts.in_flight,
                "longest": round(counts.longest_s, 3),
                "orphans": counts.abandoned,
                "held_back": counts.held_back,
                "unsent": counts.unsent_bytes,
            }


SPLITS: Final = Question(
    "splits",
    "Each connection that many clients share, and the requests that it waits for.",
    (
        Column("listener", "The listener of the clients."),
        Column("upstream", "The upstream of the server."),
        Column("server", "The server; empty: there is no connection now."),
        Column("state", "The state of the shared connection."),
        Column("sources", "Clients that use it."),
        Column("subscribed", "Of these: clients that get what no request asks for."),
        Column("waiting_sources", "Clients that wait for room to send more."),
        Column("open", "Requests that are not answered yet."),
        Column("in_flight", "Of these: requests at the server."),
        Column("longest", "How long the first of them waits.", "s"),
        Column("orphans", "Requests at the server whose client has gone."),
        Column("held_back", "Requests that wait for the next connection."),
        Column("unsent", "Bytes of requests that are not sent yet.", "bytes"),
    ),
    _rows,
)
"""The question."""
