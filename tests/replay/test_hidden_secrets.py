"""Hidden secrets: a recording has x in their place, and is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

PLUGIN = """
from dataclasses import dataclass

from vcproxy.api import Message, Secret, Session, State


class Door(Session):
    @dataclass(frozen=True)
    class Options:
        word: Secret

    options: Options
    needs_upstream = False
    LISTENING = State(initial=True)

    @LISTENING.on(Message)
    def asked(self, message):
        self.log("the options are %s" % self.options)
        self.answer(b"open\\n" if self.options.word.matches(message.data) else b"closed\\n")
"""

CONF = """
# the word is swordfish
[[listener]]
name = "door"
bind = "tcp://proxy:1"
plugin = "door.py"
options = { word = WORD }
"""


@pytest.mark.parametrize("word", ['"swordfish"', "'swordfish'", '{ file = "word.txt" }'])
def test_secrets_are_not_in_a_recording(tmp_path: Path, word: str) -> None:
    (tmp_path / "door.py").write_text(PLUGIN)
    file, log = tmp_path / "door.toml", tmp_path / "log"
    file.write_text(CONF.replace("WORD", word))
    (tmp_path / "word.txt").write_text("swordfish\n")
    configuration = load(file)
    with ConfiguredProxy(configuration, record=log) as proxy:
        client = proxy.client("door")
        client.send(b"codfish\nswordfish\n")
        proxy.sim.elapse(1)
        assert client.received == b"closed\nopen\n"
        file.write_text(CONF.replace("WORD", '"marlin"'))
        proxy.reload(load(file))
        proxy.sim.elapse(1)
        other = proxy.client("door")
        other.send(b"swordfish\nmarlin\n")
        proxy.sim.elapse(1)
        assert other.received == b"closed\nopen\n"
        assert "word=(secret)" in proxy.sim.log[0][2]
        proxy.driver.close()
    (tmp_path / "word.txt").unlink()
    content = log.read_bytes()
    assert b"swordfish" not in content
    assert b"marlin" not in content
    assert b"codfish" in content
    assert "redacted" in RecordingLog(log).header.marks
    assert "all as recorded; redacted" in replay(log)


SEVERAL = """
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from vcproxy.api import Message, Secret, Session, State


class Key(NamedTuple):
    name: str
    word: Secret


class Options(BaseModel):
    words: frozenset[Secret]
    another: Annotated[Secret, Field(alias="last-word")]
    key: Key


class Door(Session):
    Options = Options
    needs_upstream = False
    LISTENING = State(initial=True)

    @LISTENING.on(Message)
    def asked(self, message):
        pass
"""


def test_secrets_are_hidden_whatever_holds_them(tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text(SEVERAL)
    file, log = tmp_path / "door.toml", tmp_path / "log"
    words = '"swordfish", "marlin"], "last-word" = "tuna", key = { name = "a", word = "dorado" }'
    file.write_text(CONF.replace("word = WORD", f"words = [{words}"))
    with ConfiguredProxy(load(file), record=log) as proxy:
        client = proxy.client("door")
        client.send(b"swordfish marlin tuna dorado codfish\n")
        proxy.sim.elapse(1)
        proxy.driver.close()
    content = log.read_bytes()
    for word in (b"swordfish", b"marlin", b"tuna", b"dorado"):
        assert word not in content
    assert b"codfish" in content
    assert "all as recorded; redacted" in replay(log)


def test_a_recording_has_included_files_and_no_texts_from_files(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "door.py").write_text(PLUGIN)
    included, log = tmp_path / "conf.d" / "door.toml", tmp_path / "log"
    (tmp_path / "conf.d" / "word").write_text("swordfish\n")
    text = CONF.replace("WORD", '"${file:word}"').replace("door.py", "../door.py")
    included.write_text(text.partition("\n# the word is swordfish")[2])
    file = tmp_path / "proxy.toml"
    file.write_text('include = "conf.d/*.toml"\n[proxy]\ndrain_timeout = "5s"\n')
    with ConfiguredProxy(load(file), record=log) as proxy:
        client = proxy.client("door")
        client.send(b"codfish\nswordfish\n")
        proxy.sim.elapse(1)
        assert client.received == b"closed\nopen\n"
        proxy.driver.close()
    for each in (*(tmp_path / "conf.d").iterdir(), file):
        each.unlink()
    content = log.read_bytes()
    assert b"swordfish" not in content
    assert b"codfish" in content
    assert "all as recorded; redacted" in replay(log)
