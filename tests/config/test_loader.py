"""How a valid file is loaded; its effective configuration, loaded again, gives the same
settings."""

import dataclasses
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vcproxy.config.effective import effective
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.reference import reference
from vcproxy.engine.address import Address

Accept = Callable[[str], Configuration]
Complain = Callable[[str], list[str]]

FULL = """\
upstream.db.servers = ["tls://db.example:5432", "unix:db.sock"]
upstream.db.tls = { verify = false, ca = "ca.pem" }
upstream.plain = { servers = ["tcp://127.0.0.1:5432"] }

[proxy]
net_threads = 2
memory = "1GiB"
drain_timeout = "1.5s"
splice = false
log = "proxy.log"

[[listener]]
name = "web.example"
bind = ["tls://[::1]:0", "unix:web.sock"]
plugin = "own.py:Orders"
upstream = "db"
options = { limit = "2KiB", words = ["a", "b"], table = "table.csv" }
timeouts = { active = "1h" }
half_close = false

[listener.tls]
certificate = "cert.pem"
key = "cert.pem"
client_ca = "ca.pem"
alpn = ["h2", "http/1.1"]
names."b.example" = { certificate = "cert.pem", key = "cert.pem" }

[[listener]]
name = "other"
plugin = "own.py:Either"
"""


@pytest.fixture
def certificates(folder: Path, authority: trustme.CA) -> None:
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "cert.pem")


@pytest.mark.usefixtures("certificates")
def test_every_key(folder: Path, accepted: Accept) -> None:
    configuration = accepted(FULL)
    proxy, (web, other) = configuration.settings.proxy, configuration.settings.listener
    assert (proxy.memory, proxy.drain_timeout, proxy.log) == (1 << 30, 1.5, folder / "proxy.log")
    assert web.bind == (
        Address("tls", "::1", 0),
        Address("unix", path=str(folder / "web.sock")),
    )
    assert web.tls is not None
    assert web.tls.names["b.example"].key == folder / "cert.pem"
    assert (web.timeouts.active, web.timeouts.connect) == (3600.0, 5.0)
    assert configuration.settings.upstream["db"].tls.ca == folder / "ca.pem"
    assert (other.bind, other.upstream, other.half_close) == ((), None, True)


@pytest.mark.usefixtures("certificates")
def test_plugins_and_their_options(folder: Path, accepted: Accept) -> None:
    plugins = accepted(FULL).plugins
    assert [plugin.cls.__name__ for plugin in plugins.values()] == ["Orders", "Either"]
    options = plugins["web.example"].options
    assert dataclasses.is_dataclass(options)
    assert not isinstance(options, type)
    assert dataclasses.asdict(options) == {
        "limit": 2048,
        "every": 1.5,
        "words": ("a", "b"),
        "table": folder / "table.csv",
    }
    assert plugins["other"].options is None


@pytest.mark.usefixtures("certificates")
def test_addresses_that_options_name(folder: Path, accepted: Accept) -> None:
    plugin = accepted("""
[[listener]]
name = "hub"
plugin = "own.py:Hub"
[listener.options]
subscribers = ["tcp://127.0.0.1:0", "unix:hub.sock"]
targets = ["tls://localhost:1"]
tls = { ca = "ca.pem" }
""").plugins["hub"]
    here = Address("unix", path=str(folder / "hub.sock"))
    assert plugin.binds == {"subscribers": (Address("tcp", "127.0.0.1", 0), here)}
    assert plugin.connects == {"targets": (Address("tls", "localhost", 1),)}
    assert plugin.needs_tls
    assert plugin.tls.ca == folder / "ca.pem"


@pytest.mark.usefixtures("certificates")
def test_the_effective_configuration_is_the_same_anywhere(
    accepted: Accept, tmp_path_factory: pytest.TempPathFactory
) -> None:
    configuration = accepted(FULL)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "effective.toml"
    elsewhere.write_text(effective(configuration))
    again = load(elsewhere)
    assert again == configuration
    assert effective(again) == effective(configuration)


def test_the_effective_configuration_names_the_file_with_the_logins(accepted: Accept) -> None:
    text = """
[[listener]]
name = "ticker"
plugin = "relay"
options = { source = "nats://me:secret@h/a", targets = "nats://h/b" }
"""
    configuration = accepted(text)
    first, second = effective(configuration).splitlines()[:2]
    assert first == (
        f"# nats://h:4222/a: the login of this address is not shown; it is in {configuration.file}"
    )
    assert not second.startswith("#")
    assert "secret" not in effective(configuration)


