# SPDX-License-Identifier: Apache-2.0
"""tctl backup, teleport restore, teleport store check: a cluster is copied while it runs, and goes on from the copy elsewhere."""
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time

import grpc
import pexpect
import pytest
import yaml

from harness import FAKES, TIMEOUT, Result, iam_token, program, wait_until
from join_client import messages
from test_rotation import followed, step

PASSPHRASE = "correct horse battery staple"


class Keys:
    """Keys and a passphrase, in files."""

    def __init__(self, directory):
        self.identity, self.passphrase, self.wrong = directory / "key.txt", directory / "passphrase", directory / "wrong"
        subprocess.run(["age-keygen", "-o", self.identity], check=True, capture_output=True, timeout=TIMEOUT)
        self.recipient = re.search(r"age1\w+", self.identity.read_text()).group(0)
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.wrong.write_text("another horse, and no battery\n")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


def teleport(cluster, *args, stdin=subprocess.DEVNULL, check=True, **how):
    """Runs a command on the auth machine."""
    done = Result(subprocess.run([program(cluster.build, "teleport"), *map(str, args)], capture_output=True, text=True, timeout=TIMEOUT,
                                 env=cluster.env, stdin=stdin, **how))
    assert not check or done.code == 0, done.err
    return done


def store_check(cluster, check=True):
    return teleport(cluster, "store", "check", "--data-dir", cluster.data_dir, check=check)


def move_to(cluster, data_dir):
    """From now on the cluster's machine is another one."""
    cluster.data_dir = data_dir
    cluster.config["teleport"]["data_dir"] = str(data_dir)


def unpack(backup, keys, to):
    """The files of a backup by age and tar, as without this project's programs: {name: path}."""
    plain = subprocess.run(["age", "-d", "-i", keys.identity, backup], check=True, capture_output=True, timeout=TIMEOUT).stdout
    subprocess.run(["tar", "xf", "-", "-C", to], input=plain, check=True, timeout=TIMEOUT)
    return {str(path.relative_to(to)): path for path in to.rglob("*") if path.is_file()}


def test_a_cluster_goes_on_from_its_backup_on_another_machine(make_cluster, aws, keys, tmp_path):
    cluster = make_cluster(ssh=True)
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    pin, joins = cluster.ca_pin, len(cluster.events("instance.join"))
    backup, elsewhere = tmp_path / "cluster.age", tmp_path / "elsewhere"
    assert "has been written" in cluster.tctl("backup", "-r", keys.recipient, "--audit-log", backup).out
    assert cluster.event("backup")["user"].startswith("admin (uid ")
    cluster.create(iam_token("made-later"))
    own_id = (cluster.data_dir / "host_uuid").read_text()
    cluster.stop_cluster()

    done = teleport(cluster, "restore", "--data-dir", elsewhere, "--identity", keys.identity, "--ca-pin", pin, backup)
    assert f"CA pin: {pin}" in done and "Cluster example.test has been restored" in done
    move_to(cluster, elsewhere)
    assert store_check(cluster).out.count(": ok, ") == 4
    host.process.mark()
    cluster.start()
    host.process.wait_for("This host is present in the cluster")
    wait_until(lambda: cluster.node("web-1"), "web-1 is listed")
    assert cluster.ca_pin == pin and len(cluster.events("instance.join")) == joins
    assert (elsewhere / "host_uuid").read_text() == own_id
    names = [token["metadata"]["name"] for token in cluster.json("tokens", "ls")]
    assert "iam-token" in names and "made-later" not in names


