"""Every method that an author may override is called in each configuration that `-t` accepts.

`-t` refuses a class that overrides a method which is never called: the method may have been a check
that blocks traffic. The table has the configurations for each method, and what happens in them; the
last test fails for a method that is missing from the table.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vcproxy.api import (
    Filter,
    Forwarder,
    HttpProxy,
    Mirroring,
    Program,
    Relay,
    Session,
    Splitter,
    Validator,
)
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import load
from vcproxy.drivers.sim import Peer
from vcproxy.engine.address import Address
from vcproxy.http.filters import SERVER_PHASES, FilterChain, Phases
from vcproxy.sessions.program import Signal
from vcproxy.testing.configured import ConfiguredProxy

BACK, SHADOW, FEED, SINK = (f"127.0.0.1:{port}" for port in (2, 3, 4, 5))

PLUGIN = """\
from vcproxy import api
from vcproxy.engine.address import Address
from vcproxy.upstream.server import Server

CALLS = []


class Base(api.{base}):
    datagrams = {datagrams}
{body}


def recording(name):
    original = getattr(Base, name)

    def call(own, *args, **keywords):
        CALLS.append(name)
        return original(*args, **keywords) if own is None else original(own, *args, **keywords)

    if hasattr(original, "__self__"):
        return classmethod(lambda cls, *args, **keywords: call(None, *args, **keywords))
    return call


Own = type(Base)("Own", (Base,), {{name: recording(name) for name in {methods!r}}})
"""

BODIES = {
    "Validator": "    def check(self, message): return api.Accept()",
    "Mirroring": f"""
    def mirrors(self): return [Server(Address.parse("tcp://{SHADOW}"))]
""",
    "Session": """
    HERE = api.State(initial=True)
    GONE = api.State(final=True)
    @HERE.on(api.Message)
    def received(self, message): self.lend()
    HERE.goes(api.TunnelDone, GONE)
""",
    "Program": """
    def handle_event(self, key, data): pass
""",
}


class Case:
    """One configuration, and the traffic in it."""

    def __init__(
        self,
        base: type,
        *methods: str,
        body: str = "",
        options: str = "",
        keys: str = "",
        scheme: str = "tcp",
        source: str = "",
        server: str | None = "answers",
        sent: bytes = b"hello\n",
        refused: str = "",
    ) -> None:
        self.base = base
        self.methods = methods
        self.body = BODIES.get(base.__name__, "    pass") + body
        self.options = options
        self.keys = keys
        self.scheme = scheme
        self.source = source
        self.server = server
        self.sent = sent
        self.refused = refused

    def __str__(self) -> str:
        own = self.body.partition("\n\n#")[2]
        details = (self.options, self.keys, self.source, own, self.server)
        return " ".join((self.base.__name__, self.scheme, *self.methods, *filter(None, details)))

    def write(self, folder: Path) -> Path:
        """Write the plugin and a configuration that uses it; return the configuration's path."""
        text = PLUGIN.format(
            base=self.base.__name__,
            methods=self.methods,
            datagrams=self.scheme == "udp",
            body=self.body,
        )
        (folder / "own.py").write_text(text)
        plugin, options = "own.py:Own", [self.options]
        if self.base is Filter:
            plugin, options = "http_proxy", ['filters = ["own.py:Own"]', self.options]
        elif self.base is Relay:
            options = [f'subscribers = "tcp://{SINK}"', self.options]
        lines = ["[[listener]]", 'name = "own"', f'plugin = "{plugin}"', self.keys]
        if not self.source:
            lines.append(f'bind = "{self.scheme}://127.0.0.1:1"')
        if self.base not in (Relay, Program):
            lines.append('upstream = "back"')
        lines += ["[listener.options]", *options] if any(options) else []
        if self.base not in (Relay, Program):
            lines += ["[upstream.back]", f'servers = ["{self.scheme}://{BACK}"]']
        file = folder / "proxy.toml"
        file.write_text("\n".join(lines))
        return file


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
ABSOLUTE = b"POST http://127.0.0.1:2/ HTTP/1.1\r\nHost: 127.0.0.1:2\r\nContent-Length: 2\r\n\r\nhi"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
CONNECT = b"CONNECT 127.0.0.1:2 HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n"
DENY = 'deny = ["10.0.0.0/8"]'
LIMIT = "limits = { max_per_client = 1 }"
SETTINGS = ("needs_bind", "connects", "upstreams", "unused_methods", "notes", "drain")
FORWARD = 'forward = { allow = ["*:*", "127.0.0.0/8:*"] }'
TUNNEL = 'connect = { allow = ["127.0.0.0/8:*"] }'
OWN_ANSWER = 'routes = [{ answer = { status = 200, body = "hi" } }]'
ROUTED = ("request_head", "request_body", "request_chunk", "route", "server_chosen",
          "response_head", "response_body", "response_chunk", "every_response", "done")  # fmt: skip
