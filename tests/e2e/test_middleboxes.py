# SPDX-License-Identifier: Apache-2.0
"""Something between an agent and its cluster that answers instead of it: a load balancer, an HTTP proxy, a captive portal."""
import contextlib
import socket
import ssl

import pytest

from fake_auth import server_certificate
from harness import iam_token, wait_until
from join_client import split
from tcp_server import TcpServer, splice

UPGRADE = "GET /webapi/connectionupgrade HTTP/1.1"


class Front(TcpServer):
    """A TCP port that passes everything on to the cluster, or ends TLS itself and gives every request the same answer."""

    def __init__(self, target, directory):
        self.target, self.answer, self.requests = target, None, set()
        key, chain = server_certificate("portal.example.com")
        (directory / "front.pem").write_bytes(chain + key)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(directory / "front.pem")
        super().__init__()

    def __exit__(self, *_):
        self.close()
        self.cut()

    def switch(self, answer):
        """`answer`: that to each request, or None to pass on; ends what is open."""
        self.answer = answer
        self.cut()

    def serve(self, near):
        answer = self.answer
        if answer is not None:
            self.refuse(near, answer)
            return
        with socket.create_connection(split(self.target)) as far:
            splice(near, far, socket.SHUT_WR)

    def refuse(self, near, answer):
        with self.tls.wrap_socket(near, server_side=True) as tls:
            data = b""
            while b"\r\n\r\n" not in data and (more := tls.recv(65536)):
                data += more
            if data:
                self.requests.add(data.split(b"\r\n")[0].decode())
                tls.sendall(answer.replace("\n", "\r\n").encode())


# What the box answers to every request of HTTP/1.1, and what the agent says about it.
ANSWERS = {
    "401": ("HTTP/1.1 401 Unauthorized\nServer: portal\n\n", "the server there (portal) answered GET /webapi/connectionupgrade with 401 Unauthorized"),
    "403": ("HTTP/1.1 403 Forbidden\n\n", "the server there answered GET /webapi/connectionupgrade with 403 Forbidden"),
    "404": ("HTTP/1.1 404 Not Found\nServer: nginx/1.22.1\n\n", "the server there (nginx/1.22.1) answered GET /webapi/connectionupgrade with 404 Not Found"),
    "302": ("HTTP/1.1 302 Found\nLocation: https://portal.example.com/login\n\n",
            "with 302 Found, and sends us on to https://portal.example.com/login"),
    "200": ("HTTP/1.1 200 OK\nContent-Type: text/html\n\n<html>", "a web page answered in place of the Proxy Service"),
    "400": ("HTTP/1.1 400 Bad Request\n\n", "see the log of the load balancer"),
    "400 of TLS": ("HTTP/1.1 400 Bad Request\n\nThis port speaks TLS: use https.\n", "and says This port speaks TLS: use https."),
    "503": ("HTTP/1.1 503 Service Unavailable\n\n", "it cannot reach the Proxy Service behind it"),
    "no HTTP": ("SSH-2.0-portal\n", "makes no sense"),
    "another upgrade": ("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: upgrade\n\n", "makes no sense"),
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


@pytest.mark.parametrize("name", ["401", "404", "no HTTP"])
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
    assert "something in front of the cluster ends TLS, such as a load balancer" in line
    host.process.mark()
    wait_until(lambda: host.status()["state"] == "connecting", "it tries again")
    host.stop()
    host.start()
    host.process.wait_for("cannot reach the cluster at.*")
    front.switch(None)
    host.wait_joined()
    assert front.requests == {UPGRADE}, "no join was begun"
    assert (host.host_id, host.identity()["tls_cert"], len(place.events("instance.join"))) == (before, certificate, joins)
    host.stop()
