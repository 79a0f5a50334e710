"""The header of HL7 messages, and their acknowledgements: each with its own separators."""

from __future__ import annotations

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.hl7 import Hl7Answer, Hl7Fault, Hl7Fields, Hl7Header

ADMIT = (
    b"MSH|^~\\&|LAB|NORTH|EHR|SOUTH|20261130115000||ADT^A01^ADT_A01|42|P|2.5.1||||||UNICODE UTF-8\r"
    b"EVN|A01|20261130\r"
    b"PID|1||7^^^NORTH\r"
)
AT = 1_796_040_000.0  # 2026-11-30 12:00:00 UTC
UNKNOWN_TYPE = Hl7Fault("AR", 9, 200, "MSH-9: this type is not accepted")


def test_fields_have_the_numbers_of_the_standard() -> None:
    header = Hl7Header.parse(ADMIT)
    assert header.field(1) == b"|"
    assert header.field(2) == b"^~\\&"
    assert header.field(3) == b"LAB"
    assert header.components(9) == [b"ADT", b"A01", b"ADT_A01"]
    assert header.control_id == b"42"
    assert header.field(18) == b"UNICODE UTF-8"
    assert header.fault() is None


def test_each_message_is_read_with_its_own_separators() -> None:
    header = Hl7Header.parse(b"MSH*:;!$*LAB*****A*ORU:R01*7*T*2.3")
    assert header.separator == b"*"
    assert header.components(9) == [b"ORU", b"R01"]
    assert header.field(11) == b"T"
    assert header.field(18) == b""


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "does not begin with MSH"),
        (b"PID|1\r", "does not begin with MSH"),
        (b"BHS|^~\\&|LAB\r", "not begin with MSH but with a batch: send each message alone"),
        (b"FHS|^~\\&|LAB\r", "not begin with MSH but with a batch: send each message alone"),
        (b"msh|^~\\&|LAB\r", "does not begin with MSH"),
        (b"MSH", "one to five"),
        (b"MSH\r", "one to five"),
        (b"MSH||LAB\r", "one to five"),
        (b"MSH|^~\\&#+|LAB\r", "one to five"),
        (b"MSH|^~\\^|LAB\r", "different"),
        (b"MSH|^~|&|LAB\rMSH", None),
        (b"MSHA^~\\&ALAB\r", "punctuation"),
        (b"MSH^~\\&LAB\r", "one to five"),
        (b"MSH|^~\\&|LAB\nPID|1\n", "control characters"),
        (b"MSH|^~\\&|LAB\x0b|\r", "control characters"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(message: bytes, why: str | None) -> None:
    if why is None:
        Hl7Header.parse(message)
        return
    with pytest.raises(ValueError, match=why):
        Hl7Header.parse(message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ADMIT.replace(b"ADT^A01^ADT_A01", b""), ("AR", 9, 101)),
        (ADMIT.replace(b"ADT^A01^ADT_A01", b"^A01"), ("AR", 9, 101)),
        (ADMIT.replace(b"|42|", b"||"), ("AE", 10, 101)),
        (ADMIT.replace(b"|P|", b"||"), ("AR", 11, 101)),
        (ADMIT.replace(b"|2.5.1|", b"||"), ("AR", 12, 101)),
        (b"MSH|^~\\&|LAB", ("AR", 9, 101)),
    ],
)
def test_a_missing_field_is_named(message: bytes, expected: tuple[str, int, int]) -> None:
    fault = Hl7Header.parse(message).fault()
    assert fault is not None
    assert fault[:3] == expected
    assert f"MSH-{expected[1]}" in fault.text


