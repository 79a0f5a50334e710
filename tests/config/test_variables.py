"""Variables: `${NAME}` and `${file:PATH}` in texts; all that have no value are told at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.config.effective import effective
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.secret_texts import hidden_texts, with_secrets
from vcproxy.config.variables import FromFiles, Variables

PLUGIN = """\
from dataclasses import dataclass

from vcproxy.api import Secret
from vcproxy.config.values import FilterTable, Filters


@dataclass(frozen=True)
class Ink:
    width: int = 1
    colour: str = ""


class Stamp:
    vcproxy_filter = True
    Options = Ink


class Own:
    vcproxy_plugin = True

    @dataclass(frozen=True)
    class Options:
        text: str = ""
        number: int = 0
        share: float = 0.0
        truth: bool = False
        either: int | str = 0
        words: tuple[str, ...] = ()
        secret: Secret | None = None
        inks: tuple[Ink, ...] = ()
        filters: Filters = ()
"""

LISTENER = """\
[[listener]]
name = "web"
bind = "tcp://127.0.0.1:0"
plugin = "own.py:Own"
[listener.options]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own.py").write_text(PLUGIN)
    monkeypatch.setenv("NAME", "Bob")
    monkeypatch.setenv("SEVEN", "7")
    monkeypatch.setenv("HALF", "0.5")
    monkeypatch.setenv("YES", "true")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.delenv("OTHER", raising=False)
    _secret(tmp_path / "pw", "s3cr3t-pw")
    return tmp_path / "proxy.toml"


def _secret(file: Path, text: str) -> None:
    file.write_text(f"{text}\n")
    file.chmod(0o600)


def _options(file: Path, text: str) -> dict[str, object]:
    file.write_text(LISTENER + text)
    return load(file).settings.listener[0].options


def _problems(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    return [str(each).removeprefix(f"{file}:") for each in raised.value.problems]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${NAME}", "Bob"),
        ("a ${NAME}, b ${NAME}", "a Bob, b Bob"),
        ("${EMPTY}", ""),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME {NAME} $", "$NAME {NAME} $"),
        ("${file:pw}", "s3cr3t-pw"),
        ("${file:${FOLDER}/pw}", "s3cr3t-pw"),
        ("x${file:pw}y", "xs3cr3t-pwy"),
        ("${SEVEN}", "7"),
    ],
)
def test_a_text(file: Path, written: str, text: str) -> None:
    assert _options(file, f'text = "{written}"\n')["text"] == text


def test_texts_in_lists_and_tables(file: Path) -> None:
    options = _options(file, 'words = ["${NAME}", "x"]\ninks = [{ colour = "${NAME}" }]\n')
    assert options["words"] == ["Bob", "x"]
    assert options["inks"] == [{"width": 1, "colour": "Bob"}]


def test_keys_and_what_a_variable_contains_are_left(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "${SEVEN}")
    assert _options(file, 'text = "${NAME}"\n')["text"] == "${SEVEN}"
    assert _problems(file, LISTENER + '"${SEVEN}" = "$${"\n')[0].startswith(
        '6:1: listener.web.options."${SEVEN}": unknown key'
    )


def test_numbers_and_truth_where_the_key_wants_them(file: Path) -> None:
    options = _options(
        file,
        'number = "${SEVEN}"\nshare = "${HALF}"\ntruth = "${YES}"\neither = "${SEVEN}"\n'
        'inks = [{ width = "${SEVEN}" }]\n'
        '[[listener.options.filters]]\nplugin = "own.py:Stamp"\noptions.width = "1${SEVEN}"\n'
        '[listener.limits]\nmax_connections = "${SEVEN}00"\n',
    )
    assert (options["number"], options["share"], options["truth"]) == (7, 0.5, True)
    assert options["either"] == "7"
    assert options["inks"] == [{"width": 7, "colour": ""}]
    assert options["filters"][0]["options"]["width"] == 17  # type: ignore[index]
    assert load(file).settings.listener[0].limits.max_connections == 700


def test_a_text_that_is_written_is_no_number(file: Path) -> None:
    assert _problems(file, LISTENER + 'number = "7"\ntext = "${NAME}"\n') == [
        "6:1: listener.web.options.number: must be a whole number, not text"
    ]


def test_a_number_that_is_not_allowed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVEN", "0")
    [problem] = _problems(file, '[proxy]\nnet_threads = "${SEVEN}"\n' + LISTENER)
    assert problem == "2:1: proxy.net_threads: must be 1 or more, not 0"
    [problem] = _problems(file, '[proxy]\nnet_threads = "${NAME}"\n' + LISTENER)
    assert problem == "2:1: proxy.net_threads: must be a whole number, not text"


