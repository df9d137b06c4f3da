# SPDX-License-Identifier: Apache-2.0
"""Whose name is whose: at the join, in certificates, on the way to a node; and who answers there."""
import base64
import json
import socket
import ssl
import subprocess
import threading

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from harness import ACCOUNT, iam_token, wait_until
from join_client import Identity, Keys, Peer, join, join_legacy, host_params, legacy_request, messages, prove, solution

DB_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/db/i-0fedcba9876543210"
MINE = "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"

Code = grpc.StatusCode


def certify(peer, role, keys=None, **names):
    """GenerateHostCerts: the identity, or the refusal."""
    keys = keys or Keys()
    tls, ssh = keys.public()
    api = messages().api
    try:
        answer = peer.call("/cteleport.v1.HostService/GenerateHostCerts",
                           api.HostCertsRequest(role=role, host_name="web-1", public_tls_key=tls, public_ssh_key=ssh, **names), api.HostCertsResponse)
    except grpc.RpcError as refusal:
        return refusal
    return Identity.of_join(keys, answer.certificates)


def refusal_of(peer, env, name, **params):
    stream = peer.join()
    try:
        challenge = stream.challenge(host_params(name, **params))
    except grpc.RpcError as refusal:
        return refusal.code()
    return stream.send(solution(prove(env, challenge))).refusal().code()


# ---- certificates ---------------------------------------------------------------------------------------------------

def test_only_a_node_gets_an_ssh_certificate(cluster, aws):
    cluster.create(iam_token(roles=("Node", "App", "Proxy")))
    env = aws.identity()
    with Peer(cluster) as peer:
        host_id, instance = join(peer, env)
        node = join_legacy(peer, env, host_id=MINE)
        proxy = join_legacy(peer, env, host_id=MINE, role="Proxy")
    assert instance.principals == proxy.principals == []
    assert set(node.principals) == {MINE, f"{MINE}.example.test", "web-1", "web-1.example.test"}
    with Peer(cluster, identity=instance) as host:
        assert certify(host, "Instance").principals == certify(host, "Proxy").principals == certify(host, "App").principals == []
        assert certify(host, "Proxy", dns_names=["db-1", "web-1.example.test"]).principals == []
        assert set(certify(host, "Node").principals) == {host_id, f"{host_id}.example.test", "web-1", "web-1.example.test"}
    for line in (cluster.data_dir / "ca/issued.log").read_text().splitlines():
        issued = json.loads(line)
        assert issued["kind"] != "ssh" or issued["role"] == "Node", issued


def test_what_a_host_asks_for_is_in_no_ssh_certificate(cluster, aws):
    cluster.create(iam_token())
    env = aws.identity()
    asked = ["WEB-1.Example.Test", "web-1", "127.0.0.1", "0.0.0.0"]
    with Peer(cluster) as peer:
        node = join_legacy(peer, env, host_id=MINE, AdditionalPrincipals=asked, DNSNames=asked)
    assert set(node.principals) == {MINE, f"{MINE}.example.test", "web-1", "web-1.example.test"}


