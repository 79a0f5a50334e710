"""Events: what an engine delivers to a continuation. Tested in tests/docs/test_docs.py."""

import enum


class Event(enum.Enum):
    """The key of an engine event; its data is the first word of its description.

    Traffic Server's VC_EVENT codes, as names. COMPLETE, EOS and ERROR are the last event of their
    direction; READY may repeat, and at most one READY is pending for a VIO.
    """

    READ_READY = enum.auto()
    """VIO: bytes were added to its buffer."""
    READ_COMPLETE = enum.auto()
    """VIO: exactly nbytes have arrived."""
    WRITE_READY = enum.auto()
    """VIO: bytes were taken from its buffer, or it is empty: it can be filled."""
    WRITE_COMPLETE = enum.auto()
    """VIO: exactly nbytes have been written."""
    EOS = enum.auto()
    """VIO: an orderly end (FIN, close_notify), after all data."""
    ERROR = enum.auto()
    """VIO, or VC for a connect that failed: `error` is the reason."""
    INACTIVITY_TIMEOUT = enum.auto()
    """VIO: it was enabled, and nothing moved for the VC's inactivity timeout."""
    ACTIVE_TIMEOUT = enum.auto()
    """VIO: the VC's active timeout has passed."""
    ACCEPT = enum.auto()
    """VC: a connection was accepted and is established (with TLS, after the handshake)."""
    CONNECTED = enum.auto()
    """VC: the connection to a server is established."""
    TIMEOUT = enum.auto()
    """State: a machine's state has reached its timeout."""
    BRIDGE_ENDED = enum.auto()
    """VIO: a recalled VC is no longer bridged; the contents of the pipe are in its buffer."""

    # Keys are looked up for every event; identity hashing is done in C, Enum's own in Python.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.name
