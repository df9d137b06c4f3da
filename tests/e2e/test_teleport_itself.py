# SPDX-License-Identifier: Apache-2.0
"""Agents, tsh and tctl of Teleport itself at our cluster, and our programs at a cluster of Teleport: both report it with a hint.

No Teleport runs here. The tests imitate its traffic: the protocols (ALPN), paths and gRPC methods that it requests, the SSH
inside its tunnels (by OpenSSH's client), the answer of its /webapi/ping, and certificates of the form of its own.
"""
import contextlib
import datetime
import http.server
import json
import shlex
import ssl
import subprocess
import threading

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from fake_auth import Certifier, FakeAuth, pem, server_certificate
from harness import TIMEOUT, Result, clean_env, iam_token, program
from join_client import Peer
from users import browse

OURS = "this is a cluster of cteleport, and the agents, tsh and tctl of Teleport itself do not work with it"
ADVICE = "use the teleport, tsh and tctl of cteleport"
CLUSTER, HOST_ID = "theirs.example.com", "2c5a4b0e-93a2-4a3a-8d0a-3a5b1ed2f4aa"

# As in docs/protocols/join.md; field by field as a proxy of Teleport 16 sends it.
PING = {
    "auth": {"type": "local", "second_factor": "otp", "preferred_local_mfa": "otp", "allow_passwordless": False, "local": {"name": ""},
             "private_key_policy": "none", "device_trust": {}, "has_motd": False},
    "proxy": {"kube": {"enabled": True, "listen_addr": "0.0.0.0:3026"},
              "ssh": {"listen_addr": "0.0.0.0:3023", "tunnel_listen_addr": "0.0.0.0:3024", "web_listen_addr": "0.0.0.0:3080",
                      "public_addr": "theirs.example.com:443"},
              "db": {}, "tls_routing_enabled": True},
    "server_version": "16.4.2", "min_client_version": "15.0.0-aa", "cluster_name": CLUSTER, "automatic_upgrades": False, "edition": "oss",
}


# ---- our cluster ------------------------------------------------------------------------------------------------


def curl(url, data):
    """(status, body) of a GET, or of a POST of this JSON."""
    post = ["--json", data] if data else ["-H", "Upgrade: websocket", "-H", "Connection: Upgrade"]
    done = subprocess.run(["curl", "--http1.1", "-sk", "-w", "\n%{http_code}", *post, url], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), body


def grpc_refusal(cluster, via, method):
    with Peer(cluster, via) as peer, pytest.raises(grpc.RpcError) as refused:
        peer.channel.unary_unary(method)(b"", timeout=TIMEOUT)
    return refused.value


def ssh_says(*args):
    """The output of OpenSSH's client when the connection ends at the exchange of versions."""
    done = subprocess.run(["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null", *args, "host", "true"],
                          capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(), check=False)
    assert done.returncode == 255
    return done.stderr


def test_teleports_programs_learn_that_this_is_another_cluster(cluster):
    proxy = cluster.proxy_addr
    ping = json.loads(browse(f"https://{proxy}/webapi/ping").text)
    assert ping["implementation"] == "cteleport" and ping["auth"]["has_motd"] is True
    assert OURS in json.loads(browse(f"https://{proxy}/webapi/motd").text)["Text"]  # tsh shows it before the password prompt
    login = json.dumps({"user": "alice", "pass": "x"})
    for path, data in (("/webapi/mfa/login/begin", login), ("/v1/webapi/ssh/certs", login), ("/webapi/sites/example.test/nodes", None),
                       ("/webapi/host/credentials", login), ("/v2/domain", None), ("/scripts/abc/install-node.sh", None)):
        status, answer = curl(f"https://{proxy}{path}", data)
        said = json.loads(answer)["error"]["message"]
        assert status == 404 and said.startswith(OURS) and ADVICE in said, path
    for via, method in (("proxy", "/proto.AuthService/Ping"), ("auth", "/proto.AuthService/Ping"),
                        ("auth", "/teleport.presence.v1.PresenceService/ListReverseTunnels"), ("proxy", "/teleport.transport.v1.TransportService/ProxySSH")):
        refused = grpc_refusal(cluster, via, method)
        assert refused.code() == grpc.StatusCode.UNIMPLEMENTED and OURS in refused.details() and ADVICE in refused.details()
    # Agents treat a proxy that does not offer the protocol of their tunnel as a load balancer, and try an upgrade.
    for protocol in ("teleport-reversetunnel", "teleport-reversetunnelv2", "teleport-proxy-ssh"):
        tunnel = shlex.join(["openssl", "s_client", "-quiet", "-alpn", protocol, "-connect", proxy])
        said = ssh_says("-o", f"ProxyCommand={tunnel} 2>/dev/null")
        assert OURS in said and ADVICE in said, protocol
    host, port = proxy.rsplit(":", 1)
    said = ssh_says("-o", f"HostName={host}", "-p", port)  # agents of old, without TLS
    assert OURS in said and ADVICE in said


