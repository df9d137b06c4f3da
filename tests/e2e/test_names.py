# SPDX-License-Identifier: Apache-2.0
"""The owner of each name: at the join, in certificates, at a connection to a node; and the host that answers there."""
import base64
import datetime
import json
import signal
import socket
import ssl
import subprocess

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from harness import ACCOUNT, iam_token, wait_until
from join_client import Identity, Keys, Peer, generate_host_certs as certify, join, join_legacy, host_params, legacy_request, messages, prove, solution, split, tls_connect
from tcp_server import TcpServer, splice

DB_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/db/i-0fedcba9876543210"
MINE = "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"

Code = grpc.StatusCode


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


def test_names_a_host_requests_are_in_no_ssh_certificate(cluster, aws):
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


def test_a_host_id_cannot_be_taken_as_a_name(cluster, aws):
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


@pytest.mark.parametrize("name, hosts", [("cluster.local", ("teleport", "{hex}.teleport")), ("local", ("teleport.cluster", "{hex}.teleport.cluster"))])
def test_inner_names_that_end_in_the_clusters_are_reserved(make_cluster, aws, name, hosts):
    cluster = make_cluster(auth={"cluster_name": name})
    cluster.create(iam_token())
    env = aws.identity()
    with Peer(cluster) as peer:
        for short in hosts:
            short = short.format(hex=name.encode().hex())
            for spelling in (short, short.title(), f"{short}.{name}", f"{short}.{name}.{name}"):
                assert refusal_of(peer, env, spelling) == Code.PERMISSION_DENIED, spelling
            stream = peer.legacy()
            stream.send(legacy_request(prove(env, stream.receive().challenge), short))
            assert stream.refusal().code() == Code.PERMISSION_DENIED, short
        join(peer, env, name="teleport-1")