LOCAL = ("request_head", "request_body", "every_response", "done")
FRAMINGS = {
    "lines": b"hello\n",
    "json-lines": b"{}\n",
    "netstring": b"5:hello,",
    "delimiter": b"hello|",
    "length-prefix": b"\0\5hello",
    "fixed": b"hello",
}
NEEDED = {"delimiter": 'delimiter = "|"', "length-prefix": "width = 2", "fixed": 'size = "5B"'}


def cases() -> Iterator[Case]:
    """Yield the rows of the table."""
    for scheme in ("tcp", "udp"):
        yield Case(Session, *SETTINGS, "servers", scheme=scheme)
        yield Case(Forwarder, *SETTINGS, "servers", "refusal", "upward", "downward", scheme=scheme)
        yield Case(Validator, *SETTINGS, "servers", "check", scheme=scheme)
        for in_turn in ("in_turn = True", "replies = api.lines()"):
            yield Case(Validator, "check", "servers", body=f"\n\n#\n    {in_turn}", scheme=scheme)
        checked = "\n\n#\n    framing = api.nmea()"
        yield Case(Validator, "damaged", body=checked, scheme=scheme, sent=b"$GP*00\r\n")
        yield Case(Splitter, *SETTINGS, "unfit_server", "key", "place", "split", scheme=scheme)
        rewriting = "\n\n#\n    def key(self, request): return api.Keyed(None, request)"
        yield Case(Splitter, "restore", body=rewriting, scheme=scheme)
        yield Case(Splitter, "split_rules", scheme=scheme)
        yield Case(Splitter, "unanswered", server="silent", scheme=scheme)
    for base in (Session, Forwarder, Validator, Splitter, Mirroring):
        yield Case(base, "refuse", keys=LIMIT)
        yield Case(base, "forwards", body="\n\n#\n    counts_requests = True", keys=DENY)
    yield Case(HttpProxy, "forwards", keys=DENY)
    yield Case(Forwarder, "unserved", server=None)
    yield Case(Splitter, "damaged", body="\n\n#\n    framing = api.nmea()", sent=b"$GPGGA,1*00\r\n")
    yield Case(Splitter, "orphan", "lost", body="\n\n#\n    orphans = 'broadcast'", server="talks")
    for method in ("orphan", "lost"):
        yield Case(
            Splitter, method, refused=f"overrides {method}(), which is never called: orphans"
        )
    yield Case(Splitter, "servers", refused="overrides servers(), which is never called")
    yield Case(HttpProxy, "servers", refused="overrides servers(), which is never called")
    for reply in ("primary", "first"):
        body = f"\n\n#\n    reply = {reply!r}"
        choosing = ("choice", "mirrors", "comparison", "servers", "refusal", *SETTINGS)
        yield Case(Mirroring, *choosing, body=body)
        yield Case(Mirroring, *choosing, body=f"{body}\n    framing = api.lines()")
    for reply in ("all", "quorum"):
        body = f"\n\n#\n    reply = {reply!r}\n    framing = api.lines()"
        yield Case(Mirroring, "choice", "mirrors", "comparison", "servers", body=body)
    yield Case(Mirroring, "unserved", server=None)
    for way in ("upward", "downward"):
        yield Case(Mirroring, way, refused=f"overrides {way}(), which is never called: mirrors")
    program = (
        "needs_bind", "connects", "binds", "unused_methods", "notes", "start", "stop", "status",
        "accept",
    )  # fmt: skip
    yield Case(Program, *program)
    yield Case(Program, *program, scheme="udp")
    for framing, data in FRAMINGS.items():
        options = f'framing = "{framing}"\n{NEEDED.get(framing, "")}'
        hooks = ("edit", "pack", "admit", "bind_option")
        yield Case(Relay, *program, *hooks, options=options, sent=data)
        for producers in ("interleave", "replace"):
            more = f'{options}\nproducers = "{producers}"'
            yield Case(Relay, "edit", "pack", options=more, sent=data)
        source = f'{options}\nsource = "tcp://{FEED}"'
        yield Case(Relay, "edit", "pack", "needs_bind", options=source, source="tcp", sent=data)
    source = f'source = "udp://{FEED}"'
    yield Case(Relay, "edit", "status", "needs_bind", options=source, source="udp")
    yield Case(Relay, "pack", options=source, source="udp")
    yield Case(Relay, "admit")
    never = 'overrides edit(), which is never called: framing = "none" has no messages'
    yield Case(Relay, "edit", refused=never)
    yield Case(Relay, "pack", refused=never.replace("edit", "pack"))
    yield Case(Relay, "edit", options=f'source = "tcp://{FEED}"', source="tcp", refused=never)
    for phases, options, data in (
        (ROUTED, "", POST),
        (ROUTED, FORWARD, ABSOLUTE),
        (("request_head", "route", "server_chosen", "response_head", "done"), "", UPGRADE),
        (("request_head", "route", "server_chosen", "done"), TUNNEL, CONNECT),
        (LOCAL, OWN_ANSWER, POST),
    ):
        for phase in phases:
            yield Case(HttpProxy, phase, options=options, sent=data, server="http")
            yield Case(Filter, phase, options=options, sent=data, server="http")
    for phase in SERVER_PHASES:
        refused = f"overrides {phase}(), which is never called: every route has an answer"
        for kind in (HttpProxy, Filter):
            yield Case(kind, phase, options=OWN_ANSWER, refused=refused)
    for both in (("request_body", "request_chunk"), ("response_body", "response_chunk")):
        refused = f"overrides {both[1]}(), which is never called: {both[0]}() has the whole body"
        for kind in (HttpProxy, Filter):
            yield Case(kind, *both, refused=f"Own {refused}")
    yield Case(HttpProxy, *SETTINGS, server="http", sent=GET)
    yield Case(HttpProxy, "refuse", keys=LIMIT, server="http", sent=GET)
    for kind in (HttpProxy, Filter):
        for options, data in (("", GET), (FORWARD, ABSOLUTE), (TUNNEL, CONNECT)):
            yield Case(kind, "error", options=options, server=None, sent=data)


