# SPDX-License-Identifier: Apache-2.0
"""The disk of the Auth Service, or of a host, is full: requests are refused with this reason, and succeed when there is space again."""
import concurrent.futures
import contextlib
import errno
import itertools
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness import TIMEOUT, Result, iam_token, program, wait_until
from test_backup import keys, names_below  # noqa: F401
from test_retention import add, line


# The reason depends on the file that was the first to find no space: the database, or the audit log with the event of an earlier change.
FULL = r"the disk of '\S+' is full|No space left on device|the audit log cannot be written now, and nothing is done that is not audited"
RESERVED = "the disk of the audit log has only the space reserved for administrators left"


class Disk:
    """A file system of a few MiB. Where mounting is not allowed, one in a mount namespace of our own, or in that of another disk."""

    def __init__(self, directory, size="6m", on=None):
        self.path = pathlib.Path(directory)
        (on.here / self.path.name if on else self.path).mkdir()
        self.inside, self.holder = [], None
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(self.path)]
        if on and on.holder:
            subprocess.run(["nsenter", "-t", str(on.holder.pid), "-U", "-m", "--preserve-credentials", *mount], check=True)
            self.here = on.here / self.path.name
            return
        if subprocess.run(mount, capture_output=True).returncode == 0:
            self.here = self.path
            return
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", '"$@" && echo mounted && exec cat', "sh", *mount],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "mounted\n", "neither mount nor a user namespace is allowed here"
        self.inside = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials",
                       "unshare", "-U", "--map-user=1000", "--map-group=1000"]  # a root without other users is none
        self.here = pathlib.Path(f"/proc/{self.holder.pid}/root{self.path}")

    def fill(self):
        """Not a byte is left."""
        for size in (65536, 4096, 1):
            with open(self.here / "ballast", "ab", buffering=0) as f:
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError as full:
                    assert full.errno == errno.ENOSPC

    def left(self):
        disk = os.statvfs(self.here)
        return disk.f_bavail * disk.f_frsize

    def fill_but(self, size):
        with open(self.here / "ballast", "ab") as f:
            f.write(b"x" * (self.left() - size))

    def free(self):
        (self.here / "ballast").unlink(missing_ok=True)

    def close(self):
        if self.holder:
            self.holder.stdin.close()
            self.holder.wait(TIMEOUT)
        elif not str(self.here).startswith("/proc/"):
            subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def cluster(disk, make_cluster):
    return make_cluster(disk=disk)


def create_until_refused(cluster, most=400):
    """The names of the tokens that were acknowledged before the first refusal, and the refusal."""
    names = []
    for number in itertools.count():
        assert number < most, "never refused"
        done = cluster.tctl("create", stdin=iam_token(f"token-{number}"), check=False)
        if done.code != 0:
            return names, done
        names.append(f"token-{number}")


def token_names(cluster):
    return {token["metadata"]["name"] for token in cluster.json("get", "tokens")}


def test_tctl_is_refused_on_a_full_disk_and_works_afterwards(cluster, disk):
    disk.fill()
    names, refused = create_until_refused(cluster)
    assert refused.code == 1
    assert re.search(FULL, refused.err), refused.err
    assert set(names) <= token_names(cluster), "reading still works"
    disk.free()
    wait_until(lambda: cluster.tctl("create", "-f", stdin=iam_token("after"), check=False).code == 0, "it recovers")
    assert {*names, "after"} <= token_names(cluster)


def test_acknowledged_writes_on_a_full_disk_survive_a_restart(cluster, disk):
    disk.fill()
    names, _ = create_until_refused(cluster)
    cluster.stop_cluster()
    disk.free()
    cluster.start()
    assert token_names(cluster) == set(names)
    created = [e["name"] for e in cluster.exactly(len(names), "join_token.create")]
    assert sorted(created) == sorted(names), "each is audited, once"


