# SPDX-License-Identifier: Apache-2.0
"""Clocks that are off, the host's or the Auth Service's, are measured and named; clocks jump during a rotation."""
import datetime
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fake_auth import Certifier
from harness import FAKES, copy_etc, iam_token, wait_until
from join_client import Identity, Keys, Peer, audited, host_params, messages, solution
from signing import sign
from test_rotation import await_reached, followed, rotation_of, session_open, step

MINUTE = 60


def near(value, expected, within=30):
    """Not off by more than a busy machine takes to send what it has signed."""
    return abs(value - expected) <= within


def ask(peer, env, late_by, name="web-1", keys=None):
    stream = peer.join()
    challenge = stream.challenge(host_params(name, keys))
    return stream.send(solution(sign(env, challenge, late_by=late_by)))


# ---- the host's clock, at a join --------------------------------------------------------------------------

@pytest.mark.parametrize("late_by, side", [(20 * MINUTE, "behind"), (-20 * MINUTE, "ahead")])
def test_a_host_clock_far_off_is_in_error_and_audit(cluster, aws, late_by, side):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        refused = ask(peer, aws.identity(), late_by).refusal()
    assert refused.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "the clock of this host is" in refused.details()
    assert f"seconds {side}" in refused.details()
    assert "timedatectl" in refused.details()
    event = audited(cluster, refused)
    assert event["check"] == "date"
    assert near(event["clock_skew_seconds"], -late_by)
    assert aws.requests() == [], "AWS is not asked about it"


@pytest.mark.parametrize("late_by", [2 * MINUTE, -14 * MINUTE])
def test_a_host_clock_slightly_off_joins_and_is_recorded(cluster, aws, late_by):
    cluster.create(iam_token())
    with Peer(cluster) as peer:
        assert ask(peer, aws.identity(), late_by).result().host_id
    event = cluster.event("instance.join", success=True)
    assert near(event["clock_skew_seconds"], -late_by)
    assert near(event["auth_clock_skew_seconds"], 0)


# ---- the Auth Service's clock -----------------------------------------------------------------------------

@pytest.mark.parametrize("ahead", [20 * MINUTE, -20 * MINUTE])
def test_an_auth_clock_far_off_is_named_in_the_error(cluster, aws, ahead):
    cluster.create(iam_token())
    aws.state["clock"] = -ahead
    env = aws.identity()
    host = cluster.host(env=env).start()
    line = host.process.wait_for("Can not join the cluster.*Auth Service.*").group(0)
    side = "ahead of" if ahead > 0 else "behind"
    assert f"seconds {side} AWS's, that of the Auth Service" in line
    assert "time server" in line
    event = cluster.event("instance.join", success=False)
    assert event["check"] == "sts"
    assert near(event["clock_skew_seconds"], 0)
    assert near(event["auth_clock_skew_seconds"], ahead)
    cluster.process.wait_for(r"The clock of the Auth Service is off.*time server")


def test_an_auth_clock_slightly_off_is_logged_once(cluster, aws):
    cluster.create(iam_token())
    aws.state["clock"] = -5 * MINUTE
    env = aws.identity()
    with Peer(cluster) as peer:
        for name in ("web-1", "web-2"):
            assert ask(peer, env, 0, name).result().host_id
    events = wait_until(lambda: [e for e in cluster.events("instance.join") if e["success"]][1:], "both are audited")
    assert near(events[0]["auth_clock_skew_seconds"], 5 * MINUTE)
    assert cluster.process.text().count("The clock of the Auth Service is off") == 1


# ---- a member's clock ---------------------------------------------------------------------------------------