def test_a_backup_is_read_by_age_and_tar(shared, keys, tmp_path):
    backup, out = tmp_path / "cluster.age", tmp_path / "out"
    out.mkdir()
    acme = shared.data_dir / "acme"
    (acme / "ca.example/apps").mkdir(parents=True)
    for name in ("certificate.pem", "apps/wiki.example.test.pem"):
        (acme / "ca.example" / name).write_text(name)
    shared.tctl("backup", "--recipient", keys.recipient, "--recordings", "--audit-log", backup)
    shutil.rmtree(acme)
    assert backup.stat().st_mode & 0o777 == 0o600
    files = unpack(backup, keys, out)
    assert {"backup.json", "backend/sqlite.db", "ca/cluster", "ca/host.tls.key.pem", "ca/issued.log", "config/teleport.yaml", "host_uuid",
            "log/events.log", "acme/ca.example/certificate.pem", "SHA256SUMS"} <= files.keys()
    assert not [name for name in files if "apps" in name], "certificates of applications are issued anew"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=out, check=True, timeout=TIMEOUT)
    assert len((out / "SHA256SUMS").read_text().splitlines()) == len(files) - 1
    about = json.loads(files["backup.json"].read_text())
    assert about["format"] == 1 and about["cluster"] == "example.test" and about["recordings"] and about["store"]["format"] == 1
    assert files["ca/host.tls.key.pem"].read_bytes() == (shared.data_dir / "ca/host.tls.key.pem").read_bytes()
    with sqlite3.connect(files["backend/sqlite.db"]) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM item WHERE CAST(key AS TEXT) LIKE '/tokens/%'").fetchone() == (1,)


def test_a_rotation_goes_on_from_a_backup(make_cluster, keys, tmp_path):
    cluster = make_cluster()
    backup, elsewhere = tmp_path / "cluster.age", tmp_path / "elsewhere"
    step(cluster, "user", "init")
    step(cluster, "user", "update_clients")
    exported = cluster.tctl("auth", "export", "--type=user").out
    cluster.tctl("backup", "-r", keys.recipient, backup)
    cluster.stop_cluster()
    restore(cluster, keys, elsewhere, backup)
    move_to(cluster, elsewhere)
    cluster.start()
    assert cluster.tctl("auth", "export", "--type=user").out == exported
    step(cluster, "user", "update_servers")
    step(cluster, "user", "standby")
    assert cluster.tctl("auth", "export", "--type=user").out != exported


@pytest.mark.nightly
def test_hosts_join_again_after_a_backup_from_before_a_rotation(make_cluster, aws, keys, tmp_path):
    cluster = make_cluster(ssh=True)
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    host.wait_reachable()
    backup, elsewhere = tmp_path / "cluster.age", tmp_path / "elsewhere"
    cluster.tctl("backup", "-r", keys.recipient, backup)
    for phase in ("init", "update_clients", "update_servers", "standby"):
        step(cluster, "host", phase)
        followed(cluster)
    wait_until(lambda: len(host.identity()["tls_ca_certs"]) == 1, "the host trusts the new CA only")
    cluster.stop_cluster()
    restore(cluster, keys, elsewhere, backup)
    move_to(cluster, elsewhere)
    host.process.mark()
    cluster.start()
    host.process.wait_for("signed by an unknown authority")
    host.process.wait_for("Successfully registered via proxy server")
    wait_until(lambda: sorted(n["spec"]["state"] for n in cluster.json("nodes", "ls") if n["spec"]["hostname"] == "web-1") == ["offline", "online"],
               "web-1 is back under a new ID")


