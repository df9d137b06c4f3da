# SPDX-License-Identifier: Apache-2.0
"""Rights of a host end with their source: its token, its attested identity, its certificate, and by a lock."""
import calendar
import datetime
import hashlib
import re
import socket
import ssl
import subprocess
import time

import grpc
import pytest

from harness import ACCOUNT, TIMEOUT, Cluster, iam_token, program, wait_until
from join_client import (Identity, Keys, Peer, audited, client_init, host_params, join, join_legacy, legacy_request, messages, prove,
                         solution, token_init)

Code = grpc.StatusCode
MINE = "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"


def arn(role="web", session="i-0aaaaaaaaaaaaaaaa"):
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    """One cluster for all tests; each takes names and tokens of its own."""
    aws_process.reset()
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("rights") / "cluster")
    yield cluster.start()
    assert cluster.stop() == 0


def hello(name="web-1", services=("Node",), **more):
    api = messages().api
    return api.PresenceUp(hello=api.PresenceUp.Hello(hostname=name, version="16.4.7", services=services, process_nonce="0123456789abcdef", **more))


def presence(peer, *args, **more):
    """An open Presence stream after its hello was answered."""
    stream = peer.stream("/cteleport.v1.HostService/Presence", messages().api.PresenceDown)
    stream.send(hello(*args, **more))
    assert stream.receive().welcome.cluster == "example.test"
    return stream


def certify(peer, role, name="web-1"):
    """GenerateHostCerts: the identity, or the status code of the refusal."""
    keys = Keys()
    tls, ssh = keys.public()
    api = messages().api
    try:
        answer = peer.call("/cteleport.v1.HostService/GenerateHostCerts",
                           api.HostCertsRequest(role=role, host_name=name, public_tls_key=tls, public_ssh_key=ssh), api.HostCertsResponse)
    except grpc.RpcError as refusal:
        return refusal.code()
    return Identity.of_join(keys, answer.certificates)


def system_roles(identity):
    """The roles that an Instance certificate lists."""
    return {v for name, values in identity.names.items() if name not in ("O", "CN") for v in values} - {"example.test"}


def legacy_refusal(peer, env, **request):
    stream = peer.legacy()
    refusal = stream.send(legacy_request(prove(env, stream.receive().challenge), **request)).refusal()
    return refusal.code(), audited(peer.cluster, refusal)["check"]


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_reserved_labels_are_not_the_agents_to_set(shared, aws):
    shared.create(iam_token("labels"))
    api = messages().api
    reserved = ["teleport.dev/origin", "teleport.internal/resource-id", "teleport.hidden/x", "Teleport.Internal/y"]
    with Peer(shared) as peer:
        _, identity = join(peer, aws.identity(), name="labelled", token="labels")
    with Peer(shared, identity=identity) as host:
        stream = presence(host, "labelled", labels={"env": "prod", **dict.fromkeys(reserved, "cloud")},
                          commands=[{"name": name, "result": "cloud"} for name in ("os", *reserved)])
        node = wait_until(lambda: shared.node("labelled"), "it is listed")
        labels = lambda: {name: label["result"] for node in shared.nodes() if node["spec"]["hostname"] == "labelled"
                          for name, label in node["spec"].get("cmd_labels", {}).items()}
        assert node["metadata"]["labels"] == {"env": "prod"}
        assert {name: label["result"] for name, label in node["spec"]["cmd_labels"].items()} == {"os": "cloud"}
        stream.send(api.PresenceUp(labels=api.PresenceUp.Labels(commands=[{"name": name, "result": "later"} for name in (*reserved, "os")])))
        wait_until(lambda: labels() == {"os": "later"}, "the label is new")
        stream.half_close()


def test_a_label_is_announced_once(shared, aws):
    shared.create(iam_token("labels"))
    api = messages().api
    with Peer(shared) as peer:
        _, identity = join(peer, aws.identity(), name="twice", token="labels")
    with Peer(shared, identity=identity) as host:
        stream = host.stream("/cteleport.v1.HostService/Presence", api.PresenceDown)
        said = hello("twice", commands=[{"name": "env", "result": value} for value in ("prod", "test")])
        with pytest.raises(grpc.RpcError) as refused:
            stream.send(said).receive()
        stream.half_close()
    assert refused.value.code() == Code.INVALID_ARGUMENT


# ---- roles come from the token of the join ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["Instance", "Node"])
@pytest.mark.parametrize("gone", [True, False])
def test_an_id_has_the_roles_of_its_last_join_only(shared, aws, role, gone):
    """Joined for Node and Proxy, then again under the same ID with a token for nodes, be the first one there or not."""
    env, name, host_id = aws.identity(arn()), f"again-{role}-{gone}".lower(), MINE[:-3] + f"{len(role)}{gone:02d}"
    shared.create(iam_token("both", roles=("Node", "Proxy")))
    shared.create(iam_token("node-only"))
    with Peer(shared) as peer:
        first = join_legacy(peer, env, name, host_id=host_id, token="both", role="Instance")
        with Peer(shared, identity=first) as host:
            proxy = certify(host, "Proxy")
        assert proxy.names["O"] == ["Proxy"]
        if gone:
            shared.tctl("rm", "token/both")
        with Peer(shared, identity=proxy) as as_proxy:
            as_proxy.call("/cteleport.v1.PingService/Ping")
            again = join_legacy(peer, env, name, host_id=host_id, token="node-only", role=role)
            assert as_proxy.status("/cteleport.v1.DialService/Dial") != Code.OK
    with Peer(shared, identity=first) as host:  # the certificate of the first join lists Proxy still
        assert certify(host, "Proxy") == Code.PERMISSION_DENIED
        assert certify(host, "Node").names["O"] == ["Node"]
        assert system_roles(certify(host, "Instance")) == {"Node"}
    assert role == "Node" or system_roles(again) == {"Node"}
    with Peer(shared, identity=proxy) as as_proxy:  # nor is it a proxy with the certificate of then
        assert as_proxy.status("/cteleport.v1.DialService/Dial") == Code.PERMISSION_DENIED
        assert as_proxy.join().begin("both", forwarded_by_proxy=True).refusal().code() == Code.INVALID_ARGUMENT


