"""Opening the sources that most proxies do not have. It is imported with the first of them.

Tested in tests/conformance/test_thread_sources.py, test_listener_watch.py and
test_file_changes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.sources.datagram_sources import opened_unix
from vcproxy.drivers.epoll.sources.listener_watches import WatchedListener
from vcproxy.drivers.epoll.sources.own_threads import END_S, RunningThread
from vcproxy.drivers.thread_feed import ThreadFeed
from vcproxy.engine.sources.bus_messages import BusMessages
from vcproxy.engine.sources.content_watch import ContentWatch
from vcproxy.engine.sources.file_changes import FileChanges
from vcproxy.engine.sources.listening import ListenerWatch
from vcproxy.engine.sources.own_thread import OwnThread
from vcproxy.engine.sources.stored_file import StoredFile
from vcproxy.engine.sources.thread_messages import ThreadMessages
from vcproxy.engine.sources.unix_datagrams import UnixDatagrams

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.opened_sources import Opened
    from vcproxy.engine.sources.source import Source


def opened(driver: EpollDriver, source: Source, ended: Callable[[], object]) -> Opened | None:
    """See OpenedSources."""
    feed = driver.engine.inbox.feed
    if isinstance(source, UnixDatagrams):
        return opened_unix(driver, source)
    if isinstance(source, BusMessages):
        return driver.bus.open(source, feed)
    if isinstance(source, OwnThread):
        return RunningThread(source, feed, ended)
    if isinstance(source, ThreadMessages):
        return ThreadFeed(source, feed)
    if isinstance(source, ListenerWatch):
        return WatchedListener(driver, source)
    if isinstance(source, StoredFile):
        from vcproxy.drivers.epoll.opened_files import OpenedFile

        return OpenedFile(driver, source, ended)
    if isinstance(source, FileChanges | ContentWatch):
        from vcproxy.drivers.epoll.sources.inotify import InotifyWatching

        if driver.watching is None:
            driver.watching = InotifyWatching(driver)
        return driver.watching.watcher.open(source)
    return None


def wait_for_ends(closed: Iterable[Opened]) -> None:
    """Wait until what was closed has ended, END_S at most: the driver ends."""
    last = monotonic() + END_S
    for each in closed:
        if isinstance(each, RunningThread):
            each.wait_for_end(max(0.0, last - monotonic()))
