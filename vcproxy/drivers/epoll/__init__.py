"""The epoll driver: real sockets on a real Linux."""

from vcproxy.drivers.epoll.driver import EpollDriver

__all__ = ["EpollDriver"]
