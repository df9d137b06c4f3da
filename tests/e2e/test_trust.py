# SPDX-License-Identifier: Apache-2.0
"""Verification of peers: the cluster by its hosts, AWS by the Auth Service."""
import contextlib
import pathlib
import ssl
import subprocess
import threading

import grpc
import pytest

from fake_auth import CHALLENGE, CapturedProxy, FakeAuth, Relay, Splitter, server_certificate
from harness import ACCOUNT, TIMEOUT, iam_token, wait_until
from join_client import (SERVER_NAME, Keys, Peer, audited, join_legacy, legacy_request, pinned_ca, prove, solution)
from signing import stand_in
from test_http_proxy import HttpProxy

POSING = "web7.example.test"
WRONG_PIN = "sha256:" + "0" * 64


def web_certificate(cluster):
    """The proxy's own certificate, which no CA signed."""
    return (cluster.data_dir / "webproxy_cert.pem").read_text()


def refused(host, pattern):
    """The log line of a host that does not trust the server."""
    host.start()
    return host.process.wait_for(f"Can not join the cluster.*{pattern}.*").group(0)


def has_received_nothing(cluster, aws):
    return cluster.events("instance.join") == [] and aws.requests() == []


# ---- a host and its proxy -----------------------------------------------------------------------------------

def test_a_proxy_with_an_unknown_certificate_is_refused_with_hint(cluster, aws):
    cluster.create(iam_token())
    line = refused(cluster.host(env=aws.identity(), insecure=False), "certificate")
    assert cluster.proxy_addr in line
    assert "ca_pin" in line or "ca.cert" in line or "SSL_CERT_FILE" in line
    assert has_received_nothing(cluster, aws)


def test_a_host_joins_a_proxy_that_its_system_trusts(cluster, aws, tmp_path):
    cluster.create(iam_token())
    (tmp_path / "roots.pem").write_text(web_certificate(cluster))
    host = cluster.join(env={**aws.identity(), "SSL_CERT_FILE": tmp_path / "roots.pem"}, insecure=False)
    assert "--insecure" not in host.process.text()


@pytest.mark.parametrize("setting", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_roots_that_only_root_may_read_are_trusted(cluster, aws, tmp_path, setting):
    """`instance` reads them before it changes its user."""
    cluster.create(iam_token())
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "roots.pem").write_text(web_certificate(cluster))
    hashed = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", closed / "roots.pem"], capture_output=True, text=True, check=True).stdout.strip()
    (closed / "roots.pem").rename(closed / f"{hashed}.0")
    (closed / f"{hashed}.0").chmod(0o600)
    where = {"SSL_CERT_FILE": closed / f"{hashed}.0", "SSL_CERT_DIR": f"{tmp_path / 'nowhere'}:{closed}"}
    host = cluster.join(env={**aws.identity(), setting: where[setting]}, insecure=False)
    assert "--insecure" not in host.process.text()


def test_a_host_trusts_the_proxy_certificate_in_its_data_dir(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), insecure=False)
    host.data_dir.mkdir(mode=0o700)
    (host.data_dir / "ca.cert").write_text(web_certificate(cluster))
    host.start().wait_joined()


def test_a_host_joins_a_proxy_by_the_ca_pin(cluster, aws):
    cluster.create(iam_token())
    cluster.join(env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin})


@pytest.mark.parametrize("via, knows", [("proxy", "nothing"), ("auth", "nothing"), ("proxy", "web certificate"), ("proxy", "ca.cert"),
                                        ("proxy", "--insecure"), ("auth", "ca.cert")])
def test_a_wrong_ca_pin_is_refused(cluster, aws, tmp_path, via, knows):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), via=via, insecure=knows == "--insecure")
    host.config["teleport"]["ca_pin"] = WRONG_PIN
    if knows == "web certificate":
        (tmp_path / "roots.pem").write_text(web_certificate(cluster))
        host.env["SSL_CERT_FILE"] = str(tmp_path / "roots.pem")
    elif knows == "ca.cert":
        host.data_dir.mkdir(mode=0o700)
        (host.data_dir / "ca.cert").write_text(web_certificate(cluster) + pinned_ca(cluster.auth_addr, cluster.ca_pin).decode())
    line = refused(host, "ca_pin")
    assert "tctl status" in line
    assert WRONG_PIN in line and cluster.ca_pin in line
    assert has_received_nothing(cluster, aws)


def test_one_right_pin_of_several_is_enough(cluster, aws):
    cluster.create(iam_token())
    cluster.join(env=aws.identity(), via="auth", teleport={"ca_pin": [WRONG_PIN, cluster.ca_pin]})


def test_an_auth_server_without_pin_is_trusted_on_first_use(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), via="auth")
    del host.config["teleport"]["ca_pin"]
    host.start()
    assert "tctl status" in host.process.wait_for("has not proven itself.*").group(0)
    host.wait_joined()


