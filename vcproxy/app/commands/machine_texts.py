"""What `vcproxy machine help` prints about each command, above and below its options.

Tested in tests/app/commands/test_machine_command.py.
"""

ABOUT = """\
Run machines as processes of their own, start and stop them one by one, send them messages.

  vcproxy machine serve samples/machines      start machines of this directory on request
  vcproxy machine start family/Parent         have it start one; prints its address
  vcproxy machine list                        the machines that run: port, process, name
  vcproxy machine send :48560 on              send a message to the machine at a port
  vcproxy machine stop :48560                 end it in order
"""

EPILOG = """\
A machine's name is the path of its program below the served directory and, optionally, a tag that
tells several of them apart: family/Child#Alice. An address is IP, IP:PORT, :PORT (on this host),
NAME:PORT or [IPv6]:PORT. exit status: 0 done, 255 failed, or wrong arguments.
"""

SERVE = """\
Serve a directory: start the executable files in it as machines, on request, and stop and list them.

It trusts its host: messages have no passwords, so whatever may send to its address may start every
program of the directory, with any arguments, and stop every machine. By default it binds to
127.0.0.1, where only programs of this host can send. Bound elsewhere, it answers the networks of
--allow and its own address only, and drops all else; senders of UDP can be forged, so let a
firewall protect those networks from outside.

  vcproxy machine serve samples/machines
  vcproxy machine serve machines --logs /var/log/machines --user machines
  vcproxy machine serve machines --address 10.0.0.7 --allow 10.0.0.0/24
"""

SERVE_EPILOG = """\
It runs in the foreground and prints "ready" on standard error when it can be used. TERM, INT and
HUP end its machines, children before their parents, and then the server; a second signal kills
them. exit status: 0 stopped by a signal, 255 could not start.
"""

START = """\
Have the server at HOST start a machine, and wait until it has started. This command becomes its
parent: with --follow it prints what the machine reports, until it has exited.

  vcproxy machine start echo/Echo                   at any port of this host
  vcproxy machine start switch/Switch :5000         at port 5000, in place of a machine there
  vcproxy machine start --follow family/Parent
  vcproxy machine start turing/Universal 10.0.0.7 0 A01RH

Options stand before NAME: all that follows [HOST]:PORT is for the machine. Without a port, and with
arguments, write :0.

A machine that is at the port already is stopped first; messages for it wait at their senders until
the new one has started (live upgrade).
"""

STOP = """\
Have the server of a machine end it: SIGTERM, and SIGKILL after 15 s. This command ends when the
server has the request.

  vcproxy machine stop :5000
  vcproxy machine stop 10.0.0.7:5000
"""

SEND = """\
Send messages to a machine, each argument as one message, and wait until all are acknowledged; then
for the replies, if --replies is given. Messages to a multicast group are not acknowledged.

  vcproxy machine send :5000 on
  vcproxy machine send --replies 1 :5000 "play something"
"""

LIST = """\
Print the machines of a server as CSV, sorted by port (with --plain, nothing else). Every server
that takes `list` can be asked, also the one of `[supervise] bind` of a proxy, for its workers.

  vcproxy machine list --plain
  vcproxy machine list 10.0.0.7
"""

LISTEN = """\
Print the messages to multicast groups until a signal ends it.

  vcproxy machine listen 224.0.0.1:5000
"""

HELP = "Print how to use a command.\n\n  vcproxy machine help start\n"
