# SPDX-License-Identifier: Apache-2.0
"""One piece of a data directory is lost: it is made again, or the start is refused with a hint."""
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness import TIMEOUT, Cluster, Process, iam_token, program, wait_until
from users import User, invite_url

REFUSED = {
    "backend": r"the state of the cluster is missing: there is no database in \S+/backend, but the CA in \S+/ca has signed certificates",
    "backend/*": "the state of the cluster is missing",
    "backend/sqlite.db": r"the cluster was initialised, but its database '\S+/data/backend/sqlite.db' is missing",
    "ca": "the cluster is initialised, but its CA is gone",
    "ca/*": "the cluster's CA cannot be used: cannot open ./cluster",
    "ca/cluster": "the cluster's CA cannot be used: cannot open ./cluster",
    "ca/host.tls.key.pem": "the cluster's CA cannot be used: cannot open ./host.tls.key.pem",
    "ca/host.tls.cert.pem": "the cluster's CA cannot be used: cannot open ./host.tls.cert.pem",
    "ca/user.ssh.key.pem": "the cluster's CA cannot be used: cannot open ./user.ssh.key.pem",
    "backend ca/in-use": "the state of the cluster is missing",
    "backend ca/issued.log": "the state of the cluster is missing",
    "backend ca/in-use ca/issued.log host_uuid proc log": "the state of the cluster is missing",
}

# The sentence in the log, if there is one. Files that are not read at a start are removed together.
MADE_AGAIN = {
    "ca/in-use": None, "ca/issued.log": "The log of issued certificates is missing", "backend/initialised": None,
    "log": "The audit log and the recordings of this cluster are missing", "log/events.log": None, "host_uuid": "Generating new host UUID", "proc": None,
    "proc/ids/node.json": None, "proc/ids/proxy.json": None, "proc/ssh": None, "webproxy_key.pem": None, "webproxy_cert.pem": None,
    "proc/status.json spool lock backend/lock auth.sock": None,
}

# Of an agent: whether it keeps its identity.
OF_AGENTS = {
    "host_uuid": True, "proc/ids/node.json": True, "proc/ssh": True, "proc/status.json spool lock": True,
    "proc": False, "proc/ids/instance.json": False, "host_uuid proc": False,
}


def lose(data_dir, pieces):
    for piece in pieces.split():
        found = list(data_dir.glob(piece))
        assert found, piece
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def tree(data_dir, *names):
    """All files of these directories, with their sizes."""
    found = [path for name in names for path in (data_dir / name).rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path): path.stat().st_size for path in found}