def names_below(directory):
    """All names below a directory, but for the lock file."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.name != "lock") if directory.exists() else []


@pytest.fixture(scope="module")
def backup(shared, keys, tmp_path_factory):
    """A backup of the shared cluster, for a key."""
    path = tmp_path_factory.mktemp("backup") / "cluster.age"
    shared.tctl("backup", "-r", keys.recipient, path)
    return path


def restore(cluster, keys, data_dir, backup, *flags, **how):
    return teleport(cluster, "restore", "--data-dir", data_dir, "--identity", keys.identity, *flags, backup, **how)


def test_a_restore_needs_an_empty_directory(shared, keys, backup, tmp_path):
    used, running = tmp_path / "used", shared.data_dir
    used.mkdir()
    (used / "something").touch()
    done = restore(shared, keys, used, backup, check=False)
    assert done.code == 1 and "is not empty: it has 'something'" in done.err and names_below(used) == ["something"]
    before = names_below(running / "ca")
    done = restore(shared, keys, running, backup, check=False)
    assert done.code == 1 and re.search(r"data is in use by process \d+", done.err) and names_below(running / "ca") == before
    done = restore(shared, keys, tmp_path / "new", backup, "--ca-pin", "sha256:" + "0" * 64, check=False)
    assert done.code == 1 and "the backup is of another cluster" in done.err and shared.ca_pin in done.err and names_below(tmp_path / "new") == []


def test_a_restore_fills_empty_directories_of_the_data_directory(shared, keys, backup, tmp_path):
    """File systems of their own may be mounted there."""
    data_dir = tmp_path / "data"
    for name in ("backend/lost+found", "log/records"):
        (data_dir / name).mkdir(parents=True)
    (data_dir / "log/records/one").touch()
    done = restore(shared, keys, data_dir, backup, check=False)
    assert done.code == 1 and "is not empty: it has 'log'" in done.err
    (data_dir / "log/records/one").unlink()
    restore(shared, keys, data_dir, backup)
    assert (data_dir / "backend/sqlite.db").exists() and (data_dir / "ca/cluster").exists() and (data_dir / "log/records").is_dir()


def test_the_check_reads_with_the_rights_of_the_owner_alone(shared, keys, backup, tmp_path):
    """Root's groups do not open what the owner of a directory cannot read."""
    data_dir, of_group = tmp_path / "data", 54321
    restore(shared, keys, data_dir, backup)
    (data_dir / "log").mkdir(exist_ok=True)
    log = data_dir / "log/events.log"
    log.write_bytes(b"")
    os.chown(data_dir / "log", 65534, 65534)
    os.chown(log, 0, of_group)
    log.chmod(0o640)
    done = teleport(shared, "store", "check", "--data-dir", data_dir, check=False, extra_groups=[of_group])
    assert done.code == 1 and re.search(r"cannot open \S+/events\.log: Permission denied", done.err + done.out), done
    log.chmod(0o644)
    assert teleport(shared, "store", "check", "--data-dir", data_dir, extra_groups=[of_group]).out.count(": ok, ") == 4


