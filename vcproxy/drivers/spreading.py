"""Spreading: where what a port has read goes at once. The same for all drivers and ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vcproxy.engine.iobuffer import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcproxy.engine.commands import Spread
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.iobuffer import Block
    from vcproxy.engine.net import MessagePort, NetVConnection, Port


def spread(command: Spread) -> None:
    """Give all that are level what comes next, with one system call for each."""
    fan = command.fan
    blocks = fan.begin()
    if blocks is not None:
        data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        fan.sent(sum(map(len, blocks)), push_all(fan, data, blocks))


def bring(vc: NetVConnection, data: Block) -> None:
    """Answer `begin_read` with what came, and push it on at once where that may be done."""
    sink = vc.direct_sink
    if sink is not None:
        vc.passed(data, sink.port.push(data) if sink.port is not None else 0)
    elif vc.fan is None:
        vc.received(data)
    else:
        vc.spread(data, push_all(vc.fan, data))


def push_all(
    fan: Fan, data: Block, blocks: Sequence[Block] = ()
) -> list[tuple[NetVConnection, int]]:
    """Push to each that is level; return who did not take all, and how many bytes each took.

    `blocks` are the messages that `data` is made of, if they are several.
    """
    size = sum(map(len, blocks)) if blocks else len(data)
    empty = any(block is EMPTY for block in blocks)
    short = []
    for vc in fan.level:
        port = vc.port
        if port is None:
            count = 0
        elif vc.message_oriented and len(blocks) > 1:
            count = cast("MessagePort", port).push_each(blocks)
        elif empty and not vc.message_oriented:
            count = _stream(port, blocks)
        else:
            count = port.push(data)
        if count != size:
            short.append((vc, count))
    return short


def _stream(port: Port, blocks: Sequence[Block]) -> int:
    """Push messages where bytes travel, of which some are empty; return how much was taken."""
    taken = 0
    for block in blocks:
        count = 1 if block is EMPTY else port.push(block)
        taken += count
        if count != len(block):
            break
    return taken
