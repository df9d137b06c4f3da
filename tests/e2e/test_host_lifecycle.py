# SPDX-License-Identifier: Apache-2.0
"""The life of a host after its join: renewals, restarts of either side, removals, clones."""
import re
import subprocess

import pytest

from harness import TIMEOUT, iam_token, reserved_port, wait_until


def joins(cluster, count=1, **wanted):
    """The joins that were let in: so many, which are awaited."""
    return cluster.exactly(count, "instance.join", success=True, **wanted)


def is_connected(cluster, host):
    return any(i["metadata"]["name"] == host.host_id and i["spec"].get("is_connected") for i in cluster.json("inventory", "ls"))


def count(process, pattern):
    return len(re.findall(pattern, process.new_text()))


# ---- certificates -----------------------------------------------------------------------------------


def test_a_certificate_is_renewed_at_half_life_without_rejoining(make_cluster, aws):
    cluster = make_cluster(auth={"host_cert_ttl": "12s"})
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    before = {role: host.identity(role) for role in ("instance", "node")}
    asked = len(aws.requests())
    for role in ("Instance", "Node"):
        host.process.wait_for(rf"The certificate was renewed role:{role}")
    after = wait_until(lambda: all(host.identity(role)["tls_cert"] != before[role]["tls_cert"] for role in before) and
                       {role: host.identity(role) for role in before}, "both identities are renewed")
    for role in before:
        assert after[role]["tls_key"] != before[role]["tls_key"], "new keys"
    joins(cluster)
    assert len(aws.requests()) == asked, "no proof of the AWS identity"
    wait_until(lambda: is_connected(cluster, host), "it is connected with the new certificate")
    assert count(host.process, "present in the cluster") == 1, "the new connection is no news"


def test_a_fresh_certificate_is_left_alone(make_cluster, aws):
    cluster = make_cluster(auth={"host_cert_ttl": "10m", "heartbeat_ttl": "4s"})
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())

    def beats():
        return {n["spec"]["last_heartbeat"] for n in cluster.nodes() if n["spec"]["hostname"] == "web-1"}

    before = wait_until(beats, "a heartbeat")
    wait_until(lambda: beats() - before, "the next heartbeat")
    assert "renewed" not in host.process.text()


def test_a_host_with_an_expired_certificate_joins_again(make_cluster, aws):
    cluster = make_cluster(auth={"host_cert_ttl": "5s"})
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    host.stop()
    cluster.event("instance.join", success=True)
    before = len(cluster.events("instance.join"))  # one, unless it took longer than the certificate is valid
    ended = ["openssl", "x509", "-inform", "DER", "-noout", "-checkend", "0"]
    wait_until(lambda: subprocess.run(ended, input=host.identity()["tls_cert"], capture_output=True).returncode, "its end")
    host.start()
    host.wait_joined()
    assert "has ended" in host.process.text()
    wait_until(lambda: len(cluster.events("instance.join")) > before, "it has joined again")


