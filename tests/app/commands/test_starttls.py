"""The dialogues before TLS, as transcripts: < from the server, > to it."""

from __future__ import annotations

import re

import pytest

from vcproxy.app.commands.starttls import BY_PORT, DIALOGUES, TlsRefused

SMTP = r"""
< 220-mail.example ESMTP\r\n220 ready\r\n
> EHLO own.example\r\n
< 250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n
> STARTTLS\r\n
< 220 go ahead\r\n
"""

IMAP = r"""
< * OK [CAPABILITY IMAP4rev2 STARTTLS] ready\r\n
> a1 STARTTLS\r\n
< * CAPABILITY IMAP4rev2\r\na1 OK begin\r\n
"""

POSTGRESQL = r"""
> \x00\x00\x00\x08\x04\xd2\x16\x2f
< S
"""


def follow(name: str, transcript: str) -> None:
    """Hold a dialogue as in a transcript, with each answer in single bytes."""
    lines = [
        (line[0], re.sub(rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), octets))
        for line in transcript.strip().splitlines()
        for octets in [line[2:].encode().replace(rb"\r", b"\r").replace(rb"\n", b"\n")]
    ]
    dialogue = DIALOGUES[name]("own.example")
    turn = next(dialogue)
    try:
        for direction, octets in lines:
            if direction == ">":
                assert turn.sends == octets
                continue
            for end in range(len(octets)):
                found = turn.answer.match(octets[:end])
                assert found is None, f"{octets[:end]!r} is not the whole answer"
            assert turn.answer.fullmatch(octets)
            turn = dialogue.send(octets)
    except StopIteration:
        assert octets == lines[-1][1]
    else:
        pytest.fail("the dialogue goes on")


@pytest.mark.parametrize(
    ("name", "transcript"), [("smtp", SMTP), ("imap", IMAP), ("postgres", POSTGRESQL)]
)
def test_a_server_that_changes_to_tls(name: str, transcript: str) -> None:
    follow(name, transcript)


@pytest.mark.parametrize(
    ("name", "transcript", "reason"),
    [
        ("smtp", r"< 554 go away\r\n", 'the server answered "554 go away", not "220"'),
        (
            "smtp",
            SMTP.replace("220 go ahead", "502 5.5.1 not supported"),
            'the server answered "502 5.5.1 not supported", not "220"',
        ),
        (
            "imap",
            r"< * PREAUTH ready\r\n",
            'the server answered "* PREAUTH ready", not "* OK"',
        ),
        (
            "imap",
            IMAP.replace("a1 OK", "a1 BAD"),
            'the server answered "a1 BAD begin", not "a1 OK"',
        ),
        ("postgres", POSTGRESQL.replace("S", "N"), 'the server answered "N", not "S"'),
    ],
)
def test_a_server_that_refuses(name: str, transcript: str, reason: str) -> None:
    with pytest.raises(TlsRefused) as refused:
        follow(name, transcript)
    assert str(refused.value) == reason


def test_each_port_has_a_dialogue() -> None:
    assert set(BY_PORT.values()) == set(DIALOGUES)
