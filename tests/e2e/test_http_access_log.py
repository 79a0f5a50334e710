"""The records of real clients and servers: curl over TLS, nginx, and both paths of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import all_of, eventually
from tests.e2e.web import nginx, web

SERVES = 'location / { return 200 "hello $uri\n"; } location /none { return 503 "no\n"; }'
OF_A_RUN = ("time", "client", "server", "cipher")


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def served(
    proxy: Starter, tools: Tools, certificates: Certificates, folder: Path, direct: bool
) -> list[dict[str, Any]]:
    """Return the records of the same requests, with the direct path or without."""
    certificate, key = certificates.issue("localhost")
    tls = f'tls = {{ certificate = "{certificate}", key = "{key}", alpn = ["http/1.1"] }}'
    file = folder / f"access-{direct}.log"
    folder = folder / str(direct)
    folder.mkdir()
    running = proxy(
        f'[http]\ndirect = {"true" if direct else "false"}\n[access_log]\nfile = "{file}"\n'
        + web(nginx(tools, folder, SERVES), bind="tls://127.0.0.1:0", listener=tls)
    )
    url = f"https://localhost:{running.port('in')}"
    paths = [f"{url}/{number % 3}" for number in range(9)]
    tools.run(
        *("curl", "-4", "-sS", "--cacert", str(certificates.ca), "-A", "tester/1"),
        *(*paths, f"{url}/none", f"{url}/0"),
    )
    with running.connect("in") as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # without TLS
        all_of(stranger)
    eventually(lambda: len(records(file)) == 12, "a record of each request and of the stranger")
    running.stop()
    return records(file)


def test_both_paths_write_the_same_records(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    pair = [served(proxy, tools, certificates, tmp_path, direct) for direct in (True, False)]
    for each in pair:
        *requests, stranger = each
        assert (stranger["kind"], stranger["end"]) == ("tcp", "CH")
        for record in requests:
            assert record["client"].startswith("127.0.0.1:")
            assert record["server"].startswith("tcp://127.0.0.1:")
            assert record["cipher"]
            assert 0 <= record["time_first_byte"] <= record["time_total"] < 10_000
            assert (record["sni"], record["alpn"]) == ("localhost", "http/1.1")
            assert record["tls"].startswith("TLSv1.")
            assert record["user_agent"] == "tester/1"
        assert [record["target"] for record in requests[:3]] == ["/0", "/1", "/2"]
        assert [record["status"] for record in requests] == [200] * 9 + [503, 200]
        assert [record["bytes_down"] for record in requests] == [9] * 9 + [3, 9]
        assert len({record["id"] for record in requests}) == 11
        assert requests[0]["time_connect"] is not None
        assert {record["time_connect"] for record in requests[1:]} == {None}
    for direct, ordinary in zip(*pair, strict=True):
        for name in (*OF_A_RUN, *(name for name in direct if name.startswith("time_"))):
            direct.pop(name, None)
            ordinary.pop(name, None)
        # the port in the Host field
        assert (
            direct.pop("host", "").partition(":")[0] == ordinary.pop("host", "").partition(":")[0]
        )
        assert direct == ordinary


@pytest.mark.parametrize("direct", ["true", "false"])
def test_a_sample_and_a_template(proxy: Starter, tools: Tools, tmp_path: Path, direct: str) -> None:
    file = tmp_path / "access.log"
    running = proxy(
        f'[http]\ndirect = {direct}\n[access_log]\nfile = "access.log"\nsample = "1/4"\n'
        'format = "{method} {target} {status} {end}"\n' + web(nginx(tools, tmp_path, SERVES))
    )
    url = f"http://127.0.0.1:{running.port('in')}"
    tools.run("curl", "-sS", *[f"{url}/a"] * 40, f"{url}/none")
    running.stop()
    *sample, last = file.read_text().splitlines()
    assert last == "GET /none 503 --"
    assert set(sample) == {"GET /a 200 --"}
    assert 8 <= len(sample) <= 12
