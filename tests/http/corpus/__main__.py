"""The command `python -m tests.http.corpus`: runs the cases on other proxies, and writes the
page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.peer import Failed
from tests.bench.revision import ROOT
from tests.http.corpus import CASES, THEMES
from tests.http.corpus.peers import PEERS, proxy, version
from tests.http.corpus.report import PAGE, page
from tests.http.corpus.runner import run

ABOUT = """\
Try every request and every answer of the corpus on HAProxy and nginx, on loopback, and write what
came of it to a page. It takes a minute; nothing is left running."""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser("python -m tests.http.corpus", description=ABOUT)
    parser.add_argument("--out", type=Path, default=PAGE, help=f"({PAGE.relative_to(ROOT)})")
    out = parser.parse_args().out
    if missing := [why for peer in PEERS.values() if (why := peer.missing())]:
        sys.exit("; ".join(missing))
    try:
        seen = {
            name: run(proxy(peer), [(case, ()) for case in CASES], progress(name))
            for name, peer in PEERS.items()
        }
    except Failed as failed:
        sys.exit(f"a proxy {failed}")
    out.write_text(page(THEMES, seen, [version(name) for name in PEERS]))
    print(f"written: {out}")


def progress(name: str) -> Callable[[], None]:
    """Show the progress on a terminal."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            end = "\n" if done == len(CASES) else ""
            sys.stderr.write(f"\r{name}: {done} of {len(CASES)} cases{end}")
            sys.stderr.flush()

    return step


if __name__ == "__main__":
    main()
