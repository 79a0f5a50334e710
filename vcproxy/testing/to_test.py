"""To test: a recorded conversation as a test of its plugin, a scripted simulation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain, product, takewhile
from pathlib import Path

from vcproxy.config.errors import ConfigError, OptionsError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.options import read_options
from vcproxy.config.plugin import options_type
from vcproxy.config.values import plugin_place
from vcproxy.replay.log.conversations import of_one
from vcproxy.replay.log.index import LogIndex
from vcproxy.replay.log.literal import literal, quoted
from vcproxy.testing.simulated_rerun import TICK_S, Line, Scene, Setting, Unfit, rehearse

TEST = '''\
"""{plugin}: conversation {number} of {log}, as it was recorded: `vcproxy log to-test`."""

from __future__ import annotations

{imports}

{constants}
{heard}

def test_conversation_{number}() -> None:
    """{client} at {listener}."""
    with SimulatedProxy({arguments}) as proxy:
{body}'''

HEARD = '''

def heard(peer: Peer) -> bytes:
    """What a peer has received since this was asked last."""
    data = bytes(peer.received)
    peer.received.clear()
    return data
'''

STEP = " " * 8

WIDEST = 100
"""Of a line of a script: what is wider is folded as bytes are."""


def to_test(telling: LogIndex, number: int, out: Path | None, shown: Callable[[], None]) -> str:
    """The text of a test of one conversation. `out`: the file that it is for.

    It has been held in the simulation: first as fast as it goes, then with the pauses that it had;
    by a client of any address, then by one of the address that it had.
    Raises Unfit, NoConversation, LogError.
    """
    scene, configuration = _recorded(telling, number, shown)
    problem: Unfit | None = None
    for timed, here in product((False, True), ("", _address(scene))):
        setting = Setting.of(scene, configuration, timed, here, telling.log.header.token)
        try:
            transcript = rehearse(scene, setting, configuration)
        except Unfit as error:
            problem = error
        else:
            return _written(scene, setting, configuration, transcript, telling, out)
    assert problem is not None
    raise problem


def _address(scene: Scene) -> str:
    """The client's IP address; empty where it has none."""
    return "" if scene.client.startswith("unix:") else scene.client.rpartition(":")[0].strip("[]")


def _recorded(
    telling: LogIndex, number: int, shown: Callable[[], None]
) -> tuple[Scene, Configuration]:
    """A conversation, and the configuration that it began under."""
    header = telling.log.header
    recorded = Recorded(header.configuration, header.sources)
    happenings = of_one(telling, number, shown)
    first = next(happenings)
    serving = first.conversation.serving
    if serving is not None and serving.configuration is not None and serving.sources is not None:
        recorded = Recorded(serving.configuration, serving.sources)
    scene = Scene.of(chain([first], happenings))
    try:
        return scene, load(Path(header.file), recorded)
    except ConfigError as error:
        raise Unfit(f"its configuration does not load:\n{error}") from None


def _written(
    scene: Scene,
    setting: Setting,
    configuration: Configuration,
    transcript: list[Line],
    telling: LogIndex,
    out: Path | None,
) -> str:
    imports = {
        "vcproxy.config.plugin_loader": {"PluginLoader"},
        "vcproxy.testing": {"SimulatedProxy"},
    }
    spec, beside = _spec(setting.entry.plugin, out)
    constants = [f"PLUGIN = PluginLoader().find({spec})"]
    arguments = ["PLUGIN"]
    options = _options(configuration, setting)
    if options is not None:
        imports["vcproxy.config.options"] = {"read_options"}
        constants.append(f"OPTIONS, _ = read_options(PLUGIN, {options!r}, Path(__file__).parent)")
        arguments.append("options=OPTIONS")
    if options is not None or beside:
        imports["pathlib"] = {"Path"}
    filters = configuration.plugins[setting.entry.name].filters
    if filters:
        imports["vcproxy.config.plugin_loader"].add("FILTERS")
        imports["vcproxy.config.options"] = {"read_options"}
        imports["pathlib"] = {"Path"}
        constants += _filters(setting, out)
        names = [f"FILTER_{n}(FILTER_{n}_OPTIONS)" for n in range(1, len(filters) + 1)]
        arguments.append(f"filters=[{', '.join(names)}]")
    if setting.handshake is not None:
        imports["vcproxy.replay.format.peer_scripts"] = {"Handshake"}
    if scene.calls:
        answers = list(scene.calls.values())
        for kind in map(type, answers):
            if kind.__module__ != "builtins":
                imports.setdefault(kind.__module__, set()).add(kind.__qualname__)
        constants.append(f"ANSWERS = {answers!r}  # of its calls")
        arguments.append("answers=ANSWERS")
    arguments += [f"{key}={value!r}" for key, value in setting.keywords().items()]
    given = [quoted(setting.option)] if setting.option else []
    if setting.here:
        given.append(f"here={quoted(setting.here)}")
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
        plugin=Path(plugin_place(setting.entry.plugin)).stem,
        log=telling.log.path.name,
        number=scene.number,
        client=scene.client or "a client",
        listener=scene.door,
        imports=_imports(imports),
        constants="\n".join(constants),
        arguments=_listed(arguments),
        body=body,
        heard=HEARD if "Peer" in imports["vcproxy.testing"] else "",
    )


def _listed(arguments: list[str]) -> str:
    """The arguments of the simulation, on lines of their own where there are many."""
    line = ", ".join(arguments)
    inner = f"\n{STEP}"
    return line if len(line) <= 60 else f"{inner}{f',{inner}'.join(arguments)},\n    "


