"""The proxies under comparison. Names with `$` in their texts are explained in `peer`."""

import resource
import sys
from dataclasses import replace
from pathlib import Path

from .peer import LOOPBACK, Peer
from .revision import BEFORE

DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# HAProxy reserves 2.5 descriptors for each tunnel, even without splicing; 200 are for the rest.
MOST_TUNNELS = min(8000, (DESCRIPTORS - 200) * 2 // 5)

HAPROXY = f"""\
global
    nbthread 1$tuning
    maxconn {MOST_TUNNELS}
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 5m
    timeout server 5m
listen bench
    bind 127.0.0.1:$listen
    server peer 127.0.0.1:$server
"""

# Debian packages the stream module separately; if it is built in, nothing must be loaded.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

NGINX = f"""\
{f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""}
daemon off;
worker_processes 1;
pid $scratch/pid;
error_log stderr;
events {{ worker_connections 20000; }}
stream {{
    server {{
        listen 127.0.0.1:$listen;
        proxy_pass 127.0.0.1:$server;
    }}
}}
"""

VCPROXY = """\
[proxy]
net_threads = 1
splice = {splice}

[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "forward"
upstream = "bench"
limits = { max_connections = 20000 }

[upstream.bench]
servers = ["tcp://127.0.0.1:$server"]
"""

RELAY = """\
[proxy]
net_threads = 1

[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "relay"
limits = { max_connections = 20000 }

[listener.options]
subscribers = "tcp://127.0.0.1:$server"
framing = "{framing}"
max_lag = "1MiB"
on_lag = "{on_lag}"
"""

# One socat for each sink copies its FIFO to the sink's socket; tee writes to all FIFOs.
SOCAT_TEE = """\
cd $scratch
socat TCP-LISTEN:$server,bind=127.0.0.1,fork,backlog=1024 \\
    SYSTEM:'mkfifo $$SOCAT_PEERPORT.sink; exec socat -u -b65536 ./$$SOCAT_PEERPORT.sink -',nofork &
exec socat TCP-LISTEN:$listen,bind=127.0.0.1 SYSTEM:'exec tee *.sink >/dev/null',nofork
"""

RECORD = """\

[record]
file = "$scratch/log"
max_size = "0B"
"""

ACCESS_LOG = """\

[access_log]
file = "$scratch/access.log"
"""

RULES = """
allow = ["127.0.0.0/8", "10.0.0.0/8"]
deny = ["192.0.2.0/24"]
rate = { for_each = "client", requests = 1_000_000, per = "1s" }
"""
"""Rules of admission that refuse nothing here."""

ROUTES = """[[listener.options.routes]]
sni = ["other.example", "*.other.example"]
upstream = "bench"

[[listener.options.routes]]
sni = ["a.example"]
upstream = "bench"

[upstream.bench]
"""

ADMITTED = ("admission",)
ROUTED = ("sni", "sni-bulk")
PROXIED = ("proxy-protocol",)
LOGGED = ("access-log-tcp",)
UNRECORDED = ("bulk", "trips-50")
RECORDED = (*UNRECORDED, "replay", "replay-bulk")
FANS = ("fan-8", "fan-100")
LINES = ("lines-10", "lines-100", "lines-1000", "lines-million")
MESSAGES = (
    *("messages-echo", "messages-echo-one", "messages-wait", "machines-tree"),
    *(f"lossy-{name}" for name in ("patient", "readme", "wink")),
)
STALLS = ("stalled", "stalled-memory")


def service(plugin: str, options: str) -> tuple[Peer, Peer]:
    """A bundled plugin, and a program that does the same without vcproxy."""
    code = "import sys; print('Python', sys.version.split()[0])"
    ours = vcproxy(f"vcproxy-{plugin}", "true", only=(plugin,))
    return (
        replace(ours, config=ours.config.replace('"forward"', f'"{plugin}"\noptions = {options}')),
        Peer(
            f"streams-{plugin}",
            (sys.executable, "-m", "tests.bench.services", plugin, "$listen", "$server"),
            version=(sys.executable, "-c", code),
            only=(plugin,),
        ),
    )


def vcproxy_recording(name: str, only: tuple[str, ...]) -> Peer:
    ours = vcproxy(name, "false", only)
    return replace(ours, config=ours.config + RECORD)


def vcproxy_proxied(name: str) -> Peer:
    """A proxy that reads the client's PROXY header, and sends one."""
    ours = vcproxy(name, "true", PROXIED)
    reads = 'plugin = "forward"\nproxy_protocol = { from = "127.0.0.1" }'
    config = ours.config.replace('plugin = "forward"', reads)
    return replace(ours, config=config + 'proxy_protocol = "v2"\n')


def haproxy_proxied(name: str) -> Peer:
    """HAProxy, doing the same."""
    theirs = haproxy(name, only=PROXIED)
    config = theirs.config.replace("$listen", "$listen accept-proxy")
    return replace(theirs, config=config.replace("$server", "$server send-proxy-v2"))


def vcproxy_admitting(name: str) -> Peer:
    """A proxy with rules of admission."""
    ours = vcproxy(name, "true", ADMITTED)
    plugin = 'plugin = "forward"'
    return replace(ours, config=ours.config.replace(plugin, plugin + RULES))


def vcproxy_routing(name: str) -> Peer:
    """A proxy that routes by the server name in the ClientHello."""
    ours = vcproxy(name, "true", ROUTED)
    config = ours.config.replace('upstream = "bench"\n', "")
    return replace(ours, config=config.replace("[upstream.bench]\n", ROUTES))


def haproxy_routing(name: str) -> Peer:
    """HAProxy, doing the same."""
    theirs = haproxy(name, only=ROUTED)
    rules = """\
    tcp-request inspect-delay 10s
    tcp-request content accept if { req.ssl_hello_type 1 }
    use-server other if { req.ssl_sni -i other.example } || { req.ssl_sni -m end .other.example }
    use-server peer if { req.ssl_sni -i a.example }
    server other 127.0.0.1:$server
    server peer"""
    return replace(theirs, config=theirs.config.replace("    server peer", rules))


def nginx_routing(name: str) -> Peer:
    """The stream module of nginx, doing the same."""
    routes = """\
    upstream bench { server 127.0.0.1:$server; }
    map $$ssl_preread_server_name $$chosen {
        hostnames;
        other.example bench;
        *.other.example bench;
        a.example bench;
    }
    server {
        ssl_preread on;"""
    config = NGINX.replace("    server {", routes).replace(
        "127.0.0.1:$server;\n    }", "$$chosen;\n    }"
    )
    return Peer(
        name, ("nginx", "-p", "$scratch", "-c", "$config"), config, ("nginx", "-v"), only=ROUTED
    )


def vcproxy_logging(name: str) -> Peer:
    """A proxy with an access log in JSON, in a file."""
    ours = vcproxy(name, "true", LOGGED)
    return replace(ours, config=ours.config + ACCESS_LOG)


def vcproxy_relay(name: str, framing: str, on_lag: str, only: tuple[str, ...]) -> Peer:
    config = RELAY.replace("{framing}", framing).replace("{on_lag}", on_lag)
    return replace(vcproxy(name, "true", only), config=config)


RETURNS = ("bus-return-1000", "bus-crowd-1000", "bus-return-200", "bus-crowd-200")


def messages(name: str, kind: str, only: tuple[str, ...]) -> Peer:
    """Two processes that exchange acknowledged datagrams: see the module `echo`."""
    code = "import sys; print('Python', sys.version.split()[0])"
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.echo", kind),
        version=(sys.executable, "-c", code),
        only=only,
    )


