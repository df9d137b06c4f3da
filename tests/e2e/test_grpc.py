# SPDX-License-Identifier: Apache-2.0
"""grpcio joins through auth and through the proxy, by both services, and misbehaves."""
import itertools
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import ACCOUNT, WEB_ARN, Cluster, iam_token, wait_until
from join_client import (Identity, Keys, Peer, audited, client_init, giving_up, host_params, iam_init, join, join_legacy, legacy_request,
                         messages, pinned_ca, prove, solution, tls_connect, token_init)

DB_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/db/i-0fedcba9876543210"
SECRET = "a-secret-that-is-long-enough-0123456789"
MOST_OF_ONE_SOURCE = 100  # LIMIT_PENDING_JOINS_PER_SOURCE

Code = grpc.StatusCode
sources = itertools.count(1)


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    """A cluster for all refusals: none of them may leave anything behind."""
    aws_process.reset()
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("shared") / "cluster", auth={"tokens": [f"node:{SECRET}"]})
    cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    yield cluster
    assert [e for e in cluster.events("instance.join") if e["success"]] == []
    assert cluster.stop() == 0


@pytest.fixture
def auth(shared, aws):
    """auth, from an address that was not refused before: it would get its answers slowly."""
    number = next(sources)
    with Peer(shared, source=f"127.1.{number >> 8}.{number & 255}") as peer:
        yield peer


@pytest.fixture
def env(aws):
    return aws.identity()


def refused(stream, code, check):
    """How the stream was refused, after looking that the audit log knows it, too."""
    refusal = stream.refusal()
    assert refusal.code() == code, refusal.details()
    event = audited(stream.peer.cluster, refusal)
    assert event["check"] == check, event
    assert not event["success"]
    return refusal


# ---- joins ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_a_host_joins_by_iam(cluster, aws, via):
    cluster.create(iam_token(roles=("Node", "App")))
    with Peer(cluster, via) as peer:
        host_id, identity = join(peer, aws.identity())
    assert identity.names["CN"] == [f"{host_id}.example.test"]
    assert identity.names["O"] == ["Instance"]
    assert identity.principals == []
    assert identity.sans == {host_id, f"{host_id}.example.test"}
    event = cluster.event("instance.join", success=True)
    assert event["host_id"] == host_id
    assert event["attributes"]["arn"] == WEB_ARN
    assert event["client_version"] == "16.4.7"
    assert event["forwarded_by_proxy"] is (via == "proxy")
    assert event["addr.remote"].startswith("127.0.0.1:")


@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_a_host_joins_by_the_older_service(cluster, aws, via):
    cluster.create(iam_token())
    mine = "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"
    with Peer(cluster, via) as peer:
        identity = join_legacy(peer, aws.identity(), host_id=mine, RemoteAddr="203.0.113.9:1")
    assert identity.names["CN"] == [f"{mine}.example.test"]
    assert identity.names["O"] == ["Node"]
    event = cluster.event("instance.join", success=True)
    assert event["host_id"] == mine
    assert event["client_version"] == "16.4.7"
    assert event["addr.remote"].startswith("127.0.0.1:"), "the client's own word about its address counts"


@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_a_host_joins_by_a_secret_token(make_cluster, via):
    cluster = make_cluster(auth={"tokens": [f"node:{SECRET}"]})
    keys = Keys()
    with Peer(cluster, via) as peer:
        stream = peer.join().begin(SECRET, "Node", "token")
        assert stream.receive().init.join_method == "token"
        result = stream.send(token_init(host_params("web-1", keys))).result()
    assert Identity.of_join(keys, result.certificates).names["O"] == ["Node"]
    assert SECRET not in cluster.process.text()
    assert SECRET not in (cluster.data_dir / "log" / "events.log").read_text()


def test_the_web_certificate_serves_joins_as_well(cluster, aws):
    cluster.create(iam_token())
    roots = (cluster.data_dir / "webproxy_cert.pem").read_bytes()
    names = x509.load_pem_x509_certificate(roots).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    with Peer(cluster, "proxy") as peer:
        peer.channel.close()
        peer.channel = grpc.secure_channel(peer.address, grpc.ssl_channel_credentials(roots),
                                           options=[("grpc.ssl_target_name_override", names.get_values_for_type(x509.DNSName)[0])])
        join(peer, aws.identity())


