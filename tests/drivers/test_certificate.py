"""The parts of a certificate that are used: its names."""

from __future__ import annotations

import pytest

from vcproxy.drivers.certificate import is_for

NAMES = (
    ("DNS", "a.example"),
    ("DNS", "*.Wild.example"),
    ("IP Address", "10.0.0.7"),
    ("IP Address", "2001:DB8:0:0:0:0:0:7"),
    ("IP Address", "<invalid>"),
    ("email", "mail.example"),
)


@pytest.mark.parametrize(
    ("name", "contained"),
    [
        ("a.example", True),
        ("A.Example.", True),
        ("b.a.example", False),
        ("example", False),
        ("*.a.example", False),
        ("b.wild.example", True),
        ("c.b.wild.example", False),
        ("wild.example", False),
        (".wild.example", False),
        ("mail.example", False),
        ("named.example", False),  # the common name
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("2001:db8::7", True),
        ("", False),
    ],
)
def test_whether_a_certificate_contains_a_name(name: str, contained: bool) -> None:
    certificate = {"subject": ((("commonName", "named.example"),),), "subjectAltName": NAMES}
    assert is_for(certificate, name) == contained


def test_a_certificate_without_names() -> None:
    assert not is_for({"subject": ((("commonName", "a.example"),),)}, "a.example")
