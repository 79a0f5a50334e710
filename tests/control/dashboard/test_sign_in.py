"""Tokens that are valid once, and the cookies that they become."""

from __future__ import annotations

from itertools import count

from vcproxy.control.dashboard.sign_in import MOST, SESSION_S, TOKEN_S, SignIn


class Clock:
    """A sign-in with a clock that is set, and secrets that are numbered."""

    def __init__(self) -> None:
        numbers = count(1)
        self.now = 100.0
        self.sign_in = SignIn(lambda: f"secret-{next(numbers)}", lambda: self.now)


def test_a_token_becomes_a_cookie_once() -> None:
    sign_in = Clock().sign_in
    token = sign_in.token()
    cookie = sign_in.exchange(token)
    assert cookie not in ("", token)
    assert sign_in.knows(cookie)
    assert sign_in.exchange(token) == ""


def test_what_was_never_given_out_is_not_known() -> None:
    sign_in = Clock().sign_in
    token = sign_in.token()
    assert sign_in.exchange("") == ""
    assert sign_in.exchange("secret-9") == ""
    assert not sign_in.knows("")
    assert not sign_in.knows(token)


def test_a_token_is_valid_for_some_minutes() -> None:
    clock = Clock()
    token = clock.sign_in.token()
    clock.now += TOKEN_S
    assert clock.sign_in.exchange(token) == ""


def test_a_cookie_that_is_used_stays_valid() -> None:
    clock = Clock()
    cookie = clock.sign_in.exchange(clock.sign_in.token())
    for _ in range(3):
        clock.now += SESSION_S - 1.0
        assert clock.sign_in.knows(cookie)
    clock.now += SESSION_S
    assert not clock.sign_in.knows(cookie)


def test_the_oldest_is_dropped_for_a_new_one() -> None:
    sign_in = Clock().sign_in
    tokens = [sign_in.token() for _ in range(MOST + 1)]
    assert sign_in.exchange(tokens[0]) == ""
    assert sign_in.exchange(tokens[1])
    cookies = [sign_in.exchange(sign_in.token()) for _ in range(MOST)]
    assert sign_in.knows(cookies[0])
    sign_in.exchange(sign_in.token())
    assert sign_in.knows(cookies[0]), "it was used, so another is the oldest"
    assert not sign_in.knows(cookies[1])
