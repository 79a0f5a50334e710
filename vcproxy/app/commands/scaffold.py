"""Scaffold: templates of a new plugin and its test, for `vcproxy plugin new`.

Tested in tests/app/test_plugin_command.py.
"""

from __future__ import annotations

import keyword
import sys
from contextlib import ExitStack
from pathlib import Path

from vcproxy.config.plugin_loader import PluginError
from vcproxy.output_files import Exists, refuse_existing, written

SESSION = '''\
"""{name}: reply to the first line, then connect the client to a server."""

from vcproxy.api import TIMEOUT, Message, Session, State, TunnelDone


class {Name}(Session):
    """Reads one line before it connects to the server."""

    needs_upstream = True

    READING = State(initial=True, timeout="5s")
    RELAYING, DONE = State(), State(final=True)

    READING.goes(TIMEOUT, DONE)

    @READING.on(Message, to=RELAYING)
    def line_received(self, message: Message) -> None:
        """Reply, and relay everything after the first line."""
        self.answer(b"hello, " + message.data + b"\\n")
        self.lend()

    @RELAYING.on(TunnelDone, to=DONE)
    def relayed(self, done: TunnelDone) -> None:
        """Log how the tunnel has ended."""
        self.log(done)
'''

SESSION_TEST = '''\
"""{name}: tests with a simulated client and server."""

from vcproxy.testing import Script, SimulatedProxy, check_machine

from {name} import {Name}


def test_it_greets_and_relays() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(b"Ann\\nwhat is new?\\n")
        server = proxy.server()
        Script("""
            client < hello, Ann
            server < what is new?
            server > nothing
            client < nothing
        """).play(proxy.run, client=client, server=server)


def test_a_silent_client_causes_no_connection() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        proxy.elapse(6)
        assert client.ended
        assert proxy.connections() == 0


def test_its_machine() -> None:
    assert check_machine({Name}) == {{"READING TunnelDone", "RELAYING Message"}}
'''

VALIDATOR = '''\
"""{name}: forward valid messages, and reply to invalid ones."""

import json

from vcproxy.api import Accept, Resend, Validator, Verdict, json_lines


class {Name}(Validator):
    """Accepts JSON objects with an id."""

    framing = json_lines(limit="64KiB")

    def check(self, message: bytes) -> Verdict:
        """Validate one message."""
        try:
            value = json.loads(message)
        except ValueError:
            value = None
        valid = isinstance(value, dict) and "id" in value
        return Accept() if valid else Resend(b'{{"error": "no id"}}\\n')
'''

VALIDATOR_TEST = '''\
"""{name}: which messages reach the server, and which are answered."""

from vcproxy.testing import Script, SimulatedProxy, fragments

from {name} import {Name}

VALID = b'{{"id": 1}}\\n'


def test_valid_messages_are_forwarded_and_others_answered() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(VALID)
        server = proxy.server()
        Script("""
            server < {{"id": 1}}
            client > nonsense
            client < {{"error": "no id"}}
            client > "id"
            client < {{"error": "no id"}}
            client > {{"id": 2}}
            server < {{"id": 2}}
            server > done
            client < done
        """).play(proxy.run, client=client, server=server)


def test_a_message_may_arrive_in_pieces() -> None:
    for first, rest in fragments(VALID):
        with SimulatedProxy({Name}) as proxy:
            client = proxy.client()
            client.send(first)
            proxy.run()
            client.send(rest)
            server = proxy.server()
            proxy.run()
            assert server.received == VALID
'''

SPLITTER = '''\
"""{name}: clients share one server connection; each gets the replies to its requests."""

import json
from collections.abc import Iterator

from vcproxy.api import Part, Reject, Splitter, json_lines


class {Name}(Splitter):
    """Requests and replies are JSON objects with an id; the server sends lists of replies."""

    framing = json_lines(limit="64KiB")

    def key(self, request: bytes) -> str | Reject:
        """Return the id that the reply will have."""
        try:
            return str(json.loads(request)["id"])
        except (ValueError, TypeError, KeyError):
            return Reject(b'{{"error": "no id"}}\\n', keep=True)

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        """Split a list of replies."""
        for each in json.loads(reply):
            yield Part(str(each["id"]), json.dumps(each).encode())
'''

SPLITTER_TEST = '''\
"""{name}: one server connection, and to each client its own replies."""

from vcproxy.testing import Script, SimulatedProxy

from {name} import {Name}


def test_each_client_gets_its_own_replies() -> None:
    with SimulatedProxy({Name}) as proxy:
        ann, bob = proxy.client(), proxy.client()
        ann.send(b'{{"id": 1}}\\n')
        server = proxy.server()
        Script("""
            server < {{"id": 1}}
            bob > {{"id": 2}}
            server < {{"id": 2}}
            server > [{{"id": 2}}, {{"id": 1}}]
            ann < {{"id": 1}}
            bob < {{"id": 2}}
        """).play(lambda: proxy.elapse(1), ann=ann, bob=bob, server=server)
        assert proxy.connections() == 1


def test_a_request_without_an_id_is_answered_at_once() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        Script("""
            client > nonsense
            client < {{"error": "no id"}}
        """).play(proxy.run, client=client)
        assert proxy.connections() == 0
'''

