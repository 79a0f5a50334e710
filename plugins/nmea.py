"""nmea: sentences of GPS, AIS and instruments (NMEA 0183), from all receivers to all consumers.

[listener.options]
source = ["serial:/dev/ttyUSB0?baud=38400", "udp://0.0.0.0:10110"]
subscribers = "tcp://127.0.0.1:10111"
targets = "udp://239.192.0.1:60001?ttl=1&interface=192.168.1.10"
rates = { GSV = "10s" }
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vcproxy import api


def _name(name: str) -> str:
    if not (name.isascii() and name.isalnum() and 3 <= len(name) <= 10):
        raise ValueError('must be a sentence such as "RMC", "GPRMC" or "PMTK"')
    return name.upper()


def _rated(name: str) -> str:
    if name.endswith("VDM"):
        raise ValueError("VDM is sent by all ships: a rate would drop those of some")
    return name


Name = Annotated[str, AfterValidator(_name)]
Rates = dict[Annotated[Name, AfterValidator(_rated)], Annotated[api.Duration, Field(gt=0)]]


@dataclass(frozen=True)
class NmeaOptions(api.RelayOptions):
    """The options of a relay, and which sentences are relayed.

    A sentence is named by its last three letters ("RMC", of all talkers), by its whole address
    ("GPRMC"), or by P and its manufacturer ("PMTK").
    """

    framing: Literal["nmea"] = "nmea"
    """How messages are separated: each line, ended by CR LF or LF, is a sentence."""

    limit: api.Size = 1 << 10
    """The longest sentence, with its tag block. The standard allows 82 bytes without one."""

    producers: Literal["exclusive", "interleave", "replace"] = "interleave"
    """What is done with a second producer, as in a relay."""

    on_lag: Literal["block", "drop_oldest", "drop_newest", "disconnect"] = "drop_oldest"
    """What is done with a sink that is more than `max_lag` behind, as in a relay."""

    unchecked: bool = False
    """Whether sentences without a checksum are relayed. Those with a wrong one are always dropped,
    and counted as damaged."""

    add_checksums: bool = False
    """Whether sentences without a checksum are relayed with one."""

    allow: frozenset[Name] = frozenset()
    """The sentences that are relayed; empty: all."""

    deny: frozenset[Name] = frozenset()
    """Sentences that are not relayed."""

    rates: Rates = field(default_factory=dict)
    """In the given time one such sentence of each talker is relayed, for example
    { GSV = "10s" }. The parts of a group are relayed together."""

    duplicates: api.Duration = 5.0
    """A sentence that another source sent within this time is dropped; "0s": none is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unchecked", self.unchecked or self.add_checksums)
        super().__post_init__()


class Nmea(api.Relay):
    """Relays the sentences whose checksums are right, and which are wanted and new."""

    Options = NmeaOptions
    options: NmeaOptions

    def start(self) -> None:
        """See Program."""
        self._groups = api.NmeaGroups()
        self._repeats = api.Repeats(self.options.duplicates)
        self._rates = api.NmeaRates(self.options.rates)
        super().start()

    def edit(self, message: bytes) -> bytes | None:
        """Return the sentence, perhaps with a checksum; None: it is dropped, and counted."""
        assert self.producer is not None
        options, source = self.options, str(self.producer.number)
        sentence = api.NmeaSentence.parse(message)
        names = {sentence.address, sentence.kind}
        whole = self._groups.whole(sentence, source)
        why = ""
        if (options.allow and options.allow.isdisjoint(names)) or options.deny & names:
            why = "denied"
        elif options.duplicates and self._repeats.repeats(whole, source, self.now):
            why = "duplicates"
        elif not self._rates.passes(sentence, source, self.now):
            why = "too_frequent"
        if why:
            self.counts[why] += 1
            return None
        return api.with_nmea_checksum(message) if options.add_checksums else message