# ---- a rogue server -----------------------------------------------------------------------------------------

def at(host, server, by):
    """Leads a host to another server."""
    for name in ("proxy_server", "auth_server"):
        host.config["teleport"].pop(name, None)
    host.config["teleport"][by] = server.addr
    return host


@pytest.mark.parametrize("by, teleport", [
    ("proxy_server", {}),
    ("proxy_server", {"ca_pin": WRONG_PIN}),
    ("auth_server", {"ca_pin": WRONG_PIN}),
])
def test_a_rogue_server_receives_nothing(cluster, aws, by, teleport):
    with FakeAuth(*server_certificate(SERVER_NAME)) as rogue:
        host = at(cluster.host(env=aws.identity(), insecure=False, teleport=teleport), rogue, by)
        refused(host, rogue.addr)
        host.stop()
        assert rogue.received.empty()


def test_a_rogue_server_of_a_known_cluster_receives_nothing(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin})
    host.stop()
    with FakeAuth() as rogue:
        at(host, rogue, "auth_server").start()
        host.process.wait_for(f"not connected to the cluster.*{rogue.addr}")
        host.stop()
        assert rogue.received.empty()


@pytest.mark.parametrize("by", ["proxy_server", "auth_server"])
def test_a_host_of_the_cluster_cannot_pose_as_its_server(cluster, aws, by):
    cluster.create(iam_token())
    traitor = cluster.join("traitor", env=aws.identity())
    stolen = traitor.identity("node")
    chain = "".join(map(ssl.DER_cert_to_PEM_cert, [stolen["tls_cert"], *stolen["tls_ca_certs"]]))
    with FakeAuth(stolen["tls_key"].encode(), chain.encode()) as rogue:
        host = at(cluster.host("web-2", env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin}), rogue, by)
        refused(host, "")
        assert "of role 'Node' instead of" in host.process.text()
        host.stop()
        assert rogue.received.empty()


@contextlib.contextmanager
def posing_host(cluster, aws, tmp_path):
    """A node's certificate holds its own name, and there it listens: (server, environment that leads there and trusts the CA)."""
    (tmp_path / "roots.pem").write_bytes(pinned_ca(cluster.auth_addr, cluster.ca_pin))
    with Peer(cluster) as peer:
        node = join_legacy(peer, aws.identity(), POSING, AdditionalPrincipals=[POSING])
    with FakeAuth(node.key_pem, node.cert_pem) as rogue:
        names = HttpProxy(rogue.addr)
        yield rogue, {"SSL_CERT_FILE": str(tmp_path / "roots.pem"), "HTTPS_PROXY": f"http://{names.address}"}
        names.shutdown()
        names.server_close()


@pytest.mark.parametrize("by", ["proxy_server", "auth_server"])
@pytest.mark.parametrize("trust", ["ca.cert", "SSL_CERT_FILE"])
def test_a_host_certificate_is_no_server_certificate(cluster, aws, tmp_path, by, trust):
    cluster.create(iam_token())
    with posing_host(cluster, aws, tmp_path) as (rogue, env):
        host = cluster.host("web-2", env={**aws.identity(), **env}, insecure=False)
        del host.config["teleport"]["proxy_server"]
        host.config["teleport"][by] = f"{POSING}:443"
        if trust == "ca.cert":
            host.data_dir.mkdir(mode=0o700)
            (host.data_dir / "ca.cert").write_text((tmp_path / "roots.pem").read_text())
            del host.env["SSL_CERT_FILE"]
        refused(host, "")
        assert "of role 'Node' instead of 'Proxy'" in host.process.text()
        host.stop()
        assert rogue.received.empty()


def test_tsh_sends_no_password_to_a_host_of_the_cluster(cluster, aws, tmp_path, invite):
    cluster.create(iam_token())
    carol = invite(cluster, "carol", "access", "root")
    with posing_host(cluster, aws, tmp_path) as (rogue, env):
        done = carol.tsh("login", f"--proxy={POSING}:443", "--user=carol", stdin="password\n000000\n", check=False, env=env)
    assert done.code != 0
    assert "of role 'Node' instead of 'Proxy'" in done.err


# ---- a captured proxy ---------------------------------------------------------------------------------------

@pytest.fixture
def elsewhere(make_cluster):
    """Another cluster, of the attacker's."""
    cluster = make_cluster(proxy=False)
    cluster.create(iam_token())
    return cluster


def led_to(proxy, cluster, aws, **settings):
    """A host with the cluster's pin and the captured proxy as proxy_server."""
    return at(cluster.host("web-2", env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin}, **settings), proxy, "proxy_server")


