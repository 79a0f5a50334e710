"""mirror: forward, and send a copy of the requests to further servers.

Mirrors do not affect the client's server, the primary. The client gets the primary's replies, or
those that `reply` chooses; mirrors' replies are compared with the primary's.

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
    """Mirrors the requests of a share of the clients."""

    @dataclass(frozen=True, kw_only=True)
    class Options(OptionalFramingOptions):
        """The mirrors, and which replies the clients get."""

        mirrors: Annotated[tuple[Target, ...], Field(min_length=1)]
        """The addresses of the mirrors: tcp://, tls:// or unix:."""

        tls: UpstreamTls = field(default_factory=UpstreamTls)
        """How mirrors at tls:// are verified; see the option `tls` of upstreams."""

        sample: Annotated[float, Field(ge=0, le=1)] = 1.0
        """The share of connections that are mirrored, 0 to 1."""

        reply: Reply = "primary"
        """Which replies clients get: "primary"; "first": each reply from the server that gives it
        first, or without a framing all bytes from the server that replies first; "all": each reply
        from all servers, the primary's first; "quorum": the reply that more than half of all
        servers give. "all" and "quorum" need a framing."""

        max_lag: Size = 1 << 20
        """How many bytes a mirror may be behind with requests, or ahead or behind with replies."""

        on_lag: Literal["disconnect", "drop_oldest", "drop_newest"] = "disconnect"
        """What happens to a mirror that is more than `max_lag` behind with requests: "disconnect";
        or, with a framing, "drop_oldest" or "drop_newest": it stays connected and misses whole
        messages."""

        timeout: Duration = 5.0
        """How long a reply waits for those of the other servers, with reply = "all" or
        "quorum"; 0: until they have ended."""

        unresolved: str = ""
        """The message for the client if no reply has a quorum; empty: the client is closed."""

        compare: bool = True
        """Whether mirrors' replies are compared with the primary's, and differences counted."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for address in self.mirrors:
                if address.message_oriented:
                    raise ValueError(f"{address}: a mirror must be at tcp://, tls:// or unix:")
            if self.framing != "none":
                self.encode_text(self.unresolved)
            elif self.reply in ("all", "quorum"):
                raise ValueError(
                    f'reply = "{self.reply}" chooses messages and needs a framing, for example '
                    'framing = "lines"'
                )
            elif self.on_lag.startswith("drop"):
                raise ValueError(
                    f'on_lag = "{self.on_lag}" drops whole messages and needs a framing, for '
                    'example framing = "lines"'
                )

    options: Options

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """See Session."""
        return {"mirrors": options.mirrors}

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Mirror.Options)
        self.framing, self.replies = options.message_framing, options.reply_framing
        self.reply, self.compares = options.reply, options.compare
        self.max_lag, self.on_lag = options.max_lag, options.on_lag
        self.timeout_s = options.timeout
        self.unresolved = options.unresolved.encode() or None
        super().__init__(client, service)

    def mirrors(self) -> Sequence[Server]:
        """Return the mirrors of the options, or none for clients outside the sample."""
        options = self.options
        if options.sample < 1 and self.engine.random.random() >= options.sample:
            return ()
        tls = self.service.connect_tls
        return [Server(each, tls if each.secure else None) for each in options.mirrors]
