"""Files that options name: read with the configuration, watched, recorded without their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from vcproxy.config.errors import OptionsError
from vcproxy.config.file_content import FileContent, content_of, read_file
from vcproxy.config.loader import load
from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import CONTENT, PluginLoader
from vcproxy.input_files import MOST
from vcproxy.replay.record.hidden_secrets import sources_without_secrets


def _number(content: bytes) -> int:
    return int(content)


def _hidden(content: bytes) -> bytes:
    return b"9" * len(str(_number(content)))


@dataclass(frozen=True)
class Numbered:
    """Options with a file that has a secret, and one that has none."""

    number: Annotated[FileContent[int], *content_of(_number, recorded=_hidden)] | None = None
    page: Annotated[FileContent[bytes], *content_of(bytes)] | None = None


class Plugin:
    """A plugin with these options."""

    Options = Numbered


def read(table: dict[str, object], loader: PluginLoader, folder: Path) -> Numbered:
    options, shown = read_options(Plugin, table, folder, loader.read)
    assert isinstance(options, Numbered)
    assert all(isinstance(each, str) for each in shown.values()), "-T shows the paths"
    return options


def test_the_content_is_read_and_watched(tmp_path: Path) -> None:
    (tmp_path / "n").write_bytes(b"123\n")
    (tmp_path / "page.html").write_bytes(b"<p>")
    loader = PluginLoader()
    options = read({"number": "n", "page": "page.html"}, loader, tmp_path)
    assert options.number == FileContent(tmp_path / "n", 123, private=True)
    assert options.page == FileContent(tmp_path / "page.html", b"<p>")
    assert loader.files == {tmp_path / "n": b"123\n", tmp_path / "page.html": b"<p>"}
    assert "123" not in repr(options), "secrets are in no traceback"


def test_a_recording_has_no_secret_and_a_worker_has_it(tmp_path: Path) -> None:
    (tmp_path / "n").write_bytes(b"123\n")
    loader = PluginLoader()
    read({"number": "n"}, loader, tmp_path)
    place = f"{CONTENT}{tmp_path / 'n'}"
    assert loader.sources == {place: b"123\n"}
    assert loader.masked == {place: b"999"}
    (tmp_path / "n").unlink()
    again = read({"number": "n"}, PluginLoader(loader.sources), tmp_path)
    assert again.number is not None
    assert again.number.value == 123
    replayed = read({"number": "n"}, PluginLoader(loader.masked), tmp_path)
    assert replayed.number is not None
    assert replayed.number.value == 999


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"x", "n: invalid literal for int() with base 10: b'x'"),
        (None, "n: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "n").write_bytes(content)
    loader = PluginLoader()
    with pytest.raises(OptionsError) as caught:
        read({"number": "n"}, loader, tmp_path)
    [problem] = caught.value.problems
    assert problem.path == ("number",)
    assert problem.message.endswith(why)
    assert list(loader.files) == [tmp_path / "n"], "it is watched: it may be corrected"


def test_a_path_is_a_text(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="must be the path of a file in quotes"):
        read({"number": 3}, PluginLoader(), tmp_path)


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(ValueError, match="it is larger than 16MiB"):
        read_file(Path("/dev/zero"))
    assert MOST == 16 << 20


def test_a_recording_of_a_configuration_has_no_hash(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("anna:$2y$05$" + "a" * 53 + "\n")
    file = tmp_path / "proxy.toml"
    file.write_text(
        """
        [[listener]]
        name = "site"
        bind = "tcp://127.0.0.1:0"
        plugin = "http_proxy"
        upstream = "site"
        options.basic_auth.users = "users"

        [upstream.site]
        servers = ["tcp://127.0.0.1:9"]
        """
    )
    configuration = load(file)
    [place] = [each for each in configuration.sources if each.startswith(CONTENT)]
    assert b"aaaa" in configuration.sources[place], "for workers"
    assert b"aaaa" not in sources_without_secrets(configuration)[place]
    assert tmp_path / "users" in configuration.files
