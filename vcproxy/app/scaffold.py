"""Scaffold: the files that a plugin begins with, for `vcproxy plugin new`."""

from __future__ import annotations

import keyword
import sys
from contextlib import ExitStack
from pathlib import Path

from vcproxy.config.plugin_loader import PluginError
from vcproxy.output import Exists, refuse_existing, written

SESSION = '''\
"""{name}: say hello, then connect the client to a server."""

from vcproxy.api import TIMEOUT, Message, Session, State, TunnelDone


class {Name}(Session):
    """Hears one line before anything touches the server."""

    needs_upstream = True

    ASKING = State(initial=True, timeout="5s")
    RELAYING, DONE = State(), State(final=True)

    ASKING.goes(TIMEOUT, DONE)

    @ASKING.on(Message, to=RELAYING)
    def asked(self, message: Message) -> None:
        """What the client says behind its first line goes to the server."""
        self.answer(b"hello, " + message.data + b"\\n")
        self.lend()

    @RELAYING.on(TunnelDone, to=DONE)
    def relayed(self, done: TunnelDone) -> None:
        """Both have said all, or one has broken."""
        self.log(done)
'''

SESSION_TEST = '''\
"""{name}: as its clients see it."""

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


def test_who_says_nothing_never_touches_the_server() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        proxy.elapse(6)
        assert client.ended
        assert proxy.connections() == 0


def test_its_machine() -> None:
    assert check_machine({Name}) == {{"ASKING TunnelDone", "RELAYING Message"}}
'''

VALIDATOR = '''\
"""{name}: pass only valid messages, and answer the others."""

import json

from vcproxy.api import Accept, Resend, Validator, Verdict, json_lines


class {Name}(Validator):
    """Takes JSON objects that have an id."""

    framing = json_lines(limit="64KiB")

    def check(self, message: bytes) -> Verdict:
        """Judge one message."""
        try:
            valid = "id" in json.loads(message)
        except (ValueError, TypeError):
            valid = False
        return Accept() if valid else Resend(b'{{"error": "no id"}}\\n')
'''

VALIDATOR_TEST = '''\
"""{name}: what reaches the server, and what is answered."""

from vcproxy.testing import Script, SimulatedProxy, fragments

from {name} import {Name}

VALID = b'{{"id": 1}}\\n'


def test_valid_messages_pass_and_others_are_answered() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(VALID)
        server = proxy.server()
        Script("""
            server < {{"id": 1}}
            client > nonsense
            client < {{"error": "no id"}}
            client > {{"id": 2}}
            server < {{"id": 2}}
            server > done
            client < done
        """).play(proxy.run, client=client, server=server)


def test_it_does_not_matter_how_a_message_is_cut() -> None:
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
"""{name}: many clients share one server, and each gets the answers to its own requests."""

import json
from collections.abc import Iterator

from vcproxy.api import Part, Reject, Splitter, json_lines


class {Name}(Splitter):
    """Requests and answers are JSON objects with an id; the server answers many at once."""

    framing = json_lines(limit="64KiB")

    def key(self, request: bytes) -> str | Reject:
        """Find whose the answer will be."""
        try:
            return str(json.loads(request)["id"])
        except (ValueError, TypeError, KeyError):
            return Reject(b'{{"error": "no id"}}\\n', keep=True)

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        """Take a list of answers apart."""
        for answer in json.loads(reply):
            yield Part(str(answer["id"]), json.dumps(answer).encode())
'''

SPLITTER_TEST = '''\
"""{name}: one connection to the server, and to each client its own."""

from vcproxy.testing import Script, SimulatedProxy

from {name} import {Name}


def test_each_client_gets_the_answers_to_its_own_requests() -> None:
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
"""{name}: what passes through an HTTP proxy says who asked, and is not stored."""

from vcproxy.api import Filter, Response, Transaction


class {Name}(Filter):
    """Requests have the field X-Client; answers are for their client only."""

    def request_head(self, tx: Transaction) -> Response | None:
        """Refuse before anything reaches a server."""
        if "X-Client" in tx.request.fields:
            return None
        return Response(400, {{"Content-Type": "text/plain"}}, b"who are you? say X-Client\\n")

    def response_head(self, tx: Transaction) -> None:
        """Change what a server has answered."""
        tx.response.fields["Cache-Control"] = "private, no-store"
'''

FILTER_TEST = '''\
"""{name}: what reaches the server, and what comes back."""

from vcproxy.api import Request
from vcproxy.testing import SimulatedHttp

from {name} import {Name}


def test_answers_are_not_stored() -> None:
    with SimulatedHttp({Name}()) as proxy:
        answer = proxy.send(Request("GET", "/", {{"X-Client": "ann"}}, host="shop.example"))
        assert answer.status == 200
        assert answer.fields["Cache-Control"] == "private, no-store"


def test_a_request_of_nobody_never_touches_the_server() -> None:
    with SimulatedHttp({Name}()) as proxy:
        assert proxy.send(Request("GET", "/", host="shop.example")).status == 400
        assert proxy.received() == []
'''

KINDS = {
    "session": (SESSION, SESSION_TEST),
    "validator": (VALIDATOR, VALIDATOR_TEST),
    "splitter": (SPLITTER, SPLITTER_TEST),
    "filter": (FILTER, FILTER_TEST),
}
"""What there is to begin with: the plugin and its test. {name} and {Name} are module and class."""


def new(name: str, kind: str, directory: Path, force: bool = False) -> tuple[Path, Path]:
    """Write a plugin and its test, which passes; return their paths.

    Raises PluginError for a name that is no module's, and where a file exists, unless `force`: then
    nothing is written.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise PluginError(f'"{name}" cannot be the name of a module: letters, digits and _ can')
    if name in sys.stdlib_module_names or name == "vcproxy":
        raise PluginError(f'"{name}" would hide the module {name}: name it otherwise')
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
