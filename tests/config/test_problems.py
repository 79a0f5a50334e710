"""Every problem is reported at its position, in plain words, and all of them at once."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vcproxy.config import document
from vcproxy.config.errors import ConfigError, Problem, did_you_mean
from vcproxy.config.loader import load

Complain = Callable[[str], list[str]]

SOUND = """\
[[listener]]
name = "web"
bind = "tcp://127.0.0.1:0"
plugin = "own.py:Either"
"""

BROKEN = {
    "an empty file": (
        "",
        "proxy.toml:1:1: listener: there is no listener: write [[listener]] and below it, "
        'for example, name = "main", bind = "tcp://127.0.0.1:8080" and plugin = "echo"',
    ),
    "not TOML": (
        "[proxy]\nmemory = 1MiB\n",
        "proxy.toml:2:11: this is not TOML: Expected newline or end of document after a statement",
    ),
    "a keep-alive that the system cannot do": (
        SOUND + 'tcp = { keepalive = "500ms" }\n',
        'proxy.toml:5:9: listener.web.tcp.keepalive: must be "0s", or between 1s and 32767s',
    ),
    "a keep-alive above the system's": (
        SOUND + 'tcp = { keepalive = "600m" }\n',
        'proxy.toml:5:9: listener.web.tcp.keepalive: must be "0s", or between 1s and 32767s',
    ),
    "a list of processes for all": (
        SOUND + '[supervise]\nbind = "udp://0.0.0.0:42000"\n',
        "proxy.toml:6:1: supervise.bind: udp://0.0.0.0:42000: the list is given to all who ask: "
        "write udp://127.0.0.1:42000, or another port of a loopback address",
    ),
    "not TOML at its end": (
        '[proxy]\nmemory = "\n',
        "proxy.toml:2:11: this is not TOML: Illegal character '\\n'",
    ),
    "a key twice": (
        "[proxy]\nworkers = 1\nworkers = 1\n",
        "proxy.toml:3:12: this is not TOML: Cannot overwrite a value",
    ),
    "unfinished": ("a = [\n1,\n\n", "proxy.toml:2:3: this is not TOML: Invalid value"),
    "wrong types": (
        """\
[proxy]
net_threads = "1"
workers = 1.5
memory = 5
drain_timeout = "5 parsecs"
splice = "yes"
log = []
"""
        + SOUND,
        "proxy.toml:2:1: proxy.net_threads: must be a whole number, not text",
        'proxy.toml:3:1: proxy.workers: must be a whole number above 0, or "auto"',
        'proxy.toml:4:1: proxy.memory: must be a size in quotes, as "64KiB"',
        'proxy.toml:5:1: proxy.drain_timeout: "5 parsecs" is not a duration: write a number and '
        'a unit (us, ms, s, m, h, d), as "5s"',
        "proxy.toml:6:1: proxy.splice: must be true or false, not text",
        'proxy.toml:7:1: proxy.log: must be the path of a file in quotes, as "conf/file.pem"',
    ),
    "numbers out of range": (
        "proxy = { net_threads = 0, workers = 0 }\n" + SOUND,
        "proxy.toml:1:11: proxy.net_threads: must be 1 or more, not 0",
        'proxy.toml:1:28: proxy.workers: must be a whole number above 0, or "auto"',
    ),
    "values in place of tables": (
        "proxy = 1\nlistener = [2]\nupstream.db = []\n",
        "proxy.toml:1:1: proxy: must be a table, not a whole number",
        "proxy.toml:2:13: listener.0: must be a table, not a whole number",
        "proxy.toml:3:10: upstream.db: must be a table, not a list",
    ),
    "one listener in single brackets": (
        '[listener]\nname = "web"\n',
        "proxy.toml:1:2: listener: must be a list, not a table: begin each item with [[listener]]",
    ),
    "an option of the plugin beside the listener's keys": (
        SOUND + 'greeting = "hello"\n',
        "proxy.toml:5:1: listener.web.greeting: unknown key: remove it; the keys here are name, "
        "bind, plugin, upstream, options, tls, limits, allow, deny, rate, timeouts, tcp, "
        "access_log, proxy_protocol, half_close; those of the plugin are under [listener.options]",
    ),
    "frames of Modbus/TCP on a line": (
        """\
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:1"
plugin = "modbus"
upstream = "line"
[upstream.line]
servers = ["tcp://127.0.0.1:2", "serial:/dev/ttyUSB0"]
""",
        "proxy.toml:7:1: upstream.line.servers: serial:/dev/ttyUSB0: a serial line needs "
        'protocol = "rtu" where its upstream is named',
    ),
    "a mistake in the hook of an author": (
        """\
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:1"
plugin = "own.py:Unfit"
upstream = "b"
[upstream.b]
servers = ["tcp://127.0.0.1:2"]
""",
        "proxy.toml:7:1: upstream.b.servers: tcp://127.0.0.1:2: AttributeError at own.py:60: "
        "'NoneType' object has no attribute 'nowhere'",
    ),
    "unknown keys": (
        """\
