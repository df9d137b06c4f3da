# SPDX-License-Identifier: Apache-2.0
"""Whatever changes the identity of an agent: when it is listed as connected, a dial gets through."""
import os
import signal

import pytest

from harness import Cluster, iam_token, wait_until
from people import Person, invite_url


@pytest.fixture(scope="module")
def place(build, aws_process, programs, tmp_path_factory):
    """A cluster and somebody who may log in to its nodes."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("identity") / "cluster", auth={"host_cert_ttl": "20s"}).start()
    words = cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    cluster.alice = Person(cluster, "alice", tmp_path_factory.mktemp("home")).accept(invite_url(words))
    cluster.alice.login()
    yield cluster
    assert cluster.stop() == 0


def arn(name):
    return f"arn:aws:sts::123456789012:assumed-role/{name}/i-0aaaaaaaaaaaaaaaa"


def node(place, aws, name, **settings):
    """An agent that has joined by a token and an AWS role of its own."""
    place.create(iam_token(name))
    host = place.join(name, env=aws.identity(arn(name)), token=name, **settings)
    reached(place, host)
    return host


def instance(place, name):
    """What is listed of the agent of this name; several only while one is being replaced."""
    return [i for i in place.json("inventory", "ls") if i["spec"]["hostname"] == name]


def is_online(place, name):
    return next((i for i in instance(place, name) if i["spec"].get("is_connected")), None)


def reached(place, host):
    """Waits until the agent is listed as connected, and dials at once."""
    listed = wait_until(lambda: is_online(place, host.name), f"{host.name} is listed as connected")
    dial(place, host)
    wait_until(lambda: host.status()["state"] == "connected" and host.status()["host_id"] == listed["metadata"]["name"], "teleport status says so too")
    dial(place, host)
    return listed["metadata"]["name"]


def dial(place, host):
    assert place.alice.tsh("ssh", "--no-mux", f"root@{host.name}", "echo here").out == "here\n"


def state(place, host):
    return [i["spec"]["state"] for i in instance(place, host.name)]


def test_a_removed_agent_is_reached_under_its_new_id(place, aws):
    host = node(place, aws, "removed")
    before = host.host_id
    place.tctl("rm", f"node/{before}")
    assert reached(place, host) != before
    host.stop()


def test_an_agent_whose_token_is_back_is_reached(place, aws):
    host = node(place, aws, "token-back")
    place.tctl("rm", "token/token-back")
    place.tctl("rm", f"node/{host.host_id}")
    wait_until(lambda: host.status()["state"] == "joining", "it is not connected")
    assert state(place, host) == []
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1 and "has not joined" in done.err
    place.create(iam_token("token-back"))
    reached(place, host)
    host.stop()


def test_a_renewed_agent_is_reached(place, aws):
    host = node(place, aws, "renewed")
    before = host.identity("node")["tls_cert"]
    wait_until(lambda: host.identity("node")["tls_cert"] != before, "the certificate is renewed")
    reached(place, host)
    host.stop()


def test_an_unlocked_agent_is_who_it_was(place, aws):
    host = node(place, aws, "unlocked")
    before = host.host_id
    name = place.tctl("lock", f"--server-id={before}", "--message=gone bad").out.split('"')[1]
    wait_until(lambda: host.status()["state"] == "locked", "the agent knows it")
    assert state(place, host) == ["locked"]
    assert "(locked)" in place.tctl("nodes", "ls").out and "(locked)" in place.alice.tsh("ls").out
    assert "is locked: gone bad" in place.alice.tsh("ssh", "--no-mux", "root@unlocked", "true", check=False).err
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1 and "locked since" in done.out and "locked" in done.err
    host.process.mark()
    place.tctl("rm", f"lock/{name}")
    assert reached(place, host) == before
    assert "Joining the cluster" not in host.process.new_text()
    host.stop()


def test_an_agent_without_a_tunnel_is_not_called_connected(place, aws):
    host = node(place, aws, "no-tunnel")
    os.kill(host.process.children()["ssh"], signal.SIGSTOP)
    ssh = host.process.children()["ssh"]
    place.process.mark()
    os.kill(place.process.children()["proxy"], signal.SIGKILL)
    place.process.wait_for("service is back name:proxy")
    wait_until(lambda: state(place, host) == ["unreachable"], "no proxy has a tunnel to it")
    assert "(unreachable)" in place.tctl("nodes", "ls").out
    os.kill(ssh, signal.SIGCONT)
    reached(place, host)
    host.stop()


def test_an_agent_is_reached_after_a_restart_of_the_cluster(place, aws):
    host = node(place, aws, "restarted")
    place.restart()
    reached(place, host)
    host.stop()


def test_an_agent_that_ends_in_order_leaves_the_lists(place, aws):
    host = node(place, aws, "left")
    host.stop()
    assert instance(place, "left") == [] and "left" not in place.alice.tsh("ls", "--format=names").out.split()