@pytest.mark.parametrize("tls", [rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())], ids=["RSA 3072", "P-384"])
def test_other_good_keys_are_certified(cluster, aws, tls):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        join(peer, aws.identity(), keys=Keys(tls, tls))


# ---- messages out of turn (C2) ---------------------------------------------------------------------------------

def walk(stream, env, *steps):
    """Takes the steps of a good join, each answered before the next; "proof" is not waited for."""
    challenge = ""
    for step in steps:
        if step == "init":
            stream.begin()
            stream.receive()
        elif step == "params":
            stream.send(iam_init(host_params()))
            challenge = stream.receive().challenge.iam_challenge.challenge
        elif step == "proof":
            stream.send(solution(prove(env, challenge)))


TURNS = [
    ((), "params", "order"), ((), "token params", "order"), ((), "proof", "order"), ((), "giving up", "order"), ((), "nothing", "order"),
    (("init",), "init", "order"), (("init",), "proof", "order"), (("init",), "token params", "params"), (("init",), "nothing", "order"),
    (("init",), "params without a host", "order"),
    (("init", "params"), "init", "order"), (("init", "params"), "params", "order"), (("init", "params"), "token params", "order"),
    (("init", "params"), "nothing", "order"), (("init", "params"), "another proof", "order"),
    (("init", "params", "proof"), "init", "order"), (("init", "params", "proof"), "params", "order"),
    (("init", "params", "proof"), "proof", "order"), (("init", "params", "proof"), "giving up", "order"),
    (("init", "params", "proof"), "nothing", "order"),
]


@pytest.mark.parametrize("steps,then,check", TURNS, ids=[f"{then} after {' '.join(steps) or 'nothing'}" for steps, then, _ in TURNS])
def test_a_message_out_of_turn_ends_the_stream(auth, aws, env, steps, then, check):
    if "proof" in steps:  # what is sent behind it arrives before the answer
        aws.sts_mode("held")
    j = messages().join
    said = {"init": client_init(), "params": iam_init(host_params()), "token params": token_init(host_params()),
            "proof": solution(prove(env, "A" * 43)), "giving up": giving_up(), "nothing": j.JoinRequest(),
            "params without a host": j.JoinRequest(iam_init=j.IAMInit()), "another proof": j.JoinRequest(solution=j.ChallengeSolution())}[then]
    stream = auth.join()
    walk(stream, env, *steps)
    stream.send(said)
    if "proof" in steps:
        stream.arrived()
        aws.sts_mode("ok")
    refused(stream, Code.INVALID_ARGUMENT, check)


def test_the_older_service_takes_one_message_only(auth, aws, env):
    aws.sts_mode("held")
    stream = auth.legacy()
    request = legacy_request(prove(env, stream.receive().challenge))
    stream.send(request, request).arrived()
    aws.sts_mode("ok")
    refused(stream, Code.INVALID_ARGUMENT, "order")


@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_a_join_without_a_message_is_answered_and_not_audited(shared, via):
    before = shared.settled("instance.join")
    with Peer(shared, via) as peer:
        for _ in range(MOST_OF_ONE_SOURCE + 1):  # none of them is left pending
            stream = peer.join()
            stream.half_close()
            assert list(stream.call) == []
        refused(peer.join().begin(token="no-such-token"), Code.PERMISSION_DENIED, "token")
    shared.exactly(len(before) + 1, "instance.join")


@pytest.mark.parametrize("steps", [("init",), ("init", "params")], ids=["after init", "after params"])
def test_a_host_that_says_no_more_is_refused(auth, env, steps):
    stream = auth.join()
    walk(stream, env, *steps)
    stream.half_close()
    refused(stream, Code.INVALID_ARGUMENT, "order")


def test_a_host_that_closes_after_its_first_message_is_refused(auth):
    stream = auth.join().begin()
    stream.half_close()
    refused(stream, Code.INVALID_ARGUMENT, "order")


