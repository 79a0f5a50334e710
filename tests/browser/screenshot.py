"""Makes the picture of the dashboard for the documentation, from a proxy with some of everything.

python -m tests.browser.screenshot docs/operations/dashboard.png [WIDTH] [light|dark]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.busy_dashboard import LateProxy, served
from tests.browser.chromium import Page, started_chromium


def main(file: str, width: str = "1180", scheme: str = "light") -> None:
    """Write the whole page as it is after some seconds."""
    with (
        tempfile.TemporaryDirectory() as profile,
        served(LateProxy()) as address,
        started_chromium(Path(profile)) as driver,
    ):
        page = Page(driver)
        page.prefer(color_scheme=scheme, reduced_motion="reduce")
        page.open(address(), width=int(width))
        for _ in range(9):  # a history to draw
            page.pictures(10)
        page.size(int(width), page.eval("document.documentElement.scrollHeight"))
        page.pictures(1)
        driver.save_screenshot(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
