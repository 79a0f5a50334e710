"""Admissions: the rules of admission of all listeners. A reload keeps the buckets of equal rates.

Tested in tests/listeners/test_admissions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from vcproxy.engine.units import show_duration
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.admission.admission import Admission
    from vcproxy.admission.rate import Rate
    from vcproxy.config.plugin import Plugin
    from vcproxy.config.tables.admission import RateTable
    from vcproxy.config.tables.listener import ListenerTable
    from vcproxy.listeners.plan import PlannedListener


def admissions(
    planned: Iterable[PlannedListener], before: Mapping[str, Admission]
) -> dict[str, Admission]:
    """Return the rules of each [[listener]] that has any, by its name.

    `before`: those of the configuration that is replaced.
    """
    return {
        each.entry.name: _admission(each.entry, each.plugin, before.get(each.entry.name))
        for each in planned
        if each.entry.allow is not None or each.entry.deny or each.entry.rate
    }


def _admission(entry: ListenerTable, plugin: Plugin, before: Admission | None) -> Admission:
    from vcproxy.admission.admission import Admission  # most proxies admit all clients
    from vcproxy.admission.networks import AdmittedAddresses
    from vcproxy.admission.rate import RateLimits

    addresses = None
    if entry.allow is not None or entry.deny:
        addresses = AdmittedAddresses(entry.allow, entry.deny)
    made = Admission(addresses)
    session = plugin.cls if issubclass(plugin.cls, Session) else Session
    if session.counts_requests:
        made.forwards = session.forwards(plugin.options)
    if entry.rate:
        rates = [_rate(each) for each in entry.rate]
        made.datagrams = RateLimits(rates, before.datagrams if before else None)
        if session.counts_requests:
            made.requests = RateLimits(rates, before.requests if before else None)
        else:
            made.connections = RateLimits(rates, before.connections if before else None)
    return made


def _rate(table: RateTable) -> Rate:
    from vcproxy.admission.rate import Rate

    each = table.for_each
    prefix = None if each == "listener" else 32 if each == "client" else int(each.removeprefix("/"))
    counted = {"listener": "for all clients together", "client": "for each client"}
    who = counted.get(each, f"for each {each}")
    text = f"{table.requests} per {show_duration(table.per)} {who}"
    return Rate(prefix, table.requests, table.per, table.burst or table.requests, text)
