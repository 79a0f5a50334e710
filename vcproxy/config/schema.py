"""Settings: a whole configuration file; its tables are in `tables`.

Tested in tests/config/test_problems.py and test_loader.py.
"""

import json
from typing import Annotated

from pydantic import BeforeValidator

from vcproxy.config.tables.access_log import AccessLogTable
from vcproxy.config.tables.control import ControlTable
from vcproxy.config.tables.listener import ListenerTable
from vcproxy.config.tables.metrics import MetricsTable
from vcproxy.config.tables.process import HttpTable, ProxyTable, RecordTable, SuperviseTable
from vcproxy.config.tables.upstream import UpstreamTable
from vcproxy.config.values import Table, listed


class Settings(Table):
    """A whole configuration file."""

    include: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    """Further files of this configuration, relative to this one; the last part of a path may have
    wildcards, as in "conf.d/*.toml". It stands above the first table."""

    proxy: ProxyTable = ProxyTable()
    """The process as a whole."""

    supervise: SuperviseTable = SuperviseTable()
    """How several workers are supervised."""

    control: ControlTable = ControlTable()
    """How a running proxy is asked and commanded."""

    access_log: AccessLogTable | None = None
    """The access log. Absent: there is none, except for listeners that have their own."""

    metrics: MetricsTable = MetricsTable()
    """What the proxy counts, for Prometheus."""

    http: HttpTable = HttpTable()
    """HTTP as a whole."""

    record: RecordTable | None = None
    """Recording. Absent: none, unless the command line asks for it."""

    listener: tuple[ListenerTable, ...] = ()
    """The listeners, one [[listener]] for each."""

    upstream: dict[str, UpstreamTable] = {}
    """The upstreams, by the name that listeners use."""


def as_json(tree: object) -> str:
    """Return a tree as JSON, for validation in pydantic's strict mode.

    Strict mode accepts a list as a tuple, or a text as a path, only if the input is JSON.
    """
    return json.dumps(tree, default=str)
