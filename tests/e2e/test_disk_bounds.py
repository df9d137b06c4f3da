# SPDX-License-Identifier: Apache-2.0
"""The bounds of the Auth Service's disk use: docs/guide/disk.md."""
import gzip
import json
import pathlib
import re
import sqlite3
import subprocess

from harness import iam_token, wait_until

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs/guide/disk.md"


def logrotate_example():
    return re.search(r"^```\n(/var/lib/teleport/log/events\.log \{\n.*?^\})\n```", GUIDE.read_text(), re.S | re.M).group(1)


def uids(path):
    text = gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line)["uid"] for line in text.splitlines()]


def test_logrotate_bounds_the_audit_log_as_the_guide_says(cluster, tmp_path):
    log = cluster.data_dir / "log" / "events.log"
    example, changes = re.subn(r"rotate 90", "rotate 3", logrotate_example().replace("/var/lib/teleport/log/events.log", str(log)))
    assert changes == 1
    (tmp_path / "rotate").write_text(example + "\n")
    for i in range(6):
        cluster.create(iam_token(f"token-{i}"))
        wait_until(lambda: any(e["name"] == f"token-{i}" for e in cluster.events("join_token.create")), "the event is in the log")
        subprocess.run(["logrotate", "--force", "--state", tmp_path / "state", tmp_path / "rotate"], check=True)
    cluster.create(iam_token("last"))
    wait_until(lambda: cluster.events("join_token.create"), "the new file is written")
    files = sorted(p.name for p in log.parent.glob("events.log*"))
    assert files == ["events.log", "events.log.1", "events.log.2.gz", "events.log.3.gz"]
    names = [uid for name in files for uid in uids(log.with_name(name))]
    assert len(names) == len(set(names)) >= 4
    cluster.restart()  # which finds the records that are written already
    assert not set(uids(log)) & {uid for name in files[1:] for uid in uids(log.with_name(name))}


def test_a_host_takes_little_of_the_store(cluster, aws):
    """Records without repeated fields."""
    cluster.create(iam_token())
    host_id = cluster.join("web-1", env=aws.identity()).host_id
    cluster.stop_cluster()
    with sqlite3.connect(cluster.data_dir / "backend/sqlite.db") as db:
        sizes = {key.decode(): len(key) + len(value) for key, value in db.execute("SELECT key, value FROM item")}
    assert sizes[f"/hosts/{host_id}"] < 250
    assert sizes["/names/web-1"] < 80
