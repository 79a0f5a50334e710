"""dns_names: names below some domains do not exist; all others are resolved. By TCP and UDP.

[[listener]]
name = "dns"
bind = ["udp://127.0.0.1:15317", "tcp://127.0.0.1:15317"]
plugin = "dns_names.py"
upstream = "resolver"
timeouts.inactivity = "5s"
options.hidden = ["ads.example", "tracker.example"]
[upstream.resolver]
servers = ["tcp://127.0.0.1:53"]
"""

from dataclasses import dataclass

from vcproxy.api import UNFRAMED, Accept, Reject, Resend, Validator, Verdict, dns_tcp


class DnsNames(Validator):
    @dataclass(frozen=True)
    class Options:
        hidden: tuple[str, ...]

    options: Options
    datagrams = True
    framing = replies = dns_tcp()
    datagram_framing = UNFRAMED

    def check(self, message: bytes) -> Verdict:
        labels, at = [""], 12  # behind the header: RFC 1035, 4.1.2
        while at < len(message) and 0 < message[at] < 64:
            labels.append(message[at + 1 : at + 1 + message[at]].decode("latin-1").lower())
            at += 1 + message[at]
        if message[4:6] != b"\0\1" or message[at : at + 1] != b"\0" or len(message) < at + 5:
            return Reject(b"", why="not one question")
        if not ".".join(labels).endswith(tuple(f".{each}" for each in self.options.hidden)):
            return Accept()
        flags = bytes((0x80 | message[2] & 0x79, 0x83))  # an answer, NXDOMAIN
        answer = message[:2] + flags + b"\0\1" + bytes(6) + message[12 : at + 5]
        return Resend(answer if self.client.message_oriented else dns_tcp().encode(answer))