def test_an_address_in_any_spelling_is_no_host_name(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        for name in ("127.1", "0x7f000001", "2130706433", "10.1.example.test", "203.0.113.07", "web.localhost", "a" * 245):
            assert refusal_of(peer, aws.identity(), name) in (Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT), name
        keys, stream = Keys(), peer.join()
        challenge = stream.challenge(host_params("web-1", keys, principals=["::ffff:127.0.0.1", "0:0::1"]))
        certificates = stream.send(solution(prove(aws.identity(), challenge))).result().certificates
        assert len(Identity.of_join(keys, certificates).sans) == 2, "loopback addresses are asked for out of habit, and left out"


def test_a_node_is_reached_and_locked_in_every_spelling(access, alice, aws):
    node = access.join("Web-9", env=aws.identity(), ssh={"labels": {"env": "dev"}})
    node.wait_reachable()
    for spelling in ("web-9", "WEB-9", "Web-9", "web-9.", "wEB-9.Example.TEST", "web-9.example.test.", node.host_id, node.host_id.upper()):
        assert alice.tsh("ssh", f"root@{spelling}", "echo $SSH_TELEPORT_HOST_UUID").out.strip() == node.host_id, spelling
    for spelling in ("Web-9.example.test", "web-9.example.test", f"{node.host_id}.example.test"):
        assert alice.ssh(f"root@{spelling}", "echo $SSH_TELEPORT_HOST_UUID").out.strip() == node.host_id, spelling
    for spelling in ("web-9", "WEB-9.", node.host_id.upper()):
        assert [n["metadata"]["name"] for n in access.json("get", f"node/{spelling}")] == [node.host_id]
    for target in ("--node=WEB-9.example.test", f"--server-id={node.host_id.upper()}"):
        lock = access.tctl("lock", target, "--message=closed").out
        assert "closed" in alice.tsh("ssh", "root@Web-9", "true", check=False).err, lock
        access.tctl("rm", "lock/" + access.json("get", "locks")[0]["metadata"]["name"])
    alice.tsh("ssh", "root@Web-9", "true")


# ---- names of the cluster's own servers --------------------------------------------------------------------------------

PROXY_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/proxy/i-0aaaaaaaaaaaaaaaa"


def with_public_names(cluster):
    cluster.config["proxy_service"]["public_addr"] = ["teleport.corp.test:443", "Example.Test:443", "203.0.113.7:443"]
    cluster.config["auth_service"]["public_addr"] = ["auth.corp.test:3025"]
    cluster.restart()
    cluster.process.wait_for(r"Host certificate issued[^\n]*Proxy")


def given_proxy(cluster, aws, arn=PROXY_ARN, name="proxy-1"):
    """The Instance identity of a host that may be a proxy."""
    token = "proxies-" + arn.split("/")[1]
    cluster.create(iam_token(token, arn=arn.rsplit("/", 1)[0] + "/*", roles=("Proxy",)))
    with Peer(cluster) as peer:
        return join(peer, aws.identity(arn=arn), name=name, token=token)


def test_public_names_of_the_cluster_are_given_to_no_host(cluster, aws):
    cluster.create(iam_token())
    with_public_names(cluster)
    env = aws.identity()
    names = ["teleport.corp.test", "TELEPORT.Corp.test", "teleport.corp.test.example.test", "grafana.teleport.corp.test", "a.b.Teleport.corp.test",
             "auth.corp.test", "Auth.corp.test.Example.test", "auth-1", "AUTH-1.example.test"]
    with Peer(cluster) as peer:
        for name in names:
            assert refusal_of(peer, env, name) in (Code.PERMISSION_DENIED, Code.ALREADY_EXISTS), name
            stream = peer.legacy()
            stream.send(legacy_request(prove(env, stream.receive().challenge), name))
            assert stream.refusal().code() in (Code.PERMISSION_DENIED, Code.ALREADY_EXISTS), name
        node = join_legacy(peer, env, name="grafana", host_id=MINE, DNSNames=["grafana", "grafana.example.test"])
        assert node.sans == {MINE, f"{MINE}.example.test", "grafana"}, "what lies below the proxy's name may be an application's"
        for name in ("corp.test", "teleport.corp.test.evil.test", "xteleport.corp.test"):
            join(peer, env, name=name)
    _, proxy = given_proxy(cluster, aws)
    with Peer(cluster, identity=proxy) as host:
        for name in ("teleport.corp.test", "auth.corp.test", "auth-1", "AUTH-1.example.test"):
            assert certify(host, "Proxy", dns_names=[name]).code() == Code.PERMISSION_DENIED, name
        assert "eu.teleport.corp.test" in certify(host, "Proxy", dns_names=["eu.teleport.corp.test"]).sans


def test_a_proxy_may_be_reached_by_the_clusters_name(cluster, aws):
    _, proxy = given_proxy(cluster, aws)
    _, other = given_proxy(cluster, aws, arn=DB_ARN, name="proxy-2")
    with Peer(cluster, identity=proxy) as host, Peer(cluster, identity=other) as unrelated:
        assert {"eu.corp.test", "example.test"} & certify(host, "Proxy", dns_names=["Example.Test", "eu.corp.test"]).sans == {"eu.corp.test"}
        for spelling in ("example.test", "EXAMPLE.test"):
            refusal = certify(unrelated, "Proxy", dns_names=[spelling])
            assert refusal.code() == Code.PERMISSION_DENIED and "public name" in refusal.details(), spelling
        for name in ("localhost", "teleport.cluster.local", "example.test.example.test.teleport.cluster.local"):
            assert certify(host, "Proxy", dns_names=[name]).code() == Code.PERMISSION_DENIED, name


def test_a_proxys_names_are_its_own_until_it_is_removed(cluster, aws):
    cluster.create(iam_token())
    proxy_id, proxy = given_proxy(cluster, aws)
    _, second = given_proxy(cluster, aws, name="proxy-2")
    _, other = given_proxy(cluster, aws, arn=DB_ARN, name="proxy-3")
    with Peer(cluster, identity=proxy) as host, Peer(cluster, identity=second) as sharing, Peer(cluster, identity=other) as unrelated:
        addresses = {"203.0.113.7", "2001:db8::7"}
        assert {"eu.corp.test", *addresses} < certify(host, "Proxy", dns_names=["eu.corp.test", *addresses]).sans
        for spelling in ("EU.corp.test", "2001:DB8:0::7", "::ffff:203.0.113.7", "203.0.113.07"):
            refusal = certify(unrelated, "Proxy", dns_names=[spelling])
            assert refusal.code() == Code.PERMISSION_DENIED and "public name" in refusal.details(), spelling
        assert "eu.corp.test" in certify(sharing, "Proxy", dns_names=["eu.corp.test"]).sans, "several proxies of one group have one address"
    cluster.restart()
    with Peer(cluster) as peer:
        for name in ("eu.corp.test", "x.eu.corp.test"):
            assert refusal_of(peer, aws.identity(), name) == Code.PERMISSION_DENIED
        for node in (proxy_id.upper(), id_of(second)):
            cluster.tctl("rm", f"node/{node}")
        join(peer, aws.identity(), name="eu.corp.test")


@pytest.mark.parametrize("name", ["portal.corp.test", "grafana.portal.corp.test"])
def test_a_wide_public_name_gives_nothing_of_a_narrower_one(cluster, aws, name):
    """A host that had the name, or one below it, requests the name above, to have it again."""
    cluster.create(iam_token("both", arn=DB_ARN, roles=("Node", "Proxy")))
    with Peer(cluster) as peer:
        host_id, first = join(peer, aws.identity(arn=DB_ARN), name=name, token="both")
    _, proxy = given_proxy(cluster, aws)
    with Peer(cluster, identity=first) as host, Peer(cluster, identity=proxy) as owner:
        assert "portal.corp.test" in certify(owner, "Proxy", dns_names=["portal.corp.test"]).sans
        assert "corp.test" in certify(host, "Proxy", dns_names=["corp.test"]).sans
        node = certify(host, "Node", dns_names=[name])
        assert set(node.principals) == {host_id, f"{host_id}.example.test"} and name not in node.sans
        assert name not in certify(host, "Instance", dns_names=[name]).sans


def id_of(identity):
    return identity.names["CN"][0].split(".")[0]


def test_a_host_with_a_proxys_later_name_keeps_its_id(access, alice, aws):
    """The proxy has the name from then on; the host stays a member, and gets a warning."""
    node = access.join("web-2", env=aws.identity(), ssh={"labels": {"env": "dev"}})
    node.wait_reachable()
    assert alice.tsh("ssh", "root@web-2", "echo in").out == "in\n"
    with Peer(access) as peer:
        _, instance = join(peer, aws.identity(), name="web-2")
    _, proxy = given_proxy(access, aws)
    with Peer(access, identity=proxy) as host:
        assert "web-2.example.test" in certify(host, "Proxy", dns_names=["web-2.example.test"]).sans
    assert access.process.wait_for("is known by its ID only from now on")
    with Peer(access, identity=instance) as host:
        own = id_of(instance)
        assert certify(host, "Instance").names["O"] == ["Instance"]
        assert set(certify(host, "Node", dns_names=["web-2"]).principals) == {own, f"{own}.example.test"}
        assert "web-2" not in certify(host, "Node", dns_names=["web-2"]).sans
    assert "no node 'web-2'" in alice.tsh("ssh", "root@web-2", "echo in", check=False).err
    assert alice.tsh("ssh", f"root@{node.host_id}", "echo in").out == "in\n"
    node.stop()
    node.start()
    node.process.wait_for("is a public name of the cluster: this host is known by its ID")


# ---- keys of the cluster's own servers ----------------------------------------------------------------------------------

class Public:
    """A public key as Keys holds private ones."""

    def __init__(self, key):
        self.key = key

    def public_key(self):
        return self.key


def refused_for_hosts(peer, host, env, keys, roles, whose):
    """Neither join service accepts the keys, nor does a request for a role of `host`."""
    stream = peer.join()
    try:
        challenge = stream.challenge(host_params("web-1", keys))
        code = stream.send(solution(prove(env, challenge))).refusal().code()
    except grpc.RpcError as refusal:
        code = refusal.code()
    assert code == Code.PERMISSION_DENIED, whose
    stream = peer.legacy()
    stream.send(legacy_request(prove(env, stream.receive().challenge), keys=keys))
    assert stream.refusal().code() == Code.PERMISSION_DENIED, whose
    for role in roles:
        assert certify(host, role, keys).code() == Code.PERMISSION_DENIED, (whose, role)


def test_keys_of_the_clusters_servers_are_never_certified(cluster, aws):
    cluster.create(iam_token(roles=("Node", "App")))
    env = aws.identity()
    _, proxy = given_proxy(cluster, aws)
    proxy_keys = Keys()
    with Peer(cluster, identity=proxy) as host:
        proxy_identity = certify(host, "Proxy", proxy_keys)
    own = [x509.load_der_x509_certificate(tls_connect(address).getpeercert(True)).public_key() for address in (cluster.auth_addr, cluster.proxy_addr)]
    with Peer(cluster) as peer:
        ca = x509.load_pem_x509_certificate(peer.ca).public_key()
        _, instance = join(peer, env)
    cluster.restart()
    own[0] = x509.load_der_x509_certificate(tls_connect(cluster.auth_addr).getpeercert(True)).public_key()
    api = messages().api
    with Peer(cluster) as peer, Peer(cluster, identity=instance) as host, Peer(cluster, identity=proxy_identity) as proxied:
        for whose, key in (("auth", own[0]), ("proxy", own[1]), ("remote proxy", proxy_keys.tls.public_key()), ("CA", ca)):
            tls, ssh = Keys(tls=Public(key)), Keys(ssh=Public(key))
            for keys in (tls, ssh):
                refused_for_hosts(peer, host, env, keys, ("Instance", "Node", "App"), whose)
            if whose == "CA":
                continue  # the signer's to refuse, when password and code are right
            for public in (tls.public(), ssh.public()):
                with pytest.raises(grpc.RpcError) as refusal:
                    proxied.call("/cteleport.v1.LoginService/Login",
                                 api.LoginRequest(user="alice", password="x", otp="123456", public_tls_key=public[0], public_ssh_key=public[1],
                                                  remote_addr="203.0.113.9:1"), api.LoginResponse)
                assert refusal.value.code() == Code.PERMISSION_DENIED and "own servers" in refusal.value.details(), whose
    with Peer(cluster, identity=proxy) as host:
        assert certify(host, "Proxy", proxy_keys).names["O"] == ["Proxy"], "its own, again"


def web_key(cluster):
    """The public key that browsers see."""
    return x509.load_der_x509_certificate(tls_connect(cluster.proxy_addr, server_name="localhost").getpeercert(True)).public_key()


def write_pair(directory, key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256()))
    (directory / "web.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (directory / "web.key").chmod(0o600)
    (directory / "web.crt").write_bytes(cert.public_bytes(Encoding.PEM))


def refuse_key(cluster, env, identity, key, whose):
    """Both ways to join, a renewal and a login, with the key for TLS and for SSH."""
    api = messages().api
    with Peer(cluster) as peer, Peer(cluster, identity=identity) as host:
        for keys in (Keys(tls=Public(key)), Keys(ssh=Public(key))):
            refused_for_hosts(peer, host, env, keys, ("Instance", "Node", "Proxy"), whose)
            proxy_keys = Keys()
            with Peer(cluster, identity=certify(host, "Proxy", proxy_keys)) as proxied, pytest.raises(grpc.RpcError) as refusal:
                proxied.call("/cteleport.v1.LoginService/Login",
                             api.LoginRequest(user="alice", password="x", otp="123456", public_tls_key=keys.public()[0], public_ssh_key=keys.public()[1],
                                              remote_addr="203.0.113.9:1"), api.LoginResponse)
            assert refusal.value.code() == Code.PERMISSION_DENIED and "own servers" in refusal.value.details(), whose


KEYS_KNOWN = r"The keys of a proxy's web certificates are never certified[^\n]*"


def test_keys_of_web_certificates_are_never_certified(cluster, aws, tmp_path):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    env = aws.identity()
    with Peer(cluster) as peer:
        _, identity = join(peer, env)
    cluster.process.wait_for(KEYS_KNOWN)
    refuse_key(cluster, env, identity, web_key(cluster), "self-made")
    write_pair(tmp_path, rsa.generate_private_key(65537, 2048))
    cluster.config["proxy_service"]["https_keypairs"] = [{"key_file": f"{tmp_path}/web.key", "cert_file": f"{tmp_path}/web.crt"}]
    cluster.restart()
    cluster.process.wait_for(KEYS_KNOWN)
    first = web_key(cluster)
    refuse_key(cluster, env, identity, first, "https_keypairs")
    write_pair(tmp_path, rsa.generate_private_key(65537, 2048))
    cluster.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: web_key(cluster).public_numbers() != first.public_numbers(), "the new certificate is shown")
    second = Keys(tls=Public(web_key(cluster))).public()
    with Peer(cluster, identity=identity) as host:
        request = messages().api.HostCertsRequest(role="Node", host_name="web-1", public_tls_key=second[0], public_ssh_key=second[1])
        wait_until(lambda: host.status("/cteleport.v1.HostService/GenerateHostCerts", request) == Code.PERMISSION_DENIED, "auth knows the new key")
    refuse_key(cluster, env, identity, web_key(cluster), "reloaded")


