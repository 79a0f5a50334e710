"""The page of the dashboard in a real browser, about a proxy with some of everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.busy_dashboard import LateProxy, served
from tests.browser.chromium import Page
from tests.control.dashboard.busy_proxy import BusyProxy
from tests.control.dashboard.test_amounts import AMOUNTS
from vcproxy.control.questions.answer import Answer

Address = Callable[[], str]

WEB, DOWN = "listener web", "server api tcp://10.0.1.3:8080"

LOW_CONTRAST = """
const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const parts = [0.2126, 0.7152, 0.0722];
const light = (rgb) => parts.reduce((sum, part, index) => sum + part * channel(rgb[index]), 0);
const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
        const colour = getComputedStyle(each).backgroundColor;
        if (colour.startsWith('rgb(') || parse(colour)[3] > 0.99) return parse(colour);
    }
    return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.offsetParent) continue;
    const lights = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (contrast < 4.5) found.push([element.className, element.textContent, contrast]);
}
return found;
"""
"""Finds texts whose contrast is less than 4.5 (WCAG 2.2, 1.4.3)."""

SIZES = [(360, 740), (412, 915), (768, 1024), (1280, 720), (1440, 900), (1920, 1080), (3840, 2160)]


@pytest.fixture(autouse=True)
def quiet(page: Page, address: Address) -> Any:
    """The browser must have nothing to complain about: no error, no file that is refused."""
    yield
    assert page.complaints() == []


# -- what is shown ---------------------------------------------------------------------------------


def test_the_picture_of_a_proxy(page: Page, address: Address) -> None:
    page.open(address())
    assert page.eval("location.pathname") == "/dashboard/", "the token is not in the address"
    assert page.text("#connection") == "live"
    assert re.fullmatch(r"[\d.]+ MB/s", page.card(WEB).find_element("css selector", ".rate").text)
    assert page.text("#problems button") == (
        "10.0.1.3:8080 of api is down: its health check: connection refused"
    )
    assert [each.text for each in page.all("#picture h3 > span")][:2] == ["api", "postgres"]
    assert page.text("#refusals-count") == "(the last 2)"
    assert len(page.all("#ribbons .ribbon")) == page.eval(
        "document.querySelectorAll('#ribbons path').length / 2"
    )


def test_ribbons_lead_from_card_to_card(page: Page, address: Address) -> None:
    page.open(address())
    shapes = page.eval(
        """[...document.querySelectorAll('#ribbons .ribbon')].map((path) => {
            const box = path.getBoundingClientRect();
            const left = box.left - path.ownerSVGElement.getBoundingClientRect().left;
            return [path.getAttribute('class'), left, left + box.width, box.height];
        })"""
    )
    gap = page.eval(
        """[document.querySelector('.cell-0 .node').getBoundingClientRect().right,
            document.querySelector('.cell-1 .node').getBoundingClientRect().left]
            .map((x) => x - document.querySelector('#ribbons')
                .getBoundingClientRect().left)"""
    )
    first = shapes[0]
    assert first[0].startswith("ribbon level-good")
    assert first[1:3] == pytest.approx(gap, abs=1.0)
    assert first[3] > 20, "web moves the most"
    assert any("level-bad" in each[0] and "broken" in each[0] for each in shapes)


def test_levels_are_told_apart_without_colour(page: Page, address: Address) -> None:
    page.open(address())
    shapes = {
        level: page.eval(
            f"document.querySelector('.node.level-{level} .glyph use').getAttribute('href')"
        )
        for level in ("good", "idle", "warn", "bad", "off")
    }
    assert shapes == {level: f"#glyph-{level}" for level in shapes}
    state = page.card(DOWN).find_element("css selector", ".state").text
    assert state == "down"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_cut_off(page: Page, address: Address, width: int, height: int) -> None:
    page.open(address(), width=width, height=height)
    assert page.eval("document.documentElement.scrollWidth") <= width
    over = page.eval(
        """[...document.querySelectorAll('.node, .total, .group, #problems button, .legend')]
            .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5
                || each.getBoundingClientRect().left < -0.5).length"""
    )
    assert over == 0
    page.driver.execute_script(
        "document.querySelector('[data-id=\"server api tcp://10.0.1.1:8080\"]').click()"
    )
    page.until(lambda: page.all("#details dd"), "its details")
    assert page.eval("document.documentElement.scrollWidth") <= width
    small = page.eval(
        """[...document.querySelectorAll('button')].filter((each) => each.offsetParent
            && (each.offsetHeight < 24 || each.offsetWidth < 24)).map((each) => each.textContent)"""
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page: Page, address: Address, scheme: str) -> None:
    page.prefer(color_scheme=scheme)
    page.open(address())
    low = page.driver.execute_script(LOW_CONTRAST)
    assert low == []
    background = page.eval("getComputedStyle(document.body).backgroundColor")
    bright = sum(map(float, re.findall(r"[\d.]+", background)[:3])) / 3
    assert bright > 200 if scheme == "light" else bright < 60


def test_motion_is_as_the_user_prefers(page: Page, address: Address) -> None:
    page.prefer(reduced_motion="reduce")
    page.open(address())
    assert page.eval("document.getAnimations().length") == 0
    page.prefer(reduced_motion="no-preference")
    page.until(lambda: page.eval("document.getAnimations().length") > 0, "streams move")


def test_nothing_flickers(page: Page, address: Address) -> None:
    page.open(address())
    page.driver.execute_script(
        """window.shifted = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: 'layout-shift' });
        window.removed = 0;
        new MutationObserver((list) => {
            for (const each of list) window.removed += [...each.removedNodes].filter(
                (node) => node.nodeType === Node.ELEMENT_NODE).length;
        }).observe(document.body, { childList: true, subtree: true });
        document.querySelector('[data-id="listener web"]').focus();"""
    )
    page.pictures(3)
    assert page.eval("window.removed") == 0
    assert page.eval("window.shifted") < 0.01  # a wider number moves its own line; 0.1 is good
    assert page.eval("document.activeElement.dataset.id") == WEB


def test_numbers_are_written_as_in_the_terminal(page: Page, address: Address) -> None:
    page.open(address())
    page.driver.set_script_timeout(10)
    written = page.driver.execute_async_script(
        """const [values, done] = arguments;
        import('/dashboard/format.js').then(({ amount }) =>
            done(values.map(([value, unit]) => amount(value, unit))));""",
        [[value, unit] for value, unit, _ in AMOUNTS],
    )
    assert written == [text for _, _, text in AMOUNTS]


def test_nothing_is_loaded_from_elsewhere(page: Page, address: Address) -> None:
    page.open(address())
    names = page.eval("performance.getEntriesByType('resource').map((each) => each.name)")
    origin = page.eval("location.origin")
    assert names
    assert [each for each in names if not each.startswith(origin + "/dashboard/")] == []
    page.driver.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 1\">')"
    )
    page.pictures(1)
    assert page.eval("window.bad") is None
    assert any("Content Security Policy" in each for each in page.complaints())


def test_names_are_text_whatever_clients_send(page: Page) -> None:
    evil = '<img id="evil" src="icon.svg">'

    class EvilProxy(LateProxy):
        def ask(
            self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
        ) -> None:
            def named(answer: Answer) -> None:
                replaced = {"sink": evil, "reason": evil, "text": evil, "state": evil}
                if question in ("sinks", "errors", "flows"):
                    answer.rows = [{**row, **replaced} for row in answer.rows[:1]]
                then(answer)

            super().ask(question, arguments, named)

    with served(EvilProxy()) as address:
        page.open(address())
        page.until(lambda: evil in page.text("#rows"), "the name is shown")
        assert evil in page.text("#refusals")
        [card] = [each for each in page.all(".node") if evil in each.text and "lag" in each.text]
        card.click()
        page.until(lambda: evil in page.text("#details dl"), "its details")
        assert page.all("#evil") == []
        page.driver.get("about:blank")  # before its server ends


# -- the keyboard ----------------------------------------------------------------------------------


def test_it_can_be_used_without_a_mouse(page: Page, address: Address) -> None:
    page.open(address())

    def focused() -> object:
        return page.eval("document.activeElement.dataset.id")

    page.driver.execute_script("document.querySelector('#problems button:last-child').focus()")
    page.press(Keys.TAB)
    assert focused() == WEB
    page.press(Keys.ARROW_RIGHT)
    assert focused() == "plugin web"
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ARROW_DOWN)
    assert str(focused()).startswith("server api")
    page.press(Keys.ENTER)
    chosen = focused()
    assert page.find("#details").is_displayed()
    assert page.eval("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.pictures(1)
    assert focused() == chosen
    page.press(Keys.ESCAPE)
    assert not page.find("#details").is_displayed()
    assert focused() == chosen
    page.press(Keys.ARROW_LEFT)
    assert focused() == "plugin web"
    page.press(Keys.TAB)
    assert focused() is None, "the picture is one stop of the Tab key"


# -- details and changes ---------------------------------------------------------------------------


def test_the_details_of_a_sink(page: Page, address: Address) -> None:
    page.open(address())
    page.choose("sink quotes 10.0.3.9:40112")
    facts = page.eval(
        """Object.fromEntries([...document.querySelectorAll('#details dt')].map(
            (each) => [each.textContent, each.nextElementSibling.textContent]))"""
    )
    assert facts["lag"] == "912 KiB"
    assert facts["when it lags"] == "drop_oldest"
    assert "messages for the sink 10.0.3.9:40112" in page.text("#details .problem")
    faded = page.eval("document.querySelectorAll('#ribbons.chosen .ribbon.near').length")
    assert faded == 2, "from the listener to the relay, and from it to the sink"


def test_a_problem_leads_to_what_it_is_about(page: Page, address: Address) -> None:
    page.open(address(), width=360, height=740)
    page.find("#problems button").click()
    assert page.text("#details h2 span") == "10.0.1.3:8080"
    page.find("#process").click()
    assert page.text("#details h2 span") == "vcproxy"
    page.until(lambda: "/etc/vcproxy/proxy.toml" in page.text("#details dl"), "its details")


def test_a_change_that_ends_connections_takes_two_clicks(
    page: Page, address: Address, busy: BusyProxy
) -> None:
    page.open(address())
    page.find("#process").click()
    page.until(lambda: page.all(".actions button"), "its buttons")
    [reload] = [each for each in page.all(".actions button") if each.text == "reload"]
    reload.click()
    page.until(lambda: busy.results, "the proxy is told")
    busy.results.pop()("proxy.toml:3:1: unknown key")
    page.until(lambda: page.text(".result") == "reload: proxy.toml:3:1: unknown key", "refused")
    page.complaints()  # the browser logs the status 409
    page.card("server api tcp://10.0.1.1:8080").click()
    page.until(lambda: "maint" in page.text(".actions"), "its buttons")
    [maint] = [each for each in page.all(".actions button") if each.text == "maint"]
    maint.click()
    assert maint.text == "maint: sure?"
    page.until(lambda: maint.text == "maint", "it calms down")


# -- the connection to the proxy -------------------------------------------------------------------


def test_a_page_that_nobody_sees_asks_nothing(
    page: Page, address: Address, busy: BusyProxy
) -> None:
    page.open(address())
    page.driver.execute_script(
        """Object.defineProperty(document, 'hidden', { value: true, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));"""
    )
    asked = -1

    def still() -> bool:
        nonlocal asked
        before, asked = asked, len(busy.asked)
        page.driver.execute_async_script("setTimeout(arguments[0], 1500)")
        return before == asked

    page.until(still, "no more questions")
    page.driver.execute_script(
        "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));"
    )
    page.pictures(2)


def test_without_a_token_there_is_no_page(page: Page, address: Address) -> None:
    spent = address()
    page.open(spent)
    page.driver.delete_all_cookies()
    page.driver.get(spent)
    assert page.text("h1") == "Not signed in"
    assert "vcproxy ctl dashboard" in page.text("p")
    page.complaints()  # the browser logs the status 401
