"""The log of a proxy at a real rsyslog: over UDP, TCP, TLS and a Unix socket."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import ECHO, all_of, eventually, free_port

CONFIGURATION = """
global(workDirectory="{folder}" defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" sysSock.use="off")
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imtcp" address="127.0.0.1" port="{tcp}")
input(type="imtcp" address="127.0.0.1" port="{tls}" streamDriver.name="ossl" streamDriver.mode="1"
      streamDriver.authMode="anon")
input(type="imuxsock" socket="{folder}/log.sock" useSpecialParser="off" parseHostname="on")
template(name="fields" type="string"
         string="%syslogfacility-text%|%syslogseverity-text%|%protocol-version%|%hostname%|%app-name%|%procid%|%msg%|%msgid%\\n")
action(type="omfile" file="{folder}/received" template="fields")
"""


class Rsyslog:
    """A running rsyslog, and the ports that it listens at."""

    def __init__(self, folder: Path, tools: Tools, certificates: Certificates) -> None:
        certificate, key = certificates.issue("127.0.0.1")
        self.ca = certificates.ca
        self.ports = {"udp": free_port(socket.SOCK_DGRAM), "tcp": free_port(), "tls": free_port()}
        self.unix, self._received = folder / "log.sock", folder / "received"
        text = CONFIGURATION.format(
            folder=folder, ca=self.ca, certificate=certificate, key=key, **self.ports
        )
        (folder / "rsyslog.conf").write_text(text)
        self._folder, self._tools = folder, tools
        self.start()

    def start(self) -> None:
        self.process = self._tools.start(
            "rsyslogd", "-n", "-f", f"{self._folder}/rsyslog.conf", "-i", f"{self._folder}/pid"
        )
        eventually(self.unix.is_socket, "rsyslog")
        for kind in ("tcp", "tls"):
            eventually(lambda kind=kind: self._reached(kind), kind)  # type: ignore[misc]

    def _reached(self, kind: str) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports[kind])).close()
        except OSError:
            return False
        return True

    def received(self) -> list[list[str]]:
        """The fields of the messages of proxies."""
        text = self._received.read_text(errors="replace") if self._received.exists() else ""
        return [fields for line in text.splitlines() if "vcproxy" in (fields := line.split("|"))]


@pytest.fixture
def rsyslog(tmp_path: Path, tools: Tools, certificates: Certificates) -> Rsyslog:
    tools.require("rsyslogd")
    return Rsyslog(tmp_path, tools, certificates)


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "unix"])
def test_the_log_arrives_with_its_fields(kind: str, rsyslog: Rsyslog, proxy: Starter) -> None:
    place = (
        f"unix:{rsyslog.unix}" if kind == "unix" else f"{kind}://127.0.0.1:{rsyslog.ports[kind]}"
    )
    ca = f"&ca={rsyslog.ca}" if kind == "tls" else ""
    running = proxy(f'[proxy]\nlog = "syslog:{place}?facility=local3{ca}"\n' + ECHO)
    running.file.write_text("not = TOML at all")
    os.kill(running.pid, 1)  # SIGHUP
    eventually(lambda: len(rsyslog.received()) >= 2, "the refusal")
    running.stop()
    host = socket.gethostname()
    for fields in rsyslog.received():
        assert fields[0] == "local3"
        assert fields[2:6] == ["1", host, "vcproxy", str(running.pid)]
    refused = [fields for fields in rsyslog.received() if fields[1] == "err"]
    assert len(refused) == 1
    assert "not reloaded; the previous configuration stays in use:" in refused[0][6]
    assert "#012" in refused[0][6]  # its second line
    assert running.log.splitlines()[-1] == "ready"


def test_rsyslog_is_started_again(rsyslog: Rsyslog, proxy: Starter) -> None:
    running = proxy(f'[proxy]\nlog = "syslog:tcp://127.0.0.1:{rsyslog.ports["tcp"]}"\n' + ECHO)
    os.kill(running.pid, 1)  # SIGHUP
    eventually(lambda: any("reloaded" in each[6] for each in rsyslog.received()), "one")
    rsyslog.process.terminate()
    rsyslog.process.wait()
    count = len(rsyslog.received())
    for _ in range(3):
        os.kill(running.pid, 1)
    running.wait_for("cannot send the log to syslog:tcp://.*: connection refused; its lines wait")
    rsyslog.start()
    eventually(lambda: len(rsyslog.received()) > count, "the lines that have waited")
    running.stop()


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "unix"])
def test_records_of_sessions_arrive(kind: str, rsyslog: Rsyslog, proxy: Starter) -> None:
    place = (
        f"unix:{rsyslog.unix}" if kind == "unix" else f"{kind}://127.0.0.1:{rsyslog.ports[kind]}"
    )
    ca = f"&ca={rsyslog.ca}" if kind == "tls" else ""
    running = proxy(f'[access_log]\nfile = "syslog:{place}?facility=local3{ca}"\n' + ECHO)
    with running.connect("echo") as client:
        client.shutdown(socket.SHUT_WR)
        assert all_of(client) == b""
    eventually(lambda: bool(rsyslog.received()), "the record")
    running.idle_descriptors += 1  # the connection to the log server, made with the first record
    running.stop()
    ((facility, level, _, _, name, pid, record, msgid),) = rsyslog.received()
    assert (facility, level, name, pid) == ("local3", "info", "vcproxy", str(running.pid))
    assert msgid == "access"
    assert json.loads(record)["end"] == "--"


def test_a_log_server_that_is_away_delays_no_session(rsyslog: Rsyslog, proxy: Starter) -> None:
    port = rsyslog.ports["tcp"]
    rsyslog.process.terminate()
    rsyslog.process.wait()
    running = proxy(f'[access_log]\nfile = "syslog:tcp://127.0.0.1:{port}"\n' + ECHO)
    for _ in range(3):
        with running.connect("echo") as client:
            client.shutdown(socket.SHUT_WR)
            assert all_of(client) == b""
    running.wait_for("cannot send the access log to syslog:tcp://.*: connection refused; its line")
    rsyslog.start()
    eventually(lambda: len(rsyslog.received()) == 3, "the records that have waited")
    running.idle_descriptors += 1  # the connection to the log server
    running.stop()
