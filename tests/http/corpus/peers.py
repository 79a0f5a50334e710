"""The proxies that the corpus is run against, as they are usually configured for HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.peer import Peer, running
from tests.http.corpus.runner import Proxy

HAPROXY = """\
global
    nbthread 1
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
listen corpus
    bind 127.0.0.1:$listen
    http-reuse always
    server origin 127.0.0.1:$server
"""

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid $scratch/pid;
error_log stderr crit;
events { worker_connections 500; }
http {
    access_log off;
    client_body_temp_path $scratch/client;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    upstream origin {
        server 127.0.0.1:$server max_fails=0;
        keepalive 8;
    }
    server {
        listen 127.0.0.1:$listen;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $$http_host;
        }
    }
}
"""

PEERS = {
    "HAProxy": Peer("haproxy", ("haproxy", "-db", "-f", "$config"), HAPROXY, ("haproxy", "-v")),
    "nginx": Peer("nginx", ("nginx", "-p", "$scratch", "-c", "$config"), NGINX, ("nginx", "-v")),
}


def proxy(peer: Peer) -> Proxy:
    """Run it, as `run` needs it."""

    @contextmanager
    def start(server: int) -> Iterator[int]:
        with running(peer, server) as (_, port):
            yield port

    return start


def version(name: str) -> str:
    """The proxy and the number of its version."""
    found = re.search(r"\d+\.\d+\.\d+", PEERS[name].version_line())
    return f"{name} {found[0]}" if found else name
