"""Secret: read from a text or a file, compared, and shown nowhere."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vcproxy.config.effective import effective
from vcproxy.config.loader import Configuration, load
from vcproxy.config.secret import Secret

Accept = Callable[[str], Configuration]
Complain = Callable[[str], list[str]]

GUARDED = """\
from dataclasses import dataclass

from vcproxy.api import Filter, Secret, Validator


@dataclass(frozen=True)
class Keys:
    token: Secret
    other: Secret | None = None


class Guard(Validator):
    Options = Keys


class Stamp(Filter):
    Options = Keys

    def done(self, tx):
        pass
"""


def guarded(options: str) -> str:
    return (
        '[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:0"\nplugin = "guarded.py:Guard"\n'
        f'upstream = "b"\n[listener.options]\n{options}\n'
        '[upstream.b]\nservers = ["tcp://127.0.0.1:1"]\n'
    )


@pytest.fixture(autouse=True)
def _guarded(folder: Path) -> None:
    (folder / "guarded.py").write_text(GUARDED)


def secret_of(configuration: Configuration) -> Secret:
    found = configuration.plugins["a"].options.token  # type: ignore[attr-defined]
    assert isinstance(found, Secret)
    return found


def test_it_is_a_text_or_the_content_of_a_file(folder: Path, accepted: Accept) -> None:
    (folder / "token.txt").write_text("s3cr3t ü\n")
    written = secret_of(accepted(guarded('token = "s3cr3t ü"')))
    kept = secret_of(accepted(guarded('token = { file = "token.txt" }')))
    assert written == kept
    assert written.reveal() == "s3cr3t ü"
    assert hash(written) == hash(kept)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_last_line_end_of_a_file_is_no_part_of_it(
    folder: Path, accepted: Accept, end: bytes
) -> None:
    (folder / "token.txt").write_bytes(b"one\r\ntwo" + end)
    assert secret_of(accepted(guarded('token = { file = "token.txt" }'))) == Secret("one\r\ntwo")


def test_it_is_compared() -> None:
    secret = Secret("s3cr3t ü")
    assert secret.matches("s3cr3t ü")
    assert secret.matches("s3cr3t ü".encode())
    assert not secret.matches("s3cr3t u")
    assert not secret.matches(b"")
    assert not secret.matches("\udcff")
    assert secret != Secret("s3cr3t u")
    assert secret != "s3cr3t ü"


def test_it_is_not_shown() -> None:
    @dataclass
    class Options:
        token: Secret

    secret = Secret("s3cr3t")
    for text in (str(secret), f"{secret}", f"{secret!r}", repr(Options(secret)), str([secret])):
        assert "(secret)" in text
        assert "s3cr3t" not in text


def test_it_is_not_in_the_effective_configuration(folder: Path, accepted: Accept) -> None:
    front = (
        '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "http_proxy"\n'
        'upstream = "b"\noptions.filters = '
        '[{ plugin = "guarded.py:Stamp", options = { token = "hidden" } }]\n'
    )
    shown = effective(accepted(guarded('token = "s3cr3t"') + front))
    assert "s3cr3t" not in shown
    assert "hidden" not in shown
    assert re.findall(r"^# (\S+): this secret is not shown", shown, re.MULTILINE) == [
        "listener.a.options.token",
        "listener.web.options.filters.0.options.token",
    ]
    assert tomllib.loads(shown)["listener"][0]["options"] == {"token": "(secret)"}


def test_what_is_printed_is_not_taken_for_a_secret(complaints: Complain) -> None:
    (line,) = complaints(guarded('token = "(secret)"'))
    assert line.endswith(
        'options.token: "(secret)" is what -T shows in place of a secret: write the secret'
    )


def test_another_secret_is_another_configuration(accepted: Accept) -> None:
    one, two, one_again = (accepted(guarded(f'token = "{each}"')) for each in ("1", "2", "1"))
    assert one.settings != two.settings
    assert one.settings == one_again.settings


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ('token = ""', "options.token: must not be empty"),
        ("token = 5", "options.token: must be a text in quotes, or a file with it, as"),
        ('token = { fil = "a" }', "options.token: must be a text in quotes, or a file with it, as"),
        ('token = { file = "none" }', "options.token: cannot read none: No such file or directory"),
        ('token = { file = "empty" }', "options.token: must not be empty"),
        ('token = { file = "bytes" }', "options.token: cannot read bytes: it is not UTF-8"),
        (
            'token = { file = "/dev/zero" }',
            "options.token: cannot read /dev/zero: it is larger than",
        ),
        ("", "options.token: is missing"),
    ],
)
def test_what_is_no_secret(folder: Path, complaints: Complain, option: str, problem: str) -> None:
    (folder / "empty").touch()
    (folder / "bytes").write_bytes(b"\xff")
    (line,) = complaints(guarded(option))
    assert line.partition("listener.a.")[2].startswith(problem)


def test_plugin_check_does_not_show_a_default(folder: Path) -> None:
    text = GUARDED.replace("token: Secret", 'token: Secret = Secret("s3cr3t")')
    (folder / "guarded.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "vcproxy", "plugin", "check", "guarded.py:Stamp"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'token = "(secret)"' in done.stdout
    assert "s3cr3t" not in done.stdout


def test_a_default_is_no_part_of_the_file(folder: Path, accepted: Accept) -> None:
    text = GUARDED.replace("token: Secret", 'token: Secret = Secret("s3cr3t")')
    (folder / "guarded.py").write_text(text)
    assert secret_of(accepted(guarded(""))) == Secret("s3cr3t")
    assert load(folder / "proxy.toml").plugins["a"].secrets == {("token",): Secret("s3cr3t")}