@pytest.mark.parametrize(
    ("fields", "unmatched"),
    [
        ({}, None),
        ({"MSH-9": ("ADT",)}, None),
        ({"MSH-9": ("ORU", "ADT^A01")}, None),
        ({"MSH-9": ("ADT^A01^ADT_A01",), "MSH-4": ("NORTH",)}, None),
        ({"MSH-9": ("AD",)}, "MSH-9"),
        ({"MSH-9": ("ADT^A0",)}, "MSH-9"),
        ({"MSH-9": ("ADT^A01^ADT_A01^",)}, "MSH-9"),
        ({"MSH-9": ("ADT",), "MSH-12": ("2.5",), "MSH-4": ("SOUTH",)}, "MSH-12"),
        ({"MSH-9": ()}, "MSH-9"),
        ({"MSH-8": ("",)}, None),
        ({"MSH-8": ("secret",)}, "MSH-8"),
    ],
)
def test_fields_match_by_their_first_components(fields: Hl7Fields, unmatched: str | None) -> None:
    assert Hl7Header.parse(ADMIT).unmatched(fields) == unmatched
    other = ADMIT.replace(b"^", b"!").replace(b"ADT_A01", b"")
    assert Hl7Header.parse(other).unmatched({"MSH-9": ("ADT^A01",)}) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"MSH-9": ("ORU",)}, ("AR", 9, 200)),
        ({"MSH-11": ("T",)}, ("AR", 11, 202)),
        ({"MSH-12": ("2.3",)}, ("AR", 12, 203)),
        ({"MSH-6": ("EAST",)}, ("AE", 6, 103)),
    ],
)
def test_ar_is_for_the_fields_that_are_verified_first(
    fields: Hl7Fields, expected: tuple[str, int, int]
) -> None:
    fault = Hl7Header.parse(ADMIT).fault(fields)
    assert fault is not None
    assert fault[:3] == expected


def test_a_message_is_verified_as_a_whole() -> None:
    assert Hl7Header.verified(ADMIT) == (Hl7Header.parse(ADMIT), None)
    header, fault = Hl7Header.verified(ADMIT, {"MSH-9": ("ORU",)})
    assert header == Hl7Header.parse(ADMIT)
    assert fault is not None
    assert fault.field == 9
    assert Hl7Header.verified(b"hello") == (
        Hl7Header.unreadable(),
        Hl7Fault("AR", 0, 100, "the message does not begin with MSH"),
    )


def test_a_sender_that_waits_for_no_answer_is_refused() -> None:
    message = b"MSH|^~\\&|A|B|C|D|||ADT^A01|42|P|2.5|||%b|%b\r"
    fault = Hl7Header.parse(message % (b"ER", b"NE")).fault()
    assert fault is not None
    assert fault[:3] == ("AR", 15, 103)
    assert Hl7Header.parse(message % (b"AL", b"NE")).fault() is None


def test_an_acknowledgement_swaps_sender_and_receiver_and_keeps_the_rest() -> None:
    answer = Hl7Header.parse(ADMIT).acknowledgement("AR", b"9-1", AT, UNKNOWN_TYPE)
    assert answer == (
        b"MSH|^~\\&|EHR|SOUTH|LAB|NORTH|20261130120000+0000||ACK^A01^ACK|9-1|P|2.5.1||||||"
        b"UNICODE UTF-8\r"
        b"MSA|AR|42|MSH-9: this type is not accepted\r"
        b"ERR||MSH^1^9|200^MSH-9: this type is not accepted^HL70357|E||||"
        b"MSH-9: this type is not accepted\r"
    )


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")
def test_python_hl7_reads_it_and_makes_the_same_but_for_id_and_date() -> None:
    ours = hl7.parse(Hl7Header.parse(ADMIT).acknowledgement("AE", b"1", AT) or b"")
    theirs = hl7.parse(ADMIT).create_ack("AE", message_id="1")
    assert str(ours["MSA"]) == str(theirs["MSA"])
    for field in (1, 2, 3, 4, 5, 6, 9, 10, 11, 12):
        assert str(ours.segment("MSH")(field)) == str(theirs.segment("MSH")(field))


@pytest.mark.parametrize("version", [b"2.4", b"2.3.1", b"2", b"x", b"2.x", b""])
def test_no_error_segment_before_version_2_5(version: bytes) -> None:
    message = ADMIT.replace(b"|2.5.1|", b"|%b|" % version)
    answer = Hl7Header.parse(message).acknowledgement("AR", b"1", AT, UNKNOWN_TYPE)
    assert answer is not None
    assert b"\rERR" not in answer
    assert b"MSA|AR|42|MSH-9" in answer


def test_the_text_of_a_fault_is_escaped_with_the_separators_of_the_message() -> None:
    header = Hl7Header.parse(b"MSH-:~\\&-LAB------ADT-42-P-2.3\r")
    fault = Hl7Fault("AR", 9, 200, "MSH-9: no")
    answer = header.acknowledgement("AR", b"1", AT, fault)
    assert answer is not None
    assert answer.endswith(b"\rMSA-AR-42-MSH\\F\\9\\S\\ no\r")
    bare = Hl7Header.parse(b"MSH-:-LAB------ADT-42-P-2.3\r")
    assert bare.escape("MSH-9: no") == b"MSH 9  no"


