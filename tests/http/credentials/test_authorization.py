"""Credentials of requests: those of Basic and Bearer, and what is malformed."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.credentials.authorization import (
    Basic,
    MalformedCredentials,
    basic,
    credentials,
)
from vcproxy.http.message.fields import Fields


def found(*values: str) -> tuple[str, str] | None:
    return credentials(Fields.of([("Authorization", each) for each in values]), "Authorization")


def test_the_scheme_is_compared_in_lower_case() -> None:
    assert found("BASIC dTpw") == ("basic", "dTpw")
    assert found("bearer  a.b-c_~+/==") == ("bearer", "a.b-c_~+/==")
    assert found('Digest username="u"') == ("digest", "")
    assert found() is None


@pytest.mark.parametrize("value", ["Basic", "Basic a b", "Bearer a,b", "Bearer =", "Basic é"])
def test_what_is_not_of_the_form_of_its_scheme(value: str) -> None:
    with pytest.raises(MalformedCredentials, match="Authorization is not of the form of b"):
        found(value)


def test_two_fields_are_refused() -> None:
    with pytest.raises(MalformedCredentials, match="there are several Authorization fields"):
        found("Basic dTpw", "Basic dTpw")


@given(st.text(min_size=1).filter(lambda name: ":" not in name and name.isprintable()), st.binary())
def test_user_and_password_of_any_bytes(user: str, password: bytes) -> None:
    encoded = b64encode(user.encode() + b":" + password).decode()
    assert basic(encoded) == Basic(user, password)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"user", "not of the form USER:PASSWORD"),
        (b":password", "not of the form USER:PASSWORD"),
        (b"a\nb:c", "control characters"),
        (b"a\x00b:c", "control characters"),
        (b"\xff:c", "not base64 of UTF-8"),
    ],
)
def test_what_is_no_user_with_a_password(sent: bytes, why: str) -> None:
    with pytest.raises(MalformedCredentials, match=why):
        basic(b64encode(sent).decode())


@pytest.mark.parametrize("sent", ["dTp", "d-_w", ""])
def test_what_is_not_base64(sent: str) -> None:
    with pytest.raises(MalformedCredentials):
        basic(sent)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")))
def test_any_value_is_read_or_malformed(value: str) -> None:
    sent = value.strip(" \t")
    if any("\x7f" <= each < "\xa0" for each in sent):
        return
    with suppress(MalformedCredentials):
        found_ = found(sent)
        if found_ is not None and found_[0] == "basic":
            assert basic(found_[1]).user