FILTER = '''\
"""{name}: require a field in requests, and forbid caches to store responses."""

from vcproxy.api import Filter, Response, Transaction


class {Name}(Filter):
    """Requests need the field X-Client; responses must not be stored."""

    def request_head(self, tx: Transaction) -> Response | None:
        """Reject a request without the field before it reaches a server."""
        if "X-Client" in tx.request.fields:
            return None
        return Response(400, {{"Content-Type": "text/plain"}}, b"the field X-Client is required\\n")

    def response_head(self, tx: Transaction) -> None:
        """Change the head of a response."""
        tx.response.fields["Cache-Control"] = "private, no-store"
'''

FILTER_TEST = '''\
"""{name}: which requests reach the server, and what the client gets."""

from vcproxy.api import Request
from vcproxy.testing import SimulatedHttp

from {name} import {Name}


def test_responses_are_not_stored() -> None:
    with SimulatedHttp({Name}()) as proxy:
        answer = proxy.send(Request("GET", "/", {{"X-Client": "ann"}}, host="shop.example"))
        assert answer.status == 200
        assert answer.fields["Cache-Control"] == "private, no-store"


def test_a_request_without_the_field_causes_no_connection() -> None:
    with SimulatedHttp({Name}()) as proxy:
        assert proxy.send(Request("GET", "/", host="shop.example")).status == 400
        assert proxy.received() == []
'''

PROGRAM = '''\
"""{name}: count the files that are written to a folder."""

from collections.abc import Hashable
from dataclasses import dataclass

from vcproxy.api import FileChanged, FileChanges, FileEvent, Program, ReceivedMessage, on_message


class {Name}(Program):
    """Counts new files; `vcproxy signal COUNT` asks for the number."""

    @dataclass(frozen=True)
    class Options:
        """The keys under [listener.options]."""

        folder: str = "inbox"

    options: Options

    def start(self) -> None:
        """Called once, when the proxy has started."""
        self.count = 0
        FileChanges(self, "inbox").watch(self.options.folder, FileEvent.UPDATED)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Called for each event of a source, with its class as the key."""
        if isinstance(data, FileChanged) and FileEvent.UPDATED in data.kinds:
            self.count += 1

    @on_message("COUNT")
    def counted(self, received: ReceivedMessage) -> None:
        """Ask how many files were written."""
        received.reply("COUNTED", files=self.count)
'''

PROGRAM_TEST = '''\
"""{name}: which files are counted, in a simulated file system."""

from vcproxy.testing import SimulatedProxy

from {name} import {Name}


def test_files_of_the_folder_are_counted() -> None:
    with SimulatedProxy({Name}) as proxy:
        proxy.sim.files.mkdir("/inbox")
        proxy.elapse(1)
        proxy.sim.files.write("/inbox/today.csv", "1;2")
        proxy.sim.files.write("/elsewhere.csv", "1;2")
        proxy.elapse(1)
        [reply] = proxy.bus.send("COUNT")
        assert reply.to_text() == "COUNTED files=1"
'''

KINDS = {
    "session": (SESSION, SESSION_TEST),
    "validator": (VALIDATOR, VALIDATOR_TEST),
    "splitter": (SPLITTER, SPLITTER_TEST),
    "filter": (FILTER, FILTER_TEST),
    "program": (PROGRAM, PROGRAM_TEST),
}
"""The templates of a plugin and its test, by kind. {name} is the module and {Name} the class."""


def new(name: str, kind: str, directory: Path, force: bool = False) -> tuple[Path, Path]:
    """Write a plugin and a test that passes; return their paths.

    Raises PluginError if the name is invalid, or if a file exists and `force` is not given. Then
    nothing is written.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise PluginError(f'"{name}" cannot be the name of a module: use letters, digits and _')
    if name in sys.stdlib_module_names or name == "vcproxy":
        raise PluginError(f'"{name}" would hide the module {name}: choose another name')
    files = directory / f"{name}.py", directory / f"test_{name}.py"
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    try:
        with ExitStack() as both:
            for file in files:
                refuse_existing(file, force)
            for file, template in zip(files, KINDS[kind], strict=True):
                text = template.format(name=name, Name=title)
                both.enter_context(written(file, force)).write_text(text)
    except Exists as error:
        raise PluginError(str(error)) from None
    except OSError as error:
        raise PluginError(f"cannot write {error.filename}: {error.strerror}") from None
    return files