@pytest.mark.parametrize(
    ("accept", "application", "code", "answered"),
    [
        (b"", b"", "AR", b"AR"),
        (b"", b"", "AA", b"AA"),
        (b"AL", b"", "AE", b"CE"),
        (b"AL", b"NE", "AA", b"CA"),
        (b"NE", b"AL", "AR", b"AR"),
        (b"", b"AL", "AE", b"AE"),
        (b"ER", b"NE", "AR", b"CR"),
        (b"ER", b"NE", "AA", None),
        (b"SU", b"NE", "AA", b"CA"),
        (b"SU", b"ER", "AE", b"AE"),
        (b"NE", b"NE", "AR", None),
    ],
)
def test_in_enhanced_mode_msh_15_and_16_decide(
    accept: bytes, application: bytes, code: str, answered: bytes | None
) -> None:
    message = b"MSH|^~\\&|A|B|C|D|||ADT^A01|42|P|2.5|||%b|%b\r" % (accept, application)
    header = Hl7Header.parse(message)
    assert code in ("AA", "AE", "AR")
    answer = header.acknowledgement(code, b"1", AT)  # type: ignore[arg-type]
    assert (Hl7Answer.parse(answer) if answer else None) == (
        Hl7Answer(answered, b"42") if answered else None
    )
    assert header.always_answered is (not (accept or application) or b"AL" in (accept, application))


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (b"MSH|^~\\&|A\rMSA|AA|42\r", Hl7Answer(b"AA", b"42")),
        (b"MSH|^~\\&|A\rMSA|AA|42", Hl7Answer(b"AA", b"42")),
        (b"MSH*^~\\&*A\rSFT*x\rMSA*CE*4|2*why*\rERR*", Hl7Answer(b"CE", b"4|2")),
        (b"MSH|^~\\&|A\rMSA|AA|\r", None),
        (b"MSH|^~\\&|A\rMSA|AA\rPID|42\r", None),
        (b"MSH|^~\\&|A\rMSA|OK|42\r", None),
        (b"MSH|^~\\&|A\rMSA*AA*42\r", None),
        (b"MSH|^~\\&|A\rNTE|MSA|AA|42\r", None),
        (ADMIT, None),
        (b"MSA|AA|42\r", None),
        (b"", None),
        (b"MSH", None),
    ],
)
def test_what_a_message_answers(message: bytes, answer: Hl7Answer | None) -> None:
    assert Hl7Answer.parse(message) == answer


def test_a_message_without_a_header_is_answered_with_the_usual_separators() -> None:
    fault = Hl7Fault("AR", 0, 207, "the message does not begin with MSH")
    assert Hl7Header.unreadable().acknowledgement("AR", b"1", AT, fault) == (
        b"MSH|^~\\&|||||20261130120000+0000||ACK|1|P|2.3\r"
        b"MSA|AR||the message does not begin with MSH\r"
    )


@given(st.binary(max_size=200), st.sampled_from([b"", b"MSH", b"MSH|^~\\&|", ADMIT[:60]]))
def test_any_bytes_have_a_header_or_a_reason(rest: bytes, start: bytes) -> None:
    """An answer, if there is one, is one message: it has no control character but its CRs."""
    try:
        header = Hl7Header.parse(start + rest)
    except ValueError:
        return
    header.fault()
    answer = header.acknowledgement("AR", b"1", AT, UNKNOWN_TYPE)
    if answer is not None:
        assert min(answer.replace(b"\r", b" ")) >= 0x20
        assert answer.count(b"\rMSA" + header.separator) == 1
        segments = [segment[:3] for segment in answer.split(b"\r")]
        assert segments in ([b"MSH", b"MSA", b""], [b"MSH", b"MSA", b"ERR", b""])


@given(st.binary(max_size=100))
def test_any_bytes_answer_something_or_nothing(rest: bytes) -> None:
    Hl7Answer.parse(b"MSH|^~\\&|A\rMSA" + rest)
    Hl7Answer.parse(rest)
