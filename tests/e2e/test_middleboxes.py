# SPDX-License-Identifier: Apache-2.0
"""Something between an agent and its cluster that answers instead of it: a load balancer, an HTTP proxy, a captive portal."""
import contextlib
import socket
import ssl

import pytest

from fake_auth import server_certificate
from harness import iam_token, wait_until
from join_client import split
from raw_h2 import END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, literal
from tcp_server import TcpServer, splice

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTML, GRPC = ("content-type", "text/html"), ("content-type", "application/grpc")


class Front(TcpServer):
    """A TCP port that passes everything on to the cluster, or ends TLS itself and gives every request the same answer."""

    def __init__(self, target, directory):
        self.target, self.answer, self.requests = target, None, 0
        key, chain = server_certificate("portal.example.com")
        (directory / "front.pem").write_bytes(chain + key)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(directory / "front.pem")
        super().__init__()

    def __exit__(self, *_):
        self.close()
        self.cut()

    def switch(self, answer):
        """`answer`: header fields of each answer, or None to forward; ends open connections."""
        self.answer = answer
        self.cut()

    def serve(self, near):
        if self.answer is not None:
            self.refuse(near)
            return
        with socket.create_connection(split(self.target)) as far:
            splice(near, far, socket.SHUT_WR)

    def refuse(self, near):
        answer = self.answer
        self.tls.set_alpn_protocols(["http/1.1"] if answer == "HTTP/1.1" else ["h2"])
        with self.tls.wrap_socket(near, server_side=True) as tls:
            self.take_requests(tls, answer)

    def take_requests(self, tls, answer):
        tls.sendall(frame(SETTINGS))
        data = b""
        while more := tls.recv(65536):
            data += more
            data = data.removeprefix(PREFACE)
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big") and not PREFACE.startswith(data[:9]):
                size, kind, stream = int.from_bytes(data[:3], "big"), data[3], int.from_bytes(data[5:9], "big")
                data = data[9 + size:]
                if kind == HEADERS:
                    self.requests += 1
                    tls.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"".join(literal(*field) for field in answer)))


ANSWERS = {
    "401": ([(":status", "401"), HTML], "the server answered HTTP 401 with 'text/html', which is not gRPC"),
    "403": ([(":status", "403"), HTML], "the server answered HTTP 403 with 'text/html', which is not gRPC"),
    "404": ([(":status", "404"), HTML], "the server answered HTTP 404 with 'text/html', which is not gRPC"),
    "302": ([(":status", "302"), ("location", "https://portal.example.com/login")],
            "the server answered HTTP 302 and sends us on to 'https://portal.example.com/login', which is not gRPC"),
    "200": ([(":status", "200"), HTML], "the server answered HTTP 200 with 'text/html', which is not gRPC"),
    "503": ([(":status", "503"), HTML], "the server answered HTTP 503 with 'text/html', which is not gRPC"),
    "grpc unauthenticated": ([(":status", "200"), GRPC, ("grpc-status", "16"), ("grpc-message", "no session")], "no session"),
    "grpc denied": ([(":status", "200"), GRPC, ("grpc-status", "7"), ("grpc-message", "RBC: access denied")], "RBC: access denied"),
    "http1": ("HTTP/1.1", "does not speak the application protocol we need"),
}


@pytest.fixture(scope="module")
def place(shared):
    shared.create(iam_token("between"))
    return shared


@pytest.fixture
def fronts(place, tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Front(place.proxy_addr, tmp_path))


def test_a_host_reports_the_foreign_answer_and_joins_later(place, aws, fronts):
    hosts = {}
    for name, (answer, _) in ANSWERS.items():
        front = fronts()
        front.switch(answer)
        env = aws.identity(f"arn:aws:sts::123456789012:assumed-role/between/i-{len(hosts):017x}")
        host = place.host(f"between-{len(hosts)}", token="between", env=env, teleport={"proxy_server": front.addr})
        hosts[name] = (front, host.start())
    for name, (front, host) in hosts.items():
        line = host.process.wait_for("Can not join the cluster as Instance.*").group(0)
        assert ANSWERS[name][1].replace("'", "") in line.replace("'", "").replace("\\", ""), (name, line)
        assert not (host.data_dir / "host_uuid").exists()
        wait_until(lambda: (host.data_dir / "proc" / "status.json").exists() and host.status()["state"] == "joining", "it waits")
        front.switch(None)
    for _, host in hosts.values():
        host.wait_joined()
        host.stop()


@pytest.mark.parametrize("name", ["401", "403", "grpc unauthenticated", "http1"])
def test_a_member_keeps_its_identity_when_something_else_answers(place, aws, fronts, name):
    front = fronts()
    env = aws.identity(f"arn:aws:sts::123456789012:assumed-role/member/i-{list(ANSWERS).index(name):017x}")
    place.create(iam_token("member"))
    host = place.host("member-" + name.replace(" ", "-"), token="member", env=env, teleport={"proxy_server": front.addr}).start()
    host.wait_joined()
    before, certificate = host.host_id, host.identity()["tls_cert"]
    place.event("instance.join", success=True, node_name=host.name)
    joins = len(place.events("instance.join"))
    host.process.mark()
    front.switch(ANSWERS[name][0])
    line = host.process.wait_for("cannot reach the cluster at.*").group(0)
    assert "something in front of the cluster seems to end TLS" in line
    host.process.mark()
    wait_until(lambda: host.status()["state"] == "connecting", "it tries again")
    host.stop()
    host.start()
    host.process.wait_for("cannot reach the cluster at.*")
    front.switch(None)
    host.wait_joined()
    assert front.requests == 0, "no join was begun"
    assert (host.host_id, host.identity()["tls_cert"], len(place.events("instance.join"))) == (before, certificate, joins)
    host.stop()
