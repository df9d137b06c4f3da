# SPDX-License-Identifier: Apache-2.0
"""Hosts whose only way out is an HTTP proxy: joining and staying connected through CONNECT."""
import base64
import socket
import socketserver
import threading

import pytest

from harness import iam_token, wait_until

NAME = "teleport.example.com"  # resolves nowhere but at the HTTP proxy


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class HttpProxy(socketserver.ThreadingTCPServer):
    """Serves CONNECT to NAME, but not to a target that ends in `refused`; records the requests and their users."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, target, status="200 Connection established", refused=None):
        self.target, self.status, self.refused, self.asked, self.users = target, status, refused, [], []
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            method, target, _ = self.rfile.readline().decode().split()
            fields = dict(line.decode().strip().split(": ", 1) for line in iter(self.rfile.readline, b"\r\n"))
            if "Proxy-Authorization" in fields:
                self.server.users.append(base64.b64decode(fields["Proxy-Authorization"].removeprefix("Basic ")).decode())
            self.server.asked.append((method, target))
            status = "403 Forbidden" if self.server.refused and target.endswith(self.server.refused) else self.server.status
            self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if not status.startswith("200"):
                return
            host, port = self.server.target.split(":")
            with socket.create_connection((host, int(port))) as upstream:
                threading.Thread(target=copy, args=(upstream, self.request), daemon=True).start()
                copy(self.request, upstream)


@pytest.fixture
def http_proxy(cluster):
    started = []

    def start(**how):
        started.append(HttpProxy(cluster.proxy_addr, **how))
        return started[-1]

    yield start
    for proxy in started:
        proxy.shutdown()
        proxy.server_close()


def behind(cluster, aws, proxy, user="", **env):
    env = {"HTTPS_PROXY": f"http://{user}{proxy.address}", **env}
    return cluster.host("web-1", env={**aws.identity(), **env}, teleport={"proxy_server": f"{NAME}:443"})


def test_a_host_joins_and_stays_connected_through_an_http_proxy(cluster, aws, http_proxy):
    cluster.create(iam_token())
    proxy = http_proxy()
    host = behind(cluster, aws, proxy).start()
    host.wait_joined()
    assert set(proxy.asked) == {("CONNECT", f"{NAME}:443")}
    assert len(proxy.asked) >= 2, "one tunnel to join, one as a member"
    wait_until(lambda: cluster.node("web-1"), "web-1 is listed")


def test_the_tunnel_of_a_node_goes_through_the_http_proxy(cluster, aws, http_proxy):
    cluster.create(iam_token())
    proxy = http_proxy()
    host = behind(cluster, aws, proxy).start()
    host.wait_reachable()
    assert set(proxy.asked) == {("CONNECT", f"{NAME}:443")}


def test_the_http_proxys_password_is_used_and_not_shown(cluster, aws, http_proxy):
    cluster.create(iam_token())
    proxy = http_proxy()
    host = behind(cluster, aws, proxy, user="web:s%40fe@").start()
    host.wait_joined()
    assert set(proxy.users) == {"web:s@fe"}
    assert "s%40fe" not in host.process.text() and "s@fe" not in host.process.text()


def test_no_proxy_leads_past_the_http_proxy(cluster, aws, http_proxy):
    cluster.create(iam_token())
    proxy = http_proxy()
    host = behind(cluster, aws, proxy, NO_PROXY="other.test,.example.com").start()
    host.process.wait_for(f"cannot find the address of {NAME}:443")
    assert proxy.asked == []


def test_a_refusing_http_proxy_is_named(cluster, aws, http_proxy):
    cluster.create(iam_token())
    proxy = http_proxy(status="403 Forbidden")
    host = behind(cluster, aws, proxy).start()
    host.process.wait_for(f"cannot reach the proxy server at {NAME}:443: the HTTP proxy at {proxy.address} gives no tunnel: "
                          r"it answered 403 Forbidden \(hint: allow CONNECT")
