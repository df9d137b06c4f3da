# SPDX-License-Identifier: Apache-2.0
"""A captured proxy that takes connections to an application itself, with certificates of other hosts and roles."""
import contextlib
import socket
import ssl

import pytest

from harness import TIMEOUT, Cluster, iam_token, wait_until
from join_client import Peer, join_legacy
from tcp_server import TcpServer, splice
from test_tsh_apps import ProxyApp, echo
from users import User, invite_url

ECHO = {"name": "echo", "labels": {"env": "prod"}}


class CapturedProxy(TcpServer):
    """Relays logins and requests to auth; connections to applications end here while `answer` is set: (host ID, identity, its role)."""

    def __init__(self, cluster, identity, directory):
        self.cluster, self.answer, self.received, self.directory = cluster, None, [], directory
        self.outer = self.context(identity.cert_pem, identity.key_pem, "cteleport-ssh")
        super().__init__()

    def context(self, cert_pem, key_pem, protocol):
        path = self.directory / "identity.pem"
        path.write_bytes(key_pem + cert_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols([protocol])
        return context

    def serve(self, connection):
        hello = connection.recv(16384, socket.MSG_PEEK)
        if self.answer is None or b"cteleport-ssh" not in hello:
            host, port = self.cluster.proxy_addr.rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=TIMEOUT) as proxy:
                splice(connection, proxy)
            return
        with contextlib.suppress(ssl.SSLError):
            self.pose(self.outer.wrap_socket(connection, server_side=True))

    def pose(self, outer):
        host_id, identity = self.answer
        head = b""
        while b"\r\n\r\n" not in head and (more := outer.recv(1)):
            head += more
        outer.sendall(b"HTTP/1.1 200 OK\r\n" + (f"X-Teleport-Host-Id: {host_id}\r\n".encode() if host_id else b"") + b"\r\n")
        context = self.context(ssl.DER_cert_to_PEM_cert(identity["tls_cert"]).encode(), identity["tls_key"].encode(), "cteleport-tcp")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = context.wrap_bio(incoming, outgoing, server_side=True)

        def run(operation, *args):
            while True:
                try:
                    result = operation(*args)
                    outer.sendall(outgoing.read())
                    return result
                except ssl.SSLWantReadError:
                    outer.sendall(outgoing.read())
                    more = outer.recv(16384)
                    if not more:
                        raise ssl.SSLEOFError from None
                    incoming.write(more)

        run(inner.do_handshake)
        run(inner.write, b"\0")
        while data := run(inner.read, 4096):
            self.received.append(data)
            run(inner.write, data)


@pytest.fixture(scope="module")
def place(build, aws_process, tmp_path_factory):
    with TcpServer(echo) as server:
        directory = tmp_path_factory.mktemp("impostors")
        cluster = Cluster(build, aws_process, directory / "cluster")
        cluster.start()
        cluster.create(iam_token(roles=("Node", "App")))
        cluster.create(iam_token("proxies", roles=("Proxy",)))
        aws_process.reset()
        env = aws_process.identity()
        offers = {"app_service": {"enabled": "yes", "apps": [{**ECHO, "uri": f"tcp://{server.addr}"}]}}
        others = {"app_service": {"enabled": "yes", "apps": [{**ECHO, "name": "other", "uri": f"tcp://{server.addr}"}]}}
        cluster.offers = cluster.host("offers", env=env, ssh={"enabled": "no"}, services=offers).start()
        cluster.others = cluster.host("others", env=env, ssh={"enabled": "no"}, services=others).start()
        wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * 2, "both applications are reached")
        with Peer(cluster) as peer:
            identity = join_legacy(peer, env, name="captured", token="proxies", role="Proxy")
        with CapturedProxy(cluster, identity, directory) as cluster.captured:
            yield cluster
        cluster.stop()


@pytest.fixture(scope="module")
def alice(place, tmp_path_factory):
    words = place.tctl("users", "add", "alice", "--roles=access").out
    alice = User(place, "alice", tmp_path_factory.mktemp("alice")).accept(invite_url(words))
    alice.tsh("login", f"--proxy={place.captured.addr}", "--user=alice", "--insecure", stdin=f"{alice.password}\n{alice.otp()}\n")
    return alice


CASES = {
    "a host that offers another application": (lambda p: (p.others.host_id, p.others.identity("app")), "which does not offer the application 'echo' to you"),
    "another host under the ID of the right one": (lambda p: (p.offers.host_id, p.others.identity("app")), "the server's certificate is not for '"),
    "the right host in another role": (lambda p: (p.offers.host_id, p.offers.identity("instance")), "of role 'Instance' instead of 'App'"),
    "no host": (lambda p: ("", p.others.identity("app")), "the proxy does not name the host of the application"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_impostor_gets_no_byte(place, alice, case):
    answer, refusal = CASES[case]
    place.captured.answer, place.captured.received = answer(place), []
    with ProxyApp(alice, "echo") as app:
        assert not app.echoes()
        app.wait_for("ERROR: .*\n(.*\n)*")
        text = app.new_text()
        assert refusal in text and ("report it to an administrator" in text) == ("certificate" in text), text
    assert not place.captured.received


def test_only_the_key_of_a_host_that_offers_it_suffices(place, alice):
    """What the tests above are measured by: a captured proxy that also has the key of the right host."""
    place.captured.answer, place.captured.received = (place.offers.host_id, place.offers.identity("app")), []
    with ProxyApp(alice, "echo") as app:
        assert app.echoes()
    assert place.captured.received == [b"hello"]
