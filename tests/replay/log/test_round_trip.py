"""Round trip: a run of each bundled plugin is recorded, replayed, cut, compared and redacted.

Every run has several clients, and each sends its own secret: the log that is cut out for one of
them must not contain the others' secrets.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from trustme import CA, KeyType

from vcproxy.app import cli
from vcproxy.config.loader import load
from vcproxy.config.plugin_loader import BUNDLED
from vcproxy.drivers.sim import Peer
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.tls_context import client_context
from vcproxy.engine.address import Address
from vcproxy.replay.format.entries import AcceptedEntry
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.what_if.comparison import compare
from vcproxy.testing.configured import ConfiguredProxy

SECRETS = [b"secret-anna", b"secret-bert", b"secret-cleo"]
"""What each client sends, and no other client may receive."""


@dataclass(frozen=True)
class Run:
    """A configuration, its servers, and what its clients send."""

    text: str
    """The configuration."""
    plugin: str = ""
    """The plugin; empty: the name of the run."""
    messages: Callable[[bytes], list[bytes]] = lambda secret: [b"hello\n", b"the " + secret + b"\n"]
    """The messages of a client with this secret."""
    servers: dict[str, Callable[[ConfiguredProxy, Peer], None]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Plugins beside the configuration."""
    tls: bool = False
    tested: bool = True
    """Whether `to-test` works: no conversation depends on another."""
    others: tuple[str, ...] = ()
    """Other listeners that get a client."""
    alone: bool = True
    """Whether each conversation has server connections, or a known share of them."""
    clients: bool = True
    """Whether there are clients."""
    programs: dict[str, Callable[[ConfiguredProxy, SimProcess], None]] = field(default_factory=dict)
    """Programs that it launches, by path."""


