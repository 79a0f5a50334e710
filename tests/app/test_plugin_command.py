"""vcproxy plugin: the files it writes pass tests and checks; its report is correct."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcproxy.app import cli
from vcproxy.app.commands.scaffold import TEMPLATES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_template_is_an_option() -> None:
    help_text = cli.parsers()["plugin new"].format_help()
    assert "{" + ",".join(TEMPLATES) + "}" in help_text


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_files_pass_tests_and_checks(template: str, directory: Path) -> None:
    assert cli.main(["plugin", "new", "my_own", "--template", template]) == 0
    assert cli.main(["plugin", "check", "my_own.py"]) == 0
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider"],
        ["ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), "."],
        ["ruff", "format", "--no-cache", "--check", "--config", str(ROOT / "pyproject.toml"), "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_check_lists_messages_of_the_bus(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plugin", "new", "inbox", "--template", "program"]) == 0
    assert cli.main(["plugin", "check", "inbox.py"]) == 0
    assert "  messages: COUNT\n" in capsys.readouterr().out


PLUGIN = """\
from dataclasses import dataclass

from vcproxy.api import Accept, Counter, Duration, Secret, Splitter, Validator, every


"""


@pytest.mark.parametrize(
    ("code", "report"),
    [
        (
            "class A(Validator):\n    def check(self): ...\n",
            "own.py:6: A.check(self) is called as check(self, message): take these parameters\n",
        ),
        (
            "class A(Splitter):\n    def key(self, request, more): ...\n",
            "own.py:6: A.key(self, request, more) is called as key(self, request): take these "
            "parameters\n",
        ),
        (
            "class A(Splitter):\n    @dataclass\n    class Options:\n        pause: Duration = 5\n"
            '    @every(option="pose")\n    def tick(self): ...\n',
            'own.py:6: tick: every(option="pose"): Options has no such option; did you mean '
            '"pause"?\n',
        ),
        (
            "class A(Splitter):\n    @dataclass\n    class Options:\n        word: Secret = 'x'\n",
            "own.py:6: Options of A: a default is not of the type of its option, as Secret",
        ),
        (
            'class A(Splitter):\n    orphans = "brodcast"\n',
            'own.py: TypeError at own.py:6: A.orphans is "brodcast": write one of "drop", "recon',
        ),
        (
            'class A(Splitter):\n    shares_s = "5s"\n',
            'own.py: TypeError at own.py:6: A.shares_s is "5s": write seconds, as 2.0\n',
        ),
        (
            'class A(Splitter):\n    @every("5")\n    def tick(self): ...\n',
            'own.py: TypeError at own.py:7: every: "5" is not a duration: write a number and',
        ),
    ],
)
def test_check_reports_what_would_fail_later(
    code: str, report: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "own.py").write_text(PLUGIN + code)
    assert cli.main(["plugin", "check", "own.py"]) != 0
    assert capsys.readouterr().err.startswith(report)


def test_check_lists_periodic_work(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plugin", "new", "quotes", "--template", "relay"]) == 0
    assert cli.main(["plugin", "check", "quotes.py"]) == 0
    assert "  periodic: report every 1m\n" in capsys.readouterr().out


def test_nothing_is_overwritten(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "test_orders.py").write_text("mine")
    assert cli.main(["plugin", "new", "orders"]) == 1
    assert capsys.readouterr().err == (
        "test_orders.py exists: choose another name, or overwrite it with --force\n"
    )
    assert [file.name for file in directory.iterdir()] == ["test_orders.py"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my-orders", "cannot be the name of a module"),
        ("../orders", "cannot be the name of a module"),
        ("class", "cannot be the name of a module"),
        ("k\u00e4se", "cannot be the name of a module"),
        ("json", "would hide the module json"),
    ],
)
def test_an_invalid_name(name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plugin", "new", name]) == 1
    assert why in capsys.readouterr().err


def test_the_report_of_a_plugin(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "orders.py").write_text(
        '''\
from dataclasses import dataclass
from vcproxy.api import Accept, Duration, Size, Validator

class Orders(Validator):
    """Takes all orders."""
    @dataclass(frozen=True)
    class Options:
        patience: Duration = 2.5
        size: Size = 65536
        note: str | None = None
    def check(self, message):
        return Accept()
'''
    )
    assert cli.main(["plugin", "check", "orders.py:Orders"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "orders.py:4: Orders, a Validator: Takes all orders.",
        "  upstream: required",
        "  states of Orders: TALKING, READING, DEFERRED, CONNECTING, ENDED, CLOSED",
        "  options:",
        '    patience = "2500ms"',
        '    size = "64KiB"',
        "    note: optional",
    ]


def test_the_report_of_a_filter(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "stamp.py").write_text(
        "from vcproxy.api import Filter\n"
        "class Stamp(Filter):\n"
        "    def response_head(self, tx): ...\n"
        "    def request_head(self, tx): ...\n"
    )
    assert cli.main(["plugin", "check", "stamp.py"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "stamp.py:2: Stamp, a Filter",
        "  phases: request_head, response_head",
        "  options: none",
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            "from vcproxy.api import Filter\nclass Orders(Filter): pass\n",
            ["orders.py: Orders in orders.py does nothing: define request_head() or another phase"],
        ),
        (
            "from vcproxy.api import Filter\n"
            "class A(Filter):\n    def done(self, tx): ...\n"
            "class B(Filter):\n    def done(self, tx): ...\n",
            ['orders.py: orders.py defines A, B: name one of them, as "orders.py:A"'],
        ),
        ("def", ["orders.py: SyntaxError at orders.py:1: invalid syntax"]),
        ("", ["orders.py: orders.py defines no plugin: no class in it is a Session or a Program"]),
        (
            "from vcproxy.api import Session, State\n"
            "class Orders(Session):\n    A = State(initial=True)\n    B = State(final=True)\n",
            ["orders.py: TypeError at orders.py:2: "],
        ),
        (
            "from vcproxy.api import Validator\n"
            "class Orders(Validator):\n"
            "    framing = b'\\n'\n    needs_upstream = 'yes'\n    Options = 3\n",
            [
                "orders.py:2: Orders must define check(), which validates a message",
                "orders.py:2: Orders.framing is b'\\n', which is not a framing: "
                "write for example lines()",
                "orders.py:2: Orders.needs_upstream must be True, False or None",
                "orders.py:2: Options of Orders: Options of Orders must be a dataclass or a "
                "pydantic model",
            ],
        ),
        (
            "raise ValueError('no table\\nno rows')\n",
            ["orders.py: ValueError at orders.py:1: no table", "  no rows"],
        ),
        (
            "from pydantic import BaseModel, model_validator\n"
            "from vcproxy.api import Session, State\n"
            "class Orders(Session):\n"
            "    ONLY = State(initial=True, final=True)\n"
            "    class Options(BaseModel):\n"
            "        @model_validator(mode='after')\n"
            "        def whole(self):\n            raise ValueError('no table\\nno rows')\n",
            ["orders.py:3: Options of Orders: no table", "  no rows"],
        ),
        (
            "from vcproxy.api import Session\nclass Orders(Session): pass\n",
            ["orders.py:2: Orders declares no states: declare one, or name a subclass that does"],
        ),
        (
            "from vcproxy.api import Program\nclass Orders(Program): pass\n",
            ["orders.py:2: Orders must define handle_event()"],
        ),
    ],
)
def test_all_problems_are_reported(
    text: str, wrong: list[str], directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "orders.py").write_text(text)
    assert cli.main(["plugin", "check", "orders.py"]) == 1
    reported = capsys.readouterr().err.splitlines()
    assert len(reported) == len(wrong)
    for line, beginning in zip(reported, wrong, strict=True):
        assert line.startswith(beginning)


def test_an_option_without_a_default(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "orders.py").write_text(
        "from pydantic import BaseModel\nfrom vcproxy.api import Session, State\n"
        "class Orders(Session):\n    ONLY = State(initial=True, final=True)\n"
        "    class Options(BaseModel):\n        table: str\n        rows: int = 3\n"
        "        fields: dict[str, dict[str, int]] = {'id': {'least': 1}}\n"
    )
    assert cli.main(["plugin", "check", "orders.py"]) == 0
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "  options:",
        "    table: required",
        "    rows = 3",
        "    [fields.id]",
        "    least = 1",
    ]