def test_all_that_have_no_value_are_told_at_once_with_other_errors(file: Path) -> None:
    text = (
        '[proxy]\nnet_threads = "${UNSET}"\ndrain_timeout = "${OTHER}${UNSET}"\nworker = 1\n'
        f'{LISTENER}text = "${{UNSET}}"\nwords = ["a", "${{file:none}}"]\nnumber = "x"\n'
    )
    unset = "is not set: set it, or write $${"
    end = "} for the text itself"
    assert _problems(file, text) == [
        f"2:1: proxy.net_threads: the environment variable UNSET {unset}UNSET{end}",
        f"3:1: proxy.drain_timeout: the environment variable OTHER {unset}OTHER{end}",
        f"3:1: proxy.drain_timeout: the environment variable UNSET {unset}UNSET{end}",
        '4:1: proxy.worker: unknown key; did you mean "workers"?',
        f"10:1: listener.web.options.text: the environment variable UNSET {unset}UNSET{end}",
        f"11:15: listener.web.options.words.1: cannot read {file.parent}/none: "
        "No such file or directory",
    ]


@given(st.text())
def test_a_text_that_is_escaped_stays_as_it_is(text: str) -> None:
    variables = Variables(Path(), {})
    assert variables.expand(text.replace("${", "$${")) == text
    assert variables.problems == []


@given(st.lists(st.sampled_from(["$", "${", "$${", "}", "file:", "A", ":", "/", "{", "x"])))
def test_whatever_stands_there_is_a_text_or_a_problem(parts: list[str]) -> None:
    variables = Variables(Path("/none"), {"A": "${A}", "x": ""})
    assert isinstance(variables.expand("".join(parts), ("key",)), str)
    assert all(each.path == ("key",) and each.message for each in variables.problems)


@pytest.mark.parametrize(
    "text",
    [
        "${}",
        "${1}",
        "${a b}",
        "${NAME",
        "${NAME:-x}",
        "${env:NAME}",
        "${file:pw",
        "${file:}",
        "${file:${}}",
    ],
)
def test_what_is_no_variable(file: Path, text: str) -> None:
    [problem] = _problems(file, f'{LISTENER}text = "{text}"\n')
    assert problem.startswith("6:1: listener.web.options.text: ${")
    assert "is no variable: write ${NAME}, ${file:PATH}, or $${ for" in problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff", "it is not UTF-8"),
        (b"x" * 65537, "it is larger than 64KiB"),
    ],
)
def test_files_that_are_no_text(file: Path, content: bytes, problem: str) -> None:
    (file.parent / "bad").write_bytes(content)
    [found] = _problems(file, f'{LISTENER}text = "${{file:bad}}"\n')
    assert found == f"6:1: listener.web.options.text: cannot read {file.parent}/bad: {problem}"


def test_a_directory_and_a_device_without_end(file: Path) -> None:
    [found] = _problems(file, f'{LISTENER}text = "${{file:.}}"\n')
    assert found.endswith(": Is a directory")
    [found] = _problems(file, f'{LISTENER}text = "${{file:/dev/zero}}"\n')
    assert found.endswith("cannot read /dev/zero: it is larger than 64KiB")


def test_a_file_whose_path_is_not_complete_is_not_read(file: Path) -> None:
    [found] = _problems(file, f'{LISTENER}text = "${{file:${{UNSET}}/x}}"\n')
    assert "the environment variable UNSET is not set" in found