@pytest.mark.usefixtures("certificates")
def test_the_effective_configuration_has_every_default(accepted: Accept) -> None:
    tree = tomllib.loads(effective(accepted(FULL)))
    web, other = tree["listener"]
    assert web["options"]["every"] == "1500ms"
    assert other["limits"] == {"max_per_client": 0}
    assert other["tcp"] == {"keepalive": "1m", "user_timeout": "0s"}
    assert other["timeouts"] == {
        "handshake": "10s",
        "connect": "5s",
        "inactivity": "5m",
        "active": "0s",
    }
    assert tree["upstream"]["plain"] == {
        "servers": ["tcp://127.0.0.1:5432"],
        "balance": "round_robin",
        "all_backups": False,
        "hash_by": "client",
        "max_connections": 0,
        "queue": {"size": 1024, "timeout": "5s"},
        "retries": 3,
        "pool": {"idle": 64, "idle_time": "4s", "age": "1h"},
        "eject": {"failures": 5, "time": "10s"},
        "slow_start": "0s",
        "resolve": "0s",
        "tcp": {"keepalive": "1m", "user_timeout": "0s"},
    }


def test_a_loaded_configuration_is_frozen(accepted: Accept) -> None:
    listener = accepted('[[listener]]\nname = "a"\nplugin = "own.py:Either"\n').settings.listener
    with pytest.raises(ValidationError):
        listener[0].name = "b"


@example(memory=0, milliseconds=65751627, words=[])
@given(
    memory=st.integers(0, 1 << 40),
    milliseconds=st.integers(0, 10**9),
    words=st.lists(st.text(st.characters(codec="utf-8"))),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_effective_round_trip(
    accepted: Accept, memory: int, milliseconds: int, words: list[str]
) -> None:
    import tomli_w

    tree = {
        "proxy": {"memory": f"{memory}B", "drain_timeout": f"{milliseconds}ms"},
        "listener": [
            {
                "name": "a",
                "plugin": "own.py:Orders",
                "upstream": "b",
                "options": {"words": words, "every": f"{milliseconds}ms"},
            }
        ],
        "upstream": {"b": {"servers": ["unix:b.sock"]}},
    }
    configuration = accepted(tomli_w.dumps(tree))
    assert accepted(effective(configuration)) == configuration


OPTIONS = """\
from dataclasses import dataclass
from enum import Enum
from pydantic import BaseModel, Field

class Colour(Enum):
    RED = "red"

class Model(BaseModel):
    colour: Colour = Colour.RED
    least: int = Field(default=1, ge=1)
    inner: dict[str, list[int]] = {}

@dataclass
class Picky:
    name: str
    def __post_init__(self) -> None:
        if self.name == "wrong":
            raise ValueError("must be right")
        if self.name == "broken":
            raise LookupError("a mistake in the plugin")

class Mine:
    vcproxy_plugin = True
    Options = KIND
"""


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("Model", 'colour = "blue"', "options.colour: must be 'red'"),
        ("Model", "least = 0", "options.least: must be 1 or more, not 0"),
        ("Model", "inner.a = [1, true]", "options.inner.a.1: must be a whole number, not true"),
        ("Model", "leest = 0", 'options.leest: unknown key; did you mean "least"?'),
        ("Picky", "", "options.name: is missing"),
        ("Picky", 'name = "wrong"', "options: must be right"),
        ("Picky", 'name = "broken"', "options: LookupError at mine.py:20: a mistake in the plugin"),
        ("int", "", "options: Options of Mine must be a dataclass or a pydantic model"),
    ],
)
def test_options_of_every_kind(
    folder: Path, complaints: Complain, kind: str, options: str, problem: str
) -> None:
    (folder / "mine.py").write_text(OPTIONS.replace("KIND", kind))
    (line,) = complaints(
        f'[[listener]]\nname = "a"\nplugin = "mine.py"\n[listener.options]\n{options}\n'
    )
    assert line.partition("listener.a.")[2].startswith(problem)


def test_the_interval_of_a_method_is_an_option(folder: Path, complaints: Complain) -> None:
    (folder / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from vcproxy.api import Program, every\n"
        "@dataclass\nclass Pace:\n    often: str = 'daily'\n"
        "class Mine(Program):\n    Options = Pace\n"
        "    @every(option='often')\n    def work(self): ...\n"
    )
    conf = '[[listener]]\nname = "a"\nplugin = "mine.py"\noptions = { often = "hourly" }\n'
    (line,) = complaints(conf)
    assert line.startswith("proxy.toml:4:13: listener.a.options.often: ")
    (line,) = complaints('[[listener]]\nname = "a"\nplugin = "mine.py"\n')
    assert line.endswith(
        "mine.py:8: every: the option often is 'daily': it must be a Duration of 1ms or more, or 0s"
    )


