"""The plugin syslog between real programs: rsyslog, syslog-ng, logger, Python, and the log of
another vcproxy."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import SysLogHandler
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import ECHO, Running, eventually, free_port
from tests.e2e.test_syslog import Rsyslog

START = """
[[listener]]
name = "in"
bind = ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "udp://127.0.0.1:0"]
tls = {{ certificate = "{certificate}", key = "{key}" }}
plugin = "syslog"
upstream = "logs"
options = {{ {options}idle = "1s" }}

[upstream.logs]
servers = ["{server}"]
{rest}
"""


class Relay:
    """A proxy with the plugin, at tcp://, tls:// and udp://."""

    def __init__(
        self,
        proxy: Starter,
        certificates: Certificates,
        server: str,
        options: str = "",
        rest: str = "",
    ) -> None:
        certificate, key = certificates.issue("127.0.0.1")
        self.running: Running = proxy(
            START.format(
                certificate=certificate, key=key, server=server, options=options, rest=rest
            )
        )
        self.ports = {
            uri.partition(":")[0]: int(uri.rpartition(":")[2]) for uri in self.running.uris("in")
        }


class Collector(Rsyslog):
    """rsyslog as the log server: what it takes each message for."""

    def messages(self) -> list[tuple[str, str, str]]:
        """The host, the name of the program, and the text of each message."""
        file = self._folder / "received"
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        return [(host, name, text) for _, _, _, host, name, _, text, _ in map(_fields, lines)]

    def wait(self, count: int) -> list[tuple[str, str, str]]:
        """Wait until it has received so many messages; return them."""
        eventually(lambda: len(self.messages()) >= count, f"{count} messages at rsyslog")
        return self.messages()


def _fields(line: str) -> list[str]:
    return line.split("|")


@pytest.fixture
def collector(tmp_path: Path, tools: Tools, certificates: Certificates) -> Collector:
    tools.require("rsyslogd")
    folder = tmp_path / "collector"
    folder.mkdir()
    return Collector(folder, tools, certificates)


LOGGER = {
    "tcp": ("-T",),
    "tcp, octet counting": ("-T", "--octet-count"),
    "tcp, rfc3164": ("-T", "--rfc3164"),
    "udp": ("-d",),
    "udp, rfc3164": ("-d", "--rfc3164"),
}


@pytest.mark.parametrize("how", LOGGER)
@pytest.mark.parametrize("server", ["tcp", "udp"])
@pytest.mark.parametrize("encoding", ["octet-counting", "newline"])
def test_what_logger_sends_arrives_with_the_address_of_its_sender(
    how: str,
    server: str,
    encoding: str,
    collector: Collector,
    tools: Tools,
    proxy: Starter,
    certificates: Certificates,
) -> None:
    relay = Relay(
        proxy,
        certificates,
        f"{server}://127.0.0.1:{collector.ports[server]}",
        f'sender = "replace", encoding = "{encoding}", ',
    )
    port = str(relay.ports[how[:3]])
    for text in ("one", "two"):
        tools.run(
            "logger", "-n", "127.0.0.1", "-P", port, *LOGGER[how], "-t", "su", "-p", "auth.err",
            text,
        )  # fmt: skip
    received = collector.wait(2)
    assert sorted(received) == sorted(
        ("127.0.0.1", "su", f"{lead}{text}")
        for text in ("one", "two")
        for lead in ([" "] if "3164" in how else [""])
    )
    relay.running.stop()


def test_a_program_of_this_host_logs_at_a_unix_socket(
    collector: Collector, tools: Tools, proxy: Starter, tmp_path: Path
) -> None:
    path = tmp_path / "log.sock"
    running = proxy(f"""
[[listener]]
name = "in"
bind = "unixgram:{path}"
plugin = "syslog"
upstream = "logs"
options = {{ idle = "1s" }}

[upstream.logs]
servers = ["tcp://127.0.0.1:{collector.ports["tcp"]}"]
""")
    tools.run("logger", "-u", str(path), "--socket-errors=on", "-t", "su", "failed")
    [(_, name, text)] = collector.wait(1)
    assert (name, text) == ("su", " failed")
    running.stop()


