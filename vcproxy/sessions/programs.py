"""Programs: the running programs of one proxy, by the name of the listener. Reloads keep them."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.plugin_error import as_error
from vcproxy.sessions.program import Program, Signal

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.sessions.service import Service


class Programs:
    """The running programs, all on one engine. `write` prints their lines."""

    def __init__(self, engine: Engine, write: Callable[[str], None]) -> None:
        self._engine = engine
        self._write = write
        self.running: dict[str, Program] = {}
        """Those that run, by the name of the listener. Read-only for others."""
        self.failed: dict[str, str] = {}
        """Why programs could not be started, by the name of the listener."""

    def __bool__(self) -> bool:
        return bool(self.running)

    def __contains__(self, name: str) -> bool:
        return name in self.running

    def __getitem__(self, name: str) -> Program:
        return self.running[name]

    def status(self) -> dict[str, object]:
        """Return the status of each, by its listener's name. On the engine's thread only."""
        return {name: program.status() for name, program in self.running.items()}

    def acceptor(
        self, kind: type[Program], service: Service
    ) -> Callable[[NetVConnection], Continuation | None]:
        """Return `accept` of the listener's program; start the program if it is not running."""
        program = self.running.get(service.name)
        if program is None:
            try:
                program = kind(self._engine, service, self._write)
            except BaseException as mistake:
                error = self._note(service.name, mistake)
                text = f"{service.name}: plugin could not be started; its clients are closed"
                self._engine.log("error", text, error)
                return NetVConnection.do_io_close
            self.running[service.name] = program
            self._engine.schedule(OwnedCall(program, partial(self._start, program)), Signal, None)
        return program.accept

    def stop_others(self, names: Container[str]) -> None:
        """Stop all programs but those with these names."""
        for name in [name for name in self.running if name not in names]:
            program = self.running.pop(name)
            self._engine.schedule(OwnedCall(program, program.stop), Signal, None)

    def deliver(self, signal: Signal) -> None:
        """Deliver a signal to each program."""
        for program in self.running.values():
            self._engine.schedule(program, Signal, signal)

    def _start(self, program: Program) -> None:
        """Start a program, then let it receive messages of the bus."""
        try:
            program.start()
        except BaseException as mistake:
            self._note(program.service.name, mistake)
            raise
        program.receive_messages()
        if program.periodic:
            from vcproxy.machine.every import start_periodic  # few programs have periodic work

            name, options = program.service.name, program.options
            start_periodic(program, name, type(program), options, program.call_periodic)

    def _note(self, name: str, mistake: BaseException) -> Exception:
        error = as_error(mistake)
        self.failed[name] = f"{type(error).__name__}: {error}"
        return error
