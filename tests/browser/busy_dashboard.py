"""A dashboard of a proxy with some of everything, served over TCP in a thread.

`python -m tests.browser.busy_dashboard` serves it until it is interrupted, to look at.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from random import Random

from tests.control.dashboard.busy_proxy import BusyProxy
from vcproxy.bus.message import definitions
from vcproxy.control.dashboard.dashboard import Dashboard
from vcproxy.control.http_door import HttpDoor
from vcproxy.control.questions.answer import Answer
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine


class LateProxy(BusyProxy):
    """As BusyProxy, but it has run for some minutes."""

    earlier = 200

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        if question not in self.asked:
            self.asked += [question] * self.earlier
        super().ask(question, arguments, then)


@contextmanager
def served(proxy: BusyProxy) -> Iterator[Callable[[], str]]:
    """Serve it; the value is a function that returns a new address for a browser."""
    sock = bind(Address.parse("tcp://127.0.0.1:0"))
    address = Address("tcp", host="127.0.0.1", port=sock.getsockname()[1])
    site = f"http://127.0.0.1:{address.port}"
    lines: list[str] = []

    def log(level: str, text: str, error: Exception | None = None) -> None:
        if not text.startswith("control: "):  # a command that the page has sent
            lines.append(f"{level}: {text}: {error!r}")

    with closing(sock), closing(
        EpollDriver(Engine("control", memory=16 << 20, random=Random(), log=log))
    ) as driver:  # fmt: skip
        door = HttpDoor(proxy, definitions.load(), log, token="not used by browsers")
        dashboard = Dashboard(
            driver.engine, proxy, door.command, lambda: secrets.token_urlsafe(32), [site]
        )
        driver.listen(address, door.server(driver.engine, *dashboard.routes(), unix=False), sock)
        stopping = threading.Event()

        def turn() -> None:
            while not stopping.is_set():
                driver.turn(0.05)

        thread = threading.Thread(target=turn, name="dashboard")
        thread.start()
        try:
            yield lambda: dashboard.addresses()[0]
        finally:
            stopping.set()
            thread.join()
    assert lines == []


if __name__ == "__main__":
    with served(LateProxy()) as address:
        print(address(), flush=True)
        threading.Event().wait()
