"""The messages between the master and a worker.

A worker follows PREPARE with PREPARED or REFUSED, COMMIT with SERVING. `generation` numbers the
configurations: an answer about an earlier one is out of date.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What a message asks for or reports."""

    SOCKETS = "sockets"
    """To a worker: listening sockets for the configuration that follows, one for each of `places`;
    their descriptors come with the message."""
    PREPARE = "prepare"
    """To a worker: load the configuration from the descriptor that comes with the message, and do
    all steps that can fail."""
    COMMIT = "commit"
    """To a worker: use the prepared configuration."""
    ROLL_BACK = "roll back"
    """To a worker: forget the prepared configuration."""
    DRAIN = "drain"
    """To a worker: end as after the signal `signal`, sent by the process `pid`."""
    STOP = "stop"
    """To a worker: end at once."""
    REOPEN = "reopen"
    """To a worker: reopen the log file."""
    TRACE = "trace"
    """To a worker: send TRACED for the events of the connection `name`, with the same `number`."""
    END_TRACE = "end trace"
    """To a worker: end the trace `number`."""
    LOG_LEVEL = "log level"
    """To a worker: write log lines of the level `text` and above."""
    RENEW = "renew"
    """To a worker: make the TLS contexts again whose files have changed."""
    ASK = "ask"
    """To a worker: answer a question with ANSWER of the same `number`. See Question."""
    CONTINUE = "continue"
    """To a worker: send the next piece of the answer to the question `number`."""

    PREPARED = "prepared"
    """From a worker: the configuration can be used."""
    REFUSED = "refused"
    """From a worker: the configuration cannot be used, because of `text`."""
    SERVING = "serving"
    """From a worker: it uses the configuration. `text`: the programs that could not be started."""
    PULSED = "pulsed"
    """From a worker: every net thread has turned since the last one. See Heartbeat."""
    ERRORED = "errored"
    """From a worker: it ends, because of an exception that nothing has handled; `text` is its
    traceback."""
    STOP_REQUESTED = "stop requested"
    """From a worker: a plugin has requested that the proxy stops."""
    RELOAD_REQUESTED = "reload requested"
    """From a worker: a plugin has requested a reload."""
    ANSWER = "answer"
    """From a worker: the answer to the question `number`, as JSON: a piece of it is in `text`. If
    there is `more`, the next piece follows after CONTINUE."""
    TRACED = "traced"
    """From a worker: some events of the trace `number`, in `text`, as JSON. Without `more` it has
    ended, because of `text`."""
    BUS_REPLY = "bus reply"
    """From a worker: the reply `text` of a plugin to the bus message with the route `number`."""


class Question(StrEnum):
    """What a worker is asked."""

    STATE = "state"
    """Its state: see `proxy_state`."""
    WAITED_FOR = "waited for"
    """What its net threads wait for: a list of lines."""
    USAGES = "usages"
    """A line about each bus message that its plugins take, those of `name` or, without that, all: a
    list."""
    DELIVER = "deliver"
    """To pass the bus message `text` to the plugins that take it, those of `name` or, without that,
    all: their number. `route` is for their replies."""
    CHANGE = "change"
    """To make one of the CHANGES of the control, by `name`, with its arguments as JSON in `text`: a
    list of the lines, the refusals and what is missing."""
    ROWS = "rows"
    """One of the QUESTIONS of the control, by `name`, with its arguments as JSON in `text`: its
    rows, and a list of what is missing."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Which fields it uses depends on its verb."""

    verb: Verb
    generation: int = 0
    text: str = ""
    signal: int = 0
    pid: int = 0
    places: tuple[tuple[str, str], ...] = ()
    """The name of a listener, or "" if its address is enough, and the address."""
    number: int = 0
    question: Question | None = None
    name: str = ""
    route: int = 0
    more: bool = False

    def encode(self) -> bytes:
        """Return it as JSON."""
        # Bytes of bus messages that are not UTF-8 are surrogates: see BusMessage.
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Return an encoded message. Raises ValueError."""
        fields = json.loads(data)
        places = tuple((name, address) for name, address in fields.pop("places"))
        asked = fields.pop("question")
        question = None if asked is None else Question(asked)
        return cls(Verb(fields.pop("verb")), places=places, question=question, **fields)
