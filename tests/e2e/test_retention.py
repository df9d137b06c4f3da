# SPDX-License-Identifier: Apache-2.0
"""Rotation, compression and removal of the audit log's files and of recordings by the Auth Service: docs/operate/retention.md."""
import datetime
import gzip
import json
import os
import random
import re
import shutil
import time

import pytest

from harness import iam_token, wait_until
from test_crash import kill_tree
from test_recording import record, the_recording

TAIL = 16 << 20  # LIMIT_AUDIT_TAIL


def line(number, day, size=0, noise=0):
    """An event with padding; noise: bytes that cannot be compressed."""
    return json.dumps({"time": f"{day}T08:00:00.000Z", "uid": f"00000000-0000-4000-8000-{number:012d}", "event": "exec", "code": "T3002I",
                       "user": "seed", "padding": "x" * size + random.randbytes(noise // 2).hex(), "success": True}, separators=(",", ":")) + "\n"


def add(cluster, name, text):
    """A file beside events.log, of the same owner."""
    log = cluster.data_dir / "log" / "events.log"
    path = log.with_name(name)
    path.write_text(text)
    shutil.copymode(log, path)
    os.chown(path, log.stat().st_uid, log.stat().st_gid)
    return path


def lines(path):
    return (gzip.open(path, "rt") if path.suffix == ".gz" else path.open()).read().splitlines()


def test_the_log_is_rotated_compressed_searched_and_removed(make_cluster):
    cluster = make_cluster(teleport={"storage": {"audit_rotation_size_mib": 1, "audit_retention_period": "2d"}})
    cluster.stop_cluster()
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    day = yesterday.strftime("%Y-%m-%d")
    recent = add(cluster, f"events.log-{yesterday:%Y%m%d-%H%M%S}", "".join(line(n, day) for n in range(2000)))
    foreign = add(cluster, "events.log.1", "".join(line(n, day) for n in range(2000, 2010)))
    old = [add(cluster, "events.log-20200131-080000", line(1, "2020-01-31")), add(cluster, "events.log-20200131-080000-2.gz", "torn")]
    log = recent.with_name("events.log")
    with log.open("a") as f:
        f.writelines(line(n, day, 4096) for n in range(3000, 3000 + TAIL // 4096))
    cluster.start()
    cluster.process.wait_for("Old files of the audit log were removed, as configured count:2")
    assert not any(path.exists() for path in old)
    packed = recent.with_name(recent.name + ".gz")
    wait_until(lambda: packed.exists() and not recent.exists(), "the older file is compressed")
    assert len(lines(packed)) == 2000
    cluster.create(iam_token())
    expired = cluster.event("audit_log.expire", files=2)
    assert expired["bytes"] > 0 and expired["until"] == "2020-01-31T08:00:00Z"
    rotated, = [p for p in log.parent.glob("events.log-*") if p.suffix != ".gz"]
    assert re.fullmatch(r"events\.log-\d{8}-\d{6}", rotated.name) and rotated.stat().st_size > TAIL > log.stat().st_size
    found = cluster.json("audit", "ls", "--from=3d", "--user=seed", "--limit=100000")
    assert [e["uid"] for e in found[:2000]] == [f"00000000-0000-4000-8000-{n:012d}" for n in range(2000)]
    assert len({e["uid"] for e in found}) == len(found) == 2010 + TAIL // 4096
    assert foreign.exists()
    assert cluster.json("audit", "ls", "--type=join_token.create,cluster.init") != []


def test_a_clock_that_has_jumped_removes_nothing_at_once(make_cluster):
    """The clock was right until 2020, as the noted time says, and is years ahead now. An operator who knows better removes the note."""
    cluster = make_cluster(teleport={"storage": {"audit_retention_period": "30d"}})
    noted = cluster.data_dir / "log" / "retention-time"
    wait_until(noted.exists, "the time is noted")
    cluster.stop_cluster()
    noted.write_text("2020-02-10T00:00:00Z\n")
    kept, old = (add(cluster, f"events.log-{day}-080000", line(1, "2020-01-01")) for day in ("20200120", "20200101"))
    cluster.start()
    cluster.process.wait_for("Old files of the audit log were removed, as configured count:1 .*until:\"?2020-01-01T08:00:00Z")
    cluster.process.wait_for(f"The clock is ahead of the time by which old files .* hours:\\d+ file:{noted}")
    assert kept.exists() and not old.exists()
    cluster.stop_cluster()
    noted.unlink()
    cluster.start()
    cluster.process.wait_for("Old files of the audit log were removed, as configured count:1 .*until:\"?2020-01-20T08:00:00Z")
    assert not kept.exists()


def test_a_size_limit_keeps_the_latest_files(make_cluster):
    cluster = make_cluster(teleport={"storage": {"audit_retention_size_mib": 2}})
    cluster.stop_cluster()
    files = [add(cluster, f"events.log-20260101-00000{i}", line(i, "2026-01-01", 900 << 10)) for i in range(4)]
    cluster.start()
    cluster.process.wait_for("Old files of the audit log were removed, as configured count:2")
    assert [path.exists() for path in files] == [False, False, True, True]


def test_wrong_settings_are_refused_together(make_cluster, tmp_path):
    with pytest.raises(AssertionError) as refused:
        make_cluster(teleport={"storage": {"audit_rotation_size_mib": 0, "audit_rotation_period": "1s", "audit_retention_period": "1h",
                                           "session_recording_retention": "1m"}})
    for setting in ("audit_rotation_size_mib must lie between 1 and 1000", "audit_rotation_period must lie between 1m0s and",
                    "audit_retention_period must lie between 24h0m0s and", "session_recording_retention must lie between 1h0m0s and"):
        assert f"teleport.storage.{setting}" in str(refused.value)


def test_the_oldest_recording_is_removed_and_an_open_one_stays(access, alice):
    record(alice, "root@web-1", "seq 1 200000")  # more than 1 MiB
    large = the_recording(access, alice)["session_id"]
    shell, records = alice.shell("root@web-1"), access.data_dir / "log" / "records"
    wait_until(lambda: len(list(records.glob("*.rec"))) == 2, "the beginning of the open session's recording has arrived")
    record(alice, "root@web-1", "seq 1 10")
    small = the_recording(access, alice, count=2)["session_id"]
    access.stop_cluster()
    access.config["teleport"]["storage"] = {"session_recording_retention_size_mib": 1}
    access.start()
    access.process.wait_for("Old recordings were removed, as configured count:1 ")
    assert access.event("session.recording.expire", recordings=1)["sids"] == [large]
    left = {r["session_id"] for r in access.json("recordings", "ls")}
    assert small in left and large not in left and len(left) == 2
    assert {path.stem for path in records.iterdir()} == left
    assert alice.tsh("play", large, "--format=pty", check=False).code == 1
    shell.sendline("exit")
    shell.wait()
    wait_until(lambda: all(r.get("is_complete") for r in access.json("recordings", "ls")), "the open session's recording is stored whole")


@pytest.mark.nightly
def test_nothing_acknowledged_is_lost_by_kills_during_rotations(make_cluster):
    """Kills at random moments, while every mebibyte of events is rotated and compressed."""
    cluster = make_cluster(teleport={"storage": {"audit_rotation_size_mib": 1}})
    log = cluster.data_dir / "log" / "events.log"
    created, dice = set(), random.Random(11)
    for life in range(40):
        if life % 8 == 0:  # more to compress: beyond the end of the log, which stays as it is
            cluster.stop_cluster()
            add(cluster, f"events.log-20260101-{life:06d}", "".join(line(life * 10000 + n, "2026-01-01") for n in range(5000)))
            with log.open("a") as f:
                f.writelines(line(life * 10000 + 5000 + n, "2026-01-01", 8192) for n in range(TAIL // 8192))
            cluster.start()
        deadline = time.monotonic() + dice.random() * 0.5
        while time.monotonic() < deadline:
            token = f"token-{len(created)}"
            if cluster.tctl("create", "-f", check=False, stdin=iam_token(token)).code == 0:
                created.add(token)
        kill_tree(cluster.process)
        cluster.process = None
        cluster.start()
    cluster.stop_cluster()
    events = [json.loads(text) for path in log.parent.glob("events.log*") if path.suffix == ".gz" or not path.with_name(path.name + ".gz").exists()
              for text in lines(path)]
    names = [e["name"] for e in events if e["event"] == "join_token.create"]
    assert created <= set(names)
    uids = [e["uid"] for e in events]
    assert len(uids) == len(set(uids))
    assert list(log.parent.glob("*.gz"))
