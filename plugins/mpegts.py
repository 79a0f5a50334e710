"""mpegts: relays an MPEG transport stream in whole packets, from UDP, RTP or TCP to any number.

[listener.options]
source = "udp://239.1.1.1:5000?interface=127.0.0.1"
http_subscribers = "tcp://127.0.0.1:7102"

Sinks get packets of 188 bytes (ISO/IEC 13818-1), of the wanted PIDs, without RTP headers. Damaged
ones are dropped, and missing ones are counted by their continuity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from vcproxy import api

SIZE, SYNC = 188, b"\x47"
GROUP = 7 * SIZE  # as many as Ethernet carries in a datagram
ADAPTATION_LENGTHS = {0x20: range(183, 184), 0x30: range(183)}
"""The lengths of an adaptation field without and with a payload behind it (2.4.3.5)."""

Pids = frozenset[Annotated[int, Field(ge=0, le=api.NULL_PID)]]


@dataclass(frozen=True)
class MpegTsOptions(api.RelayOptions):
    """The options of a relay, and which packets are relayed."""

    framing: Literal["mpegts", "datagram"] | None = None
    """Default: "datagram" if the source is udp:// or nats://, else "mpegts"."""

    content_type: str = "video/mp2t"
    silence: api.Duration = 10.0

    pids: Pids = frozenset()
    """The PIDs of the packets that are relayed; empty: all. A player needs 0 (the table of
    programs), the PID of a program's table, and those that this table lists."""

    without_pids: Pids = frozenset()
    """PIDs that are not relayed, such as 8191, the null packets."""

    def __post_init__(self) -> None:
        if len(self.source) > 1 or self.producers == "interleave":
            raise ValueError("packets of several streams must not be mixed: name one source")
        if self.framing is None and not any(each.address.message_oriented for each in self.source):
            object.__setattr__(self, "framing", "mpegts")
        super().__post_init__()


class MpegTs(api.Relay):
    """Relays packets that are whole, undamaged and wanted."""

    Options = MpegTsOptions
    options: MpegTsOptions

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._continuity = api.Continuity()
        self._rtp = api.RtpReceiver()

    @classmethod
    def notes(cls, options: MpegTsOptions) -> Mapping[str, str]:  # type: ignore[override]
        """See Program."""
        lost = "without 0, the table of programs, most players find nothing to play"
        blind = options.pids and 0 not in options.pids
        return {**super().notes(options), **({"pids": lost} if blind else {})}

    def edit(self, message: bytes) -> bytes | None:
        """Return the packets of a datagram, or of a stream, that are relayed."""
        packets = message if message[:1] == SYNC else self._rtp.payload(message)
        if packets is None:
            self.counts["late"] += 1
            return None
        if not packets or len(packets) % SIZE or packets[::SIZE].strip(SYNC):
            self.counts["damaged"] += 1
            return None
        wanted, unwanted = self.options.pids, self.options.without_pids
        kept = []
        for at in range(0, len(packets), SIZE):
            pid = (packets[at + 1] & 0x1F) << 8 | packets[at + 2]
            if pid in unwanted or (wanted and pid not in wanted):
                continue
            if packets[at + 1] & 0x80:  # transport_error_indicator: the receiver found errors
                self.counts["transport_errors"] += 1
                continue
            flags, jumps = packets[at + 3], False
            if flags & 0x30 != 0x10:  # not just a payload
                if packets[at + 4] not in ADAPTATION_LENGTHS.get(flags & 0x30, ()):
                    self.counts["damaged"] += 1
                    continue
                jumps = packets[at + 4] > 0 and packets[at + 5] & 0x80 > 0
            missing = self._continuity.missing(pid, flags, jumps)
            if missing:
                self._report(pid, missing)
            kept.append(at)
        if len(kept) * SIZE == len(packets):
            return packets
        return b"".join(packets[at : at + SIZE] for at in kept) or None

    def pack(self, messages: list[bytes]) -> list[bytes]:
        """Return the packets in groups of seven, as datagrams usually have them."""
        packets = b"".join(messages)
        return [packets[at : at + GROUP] for at in range(0, len(packets), GROUP)]

    def _report(self, pid: int, missing: int) -> None:
        self.counts["discontinuities"] += 1
        self.counts["missing_packets"] += missing
        total = self.counts["missing_packets"]
        self.log_seldom(
            "missing", f"packets of PID {pid} are missing; {total} of all so far", "warning"
        )
