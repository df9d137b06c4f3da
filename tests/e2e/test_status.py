# SPDX-License-Identifier: Apache-2.0
"""What the small commands tell: the cluster's state, a host's state, configurations and their mistakes, sandboxes."""
import subprocess

from harness import program


# ---- a large cluster ------------------------------------------------------------------------------------


def test_a_cluster_of_twelve_thousand_hosts_is_listed_whole(cluster, build):
    cluster.stop_cluster()
    subprocess.run([program(build, "crowded_store"), cluster.data_dir, "12000", "3000"], check=True)
    cluster.start()
    nodes = cluster.json("nodes", "ls")
    assert [n["spec"]["hostname"] for n in nodes] == [f"host-{n:06}" for n in range(12000)]
    assert len({n["metadata"]["name"] for n in nodes}) == 12000
    assert len(cluster.json("inventory", "ls")) >= 12000
    assert len(cluster.json("tokens", "ls")) == 3000
    assert cluster.tctl("get", "node/host-011999").out.count("hostname:") == 1