def test_a_removed_host_joins_again_by_itself(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    first = host.host_id
    host.process.mark()
    cluster.tctl("rm", f"node/{first}")
    host.process.wait_for("the cluster no longer knows this host")
    host.wait_joined()
    joins(cluster, 2)
    wait_until(lambda: [n["metadata"]["name"] for n in cluster.nodes()] == [host.host_id], "its ID is stored")
    assert cluster.event("node.delete")["host_id"] == first


def test_a_removed_host_without_token_stays_out_and_logs_once(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    cluster.tctl("rm", "token/iam-token")
    host.process.mark()
    cluster.tctl("rm", f"node/{host.host_id}")
    wait_until(lambda: len([e for e in cluster.events("instance.join") if not e["success"]]) >= 2, "two refusals")
    assert cluster.nodes() == []
    assert count(host.process, "Can not join the cluster") == 1


# ---- restarts ----------------------------------------------------------------------------------------


def assert_comes_back(cluster, host):
    host.wait_joined()
    wait_until(lambda: is_connected(cluster, host), "it is listed again")
    for service, few in (("INSTANCE", 2), ("SSH", 4)):  # one for each thing that is wrong in turn, not one for each try
        assert count(host.process, rf"(?:ERRO|WARN) \[{service}\]") <= few, host.process.new_text()
    assert count(host.process, "present in the cluster") == 1
    joins(cluster)


@pytest.mark.parametrize("service", ["proxy", "auth"])
def test_a_host_outlives_the_death_of_a_service(cluster, aws, service):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    host.process.mark()
    subprocess.run(["kill", "-9", str(cluster.process.children()[service])], check=True)
    cluster.process.wait_for(f"service is back name:{service}")
    assert_comes_back(cluster, host)


@pytest.mark.parametrize("via", ["proxy", "auth"])
def test_a_host_outlives_a_restart_of_the_cluster(cluster, aws, via):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity(), via=via)
    if via == "proxy":
        host.wait_reachable()
    host.process.mark()
    cluster.stop_cluster()
    host.process.wait_for("WARN")
    cluster.start()
    assert_comes_back(cluster, host)


def test_a_host_that_starts_before_its_cluster_waits_for_it(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity())
    cluster.stop_cluster()
    host.start()
    host.process.wait_for("Can not join the cluster")
    cluster.start()
    host.wait_joined()
    assert count(host.process, "Can not join the cluster") == 1


# ---- presence ----------------------------------------------------------------------------------------


def test_a_dead_host_leaves_the_list_when_its_heartbeat_expires(make_cluster, aws):
    cluster = make_cluster(auth={"heartbeat_ttl": "4s"})  # the other one has half of it for its next
    cluster.create(iam_token())
    dead = cluster.join("dead-1", env=aws.identity())
    cluster.join("alive-1", env=aws.identity())
    for pid in [dead.process.pid, *dead.process.children().values()]:
        subprocess.run(["kill", "-9", str(pid)], check=True)
    dead.process, process = None, dead.process
    process.popen.wait()
    wait_until(lambda: cluster.node("dead-1") is None, "it is gone")
    wait_until(lambda: [i["spec"]["hostname"] for i in cluster.json("inventory", "ls")] == ["alive-1", "auth-1"], "the others are listed")


def test_duplicate_host_detection_warns_both_hosts(cluster, aws):
    cluster.create(iam_token())
    original = cluster.join("web-1", env=aws.identity())
    clone = original.clone("web-1-clone")
    for host in (original, clone):
        host.process.wait_for("two live agents have the host ID " + original.host_id)
        wait_until(lambda: any("two live agents" in notice for notice in host.status()["notices"]), "status.json says so")
        assert "two live agents" in host.teleport("status", "--data-dir", host.data_dir).out
    event = wait_until(lambda: [e for e in cluster.events() if e.get("host_id") == original.host_id and "first_addr" in e],
                       "it is audited")
    assert len(event) == 1


def test_the_survivor_of_a_clone_is_still_connected(cluster, aws):
    cluster.create(iam_token())
    original = cluster.join("web-1", env=aws.identity())
    clone = original.clone("web-1")
    clone.process.wait_for("two live agents")
    clone.stop()
    cluster.process.wait_for("Agent disconnected")
    wait_until(lambda: is_connected(cluster, original), "it is connected")


# ---- services -------------------------------------------------------------------------------------------


def remote_proxy(cluster, name="proxy-2", **env):
    """A Proxy Service on another machine."""
    host = cluster.host(name, via="auth", env=env)
    host.config["proxy_service"] = {"enabled": "yes", "web_listen_addr": "127.0.0.1:0"}
    host.config["ssh_service"] = {"enabled": "no"}
    return host


def test_a_proxy_on_another_machine_joins_and_serves_joins_itself(make_cluster, aws):
    cluster = make_cluster(proxy=False)
    cluster.create(iam_token("proxies", roles=["Proxy"]))
    cluster.create(iam_token())
    proxy = remote_proxy(cluster, **aws.identity())
    proxy.config["teleport"]["join_params"]["token_name"] = "proxies"
    proxy.start()
    cluster.proxy_addr = proxy.process.wait_for(r"Proxy service listening addr:(\S+)").group(1)
    proxy.wait_joined()
    host = cluster.join("web-1", env=aws.identity())
    event = joins(cluster, 1, node_name="web-1")[0]
    assert event["addr.remote"].startswith("127.0.0.1:")
    assert joins(cluster, 1, node_name="proxy-2")[0]["token_name"] == "proxies"
    proxy.process.mark()
    host.process.mark()
    proxy.config["proxy_service"]["web_listen_addr"] = cluster.proxy_addr
    proxy.stop()
    with reserved_port(port=int(cluster.proxy_addr.rsplit(":", 1)[1])):
        proxy.start()
        proxy.process.wait_for("Proxy service listening")
    host.wait_joined()


@pytest.mark.parametrize("service", ["app_service", "db_service", "kubernetes_service", "windows_desktop_service"])
def test_a_missing_service_is_refused_with_an_explanation(cluster, aws, service):
    host = cluster.host(env=aws.identity(), services={service: {"enabled": "yes"}})
    host.start()
    assert host.process.popen.wait(TIMEOUT) == 1
    assert re.search(rf"ERROR: .*{service}", host.process.text()), host.process.text()
    host.process = None


def test_a_role_that_the_token_does_not_allow_is_named(cluster, aws):
    cluster.create(iam_token(roles=["App", "Db"]))
    host = cluster.host(env=aws.identity()).start()
    host.process.wait_for("this host did not join with role 'Node'.*add the role to spec.roles of the join token")
    assert cluster.nodes() == []
