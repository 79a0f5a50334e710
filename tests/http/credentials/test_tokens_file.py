"""Files of tokens: plain or hashed, each with a name."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.credentials.tokens_file import Tokens, only_hashes

TOKEN = "s3cret-token-of-the-ci"
OTHER = "another-token-of-16"
HASHED = sha256(OTHER.encode()).hexdigest()


def read(*lines: str) -> Tokens:
    return Tokens.read("\n".join(lines).encode())


def test_plain_and_hashed_tokens() -> None:
    tokens = read("# of machines", f"ci:{TOKEN}", f"deploy: sha256:{HASHED.upper()}")
    assert tokens.name(TOKEN) == "ci"
    assert tokens.name(OTHER) == "deploy"
    for wrong in ("", TOKEN[:-1], TOKEN.upper(), HASHED, f"sha256:{HASHED}"):
        assert tokens.name(wrong) is None


def test_a_name_may_have_several_tokens() -> None:
    tokens = read(f"ci:{TOKEN}", f"ci:{OTHER}")
    assert tokens.name(TOKEN) == tokens.name(OTHER) == "ci"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("token", "is not of the form NAME:TOKEN"),
        (f":{TOKEN}", "is not of the form NAME:TOKEN"),
        ("ci:", "is not of the form NAME:TOKEN"),
        ("ci:short", "the token has less than 16 characters and could be guessed"),
        ("ci:sha256:12", "sha256: must be followed by 64 hexadecimal digits"),
        (f"ci:{TOKEN} x", "a token may have letters, digits and"),
        (f"ci:sha256:{HASHED}", "the same token is in line 1 already"),
    ],
)
def test_a_line_that_is_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: ") as caught:
        read(f"deploy:{OTHER}", line)
    assert str(caught.value).startswith(f"line 2: {why}")
    assert TOKEN not in str(caught.value)


def test_no_tokens() -> None:
    with pytest.raises(ValueError, match="has no tokens, so no request would be accepted"):
        read("")


def test_a_recording_and_a_traceback_have_no_token() -> None:
    content = f"ci:{TOKEN}\n".encode()
    masked = only_hashes(content)
    assert TOKEN.encode() not in masked
    assert Tokens.read(masked) == Tokens.read(content)
    assert TOKEN not in repr(Tokens.read(content))


@given(st.binary())
def test_any_content_is_read_or_refused(content: bytes) -> None:
    with suppress(ValueError):
        assert Tokens.read(content).names
