"""The vocabulary: what an engine tells a continuation."""

import enum


class Event(enum.Enum):
    """The key of an engine event; the data that comes with each stands beside it.

    Traffic Server's VC_EVENT codes, as names. COMPLETE, EOS and ERROR are the last event of their
    direction; READY may repeat, and at most one READY is pending for a VIO.
    """

    READ_READY = enum.auto()
    """VIO: bytes were added to its buffer."""
    READ_COMPLETE = enum.auto()
    """VIO: exactly nbytes have arrived."""
    WRITE_READY = enum.auto()
    """VIO: bytes were taken from its buffer, or it is empty: please fill it."""
    WRITE_COMPLETE = enum.auto()
    """VIO: exactly nbytes have been handed on."""
    EOS = enum.auto()
    """VIO: an orderly end (FIN, close_notify), after all data."""
    ERROR = enum.auto()
    """VIO, or VC for a connect that failed: `error` says what happened."""
    INACTIVITY_TIMEOUT = enum.auto()
    """VIO: it was enabled, and nothing moved for the VC's inactivity timeout."""
    ACTIVE_TIMEOUT = enum.auto()
    """VIO: the VC's active timeout has passed."""
    ACCEPT = enum.auto()
    """VC: a connection came in; it is established (after the handshake, with TLS)."""
    CONNECTED = enum.auto()
    """VC: the connection that was asked for is established."""
    TIMEOUT = enum.auto()
    """State: a machine's state has lasted too long."""
    BRIDGE_ENDED = enum.auto()
    """VIO: a bridged VC is back, and what was in the pipe is in its buffer."""

    # Keys are looked up for every event; identity hashing is done in C, Enum's own in Python.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.name
