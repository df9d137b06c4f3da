# SPDX-License-Identifier: Apache-2.0
"""Whatever changes the identity of an agent: when it is listed as connected, a dial gets through."""
import os
import queue
import re
import shutil
import signal
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fake_auth import Certifier, FakeAuth, pem
from harness import TIMEOUT, Cluster, iam_token, wait_until
from join_client import messages, tls_connect
from users import User, invite_url


@pytest.fixture(scope="module")
def place(build, aws_process, programs, tmp_path_factory):
    """A cluster and a user with access to its nodes."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("identity") / "cluster", auth={"host_cert_ttl": "20s"}).start()
    words = cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    cluster.alice = User(cluster, "alice", tmp_path_factory.mktemp("home")).accept(invite_url(words))
    cluster.alice.login()
    yield cluster
    assert cluster.stop() == 0


def arn(name):
    return f"arn:aws:sts::123456789012:assumed-role/{name}/i-0aaaaaaaaaaaaaaaa"


def node(place, aws, name, **settings):
    """An agent that has joined by a token and an AWS role of its own."""
    place.create(iam_token(name))
    host = place.join(name, env=aws.identity(arn(name)), token=name, **settings)
    reached(place, host)
    return host


def instance(place, name):
    """The listed agents with this name; several only while one is being replaced."""
    return [i for i in place.json("inventory", "ls") if i["spec"]["hostname"] == name]


def is_online(place, name):
    return next((i for i in instance(place, name) if i["spec"].get("is_connected")), None)


def reached(place, host):
    """Waits until the agent is listed as connected, and dials at once."""
    listed = wait_until(lambda: is_online(place, host.name), f"{host.name} is listed as connected")
    dial(place, host)
    wait_until(lambda: host.status()["state"] == "connected" and host.status()["host_id"] == listed["metadata"]["name"], "teleport status says so too")
    dial(place, host)
    return listed["metadata"]["name"]


def dial(place, host):
    assert place.alice.tsh("ssh", "--no-mux", f"root@{host.name}", "echo here").out == "here\n"


def state(place, host):
    return [i["spec"]["state"] for i in instance(place, host.name)]


def test_a_removed_agent_is_reached_under_its_new_id(place, aws):
    host = node(place, aws, "removed")
    before = host.host_id
    place.tctl("rm", f"node/{before}")
    assert reached(place, host) != before
    host.stop()


def test_an_agent_with_a_restored_token_is_reached(place, aws):
    host = node(place, aws, "token-back")
    place.tctl("rm", "token/token-back")
    place.tctl("rm", f"node/{host.host_id}")
    wait_until(lambda: host.status()["state"] == "joining", "it is not connected")
    assert state(place, host) == []
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1 and "has not joined" in done.err
    place.create(iam_token("token-back"))
    reached(place, host)
    host.stop()


def test_a_renewed_agent_is_reached(place, aws):
    host = node(place, aws, "renewed")
    before = host.identity("node")["tls_cert"]
    wait_until(lambda: host.identity("node")["tls_cert"] != before, "the certificate is renewed")
    reached(place, host)
    host.stop()


def test_an_agent_does_not_take_another_hosts_identity_file(place, aws):
    other, host = node(place, aws, "copied-from"), node(place, aws, "copied-to")
    other_id, host_id = other.host_id, host.host_id
    other.stop()
    host.stop()
    for gone in ("tunnel has ended", "Agent disconnected"):
        place.process.wait_for(f"{gone}.* host_id:{other_id}")
    wait_until(lambda: instance(place, "copied-from") == [], "it is not listed")
    place.process.mark()
    shutil.copy(other.data_dir / "proc/ids/node.json", host.data_dir / "proc/ids/node.json")
    host.start()
    host.process.wait_for(f"stored identity cannot be used.*role:Node.*it is of host {other_id}")
    assert reached(place, host) == host_id
    assert f"host_id:{other_id}" not in place.process.new_text(), "it came as another host"
    host.stop()


def test_without_its_instance_identity_an_agent_joins_again(place, aws):
    host = node(place, aws, "orphan")
    former = host.host_id
    host.stop()
    place.process.mark()
    (host.data_dir / "proc/ids/instance.json").unlink()
    host.start()
    host.process.wait_for("Reverse tunnel established")
    assert reached(place, host) != former
    assert not re.search(f"tunnel is open host_id:{former}", place.process.new_text())
    host.stop()


def test_an_unlocked_agent_keeps_its_identity(place, aws):
    host = node(place, aws, "unlocked")
    before = host.host_id
    name = place.tctl("lock", f"--server-id={before}", "--message=gone bad").out.split('"')[1]
    wait_until(lambda: host.status()["state"] == "locked", "the agent knows it")
    assert state(place, host) == ["locked"]
    assert "(locked)" in place.tctl("nodes", "ls").out and "(locked)" in place.alice.tsh("ls").out
    assert "is locked: gone bad" in place.alice.tsh("ssh", "--no-mux", "root@unlocked", "true", check=False).err
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1 and "locked since" in done.out and "locked" in done.err
    host.process.mark()
    place.tctl("rm", f"lock/{name}")
    assert reached(place, host) == before
    assert "Joining the cluster" not in host.process.new_text()
    host.stop()


def test_an_agent_without_a_tunnel_is_not_called_connected(place, aws):
    host = node(place, aws, "no-tunnel")
    os.kill(host.process.children()["ssh"], signal.SIGSTOP)
    ssh = host.process.children()["ssh"]
    place.process.mark()
    os.kill(place.process.children()["proxy"], signal.SIGKILL)
    place.process.wait_for("service is back name:proxy")
    wait_until(lambda: state(place, host) == ["unreachable"], "no proxy has a tunnel to it")
    assert "(unreachable)" in place.tctl("nodes", "ls").out
    os.kill(ssh, signal.SIGCONT)
    reached(place, host)
    host.stop()


def test_an_agent_is_reached_after_a_restart_of_the_cluster(place, aws):
    host = node(place, aws, "restarted")
    place.restart()
    reached(place, host)
    host.stop()


def test_an_agent_that_ends_in_order_leaves_the_lists(place, aws):
    host = node(place, aws, "left")
    host.stop()  # it says so; when the machine is too slow for that, its heartbeat expires
    wait_until(lambda: instance(place, "left") == [], "it is not listed")
    assert "left" not in place.alice.tsh("ls", "--format=names").out.split()


# ---- shutting out one machine -----------------------------------------------------------------------------------------


def lock_of(said):
    return "lock/" + said.split('"')[1]


def test_a_lock_by_id_holds_under_another_id_and_name(place, aws):
    host = node(place, aws, "shut-out")
    said = place.tctl("rm", f"node/{host.host_id}").out
    assert "joins again" in said and f"tctl lock --join-arn='{arn('shut-out')}'" in said
    reached(place, host)
    lock = place.tctl("lock", f"--server-id={host.host_id}", "--message=gone bad")
    assert lock.err == ""
    place.tctl("rm", f"node/{host.host_id}")
    host.stop()
    again = place.host("shut-out-again", env=host.env, token="shut-out").start()
    again.process.wait_for("is locked: gone bad")
    assert instance(place, "shut-out-again") == []
    other = node(place, aws, "not-shut-out")
    place.tctl("rm", lock_of(lock.out))
    again.stop()
    again.start()
    reached(place, again)
    for one in (other, again):
        one.stop()


@pytest.mark.parametrize("target", ["--user=nobody-there", "--role=no-such-role", "--node=no-such-node",
                                    "--server-id=00000000-1111-4222-8333-444444444444"])
def test_a_lock_of_a_missing_target_warns(place, target):
    done = place.tctl("lock", target)
    assert "there is no" in done.err or "no host of this name" in done.err
    place.tctl("rm", lock_of(done.out))


# ---- answers that the host refuses -----------------------------------------------------------------------------------------


class Liar(FakeAuth):
    """With the certificate of the cluster's own Auth Service: certifies nothing, although it claims to."""

    def __init__(self, cluster):
        with tls_connect(cluster.auth_addr) as connection:
            real = x509.load_der_x509_certificate(connection.getpeercert(True))
        ca = cluster.data_dir / "ca"
        key = ec.generate_private_key(ec.SECP256R1())
        made = x509.CertificateBuilder(real.issuer, real.subject, key.public_key(), real.serial_number, real.not_valid_before, real.not_valid_after)
        for extension in real.extensions:
            if not isinstance(extension.value, x509.SubjectKeyIdentifier):
                made = made.add_extension(extension.value, extension.critical)
        signed = made.sign(serialization.load_pem_private_key((ca / "host.tls.key.pem").read_bytes(), None), hashes.SHA256())
        super().__init__(pem(key), pem(signed) + (ca / "host.tls.cert.pem").read_bytes())
        self.asked = queue.SimpleQueue()

    def service(self, call):
        if not call.method.endswith("/GenerateHostCerts"):
            return super().service(call)
        api = messages().api
        return grpc.unary_unary_rpc_method_handler(self.certify, api.HostCertsRequest.FromString, api.HostCertsResponse.SerializeToString)

    def certify(self, request, context):
        self.asked.put((time.monotonic(), request.role))
        return messages().api.HostCertsResponse()


