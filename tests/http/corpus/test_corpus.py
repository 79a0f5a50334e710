"""The corpus has enough distinct cases, and its runner detects wrong results."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.http.corpus import ANSWERS, CASES, REQUESTS
from tests.http.corpus.case import Accepted, Refused, Relayed
from tests.http.corpus.outcome import Outcome, objections, outcome
from tests.http.corpus.report import PAGE
from tests.http.corpus.simulated import simulated
from tests.http.corpus.trial import run_case
from tests.http.corpus.wire import answers, requests


def test_there_are_enough_cases_and_a_quarter_of_them_are_good() -> None:
    good = [case for case in CASES if isinstance(case.expect, Accepted | Relayed)]
    assert len(REQUESTS) >= 300
    assert len(ANSWERS) >= 100
    assert len(good) * 4 >= len(CASES)


def test_each_case_has_a_unique_name_and_unique_bytes() -> None:
    text = Counter(case.name for case in CASES)
    assert [name for name, times in text.items() if times > 1] == []
    sent = Counter((case.raw, case.end) for case in REQUESTS)
    sent_back = Counter(
        (case.raw, case.request, case.then, case.early, case.late) for case in ANSWERS
    )
    assert max(sent.values()) == 1
    assert max(sent_back.values()) == 1


def test_each_case_names_its_rule() -> None:
    strange = [case.name for case in CASES if not re.fullmatch(r"\d{4} [\dA-Z][\d.]*", case.rfc)]
    assert strange == []


def test_the_page_is_about_these_cases() -> None:
    text = f"{len(REQUESTS)} requests and {len(ANSWERS)} responses"
    assert text in PAGE.read_text(), "write it again: python -m tests.http.corpus"


def test_a_transparent_tunnel_fails(tmp_path: Path) -> None:
    unnoticed = []
    with simulated(tmp_path, "forward") as world:
        for number, case in enumerate(REQUESTS):
            seen = run_case(case, world, number)
            if isinstance(case.expect, Refused) and not objections(case, seen):
                unnoticed.append(case.name)
    assert unnoticed == []


def test_good_requests_pass_a_transparent_tunnel(tmp_path: Path) -> None:
    plain = [case for case in REQUESTS if isinstance(case.expect, Accepted)]
    with simulated(tmp_path, "forward") as world:
        outcomes = Counter(outcome(case, run_case(case, world, n)) for n, case in enumerate(plain))
    assert outcomes[Outcome.ACCEPTED] > len(plain) // 2


def test_the_independent_parser_reads_valid_messages() -> None:
    received = requests(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET")
    assert [(each.method, each.target, each.body) for each in received.messages] == [
        ("POST", "/a", b"hi")
    ]
    assert (received.rest, received.fault) == (b"GET", "")


def test_the_independent_parser_refuses_ambiguous_messages() -> None:
    for head in (b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"):
        assert requests(head).fault
    assert requests(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\n").fault


def test_the_independent_parser_detects_truncated_answers() -> None:
    data = b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"
    assert [each.complete for each in answers(data, (), ended=True).messages] == [True, True]
    assert [each.complete for each in answers(data, (), ended=False).messages] == [True, False]
