"""README and docs are correct: code runs, TOML loads, commands and links exist."""

from __future__ import annotations

import re
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.docs import generated
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links, name
from tests.e2e.running import Running
from vcproxy.app import cli
from vcproxy.app.commands.inspection import inspect_plugin
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import load
from vcproxy.config.notes import notes
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.http.filters import FilterChain
from vcproxy.http.message.messages import Request
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.supervise.process import Process
from vcproxy.testing import SimulatedHttp, SimulatedMachines

README = ROOT / "README.md"
CONF = ROOT / "conf" / "proxy.toml"
SOURCES = [file for top in ("vcproxy", "tunnels") for file in (ROOT / top).glob("**/*.py")]
ECHO = '\n[[listener]]\nname = "echo"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'

# The entry point exists only after an installation, and would load the plugin a second time.
WITH_OURS = ("-p", "no:cacheprovider", "-p", "no:vcproxy", "-p", "vcproxy.pytest_plugin")

having_python = [page for page in PAGES if blocks(page, "python")]
having_toml = [page for page in PAGES if blocks(page, "toml", "toml wrong")]
having_sh = [page for page in PAGES if blocks(page, "sh")]
having_console = [page for page in PAGES if blocks(page, "console")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files, and the variables, that the pages tell a reader to make first."""
    for variable, value in {"APP_HOST": "127.0.0.1", "DRAIN": "10", "KEEP": "16"}.items():
        monkeypatch.setenv(variable, value)
    authority = trustme.CA()
    (tmp_path / "certs").mkdir()
    for file in ("server", "shop", "old"):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / f"{file}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{file}.pem")
    authority.cert_pem.write_to_path(tmp_path / "authorities.pem")
    (tmp_path / "users").write_text(f"anna:$2b$05${'.' * 53}\n")
    (tmp_path / "tokens").write_text("ci:0123456789abcdef0123\n")
    (tmp_path / "pages").mkdir()
    for error_page in ("404.html", "sorry.html"):
        (tmp_path / "pages" / error_page).write_text("<h1>sorry</h1>")
    return tmp_path


def written(page: Path, desk: Path) -> Iterator[Path]:
    """Write the Python of a page to files, named by their first line or by the page."""
    for block in blocks(page, "python"):
        titled = re.match(r"# (\w+\.py)\n", block.text)
        file = desk / (titled[1] if titled else f"{page.stem}.py")
        file.write_text(block.text)
        yield file


@pytest.mark.parametrize("page", having_python, ids=name)
def test_the_python_of_a_page_runs(page: Path, desk: Path) -> None:
    for file in written(page, desk):
        if file.name.startswith("test_"):
            command = [sys.executable, "-m", "pytest", "-q", *WITH_OURS, file.name]
            done = subprocess.run(command, capture_output=True, text=True, cwd=desk, check=False)
            assert done.returncode == 0, done.stdout
        elif "(Process)" in file.read_text():
            start_machines(file)
        else:
            inspect_plugin(str(file))


def start_machines(file: Path) -> None:
    """Start each machine of a file, in a simulation."""
    found = [
        each
        for each in runpy.run_path(str(file)).values()
        if isinstance(each, type) and issubclass(each, Process) and each is not Process
    ]
    assert found
    for each in found:
        with SimulatedMachines({"page/Machine": each}) as machines:
            machines.start("page/Machine")


@pytest.mark.parametrize("page", having_toml, ids=name)
def test_the_toml_of_a_page_loads(page: Path, desk: Path) -> None:
    list(written(page, desk))
    shown = blocks(page)
    for block, following in zip(shown, [*shown[1:], None], strict=True):
        file = desk / "first.toml"
        if block.info == "toml":
            whole = "[[listener]]" in block.text
            file.write_text(block.text if whole else block.text + ECHO)
            unused = [about for about, note in notes(load(file)) if note.startswith("not used")]
            assert not (whole and unused), "it has an upstream that nobody names"
        elif block.info == "toml wrong":
            file.write_text(block.text)
            with pytest.raises(ConfigError) as caught:
                load(file)
            assert following is not None
            assert str(caught.value).replace(f"{desk}/", "") == following.text.rstrip()


@pytest.mark.parametrize("page", having_sh, ids=name)
def test_the_commands_of_a_page_exist(page: Path, desk: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in blocks(page, "sh"):
        for command in block.commands:
            match command:
                case ["make", target]:
                    assert target in targets
                case ["vcproxy" | ".venv/bin/vcproxy", *arguments]:
                    cli.parser().parse_args(arguments)
                case ["docker", "build", "-f", file, *_]:
                    assert (ROOT / file).exists()
                case ["docker", "run", *_, "vcproxy"]:
                    pass  # the command is that of the image: tests/packaging/test_dockerfile.py
                case ["openssl", *_]:
                    subprocess.run(command, cwd=desk, capture_output=True, check=True)
                case [".venv/bin/python", "-m", "pytest", file]:
                    assert file in [path.name for path in written(page, desk)]
                case _:
                    assert command[0] == "kill", f"how is this checked? {command}"


@pytest.mark.parametrize("page", having_console, ids=name)
def test_a_terminal_session_has_the_output_shown(page: Path, desk: Path) -> None:
    if not shutil.which("socat"):
        pytest.skip("socat is not installed")
    file, conf = desk / "proxy.toml", running(page)
    ports = {port: free_port() for port in re.findall(r"^[^#\n]*:(\d+)\"", conf, re.MULTILINE)}

    def here(text: str) -> str:
        return re.sub(rf"(?<=:)({'|'.join(ports)})", lambda port: ports[port[0]], text)

    file.write_text(here(conf))
    proxy = Running(file)
    try:
        for block in blocks(page, "console"):
            prompt, _, output = block.text.partition("\n")
            command = here(prompt.removeprefix("$ "))
            assert subprocess.check_output(command, shell=True, text=True) == output
        proxy.stop()
    finally:
        proxy.kill()


def running(page: Path) -> str:
    """Return the configuration that a page's reader runs: the default, unless it names another."""
    named = re.search(r"^vcproxy -c (conf/\w+\.toml)$", page.read_text(), re.MULTILINE)
    return (ROOT / named[1] if named else CONF).read_text()


def free_port() -> str:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_the_plugin_of_the_readme_shouts(desk: Path) -> None:
    _, file, _ = written(README, desk)
    plugin = PluginLoader().find(str(file))
    assert issubclass(plugin, Session)
    with Simulation(seed=1) as sim:
        driver = sim.driver()

        def accept(client: NetVConnection) -> None:
            plugin(client, Service("shout")).start()

        listener = Listener("shout", accept, driver.engine)
        client = sim.client(driver.listen(Address.parse("tcp://proxy:1"), listener))
        client.send(b"hello")
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == b"HELLO"


@pytest.mark.parametrize("target", ["/staff", "/staff?a", "//%73taff/x", "/x/../staff;a=1"])
def test_the_filter_of_the_readme_lets_only_staff_in(desk: Path, target: str) -> None:
    file, _, _ = written(README, desk)
    found = PluginLoader().named(f"{file}:HouseRules")
    assert isinstance(found, type)
    with SimulatedHttp(found()) as proxy:
        wanted = Request("GET", target, host="a.example")
        assert proxy.send(wanted, client_ip="192.0.2.7").status == 403
        assert proxy.send(wanted, client_ip="10.0.0.7").status == 200
        assert [each.fields["X-Request-From"] for each in proxy.received()] == ["10.0.0.7"]


def test_the_readme_mistake_is_reported(desk: Path) -> None:
    file = desk / "proxy.toml"
    file.write_text(CONF.read_text().replace("\nservers =", "\nserver =", 1))
    with pytest.raises(ConfigError) as caught:
        load(file)
    shown = str(caught.value).replace(str(file), "conf/proxy.toml")
    assert shown in [block.text.rstrip() for block in blocks(README, "text")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", generated.PAGES, ids=name)
def test_generated_pages_are_current(page: Path) -> None:
    written, current = page.read_text(), generated.PAGES[page]()
    if sys.version_info >= (3, 13):  # its argparse writes and aligns options in another way
        written, current = _options(written), _options(current)
    assert written == current, "write it again: make docs"


def _options(text: str) -> str:
    """Return a text with `-f FILE, --file FILE` as `-f, --file FILE`, on one line; manual pages
    have a backslash before each minus."""
    return re.sub(r"((?:\\?-)+[\w\\-]+) (\S+), (\S+ \2)", r"\1, \3", " ".join(text.split()))


def test_the_life_of_a_request_has_every_phase_in_its_order() -> None:
    life, _ = blocks(ROOT / "docs" / "design" / "http.md", "mermaid")
    drawn = re.findall(r"(\w+)\[\[\"(\w+)(?: \.\.\.)?\"\]\]", life.text)
    assert [node for node, _ in drawn] == [phase for _, phase in drawn] == FilterChain.phases()


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    mapped = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set(ROOT.glob("docs/**/*.md")) - mapped == {index}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_in_the_text_exist(page: Path) -> None:
    for path in re.findall(r"`((?:vcproxy|tunnels|plugins|conf|tests)/[^`]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/design/*.md")), ids=name)
def test_names_in_the_design_exist_in_the_code(page: Path) -> None:
    code = "".join(file.read_text() for file in SOURCES)
    shown = "".join(re.findall(r"`[^`\n]+`|->>.*|-->>.*", page.read_text()))
    for called in re.findall(r"\b([a-z_]\w*)\((?!\d)", shown):
        assert re.search(rf"(def {called}\b|\b{called}:)", code), f"there is no {called}()"
