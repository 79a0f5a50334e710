"""What if: runs are recorded in simulation and repeated with another plugin."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from trustme import CA, KeyType

from vcproxy.app import cli
from vcproxy.config.loader import load
from vcproxy.drivers.sim import Peer
from vcproxy.drivers.tls_context import client_context
from vcproxy.engine.address import Address
from vcproxy.replay.format.entries import ResolvedEntry, vc_of
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.format.writer import Writer
from vcproxy.testing.configured import ConfiguredProxy

SERVER = Address.parse("tcp://server:1")

FORWARD = """
    [[listener]]
    name = "front"
    bind = "tcp://proxy:1"
    plugin = "forward"
    upstream = "back"

    [upstream.back]
    servers = ["tcp://server:1"]
"""

VALIDATE = FORWARD.replace('"forward"', '"orders.py"')

ORDERS = '''
from vcproxy.api import Accept, Defer, Reject, Validator, Verdict, lines


def lookup(name: bytes) -> bool:
    return name == b"pear"


class Orders(Validator):
    framing = lines()

    def check(self, message: bytes) -> Verdict:
        """Rejects nuts."""
        return Reject(b"no nuts\\n", keep=True) if message == b"nut" else Accept()
'''


def changed(desk: Path, old: str, new: str) -> str:
    """Write a changed plugin; return its path."""
    file = desk / "today.py"
    file.write_text(ORDERS.replace(old, new))
    return str(file)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(ORDERS)
    return tmp_path


@contextmanager
def recorded(desk: Path, text: str) -> Iterator[ConfiguredProxy]:
    """Run a proxy that is recorded to the file "log"."""
    file = desk / "proxy.toml"
    file.write_text(text)
    with ConfiguredProxy(load(file), record=desk / "log") as proxy:
        yield proxy
        proxy.sim.run()


def upper(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A server that replies in upper case with a delay, and ends when its client does."""

    def on_data(data: bytes) -> None:
        proxy.sim.clock.after(0.1, partial(peer.send, data.upper()))

    peer.on_data = on_data
    peer.on_end = partial(proxy.sim.clock.after, 0.2, peer.end)


def send(proxy: ConfiguredProxy, *pieces: bytes) -> Peer:
    """Run a client that sends some pieces of data, with pauses, and ends."""
    client = proxy.client("front")
    for piece in pieces:
        client.send(piece)
        proxy.sim.elapse(0.5)
    client.end()
    return client


@pytest.fixture
def orders(desk: Path) -> Path:
    with recorded(desk, VALIDATE) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        send(proxy, b"apple\n", b"nut\n", b"pear\n")
        send(proxy, b"pear\n", b"plum\n")
    return desk / "log"