def dispatching(name: str, kind: str) -> Peer:
    """A process that parses messages and calls their callbacks: see the module `dispatching`."""
    code = "import sys; print('Python', sys.version.split()[0])"
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.dispatching", kind),
        version=(sys.executable, "-c", code),
        only=("bus-dispatch",),
    )


def watching(name: str, kind: str) -> Peer:
    """A process that watches files: see the module `watched_files`."""
    code = "import sys; print('Python', sys.version.split()[0])"
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.watched_files", kind),
        version=(sys.executable, "-c", code),
        only=("files", "files-memory"),
    )


def shown(name: str) -> Peer:
    """A proxy whose connections are listed: see the module `shown_connections`."""
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.shown_connections", "$config"),
        config="""\
[[listener]]
name = "front"
bind = "tcp://127.0.0.1:$listen"
plugin = "forward"
upstream = "back"

[upstream.back]
servers = ["tcp://127.0.0.1:$server"]
""",
        version=(sys.executable, "-m", "vcproxy", "--version"),
        only=("show-conns", "show-conns-answer"),
    )


def on_the_bus(name: str, kind: str, only: tuple[str, ...]) -> Peer:
    """A service with connections of the bus: see the modules `bus` and `bus_echo`."""
    code = "import sys; print('Python', sys.version.split()[0])"
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.bus_echo", "serve", kind),
        version=(sys.executable, "-c", code),
        only=only,
    )


def fan(name: str) -> Peer:
    code = "import sys; print('Python', sys.version.split()[0])"
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.fans", name, "$listen", "$server"),
        version=(sys.executable, "-c", code),
        only=(*FANS, *LINES),
    )


