"""Report: the page about what was tried on which proxy, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from tests.bench.peers import ROOT
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
from tests.http.corpus.judgement import Deed, deed, objections, words
from tests.http.corpus.play import Seen

PAGE = ROOT / "docs" / "design" / "http-strictness.md"

HEAD = """\
# How strict HTTP/1.1 is read

<!-- Written by `python -m tests.http.corpus`. -->

Nothing that a client sends may make a server see another message than the proxy does; nothing that
a server sends may reach anybody but the client that asked. So what can be read in two ways is
refused: a request with 400 and the end of the connection, an answer with 502. What is in order
passes, however odd.

The rules are held by a corpus of {requests} requests and {answers} answers as raw bytes, {good} of
them good ones. Each is tried, then a canary is sent behind it on the same connection, and another
on a new one: both must get their own answers, and the origin must have got exactly what the case
says. Every case passes with vcproxy, cut into two pieces anywhere, and byte by byte.

## Beside others

The same cases on {versions}, with an origin of ours that notes what
it gets. Both are configured as usual: HAProxy with `http-reuse always`, nginx with `keepalive` and
HTTP/1.1 to the origin.

{counts}

- **as here**: the outcome is that of vcproxy to the last detail, status and fields included
- **passes on what is broken**: a strict reader refuses what comes out; lenient ones may differ
- **desynchronises**: a canary gets no answer or another's, or one answer too many comes
- **waits for more**: it does not see that the message is over, or that it is none

That one differs need not be a fault: a status may be another, a limit higher, and a good server
behind it may refuse what it lets through. vcproxy does not know the servers behind it.

## Where they differ, and why

In each line: how many cases there are of the kind, and in how many each of the two ends otherwise.

{kinds}

## Case by case

Only those where one differs. A dash: as here. Several statuses: several answers. "kept": the
connection stays open behind a refusal.

{cases}
"""

Verdicts = Mapping[str, Sequence[Seen]]
"""By the name of the proxy, in the order of the cases."""

_KINDS = {
    "good requests": (Accepted, Answered),
    "bad requests": (Refused, Dropped),
    "good answers": (Relayed,),
    "bad answers": (BadGateway, Cut),
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
    columns = ["cases", "as here", *(each.value for each in Deed)]
    yield _row(["", "", *columns])
    yield _row(["---", "---"] + ["---:"] * len(columns))
    for name, seen in verdicts.items():
        for kind, of_kind in _KINDS.items():
            tried = [
                (case, each)
                for case, each in zip(cases, seen, strict=True)
                if isinstance(case.expect, of_kind)
            ]
            deeds = Counter(deed(case, each) for case, each in tried)
            same = sum(not objections(case, each) for case, each in tried)
            numbers = [len(tried), same, *(deeds[each] for each in Deed)]
            yield _row([name, kind, *map(str, numbers)])


def _kinds(themes: Sequence[Theme], verdicts: Verdicts) -> Iterator[str]:
    yield _row(["kind", "cases", *verdicts, "why it is so here"])
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
    told = words(seen)
    if told in _expected(case):  # the statuses are the same: what differs is worth a word
        told = f"{told}; {against[0]}"
    return f"**desynchronises**: {told}" if deed(case, seen) is Deed.SPOILED else told


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