[proxi]
[[listener]]
name = "web"
bindd = "tcp://127.0.0.1:0"
plugin = "own.py:Either"
timeouts.inactivty = "5s"
tls = { names = { "b.example" = { "certificat" = "x" } } }
[upstream.db]
server = ["tcp://127.0.0.1:1"]
xyzzy = 1
""",
        'proxy.toml:1:2: proxi: unknown key; did you mean "proxy"?',
        'proxy.toml:4:1: listener.web.bindd: unknown key; did you mean "bind"?',
        'proxy.toml:6:10: listener.web.timeouts.inactivty: unknown key; did you mean "inactivity"?',
        "proxy.toml:7:1: listener.web.tls.certificate: is missing: this key is required",
        "proxy.toml:7:1: listener.web.tls.key: is missing: this key is required",
        'proxy.toml:7:19: listener.web.tls.names."b.example".key: is missing: this key is required',
        'proxy.toml:7:35: listener.web.tls.names."b.example".certificat: unknown key; did you '
        'mean "certificate"?',
        'proxy.toml:9:1: upstream.db.server: unknown key; did you mean "servers"?',
        "proxy.toml:10:1: upstream.db.xyzzy: unknown key: remove it; the keys here are "
        "servers, balance, all_backups, hash_by, max_connections, queue, retries, pool, check, "
        "eject, slow_start, resolve, proxy_protocol, tls, tcp",
    ),
    "missing keys": (
        "[[listener]]\n[upstream.db]\n",
        "proxy.toml:1:3: listener.0.name: is missing: this key is required",
        "proxy.toml:1:3: listener.0.plugin: is missing: this key is required",
        "proxy.toml:2:11: upstream.db.servers: is missing: this key is required",
    ),
    "bad addresses": (
        SOUND
        + """\
[[listener]]
name = "list"
plugin = "own.py:Either"
bind = [
    "tcp://127.0.0.1:1",  # this one is right
    "tcp://127.0.0.1",
    5,
]
[[listener]]
name = "single"
plugin = "own.py:Either"
bind = "tcp://127.0.0.1"
[upstream.db]
servers = ["tcp://db:0"]
[upstream.none]
servers = []
""",
        'proxy.toml:10:5: listener.list.bind.1: "tcp://127.0.0.1" names no port, as in '
        '"tcp://127.0.0.1:8080"',
        "proxy.toml:11:5: listener.list.bind.2: must be an address in quotes, as "
        '"tcp://127.0.0.1:8080"',
        'proxy.toml:16:1: listener.single.bind: "tcp://127.0.0.1" names no port, as in '
        '"tcp://127.0.0.1:8080"',
        'proxy.toml:18:12: upstream.db.servers.0: "tcp://db:0": a server needs a port above 0',
        "proxy.toml:20:1: upstream.none.servers: needs at least one server, as servers = "
        '["tcp://127.0.0.1:8080"]',
    ),
    "the same name twice": (
        SOUND + SOUND,
        "proxy.toml:6:1: listener.web.name: another listener has this name: choose a different one",
    ),
    "names with control characters": (
        SOUND.replace('"web"', '"web\\n"') + '[upstream."a\\u001b"]\nservers = ["tcp://a:1"]\n',
        r'proxy.toml:2:1: listener."web\n".name: a name is shown in lines of the log: it '
        "must have no control characters",
        r'proxy.toml:5:11: upstream."a\u001b": a name is shown in lines of the log: it '
        "must have no control characters",
    ),
    "the same address twice": (
        """\