@pytest.fixture
def what_if(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs `vcproxy replay LOG --plugin PLUGIN`: its status and output."""

    def run(plugin: str, *options: str, log: Path = desk / "log") -> str:
        status = cli.main(["replay", str(log), "--plugin", plugin, *options])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return f"{status}: {printed.err}{printed.out}".rstrip().replace(f"{desk}/", "")

    return run


def test_the_same_plugin_changes_nothing(orders: Path, what_if: Callable[..., str]) -> None:
    assert what_if(str(orders.parent / "orders.py")) == ("0: 2 conversations, none of them differs")


def test_a_changed_reply_is_shown_from_its_first_difference(
    orders: Path, what_if: Callable[..., str]
) -> None:
    plugin = changed(orders.parent, "no nuts", "sorry")
    output = what_if(plugin)
    assert output.startswith("1: conversation")
    assert r"at byte 6: b'no nuts\nPEAR\n' becomes b'sorry\nPEAR\n'" in output
    assert output.endswith("2 conversations, 1 of them differs")


def test_one_conversation_in_full(orders: Path, what_if: Callable[..., str]) -> None:
    output = what_if(changed(orders.parent, "no nuts", "sorry"), "--conversation", "1")
    assert output == (
        "1: conversation 1: front 10.0.0.1:40000\n"
        "client: 19 bytes, closed; now at byte 6: "
        r"b'no nuts\nPEAR\n' becomes b'sorry\nPEAR\n'"
        "\n"
        "    APPLE\\n\n"
        "  - no nuts\\n\n"
        "  + sorry\\n\n"
        "    PEAR\\n\n"
        "tcp://server:1: 11 bytes, closed; now equal\n"
        "    apple\\n\n"
        "    pear\\n"
    )


def test_a_server_that_receives_less_still_replies(
    orders: Path, what_if: Callable[..., str]
) -> None:
    output = what_if(changed(orders.parent, 'message == b"nut"', 'message in (b"nut", b"plum")'))
    assert r"b'PLUM\n' becomes b'no nuts\nPLUM\n'" in output
    assert r"at byte 5: b'plum\n' becomes b''" in output


def test_a_plugin_that_fails_is_reported_and_no_traceback_is_shown(
    orders: Path, what_if: Callable[..., str]
) -> None:
    output = what_if(changed(orders.parent, 'message == b"nut"', 'message[5:] or b"nut"[9]'))
    assert output.count("failed: IndexError: index out of range (today.py:14)") == 2
    assert output.startswith("1: ")


HTTP = """
[[listener]]
name = "front"
bind = "tcp://127.0.0.1:80"
plugin = "http_proxy"
upstream = "shop"
[upstream.shop]
servers = ["tcp://10.0.0.7:5432"]
"""


def test_the_time_of_day_is_repeated(desk: Path, what_if: Callable[..., str]) -> None:
    def served(peer: Peer) -> None:
        peer.on_data = lambda _: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with recorded(desk, HTTP) as proxy:
        proxy.sim.network.epoch = 1_000_000_000
        proxy.sim.server(SERVER, served)
        client = proxy.client("front")
        for pause in (0.3, 0.9, 2.0, 0.1):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            proxy.sim.elapse(pause)
        client.end()
    assert client.received.count(b"\r\nDate: Sun, 09 Sep 2001 01:46:4") == 4
    assert what_if("http_proxy").startswith("0: ")


def test_half_closes_are_repeated(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        clients = [send(proxy, b"x" * 300_000, b"y"), send(proxy)]
        proxy.client("front").reset()
    assert [len(client.received) for client in clients] == [300_001, 0]
    assert what_if("forward").startswith("0: ")
    output = what_if("echo")
    assert "tcp://server:1  300001 bytes, closed  not connected" in output
    assert "becomes b'xxxxxxxxxxxxxxxxxxxxxxxx'" in output


def test_a_shared_server_connection_is_repeated(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD.replace('"forward"', '"split"')) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        for text in (b"one\n", b"two\n"):
            send(proxy, text)
    assert what_if("split").startswith("0: ")
    assert "client  4 bytes, closed  4 bytes, open" in what_if("forward")


def test_refused_connections_are_refused_again(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD) as proxy:
        client = send(proxy, b"hello?")
    assert not client.received
    assert what_if("forward") == "0: 1 conversation, none of them differs"


@pytest.fixture
def trusted(desk: Path) -> ssl.SSLContext:
    ca = CA(key_type=KeyType.RSA)
    leaf = ca.issue_cert("proxy", key_type=KeyType.RSA)
    leaf.cert_chain_pems[0].write_to_path(desk / "proxy.pem")
    leaf.private_key_pem.write_to_path(desk / "proxy.key")
    ca.cert_pem.write_to_path(desk / "ca.pem")
    return client_context(ca=desk / "ca.pem")


def test_tls_traffic_is_repeated_without_keys(
    desk: Path, trusted: ssl.SSLContext, what_if: Callable[..., str]
) -> None:
    keys = 'tls = { certificate = "proxy.pem", key = "proxy.key" }'
    text = FORWARD.replace('"tcp://proxy:1"', f'"tls://proxy:1"\n{keys}')
    with recorded(desk, text.replace("    ", "")) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = proxy.client("front", tls=trusted)
        client.send(b"quiet")
        proxy.sim.elapse(1.0)
        client.end()
    assert client.received == b"QUIET"
    (desk / "proxy.key").unlink()
    assert what_if("forward").startswith("0: ")
    assert "at byte 0: b'QUIET' becomes b'quiet'" in what_if("echo")


def test_datagrams(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD.replace("tcp://", "udp://")) as proxy:
        server = proxy.sim.datagram_server(Address.parse("udp://server:1"))
        server.on_datagram = lambda data, source: server.send(data.upper(), source)
        client = proxy.sim.datagram_client(Address.parse("udp://proxy:1"))
        for text in (b"one", b"two"):
            client.send(text)
            proxy.sim.elapse(1.0)
    assert client.received == [b"ONE", b"TWO"]
    assert what_if("forward").startswith("0: ")
    assert "at byte 0: b'ONETWO' becomes b'onetwo'" in what_if("echo")


def test_datagrams_that_become_messages_of_a_stream(
    desk: Path, what_if: Callable[..., str]
) -> None:
    text = """
[[listener]]
name = "front"
bind = ["unixgram:log.sock", "udp://proxy:1"]
plugin = "syslog"
upstream = "back"

[upstream.back]
servers = ["tcp://server:1"]
"""
    with recorded(desk, text) as proxy:
        received = proxy.sim.server(SERVER)
        client = proxy.sim.datagram_client(Address.parse("udp://proxy:1"))
        for message in (b"<13>one", b"no syslog", b"<13>two"):
            client.send(message)
            proxy.sim.elapse(1.0)
    assert received.peers[0].received.count(b"<13>") == 2
    assert what_if("syslog").startswith("0: ")
    assert "<13>one" in what_if("validate")  # which adds no address


def test_calls_with_the_same_text_return_the_recorded_results(
    desk: Path, what_if: Callable[..., str]
) -> None:
    later = 'Defer(lookup, message, deadline="5s", then=judged)\n'
    (desk / "orders.py").write_text(ORDERS.replace("Accept()\n", later) + JUDGED)
    with recorded(desk, VALIDATE) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = send(proxy, b"pear\n")
    assert client.received == b"PEAR\n"
    assert what_if(str(desk / "orders.py")).startswith("0: ")
    renamed = (desk / "orders.py").read_text().replace("lookup", "look_up")
    (desk / "today.py").write_text(renamed)
    output = what_if(str(desk / "today.py"))
    assert "unknown call: look_up b'pear': the recording has no result of it" in output
    assert output.startswith("1: ")


JUDGED = '''
def judged(message: bytes, known: object) -> Verdict:
    """Accepts what the call has found."""
    return Accept() if known else Reject(b"what?\\n")
'''


def test_a_log_without_one_conversation(orders: Path, what_if: Callable[..., str]) -> None:
    log = RecordingLog(orders)
    cut = orders.with_suffix(".cut")
    writer = Writer(cut, log.header.marked("cut"))
    removed = {1} | {
        entry.vc
        for _, entry in log.steps()
        if isinstance(entry, ResolvedEntry) and entry.client == 1
    }
    for frame in log:
        for entry in frame.entries:
            if vc_of(entry) not in removed:
                writer.add(entry)
        writer.cut()
    writer.close()
    output = what_if(str(orders.parent / "orders.py"), log=cut)
    assert output == "0: 1 conversation, none of them differs"


def test_an_invalid_comparison_is_refused(orders: Path, what_if: Callable[..., str]) -> None:
    output = what_if("forwrad")
    assert output.startswith('2: forwrad: there is no bundled plugin "forwrad"; did you mean')
    output = what_if("forward", "--listener", "back")
    assert output == "2: there is no listener back: there are front"
    output = what_if("forward", "--conversation", "9")
    assert output == "2: log: it has no conversation 9, only 1, 3"
    output = what_if("forward", log=orders.parent / "proxy.toml")
    assert output == "2: proxy.toml: not a log of vcproxy --record"
    output = what_if("relay")
    assert output.startswith("2: ")


def test_a_plugin_that_refuses_the_options_gets_its_defaults(
    desk: Path, what_if: Callable[..., str]
) -> None:
    options = '"validate"\n    options = { pattern = "[a-z]*", answer = "what?", keep = true }'
    with recorded(desk, FORWARD.replace('"forward"', options)) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = send(proxy, b"one\n", b"2\n")
    assert client.received == b"ONE\nwhat?\n"
    output = what_if("forward")
    assert "forward refuses the options of front" in output
    assert r"b'what?\n' becomes b''" in output


def test_a_log_cut_by_the_cut_command(orders: Path, what_if: Callable[..., str]) -> None:
    cut = orders.with_suffix(".cut")
    assert cli.main(["log", "cut", str(orders), "--conversation", "3", "-o", str(cut)]) == 0
    plugin = changed(orders.parent, 'message == b"nut"', 'message == b"plum"')
    output = what_if(plugin, log=cut)
    assert r"client" in output
    assert r"at byte 5: b'PLUM\n' becomes b'no nuts\nPLUM\n'" in output
    assert output.endswith("1 conversation, 1 of them differs")
