"""The rows of the question `settings`: see `vcproxy.control.questions.settings`.

Tested in tests/e2e/test_check_before_reload.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration


def setting_rows(configuration: Configuration) -> list[dict[str, Any]]:
    """Return the rows about a configuration."""
    from vcproxy.config.effective import flat_settings  # seldom asked for

    return [
        {"table": table, "name": name, "key": key, "value": value}
        for (table, name, key), value in flat_settings(configuration, hidden=True).items()
    ]
