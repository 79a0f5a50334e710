"""Include: several files are one configuration, and each error has the place in its own file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from vcproxy.config import document
from vcproxy.config.effective import effective
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.secret_texts import with_secrets

PLUGIN = """\
from dataclasses import dataclass

from vcproxy.api import Secret
from vcproxy.config.values import FilePath


class Own:
    vcproxy_plugin = True

    @dataclass(frozen=True)
    class Options:
        table: FilePath | None = None
        secret: Secret | None = None
        number: int = 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "conf.d").mkdir()
    return tmp_path


def _write(folder: Path, **texts: str) -> Path:
    """Write files: `main` and those in conf.d; return the main one."""
    for name, text in texts.items():
        place = folder / "proxy.toml" if name == "main" else folder / "conf.d" / f"{name}.toml"
        place.write_text(text)
    return folder / "proxy.toml"


def _listener(name: str, plugin: str = "own.py:Own") -> str:
    return f'[[listener]]\nname = "{name}"\nbind = "tcp://127.0.0.1:0"\nplugin = "{plugin}"\n'


def _upstream(name: str, port: int = 1) -> str:
    return f'[upstream.{name}]\nservers = ["tcp://127.0.0.1:{port}"]\n'


ALL = 'include = ["conf.d/*.toml"]\n'


def _problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(file)
    return str(raised.value).replace(f"{file.parent}/", "").splitlines()


def _names(configuration: Configuration) -> list[str]:
    return [each.name for each in configuration.settings.listener]


def test_listeners_are_appended_and_tables_put_together(folder: Path) -> None:
    file = _write(
        folder,
        main=f"{ALL}[proxy]\nworkers = 2\n{_listener('m')}{_upstream('m')}",
        b=f'[proxy]\nmemory = "64MiB"\n{_listener("b", "../own.py:Own")}{_upstream("b")}',
        a=f"{_listener('a1', '../own.py:Own')}{_listener('a2', '../own.py:Own')}"
        '[access_log]\nformat = "line"\n',
    )
    found = load(file)
    assert _names(found) == ["m", "a1", "a2", "b"]
    assert sorted(found.settings.upstream) == ["b", "m"]
    assert (found.settings.proxy.workers, found.settings.proxy.memory) == (2, 64 << 20)
    assert found.settings.access_log is not None
    assert found.settings.access_log.format == "line"


def test_what_is_printed_is_one_file(folder: Path) -> None:
    file = _write(folder, main=f"{ALL}{_listener('m')}", a=_listener("a", "../own.py:Own"))
    found = load(file)
    again = folder / "again.toml"
    again.write_text(effective(found))
    assert load(again).settings == found.settings


def test_a_path_is_relative_to_the_file_it_stands_in(folder: Path) -> None:
    file = _write(
        folder,
        main=f'{ALL}{_listener("m")}options.table = "t"\n',
        a=f'{_listener("a", "../own.py:Own")}options.table = "t"\n',
    )
    tables = [each.options["table"] for each in load(file).settings.listener]
    assert tables == [str(folder / "t"), str(folder / "conf.d" / "t")]


def test_included_files_include(folder: Path) -> None:
    file = _write(
        folder,
        main=f'include = "conf.d/a.toml"\n{_listener("m")}',
        a=f'include = ["b.toml", "none*"]\n{_listener("a", "../own.py:Own")}',
        b=_listener("b", "../own.py:Own"),
    )
    assert _names(load(file)) == ["m", "a", "b"]


def test_a_variable_names_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "a")
    file = _write(
        folder,
        main=f'include = ["conf.d/${{SITE}}.toml"]\n{_listener("m")}',
        a=f'{_listener("a", "../own.py:Own")}options.number = "1${{NUMBER}}"\n',
    )
    monkeypatch.setenv("NUMBER", "2")
    assert load(file).settings.listener[1].options["number"] == 12
    monkeypatch.delenv("NUMBER")
    monkeypatch.delenv("SITE")
    assert [each.partition(" is not set")[0] for each in _problems(file)] == [
        "proxy.toml:1:12: include.0: the environment variable SITE"
    ]


# -- problems, each with its place -----------------------------------------------------------


def test_errors_have_the_places_in_their_files(folder: Path) -> None:
    file = _write(
        folder,
        main=f"{ALL}[proxy]\nworker = 1\n{_listener('m')}",
        a=f'\n\n{_listener("a", "../own.py:Own")}options.number = "x"\n',
        b=f"{_listener('b1', '../own.py:Own')}{_listener('b2', 'nosuch')}"
        f'upstream = "u"\n[upstream.v]\nserver = 1\n[metrics]\nbin = 1\n',
    )
    assert [each.split(": ")[:2] for each in _problems(file)] == [
        ["conf.d/a.toml:7:9", "listener.a.options.number"],
        ["conf.d/b.toml:8:1", "listener.b2.plugin"],
        ["conf.d/b.toml:9:1", "listener.b2.upstream"],
        ["conf.d/b.toml:11:1", "upstream.v.server"],
        ["conf.d/b.toml:13:1", "metrics.bin"],
        ["proxy.toml:3:1", "proxy.worker"],
    ]


def test_a_key_in_two_files_names_both(folder: Path) -> None:
    file = _write(
        folder,
        main=f"{ALL}[proxy]\nworkers = 1\n{_listener('m')}",
        a=f"[proxy]\nworkers = 2\n{_upstream('u')}",
        b=f"# b\n{_upstream('u', 2)}",
    )
    assert _problems(file) == [
        "conf.d/a.toml:3:11: upstream.u: stands in conf.d/b.toml:2:11 too: remove one of the two",
        "proxy.toml:3:1: proxy.workers: stands in conf.d/a.toml:2:1 too: remove one of the two",
    ]