def test_a_changed_backup_leaves_nothing(shared, keys, backup, tmp_path):
    bytes_ = bytearray(backup.read_bytes())
    changed, data_dir = tmp_path / "changed.age", tmp_path / "data"
    for what, content in {"its end": bytes_[:-1], "its middle": bytes_[:len(bytes_) // 2], "a bit": bytes_[:-3] + bytes([bytes_[-3] ^ 4]) + bytes_[-2:]}.items():
        changed.write_bytes(content)
        done = restore(shared, keys, data_dir, changed, check=False)
        assert done.code == 1 and "the file ends too early, or was changed" in done.err, (what, done.err)
        assert names_below(data_dir) == [], what
    other = Keys(tmp_path)
    done = restore(shared, other, data_dir, backup, check=False)
    assert done.code == 1 and "the file is encrypted for another key" in done.err
    done = restore(shared, keys, data_dir, "/etc/hostname", check=False)
    assert done.code == 1 and "the file is no backup" in done.err


def test_a_passphrase_opens_a_backup_here_and_in_age(shared, keys, tmp_path):
    path, data_dir = tmp_path / "cluster.age", tmp_path / "data"
    assert "the two passphrases differ" in shared.tctl("backup", path, stdin=f"{PASSPHRASE}\nanother passphrase\n", check=False).err
    without = shared.tctl("backup", path, stdin="", check=False)  # as in a cron job
    assert without.code == 1 and "there is no passphrase: nothing was entered" in without.err and "--passphrase-file=FILE, or a key: --recipient=age1" in without.err
    shared.tctl("backup", path, stdin=f"{PASSPHRASE}\n{PASSPHRASE}\n")  # as at a prompt
    done = teleport(shared, "restore", "--data-dir", data_dir, "--passphrase-file", keys.wrong, path, check=False)
    assert done.code == 1 and "the passphrase is wrong" in done.err and not data_dir.exists()
    assert shared.ca_pin in teleport(shared, "restore", "--data-dir", data_dir, "--passphrase-file", keys.passphrase, path)
    age = pexpect.spawn("age", ["-d", "-o", str(tmp_path / "plain.tar"), str(path)], timeout=TIMEOUT)
    age.expect("Enter passphrase")
    age.sendline(PASSPHRASE)
    age.expect(pexpect.EOF)
    with tarfile.open(tmp_path / "plain.tar") as tar:
        assert tar.getnames()[0] == "backup.json" and tar.getnames()[-1] == "SHA256SUMS"
    short = tmp_path / "short"
    short.write_text("too short\n")
    done = shared.tctl("backup", "--passphrase-file", short, tmp_path / "no.age", check=False)
    assert done.code == 1 and "fewer than 12 characters" in done.err and not (tmp_path / "no.age").exists()


def test_a_new_backup_ends_the_one_before(shared):
    api = messages().api
    with grpc.insecure_channel(f"unix:{shared.data_dir}/auth.sock") as channel:
        call = channel.unary_unary("/cteleport.v1.AdminService/Backup", api.BackupRequest.SerializeToString, api.BackupPart.FromString)
        part = lambda **request: call(api.BackupRequest(**request), timeout=TIMEOUT)
        first, second = part(), part()
        assert not first.data and second.size % 4096 == 0 and second.cluster == "example.test"
        with pytest.raises(grpc.RpcError) as refused:
            part(id=first.id)
        assert refused.value.code() == grpc.StatusCode.ABORTED and "this backup has ended" in refused.value.details()
        read = b""
        while len(read) < second.size:
            read += part(id=second.id, offset=len(read)).data
        assert len(read) == second.size and read.startswith(b"SQLite format 3\0")
        with pytest.raises(grpc.RpcError) as refused:  # it ended with its last byte
            part(id=second.id)
        assert refused.value.code() == grpc.StatusCode.ABORTED


def test_a_backup_is_never_overwritten_or_incomplete(shared, keys, backup, tmp_path):
    before = backup.read_bytes()
    done = shared.tctl("backup", "-r", keys.recipient, backup, check=False)
    assert done.code == 1 and "exists already" in done.err and backup.read_bytes() == before
    done = shared.tctl("backup", "-r", "age1nothing", tmp_path / "x.age", check=False)
    assert done.code == 1 and "the recipient is no public key of age" in done.err
    limited = ["prlimit", "--fsize=20000", program(shared.build, "tctl"), "-c", shared.config_path, "backup", "-r", keys.recipient, tmp_path / "x.age"]
    run = lambda **how: subprocess.run([str(word) for word in limited], capture_output=True, text=True, timeout=TIMEOUT, env=shared.env, **how)
    full = run(restore_signals=False)  # as on a full disk; Python ignores SIGXFSZ
    assert full.returncode == 1 and "x.age: File too large" in full.stderr, full.stderr
    assert run().returncode == -signal.SIGXFSZ  # killed in the middle of a write
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed_or_refused(shared, keys, tmp_path):
    """A file that is left out is missed at the restore only."""
    config, other, out = tmp_path / "link.yaml", tmp_path / "host_uuid", tmp_path / "out"
    config.symlink_to(shared.config_path)
    out.mkdir()
    tctl = [program(shared.build, "tctl"), "-c", config, "backup", "-r", keys.recipient]
    run = lambda to: subprocess.run([str(word) for word in [*tctl, to]], capture_output=True, text=True, timeout=TIMEOUT, env=shared.env)
    done = run(tmp_path / "x.age")
    assert done.returncode == 0 and done.stderr == ""
    assert unpack(tmp_path / "x.age", keys, out)["config/teleport.yaml"].read_text() == shared.config_path.read_text()
    other.hardlink_to(shared.data_dir / "host_uuid")
    try:
        done = run(tmp_path / "y.age")
    finally:
        other.unlink()
    assert done.returncode == 1 and "host_uuid" in done.stderr and "hard links" in done.stderr and not (tmp_path / "y.age").exists(), done.stderr


def test_a_backup_is_written_to_a_network_file_system(shared, keys, tmp_path):
    library, directory = tmp_path / "nfs.so", tmp_path / "nfs"
    directory.mkdir()
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, FAKES / "nfs.c"], check=True)
    tctl = [str(word) for word in [program(shared.build, "tctl"), "-c", shared.config_path, "backup", "-r", keys.recipient, directory / "x.age"]]
    run = lambda: subprocess.run(tctl, capture_output=True, text=True, timeout=TIMEOUT, 
                                 env={**shared.env, "LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"})
    done = run()
    assert done.returncode == 0 and [path.name for path in directory.iterdir()] == ["x.age"], done.stderr
    done = run()
    assert done.returncode == 1 and "exists already" in done.stderr and [path.name for path in directory.iterdir()] == ["x.age"]


