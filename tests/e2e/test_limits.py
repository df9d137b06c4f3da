# SPDX-License-Identifier: Apache-2.0
"""What stored data and peers decide is bounded: no size and no record of theirs ends a service."""
import json
import pathlib
import sqlite3

import pytest

from harness import wait_until
from test_recording import record, the_recording
from test_roles import EVERYWHERE, role


# ---- sizes ---------------------------------------------------------------------------------------------------------


def test_roles_times_logins_times_traits_end_no_process(access, invite):
    for i in range(8):
        access.create(role(f"many-{i}", {**EVERYWHERE, "logins": ["{{internal.logins}}"] * 200}))
        access.create(role(f"names-{i}", {**EVERYWHERE, "logins": [f"login{i}x{k}" for k in range(200)]}))
    alice = invite(access, "alice", ",".join(f"many-{i}" for i in range(8)), ",".join(f"login{k}" for k in range(90)))
    assert alice.login(check=False).code == 0  # ninety logins, however often they are named
    bob = invite(access, "bob", ",".join(f"names-{i}" for i in range(8)), "root")
    before = access.process.pid
    refused = bob.login(check=False)
    assert refused.code == 1 and "logins" in refused.err and "administrator" in refused.err, refused.err
    assert access.process.pid == before and "BUG" not in access.process.text()
    assert access.tctl("status").code == 0


# ---- records -------------------------------------------------------------------------------------------------------


def checksum(key, value, revision, expires):
    """As src/store/store_sqlite_open.c computes it."""
    number = 0xcbf29ce484222325
    for byte in b"".join(n.to_bytes(8, "little") for n in (len(key), len(value), revision, expires)) + key + value:
        number = ((number ^ byte) * 0x100000001b3) % 2 ** 64
    return number - 2 ** 64 if number >= 2 ** 63 else number


def database(cluster):
    return next(pathlib.Path(cluster.data_dir).glob("backend/**/*.sqlite*"), None) or next(
        p for p in pathlib.Path(cluster.data_dir).glob("backend/**/*") if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3")


GARBAGE = b"\xff\xff\xff\xff\x0f\x00\x80"


def damage(db, key, value=GARBAGE):
    """A value that nothing can read under a key, whose checksum fits."""
    revision, expires = db.execute("SELECT revision, expires FROM item WHERE key = ?", (key,)).fetchone() or (
        db.execute("SELECT min(revision) FROM item").fetchone()[0], 0)
    db.execute("INSERT INTO item (key, value, revision, expires, checksum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
               " value = excluded.value, checksum = excluded.checksum", (key, value, revision, expires, checksum(key, value, revision, expires)))


def test_a_record_that_cannot_be_read_ends_nothing(access, invite):
    alice = invite(access, "alice")
    alice.login()
    record(alice, "root@web-1", typed=["echo kept", "exit"])
    session = the_recording(access, alice)["session_id"]
    access.create(role("ops", EVERYWHERE))
    access.stop()
    db = sqlite3.connect(database(access))
    keys = [row[0] for row in db.execute("SELECT key FROM item ORDER BY key")]
    kinds = {key.split(b"/")[1] for key in keys}
    assert {b"users", b"roles", b"tokens", b"hosts", b"presence", b"sessions", b"recordings"} <= kinds, kinds
    other = b"dddddddd-dddd-4ddd-8ddd-dddddddddddd"
    for kind in sorted(kinds | {b"locks", b"connections", b"invites", b"servers", b"passwords", b"names"}):
        damage(db, b"/" + kind + b"/" + other)
    damage(db, b"/roles/ops")
    damage(db, b"/audit/outbox/" + other)
    db.commit()
    db.close()
    access.start()
    access.web.start()
    access.web.wait_reachable()
    listed = [n["spec"]["hostname"] for n in access.json("get", "nodes")]
    assert listed == ["web-1"], listed
    for what in ("users", "roles", "tokens", "locks"):
        assert other.decode() not in access.tctl("get", what, "--format=json").out
    assert [u["metadata"]["name"] for u in access.json("get", "users")] == ["alice"]
    assert "ops" not in [r["metadata"]["name"] for r in access.json("get", "roles")]
    assert session in access.tctl("recordings", "ls").out and access.tctl("inventory", "ls").code == 0
    alice.login()
    assert alice.tsh("ssh", "root@web-1", "echo", "alive").out == "alive\n"
    log = access.process.text()
    assert "A stored record cannot be read" in log and "/roles/ops" in log and "BUG" not in log
    access.create(role("ops", EVERYWHERE))  # what cannot be read is replaced, or removed
    assert "ops" in [r["metadata"]["name"] for r in access.json("get", "roles")]
    assert f'role "{other.decode()}" has been deleted' in access.tctl("rm", f"role/{other.decode()}").out