def test_a_host_id_belongs_to_one_instance(shared, aws):
    """Whether it is connected or not; the name goes to the next machine of the role."""
    shared.create(iam_token("ids", roles=("Node", "Proxy")))
    first, second = aws.identity(arn()), aws.identity(arn(session="i-0bbbbbbbbbbbbbbbb"))
    with Peer(shared) as peer:
        identity = join_legacy(peer, first, "ids", host_id=MINE, token="ids", role="Instance")
        for role in ("Instance", "Node", "Proxy"):
            assert legacy_refusal(peer, second, name="ids", host_id=MINE, token="ids", role=role) == (Code.PERMISSION_DENIED, "host-id")
        with Peer(shared, identity=identity) as host:
            stream = presence(host, "ids")
            assert legacy_refusal(peer, second, name="ids", host_id=MINE, token="ids") == (Code.PERMISSION_DENIED, "host-id")
            assert stream.call.is_active()
            stream.half_close()
        for other in (arn("db"), arn(session="I-0AAAAAAAAAAAAAAAA"), arn("Web"), f"arn:aws:iam::{ACCOUNT}:user/web"):
            assert legacy_refusal(peer, aws.identity(other), name="ids", host_id=MINE, token="ids") == (Code.PERMISSION_DENIED, "host-id"), other
        join_legacy(peer, second, "ids", token="ids")  # with an ID of its own
        join_legacy(peer, first, "ids", host_id=MINE, token="ids")  # its own, again
        shared.tctl("rm", f"node/{MINE}")
        now = join_legacy(peer, second, "ids", host_id=MINE, token="ids", role="Instance")  # forgotten: free
    with Peer(shared, identity=now) as host:
        assert certify(host, "Node").names["O"] == ["Node"]
    with Peer(shared, identity=identity) as host:  # the certificates of the former holder of the ID stay worthless
        assert certify(host, "Instance") == Code.UNAUTHENTICATED


def test_a_certificate_of_the_second_of_a_removal_is_worthless(shared, aws):
    """Certificates count seconds; one that was issued in the very second in which another took the ID is known by its serial."""
    shared.create(iam_token("same-second"))
    first, second = (aws.identity(arn("same-second", f"i-0{digit * 16}")) for digit in "12")
    met, api = 0, messages().api
    with Peer(shared) as peer, grpc.insecure_channel(f"unix:{shared.data_dir}/auth.sock") as admin:
        remove = admin.unary_unary("/cteleport.v1.AdminService/DeleteNode", api.NameRequest.SerializeToString, bytes)  # tctl takes longer
        for number in range(40):
            host_id = f"3f2c0a52-7d3c-4c5e-9b0e-{number:012x}"
            wait_until(lambda: time.time() % 1 < 0.2, "the beginning of a second")
            before = join_legacy(peer, first, "same-second", host_id=host_id, token="same-second", role="Instance")
            remove(api.NameRequest(name=host_id), timeout=TIMEOUT)
            after = join_legacy(peer, second, "same-second", host_id=host_id, token="same-second", role="Instance")
            with Peer(shared, identity=before) as host:
                assert certify(host, "Instance", "same-second") == Code.UNAUTHENTICATED
            with Peer(shared, identity=after) as host:
                assert certify(host, "Node", "same-second").names["O"] == ["Node"]
            met += before.cert.not_valid_before == after.cert.not_valid_before
            if met == 3:
                break
    assert met > 0, "never within a second"


def test_the_tunnel_of_an_ids_earlier_holder_ends_at_once(shared, aws, tmp_path):
    """The one that is open at the removal, and one that is opened later; that of the holder of now stays."""
    shared.create(iam_token("tunnels"))
    host_id = "3f2c0a52-7d3c-4c5e-9b0e-bbbbbbbbbbbb"
    first, second = (aws.identity(arn("tunnels", f"i-0{digit * 16}")) for digit in "12")
    with Peer(shared) as peer:
        before = join_legacy(peer, first, "tunnels", host_id=host_id, token="tunnels", role="Node")
        with raw_tunnel(shared, before, tmp_path) as open_tunnel:
            assert open_tunnel.recv(4096)
            shared.tctl("rm", f"node/{host_id}")
            while open_tunnel.recv(4096):
                pass
        after = join_legacy(peer, second, "tunnels", host_id=host_id, token="tunnels", role="Node")
    with raw_tunnel(shared, after, tmp_path) as mine:
        assert mine.recv(4096)
        with raw_tunnel(shared, before, tmp_path) as theirs:
            while theirs.recv(4096):
                pass
        mine.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while mine.recv(4096):
                pass


