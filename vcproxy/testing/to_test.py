"""`vcproxy log to-test`: write a recorded conversation as a test of its plugin.

The test uses a SimulatedProxy.

Tested in tests/replay/log/test_to_test.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain, product, takewhile
from pathlib import Path

from vcproxy.config.errors import ConfigError, OptionsError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.options import read_options
from vcproxy.config.plugin import options_type, with_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.config.values import plugin_place
from vcproxy.replay.log.annotated import AnnotatedLog
from vcproxy.replay.log.conversations import of_one
from vcproxy.replay.log.literal import literal, quoted
from vcproxy.testing.recorded_conversation import (
    NotRepeatable,
    RecordedConversation,
    TranscriptLine,
)
from vcproxy.testing.simulated_rerun import TICK_S, RerunSetup, rerun

TEST = '''\
"""{plugin}: conversation {number} of {log}, written by `vcproxy log to-test`."""

from __future__ import annotations

{imports}

{constants}
{received}

def test_conversation_{number}() -> None:
    """{client} at {listener}."""
    with SimulatedProxy({arguments}) as proxy:
{body}'''

RECEIVED = '''

def received(peer: Peer) -> bytes:
    """Return what a peer has received since the last call."""
    data = bytes(peer.received)
    peer.received.clear()
    return data
'''

STEP = " " * 8

WIDEST = 100
"""Maximum characters in a line of a script. Longer data becomes bytes literals on several lines."""


def to_test(
    annotated: AnnotatedLog, number: int, out: Path | None, progress: Callable[[], None]
) -> str:
    """Return the text of a test of a conversation. `out`: the file that the test will be in.

    The conversation is repeated in simulation with up to four setups: without pauses, then with the
    recorded ones; each with any client address, then with the recorded one. The first setup that
    gives the recorded result is used.
    Raises NotRepeatable, NoConversation, LogError.
    """
    recorded, configuration = _recorded(annotated, number, progress)
    token = annotated.log.header.token
    problem: NotRepeatable | None = None
    for timed, client_ip in product((False, True), ("", _client_ip(recorded))):
        setup = RerunSetup.of(recorded, configuration, timed, client_ip, token)
        try:
            transcript = rerun(recorded, setup, configuration)
        except NotRepeatable as error:
            problem = error
        else:
            return _written(recorded, setup, configuration, transcript, annotated, out)
    assert problem is not None
    raise problem


def _client_ip(recorded: RecordedConversation) -> str:
    """Return the client's IP address; empty if it has none."""
    if recorded.client.startswith("unix:"):
        return ""
    return recorded.client.rpartition(":")[0].strip("[]")


def _recorded(
    annotated: AnnotatedLog, number: int, progress: Callable[[], None]
) -> tuple[RecordedConversation, Configuration]:
    """Return a conversation, and the configuration in use when it began."""
    header = annotated.log.header
    sources = Recorded(header.configuration, header.sources)
    events = of_one(annotated, number, progress)
    first = next(events)
    serving = first.conversation.serving
    if serving is not None and serving.configuration is not None and serving.sources is not None:
        sources = Recorded(serving.configuration, serving.sources)
    recorded = RecordedConversation.of(chain([first], events))
    try:
        return recorded, load(Path(header.file), sources)
    except ConfigError as error:
        raise NotRepeatable(f"the recorded configuration does not load:\n{error}") from None


