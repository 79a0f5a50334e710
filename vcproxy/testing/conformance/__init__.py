"""Conformance: what every VConnection must do, as laws that any kind of VC can be tested with.

A maker of the kind under test yields a connected `Pair` and closes what it has opened:

    @pytest.mark.parametrize("law", laws(), ids=str)
    def test_my_kind(law: Law) -> None:
        with my_pair() as pair:
            law(pair)

A kind that lacks a feature lists it: `laws(lacking=(Trait.RESET,))`. The laws do not depend on the
kind of VC. Each law also checks the rules for all events: see `End`. The modules transfer, goals,
ends, verbs and timeouts contain the laws. Tested in tests/conformance.
"""

from collections.abc import Sequence

from vcproxy.testing.conformance import ends, goals, timeouts, transfer, verbs
from vcproxy.testing.conformance.end import Crash, End, Run
from vcproxy.testing.conformance.law import Law, Pair, Trait

__all__ = ["Crash", "End", "Law", "Pair", "Run", "Trait", "laws"]


def laws(lacking: Sequence[Trait] = ()) -> list[Law]:
    """Return the laws for a kind of VC that lacks some traits."""
    groups = (transfer, goals, ends, verbs, timeouts)
    return [law for group in groups for law in group.LAWS if not set(law.needs) & set(lacking)]
