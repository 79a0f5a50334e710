"""The tables of the access log: [access_log] and [listener.access_log].

Tested in tests/config/test_access_log.py.
"""

from re import fullmatch
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.config.log_target import SyslogServer, log_target
from vcproxy.config.values import Table

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessLogSettings

JSON = "json"

STDERR: Literal["stderr"] = "stderr"
"""In place of a file: standard error."""

AccessLogTarget = str | SyslogServer
"""The text "stderr", the path of a file, or a log server."""


def _target(value: object, info: ValidationInfo) -> object:
    return STDERR if value == STDERR else log_target(value, info)


def _format(form: str) -> str:
    if form != JSON:
        from vcproxy.access_log.pattern import check

        check(form)
    return form


def _sample(value: object) -> float:
    if isinstance(value, str) and fullmatch("1/0*[1-9][0-9]{0,9}", value):
        return 1 / int(value[2:])
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError('must be a number from 0 to 1, or a text as "1/100"')


Target = Annotated[
    object,
    PlainValidator(_target),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "path"}),
]

Format = Annotated[str, AfterValidator(_format)]

Sample = Annotated[
    float,
    PlainValidator(_sample),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]


class AccessLogTable(Table):
    """The access log of all listeners: one record for each TCP or UDP session and HTTP request."""

    file: Target = STDERR
    """Where to: "stderr"; a file, which SIGUSR1 reopens; or a log server, as in `log` of
    [proxy]."""

    format: Format = JSON
    """"json"; "line", a short line for people; or a template such as "{client} {end}"."""

    sample: Sample = 1.0
    """The share of records that are written, as 0.01 or "1/100". Records of what did not end in
    order are always written, and so are those of HTTP responses with a status above 499."""


class ListenerAccessLogTable(Table):
    """What is different for one listener; what is left out is as in [access_log]."""

    enabled: bool = True
    """False: this listener writes no records. `access_log = false` is a short form."""

    file: Target | None = None
    """See [access_log]. Required without that table."""

    format: Format | None = None
    """See [access_log]."""

    sample: Sample | None = None
    """See [access_log]."""


def _switched(value: object) -> object:
    return {"enabled": value} if isinstance(value, bool) else value


ListenerAccessLog = Annotated[ListenerAccessLogTable, BeforeValidator(_switched)]


def settings_of(
    common: AccessLogTable | None, own: ListenerAccessLogTable | None
) -> "AccessLogSettings | None":
    """Return what a listener logs; None: nothing.

    Args:
        common: the table of the whole file.
        own: that of the listener.
    """
    if own is None and common is None:
        return None
    from vcproxy.access_log.log import AccessLogSettings  # most proxies need none

    if own is None:
        assert common is not None
        return AccessLogSettings(common.file, common.format, common.sample)
    if not own.enabled:
        return None
    target = own.file if own.file is not None or common is None else common.file
    form = own.format or (JSON if common is None else common.format)
    sample = own.sample
    if sample is None:
        sample = 1.0 if common is None else common.sample
    return None if target is None else AccessLogSettings(target, form, sample)