def test_a_proxy_cannot_block_a_host_by_naming_its_key(cluster, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    api, keys, mine = messages().api, Keys(), Keys()
    cluster.process.wait_for(KEYS_KNOWN)
    with Peer(cluster) as peer:
        _, victim = join(peer, aws.identity())
        proxy_id, proxy = given_proxy(cluster, aws)
    spki = lambda k: k.public()[0]
    context = b"cteleport, Proxy Service to Auth Service: this key is one of mine, version 1\0"
    proof = mine.tls.sign(context, ec.ECDSA(hashes.SHA256()))
    with Peer(cluster, identity=proxy) as host:
        identity = certify(host, "Proxy")
    with Peer(cluster, identity=identity) as proxied, Peer(cluster, identity=victim) as host:
        stream = proxied.stream("/cteleport.v1.DialService/Tunnels", api.TunnelsDown)
        stream.send(api.TunnelsUp(web_keys=[api.WebKey(public_key=spki(keys), proof=proof), api.WebKey(public_key=spki(mine), proof=proof),
                                            api.WebKey(public_key=b"no key"), api.WebKey(public_key=spki(keys))]))
        cluster.process.wait_for(KEYS_KNOWN + proxy_id)
        assert certify(host, "Node", keys).names["O"] == ["Node"], "its own key, which the proxy does not hold"
        assert certify(host, "Node", mine).code() == Code.PERMISSION_DENIED, "what the proxy has proven is the proxy's"
    cluster.tctl("rm", f"node/{proxy_id}")
    with Peer(cluster, identity=victim) as host:
        assert certify(host, "Node", mine).names["O"] == ["Node"], "and nobody's, once the proxy is removed"


# ---- the host that answers ----------------------------------------------------------------------------------------------------

def keygen(*args):
    subprocess.run(["ssh-keygen", "-q", *map(str, args)], check=True, capture_output=True)


class CapturedProxy(TcpServer):
    """Has the proxy's keys. Connects every dial to an sshd with the key of a host of its own choice, under false
    names; forwards bytes for the Auth Service, which it cannot read."""

    def __init__(self, access, sshd, host_id, tmp_path):
        identity = json.loads((access.data_dir / "proc/ids/proxy.json").read_text())["spec"]
        pem = tmp_path / "proxy.pem"
        pem.write_text(identity["tls_key"] + ssl.DER_cert_to_PEM_cert(base64.b64decode(identity["tls_cert"])))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.context.set_alpn_protocols(["cteleport-ssh"])
        self.access, self.sshd, self.host_id = access, sshd, host_id
        self.misled = 0  # connections to nodes
        super().__init__()

    def serve(self, client):
        hello = client.recv(16384, socket.MSG_PEEK)
        if b"cteleport-ssh" in hello:
            with self.context.wrap_socket(client, server_side=True) as tls:
                self.connect_to_another(tls)
            return
        with socket.create_connection(split(self.access.proxy_addr)) as proxy:
            splice(client, proxy)

    def connect_to_another(self, tls):
        request = b""
        while b"\r\n\r\n" not in request:
            request += tls.recv(4096)
        self.misled += 1
        ours, theirs = socket.socketpair()
        with ours, subprocess.Popen(self.sshd, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as sshd:
            theirs.close()
            tls.sendall(f"HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: {self.host_id}\r\nX-Teleport-Connection: {MINE}\r\n\r\n".encode())
            splice(tls, ours)
            sshd.kill()


def impostor(access, directory, host_id, names):
    """The command of an sshd that admits alice and has a good certificate of the cluster for the ID and the names."""
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
    """Every route to web-1, with output that shows that a host was reached."""
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
    """With any certificate by the cluster's CA: the Auth Service returns the host ID that the certificate must have."""
    other = "12345678-1234-4234-8234-123456789abc"
    sshd = impostor(access, tmp_path / "impostor", other, names)
    with CapturedProxy(access, sshd, access.web.host_id if claimed == "of the node" else other, tmp_path) as proxy:
        profile = alice.home / ".tsh" / f"{access.proxy_addr.rsplit(':', 1)[0]}.yaml"
        profile.write_text(profile.read_text().replace(access.proxy_addr, proxy.addr))
        for way, go in ways_in(alice, tmp_path).items():
            before = proxy.misled
            done = go()
            assert done.code != 0 and "reached" not in done.out, way
            assert proxy.misled > before, f"{way} was not misled: {done.err}"
            assert "Host key verification failed" in done.err or "not a listed principal" in done.err or "another host answers" in done.err, (way, done.err)
        assert not list(tmp_path.glob("got-*"))


def test_the_impostor_of_these_tests_works_with_the_right_id(access, alice, tmp_path):
    sshd = impostor(access, tmp_path / "impostor", access.web.host_id, ["web-1"])
    with CapturedProxy(access, sshd, access.web.host_id, tmp_path) as proxy:
        profile = alice.home / ".tsh" / f"{access.proxy_addr.rsplit(':', 1)[0]}.yaml"
        profile.write_text(profile.read_text().replace(access.proxy_addr, proxy.addr))
        for way, go in ways_in(alice, tmp_path).items():
            done = go()
            assert done.code == 0, (way, done.err)
        assert proxy.misled == 6
