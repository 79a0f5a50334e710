"""fix_gate: FIX messages of allowed types, with a right CheckSum, from one sender, get to a server.

    [[listener]]
    name = "orders"
    bind = "tcp://127.0.0.1:9880"
    plugin = "fix_gate.py"
    upstream = "exchange"
    options = { sender = "BUYSIDE", types = ["0", "1", "2", "4", "5", "A", "F"] }
    [upstream.exchange]
    servers = ["tcp://127.0.0.1:9881"]

A message with a wrong CheckSum is dropped without an answer, as FIX has it for garbled messages:
the server finds a gap in MsgSeqNum when the next message comes, and asks for the missing one. A
message of another type, here an order (D), is replaced by a heartbeat with its MsgSeqNum, so that
no gap arises; the client gets no answer to it. Another SenderCompID, or a BodyLength that does not
fit, closes the connection.
"""

from dataclasses import dataclass

from vcproxy.api import Accept, Reject, Resend, Validator, fix

HEADER = (b"49", b"56", b"34", b"52")  # SenderCompID, TargetCompID, MsgSeqNum, SendingTime


class FixGate(Validator):
    @dataclass(frozen=True)
    class Options:
        sender: str
        types: tuple[str, ...]

    framing = fix()

    def check(self, message: bytes) -> Accept | Reject:
        begin, _, kind, *rest = message.split(b"\x01")
        fields = dict(each.partition(b"=")[::2] for each in reversed(rest))  # the first one counts
        if fields.get(b"49") != self.options.sender.encode() or not fields.keys() >= {*HEADER}:
            return Reject()
        if kind[:3] == b"35=" and kind[3:].decode("ascii", "replace") in self.options.types:
            return Accept()
        self.log(f"a message of type {kind!r} is replaced by a heartbeat", "warning")
        body = b"35=0\x01" + b"".join(b"%b=%b\x01" % (tag, fields[tag]) for tag in HEADER)
        heartbeat = b"%b\x019=%d\x01%b" % (begin, len(body), body)
        return Accept(rewritten=heartbeat + b"10=%03d\x01" % (sum(heartbeat) % 256))

    def damaged(self, message: bytes, why: str) -> Resend:
        return Resend(b"")
