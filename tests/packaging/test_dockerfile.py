"""The Dockerfile, as far as it can be checked without Docker: its files, user and commands.

How the proxy works as process 1: tests/e2e/test_init_process.py.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.conftest import proxy as proxy
from tests.e2e.running import VCPROXY
from tests.test_wheel import FILES, SOURCES
from vcproxy.app import cli
from vcproxy.config.loader import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "docker"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: name and arguments."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    split = (line.partition(" ") for line in joined.splitlines() if line)
    return [(name, rest.strip()) for name, _, rest in split]


def of(name: str) -> list[str]:
    """The arguments of all instructions with a name."""
    return [rest for each, rest in instructions() if each == name]


def copied() -> list[str]:
    """What is copied from the sources."""
    found = [shlex.split(rest)[:-1] for rest in of("COPY") if not rest.startswith("--from")]
    return [path for paths in found for path in paths]


def test_it_copies_what_a_wheel_is_built_from_and_a_configuration() -> None:
    assert {*copied()} == {*FILES, *SOURCES, "packaging/docker/proxy.toml"}


def test_what_it_copies_is_sent_to_the_builder() -> None:
    rules = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert sent == set(copied())
    assert all((ROOT / path).exists() for path in sent)
    ignored = [rule for rule in rules if rule[:1] not in ("#", "!", "*") or rule[:2] == "**"]
    assert not any(fnmatch.fnmatch(path, rule) for path in sent for rule in ignored)


def test_it_does_not_run_as_root() -> None:
    (user,) = of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes compares numbers"


def test_the_proxy_is_process_1_and_its_configuration_is_valid() -> None:
    (entry,), (command,) = of("ENTRYPOINT"), of("CMD")
    program, *arguments = json.loads(entry) + json.loads(command)
    assert program == "vcproxy"
    file = cli.parser().parse_args(arguments).file
    assert of("COPY")[-1] == f"packaging/docker/proxy.toml {file}"
    settings = load(FOLDER / "proxy.toml").settings
    assert settings.proxy.drain_timeout < 10, "docker stop kills after 10 s"
    (listener,) = settings.listener
    assert of("EXPOSE") == [str(listener.bind[0].port)]


def test_its_health_check_asks_the_proxy(proxy: Starter, tmp_path: Path) -> None:
    (check,) = of("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "vcproxy"
    folder = tmp_path / "run"
    folder.mkdir()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}

    def status() -> int:
        command = [*VCPROXY, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    assert status() != 0
    text = (FOLDER / "proxy.toml").read_text().replace("tcp://0.0.0.0:8080", "tcp://127.0.0.1:0")
    running = proxy(text, wrapper=("env", f"XDG_RUNTIME_DIR={folder}"))
    running.wait_for("control")
    assert status() == 0
