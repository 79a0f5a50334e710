"""Spreading: what a driver does for a fan. The same for every driver whose ports can push."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vcproxy.engine.commands import Spread

if TYPE_CHECKING:
    from vcproxy.engine.net import WholePort


def spread(command: Spread) -> None:
    """Give all that are level what comes next, with one system call for each."""
    fan = command.fan
    blocks = fan.begin()
    if blocks is None:
        return
    data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    size = len(data)
    short = []
    for vc in fan.level:
        port = vc.port
        if port is None:
            count = 0
        elif vc.whole:
            count = cast("WholePort", port).push_each(blocks)
        else:
            count = port.push(data)
        if count != size:
            short.append((vc, count))
    fan.sent(size, short)