def _written(
    recorded: RecordedConversation,
    setup: RerunSetup,
    configuration: Configuration,
    transcript: list[TranscriptLine],
    annotated: AnnotatedLog,
    out: Path | None,
) -> str:
    imports = {
        "vcproxy.config.plugin_loader": {"PluginLoader"},
        "vcproxy.testing": {"SimulatedProxy"},
    }
    spec, beside = _spec(setup.entry.plugin, out)
    named = PluginLoader(configuration.sources).find(setup.entry.plugin)
    other = bool(setup.entry.options) and with_options(named) is not named
    constants = [f"PLUGIN = PluginLoader().find({spec}){'.with_options()' if other else ''}"]
    arguments = ["PLUGIN"]
    options = _options(configuration, setup)
    if options is not None:
        imports["vcproxy.config.options"] = {"read_options"}
        constants.append(f"OPTIONS, _ = read_options(PLUGIN, {options!r}, Path(__file__).parent)")
        arguments.append("options=OPTIONS")
    if options is not None or beside:
        imports["pathlib"] = {"Path"}
    filters = configuration.plugins[setup.entry.name].filters
    if filters:
        imports["vcproxy.config.plugin_loader"].add("FILTERS")
        imports["vcproxy.config.options"] = {"read_options"}
        imports["pathlib"] = {"Path"}
        constants += _filters(setup, out)
        names = [f"FILTER_{n}(FILTER_{n}_OPTIONS)" for n in range(1, len(filters) + 1)]
        arguments.append(f"filters=[{', '.join(names)}]")
    if setup.handshake is not None:
        imports["vcproxy.replay.format.peer_history"] = {"Handshake"}
    if recorded.calls:
        answers = list(recorded.calls.values())
        for kind in map(type, answers):
            if kind.__module__ != "builtins":
                imports.setdefault(kind.__module__, set()).add(kind.__qualname__)
        constants.append(f"ANSWERS = {answers!r}  # the results of calls")
        arguments.append("answers=ANSWERS")
    arguments += [f"{key}={value!r}" for key, value in setup.keywords().items()]
    given = [quoted(setup.option)] if setup.option else []
    if setup.client_ip:
        given.append(f"client_ip={quoted(setup.client_ip)}")
    option = ", ".join(given)
    body = _script(transcript, option)
    if body is not None:
        imports["vcproxy.testing"].add("Script")
        imports["functools"] = {"partial"}
    else:
        payloads: dict[bytes, str] = {}
        body = "".join(_steps(transcript, option, payloads))
        constants += [f"{name} = {literal(data)}" for data, name in payloads.items()]
        imports["vcproxy.testing"].add("Peer")
    return TEST.format(
        plugin=Path(plugin_place(setup.entry.plugin)).stem,
        log=annotated.log.path.name,
        number=recorded.number,
        client=recorded.client or "a client",
        listener=recorded.listener,
        imports=_imports(imports),
        constants="\n".join(constants),
        arguments=_listed(arguments),
        body=body,
        received=RECEIVED if "Peer" in imports["vcproxy.testing"] else "",
    )


def _listed(arguments: list[str]) -> str:
    """Return the arguments on one line; if they are too long, one argument per line."""
    line = ", ".join(arguments)
    inner = f"\n{STEP}"
    return line if len(line) <= 60 else f"{inner}{f',{inner}'.join(arguments)},\n    "


def _spec(plugin: str, out: Path | None) -> tuple[str, bool]:
    """Return the expression that names the plugin, and whether it is relative to the test file."""
    place = plugin_place(plugin)
    if not place.endswith(".py") or out is None:
        return quoted(plugin), False
    beside = os.path.relpath(place, out.absolute().parent)
    return f'f"{{Path(__file__).parent}}/{beside}{plugin[len(place) :]}"', True


def _options(configuration: Configuration, setup: RerunSetup) -> dict[str, object] | None:
    """Return the options that differ from the defaults; None: the plugin has none."""
    plugin = configuration.plugins[setup.entry.name].cls
    if options_type(plugin) is None:
        return None
    given = {key: value for key, value in setup.entry.options.items() if key != "filters"}
    try:
        usual = read_options(plugin, {}, configuration.file.parent)[1]
    except OptionsError:  # some are required
        usual = {}
    return {key: value for key, value in given.items() if usual.get(key) != value}


def _filters(setup: RerunSetup, out: Path | None) -> Iterator[str]:
    """Yield the lines that define the filters' classes and options."""
    tables: list[dict[str, object]] = setup.entry.options["filters"]  # type: ignore[assignment]
    for n, table in enumerate(tables, 1):
        spec, _ = _spec(str(table["plugin"]), out)
        name = f"FILTER_{n}"
        yield f"{name} = PluginLoader().find({spec}, FILTERS)"
        given = table["options"]
        yield f"{name}_OPTIONS, _ = read_options({name}, {given!r}, Path(__file__).parent)"


def _imports(names: dict[str, set[str]]) -> str:
    lines = {
        ours: "\n".join(
            f"from {module} import {', '.join(sorted(names[module]))}"
            for module in sorted(names)
            if (module in sys.stdlib_module_names) is not ours
        )
        for ours in (False, True)
    }
    return "\n\n".join(filter(None, lines.values()))


# -- as a script -----------------------------------------------------------------------------


