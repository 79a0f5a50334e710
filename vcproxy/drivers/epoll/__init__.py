"""The epoll driver: real sockets on Linux."""

from vcproxy.drivers.epoll.driver import EpollDriver

__all__ = ["EpollDriver"]
