"""Groups of NMEA sentences: a part is known by the first part before it."""

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.nmea import NmeaSentence
from vcproxy.protocols.nmea_groups import MOST, NmeaGroups


def test_a_later_part_has_the_text_of_the_first() -> None:
    groups = NmeaGroups()

    def whole(text: bytes, source: str = "a") -> bytes:
        return groups.whole(NmeaSentence.parse(text), source)

    one, other = b"!AIVDM,2,1,3,A,ship", b"!AIVDM,2,1,4,B,other"
    assert whole(one) == one
    assert whole(other) == other
    assert whole(b"!AIVDM,2,2,3,A,8") == one + b"!AIVDM,2,2,3,A,8"
    assert whole(b"!AIVDM,2,2,4,B,8") == other + b"!AIVDM,2,2,4,B,8"
    assert whole(b"!AIVDM,2,2,4,B,8", "b") == b"!AIVDM,2,2,4,B,8"
    assert whole(b"$GPRMC,1,2,4") == b"$GPRMC,1,2,4"


def test_the_number_of_groups_is_limited() -> None:
    groups = NmeaGroups()
    for number in range(3 * MOST):
        groups.whole(NmeaSentence.parse(b"!AIVDM,2,1,%d,A,x" % number), "a")
    assert len(groups._first) <= MOST


@given(st.binary(max_size=40))
def test_any_bytes_are_taken(message: bytes) -> None:
    NmeaGroups().whole(NmeaSentence.parse(b"!AIVDM," + message), "a")
