# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `aws` (the stand-in), `cluster` (auth and proxy, running), and hosts that join it.

The programs come from $CTELEPORT_BUILD (default: build/ beside the project's meson.build). Everything
listens on loopback, on ports the kernel picks, and ends with the test.
"""
import os
import pathlib
import shutil

import pytest

from harness import Aws, Cluster, iam_token
from tcp_server import TcpServer, echo
from users import Accounts, User, invite_url, reachable_programs

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def pytest_configure(config):
    config.addinivalue_line("markers", "nightly: waits for minutes of real time or repeats one thing many times; only `./check nightly` runs it")


# The files that take longest, longest first. One worker runs the tests of a file (scripts/run_tests.sh), so that its fixtures are made once, and a
# long file that began last would keep one worker busy when the others have ended. `--durations` shows when a file belongs here.
LONGEST_FIRST = """
    test_rights test_session_failures test_login test_flood test_ssh test_roles test_mux test_identity_changes test_outages test_load_balancers
    test_troubleshooting test_recording test_presence_polls test_proxies test_acme test_lost_files test_sts test_manager test_host_lifecycle test_names
    test_recorder_attacked test_web test_trust test_rotation test_disk test_grpc test_websocket test_decision test_access_abuse test_crash
""".split()


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def build():
    path = pathlib.Path(os.environ.get("CTELEPORT_BUILD", PROJECT / "build"))
    for program in ("teleport", "tctl", "tsh"):
        assert (path / program).exists() or list(path.rglob(program)), f"{program} is not built in {path}"
    return path


@pytest.fixture(scope="session")
def aws_process(tmp_path_factory):
    aws = Aws(tmp_path_factory.mktemp("aws"))
    yield aws
    aws.stop()


@pytest.fixture
def aws(aws_process):
    aws_process.reset()
    yield aws_process
    aws_process.state["sts"] = {"mode": "ok"}  # for a cluster that the next module starts
    aws_process.write()


@pytest.fixture
def make_cluster(build, aws, tmp_path):
    """Starts clusters with other settings than the usual ones."""
    clusters = []

    def make(**settings):
        cluster = Cluster(settings.pop("build", build), aws, tmp_path / f"cluster{len(clusters)}", **settings)
        clusters.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in reversed(clusters):
        cluster.stop()


@pytest.fixture
def cluster(make_cluster):
    return make_cluster()


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    """A cluster with iam-token for the tests of a file that leave it as it was."""
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("shared") / "cluster")
    cluster.start()
    cluster.create(iam_token())
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def echo_server():
    """A TCP application that sends back what it gets."""
    with TcpServer(echo) as server:
        yield server


# ---- users and the nodes they reach -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def programs(build):
    """The built programs in a directory that every account may enter."""
    directory = reachable_programs(build)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def accounts():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def account(accounts):
    """An ordinary account on this machine."""
    return accounts.make()


@pytest.fixture
def access(make_cluster, aws, programs):
    """A cluster with one joined node, web-1, with programs that every account may run."""
    cluster = make_cluster(build=programs)
    cluster.create(iam_token())
    cluster.node_env = aws.identity()
    cluster.web = cluster.join("web-1", env=cluster.node_env, ssh={"labels": {"env": "prod", "team": "web"}})
    cluster.web.wait_reachable()
    return cluster


@pytest.fixture
def invite(tmp_path):
    """invite(cluster, name, roles, logins): a user who has accepted the invitation."""

    def make(cluster, name="alice", roles="access", logins="root"):
        words = cluster.tctl("users", "add", name, f"--roles={roles}", f"--logins={logins}").out
        return User(cluster, name, tmp_path / f"home-{name}").accept(invite_url(words))

    return make


@pytest.fixture
def alice(access, invite, account):
    """A logged-in user with the role `access`."""
    user = invite(access, "alice", "access", f"root,{account.pw_name}")
    user.login()
    return user