TUNNELS = "/cteleport.v1.DialService/Tunnels"


def peer_of(identity, host_id):
    """A proxy's report that it is connected to another one, which has this certificate."""
    return messages().api.TunnelsUp(peer_ids=[host_id], peer_not_before=[calendar.timegm(identity.cert.not_valid_before.timetuple())],
                                    peer_serial_time=[identity.cert.serial_number >> 64])


def test_a_peer_that_is_an_ids_earlier_holder_is_refused(shared, aws):
    """As its tunnels are; the other proxies keep the connections of the holder of now."""
    shared.create(iam_token("peers", roles=("Proxy",)))
    host_id, nobody = "3f2c0a52-7d3c-4c5e-9b0e-cccccccccccc", "3f2c0a52-7d3c-4c5e-9b0e-dddddddddddd"
    first, second = (aws.identity(arn("peers", f"i-0{digit * 16}")) for digit in "12")
    with Peer(shared) as peer:
        before = join_legacy(peer, first, "peers", host_id=host_id, token="peers", role="Proxy")
        shared.tctl("rm", f"node/{host_id}")
        after = join_legacy(peer, second, "peers", host_id=host_id, token="peers", role="Proxy")
        proxy = join_legacy(peer, aws.identity(arn("peers")), "peers", token="peers", role="Proxy")
    with Peer(shared, identity=proxy) as host:
        stream = host.stream(TUNNELS, messages().api.TunnelsDown)
        stream.send(peer_of(after, host_id), peer_of(before, nobody), peer_of(before, host_id))
        unknown, refused = stream.receive_order(), stream.receive_order()
        stream.half_close()
    assert (unknown.host_id, unknown.role, unknown.before) == (nobody, "Proxy", 0)
    assert (refused.host_id, refused.role) == (host_id, "Proxy")
    assert refused.before == peer_of(after, host_id).peer_not_before[0]


def test_a_host_is_disconnected_in_the_roles_that_it_lost(shared, aws):
    """A proxy that joins again keeps its connections with other proxies; a host that is no proxy any more loses them."""
    for role in ("Proxy", "Node"):
        shared.create(iam_token(f"becomes-{role}".lower(), roles=(role,)))
    host_id = "3f2c0a52-7d3c-4c5e-9b0e-eeeeeeeeeeee"
    env = aws.identity(arn("becomes"))
    with Peer(shared) as peer:
        join_legacy(peer, env, "becomes", host_id=host_id, token="becomes-proxy", role="Proxy")
        proxy = join_legacy(peer, aws.identity(arn("peers-of-it")), "peer", token="becomes-proxy", role="Proxy")
        with Peer(shared, identity=proxy) as host:
            stream = host.stream(TUNNELS, messages().api.TunnelsDown)
            stream.send(messages().api.TunnelsUp(peer_ids=["3f2c0a52-7d3c-4c5e-9b0e-ffffffffffff"]))
            stream.receive_order()  # it is served
            for token, role, lost in (("becomes-proxy", "Proxy", "Node"), ("becomes-node", "Node", "Proxy")):
                join_legacy(peer, env, "becomes", host_id=host_id, token=token, role=role)
                downs = [stream.receive_order() for _ in range(2)]
                assert {(down.host_id, down.role) for down in downs} == {(host_id, lost), (host_id, "App")}
            stream.half_close()


def test_an_id_of_an_ec2_instance_is_that_instances_alone(shared, aws):
    shared.create(iam_token("ec2"))
    instance = "i-0eeeeeeeeeeeeeeee"
    host_id = f"{ACCOUNT}-{instance}"
    others = (arn("ec2", "i-0fffffffffffffff0"), arn("ec2", "batch"), arn("ec2", f"x{instance}"), f"arn:aws:iam::{ACCOUNT}:user/{instance}",
              f"arn:aws:sts::{ACCOUNT}:federated-user/{instance}")
    with Peer(shared) as peer:
        for other in others:
            assert legacy_refusal(peer, aws.identity(other), name="ec2", host_id=host_id, token="ec2") == (Code.PERMISSION_DENIED, "host-id"), other
        assert legacy_refusal(peer, aws.identity(arn("ec2", instance)), name="ec2", host_id=f"999999999999-{instance}", token="ec2") == (
            Code.PERMISSION_DENIED, "host-id")
        own = join_legacy(peer, aws.identity(arn("ec2", instance)), "ec2", host_id=host_id, token="ec2", role="Instance")
    with Peer(shared, identity=own) as host:
        assert certify(host, "Node", "ec2").names["O"] == ["Node"]


def test_the_older_service_takes_no_id_of_the_newer(shared, aws):
    shared.create(iam_token("ids"))
    shared.tctl("tokens", "add", "--type=node", "--value=secret-for-the-id-of-a-host")
    with Peer(shared) as peer:
        by_iam, _ = join(peer, aws.identity(arn()), name="new-iam", token="ids")
        by_secret, _ = join_by_secret(peer, "secret-for-the-id-of-a-host", "new-secret")
        for taken in (by_iam, by_secret):
            assert legacy_refusal(peer, aws.identity(arn(session="i-0cccccccccccccccc")), name="other", host_id=taken, token="ids") == (
                Code.PERMISSION_DENIED, "host-id")


