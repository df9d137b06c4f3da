# SPDX-License-Identifier: Apache-2.0
"""The decision about certificates: the identity that gets one, its names, and its validity."""
import datetime
import os
import stat
import subprocess
import sys
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import ACCOUNT, iam_token, wait_until
from join_client import Identity, Keys, Peer, audited, generate_host_certs, host_params, iam_init, join, join_legacy, legacy_request, messages, prove, solution

Code = grpc.StatusCode
OTHER_ACCOUNT = "210987654321"
ANY_WEB = f"arn:aws:sts::{ACCOUNT}:assumed-role/web/*"


def proven(peer, env, between=lambda: None, **begin):
    """A stream with a pending proof; `between` runs after the challenge was received."""
    stream = peer.join()
    challenge = stream.challenge(**begin)
    between()
    return stream.send(solution(prove(env, challenge)))


def refused(stream, code, check):
    refusal = stream.refusal()
    assert refusal.code() == code, refusal.details()
    event = audited(stream.peer.cluster, refusal)
    assert event["check"] == check, event
    return refusal


def successes(cluster):
    return [e for e in cluster.events("instance.join") if e["success"]]


# ---- the token must be live and unchanged at the moment of issue (J1) ---------------------------------------------

CHANGES = {
    "deleted": (lambda c: c.tctl("rm", "token/iam-token"), Code.PERMISSION_DENIED, "token"),
    "for another role": (lambda c: c.create(iam_token(roles=("Proxy",))), Code.PERMISSION_DENIED, "token"),
    "for another account": (lambda c: c.create(iam_token(account=OTHER_ACCOUNT)), Code.PERMISSION_DENIED, "rules"),
    "for another AWS role": (lambda c: c.create(iam_token(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/db/*")), Code.PERMISSION_DENIED, "rules"),
}


@pytest.mark.parametrize("when", ["before the proof", "while STS is asked"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_token_that_changes_meanwhile_gives_no_certificate(cluster, aws, change, when):
    act, code, check = CHANGES[change]
    env = aws.identity()
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        if when == "before the proof":
            stream = proven(peer, env, between=lambda: act(cluster), role="Node")
        else:
            aws.sts_mode("held")
            stream = proven(peer, env, role="Node")
            wait_until(aws.requests, "STS is asked")
            act(cluster)
            aws.sts_mode("ok")
        refused(stream, code, check)
    assert successes(cluster) == []


def test_a_token_changed_meanwhile_that_still_allows_the_join_works(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        proven(peer, aws.identity(), between=lambda: cluster.create(iam_token(arn=ANY_WEB))).result()


def test_a_role_the_token_loses_meanwhile_is_not_certified(cluster, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    keys = Keys()
    with Peer(cluster) as peer:
        stream = peer.join()
        challenge = stream.challenge(host_params(keys=keys))
        cluster.create(iam_token(roles=("Node",)))
        result = stream.send(solution(prove(aws.identity(), challenge))).result()
    assert system_roles(Identity.of_join(keys, result.certificates)) == {"Node"}


def test_a_token_that_becomes_a_secret_meanwhile_gives_no_certificate(cluster, aws):
    cluster.create(iam_token())
    secret = {"kind": "token", "version": "v2", "metadata": {"name": "iam-token"}, "spec": {"roles": ["Node"], "join_method": "token"}}
    with Peer(cluster) as peer:
        assert proven(peer, aws.identity(), between=lambda: cluster.create(secret)).refusal().code() in (
            Code.ABORTED, Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED)
    assert successes(cluster) == []


def test_a_token_expiring_during_the_sts_request_gives_no_certificate(cluster, aws):
    env = aws.identity()
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        aws.sts_mode("held")
        stream = proven(peer, env)
        wait_until(aws.requests, "STS is asked")
        end = cluster.create_ending(iam_token)
        wait_until(lambda: time.time() > end, "the token has ended")
        aws.sts_mode("ok")
        refused(stream, Code.PERMISSION_DENIED, "token")
    assert successes(cluster) == []


# ---- one rule, wholly (J2), for this attempt (J3) ------------------------------------------------------------------

def test_rules_are_not_combined(cluster, aws):
    token = iam_token()
    token["spec"]["allow"] = [{"aws_account": ACCOUNT, "aws_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/db/*"},
                              {"aws_account": OTHER_ACCOUNT}]
    cluster.create(token)
    with Peer(cluster) as peer:
        refused(proven(peer, aws.identity()), Code.PERMISSION_DENIED, "rules")


@pytest.mark.parametrize("arn", [f"arn:aws:sts::{ACCOUNT}:assumed-role/WEB/i-1", f"arn:aws:sts::{ACCOUNT}:assumed-role/web2/i-1",
                                 f"arn:aws:iam::{ACCOUNT}:user/web", f"arn:aws:sts::{ACCOUNT}:assumed-role/xweb/i-1"])
def test_a_pattern_is_anchored_and_knows_letters_apart(cluster, aws, arn):
    cluster.create(iam_token(arn=ANY_WEB))
    with Peer(cluster) as peer:
        refused(proven(peer, aws.identity(arn=arn)), Code.PERMISSION_DENIED, "rules")


def test_nothing_is_remembered_between_the_joins_of_a_connection(cluster, aws):
    cluster.create(iam_token(arn=ANY_WEB))
    other = aws.identity(arn=f"arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/web/i-1", account=OTHER_ACCOUNT)
    with Peer(cluster) as peer:
        first, second = peer.join(), peer.join()
        challenges = first.challenge(host_params("web-1")), second.challenge(host_params("web-2"))
        first.send(solution(prove(aws.identity(), challenges[0]))).result()
        refused(second.send(solution(prove(other, challenges[1]))), Code.PERMISSION_DENIED, "rules")
        refused(proven(peer, other), Code.PERMISSION_DENIED, "rules")
    cluster.exactly(1, "instance.join", success=True)


@pytest.mark.parametrize("mode", ["lie-account", "twice", "html", "xml", "empty", "huge", "redirect"])
def test_an_answer_of_sts_that_proves_nothing_gives_no_certificate(cluster, aws, mode):
    cluster.create(iam_token())
    aws.sts_mode(mode)
    with Peer(cluster) as peer:
        event = audited(cluster, proven(peer, aws.identity()).refusal())
    assert event["check"] == "sts"
    assert successes(cluster) == []


# ---- roles (J4) -----------------------------------------------------------------------------------------------------

def certify(peer, role, keys=None, **names):
    """The identity, or the status code of the refusal."""
    found = generate_host_certs(peer, role, keys, **names)
    return found.code() if isinstance(found, grpc.RpcError) else found


def system_roles(identity):
    """The roles that an Instance certificate lists."""
    known = ("O", "CN")
    return {v for name, values in identity.names.items() if name not in known for v in values} - {"example.test"}


def test_a_token_for_proxies_makes_no_nodes(cluster, aws):
    cluster.create(iam_token(roles=("Proxy",)))
    env = aws.identity()
    with Peer(cluster) as peer:
        refused(peer.join().begin(role="Node"), Code.PERMISSION_DENIED, "token")
        stream = peer.legacy()
        refused(stream.send(legacy_request(prove(env, stream.receive().challenge))), Code.PERMISSION_DENIED, "token")
        _, identity = join(peer, env)
    assert system_roles(identity) == {"Proxy"}
    with Peer(cluster, identity=identity) as host:
        assert certify(host, "Node") == Code.PERMISSION_DENIED
        assert certify(host, "Proxy").names["O"] == ["Proxy"]


def test_a_renewal_never_widens(cluster, aws):
    cluster.create(iam_token(roles=("Node",)))
    with Peer(cluster) as peer:
        _, identity = join(peer, aws.identity())
    cluster.create(iam_token(roles=("Node", "App", "Proxy")))
    with Peer(cluster, identity=identity) as host:
        renewed = certify(host, "Instance")
        assert system_roles(renewed) == system_roles(identity) == {"Node"}
        assert certify(host, "Node").names["O"] == ["Node"]
        for role in ("App", "Proxy", "Auth", "Admin", "Bot", "Nop", "", "node", "Instance,Auth"):
            assert certify(host, role) == Code.PERMISSION_DENIED, role
    with Peer(cluster, identity=renewed) as host:
        assert certify(host, "App") == Code.PERMISSION_DENIED


@pytest.mark.parametrize("name", ["db-1", "auth-1", "example.test", "localhost", "teleport.cluster.local", "203.0.113.7", "*"])
def test_a_renewal_gives_no_names_of_others(cluster, aws, name):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        _, identity = join(peer, aws.identity())
    with Peer(cluster, identity=identity) as host:
        for field in ("additional_principals", "dns_names"):
            assert certify(host, "Node", **{field: [name]}) in (Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT)


def test_only_the_instance_certificate_is_renewed(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        node = join_legacy(peer, aws.identity(), host_id="3f2c0a52-7d3c-4c5e-9b0e-0123456789ab")
    with Peer(cluster, identity=node) as host:
        assert certify(host, "Node") == Code.PERMISSION_DENIED
        assert certify(host, "Instance") == Code.PERMISSION_DENIED


# ---- statements of a Proxy Service (Z2) --------------------------------------------------------------------------------

def test_a_proxy_sets_a_hosts_address_not_its_name(cluster, aws):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    supplied = messages().join.ClientInit.ProxySuppliedParameters
    with Peer(cluster) as peer:
        _, identity = join(peer, aws.identity(), name="proxy-1")
    with Peer(cluster, identity=identity) as host:
        proxy_identity = certify(host, "Proxy")
    with Peer(cluster, identity=proxy_identity) as proxy:
        def passed_on(address, principal):
            stream = proxy.join().begin(forwarded_by_proxy=True, proxy_supplied_parameters=supplied(remote_addr=address))
            stream.receive()
            return stream.send(iam_init(host_params(principals=[principal])))

        refused(passed_on("db-1:1", "db-1"), Code.PERMISSION_DENIED, "params")
        refusal = refused(passed_on("203.0.113.9:1", "203.0.113.8"), Code.PERMISSION_DENIED, "params")
        assert audited(cluster, refusal)["addr.remote"] == "203.0.113.9:1"
        assert passed_on("203.0.113.9:1", "203.0.113.9").receive().challenge


# ---- names belong to their last holder (N2) ---------------------------------------------------------------------------

DB_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/db/i-0123456789abcdef0"


def test_removing_the_old_holder_leaves_the_name_to_the_new(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        old, _ = join(peer, aws.identity())
        join(peer, aws.identity())  # the next machine of the group
        cluster.tctl("rm", f"node/{old}")
        refused(proven(peer, aws.identity(arn=DB_ARN)), Code.ALREADY_EXISTS, "host-name")


def test_a_renewal_does_not_take_back_a_reassigned_name(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        _, old = join(peer, aws.identity())
        new, _ = join(peer, aws.identity())
        cluster.tctl("rm", f"node/{new}")
        _, other = join(peer, aws.identity(arn=DB_ARN))
    with Peer(cluster, identity=old) as host:
        assert certify(host, "Instance") == certify(host, "Node") == Code.ALREADY_EXISTS
    with Peer(cluster, identity=other) as host:
        assert certify(host, "Instance").names["O"] == ["Instance"]


# ---- methods (Z1) ------------------------------------------------------------------------------------------------------

def methods(*services):
    found = []
    for name, service in messages().api.DESCRIPTOR.services_by_name.items():
        if name in services:
            found += [f"/{service.full_name}/{method.name}" for method in service.methods]
    return found


def test_unauthenticated_peers_have_join_and_ping_only(cluster):
    closed = methods("AdminService", "HostService")
    assert len(closed) >= 11
    with Peer(cluster) as auth, Peer(cluster, "proxy") as proxy:
        for path in closed:
            assert auth.status(path) == Code.UNAUTHENTICATED, path
            assert proxy.status(path) == Code.UNIMPLEMENTED, path
        for peer in (auth, proxy):
            for path in methods("PingService"):
                assert peer.status(path) == Code.OK
            assert peer.join().begin("no-such-token").refusal().code() == Code.PERMISSION_DENIED
            assert peer.legacy().receive().challenge


CLOSED = {"Instance": ("SessionService", "DialService", "LoginService"), "Proxy": ("HostService", "SessionService"),
          "Node": ("HostService", "DialService", "LoginService")}


@pytest.mark.parametrize("role", CLOSED)
def test_a_host_certificate_is_no_administrators(cluster, aws, role):
    cluster.create(iam_token(roles=("Node", "Proxy")))
    with Peer(cluster) as peer:
        _, identity = join(peer, aws.identity())
    if role != "Instance":
        with Peer(cluster, identity=identity) as host:
            identity = certify(host, role)
    with Peer(cluster, identity=identity) as host:
        for path in methods("AdminService", *CLOSED[role]):
            assert host.status(path) == Code.PERMISSION_DENIED, path
    assert cluster.json("get", "tokens")[0]["metadata"]["name"] == "iam-token"


def foreign_identity(cluster_name, role):
    """A certificate with the content of ours, by another CA."""
    keys, ca = Keys(), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, role),
                      x509.NameAttribute(NameOID.COMMON_NAME, f"3f2c0a52-7d3c-4c5e-9b0e-0123456789ab.{cluster_name}")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = x509.CertificateBuilder(name, name, keys.tls.public_key(), x509.random_serial_number(), now - datetime.timedelta(minutes=1),
                                   now + datetime.timedelta(hours=1)).sign(ca, hashes.SHA256())
    identity = object.__new__(Identity)
    identity.cert_pem = cert.public_bytes(serialization.Encoding.PEM)
    identity.key_pem = keys.private_pem()
    return identity


@pytest.mark.parametrize("role", ["Instance", "Proxy", "Admin"])
def test_a_certificate_by_another_ca_opens_nothing(cluster, role):
    with Peer(cluster, identity=foreign_identity("example.test", role)) as peer:
        for path in (*methods("AdminService", "HostService"), "/cteleport.v1.PingService/Ping"):
            assert peer.status(path) == Code.UNAVAILABLE, path


# ---- the end of a host ------------------------------------------------------------------------------------------------

def presence(peer):
    """An open Presence stream after its hello was answered."""
    api = messages().api
    stream = peer.stream("/cteleport.v1.HostService/Presence", api.PresenceDown)
    stream.send(api.PresenceUp(hello=api.PresenceUp.Hello(hostname="web-1", version="16.4.7", services=["Node"], process_nonce="0123456789abcdef")))
    assert stream.receive().welcome.cluster == "example.test"
    return stream


def test_a_removed_host_is_disconnected_and_its_certificate_refused(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        host_id, identity = join(peer, aws.identity())
        other_id, other = join(peer, aws.identity(), name="web-2")
    with Peer(cluster, identity=identity) as host, Peer(cluster, identity=other) as sibling:
        stream, siblings = presence(host), presence(sibling)
        wait_until(lambda: cluster.node("web-1"), "it is listed")
        cluster.tctl("rm", f"node/{host_id}")
        with pytest.raises(grpc.RpcError) as ended:
            while True:
                stream.receive()
        assert ended.value.code() in (Code.UNAVAILABLE, Code.UNAUTHENTICATED, Code.CANCELLED)
        assert certify(sibling, "Instance").names["CN"] == [f"{other_id}.example.test"]
        assert siblings.call.is_active()
        siblings.half_close()
    with Peer(cluster, identity=identity) as again:
        for path in methods("AdminService", "HostService"):
            assert again.status(path) == Code.UNAUTHENTICATED, path
        join(again, aws.identity())  # it may join like any other host


def test_the_administrators_socket_is_for_root_and_the_owner(cluster):
    sock = cluster.data_dir / "auth.sock"
    assert stat.S_IMODE(sock.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.data_dir.stat().st_mode) == 0o700
    if os.geteuid() != 0:
        return  # the test runs as root only; the modes above refuse other users
    sock.chmod(0o666)
    cluster.data_dir.chmod(0o711)
    hello = [sys.executable, "-I", "-c", "import socket; s = socket.socket(socket.AF_UNIX); s.connect('auth.sock'); print(len(s.recv(9)))"]
    assert subprocess.check_output(hello, cwd=cluster.data_dir) == b"9\n"
    assert subprocess.check_output(hello, cwd=cluster.data_dir, user=65534, group=65534, extra_groups=[]) == b"0\n"
    cluster.process.wait_for("neither root nor the owner of the data directory")


def test_an_unauthenticated_peer_is_not_present(cluster):
    with Peer(cluster) as peer:
        stream = peer.stream("/cteleport.v1.HostService/Presence", messages().api.PresenceDown)
        with pytest.raises(grpc.RpcError) as refusal:
            stream.receive()
        stream.half_close()
    assert refusal.value.code() == Code.UNAUTHENTICATED
    assert cluster.nodes() == []