def test_a_backup_goes_through_pipes_to_a_store_elsewhere(shared, keys, tmp_path):
    data_dir, store, config = tmp_path / "data", tmp_path / "store/of/it", tmp_path / "teleport.yaml"
    config.write_text(yaml.safe_dump({"teleport": {"data_dir": str(data_dir), "storage": {"path": str(store)}}}))
    tctl = [program(shared.build, "tctl"), "-c", shared.config_path, "backup", "-r", keys.recipient, "-"]
    piped = subprocess.run([str(word) for word in tctl], capture_output=True, check=True, timeout=TIMEOUT, env=shared.env).stdout
    subprocess.run([program(shared.build, "teleport"), "restore", "-c", config, "-i", keys.identity, "-"], input=piped, check=True, timeout=TIMEOUT,
                   capture_output=True, env=shared.env)
    assert (store / "sqlite.db").exists() and (data_dir / "ca/cluster").exists() and not (data_dir / "backend").exists()
    assert "database : ok" in teleport(shared, "store", "check", "-c", config)
    copy = yaml.safe_load((data_dir / "teleport.yaml.restored").read_text())
    assert copy["auth_service"]["cluster_name"] == "example.test"


def test_an_interrupted_restore_does_not_start(make_cluster, keys, tmp_path):
    """The restore reads the backup from a pipe that ends after each part; then it is killed, and a start is refused."""
    cluster = make_cluster()
    pin, backup, data_dir = cluster.ca_pin, tmp_path / "cluster.age", tmp_path / "data"
    cluster.tctl("backup", "-r", keys.recipient, backup)
    cluster.stop_cluster()
    content = backup.read_bytes()
    args = [program(cluster.build, "teleport"), "restore", "--data-dir", data_dir, "--identity", keys.identity, "-"]
    for part in (1000, len(content) // 2, len(content)):
        running = subprocess.Popen([str(arg) for arg in args], stdin=subprocess.PIPE, env=cluster.env)
        running.stdin.write(content[:part])
        running.stdin.flush()
        wait_until((data_dir / "restoring").exists, "the restore has begun")
        running.kill()
        running.wait(TIMEOUT)
        refused = subprocess.run([program(cluster.build, "teleport"), "start", "-c", moved_config(cluster, data_dir)], capture_output=True, text=True,
                                 timeout=TIMEOUT, env=cluster.env)
        assert refused.returncode == 1 and "was interrupted: it has a part of a cluster only" in refused.stderr
        assert "was interrupted" in teleport(cluster, "store", "check", "--data-dir", data_dir, check=False).err
    restore(cluster, keys, data_dir, backup)
    assert not (data_dir / "restoring").exists()
    move_to(cluster, data_dir)
    cluster.start()
    assert cluster.ca_pin == pin


def moved_config(cluster, data_dir):
    """The configuration of the cluster with another data directory."""
    path = cluster.dir / "moved.yaml"
    path.write_text(yaml.safe_dump({**cluster.config, "teleport": {**cluster.config["teleport"], "data_dir": str(data_dir)}}))
    return path


def test_the_store_is_checked_while_teleport_is_stopped(make_cluster, tmp_path):
    cluster = make_cluster()
    pin = cluster.ca_pin
    done = store_check(cluster, check=False)
    assert done.code == 1 and "teleport is running with the data directory" in done.err
    cluster.stop()
    done = store_check(cluster)
    assert re.search(rf"^database : ok, cluster example.test, \d+ records, change \d+, format 1\nrecords  : ok, \d+ can be read\n"
                     rf"CA       : ok, cluster example.test, pin {pin}\naudit log: ok, \d+ bytes\n$", done.out), done.out
    db = cluster.data_dir / "backend/sqlite.db"
    original = db.read_bytes()
    with sqlite3.connect(db) as opened:
        opened.execute("PRAGMA user_version = 9")
    opened.close()
    done = store_check(cluster, check=False)
    assert done.code == 1 and "it has format 9, and this version knows formats up to 1" in done.err and "nothing was changed" in done.err
    db.write_bytes(original.replace(b"example.test", b"example.tess"))
    with open(cluster.data_dir / "log/events.log", "a") as log:
        log.write("no event\n")
    done = store_check(cluster, check=False)
    assert done.code == 1 and "database : FAILED" in done.out and "CA       : ok" in done.out and "audit log: FAILED, the last line of" in done.out
    with open(cluster.data_dir / "ca/rotation", "r+b") as journal:
        journal.write(b"ctcajnl1" + (2).to_bytes(8) + b"\xff" * 64)
    done = store_check(cluster, check=False)
    assert "CA       : FAILED, " in done.out and "the journal of its rotation is damaged" in done.out
    shutil.rmtree(cluster.data_dir / "backend")
    done = store_check(cluster, check=False)
    assert done.code == 1 and "database : FAILED, " in done.out and "records  : not checked" in done.out


def killed_after(args, seconds, env):
    """Runs a command and kills it after this time; whether it was killed, and did not end by itself before."""
    running = subprocess.Popen([str(arg) for arg in args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert running.wait(seconds) == 0
        return False
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait(TIMEOUT)
        return True


@pytest.mark.nightly
def test_kills_leave_no_part_of_a_backup_or_a_cluster(make_cluster, build, keys, tmp_path):
    """tctl, restore and the Auth Service are killed at many moments of a backup and a restore of a larger cluster."""
    cluster = make_cluster()
    pin = cluster.ca_pin
    cluster.stop_cluster()
    subprocess.run([program(build, "full_store"), cluster.data_dir, "20000", "100"], check=True, timeout=TIMEOUT)
    cluster.start()
    backup, data_dir = tmp_path / "cluster.age", tmp_path / "data"
    tctl = [program(build, "tctl"), "-c", cluster.config_path, "backup", "-r", keys.recipient]
    begun = time.monotonic()
    subprocess.run([*map(str, tctl), backup], check=True, timeout=TIMEOUT, env=cluster.env)
    whole, rounds = time.monotonic() - begun, 15
    for number in range(rounds):
        path = tmp_path / f"{number}.age"
        killed_after([*tctl, path], whole * number / rounds, cluster.env)
        if path.exists():  # then it is whole
            subprocess.run(["age", "-d", "-i", keys.identity, "-o", "/dev/null", path], check=True, timeout=TIMEOUT)
            path.unlink()
    assert list(tmp_path.glob("*.age*")) == [backup]
    for number in range(5):  # the Auth Service ends in the middle; the supervisor starts it again
        running = subprocess.Popen([*map(str, tctl), str(tmp_path / "x.age")], env=cluster.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(whole * number / 5)
        cluster.process.mark()
        os.kill(cluster.process.children()["auth"], signal.SIGKILL)
        _, errors = running.communicate(timeout=TIMEOUT)
        assert (running.returncode == 0) == (tmp_path / "x.age").exists(), errors
        (tmp_path / "x.age").unlink(missing_ok=True)
        cluster.process.wait_for("Auth service is ready")
        assert cluster.ca_pin == pin
    cluster.stop_cluster()

    args = [program(build, "teleport"), "restore", "--data-dir", data_dir, "--identity", keys.identity, backup]
    begun = time.monotonic()
    restore(cluster, keys, tmp_path / "first", backup)
    whole, interrupted = time.monotonic() - begun, 0
    for number in range(rounds):
        if not killed_after(args, whole * number / rounds, cluster.env):
            assert not (data_dir / "restoring").exists()
            shutil.rmtree(data_dir)
            continue
        if names_below(data_dir) and not (data_dir / "restoring").exists():  # killed behind its last step
            assert teleport(cluster, "store", "check", "--data-dir", data_dir).out.count(": ok, ") >= 3
            shutil.rmtree(data_dir)
        elif names_below(data_dir):
            interrupted += 1
            refused = subprocess.run([program(build, "teleport"), "start", "-c", moved_config(cluster, data_dir)], capture_output=True, text=True,
                                     timeout=TIMEOUT, env=cluster.env)
            assert refused.returncode == 1 and "it has a part of a cluster only" in refused.stderr
    assert interrupted > 0
    restore(cluster, keys, data_dir, backup)
    move_to(cluster, data_dir)
    assert store_check(cluster).out.count(": ok, ") == 4
    cluster.start()
    assert cluster.ca_pin == pin
