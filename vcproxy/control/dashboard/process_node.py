"""process_node: the proxy itself, and what is wrong with it as a whole.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vcproxy.control.dashboard.nodes import Action, Figure, Level, Node

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Rates, Row, Sample

LATE_S = 0.1
"""An event that has waited so long in a net thread is seen by users."""

DAYS = 14
"""Days before its end from which a certificate needs attention: it should have been renewed."""


def process_node(now: Sample) -> Node:
    """Return the node of the proxy."""
    rows = now.of("process")
    main = next((row for row in rows if row["role"] != "worker"), rows[0] if rows else None)
    if main is None:
        return Node("process", "proxy", -1, "vcproxy", "idle", state="unknown")
    workers = [row for row in rows if row["role"] == "worker"]
    figures: list[Figure] = [("up", main["uptime"], "s")]
    if workers:
        figures.append(("workers", len(workers), ""))
    state = "" if main["state"] == "serving" else main["state"]
    return Node(
        id="process",
        kind="proxy",
        column=-1,
        name="vcproxy",
        level="off" if state else "good",
        state=state,
        note=f"{main['version']}, process {main['pid']}",
        figures=figures,
        facts=[*_facts(main), *_threads(rows), *_memory(now)],
        actions=[
            Action("reload", "Load the configuration again, for new connections", "RELOAD", {}),
            Action("log debug", "Log more, until it is changed again", *_log_level("debug")),
            Action("log info", "Log as usual", *_log_level("info")),
        ],
    )


def _log_level(level: str) -> tuple[str, dict[str, str]]:
    return "LOG_LEVEL", {"level": level}


def _facts(main: Row) -> list[Figure]:
    return [
        ("configuration", main["configuration"], ""),
        ("generation", main["generation"], ""),
        ("last reload", main["reload_error"] or "in order", ""),
        ("child processes", main["children"], ""),
        ("log lines dropped", main["dropped_log_lines"], ""),
    ]


def _threads(rows: object) -> list[Figure]:
    return [
        (f"lag of {_owner(row)}", row["lag"], "s")
        for row in rows  # type: ignore[attr-defined]
        if row["lag"] is not None
    ]


def _memory(now: Sample) -> list[Figure]:
    found: list[Figure] = []
    key = ("worker",)
    budget = now.sums("memory", key, ("budget",))
    resident = now.sums("memory", key, ("resident",))
    for name, used in now.sums("memory", key, ("used",)).items():
        where = f" of worker {name[0]}" if name[0] else ""
        found += [
            (f"buffers{where}", used, "B"),
            (f"limit of buffers{where}", budget[name], "B"),
            (f"resident memory{where}", resident[name], "B"),
        ]
    return found


def _owner(row: Row) -> str:
    return f"worker {row['worker']}" if row["worker"] else "the net threads"


def process_problems(now: Sample, rates: Rates) -> Iterator[tuple[Level, str]]:
    """Yield what is wrong with the proxy as a whole."""
    for missing in now.missing:
        yield "bad", missing
    lost = rates.of("process", ("worker",), "dropped_log_lines")
    for row in now.of("process"):
        if row["reload_error"]:
            yield "warn", f"the last reload was refused: {row['reload_error'].splitlines()[0]}"
        if (row["lag"] or 0.0) > LATE_S:
            yield "warn", f"{_owner(row)}: an event has waited for {row['lag']:.2f} s"
        if lost[(row["worker"],)]:
            yield "warn", f"log lines are dropped: {lost[(row['worker'],)]:.1f} a second"
    for row in now.of("memory"):
        if row["budget"] and row["used"] > 0.9 * row["budget"]:
            yield "warn", "buffers hold more than nine tenths of `memory`: reading will pause"
    seen = set()
    for row in now.of("tls"):
        days, name = row["days_left"], row["subject"] or row["context"]
        if days is not None and days < DAYS and name not in seen:
            seen.add(name)
            end = f"ends in {days:.0f} days" if days >= 0 else "has expired"
            yield ("bad" if days < 0 else "warn"), f"the certificate of {name} {end}"