def test_a_disk_that_fills_up_is_announced_once(cluster, disk):
    assert cluster.json("status")["disk"]["used_percent"] < 85 and "Warning" not in cluster.tctl("status").out
    disk.fill_but(700 << 10)  # of 6 MiB: more than is reserved for administrators
    warned = "The disk of the audit log is filling up used_percent:"
    cluster.process.wait_for(warned)
    status = cluster.json("status")
    assert 85 <= status["disk"]["used_percent"] < 95 and status["disk"]["free_bytes"] <= 700 << 10
    assert re.search(r"^Warning +the disk of the audit log is filling up: \d+ % are used, 0 MiB are free", cluster.tctl("status").out, re.M)
    disk.fill_but(500 << 10)
    wait_until(lambda: cluster.json("status")["disk"]["free_bytes"] <= 500 << 10, "it is measured again")
    assert cluster.process.text().count(warned) == 1
    disk.free()
    cluster.process.wait_for("The disk of the audit log is not filling up any more")
    assert "warnings" not in cluster.json("status")


def test_a_full_disk_refuses_a_join_until_space_is_free(cluster, disk, aws):
    cluster.create(iam_token())
    disk.fill()
    create_until_refused(cluster)
    cluster.process.wait_for("The disk of the audit log is nearly full")  # it measures the space every second; from then on this is the reason
    host = cluster.host("web-1", env=aws.identity()).start()
    assert RESERVED in host.process.wait_for("Can not join the cluster.*").group(0)
    assert not (host.data_dir / "proc" / "ids" / "instance.json").exists(), "no certificate without its record"
    disk.free()
    host.wait_joined()
    wait_until(lambda: cluster.node("web-1"), "web-1 is listed")
    cluster.exactly(1, "instance.join", success=True)


def test_a_cluster_that_starts_on_a_full_disk_says_so(cluster, disk):
    cluster.create(iam_token())
    cluster.stop_cluster()
    disk.fill()
    with pytest.raises(AssertionError, match=FULL):
        cluster.start()
    assert cluster.stop_cluster() == 1
    disk.free()
    cluster.restart()
    assert token_names(cluster) == {"iam-token"}


@pytest.fixture
def ca_disk(cluster, disk):
    """The CA on a disk of its own, without the journal of rotations, which an earlier release did not have."""
    cluster.stop_cluster()
    (disk.here / "ca").rename(disk.here / "ca.moved")
    ca_disk = Disk(disk.path / "ca", size="256k", on=disk)
    for path in (disk.here / "ca.moved").iterdir():
        if path.name != "rotation":
            shutil.copy(path, ca_disk.here)
    cluster.start()
    yield ca_disk
    cluster.stop_cluster()
    ca_disk.close()


def test_a_ca_step_on_a_full_disk_is_taken_later(cluster, ca_disk):
    def stop_and_lose_the_step():
        """As if the Auth Service had been killed before the signer took the step."""
        cluster.stop_cluster()
        (ca_disk.here / "rotation").unlink()

    step = ["auth", "rotate", "--type=user", "--manual", "--phase=init"]
    cluster.tctl(*step)
    assert "initialized" in cluster.tctl("status").out
    stop_and_lose_the_step()
    ca_disk.fill_but(20 << 10)  # room for the log of certificates, not for the journal
    cluster.start()
    cluster.process.wait_for("The signer has not entered the phase of a rotation, it is tried again type:user phase:init.*No space left on device")
    refused = cluster.tctl("auth", "rotate", "--type=user", "--manual", "--phase=update_clients", check=False)
    assert refused.code == 1 and "the signer has not entered the phase init yet" in refused.err
    assert len(cluster.tctl("auth", "export", "--type=user").out.splitlines()) == 1
    ca_disk.free()
    cluster.process.wait_for("The rotation of a CA has entered a phase type:user phase:init")
    assert len(cluster.tctl("auth", "export", "--type=user").out.splitlines()) == 2
    ca_disk.fill()  # the journal has its space
    wait_until(lambda: cluster.tctl("auth", "rotate", "--type=user", "--manual", "--phase=rollback", check=False).code == 0, "it is rolled back")


def test_a_host_with_a_full_disk_stores_its_identity_later(make_cluster, disk, aws):
    cluster = make_cluster()
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity(), disk=disk)
    disk.fill()
    os.truncate(disk.here / "ballast", (disk.here / "ballast").stat().st_size - 8192)  # enough to start only
    host.start()
    host.process.wait_for("The identity cannot be stored.*role:Node.*No space left on device")
    host.wait_joined()
    disk.free()
    host.process.wait_for("successfully wrote the credentials and state of Instance")
    host.process.wait_for("successfully wrote the credentials and state of Node")
    assert host.process.text().count("The identity cannot be stored") == 2, "once for each"
    host.stop()
    host.start()
    host.wait_joined()
    cluster.exactly(1, "instance.join", success=True)


