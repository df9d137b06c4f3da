# SPDX-License-Identifier: Apache-2.0
"""A captured Proxy Service: the methods that it may call at the Auth Service, and its effect on hosts."""
import grpc
import pytest

from fake_auth import FakeAuth
from harness import TIMEOUT, Cluster, iam_token
from join_client import Keys, Peer, client_init, join, join_legacy, messages, pinned_ca, serialize

Code = grpc.StatusCode
SHUT = (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED)
ADMIN, HOSTS, SESSIONS = "/cteleport.v1.AdminService/", "/cteleport.v1.HostService/", "/cteleport.v1.SessionService/"


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    """A cluster with a node; the captured proxy tries to obtain names and rights of the node."""
    aws_process.reset()
    peering = {"tunnel_strategy": {"type": "proxy_peering"}}
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("captured") / "cluster", auth=peering)
    cluster.config["proxy_service"]["peer_listen_addr"] = "127.0.0.1:0"
    cluster.start()
    cluster.create(iam_token())
    cluster.create(iam_token("proxies", roles=("Proxy",)))
    yield cluster
    assert cluster.stop() == 0


@pytest.fixture(scope="module")
def proxy(shared, aws_process):
    with Peer(shared) as peer:
        return join_legacy(peer, aws_process.identity(), name="captured", token="proxies", role="Proxy")


def test_a_captured_proxy_can_call_proxy_methods_only(shared, proxy):
    """All of them, as proto/api.proto has them: administration, recordings, resources, other hosts' certificates."""
    service = messages().api.DESCRIPTOR.services_by_name
    open_to_proxies = {"LoginService", "DialService", "PingService", "HostService", "PassService"}
    public_keys = "AppTokenService/Keys"  # which proxies publish
    with Peer(shared, identity=proxy) as captured:
        tried = 0
        for name in sorted(set(service) - open_to_proxies):
            for method in (m for m in service[name].methods if f"{name}/{m.name}" != public_keys):
                stream = captured.channel.stream_stream(f"/cteleport.v1.{name}/{method.name}", serialize, bytes)
                with pytest.raises(grpc.RpcError) as refused:
                    list(stream(iter([method.input_type._concrete_class()]), timeout=TIMEOUT))
                assert refused.value.code() in SHUT, method.name
                tried += 1
    assert tried > 25
    assert not shared.tctl("get", "locks", "--format=json").out.strip("[]\n ")


def certificate_for(peer, role, **names):
    tls, ssh = Keys().public()
    api = messages().api
    return peer.status(HOSTS + "GenerateHostCerts",
                       api.HostCertsRequest(**{"role": role, "host_name": "captured", "public_tls_key": tls, "public_ssh_key": ssh, **names}))


def test_a_captured_proxy_gets_no_certificate_of_another_host(shared, proxy, aws_process):
    with Peer(shared) as peer:
        join(peer, aws_process.identity(arn="arn:aws:sts::123456789012:assumed-role/db/i-0bbbbbbbbbbbbbbbb"), name="db-1")
    with Peer(shared, identity=proxy) as captured:
        for role in ("Node", "Auth", "Instance", "Admin", ""):
            assert certificate_for(captured, role) in (*SHUT, Code.INVALID_ARGUMENT), role
        for names in ({"host_name": "db-1"}, {"host_name": "auth-1"}, {"dns_names": ["db-1"]}, {"dns_names": ["auth-1.example.test"]}):
            assert certificate_for(captured, "Proxy", **names) != Code.OK, names


def test_a_captured_proxy_speaks_for_no_node(shared, proxy):
    api = messages().api
    with Peer(shared, identity=proxy) as captured:
        for method, message in (("Report", api.ReportUp(seq=1)), ("Record", api.RecordUp())):
            stream = captured.stream(SESSIONS + method, getattr(api, method + "Down")).send(message)
            with pytest.raises(grpc.RpcError) as refused:
                stream.receive()
            assert refused.value.code() in SHUT


def test_a_captured_proxy_is_named_for_nodes_only(shared, proxy, aws_process):
    """To other proxies, which relay their users' connections to it: it may claim more tunnels than it has."""
    api, dial = messages().api, "/cteleport.v1.DialService/"
    with Peer(shared) as peer:
        node_id, _ = join(peer, aws_process.identity(), name="web-9")
        other = join_legacy(peer, aws_process.identity(), name="other", token="proxies", role="Proxy")
        not_a_node, _ = join(peer, aws_process.identity(), name="no-node", token="proxies")
    with Peer(shared, identity=proxy) as captured, Peer(shared, identity=other) as honest:
        stream = captured.stream(dial + "Tunnels", api.TunnelsDown)
        stream.send(api.TunnelsUp(peer_addr="127.0.0.1:1111"), api.TunnelsUp(peer_addr="127.0.0.1:2222"),
                    api.TunnelsUp(host_ids=[node_id]), api.TunnelsUp(host_ids=[not_a_node]))
        refused = stream.receive_order()
        assert (refused.host_id, refused.role) == (not_a_node, "Node")
        located = {host_id: honest.call(dial + "Locate", api.LocateRequest(host_id=host_id), api.LocateResponse) for host_id in (node_id, not_a_node)}
        stream.half_close()
    assert [found.addr for found in located[node_id].peers] == ["127.0.0.1:1111"]
    assert not located[not_a_node].peers


def test_an_address_that_is_too_long_is_refused_not_cut(shared, proxy):
    api, address = messages().api, "203.0.113.7:4711" + 200 * " "
    login = "/cteleport.v1.LoginService/"
    with Peer(shared, identity=proxy) as captured:
        for path, request in ((login + "Login", api.LoginRequest(user="alice", remote_addr=address)),
                              (login + "OpenInvite", api.OpenInviteRequest(token=32 * "0", remote_addr=address)),
                              (login + "AcceptInvite", api.AcceptInviteRequest(token=32 * "0", remote_addr=address)),
                              ("/cteleport.v1.DialService/Dial", api.DialRequest(kind="node", target="web-1", client_addr=address))):
            with pytest.raises(grpc.RpcError, match="the client's address is not one"):
                captured.call(path, request)
        supplied = messages().join.ClientInit.ProxySuppliedParameters(remote_addr=address, client_version="16.0.0")
        stream = captured.join()
        stream.send(client_init(forwarded_by_proxy=True, proxy_supplied_parameters=supplied))
        assert "the client's address is not one" in str(stream.refusal())


def test_a_captured_proxy_is_no_auth_to_a_member(shared, proxy, aws):
    """Its certificate is the cluster's, of another role: a host that connects to auth sends nothing to it."""
    host = shared.host("web-1", via="auth", env=aws.identity())
    host.start().wait_joined()
    host.stop()
    chain = proxy.cert_pem + pinned_ca(shared.auth_addr, shared.ca_pin)
    with FakeAuth(proxy.key_pem, chain) as rogue:
        host.config["teleport"]["auth_server"] = rogue.addr
        host.start().process.wait_for("of role 'Proxy' instead of")
        host.stop()
        assert rogue.received.empty()
