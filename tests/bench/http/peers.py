"""The reverse proxies, and the server behind them.

Each runs on one core, writes no access log (but see ACCESS_LOGS), has no cache, and keeps its
connections to clients and to the server open. In the workload with slow clients the time limit for
a head is HEAD_S seconds.
"""

import sys
from dataclasses import replace
from pathlib import Path

from tests.bench.peer import Peer
from tests.bench.peers import MOST_TUNNELS, RULES, before
from tests.bench.revision import ROOT

HEAD_S = 2
SMALL = 1024
LARGE = 1024 * 1024
TEXT = 100 * 1024
"""Bytes of a text: a page of a documentation with its scripts."""

KEPT = ("http", "http-unlike", "http-1m", "http-idle")
GUARDED = (*KEPT, "http-slow")
TLS = ("http-tls", "tls-full", "tls-resumed")

# The common part of the configuration of nginx, as the server and as a peer. `user root`: the
# scratch directory is accessible only to the user that runs the benchmark.
NGINX_BEGUN = """\
user root;
daemon off;
worker_processes 1;
pid $scratch/pid;
error_log stderr;
events { worker_connections 20000; }
http {
    access_log off;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 5m;
"""

# The server sends files of zeros by sendfile.
ORIGIN = f"""\
cd $scratch
head -c {SMALL} /dev/zero >small
head -c {LARGE} /dev/zero >large
{sys.executable} {Path(__file__).parent}/text.py {TEXT} >text.txt
cat >nginx.conf <<end
{NGINX_BEGUN}
    sendfile on;
    open_file_cache max=10;
    types {{ text/plain txt; }}
    server {{
        listen 127.0.0.1:$listen backlog=4096;
        root $scratch;
        location / {{
            if (\\$$arg_unlike) {{
                add_header X-Request-Id \\$$request_id;
            }}
        }}
    }}
}}
end
exec nginx -p $scratch -c $scratch/nginx.conf
"""

HAPROXY = f"""\
global
    nbthread 1
    maxconn {MOST_TUNNELS}
defaults
    mode http
    http-reuse always
    option splice-auto
    timeout connect 5s
    timeout client 5m
    timeout server 5m
    timeout http-request {HEAD_S}s
    timeout http-keep-alive 5m
listen bench
    bind 127.0.0.1:$listen{{tls}}
    server peer 127.0.0.1:$server
"""

NGINX = f"""\
{NGINX_BEGUN}
    client_header_timeout {HEAD_S}s;
    upstream bench {{
        server 127.0.0.1:$server;
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:$listen backlog=4096 {{tls}};
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

# Traffic Server needs a directory tree of its own. `#-1`: it does not change its user, even root.
TRAFFIC_SERVER = """\
cd $scratch
cat >runroot.yaml <<end
prefix: $scratch
exec_prefix: $scratch
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: $scratch
datadir: $scratch
includedir: $scratch
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: $scratch
runtimedir: $scratch
logdir: $scratch
cachedir: $scratch
end
cat >records.config <<end
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.server_ports STRING $listen:ip-in=127.0.0.1
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 300
CONFIG proxy.config.http.keep_alive_no_activity_timeout_out INT 300
end
cat >ip_allow.yaml <<end
ip_allow:
  - { apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL }
end
echo 'map / http://127.0.0.1:$server/' >remap.config
>storage.config
exec traffic_server --run-root=$scratch/runroot.yaml
"""

VCPROXY = f"""\
[proxy]
net_threads = 1

[[listener]]
name = "web"
bind = "{{scheme}}://127.0.0.1:$listen"
plugin = "http_proxy"
upstream = "app"
limits = {{ max_connections = 20000 }}
{{tls}}

