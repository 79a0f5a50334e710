"""exposition: the text is what prometheus_client and promtool read, in both formats."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.control.metrics.rows import added, process, row
from vcproxy.control.metrics.exposition import LINES, exposition
from vcproxy.control.metrics.totals import Family, Totals

ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
"""What Prometheus 2 sends."""

EVERYTHING = added(
    Totals(),
    process(7),
    row("vcproxy_listener_accepted", 5, "listener=a"),
    row("vcproxy_listener_accepted", 6, 'listener=a "b" \\ c\nd=e'),
    row("orders", 1.5, "kind=new", kind="counter", help="Orders.\nAccepted \\ refused."),
    row("size", [1, 0, 2, 30.5], kind="histogram", help="Size.", buckets=(1, 10.5)),
    *(row("many", number, f"number={number:03}", kind="gauge") for number in range(4 * LINES)),
)


def text(families: list[Family], accept: str) -> str:
    """Return the whole text."""
    return b"".join(exposition(families, accept)[1]).decode()


def samples(families: list[Family], accept: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what prometheus_client reads: values by name and labels."""
    parse = openmetrics if "openmetrics" in accept else plain
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parse(text(families, accept))
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", [ACCEPT, "", "*/*", "text/plain;version=0.0.4"])
def test_the_library_reads_it(accept: str) -> None:
    found = samples(EVERYTHING, accept)
    assert found["vcproxy_listener_accepted_total", ("a",)] == 5
    assert found["vcproxy_listener_accepted_total", ('a "b" \\ c\nd=e',)] == 6
    assert found["orders_total", ("new",)] == 1.5
    assert found["size_bucket", ("1.0",)] == 1
    assert found["size_bucket", ("10.5",)] == 1
    assert found["size_bucket", ("+Inf",)] == 3
    assert found["size_count", ()] == 3
    assert found["size_sum", ()] == 30.5
    assert sum(name == "many" for name, _ in found) == 4 * LINES


def test_the_content_type_is_that_of_the_format() -> None:
    assert exposition(EVERYTHING, ACCEPT)[0].startswith("application/openmetrics-text; version=1")
    assert exposition(EVERYTHING, "")[0] == "text/plain; version=0.0.4; charset=utf-8"


def test_each_metric_has_one_head_and_the_end_is_marked() -> None:
    lines = text(EVERYTHING, ACCEPT).splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)) == len(EVERYTHING)
    assert lines.index("# EOF") == len(lines) - 1
    assert "# EOF" not in text(EVERYTHING, "")


def test_it_is_written_a_few_lines_at_a_time() -> None:
    pieces = list(exposition(EVERYTHING, ACCEPT)[1])
    assert max(piece.count(b"\n") for piece in pieces) <= LINES + 2
    assert all(pieces)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_reads_it_and_finds_nothing_to_improve() -> None:
    ours = [each for each in EVERYTHING if each.metric.name.startswith("vcproxy_")]
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(ours, ""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@given(st.lists(st.text(), max_size=3), st.floats(allow_nan=False), st.text())
def test_any_label_value_number_and_help_comes_back(
    labels: list[str], value: float, about: str
) -> None:
    texts = [f"l{number}={label}" for number, label in enumerate(labels)]
    families = added(Totals(), row("x", value, *texts, kind="gauge", help=about))
    for accept in (ACCEPT, ""):
        found = samples(families, accept)
        assert found["x", tuple(labels)] == value
