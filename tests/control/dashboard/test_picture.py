"""The picture of a proxy, from the answers to its questions: nodes, links, rates and problems."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.control.dashboard.example import busy, flow, listener, process, server, sink
from tests.control.questions.asked_proxy import AskedProxy
from tests.control.questions.test_rows import FORWARD, HTTP, MIRROR, RELAY, SPLIT
from vcproxy.control.dashboard.listener_nodes import MOST_LISTENERS
from vcproxy.control.dashboard.nodes import DETAILS, LEAST, MOST, MOST_TARGETS, Link, Node
from vcproxy.control.dashboard.picture import MOST_PROBLEMS, Picture, picture
from vcproxy.control.dashboard.samples import QUESTIONS, Sample
from vcproxy.control.web.web_reply import STREAM_LIMIT


def shown(seconds: float = 2.0, **answers: Sequence[Sequence[dict[str, Any]]]) -> Picture:
    """Return the picture after two samples; of each question, the rows in the one and the other."""
    before = Sample(10.0, {name: rows[0] for name, rows in answers.items()})
    now = Sample(10.0 + seconds, {name: rows[-1] for name, rows in answers.items()})
    return picture(before, now)


def node(drawn: Picture, name: str) -> Node:
    [found] = [each for each in drawn.nodes if each.id == name]
    return found


def link(drawn: Picture, source: str, to: str) -> Link:
    [found] = [each for each in drawn.links if (each.source, each.to) == (source, to)]
    return found


def texts(drawn: Picture) -> list[str]:
    return [each.text for each in drawn.problems]


def test_rates_are_what_counts_have_grown_in_a_second() -> None:
    rows = [
        [listener("web", "http_proxy", worker=worker, bytes_in=count, bytes_out=10 * count)]
        for worker, count in ((1, 100), (2, 700))
    ]
    before, now = rows
    web = node(shown(listeners=[before + now, [*now, *now]]), "listener web")
    # worker 1 had 100 and has 700, worker 2 has 700 still: 600 and 6000 bytes more in 2 seconds
    assert web.rate == pytest.approx(3300.0)


def test_a_worker_that_was_replaced_counts_from_zero() -> None:
    before = [listener("web", "http_proxy", bytes_in=10_000)]
    now = [listener("web", "http_proxy", bytes_in=50)]
    assert node(shown(listeners=[before, now]), "listener web").rate == 0.0


def test_the_first_picture_has_no_rates() -> None:
    first = picture(None, busy(5.0))
    assert first.seconds == 0.0
    assert {each.rate for each in first.nodes if each.rate is not None} == {0.0}
    assert {each.rate for each in first.links if not each.to.startswith("mirror")} == {0.0}


def test_a_listener_leads_through_its_plugin_to_its_servers() -> None:
    drawn = picture(busy(59.0), busy(60.0))
    web = node(drawn, "listener web")
    assert link(drawn, "listener web", "plugin web").rate == web.rate
    one = node(drawn, "server api tcp://10.0.1.1:8080")
    assert link(drawn, "plugin web", one.id).rate == pytest.approx(one.rate)
    assert (one.name, one.row, one.group and one.group.note) == (
        "10.0.1.1:8080",
        "web",
        "3 of 4 ready",
    )
    sinks = [each.to for each in drawn.links if each.source == "plugin quotes"]
    assert sinks == [
        "sink quotes tcp://10.0.3.1:9000",
        "sink quotes 10.0.3.7:51820",
        "sink quotes 10.0.3.9:40112",
    ]


def test_what_listeners_share_is_divided_by_what_they_move() -> None:
    def rows(count: int) -> list[dict[str, Any]]:
        many = listener("many", "http_proxy", bytes_in=3 * count)
        return [many, listener("few", "http_proxy", bytes_in=count)]

    drawn = shown(
        listeners=[rows(0), rows(100)],
        servers=[[server("api", "a")], [server("api", "a", bytes_in=800)]],
        flows=[
            [flow("many", upstream="api", server="a", connections=2), flow("few", upstream="api")]
        ],
    )
    assert link(drawn, "plugin many", "server api a").rate == pytest.approx(300.0)
    assert link(drawn, "plugin few", "server api a").rate == pytest.approx(100.0)
    assert node(drawn, "server api a").row == "many"


def test_what_is_wrong_comes_first() -> None:
    drawn = picture(busy(59.0), busy(60.0))
    assert [each.level for each in drawn.problems] == ["bad", "warn", "warn"]
    assert texts(drawn)[0] == "10.0.1.3:8080 of api is down: its health check: connection refused"
    assert drawn.problems[0].about == "server api tcp://10.0.1.3:8080"
    assert "the certificate of shop.example ends in 9 days" in texts(drawn)


def test_a_server_that_is_down_for_one_worker_only() -> None:
    down = "ejected after failed requests"
    rows = [server("api", "a", worker=1), server("api", "a", worker=2, up=0, down=down)]
    drawn = shown(servers=[rows])
    assert (node(drawn, "server api a").level, texts(drawn)) == (
        "warn",
        ["a of api is down for 1 of 2 net threads: ejected after failed requests"],
    )


def test_what_an_operator_has_taken_out_is_no_problem() -> None:
    drawn = shown(servers=[[server("api", "a", state="maint"), server("api", "b", state="drain")]])
    assert [(each.level, each.state) for each in drawn.nodes] == [
        ("off", "maint"),
        ("off", "drain"),
    ]
    assert drawn.problems == []


def test_a_sink_that_is_late() -> None:
    drawn = shown(sinks=[[sink("quotes", "s", lag=900 << 10, state="lags")]])
    late = node(drawn, "sink quotes s")
    assert (late.level, texts(drawn)) == ("warn", ["the sink s of quotes lags"])
    assert late.meter is not None
    assert (late.meter.value, late.meter.limit) == (900 << 10, 1 << 20)


@pytest.mark.parametrize("option", ["subscribers", "http_subscribers"])
def test_a_subscriber_is_named_without_its_listener(option: str) -> None:
    drawn = shown(sinks=[[sink("quotes", f"quotes.{option} 10.0.3.7:40112")]])
    assert [each.name for each in drawn.nodes if each.kind == "sink"] == ["10.0.3.7:40112"]


def test_a_sink_that_takes_nothing_is_stuck_before_it_lags() -> None:
    rows = [sink("quotes", "s", lag=5000, sent=100)]
    assert texts(shown(sinks=[rows])) == ["the sink s of quotes takes nothing of what waits for it"]
    assert texts(shown(sinks=[rows, [sink("quotes", "s", lag=5000, sent=101)]])) == []
    assert texts(picture(None, Sample(1.0, {"sinks": rows}))) == [], "it is not known yet"


def test_many_sinks_are_one_node_but_for_the_worst_and_busiest() -> None:
    many = [sink("quotes", f"s{number}", sent=1000) for number in range(1000)]
    many[500] = sink("quotes", "s500", state="down")
    before = [each | {"sent": 0} for each in many]
    rows = [listener("quotes", "relay")]
    drawn = shown(listeners=[rows], sinks=[before, many])
    sinks = [each for each in drawn.nodes if each.column == 2]
    assert len(sinks) == MOST
    assert "sink quotes s500" in {each.id for each in sinks}
    rest = sinks[-1]
    assert (rest.name, rest.level) == (f"{1000 - MOST + 1} more", "good")
    assert sum(each.rate or 0.0 for each in sinks) == pytest.approx(999 * 1000 / 2.0)
    assert link(drawn, "plugin quotes", rest.id).rate == rest.rate


def test_a_picture_of_a_large_proxy_is_bounded() -> None:
    names = [f"l{number}" for number in range(200)]
    servers = [server(f"u{one}", f"s{two}") for one in range(100) for two in range(20)]
    flows = [flow(name, upstream=f"u{number % 100}") for number, name in enumerate(names)]
    sinks = [sink(name, f"s{number}") for name in names[:20] for number in range(500)]
    drawn = shown(
        listeners=[[listener(name, "relay") for name in names]],
        servers=[servers],
        flows=[flows],
        sinks=[sinks],
    )
    columns = Counter(each.column for each in drawn.nodes)
    assert (columns[0], columns[1]) == (MOST_LISTENERS, MOST_LISTENERS - 1)
    assert columns[2] <= max(MOST_TARGETS, LEAST * 120)
    assert len(json.dumps(drawn.to_json(DETAILS))) < STREAM_LIMIT


def test_many_problems_are_counted() -> None:
    rows = [server("api", f"s{number}", up=0) for number in range(20)]
    drawn = shown(servers=[rows])
    assert len(drawn.problems) == MOST_PROBLEMS
    assert texts(drawn)[-1] == f"{20 - MOST_PROBLEMS + 1} more"


def test_a_listener_that_is_nearly_full() -> None:
    rows = [listener("web", "http_proxy", open=95, max_connections=100)]
    assert texts(shown(listeners=[rows])) == ["web has 95 of at most 100 connections"]


def test_states_of_machines_are_counted() -> None:
    flows = [flow("web", state=state, connections=count) for state, count in
             (("A", 5), ("B", 9), ("C", 1), ("D", 2), ("E", 3), ("A", 1), ("F", 0))]  # fmt: skip
    drawn = shown(listeners=[[listener("web", "http_proxy")]], flows=[flows])
    assert node(drawn, "plugin web").parts == [("B", 9), ("A", 6), ("E", 3), ("other", 3)]


def test_a_reload_that_was_refused_and_a_thread_that_is_late() -> None:
    rows = [process(reload_error="proxy.toml:3:1: unknown key\nand more", lag=0.42)]
    assert texts(shown(process=[rows])) == [
        "the last reload was refused: proxy.toml:3:1: unknown key",
        "the net threads: an event has waited for 0.42 s",
    ]


@pytest.mark.parametrize("text", [FORWARD, HTTP, SPLIT, MIRROR, RELAY])
def test_the_questions_have_all_that_is_drawn(tmp_path: Path, text: str) -> None:
    with AskedProxy(tmp_path, text) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        [listener] = proxy.configuration.settings.listener
        proxy.client(listener.name, b'{"id": 1}\n')
        proxy.client(listener.name, b"GET / HTTP/1.1\r\nHost: a\r\nBad\x01: x\r\n\r\n")
        samples = []
        for second in (1.0, 2.0):
            proxy.sim.elapse(1.0)
            samples.append(Sample(second, {each: proxy.ask(each) for each in QUESTIONS}))
        drawn = picture(*samples)
        assert node(drawn, f"listener {listener.name}").column == 0
        assert any(each.column == 2 for each in drawn.nodes)
        assert any(each.source == f"plugin {listener.name}" for each in drawn.links)


@given(
    st.frozensets(st.sampled_from(QUESTIONS)),
    st.frozensets(st.sampled_from(QUESTIONS)),
    st.floats(0.0, 100.0),
)
def test_what_is_not_answered_is_not_shown(
    first: frozenset[str], then: frozenset[str], second: float
) -> None:
    def part(at: float, questions: frozenset[str]) -> Sample:
        rows = busy(at).rows
        return Sample(at, {name: rows.get(name, ()) for name in questions}, ["net-0: no answer"])

    drawn = picture(part(second, first), part(second + 1.0, then))
    assert "net-0: no answer" in texts(drawn)
    ids = {each.id for each in drawn.nodes}
    assert len(ids) == len(drawn.nodes)
    assert {each.source for each in drawn.links} | {each.to for each in drawn.links} <= ids
    assert json.loads(json.dumps(drawn.to_json(), allow_nan=False))["seconds"] == 1.0
