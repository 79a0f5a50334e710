"""The template `relay`: one stream for many consumers, and its messages edited.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: send what a feed sends to all subscribers, without its comments."""

from dataclasses import dataclass

from vcproxy.api import Counter, Relay, RelayOptions, every


class {Name}(Relay):
    """Drops lines that begin with "#", and reports once a minute how many messages came."""

    @dataclass(frozen=True, kw_only=True)
    class Options(RelayOptions):
        """The options of every relay, and these."""

        comment: str = "#"
        """What a line begins with that is not sent."""

    options: Options
    comments = Counter("{name}_comments", "Comments that were not sent.")
    messages = 0

    def edit(self, message: bytes) -> bytes | None:
        """Return what is sent for one message; None: nothing."""
        if message.startswith(self.options.comment.encode()):
            self.comments.add()
            return None
        self.messages += 1
        return message

    @every("1m")
    def report(self) -> None:
        """Called every minute."""
        self.log(f"{{self.messages}} messages in the last minute")
        self.messages = 0
'''

TEST = '''\
"""{name}: what the subscribers of a feed get."""

from vcproxy.api import Address
from vcproxy.testing import Script, SimulatedProxy

from {name} import {Name}

OPTIONS = {Name}.Options(framing="lines", subscribers=(Address.parse("tcp://here:1"),))


def test_all_subscribers_get_the_messages_and_no_comments() -> None:
    with SimulatedProxy({Name}, options=OPTIONS) as proxy:
        ann, bob = proxy.client("subscribers"), proxy.client("subscribers")
        proxy.elapse(1)
        feed = proxy.client()
        Script("""
            feed > first
            ann < first
            bob < first
            feed > # a comment
            feed > second
            ann < second
            bob < second
        """).play(lambda: proxy.elapse(1), feed=feed, ann=ann, bob=bob)
        assert proxy.metric("{name}_comments") == 1


def test_the_messages_of_a_minute_are_reported() -> None:
    with SimulatedProxy({Name}, options=OPTIONS) as proxy:
        feed = proxy.client()
        feed.send(b"first\\nsecond\\n")
        proxy.elapse(61)
        assert "info: proxy: 2 messages in the last minute" in proxy.log
'''
