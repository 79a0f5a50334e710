"""AutomaticReloads: whether a change of files is a reload, and whether its errors are logged.

It decides only: what it calls watches and reads the files, and reloads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from vcproxy.config.certificate_files import certificate_files
from vcproxy.config.loader import Configuration
from vcproxy.engine.units import show_duration

LOAD_S: Final = 30.0
"""Seconds that a configuration may take to load. It takes less than one, except on a machine that
is out of memory, or behind a plugin that blocks."""

NEVER_LOADED: Final = (
    f"it was not loaded within {show_duration(LOAD_S)}: a plugin blocks, or a file cannot be read"
)
"""Why a reload is given up whose configuration was not loaded in that time."""


class WatchFiles(Protocol):
    """Watches files: see FilesWatch.use."""

    def __call__(
        self, reloading: Sequence[Path], renewing: Sequence[Path], *, again: bool
    ) -> None: ...


class AutomaticReloads:
    """The configuration in use, and the last one that was refused.

    A change is compared with the files in use, not with what was watched before: both may have been
    read at different times. While a configuration is loaded, changes wait until it is used or
    refused.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        watch: WatchFiles,
        compare: Callable[[Configuration, Callable[[bool], None]], None],
        reload: Callable[[], None],
    ) -> None:
        """Have nothing watched yet.

        Args:
            configuration: the one in use.
            watch: watches files, from now on, in place of those before.
            compare: finds whether a configuration is outdated, and calls the function with that.
            reload: requests a reload; `begun` and `used` or `refused` follow.
        """
        self.configuration = configuration
        self._watch = watch
        self._compare = compare
        self._reload = reload
        self.contents_only = False
        """Whether the reload reads only the files that options name, and not the configuration:
        see `reread`."""
        self._loading = False
        self._changed = False  # while it was loading
        self._refused = ""  # why the last configuration was refused; "": it is in use
        self._refused_files: Sequence[Path] = ()  # see ConfigError

    def watch(self, *, again: bool = False) -> None:
        """Watch the files that the configuration in use, or the refused one, names. `again`: see
        FilesWatch."""
        configuration = self.configuration
        settings = configuration.settings
        reloading = list(configuration.contents)
        if settings.proxy.watch:
            reloading = list(dict.fromkeys((*configuration.watched, *self._refused_files)))
        renewing = certificate_files(settings, configuration.plugins.values())
        self._watch(reloading, renewing, again=again)

    def changed(self) -> None:
        """Handle a change of a file that a reload reads again."""
        if self._loading:
            self._changed = True
            return

        def compared(outdated: bool) -> None:
            if self._loading or used is not self.configuration:
                self.changed()
            elif outdated or self._refused:  # its files may be again those that are in use
                self.contents_only = not used.settings.proxy.watch
                self._loading = True
                self._reload()

        used = self.configuration
        self._compare(used, compared)

    def asked(self) -> None:
        """Handle the request of an operator or plugin: what is refused is logged again."""
        self._refused = ""
        self.contents_only = False

    def begun(self) -> None:
        """Handle the beginning of a reload, whatever has requested it."""
        self._loading = True

    def used(self, configuration: Configuration) -> None:
        """Handle the end of a reload: the configuration is in use."""
        self.configuration = configuration
        self._refused, self._refused_files = "", ()
        self._loading = self._changed = self.contents_only = False
        self.watch(again=True)

    def refused(self, reason: str, files: Sequence[Path] = ()) -> bool:
        """Handle the end of a reload that has failed; return whether it is to be logged.

        `files`: those that the configuration names.
        """
        again = reason == self._refused
        self._refused, self._refused_files = reason, files
        self._loading = self.contents_only = False
        self.watch()
        if self._changed:
            self._changed = False
            self.changed()
        return not again