def test_a_silent_host_of_the_older_service_is_refused(auth):
    stream = auth.legacy()
    stream.half_close()
    refused(stream, Code.INVALID_ARGUMENT, "order")


@pytest.mark.parametrize("via", ["auth", "proxy"])
@pytest.mark.parametrize("steps,state", [(("init",), "await params"), (("init", "params"), "await proof"), (("init", "params", "proof"), "query sts")])
def test_a_host_that_disconnects_is_audited_with_its_step(shared, aws, env, via, steps, state):
    aws.sts_mode("hang")
    before = {e["uid"] for e in shared.events("instance.join")}
    with Peer(shared, via) as peer:
        stream = peer.join()
        walk(stream, env, *steps)
        if state == "query sts":
            wait_until(aws.requests, "the question has reached STS")
        stream.call.cancel()
        event = wait_until(lambda: [e for e in shared.events("instance.join") if e["uid"] not in before and e["check"] == "aborted"], "the abort is audited")[0]
    assert state in event["error"]


@pytest.mark.parametrize("reason,words", [("REASON_UNSUPPORTED_JOIN_METHOD", "unsupported join method"),
                                          ("REASON_CHALLENGE_SOLUTION_FAILED", "challenge not solved")])
def test_why_a_host_gives_up_is_audited(auth, env, reason, words):
    stream = auth.join()
    walk(stream, env, "init", "params")
    stream.send(giving_up(reason, "no credentials\x1b[2J\nfake line"))
    event = audited(auth.cluster, refused(stream, Code.ABORTED, "client"))
    assert words in event["error"]
    assert "no credentials" in event["error"]
    assert "\x1b" not in event["error"] and "\n" not in event["error"]


# ---- challenges (C1) ---------------------------------------------------------------------------------------------

def test_each_stream_has_a_challenge_of_its_own(auth):
    streams = [auth.join() for _ in range(3)]
    challenges = {s.challenge() for s in streams}
    older = [auth.legacy() for _ in range(3)]
    challenges |= {s.receive().challenge for s in older}
    assert len(challenges) == 6
    assert all(len(c) == 43 for c in challenges)
    for stream in streams + older:
        stream.half_close()


def test_the_proof_for_another_stream_is_refused(auth, env):
    first, second = auth.join(), auth.join()
    challenge, _ = first.challenge(), second.challenge()
    refused(second.send(solution(prove(env, challenge))), Code.PERMISSION_DENIED, "challenge")
    first.half_close()


def test_the_proof_for_the_other_service_is_refused(auth, env):
    newer, older = auth.join(), auth.legacy()
    proof = prove(env, newer.challenge())
    older.receive()
    refused(older.send(legacy_request(proof)), Code.PERMISSION_DENIED, "challenge")
    newer.half_close()


def test_a_proof_that_was_used_is_not_good_again(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        stream, again = peer.join(), peer.join()
        proof = prove(aws.identity(), stream.challenge())
        stream.send(solution(proof)).result()
        again.challenge()
        refused(again.send(solution(proof)), Code.PERMISSION_DENIED, "challenge")
    assert len(aws.requests()) == 1


# ---- bytes -------------------------------------------------------------------------------------------------------

def test_a_message_that_is_too_large_is_refused(auth):
    stream = auth.join().send(client_init(token="x" * 65536))
    assert stream.refusal().code() == Code.RESOURCE_EXHAUSTED


def test_a_compressed_message_is_not_supported(auth):
    stream = auth.join(compression=grpc.Compression.Gzip).send(client_init(token="x" * 1000))
    assert stream.refusal().code() == Code.UNIMPLEMENTED


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x7fshort", b"\x0a\x02\x0a\x00" * 4 + b"\x0b",
                                     b"\x0a\x06\x12\x04a\x00b\x00", b"\x0a\x04\x12\x02\xc3\x28"],
                         ids=["no tag", "huge length", "truncated", "group", "NUL in a text", "not UTF-8"])