def haproxy(name: str, tuning: str = "", only: tuple[str, ...] = ()) -> Peer:
    return Peer(
        name,
        ("haproxy", "-db", "-f", "$config"),
        HAPROXY.replace("$tuning", tuning and f"\n    {tuning}"),
        version=("haproxy", "-v"),
        only=only,
    )


def relay(library: str, style: str) -> Peer:
    code = "import sys; print('Python', sys.version.split()[0])"
    if library == "uvloop":
        code = "import uvloop; print('uvloop', uvloop.__version__)"
    return Peer(
        f"{library}-{style}",
        (sys.executable, "-m", "tests.bench.relays", library, style, "$listen", "$server"),
        version=(sys.executable, "-c", code),
        needs=library,
    )


def vcproxy(name: str, splice: str, only: tuple[str, ...] = ()) -> Peer:
    return Peer(
        name,
        (sys.executable, "-m", "$cli", "-c", "$config"),
        VCPROXY.replace("{splice}", splice),
        version=(sys.executable, "-m", "$cli", "--version"),
        needs="vcproxy.app.cli",
        only=only,
    )


def before(peer: Peer) -> Peer:
    """Return the same peer as it was at the revision that goals compare with."""
    name = peer.name.replace("vcproxy", "before")
    return replace(peer, name=name, revision=BEFORE)


TUNNEL_PEERS = {
    peer.name: peer
    for peer in (
        vcproxy("vcproxy", "true"),
        before(vcproxy("vcproxy", "true")),
        vcproxy("vcproxy-copy", "false", UNRECORDED),
        vcproxy("vcproxy-open", "true", ADMITTED),
        vcproxy_admitting("vcproxy-admission"),
        vcproxy("vcproxy-unrouted", "true", ROUTED),
        vcproxy_routing("vcproxy-sni"),
        haproxy_routing("haproxy-sni"),
        nginx_routing("nginx-sni"),
        vcproxy("vcproxy-unlogged", "true", LOGGED),
        vcproxy_logging("vcproxy-access-log"),
        vcproxy("vcproxy-unproxied", "true", PROXIED),
        vcproxy_proxied("vcproxy-proxied"),
        haproxy("haproxy-unproxied", only=PROXIED),
        haproxy_proxied("haproxy-proxied"),
        vcproxy_recording("vcproxy-recording", RECORDED),
        before(vcproxy_recording("vcproxy-recording", RECORDED)),
        haproxy("haproxy"),
        haproxy("haproxy-256k", "tune.bufsize 262144", only=("bulk", "idle")),
        Peer("nginx", ("nginx", "-p", "$scratch", "-c", "$config"), NGINX, ("nginx", "-v")),
        Peer(
            "socat",
            (
                "socat",
                "TCP-LISTEN:$listen,bind=127.0.0.1,reuseaddr,fork,backlog=1024",
                "TCP:127.0.0.1:$server",
            ),
            version=("socat", "-V"),
            most_tunnels=200,  # socat forks a process for each tunnel
        ),
        *(
            relay(library, style)
            for library in ("asyncio", "uvloop")
            for style in ("streams", "protocol")
        ),
        *service("validate", '{ framing = "json-lines", required = ["id"] }'),
        *service("split", "{ }"),
        vcproxy_relay("vcproxy-relay", "none", "block", FANS),
        vcproxy_relay("vcproxy-lines", "lines", "disconnect", LINES),
        vcproxy_relay("vcproxy-drop-oldest", "lines", "drop_oldest", STALLS),
        vcproxy_relay("vcproxy-disconnect", "lines", "disconnect", STALLS),
        messages("vcproxy-machines", "machine", MESSAGES),
        messages("plain-datagrams", "plain", MESSAGES[:2]),
        dispatching("vcproxy-dispatch", "plain"),
        dispatching("vcproxy-dispatch-checked", "checked"),
        dispatching("json-loads", "json"),
        watching("vcproxy-files", "file-changes"),
        watching("inotify-loop", "bare"),
        shown("vcproxy-shown"),
        on_the_bus("vcproxy-bus", "messages", ("bus-trips", *RETURNS)),
        on_the_bus("vcproxy-bus-lines", "lines", ("bus-trips",)),
        fan("copy-loop"),
        fan("streams-fan"),
        Peer(
            "ncat",
            ("ncat", "--listen", "--broker", "--max-conns", "2000", LOOPBACK, "$listen"),
            version=("ncat", "--version"),
            only=FANS,
            one_port=True,
        ),
        Peer("socat-tee", ("sh", "$config"), SOCAT_TEE, ("socat", "-V"), only=FANS),
    )
}