[listener.options]
limits = {{ requests = 100000000 }}
timeouts = {{ head = "{HEAD_S}s", idle = "5m" }}
{{filters}}
[upstream.app]
servers = ["tcp://127.0.0.1:$server"]
"""

CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench "
    "-keyout $scratch/tls.pem -out $scratch/tls.pem 2>/dev/null && exec "
)
MITMDUMP = str(Path(sys.prefix, "mitmproxy", "bin", "mitmdump"))  # installed there by `make bench`
PYTHON_VERSION = (sys.executable, "-c", "import sys; print('Python', sys.version.split()[0])")


def certified(command: str) -> tuple[str, ...]:
    """Return a command that first makes `$scratch/tls.pem`, a certificate and its key."""
    return ("sh", "-c", CERTIFICATE + command)


def vcproxy(name: str, only: tuple[str, ...], tls: bool = False, filters: str = "") -> Peer:
    config = VCPROXY.replace("{scheme}", "tls" if tls else "tcp")
    pair = 'tls = { certificate = "$scratch/tls.pem", key = "$scratch/tls.pem" }\n'
    config = config.replace("{tls}\n", pair if tls else "")
    config = config.replace("{filters}", f"filters = [{filters}]\n" if filters else "")
    command = (sys.executable, "-m", "$cli", "-c", "$config")
    return Peer(
        name,
        certified(" ".join(command)) if tls else command,
        config,
        version=(sys.executable, "-m", "$cli", "--version"),
        needs="vcproxy.plugins.http_proxy",
        only=only,
    )


def twisted(name: str, style: str) -> Peer:
    return Peer(
        name,
        (sys.executable, "-m", "tests.bench.http.twisted_proxy", style, "$listen", "$server"),
        version=(sys.executable, "-c", "import twisted; print('Twisted', twisted.__version__)"),
        needs="twisted",
        only=("http",),
    )


ORIGIN_PEER = Peer("origin", ("sh", "$config"), ORIGIN, ("nginx", "-v"), one_port=True)

OURS = (
    vcproxy("vcproxy-http", GUARDED),
    vcproxy("vcproxy-heads", ("http",), filters=f'"{Path(__file__).parent}/heads.py:Heads"'),
    vcproxy("vcproxy-tls", TLS, tls=True),
)

ORDINARY = "\n[http]\ndirect = false\n"
ACCESS_LOG = """
[access_log]
file = "$scratch/access.log"
format = "{form}"
"""
LOGGED = ("access-log-http", "access-log-http-unlike")


def vcproxy_logging(name: str, form: str = "", more: str = "") -> Peer:
    """A proxy with an access log in this format, in a file; without a format it has none."""
    ours = vcproxy(name, LOGGED)
    log = ACCESS_LOG.replace("{form}", form) if form else ""
    return replace(ours, config=ours.config + more + log)


ACCESS_LOGS = (
    vcproxy_logging("direct-unlogged"),
    vcproxy_logging("direct-json", "json"),
    vcproxy_logging("direct-line", "line"),
    vcproxy_logging("ordinary-unlogged", more=ORDINARY),
    vcproxy_logging("ordinary-json", "json", ORDINARY),
    vcproxy_logging("ordinary-line", "line", ORDINARY),
)

METRICS = '\n[metrics]\nbind = "unix:$scratch/metrics.sock"\n'
COUNTED = vcproxy("metrics-off", ("metrics-http",))
METRICS_PEERS = (
    COUNTED,
    replace(COUNTED, name="metrics-off-again"),  # how much two runs of the same differ
    replace(COUNTED, name="metrics-on", config=COUNTED.config + METRICS),
)

ADMITTED = ("admission-http",)
ADMITTING = vcproxy("direct-admission", ADMITTED)
ADMISSIONS = (
    vcproxy("direct-open", ADMITTED),
    replace(
        ADMITTING,
        config=ADMITTING.config.replace('plugin = "http_proxy"', 'plugin = "http_proxy"' + RULES),
    ),
)

# The same level: the default of both differs.
COMPRESSED = ("compression",)
GZIP = """
            gzip on;
            gzip_comp_level 4;
            gzip_types text/plain;
            gzip_proxied any;
            gzip_vary on;"""


def vcproxy_duty(name: str, only: str, duty: str = "", path: str = ORDINARY) -> Peer:
    """A proxy with a duty, or with none, on the ordinary path, or on another."""
    ours = vcproxy(name, (only,))
    config = ours.config.replace("\n[upstream.app]", f"{duty}\n\n[upstream.app]")
    return replace(ours, config=config + path)


EDITS = {
    "request-fields": 'request_fields = { set = { X-Tag = "1" }, remove = ["Cookie"] }',
    "response-fields": 'response_fields = { set = { X-Tag = "1" }, remove = ["Server"] }',
    "variables": 'request_fields = { set = { X-Real-IP = "{client}", X-Uri = "{uri}" } }',
    "rewrite": 'rewrite = { prefix = "/none" }',
    "request-id": "request_id = {}",
    "transport-security": "strict_transport_security = {}",
}
"""Duties that only touch heads."""
AWAY = 'redirect = { to = "https://{host}{uri}" }'
REDIRECT = "duty-redirect"
DUTIES = (
    vcproxy_duty("ordinary-bare", "duty-ordinary"),
    *(vcproxy_duty(f"ordinary-{name}", "duty-ordinary", each) for name, each in EDITS.items()),
    vcproxy_duty("direct-bare", "duty-direct", path=""),
    vcproxy_duty(
        "direct-fields", "duty-direct", f"{EDITS['request-fields']}\n{EDITS['response-fields']}", ""
    ),
    vcproxy_duty("direct-rewrite", "duty-direct", EDITS["rewrite"], ""),
    vcproxy_duty("direct-redirect", REDIRECT, AWAY, ""),
    vcproxy_duty("ordinary-redirect", REDIRECT, AWAY),
    Peer(
        "nginx-redirect",
        ("nginx", "-p", "$scratch", "-c", "$config"),
        NGINX.replace(" {tls}", "").replace(
            "location / {", "location / { return 302 https://$$host$$request_uri;"
        ),
        ("nginx", "-v"),
        only=(REDIRECT,),
    ),
)


COMPRESSIONS = (
    vcproxy_duty("vcproxy-gzip", "compression", "compression = { levels = { gzip = 4 } }"),
    Peer(
        "nginx-gzip",
        ("nginx", "-p", "$scratch", "-c", "$config"),
        NGINX.replace(" {tls}", "").replace("location / {", "location / {" + GZIP),
        ("nginx", "-v"),
        only=COMPRESSED,
    ),
)
ACCESS = "access"
TOKEN = "a-token-of-the-benchmark"
"""What the clients of `access` send."""
TOKENS = f"echo bench:{TOKEN} > $scratch/tokens; exec "
BEARER = vcproxy_duty("ordinary-bearer", ACCESS, 'bearer = { tokens = "tokens" }')
ACCESSES = (
    vcproxy_duty("ordinary-open", ACCESS),
    vcproxy_duty("ordinary-cors", ACCESS, 'cors = { origins = ["https://app.example"] }'),
    vcproxy_duty("ordinary-rate", ACCESS, "rate = { requests = 1000000000 }"),
    replace(BEARER, command=("sh", "-c", TOKENS + " ".join(BEARER.command))),
)
STICKINESS = (
    vcproxy_duty("ordinary-free", "sticky"),
    vcproxy_duty("ordinary-sticky", "sticky", 'sticky = { secret = "a secret of the benchmark" }'),
)

STATIC = ("static", "static-small")
FILES = f"cd $scratch; head -c {SMALL} /dev/zero >small; head -c {LARGE} /dev/zero >large; "
# The configuration of `ORIGIN`, but without a cache of open files, which nginx has not by default.
NGINX_STATIC = f"""\
{NGINX_BEGUN}
    sendfile on;
    server {{
        listen 127.0.0.1:$listen backlog=4096;
        root $scratch;
    }}
}}
"""


def serving(name: str, command: str, config: str, version: tuple[str, ...]) -> Peer:
    """A server of files, which are made first."""
    return Peer(name, ("sh", "-c", f"{FILES} exec {command}"), config, version, only=STATIC)


STATIC_PEERS = (
    replace(
        serving(
            "vcproxy-static",
            f"env PYTHONPATH={ROOT} {sys.executable} -m $cli -c $config",
            VCPROXY.replace("{scheme}", "tcp")
            .replace("{tls}\n", "")
            .replace("{filters}", 'folder = { root = "$scratch" }')
            .replace('upstream = "app"\n', "")
            .partition("[upstream.app]")[0],
            (sys.executable, "-m", "$cli", "--version"),
        ),
        needs="vcproxy.http.duties.folder",
    ),
    serving("nginx-static", "nginx -p $scratch -c $config", NGINX_STATIC, ("nginx", "-v")),
)

WORKERS = replace(
    vcproxy("vcproxy-workers", ("http", "workers", "kills")),
    config=OURS[0].config.replace("[proxy]\n", "[proxy]\nworkers = 2\n"),
    needs="vcproxy.workers",
)

HTTP_PEERS = {
    peer.name: peer
    for peer in (
        *OURS,
        *ACCESS_LOGS,
        *METRICS_PEERS,
        *ADMISSIONS,
        *DUTIES,
        *COMPRESSIONS,
        *ACCESSES,
        *STICKINESS,
        *STATIC_PEERS,
        WORKERS,
        *(
            # Sessions of revision 1fe49d4 cannot be resumed.
            before(replace(peer, only=tuple(work for work in peer.only if work != "tls-resumed")))
            for peer in OURS
        ),
        Peer(
            "haproxy-http",
            ("haproxy", "-db", "-f", "$config"),
            HAPROXY.replace("{tls}", ""),
            ("haproxy", "-v"),
            only=GUARDED,
        ),
        Peer(
            "haproxy-tls",
            certified("haproxy -db -f $config"),
            HAPROXY.replace("{tls}", " ssl crt $scratch/tls.pem"),
            ("haproxy", "-v"),
            only=TLS,
        ),
        Peer(
            "nginx-http",
            ("nginx", "-p", "$scratch", "-c", "$config"),
            NGINX.replace(" {tls}", ""),
            ("nginx", "-v"),
            only=GUARDED,
        ),
        Peer(
            "nginx-tls",
            certified("nginx -p $scratch -c $config"),
            NGINX.replace(
                "{tls};",
                "ssl;\n        ssl_certificate $scratch/tls.pem;\n"
                "        ssl_certificate_key $scratch/tls.pem;",
            ),
            ("nginx", "-v"),
            only=TLS,
        ),
        Peer(
            "trafficserver",
            ("sh", "$config"),
            TRAFFIC_SERVER,
            ("traffic_server", "--version"),
            only=KEPT,
        ),
        twisted("twisted", "shipped"),
        twisted("twisted-kept", "kept"),
        Peer(
            "mitmproxy",
            (
                MITMDUMP,
                *("--mode", "reverse:http://127.0.0.1:$server", "--quiet"),
                *("--listen-host", "127.0.0.1", "--listen-port", "$listen"),
                *("--set", "confdir=$scratch"),
            ),
            version=(MITMDUMP, "--version"),
            only=("http",),
        ),
    )
}
