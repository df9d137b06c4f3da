# SPDX-License-Identifier: Apache-2.0
"""A host or a client that repeats something without a pause is refused or counted, alone: docs/operate/retention.md."""
import concurrent.futures
import socket
import subprocess

import grpc
import pytest

from harness import TIMEOUT, port_of, reserved_port, wait_until
from join_client import Identity, Keys, Peer, host_params, messages, prove, solution
from tcp_server import TcpServer
from test_decision import certify

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
RENEWALS, MESSAGES = 240, 6000  # LIMIT_RENEWALS_BURST, LIMIT_PRESENCE_BURST
REPEATED = 600  # LIMIT_EVENTS_REPEATED_BURST


class Host:
    """A host that joins and speaks by the messages of the test."""

    def __init__(self, cluster, env, name):
        keys, self.cluster = Keys(), cluster
        with Peer(cluster) as peer:
            stream = peer.join()
            challenge = stream.challenge(host_params(name, keys))
            result = stream.send(solution(prove(env, challenge))).result()
        self.id = result.host_id
        self.peer = Peer(cluster, identity=Identity.of_join(keys, result.certificates))

    def presence(self, name):
        api = messages().api
        hello = api.PresenceUp(hello=api.PresenceUp.Hello(hostname=name, version="16.1.0", process_nonce=name, services=["Node"]))
        stream = self.peer.stream("/cteleport.v1.HostService/Presence", api.PresenceDown).send(hello)
        assert any(stream.receive().WhichOneof("payload") == "welcome" for _ in range(5))
        return stream


@pytest.fixture
def hosts(shared, aws):
    """One that floods, and another one."""
    found = [Host(shared, aws.identity(), name) for name in ("flood-1", "quiet-1")]
    yield found
    for host in found:
        host.peer.channel.close()
        shared.tctl("rm", f"node/{host.id}")


def test_a_host_that_renews_in_a_loop_is_refused_alone(shared, hosts):
    (flood, quiet), keys, results = hosts, Keys(), []
    shared.process.mark()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        while EXHAUSTED not in results:
            results += pool.map(lambda _: certify(flood.peer, "Node", keys), range(RENEWALS + 20))
            assert len(results) < 10 * RENEWALS, "never refused"
    assert len(results) > RENEWALS and all(r == EXHAUSTED or r.names["O"] == ["Node"] for r in results)
    assert certify(quiet.peer, "Node").names["O"] == ["Node"]
    shared.process.wait_for(f"A host is beyond its pace, and is refused host_id:{flood.id} what:\"?requests for certificates")
    wait_until(lambda: certify(flood.peer, "Node") != EXHAUSTED, "it may renew again after a pause")


@pytest.mark.parametrize("kind", ["heartbeat", "labels"])
def test_a_host_that_floods_its_presence_is_refused_alone(shared, hosts, kind):
    flood, quiet = hosts
    api = messages().api
    message = api.PresenceUp(**{kind: getattr(api.PresenceUp, kind.capitalize())()})
    loud, other = flood.presence("flood-1"), quiet.presence("quiet-1")
    loud.send(*[message] * (2 * MESSAGES))
    with pytest.raises(grpc.RpcError) as refused:
        while True:
            loud.receive()
    assert refused.value.code() == EXHAUSTED and "this host sends more than 6000 heartbeats and labels a minute" in refused.value.details()
    loud.half_close()
    labels = api.PresenceUp(labels=api.PresenceUp.Labels())
    labels.labels.commands.add(name="flooded", result=kind)
    other.send(labels)
    found = lambda: [n["spec"].get("cmd_labels") for n in shared.nodes() if n["metadata"]["name"] == quiet.id]
    wait_until(lambda: kind in str(found()), "the label of the other host has arrived")
    other.half_close()


def connect(holder):
    """Connects to a forwarded port, and waits for the end; False: nothing listens there yet."""
    try:
        with socket.create_connection(("127.0.0.1", port_of(holder)), timeout=TIMEOUT) as connection:
            return connection.recv(1) == b""
    except ConnectionRefusedError:
        return False


def test_a_loop_of_forwardings_is_counted(access, alice):
    """By OpenSSH's client: one port, again and again. The log has their number, and another address as always."""
    total = REPEATED + 150
    with TcpServer(lambda connection: None) as target, TcpServer(lambda connection: None) as other, reserved_port() as first, reserved_port() as second:
        forwards = [f"-L127.0.0.1:{port_of(port)}:{to.addr}" for port, to in ((first, target), (second, other))]
        ssh = subprocess.Popen(["ssh", "-F", alice.ssh_config(), "-N", "-oExitOnForwardFailure=yes", *forwards, "root@web-1.example.test"], env=alice.env)
        wait_until(lambda: connect(first), "the port is forwarded")
        for _ in range(total - 1):
            assert connect(first)
        wait_until(lambda: connect(second), "the other port is forwarded")
        ssh.terminate()
        ssh.wait(TIMEOUT)
    wait_until(lambda: access.events("session.data"), "the connection has ended")
    counts = [len([e for e in access.events("port") if e.get("addr") == to.addr]) for to in (target, other)]
    left_out = sum(e.get("suppressed", 0) for e in access.events("port"))
    assert counts[0] + left_out == total and left_out > 0 and counts == [total - left_out, 1] and counts[0] >= REPEATED
    access.process.wait_for("Events of a connection that repeat others were not recorded one by one kind:port")
