"""SplitterHooks: what the author of a Splitter sets and overrides, with what happens otherwise.

Tested in tests/messages/test_splitter.py and test_devices.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from types import FunctionType
from typing import Any, ClassVar, get_args

from vcproxy.engine.address import Address
from vcproxy.framing.framing import Framing, lines
from vcproxy.messages.keyed import Keyed
from vcproxy.messages.split_rules import Orphans, Part, SplitRules
from vcproxy.messages.unanswered import Unanswered
from vcproxy.messages.verdict import Reject, Resend
from vcproxy.sessions.session import Session


class SplitterHooks(Session):
    """The interface of Splitter to its subclasses."""

    needs_upstream: ClassVar[bool | None] = True
    alpn_refused = frozenset({"h2"})  # a framing of messages cannot read its streams
    one_worker = "its clients share one connection to the server"

    framing: Framing = lines()
    """How requests are framed, and the parts of replies that go to clients."""
    forwarding: Framing | None = None
    """How requests are framed for the server. None: like the client's. Read from the class, as are
    `replies`, `orphans`, `in_flight`, `silences` and `shares_s`; where one of them depends on the
    options or on the place, override `split_rules`."""
    replies: Framing | None = None
    """How the server's replies are framed. None: like requests."""
    orphans: Orphans = "drop"
    """What happens to a part that no request waits for."""
    in_flight: int = 0
    """The most requests that are at the server at one time, 0: no limit; 1 for a device that takes
    one after the other. The others wait, and clients take turns. A damaged reply ends the request
    at once, unless the framing is `noisy`: see Framing."""
    timeout_s: float = 30.0
    """Seconds that the server has for the whole answer, from when the request is sent. It is meant
    to be the same for all requests: one with a shorter time may wait as long as earlier ones."""
    queue_timeout_s: float = 30.0
    """Seconds that a request may wait until it is sent."""
    attempts: int = 1
    """How often a request is sent at most: again when its connection is lost, or when it is not
    answered in time. More than 1 only if the server may execute a request twice."""
    silences: int = 1
    """Requests in a row that time out, while the server sends nothing at all, before its connection
    is closed. More for a gateway to several devices, where one that is switched off does not mean
    that the connection has failed. Without keys, or one at a time and without `fresh_id`, the first
    one closes it: its late answer could be taken for that of the next request. Where `framing` is
    `noisy`, that would not help: see LateAnswers."""
    shares_s: float = 0.0
    """Seconds for which an answer is given to requests with an equal `Keyed.shares`, too; 0: only
    to those that came before its last part."""
    window: int = 16
    """Requests of one client that may be pending; with more, the client is not read."""
    backlog: int = 1 << 20
    """Bytes of answers that a client may leave unread before it is closed."""

    _places: ClassVar[bool] = False  # whether `place` is overridden
    _own_rules: ClassVar[bool] = False  # whether `split_rules` is

    __slots__ = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if isinstance(cls.__dict__.get("split"), FunctionType):
            raise TypeError(
                f"{cls.__qualname__}.split() is called for replies to all clients, without a "
                "session: write @classmethod def split(cls, reply, options)"
            )
        orphans = vars(cls).get("orphans")
        if isinstance(orphans, str) and orphans not in get_args(Orphans):
            known = ", ".join(f'"{each}"' for each in get_args(Orphans))
            raise TypeError(f'{cls.__qualname__}.orphans is "{orphans}": write one of {known}')
        for key in ("timeout_s", "queue_timeout_s", "shares_s"):
            if isinstance(seconds := vars(cls).get(key), str):
                raise TypeError(f'{cls.__qualname__}.{key} is "{seconds}": write seconds, as 2.0')
        cls._places = cls.place is not SplitterHooks.place
        rules: Any = cls.split_rules
        cls._own_rules = rules.__func__ is not vars(SplitterHooks)["split_rules"].__func__

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session: all clients share one server connection."""
        unused = {"servers": "the shared connection is one to the listener's upstream"}
        if cls.orphans in ("drop", "reconnect") and not cls._own_rules:
            unused |= dict.fromkeys(("orphan", "lost"), f'orphans = "{cls.orphans}" sends none')
        return unused

    def key(self, request: bytes) -> Hashable | Keyed | Reject | Resend:
        """Return the key that the parts of the answer have in common. To be overridden.

        `request` is one message without its framing. None: parts are matched by the order of
        requests. A Keyed says also what the server gets in its place. A Reject or Resend is sent to
        the client, when its earlier requests are answered, and the request is not sent. An
        exception ends this client's conversation.
        """
        return None

    def damaged(self, message: bytes, why: str) -> Reject | Resend:
        """Return the verdict on a message of the client whose check has failed: see Damaged. It is
        never sent to the server. To be overridden; by default the client is not read any more.
        """
        return Reject(b"")

    def place(self, request: bytes) -> str | None:
        """Return the name of the upstream that a request is for; None: the listener's. To be
        overridden.

        It is called before `key`, with messages that `key` may reject. There is one shared
        connection for each upstream. The name is one of `service.upstreams`: options of the type
        UpstreamName, which `-t` checks.
        """
        return None

    def restore(self, request: bytes, part: bytes) -> bytes:
        """Return what the client gets for a part of the answer to a request that `key` has
        rewritten. To be overridden: it puts the client's own id back.

        `request` is the client's message, `part` the `data` of the Part.
        """
        return part

    @classmethod
    def unfit_server(cls, options: Any, place: str, server: Address) -> str:
        """Return why a server of the upstream `place` cannot be used with these options, which `-t`
        reports, as `address: why`; "": it can. To be overridden."""
        return ""

    @classmethod
    def split(cls, reply: bytes, options: Any) -> Iterable[Part]:
        """Return or yield the parts of one reply. To be overridden.

        `reply` is one message without its framing, `options` the plugin's Options. There is no
        session: the parts of one reply may belong to many clients. An exception closes the server
        connection, because later parts can no longer be matched with requests; its requests are
        unanswered.
        """
        return (Part(None, reply),)

    @classmethod
    def split_rules(cls, options: Any, place: str) -> SplitRules:
        """Return how requests and replies of one shared connection are framed, replies split, and
        what else is common to its clients. To be overridden where that depends on the options, or
        on `place`, the name of the upstream; called once for each shared connection.
        """
        split = partial(cls.split, options=options)
        return SplitRules(
            cls.replies or cls.forwarding or cls.framing,
            split,
            cls.orphans,
            cls.forwarding,
            cls.in_flight,
            cls.silences,
            cls.shares_s,
        )

    def unanswered(self, request: bytes, why: Unanswered) -> bytes | None:
        """Return the message for the client whose request is not answered. To be overridden.

        None closes the client's connection.
        """
        return None

    def orphan(self, part: Part) -> bytes | None:
        """Return what this client gets for a part that no request waits for; None: nothing. It is
        called if `orphans` is "broadcast" or "subscribers". To be overridden."""
        return part.data

    def lost(self, why: str) -> bytes | None:
        """Return the message for a client that gets orphans, when the server connection is lost
        that they came from. To be overridden. None closes the client's connection: a server that
        keeps subscriptions has forgotten them, so the client must subscribe again."""
        return None
