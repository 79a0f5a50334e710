"""Spreading: sends the data that a port has read to its sinks at once, without another event.

All drivers and ports use it. Tested in tests/sim/test_fan_out.py and tests/conformance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vcproxy.engine.blocks import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcproxy.engine.blocks import Block
    from vcproxy.engine.commands import Spread
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.port import MessagePort, Port


def spread(command: Spread) -> None:
    """Send new data of a fan to each sink without unsent older data: one system call each."""
    fan = command.fan
    blocks = fan.begin()
    if blocks is not None:
        data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        fan.sent(sum(map(len, blocks)), push_all(fan, data, blocks))


def deliver(vc: NetVConnection, data: Block) -> None:
    """Deliver data to a VC, after `begin_read`; send it to the VC's direct sink or fan, if any.

    A direct path gets it first.
    """
    direct = vc.read_vio.direct  # type: ignore[union-attr]
    sink = vc.direct_sink
    if direct is not None:
        if (message := direct.accept(data)) is not None:
            port = direct.sink.port
            direct.pushed(message, 0 if port is None else port.push(message))
    elif sink is not None:
        vc.passed(data, sink.port.push(data) if sink.port is not None else 0)
    elif vc.fan is None:
        vc.received(data)
    else:
        vc.spread(data, push_all(vc.fan, data))


def push_all(
    fan: Fan, data: Block, blocks: Sequence[Block] = ()
) -> list[tuple[NetVConnection, int]]:
    """Send data to each sink of a fan that has no older data left to send.

    Returns the sinks that did not send all of it, with the bytes sent. `blocks`: the messages in
    `data`, if there are several.
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
            count = _push_to_stream(port, blocks)
        else:
            count = port.push(data)
        if count != size:
            short.append((vc, count))
    return short


def _push_to_stream(port: Port, blocks: Sequence[Block]) -> int:
    """Send messages to a stream, without the EMPTY ones, which count as 1; return the size sent."""
    taken = 0
    for block in blocks:
        count = 1 if block is EMPTY else port.push(block)
        taken += count
        if count != len(block):
            break
    return taken
