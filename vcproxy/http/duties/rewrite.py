"""rewrite: replaces the first segments of the path before a server gets the request.

Tested in tests/http/duties/test_rewrite.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.http.duties.duty import Duty, Scheme
from vcproxy.http.duties.head_edits import HeadEdits
from vcproxy.http.message.resource import canonical_path, under
from vcproxy.http.option_texts import PathPrefix


@dataclass(frozen=True)
class Rewrite(Duty):
    """Replaces the first segments of the path. The query is kept, and what has other segments.

    Location fields of responses are not changed: they name what the server calls it.
    """

    prefix: PathPrefix
    """The segments to replace: "/api" is replaced in /api and /api/x, not in /apis."""

    to: PathPrefix = "/"
    """What replaces them. Left out: they are removed."""

    def head_edits(self, scheme: Scheme) -> HeadEdits:
        """See Duty."""
        return HeadEdits(target=self.target)

    def target(self, target: str) -> str:
        """Return a target in origin form as it is forwarded.

        The rest of the path is kept as it was sent, unless its segments lead out of it, or the
        prefix was written in another way, as "/%61pi": then the path is forwarded in its canonical
        form, as routes compare it.
        """
        path, mark, query = target.partition("?")
        plain = canonical_path(path)
        if not under(plain, self.prefix):
            return target
        cut, to = len(self.prefix.rstrip("/")), self.to.rstrip("/")
        plain = to + plain[cut:] or "/"
        made = to + path[cut:] or "/"
        if not under(path, self.prefix) or made.startswith("//") or canonical_path(made) != plain:
            made = plain
        return f"{made}{mark}{query}"
