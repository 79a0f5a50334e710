"""TlsContext: whether its files have changed, and a new context from them."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

import pytest
import trustme

from vcproxy.config.tables.tls import ListenerTls, UpstreamTls
from vcproxy.drivers.sim import Simulation
from vcproxy.listeners.tls_contexts import Remade, TlsContext, make_context, remake
from vcproxy.testing.configured import SimHost


class World:
    """A host, and the files of a listener."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with Simulation(0) as sim:
            self.host = SimHost(sim.driver())
        self.pair("old")
        self.pair("new")
        self.use("old", "certificate", "key")
        self.context = make_context(
            "web", self.table, lambda: self.host.server_tls(self.table), ("web",)
        )

    @property
    def table(self) -> ListenerTls:
        return ListenerTls.model_construct(
            certificate=self.folder / "certificate", key=self.folder / "key"
        )

    def pair(self, name: str) -> None:
        issued = trustme.CA().issue_cert("a.example")
        (self.folder / name).mkdir()
        issued.cert_chain_pems[0].write_to_path(self.folder / name / "certificate")
        issued.private_key_pem.write_to_path(self.folder / name / "key")

    def use(self, name: str, *files: str) -> None:
        for file in files:
            shutil.copy(self.folder / name / file, self.folder / file)

    def servers(self, table: UpstreamTls) -> TlsContext:
        return make_context("upstream.db", table, lambda: self.host.client_tls(table))

    def remake(self) -> list[Remade]:
        return remake([self.context])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_unchanged_files_are_left_alone(world: World) -> None:
    assert world.remake() == []
    world.use("old", "certificate", "key")
    (world.folder / "key").touch()
    assert world.remake() == []


def test_a_new_pair_makes_a_new_context(world: World) -> None:
    world.use("new", "certificate", "key")
    (remade,) = world.remake()
    assert isinstance(remade.made, ssl.SSLContext)
    assert remade.made is not world.context.made
    assert remade.error == ""
    world.context.digests = remade.digests  # it is used from now on
    assert world.remake() == []


@pytest.mark.parametrize("file", ["certificate", "key"])
def test_half_a_pair_is_an_error_until_the_other_half_is_there(world: World, file: str) -> None:
    world.use("new", file)
    (remade,) = world.remake()
    assert remade.error.endswith(f"/key: does not belong to certificate {world.folder}/certificate")
    assert remade.made is None
    world.use("new", "certificate", "key")
    (remade,) = world.remake()
    assert remade.error == ""


@pytest.mark.parametrize("file", ["certificate", "key"])
def test_a_file_that_is_cut_off_or_gone_is_an_error(world: World, file: str) -> None:
    path = world.folder / file
    path.write_bytes(path.read_bytes()[:100])
    (remade,) = world.remake()
    assert str(world.folder) in remade.error
    path.unlink()
    (remade,) = world.remake()
    assert remade.error == f"{file} {path}: No such file or directory"
    world.use("old", file)
    assert world.remake() == []


def test_a_key_that_may_not_be_read_counts_as_unchanged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a proxy that has changed to a user who may not read it."""
    opened = os.open

    def forbidden(path: Path, flags: int) -> int:
        if path.name == "key":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags)

    monkeypatch.setattr(os, "open", forbidden)
    assert world.remake() == []
    world.use("new", "certificate")
    (remade,) = world.remake()
    assert remade.error == f"key {world.folder}/key: Permission denied"


def test_authorities_for_servers(world: World, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    context = world.servers(UpstreamTls.model_construct(ca=ca))
    assert (list(context.digests), context.listeners) == ([ca], ())
    trustme.CA().cert_pem.write_to_path(ca)
    (remade,) = remake([context])
    assert remade.error == ""
    assert remake([world.servers(UpstreamTls())]) == [], (
        "the authorities of the system are not watched"
    )


def test_each_context_is_on_its_own(world: World, tmp_path: Path) -> None:
    """A broken pair of one listener does not stop those of others."""
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    other = world.servers(UpstreamTls.model_construct(ca=ca))
    world.use("new", "key")
    trustme.CA().cert_pem.write_to_path(ca)
    bad, good = remake([world.context, other])
    assert bad.error
    assert not good.error


def test_the_outcome_is_logged_and_an_error_once(world: World) -> None:
    logged: list[str] = []
    used: list[object] = []

    def log(level: str, text: str, error: Exception | None = None) -> None:
        logged.append(f"{level} {text}")

    def use() -> list[bool]:
        return [each.use(lambda _, made: used.append(made), log) for each in world.remake()]

    world.use("new", "key")
    assert (use(), use()) == ([False], [False])
    assert used == []
    world.use("new", "certificate")
    assert (use(), use()) == ([True], [])
    assert len(used) == 1
    error = f"key {world.folder}/key: does not belong to certificate {world.folder}/certificate"
    assert logged == [
        f"error web: the changed TLS files are not used: {error}",
        "info web: new connections use the changed TLS files",
    ]


def test_a_folder_has_another_certificate(world: World) -> None:
    folder = world.folder / "certs"
    folder.mkdir()
    table = world.table.model_copy(update={"certificate_folder": folder})
    context = make_context("web", table, lambda: world.host.server_tls(table), ("web",))
    assert remake([context]) == []
    shutil.copy(world.folder / "new/certificate", folder / "b.pem")
    (remade,) = remake([context])
    assert remade.error == f"key {folder}/b.key: No such file or directory"
    shutil.copy(world.folder / "new/key", folder / "b.key")
    (remade,) = remake([context])
    assert remade.error == ""
    assert remade.use(lambda _, made: None, lambda *line: None)
    assert remake([context]) == []
    assert context.presented == (table.certificate, folder / "b.pem")
    shutil.rmtree(folder)
    (remade,) = remake([context])
    assert remade.error == f"certificate_folder {folder}: No such file or directory"


def test_the_certificate_for_servers(world: World) -> None:
    table = UpstreamTls.model_construct(
        certificate=world.folder / "certificate", key=world.folder / "key"
    )
    context = world.servers(table)
    assert context.presented == (world.folder / "certificate",)
    world.use("new", "key")
    (remade,) = remake([context])
    assert "does not belong to" in remade.error
    world.use("new", "certificate")
    (remade,) = remake([context])
    assert remade.error == ""
