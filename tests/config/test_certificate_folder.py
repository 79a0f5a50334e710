"""The pairs in a folder, by the names of its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.config.test_tls import LISTENER, certificate, texts
from vcproxy.config.certificate_files import certificate_files, files_of
from vcproxy.config.certificate_folder import folders_in, pairs_in
from vcproxy.config.loader import Configuration

__all__ = ["certificate"]  # a fixture, which writes a.pem and b.pem beside the folder

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def certs(folder: Path) -> Path:
    (folder / "certs").mkdir()
    return folder / "certs"


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def found(folder: Path) -> list[tuple[str, str]]:
    return [
        (str(pair.certificate.relative_to(folder)), str(pair.key.relative_to(folder)))
        for pair in pairs_in(folder)
    ]


def test_a_key_is_beside_its_certificate_or_in_the_same_file(certs: Path) -> None:
    fill(
        certs,
        {
            "b.crt": CERTIFICATE,
            "b.key": KEY,
            "a.pem": KEY + CERTIFICATE,
            "c.pem": CERTIFICATE,
            "a.example.pem": CERTIFICATE,
            "a.example.key": KEY,
        },
    )
    assert found(certs) == [
        ("a.example.pem", "a.example.key"),
        ("a.pem", "a.pem"),
        ("b.crt", "b.key"),
        ("c.pem", "c.key"),  # which is missing, and reported
    ]


def test_the_folders_of_certbot(certs: Path) -> None:
    fill(
        certs,
        {
            "archive/a/fullchain1.pem": CERTIFICATE,
            "archive/a/privkey1.pem": KEY,
            "live/README": "text",
            "live/a/cert.pem": CERTIFICATE,
            "live/b/fullchain.pem": CERTIFICATE,
        },
    )
    for name in ("fullchain", "privkey"):
        (certs / "live/a" / f"{name}.pem").symlink_to(f"../../archive/a/{name}1.pem")
    assert found(certs / "live") == [("a/fullchain.pem", "a/privkey.pem")]
    live = certs / "live"
    assert folders_in(live) == (live, live / "a", live / "b")


def test_what_is_no_certificate_is_left_out(certs: Path) -> None:
    fill(
        certs,
        {
            ".hidden.pem": CERTIFICATE,
            "..data/a.pem": CERTIFICATE,
            "a.pem.old": CERTIFICATE,
            "dh.pem": "-----BEGIN DH PARAMETERS-----\n",
            "key.pem": KEY,
        },
    )
    os.mkfifo(certs / "fifo.pem")
    assert found(certs) == []


def test_a_folder_that_is_not_there(certs: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pairs_in(certs / "none")
    assert folders_in(certs / "none") == (certs / "none",)


FOLDER = f'{LISTENER}certificate_folder = "certs"\n'


def test_the_files_of_a_folder_are_used_and_watched(
    folder: Path, accepted: Callable[[str], Configuration], authority: trustme.CA
) -> None:
    fill(folder, {"certs/sub/README": "text"})
    issued = authority.issue_cert("c.example")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "certs/c.pem")
    configuration = accepted(FOLDER)
    settings, certs = configuration.settings, folder / "certs"
    tls = settings.listener[0].tls
    assert tls is not None
    assert files_of(tls) == (folder / "a.pem", folder / "a.key", certs / "c.pem")
    watched = certificate_files(settings, ())
    assert watched == (*files_of(tls), certs, certs / "sub")
    (certs / "c.pem").rename(certs / "d.pem")
    assert files_of(tls)[-1] == certs / "d.pem"


def test_what_cannot_be_used_in_a_folder(
    folder: Path, complaints: Callable[[str], list[str]]
) -> None:
    path = "listener.web.tls.certificate_folder: "
    (text,) = texts(complaints(FOLDER))
    assert text == f"{path}cannot read certs: No such file or directory"
    fill(folder, {"certs/c.pem": (folder / "a.pem").read_text(), "certs/d.pem": CERTIFICATE})
    assert texts(complaints(FOLDER)) == [
        f"{path}certs/d.pem contains no certificate in PEM",
        f"{path}cannot read certs/c.key: No such file or directory",
        f"{path}cannot read certs/d.key: No such file or directory",
    ]