[[listener]]
name = "a"
plugin = "own.py:Either"
bind = ["tcp://127.0.0.1:80", "unix:run.sock", "tcp://127.0.0.1:0", "tcp://127.0.0.1:80"]
[[listener]]
name = "b"
plugin = "own.py:Either"
bind = ["unix:./run.sock", "tcp://127.0.0.1:0", "tcp://127.0.0.2:80", "stdio:"]
[[listener]]
name = "c"
plugin = "own.py:Either"
bind = "stdio:"
""",
        "proxy.toml:4:69: listener.a.bind.3: tcp://127.0.0.1:80 is bound already: remove one, "
        "or write another address",
        "proxy.toml:8:9: listener.b.bind.0: unix:run.sock is bound already: remove one, or "
        "write another address",
        "proxy.toml:12:1: listener.c.bind: stdio: may be used only once in a process: remove one",
    ),
    "a server at standard output": (
        SOUND + '[upstream.db]\nservers = ["stdio:"]\n',
        "proxy.toml:6:12: upstream.db.servers.0: stdio: is for listeners only: write the "
        "address of a server",
    ),
    "an unknown upstream": (
        SOUND + 'upstream = "db1"\n[upstream.db]\nservers = ["tcp://127.0.0.1:1"]\n',
        'proxy.toml:5:1: listener.web.upstream: there is no [upstream.db1]; did you mean "db"?',
    ),
    "an upstream whose two letters are exchanged": (
        SOUND + 'upstream = "db"\n[upstream.bd]\nservers = ["tcp://127.0.0.1:1"]\n',
        'proxy.toml:5:1: listener.web.upstream: there is no [upstream.db]; did you mean "bd"?',
    ),
    "an upstream in another case": (
        SOUND + 'upstream = "db"\n[upstream.DB]\nservers = ["tcp://127.0.0.1:1"]\n',
        'proxy.toml:5:1: listener.web.upstream: there is no [upstream.db]; did you mean "DB"?',
    ),
    "upstreams that the options name": (
        SOUND.replace("Either", "Router")
        + 'options = { servers = ["db", "dbs", "", "ntp"] }\n'
        + '[upstream.db]\nservers = ["tcp://127.0.0.1:1"]\n'
        + '[upstream.ntp]\nservers = ["udp://127.0.0.1:1"]\n',
        "proxy.toml:3:1: listener.web.bind: this address takes a stream, but the server "
        "udp://127.0.0.1:1 takes datagrams: use datagrams on both sides, or on neither",
        "proxy.toml:5:30: listener.web.options.servers.1: there is no [upstream.dbs]; did you "
        'mean "db"?',
        "proxy.toml:5:37: listener.web.options.servers.2: names no upstream, and the listener "
        'has none: name one here, or write upstream = "NAME" in the listener',
    ),
    "filters": (
        SOUND.replace("Either", "Router")
        + """\
[listener.options]
filters = [
    "own.py:Stmp",
    "own.py:Innocent",
    "own.py:Stamp",
    { plugin = "own.py:Stamp", options = { color = "red", width = 2 } },
    { plugni = "own.py:Stamp" },
]
""",
        "proxy.toml:11:7: listener.web.options.filters.4.plugni: unknown key; "
        'did you mean "plugin"?',
    ),
    "filters' own mistakes": (
        SOUND.replace("Either", "Router")
        + """\
