"""When a certificate is reported before and after its end."""

import pytest

from vcproxy.drivers.certificate_validity import DAY_S, NOTICE_S, unfit

BEGIN = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
END = BEGIN + 90 * DAY_S


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (BEGIN - 1, "is not valid before 2023-11-14 22:13:20 UTC"),
        (BEGIN, ""),
        (END - NOTICE_S, ""),
        (END - NOTICE_S + 1, "expires in 13 days: 2024-02-12 22:13:20 UTC"),
        (END - 2 * DAY_S + 1, "expires in 47 hours: 2024-02-12 22:13:20 UTC"),
        (END - 3600, "expires in 1 hour: 2024-02-12 22:13:20 UTC"),
        (END - 1, "expires in 0 hours: 2024-02-12 22:13:20 UTC"),
        (END, "has expired, 0 hours ago: 2024-02-12 22:13:20 UTC"),
        (END + 3 * DAY_S, "has expired, 3 days ago: 2024-02-12 22:13:20 UTC"),
    ],
)
def test_what_is_said_of_a_certificate(now: float, text: str) -> None:
    assert unfit(BEGIN, END, now) == text
