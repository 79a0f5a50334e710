"""Generate the configuration reference from the tables: `python -m vcproxy.config.reference`.

The text of each entry is the docstring under its attribute in `tables`. Tested in
tests/config/test_loader.py.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vcproxy.config import schema
from vcproxy.config.tables import (
    access_log,
    admission,
    control,
    listener,
    metrics,
    process,
    proxy_protocol,
    tcp,
    tls,
    upstream,
)

SECTIONS: dict[str, type[BaseModel]] = {
    "The whole file": schema.Settings,
    "[proxy]": process.ProxyTable,
    "[supervise]": process.SuperviseTable,
    "[control]": control.ControlTable,
    "[control.tls]": control.ControlTls,
    "[access_log]": access_log.AccessLogTable,
    "[metrics]": metrics.MetricsTable,
    "[http]": process.HttpTable,
    "[record]": process.RecordTable,
    "[[listener]]": listener.ListenerTable,
    "[listener.tls]": tls.ListenerTls,
    "[listener.tls.names.NAME]": tls.KeyPair,
    "[[listener.tls.certificates]]": tls.KeyPair,
    "[listener.limits]": listener.LimitsTable,
    "[[listener.rate]]": admission.RateTable,
    "[listener.timeouts]": listener.TimeoutsTable,
    "[listener.proxy_protocol]": proxy_protocol.ListenerProxyProtocol,
    "[listener.tcp]": tcp.TcpTable,
    "[listener.access_log]": access_log.ListenerAccessLogTable,
    "[upstream.NAME]": upstream.UpstreamTable,
    "[[upstream.NAME.servers]]": upstream.UpstreamServer,
    "[upstream.NAME.queue]": upstream.UpstreamQueue,
    "[upstream.NAME.pool]": upstream.UpstreamPool,
    "[upstream.NAME.check]": upstream.UpstreamCheck,
    "[upstream.NAME.eject]": upstream.UpstreamEject,
    "[upstream.NAME.proxy_protocol]": proxy_protocol.UpstreamProxyProtocol,
    "[upstream.NAME.tls]": tls.UpstreamTls,
    "[upstream.NAME.tcp]": tcp.TcpTable,
}

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m vcproxy.config.reference`; edit vcproxy/config/tables instead. -->

A configuration is a TOML file, and those that it includes. Unknown keys are errors. Relative paths
are relative to the file. Texts may have variables: see the page on configuration files.

- A **duration** is a number and a unit: "250ms", "5s", "2m", "1h", "1d".
- A **size** is a number and a unit: "512B", "64KiB", "1MiB", "1GiB".
- An **address** is a URI: "tcp://127.0.0.1:80", "tls://[::1]:443", "udp://127.0.0.1:53",
  "unix:run/app.sock?mode=0660", "unixgram:app.sock", "unixpacket:app.sock", "fifo:app.fifo",
  "serial:/dev/ttyUSB0?baud=9600", "terminal:", "stdio:". A "?" in a path is written %3F.

Check a file with `vcproxy -t -c FILE`; print it with every default by `vcproxy -T -c FILE`.
"""


def reference() -> str:
    """Return the reference of the configuration, in Markdown."""
    return "\n".join([INTRODUCTION, *(_section(*item) for item in SECTIONS.items())])


def _section(title: str, table: type[BaseModel]) -> str:
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows(table))
    head = "| key | type | default | meaning |\n|---|---|---|---|\n"
    return f"## {title}\n\n{inspect.getdoc(table)}\n\n{head}{lines}"


def rows(table: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    properties = table.model_json_schema()["properties"]
    meanings = docstrings(table)
    for key, info in table.model_fields.items():
        name = info.alias or key
        yield f"`{name}`", _type(properties[name]), _default(table, key, info), meanings[key]


def _type(of: dict[str, Any]) -> str:
    match of:
        case {"anyOf": [one, *_]}:
            return _type(one)
        case {"const": str(only)}:
            return f'"{only}"'
        case {"enum": choices}:
            return " or ".join(f'"{choice}"' for choice in choices)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "string"}:
            return str(of.get("format", "text"))
        case {"type": "integer"}:
            return "whole number"
        case {"type": "number"}:
            return "number"
        case {"type": "boolean"}:
            return "true or false"
    return "table"


def _default(table: type[BaseModel], key: str, info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = table.model_construct(**{key: info.default}).model_dump(mode="json")[key]
    if value is None or value == []:
        return ""
    if isinstance(value, dict):
        return "see below" if value else ""
    return f"`{tomli_w.dumps({key: value}).partition(' = ')[2].strip()}`"


def docstrings(table: type) -> dict[str, str]:
    """Return the docstring under each attribute of a class and of its own bases."""
    found: dict[str, str] = {}
    for cls in reversed(table.__mro__):
        if cls.__module__.partition(".")[0] in ("builtins", "pydantic"):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(node, ast.ClassDef)
        for attribute, text in zip(node.body, node.body[1:], strict=False):
            match attribute, text:
                case (
                    ast.AnnAssign(target=ast.Name(name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    found[name] = " ".join(words.split())
    return found


if __name__ == "__main__":
    print(reference(), end="")
