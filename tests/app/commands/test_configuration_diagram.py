"""`vcproxy diagram FILE.toml`: listeners, routes, duties, upstreams."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.config.test_ways import EDGE
from vcproxy.app.cli import main
from vcproxy.app.commands.configuration_diagram import chart
from vcproxy.config.loader import load

CONF = Path(__file__).parents[3] / "conf"

DRAWN = """\
flowchart LR
    L0["site<br/>tcp://127.0.0.1:1<br/>http_proxy"]
    L0S[["1. response_fields"]]
    L0R0(["GET b.example/ with X"])
    L0R0S[["1. rewrite"]]
    L0R1(["*/old"])
    L0R1S[["1. request_id<br/>2. redirect<br/>3. rewrite"]]
    L0R1A["answered by redirect"]
    L0R2(["*/no"])
    L0R2S[["1. request_id<br/>2. rewrite"]]
    L0R2A["answer 403"]
    L0R3(["*/"])
    L0R3S[["1. request_id<br/>2. rewrite"]]
    L1["plain<br/>tcp://127.0.0.1:2<br/>forward"]
    U0["upstream app<br/>tcp://127.0.0.1:3"]
    U1["upstream other<br/>tcp://127.0.0.1:4"]
    L0 --> L0S
    L0S --> L0R0
    L0R0 --> L0R0S
    L0R0S --> U1
    L0S --> L0R1
    L0R1 --> L0R1S
    L0R1S --> L0R1A
    L0S --> L0R2
    L0R2 --> L0R2S
    L0R2S --> L0R2A
    L0S --> L0R3
    L0R3 --> L0R3S
    L0R3S --> U0
    L1 --> U0
"""


def test_mermaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(EDGE)
    assert main(["diagram", str(file)]) == 0
    assert capsys.readouterr().out == DRAWN


@pytest.mark.parametrize("form", ["dot", "svg"])
def test_graphviz(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    if form == "svg" and not shutil.which("dot"):
        pytest.skip("Graphviz is not installed")
    file = tmp_path / "edge.toml"
    file.write_text(EDGE.replace("/old", "/o'ld"))
    assert main(["diagram", str(file), "--format", form]) == 0
    out = capsys.readouterr().out
    assert out.startswith("digraph {" if form == "dot" else "<?xml")
    assert "1. response_fields" in out


def test_a_configuration_that_is_not_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(EDGE.replace('upstream = "other"', 'upstream = "none"'))
    assert main(["diagram", str(file)]) == 1
    assert "routes.0.upstream: there is no [upstream.none]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["edge", "http-reverse", "http-forward", "udp"])
def test_each_configuration_can_be_drawn(name: str) -> None:
    drawn = chart(load(CONF / f"{name}.toml"))
    names = [node.name for node in drawn.nodes]
    assert len(set(names)) == len(names)
    assert {end for arrow in drawn.arrows for end in arrow} <= set(names)
