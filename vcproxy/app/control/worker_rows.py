"""collect_rows: the rows of a worker for a question of the control, as JSON for its master.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcproxy.app.server import Proxy
    from vcproxy.control.changes.change import Changed


def collect_rows(
    proxy: Proxy,
    name: str,
    arguments: Mapping[str, str],
    then: Callable[[Iterator[str]], None],
) -> None:
    """Ask all net threads; `then` gets texts that are, one after the other, the answer as JSON.

    To be called in the first net thread, which calls `then` as well. The modules of the questions
    are imported in another thread, as that takes long.
    """

    def imported(value: object, error: Exception | None) -> None:
        from vcproxy.app.control.running_proxy import RunningProxy
        from vcproxy.control.questions.asking import question_of
        from vcproxy.control.questions.collecting import collect

        if error is not None:
            raise error
        question = question_of(name)  # the master has checked them

        def collected(pieces: list[str], missing: list[str]) -> None:
            then(_texts(pieces, missing))

        running = RunningProxy(proxy)
        collect(
            question, arguments, running, _encoded, collected, feed=proxy.soon, after=proxy.after
        )

    proxy.reloads.load(_import, None, imported)


def make_change(
    proxy: Proxy, name: str, arguments: Mapping[str, str], then: Callable[[object], None]
) -> None:
    """Make one of CHANGES in all net threads; `then` gets its result. See `collect_rows`."""

    def imported(value: object, error: Exception | None) -> None:
        from vcproxy.app.control.running_proxy import RunningProxy
        from vcproxy.control.changes.making import make

        if error is not None:
            raise error

        def made(changed: Changed) -> None:
            then([changed.lines, changed.refused, changed.missing])

        make(name, arguments, RunningProxy(proxy), made, feed=proxy.soon, after=proxy.after)

    proxy.reloads.load(_import, None, imported)


def _import(_: object) -> None:
    import vcproxy.app.control.running_proxy
    import vcproxy.control.changes.making
    import vcproxy.control.questions.asking  # noqa: F401


def _encoded(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as JSON, without the brackets of their list."""
    return json.dumps(rows)[1:-1]


def _texts(pieces: list[str], missing: list[str]) -> Iterator[str]:
    yield '{"rows": ['
    for number, piece in enumerate(pieces):
        yield f",{piece}" if number else piece
    yield f'], "missing": {json.dumps(missing)}}}'
