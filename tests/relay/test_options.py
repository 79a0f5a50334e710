"""RelayOptions: their meaning, and the faults reported for options that make no sense."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest

from vcproxy.app.cli import main
from vcproxy.config.errors import ConfigError, OptionsError
from vcproxy.config.loader import load
from vcproxy.config.options import read_options
from vcproxy.config.secret import Secret
from vcproxy.engine.address import Address
from vcproxy.framing.framing import Framing, length_prefix
from vcproxy.plugins.relay import RelayPlugin
from vcproxy.relay.options import RelayFraming, RelayOptions, RelaySource, Target
from vcproxy.relay.relay import Relay
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag_policy import LagPolicy, OnLag

SUBSCRIBERS = {"subscribers": "tcp://127.0.0.1:7101"}


def read(**table: Any) -> RelayOptions:
    options, _ = read_options(RelayPlugin, SUBSCRIBERS | table, Path())
    assert isinstance(options, RelayOptions)
    return options


def refused(**table: Any) -> list[str]:
    """Return the faults of options, each as "key: message"."""
    with pytest.raises(OptionsError) as caught:
        read_options(RelayPlugin, table, Path())
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in caught.value.problems]


def test_defaults() -> None:
    options = read()
    assert options.framing == "none"
    assert options.lag == LagPolicy(1 << 20, "disconnect")
    assert options.kept == History()
    assert (options.ends, options.join, options.producers) == ("never", "tail", "exclusive")


@pytest.mark.parametrize("source", ["udp://239.1.1.1:5000?interface=127.0.0.1", "nats://h/s"])
def test_a_source_of_messages_needs_no_framing(source: str) -> None:
    options = read(source=source)
    assert options.framing == "datagram"
    assert not options.streams


@dataclass(frozen=True)
class OwnOptions(RelayOptions):
    own_framing: ClassVar[Framing | None] = length_prefix(2)


class Own(Relay):
    Options = OwnOptions

    def edit(self, message: bytes) -> bytes | None:
        return message.upper() if message.startswith(b"a") else None


def test_a_framing_made_in_code_has_messages() -> None:
    table: dict[str, Any] = {**SUBSCRIBERS, "on_lag": "drop_oldest", "history": 3}
    options, _ = read_options(Own, table | {"source": "udp://127.0.0.1:7100"}, Path())
    assert isinstance(options, OwnOptions)
    assert options.streams
    assert options.message_framing is OwnOptions.own_framing
    assert options.kept.messages == 3
    assert not Own.unused_methods(options)
    with pytest.raises(OptionsError, match="framing: has no effect: this plugin has a framing of"):
        read_options(Own, table | {"framing": "lines"}, Path())


def test_messages_of_a_framing_made_in_code_are_edited() -> None:
    options = OwnOptions(subscribers=(Address.parse("tcp://here:1"),))
    with SimulatedProxy(Own, options=options) as proxy:
        subscriber = proxy.client("subscribers")
        proxy.elapse(1)
        producer = proxy.client()
        producer.send(b"\0\3abc\0\2no\0")
        producer.send(b"\2ax")
        proxy.elapse(1)
        assert subscriber.received == b"\0\3ABC\0\2AX"


def test_the_attribute_of_other_plugins_is_refused() -> None:
    text = "Wrong.framing has no effect: .* write own_framing in Wrong.Options"
    with pytest.raises(TypeError, match=text):

        class Wrong(Relay):
            framing = length_prefix(2)


def test_targets_are_addresses_or_tables() -> None:
    options = read(
        framing="lines",
        max_lag="2MiB",
        targets=["tcp://a:1", {"to": "udp://b:2", "max_lag": "1KiB", "on_lag": "drop_oldest"}],
    )
    a, b = options.targets
    assert a == Target(Address("tcp", "a", 1))
    assert options.lag_of(a) == LagPolicy(2 << 20, "disconnect")
    assert options.lag_of(b) == LagPolicy(1024, "drop_oldest")
    assert read(targets="tcp://a:1").targets == (a,)


def test_sources_are_addresses_or_tables() -> None:
    login = {"address": "tcp://b:2", "send": "LOGIN\r\n"}
    options = read(framing="lines", source=["tcp://a:1", login])
    assert options.source == (
        RelaySource(Address("tcp", "a", 1)),
        RelaySource(Address("tcp", "b", 2), Secret("LOGIN\r\n")),
    )
    assert "LOGIN" not in repr(options)
    assert read(source="tcp://a:1").source == options.source[:1]


@pytest.mark.parametrize("content", [b"GET / HTTP/1.0\r\n\r\n", b"a\n", b"a"])
def test_what_is_sent_first_is_the_whole_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "login.txt").write_bytes(content)
    send = {"file": "login.txt"}
    target = {"to": "tcp://b:1", "send": send}
    table: dict[str, object] = {"source": {"address": "tcp://a:1", "send": send}, "targets": target}
    options, _ = read_options(RelayPlugin, table, tmp_path)
    assert isinstance(options, RelayOptions)
    assert options.source[0].opening == options.targets[0].opening == content


def test_several_sources_of_messages_need_no_framing() -> None:
    assert read(source=["udp://a:1", "nats://h/s"]).framing == "datagram"


def test_history_is_a_size_or_a_number() -> None:
    assert read(history="64KiB").kept == History(bytes=64 << 10)
    assert read(framing="lines", history=3, limit="1KiB").kept == History(3072, 3)


NONE = 'and framing = "none" has none'
POSSIBLE = 'use "block" or "disconnect", or set framing'


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({}, "subscribers: is missing, and targets too: the relay needs at least one sink"),
        (
            SUBSCRIBERS | {"on_lag": "drop_oldest"},
            f'on_lag: "drop_oldest" drops messages, {NONE}: {POSSIBLE}',
        ),
        (
            {"targets": ["tcp://a:1", {"to": "tcp://b:1", "on_lag": "drop_newest"}]},
            f'targets.1.on_lag: "drop_newest" drops messages, {NONE}: {POSSIBLE}',
        ),
        (
            SUBSCRIBERS | {"history": 10},
            f'history: counts messages, {NONE}: write a size such as "64KiB"',
        ),
        (
            SUBSCRIBERS | {"history": True},
            'history: must be a size in quotes such as "64KiB", '
            "or a number of messages such as 100",
        ),
        (
            SUBSCRIBERS | {"producers": "interleave"},
            f'producers: "interleave" needs messages, {NONE}',
        ),
        (
            SUBSCRIBERS | {"producers": "replace", "first_message": "1s"},
            "first_message: has no effect: it needs producers that connect and "
            'producers = "exclusive"',
        ),
        (
            SUBSCRIBERS | {"producers": "replace", "source": "tcp://a:1"},
            'producers: "replace" has no effect with a source: use "interleave"',
        ),
        (
            SUBSCRIBERS | {"source": ["tcp://a:1", "tcp://b:1"]},
            'framing: framing = "none" has no messages, and several sources need them: set framing',
        ),
        (
            SUBSCRIBERS | {"source": ["udp://a:1", "tcp://b:1"]},
            'framing: framing = "none" has no messages, and several sources need them: set framing',
        ),
        (
            SUBSCRIBERS | {"framing": "lines", "source": ["tcp://a:1", "tcp://b:1", "tcp://a:1"]},
            "source.2.address: tcp://a:1 is another source already",
        ),
        (SUBSCRIBERS | {"silence": "1us"}, "silence: must be 0.1s or more, or 0s"),
        (
            SUBSCRIBERS | {"framing": "datagram", "source": ["udp://a:1", "tcp://b:1"]},
            'source.1.address: framing = "datagram", and tcp://b:1 is a stream, '
            "which has no datagrams",
        ),
        (
            SUBSCRIBERS | {"source": {"address": "udp://a:1", "send": "hello"}},
            "source.0.send: has no effect: udp://a:1 is only received",
        ),
        (
            SUBSCRIBERS | {"framing": "none", "source": "udp://a:1"},
            'framing: framing = "none" has no messages, and udp://a:1 has: leave framing out',
        ),
        (
            SUBSCRIBERS | {"framing": "datagram"},
            'framing: framing = "datagram" needs a source of udp:// or nats://: '
            "a stream has no datagrams",
        ),
        (
            {"targets": "udp://a:1"},
            f"targets.0.to: udp://a:1 needs messages, {NONE}: set framing",
        ),
        (
            {"framing": "lines", "targets": "nats://a/b.*"},
            'targets.0.to: "nats://a:4222/b.%2A": b.* has wildcards: messages are published to '
            "one subject",
        ),
        (
            SUBSCRIBERS | {"ends": "any_required"},
            'ends: "any_required" needs a target with required = true',
        ),
        (
            {"targets": {"to": "tcp://a:1", "required": True}},
            'targets.0.required: has no effect: it needs ends = "any_required", not "never"',
        ),
        (
            {"subscribers": "udp://a:1"},
            'subscribers.0: "udp://a:1": subscribers connect by tcp, tls or unix; '
            "put it into targets",
        ),
        (
            {"http_subscribers": ["tcp://a:1", "udp://a:1"]},
            'http_subscribers.1: "udp://a:1": subscribers connect by tcp, tls or unix',
        ),
        *(
            (
                {"http_subscribers": "tcp://a:1", "http_path": path},
                'http_path: must be a path as in URLs, such as "/stream", in its shortest form',
            )
            for path in ["", "stream", "/a/../b", "//a", "/a?b", "/a b", "/\u00e4"]
        ),
        *(
            (
                {"http_subscribers": "tcp://a:1", "content_type": text},
                'content_type: must be a media type, such as "video/mp2t"',
            )
            for text in ["video", "video/mp2t\r\nX: y", "video/", "a/b;c"]
        ),
        (SUBSCRIBERS | {"http_path": "/a"}, "http_path: has no effect: it needs http_subscribers"),
        (
            SUBSCRIBERS | {"content_type": "a/b"},
            "content_type: has no effect: it needs http_subscribers",
        ),
        (
            SUBSCRIBERS | {"source": "stdio:"},
            "source.0.address: stdio: can only be the bind of a listener",
        ),
        ({"targets": "tcp://a:0"}, 'targets.0.to: "tcp://a:0": the port must be above 0'),
        (
            SUBSCRIBERS | {"max_lag": "0B"},
            "max_lag: must be 1 or more, not 0",
        ),
        (
            SUBSCRIBERS | {"on_lag": "drop"},
            'on_lag: must be "block", "drop_oldest", "drop_newest" or "disconnect", not "drop"',
        ),
    ],
)
def test_faults_are_reported_at_their_keys(table: dict[str, Any], text: str) -> None:
    [fault] = refused(**table)
    assert fault.startswith(text)


def test_all_faults_are_reported_at_once() -> None:
    text = refused(on_lag="drop_oldest", history=10, ends="any_required", producers="interleave")
    assert [each.partition(":")[0] for each in text] == [
        *("subscribers", "ends", "on_lag", "history", "producers"),
    ]


def test_options_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^on_lag: .* drops messages"):
        RelayOptions(subscribers=(Address("tcp", "a", 1),), on_lag="drop_oldest")


@pytest.mark.parametrize(
    ("framing", "policy"), list(product(get_args(RelayFraming), get_args(OnLag)))
)
def test_drop_policies_need_messages(framing: str, policy: str) -> None:
    keys: dict[str, dict[str, Any]] = {
        "delimiter": {"delimiter": "|"},
        "length-prefix": {"width": 2},
        "fixed": {"size": "8B"},
        "length-at": {"offset": 0, "width": 2},
        "between": {"start": [2], "end": [3]},
    }
    source = {"source": "udp://a:1"} if framing == "datagram" else {}
    table: dict[str, Any] = {
        **SUBSCRIBERS,
        **keys.get(framing, {}),
        **source,
        "framing": framing,
        "on_lag": policy,
    }
    if framing == "none" and policy.startswith("drop"):
        assert refused(**table)
    else:
        assert read_options(RelayPlugin, table, Path())


@pytest.mark.parametrize(
    ("bind", "source", "text"),
    [
        (
            "",
            "",
            "listener.r.bind: is missing: RelayPlugin needs an address for clients: "
            'write bind = "tcp://127.0.0.1:8080", or the option source',
        ),
        (
            "bind",
            "source",
            "listener.r.bind: has no effect: with these options RelayPlugin accepts no clients",
        ),
        ("bind", "", ""),
        ("", "source", ""),
        ("bind", "source+interleave", ""),
        ("", "source+interleave", ""),
    ],
)
def test_a_bind_or_a_source_is_needed(tmp_path: Path, bind: str, source: str, text: str) -> None:
    file = tmp_path / "relay.toml"
    keys = [f'{key} = "tcp://127.0.0.1:7777"' for key in (bind,) if key]
    options = ['subscribers = "tcp://127.0.0.1:7778"']
    if source:
        options.append('source = "tcp://127.0.0.1:7779"')
    if source.endswith("interleave"):
        options += ['producers = "interleave"', 'framing = "lines"']
    lines = ["[[listener]]", 'name = "r"', 'plugin = "relay"', *keys, "[listener.options]"]
    file.write_text("\n".join([*lines, *options]))
    if not text:
        assert load(file).plugins["r"].cls.__name__ == "RelayPlugin"
        return
    with pytest.raises(ConfigError) as caught:
        load(file)
    [problem] = caught.value.problems
    assert f"{problem.path}: {problem.message}".startswith(text)


PLAIN = "nats://127.0.0.1:4222/ticker"


@pytest.mark.parametrize(
    ("source", "policy", "text"),
    [
        (PLAIN, "block", 'counted in the status as "missed"'),
        ("udp://127.0.0.1:7", "block", "dropped by the kernel, and not counted"),
        (f"{PLAIN}?stream=T&durable=b", "block", ""),
        (PLAIN, "drop_oldest", ""),
        ("tcp://127.0.0.1:7", "block", ""),
    ],
)
@pytest.mark.parametrize("scope", ["all", "target"])
def test_a_source_that_block_cannot_delay_is_noted(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    policy: str,
    text: str,
    scope: str,
) -> None:
    file = tmp_path / "relay.toml"
    sinks = {
        "all": f'subscribers = "tcp://127.0.0.1:7778"\non_lag = "{policy}"',
        "target": f'targets = [{{ to = "tcp://127.0.0.1:7778", on_lag = "{policy}" }}]',
    }
    lines = ["[[listener]]", 'name = "r"', 'plugin = "relay"', "[listener.options]"]
    if source.startswith("tcp"):
        lines.append('framing = "lines"')
    file.write_text("\n".join([*lines, f'source = "{source}"', sinks[scope]]))
    assert main(["-t", "-c", str(file)]) == 0
    out, notes = capsys.readouterr()
    assert "the configuration is valid" in out
    if not text:
        assert notes == ""
        return
    begin = f'{file}: listener.r.options.on_lag: note: "block" does not slow {source} down'
    assert notes.startswith(begin)
    assert text in notes