[listener.options]
filters = [
    "own.py:Stmp",
    "own.py:Either",
    "own.py:Stamp",
    { plugin = "own.py:Stamp", options = { color = "red", width = 2 } },
    "own.py:Idle",
]
""",
        "proxy.toml:7:5: listener.web.options.filters.0.plugin: own.py has no class Stmp; did "
        'you mean "Stamp"?',
        "proxy.toml:8:5: listener.web.options.filters.1.plugin: Either in own.py is not a "
        "plugin: it must be a Filter",
        "proxy.toml:9:5: listener.web.options.filters.2.options.colour: is missing: this key "
        "is required",
        "proxy.toml:10:44: listener.web.options.filters.3.options.color: unknown key; did you "
        'mean "colour"?',
        "proxy.toml:10:59: listener.web.options.filters.3.options.width: must be a size in "
        'quotes, as "64KiB"',
        "proxy.toml:11:5: listener.web.options.filters.4.plugin: Idle in own.py does nothing: "
        "define request_head() or another phase",
    ),
    "filters' upstreams": (
        SOUND.replace("Either", "Router")
        + 'options.filters = [{ plugin = "own.py:Stamp", '
        + 'options = { colour = "red", supplier = "dbs" } }]\n'
        + '[upstream.db]\nservers = ["tcp://127.0.0.1:1"]\n',
        "proxy.toml:5:75: listener.web.options.filters.0.options.supplier: "
        'there is no [upstream.dbs]; did you mean "db"?',
    ),
    "a key of a table whose keys are given": (
        SOUND.replace('"own.py:Either"', '"mllp"')
        + 'upstream = "db"\noptions.accept = { MSH-99 = ["ADT"], MSH-9 = "ADT" }\n'
        + '[upstream.db]\nservers = ["tcp://127.0.0.1:1"]\n',
        'proxy.toml:6:20: listener.web.options.accept.MSH-99: must be "MSH-3", "MSH-4", "MSH-5", '
        '"MSH-6", "MSH-8", "MSH-9", "MSH-11", "MSH-12", "MSH-17" or "MSH-18", not "MSH-99"; did '
        'you mean "MSH-9"?',
        "proxy.toml:6:38: listener.web.options.accept.MSH-9: must be a list, not text",
    ),
    "no upstream at all": (
        SOUND + 'upstream = "db"\n',
        "proxy.toml:5:1: listener.web.upstream: there is no [upstream.db]",
    ),
    "upstreams that plugins do not need, or lack": (
        """\
[[listener]]
name = "a"
plugin = "own.py:Orders"
[[listener]]
name = "b"
plugin = "own.py:Greeter"
upstream = "db"
[upstream.db]
servers = ["tcp://127.0.0.1:1"]
""",
        'proxy.toml:1:3: listener.a.upstream: Orders needs an upstream: write upstream = "NAME"',
        "proxy.toml:7:1: listener.b.upstream: Greeter uses no upstream: remove it",
    ),
    "an unknown balance": (
        SOUND + '[upstream.db]\nservers = ["tcp://127.0.0.1:1"]\nbalance = "roundrobin"\n',
        'proxy.toml:7:1: upstream.db.balance: must be "round_robin", "weighted", '
        '"least_connections", "random_of_two" or "hash", not "roundrobin"; '
        'did you mean "round_robin"?',
    ),
    "keys without effect in an upstream": (
        SOUND
        + """\
[upstream.a]
servers = ["tcp://127.0.0.1:1", { address = "tcp://127.0.0.1:2", weight = 2 }]
hash_by = "cookie:session"
check = { kind = "tls" }
[upstream.b]
servers = ["udp://127.0.0.1:1"]
check = { kind = "tcp" }
""",
        "proxy.toml:6:66: upstream.a.servers.1.weight: has no effect with balance = "
        '"round_robin": write balance = "weighted"',
        'proxy.toml:7:1: upstream.a.hash_by: has no effect without balance = "hash": add that, '
        "or remove this key",
        "proxy.toml:8:11: upstream.a.check.kind: tcp://127.0.0.1:1 is not tls://: write kind = "
        '"tcp" or "http"',
        "proxy.toml:8:11: upstream.a.check.kind: tcp://127.0.0.1:2 is not tls://: write kind = "
        '"tcp" or "http"',
        "proxy.toml:11:1: upstream.b.check: udp://127.0.0.1:1 takes datagrams, and only "
        "streams can be checked: remove check",
    ),
    "wrong values in an upstream": (
        SOUND
        + """\
[upstream.a]
servers = [{ address = "tcp://127.0.0.1:2", wieght = 2 }, { weight = -1 }]
hash_by = "header:"
pool.idle_time = "0s"
check = { kind = "http", path = "health", status = [42] }
""",
        'proxy.toml:6:45: upstream.a.servers.0.wieght: unknown key; did you mean "weight"?',
        "proxy.toml:6:59: upstream.a.servers.1.address: is missing: this key is required",
        "proxy.toml:6:61: upstream.a.servers.1.weight: must be 0 or more, not -1",
        'proxy.toml:7:1: upstream.a.hash_by: must be "client", "header:NAME" or "cookie:NAME", '
        'not "header:"',
        "proxy.toml:8:6: upstream.a.pool.idle_time: must be longer than 0s",
        'proxy.toml:9:26: upstream.a.check.path: "health" is not a path: it must begin with a '
        'slash, as "/health"',
        "proxy.toml:9:53: upstream.a.check.status.0: must be 100 or more, not 42",
    ),
    "tls without tls://": (
        """\