def test_one_name_of_two_listeners(folder: Path) -> None:
    file = _write(folder, main=f"{ALL}{_listener('m')}", a=_listener("m", "../own.py:Own"))
    assert _problems(file) == [
        "conf.d/a.toml:2:1: listener.m.name: another listener has this name: choose a different one"
    ]


def test_circles(folder: Path) -> None:
    file = _write(
        folder,
        main=f'include = ["conf.d/a.toml"]\n{_listener("m")}',
        a='include = "b.toml"\n',
        b='\ninclude = ["../conf.d/../proxy.toml"]\n',
    )
    assert _problems(file) == [
        "conf.d/b.toml:2:12: include.0: the files include one another: proxy.toml -> "
        "conf.d/a.toml -> conf.d/b.toml -> conf.d/../conf.d/../proxy.toml"
    ]
    file.write_text(f'include = ["*.toml"]\n{_listener("m")}')
    assert _problems(file) == [
        "proxy.toml:1:12: include.0: the files include one another: proxy.toml -> proxy.toml"
    ]


def test_a_file_that_is_included_twice(folder: Path) -> None:
    file = _write(
        folder,
        main=f'include = ["conf.d/a.toml", "conf.d/*.toml"]\n{_listener("m")}',
        a=_upstream("u"),
    )
    assert _problems(file) == [
        "proxy.toml:1:29: include.1: conf.d/a.toml is included already, by proxy.toml:1:12: "
        "remove one of both"
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.toml", "cannot read none.toml: No such file or directory"),
        ("conf.d", "conf.d is a directory: write conf.d/*.toml for the files in it"),
        ("*.d/a.toml", '"*.d/a.toml": only the last part of a path may have *, ? and []: name '),
        ("", "must be the path of a file in quotes"),
    ],
)
def test_names_of_no_file(folder: Path, name: str, problem: str) -> None:
    file = _write(folder, main=f'include = ["{name}"]\n{_listener("m")}')
    [found] = _problems(file)
    assert found.startswith(f"proxy.toml:1:12: include.0: {problem}")


def test_all_files_that_are_not_toml(folder: Path) -> None:
    file = _write(folder, main=f"{ALL}{_listener('m')}", a="x =\n", b="[proxy]\ny\n")
    found = _problems(file)
    assert [each.split(": ")[:2] for each in found] == [
        ["conf.d/a.toml:1:4", "this is not TOML"],
        ["conf.d/b.toml:2:2", "this is not TOML"],
    ]


def test_a_wrong_type(folder: Path) -> None:
    file = _write(folder, main=f"include = 5\n{_listener('m')}")
    [found] = _problems(file)
    assert found.startswith("proxy.toml:1:1: include")
    file = _write(folder, main=f"[proxy]\ninclude = 'a'\n{_listener('m')}")
    [found] = _problems(file)
    assert "write it above the first table" in found


# -- reload, workers, recordings -------------------------------------------------------------


def test_a_new_file_makes_the_configuration_outdated(folder: Path) -> None:
    file = _write(folder, main=f"{ALL}{_listener('m')}", a=_upstream("u"))
    found = load(file)
    assert {file, folder / "conf.d" / "a.toml", folder / "conf.d"} <= set(found.watched)
    assert not found.outdated()
    (folder / "conf.d" / ".b.toml.swp").touch()
    assert not found.outdated()
    _write(folder, b=_upstream("v"))
    assert found.outdated()
    (folder / "conf.d" / "b.toml").unlink()
    assert not found.outdated()
    _write(folder, a=_upstream("v"))
    assert found.outdated()


def test_a_broken_file_is_watched(folder: Path) -> None:
    file = _write(folder, main=f"{ALL}{_listener('m')}", a="x =\n")
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert {folder / "conf.d", folder / "conf.d" / "a.toml"} <= set(raised.value.files)


def test_a_fifo_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "WRITER_WITHIN", 0.0)
    os.mkfifo(folder / "conf.d" / "a.toml")
    file = _write(folder, main=f"{ALL}{_listener('m')}")
    with pytest.raises(ConfigError, match=r"a\.toml: it is a FIFO, and nothing is written to it$"):
        load(file)


def test_a_file_that_became_a_fifo_is_a_change(folder: Path) -> None:
    found = load(_write(folder, main=f"{ALL}{_listener('m')}", a=_upstream("u")))
    (folder / "conf.d" / "a.toml").unlink()
    os.mkfifo(folder / "conf.d" / "a.toml")
    assert found.outdated()


def test_a_recorded_text_contains_all_files(folder: Path) -> None:
    (folder / "conf.d" / "pw").write_text("s3cr3t")
    file = _write(
        folder,
        main=f'{ALL}{_listener("m")}options.table = "t"\n',
        a=f'{_listener("a", "../own.py:Own")}options = {{ table = "t", secret = "s3cr3t-2" }}\n',
        b=f'{_listener("b", "../own.py:Own")}options.secret = {{ file = "pw" }}\n',
    )
    found = load(file)
    text, masked = with_secrets(found, str, of_files=True), with_secrets(found, lambda _: "xxx")
    assert "s3cr3t" not in masked
    for each in (folder / "conf.d").iterdir():
        each.unlink()
    sources = dict(found.sources)
    assert load(file, Recorded(text, sources)).settings == found.settings
    again = load(file, Recorded(masked, sources))
    assert _names(again) == ["m", "a", "b"]
    assert again.settings.listener[1].options["table"] == str(folder / "conf.d" / "t")
    assert tomllib.loads(masked)["include"][0]["file"] == str(folder / "conf.d" / "a.toml")
