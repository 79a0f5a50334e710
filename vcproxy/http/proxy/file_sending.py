"""How an exchange sends files: the one that is asked for is opened, and sent as it is taken.

Each function returns the next state of the exchange, or None: it stays. Tested in
tests/http/duties/test_folder.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from vcproxy.http.files.file_response import FileResponse
from vcproxy.http.files.open_files import OpenFile
from vcproxy.http.proxy.ending import abort, begin_response, end, filter_own, respond
from vcproxy.http.proxy.failure import Failure
from vcproxy.tunnels.done import Reason

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.http.duties.folder_phases import FolderPhases
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.machine.state import State


class FileUse(NamedTuple):
    """The file that an exchange holds open."""

    file: OpenFile
    user: Continuation

    def cancel(self) -> None:
        """Let go of it: the exchange has ended."""
        self.file.release(self.user)


def serve_file(exchange: Exchange) -> State | None:
    """Answer from the folder of the route or the listener."""
    folder = _folder(exchange)
    return _next(exchange, folder.begin(exchange.tx, exchange.client.cont))


def file_ready(exchange: Exchange, file: OpenFile) -> State | None:
    """Go on with a file that was opened or refused."""
    if not _uses(exchange, file):
        return None
    result = _folder(exchange).ready(exchange.tx, exchange.client.cont, file)
    if isinstance(result, OpenFile):
        file.release(exchange.client.cont)
    return _next(exchange, result)


def _next(exchange: Exchange, result: OpenFile | Response) -> State | None:
    if isinstance(result, OpenFile):
        exchange.suspended = FileUse(result, exchange.client.cont)
        if result.facts is not None:
            return file_ready(exchange, result)
        exchange.set_deadline()
        return exchange.at(exchange.OPENING_FILE)
    if isinstance(result, FileResponse):
        return _send(exchange, result)
    return respond(exchange, result, "folder")


def _send(exchange: Exchange, response: FileResponse) -> State:
    """Send a response with a file: what the client does not take at once, little by little."""
    client, wire, record = exchange.client, exchange.client.wire, exchange.tx.record
    filter_own(exchange, response)
    keep, head = begin_response(exchange, response, response.length)
    exchange.keep_alive = keep
    if record is not None:
        record.sends("folder", client.vc, len(head) + wire.unsent)
    wire.send(head)
    if not exchange.bodiless:
        for piece in response.pieces:
            if isinstance(piece, bytes):
                wire.send(piece)
            else:
                wire.send_file(piece)
    if not wire.unsent:
        return end(exchange, keep)
    wire.await_sent()
    exchange.set_deadline(client.options.timeouts.stalled)
    return exchange.SENDING_FILE


def sent_more(exchange: Exchange) -> State | None:
    """Wait for the client to take more, or end the response: all was sent."""
    wire = exchange.client.wire
    if not wire.unsent:
        return end(exchange, exchange.keep_alive)
    wire.await_sent()
    exchange.set_deadline(exchange.client.options.timeouts.stalled)
    return None


def file_failed(exchange: Exchange, why: str) -> State:
    """Abort: the file cannot be read, or is shorter than was announced."""
    use = exchange.suspended
    name = f" {use.file.source.detail}" if isinstance(use, FileUse) else ""
    return abort(exchange, Failure(0, "proxy", f"file{name}: {why}", "proxy_internal_error"))


def stalled(exchange: Exchange) -> State:
    """Abort: the client takes nothing, or `timeouts.active` has passed."""
    if exchange.time_left_s <= 0:
        why = Reason.ACTIVE.value
        return abort(exchange, Failure(0, "proxy", why, "http_response_timeout"))
    why = "connection timed out inside the body"
    return abort(exchange, Failure(408, "client", why, "http_request_error"))


def _uses(exchange: Exchange, file: OpenFile) -> bool:
    use = exchange.suspended
    return isinstance(use, FileUse) and use.file is file


def _folder(exchange: Exchange) -> FolderPhases:
    return cast("FolderPhases", exchange.chain.folder)