CASES = list(cases())


def serve(peer: Peer, server: str | None) -> None:
    """Script a server."""

    def take(data: bytes) -> None:
        if server == "answers":
            peer.send(data.upper())
        elif server == "talks":
            peer.send(5 * data.upper())  # more than are asked for
            peer.close()
        elif server == "http" and b"pgrade" in data:
            peer.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        elif server == "http":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    peer.on_data = take
    peer.on_end = peer.close


def run_case(proxy: ConfiguredProxy, case: Case) -> None:
    """Connect clients, send the case's bytes, and drain the proxy."""
    sim = proxy.sim
    back = Address.parse(f"{case.scheme}://{BACK}")
    if case.scheme == "udp":
        server = sim.datagram_server(back)
        if case.server == "answers":
            server.on_datagram = lambda data, source: server.send(data.upper(), source)
    elif case.server is not None:
        sim.server(back, lambda peer: serve(peer, case.server))
        sim.server(Address.parse(f"tcp://{SHADOW}"), lambda peer: serve(peer, case.server))
    feed = sim.server(Address.parse(f"tcp://{FEED}")) if case.source == "tcp" else None
    sim.elapse(0.1)
    clients: list[Any] = []
    if case.source == "udp":
        clients = [sim.datagram_client(Address.parse(f"udp://{FEED}"))]
    elif feed is not None:
        sim.run(until=lambda: bool(feed.peers))
        clients = [feed.peers[0]]
    elif case.scheme == "udp":
        clients = [sim.datagram_client(Address.parse("udp://127.0.0.1:1"))]
    else:
        clients = [proxy.client("own") for _ in range(2)]
    if case.base is Relay:
        proxy.client("own.subscribers")
    sim.elapse(0.1)
    for client in clients:
        client.send(case.sent)
    sim.elapse(40.0 if case.server == "silent" else 1.0)
    proxy.listeners.programs.status()
    proxy.listeners.signalled(Signal(15))
    sim.elapse(1.0)
    for client in clients:
        client.close()
    proxy.listeners.programs.stop_others(())
    sim.elapse(100.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_called_or_refused(case: Case, tmp_path: Path) -> None:
    file = case.write(tmp_path)
    if case.refused:
        with pytest.raises(ConfigError) as caught:
            load(file)
        [problem] = caught.value.problems
        place = "options.filters.0.plugin" if case.base is Filter else "plugin"
        assert problem.path == f"listener.own.{place}"
        assert case.refused in problem.message
        return
    configuration = load(file)
    plugin = configuration.plugins["own"]
    own = plugin.filters[0].cls if case.base is Filter else plugin.cls
    calls: list[str] = vars(sys.modules[own.__mro__[1].__module__])["CALLS"]
    with ConfiguredProxy(configuration) as proxy:
        run_case(proxy, case)
    assert set(case.methods) - set(calls) == set()


def test_the_table_is_complete() -> None:
    """The table has each public method whose docstring says "to be overridden", and each phase."""
    known = {(case.base, method) for case in CASES for method in case.methods}
    for base in (Session, Validator, Splitter, Forwarder, Mirroring, Relay, Program, HttpProxy):
        for name, method in inspect.getmembers(base, inspect.isroutine):
            text = " ".join((method.__doc__ or "").split())
            if not name.startswith("_") and "o be overridden" in text and name != "finished":
                assert (base, name) in known, f"{base.__name__}.{name}"
    for phase in FilterChain.phases():
        assert getattr(Phases, phase)
        assert (Filter, phase) in known
        assert (HttpProxy, phase) in known


READS_MESSAGES = """\
from vcproxy import api
from vcproxy.engine.address import Address


class Own(api.Session):
    datagrams = True
    HERE = api.State(initial=True)
    RELAYED = api.State()
    GONE = api.State(final=True)

    @HERE.on(api.Message, to=(RELAYED,))
    def received(self, message):
        if message.data != b"relay":
            self.answer(b"received " + message.data)
            return None
        return self.RELAYED

    @RELAYED.enter
    def relayed(self):
        self.lend()

    RELAYED.goes(api.TunnelDone, GONE)
    RELAYED.goes(api.Event.EOS, GONE)

    def drain(self):
        raise RuntimeError("drain failed")
"""


def test_a_datagram_is_one_message_and_the_tunnel_gets_those_that_follow(
    tmp_path: Path,
) -> None:
    case = Case(Session, scheme="udp")
    file = case.write(tmp_path)
    (tmp_path / "own.py").write_text(READS_MESSAGES)
    with ConfiguredProxy(load(file)) as proxy:
        server = proxy.sim.datagram_server(Address.parse(f"udp://{BACK}"))
        client = proxy.sim.datagram_client(Address.parse("udp://127.0.0.1:1"))
        for data in (b"one", b"two\nlines", b"relay", b"three", b"four"):
            client.send(data)
        proxy.sim.elapse(1)
        assert client.received == [b"received one", b"received two\nlines"]
        assert server.received == [b"three", b"four"]


def test_a_drain_that_fails_ends_its_own_session_only(tmp_path: Path) -> None:
    case = Case(Session)
    file = case.write(tmp_path)
    (tmp_path / "own.py").write_text(READS_MESSAGES.replace("datagrams = True", ""))
    with ConfiguredProxy(load(file)) as proxy:
        client = proxy.client("own")
        proxy.sim.elapse(0.1)
        proxy.listeners.signalled(Signal(15))
        with pytest.raises(RuntimeError, match="drain failed"):
            proxy.sim.elapse(0.1)
        proxy.sim.elapse(0.1)
        assert client.reset_seen
        assert not proxy.engine.vcs