def test_the_clock_of_a_member_is_shown_in_the_inventory(cluster, aws):
    cluster.create(iam_token())
    keys = Keys()
    with Peer(cluster) as peer:
        result = ask(peer, aws.identity(), 0, keys=keys).result()
    api = messages().api
    hello = api.PresenceUp(hello=api.PresenceUp.Hello(hostname="web-1", version="16.4.7", process_nonce="n"))
    hello.hello.now.seconds = int(time.time()) + 90
    with Peer(cluster, identity=Identity.of_join(keys, result.certificates)) as peer:
        stream = peer.stream("/cteleport.v1.HostService/Presence", api.PresenceDown).send(hello)
        notices = [down.notice.text for down in (stream.receive() for _ in range(3)) if down.WhichOneof("payload") == "notice"]
        assert any("ahead of the Auth Service's" in text for text in notices)
        listed = wait_until(lambda: [i for i in cluster.json("inventory", "ls") if i["metadata"]["name"] == result.host_id], "it is listed")
        assert near(listed[0]["spec"]["clock_skew_ms"], 90_000, 30_000)
        stream.half_close()


@pytest.mark.parametrize("ahead, words", [(2 * MINUTE, "behind the cluster's"), (-2 * MINUTE, "ahead of the cluster's")])
def test_a_host_measures_its_clock_when_it_joins(cluster, aws, ahead, words):
    cluster.create(iam_token())
    with AnotherTime(cluster, aws.identity(), ahead) as relay:
        host = cluster.host(env=aws.identity())
        host.config["teleport"]["proxy_server"] = relay.addr
        host.start()
        host.process.wait_for("The clock of this host is off")
        wait_until(lambda: host.status().get("clock_skew_ms"), "the skew is in the status")
        assert near(host.status()["clock_skew_ms"], ahead * 1000, 30_000)
        shown = host.teleport("status", f"--data-dir={host.data_dir}", check=False).out
        assert f"ms {words}" in shown
        assert "Notice" in shown
        host.stop()


