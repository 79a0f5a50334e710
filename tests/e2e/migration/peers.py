"""How the programs of the migration pages are started with the files of an example."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bench.http.peers import MITMDUMP
from tests.e2e.conftest import Tools

Start = Callable[[Tools, Path, str], None]
"""Called with a folder that has the example's files, and the address that will be served."""


def haproxy(tools: Tools, folder: Path, uri: str) -> None:
    tools.serve(uri, "haproxy", "-db", "-C", str(folder), "-f", str(folder / "haproxy"))


def nginx(tools: Tools, folder: Path, uri: str) -> None:
    """Run its configuration with what a page leaves out: modules, and where it may write."""
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / name).mkdir()
    modules = "/usr/lib/nginx/modules/ngx_stream_module.so"
    here = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi"))
    here += f"uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;"
    here += f"client_body_temp_path {folder}/body; access_log off;"
    text = (folder / "nginx").read_text().replace("http {", f"http {{ {here}", 1)
    load = f"load_module {modules};\n" if "stream {" in text and Path(modules).exists() else ""
    load += "" if os.geteuid() else "user root;\n"  # which may read the files of the test
    text = f"{load}daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n{text}"
    (folder / "nginx.conf").write_text(text)
    tools.serve(uri, "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))


def caddy(tools: Tools, folder: Path, uri: str) -> None:
    """Run its Caddyfile without its administration and its own certificates."""
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + file.read_text())
    home = [f"{name}={folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
    run = ("caddy", "run", "--config", str(file), "--adapter", "caddyfile")
    tools.require("caddy")
    tools.serve(uri, "env", "-C", str(folder), *home, *run)


RECORDS = """\
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.cache.http INT 0
"""

IP_ALLOW = """\
ip_allow:
  - { apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL }
"""


def traffic_server(tools: Tools, folder: Path, uri: str) -> None:
    """Run it in the folder: the files of the example, and the least else that it needs."""
    port = uri.rpartition(":")[2]
    places = "prefix exec_prefix bindir sbindir sysconfdir datadir includedir localstatedir"
    lines = [f"{name}: {folder}" for name in [*places.split(), "runtimedir", "logdir", "cachedir"]]
    lines += ["libdir: /usr/lib/trafficserver", "libexecdir: /usr/lib/trafficserver/modules"]
    (folder / "runroot.yaml").write_text("\n".join(lines) + "\n")
    records = folder / "records.config"
    own = records.read_text() if records.exists() else ""
    if "server_ports" not in own:
        own += f"CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1\n"
    records.write_text(RECORDS + own)
    if not (folder / "ip_allow.yaml").exists():
        (folder / "ip_allow.yaml").write_text(IP_ALLOW)
    (folder / "storage.config").write_text("")
    tools.require("traffic_server")
    tools.serve(uri, "traffic_server", f"--run-root={folder}/runroot.yaml")


def mitmproxy(tools: Tools, folder: Path, uri: str) -> None:
    """Run its addon; the block `sh mitmdump` has the command."""
    options = (folder / "mitmdump").read_text().split()
    assert options[0] == "mitmdump"
    in_venv = Path(MITMDUMP)  # it is not on PATH, as it asks for older libraries than ours
    program = str(in_venv) if in_venv.exists() else "mitmdump"
    tools.require(program)
    host, _, port = uri.removeprefix("tcp://").rpartition(":")
    here = ("--set", f"confdir={folder}", "--listen-host", host, "--listen-port", port)
    tools.serve(uri, "env", "-C", str(folder), program, *options[1:], "--quiet", *here)


PEERS: dict[str, Start] = {
    "haproxy": haproxy,
    "nginx": nginx,
    "traffic-server": traffic_server,
    "caddy": caddy,
    "mitmproxy": mitmproxy,
}
"""By the name of the page."""
