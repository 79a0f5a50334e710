"""AskedProxy: a complete proxy in simulation that is asked questions, and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from vcproxy.config.loader import Configuration, load
from vcproxy.control.changes.change import Changed
from vcproxy.control.changes.making import make
from vcproxy.control.questions.answer import Answer
from vcproxy.control.questions.asking import ask
from vcproxy.control.questions.table import QUESTIONS
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.listeners.listeners import Listeners
from vcproxy.testing.configured import ConfiguredProxy


class AskedProxy:
    """A proxy with the configuration `text`, and a Running of it."""

    worker = 0
    ending = False

    def __init__(
        self,
        folder: Path,
        text: str,
        record: Path | None = None,
        *,
        seed: int = 7,
        faults: NetworkFaults | None = None,
    ) -> None:
        file = folder / "proxy.toml"
        file.write_text(text)
        self.configuration: Configuration = load(file)
        self.proxy = ConfiguredProxy(self.configuration, seed=seed, faults=faults, record=record)
        self.sim = self.proxy.sim

    @property
    def engines(self) -> Sequence[Engine]:
        return [self.proxy.engine]

    @property
    def listeners(self) -> Listeners:
        return self.proxy.listeners

    def resident(self) -> int:
        return 1 << 20

    def lag(self, thread: str) -> tuple[float, float]:
        return 0.001, 0.002

    def setting_rows(self) -> list[dict[str, Any]]:
        return [{"table": "proxy", "name": "", "key": "workers", "value": "1"}]

    def reload_rows(self) -> list[dict[str, Any]]:
        return []

    def record_change(self, name: str, arguments: Mapping[str, str]) -> None:
        recording = self.proxy.recording
        if recording is not None:
            recording.changed(name, arguments)

    def process(self) -> Mapping[str, Any]:
        return {each.name: None for each in QUESTIONS["process"].columns}

    def __enter__(self) -> AskedProxy:
        self.proxy.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.proxy.__exit__(kind, error, traceback)

    def client(self, listener: str, data: bytes = b"") -> Peer:
        """Return a client that has sent data, and got what came back at once."""
        client = self.proxy.client(listener)
        client.send(data)
        self.sim.elapse(0.5)
        return client

    def server(self, address: str) -> list[Peer]:
        """Return the connections of a server, as they come."""
        connections: list[Peer] = []
        self.sim.server(Address.parse(address), connections.append)
        return connections

    def change(self, change: str, /, **arguments: str) -> Changed:
        """Make a change; return its result."""
        results: list[Changed] = []
        make(
            change,
            arguments,
            self,
            results.append,
            feed=lambda call: call(),
            after=lambda seconds, call: None,
        )
        self.sim.run(lambda: bool(results), limit=1.0)
        [changed] = results
        return changed

    def ask(self, question: str, /, **arguments: str) -> list[dict[str, Any]]:
        """Return the rows of a question. Each has the columns that are documented."""
        answers: list[Answer] = []
        ask(
            question,
            arguments,
            self,
            answers.append,
            feed=lambda call: call(),
            after=lambda seconds, call: None,
        )
        self.sim.run(lambda: bool(answers), limit=5.0)
        [answer] = answers
        assert (answer.missing, answer.error) == ([], "")
        for row in answer.rows:
            assert tuple(row) == QUESTIONS[question].column_names
        return answer.rows

    def columns(self, question: str, *names: str, **arguments: str) -> list[tuple[Any, ...]]:
        """Return some columns of the rows of a question."""
        rows = self.ask(question, **arguments)
        return [tuple(row[name] for name in names) for row in rows]
