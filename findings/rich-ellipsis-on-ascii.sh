#!/bin/sh
# rich draws the boxes of tables with ASCII characters where the output cannot encode others, as in the
# locale C. The ellipsis of a shortened cell has no such replacement: printing the table raises
# UnicodeEncodeError. It is the default for columns with no_wrap=True; overflow="crop" does without.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check rich==15.0.0 2>/dev/null
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import io, sys
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

def printed(**column):
    """Return what a table with a narrow column becomes in ASCII; None: it cannot be printed."""
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=16)
    table = Table(show_header=False)
    table.add_column(**column)
    table.add_row("a name that is longer than that")
    try:
        console.print(table)
        console.file.flush()
    except UnicodeEncodeError:
        return None
    return raw.getvalue().decode()

seen = {name: printed(no_wrap=True, **more)
        for name, more in {"default": {}, "crop": {"overflow": "crop"}}.items()}
print(f"rich {version('rich')}")
for name, text in seen.items():
    print(f"{name}: {'UnicodeEncodeError' if text is None else text.splitlines()[1]}")
sys.exit(seen["default"] is not None or "|" not in (seen["crop"] or ""))
PYTHON
