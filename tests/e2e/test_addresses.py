# SPDX-License-Identifier: Apache-2.0
"""Names with addresses of both families, with addresses that are dead, and with addresses that change: asked of a DNS server at each connection."""
import contextlib
import errno
import socket
import subprocess

import pytest

from dns_server import Dns
from harness import TIMEOUT, Cluster, Result, iam_token, port_of, program, reserved_port
from join_client import split
from tcp_server import TcpServer, splice
from users import User, invite_url

LONGEST = ".".join([letter * 63 for letter in "abc"] + ["d" * 56, "test"])


class Forwarder(TcpServer):
    """Passes connections on to the proxy, and counts them."""

    def __init__(self, target, host="127.0.0.1", port=0):
        self.target, self.count = target, 0
        super().__init__(host=host, port=port)

    def serve(self, near):
        self.count += 1
        with socket.create_connection(split(self.target)) as far:
            splice(near, far)


@contextlib.contextmanager
def one_port(*hosts):
    """A port that no other program has on these addresses: held, and closed to connections until somebody listens there."""
    while True:
        with contextlib.ExitStack() as stack:
            try:
                port = port_of(stack.enter_context(reserved_port(hosts[0])))
                for host in hosts[1:]:
                    stack.enter_context(reserved_port(host, port))
            except OSError as err:
                if err.errno != errno.EADDRINUSE:
                    raise
                continue
            yield port
            return


@contextlib.contextmanager
def silent(host, port):
    """A port that neither accepts nor refuses: its queue of new connections is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=0))
        for _ in range(2):
            client = stack.enter_context(socket.socket(server.family))
            client.setblocking(False)
            client.connect_ex((host, port))
        yield


@pytest.fixture(scope="module")
def place(programs, aws_process, tmp_path_factory):
    """A cluster whose proxy has an IPv6 address only, and the DNS server that its hosts and users ask."""
    directory = tmp_path_factory.mktemp("addresses")
    cluster = Cluster(programs, aws_process, directory / "cluster")
    cluster.config["proxy_service"]["web_listen_addr"] = "[::1]:0"
    with contextlib.ExitStack() as stack:
        cluster.dns = Dns.of_resolver(directory)
        stack.callback(cluster.dns.stop)
        stack.callback(cluster.stop)
        cluster.start()
        cluster.create(iam_token())
        yield cluster


def start_host(cluster, aws, name, address):
    host = cluster.host(name, env=aws.identity(f"arn:aws:sts::123456789012:assumed-role/{name}/i-0"), teleport={"proxy_server": address})
    host.inside = cluster.dns.inside
    return host.start()


def tsh(user, *args, stdin=""):
    command = [*user.cluster.dns.inside, program(user.cluster.build, "tsh"), *args]
    done = Result(subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True, timeout=TIMEOUT, env=user.env))
    assert done.code == 0, done.err
    return done.out


def test_the_longest_name_leads_to_a_proxy_with_ipv6_only(place, aws, tmp_path):
    assert len(LONGEST) == 253
    place.dns.move(LONGEST, "::1")
    port = split(place.proxy_addr)[1]
    host = start_host(place, aws, "web-1", f"{LONGEST}:{port}")
    host.wait_reachable()
    assert place.event("instance.join", success=True, node_name="web-1")["addr.remote"].startswith("[::1]:")
    words = place.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    alice = User(place, "alice", tmp_path / "alice").accept(invite_url(words))
    tsh(alice, "login", f"--proxy={LONGEST}:{port}", "--user=alice", "--insecure", stdin=f"{alice.password}\n{alice.otp()}\n")
    assert tsh(alice, "ssh", "root@web-1", "echo there") == "there\n"
    host.stop()


def test_a_family_that_does_not_answer_is_passed_over(place, aws):
    with one_port("127.0.0.1", "::1") as port, Forwarder(place.proxy_addr, port=port) as forwarder, silent("::1", port):
        place.dns.move("both.example.test", "::1", "127.0.0.1")
        host = start_host(place, aws, "web-2", f"both.example.test:{forwarder.port}")
        host.wait_reachable()
        assert forwarder.count >= 2
        host.stop()


def test_a_name_that_moves_is_followed(place, aws):
    """To the last of several addresses: the others are dead."""
    dead = ["::1", *(f"127.0.1.{n}" for n in range(1, 5))]
    with one_port("127.0.0.2", "127.0.0.3", *dead) as port, Forwarder(place.proxy_addr, "127.0.0.2", port) as first:
        place.dns.move("moving.example.test", "127.0.0.2")
        host = start_host(place, aws, "web-3", f"moving.example.test:{port}")
        host.wait_reachable()
        with Forwarder(place.proxy_addr, "127.0.0.3", port) as second:
            place.dns.move("moving.example.test", *dead, "127.0.0.3")
            host.process.mark()
            first.close()
            first.cut()
            host.process.wait_for("Reverse tunnel established")
            assert second.count >= 1
            host.stop()
