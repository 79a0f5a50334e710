"""redis_commands: only some commands of Redis reach the server; others get an error in their place.

[[listener]]
name = "cache"
bind = "tcp://127.0.0.1:15316"
plugin = "redis_commands.py"
upstream = "redis"
options.allowed = ["GET", "MGET", "TTL", "PING", "HELLO", "CLIENT"]
[upstream.redis]
servers = ["tcp://127.0.0.1:6379"]
"""

from dataclasses import dataclass

from vcproxy.api import Accept, Resend, Validator, Verdict, resp


class RedisCommands(Validator):
    @dataclass(frozen=True)
    class Options:
        allowed: tuple[str, ...]
        """Commands, in capitals. SUBSCRIBE and MONITOR have no single reply: leave them out."""

    options: Options
    framing = resp(limit="1MiB")
    in_turn = True  # clients match replies with commands by their order

    def check(self, message: bytes) -> Verdict:
        array, size, name = [*message.split(b"\r\n", 3), b"", b""][:3]
        is_command = array[:1] == b"*" and size == b"$%d" % len(name)
        if is_command and name.upper().decode("latin-1") in self.options.allowed:
            return Accept()
        return Resend(b"-NOPERM this command is not allowed here\r\n", why="not allowed")
