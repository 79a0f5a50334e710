"""Files of users: the hashes that htpasswd writes, and what is refused, with its line."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.credentials.password_hash import NO_PASSWORD, Attempt, verify
from vcproxy.http.credentials.users_file import MOST_PROBLEMS, Users, without_hashes

BCRYPT = "$2y$05$PKPlfvxoMksjKSkH7VBaZuLbVWmpE1ooAFdHm9kQCmX4xttuUsIlC"
SHA512 = (
    "$6$H1wvBrr6TOsK55ZI$QwFijFhgIGXwKUNZ5IffRcPyZmxceLc81W8MDmLcIhox50z17OPmgjiMvsZfJOB/"
    "DruNBFXWeSPonBbDYm4G20"
)
SHA256 = "$5$482jqCtvD1LSBzJw$qD2rCyiqBZvake1Go7/NUFUHjXZk.cHq16GlZsDBKZA"
APR1 = "$apr1$PB3HrerQ$ojg4qAL/jbggoAT81YPWI0"
ACCEPTED = {"bcrypt": BCRYPT, "sha512": SHA512, "sha256": SHA256, "apr1": APR1}


def read(*lines: str) -> Users:
    return Users.read("\n".join(lines).encode())


@pytest.mark.parametrize("stored", ACCEPTED.values(), ids=ACCEPTED)
def test_hashes_of_htpasswd(stored: str) -> None:
    users = read(f"u:{stored}")
    assert users.stored("u") == (stored, True)
    assert verify(Attempt(stored, b"pw"))
    for wrong in (b"", b"pw ", b"PW", b"\xff", b"p\0w", b"pw" * 5000):
        assert not verify(Attempt(stored, wrong)), wrong


def test_bytes_after_the_72nd_do_not_count_with_bcrypt() -> None:
    import bcrypt

    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify(Attempt(stored, b"x" * 100)), "as in Apache and nginx"
    assert not verify(Attempt(stored, b"x" * 71))


def test_comments_and_empty_lines() -> None:
    users = read("# users", "", f"a:{BCRYPT}\r", f"  b:{APR1}:a comment", "#c:plain")
    assert users.hashes == {"a": BCRYPT, "b": APR1}
    assert users.weak == ["b"]


def test_an_unknown_user_is_verified_like_another() -> None:
    assert read(f"a:{BCRYPT}").stored("b") == (BCRYPT, False)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("user", "is not of the form USER:HASH"),
        (f":{BCRYPT}", "is not of the form USER:HASH"),
        ("u:pw", "the password is not hashed: replace it with `htpasswd -B`"),
        ("u:", "the password is not hashed: replace it with `htpasswd -B`"),
        ("u:{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=", "the hash is one round of SHA-1 without salt"),
        ("u:VLNzw7OsqYrM.", "the hash is that of the old crypt(), which uses 8 characters only"),
        ("u:$y$j9T$abc$def", "the hash is of a kind that htpasswd does not write"),
        ("u:$2y$05$short", "the hash is damaged, or of an unknown kind"),
        (f"u:{BCRYPT.replace('05', '16')}", "the cost of the hash is 16: at most 15 is accepted"),
        (
            "u:$6$rounds=9999999$" + SHA512[3:],
            "the rounds of the hash is 9999999: at most 1000000 is accepted",
        ),
    ],
)
def test_a_line_that_is_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: ") as caught:
        read(f"first:{BCRYPT}", line)
    assert str(caught.value).startswith(f"line 2: {why}")


def test_several_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"^line 1: .*; line 2: .*; and 3 more$") as caught:
        read(*[f"u{number}:plain" for number in range(MOST_PROBLEMS + 3)])
    assert "u0" not in str(caught.value), "it might be a password"


def test_a_user_twice() -> None:
    with pytest.raises(ValueError, match="line 3: 'a' is in line 1 already"):
        read(f"a:{BCRYPT}", "", f"a:{APR1}")


def test_no_users() -> None:
    with pytest.raises(ValueError, match="has no users: every request would be refused"):
        read("# nothing")


def test_other_bytes() -> None:
    with pytest.raises(ValueError, match="line 2: is not UTF-8"):
        Users.read(b"a:b\n\xff:c\n")


def test_a_recording_has_the_users_and_no_hash() -> None:
    masked = Users.read(without_hashes(f"a:{BCRYPT}\nb:{APR1}\n".encode()))
    assert masked.hashes == {"a": NO_PASSWORD, "b": NO_PASSWORD}
    assert not verify(Attempt(NO_PASSWORD, b""))


def test_no_hash_is_shown() -> None:
    assert BCRYPT not in repr(read(f"a:{BCRYPT}"))


@given(st.binary())
def test_any_content_is_read_or_refused(content: bytes) -> None:
    with suppress(ValueError):
        assert Users.read(content).hashes


@pytest.mark.parametrize(
    ("module", "stored", "noun"),
    [
        ("bcrypt", BCRYPT, "bcrypt"),
        ("passlib.handlers.sha2_crypt", SHA512, "SHA-crypt"),
        ("passlib.handlers.md5_crypt", APR1, "MD5"),
    ],
)
def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, module: str, stored: str, noun: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"pip install '\.\[passwords\]'") as caught:
        read(f"u:{stored}")
    assert f"{noun} needs a library that is not installed" in str(caught.value)
