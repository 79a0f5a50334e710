"""postgresql_audit: log every statement that a client of PostgreSQL sends, with its user.

[[listener]]
name = "database"
bind = "tcp://127.0.0.1:15318"
plugin = "postgresql_audit.py"
upstream = "database"
[upstream.database]
servers = ["tcp://127.0.0.1:5432"]

It refuses none of them: a statement that begins with SELECT may write, so looking at its text is no
protection. TLS is declined, because statements inside it cannot be read.
"""

from vcproxy.api import Accept, Resend, Validator, Verdict, postgresql

ENCRYPTION = (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")  # the codes of SSLRequest, GSSENCRequest


class PostgresqlAudit(Validator):
    framing = postgresql("client", limit="16MiB")
    user = "unknown"

    def check(self, message: bytes) -> Verdict:
        if message[0] == 0:  # it has no type: one of the first packets
            if message[4:8] in ENCRYPTION:
                return Resend(b"N", why="declined")
            names = message[8:].decode(errors="replace").split("\0")
            self.user = dict(zip(names[::2], names[1::2], strict=False)).get("user", self.user)
        elif message[:1] in b"QP":  # a query, or one that is prepared under a name
            text = message[5:] if message[:1] == b"Q" else message[5:].partition(b"\0")[2]
            statement = text.partition(b"\0")[0].decode(errors="replace")
            self.log(f"{self.user}: {statement!r}")
        return Accept()
