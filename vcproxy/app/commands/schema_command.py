"""`vcproxy schema`: the JSON Schema of a configuration, for editors.

Tested in tests/app/commands/test_schema_command.py.
"""

from __future__ import annotations

import argparse
import json

from vcproxy.app.commands.command_error import CommandError


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command to a parser; return its own parser by name."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of a configuration, for editors",
        description="Print the JSON Schema of a configuration. With it, an editor completes keys, "
        'shows what they mean, and marks mistakes: write "#:schema vcproxy.schema.json" into the '
        "first line of a configuration.",
    )
    parser.set_defaults(act=_schema)
    parser.add_argument(
        "plugins",
        metavar="PLUGIN",
        nargs="*",
        help="a plugin of your own, named as in a listener, whose options are in the schema too",
    )
    return {"schema": parser}


def _schema(chosen: argparse.Namespace) -> None:
    from vcproxy.config.json_schema import json_schema
    from vcproxy.config.plugin_loader import PluginError

    try:
        print(json.dumps(json_schema(chosen.plugins), indent=1, ensure_ascii=False))
    except PluginError as error:
        raise CommandError(error) from None