@pytest.mark.parametrize("service", ["join", "legacy"])
def test_bytes_that_are_no_message_are_refused(auth, service, garbage):
    stream = getattr(auth, service)().send(garbage)
    assert stream.refusal().code() == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("path", ["/teleport.join.v1.JoinService/join", "/proto.JoinService/RegisterUsingToken", "/proto.AuthService/Ping", "/",
                                  "/teleport.join.v1.JoinService/Join/", "//teleport.join.v1.JoinService/Join"])
@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_there_are_no_other_methods(shared, via, path):
    with Peer(shared, via) as peer:
        assert peer.status(path) == Code.UNIMPLEMENTED


# ---- claims -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("via", ["auth", "proxy"])
@pytest.mark.parametrize("claim", ["flag", "address", "both"])
def test_an_unauthenticated_peer_cannot_act_as_a_proxy(shared, via, claim):
    supplied = messages().join.ClientInit.ProxySuppliedParameters(remote_addr="203.0.113.9:1", client_version="1.0.0")
    claims = {"forwarded_by_proxy": True, "proxy_supplied_parameters": supplied}
    if claim != "both":
        claims.pop("proxy_supplied_parameters" if claim == "flag" else "forwarded_by_proxy")
    with Peer(shared, via) as peer:
        refusal = peer.join().begin(**claims).refusal()
    assert refusal.code() == Code.INVALID_ARGUMENT
    assert "203.0.113.9" not in (shared.data_dir / "log" / "events.log").read_text()


@pytest.mark.parametrize("role,code,check", [
    ("Auth", Code.PERMISSION_DENIED, "token"), ("Admin", Code.PERMISSION_DENIED, "token"), ("Bot", Code.PERMISSION_DENIED, "token"),
    ("Nop", Code.PERMISSION_DENIED, "token"), ("Proxy", Code.PERMISSION_DENIED, "token"), ("Db", Code.PERMISSION_DENIED, "token"),
    ("node", Code.INVALID_ARGUMENT, "request"), ("", Code.INVALID_ARGUMENT, "request"), ("Node\n", Code.INVALID_ARGUMENT, "request"),
    ("Node,Auth", Code.INVALID_ARGUMENT, "request"), ("x" * 5000, Code.INVALID_ARGUMENT, "request")])
def test_a_role_that_the_token_does_not_give_is_refused(auth, env, role, code, check):
    refused(auth.join().begin(role=role), code, check)
    older = auth.legacy()
    refused(older.send(legacy_request(prove(env, older.receive().challenge), role=role)), code, check)


@pytest.mark.parametrize("token", ["", "no-such-token", "-leading", "two words", "x" * 300, "../tokens", "iam-token ", "IAM-TOKEN", "%s%n"])
def test_an_unknown_token_is_refused(auth, token):
    refusal = auth.join().begin(token=token).refusal()
    assert refusal.code() in (Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT)
    assert not audited(auth.cluster, refusal)["success"]


def test_the_method_must_be_the_tokens(auth, env):
    refused(auth.join().begin(method="token"), Code.INVALID_ARGUMENT, "token")
    refused(auth.join().begin(SECRET, "Node", "iam"), Code.INVALID_ARGUMENT, "token")
    stream = auth.join().begin(SECRET, "Node", "token")
    stream.receive()
    refused(stream.send(iam_init(host_params())), Code.INVALID_ARGUMENT, "params")


def test_a_secret_token_is_refused_at_the_older_service(auth, env):
    stream = auth.legacy()
    refused(stream.send(legacy_request(prove(env, stream.receive().challenge), token=SECRET)), Code.INVALID_ARGUMENT, "token")
    assert SECRET not in (auth.cluster.data_dir / "log" / "events.log").read_text()