@pytest.mark.parametrize("is_old", [False, True])
def test_an_answer_by_an_unpinned_ca_is_refused(cluster, elsewhere, aws, is_old):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    with CapturedProxy(cluster, aws.identity(), elsewhere=elsewhere, is_old=is_old) as proxy:
        host = led_to(proxy, cluster, aws)
        line = refused(host, "ca_pin")
        assert cluster.ca_pin in line and elsewhere.ca_pin in line
        host.stop()
        assert not (host.data_dir / "proc" / "ids").exists()


def test_an_answer_with_an_additional_ca_is_refused(cluster, elsewhere, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    theirs = ssl.PEM_cert_to_DER_cert(pinned_ca(elsewhere.auth_addr, elsewhere.ca_pin).decode())
    with CapturedProxy(cluster, aws.identity(), lambda certificates: certificates.tls_ca_certs.append(theirs)) as proxy:
        host = led_to(proxy, cluster, aws)
        line = refused(host, "ca_pin")
        assert cluster.ca_pin in line and elsewhere.ca_pin in line
        host.stop()
        assert not (host.data_dir / "proc" / "ids").exists()


def test_the_ssh_cas_of_a_proxys_answer_are_not_kept(cluster, elsewhere, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    marker = b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"\x07" * 32
    with CapturedProxy(cluster, aws.identity(), lambda certificates: certificates.ssh_ca_keys.append(marker)) as proxy:
        host = led_to(proxy, cluster, aws).start()
        host.process.wait_for("wrote the credentials and state of Instance")
        identity = host.identity()
        host.stop()
    assert identity["ssh_ca_keys"] == [] and identity["ssh_cert"] == b""
    # The node then gets the CA of users from auth itself, on a connection verified by the pin.
    host.config["teleport"]["proxy_server"] = cluster.proxy_addr
    host.start().wait_joined()
    wait_until(lambda: (host.data_dir / "proc" / "ids" / "node.json").exists(), "the Node identity is stored")
    assert marker not in host.identity("node")["ssh_ca_keys"]


@pytest.mark.parametrize("secret", [None, "secret-of-a-captured-proxy"], ids=["by a proof", "by a secret"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_member_detects_a_join_by_another_proof(cluster, aws, is_restarted, secret):
    """The answer differs only in its subject: the keys are the host's, the CA is the cluster's."""
    cluster.create(iam_token(roles=("Node", "Proxy")))
    cluster.tctl("tokens", "add", "--type=node", f"--value={secret or 'another-secret-that-is-not-used'}")
    with CapturedProxy(cluster, aws.identity(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/mallory/session"), secret=secret) as proxy, \
            Splitter(cluster, proxy) as front:
        host = led_to(proxy if is_restarted else front, cluster, aws).start()
        if is_restarted:
            host.process.wait_for("wrote the credentials and state of Instance")
            host.stop()
            at(host, front, "proxy_server").start()
        removal = host.process.wait_for(r"issued for the proof of another host.*tctl (rm node/[0-9a-f-]+)").group(1)
        assert "This host is present" not in host.process.text()
        assert not (host.data_dir / "proc" / "ids" / "node.json").exists()
        host.stop()
    cluster.tctl(*removal.split())
    host.config["teleport"]["proxy_server"] = cluster.proxy_addr
    host.start().wait_joined()


# ---- validity of a proof ---------------------------------------------------------------------------------

@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_a_relayed_proof_is_worth_nothing(cluster, aws, via, is_old):
    cluster.create(iam_token())
    for changed in ({"keys": Keys()}, {"name": "web-9"}, {}):
        with Relay(cluster, *server_certificate(SERVER_NAME), via=via, is_old=is_old, **changed) as relay:
            host = at(cluster.host(env=aws.identity(), insecure=True), relay, "proxy_server").start()
            outcome = relay.outcome.get(timeout=TIMEOUT)
            host.stop()
        assert isinstance(outcome, grpc.RpcError), f"with {changed} it was worth certificates"
        assert audited(cluster, outcome)["check"] == "binding"
    assert aws.requests() == []


@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_the_binding_of_a_proof_reaches_sts_signed(cluster, aws, via):
    cluster.create(iam_token())
    cluster.join(env=aws.identity(), via=via)
    assert [len(headers["x-cteleport-join-binding"]) for headers in map(lowered, aws.requests())] == [64]


def lowered(request):
    return {name.lower(): value for name, value in request["headers"]}


def test_a_cluster_may_require_bound_proofs(make_cluster, aws):
    cluster = make_cluster(proxy=False, auth={"aws": {"sts_connect_to": f"127.0.0.1:{aws.sts_port}", "require_join_binding": True}})
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        stream = peer.join()
        refusal = stream.send(solution(prove(aws.identity(), stream.challenge()))).refusal()
        assert audited(cluster, refusal)["check"] == "binding"
        older = peer.legacy()
        refusal = older.send(legacy_request(prove(aws.identity(), older.receive().challenge))).refusal()
        assert audited(cluster, refusal)["check"] == "binding"
    cluster.join(env=aws.identity(), via="auth")


def test_a_host_signs_no_challenge_of_another_form(cluster, aws):
    for challenge in ("c2VjcmV0IGNoYWxsZW5nZQ", CHALLENGE + "=", CHALLENGE[:-1] + "9", CHALLENGE + "AA", CHALLENGE.replace("A", "-"),
                      " " + CHALLENGE[1:], "", "a challenge\r\nHost: evil"):
        with FakeAuth(challenge=challenge) as rogue:
            host = at(cluster.host(env=aws.identity(), insecure=True), rogue, "proxy_server")
            refused(host, "challenge")
            said = [rogue.received.get(timeout=TIMEOUT).WhichOneof("payload") for _ in range(3)]
            host.stop()
        assert said == ["client_init", "iam_init", "giving_up"], challenge


# ---- stored identities of a host -----------------------------------------------------------------------------------

def test_a_stored_identity_of_an_unpinned_ca_is_not_used(cluster, elsewhere, aws):
    cluster.create(iam_token())
    host = elsewhere.join("web-2", env=aws.identity(), via="auth")
    host.stop()
    host.config["teleport"].update(auth_server=cluster.auth_addr, ca_pin=cluster.ca_pin)
    host.start()
    line = host.process.wait_for("stored identity cannot be used.*role:Instance.*").group(0)
    assert cluster.ca_pin in line and elsewhere.ca_pin in line
    wait_until(lambda: cluster.node("web-2"), "it has joined the cluster of its pin")
    own_ca = ssl.PEM_cert_to_DER_cert(pinned_ca(cluster.auth_addr, cluster.ca_pin).decode())
    wait_until(lambda: [host.identity(role)["tls_ca_certs"] for role in ("instance", "node")] == [[own_ca]] * 2, "both identities are of this cluster")


def test_a_member_with_a_changed_pin_is_refused(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity(), via="auth")
    host.stop()
    cluster.event("instance.join", success=True)
    joins = len(cluster.events("instance.join"))
    host.config["teleport"]["ca_pin"] = WRONG_PIN
    line = refused(host, "ca_pin")
    assert WRONG_PIN in line and cluster.ca_pin in line
    assert len(cluster.events("instance.join")) == joins


# ---- AWS towards the Auth Service -----------------------------------------------------------------------------

@pytest.fixture
def impostor(tmp_path, request):
    """An STS by a CA of its own, with a certificate for another name, or as given; (server, its CA, its log)."""
    how = getattr(request, "param", {"names": ["sts.example.com"]})
    paths = stand_in.make_certificates(tmp_path, ca_name="a CA of somebody else", **how)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(paths["sts.pem"], paths["sts.key"])
    state = tmp_path / "state.json"
    state.write_text('{"sts": {"mode": "ok"}, "keys": {}}')
    server = stand_in.Server(stand_in.Sts, stand_in.State(state), tmp_path / "sts.log", tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, paths["ca.pem"], tmp_path / "sts.log"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("impostor", [{"names": ["sts.us-east-1.amazonaws.com"], "alternatives": ()},
                                      {"names": ["sts.us-east-1.amazonaws.com"], "alternatives": ("sts.example.com",)}], indirect=True)
def test_a_subject_name_of_an_sts_certificate_is_ignored(make_cluster, aws, impostor):
    server, ca, log = impostor
    cluster = make_cluster(env={"AWS_CA_BUNDLE": ca}, auth={"aws": {"sts_connect_to": f"127.0.0.1:{server.server_port}"}})
    cluster.create(iam_token())
    refused(cluster.host(env=aws.identity()), "could not be reached")
    cluster.process.wait_for("Failure to join cluster occurred.*certificate of https://sts.us-east-1.amazonaws.com")
    assert not pathlib.Path(log).exists(), "no request was sent"


@pytest.mark.parametrize("whose_ca", ["ours", "theirs"])
def test_an_sts_host_without_trusted_certificate_receives_nothing(make_cluster, aws, impostor, whose_ca):
    server, ca, log = impostor
    cluster = make_cluster(env={"AWS_CA_BUNDLE": ca if whose_ca == "theirs" else aws.ca},
                           auth={"aws": {"sts_connect_to": f"127.0.0.1:{server.server_port}"}})
    cluster.create(iam_token())
    refused(cluster.host(env=aws.identity()), "could not be reached")
    line = cluster.process.wait_for("Failure to join cluster occurred.*certificate of https://sts.us-east-1.amazonaws.com.*").group(0)
    assert "AWS_CA_BUNDLE" in line
    event = cluster.event("instance.join", success=False)
    assert (event["check"], "attributes" in event) == ("sts", False)
    assert not pathlib.Path(log).exists(), "no request was sent"