@pytest.mark.parametrize(("content", "text"), [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n")])
def test_the_last_line_end_of_a_file_is_left_out(file: Path, content: str, text: str) -> None:
    (file.parent / "pw").write_text(content, newline="")
    assert _options(file, 'text = "${file:pw}"\n')["text"] == text


# -- what comes from files is shown nowhere --------------------------------------------------


def _loaded(file: Path, options: str) -> Configuration:
    file.write_text(LISTENER + options)
    return load(file)


def test_the_effective_configuration_has_the_variable(file: Path) -> None:
    (file.parent / "n").write_text("64738")
    found = _loaded(
        file,
        'text = "a ${file:pw} ${NAME}"\nsecret = "${file:pw}"\nnumber = "${file:n}"\n'
        'inks = [{ colour = "${file:pw}" }]\n',
    )
    shown = effective(found)
    assert "s3cr3t" not in shown
    assert "64738" not in shown
    options = tomllib.loads(shown)["listener"][0]["options"]
    assert options["text"] == f"a ${{file:{file.parent}/pw}} ${{NAME}}"
    assert options["secret"] == f"${{file:{file.parent}/pw}}"
    assert options["number"] == f"${{file:{file.parent}/n}}"
    again = file.parent / "again.toml"
    again.write_text(shown)
    assert load(again).settings == found.settings


def test_in_a_table_that_was_written_in_another_form(file: Path) -> None:
    (file.parent / "host").write_text("db.example.internal")
    file.write_text(
        f'{LISTENER}[upstream.a]\nservers = ["tcp://${{file:host}}:1", "tcp://127.0.0.1:2"]\n'
    )
    shown = effective(load(file))
    assert "db.example" not in shown
    assert f"tcp://${{file:{file.parent}/host}}:1" in shown


def test_an_error_does_not_show_it(file: Path) -> None:
    [problem] = _problems(file, f'{LISTENER}[upstream.a]\nservers = ["${{file:pw}}"]\n')
    assert "s3cr3t" not in problem
    assert f"${{file:{file.parent}/pw}}" in problem


def test_a_recording_has_x_and_a_worker_has_the_value(file: Path) -> None:
    found = _loaded(file, 'text = "a ${file:pw} $${b} ${NAME}"\nnumber = "${SEVEN}"\n')
    assert hidden_texts(found) == ["s3cr3t-pw"]
    masked = with_secrets(found, lambda text: "x" * len(text))
    assert tomllib.loads(masked)["listener"][0]["options"]["text"] == "a xxxxxxxxx ${b} Bob"
    whole = with_secrets(found, str, of_files=True)
    (file.parent / "pw").unlink()
    del os.environ["NAME"]
    sources = {**found.sources}
    again = load(file, Recorded(whole, sources))
    assert again.settings == found.settings
    options = load(file, Recorded(masked, sources)).settings.listener[0].options
    assert options["text"] == "a xxxxxxxxx ${b} Bob"
    assert options["number"] == 7


def test_a_secret_file_that_all_can_read_is_warned_of(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vcproxy.config import key_warnings, loader

    for module in (loader, key_warnings):  # where pytest's folder is, others cannot enter
        monkeypatch.setattr(module, "readable_by_all", lambda file: f"{file.name} is open")
    found = _loaded(file, 'text = "${file:pw}"\nsecret = { file = "pw" }\n')
    assert [str(each).removeprefix(f"{file}:") for each in found.warnings] == [
        "6:1: listener.web.options.text: pw is open",
        "7:1: listener.web.options.secret: pw is open",
    ]


# -- reload ----------------------------------------------------------------------------------


def test_a_changed_file_makes_the_configuration_outdated(file: Path) -> None:
    _secret(file.parent / "other", "another")
    found = _loaded(file, 'text = "${file:pw}"\nsecret = { file = "other" }\n')
    assert {file.parent / "pw", file.parent / "other"} <= set(found.watched)
    assert not found.outdated()
    _secret(file.parent / "pw", "new")
    assert found.outdated()
    found = load(file)
    assert not found.outdated()
    _secret(file.parent / "other", "new too")
    assert found.outdated()


def test_a_file_that_is_missing_is_watched(file: Path) -> None:
    file.write_text(f'{LISTENER}text = "${{file:none}}"\n')
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert file.parent / "none" in raised.value.files


@pytest.mark.parametrize(
    ("content", "message", "shown"),
    [
        ("sec", 'the secret "sec" is short', 'the secret "${file:/pw}" is short'),
        ("sec", '"tcp://sec:1" is no server', '"tcp://${file:/pw}:1" is no server'),
        ("s3cr3t-pw", '"as3cr3t-pwb" is no host', '"a${file:/pw}b" is no host'),
        ('a"b', r'"a\"b" is no name', '"${file:/pw}" is no name'),
        ("", 'must be a text, not ""', 'must be a text, not ""'),
    ],
)
def test_messages_without_the_contents_of_files(content: str, message: str, shown: str) -> None:
    read = FromFiles("${file:/pw}", {"${file:/pw}": content})
    assert read.hide_in_message(message) == shown


def test_a_short_content_inside_a_text_is_not_in_a_message() -> None:
    read = FromFiles("tcp://db${file:/pw}x:1", {"${file:/pw}": "sec"})
    assert read.hide_in_message('"tcp://dbsecx:1": secret') == '"tcp://db${file:/pw}x:1": secret'