def until_it_arrives(port: int, arrived: Callable[[], bool]) -> None:
    """Send a message as datagrams until it arrives: it is lost while nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))

        def sent() -> bool:
            with suppress(ConnectionRefusedError):
                out.send(b"<34>1 - router7 bgpd 4711 UP - neighbour is up")
            return arrived()

        eventually(sent, "the message")


FORWARD = """
global(workDirectory="{folder}" defaultNetstreamDriverCAFile="{ca}")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{port}")
action(type="omfwd" target="127.0.0.1" port="{to}" template="RSYSLOG_SyslogProtocol23Format" {how})
"""

OMFWD = {
    "udp": 'protocol="udp"',
    "tcp": 'protocol="tcp"',
    "tcp, octet counting": 'protocol="tcp" TCP_Framing="octet-counted"',
    "tls": 'protocol="tcp" StreamDriver="ossl" StreamDriverMode="1" '
    'StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="127.0.0.1"',
}


@pytest.mark.parametrize("how", OMFWD)
def test_what_rsyslog_forwards_reaches_another_rsyslog(
    how: str,
    collector: Collector,
    tools: Tools,
    proxy: Starter,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    server = "tls" if how == "tls" else "tcp"
    relay = Relay(
        proxy,
        certificates,
        f"{server}://127.0.0.1:{collector.ports[server]}",
        'sender = "origin", ',
        f'tls = {{ ca = "{certificates.ca}" }}' if server == "tls" else "",
    )
    port = free_port(socket.SOCK_DGRAM)
    (tmp_path / "sender.conf").write_text(
        FORWARD.format(
            folder=tmp_path,
            ca=certificates.ca,
            port=port,
            to=relay.ports[how[:3]],
            how=OMFWD[how],
        )
    )
    sender = tools.start(
        "rsyslogd", "-n", "-f", f"{tmp_path}/sender.conf", "-i", f"{tmp_path}/sender.pid"
    )
    until_it_arrives(port, lambda: bool(collector.messages()))
    assert collector.messages()[0] == ("router7", "bgpd", "neighbour is up")
    sender.terminate()
    sender.wait()
    relay.running.stop()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_what_python_logs_arrives(
    kind: str, collector: Collector, proxy: Starter, certificates: Certificates
) -> None:
    relay = Relay(proxy, certificates, f"tcp://127.0.0.1:{collector.ports['tcp']}", "nul = true, ")
    handler = SysLogHandler(
        ("127.0.0.1", relay.ports[kind]),
        socktype=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM,
    )
    for text in ("app: one", "app: two"):
        handler.emit(logging.LogRecord("app", logging.ERROR, "", 0, text, None, None))
    handler.close()
    assert collector.wait(2) == [("127.0.0.1", "app", " one"), ("127.0.0.1", "app", " two")]
    relay.running.stop()


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
def test_the_log_of_another_proxy_arrives(
    kind: str, collector: Collector, proxy: Starter, certificates: Certificates
) -> None:
    relay = Relay(proxy, certificates, f"tcp://127.0.0.1:{collector.ports['tcp']}")
    ca = f"?ca={certificates.ca}" if kind == "tls" else ""
    other = proxy(f'[proxy]\nlog = "syslog:{kind}://127.0.0.1:{relay.ports[kind]}{ca}"\n' + ECHO)
    other.file.write_text("not = TOML at all")
    os.kill(other.pid, 1)  # SIGHUP
    eventually(
        lambda: any("not reloaded" in text for _, _, text in collector.messages()), "the refusal"
    )
    assert {each[:2] for each in collector.messages()} == {(socket.gethostname(), "vcproxy")}
    other.stop()
    relay.running.stop()


SYSLOG_NG = """
@version: 3.38
options {{ keep-hostname(yes); stats-freq(0); }};
source in {{ {source} }};
destination out {{ {out} }};
log {{ source(in); destination(out); }};
"""


def start_syslog_ng(tools: Tools, folder: Path, source: str, out: str) -> subprocess.Popen[bytes]:
    """Start syslog-ng with a source and a destination."""
    folder.mkdir()
    (folder / "syslog-ng.conf").write_text(SYSLOG_NG.format(source=source, out=out))
    return tools.start(
        "syslog-ng", "--foreground", "--no-caps", "-f", f"{folder}/syslog-ng.conf",
        "-R", f"{folder}/persist", "-p", f"{folder}/pid", "-c", f"{folder}/control",
    )  # fmt: skip


OUT = {
    "udp": 'network("127.0.0.1" transport("udp") port({port}))',
    "tcp": 'network("127.0.0.1" transport("tcp") port({port}))',
    "tcp, octet counting": 'syslog("127.0.0.1" transport("tcp") port({port}))',
    "tls": 'syslog("127.0.0.1" transport("tls") port({port}) tls(ca-file("{ca}")))',
}


@pytest.mark.parametrize("how", OUT)
def test_what_syslog_ng_sends_arrives(
    how: str,
    collector: Collector,
    tools: Tools,
    proxy: Starter,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    tools.require("syslog-ng")
    relay = Relay(proxy, certificates, f"tcp://127.0.0.1:{collector.ports['tcp']}")
    port = free_port(socket.SOCK_DGRAM)
    sender = start_syslog_ng(
        tools,
        tmp_path / "sender",
        f'network(ip("127.0.0.1") transport("udp") port({port}) flags(syslog-protocol));',
        OUT[how].format(port=relay.ports[how[:3]], ca=certificates.ca) + ";",
    )
    until_it_arrives(port, lambda: bool(collector.messages()))
    host, name, text = collector.messages()[0]
    assert (host, name, text.strip()) == ("router7", "bgpd", "neighbour is up")
    sender.terminate()
    sender.wait()
    relay.running.stop()


SOURCE = {
    "octet-counting": 'syslog(ip("127.0.0.1") transport("tcp") port({port}));',
    "newline": 'network(ip("127.0.0.1") transport("tcp") port({port}) flags(syslog-protocol));',
    "udp": 'syslog(ip("127.0.0.1") transport("udp") port({port}));',
    "tls": 'syslog(ip("127.0.0.1") transport("tls") port({port}) '
    'tls(cert-file("{certificate}") key-file("{key}") peer-verify(optional-untrusted)));',
}


@pytest.mark.parametrize("how", SOURCE)
def test_what_is_forwarded_is_what_syslog_ng_takes(
    how: str, tools: Tools, proxy: Starter, certificates: Certificates, tmp_path: Path
) -> None:
    tools.require("syslog-ng")
    tools.require("logger")
    certificate, key = certificates.issue("127.0.0.1")
    port = free_port(socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM)
    file = tmp_path / "collected"
    start_syslog_ng(
        tools,
        tmp_path / "collector",
        SOURCE[how].format(port=port, certificate=certificate, key=key),
        f'file("{file}" template("$HOST|$PROGRAM|$MSG|${{.SDATA.origin.ip}}\\n"));',
    )
    scheme = how if how in ("udp", "tls") else "tcp"
    encoding = "newline" if how == "newline" else "octet-counting"
    relay = Relay(
        proxy,
        certificates,
        f"{scheme}://127.0.0.1:{port}",
        f'sender = "origin", encoding = "{encoding}", ',
        f'tls = {{ ca = "{certificates.ca}" }}' if scheme == "tls" else "",
    )
    until_it_arrives(relay.ports["udp"], lambda: file.exists() and file.read_text() != "")
    assert file.read_text().splitlines()[0] == "router7|bgpd|neighbour is up|127.0.0.1"
    relay.running.stop()
