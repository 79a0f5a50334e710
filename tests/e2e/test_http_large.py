"""Large bodies through the HTTP proxy, both ways, compared by their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Large, Starter, Tools
from tests.e2e.web import nginx, web

MIB = 1 << 20


@pytest.mark.parametrize(
    ("framing", "bridged"),
    [("Content-Length", True), ("chunked", False)],
)
def test_up_and_down(
    proxy: Starter, tools: Tools, large: Large, tmp_path: Path, framing: str, bridged: bool
) -> None:
    """Two uploads and two downloads over one connection: after a body comes the next head."""
    path, checksum = large
    root = tmp_path / "root"
    root.mkdir(mode=0o777)
    (root / "large.bin").symlink_to(path)
    # A filter makes nginx send the file chunked, without its length.
    chunked = "sub_filter_types *; sub_filter found-nowhere x;" if framing == "chunked" else ""
    running = proxy(
        web(nginx(tools, tmp_path, f"root {root}; dav_methods PUT; sendfile off; {chunked}"))
    )
    before = running.resident()
    url = f"http://127.0.0.1:{running.port('in')}/"
    curl = "curl", "-sSf", "--max-time", "30", "-H", "Expect:"
    framed = ("-H", "Transfer-Encoding: chunked") if framing == "chunked" else ()
    twice = *("-T", str(path), f"{url}1"), *("-T", str(path), f"{url}2")
    tools.run(*curl, *framed, *twice)
    down = tmp_path / "down"
    data = tools.run(*curl, "-o", str(down), f"{url}large.bin", "-o", f"{down}2", f"{url}large.bin")
    assert data == b""
    for copy in (root / "1", root / "2", down, Path(f"{down}2")):
        with copy.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == checksum
    assert (running.pipes() > 1) == bridged  # one pipe is the standard error of the proxy
    assert running.resident() - before < 8 * MIB
