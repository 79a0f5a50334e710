"""The table of the metrics: where Prometheus reads them.

Tested in tests/config/test_metrics.py.
"""

import importlib.util
from typing import Annotated

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.config.values import Table, endpoint, listed
from vcproxy.engine.address import Address


def _address(value: object, info: ValidationInfo) -> Address:
    address = endpoint(value, info)
    if address.scheme not in ("tcp", "unix"):
        raise ValueError(f'"{address}": metrics are read at tcp:// or unix:')
    # find_spec does not import the module. None in sys.modules blocks its import.
    try:
        found = importlib.util.find_spec("prometheus_client")
    except ValueError:
        found = None
    if found is None:
        raise ValueError("needs a library: pip install prometheus-client")
    return address


class MetricsTable(Table):
    """What the proxy counts, for Prometheus: see the page on metrics."""

    bind: Annotated[
        tuple[
            Annotated[
                Address,
                PlainValidator(_address),
                PlainSerializer(str, when_used="json"),
                WithJsonSchema({"type": "string", "format": "address"}),
            ],
            ...,
        ],
        BeforeValidator(listed),
    ] = ()
    """Where /metrics, /healthz and /readyz are: one address or a list of them, tcp:// or unix:.
    Everybody who can connect can read them; nothing can be changed there. Absent: nowhere. A change
    needs a restart of the proxy."""
