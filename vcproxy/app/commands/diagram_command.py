"""The command `vcproxy diagram`: the state machines of a plugin, or what a configuration connects.

Tested in tests/app/commands/test_configuration_diagram.py and tests/e2e/test_command_line.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vcproxy.app.commands.command_error import CommandError


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command; return its parser by its name."""
    diagram = commands.add_parser(
        "diagram",
        help="draw the state machines of a plugin, or a configuration",
        description="Draw the declared state machines of a plugin; or the listeners of a "
        "configuration, their routes, what requests pass there in which order, and the upstreams.",
    )
    diagram.set_defaults(act=_diagram)
    diagram.add_argument(
        "plugin",
        metavar="PLUGIN",
        help='a bundled plugin, "package.module:Class" or "file.py:Class"; the class may be any '
        "machine, as vcproxy.tunnels.two_way:TwoWayTunnel; or a configuration, as conf/edge.toml",
    )
    diagram.add_argument(
        "--format",
        choices=["mermaid", "dot", "svg"],
        default="mermaid",
        help="mermaid (the default), dot, or svg, for which Graphviz must be installed",
    )
    return {"diagram": diagram}


def _diagram(chosen: argparse.Namespace) -> None:
    of_file = chosen.plugin.endswith(".toml")
    text = (_of_configuration if of_file else _of_plugin)(chosen.plugin, chosen.format)
    print(_svg(text) if chosen.format == "svg" else text, end="")


def _of_configuration(file: str, form: str) -> str:
    from vcproxy.app.commands.configuration_diagram import chart
    from vcproxy.config.errors import ConfigError
    from vcproxy.config.loader import load

    try:
        drawn = chart(load(Path(file)))
    except ConfigError as error:
        raise CommandError(error) from None
    return drawn.mermaid() if form == "mermaid" else drawn.dot()


def _of_plugin(name: str, form: str) -> str:
    from vcproxy.config.plugin_loader import PluginError, PluginLoader
    from vcproxy.machine import diagram
    from vcproxy.machine.machine import Machine

    try:
        found = PluginLoader().named(name)
    except PluginError as error:
        raise CommandError(f"{name}: {error}") from None
    drawn: tuple[type[Machine], ...] = getattr(found, "machines", ())
    if isinstance(found, type) and issubclass(found, Machine) and found.states:
        drawn = (found, *found.parts)
    if not drawn:
        raise CommandError(f"{name}: it has no machine with states to draw")
    return diagram.mermaid(*drawn) if form == "mermaid" else diagram.dot(*drawn)


def _svg(text: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CommandError(
            "--format svg needs the program `dot` of Graphviz, which is not installed: "
            "install graphviz, or use --format mermaid"
        ) from None
    if done.returncode:
        raise CommandError(f"dot failed: {done.stderr.strip()}")
    return done.stdout