def test_an_expired_token_is_refused_and_only_public_ones_confirmed(shared, auth):
    shared.create_ending(lambda expires: iam_token("ended-iam", expires=expires))
    end = shared.create_ending(lambda expires: {"kind": "token", "version": "v2", "metadata": {"name": "ended-secret-0123456789abcdef", "expires": expires},
                                                "spec": {"roles": ["Node"], "join_method": "token"}})
    wait_until(lambda: time.time() > end, "the tokens have ended")
    words = {}
    for name, method in (("ended-iam", "iam"), ("ended-secret-0123456789abcdef", "token"), ("never-secret-0123456789abcdef", "token")):
        refusal = refused(auth.join().begin(name, "Node", method), Code.PERMISSION_DENIED, "token")
        words[name] = refusal.details().rsplit("(request", 1)[0]
    assert words["ended-secret-0123456789abcdef"] == words["never-secret-0123456789abcdef"]
    assert "expired" in words["ended-iam"]


# ---- names ----------------------------------------------------------------------------------------------------------

HOSTILE = ["", "two words", 'quo"te', "quo'te", "new\nline", "-leading", "x" * 300, "*", "*.example.test", "a..b", "trailing.", ".leading",
           "a/b", "a,b", "a%00b", "über", "a;reboot", "$(id)", "a@b", "[::1]"]
RESERVED = ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "0.0.0.0", "example.test", "Example.Test", "teleport.cluster.local",
            "x.teleport.cluster.local", "203.0.113.7"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_host_name_is_refused(auth, env, name):
    stream = auth.join().begin()
    stream.receive()
    refused(stream.send(iam_init(host_params(name))), Code.INVALID_ARGUMENT, "params")


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_host_name_is_refused(auth, env, name):
    stream = auth.join().begin()
    stream.receive()
    refused(stream.send(iam_init(host_params(name))), Code.PERMISSION_DENIED, "params")


FOREIGN = [("db-1", Code.PERMISSION_DENIED), ("db-1.example.test", Code.PERMISSION_DENIED), ("auth-1", Code.PERMISSION_DENIED),
           ("example.test", Code.PERMISSION_DENIED), ("teleport.cluster.local", Code.PERMISSION_DENIED), ("203.0.113.7", Code.PERMISSION_DENIED),
           ("localhost", Code.PERMISSION_DENIED), ("web-1.example.test.evil", Code.PERMISSION_DENIED), ("xweb-1", Code.PERMISSION_DENIED),
           ("*", Code.INVALID_ARGUMENT), ("web-*", Code.INVALID_ARGUMENT), ("", Code.INVALID_ARGUMENT), ("-oProxyCommand=x", Code.INVALID_ARGUMENT)]


@pytest.mark.parametrize("name,code", FOREIGN, ids=[name for name, _ in FOREIGN])
@pytest.mark.parametrize("field", ["principals", "dns_names"])
def test_names_of_others_are_refused(auth, env, name, code, field):
    stream = auth.join().begin()
    stream.receive()
    refused(stream.send(iam_init(host_params(**{field: ["web-1", name]}))), code, "params")


def test_more_names_than_a_certificate_holds_are_refused(auth):
    stream = auth.join().begin()
    stream.receive()
    refused(stream.send(iam_init(host_params(principals=["web-1"] * 101))), Code.INVALID_ARGUMENT, "params")


def test_a_hosts_names_are_certified_but_the_unspecified_address_not(cluster, aws):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        stream, keys = peer.join(), Keys()
        challenge = stream.challenge(host_params("web-1", keys, principals=["web-1.example.test", "127.0.0.1", "0.0.0.0"], dns_names=["WEB-1"]))
        identity = Identity.of_join(keys, stream.send(solution(prove(aws.identity(), challenge))).result().certificates)
    assert {"web-1.example.test", "WEB-1"} < identity.sans and "0.0.0.0" not in identity.sans


def test_the_names_and_ids_of_others_are_not_taken_over(cluster, aws):
    cluster.create(iam_token())
    web, db = aws.identity(), aws.identity(arn=DB_ARN)
    mine = "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"
    auth_id = (cluster.data_dir / "host_uuid").read_text().strip()
    with Peer(cluster) as peer:
        join_legacy(peer, web, host_id=mine)
        for name in ("web-1", "WEB-1", "auth-1", "Auth-1"):
            stream = peer.join()
            proof = prove(db, stream.challenge(host_params(name)))
            refused(stream.send(solution(proof)), Code.ALREADY_EXISTS, "host-name")
        for taken in (mine, auth_id):
            stream = peer.legacy()
            proof = prove(db, stream.receive().challenge)
            refused(stream.send(legacy_request(proof, name="db-1", host_id=taken)), Code.PERMISSION_DENIED, "host-id")
        join_legacy(peer, web, host_id=mine)  # its own, again
    assert cluster.json("nodes", "ls") == []  # joined, but not there