def test_a_host_that_refuses_a_certificate_keeps_its_identity(place, aws):
    """It repeats the request after a while, and does not join again."""
    place.create(iam_token("lied-to"))
    host = place.join("lied-to", env=aws.identity(arn("lied-to")), token="lied-to", via="auth")
    before = host.host_id
    host.stop()
    (host.data_dir / "proc" / "ids" / "node.json").unlink()
    with Liar(place) as liar:
        host.config["teleport"]["auth_server"] = liar.addr
        host.start()
        (first, role), (second, _) = liar.asked.get(timeout=TIMEOUT), liar.asked.get(timeout=TIMEOUT)
        assert role == "Node" and second - first > 2
        assert liar.received.empty(), "no join"
        host.stop()
    host.config["teleport"]["auth_server"] = place.auth_addr
    host.start().wait_joined()
    assert host.status()["host_id"] == before and [i["metadata"]["name"] for i in instance(place, "lied-to")] == [before]
    host.stop()


@pytest.mark.parametrize("is_old", [False, True], ids=["", "older join"])
def test_a_host_that_refuses_an_answer_waits_before_rejoining(place, aws, is_old):
    place.create(iam_token("iam-token"))
    name = f"refused-{int(is_old)}"

    ids = []

    def spoil(certificates):
        if not is_old:
            ids.append(x509.load_der_x509_certificate(certificates.tls_cert).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        (certificates.TLSCACerts if is_old else certificates.tls_ca_certs)[0] = b"no certificate"

    with Certifier(place, aws.identity(arn(name)), alter=spoil, is_old=is_old) as fake:
        host = place.host(name, env=aws.identity(arn(name)), teleport={"proxy_server": fake.addr}).start()
        first = fake.received.get(timeout=TIMEOUT)
        began = time.monotonic()
        host.process.wait_for("the cluster's answer to the join is invalid")
        second = fake.received.get(timeout=TIMEOUT)
        assert time.monotonic() - began > 2
        if is_old:
            assert first.register_using_token_request.HostID == second.register_using_token_request.HostID
        else:
            wait_until(lambda: len(ids) > 1, "auth has answered twice")
            assert len(set(ids)) == 1
        host.stop()
