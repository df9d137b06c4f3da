# SPDX-License-Identifier: Apache-2.0
"""The certificates of https_keypairs: chosen by name, replaced while the proxy serves, refused when they are wrong."""
import datetime
import signal
import socket
import ssl
import subprocess

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from harness import TIMEOUT, Cluster, clean_env, iam_token, program
from test_http_proxy import HttpProxy

PING = b"GET /webapi/ping HTTP/1.1\r\nHost: a.example.test\r\n\r\n"


class Pair:
    """The files of a certificate and its key."""

    def __init__(self, directory, name):
        self.cert, self.key = directory / f"{name}.pem", directory / f"{name}.key"

    def config(self):
        return {"cert_file": str(self.cert), "key_file": str(self.key)}

    def write(self, *names, begin=-1, end=1):
        """A new pair for these names, valid between these days from now; returns the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web")])
        cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now + datetime.timedelta(days=begin)).not_valid_after(now + datetime.timedelta(days=end))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False).sign(key, hashes.SHA256()))
        self.key.touch(mode=0o600)
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.cert.write_bytes(cert.public_bytes(Encoding.PEM))
        return cert


def connect(address, name, context=None):
    """A TLS connection; without a context any certificate is accepted."""
    host, _, port = address.rpartition(":")
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(socket.create_connection((host, int(port)), TIMEOUT), server_hostname=name)


def shown(cluster, name):
    """The certificate that the proxy shows to a client that asks for this name."""
    with connect(cluster.proxy_addr, name) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True))


def ping(tls):
    """A request on an open connection; the connection stays open."""
    def more():
        received = tls.recv(4096)
        assert received, "the connection was closed"
        return received

    tls.sendall(PING)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += more()
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")).split(b":")[1])
    while len(body) < length:
        body += more()
    return head.split(b"\r\n")[0]


class Pairs:
    """A running cluster with a pair for a.example.test, its public name, and one for *.apps.example.test."""

    def __init__(self, build, aws, directory):
        self.a, self.apps = Pair(directory, "a"), Pair(directory, "apps")
        self.reset()
        self.cluster = Cluster(build, aws, directory / "cluster")
        self.cluster.config["proxy_service"].update(public_addr="a.example.test:443", https_keypairs=[self.a.config(), self.apps.config()])
        self.cluster.start()
        self.cluster.create(iam_token())

    def reset(self):
        self.a_cert = self.a.write("a.example.test", "b.example.test")
        self.apps_cert = self.apps.write("*.apps.example.test", "b.example.test")

    def hang_up(self, pattern):
        self.cluster.process.mark()
        self.cluster.process.popen.send_signal(signal.SIGHUP)
        return self.cluster.process.wait_for(pattern)


LOADED = "The web certificates were reloaded"
REFUSED = "a web certificate stays as it was.*"


@pytest.fixture(scope="module")
def running(build, aws_process, tmp_path_factory):
    pairs = Pairs(build, aws_process, tmp_path_factory.mktemp("pairs"))
    yield pairs
    pairs.cluster.stop()


@pytest.fixture
def pairs(running):
    """Both pairs are new ones and in force."""
    running.reset()
    running.hang_up(LOADED)
    return running


@pytest.mark.parametrize("name, which", [
    ("a.example.test", "a"), ("A.Example.Test", "a"), ("x.apps.example.test", "apps"),
    ("b.example.test", "a"),  # both have it: the first in the list
    ("apps.example.test", "a"), ("unknown.test", "a"), (None, "a"),
])
def test_the_name_chooses_the_pair(pairs, name, which):
    assert shown(pairs.cluster, name) == (pairs.a_cert if which == "a" else pairs.apps_cert)


def test_new_files_replace_a_pair_under_open_connections(pairs, aws):
    with HttpProxy(pairs.cluster.proxy_addr) as names:  # leads from the public name to the proxy
        replace_under_open_connections(pairs, pairs.cluster.join(env={**aws.identity(), "HTTPS_PROXY": f"http://{names.address}"}))
        names.shutdown()


def replace_under_open_connections(pairs, host):
    host.wait_reachable()
    tunnels = host.process.text().count("Reverse tunnel established")
    with connect(pairs.cluster.proxy_addr, "a.example.test") as tls:
        assert ping(tls) == b"HTTP/1.1 200 OK"
        new = pairs.a.write("a.example.test")
        pairs.hang_up(LOADED)
        assert ping(tls) == b"HTTP/1.1 200 OK"
        assert x509.load_der_x509_certificate(tls.getpeercert(True)) == pairs.a_cert
    assert shown(pairs.cluster, "a.example.test") == new
    assert shown(pairs.cluster, "x.apps.example.test") == pairs.apps_cert
    assert host.process.text().count("Reverse tunnel established") == tunnels
    assert "A reverse tunnel is lost" not in host.process.text()
    host.stop()


def half_written(pair):
    text = pair.cert.read_text()
    pair.cert.write_text(text[:len(text) // 2])


# What is done to the files of the pair for a.example.test, and the reason that is logged; {} is its path without the ending.
WRONG = {
    "mismatch": (lambda pair, other: pair.key.write_bytes(other.key.read_bytes()), "{}.pem with {}.key: the private key and the certificate are not a pair"),
    "expired": (lambda pair, other: pair.write("a.example.test", begin=-2, end=-1), "{}.pem has expired on 20"),
    "future": (lambda pair, other: pair.write("a.example.test", begin=1, end=2), "{}.pem is not valid before 20"),
    "wrong name": (lambda pair, other: pair.write("z.example.test"), "no certificate is for 'a.example.test' of proxy_service.public_addr: {}.pem is for z.example.test"),
    "half-written": (lambda pair, other: half_written(pair), "{}.pem with {}.key: a certificate cannot be read"),
    "empty key": (lambda pair, other: pair.key.write_text(""), "{}.pem with {}.key: the private key cannot be read"),
    "absent": (lambda pair, other: pair.cert.unlink(), "cannot open {}.pem: No such file or directory"),
    "open key": (lambda pair, other: pair.key.chmod(0o644), "{}.key has mode 0644"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_new_pair_is_refused_and_the_old_serves(pairs, case):
    spoil, reason = WRONG[case]
    spoil(pairs.a, pairs.apps)
    try:
        line = pairs.hang_up(REFUSED).group(0)
        assert f"https_keypairs: {reason.format(*[pairs.a.cert.with_suffix('')] * 2)}" in line, line
        assert shown(pairs.cluster, "a.example.test") == pairs.a_cert
    finally:
        pairs.a.key.unlink(missing_ok=True)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_pair_stops_start_and_configure_test(build, tmp_path, case):
    spoil, reason = WRONG[case]
    pair, other = Pair(tmp_path, "a"), Pair(tmp_path, "other")
    pair.write("a.example.test")
    other.write("other.example.test")
    path = tmp_path / "teleport.yaml"
    path.write_text(yaml.safe_dump({
        "version": "v3", "teleport": {"nodename": "a", "data_dir": str(tmp_path / "data")}, "ssh_service": {"enabled": False},
        "auth_service": {"enabled": True, "listen_addr": "127.0.0.1:0"},
        "proxy_service": {"web_listen_addr": "127.0.0.1:0", "public_addr": "a.example.test", "https_keypairs": [pair.config()]}}))

    def run(*args):
        return subprocess.run([program(build, "teleport"), *args], capture_output=True, text=True, timeout=TIMEOUT, check=False, env=clean_env())

    assert run("configure", "--test", str(path)).returncode == 0
    assert not (tmp_path / "data").exists()
    spoil(pair, other)
    for done in (run("configure", "--test", str(path)), run("start", "-c", str(path))):
        assert done.returncode == 1 and f"ERROR: https_keypairs: {reason.format(*[tmp_path / 'a'] * 2)}" in done.stderr, done.stderr
        assert "\nhint:  " in done.stderr


def test_changed_files_are_noticed_at_the_interval(build, aws, tmp_path):
    pair = Pair(tmp_path, "a")
    pair.write("a.example.test")
    cluster = Cluster(build, aws, tmp_path / "cluster")
    cluster.config["proxy_service"].update(https_keypairs=[pair.config()], https_keypairs_reload_interval="1s")
    cluster.start()
    try:
        pair.key.write_text("")  # as a program that writes one file after the other leaves them for a moment
        cluster.process.wait_for(REFUSED)
        new = pair.write("a.example.test")
        cluster.process.wait_for(LOADED)
        assert shown(cluster, "a.example.test") == new
    finally:
        cluster.stop()
