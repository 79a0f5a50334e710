"""What if: runs are recorded in simulation, and their peers meet another plugin."""

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
        """Nobody orders nuts."""
        return Reject(b"no nuts\\n", keep=True) if message == b"nut" else Accept()
'''


def today(desk: Path, old: str, new: str) -> str:
    """The plugin as it is today."""
    file = desk / "today.py"
    file.write_text(ORDERS.replace(old, new))
    return str(file)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(ORDERS)
    return tmp_path


@contextmanager
def recorded(desk: Path, text: str) -> Iterator[ConfiguredProxy]:
    """A proxy whose run is recorded to the file "log"."""
    file = desk / "proxy.toml"
    file.write_text(text)
    with ConfiguredProxy(load(file), record=desk / "log") as proxy:
        yield proxy
        proxy.sim.run()


def upper(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A server that shouts everything back, a while later, and ends when its client does."""

    def heard(data: bytes) -> None:
        proxy.sim.clock.after(0.1, partial(peer.send, data.upper()))

    peer.on_data = heard
    peer.on_end = partial(proxy.sim.clock.after, 0.2, peer.end)


def ask(proxy: ConfiguredProxy, *pieces: bytes) -> Peer:
    """A client that says some things, one after another, and ends."""
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
        ask(proxy, b"apple\n", b"nut\n", b"pear\n")
        ask(proxy, b"pear\n", b"plum\n")
    return desk / "log"


@pytest.fixture
def what_if(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `vcproxy replay LOG --plugin PLUGIN` says, after its exit status."""

    def ask(plugin: str, *options: str, log: Path = desk / "log") -> str:
        status = cli.main(["replay", str(log), "--plugin", plugin, *options])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return f"{status}: {said.err}{said.out}".rstrip().replace(f"{desk}/", "")

    return ask


def test_the_same_plugin_changes_nothing(orders: Path, what_if: Callable[..., str]) -> None:
    assert what_if(str(orders.parent / "orders.py")) == ("0: 2 conversations, none of them differs")


def test_an_answer_that_has_changed_is_shown_where_it_begins(
    orders: Path, what_if: Callable[..., str]
) -> None:
    plugin = today(orders.parent, "no nuts", "sorry")
    said = what_if(plugin)
    assert said.startswith("1: conversation")
    assert r"at byte 6: b'no nuts\nPEAR\n' is b'sorry\nPEAR\n'" in said
    assert said.endswith("2 conversations, 1 of them differs")


def test_one_conversation_in_full(orders: Path, what_if: Callable[..., str]) -> None:
    said = what_if(today(orders.parent, "no nuts", "sorry"), "--conversation", "1")
    assert said == (
        "1: conversation 1: front 10.0.0.1:40000\n"
        "client: 19 bytes, closed; now at byte 6: "
        r"b'no nuts\nPEAR\n' is b'sorry\nPEAR\n'"
        "\n"
        "    APPLE\\n\n"
        "  - no nuts\\n\n"
        "  + sorry\\n\n"
        "    PEAR\\n\n"
        "tcp://server:1: 11 bytes, closed; now equal\n"
        "    apple\\n\n"
        "    pear\\n"
    )


def test_a_server_that_would_hear_less_answers_all_the_same(
    orders: Path, what_if: Callable[..., str]
) -> None:
    said = what_if(today(orders.parent, 'message == b"nut"', 'message in (b"nut", b"plum")'))
    assert r"b'PLUM\n' is b'no nuts\nPLUM\n'" in said
    assert r"at byte 5: b'plum\n' is b''" in said


def test_a_plugin_that_fails_is_reported_and_no_traceback_is_shown(
    orders: Path, what_if: Callable[..., str]
) -> None:
    said = what_if(today(orders.parent, 'message == b"nut"', 'message[5:] or b"nut"[9]'))
    assert said.count("failed: IndexError: index out of range (today.py:14)") == 2
    assert said.startswith("1: ")


HTTP = """
[[listener]]
name = "front"
bind = "tcp://127.0.0.1:80"
plugin = "http_proxy"
upstream = "shop"
[upstream.shop]
servers = ["tcp://10.0.0.7:5432"]
"""


def test_the_time_of_day_is_as_it_was(desk: Path, what_if: Callable[..., str]) -> None:
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


def test_forward_and_its_half_closes_are_repeated(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        clients = [ask(proxy, b"x" * 300_000, b"y"), ask(proxy)]
        proxy.client("front").reset()
    assert [len(client.received) for client in clients] == [300_001, 0]
    assert what_if("forward").startswith("0: ")
    said = what_if("echo")
    assert "tcp://server:1  300001 bytes, closed  not connected" in said
    assert "is b'xxxxxxxxxxxxxxxxxxxxxxxx'" in said


def test_split_shares_its_server_again(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD.replace('"forward"', '"split"')) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        for text in (b"one\n", b"two\n"):
            ask(proxy, text)
    assert what_if("split").startswith("0: ")
    assert "client  4 bytes, closed  4 bytes, open" in what_if("forward")


def test_what_was_refused_is_refused_again(desk: Path, what_if: Callable[..., str]) -> None:
    with recorded(desk, FORWARD) as proxy:
        client = ask(proxy, b"anybody?")
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


def test_what_was_said_in_tls_is_said_again_without_keys(
    desk: Path, trusted: ssl.SSLContext, what_if: Callable[..., str]
) -> None:
    keys = 'tls = { certificate = "proxy.pem", key = "proxy.key" }'
    text = FORWARD.replace('"tcp://proxy:1"', f'"tls://proxy:1"\n{keys}')
    with recorded(desk, text.replace("    ", "")) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = proxy.client("front", tls=trusted)
        client.send(b"hush")
        proxy.sim.elapse(1.0)
        client.end()
    assert client.received == b"HUSH"
    (desk / "proxy.key").unlink()
    assert what_if("forward").startswith("0: ")
    assert "at byte 0: b'HUSH' is b'hush'" in what_if("echo")


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
    assert "at byte 0: b'ONETWO' is b'onetwo'" in what_if("echo")


def test_calls_are_answered_as_they_were_where_they_ask_the_same(
    desk: Path, what_if: Callable[..., str]
) -> None:
    later = 'Defer(lookup, message, deadline="5s", then=judged)\n'
    (desk / "orders.py").write_text(ORDERS.replace("Accept()\n", later) + JUDGED)
    with recorded(desk, VALIDATE) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = ask(proxy, b"pear\n")
    assert client.received == b"PEAR\n"
    assert what_if(str(desk / "orders.py")).startswith("0: ")
    renamed = (desk / "orders.py").read_text().replace("lookup", "look_up")
    (desk / "today.py").write_text(renamed)
    said = what_if(str(desk / "today.py"))
    assert "unknown: nobody asked look_up b'pear' then" in said
    assert said.startswith("1: ")


JUDGED = '''
def judged(message: bytes, known: object) -> Verdict:
    """Only what is known."""
    return Accept() if known else Reject(b"what?\\n")
