"""Notes on a configuration that is valid."""

from collections.abc import Callable

from vcproxy.config.loader import Configuration
from vcproxy.config.notes import notes

SERVER = 'servers = ["tcp://127.0.0.1:1"]\n'


def test_an_upstream_that_no_listener_names(accepted: Callable[[str], Configuration]) -> None:
    configuration = accepted(
        '[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Orders"\n'
        'upstream = "db"\n'
        '[[listener]]\nname = "b"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Router"\n'
        'options.servers = ["ways"]\n'
        f"[upstream.db]\n{SERVER}[upstream.bd]\n{SERVER}[upstream.ways]\n{SERVER}"
    )
    assert list(notes(configuration)) == [
        ("upstream.bd", 'not used by any listener: write upstream = "bd" in one, or remove it')
    ]
