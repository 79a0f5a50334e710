"""vcproxy.http.message alone reads every request of the corpus as expected, in any pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.http.corpus import REQUESTS
from tests.http.corpus.case import Accepted, Refused, RequestCase
from tests.http.corpus.library import Verdict, verdict
from vcproxy.testing import fragments

pytest.importorskip("vcproxy.http.message.parsing")


LONG = 600
"""A case of more bytes, which tests a size limit, is cut at ten places only."""
POLICY = {403, 501}
"""Statuses that come from the proxy, not from the parser."""

READ_ALIKE = [
    case
    for case in REQUESTS
    if isinstance(case.expect, Accepted)
    or (isinstance(case.expect, Refused) and case.expect.status not in POLICY)
]


def expected(case: RequestCase) -> Verdict:
    match case.expect:
        case Accepted(requests, _, then):
            return [(each.method, each.target, each.body) for each in requests], then
        case Refused(status):
            return [], status
        case _:
            return [], 0


@pytest.mark.parametrize("case", READ_ALIKE, ids=lambda case: case.name)
def test_each_request_is_read_as_expected(case: RequestCase) -> None:
    assert verdict([case.raw]) == expected(case)


def test_each_request_is_read_the_same_wherever_it_is_cut() -> None:
    for case in READ_ALIKE:
        whole = verdict([case.raw])
        if len(case.raw) < LONG:
            for pieces in fragments(case.raw):
                assert verdict(pieces) == whole, (case.name, len(pieces[0]))
        else:
            steps = [*range(0, len(case.raw), len(case.raw) // 9), len(case.raw)]
            assert verdict(case.raw[a:b] for a, b in pairwise(steps)) == whole, case.name


def test_each_request_is_read_the_same_byte_by_byte() -> None:
    for case in READ_ALIKE:
        if len(case.raw) < LONG:
            pieces = [case.raw[at : at + 1] for at in range(len(case.raw))]
            assert verdict(pieces) == verdict([case.raw]), case.name
