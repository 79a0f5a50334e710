"""bind_failure: the reason, and the way out."""

from __future__ import annotations

import errno
import os

import pytest

from vcproxy.engine.address import Address
from vcproxy.listeners.bind_failure import bind_failure


@pytest.mark.parametrize(
    ("address", "code", "text"),
    [
        (
            "tcp://127.0.0.1:8080",
            errno.EADDRINUSE,
            "address already in use; ss -tulnp shows the program that has it",
        ),
        ("unix:app.sock", errno.EADDRINUSE, "address already in use"),
        (
            "udp://203.0.113.1:53",
            errno.EADDRNOTAVAIL,
            "cannot assign requested address; it is no address of this host: ip address shows "
            "those",
        ),
        (
            "tcp://0.0.0.0:80",
            errno.EACCES,
            "permission denied; ports below 1024 need a privilege: see docs/how-to/privileges.md",
        ),
        ("tcp://0.0.0.0:8080", errno.EACCES, "permission denied"),
    ],
)
def test_the_way_out_is_named(address: str, code: int, text: str) -> None:
    error = OSError(code, os.strerror(code))
    assert bind_failure(Address.parse(address), error) == f"cannot listen at {address}: {text}"


def test_an_error_without_a_number_has_its_text() -> None:
    where = Address.parse("tcp://nowhere.invalid:80")
    assert bind_failure(where, OSError("No such host")) == f"cannot listen at {where}: no such host"