'''


def test_a_log_that_was_cut(orders: Path, what_if: Callable[..., str]) -> None:
    log = RecordingLog(orders)
    cut = orders.with_suffix(".cut")
    writer = Writer(cut, log.header.marked("cut"))
    gone = {1} | {
        entry.vc
        for _, entry in log.steps()
        if isinstance(entry, ResolvedEntry) and entry.client == 1
    }
    for frame in log:
        for entry in frame.entries:
            if vc_of(entry) not in gone:
                writer.add(entry)
        writer.cut()
    writer.close()
    said = what_if(str(orders.parent / "orders.py"), log=cut)
    assert said == "0: 1 conversation, none of them differs"


def test_what_cannot_be_told(orders: Path, what_if: Callable[..., str]) -> None:
    said = what_if("forwrad")
    assert said.startswith('2: forwrad: there is no bundled plugin "forwrad"; did you mean')
    said = what_if("forward", "--listener", "back")
    assert said == "2: there is no listener back: there are front"
    said = what_if("forward", "--conversation", "9")
    assert said == "2: log: there is no conversation 9: there are 1, 3"
    said = what_if("forward", log=orders.parent / "proxy.toml")
    assert said == "2: proxy.toml: it is not a log of vcproxy --record"
    said = what_if("relay")
    assert said.startswith("2: ")


def test_a_plugin_that_refuses_the_options_has_its_defaults(
    desk: Path, what_if: Callable[..., str]
) -> None:
    options = '"validate"\n    options = { pattern = "[a-z]*", answer = "what?", keep = true }'
    with recorded(desk, FORWARD.replace('"forward"', options)) as proxy:
        proxy.sim.server(SERVER, partial(upper, proxy))
        client = ask(proxy, b"one\n", b"2\n")
    assert client.received == b"ONE\nwhat?\n"
    said = what_if("forward")
    assert "forward refuses the options of front" in said
    assert r"b'what?\n' is b''" in said


def test_a_log_that_log_cut_has_cut(orders: Path, what_if: Callable[..., str]) -> None:
    cut = orders.with_suffix(".cut")
    assert cli.main(["log", "cut", str(orders), "--conversation", "3", "-o", str(cut)]) == 0
    plugin = today(orders.parent, 'message == b"nut"', 'message == b"plum"')
    said = what_if(plugin, log=cut)
    assert r"client" in said
    assert r"at byte 5: b'PLUM\n' is b'no nuts\nPLUM\n'" in said
    assert said.endswith("1 conversation, 1 of them differs")
