"""Secret code: which messages a server takes."""

from __future__ import annotations

import pytest

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.secret_code import CodeCheck, check_secret


@pytest.mark.parametrize(
    ("line", "code", "secret"),
    [
        ("STOP", "", CodeCheck.RIGHT),
        ("STOP secret_code=a", "", CodeCheck.UNEXPECTED),
        ("STOP", "a", CodeCheck.MISSING),
        ("STOP secret_code=", "a", CodeCheck.WRONG),
        ("STOP secret_code=b", "a", CodeCheck.WRONG),
        ("STOP secret_code=ä", "ä", CodeCheck.RIGHT),
        ("STOP secret_code=\udcff", "a", CodeCheck.WRONG),
    ],
)
def test_a_code(line: str, code: str, secret: CodeCheck) -> None:
    assert check_secret(BusMessage.parse(line), code) is secret


def test_which_messages_are_taken() -> None:
    assert [secret.value for secret in CodeCheck if secret.accepted] == ["right", "unexpected"]
