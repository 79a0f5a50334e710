"""Secret code: which messages a server takes."""

from __future__ import annotations

import pytest

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.secret_code import Secret, check_secret


@pytest.mark.parametrize(
    ("line", "code", "secret"),
    [
        ("STOP", "", Secret.RIGHT),
        ("STOP secret_code=a", "", Secret.UNEXPECTED),
        ("STOP", "a", Secret.MISSING),
        ("STOP secret_code=", "a", Secret.WRONG),
        ("STOP secret_code=b", "a", Secret.WRONG),
        ("STOP secret_code=ä", "ä", Secret.RIGHT),
        ("STOP secret_code=\udcff", "a", Secret.WRONG),
    ],
)
def test_a_code(line: str, code: str, secret: Secret) -> None:
    assert check_secret(BusMessage.parse(line), code) is secret


def test_which_messages_are_taken() -> None:
    assert [secret.value for secret in Secret if secret.accepted] == ["right", "unexpected"]
