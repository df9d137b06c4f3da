# SPDX-License-Identifier: Apache-2.0
"""Machines whose only way out is squid, plain or over TLS, or a SOCKS proxy: for agents, tsh and requests to AWS."""
import contextlib
import os
import pathlib
import pwd
import secrets
import socket
import socketserver
import subprocess
import tempfile
import threading

import pytest

from boxes import Place
from fake_auth import server_certificate
from harness import Process, iam_token, reserved_port, wait_until
from test_http_proxy import copy

NAME = "teleport.example.com"  # only squid knows its address
STS = "sts.us-east-1.amazonaws.com"

SQUID = """
http_port 127.0.0.1:{plain}
https_port 127.0.0.1:{tls} tls-cert={dir}/squid.pem
hosts_file {dir}/hosts
auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/passwords
acl user proxy_auth REQUIRED
http_access allow user
http_access deny all
cache deny all
access_log stdio:{dir}/access.log logformat=squid
cache_log {dir}/cache.log
pid_filename none
coredump_dir {dir}
pinger_enable off
shutdown_lifetime 0 seconds
"""


class Forwarder(socketserver.ThreadingTCPServer):
    """Listens on port 443 of an address of its own, where STS is found by name, and passes connections on to the stand-in."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, port):
        self.port = port
        self.host = ".".join(["127", *(str(1 + secrets.randbelow(250)) for _ in range(3))])
        super().__init__((self.host, 443), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
                threading.Thread(target=copy, args=(upstream, self.request), daemon=True).start()
                copy(self.request, upstream)


class Squid:
    """CONNECT for the user web with the password s@fe, without TLS and over TLS."""

    def __init__(self, directory, sts):
        self.dir = pathlib.Path(directory)
        key, chain = server_certificate("localhost")
        self.ca = chain[chain.rindex(b"-----BEGIN"):].decode()
        self.write("squid.pem", (key + chain).decode())
        self.write("hosts", f"127.0.0.1 {NAME} localhost\n{sts} {STS}\n")
        hashed = subprocess.run(["openssl", "passwd", "-apr1", "s@fe"], capture_output=True, text=True, check=True).stdout
        self.write("passwords", f"web:{hashed}")
        with reserved_port() as plain, reserved_port() as tls:
            self.plain, self.tls = plain.getsockname()[1], tls.getsockname()[1]
            self.write("squid.conf", SQUID.format(dir=self.dir, plain=self.plain, tls=self.tls))
            user = pwd.getpwnam("proxy")
            for path in (self.dir, *self.dir.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
            self.process = Process(["squid", "-N", "-f", self.dir / "squid.conf"], self.dir / "squid.log", {"PATH": os.environ["PATH"]})
            wait_until(lambda: listens(self.plain) and listens(self.tls), "squid listens")

    def write(self, name, text):
        (self.dir / name).write_text(text)

    def url(self, scheme, user="web:s%40fe@"):
        return f"{scheme}://{user}localhost:{self.tls if scheme == 'https' else self.plain}"

    def tunnels(self):
        """The tunnels that have ended: ["host:port"]."""
        return [line.split()[6] for line in (self.dir / "access.log").read_text().splitlines() if line.split()[3] == "TCP_TUNNEL/200"]


def listens(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port)):
        return True
    return False


@pytest.fixture(scope="module")
def sts(aws_process):
    with Forwarder(aws_process.sts_port) as forwarder:
        yield forwarder
        forwarder.shutdown()


@pytest.fixture(scope="module")
def squid(sts):
    with tempfile.TemporaryDirectory() as directory:
        squid = Squid(directory, sts.host)
        yield squid
        squid.process.stop()


def behind(cluster, aws, squid, scheme, tmp_path, **settings):
    """A host that verifies everything: the cluster by its pin, squid by its CA among the system's."""
    roots = tmp_path / "roots.pem"
    roots.write_text(squid.ca)
    port = cluster.proxy_addr.rsplit(":", 1)[1]
    return cluster.host("web-1", insecure=False, teleport={"proxy_server": f"{NAME}:{port}", "ca_pin": cluster.ca_pin},
                        env={**aws.identity(), "HTTPS_PROXY": squid.url(scheme), "SSL_CERT_FILE": str(roots), **settings})


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_agent_joins_and_serves_through_squid(shared, squid, aws_process, tmp_path, scheme):
    host = behind(shared, aws_process, squid, scheme, tmp_path).start()
    host.wait_reachable()
    target = host.config["teleport"]["proxy_server"]
    ended = squid.tunnels().count(target)
    host.stop()
    wait_until(lambda: squid.tunnels().count(target) >= ended + 2, "squid logs the tunnels of the connection to auth and of the reverse tunnel")