class AnotherTime(Certifier):
    """Makes the certificate look as if issued at another time."""

    def __init__(self, cluster, env, ahead):
        super().__init__(cluster, env, self.shift)
        self.ahead = datetime.timedelta(seconds=ahead)

    def shift(self, certificates):
        """Signs again, by a CA of the same name."""
        key, old = ec.generate_private_key(ec.SECP256R1()), x509.load_der_x509_certificate(certificates.tls_cert)
        certificates.tls_cert = self.reissue(old, old.public_key(), key)
        certificates.tls_ca_certs[:] = [self.reissue(x509.load_der_x509_certificate(certificates.tls_ca_certs[0]), key.public_key(), key)]

    def reissue(self, old, public_key, signer):
        builder = (x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer).public_key(public_key)
                   .serial_number(old.serial_number).not_valid_before(old.not_valid_before + self.ahead)
                   .not_valid_after(old.not_valid_after + self.ahead))
        for extension in old.extensions:
            value = extension.value
            if isinstance(value, x509.AuthorityKeyIdentifier):
                value = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
            elif isinstance(value, x509.SubjectKeyIdentifier):
                value = x509.SubjectKeyIdentifier.from_public_key(public_key)
            builder = builder.add_extension(value, extension.critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# ---- certificates of the cluster ---------------------------------------------------------------------------------

@pytest.mark.nightly
def test_an_expired_server_certificate_is_blamed_on_no_load_balancer(make_cluster, aws):
    """The signer hangs, so that the proxy gets no new certificate."""
    cluster = make_cluster(auth={"host_cert_ttl": "12s"})
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    host.wait_reachable()
    os.kill(cluster.process.children()["signer"], signal.SIGSTOP)
    line = host.process.wait_for(r"\[SSH\].*the server's certificate expired on .*").group(0)
    assert "the clock of this machine says" in line and "load balancer" not in line


# ---- clocks that jump during a rotation ---------------------------------------------------------------------------

class JumpingClock:
    """The time of day of a machine: that of all processes that are started by `inside`, also of sshd. The monotonic clock goes on."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="clock.", dir="/tmp"))
        self.dir.chmod(0o755)
        self.file = self.dir / "seconds"
        self.jump(0)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", f'-DCLOCK_FILE="{self.file}"', "-o", self.dir / "clock.so", FAKES / "clock.c"], check=True)
        copy_etc(self.dir / "etc")
        (self.dir / "etc/ld.so.preload").write_text(f"{self.dir / 'clock.so'}\n")
        self.inside = ["unshare", "--mount", "sh", "-c", f'mount --bind {self.dir}/etc /etc && exec "$@"', "sh"]
        self.env = {"ASAN_OPTIONS": "verify_asan_link_order=0"}

    def jump(self, seconds):
        """To so many seconds ahead of the time of this machine."""
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:
            f.write(struct.pack("q", seconds))

    def close(self):
        shutil.rmtree(self.dir)


@pytest.fixture
def jumping():
    clock = JumpingClock()
    yield clock
    clock.close()


@pytest.mark.nightly
@pytest.mark.parametrize("where, seconds", [("auth", 3600), ("agent", 3600), ("agent", 24 * 3600)], ids=["auth-hour", "agent-hour", "agent-day"])
def test_a_clock_jumps_in_each_phase_of_a_rotation(make_cluster, aws, programs, invite, jumping, where, seconds):
    """Ahead and back, behind and back, in each phase of a rotation by schedule; by an hour until a heartbeat of the host has arrived."""
    cluster = make_cluster(build=programs, **({"inside": jumping.inside, "env": jumping.env} if where == "auth" else {}))
    cluster.create(iam_token())
    cluster.node_env = aws.identity()
    host = cluster.join("web-1", env={**cluster.node_env, **jumping.env}, ssh={}, inside=jumping.inside if where == "agent" else ())
    host.wait_reachable()
    alice = invite(cluster)
    alice.login()

    def last_seen():
        node = cluster.node("web-1")  # not listed if its last heartbeat has expired by the clock of the Auth Service
        return node and node["metadata"]["expires"]

    with session_open(alice) as still_runs:
        cluster.tctl("auth", "rotate", "--type=host", f"--grace-period={90 if seconds == 3600 else 45}s")
        for phase in ("initialized", "rotating clients", "rotating servers", "rotated"):
            wait_until(lambda: rotation_of(cluster, "host").startswith(phase), f"the CA is {phase}")
            for ahead in (seconds, 0, -seconds, 0):
                jumping.jump(ahead)
                before = last_seen()
                still_runs(f"{phase}, {ahead} seconds ahead")
                if seconds == 3600:
                    wait_until(lambda: last_seen() not in (None, before), "the host sends heartbeats")
            if phase == "rotating clients":
                alice.login()  # the workstation learns the new CA
            await_reached(alice)
        followed(cluster)
        still_runs("the new CA is alone")
    assert "Joining the cluster" not in host.process.text().split("This host is present", 1)[1], "its certificates were accepted throughout"


@pytest.mark.nightly
@pytest.mark.parametrize("ahead", [24 * 3600, -24 * 3600], ids=["ahead", "behind"])
def test_hosts_come_back_after_auth_was_off_by_a_day(make_cluster, aws, programs, invite, jumping, ahead):
    """By a clock that is a day ahead their certificates have expired; they join again when it is right."""
    cluster = make_cluster(build=programs, inside=jumping.inside, env=jumping.env)
    cluster.create(iam_token())
    cluster.node_env = aws.identity()
    host = cluster.join("web-1", env={**cluster.node_env, **jumping.env}, ssh={})
    host.wait_reachable()
    alice = invite(cluster)
    alice.login()
    host.process.mark()
    step(cluster, "host", "init")
    followed(cluster)
    jumping.jump(ahead)
    if ahead > 0:
        host.process.wait_for("Can not join the cluster.*the clock of this host is 86400 seconds behind")
    else:
        step(cluster, "host", "update_clients")
    jumping.jump(0)
    await_reached(alice)
    if ahead > 0:
        step(cluster, "host", "update_clients")
    followed(cluster)
    alice.login()
    for phase in ("update_servers", "standby"):
        step(cluster, "host", phase)
        followed(cluster)
    await_reached(alice)