[[listener]]
name = "a"
plugin = "own.py:Either"
bind = ["tcp://127.0.0.1:1", "tls://127.0.0.1:2"]
[upstream.db]
servers = ["tcp://127.0.0.1:1"]
tls.verify = false
""",
        "proxy.toml:4:30: listener.a.bind.1: tls:// needs the listener's tls = { certificate = "
        "..., key = ... }",
        "proxy.toml:7:1: upstream.db.tls: has no effect: no server is tls://: remove it, or "
        "make one tls://",
    ),
    "datagrams for a plugin of streams": (
        SOUND.replace("tcp:", "udp:"),
        "proxy.toml:3:1: listener.web.bind: Either supports streams only, not datagrams: bind "
        "it to tcp://",
    ),
    "datagrams for subscribers of a stream": (
        SOUND.replace("Either", "Hub") + 'options = { subscribers = ["udp://127.0.0.1:0"] }\n',
        "proxy.toml:5:28: listener.web.options.subscribers.0: Hub supports streams only, not "
        "datagrams: bind it to tcp://",
    ),
    "datagrams to a stream, of a plugin that can do that, with another mistake": (
        SOUND.replace("tcp:", "udp:").replace("own.py:Either", "syslog")
        + """\
upstream = "mixed"
options = { longer = "truncate" }
[upstream.mixed]
servers = ["tcp://127.0.0.1:2"]
""",
        'proxy.toml:6:13: listener.web.options.longer: must be "cut" or "refuse", not "truncate"',
    ),
    "datagrams here, a stream there": (
        """\
[[listener]]
name = "a"
plugin = "own.py:Packets"
bind = ["udp://127.0.0.1:1", "tcp://127.0.0.1:1", "udp://127.0.0.1:1"]
upstream = "mixed"
[upstream.mixed]
servers = ["udp://127.0.0.1:2", "tls://127.0.0.1:3"]
""",
        "proxy.toml:4:9: listener.a.bind.0: this address takes datagrams, but the server "
        "tls://127.0.0.1:3 takes a stream: use datagrams on both sides, or on neither",
        "proxy.toml:4:30: listener.a.bind.1: this address takes a stream, but the server "
        "udp://127.0.0.1:2 takes datagrams: use datagrams on both sides, or on neither",
        "proxy.toml:4:51: listener.a.bind.2: this address takes datagrams, but the server "
        "tls://127.0.0.1:3 takes a stream: use datagrams on both sides, or on neither",
        "proxy.toml:4:51: listener.a.bind.2: udp://127.0.0.1:1 is bound already: remove one, "
        "or write another address",
    ),
    "subjects": (
        """\
[[listener]]
name = "a"
plugin = "own.py:Packets"
bind = "nats://127.0.0.1/a"
[upstream.db]
servers = ["nats://127.0.0.1/b", "udp://127.0.0.1:0"]
""",
        'proxy.toml:4:1: listener.a.bind: "nats://127.0.0.1:4222/a": only the source and the '
        "targets of a relay may be nats://",
        'proxy.toml:6:12: upstream.db.servers.0: "nats://127.0.0.1:4222/b": only the source and '
        "the targets of a relay may be nats://",
        'proxy.toml:6:34: upstream.db.servers.1: "udp://127.0.0.1:0": a server needs a port '
        "above 0",
    ),
    "protocol names": (
        SOUND + 'tls.alpn = ["http/1.1", "", "é"]\ntls.certificate = "own.py"\n',
        "proxy.toml:5:1: listener.web.tls.key: is missing: this key is required",
        'proxy.toml:5:25: listener.web.tls.alpn.1: "" is not a protocol name: write 1 to 255 '
        "ASCII characters",
        'proxy.toml:5:29: listener.web.tls.alpn.2: "é" is not a protocol name: write 1 to 255 '
        "ASCII characters",
    ),
    "missing files": (
        SOUND.replace("tcp:", "tls:")
        + """\