def test_a_second_join_with_the_same_keys_keeps_the_id(shared, aws):
    """Of the same identity, token and name only; once removed it is an unknown host."""
    shared.create(iam_token("tries"))
    shared.create(iam_token("tries-elsewhere"))
    first, second = (aws.identity(arn("tries", f"i-0{digit * 16}")) for digit in "12")
    keys = Keys()
    with Peer(shared) as peer:
        host_id, before = join(peer, first, name="tries", keys=keys, token="tries")
        again, after = join(peer, first, name="tries", keys=keys, token="tries")
        assert host_id == again
        others = [join(peer, first, name="tries", token="tries")[0], join(peer, second, name="tries", keys=keys, token="tries")[0],
                  join(peer, first, name="tries-2", keys=keys, token="tries")[0], join(peer, first, name="tries", keys=keys, token="tries-elsewhere")[0]]
        assert len({host_id, *others}) == 5
        for identity in (before, after):
            with Peer(shared, identity=identity) as host:
                assert certify(host, "Node", "tries").names["O"] == ["Node"]
        shared.tctl("rm", f"node/{host_id}")
        join(peer, first, name="tries", keys=keys, token="tries")
    with Peer(shared, identity=after) as host:
        assert certify(host, "Instance", "tries") == Code.UNAUTHENTICATED


def test_half_of_a_hosts_keys_make_another_host(shared, aws):
    """Its public TLS key is no secret; with an SSH key of another it makes no certificate for the ID of that host."""
    shared.create(iam_token("halves"))
    env, keys = aws.identity(arn("halves")), Keys()
    with Peer(shared) as peer:
        ids = [join(peer, env, name="halves", keys=k, token="halves")[0] for k in (keys, Keys(tls=keys.tls), Keys(ssh=keys.ssh))]
    assert len(set(ids)) == 3


# ---- renewal never keeps what the token no longer gives ------------------------------------------------------------------


def join_by_secret(peer, secret, name):
    keys = Keys()
    stream = peer.join().send(client_init(secret, "Instance", "token"))
    assert stream.receive().init.join_method == "token"
    result = stream.send(token_init(host_params(name, keys))).result()
    return result.host_id, Identity.of_join(keys, result.certificates)


def test_a_host_learns_by_which_proof_it_joined(shared, aws):
    shared.create(iam_token("proofs"))
    shared.tctl("tokens", "add", "--type=node", "--value=secret-that-proves-nothing")
    with Peer(shared) as peer:
        keys, stream = Keys(), peer.join()
        proof = prove(aws.identity(arn()), stream.challenge(host_params("proven", keys), token="proofs"))
        proven = Identity.of_join(keys, stream.send(solution(proof)).result().certificates)
        _, secret = join_by_secret(peer, "secret-that-proves-nothing", "unproven")
    for identity, expected in ((proven, hashlib.sha256(proof).digest()), (secret, bytes(32))):
        tls, ssh = Keys().public()
        with Peer(shared, identity=identity) as host:
            answer = host.call("/cteleport.v1.HostService/GenerateHostCerts", messages().api.HostCertsRequest(
                role="Node", public_tls_key=tls, public_ssh_key=ssh), messages().api.HostCertsResponse)
        assert answer.join_proof == expected


def secret_token(name, roles, **metadata):
    return {"kind": "token", "version": "v2", "metadata": {"name": name, **metadata}, "spec": {"roles": list(roles), "join_method": "token"}}


BOTH, NODE, OTHERS = ("Node", "Proxy"), ("Node",), ("Proxy", "App")
NO_MORE = Code.PERMISSION_DENIED
CHANGES = {  # the change of the token; the results of the renewals of Instance, Node and Proxy
    "nothing": (lambda c, t, make: None, (BOTH, True, True)),
    "it lost a role": (lambda c, t, make: c.create(make(NODE)), (NODE, True, False)),
    "it has all other roles": (lambda c, t, make: c.create(make(("App",))), (None, False, False)),
    "it has more roles": (lambda c, t, make: c.create(make((*BOTH, "App"))), (BOTH, True, True)),
    "deleted": (lambda c, t, make: c.tctl("tokens", "rm", t), (BOTH, True, True)),
    "made again as it was": (lambda c, t, make: (c.tctl("tokens", "rm", t), c.create(make(BOTH))), (BOTH, True, True)),
    "made again for less": (lambda c, t, make: (c.tctl("tokens", "rm", t), c.create(make(NODE))), (NODE, True, False)),
    "of another method": (lambda c, t, make: c.create(make(BOTH, other_method=True)), (None, False, False)),
}
RULES = {
    "its rule is for another role": (dict(arn=arn("db", "*")), (None, False, False)),
    "its rule is for another instance": (dict(arn=arn(session="i-0bbbbbbbbbbbbbbbb")), (None, False, False)),
    "its rule is for another account": (dict(account="210987654321"), (None, False, False)),
    "its rule is for it": (dict(arn=arn()), (BOTH, True, True)),
}