def _script(transcript: list[TranscriptLine], option: str) -> str | None:
    """Return the body of a test with a Script; None if a Script cannot express the transcript."""
    connected = [line for line in transcript if line.verb == "is connected"]
    if len(connected) > 1 or any(line.verb == "waits" for line in transcript):
        return None
    before = (
        list(takewhile(lambda line: line.verb != "is connected", transcript)) if connected else []
    )
    if any(line.verb != "sends" for line in before):
        return None
    rest = [line for line in transcript[len(before) :] if line.verb != "is connected"]
    payload = [line.data for line in rest if line.verb in ("sends", "receives")]
    newline = (
        b"\r\n" if payload and all(b"\n" not in d.replace(b"\r\n", b"") for d in payload) else b"\n"
    )
    if not (payload and all(_fits_script(data, newline) for data in payload)):
        return None
    lines = "".join(f"{STEP}    {line}\n" for each in rest for line in _script_lines(each, newline))
    if '"""' in lines or max(map(len, lines.splitlines())) > WIDEST:
        return None
    names = ["client", *(line.peer for line in connected)]
    ends = f"proxy.client({option})"
    if connected and not before:
        ends += f", {_server(connected[0])}"
    opened = f"{STEP}{'client' if not connected or before else ', '.join(names)} = {ends}\n"
    opened += "".join(f"{STEP}client.send({literal(line.data)})\n" for line in before)
    if connected and before:
        opened += f"{STEP}{connected[0].peer} = {_server(connected[0])}\n"
    kind = ', newline=b"\\r\\n"' if newline == b"\r\n" else ""
    peers = ", ".join(f"{peer}={peer}" for peer in names)
    raw = "r" if "\\" in lines else ""
    return (
        f'{opened}{STEP}conversation = Script({raw}"""\n{lines}{STEP}"""{kind})\n'
        f"{STEP}conversation.play(partial(proxy.elapse, {TICK_S}), {peers})\n"
    )


def _fits_script(data: bytes, newline: bytes) -> bool:
    """Whether a script can express the data: complete lines of text without trailing spaces."""
    if not data.endswith(newline):
        return False
    for line in data.removesuffix(newline).split(newline):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return False
        if not (text == "" or (text.isprintable() and text == text.rstrip())):
            return False
    return True


def _script_lines(line: TranscriptLine, newline: bytes) -> Iterator[str]:
    match line.verb:
        case "sends" | "receives":
            way = ">" if line.verb == "sends" else "<"
            for text in line.data.removesuffix(newline).split(newline):
                yield f"{line.peer} {way} {text.decode()}".rstrip()
        case "ends":
            yield f"{line.peer} >."
        case "resets":
            yield f"{line.peer} >!"
        case "receives end":
            yield f"{line.peer} <."
        case "is reset":
            yield f"{line.peer} <!"


# -- step by step ----------------------------------------------------------------------------


def _steps(
    transcript: list[TranscriptLine], option: str, payloads: dict[bytes, str]
) -> Iterator[str]:
    """Yield the lines of a test without a Script. Long data becomes a constant in `payloads`."""

    def data(line: TranscriptLine) -> str:
        shown = literal(line.data)
        return (
            payloads.setdefault(line.data, f"DATA_{len(payloads) + 1}") if "\n" in shown else shown
        )

    yield f"{STEP}client = proxy.client({option})\n"
    yield f"{STEP}proxy.elapse({TICK_S})\n"
    acting = False
    for line in transcript:
        acts = line.verb in ("sends", "ends", "resets")
        if acting and not acts:
            yield f"{STEP}proxy.elapse({TICK_S})\n"
        acting = acts
        match line.verb:
            case "sends":
                yield f"{STEP}{line.peer}.send({data(line)})\n"
            case "ends":
                yield f"{STEP}{line.peer}.end()\n"
            case "resets":
                yield f"{STEP}{line.peer}.reset()\n"
            case "is connected":
                yield f"{STEP}{line.peer} = {_server(line)}\n"
            case "waits":
                yield f"{STEP}proxy.elapse({line.seconds})\n"
            case "receives":
                yield f"{STEP}assert received({line.peer}) == {data(line)}\n"
            case "receives end":
                yield f"{STEP}assert {line.peer}.ended\n"
            case "is reset":
                yield f"{STEP}assert {line.peer}.reset_seen\n"
    if acting:
        yield f"{STEP}proxy.elapse({TICK_S})\n"
    for peer in ("client", *(line.peer for line in transcript if line.verb == "is connected")):
        yield f'{STEP}assert received({peer}) == b""\n'


def _server(connected: TranscriptLine) -> str:
    name = connected.data.decode()
    return "proxy.server()" if name == "server" else f"proxy.server({quoted(name)})"