# ---- one user's loop ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    disk = Disk(tmp_path / "small", size="40m")
    yield disk
    disk.close()


def test_a_users_loop_leaves_the_disk_to_administrators(small_disk, make_cluster, aws, programs, invite, account):
    """Sessions in a loop end when a twentieth of the disk is left; so do joins. Administrators can continue."""
    cluster = make_cluster(build=programs, disk=small_disk, auth={"heartbeat_ttl": "10m"})  # no heartbeat takes space meanwhile
    cluster.create(iam_token())
    cluster.join("web-1", env=aws.identity(), ssh={}).wait_reachable()
    alice = invite(cluster, "alice", "access", account.pw_name)
    alice.login()
    least = (40 << 20) // 20
    small_disk.fill_but(least + (1 << 20))

    def attempt():
        return alice.tsh("ssh", "--no-mux", f"{account.pw_name}@web-1", "true", check=False)

    done = next(done for done in (attempt() for _ in range(400)) if done.code != 0)
    assert RESERVED in done.err, done.err
    wait_until(lambda: len(cluster.events("session.start")) == len(cluster.events("session.end")), "the ends of all sessions are written")
    left = small_disk.left()
    assert least / 2 < left < least + (1 << 20)
    for _ in range(20):
        assert attempt().code != 0
    assert left - small_disk.left() < 64 << 10, "refusals take next to nothing"
    host = cluster.host("web-2", env=aws.identity()).start()
    host.process.wait_for(f"Can not join the cluster.*{RESERVED}")
    for i in range(20):
        cluster.create(iam_token(f"more-{i}"))
    cluster.tctl("lock", "--user=alice", "--ttl=1h")
    small_disk.free()
    host.wait_joined()
    cluster.tctl("rm", f"lock/{cluster.json('get', 'locks')[0]['metadata']['name']}")
    wait_until(lambda: attempt().code == 0, "connections are let in again")


@pytest.mark.nightly
def test_commands_in_a_loop_leave_the_disk_usable(request, tmp_path, make_cluster, aws, programs, invite, account):
    """OpenSSH's client, eight commands at a time on one connection: it ends with half of what is reserved, which is more than the log of the store takes."""
    disk = Disk(tmp_path / "larger", size="400m")
    request.addfinalizer(disk.close)
    cluster = make_cluster(build=programs, disk=disk, auth={"heartbeat_ttl": "10m"})
    cluster.create(iam_token())
    cluster.join("web-1", env=aws.identity(), ssh={}).wait_reachable()
    alice = invite(cluster, "alice", "access", account.pw_name)
    alice.login()
    least = (400 << 20) // 20
    config, socket_path, where = alice.ssh_config(), alice.home / "mux", f"{account.pw_name}@web-1.example.test"
    ssh = ["ssh", "-F", config, "-S", socket_path]
    master = subprocess.Popen([*ssh, "-M", "-N", where], env=alice.env, stderr=subprocess.PIPE, text=True)
    wait_until(socket_path.exists, "the connection is open")
    disk.fill_but(least + (200 << 10))

    def loop(_):
        return next(count for count in itertools.count() if count == 5000 or
                    subprocess.run([*ssh, "-oBatchMode=yes", "-oProxyCommand=false", where, "true"], env=alice.env, stderr=subprocess.DEVNULL).returncode != 0)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(loop, range(8)))
    assert master.wait(TIMEOUT) != 0 and max(counts) < 5000
    end = cluster.event("client.disconnect")
    assert RESERVED in end["reason"]
    wait_until(lambda: len(cluster.events("session.start")) == len(cluster.events("session.end")), "the ends of all sessions are written")
    assert len(cluster.events("session.start")) >= sum(counts) > 100, "each command is in the log"
    assert disk.left() > least / 4
    cluster.tctl("lock", "--user=alice", "--ttl=1h")
    cluster.create(iam_token("more"))


# ---- retention, backup, restore, an older database ---------------------------------------------------------------


