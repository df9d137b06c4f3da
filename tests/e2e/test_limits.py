# SPDX-License-Identifier: Apache-2.0
"""Sizes that stored data and peers decide are bounded: no such size and no such record ends a service."""
import contextlib
import os
import pathlib
import re
import socket
import sqlite3
import ssl
import struct
import threading

from harness import TIMEOUT, iam_token, wait_until
from join_client import Peer, join
from raw_h2 import ACK, DATA, END_HEADERS, HEADERS, PING, SETTINGS, WINDOW_UPDATE, frame
from test_access_abuse import of_user
from test_recording import record, the_recording
from test_rights import arn, certify, presence, raw_tunnel
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
    """As src/store/sqlite/sqlite_open.c computes it."""
    number = 0xcbf29ce484222325
    for byte in b"".join(n.to_bytes(8, "little") for n in (len(key), len(value), revision, expires)) + key + value:
        number = ((number ^ byte) * 0x100000001b3) % 2 ** 64
    return number - 2 ** 64 if number >= 2 ** 63 else number


def database(cluster):
    return next(pathlib.Path(cluster.data_dir).glob("backend/**/*.sqlite*"), None) or next(
        p for p in pathlib.Path(cluster.data_dir).glob("backend/**/*") if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3")


GARBAGE = b"\xff\xff\xff\xff\x0f\x00\x80"


def damage(db, key, value=GARBAGE):
    """An unreadable value with a valid checksum under a key."""
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
    access.create(role("ops", EVERYWHERE))  # an unreadable record can be replaced or removed
    assert "ops" in [r["metadata"]["name"] for r in access.json("get", "roles")]
    assert f'role "{other.decode()}" has been deleted' in access.tctl("rm", f"role/{other.decode()}").out


# ---- windows -------------------------------------------------------------------------------------------------------


class FloodingNode:
    """A captured node: it answers each connection, and sends as much as the proxy's windows let it."""

    def __init__(self, tls):
        self.tls, self.input, self.first, self.windows = tls, b"", 65535, {}
        self.sent = 0
        tls.sendall(frame(SETTINGS))
        threading.Thread(target=self.serve, daemon=True).start()

    def take(self, size):
        while len(self.input) < size:
            more = self.tls.recv(65536)
            if not more:
                raise ConnectionError("the proxy has hung up")
            self.input += more
        taken, self.input = self.input[:size], self.input[size:]
        return taken

    def serve(self):
        with contextlib.suppress(OSError):
            assert self.take(24).startswith(b"PRI * HTTP/2.0")
            while True:
                head = self.take(9)
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                self.answer(kind, flags, stream, self.take(int.from_bytes(head[:3], "big")))

    def answer(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                self.first = value if name == 4 else self.first
            self.tls.sendall(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.tls.sendall(frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            self.windows[stream] = self.first
            self.tls.sendall(frame(HEADERS, END_HEADERS, stream, b"\x20\x88"))  # no dynamic table; :status 200
            self.flood(stream)
        elif kind == WINDOW_UPDATE and stream in self.windows:
            self.windows[stream] += int.from_bytes(payload, "big")
            self.flood(stream)

    def flood(self, stream):
        while self.windows[stream] > 0:
            size = min(self.windows[stream], 16384)
            self.tls.sendall(frame(DATA, 0, stream, bytes(size)))
            self.windows[stream] -= size
            self.sent += size


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) // 1024


def dial(cluster, context, name):
    """A user's connection to a node, answered with 200; the client reads little."""
    host, port = cluster.proxy_addr.rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(TIMEOUT)
    s.connect((host, int(port)))
    tls = context.wrap_socket(s, server_hostname="teleport.cluster.local")
    tls.sendall(f"CONNECT {name}:0 HTTP/1.1\r\nHost: {name}:0\r\nX-Teleport-Login: root\r\n\r\n".encode())
    said = tls.recv(512)
    assert said.startswith(b"HTTP/1.1 200"), said
    return tls


def test_unread_streams_take_no_more_than_their_windows(make_cluster, aws, invite, tmp_path):
    streams = 40
    # AddressSanitizer keeps freed memory, which must not count as used.
    cluster = make_cluster(env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"})
    cluster.create(iam_token())
    alice = invite(cluster, "alice")
    alice.login()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["cteleport-ssh"])
    context.load_cert_chain(*of_user(cluster, alice))
    with contextlib.ExitStack() as open_:
        peer = open_.enter_context(Peer(cluster))
        _, identity = join(peer, aws.identity(arn()), name="flood")
        host = open_.enter_context(Peer(cluster, identity=identity))
        node = certify(host, "Node", "flood")
        stream = presence(host, "flood")
        flooding = FloodingNode(open_.enter_context(raw_tunnel(cluster, node, tmp_path)))
        cluster.process.wait_for("A node's tunnel is open")
        proxy = cluster.process.children()["proxy"]
        before = resident(proxy)
        for _ in range(streams):
            open_.enter_context(dial(cluster, context, "flood"))
        wait_until(lambda: flooding.sent > streams * 1024 * 1024, "sockets and windows are full")
        seen = [-1]

        def has_stopped():
            seen.append(flooding.sent)
            return seen[-1] == seen[-2] and resident(proxy)

        after = wait_until(has_stopped, "nothing more is sent")
        # Of each: a window of a MiB at most, 128 KiB that wait to be written on, and one read above that.
        assert after - before < streams * 1.35, (before, after, flooding.sent)
        other = invite(cluster, "bob")
        assert other.login(check=False).code == 0
        stream.half_close()