@pytest.fixture(scope="module")
def place(build, aws_process, programs, tmp_path_factory):
    """A cluster that is a node as well, a user with access to it, and a copy of its data directory."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("lost") / "cluster", ssh=True).start()
    cluster.create(iam_token())
    words = cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    cluster.alice = User(cluster, "alice", tmp_path_factory.mktemp("home")).accept(invite_url(words))
    cluster.alice.login()
    reached(cluster, "auth-1")
    cluster.stop_cluster()
    cluster.saved = cluster.dir / "saved"
    subprocess.run(["cp", "-a", cluster.data_dir, cluster.saved], check=True)
    yield cluster
    assert cluster.stop() in (0, None)


@pytest.fixture
def whole(place):
    """As it was saved, and stopped."""
    place.stop_cluster()
    put_back(place)
    return place


def put_back(place, piece="."):
    subprocess.run(["cp", "-a", place.saved / piece, place.data_dir / piece if piece != "." else place.dir / "copy"], check=True)
    if piece == ".":
        shutil.rmtree(place.data_dir)
        (place.dir / "copy").rename(place.data_dir)


def reached(place, name, who=None):
    """Waits until a node is listed as connected and has its tunnel, and logs in to it."""
    found = wait_until(lambda: next((i for i in place.json("inventory", "ls") if i["spec"]["hostname"] == name and i["spec"]["state"] == "online"), None),
                       f"{name} is connected")

    def answer():
        done = (who or place.alice).tsh("ssh", "--no-mux", f"root@{name}", "echo here", check=False)
        return None if "not connected to this proxy right now" in done.err else done

    done = wait_until(answer, "its tunnel is there")  # a host is listed a moment before
    assert done.out == "here\n", done.err
    return found["metadata"]["name"]


def refused(place):
    process = Process([program(place.build, "teleport"), "start", "-c", place.config_path], place.dir / "cluster.log", place.env)
    assert process.popen.wait(TIMEOUT) == 1
    said = process.new_text()
    process.stop()
    return said[said.index("ERROR: "):]


@pytest.mark.parametrize("piece", REFUSED)
def test_a_start_without_it_is_refused(whole, piece):
    lose(whole.data_dir, piece)
    left = tree(whole.data_dir, "backend", "ca")
    said = refused(whole)
    assert re.search(REFUSED[piece], said), said
    assert "restore" in said and "on purpose" in said
    if piece.startswith("backend"):
        assert tree(whole.data_dir, "backend", "ca") == left, "what is put back meets nothing that was made meanwhile"
    if piece not in ("backend", "ca"):
        return
    put_back(whole, piece)
    whole.start()
    reached(whole, "auth-1")
    assert len(whole.json("get", "tokens")) == 1


@pytest.mark.parametrize("piece", ["log/events.log", "log", "backend/sqlite.db", "backend/initialised", "backend/lock", "backend"])
def test_a_refusal_names_the_path_of_the_configuration(whole, piece):
    """Auth stands in a sandbox and knows its directories by descriptors, which have no paths."""
    path = whole.data_dir / piece
    if path.is_dir():
        path.chmod(0o770)
    else:
        path.unlink()
        path.mkdir()
    said = refused(whole)
    assert str(path if piece.startswith("log") or piece.endswith("initialised") else whole.data_dir / "backend") in said
    assert "/proc/self" not in (whole.dir / "cluster.log").read_text(), said


def test_a_database_of_an_older_release_is_packed(whole):
    """Within the sandbox, where its copy may lie beside it and nowhere else."""
    database = whole.data_dir / "backend/sqlite.db"
    owner = database.stat()
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    os.chown(database, owner.st_uid, owner.st_gid)
    whole.start()
    reached(whole, "auth-1")
    whole.stop_cluster()
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert sorted(p.name for p in database.parent.iterdir()) == ["initialised", "lock", "sqlite.db"]


def test_a_new_cluster_begins_on_purpose(whole, tmp_path):
    """As the refusal's hint describes; the services of this machine belong to it at once."""
    lose(whole.data_dir, "backend")
    subprocess.run(re.search(r"mv \S+ \S+", refused(whole)).group(0).split(), check=True)
    whole.start()
    assert whole.json("get", "tokens") == []
    words = whole.tctl("users", "add", "bob", "--roles=access", "--logins=root").out
    bob = User(whole, "bob", tmp_path / "home").accept(invite_url(words))
    bob.login()
    reached(whole, "auth-1", bob)
    whole.restart()
    reached(whole, "auth-1", bob)


def test_a_storage_that_is_not_mounted_is_no_first_start(whole):
    elsewhere = whole.dir / "elsewhere"
    (whole.data_dir / "backend").rename(elsewhere)
    whole.config["teleport"]["storage"] = {"path": str(elsewhere)}
    try:
        whole.start()
        reached(whole, "auth-1")
        whole.stop_cluster()
        elsewhere.rename(whole.dir / "away")
        elsewhere.mkdir(mode=0o700)
        assert f"there is no database in {elsewhere}" in refused(whole) and list(elsewhere.iterdir()) == []
    finally:
        del whole.config["teleport"]["storage"]


@pytest.mark.parametrize("piece", MADE_AGAIN)
def test_it_is_made_again(whole, piece):
    lose(whole.data_dir, piece)
    whole.start()
    if MADE_AGAIN[piece]:
        assert MADE_AGAIN[piece] in whole.process.new_text()
    if piece.startswith("webproxy"):  # a new certificate, which earlier logins do not trust
        whole.alice.login()
    listed = reached(whole, "auth-1")
    assert (whole.data_dir / "host_uuid").read_text() == listed
    wait_until(lambda: all((whole.data_dir / name).exists() for name in piece.split() if name != "ca/in-use"), "all of it is there")


@pytest.mark.parametrize("kind", ["directory", "long"])
def test_an_invalid_host_id_is_refused_with_a_hint(whole, kind):
    path = whole.data_dir / "host_uuid"
    path.unlink()
    if kind == "directory":
        path.mkdir()
    else:
        path.write_text("0" * 257)
    said = refused(whole)
    assert str(path) in said and "hint:  it should be a file with the ID of this host" in said, said


@pytest.fixture(scope="module")
def agent(place, aws_process):
    place.stop_cluster()
    put_back(place)
    place.start()
    host = place.join("web-1", env=aws_process.identity())
    reached(place, "web-1")
    yield host
    host.stop()


@pytest.mark.parametrize("pieces", OF_AGENTS)
def test_an_agent_goes_on_without_it(place, agent, pieces):
    before = agent.host_id
    wait_until(lambda: all(list(agent.data_dir.glob(piece)) for piece in pieces.split()), "all of it is there")
    agent.stop()
    lose(agent.data_dir, pieces)
    agent.start()
    after = reached(place, "web-1")
    assert (after == before) == OF_AGENTS[pieces]
    assert wait_until(lambda: agent.host_id == after, "the host ID is stored")
