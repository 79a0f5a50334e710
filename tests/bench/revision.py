"""Another revision of this repository, unpacked in a folder of its own.

It runs with the interpreter and the libraries of this one, so that a ratio compares code alone.
"""

import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "revisions"
BEFORE = "1fe49d4899a5c552b4eb462d70b2edaf8111e1c9"
"""The revision that the peers `before` run."""


def tree(revision: str) -> Path:
    """Return the folder of the revision; unpack it if that has not been done. Empty: this tree.

    Raises LookupError, with what to do, if this clone does not have the revision.
    """
    if not revision:
        return ROOT
    name = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    if not name:
        raise LookupError(
            f"this clone does not have revision {revision}: git fetch --unshallow, "
            f"or git fetch origin {revision}"
        )
    folder = CACHE / name
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            whole = Path(scratch, name)  # moved when complete: another run may look for the folder
            whole.mkdir()
            packed = git("archive", name)
            subprocess.run(("tar", "-x", "-C", str(whole)), input=packed, check=True)
            if not folder.exists():
                whole.rename(folder)
    return folder


def command_module(folder: Path) -> str:
    """Return the module of the command line in that tree, which later revisions moved."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    module: str = project["scripts"]["vcproxy"].partition(":")[0]
    return module


def git(*words: str) -> bytes:
    """Return what git prints; nothing if it fails or is not installed."""
    try:
        return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, check=False).stdout
    except FileNotFoundError:
        return b""
