# SPDX-License-Identifier: Apache-2.0
"""Presence by polls, in a cluster with more hosts than held presence streams."""
import asyncio
import os
import pathlib
import re
import subprocess
import threading

import grpc
import pytest
from cryptography import x509

from fake_auth import pem
from harness import TIMEOUT, iam_token, wait_until
from join_client import SERVER_NAME, Peer, join, messages
from test_host_lifecycle import count, is_connected, joins

LIMITS = pathlib.Path(__file__).resolve().parents[2] / "src" / "base" / "limits.h"
HELD = int(re.search(r"LIMIT_PRESENCE_HELD = (\d+)", LIMITS.read_text()).group(1))
PRESENCE = "/cteleport.v1.HostService/Presence"


class HeldStreams:
    """As many presence streams as the Auth Service keeps, on one connection with the identity of a stopped host."""

    def __init__(self, cluster, identity):
        self.credentials = grpc.ssl_channel_credentials(
            b"".join(pem(x509.load_der_x509_certificate(ca)) for ca in identity["tls_ca_certs"]), identity["tls_key"].encode(),
            pem(x509.load_der_x509_certificate(identity["tls_cert"])))
        self.address, self.welcomed, self.ended = cluster.auth_addr, 0, None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.stay(),), daemon=True)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.welcomed == HELD or not self.thread.is_alive(), "all streams are accepted", timeout=2 * TIMEOUT)
        assert self.welcomed == HELD
        return self

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.ended.set)
            self.thread.join(TIMEOUT)

    async def stay(self):
        self.ended, starting = asyncio.Event(), asyncio.Semaphore(20)
        options = [("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.secure_channel(self.address, self.credentials, options) as channel:
            tasks = [asyncio.create_task(self.ended.wait()), *(asyncio.create_task(self.one(channel, starting, str(n))) for n in range(HELD))]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            for task in done:
                task.result()

    async def one(self, channel, starting, nonce):
        api = messages().api
        async with starting:  # not all at once: for each, its predecessor is pinged
            call = channel.stream_stream(PRESENCE, api.PresenceUp.SerializeToString, api.PresenceDown.FromString)()
            await call.write(api.PresenceUp(hello=api.PresenceUp.Hello(process_nonce=nonce, use_tunnel=True, may_poll=True)))
            welcome = (await call.read()).welcome
            assert welcome.cluster and not welcome.is_poll
            self.welcomed += 1
        while (down := await call.read()) is not grpc.aio.EOF:
            if down.HasField("ping"):
                await call.write(api.PresenceUp(pong=api.PresenceUp.Pong(nonce=down.ping.nonce)))


@pytest.fixture
def full(make_cluster, aws):
    """Starts a cluster that holds its maximum of streams; (the cluster, the holder of the streams)."""
    held = []

    def start(**auth):
        cluster = make_cluster()
        cluster.create(iam_token())
        host = cluster.join("load", env=aws.identity())
        identity = host.identity()
        host.stop()
        cluster.config["auth_service"].update({"heartbeat_ttl": "4s", **auth})
        cluster.restart()  # the certificate of the held streams is older than these settings, and outlives the test
        held.append(HeldStreams(cluster, identity).__enter__())
        return cluster, held[-1]

    yield start
    for streams in held:
        streams.leave()


def tcp_connections(pid):
    """The inodes of the established ones of a process."""
    established = {fields[9] for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:] if (fields := line.split())[3] == "01"}
    held = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            pass
    return established & held


def last_heartbeat(cluster, host):
    return next((n["spec"]["last_heartbeat"] for n in cluster.nodes() if n["metadata"]["name"] == host.host_id), None)


def await_poll(cluster, host):
    last = last_heartbeat(cluster, host)
    wait_until(lambda: last_heartbeat(cluster, host) not in (None, last), "it comes again")


def test_a_host_beyond_the_stream_limit_polls_and_is_listed(full, aws):
    cluster, streams = full(heartbeat_ttl="8s")  # a polling host counts as gone a quarter of it after its next poll is due
    host = cluster.join(env=aws.identity())
    host.wait_reachable()
    host.process.mark()
    instance = host.process.children()["instance"]
    for _ in range(3):
        wait_until(lambda: not tcp_connections(instance), "it has hung up")
        assert is_connected(cluster, host)
        assert "connected" in host.teleport("status", "--data-dir", host.data_dir).out.lower()
        assert host.status()["state"] == "connected"
        await_poll(cluster, host)
    assert count(host.process, "present in the cluster|WARN|ERRO") == 0, "nothing is news"
    assert count(cluster.process, "Agent connected node_name:web-1") == 1

    cluster.process.mark()
    streams.leave()
    cluster.process.wait_for("Agent connected node_name:web-1")
    wait_until(lambda: tcp_connections(instance), "it stays now that there is room")
    wait_until(lambda: is_connected(cluster, host), "it is connected")
    joins(cluster, 1, node_name="web-1")


def test_a_polling_host_that_stops_leaves_the_list(full, aws):
    cluster, _ = full()
    host = cluster.join(env=aws.identity())
    await_poll(cluster, host)
    host.stop()  # it comes once more, to leave; when the machine is too slow for that, its heartbeat expires
    wait_until(lambda: last_heartbeat(cluster, host) is None, "it is not listed")


def test_certificates_are_renewed_between_polls(full, aws):
    cluster, _ = full(host_cert_ttl="12s", heartbeat_ttl="10m")
    host = cluster.join(env=aws.identity())
    host.process.mark()
    before = {role: host.identity(role) for role in ("instance", "node")}
    wait_until(lambda: all(host.identity(role)["tls_cert"] != before[role]["tls_cert"] for role in before), "both are renewed")
    assert count(host.process, "present in the cluster|WARN|ERRO") == 0, "nothing is news"
    joins(cluster, 1, node_name="web-1")


def test_a_removed_host_learns_it_at_its_next_poll(full, aws):
    cluster, _ = full()
    host = cluster.join(env=aws.identity())
    first = host.host_id
    host.process.mark()
    cluster.tctl("rm", f"node/{first}")
    host.wait_joined()
    joins(cluster, 2, node_name="web-1")
    wait_until(lambda: host.host_id != first, "it has another ID")


def test_a_polling_host_survives_a_restart_of_the_proxy(full, aws):
    cluster, _ = full()
    host = cluster.join(env=aws.identity())
    host.process.mark()
    subprocess.run(["kill", "-9", str(cluster.process.children()["proxy"])], check=True)
    cluster.process.wait_for("service is back name:proxy")
    await_poll(cluster, host)
    wait_until(lambda: host.status()["state"] == "connected", "it is back")
    joins(cluster, 1, node_name="web-1")


def test_a_polling_host_learns_of_proxies_and_removals(full, aws):
    cluster, _ = full()
    cluster.create(iam_token("proxies", roles=("Proxy",)))
    host = cluster.join(env=aws.identity())
    await_poll(cluster, host)
    with Peer(cluster) as peer:
        proxy_id, identity = join(peer, aws.identity(), name="proxy-9", token="proxies")
    with Peer(cluster, identity=identity) as proxy:
        api = messages().api
        stream = proxy.stream(PRESENCE, api.PresenceDown)
        stream.send(api.PresenceUp(hello=api.PresenceUp.Hello(process_nonce="9", services=["Proxy"], proxy_addr="127.0.0.1:9")))
        host.process.wait_for(rf"No reverse tunnel to a proxy.*proxy:{proxy_id} addr:127\.0\.0\.1:9")
        cluster.tctl("rm", f"node/{proxy_id}")
        host.process.wait_for(rf"A proxy does not belong to the cluster any more.*proxy:{proxy_id}")
        stream.half_close()


def test_polling_clones_are_warned_of_each_other(full, aws):
    cluster, _ = full()
    original = cluster.join("web-1", env=aws.identity())
    clone = original.clone("web-1-clone")
    for host in (original, clone):
        host.process.wait_for("two live agents have the host ID " + original.host_id)
        wait_until(lambda: any("two live agents" in notice for notice in host.status()["notices"]), "status.json says so")
    wait_until(lambda: [e for e in cluster.events("instance.duplicate") if e["host_id"] == original.host_id], "it is audited")


def test_a_changed_command_label_is_reported_between_polls(full, aws, tmp_path):
    cluster, _ = full()
    said = tmp_path / "said"
    said.write_text("one")
    host = cluster.join(env=aws.identity(), ssh={"commands": [{"name": "word", "command": ["/bin/cat", str(said)], "period": "1s"}]})

    def word():
        return next((n["spec"]["cmd_labels"]["word"]["result"] for n in cluster.nodes()
                     if n["metadata"]["name"] == host.host_id and "cmd_labels" in n["spec"]), None)

    wait_until(lambda: word() == "one", "its label is there")
    wait_until(lambda: "word=one" in cluster.tctl("nodes", "ls").out, "it is shown")
    said.write_text("two")
    wait_until(lambda: word() == "two", "its label has changed")
