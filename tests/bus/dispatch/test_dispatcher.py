"""The dispatcher: which callbacks a message reaches, and what its sender is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.bus.dispatch.dispatcher import (
    SYSTEM_PRIORITY,
    Dispatcher,
    DispatchResult,
    Match,
    Matching,
)
from vcproxy.bus.dispatch.pattern import InvalidPattern, Pattern
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import Definitions, parse
from vcproxy.engine.log_function import Level


class Desk:
    """A dispatcher of the service `desk` on the server `home`, with what happened."""

    def __init__(self, definitions: Definitions | None = None) -> None:
        self.calls: list[str] = []
        self.replies: list[str] = []
        self.log: list[str] = []
        self.forwarded: list[str] = []
        self.dispatcher = Dispatcher(
            "desk", server="home", definitions=definitions, log=self.write, forward=self.forward
        )

    def write(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.log.append(f"{level}: {text}")

    def forward(self, received: ReceivedMessage) -> bool:
        if received.message.service != "cluckd":
            return False
        self.forwarded.append(received.message.to_text())
        return True

    def add(
        self,
        pattern: str,
        name: str = "",
        *,
        priority: int = 7,
        tag: int = 0,
        match: Matching = Matching.ONE_TO_ONE,
    ) -> None:
        """Add an entry whose callback notes its name and what was captured."""

        def note(received: ReceivedMessage) -> None:
            parts = [name or pattern, *received.captured.values()]
            self.calls.append(" ".join(parts))

        self.dispatcher.add(pattern, note, priority=priority, tag=tag, match=match)

    def receive(self, text: str) -> DispatchResult:
        """Dispatch a message."""
        return self.dispatcher.dispatch(
            ReceivedMessage(
                BusMessage.parse(text), lambda reply: self.replies.append(str(reply.to_text()))
            )
        )


class TestMatching:
    def test_a_command_reaches_its_callback(self) -> None:
        desk = Desk()
        desk.add("OPEN")
        desk.add("CLOSE")
        assert desk.receive("CLOSE") is DispatchResult.CALLED
        assert desk.calls == ["CLOSE"]

    def test_the_command_is_compared_exactly(self) -> None:
        desk = Desk()
        desk.add("OPEN")
        assert desk.receive("open") is DispatchResult.UNMATCHED
        assert desk.receive("OPENED") is DispatchResult.UNMATCHED
        assert desk.calls == desk.replies == []

    def test_a_pattern_captures(self) -> None:
        desk = Desk()
        desk.add("EVENT<number>")
        desk.receive("EVENT5")
        desk.receive("EVENT60")
        assert desk.calls == ["EVENT<number> 5", "EVENT<number> 60"]

    def test_entries_are_tried_by_priority_then_in_order(self) -> None:
        desk = Desk()
        desk.add("OPEN", "system", priority=SYSTEM_PRIORITY)
        desk.add("OPEN", "first")
        desk.add("OPEN", "second")
        desk.receive("OPEN")
        assert desk.calls == ["first"]

    def test_an_entry_before_that_of_the_command_is_tried_first(self) -> None:
        desk = Desk()
        desk.add("OPEN")
        desk.add("<any>", priority=6)
        desk.receive("OPEN")
        assert desk.calls == ["<any> OPEN"]

    def test_one_that_does_not_consume_lets_the_next_have_it(self) -> None:
        desk = Desk()
        desk.add("OPEN", "one", match=Matching.ONE_TO_ONE_CALLBACK)
        desk.add("OPEN", "two", match=Matching.ONE_TO_ONE_CALLBACK)
        desk.add("OPEN", "three")
        desk.add("OPEN", "four")
        desk.receive("OPEN")
        assert desk.calls == ["one", "two", "three"]

    def test_one_sees_all_messages(self) -> None:
        desk = Desk()
        desk.add("watch", priority=0, match=Matching.CALLBACK)
        desk.add("OPEN")
        desk.receive("OPEN")
        desk.receive("CLOSE")
        assert desk.calls == ["watch", "OPEN", "watch"]

    def test_a_function_decides(self) -> None:
        desk = Desk()

        def of_door(pattern: str, message: BusMessage) -> Match:
            return Match.YES if message.parameters.get("door") == pattern else Match.NO

        desk.dispatcher.add(
            "3", lambda received: desk.calls.append(received.command), match=of_door
        )
        desk.dispatcher.catch_all()
        assert desk.receive("OPEN door=3") is DispatchResult.CALLED
        assert desk.receive("OPEN door=4") is DispatchResult.CAUGHT
        assert desk.calls == ["OPEN"]

    @pytest.mark.parametrize("priority", [-1, 16])
    def test_priorities_are_limited(self, priority: int) -> None:
        with pytest.raises(
            ValueError, match=f"OPEN: the priority is {priority}: it must be 0 to 15"
        ):
            Desk().add("OPEN", priority=priority)

    def test_a_pattern_must_be_valid(self) -> None:
        with pytest.raises(InvalidPattern):
            Desk().add("open")


class TestCatchAll:
    def test_it_gets_what_nothing_matches(self) -> None:
        desk = Desk()
        desk.add("OPEN")
        desk.dispatcher.catch_all(lambda received: desk.calls.append(f"all {received.command}"))
        assert desk.receive("OPEN") is DispatchResult.CALLED
        assert desk.receive("CLOSE") is DispatchResult.CAUGHT
        assert desk.calls == ["OPEN", "all CLOSE"]

    def test_by_default_it_replies_unknown(self) -> None:
        desk = Desk()
        desk.dispatcher.catch_all()
        desk.receive("<far:away CLOSE door=3")
        assert desk.replies == ["far:away/UNKNOWN command=CLOSE"]

    def test_a_message_that_was_only_seen_is_not_caught(self) -> None:
        desk = Desk()
        desk.add("watch", match=Matching.CALLBACK)
        desk.dispatcher.catch_all()
        assert desk.receive("CLOSE") is DispatchResult.CALLED
        assert desk.replies == []

    @pytest.mark.parametrize("reply", ["UNKNOWN command=X", "INVALID", "ABSOLUTELY", "COMMANDS"])
    def test_a_reply_is_not_answered(self, reply: str) -> None:
        desk = Desk()
        desk.dispatcher.catch_all()
        desk.receive(reply)
        assert desk.replies == []

    def test_there_is_one(self) -> None:
        desk = Desk()
        desk.dispatcher.catch_all()
        with pytest.raises(ValueError, match="has a catch-all already"):
            desk.dispatcher.catch_all()


class TestTags:
    def test_entries_with_a_tag_are_removed_together(self) -> None:
        desk = Desk()
        desk.add("OPEN", tag=3)
        desk.add("CLOSE", tag=3)
        desk.add("CLOSE", "other", tag=4)
        desk.receive("CLOSE")
        assert desk.dispatcher.remove(3) == 2
        desk.receive("CLOSE")
        assert desk.receive("OPEN") is DispatchResult.UNMATCHED
        assert desk.calls == ["CLOSE", "other"]
        assert desk.dispatcher.remove(3) == 0

    def test_no_tag_cannot_be_removed(self) -> None:
        with pytest.raises(ValueError, match="tag 0"):
            Desk().dispatcher.remove(0)

    def test_a_callback_may_remove_and_add_entries(self) -> None:
        desk = Desk()

        def once(received: ReceivedMessage) -> None:
            desk.dispatcher.remove(1)
            desk.add("OPEN", "next")

        match = Matching.ONE_TO_ONE_CALLBACK
        desk.dispatcher.add("OPEN", once, tag=1, match=match)
        desk.add("OPEN", "removed, but found before", tag=1)
        desk.receive("OPEN")
        desk.receive("OPEN")
        assert desk.calls == ["removed, but found before", "next"]


class TestOtherServices:
    @pytest.mark.parametrize(
        "place", ["desk/", "home:desk/", ".:desk/", "*:?/", "?/", "*/", "./", "home:"]
    )
    def test_names_of_this_one(self, place: str) -> None:
        desk = Desk()
        desk.add("OPEN")
        assert desk.receive(f"{place}OPEN") is DispatchResult.CALLED

    @pytest.mark.parametrize(
        ("place", "shown"),
        [("door/", "door"), ("far:desk/", "far:desk"), ("far:door/", "far:door")],
    )
    def test_a_message_for_another_is_refused(self, place: str, shown: str) -> None:
        desk = Desk()
        desk.add("STOP")
        assert desk.receive(f"{place}STOP") is DispatchResult.REFUSED
        assert desk.calls == []
        reason = f"it is for {shown}; this is home:desk"
        assert desk.replies == [f'INVALID command=STOP;message="{reason}"']

    def test_or_forwarded(self) -> None:
        desk = Desk()
        desk.add("STOP")
        assert desk.receive("snap:cluckd/STOP") is DispatchResult.FORWARDED
        assert desk.calls == desk.replies == []
        assert desk.forwarded == ["snap:cluckd/STOP"]

    def test_without_names_of_its_own_it_takes_all(self) -> None:
        desk = Desk()
        desk.add("STOP")
        desk.dispatcher.service = desk.dispatcher.server = ""
        assert desk.receive("snap:cluckd/STOP") is DispatchResult.CALLED


class TestDefinitions:
    def desk(self) -> Desk:
        definitions = Definitions()
        definitions.add(parse("EVENT5", "[speed]\ntype = integer\n[unit]\nflags = optional\n"))
        return Desk(definitions)

    def test_a_message_as_defined_is_delivered(self) -> None:
        desk = self.desk()
        desk.add("EVENT5")
        assert desk.receive("EVENT5 speed=3") is DispatchResult.CALLED
        assert desk.calls == ["EVENT5"]

    @pytest.mark.parametrize("pattern", ["EVENT5", "EVENT<number>"])
    def test_another_is_not_and_counts_as_matched(self, pattern: str) -> None:
        desk = self.desk()
        desk.add(pattern)
        desk.dispatcher.catch_all()
        assert desk.receive("EVENT5 speed=fast;unit=m") is DispatchResult.INVALID
        assert desk.calls == []
        [reply] = map(BusMessage.parse, desk.replies)
        assert reply.command == "INVALID"
        assert reply.parameters["command"] == "EVENT5"
        assert reply.parameters["message"].startswith('speed="fast": ')

    def test_what_nothing_matches_is_unknown_not_invalid(self) -> None:
        desk = self.desk()
        desk.dispatcher.catch_all()
        assert desk.receive("EVENT5") is DispatchResult.CAUGHT
        assert desk.replies == ["UNKNOWN command=EVENT5"]


class TestReplies:
    def test_one_that_is_too_long_is_replaced_by_the_reason(self) -> None:
        desk = Desk()
        desk.dispatcher.add(
            "ECHO", lambda received: received.reply("ECHOED", **received.message.parameters)
        )
        desk.receive("<far:away ECHO text=" + "a" * 65_516)
        assert desk.replies == [
            "far:away/INVALID message=the reply ECHOED is too long: "
            "a message has at most 65536 bytes, this one has 65537"
        ]

    def test_a_message_may_be_kept_and_answered_later_and_twice(self) -> None:
        desk = Desk()
        kept: list[ReceivedMessage] = []
        desk.dispatcher.add("EVENT<number>", kept.append)
        desk.receive("<far:away EVENT5")
        desk.receive("EVENT6")
        kept[0].reply("DONE", percent=50)
        kept[0].reply("DONE", percent=100)
        kept[1].reply("DONE", command="EVENT6")
        assert [each.captured for each in kept] == [{"number": "5"}, {"number": "6"}]
        assert [each.name for each in kept] == ["far:away", ""]
        assert desk.replies == [
            "far:away/DONE percent=50",
            "far:away/DONE percent=100",
            "DONE command=EVENT6",
        ]


class TestTrace:
    def test_a_message_is_logged_when_it_is_received(self) -> None:
        desk = Desk()
        desk.dispatcher.trace = True
        desk.receive("OPEN door=3")
        assert desk.log == ['info: dispatch message "OPEN door=3".']

    def test_one_short_line_without_secrets(self) -> None:
        desk = Desk()
        desk.dispatcher.trace = True
        desk.receive("OPEN secret_code=sesame")
        desk.receive(f"OPEN door=\x1b{'3' * 5000}")
        assert desk.log[0] == 'info: dispatch message "OPEN secret_code=...".'
        assert desk.log[1].isprintable()
        assert len(desk.log[1]) < 400

    def test_a_message_that_has_no_text_form_is_shown_by_its_command(self) -> None:
        desk = Desk()
        desk.dispatcher.trace = True
        desk.dispatcher.dispatch(ReceivedMessage(BusMessage("OPEN", {"a b": "c"}), print))
        assert desk.log == ['info: dispatch message "OPEN".']

    def test_its_commands_are_listed(self) -> None:
        desk = Desk()
        desk.add("OPEN")
        desk.add("EVENT<number>")
        desk.add("EVENT<number>", "again")
        desk.add("watch", match=Matching.CALLBACK)
        assert desk.dispatcher.commands() == ["EVENT<number>", "OPEN"]
        assert [entry.pattern for entry in desk.dispatcher.entries()][-1] == "watch"


ENTRIES = st.tuples(
    st.sampled_from(["A", "B", "A1", "A<number>", "<any>", "<x>1"]),
    st.integers(0, 15),
    st.integers(0, 2),
    st.sampled_from(Matching),
)


@given(st.lists(ENTRIES, max_size=8), st.lists(st.sampled_from(["A", "B", "A1", "A22", "C"])))
def test_callbacks_are_those_of_a_plain_search(
    entries: list[tuple[str, int, int, Matching]], commands: list[str]
) -> None:
    """The dispatcher finds most callbacks with one look-up; this searches all entries."""
    desk = Desk()
    for number, (pattern, priority, tag, match) in enumerate(entries):
        desk.add(pattern, f"{number}", priority=priority, tag=tag, match=match)
    left = sorted(enumerate(entries), key=lambda numbered: numbered[1][1])
    for command in commands:
        expected = []
        for number, (pattern, _, _, match) in left:
            captured = {} if match is Matching.CALLBACK else Pattern(pattern).match(command)
            if captured is not None:
                expected.append(" ".join([f"{number}", *captured.values()]))
                if match is Matching.ONE_TO_ONE:
                    break
        desk.calls.clear()
        result = desk.receive(command)
        assert desk.calls == expected
        assert (result is DispatchResult.UNMATCHED) == (not expected)
        if command == "B":
            desk.dispatcher.remove(1)
            left = [each for each in left if each[1][2] != 1]
