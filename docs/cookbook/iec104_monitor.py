"""iec104_monitor: a control station reads an outstation (IEC 60870-5-104), and cannot command it.

    [[listener]]
    name = "historian"
    bind = "tcp://127.0.0.1:12404"
    plugin = "iec104_monitor.py"
    upstream = "outstation"
    [upstream.outstation]
    servers = ["tcp://127.0.0.1:2404"]

Interrogation (100), read (102) and test commands (104, 107) are allowed, and what has no ASDU:
STARTDT, TESTFR, acknowledgements. Counter interrogation (101) is not: it can reset counters. Any
other command is replaced by a test command, because a sequence number may not be missing: the
control station gets no confirmation, so its command has failed, and the connection lasts.
"""

from dataclasses import dataclass

from vcproxy.api import Accept, Reject, Validator, iec104

TEST = bytes([104, 1, 6])  # type C_TS_NA_1, one object, cause: activation
PATTERN = bytes([0, 0, 0, 0xAA, 0x55])  # object address 0, the fixed test pattern


class Iec104Monitor(Validator):
    @dataclass(frozen=True)
    class Options:
        types: tuple[int, ...] = (100, 102, 104, 107)

    framing = iec104()

    def check(self, message: bytes) -> Accept | Reject:
        if message[2] & 1 and len(message) == 6:  # S and U formats
            return Accept()
        if message[2] & 1 or len(message) < 12:
            return Reject()
        if message[6] in self.options.types:
            return Accept()
        self.log(f"a command of type {message[6]} is replaced by a test command", "warning")
        apdu = message[2:6] + TEST + message[9:12] + PATTERN
        return Accept(rewritten=bytes([0x68, len(apdu)]) + apdu)