def _spec(plugin: str, out: Path | None) -> tuple[str, bool]:
    """How the test finds the plugin, and whether by a path beside its own."""
    place = plugin_place(plugin)
    if not place.endswith(".py") or out is None:
        return quoted(plugin), False
    beside = os.path.relpath(place, out.absolute().parent)
    return f'f"{{Path(__file__).parent}}/{beside}{plugin[len(place) :]}"', True


def _options(configuration: Configuration, setting: Setting) -> dict[str, object] | None:
    """The options that are not as they are by default; None: the plugin has none."""
    plugin = configuration.plugins[setting.entry.name].cls
    if options_type(plugin) is None:
        return None
    given = {key: value for key, value in setting.entry.options.items() if key != "filters"}
    try:
        usual = read_options(plugin, {}, configuration.file.parent)[1]
    except OptionsError:  # some are required
        usual = {}
    return {key: value for key, value in given.items() if usual.get(key) != value}


def _filters(setting: Setting, out: Path | None) -> Iterator[str]:
    """The lines that make the filters' classes and options."""
    tables: list[dict[str, object]] = setting.entry.options["filters"]  # type: ignore[assignment]
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


def _script(transcript: list[Line], option: str) -> str | None:
    """The body of a test that plays a Script; None where that cannot say it."""
    met = [line for line in transcript if line.verb == "meets"]
    if len(met) > 1 or any(line.verb == "waits" for line in transcript):
        return None
    before = list(takewhile(lambda line: line.verb != "meets", transcript)) if met else []
    if any(line.verb != "says" for line in before):
        return None
    rest = [line for line in transcript[len(before) :] if line.verb != "meets"]
    spoken = [line.data for line in rest if line.verb in ("says", "hears")]
    newline = (
        b"\r\n" if spoken and all(b"\n" not in d.replace(b"\r\n", b"") for d in spoken) else b"\n"
    )
    if not (spoken and all(_readable(data, newline) for data in spoken)):
        return None
    lines = "".join(f"{STEP}    {line}\n" for each in rest for line in _spoken(each, newline))
    if '"""' in lines or max(map(len, lines.splitlines())) > WIDEST:
        return None
    people = ["client", *(line.who for line in met)]
    ends = f"proxy.client({option})"
    if met and not before:
        ends += f", {_server(met[0])}"
    opened = f"{STEP}{'client' if not met or before else ', '.join(people)} = {ends}\n"
    opened += "".join(f"{STEP}client.send({literal(line.data)})\n" for line in before)
    if met and before:
        opened += f"{STEP}{met[0].who} = {_server(met[0])}\n"
    kind = ', newline=b"\\r\\n"' if newline == b"\r\n" else ""
    peers = ", ".join(f"{who}={who}" for who in people)
    raw = "r" if "\\" in lines else ""
    return (
        f'{opened}{STEP}conversation = Script({raw}"""\n{lines}{STEP}"""{kind})\n'
        f"{STEP}conversation.play(partial(proxy.elapse, {TICK_S}), {peers})\n"
    )


def _readable(data: bytes, newline: bytes) -> bool:
    """Whether a script can say it: whole lines of text, with nothing at their ends to be lost."""
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


def _spoken(line: Line, newline: bytes) -> Iterator[str]:
    match line.verb:
        case "says" | "hears":
            way = ">" if line.verb == "says" else "<"
            for text in line.data.removesuffix(newline).split(newline):
                yield f"{line.who} {way} {text.decode()}".rstrip()
        case "ends":
            yield f"{line.who} >."
        case "breaks":
            yield f"{line.who} >!"
        case "hears the end":
            yield f"{line.who} <."
        case "is reset":
            yield f"{line.who} <!"


# -- step by step ----------------------------------------------------------------------------


def _steps(transcript: list[Line], option: str, payloads: dict[bytes, str]) -> Iterator[str]:
    """The lines of a test that does one thing after another; long payloads are given names."""

    def data(line: Line) -> str:
        shown = literal(line.data)
        return (
            payloads.setdefault(line.data, f"DATA_{len(payloads) + 1}") if "\n" in shown else shown
        )

    yield f"{STEP}client = proxy.client({option})\n"
    yield f"{STEP}proxy.elapse({TICK_S})\n"
    acting = False
    for line in transcript:
        acts = line.verb in ("says", "ends", "breaks")
        if acting and not acts:
            yield f"{STEP}proxy.elapse({TICK_S})\n"
        acting = acts
        match line.verb:
            case "says":
                yield f"{STEP}{line.who}.send({data(line)})\n"
            case "ends":
                yield f"{STEP}{line.who}.end()\n"
            case "breaks":
                yield f"{STEP}{line.who}.reset()\n"
            case "meets":
                yield f"{STEP}{line.who} = {_server(line)}\n"
            case "waits":
                yield f"{STEP}proxy.elapse({line.seconds})\n"
            case "hears":
                yield f"{STEP}assert heard({line.who}) == {data(line)}\n"
            case "hears the end":
                yield f"{STEP}assert {line.who}.ended\n"
            case "is reset":
                yield f"{STEP}assert {line.who}.reset_seen\n"
    if acting:
        yield f"{STEP}proxy.elapse({TICK_S})\n"
    for who in ("client", *(line.who for line in transcript if line.verb == "meets")):
        yield f'{STEP}assert heard({who}) == b""\n'


def _server(met: Line) -> str:
    name = met.data.decode()
    return "proxy.server()" if name == "server" else f"proxy.server({quoted(name)})"
