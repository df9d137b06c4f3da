#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a server needs in front of a join, by nginx: the CPU time of one TLS connection with one HTTP/2 request.

    bench_edge.py [--json] [--build=DIR] [--connections=N]     N: connections of each kind (default: 3000)

The handshake is that of a join: TLS 1.3, X25519, a certificate with a key on P-256, no resumption. The request has about the size of a join's messages, and so
has its answer. nginx first answers by itself, then it forwards each request over a connection that it keeps, as the proxy does with a join. h2load plays the clients.
"""
import contextlib
import re
import subprocess
import sys

from bench_proxy import cpu_seconds
from figures import ROOT, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from boxes import Box  # noqa: E402

REQUEST_BYTES, ANSWER_BYTES, CONNECTIONS_PER_SECOND = 2000, 4000, 300

# One worker process, whose CPU time is that of all connections.
NGINX = """
user root;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_buffer_size 16k;
    upstream behind {{ server unix:DIRECTORY/behind.sock; keepalive 32; }}
    server {{
        listen 127.0.0.1:{{port}} ssl http2 backlog=4096;
        ssl_certificate /etc/ssl/teleport.example.com.pem;
        ssl_certificate_key /etc/ssl/teleport.example.com.key;
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        ssl_session_cache off;
        ssl_session_tickets off;
        location / {{ {location} }}
    }}
    server {{
        listen {behind};
        location / {{ return 200 ANSWER; }}
    }}
}}
"""
ANSWER = "return 200 ANSWER;"
FORWARD = 'proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";'


def worker_of(box):
    return int(subprocess.run(["pgrep", "-P", str(box.process.popen.pid)], check=True, stdout=subprocess.PIPE, text=True).stdout)


def cpu_ms(box, request, connections):
    """The CPU time of one connection of `connections`, each with one request."""
    pid = worker_of(box)
    before = cpu_seconds(pid)
    done = subprocess.run(["h2load", f"--requests={connections}", f"--clients={connections}", f"--rate={CONNECTIONS_PER_SECOND}", f"--data={request}",
                           f"https://{box.addr}/"], check=True, stdout=subprocess.PIPE, text=True).stdout
    spent = cpu_seconds(pid) - before
    assert re.search(rf"\b{connections} succeeded, 0 failed", done), done
    return round(1000 * spent / connections, 3)


def main():
    given = options(connections=3000)
    with contextlib.ExitStack() as stack:
        directory, home = stack.enter_context(directories())
        request = directory / "request"
        request.write_bytes(b"r" * REQUEST_BYTES)

        def started(name, location, behind):
            text = NGINX.format(location=location, behind=behind).replace("ANSWER", f'"{"a" * ANSWER_BYTES}"').replace("DIRECTORY", str(home))
            box = Box("nginx", directory / name, text)
            stack.callback(box.close)
            return box.start()

        behind = started("behind", ANSWER, f"unix:{home}/behind.sock")
        front = started("front", FORWARD, f"unix:{home}/unused.sock")
        print_figures({"connections": given.connections, "answer_ms": cpu_ms(behind, request, given.connections),
                       "forward_ms": cpu_ms(front, request, given.connections)}, given.json)


if __name__ == "__main__":
    main()
