"""The command line of `vcproxy machine`: help, options, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.app import cli
from vcproxy.app.commands.machine_client import ClientError, resolve
from vcproxy.app.commands.machine_profiles import chosen_profile

COMMANDS = ["serve", "start", "stop", "send", "list", "listen", "help"]


def run(*words: object) -> int:
    try:
        return cli.main(["machine", *map(str, words)])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_without_a_command_the_usage_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "vcproxy machine list" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_the_option_help_print_the_same(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run("help", command) == 0
    helped = capsys.readouterr().out
    assert run(command, "--help") == 0
    assert capsys.readouterr().out == helped
    assert helped.startswith(f"usage: vcproxy machine {command}")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("help") == 0
    printed = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name} " in printed] == COMMANDS


def test_help_for_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("help", "frob") == 255
    assert capsys.readouterr().err == (
        'Error: "frob" is not a command; there are serve, start, stop, send, list, listen, help\n'
    )


def test_serve_states_that_it_trusts_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    run("serve", "--help")
    assert "It trusts its host: messages have no passwords" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["start"], "vcproxy machine start: error: the following arguments are required: NAME"),
        (["start", "-x", "v", "echo/Echo"], "machine start: error: unrecognized arguments: -x"),
        (["start", "-f", "echo/Echo"], 'argument -f: "echo/Echo" is neither true nor false'),
        (["start", "echo/Echo", ":70000"], "Error: "),
        (["start", "echo/Echo", "here", "a b"], 'Error: "a b": names and arguments are words'),
        (["start", "echo/Echo", ":0", ""], 'Error: "": names and arguments are words'),
        (["stop"], "the following arguments are required: MACHINE"),
        (["stop", "::::"], 'Error: "::::" is not an address'),
        (["stop", "5000"], "Error: 5000: it has no port: write :5000 for that port of this host"),
        (["stop", "127.0.0.1"], "Error: 127.0.0.1: it has no port: write HOST:PORT"),
        (["send", "localhost", "on"], "Error: localhost: it has no port: write HOST:PORT"),
        (["listen", "224.0.0.1"], "Error: 224.0.0.1: it has no port: write HOST:PORT"),
        (["list", ":0"], "Error: :0: it has no port: write HOST:PORT"),
        (["send", ":5000"], "Error: there is no message"),
        (["send", ":5000", "ack"], 'Error: a message cannot be "ack"'),
        (["send", "-r", "x", ":5000", "on"], 'argument -r/--replies: "x" is not a number'),
        (["list", "no-such-host.invalid"], "Error: no-such-host.invalid: its address cannot be"),
        (["list", "-a", "192.0.2.1"], "Error: "),
        (["listen", "127.0.0.1:4"], "Error: 127.0.0.1:4 is not a multicast group"),
        (["listen"], "the following arguments are required: GROUP"),
        (["list", "--profile", "fast"], "argument --profile: invalid choice: 'fast'"),
    ],
)
def test_a_wrong_command_line(
    capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    assert run(*words) == 255
    printed = capsys.readouterr()
    assert printed.out == ""
    assert error in printed.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["missing"], "missing: no such file or directory"),
        (["file"], "file: not a directory"),
        (["served", "-a", "no-such-host"], "write the address itself, not its name"),
        (["served", "-a", "0.0.0.0:42000"], "name the address of one interface"),
        (["served", "-a", "10.0.0.7"], "it is not a loopback address"),
        (["served", "--allow", "10.0.0.7/8"], "has host bits set; write it as 10.0.0.0/24"),
        (["served", "--user", "no-such-user"], 'the user "no-such-user" does not exist'),
        (["served", "--logs", "missing"], "missing: no such file or directory"),
        (["served", "-a", "192.0.2.1:0", "--allow", "192.0.2.0/24"], "the server cannot start: "),
    ],
)
def test_a_server_that_cannot_start(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "served").mkdir()
    (tmp_path / "file").touch()

    assert run("serve", *words) == 255
    printed = capfd.readouterr()
    assert printed.out == ""
    assert error in printed.err
    assert "Traceback" not in printed.err


def test_names_of_hosts_are_resolved() -> None:
    assert resolve("localhost", 42000) == ("127.0.0.1", 42000)
    assert resolve("[::1]:7", 0) == ("::1", 7)
    with pytest.raises(ClientError, match="its address cannot be found"):
        resolve("no-such-host.invalid:7", 0)


def test_the_profiles_have_the_times_that_the_help_states() -> None:
    assert chosen_profile("wink")[0].times_s == (0, 2, 4, 6, 8)
    assert chosen_profile("readme")[0].times_s == (0, 10, 20, 30)
    assert chosen_profile("patient")[0].times_s[:2] == (0, 0.05)
    assert round(chosen_profile("patient")[0].gives_up_s) == 48
    assert not chosen_profile("legacy")[1].acknowledged
