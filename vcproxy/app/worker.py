"""A worker process: a Proxy that does what its master asks. Started by the master only.

    python -m vcproxy.app.worker FILE --number=2 --of=4 --channel=7 --stacks=8

Tested in tests/e2e/test_workers.py.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from signal import SIGTERM
from typing import TYPE_CHECKING, cast

from vcproxy.app import garbage
from vcproxy.app.serve import start_trace
from vcproxy.app.server import Proxy
from vcproxy.app.start import StartError
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration
from vcproxy.config.workers import share
from vcproxy.engine.address import Address
from vcproxy.listeners.plan import Place, Plan
from vcproxy.sessions.program import Signal
from vcproxy.workers.answer_pieces import AnswerPieces
from vcproxy.workers.channel import Channel, close_all
from vcproxy.workers.content import unpacked
from vcproxy.workers.messages import Message, Question, Verb
from vcproxy.workers.stacks import write_when_asked

if TYPE_CHECKING:
    from vcproxy.app.control.worker_traces import WorkerTraces
    from vcproxy.engine.log_function import Level

TRACEBACK = 32 * 1024
"""Characters of a traceback that are reported: its end, which shows the exception. Those of a
recursion are longer than a message may be."""

LINE = 300
"""Characters of a line about what a net thread waits for: all lines fit into one message."""

SHORTAGE = "there are not enough descriptors for its sockets: raise the limit (ulimit -n)"


class Worker:
    """The worker's end of the channel."""

    def __init__(self, channel: Channel, number: int, of: int) -> None:
        self._channel = channel
        self._number = number
        self._of = of
        self._inherited: dict[Place, socket.socket] = {}
        self._shortage = False  # a socket is missing that the master has sent
        self._generation = 0
        self._plan: Plan | None = None
        """What COMMIT will use; None: nothing is prepared."""
        self._proxy: Proxy
        self._timeout_s = 0.0
        self._answers = AnswerPieces(channel)
        self._early: list[Message] = []
        """What came before COMMIT, and is carried out after it: few, see Questions."""
        self._traces: WorkerTraces | None = None
        self.status = 0
        """The exit status."""

    # -- the start ---------------------------------------------------------------------------

    def run(self, trace: str | None = None) -> None:
        """Serve from COMMIT on, until the master asks to end or has itself ended."""
        if not self._started():
            return
        proxy = self._proxy
        if trace is not None:
            start_trace(proxy, trace)
        proxy.on_stop = lambda: self._send(Verb.STOP_REQUESTED, str(proxy.exit_status))
        proxy.on_reload = partial(self._send, Verb.RELOAD_REQUESTED)
        proxy.bus.on_reply = self._reply
        proxy.pulse(self._timeout_s, partial(self._send, Verb.PULSED))
        proxy.watch(self._channel.fileno(), self)
        proxy.after(0.0, self._serving)
        for message in self._early:
            proxy.soon(partial(self._receive, message, []))
        proxy.soon(proxy.reloads.renew)  # files may have changed since the master asked to prepare
        proxy.run()

    def _serving(self) -> None:
        """Report that it serves, after the first turn, which has started the programs."""
        self._send(Verb.SERVING, self._proxy.unstarted)

    def _started(self) -> bool:
        """Wait for a configuration and for COMMIT; return whether both have come."""
        while (received := self._channel.receive()) is not None:
            message, descriptors = received
            if message.verb is Verb.SOCKETS:
                self._inherit(message, descriptors)
            elif message.verb is Verb.PREPARE:
                self._generation = message.generation
                if reason := self._create(descriptors):
                    self._send(Verb.REFUSED, reason)
                    break
                self._send(Verb.PREPARED)
            elif message.verb is Verb.COMMIT:
                return True
            elif message.verb in (Verb.DRAIN, Verb.STOP):
                return False
            else:
                self._early.append(message)
        self.status = 1
        return False

    def _create(self, descriptors: Sequence[int]) -> str:
        """Create the proxy; return why that is not possible."""
        if self._shortage or not descriptors:
            close_all(descriptors)
            return SHORTAGE
        try:
            configuration = self._share(descriptors[0])
            self._timeout_s = configuration.settings.proxy.worker_timeout
            self._proxy = Proxy(configuration, worker=self._number, inherited=self._inherited)
        except (ConfigError, StartError) as error:
            return str(error)
        return ""

    def _share(self, descriptor: int) -> Configuration:
        try:
            return share(unpacked(descriptor), self._number, self._of)
        finally:
            os.close(descriptor)

    def failed(self, error: Exception) -> None:
        """Report an exception that nothing has handled. It is the end of this process."""
        self.status = 1
        text = "".join(traceback.format_exception(error)).rstrip()
        self._send(Verb.ERRORED, text[-TRACEBACK:])

    # -- messages ----------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """Carry out the messages that have arrived."""
        for message, descriptors in self._channel.receive_all():
            self._receive(message, descriptors)
        if self._channel.ended:
            self._proxy.forget(self._channel.fileno())
            self._proxy.log("error", "the master process has ended: this worker drains and ends")
            self.status = 1
            self._proxy.end(Signal(SIGTERM))

    def _receive(self, message: Message, descriptors: list[int]) -> None:
        proxy = self._proxy
        match message.verb:
            case Verb.SOCKETS:
                self._inherit(message, descriptors)
            case Verb.PREPARE:
                self._generation = message.generation
                self._prepare(descriptors)
            case Verb.COMMIT:
                self._commit()
            case Verb.ROLL_BACK:
                self._generation = 0
                self._forget_prepared()
            case Verb.DRAIN:
                proxy.end(Signal(message.signal, message.pid))
            case Verb.STOP:
                proxy.stop()
            case Verb.REOPEN:
                proxy.reopen_logs()
            case Verb.TRACE | Verb.END_TRACE:
                self._trace(message)
            case Verb.LOG_LEVEL:
                proxy.log.level = cast("Level", message.text)
            case Verb.RENEW:
                proxy.reloads.renew()
            case Verb.ASK:
                self._answer(message)
            case Verb.CONTINUE:
                self._answers.send_next(message.number)

    def _trace(self, message: Message) -> None:
        if self._traces is None:
            from vcproxy.app.control.worker_traces import WorkerTraces  # few connections are traced

            self._traces = WorkerTraces(self._proxy, self._channel)
        if message.verb is Verb.TRACE:
            self._traces.start(message)
        else:
            self._traces.stop(message)

    def _answer(self, asked: Message) -> None:
        """Answer a question of the control."""
        from vcproxy.app.control.proxy_state import MOST_LINES, collect_waited_for, proxy_state

        proxy, number = self._proxy, asked.number

        def answer(value: object) -> None:
            self._answers.send(number, [json.dumps(value)])

        match asked.question:
            case Question.STATE:
                answer(proxy_state(proxy))
            case Question.WAITED_FOR:
                collect_waited_for(
                    proxy,
                    lambda lines: answer([each[:LINE] for each in lines[:MOST_LINES]]),
                    feed=proxy.soon,
                    after=proxy.after,
                )
            case Question.USAGES:
                usages = proxy.bus.usages(asked.name)
                answer([each[:LINE] for each in usages[:MOST_LINES]])
            case Question.DELIVER:
                from vcproxy.bus.message.bus_message import BusMessage  # few proxies get any

                command = BusMessage.parse(asked.text).command
                text, route, name = asked.text, asked.route, asked.name
                answer(proxy.bus.deliver(command, text, route=route, name=name))
            case Question.CHANGE:
                from vcproxy.app.control.worker_rows import make_change

                make_change(proxy, asked.name, json.loads(asked.text), answer)
            case Question.ROWS:
                from vcproxy.app.control.worker_rows import collect_rows

                then = partial(self._answers.send, number)
                collect_rows(proxy, asked.name, json.loads(asked.text), then)

    def _reply(self, route: int, text: str) -> None:
        """Pass on the reply of a plugin to a bus message. It is called in any net thread."""
        self._channel.send(Message(Verb.BUS_REPLY, text=text, number=route))

    def _inherit(self, message: Message, descriptors: list[int]) -> None:
        if len(descriptors) < len(message.places):
            self._shortage = True
            close_all(descriptors)
            return
        for (name, uri), descriptor in zip(message.places, descriptors, strict=True):
            address = Address.parse(uri)
            place = (name, address) if name else address
            self._inherited[place] = socket.socket(fileno=descriptor)

    def _prepare(self, descriptors: list[int]) -> None:
        if self._shortage or not descriptors:
            close_all(descriptors)
            self._send(Verb.REFUSED, SHORTAGE)
        else:
            then = partial(self._loaded, self._generation)
            self._proxy.reloads.load(self._share, descriptors[0], then)

    def _loaded(self, generation: int, value: object, error: Exception | None) -> None:
        if generation != self._generation:
            return  # rolled back
        if isinstance(value, Configuration):
            try:
                self._plan = self._proxy.reloads.prepare(value)
            except OSError as reason:
                error = reason
        if error is None:
            self._send(Verb.PREPARED)
        else:
            self._send(Verb.REFUSED, str(error))

    def _commit(self) -> None:
        assert self._plan is not None
        try:
            self._proxy.reloads.use(self._plan)
        except OSError as error:
            # For example the limit of epoll. Other workers may already use the plan: this one ends.
            self._proxy.log("error", f"cannot use the new configuration, and ends: {error}")
            self.status = 1
            self._proxy.stop()
            return
        self._forget_prepared()
        self._send(Verb.SERVING)
        self._proxy.reloads.renew()  # as in `run`

    def _forget_prepared(self) -> None:
        self._plan = None
        self._shortage = False
        while self._inherited:
            self._inherited.popitem()[1].close()

    def _send(self, verb: Verb, text: str = "") -> None:
        self._channel.send(Message(verb, self._generation, text, pid=os.getpid()))


def main(arguments: Sequence[str]) -> int:
    """Run a worker; return its exit status."""
    garbage.postpone()
    options = dict(each.removeprefix("--").split("=", 1) for each in arguments[1:])
    stacks = int(options["stacks"])
    os.set_inheritable(stacks, False)
    write_when_asked(stacks)
    channel = Channel(socket.socket(fileno=int(options["channel"])))
    os.set_inheritable(channel.fileno(), False)
    worker = Worker(channel, int(options["number"]), int(options["of"]))
    try:
        worker.run(options.get("trace"))
    except Exception as error:
        worker.failed(error)
    finally:
        channel.close()
    return worker.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
