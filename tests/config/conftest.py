"""A folder with a configuration, and all files that the configuration may refer to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load

PLUGINS = """\
from dataclasses import dataclass, field

from vcproxy.config.tables.tls import UpstreamTls
from vcproxy.config.values import Duration, Endpoint, FilePath, Filters, Size, Target, UpstreamName


class _Session:
    vcproxy_plugin = True


@dataclass
class _Options:
    limit: Size = 65536
    every: Duration = 1.5
    words: tuple[str, ...] = ()
    table: FilePath | None = None


class Orders(_Session):
    Options = _Options
    needs_upstream = True


class Greeter(_Session):
    needs_upstream = False


class Either(_Session):
    pass


@dataclass
class _Places:
    subscribers: tuple[Endpoint, ...] = ()
    targets: tuple[Target, ...] = ()
    tls: UpstreamTls = UpstreamTls()


class Hub(_Session):
    Options = _Places

    @classmethod
    def binds(cls, options):
        return {"subscribers": options.subscribers}

    @classmethod
    def connects(cls, options):
        return {"targets": options.targets}


class Lost(_Session):
    @classmethod
    def binds(cls, options):
        return options.nowhere


class Unfit(_Session):
    @classmethod
    def unfit_server(cls, options, place, server):
        return options.nowhere


class Web(_Session):
    alpn_refused = frozenset({"h2"})


class Packets(_Session):
    datagrams = True


class Mixed(Packets):
    mixes_datagrams = True


@dataclass
class _Ways:
    servers: tuple[str, ...] = ()
    filters: Filters = ()


class Router(_Session):
    Options = _Ways

    @classmethod
    def upstreams(cls, options):
        return {("servers", index): name or None for index, name in enumerate(options.servers)}


@dataclass
class _Ink:
    colour: str
    width: Size = 1
    supplier: UpstreamName | None = None


class Stamp:
    Options = _Ink
    vcproxy_filter = True


class Idle:
    vcproxy_filter = True

    @staticmethod
    def own_phases():
        return []


class Innocent:
    pass
"""

Complain = Callable[[str], list[str]]
Accept = Callable[[str], Configuration]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(PLUGINS)
    return tmp_path


@pytest.fixture
def complaints(folder: Path) -> Complain:
    """Return what `vcproxy -t` would print about a file, without the folder's name."""

    def complaints(text: str) -> list[str]:
        file = folder / "proxy.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(file)
        return str(caught.value).replace(f"{folder}/", "").splitlines()

    return complaints


@pytest.fixture
def accepted(folder: Path) -> Accept:
    """Load a file that has no mistakes."""

    def accepted(text: str) -> Configuration:
        file = folder / "proxy.toml"
        file.write_text(text)
        return load(file)

    return accepted


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()
