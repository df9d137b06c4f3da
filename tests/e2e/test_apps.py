# SPDX-License-Identifier: Apache-2.0
"""Applications: hosts that offer them, and who may see them."""
import json

import pytest

from harness import Cluster, iam_token, wait_until


@pytest.fixture(scope="module")
def cluster(build, aws_process, tmp_path_factory):
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("apps") / "cluster")
    cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def host(cluster, aws_process):
    """Offers two applications, and no SSH."""
    aws_process.reset()
    host = cluster.host("apps-1", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": [
        {"name": "files", "uri": "tcp://127.0.0.1:9", "description": "Shared files", "labels": {"env": "prod"}},
        {"name": "queue", "uri": "tcp://localhost:10", "labels": {"env": "dev"}},
    ]}})
    host.start()
    host.wait_signed()
    yield host
    host.stop()


def test_a_host_offers_the_applications_of_its_file(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    listed = cluster.json("apps", "ls")
    assert [(s["metadata"]["name"], s["kind"], s["spec"]["hostname"], s["spec"]["app"]["spec"]["uri"]) for s in listed] == [
        ("files", "app_server", "apps-1", "tcp://127.0.0.1:9"), ("queue", "app_server", "apps-1", "tcp://localhost:10")]
    assert listed[0]["metadata"]["labels"]["env"] == "prod"
    assert "app" in host.process.children()


def test_they_are_listed_in_the_columns_of_teleport(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    text = cluster.tctl("apps", "ls").out
    assert text.splitlines()[0].split("  ")[0] == "Host" and "Public Address" in text and "URI" in text, text
    only = cluster.tctl("apps", "ls", "env=dev", "--format=json")
    assert [s["metadata"]["name"] for s in json.loads(only.out)] == ["queue"]


# ---- resources of kind app

APP = """kind: app
version: v3
metadata: {{name: {name}, description: {description}, labels: {{{labels}}}}}
spec: {{uri: "{uri}"}}
"""


def app(name, uri="tcp://127.0.0.1:9", description="", labels="env: test"):
    return APP.format(name=name, uri=uri, description=description, labels=labels)


def test_an_administrator_writes_applications(cluster):
    assert cluster.tctl("create", stdin=app("wiki")).out == 'application "wiki" has been created\n'
    again = cluster.tctl("create", stdin=app("wiki", "tcp://127.0.0.1:10"), check=False)
    assert again.code == 1 and 'app "wiki" already exists' in again.err, again
    stored, = cluster.json("get", "app/wiki")
    assert stored["metadata"]["labels"] == {"env": "test", "teleport.dev/origin": "dynamic"}
    text = cluster.tctl("get", "app/wiki").out
    assert "updated" in cluster.create(text.replace(":9", ":10")).out
    stale = cluster.tctl("create", "-f", stdin=text, check=False)
    assert stale.code == 1 and "changed by another user" in stale.err, stale
    assert cluster.json("get", "apps")[0]["spec"]["uri"] == "tcp://127.0.0.1:10"
    assert cluster.tctl("rm", "app/wiki").out == 'app "wiki" has been deleted\n'
    assert cluster.tctl("get", "app/wiki", check=False).code == 1
    deleted = cluster.event("app.delete", name="wiki")
    created, updated = cluster.event("app.create", name="wiki"), cluster.event("app.update", name="wiki")
    assert [e["code"] for e in (created, updated, deleted)] == ["TAP03I", "TAP04I", "TAP05I"]
    assert updated["app_uri"] == "tcp://127.0.0.1:10" and created["app_labels"]["env"] == "test"