# ---- our programs -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def web_server(directory, answers):
    """A proxy's web port with these JSON answers by path; yields its address and the requested paths."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            asked.append((self.command, self.path))
            body = json.dumps(answers[self.path]).encode() if self.path in answers else b'{"error":{"message":"not found"}}'
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    key, chain = server_certificate("localhost")
    (directory / "web.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1", "h2"])
    context.load_cert_chain(directory / "web.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_tsh_asks_for_no_password_at_a_cluster_of_teleport(build, tmp_path):
    with web_server(tmp_path, {"/webapi/ping": PING}) as (address, asked):
        done = Result(subprocess.run([program(build, "tsh"), "login", f"--proxy={address}", "--user=alice", "--insecure"], input="secret\n123456\n",
                                     capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(HOME=tmp_path), check=False))
    assert done.code == 1
    assert f"the server belongs to a cluster of Teleport itself, with which the programs of cteleport do not work: {address}" in done.err
    assert "use the teleport, tsh and tctl of that cluster" in done.err
    assert "Enter password" not in done.out + done.err
    assert asked == [("GET", "/webapi/ping")]


def name(*pairs):
    """As Go writes it: PrintableString."""
    return x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(oid, value, _type=_ASN1Type.PrintableString)]) for oid, value in pairs])


class TheirCa:
    """The host CA of a cluster of Teleport, and certificates as it gives them to hosts."""

    def __init__(self, is_rsa=True):
        self.is_rsa = is_rsa
        self.key = self.make_key()
        self.name = name((NameOID.ORGANIZATION_NAME, CLUSTER), (NameOID.COMMON_NAME, CLUSTER), (NameOID.SERIAL_NUMBER, "17"))
        self.certificate = self.issue(self.name, self.key.public_key(), [(x509.BasicConstraints(ca=True, path_length=None), True)])

    def make_key(self):
        return rsa.generate_private_key(65537, 2048) if self.is_rsa else ec.generate_private_key(ec.SECP256R1())

    def issue(self, subject, key, extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=1))
                   .not_valid_after(now + datetime.timedelta(days=3650)))
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, hashes.SHA256())

    def host(self, key, role):
        subject = name((NameOID.ORGANIZATION_NAME, role), (NameOID.POSTAL_CODE, "null"), (NameOID.COMMON_NAME, f"{HOST_ID}.{CLUSTER}"),
                       (ObjectIdentifier("1.3.9999.1.7"), CLUSTER), (ObjectIdentifier("1.3.9999.2.11"), "Node"))
        usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([x509.DNSName(HOST_ID), x509.DNSName("teleport.cluster.local"), x509.DNSName("*.teleport.cluster.local")])
        return self.issue(subject, key, [(usage, True), (uses, False), (x509.BasicConstraints(ca=False, path_length=None), True), (names, False)])


@pytest.mark.parametrize("is_rsa", [True, False], ids=["rsa", "ecdsa"])
def test_an_agent_reports_a_cluster_of_teleport(cluster, aws, is_rsa):
    cluster.create(iam_token())
    ca = TheirCa(is_rsa)

    def as_theirs(certificates):
        ours = x509.load_der_x509_certificate(certificates.tls_cert)
        certificates.tls_cert = ca.host(ours.public_key(), "Instance").public_bytes(Encoding.DER)
        certificates.tls_ca_certs[:] = [ca.certificate.public_bytes(Encoding.DER)]

    with Certifier(cluster, aws.identity(), as_theirs) as theirs:
        host = cluster.host(env=aws.identity(), teleport={"proxy_server": theirs.addr}).start()
        said = host.process.wait_for(r"Can not join the cluster.*").group(0)
    assert "the certificate is one of a cluster of Teleport itself, with which the programs of cteleport do not work" in said
    assert "use the teleport, tsh and tctl of that cluster there" in said
    assert "malformed" not in said.split("cause")[0]


@pytest.mark.parametrize("with_ca", [True, False], ids=["with its CA", "alone"])
def test_a_right_pin_of_teleports_ca_is_not_called_wrong(cluster, aws, with_ca):
    ca = TheirCa()
    key = ca.make_key()
    chain = pem(ca.host(key.public_key(), "Auth")) + (pem(ca.certificate) if with_ca else b"")
    spki = ca.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    with FakeAuth(pem(key), chain) as theirs:
        host = cluster.host(env=aws.identity(), via="auth", teleport={"auth_server": theirs.addr, "ca_pin": "sha256:" + digest.finalize().hex()}).start()
        said = host.process.wait_for(r"Can not join the cluster.*").group(0)
    assert "the certificate is one of a cluster of Teleport itself" in said
    assert "ca_pin names" not in said.split("cause")[0]
