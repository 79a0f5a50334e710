"""The template `program`: one object for events of all kinds: new files, and messages of the bus.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: count the files that are written to a folder."""

from collections.abc import Hashable
from dataclasses import dataclass

from vcproxy.api import FileChanged, FileChanges, FileEvent, Program, ReceivedMessage, on_message


class {Name}(Program):
    """Counts new files; `vcproxy signal COUNT` asks for the number."""

    @dataclass(frozen=True)
    class Options:
        """The keys under [listener.options]."""

        folder: str = "inbox"

    options: Options

    def start(self) -> None:
        """Called once, when the proxy has started."""
        self.count = 0
        FileChanges(self, "inbox").watch(self.options.folder, FileEvent.UPDATED)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Called for each event of a source, with its class as the key."""
        if isinstance(data, FileChanged) and FileEvent.UPDATED in data.kinds:
            self.count += 1

    @on_message("COUNT")
    def counted(self, received: ReceivedMessage) -> None:
        """Ask how many files were written."""
        received.reply("COUNTED", files=self.count)
'''

TEST = '''\
"""{name}: which files are counted, in a simulated file system."""

from vcproxy.testing import SimulatedProxy

from {name} import {Name}


def test_files_of_the_folder_are_counted() -> None:
    with SimulatedProxy({Name}) as proxy:
        proxy.sim.files.mkdir("/inbox")
        proxy.elapse(1)
        proxy.sim.files.write("/inbox/today.csv", "1;2")
        proxy.sim.files.write("/elsewhere.csv", "1;2")
        proxy.elapse(1)
        [reply] = proxy.bus.send("COUNT")
        assert reply.to_text() == "COUNTED files=1"
'''
