"""The suite itself: a kind of VConnection that breaks a law does not pass."""

from collections.abc import Callable

import pytest

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer, Reader
from vcproxy.engine.pipe import PipeVConnection
from vcproxy.engine.vconnection import VConnection
from vcproxy.engine.vio import VIO
from vcproxy.testing.conformance import Law, laws

from .test_pipe import piped

LAWS = {str(law): law for law in laws()}


def signal_without_news(vio: VIO) -> None:
    """READY without news."""
    vio.ready()


def repeat_the_end(vio: VIO, event: Event) -> None:
    """An end that is not the last event."""
    vio.signal(event)


def change_a_byte(buffer: IOBuffer, reader: Reader, count: int) -> None:
    """Count correctly, but change a byte."""
    buffer.write(reader.peek(count)[:-1] + b"?")


no_goal = property(lambda vio: None)


def never_close(vc: VConnection, error: Exception | None = None) -> None:
    """Do nothing on close."""


@pytest.mark.parametrize(
    ("owner", "name", "fault", "law"),
    [
        (VIO, "reenable", signal_without_news, "reenable_is_always_harmless"),
        (VIO, "end", repeat_the_end, "a_close_is_an_orderly_end"),
        (IOBuffer, "write_from", change_a_byte, "bytes_go_both_ways"),
        (VIO, "ntodo", no_goal, "a_read_ends_exactly_at_its_goal"),
        (VConnection, "do_io_close", never_close, "closing_in_a_callback"),
        (PipeVConnection, "_end_writing", lambda vc: None, "shutdown_of_both_directions"),
        (
            VConnection,
            "_notify_timeout",
            lambda vc, timeout: None,
            "an_inactivity_timeout_is_delivered_once",
        ),
    ],
)
def test_a_broken_vc_fails_a_law(
    owner: type,
    name: str,
    fault: Callable[..., None] | property,
    law: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(AssertionError), piped() as pair:
        LAWS[law](pair)


def test_laws_have_names_and_texts() -> None:
    assert len(LAWS) == len(laws())
    assert all(isinstance(law, Law) and law.check.__doc__ for law in laws())
