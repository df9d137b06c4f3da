#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP application through proxy, tunnel and agent, beside nginx as a reverse proxy for the same backend, in one run.

    bench_app.py [--json] [--build=DIR] [--requests=N] [--rounds=N] [--body=MIB] [--sockets=N]

Both have clients with TLS 1.3, the same cipher and a key on P-256, and keep their connections on both sides. h2load sends small requests: many at a time for the CPU
time of one, one after the other for its latency. curl takes and sends one large body. Each is measured by turns. The CPU time is that of all processes of the cluster and
of its host, with their supervisors, and of all processes of that nginx; clients and backends do not count. Then idle WebSockets are opened through the agent.
"""
import concurrent.futures
import contextlib
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench_ssh import below, pss_kib
from figures import ROOT, cpu_seconds, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from boxes import Box  # noqa: E402
from harness import Aws, Cluster, iam_token, reserved_port, wait_until  # noqa: E402
from tcp_server import TcpServer  # noqa: E402
from test_apps_browser import PROXY, Client  # noqa: E402
from users import User, invite_url  # noqa: E402

CIPHER, AT_ONCE, ANSWER_BYTES, BLOCK = "TLS_AES_128_GCM_SHA256", 16, 1024, 1 << 20
REST_S = 25  # after PACE_MEMORY_TRIM and PACE_TRIM_AT_REST: what the handshakes needed has been returned to the system

# One worker process each, as proxy and agent are one process each. What would slow nginx down beside ours is off: logs, files for bodies, the limit of requests of a connection.
BACKEND = """
user root;
worker_processes 1;
events { worker_connections 8192; }
http {
    access_log off;
    sendfile on;
    keepalive_requests 100000000;
    server {
        listen 127.0.0.1:{port};
        location / { root DIRECTORY; }
        location = /small { return 200 "ANSWER"; }
    }
}
"""

FRONT = """
user root;
worker_processes 1;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 0;
    upstream small { server BACKEND; keepalive 64; keepalive_requests 100000000; }
    upstream sink { server SINK; keepalive 64; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    server {
        listen 127.0.0.1:{port} ssl;
        ssl_certificate /etc/ssl/teleport.example.com.pem;
        ssl_certificate_key /etc/ssl/teleport.example.com.key;
        ssl_protocols TLSv1.3;
        location / { proxy_pass http://small; }
        location /sink { proxy_pass http://sink; }
    }
}
"""


def head_of(connection):
    """The head of a request, and what came with it of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return "", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


class Sink(TcpServer):
    """Takes the body of each request, and discards it. A client that asks first is answered: curl would wait a second for it."""

    def serve(self, connection):
        while (read := head_of(connection))[0]:
            head, body = read
            if re.search(r"(?im)^expect: 100-continue\r?$", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length, piece = re.search(r"(?i)content-length: (\d+)", head), bytearray(BLOCK)
            left = (int(length.group(1)) if length else 0) - len(body)
            while left > 0 and (n := connection.recv_into(piece)):
                left -= n
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


class Sockets(TcpServer):
    """Accepts WebSockets, on which nothing happens."""

    def serve(self, connection):
        if head_of(connection)[0]:
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            connection.recv(1)


class Way:
    """How clients reach a backend: the address to connect to, the URLs of requests, cookies, and the processes that serve them."""

    def __init__(self, address, roots, cookies, processes):
        self.address, self.roots, self.cookies, self.processes = address, roots, cookies, processes

    def cpu(self):
        return sum(cpu_seconds(pid) for root in self.processes for pid in below(root))

    def fields(self, app):
        return ["-H", f"Cookie: {self.cookies[app]}"] if self.cookies else []

    def h2load(self, directory, requests, clients):
        """The CPU time of each request, the wall time of all, and the latencies of all, in ms."""
        log = directory / "latencies"
        log.unlink(missing_ok=True)
        before, begun = self.cpu(), time.monotonic()
        done = subprocess.run(["h2load", "--h1", f"--requests={requests}", f"--clients={clients}", f"--connect-to={self.address}", f"--log-file={log}",
                               f"--tls13-ciphers={CIPHER}", *self.fields("small"), f"{self.roots['small']}/small"], check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, spent = time.monotonic() - begun, self.cpu() - before
        assert re.search(rf"\b{requests} succeeded, 0 failed", done) and f"{requests} 2xx" in done, done
        return 1000 * spent / requests, seconds, [int(line.split()[2]) / 1000 for line in log.read_text().splitlines()]

    def curl(self, app, path, *args):
        """Wall and CPU time."""
        before, begun = self.cpu(), time.monotonic()
        subprocess.run(["curl", "-sS", "-k", "--fail", "--http1.1", "--tls13-ciphers", CIPHER, "--connect-to", f"::{self.address}", "-o", "/dev/null", *self.fields(app), *args,
                        f"{self.roots[app]}{path}"], check=True)
        return time.monotonic() - begun, self.cpu() - before


# ---- the two ways -------------------------------------------------------------------------------------------------------


def cluster_way(build, aws, directory, stack, backends):
    """A cluster with one host that offers the backends, and a user whose browser has a session of each."""
    cluster = Cluster(build, aws, directory / "cluster")
    with reserved_port() as port:
        number = port.getsockname()[1]
        cluster.config["proxy_service"].update(web_listen_addr=f"127.0.0.1:{number}", public_addr=[f"localhost:{number}", f"{PROXY}:{number}"])
        cluster.start()
    stack.callback(cluster.stop)
    cluster.create(iam_token(roles=("App",)))
    rows = [{"name": name, "uri": f"http://{addr}"} for name, addr in backends.items()]
    cluster.apps = cluster.host("web", env=aws.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": rows}})
    cluster.apps.start()
    cluster.apps.wait_joined()
    wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * len(rows), "all applications are reached")
    cluster.create({"kind": "role", "version": "v7", "metadata": {"name": "apps"}, "spec": {"allow": {"app_labels": {"*": "*"}}}})
    user = User(cluster, "alice", directory / "home").accept(invite_url(cluster.tctl("users", "add", "alice", "--roles=apps").out))
    client, cookies = Client(cluster, directory), {}
    roots = {name: f"https://{name}.{PROXY}:{client.port}" for name in backends}
    for name in backends:
        client.launch(user, f"{roots[name]}/")
        jar = re.findall(rf"{name}\.{PROXY}\t.*\t(__Host-grv_app_session\w*)\t(\w+)", client.jar.read_text())
        cookies[name] = "; ".join(f"{key}={value}" for key, value in jar)
    return cluster, Way(cluster.proxy_addr, roots, cookies, [cluster.process.pid, cluster.apps.process.pid])


def nginx_way(directory, stack, backends):
    box = Box("nginx", directory / "front", FRONT.replace("BACKEND", backends["small"]).replace("SINK", backends["sink"]))
    stack.callback(box.close)
    box.start()
    root = f"https://localhost:{box.port}"
    return Way(box.addr, {"small": root, "sink": f"{root}/sink"}, None, [box.process.pid])


# ---- what is measured ---------------------------------------------------------------------------------------------------


def medians(taken, which):
    return {way: statistics.median(one[which] for one in some) for way, some in taken.items()}


def by_turns(rounds, ways, measure):
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(measure(way))
    return taken


def request_figures(ways, directory, given):
    for way in ways.values():
        way.h2load(directory, 10 * AT_ONCE, AT_ONCE)
    many = by_turns(given.rounds, ways, lambda way: way.h2load(directory, given.requests, AT_ONCE))
    one = by_turns(given.rounds, ways, lambda way: way.h2load(directory, given.requests // 5, 1))
    cpu = medians(many, 0)
    times = {name: sorted(t for some in taken for t in some[2]) for name, taken in one.items()}
    figures = {"requests": given.requests, "at_once": AT_ONCE, "answer_bytes": ANSWER_BYTES,
               "requests_per_cpu_second": {name: round(1000 / ms) for name, ms in cpu.items()}, "request_cpu_ratio": round(cpu["nginx"] / cpu["cluster"], 3),
               "requests_per_second": {name: round(given.requests / seconds) for name, seconds in medians(many, 1).items()}}
    for key, share in (("p50", 0.5), ("p99", 0.99)):
        figures[f"latency_{key}_ms"] = {name: round(some[int(share * len(some))], 3) for name, some in times.items()}
    return {**figures, "added_latency_ms": round(figures["latency_p50_ms"]["cluster"] - figures["latency_p50_ms"]["nginx"], 3)}


def body_figures(ways, directory, given):
    figures = {"body_mib": given.body}
    for name, measure in (("down", lambda way: way.curl("small", "/large")), ("up", lambda way: way.curl("sink", "/", "-T", directory / "large"))):
        taken = by_turns(given.rounds, ways, measure)
        wall, cpu = medians(taken, 0), medians(taken, 1)
        figures[f"{name}_mib_per_second"] = {way: round(given.body / seconds) for way, seconds in wall.items()}
        figures[f"{name}_ratio"] = round(wall["nginx"] / wall["cluster"], 3)
        figures[f"{name}_cpu_ms_per_mib"] = {way: round(1000 * seconds / given.body, 3) for way, seconds in cpu.items()}
    return figures


def open_socket(way, context):
    host, port = way.address.split(":")
    tls = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=f"sockets.{PROXY}")
    tls.sendall(f"GET / HTTP/1.1\r\nHost: sockets.{PROXY}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {way.cookies['sockets']}\r\n\r\n".encode())
    answer = tls.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101 "), answer + tls.recv(4096)
    return tls


def growth(before, pids, count):
    each = {name: round((pss_kib(pid) - before[name]) / count, 1) for name, pid in pids.items()}
    return {**each, "sum": round(sum(each.values()), 1)}


def idle_sockets(cluster, way, count):
    """How much proxy and agent grow by each of `count` WebSockets on which nothing happens, the first ten aside, in KiB (PSS): at rest, and right after they were opened."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pids = {"proxy": cluster.process.children()["proxy"], "agent": cluster.apps.process.children()["app"]}
    held = [open_socket(way, context) for _ in range(10)]
    before = {name: pss_kib(pid) for name, pid in pids.items()}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:  # an opening awaits several syncs of the disk
        held += pool.map(lambda _: open_socket(way, context), range(count - len(held)))
    at_once = growth(before, pids, count - 10)
    time.sleep(REST_S)
    at_rest = growth(before, pids, count - 10)
    for tls in held:
        tls.close()
    return at_rest, at_once


def main():
    given = options(requests=20000, rounds=3, body=1024, sockets=2000)
    threading.stack_size(256 << 10)  # a thread for each WebSocket of the backend
    with contextlib.ExitStack() as stack:
        directory, _ = stack.enter_context(directories())
        (directory / "files").mkdir()
        with open(directory / "files/large", "wb") as large:
            large.truncate(given.body << 20)
        (directory / "large").symlink_to("files/large")
        backend = Box("nginx", directory / "backend", BACKEND.replace("ANSWER", "a" * ANSWER_BYTES).replace("DIRECTORY", str(directory / "files")))
        stack.callback(backend.close)
        backend.start()
        backends = {"small": f"127.0.0.1:{backend.port}", "sink": Sink().addr, "sockets": Sockets().addr}
        aws = Aws(tempfile.mkdtemp(dir=directory))
        stack.callback(aws.stop)
        cluster, ours = cluster_way(given.build, aws, directory, stack, backends)
        ways = {"cluster": ours, "nginx": nginx_way(directory, stack, backends)}
        figures = {**request_figures(ways, directory, given), **body_figures(ways, directory, given)}
        figures["sockets"] = given.sockets
        figures["socket_kib"], figures["socket_kib_at_once"] = idle_sockets(cluster, ours, given.sockets)
        print_figures(figures, given.json)


if __name__ == "__main__":
    main()