def test_an_enum_is_written_by_its_value(folder: Path, accepted: Accept) -> None:
    (folder / "mine.py").write_text(OPTIONS.replace("KIND", "Model"))
    configuration = accepted('[[listener]]\nname = "a"\nplugin = "mine.py"\n')
    assert configuration.settings.listener[0].options == {
        "colour": "red",
        "least": 1,
        "inner": {},
    }


def test_the_reference_is_current() -> None:
    file = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
    assert file.read_text() == reference(), "run `python -m vcproxy.config.reference`"


def test_a_valid_file_imports_no_module_for_errors(folder: Path, accepted: Accept) -> None:
    file = accepted('[[listener]]\nname = "a"\nplugin = "own.py:Either"\n').file
    program = (
        "import sys, pathlib; from vcproxy.config.loader import load; "
        "load(pathlib.Path(sys.argv[1])); "
        "print({'difflib', 'tomli_w', 'vcproxy.config.explain'} & set(sys.modules))"
    )
    run = [sys.executable, "-c", program, str(file)]
    assert subprocess.check_output(run, text=True) == "set()\n"


def test_a_plugin_of_messages_may_have_datagrams_on_one_side(accepted: Accept) -> None:
    accepted("""\
[[listener]]
name = "a"
plugin = "own.py:Mixed"
bind = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
upstream = "mixed"
[upstream.mixed]
servers = ["udp://127.0.0.1:2", "tcp://127.0.0.1:3"]
""")


def test_upstreams_and_filters_that_options_name(accepted: Accept) -> None:
    configuration = accepted("""\
[[listener]]
name = "ways"
bind = "tcp://127.0.0.1:0"
plugin = "own.py:Router"
upstream = "a"

[listener.options]
servers = ["", "b"]
filters = [{ plugin = "own.py:Stamp", options = { colour = "red", supplier = "b" } }]

[upstream.a]
servers = ["tcp://127.0.0.1:1"]

[upstream.b]
servers = ["tcp://127.0.0.1:2"]
""")
    plugin = configuration.plugins["ways"]
    assert plugin.upstreams == {
        ("servers", 0): None,
        ("servers", 1): "b",
        ("filters", 0, "options", "supplier"): "b",
    }
    (stamp,) = plugin.filters
    assert (stamp.cls.__name__, str(stamp.options)) == (
        "Stamp",
        "_Ink(colour='red', width=1, supplier='b')",
    )
    (table,) = tomllib.loads(effective(configuration))["listener"][0]["options"]["filters"]
    assert table["options"] == {"colour": "red", "width": "1B", "supplier": "b"}
    assert table["plugin"].removesuffix(":Stamp") in configuration.sources


PLUGIN = "from vcproxy.api import Session\nclass Own(Session):\n    needs_upstream = False\n"


def test_files_are_what_a_reload_reads_again(tmp_path: Path) -> None:
    file, plugin = tmp_path / "proxy.toml", tmp_path / "own.py"
    text = (
        '[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:1"\nplugin = "own.py:Own"\n'
        '[[listener]]\nname = "b"\nbind = "tcp://127.0.0.1:2"\nplugin = "echo"\n'
    )
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())  # with a byte order mark
    plugin.write_text(PLUGIN)
    configuration = load(file)
    assert configuration.files == {file: file.read_bytes(), plugin: PLUGIN.encode()}
    assert not configuration.outdated()
    plugin.write_text(PLUGIN + "# changed\n")
    assert configuration.outdated()
    plugin.write_text(PLUGIN)
    assert not configuration.outdated()
    file.unlink()
    assert configuration.outdated()


def test_an_error_has_the_files_that_the_configuration_names(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(
        '[[listener]]\nname = "a"\nbind = "tls://127.0.0.1:1"\nplugin = "own.py:Own"\n'
        'tls = { certificate = "a.pem", key = "a.key", client_ca = "clients.pem" }\n'
        '[upstream.u]\nservers = ["tls://127.0.0.1:2"]\ntls = { ca = "servers.pem" }\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    names = [path.relative_to(tmp_path).as_posix() for path in caught.value.files]
    assert names == ["own.py", "a.pem", "a.key", "clients.pem", "servers.pem"]
