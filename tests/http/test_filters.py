"""Phases: the order in which filters are called, their arguments, and their return values."""

from __future__ import annotations

import pytest

from vcproxy.http.filters import Filter, FilterChain, Phases, Subrequests, Wait
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.messages.verdict import Defer
from vcproxy.testing.http import SimulatedHttp

GET = Request("GET", "/", host="a.example")
POST = Request("POST", "/", host="a.example", content=b"question")


class Witness(Filter):
    """Records which phases are called, and with which bytes."""

    def __init__(self, name: str = "", text: list[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.calls = [] if text is None else text

    def note(self, phase: str, data: bytes | None = None) -> None:
        seen = "" if data is None else f" {data.decode()!r}"
        self.calls.append(f"{self.name} {phase}{seen}".strip())


class HeadRecorder(Witness):
    """Overrides no phase of bodies."""

    def request_head(self, tx: Transaction) -> None:
        self.note("request_head")

    def route(self, tx: Transaction) -> None:
        self.note("route")

    def server_chosen(self, tx: Transaction) -> None:
        self.note("server_chosen")

    def response_head(self, tx: Transaction) -> None:
        self.note("response_head")

    def error(self, tx: Transaction) -> None:
        assert tx.failure is not None
        self.note(f"error {tx.failure.status}")

    def done(self, tx: Transaction) -> None:
        self.note(f"done {tx.status}")


class Chunks(HeadRecorder):
    """Receives bodies in pieces."""

    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        self.note("request_chunk", data)
        return data.upper() or b"!"

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        self.note("response_chunk", data)
        return data.upper() or b"!"


class Bodies(HeadRecorder):
    """Receives whole bodies."""

    def request_body(self, tx: Transaction, body: bytes) -> bytes:
        self.note("request_body", body)
        return body + b"?"

    def response_body(self, tx: Transaction, body: bytes) -> bytes:
        self.note("response_body", body)
        return body + b"?"


def hello(request: Request) -> Response:
    return Response(200, {}, b"hello")


def test_there_is_a_method_for_each_phase_and_no_other() -> None:
    public = {name for name in vars(Phases) if not name.startswith("_")}
    assert public == {*FilterChain.phases(), "body_limit", "own_phases"}


def test_a_phase_that_is_not_overridden_costs_nothing() -> None:
    chain = FilterChain.of([Filter(), Filter()])
    assert not any(getattr(chain, phase) for phase in FilterChain.phases())


def test_all_phases_in_their_order() -> None:
    for filters, bodies in (
        (Chunks, ["request_chunk 'question'", "request_chunk ''"]),
        (Bodies, ["request_body 'question'"]),
    ):
        witness = filters()
        with SimulatedHttp(witness, answer=hello) as proxy:
            result = proxy.send(POST)
        seen = [phase.partition(" ")[0] for phase in witness.calls]
        assert list(dict.fromkeys(seen)) == [name for name in FilterChain.phases() if name in seen]
        assert [each for each in witness.calls if each.startswith("request_") and " " in each] == (
            bodies
        )
        assert result.content == (b"HELLO!" if filters is Chunks else b"hello?")


def test_filters_come_in_their_order_and_back_the_other_way_round() -> None:
    text: list[str] = []
    with SimulatedHttp(HeadRecorder("a", text), HeadRecorder("b", text)) as proxy:
        proxy.send(GET)
    there, back = ["request_head", "route", "server_chosen"], ["response_head", "done 200"]
    assert text == [
        *(f"{name} {phase}" for phase in there for name in "ab"),
        *(f"{name} {phase}" for phase in back for name in "ba"),
    ]


@pytest.mark.parametrize("first", [Bodies, Chunks])
def test_a_chunk_filter_is_called_where_another_buffers_the_body(
    first: type[Witness],
) -> None:
    second = Chunks if first is Bodies else Bodies
    with SimulatedHttp(first(), second(), answer=hello) as proxy:
        result = proxy.send_all(POST, GET)
        contents = [each.content for each in proxy.received()]
    if first is Bodies:
        assert contents == [b"QUESTION?!", b"?!"]
        assert result[0].content == b"HELLO!?"
    else:
        assert contents == [b"QUESTION!?", b"?"]
        assert result[0].content == b"HELLO?!"


def test_the_smallest_body_limit_counts() -> None:
    class Small(Bodies):
        body_limit = "10B"

    class Tiny(HeadRecorder):
        body_limit = "1B"

    chain = FilterChain.of([Bodies(), Small(), Tiny()])
    assert (chain.request_limit, chain.response_limit) == (10, 10)
    assert FilterChain.of([Tiny()]).request_limit == 0


class Says(Filter):
    """Returns its argument in one phase."""

    def __init__(self, phase: str, verdict: object) -> None:
        super().__init__()
        self.phase, self.verdict = phase, verdict

    def _say(self, phase: str) -> object:
        if phase != self.phase:
            return None
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    def request_head(self, tx: Transaction) -> object:  # type: ignore[override]
        return self._say("request_head")

    def request_body(self, tx: Transaction, body: bytes) -> object:  # type: ignore[override]
        return self._say("request_body")

    def route(self, tx: Transaction) -> object:  # type: ignore[override]
        return self._say("route")

    def server_chosen(self, tx: Transaction) -> object:  # type: ignore[override]
        return self._say("server_chosen")

    def response_head(self, tx: Transaction) -> object:  # type: ignore[override]
        return self._say("response_head")

    def response_body(self, tx: Transaction, body: bytes) -> object:  # type: ignore[override]
        return self._say("response_body")


THERE = ["request_head", "request_body", "route", "server_chosen"]
BACK = ["response_head", "response_body"]


@pytest.mark.parametrize("phase", THERE + BACK)
def test_each_phase_may_answer(phase: str) -> None:
    witness = HeadRecorder()
    with SimulatedHttp(Says(phase, Response(403, {}, b"no\n")), witness, answer=hello) as proxy:
        result = proxy.send(POST)
        assert (result.status, result.content) == (403, b"no\n")
        assert len(proxy.received()) == (phase in BACK)
    assert witness.calls[-1] == "done 403"


def waits() -> list[object]:
    return [
        Wait("3s"),
        Defer(str, deadline="2s", then=lambda tx, value: None),
        Defer(str, deadline="2s", then=lambda tx, value: Wait("1s")),
        Subrequests([GET], then=lambda tx, answers: None),
        Subrequests([], then=lambda tx, answers: None),
    ]


@pytest.mark.parametrize("phase", THERE + BACK)
@pytest.mark.parametrize("number", range(len(waits())))
def test_each_phase_may_take_time(phase: str, number: int) -> None:
    with SimulatedHttp(Says(phase, waits()[number]), answer=hello) as proxy:
        assert [each.content for each in proxy.send_all(POST, GET)] == [b"hello"] * 2
        assert sum(each.method == "POST" for each in proxy.received()) == 1


@pytest.mark.parametrize("phase", THERE + BACK)
@pytest.mark.parametrize("verdict", [True, "text", Request("GET", "/", host="a"), KeyError("x")])
def test_a_phase_that_fails_or_returns_an_invalid_value_is_500(phase: str, verdict: object) -> None:
    witness = HeadRecorder()
    with SimulatedHttp(Says(phase, verdict), witness, answer=hello) as proxy:
        with pytest.raises((TypeError, KeyError)):
            proxy.send(POST)
        proxy.run()
        assert len(proxy.received()) == (phase in BACK)
        assert witness.calls[-2:] == ["error 500", "done 500"]


@pytest.mark.parametrize(
    ("verdict", "who"),
    [
        ("text", "Says.request_head"),
        (Defer(str, deadline="2s", then=lambda tx, value: "text"), "lambda"),
        (Defer(lambda: "text", deadline="2s"), "a resumed phase"),
    ],
)
def test_an_invalid_return_value_is_logged_with_its_phase(verdict: object, who: str) -> None:
    with (
        SimulatedHttp(Says("request_head", verdict), answer=hello) as proxy,
        pytest.raises(TypeError, match=rf"{who}>? returned 'text': it must be None, a Response"),
    ):
        proxy.send(GET)


def test_a_filter_may_take_longer_than_a_client_may_be_idle() -> None:
    with SimulatedHttp(Says("request_head", Wait("2m")), answer=hello) as proxy:
        assert proxy.send(GET).content == b"hello"


def test_error_may_have_another_answer() -> None:
    class Sorry(Filter):
        def error(self, tx: Transaction) -> Response:
            assert tx.failure is not None
            return Response(tx.failure.status, {}, b"sorry\n")

    with SimulatedHttp(Sorry(), refusing=["server"]) as proxy:
        result = proxy.send(GET)
        assert (result.status, result.content) == (502, b"sorry\n")


def test_every_response_is_called_once_for_each() -> None:
    class Last(Filter):
        seen: list[int] = []

        def every_response(self, tx: Transaction, response: Response) -> None:
            self.seen.append(response.status)
            response.fields["X-Last"] = str(response.status)

    last = Last()
    with SimulatedHttp(last, answer=hello, options=Options(routes=(Route(path="/a"),))) as proxy:
        got = proxy.send_all(Request("GET", "/a", host="a.example"), GET)
    assert [each.fields.get("X-Last") for each in got] == ["200", "404"]
    assert last.seen == [200, 404]


def test_every_response_may_change_the_content_that_was_made_here() -> None:
    class Shorter(Filter):
        def every_response(self, tx: Transaction, response: Response) -> None:
            response.content = response.content[:3]

    with SimulatedHttp(Shorter(), refusing=["server"]) as proxy:
        assert proxy.send(GET).content == b"502"
