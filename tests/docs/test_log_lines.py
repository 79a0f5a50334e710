"""The page of log lines lists all texts that the sources log, each with cause and remedy, and no
others."""

from __future__ import annotations

from tests.docs import log_lines


def test_every_text_that_is_logged_is_listed() -> None:
    assert len(list(log_lines.logged())) > 60
    assert log_lines.unlisted() == [], "add them to docs/reference/log-lines.toml"


def test_every_text_that_is_listed_exists() -> None:
    assert log_lines.missing() == [], "correct them in docs/reference/log-lines.toml"


def test_each_has_a_cause_and_a_remedy() -> None:
    assert not [line.text for line in log_lines.table() if not (line.cause and line.remedy)]
    assert {line.level for line in log_lines.table()} <= {*log_lines.LEVELS, "exit"}


def test_each_names_a_module_that_exists() -> None:
    absent = {
        line.where for line in log_lines.table() if not (log_lines.ROOT / line.where).exists()
    }
    assert absent == set(), "correct `where` in docs/reference/log-lines.toml"
