# SPDX-License-Identifier: Apache-2.0
"""A service is one row of the table: tests/services/row.c adds one to programs that only tests run."""
import os
import pathlib
import re
import subprocess

import pytest

from harness import TIMEOUT, Cluster, clean_env, iam_token, program, wait_until

ECHO_UID = 61170


@pytest.fixture(scope="module")
def echo_cluster(build, aws_process, tmp_path_factory):
    """Of programs among which `teleport` has the Echo Service."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "teleport").symlink_to(program(build, "teleport-echo"))
    (programs / "tctl").symlink_to(program(build, "tctl-echo"))
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("echo") / "cluster")
    cluster.start()
    cluster.create(iam_token(roles=("Node", "Echo")))
    yield cluster
    cluster.stop()


@pytest.fixture
def echo_host(echo_cluster, aws):
    """A host that runs the Echo Service and no other."""
    host = echo_cluster.host("echo-1", env=aws.identity(), ssh={"enabled": "no"}, services={"db_service": {"enabled": "yes"}},
                             teleport={"log": {"severity": "DEBUG"}})
    host.start()
    yield host
    host.stop()


def run(cluster, *args):
    return subprocess.run([program(cluster.build, "teleport"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, env=clean_env())


def uid_of(pid):
    return int(re.search(r"^Uid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def test_a_service_of_one_row_joins_with_its_role(echo_cluster, echo_host):
    host_id = echo_host.process.wait_for(r"Echo Service has its identity.* host_id:(\S+)").group(1)
    echo_host.wait_joined()
    echo_host.wait_signed()
    assert set(echo_host.process.children()) == {"instance", "echo"}
    assert "role:Echo" in echo_host.process.text()
    wait_until(lambda: echo_host.status()["state"] == "connected", "the status file is written")
    assert echo_host.status()["host_id"] == host_id
    listed, = wait_until(lambda: [i for i in echo_cluster.json("inventory", "ls") if i["metadata"]["name"] == host_id], "it is listed")
    assert listed["spec"]["services"] == ["Echo"]
    assert echo_cluster.event("instance.join", host_id=host_id, success=True)


def test_a_service_gets_its_own_section_and_user(echo_host):
    given = echo_host.process.wait_for(r"Echo Service was given.*").group(0)
    assert "db_service:yes" in given and "auth_service:no" in given and "ssh_service:no" in given
    echo_host.process.wait_for(r"Echo Service is ready")
    if os.geteuid() == 0:
        is_sanitized = "none (sanitizer build)" in echo_host.process.text()  # such a build changes no users
        assert uid_of(echo_host.process.children()["echo"]) == (0 if is_sanitized else ECHO_UID)


def test_a_service_stops_in_the_order_of_its_row(echo_host):
    echo_host.process.wait_for(r"Echo Service has its identity")
    echo_host.wait_joined()
    assert echo_host.process.stop() == 0
    ended = re.findall(r"service ended .*name:(echo|instance)\b", echo_host.process.text())
    assert ended == ["echo", "instance"]
    assert "Echo Service stops" in echo_host.process.text()


def test_a_service_is_restarted_when_it_dies(echo_host):
    echo_host.process.wait_for(r"Teleport process successfully started")
    os.kill(echo_host.process.children()["echo"], 9)
    echo_host.process.wait_for(r"service is back.*name:echo")


def test_roles_and_configure_know_the_service(echo_cluster, tmp_path):
    written = run(echo_cluster, "configure", "--roles=echo", "--proxy=a.example.com", "--token=t", f"--data-dir={tmp_path}")
    assert written.returncode == 0 and "# Serves nothing.\ndb_service:\n  enabled: \"yes\"\n" in written.stdout
    refused = run(echo_cluster, "start", "--roles=ecko")
    assert refused.returncode == 1 and "--roles takes auth, proxy, node, app and echo" in refused.stderr


def test_a_program_without_the_row_refuses_the_service(build, tmp_path):
    config = tmp_path / "teleport.yaml"
    config.write_text("version: v3\nteleport: {proxy_server: a}\ndb_service: {enabled: yes}\n")
    refused = subprocess.run([program(build, "teleport"), "start", "-c", config], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
                             env=clean_env())
    assert refused.returncode == 1 and "db_service is not part of this release" in refused.stderr