def lines(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A server that repeats every line, with a delay."""
    rest = bytearray()

    def on_data(data: bytes) -> None:
        rest.extend(data)
        *whole, left = bytes(rest).split(b"\n")
        rest[:] = left
        answer = b"".join(b"re " + line + b"\n" for line in whole)
        if answer:
            proxy.sim.clock.after(0.02, partial(peer.send, answer))

    peer.on_data = on_data
    peer.on_end = partial(proxy.sim.clock.after, 0.05, peer.end)


def pages(proxy: ConfiguredProxy, peer: Peer) -> None:
    """An HTTP server: the body is the request line, and Set-Cookie the request's cookie."""
    rest = bytearray()

    def on_data(data: bytes) -> None:
        rest.extend(data)
        while (end := rest.find(b"\r\n\r\n")) >= 0:
            head = bytes(rest[:end])
            del rest[: end + 4]
            cookies = re.findall(rb"(?i)cookie: ([^\r]*)", head)
            cookie = b"".join(b"Set-Cookie: %s\r\n" % each for each in cookies)
            body = head.split(b"\r\n")[0] + b" for " + b"".join(cookies) + b"\n"
            answer = (
                b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n%sContent-Length: %d"
                b"\r\n\r\n%s" % (cookie, len(body), body)
            )
            proxy.sim.clock.after(0.02, partial(peer.send, answer))

    peer.on_data = on_data
    peer.on_end = peer.end


def slow_pages(proxy: ConfiguredProxy, peer: Peer) -> None:
    """An HTTP server so slow that several clients wait at a time; it closes after each response."""
    pages(proxy, peer)
    reply = peer.on_data
    peer.on_data = lambda data: proxy.sim.clock.after(0.1, partial(reply, data))
    proxy.sim.clock.after(0.55, peer.end)


def short(proxy: ConfiguredProxy, process: SimProcess) -> None:
    """A program that fails after a while."""
    proxy.sim.clock.after(0.1, partial(process.exit, 3))


def ignoring(proxy: ConfiguredProxy, process: SimProcess) -> None:
    """A program that runs until it is killed."""
    process.on_signal = lambda number: None


def admits(secret: bytes) -> list[bytes]:
    """Two messages of HL7 over MLLP, whose control ID has the secret."""
    head = b"MSH|^~\\&|LAB|NORTH|EHR|SOUTH|||ADT^A01|%d-%b|P|2.5.1\r"
    return [b"\x0b%b\x1c\r" % (head % (number, secret)) for number in range(2)]


def receiver(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A receiver of HL7 that acknowledges each message."""
    ack = b"\x0bMSH|^~\\&|EHR|SOUTH|LAB|NORTH|||ACK|1|P|2.5.1\rMSA|AA|%b\r\x1c\r"

    def on_data(data: bytes) -> None:
        for control_id in re.findall(rb"ADT\^A01\|([^|]*)", data):
            proxy.sim.clock.after(0.02, partial(peer.send, ack % control_id))

    peer.on_data = on_data
    peer.on_end = peer.end


def writes(secret: bytes) -> list[bytes]:
    """Two requests of Modbus that write the secret to 6 registers, and read them (function 23)."""
    pdu = b"\x17\0\0\0\6\0\0\0\6\x0c" + secret.ljust(12)
    return [b"\0%c\0\0\0%c\1%b" % (number, 1 + len(pdu), pdu) for number in range(2)]


def device(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A device of Modbus whose registers are what was written last."""

    def on_data(data: bytes) -> None:
        reply = data[:4] + b"\0\x0f\1\x17\x0c" + data[17:29]
        proxy.sim.clock.after(0.02, partial(peer.send, reply))

    peer.on_data = on_data
    peer.on_end = peer.end


def packets(secret: bytes) -> list[bytes]:
    """Packets of an MPEG transport stream, whose payload is the secret."""
    return [b"\x47\1\0%c" % (0x10 | n) + secret.ljust(184) for n in range(4)]


SUPERVISED = """
[[listener]]
name = "in"
plugin = "supervise"
[listener.options]
strategy = "rest_for_one"
intensity = 2
[[listener.options.children]]
name = "short"
command = ["/bin/sh", "-c", "sleep 0.1; exit 3"]
[[listener.options.children]]
name = "deaf"
command = "/bin/cat"
shutdown = "100ms"
"""


def gets(secret: bytes) -> list[bytes]:
    get = b"GET /%d HTTP/1.1\r\nHost: a.example\r\nCookie: %s\r\n\r\n"
    return [get % (n, secret) for n in range(3)]


FILTERS = '''
from vcproxy.api import Filter, Transaction

class Stamp(Filter):
    """Changes requests and responses."""

    def request_head(self, tx: Transaction) -> None:
        tx.request.fields["X-Stamp"] = tx.client

    def response_body(self, tx: Transaction, body: bytes) -> bytes:
        return body.upper().replace(b"SECRET", b"secret")
'''

ASKING = '''
from dataclasses import dataclass
from vcproxy.api import Defer, Filter, Request, Response, Subrequests, Transaction, UpstreamName

def approved(path: str) -> bool:
    return True

class Asking(Filter):
    """Calls a function, sends a request to another upstream, and mirrors to a third one."""

    @dataclass(frozen=True)
    class Options:
        who: UpstreamName
        copies: UpstreamName

    def request_head(self, tx: Transaction) -> Defer:
        return Defer(approved, tx.request.target, deadline="5s", then=self.approved)

    def approved(self, tx: Transaction, value: object) -> Subrequests:
        cookie = tx.request.fields.get("Cookie", "")
        question = Request("GET", "/who", {"Cookie": cookie}, host="who.example")
        return Subrequests([question], then=self.answered, upstream=tx.upstreams[self.options.who])

    def answered(self, tx: Transaction, answers: list[Response]) -> None:
        tx.request.fields["X-Who"] = f"{answers[0].status} {len(answers[0].content)}"
        tx.mirror(tx.upstreams[self.options.copies])
'''

BUSY = """
[[listener]]
name = "in"
bind = "tcp://proxy:1"
plugin = "http_proxy"
upstream = "back"
[listener.options]
filters = [
    "stamp.py", { plugin = "asking.py", options = { who = "who", copies = "copies" } },
]

[upstream.back]
servers = ["tcp://one:1", "tcp://two:1"]
check = { kind = "http", interval = "200ms", timeout = "150ms" }
[upstream.who]
servers = ["tcp://three:1"]
[upstream.copies]
servers = ["tcp://four:1"]
"""

HTTP = """
[[listener]]
name = "in"
bind = "{scheme}://proxy:1"
plugin = "http_proxy"
upstream = "back"
{keys}
options = {{ filters = ["stamp.py"] }}

[upstream.back]
servers = ["tcp://one:1", "tcp://two:1"]
check = {{ kind = "http", interval = "200ms", timeout = "100ms" }}
"""


def listener(plugin: str, upstream: str = "tcp://one:1", options: str = "") -> str:
    """Return a configuration with a listener "in", and with an upstream if one is given."""
    text = f'[[listener]]\nname = "in"\nbind = "tcp://proxy:1"\nplugin = "{plugin}"\n'
    if options:
        text += f"options = {{ {options} }}\n"
    if upstream:
        text += f'upstream = "back"\n[upstream.back]\nservers = ["{upstream}"]\n'
    return text


RELAYS = ("relay", "nmea", "mpegts")
"""The plugins whose clients receive what others send."""

WITHOUT_ANSWERS = (*RELAYS, "page", "echo_server", "syslog")
"""The plugins whose clients are not sent what they have sent."""

KEYS = 'tls = { certificate = "proxy.pem", key = "proxy.key" }'

RUNS = {
    "echo": Run(listener("echo", "")),
    "echo_client": Run(
        listener("echo_client").replace('bind = "tcp://proxy:1"\n', ""),
        servers={"one": lines},
        clients=False,
    ),
    "echo_server": Run(listener("echo_server", "")),
    "faults": Run(
        listener("faults", options='up = { latency = "20ms" }, down = { slice = "3B" }'),
        servers={"one": lines},
    ),
    "forward": Run(listener("forward"), servers={"one": lines}),
    "forward over TLS": Run(
        listener("forward")
        .replace("tcp://proxy:1", "tls://proxy:1")
        .replace('upstream = "back"', f'upstream = "back"\n{KEYS}'),
        plugin="forward",
        servers={"one": lines},
        tls=True,
    ),
    "http_proxy": Run(
        HTTP.format(scheme="tcp", keys=""),
        messages=gets,
        servers={"one": pages, "two": pages},
        files={"stamp.py": FILTERS},
    ),
    "http_proxy over TLS": Run(
        HTTP.format(scheme="tls", keys=KEYS),
        plugin="http_proxy",
        messages=gets,
        servers={"one": pages, "two": pages},
        files={"stamp.py": FILTERS},
        tls=True,
    ),
    "http_proxy with filters that send requests": Run(
        BUSY,
        plugin="http_proxy",
        messages=gets,
        servers={"one": slow_pages, "two": slow_pages, "three": pages, "four": pages},
        files={"stamp.py": FILTERS, "asking.py": ASKING},
    ),
    "mirror": Run(
        listener("mirror", options='mirrors = ["tcp://m1:1", "tcp://m2:1"]'),
        servers={"one": lines, "m1": lines, "m2": lines},
    ),
    "mllp": Run(
        listener("mllp"), messages=admits, servers={"one": receiver}, tested=False, alone=False
    ),
    "modbus": Run(
        listener("modbus"), messages=writes, servers={"one": device}, tested=False, alone=False
    ),
    "mpegts": Run(
        listener("mpegts", "", 'subscribers = "tcp://proxy:2"'),
        messages=packets,
        tested=False,
        others=("in.subscribers", "in.subscribers"),
        alone=False,
    ),
    "nmea": Run(
        listener("nmea", "", 'unchecked = true, subscribers = "tcp://proxy:2"'),
        messages=lambda secret: [b"$GPTXT,hello\r\n", b"$GPTXT,the %b\r\n" % secret],
        tested=False,
        others=("in.subscribers", "in.subscribers"),
        alone=False,
    ),
    "page": Run(listener("page", ""), messages=gets),
    "relay": Run(
        listener("relay", "", 'framing = "lines", subscribers = "tcp://proxy:2"'),
        tested=False,
        others=("in.subscribers", "in.subscribers"),
        alone=False,
    ),
    "split": Run(listener("split"), servers={"one": lines}, tested=False, alone=False),
    "supervise": Run(
        SUPERVISED, programs={"/bin/sh": short, "/bin/cat": ignoring}, tested=False, clients=False
    ),
    "syslog": Run(
        listener("syslog", options='encoding = "newline", sender = "replace"'),
        messages=lambda secret: [b"<13>hello\n", b"<11>the %b\n" % secret],
        servers={"one": lines},
    ),
    "validate": Run(
        listener("validate", options='pattern = "the.*", answer = "no", keep = true'),
        servers={"one": lines},
    ),
}


@dataclass(frozen=True)
class Recorded:
    """A recorded run."""

    run: Run
    plugin: str
    log: Path
    clients: list[int]
    """The numbers of its clients."""
    received: list[bytes]
    """What they have received."""


@pytest.fixture(scope="module", params=RUNS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    run = RUNS[request.param]
    folder = tmp_path_factory.mktemp("run")
    trust = keys(folder) if run.tls else None
    for name, text in run.files.items():
        (folder / name).write_text(text)
    (folder / "proxy.toml").write_text(run.text)
    log = folder / "run.log"
    with ConfiguredProxy(load(folder / "proxy.toml"), record=log) as proxy:
        for path, program in run.programs.items():
            proxy.sim.programs[path] = partial(program, proxy)
        for name, script in run.servers.items():
            proxy.sim.server(Address("tcp", name, 1), partial(script, proxy))
        proxy.sim.elapse(0.3)
        others = [proxy.client(name) for name in run.others]
        clients = [
            proxy.client("in", tls=trust, server_name="proxy")
            for _ in SECRETS[: len(SECRETS) * run.clients]
        ]
        for messages in zip(*map(run.messages, SECRETS), strict=True):
            for client, message in zip(clients, messages, strict=bool(clients)):
                client.send(message)
                proxy.sim.elapse(0.03)
            proxy.sim.elapse(0.2)
        for client in (*clients, *others):
            client.end()
            proxy.sim.elapse(0.3)
    accepted = [
        entry.vc for _, entry in RecordingLog(log).steps() if isinstance(entry, AcceptedEntry)
    ]
    plugin = run.plugin or request.param
    return Recorded(run, plugin, log, accepted, [bytes(each.received) for each in clients])


def test_all_bundled_plugins_are_included() -> None:
    names = {path.stem for path in BUNDLED.glob("*.py")} - {"__init__"}
    assert names == {run.plugin or name for name, run in RUNS.items()}


def keys(folder: Path) -> ssl.SSLContext:
    ca = CA(key_type=KeyType.RSA)
    leaf = ca.issue_cert("proxy", key_type=KeyType.RSA)
    leaf.cert_chain_pems[0].write_to_path(folder / "proxy.pem")
    leaf.private_key_pem.write_to_path(folder / "proxy.key")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return client_context(ca=folder / "ca.pem")


def vcproxy(*arguments: object) -> int:
    return cli.main([str(each) for each in arguments])


def nothing_differs(log: Path, plugin: str) -> None:
    """Check that the simulation of the same plugin is equal to the recording."""
    compared = compare(log, plugin)
    assert not compared.differs, compared
    odd = [each for each in compared.conversations if not each.repeated]
    assert not odd, odd


def test_the_clients_were_served(recorded: Recorded) -> None:
    if recorded.run.clients and recorded.plugin not in WITHOUT_ANSWERS:
        for received, secret in zip(recorded.received, SECRETS, strict=True):
            assert secret in received


def test_the_log_is_replayed(recorded: Recorded) -> None:
    assert vcproxy("replay", recorded.log) == 0


def test_nothing_differs_with_the_recorded_plugins(recorded: Recorded) -> None:
    nothing_differs(recorded.log, recorded.plugin)
    for filter_ in recorded.run.files:
        nothing_differs(recorded.log, str(recorded.log.parent / filter_))


def test_a_cut_contains_one_client_only(recorded: Recorded, tmp_path: Path) -> None:
    for number in recorded.clients:
        out = tmp_path / f"{number}.log"
        assert vcproxy("log", "cut", recorded.log, "--conversation", number, "-o", out) == 0
        content = out.read_bytes()
        if recorded.plugin not in RELAYS:
            assert sum(secret in content for secret in SECRETS) == 1, number
        if recorded.run.alone:
            nothing_differs(out, recorded.plugin)
        else:
            assert not compare(out, recorded.plugin).differs


def test_conversations_become_tests(recorded: Recorded, tmp_path: Path) -> None:
    written = 0
    for number in recorded.clients:
        out = tmp_path / f"test_{number}.py"
        status = vcproxy("log", "to-test", recorded.log, "--conversation", number, "-o", out)
        assert status == 0 or not recorded.run.tested, number
        written += status == 0
    if written:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        tried = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert f"{written} passed" in tried.stdout, tried.stdout


def test_a_redacted_log_contains_no_secret(recorded: Recorded, tmp_path: Path) -> None:
    out = tmp_path / "safe.log"
    assert vcproxy("log", "redact", recorded.log, "--pattern", r"secret-\w+", "-o", out) == 0
    content = out.read_bytes()
    assert b"secret-" not in content
    assert b"xxxxxxxxxxx" in content or not recorded.run.clients
    assert RecordingLog(out).header.marks == ("redacted",)
    assert vcproxy("log", "show", out) == 0
