"""What authors get from their base classes, in the real program, recorded and replayed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, VCPROXY, exactly

PLUGIN = '''
from dataclasses import dataclass
from pathlib import Path

from vcproxy.api import Called, Counter, Duration, Event, Message, Secret, Session, State, every


def look_up(file: str, name: str) -> str:
    """Note that it has run; runs on another thread."""
    with Path(file).open("a") as runs:
        runs.write(name + "\\n")
    return name


class Door(Session):
    @dataclass(frozen=True)
    class Options:
        word: Secret
        runs: str
        pause: Duration = 0.05

    options: Options
    needs_upstream = False
    beats = Counter("beats", "Calls of beat().")
    count = 0

    LISTENING, CLOSED = State(initial=True), State(final=True)
    LISTENING.goes(Event.EOS, CLOSED)

    @LISTENING.on(Message)
    def asked(self, message):
        self.access_fields["asked"] = self.now
        name = message.data.decode()
        self.engine.call(self, look_up, self.options.runs, name, deadline=30.0, shares=600.0)

    @LISTENING.on(Called)
    def known(self, called):
        self.answer(b"open\\n" if self.options.word.matches(called.value) else b"closed\\n")

    @every(option="pause")
    def beat(self):
        self.beats.add()
        self.count += 1
        if self.count == 3:
            self.log(f"third beat with {self.options}", "warning")
            self.answer(b"third\\n")
'''


def test_it_works_and_is_replayed(proxy: Starter, tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text(PLUGIN)
    (tmp_path / "word.txt").write_text("swordfish\n")
    runs, log = tmp_path / "runs", tmp_path / "log"
    running = proxy(
        '[[listener]]\nname = "door"\nbind = "tcp://127.0.0.1:0"\nplugin = "door.py"\n'
        f'options = {{ word = {{ file = "word.txt" }}, runs = "{runs}" }}\n'
        f'[record]\nfile = "{log}"\n'
    )
    with running.connect("door") as one, running.connect("door") as two:
        assert exactly(one, 6) == exactly(two, 6) == b"third\n"
        for client in (one, two, one):
            client.sendall(b"swordfish\n")
            assert exactly(client, 5) == b"open\n"
        one.sendall(b"codfish\n")
        assert exactly(one, 7) == b"closed\n"
    running.stop()
    assert runs.read_text() == "swordfish\ncodfish\n"
    assert "third beat with Door.Options(word=(secret)" in running.log
    assert "swordfish" not in running.log
    assert b"swordfish" not in log.read_bytes()
    assert b"codfish" in log.read_bytes()
    done = subprocess.run(
        [*VCPROXY, "replay", str(log)],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        cwd="/",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "all as recorded" in done.stdout
