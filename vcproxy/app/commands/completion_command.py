"""The command `vcproxy completion`: print the script by which a shell completes command lines.

The library shtab writes it from the parsers: then no completion starts Python. Tested in
tests/e2e/test_completion.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from vcproxy.app.commands.command_error import CommandError

ABOUT: Final = """\
Print the script by which a shell completes the commands, options and values of vcproxy.

  bash   vcproxy completion bash >~/.local/share/bash-completion/completions/vcproxy
  zsh    vcproxy completion zsh >~/.zfunc/_vcproxy     # fpath+=~/.zfunc before compinit in ~/.zshrc
  fish   vcproxy completion fish >~/.config/fish/completions/vcproxy.fish

Write it again after an update. It needs the library shtab: pip install shtab
"""

Parsers = Mapping[str, argparse.ArgumentParser]


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parsers: Callable[[], Parsers]
) -> dict[str, argparse.ArgumentParser]:
    """Add the command to the command line; return its parser by name.

    `parsers`: returns new parsers of all commands, by name.
    """
    parser = commands.add_parser(
        "completion",
        help="print a script for the completion of a shell",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=lambda chosen: print(script(parsers(), chosen.shell), end=""))
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell that reads it")
    return {"completion": parser}


def script(parsers: Parsers, shell: str) -> str:
    """Return the script of a shell. Changes the parsers. Raises CommandError without shtab."""
    try:
        import shtab
    except ImportError:
        raise CommandError(
            "vcproxy completion needs the library shtab, which is not installed: pip install shtab"
        ) from None
    names = dict(_names())
    for command, parser in parsers.items():
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action._choices_actions:  # one line about each, not several
                    action.choices[each.dest].description = each.help
            elif action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif (command, action.dest) in names:
                action.choices = names[command, action.dest]
    return str(shtab.complete(parsers[""], shell=shell))


def _names() -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Yield known values of arguments that also take others, by command and argument."""
    import vcproxy.plugins
    from vcproxy.control.questions.table import QUESTIONS

    folder = Path(next(iter(vcproxy.plugins.__path__)))
    plugins = sorted(file.stem for file in folder.glob("[a-z]*.py"))
    yield ("diagram", "plugin"), plugins
    yield ("plugin check", "plugin"), plugins
    yield ("ctl show", "question"), sorted(QUESTIONS)