@pytest.mark.parametrize("host_id", ["", "me", "..", "3F2C0A52-7D3C-4C5E-9B0E-0123456789AB", "3f2c0a52-7d3c-4c5e-9b0e-0123456789a\n", "x" * 300])
def test_a_host_id_that_is_none_is_refused(auth, env, host_id):
    stream = auth.legacy()
    refusal = stream.send(legacy_request(prove(env, stream.receive().challenge), host_id=host_id)).refusal()
    assert refusal.code() == Code.INVALID_ARGUMENT


# ---- keys -----------------------------------------------------------------------------------------------------------

def certificate_of(address):
    with tls_connect(address) as connection:
        return connection.getpeercert(True)


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pkcs1(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def private(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


BAD_TLS_KEYS = {
    "RSA 1024": lambda c: spki(rsa.generate_private_key(65537, 1024).public_key()),
    "RSA with exponent 3": lambda c: spki(rsa.generate_private_key(3, 2048).public_key()),
    "RSA without its wrapping": lambda c: pkcs1(rsa.generate_private_key(65537, 2048)),
    "P-521": lambda c: spki(ec.generate_private_key(ec.SECP521R1()).public_key()),
    "secp256k1": lambda c: spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "a point off the curve": lambda c: spki(ec.generate_private_key(ec.SECP256R1()).public_key())[:-1] + b"\x00",
    "a certificate": lambda c: certificate_of(c.auth_addr),
    "a private key": lambda c: private(ec.generate_private_key(ec.SECP256R1())),
    "bytes behind it": lambda c: spki(ec.generate_private_key(ec.SECP256R1()).public_key()) + b"\x00",
    "nothing": lambda c: b"",
    "the CA's own": lambda c: spki(x509.load_pem_x509_certificate(pinned_ca(c.auth_addr, c.ca_pin)).public_key()),
}


@pytest.mark.parametrize("kind", BAD_TLS_KEYS)
def test_a_bad_tls_key_is_not_certified(auth, env, kind):
    stream = auth.join().begin()
    stream.receive()
    stream.send(iam_init(host_params(keys=Keys(tls=BAD_TLS_KEYS[kind](auth.cluster)))))
    if kind == "the CA's own":  # only the signer knows its own keys
        stream.send(solution(prove(env, stream.receive().challenge.iam_challenge.challenge)))
    refusal = refused(stream, *((Code.PERMISSION_DENIED, "sign") if kind == "the CA's own" else (Code.INVALID_ARGUMENT, "params")))
    assert "key" in refusal.details()


BAD_SSH_KEYS = {
    "RSA 1024": lambda: Keys(ssh=rsa.generate_private_key(65537, 1024)).public()[1],
    "P-521": lambda: Keys(ssh=ec.generate_private_key(ec.SECP521R1())).public()[1],
    "a line of text": lambda: Keys().ssh_line(),
    "a short one": lambda: Keys().public()[1][:-1],
    "bytes behind it": lambda: Keys().public()[1] + b"\x00",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("kind", BAD_SSH_KEYS)
def test_a_bad_ssh_key_is_not_certified(auth, kind):
    stream = auth.join().begin()
    stream.receive()
    refused(stream.send(iam_init(host_params(keys=Keys(ssh=BAD_SSH_KEYS[kind]())))), Code.INVALID_ARGUMENT, "params")


def test_a_good_host_still_joins_after_all_that(make_cluster, aws):
    """The refusals above left the shared cluster unchanged; here they occur between two joins of one connection."""
    cluster = make_cluster()
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        join(peer, aws.identity())
        peer.join().send(b"\xff" * 20).refusal()
        refused(peer.join().begin("no-such-token"), Code.PERMISSION_DENIED, "token")
        join(peer, aws.identity(), name="web-2")