def test_a_full_disk_delays_the_compression_of_the_log(small_disk, make_cluster):
    """The audit log is rotated at its start; a rotated file cannot be compressed. Nothing is lost, and it is compressed when there is room."""
    cluster = make_cluster(disk=small_disk, teleport={"storage": {"audit_rotation_size_mib": 17}})
    cluster.stop_cluster()
    older = add(cluster, "events.log-20260101-080000", "".join(line(n, "2026-01-01", noise=2048) for n in range(1500)))
    log = older.with_name("events.log")
    with log.open("a") as f:
        f.writelines(line(n, "2026-01-02", 8192) for n in range(2000, 2000 + (18 << 20) // 8192))
    small_disk.fill_but(1 << 20)  # less than the compressed file has
    cluster.start()
    cluster.process.wait_for("Old files of the audit log could not be compressed or removed; they stay.*No space left on device")
    cluster.create(iam_token("rotates"))
    cluster.process.wait_for("The audit log was rotated")
    names = lambda: {path.name for path in log.parent.glob("events.*")}
    found = wait_until(lambda: {"events.packing"}.isdisjoint(now := names()) and now, "the unfinished file is removed")
    assert older.name in found and older.name + ".gz" not in found and len(found) == 3
    small_disk.free()
    cluster.restart()
    wait_until(lambda: older.name + ".gz" in names() and older.name not in names(), "it is compressed")
    found = cluster.json("audit", "ls", "--from=2026-01-01", "--user=seed", "--limit=100000")
    assert len(found) == len({e["uid"] for e in found}) == 1500 + (18 << 20) // 8192
    assert "rotates" in token_names(cluster) and cluster.event("join_token.create", name="rotates")


def test_a_backup_to_a_full_disk_leaves_nothing(shared, disk, keys):
    disk.fill()
    backup = [*disk.inside, program(shared.build, "tctl"), "-c", shared.config_path, "backup", "-r", keys.recipient, "--audit-log", disk.path / "cluster.age"]
    run = lambda: Result(subprocess.run(list(map(str, backup)), capture_output=True, text=True, timeout=TIMEOUT, env=shared.env))
    full = run()
    assert full.code == 1 and re.search(r"ERROR: .*cluster\.age: No space left on device", full.err), full.err
    assert [path.name for path in disk.here.iterdir()] == ["ballast"]
    disk.free()
    assert run().code == 0
    subprocess.run(["age", "-d", "-i", keys.identity, "-o", "/dev/null", disk.here / "cluster.age"], check=True, timeout=TIMEOUT)


def test_a_restore_to_a_full_disk_can_be_repeated(make_cluster, disk, keys, tmp_path):
    cluster = make_cluster()
    cluster.create(iam_token())
    pin, backup = cluster.ca_pin, tmp_path / "cluster.age"
    cluster.tctl("backup", "-r", keys.recipient, "--audit-log", backup)
    cluster.stop_cluster()
    (disk.here / "data").mkdir(mode=0o700)
    args = [*disk.inside, program(cluster.build, "teleport"), "restore", "--data-dir", disk.path / "data", "--identity", keys.identity, backup]
    run = lambda: Result(subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=TIMEOUT, env=cluster.env))
    for left in (0, 40 << 10):  # not even a marker; a part of the cluster
        disk.free()
        disk.fill_but(left)
        full = run()
        assert full.code == 1 and "No space left on device" in full.err, full.err
        assert names_below(disk.here / "data") == []
    disk.free()
    assert pin in run().out
    cluster.data_dir, cluster.inside = disk.here / "data", disk.inside
    cluster.config["teleport"]["data_dir"] = str(disk.path / "data")
    cluster.start()
    assert cluster.ca_pin == pin and token_names(cluster) == {"iam-token"}


def test_a_database_of_an_older_release_waits_for_room(make_cluster, small_disk, build):
    """It is written anew, once, to become smaller; that needs as much room. Without it the cluster works."""
    cluster = make_cluster(disk=small_disk)
    cluster.create(iam_token())
    cluster.stop_cluster()
    subprocess.run([*small_disk.inside, program(build, "full_store"), small_disk.path, "3000", "1"], check=True, timeout=TIMEOUT)
    with contextlib.closing(sqlite3.connect(cluster.data_dir / "backend/sqlite.db")) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    small_disk.fill_but(1 << 20)
    cluster.start()
    cluster.process.wait_for("The store cannot be packed; it does not become smaller, and the next start tries again")
    assert "iam-token" in token_names(cluster)
    small_disk.free()
    cluster.restart()
    assert "iam-token" in token_names(cluster)
    cluster.stop_cluster()
    with contextlib.closing(sqlite3.connect(cluster.data_dir / "backend/sqlite.db")) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,), "it can become smaller from now on"
