# SPDX-License-Identifier: Apache-2.0
"""What a host may be and say ends with what gave it: its token, its attested identity, a lock, its certificate."""
import grpc
import pytest

from harness import Cluster, iam_token, wait_until
from join_client import Peer, join, messages

Code = grpc.StatusCode


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
    """An open Presence stream whose greeting was answered."""
    stream = peer.stream("/cteleport.v1.HostService/Presence", messages().api.PresenceDown)
    stream.send(hello(*args, **more))
    assert stream.receive().welcome.cluster == "example.test"
    return stream


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
        assert node["metadata"]["labels"] == {"env": "prod"}
        assert [label["name"] for label in node["spec"]["cmd_labels"]] == ["os"]
        stream.send(api.PresenceUp(labels=api.PresenceUp.Labels(commands=[{"name": name, "result": "later"} for name in (*reserved, "os")])))
        wait_until(lambda: [(c["name"], c["result"]) for c in shared.node("labelled")["spec"]["cmd_labels"]] == [("os", "later")], "the label is new")
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
