"""A headless Chromium, driven by selenium. Nothing is downloaded: both must be installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

os.environ["SE_OFFLINE"] = "true"  # selenium's manager asks no server

PATIENCE_S = 30.0
"""How long a page may take on a busy machine."""


def installed(*names: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"{names[0]} is not installed")


@contextmanager
def started_chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile; end it, and what it has started."""
    options = Options()
    options.binary_location = installed("chromium", "chromium-browser", "google-chrome")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers have no user namespaces; it loads pages of this host only
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        "--no-first-run",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(installed("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of a dashboard in a browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str, *, width: int = 1440, height: int = 900) -> None:
        """Open an address in a window of a size, and wait for two pictures."""
        self.size(width, height)
        self.driver.get(address)
        self.pictures(2)

    def size(self, width: int, height: int) -> None:
        """Set the size of the page, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """Set what the user prefers, as color_scheme="dark"."""
        listed = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    def eval(self, expression: str, *arguments: object) -> Any:
        """Return the value of an expression in the page."""
        return self.driver.execute_script(f"return {expression}", *arguments)

    def pictures(self, count: int) -> None:
        """Wait until so many more pictures were drawn."""
        self.driver.set_script_timeout(PATIENCE_S)
        self.driver.execute_async_script(
            """
            const [count, done] = arguments;
            let seen = 0;
            const observer = new MutationObserver(() => {
                seen += 1;
                if (seen >= count) { observer.disconnect(); done(); }
            });
            observer.observe(document.body, { attributeFilter: ["data-pictures"] });
            """,
            count,
        )

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> Sequence[WebElement]:
        """Return all elements of a CSS selector."""
        found: Sequence[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def card(self, name: str) -> WebElement:
        """Return the card with an id."""
        return self.find(f'[data-id="{name}"]')

    def choose(self, name: str) -> None:
        """Click a card, and wait for all its details."""
        self.card(name).click()
        self.until(lambda: self.all("#details dd"), "its details")

    def text(self, selector: str) -> str:
        """Return the text of an element, also of one that cannot be seen."""
        return str(self.eval("document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds."""
        WebDriverWait(self.driver, PATIENCE_S, 0.1).until(lambda _: condition(), what)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what the browser has logged since the last call: errors, refused files."""
        driver: Any = self.driver  # this method of it has no types
        return [str(entry["message"]) for entry in driver.get_log("browser")]