tls = { certificate = "no.pem", key = "no.key", client_ca = "." }
[upstream.db]
servers = ["tls://127.0.0.1:1"]
tls.ca = "no.ca"
[proxy]
log = "no/where.log"
""",
        "proxy.toml:5:9: listener.web.tls.certificate: cannot read no.pem: No such file or "
        "directory",
        "proxy.toml:5:33: listener.web.tls.key: cannot read no.key: No such file or directory",
        "proxy.toml:5:49: listener.web.tls.client_ca: cannot read FOLDER: Is a directory",
        "proxy.toml:8:5: upstream.db.tls.ca: cannot read no.ca: No such file or directory",
        "proxy.toml:10:1: proxy.log: there is no directory no: create it",
    ),
    "files with other content": (
        SOUND.replace("tcp:", "tls:")
        + 'tls = { certificate = "own.py", key = "own.py", client_ca = "own.py" }\n',
        "proxy.toml:5:9: listener.web.tls.certificate: own.py contains no certificate in PEM",
        "proxy.toml:5:49: listener.web.tls.client_ca: own.py contains no certificate in PEM",
    ),
    "options of a plugin": (
        SOUND.replace("Either", "Orders")
        + """\
upstream = "db"
[listener.options]
limit = "much"
evry = "5s"
words = [
    "one",
    2,
]
[upstream.db]
servers = ["tcp://127.0.0.1:1"]
""",
        'proxy.toml:7:1: listener.web.options.limit: "much" is not a size: write a number and '
        'a unit (B, KiB, MiB, GiB), as "64KiB"',
        'proxy.toml:8:1: listener.web.options.evry: unknown key; did you mean "every"?',
        "proxy.toml:11:5: listener.web.options.words.1: must be text, not a whole number",
    ),
    "options for a plugin that has none": (
        SOUND + "options = { limit = 1 }\n",
        "proxy.toml:5:1: listener.web.options: Either has no options: remove this table",
    ),
    "addresses in options": (
        """\
[[listener]]
name = "hub"
bind = "tcp://127.0.0.1:7100"
plugin = "own.py:Hub"
[listener.options]
subscribers = ["tcp://127.0.0.1:7100", "tls://127.0.0.1:7101", "tcp://127.0.0.1:0"]
targets = ["stdio:", "tcp://127.0.0.1:0"]

[[listener]]
name = "other"
plugin = "own.py:Hub"
options = { subscribers = ["tcp://127.0.0.1:7101"], targets = ["tcp://127.0.0.1:1"] }
""",
        "proxy.toml:7:12: listener.hub.options.targets.0: stdio: is for listeners only: write "
        "the address of a server",
        'proxy.toml:7:22: listener.hub.options.targets.1: "tcp://127.0.0.1:0": a server needs '
        "a port above 0",
    ),
    "addresses in options that are taken": (
        """\
[[listener]]
name = "hub"
bind = "tcp://127.0.0.1:7100"
plugin = "own.py:Hub"
[listener.options]
subscribers = ["tcp://127.0.0.1:7100", "tls://127.0.0.1:7101", "tcp://127.0.0.1:0"]

[[listener]]
name = "hub.subscribers"
plugin = "own.py:Hub"
options = { subscribers = ["tcp://127.0.0.1:7101"] }
""",
        "proxy.toml:6:16: listener.hub.options.subscribers.0: tcp://127.0.0.1:7100 is bound "
        "already: remove one, or write another address",
        "proxy.toml:6:40: listener.hub.options.subscribers.1: tls:// needs the listener's tls "
        "= { certificate = ..., key = ... }",
        'proxy.toml:9:1: listener."hub.subscribers".name: addresses in the options of another '
        "listener have this name: choose another",
        'proxy.toml:11:28: listener."hub.subscribers".options.subscribers.0: '
        "tcp://127.0.0.1:7101 is bound already: remove one, or write another address",
    ),
    "how to verify servers that options name": (
        """\
[[listener]]
name = "hub"
plugin = "own.py:Hub"
[listener.options]
targets = ["tls://127.0.0.1:1"]
tls = { ca = "no.pem" }

