"""Report: the page with the results of the cases on each proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from tests.bench.revision import ROOT
from tests.http.corpus.case import (
    Accepted,
    Answered,
    BadGateway,
    Case,
    Cut,
    Dropped,
    Refused,
    Relayed,
    RequestCase,
    Theme,
)
from tests.http.corpus.outcome import Outcome, objections, outcome, words
from tests.http.corpus.trial import Seen

PAGE = ROOT / "docs" / "design" / "http-strictness.md"

HEAD = """\
# How strict HTTP/1.1 is read

<!-- Written by `python -m tests.http.corpus`. -->

A client must not be able to send bytes that a server and the proxy read as different messages; the
bytes of a server must reach only the client whose request they answer. So a message that can be
read in two ways is refused: for a request the client gets 400 and is closed, for a response it gets
502. A valid message is forwarded, however unusual.

The rules are tested by a corpus of {requests} requests and {answers} responses as raw bytes,
{good} of them valid. Each is sent, then a second request, the canary, on the same connection, and
another canary on a new one: both must get their own responses, and the origin must have got exactly
what the case expects. Every case passes with vcproxy, split into two pieces anywhere, and byte by
byte.

## Compared with HAProxy and nginx

The same cases on {versions}, with a test origin that records what
it gets. Both are configured as usual: HAProxy with `http-reuse always`, nginx with `keepalive` and
HTTP/1.1 to the origin.

{counts}

- **as here**: the result is exactly that of vcproxy, status and fields included
- **forwards malformed data**: a strict reader refuses what is forwarded; a lenient one may not
- **desynchronises**: a canary gets no response, that of another request, or two
- **waits for more**: it does not detect the end of the message, or that it is invalid

A difference may be no fault: another status, a higher limit, or a server that refuses what the
proxy has forwarded. vcproxy does not rely on its servers.

## Differences and reasons

Each line has the number of cases of the kind and, for each of the two proxies, how many have a
different result.

{kinds}

## Case by case

Only cases in which HAProxy or nginx differs. A dash: the result is that of vcproxy. Several
statuses: several responses. "kept": the connection stays open after a refusal.

{cases}
"""

Verdicts = Mapping[str, Sequence[Seen]]
"""The results of each proxy, by its name, in the order of the cases."""

_KINDS = {
    "good requests": (Accepted, Answered),
    "bad requests": (Refused, Dropped),
    "good responses": (Relayed,),
    "bad responses": (BadGateway, Cut),
}


def page(themes: Sequence[Theme], verdicts: Verdicts, versions: Sequence[str]) -> str:
    """Write the page."""
    cases = list(chain.from_iterable(theme.cases for theme in themes))
    requests = sum(isinstance(case, RequestCase) for case in cases)
    return HEAD.format(
        requests=requests,
        answers=len(cases) - requests,
        good=sum(isinstance(case.expect, Accepted | Relayed) for case in cases),
        versions=" and ".join(versions),
        counts="\n".join(_counts(cases, verdicts)),
        kinds="\n".join(_kinds(themes, verdicts)),
        cases="\n".join(_cases(themes, verdicts)).rstrip(),
    )


def _counts(cases: Sequence[Case], verdicts: Verdicts) -> Iterator[str]:
    columns = ["cases", "as here", *(each.value for each in Outcome)]
    yield _row(["", "", *columns])
    yield _row(["---", "---"] + ["---:"] * len(columns))
    for name, seen in verdicts.items():
        for kind, of_kind in _KINDS.items():
            tried = [
                (case, each)
                for case, each in zip(cases, seen, strict=True)
                if isinstance(case.expect, of_kind)
            ]
            outcomes = Counter(outcome(case, each) for case, each in tried)
            same = sum(not objections(case, each) for case, each in tried)
            numbers = [len(tried), same, *(outcomes[each] for each in Outcome)]
            yield _row([name, kind, *map(str, numbers)])


def _kinds(themes: Sequence[Theme], verdicts: Verdicts) -> Iterator[str]:
    yield _row(["kind", "cases", *verdicts, "reason for vcproxy's rule"])
    yield _row(["---", "---:", *("---:" for _ in verdicts), "---"])
    for theme, seen in _by_theme(themes, verdicts):
        differing = [
            sum(bool(objections(case, each)) for case, each in zip(theme.cases, one, strict=True))
            for one in seen.values()
        ]
        yield _row([theme.title, str(len(theme.cases)), *map(str, differing), theme.reason])


def _cases(themes: Sequence[Theme], verdicts: Verdicts) -> Iterator[str]:
    for theme, seen in _by_theme(themes, verdicts):
        rows = [
            [case.name, case.rfc, _expected(case), *cells]
            for case, cells in (
                (case, [_cell(case, one[number]) for one in seen.values()])
                for number, case in enumerate(theme.cases)
            )
            if set(cells) != {"-"}
        ]
        if rows:
            yield f"### {theme.title}\n"
            yield _row(["case", "RFC", "here", *verdicts])
            yield _row(["---"] * (3 + len(verdicts)))
            yield from map(_row, rows)
            yield ""


def _by_theme(
    themes: Sequence[Theme], verdicts: Verdicts
) -> Iterator[tuple[Theme, dict[str, Sequence[Seen]]]]:
    begin = 0
    for theme in themes:
        end = begin + len(theme.cases)
        yield theme, {name: seen[begin:end] for name, seen in verdicts.items()}
        begin = end


def _cell(case: Case, seen: Seen) -> str:
    against = objections(case, seen)
    if not against:
        return "-"
    result = words(seen)
    if result in _expected(case):  # with equal statuses, describe the difference
        result = f"{result}; {against[0]}"
    return (
        f"**desynchronises**: {result}" if outcome(case, seen) is Outcome.DESYNCHRONISED else result
    )


def _expected(case: Case) -> str:
    match case.expect:
        case Refused(status) | Answered(status):
            return str(status)
        case Accepted(requests, _, then):
            return " ".join(["200"] * len(requests) + [str(then)] * bool(then))
        case Dropped():
            return "closed"
        case Relayed(status, interim=interim):
            return " ".join(map(str, (*interim, status)))
        case BadGateway():
            return "502"
        case Cut(status):
            return f"{status} cut"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
