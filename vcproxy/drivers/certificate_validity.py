"""Whether a certificate that is in use should be renewed. Tested in
tests/drivers/test_certificate_validity.py.
"""

from __future__ import annotations

from time import gmtime, strftime
from typing import Final

DAY_S: Final = 86400.0

NOTICE_S: Final = 14 * DAY_S
"""How long before its end a certificate is reported: enough to renew it by hand, as in `vcproxy
check-certificate`. Programs that renew by themselves do so earlier: certbot 30 days before."""


def unfit(not_before: float, not_after: float, now: float) -> str:
    """Return why a certificate should be renewed, or cannot be used yet; "": there is no reason.

    Times are seconds since 1970. A certificate is used nevertheless: only its peers refuse it.
    """
    if now < not_before:
        return f"is not valid before {_shown(not_before)}"
    if now >= not_after:
        return f"has expired, {_span(now - not_after)} ago: {_shown(not_after)}"
    if not_after - now < NOTICE_S:
        return f"expires in {_span(not_after - now)}: {_shown(not_after)}"
    return ""


def _span(seconds: float) -> str:
    """Return a time in whole days, or in hours if it is shorter than two days."""
    days, hours = int(seconds // DAY_S), int(seconds // 3600)
    count, unit = (days, "day") if days >= 2 else (hours, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _shown(seconds: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(seconds))
