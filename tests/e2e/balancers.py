# SPDX-License-Identifier: Apache-2.0
"""Real load balancers in front of a cluster, which announce their clients by the PROXY protocol or X-Forwarded-For."""
import contextlib
import os
import pathlib
import socket
import subprocess

from fake_auth import server_certificate
from harness import TIMEOUT, wait_until

SOURCE = "127.0.0.2"  # the address from which they connect to the cluster


class Balancer:
    """A process that listens on addresses of the loopback."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        self.log_path = self.dir / "log"
        self.process = None

    def run(self, args, addresses, **more):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        for address in addresses:
            wait_until(lambda: self.accepts(address), f"{args[0]} listens on {address}: {self.log_path.read_text()}")
        return self

    def accepts(self, address):
        assert self.process.poll() is None, self.log_path.read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=TIMEOUT).close()
            return True
        return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(TIMEOUT)


def listener(host="127.0.0.1"):
    """A listening socket on a port that the kernel picks, for a program that inherits it."""
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def text_of(sock):
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Haproxy(Balancer):
    """HAProxy; `routes`: {name: (listening address, target, options of the server line)}."""

    def start(self, routes, mode="tcp", bind="", more=()):
        lines = ["global", "  maxconn 200", "defaults", f"  mode {mode}", "  timeout connect 10s", "  timeout client 60s", "  timeout server 60s", *more]
        with contextlib.ExitStack() as stack:
            sockets = {name: stack.enter_context(listener(host)) for name, (host, _, _) in routes.items()}
            self.addresses = {name: text_of(sock) for name, sock in sockets.items()}
            for name, (_, target, options) in routes.items():
                lines += [f"listen {name}", f"  bind fd@{sockets[name].fileno()} {bind}", f"  server cluster {target} source {SOURCE} {options}"]
            config = self.dir / "haproxy.cfg"
            config.write_text("\n".join(lines) + "\n")
            return self.run(["/usr/sbin/haproxy", "-db", "-f", str(config)], [sock.getsockname()[:2] for sock in sockets.values()],
                            pass_fds=[sock.fileno() for sock in sockets.values()])


    def start_http(self, target):
        """At layer 7: ends TLS, speaks TLS with `target`, and adds X-Forwarded-For. Sets .address."""
        key, chain = server_certificate("proxy.example.com")
        (self.dir / "front.pem").write_bytes(chain + key)
        self.start({"http": ("127.0.0.1", target, "ssl verify none")}, "http", f"ssl crt {self.dir}/front.pem alpn http/1.1",
                   ["  option forwardfor", "  timeout tunnel 60s"])
        self.address = self.addresses["http"]
        return self


class RoundRobin(Balancer):
    """HAProxy at layer 4 in front of several proxies: each connection goes to the next of its targets that accepts one."""

    MOST = 4

    def start(self):
        with listener() as sock, listener() as admin:
            self.address, self.admin = text_of(sock), admin.getsockname()
            config = self.dir / "haproxy.cfg"
            config.write_text(f"""
global
  maxconn 500
  nbthread 1
  stats socket fd@{admin.fileno()} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch 1
listen proxies
  bind fd@{sock.fileno()}
  balance roundrobin
  server-template proxy 1-{self.MOST} 127.0.0.1:1 disabled
""")
            return self.run(["/usr/sbin/haproxy", "-db", "-f", str(config)], [sock.getsockname()], pass_fds=[sock.fileno(), admin.fileno()])

    def command(self, text):
        with socket.create_connection(self.admin, timeout=TIMEOUT) as admin:
            admin.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()

    def lead_to(self, targets):
        """New connections go to these addresses from now on; open ones stay where they are."""
        for n in range(self.MOST):
            server = f"set server proxies/proxy{n + 1}"
            if n < len(targets):
                host, port = targets[n].split(":")
                answer = self.command(f"{server} addr {host} port {port}; {server} state ready")
                assert "no need to change" in answer or "changed from" in answer, answer
            else:
                assert not self.command(f"{server} state maint").strip()

    def accepted(self):
        """The number of connections so far."""
        rows = [line.split(",") for line in self.command("show stat").splitlines() if line]
        return next(int(row[rows[0].index("stot")]) for row in rows if row[:2] == ["proxies", "FRONTEND"])


class Nginx(Balancer):
    """nginx with its stream module, which sends version 1 of the PROXY protocol to `target`."""

    def start(self, target):
        with listener() as sock:
            self.address = text_of(sock)
            config = self.dir / "nginx.conf"
            config.write_text(f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/log;
events {{ worker_connections 100; }}
stream {{
  server {{ listen {self.address}; proxy_pass {target}; proxy_bind {SOURCE}; proxy_protocol on; }}
}}
""")
            return self.run(["/usr/sbin/nginx", "-p", str(self.dir), "-c", str(config), "-e", str(self.dir / "log")], [sock.getsockname()],
                            pass_fds=[sock.fileno()], env={**os.environ, "NGINX": f"{sock.fileno()};"})
