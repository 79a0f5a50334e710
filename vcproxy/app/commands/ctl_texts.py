"""What `vcproxy ctl --help` prints about each of its commands.

Tested in tests/app/commands/test_ctl_command.py.
"""

from typing import Final

ABOUT: Final = """\
Ask a proxy that runs on this host, and change what it does, without a restart.

  vcproxy ctl show                             what can be asked
  vcproxy ctl show listeners                   a table; numbers with their units
  vcproxy ctl show conns listener=db client=10.0.0.*
  vcproxy ctl show conns --sort bytes_in --columns id,client,server,bytes_in
  vcproxy ctl show servers --json | jq '.rows[] | select(.state != "ready")'
  vcproxy ctl server web/tcp://10.0.0.7:80 drain
  vcproxy ctl server web/tcp://10.0.0.7:80 weight 5
  vcproxy ctl kill 0-17                        close a connection, by its id in `show conns`
  vcproxy ctl trace 0-17                       the events of one connection, as they happen
  vcproxy ctl drain db                         a listener accepts no more; what it has goes on
  vcproxy ctl log-level debug                  until it is changed again
  vcproxy ctl reload                           load the configuration again, with the result
"""

EPILOG: Final = """\
Without --pid, --at and -c the only proxy of this host is meant that has a socket PID.ctl.sock in
$XDG_RUNTIME_DIR/vcproxy or, if there is none, in /run/vcproxy. If several run, nothing is sent, and
they are listed. `vcproxy ctl COMMAND --help` explains a command.

exit status: 0 done, 1 the proxy has refused it, 2 wrong command line or token, 3 nothing runs
there, or no answer came, 4 several proxies run, 5 the answer is not complete: a part of the proxy
is busy.
"""

SHOW: Final = """\
Print what the proxy answers to a question, as a table; one row alone is printed as lines. Without
QUESTION the questions are listed, with --help-columns the columns of one.

  vcproxy ctl show conns                       all connections
  vcproxy ctl show conns listener=db limit=20  rows whose column `listener` is db, 20 at most
  vcproxy ctl show conns client=10.0.0.*       with a * at its end: what it begins with
  vcproxy ctl show conns --sort age            sorted by a column, the oldest first
  vcproxy ctl show listeners --json            all columns and rows as JSON, for programs

Columns that are empty in all rows are left out, and on a terminal those that do not fit: --columns
names those that are wanted, --all prints each one. Rows are of all workers and net threads; the
column `worker` says of which, where there are several.
"""

SERVER: Final = """\
Change the state or the weight of a server of an upstream, in all workers, until it is changed again
or the server leaves the configuration. NAME is the address, or UPSTREAM/ADDRESS if several
upstreams have it, as `vcproxy ctl show servers` prints both; `tcp://` may be left out.

  vcproxy ctl server web/tcp://10.0.0.7:80 drain      no new connections; those it has go on
  vcproxy ctl server web/tcp://10.0.0.7:80 maint      none, and no health checks
  vcproxy ctl server web/tcp://10.0.0.7:80 ready      used again
  vcproxy ctl server web/tcp://10.0.0.7:80 weight 5   0: no new connections; above 1 not with
                                                      balance = "round_robin", the default
"""

KILL: Final = """\
Close a connection of a client, or to a server, with a reset. CONN is its id in
`vcproxy ctl show conns`, or its name in log lines and in `vcproxy ctl show sinks`.

  vcproxy ctl kill 0-17
"""

DRAIN: Final = """\
Accept no more connections at a listener; those that are open go on. With `all`, at every listener:
`/readyz` is false from then on. A reload opens them again.

  vcproxy ctl drain db
  vcproxy ctl drain all
"""

RELOAD: Final = """\
Load the configuration again, as SIGHUP does, and print the result. With errors the old one stays in
use, and the exit status is 1.
"""

RESTART: Final = "Replace the workers one by one, without refusing a connection."

ROTATE: Final = """\
Reopen the log and the access log at their paths, as SIGUSR1 does: after they were moved.
"""

LOG_LEVEL: Final = """\
Log lines of this level and of the more important ones, in all workers, until it is changed again.

  vcproxy ctl log-level debug
"""

TRACE: Final = """\
Print the events of one connection as they happen, until it ends, or this command is ended (Ctrl-C).
CONN is its id in `vcproxy ctl show conns`, or its name in log lines.

  vcproxy ctl trace 0-17

Each line has the seconds since the trace began; the machine, which is the session or another one of
its conversation, such as a tunnel; its state; the event, and the machine that has sent it, or "OS";
and the bytes of the connection so far. What the events are: docs/reference/events.md.
"""

STATUS: Final = "Print the state of the proxy: its uptime, its connections, its last reload."

STOP: Final = """\
End the proxy in order, as SIGTERM does: what has begun is finished, for `drain_timeout` at most.
"""

DASHBOARD: Final = """\
Print an address that opens the dashboard in a browser. It is valid once, and for five minutes.
[control] http needs an address of tcp:// for it.
"""