def test_an_untrusted_certificate_of_squid_is_refused_by_name(shared, squid, aws_process, tmp_path):
    empty = tmp_path / "none.pem"
    empty.write_text("")
    host = behind(shared, aws_process, squid, "https", tmp_path, SSL_CERT_FILE=str(empty), SSL_CERT_DIR="/nonexistent").start()
    host.process.wait_for(f"the HTTP proxy at localhost:{squid.tls} is not reached over TLS: .*certificate")


def test_a_wrong_password_for_squid_is_named(shared, squid, aws_process, tmp_path):
    host = behind(shared, aws_process, squid, "http", tmp_path, HTTPS_PROXY=squid.url("http", "web:wrong@")).start()
    host.process.wait_for(rf"the HTTP proxy at localhost:{squid.plain} gives no tunnel: it answered 407 .*the user or the password of HTTPS_PROXY is refused")
    assert "wrong" not in host.process.text()


def test_plain_http_to_the_tls_port_of_squid_is_named(shared, squid, aws_process, tmp_path):
    url = squid.url("https").replace(f":{squid.tls}", f":{squid.plain}")
    host = behind(shared, aws_process, squid, "https", tmp_path, HTTPS_PROXY=url).start()
    host.process.wait_for(f"the HTTP proxy at localhost:{squid.plain} is not reached over TLS")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tsh_logs_in_through_squid(shared, squid, invite, tmp_path, scheme):
    alice = invite(shared, f"alice-{scheme}")
    port = shared.proxy_addr.rsplit(":", 1)[1]
    env = {"HTTPS_PROXY": squid.url(scheme), "SSL_CERT_FILE": str(tmp_path / "roots.pem")}
    (tmp_path / "roots.pem").write_text(squid.ca)
    before = squid.tunnels().count(f"{NAME}:{port}")
    alice.tsh("login", f"--proxy={NAME}:{port}", f"--user={alice.name}", "--insecure", stdin=f"{alice.password}\n{alice.otp()}\n", env=env)
    alice.tsh("ls", env=env)
    wait_until(lambda: squid.tunnels().count(f"{NAME}:{port}") > before, "squid logs the tunnels of tsh")


def test_a_load_balancer_that_ends_tls_is_reached_through_squid(squid, programs, aws_process, tmp_path):
    """HAProxy with the guide's file; the agent uses squid over TLS, tsh without."""
    with contextlib.ExitStack() as stack:
        place = Place(stack, "haproxy", programs, aws_process, tmp_path / "place", name=NAME)
        roots = tmp_path / "roots.pem"
        roots.write_text(place.box.ca.read_text() + squid.ca)
        place.trust = {"SSL_CERT_FILE": str(roots), "HTTPS_PROXY": squid.url("https")}
        host = place.host(ca_pin=place.cluster.ca_pin).start()
        host.wait_reachable()
        place.trust["HTTPS_PROXY"] = squid.url("http")
        assert place.user().tsh("ssh", "root@web-1", "echo through").out == "through\n"
        place.cluster.stop()
        wait_until(lambda: squid.tunnels().count(place.box.addr) >= 4, "squid logs the tunnels of the host, of the login and of the session")


# ---- requests to AWS ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def socks_proxy(sts, tmp_path):
    """microsocks, which finds STS by a hosts file of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{sts.host} {STS}\n127.0.0.1 localhost\n")
    with reserved_port() as held:
        port = held.getsockname()[1]
        run = f"mount --bind {hosts} /etc/hosts && exec microsocks -i 127.0.0.1 -p {port}"
        process = Process(["unshare", "--mount", "sh", "-c", run], tmp_path / "socks.log")
        wait_until(lambda: listens(port), "microsocks listens")
        yield f"socks5h://127.0.0.1:{port}", process
        process.popen.kill()
        process.popen.wait()
        process.log.close()


def joins_with_sts_through(make_cluster, aws, squid, tmp_path, url):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(pathlib.Path(aws.ca).read_text() + squid.ca)
    cluster = make_cluster(auth={"aws": {}}, env={"HTTPS_PROXY": url, "AWS_CA_BUNDLE": str(bundle)})
    cluster.create(iam_token())
    cluster.host("web-1", env=aws.identity()).start().wait_joined()
    cluster.stop()  # squid logs a tunnel when it ends


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_auth_asks_sts_through_squid(make_cluster, aws, squid, tmp_path, scheme):
    before = squid.tunnels().count(f"{STS}:443")
    joins_with_sts_through(make_cluster, aws, squid, tmp_path, squid.url(scheme))
    wait_until(lambda: squid.tunnels().count(f"{STS}:443") > before, "squid logs the tunnel to STS")


def test_auth_asks_sts_through_a_socks_proxy(make_cluster, aws, squid, sts, tmp_path):
    with socks_proxy(sts, tmp_path) as (url, process):
        joins_with_sts_through(make_cluster, aws, squid, tmp_path, url)
        process.wait_for(f"connected to {STS}:443")