def test_every_host_certificate_has_an_alternative_name(cluster, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    with Peer(cluster) as peer:
        host_id, instance = join(peer, aws.identity())
        assert join_legacy(peer, aws.identity(), host_id=MINE).sans == {MINE, f"{MINE}.example.test"}
    with Peer(cluster, identity=instance) as host:
        for role in ("Instance", "Node", "Proxy"):
            assert {host_id, f"{host_id}.example.test"} <= certify(host, role).sans


# ---- names ----------------------------------------------------------------------------------------------------------

SPELLINGS = ["web-7", "WEB-7", "web-7.example.test", "Web-7.Example.Test", "web-7.example.test.example.test"]


@pytest.mark.parametrize("first", SPELLINGS[:3])
def test_a_name_has_one_owner_in_every_spelling(cluster, aws, first):
    cluster.create(iam_token())
    web, db = aws.identity(), aws.identity(arn=DB_ARN)
    with Peer(cluster) as peer:
        _, owner = join(peer, web, name=first)
        for spelling in SPELLINGS:
            assert refusal_of(peer, db, spelling) == Code.ALREADY_EXISTS, spelling
            stream = peer.legacy()
            stream.send(legacy_request(prove(db, stream.receive().challenge), spelling))
            assert stream.refusal().code() == Code.ALREADY_EXISTS, spelling
        join(peer, web, name="WEB-7.example.test")  # the next machine of the group
    with Peer(cluster, identity=owner) as host:
        assert {"web-7", "web-7.example.test"} < set(certify(host, "Node").principals)


def test_the_id_of_a_host_is_nobodys_name(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        join_legacy(peer, aws.identity(), host_id=MINE)
        for name in (MINE, MINE.upper(), f"{MINE}.example.test", f"{MINE.upper()}.internal", f"{ACCOUNT}-I-0123456789ABCDEF0"):
            assert refusal_of(peer, aws.identity(arn=DB_ARN), name) == Code.PERMISSION_DENIED, name
        for principal in (MINE.upper(), f"{MINE}.EXAMPLE.test"):
            assert refusal_of(peer, aws.identity(arn=DB_ARN), "db-1", principals=[principal]) == Code.PERMISSION_DENIED
        join_legacy(peer, aws.identity(), name=f"{MINE}", host_id=MINE)  # its own


@pytest.mark.parametrize("name", ["localhost.example.test", "example.test.example.test", "teleport.cluster.local.example.test", "203.0.113.7.example.test"])
def test_the_long_form_of_a_reserved_name_is_reserved(cluster, aws, name):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        assert refusal_of(peer, aws.identity(), name) == Code.PERMISSION_DENIED


def test_a_node_is_reached_and_locked_in_every_spelling(access, alice, aws):
    node = access.join("Web-9", env=aws.identity(), ssh={"labels": {"env": "dev"}})
    node.wait_reachable()
    for spelling in ("web-9", "WEB-9", "Web-9", "web-9.", "wEB-9.Example.TEST", "web-9.example.test.", node.host_id, node.host_id.upper()):
        assert alice.tsh("ssh", f"root@{spelling}", "echo $SSH_TELEPORT_HOST_UUID").out.strip() == node.host_id, spelling
    for spelling in ("Web-9.example.test", "web-9.example.test", f"{node.host_id}.example.test"):
        assert alice.ssh(f"root@{spelling}", "echo $SSH_TELEPORT_HOST_UUID").out.strip() == node.host_id, spelling
    for target in ("--node=WEB-9.example.test", f"--server-id={node.host_id.upper()}"):
        lock = access.tctl("lock", target, "--message=closed").out
        assert "closed" in alice.tsh("ssh", "root@Web-9", "true", check=False).err, lock
        access.tctl("rm", "lock/" + access.json("get", "locks")[0]["metadata"]["name"])
    alice.tsh("ssh", "root@Web-9", "true")


# ---- who answers ----------------------------------------------------------------------------------------------------

def keygen(*args):
    subprocess.run(["ssh-keygen", "-q", *map(str, args)], check=True, capture_output=True)


class CapturedProxy:
    """Has the proxy's keys. Leads everybody to an sshd with the key of a host of its own choice, and says what it likes of it; what is for
    the Auth Service it cannot read, and passes it on."""

    def __init__(self, access, sshd, host_id, tmp_path):
        identity = json.loads((access.data_dir / "proc/ids/proxy.json").read_text())["spec"]
        pem = tmp_path / "proxy.pem"
        pem.write_text(identity["tls_key"] + ssl.DER_cert_to_PEM_cert(base64.b64decode(identity["tls_cert"])))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.context.set_alpn_protocols(["cteleport-ssh"])
        self.access, self.sshd, self.host_id = access, sshd, host_id
        self.led = 0  # connections to nodes
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        hello = client.recv(16384, socket.MSG_PEEK)
        try:
            if b"cteleport-ssh" in hello:
                self.lead_astray(self.context.wrap_socket(client, server_side=True))
            else:
                host, port = self.access.proxy_addr.rsplit(":", 1)
                self.splice(client, socket.create_connection((host, int(port))))
        except OSError:
            client.close()

    def lead_astray(self, tls):
        request = b""
        while b"\r\n\r\n" not in request:
            request += tls.recv(4096)
        self.led += 1
        ours, theirs = socket.socketpair()
        with subprocess.Popen(self.sshd, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as sshd:
            theirs.close()
            tls.sendall(f"HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: {self.host_id}\r\nX-Teleport-Connection: {MINE}\r\n\r\n".encode())
            self.splice(tls, ours)
            sshd.kill()

    @staticmethod
    def splice(a, b):
        def pump(source, sink):
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                pass
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        back = threading.Thread(target=pump, args=(b, a), daemon=True)
        back.start()
        pump(a, b)
        back.join()
        a.close()
        b.close()


def impostor(access, directory, host_id, names):
    """The command of an sshd that lets in alice and has a good certificate of the cluster for the ID and the names."""
    directory.mkdir()
    ca = load_pem_private_key((access.data_dir / "ca/host.ssh.key.pem").read_bytes(), None)
    (directory / "ca").touch(0o600)
    (directory / "ca").write_bytes(ca.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    keygen("-t", "ed25519", "-N", "", "-f", directory / "host")
    principals = [spelling for name in (host_id, *names) for spelling in (name, f"{name}.example.test")]
    keygen("-s", directory / "ca", "-h", "-I", host_id, "-n", ",".join(principals), "-V", "+1h", directory / "host.pub")
    user_ca = directory / "user_ca.pub"
    user_ca.write_text((access.web.data_dir / "proc/ssh/user_ca.pub").read_text())
    return ["/usr/sbin/sshd", "-i", "-f", "/dev/null", "-o", f"HostKey={directory}/host", "-o", f"HostCertificate={directory}/host-cert.pub",
            "-o", f"TrustedUserCAKeys={user_ca}", "-o", "PermitRootLogin=yes", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "Subsystem=sftp internal-sftp"]


def ways_in(alice, local):
    """Every way to web-1, with a word that shows that somebody was reached."""
    config = alice.ssh_config()
    plain = ["-F", str(config), "-o", "BatchMode=yes"]
    (local / "batch").write_text(f"get /etc/hostname {local}/got-sftp\n")
    return {
        "tsh ssh": lambda: alice.tsh("ssh", "root@web-1", "echo reached", check=False),
        "tsh ssh by labels": lambda: alice.tsh("ssh", "root@env=prod", "echo reached", check=False),
        "tsh scp": lambda: alice.tsh("scp", "root@web-1:/etc/hostname", local / "got-scp", check=False),
        "tsh sftp": lambda: alice.tsh("sftp", "-b", local / "batch", "root@web-1", check=False),
        "ssh": lambda: alice.ssh("-o", "BatchMode=yes", "root@web-1.example.test", "echo reached", check=False),
        "scp": lambda: alice.ssh("-o", "BatchMode=yes", "root@web-1.example.test:/etc/hostname", local / "got-plain", check=False, program_="scp"),
    }


@pytest.mark.parametrize("claimed", ["of the node", "its own"])
@pytest.mark.parametrize("names", [("web-2",), ("web-1",)], ids=["another node", "one of the same name"])
def test_a_captured_proxy_cannot_lead_to_another_node(access, alice, tmp_path, names, claimed):
    """Whatever certificate by the cluster's CA the other one has: the Auth Service says whose must be there."""
    other = "12345678-1234-4234-8234-123456789abc"
    sshd = impostor(access, tmp_path / "impostor", other, names)
    with CapturedProxy(access, sshd, access.web.host_id if claimed == "of the node" else other, tmp_path) as proxy:
        profile = alice.home / ".tsh" / f"{access.proxy_addr.rsplit(':', 1)[0]}.yaml"
        profile.write_text(profile.read_text().replace(access.proxy_addr, proxy.address))
        for way, go in ways_in(alice, tmp_path).items():
            before = proxy.led
            done = go()
            assert done.code != 0 and "reached" not in done.out, way
            assert proxy.led > before, f"{way} was not led astray: {done.err}"
            assert "Host key verification failed" in done.err or "not a listed principal" in done.err or "another host answers" in done.err, (way, done.err)
        assert not list(tmp_path.glob("got-*"))


def test_the_impostor_of_these_tests_would_be_let_in_with_the_right_id(access, alice, tmp_path):
    sshd = impostor(access, tmp_path / "impostor", access.web.host_id, ["web-1"])
    with CapturedProxy(access, sshd, access.web.host_id, tmp_path) as proxy:
        profile = alice.home / ".tsh" / f"{access.proxy_addr.rsplit(':', 1)[0]}.yaml"
        profile.write_text(profile.read_text().replace(access.proxy_addr, proxy.address))
        for way, go in ways_in(alice, tmp_path).items():
            done = go()
            assert done.code == 0, (way, done.err)
        assert proxy.led == 6
