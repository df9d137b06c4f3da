# SPDX-License-Identifier: Apache-2.0
"""Applications as users of tsh see them: listed by `tsh apps ls`."""
import json

import pytest

from harness import Cluster, iam_token, wait_until
from users import User, invite_url

FILES = {"name": "files", "uri": "tcp://127.0.0.1:9", "description": "Shared files", "labels": {"env": "prod"}}
QUEUE = {"name": "queue", "uri": "tcp://localhost:10", "labels": {"env": "dev"}}
ROLE = """kind: role
version: v7
metadata: {name: developer}
spec: {allow: {app_labels: {env: dev}}}
"""


class Place:
    """A cluster with two hosts that offer applications, and its users."""

    def __init__(self, build, aws, directory):
        self.directory = directory
        self.cluster = Cluster(build, aws, directory / "cluster")
        self.cluster.start()
        self.cluster.create(iam_token(roles=("Node", "App")))
        self.cluster.create(ROLE)
        self.hosts = [self.host(aws, "apps-1", FILES, QUEUE), self.host(aws, "apps-2", FILES)]

    def host(self, aws, name, *apps):
        aws.reset()
        host = self.cluster.host(name, env=aws.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": list(apps)}})
        host.start()
        host.wait_signed()
        return host

    def user(self, name, roles):
        words = self.cluster.tctl("users", "add", name, f"--roles={roles}").out
        user = User(self.cluster, name, self.directory / f"home-{name}").accept(invite_url(words))
        user.login()
        return user


@pytest.fixture(scope="module")
def place(build, aws_process, tmp_path_factory):
    place = Place(build, aws_process, tmp_path_factory.mktemp("apps"))
    yield place
    for host in place.hosts:
        host.stop()
    place.cluster.stop()


@pytest.fixture(scope="module")
def alice(place):
    alice = place.user("alice", "access")
    wait_until(lambda: len(place.cluster.json("apps", "ls")) == 3, "all applications are offered")
    return alice


# ---- tsh apps ls ------------------------------------------------------------------------------------------------


def test_an_application_of_two_hosts_is_one_row(alice):
    assert [line.split("  ")[0] for line in alice.tsh("apps", "ls").out.splitlines()[2:]] == ["files", "queue"]
    assert alice.tsh("app", "ls", "-f", "names").out == "files\nqueue\n"


def test_it_has_the_columns_of_teleport(alice):
    title, _, files, queue = alice.tsh("apps", "ls").out.splitlines()
    assert title.split() == "Application Description Type Public Address Labels".split()
    assert files.split() == ["files", "Shared", "files", "TCP", "env=prod"] and queue.split() == ["queue", "TCP", "env=dev"]
    title, _, files, _ = alice.tsh("apps", "ls", "-v").out.splitlines()
    assert title.split() == "Application Description Type Public Address URI Labels".split()
    assert files.split()[3:5] == ["TCP", "tcp://127.0.0.1:9"]


def test_it_prints_resources_of_applications(alice):
    listed = json.loads(alice.tsh("apps", "ls", "--format=json").out)
    assert [(app["kind"], app["metadata"]["name"], app["spec"]["uri"]) for app in listed] == [
        ("app", "files", "tcp://127.0.0.1:9"), ("app", "queue", "tcp://localhost:10")]
    assert "uri: tcp://localhost:10\n" in alice.tsh("apps", "ls", "-f", "yaml").out


@pytest.mark.parametrize("chosen", [["env=dev"], ["--search=QUEUE"], ["--query=labels.env == 'dev'"], ["--query=hasPrefix(name, 'qu')"]])
def test_labels_words_and_queries_choose(alice, chosen):
    assert alice.tsh("apps", "ls", "--format=names", *chosen).out == "queue\n"


def test_others_than_permitted_are_not_listed(place, alice):
    assert place.user("dan", "developer").tsh("apps", "ls", "--format=names").out == "queue\n"