[[listener]]
name = "plain"
plugin = "own.py:Hub"
[listener.options]
targets = ["tcp://127.0.0.1:1"]
tls = { verify = false }
""",
        "proxy.toml:6:9: listener.hub.options.tls.ca: cannot read no.pem: No such file or "
        "directory",
        "proxy.toml:13:1: listener.plain.options.tls: has no effect: no other option names a "
        "server on tls://: remove it",
    ),
    "a hook of a plugin that raises": (
        SOUND.replace("Either", "Lost"),
        "proxy.toml:1:3: listener.web.options: AttributeError at own.py:54: 'NoneType' object "
        "has no attribute 'nowhere'",
    ),
    "mistakes of every kind in one listener": (
        """\
[[listener]]
name = "web"
plugin = "own.py:Orders"
upsteam = "db"  # so a missing upstream is not reported
bind = "tls://127.0.0.1"
tls = { certificate = "no.pem", key = "own.py" }
limits = { max_connections = "many" }
options.limit = 1
""",
        'proxy.toml:4:1: listener.web.upsteam: unknown key; did you mean "upstream"?',
        'proxy.toml:5:1: listener.web.bind: "tls://127.0.0.1" names no port, '
        'as in "tls://127.0.0.1:8080"',
        "proxy.toml:6:9: listener.web.tls.certificate: cannot read no.pem: "
        "No such file or directory",
        "proxy.toml:7:12: listener.web.limits.max_connections: must be a whole number, not text",
        'proxy.toml:8:9: listener.web.options.limit: must be a size in quotes, as "64KiB"',
    ),
}


@pytest.mark.parametrize("text_and_lines", BROKEN.values(), ids=BROKEN.keys())
def test_problems(text_and_lines: tuple[str, ...], folder: Path, complaints: Complain) -> None:
    text, *lines = text_and_lines
    assert complaints(text) == [line.replace("FOLDER", str(folder)) for line in lines]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot read it: No such file or directory$"):
        load(tmp_path / "no.toml")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read it: Is a directory$"):
        load(tmp_path)


def test_a_fifo_without_a_writer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "WRITER_WITHIN", 0.0)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=r"it is a FIFO, and nothing is written to it$"):
        load(tmp_path / "fifo")


def test_a_device_without_end() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: cannot read it: it is larger than 16MiB$"):
        load(Path("/dev/zero"))


def test_the_pipe_of_a_command() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 0.1; echo; sleep 0.1; echo 'no = 1'"], stdout=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        with pytest.raises(ConfigError, match=r":2:1: no: unknown key"):
            load(Path(f"/dev/fd/{command.stdout.fileno()}"))


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_bytes(b"[proxy]\n# \xc3\xa9 \xe9\n")
    with pytest.raises(ConfigError, match=r"toml:2:5: this is not UTF-8: save the file as UTF-8$"):
        load(file)


def test_a_byte_order_mark_is_skipped(folder: Path) -> None:
    file = folder / "proxy.toml"
    mark = b"\xef\xbb\xbf"
    file.write_bytes(mark + SOUND.encode())
    assert load(file).settings.listener[0].name == "web"
    for wrong, place in (
        (b"proxi = 1\n" + SOUND.encode(), "1:1: proxi"),
        (b"proxy = \n", "1:9: this is not TOML"),
        (b"# \xff", "1:3: this is not UTF-8"),
        (b"# a\n# b \xff", "2:5: this is not UTF-8"),
    ):
        file.write_bytes(mark + wrong)
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert str(caught.value).startswith(f"{file}:{place}")


def test_deep_nesting(complaints: Complain) -> None:
    (line,) = complaints("a = " + "[" * 5000)
    assert "this is not TOML: maximum recursion depth" in line


JUNK = st.sampled_from(
    [0, -1, 1.5, True, "", "db", "5s", "1MiB", "tcp://a:1", "tls://a:1", "stdio:", "own.py:Orders"]
)
VALUES = st.recursive(
    JUNK,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["certificate", "key", "verify", "x.y"]), inner)
    ),
    max_leaves=3,
)


def tables(*keys: str) -> st.SearchStrategy[object]:
    return st.dictionaries(st.sampled_from(keys), VALUES) | VALUES


TREES = st.fixed_dictionaries(
    {},
    optional={
        "proxy": tables("workers", "memory", "log", "x"),
        "listener": VALUES | st.lists(tables("name", "bind", "plugin", "upstream", "tls", "plugn")),
        "upstream": VALUES | st.dictionaries(st.just("db"), tables("servers", "tls", "server")),
        "x": VALUES,
    },
)


@given(TREES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_problem_has_a_position(folder: Path, tree: dict[str, object]) -> None:
    file = folder / "proxy.toml"
    file.write_text(tomli_w.dumps(tree))
    lines = file.read_text().split("\n")
    problems: tuple[Problem, ...] = ()
    try:
        load(file)
    except ConfigError as error:
        problems = error.problems
    for problem in problems:
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.path
        assert problem.message


class TestCertificates:
    """A listener on tls:// starts only with a key that fits its certificate."""

    CONFIGURATION = SOUND.replace("tcp:", "tls:") + (
        'tls = { certificate = "cert.pem", key = "key.pem", client_ca = "ca.pem" }\n'
    )

    @pytest.fixture(autouse=True)
    def files(self, folder: Path, authority: trustme.CA) -> trustme.LeafCert:
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        return issued

    def test_a_valid_pair(self, folder: Path) -> None:
        (folder / "proxy.toml").write_text(self.CONFIGURATION)
        tls = load(folder / "proxy.toml").settings.listener[0].tls
        assert tls is not None
        assert tls.key == folder / "key.pem"

    def test_a_key_of_another_certificate(
        self, folder: Path, authority: trustme.CA, complaints: Complain
    ) -> None:
        authority.issue_cert("other").private_key_pem.write_to_path(folder / "key.pem")
        assert complaints(self.CONFIGURATION) == [
            "proxy.toml:5:35: listener.web.tls.key: key.pem is not the key of cert.pem"
        ]

    def test_an_encrypted_key(
        self, folder: Path, files: trustme.LeafCert, complaints: Complain
    ) -> None:
        from cryptography.hazmat.primitives import serialization as pem

        key = pem.load_pem_private_key(files.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            pem.Encoding.PEM,
            pem.PrivateFormat.PKCS8,
            pem.BestAvailableEncryption(b"secret"),
        )
        (folder / "key.pem").write_bytes(encrypted)
        assert complaints(self.CONFIGURATION) == [
            "proxy.toml:5:35: listener.web.tls.key: key.pem is encrypted: store the key without "
            "a passphrase, readable only by vcproxy"
        ]

    def test_a_certificate_for_a_key(self, folder: Path, complaints: Complain) -> None:
        (folder / "key.pem").write_bytes((folder / "cert.pem").read_bytes())
        assert complaints(self.CONFIGURATION) == [
            "proxy.toml:5:35: listener.web.tls.key: key.pem contains no private key in PEM"
        ]

    def test_a_key_for_a_certificate(self, folder: Path, complaints: Complain) -> None:
        (folder / "cert.pem").write_bytes((folder / "key.pem").read_bytes())
        assert complaints(self.CONFIGURATION) == [
            "proxy.toml:5:9: listener.web.tls.certificate: cert.pem contains no certificate in PEM"
        ]

    @pytest.mark.parametrize("scheme", ["tcp", "udp"])
    def test_a_table_without_a_tls_address(self, scheme: str, complaints: Complain) -> None:
        text = self.CONFIGURATION.replace("tls:", f"{scheme}:").replace("Either", "Packets")
        assert complaints(text) == [
            "proxy.toml:5:1: listener.web.tls: has no effect: no address in bind is tls://: "
            "remove it, or make one tls://"
        ]

    def test_a_table_for_the_addresses_in_options(self, folder: Path, complaints: Complain) -> None:
        text = self.CONFIGURATION.replace("tls:", "tcp:").replace("Either", "Hub")
        secure = text + 'options = { subscribers = ["tls://127.0.0.1:0"] }\n'
        (folder / "proxy.toml").write_text(secure)
        load(folder / "proxy.toml")
        assert complaints(text) == [
            "proxy.toml:5:1: listener.web.tls: has no effect: "
            "no address in bind or subscribers is tls://: remove it, or make one tls://"
        ]


def test_a_number_is_no_misspelt_name() -> None:
    assert did_you_mean("1.1", ["1.2", "1.3"]) == ""
    assert did_you_mean("bnid", ["bind"]) == '; did you mean "bind"?'
