"""Sources of the epoll driver: child processes, signals, sockets, files, threads."""