def renewed(shared, identity, name, wanted):
    """The three certificates; then the same once more, with the certificate of before and with the new one."""
    roles, node, proxy = wanted
    with Peer(shared, identity=identity) as host:
        fresh = certify(host, "Instance", name)
        if roles is None:
            assert fresh == NO_MORE
        else:
            assert system_roles(fresh) == set(roles)
        for one in filter(None, (identity, fresh if roles else None)):
            with Peer(shared, identity=one) as again:
                for role, has in (("Node", node), ("Proxy", proxy)):
                    got = certify(again, role, name)
                    assert got.names["O"] == [role] if has else got == NO_MORE, role


@pytest.mark.parametrize("method", ["iam", "iam, older service", "token"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_renewal_follows_the_token(shared, aws, method, change):
    happens, wanted = CHANGES[change]
    name = f"renewal-{list(CHANGES).index(change)}-{len(method)}"
    token = f"token-of-{name}-which-is-long"

    def make(roles, other_method=False):
        return secret_token(token, roles) if (method == "token") != other_method else iam_token(token, roles=roles)

    shared.create(make(BOTH))
    env = aws.identity(arn())
    with Peer(shared) as peer:
        if method == "token":
            _, identity = join_by_secret(peer, token, name)
        elif method == "iam":
            _, identity = join(peer, env, name=name, token=token)
        else:
            identity = join_legacy(peer, env, name, token=token, role="Instance")
    happens(shared, token, make)
    renewed(shared, identity, name, wanted)


@pytest.mark.parametrize("change", RULES)
def test_a_renewal_follows_the_rules_of_the_token(shared, aws, change):
    rule, wanted = RULES[change]
    name = f"rule-{list(RULES).index(change)}"
    shared.create(iam_token(name, roles=BOTH))
    with Peer(shared) as peer:
        _, identity = join(peer, aws.identity(arn()), name=name, token=name)
    shared.create(iam_token(name, roles=BOTH, **rule))
    renewed(shared, identity, name, wanted)


@pytest.mark.parametrize("method, left", [("iam", BOTH), ("token", BOTH), ("iam", NODE)])
def test_a_renewal_outlives_the_end_of_the_token(shared, aws, method, left):
    """A short-lived invitation lets hosts join, and its expiry takes no rights from joined hosts; rights removed before stay removed."""
    name = f"ended-{method}-and-long-enough-{len(left)}"

    def make(roles, **expires):
        return iam_token(name, roles=roles, **expires) if method == "iam" else secret_token(name, roles, **expires)

    shared.create(make(BOTH))
    with Peer(shared) as peer:
        _, identity = join(peer, aws.identity(arn()), name=name, token=name) if method == "iam" else join_by_secret(peer, name, name)
        shared.create_ending(lambda expires: make(left, expires=expires))
        wait_until(lambda: name not in str(shared.json("tokens", "ls", "--with-secrets")), "the token has ended")
        assert peer.join().begin(token=name, method=method).refusal().code() == NO_MORE
    renewed(shared, identity, name, (left, True, left == BOTH))


def test_a_role_lost_at_a_renewal_does_not_come_back(shared, aws):
    """Not when the token gives it again; the host would have to join for it."""
    shared.create(iam_token("back", roles=BOTH))
    with Peer(shared) as peer:
        host_id, identity = join(peer, aws.identity(arn()), name="back", token="back")
    with Peer(shared, identity=identity) as host:
        proxy = certify(host, "Proxy", "back")
        stream = presence(host, "back", services=BOTH)
        with Peer(shared, identity=proxy) as as_proxy:
            as_proxy.call("/cteleport.v1.PingService/Ping")
            shared.create(iam_token("back", roles=NODE))
            assert system_roles(certify(host, "Instance", "back")) == {"Node"}
            with pytest.raises(grpc.RpcError):  # its announcements in the lost role
                while True:
                    stream.receive()
            assert as_proxy.join().begin("back", forwarded_by_proxy=True).refusal().code() in (Code.UNAVAILABLE, Code.INVALID_ARGUMENT)
        shared.create(iam_token("back", roles=BOTH))
        assert certify(host, "Proxy", "back") == NO_MORE
        assert system_roles(certify(host, "Instance", "back")) == {"Node"}


# ---- locks of hosts -----------------------------------------------------------------------------------------------------

LOCKS = {
    "server-id": lambda h: h.host_id,
    "node": lambda h: h.name,
    "node in capitals": lambda h: h.name.upper(),
    "node, whole name": lambda h: f"{h.name}.example.test",
    "node, by ID": lambda h: h.host_id,
    "role": lambda h: "Proxy",
    "join-arn": lambda h: h.arn,
    "join-arn, wildcard": lambda h: arn(h.role, "i-*"),
    "join-arn, role of STS": lambda h: arn(h.role, "").rstrip("/"),
    "join-arn, role of IAM": lambda h: f"arn:aws:iam::{h.account}:role/path/{h.role}",
    "aws-account": lambda h: h.account,
}


class Locked:
    """A host that joined by grpcio, with its certificates."""

    def __init__(self, cluster, aws, peer, name, roles, account=ACCOUNT):
        self.cluster, self.peer, self.name, self.role, self.account = cluster, peer, name, f"aws-{name}", account
        self.arn = arn(self.role).replace(ACCOUNT, account)
        self.env = aws.identity(self.arn, account=account)
        cluster.create(iam_token(name, account=account, roles=roles))
        self.host_id, self.identity = join(peer, self.env, name=name, token=name)
        with Peer(cluster, identity=self.identity) as host:
            self.node = certify(host, "Node", name)
            self.proxy = certify(host, "Proxy", name) if "Proxy" in roles else None

    def report_stream(self, peer):
        """A report stream that stays open until it is ended from the other side."""
        return peer.stream("/cteleport.v1.SessionService/Report", messages().api.ReportDown)

    def is_shut_out(self):
        shared = self.cluster
        with Peer(shared, identity=self.identity) as host:
            for role in ("Instance", "Node"):
                assert certify(host, role, self.name) == NO_MORE
            with pytest.raises(grpc.RpcError) as refused:
                presence(host, self.name)
            assert refused.value.code() == NO_MORE and "is locked: gone bad" in refused.value.details()
            assert host.join().begin(self.name).refusal().code() == NO_MORE
        with Peer(shared, identity=self.node) as node:
            with pytest.raises(grpc.RpcError) as refused:
                self.report_stream(node).receive()
            assert refused.value.code() == NO_MORE
        if self.proxy:
            with Peer(shared, identity=self.proxy) as as_proxy:
                assert as_proxy.status("/cteleport.v1.DialService/Dial") == NO_MORE
        stream = self.peer.join()
        stream.send(solution(prove(self.env, stream.challenge(host_params(self.name), token=self.name))))
        refusal = stream.refusal()
        assert refusal.code() == NO_MORE and audited(shared, refusal)["check"] == "lock"
        for role in ("Instance", "Node"):
            assert legacy_refusal(self.peer, self.env, name=self.name, host_id=self.host_id, token=self.name, role=role) == (NO_MORE, "lock")

    def is_let_in(self):
        with Peer(self.cluster, identity=self.identity) as host:
            assert certify(host, "Instance", self.name).names["O"] == ["Instance"]
            presence(host, self.name).half_close()
        join(self.peer, self.env, name=self.name, token=self.name)


def ends(stream):
    with pytest.raises(grpc.RpcError):
        while True:
            stream.receive()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_locked_host_is_shut_out(shared, aws, lock):
    """Its live connections end, it joins and renews no more; other hosts are not affected, and after the unlock it is back."""
    number = list(LOCKS).index(lock)
    with Peer(shared) as peer:
        host = Locked(shared, aws, peer, f"locked-{number}", BOTH if lock == "role" else NODE,
                      account=f"{number:012d}" if lock == "aws-account" else ACCOUNT)
        other = Locked(shared, aws, peer, f"free-{number}", NODE)
        with Peer(shared, identity=host.identity) as live, Peer(shared, identity=host.node) as node, Peer(shared, identity=other.identity) as free:
            stream, report, others = presence(live, host.name), host.report_stream(node), presence(free, other.name)
            said = shared.tctl("lock", f"--{lock.split(',')[0].split(' ')[0]}={LOCKS[lock](host)}", "--message=gone bad").out
            ends(stream)
            ends(report)
            assert others.call.is_active()
            listed = {i["metadata"]["name"]: i["spec"]["state"] for i in shared.json("inventory", "ls")}
            assert listed[host.host_id] == "locked" and listed[other.host_id] != "locked"
            others.half_close()
        host.is_shut_out()
        other.is_let_in()
        shared.tctl("rm", f"lock/{said.split(chr(34))[1]}")
        host.is_let_in()


def lock_name(said):
    return said.out.split('"')[1]


def refused_by_lock(peer, env, name, **request):
    return legacy_refusal(peer, env, name=name, **request) == (NO_MORE, "lock")


def test_a_lock_written_again_keeps_its_target(shared, aws, tmp_path):
    """From a file of then, after the ID got to another machine; and under the same name after the host was removed."""
    shared.create(iam_token("rewritten"))
    host_id = "3f2c0a52-7d3c-4c5e-9b0e-aaaaaaaaaaaa"
    first, second = (aws.identity(arn("rewritten", f"i-0{digit * 16}")) for digit in "12")
    with Peer(shared) as peer:
        join_legacy(peer, first, "rewritten-1", host_id=host_id, token="rewritten", role="Instance")
        name = lock_name(shared.tctl("lock", f"--server-id={host_id}"))
        file = tmp_path / "lock.yaml"
        file.write_text(re.sub(r" *revision:.*\n", "", shared.tctl("get", f"lock/{name}").out))
        shared.tctl("rm", f"lock/{name}")
        shared.tctl("rm", f"node/{host_id}")
        join_legacy(peer, second, "rewritten-2", host_id=host_id, token="rewritten", role="Instance")
        for _ in range(2):
            shared.tctl("create", "-f", file)
            assert refused_by_lock(peer, first, "rewritten-3", token="rewritten")
            assert refused_by_lock(peer, second, "rewritten-4", token="rewritten")
        shared.tctl("rm", f"node/{host_id}")
        shared.create({"kind": "lock", "version": "v2", "metadata": {"name": name}, "spec": {"target": {"server_id": host_id.upper()}}})
        assert refused_by_lock(peer, first, "rewritten-3", token="rewritten")
        assert refused_by_lock(peer, second, "rewritten-4", token="rewritten")
        spec = shared.json("get", f"lock/{name}")[0]["spec"]
        assert {h["aws_arn"] for h in [spec["host"], *spec["earlier_hosts"]]} == {arn("rewritten", f"i-0{digit * 16}") for digit in "12"}
        shared.tctl("rm", f"lock/{name}")
        join_legacy(peer, first, "rewritten-3", token="rewritten")


def test_a_lock_says_which_other_hosts_it_shuts_out(shared, aws):
    shared.create(iam_token("sharing"))
    env, user = aws.identity(arn("sharing", "batch")), aws.identity(f"arn:aws:iam::{ACCOUNT}:user/sharing")
    with Peer(shared) as peer:
        ids = [join(peer, env, name=f"sharing-{i}", token="sharing")[0] for i in range(3)]
        alone, _ = join(peer, aws.identity(arn("sharing", "i-0dddddddddddddddd")), name="sharing-alone", token="sharing")
        users = [join(peer, user, name=f"sharing-user-{i}", token="sharing")[0] for i in range(12)]
    said = shared.tctl("lock", f"--server-id={ids[0]}")
    assert "shuts out 2 other hosts of the same AWS identity" in said.err and ids[0] not in said.err
    assert all(f"sharing-{i} ({ids[i]})" in said.err for i in (1, 2)) and "sharing-alone" not in said.err
    by_arn = shared.tctl("lock", f"--join-arn={arn('sharing', 'batch')}")
    assert "this lock shuts out 3 hosts: " in by_arn.err and all(host_id in by_arn.err for host_id in ids)
    by_id = shared.tctl("lock", f"--server-id={users[0]}")
    assert "is not that of one machine" in by_id.err and "also 11 others: " in by_id.err and "and 1 more" in by_id.err
    one = shared.tctl("lock", f"--server-id={alone}")
    exact = shared.tctl("lock", f"--join-arn={arn('sharing', 'i-0dddddddddddddddd')}")
    assert one.err == exact.err == ""
    nobody = shared.tctl("lock", "--join-arn=arn:aws:sts::123456789012:assumed-role/nobody-there/*")
    assert "no host of this identity has joined" in nobody.err
    for lock in (said, by_arn, by_id, one, exact, nobody):
        shared.tctl("rm", f"lock/{lock_name(lock)}")


def test_a_lock_of_role_instance_shuts_every_host_out(shared, aws):
    with Peer(shared) as peer:
        host = Locked(shared, aws, peer, "every-host", NODE)
        said = shared.tctl("lock", "--role=instance", "--message=gone bad").out
        host.is_shut_out()
        shared.tctl("rm", f"lock/{said.split(chr(34))[1]}")
        host.is_let_in()


def test_a_lock_of_a_host_ends_by_itself(shared, aws):
    with Peer(shared) as peer:
        host = Locked(shared, aws, peer, "locked-for-a-while", NODE)
        name = shared.tctl("lock", f"--server-id={host.host_id}", "--message=gone bad").out.split('"')[1]
        host.is_shut_out()
        shared.create_ending(lambda expires: {"kind": "lock", "version": "v2", "metadata": {"name": name},
                                              "spec": {"target": {"server_id": host.host_id}, "expires": expires}})
        with Peer(shared, identity=host.identity) as live:
            wait_until(lambda: certify(live, "Instance", host.name) != NO_MORE, "the lock has ended")
        host.is_let_in()


def test_a_lock_during_the_sts_request_stops_the_join(shared, aws):
    shared.create(iam_token("meanwhile"))
    aws.sts_mode("held")
    with Peer(shared) as peer:
        stream = peer.join()
        stream.send(solution(prove(aws.identity(arn("meanwhile")), stream.challenge(host_params("meanwhile"), token="meanwhile"))))
        wait_until(lambda: aws.requests(), "STS is asked")
        said = shared.tctl("lock", "--node=meanwhile").out
        aws.sts_mode("ok")
        refusal = stream.refusal()
        assert refusal.code() == NO_MORE and audited(shared, refusal)["check"] == "lock"
    shared.tctl("rm", f"lock/{said.split(chr(34))[1]}")


@pytest.mark.parametrize("target", [{"join_arn": ""}, {"join_arn": "web"}, {"join_arn": "arn:aws:sts::1: x"}, {"aws_account": "12345"}, {"aws_account": None},
                                    {"user": "alice", "node": ""}, {"join_arn": arn(), "aws_account": ACCOUNT}])
def test_a_lock_of_no_host_or_too_many_is_refused(shared, target):
    done = shared.tctl("create", "-f", stdin={"kind": "lock", "version": "v2", "metadata": {"name": "bad"}, "spec": {"target": target}}, check=False)
    assert done.code == 1 and "spec.target" in done.err, done.err


@pytest.mark.parametrize("lock", ["server-id", "join-arn"])
def test_a_locked_agent_loses_its_tunnel_until_it_is_unlocked(shared, aws, lock):
    shared.create(iam_token("tunnels"))
    host = shared.host(f"agent-{lock}", env=aws.identity(arn(f"agent-{lock}")), token="tunnels").start()
    try:
        host.wait_joined()
        host.wait_reachable()
        shared.process.mark()
        host.process.mark()
        said = shared.tctl("lock", f"--{lock}={host.host_id if lock == 'server-id' else arn(f'agent-{lock}', '*')}", "--message=gone bad").out
        event = shared.event("lock.created", name=said.split(chr(34))[1])
        locked = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
        # At once: only a host that has connections keeps its tunnels, for four seconds (PACE_LOCKED_TUNNEL). Times of logs are whole seconds.
        assert shared.process.time_of(f"The tunnels of a node are ended by the cluster[^\n]*{host.host_id}") + 1 - locked < 4
        host.process.wait_for("is locked: gone bad")
        shared.process.mark()  # it connects again, and is refused again
        shared.process.wait_for("The tunnels of a node are ended by the cluster")
        host.process.mark()
        shared.tctl("rm", f"lock/{said.split(chr(34))[1]}")
        host.process.wait_for("This host is present in the cluster")
        host.process.wait_for("Reverse tunnel established")
    finally:
        host.stop()


def test_a_removed_agent_loses_its_tunnel(shared, aws):
    shared.create(iam_token("removed"))
    host = shared.host("agent-removed", env=aws.identity(arn("agent-removed")), token="removed").start()
    try:
        host.wait_joined()
        host.wait_reachable()
        shared.process.mark()
        shared.tctl("rm", "token/removed")
        shared.tctl("rm", f"node/{host.host_id}")
        shared.process.wait_for("The tunnels of a node are ended by the cluster")
    finally:
        host.stop()


# ---- connections end with the certificate that opened them -----------------------------------------------------------------


@pytest.fixture(scope="module")
def brief(build, aws_process, tmp_path_factory):
    """A cluster whose host certificates live for seconds: enough for a renewal on a busy machine under sanitizers."""
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("brief") / "cluster", auth={"host_cert_ttl": "12s"})
    yield cluster.start()
    assert cluster.stop() == 0


def raw_tunnel(cluster, identity, directory):
    """A connection to the proxy as a node opens one for its tunnel: with its settings of HTTP/2, which make it a tunnel, and no more."""
    chain = directory / "node.pem"
    chain.write_bytes(identity.key_pem + identity.cert_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["cteleport-reversetunnel"])
    context.load_cert_chain(chain)
    host, port = cluster.proxy_addr.rsplit(":", 1)
    tunnel = context.wrap_socket(socket.create_connection((host, int(port)), timeout=TIMEOUT), server_hostname="teleport.cluster.local")
    tunnel.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    return tunnel


def test_connections_end_with_the_certificate_that_opened_them(brief, aws, tmp_path):
    brief.create(iam_token("brief"))
    with Peer(brief) as peer:
        _, identity = join(peer, aws.identity(arn()), name="brief", token="brief")
    with Peer(brief, identity=identity) as host:
        node = certify(host, "Node", "brief")
        stream = presence(host, "brief")
        with Peer(brief, identity=node) as as_node, raw_tunnel(brief, node, tmp_path) as tunnel:
            report = as_node.stream("/cteleport.v1.SessionService/Report", messages().api.ReportDown)
            ends(stream)
            ends(report)
            while tunnel.recv(4096):
                pass
        end = max(identity.cert.not_valid_after, node.cert.not_valid_after)
        assert abs((datetime.datetime.utcnow() - end).total_seconds()) < 5
        assert certify(host, "Instance", "brief") == Code.UNAVAILABLE  # the handshake fails


def test_an_agent_outlives_its_certificates_without_a_gap(brief, aws):
    """It connects with each new certificate, and has a tunnel all the time."""
    brief.create(iam_token("long-lived"))
    host = brief.host("long-lived", env=aws.identity(arn()), token="long-lived").start()
    try:
        host.wait_joined()
        host.wait_reachable()
        for _ in range(3):
            host.process.wait_for("Reverse tunnel renewed")
            host.process.mark()
        text = host.process.text()
        assert text.count("Reverse tunnel established") == 1 and "A reverse tunnel is lost" not in text, text
        assert text.count("This host is present in the cluster") == 1
        wait_until(lambda: brief.process.text().count("A node's tunnel has ended") >= 2, "the older tunnels are gone")
    finally:
        host.stop()


def test_a_session_outlives_the_certificates_it_began_under(make_cluster, aws, programs, invite, tmp_path):
    """Tunnels and report streams are opened again during it, and the session continues and is reported."""
    cluster = make_cluster(build=programs, auth={"host_cert_ttl": "10s"})
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    host.wait_reachable()
    bob = invite(cluster, "bob", "access", "root")
    bob.login()
    over = tmp_path / "over"
    running = subprocess.Popen([program(programs, "tsh"), "ssh", "root@web-1", f"echo begun; until [ -e {over} ]; do sleep 0.1; done; echo still here"],
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=bob.env)
    assert running.stdout.readline() == "begun\n"
    renewed = host.process.text().count("Reverse tunnel renewed")
    wait_until(lambda: host.process.text().count("Reverse tunnel renewed") >= renewed + 3, "the certificates of the beginning have ended")
    over.touch()
    assert running.communicate(timeout=TIMEOUT)[0] == "still here\n" and running.returncode == 0
    ended = wait_until(lambda: cluster.events("session.end"), "its end is audited")
    assert [e["user"] for e in ended] == ["bob"]
