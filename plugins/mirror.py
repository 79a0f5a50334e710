"""mirror: forward, and let other servers have what clients say, too.

The client's server, the primary, is neither slowed nor broken by a mirror, and alone answers the
client, unless `reply` says otherwise. Mirrors' answers are compared with its own.

    [listener.options]
    mirrors = ["tcp://127.0.0.1:15601"]
    sample = 0.1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from vcproxy.api import (
    Address,
    Duration,
    Mirroring,
    NetVConnection,
    OptionalFramingOptions,
    Reply,
    Server,
    Service,
    Size,
    Target,
    UpstreamTls,
)


class Mirror(Mirroring):
    """Mirrors a share of the clients."""

    @dataclass(frozen=True, kw_only=True)
    class Options(OptionalFramingOptions):
        """Who else hears the clients, and whose answers they get."""

        mirrors: Annotated[tuple[Target, ...], Field(min_length=1)]
        """The addresses of the mirrors: tcp://, tls:// or unix:."""

        tls: UpstreamTls = field(default_factory=UpstreamTls)
        """How mirrors on tls:// are verified, as servers of an upstream are."""

        sample: Annotated[float, Field(ge=0, le=1)] = 1.0
        """Of the connections, 0 to 1, that are mirrored."""

        reply: Reply = "primary"
        """Whose answers clients get: "primary"; "first": each as it comes first, without a framing
        the connection's from the server that answers first; "all": each from all servers, the
        primary's before the others; "quorum": what more than half of all servers answer. The last
        two need a framing."""

        max_lag: Size = 1 << 20
        """How far a mirror may be behind, with what it is told or with its answers."""

        on_lag: Literal["disconnect", "drop_oldest", "drop_newest"] = "disconnect"
        """What becomes of one that is further behind: "disconnect"; with a framing "drop_oldest" or
        "drop_newest", too: it stays, and misses whole messages."""

        timeout: Duration = 5.0
        """How long an answer waits for those of the other servers, with reply = "all" or
        "quorum"."""

        unresolved: str = ""
        """The message for the client when no answer has a quorum; empty: it is closed."""

        compare: bool = True
        """Whether mirrors' answers are compared with the primary's, and differences counted."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for address in self.mirrors:
                if address.message_oriented:
                    raise ValueError(f"{address}: a stream is mirrored to tcp://, tls:// or unix:")
            if self.framing != "none":
                self.encode_text(self.unresolved)
            elif self.reply in ("all", "quorum"):
                raise ValueError(
                    f'reply = "{self.reply}" is about messages: say how they are told apart, '
                    'as framing = "lines"'
                )
            elif self.on_lag.startswith("drop"):
                raise ValueError(
                    f'on_lag = "{self.on_lag}" drops whole messages, and half of one would be '
                    'garbage: say how they are told apart, as framing = "lines"'
                )

    options: Options

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """See Session."""
        return {"mirrors": options.mirrors}

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Mirror.Options)
        self.framing = options.message_framing
        self.reply, self.compares = options.reply, options.compare
        self.max_lag, self.on_lag = options.max_lag, options.on_lag
        self.timeout_s = options.timeout
        self.unresolved = options.unresolved.encode() or None
        super().__init__(client, service)

    def mirrors(self) -> Sequence[Server]:
        """Those of the options, for a share of the clients."""
        options = self.options
        if options.sample < 1 and self.engine.random.random() >= options.sample:
            return ()
        tls = self.service.connect_tls
        return [Server(each, tls if each.secure else None) for each in options.mirrors]
