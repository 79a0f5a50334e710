"""Warnings: what a configuration probably does not mean, with its place; the file is used."""

import tempfile
from pathlib import Path

import pytest

from vcproxy.app.cli import main
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import load

PLUGIN = """\
from dataclasses import dataclass

from vcproxy.config.values import FilterTable, Filters


@dataclass(frozen=True)
class Door:
    users: str = ""

    def warnings(self):
        if self.users == "all":
            yield ("users",), "lets all in"


class Own:
    vcproxy_plugin = True

    @dataclass(frozen=True)
    class Options:
        doors: tuple[Door, ...] = ()
        filters: Filters = ()

        def warnings(self):
            if len(self.doors) > 2:
                yield (), "has many doors"


class Stamp:
    vcproxy_filter = True

    @dataclass(frozen=True)
    class Options:
        door: Door = Door()


class Broken:
    vcproxy_plugin = True

    @dataclass(frozen=True)
    class Options:
        def warnings(self):
            raise LookupError("there are none")
"""

LISTENER = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Own"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(PLUGIN)
    return tmp_path / "proxy.toml"


def _warnings(file: Path, text: str) -> list[str]:
    file.write_text(text)
    return [str(each).removeprefix(f"{file}:") for each in load(file).warnings]


def test_a_warning_has_the_place_of_its_key(file: Path) -> None:
    text = f'{LISTENER}[[listener.options.doors]]\n[[listener.options.doors]]\nusers = "all"\n'
    assert _warnings(file, text) == ["7:1: listener.web.options.doors.1.users: lets all in"]


def test_options_warn_of_themselves(file: Path) -> None:
    text = f"{LISTENER}options.doors = [{{}}, {{}}, {{}}]\n"
    assert _warnings(file, text) == ["5:1: listener.web.options: has many doors"]


def test_filters_warn(file: Path) -> None:
    text = (
        f'{LISTENER}[[listener.options.filters]]\nplugin = "own.py:Stamp"\n'
        'options.door = { users = "all" }\n'
    )
    assert _warnings(file, text) == [
        "7:18: listener.web.options.filters.0.options.door.users: lets all in"
    ]


def test_a_plugin_whose_warnings_raise_is_used(file: Path) -> None:
    [text] = _warnings(file, LISTENER.replace("own.py:Own", "own.py:Broken"))
    assert text.startswith("1:")
    assert "LookupError at " in text
    assert text.endswith("there are none")


def test_an_error_leaves_the_warnings(file: Path) -> None:
    file.write_text(f'{LISTENER}options.doors = [{{ users = "all" }}]\n[prox]\n')
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert len(raised.value.problems) == 1
    assert [each.path for each in raised.value.warnings] == ["listener.web.options.doors.0.users"]


def test_t_prints_them_and_succeeds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f'{LISTENER}options.doors = [{{ users = "all" }}]\n')
    assert main(["-t", "-c", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{file}: the configuration is valid\n"
    assert err == (f"{file}:5:20: listener.web.options.doors.0.users: warning: lets all in\n")


def test_warnings_can_be_fatal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f'{LISTENER}options.doors = [{{ users = "all" }}]\n')
    assert main(["-t", "--warnings-fatal", "-c", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{file}:5:20: listener.web.options.doors.0.users: warning: lets all in\n"
    file.write_text(LISTENER)
    assert main(["-t", "--warnings-fatal", "-c", str(file)]) == 0


def test_a_file_with_secrets_that_all_can_read() -> None:
    # The folders of pytest cannot be entered by other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        users, file = folder / "users", folder / "proxy.toml"
        users.write_text(f"anna:$2b$05${'.' * 53}\n")
        file.write_text(
            LISTENER.replace("own.py:Own", "http_proxy")
            + 'options.basic_auth.users = "users"\n[[listener.options.routes]]\nanswer = {}\n'
        )
        users.chmod(0o640)
        assert load(file).warnings == ()
        users.chmod(0o644)
        [warning] = load(file).warnings
        assert str(warning) == (
            f"{file}:5:20: listener.web.options.basic_auth.users: every user of this system can "
            f"read {users}: chmod o= {users}"
        )
