# SPDX-License-Identifier: Apache-2.0
"""Failure injection for sessions: killed processes, slow readers, many sessions at once, and invalid certificates."""
import base64
import os
import pathlib
import signal
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from harness import TIMEOUT, contents, port_of, reserved_port, wait_until
from users import program
from test_recording import play, the_recording

NODE = "web-1.example.test"


def shell_on(user, node="web-1"):
    """A shell that has answered."""
    shell = user.shell(f"root@{node}")
    shell.sendline("echo he''re")
    shell.expect("here\r\n")
    return shell


def sessions_of(host):
    """sshd processes below the agent."""
    found = subprocess.run(["pgrep", "-P", str(host.process.pid), "sshd"], capture_output=True, text=True, check=False).stdout.split()
    return [int(pid) for pid in found]


# ---- processes that die ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["auth", "signer"])
def test_a_session_outlives_a_crash_of_the_auth_service(access, alice, service):
    shell = shell_on(alice)
    os.kill(access.process.children()[service], signal.SIGKILL)
    shell.sendline("echo st''ill")
    shell.expect("still")
    wait_until(lambda: access.tctl("status", check=False).code == 0, "auth is back")
    shell.sendline("echo af''ter; exit")
    shell.expect("after")
    shell.wait()
    wait_until(lambda: access.events("session.end"), "the end is audited")
    assert len(access.events("session.start")) == 1, "no event is reported twice"
    assert b"after" in play(alice, the_recording(access, alice)["session_id"], "pty")


def test_recorded_data_survives_a_kill_of_the_agent(access, alice):
    shell = shell_on(alice)
    pids = access.web.process.children()
    # Output that comes while older output is synced is written after that.
    wait_until(lambda: any(b"here" in text for text in contents(access.web.data_dir / "spool").values()), "it is recorded")
    os.kill(pids["ssh"], signal.SIGKILL)
    shell.wait()
    recording = the_recording(access, alice)
    assert b"here" in play(alice, recording["session_id"], "pty")
    assert recording["status"] == "aborted"
    assert "stops before the end" in alice.tsh("play", recording["session_id"], "--format=pty").err
    path = access.data_dir / f"log/records/{recording['session_id']}.rec"
    path.write_bytes(path.read_bytes()[:-20])
    assert alice.tsh("play", recording["session_id"], "--format=pty", check=False).code == 1
    wait_until(lambda: access.events("session.end"), "the end is audited")
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "true", check=False).code == 0, "the tunnel is back")


def test_no_session_is_left_behind_by_a_killed_supervisor(access, alice):
    shell = shell_on(alice)
    before = sessions_of(access.web)
    assert before
    access.web.kill()
    shell.wait()
    wait_until(lambda: not [pid for pid in before if pathlib.Path(f"/proc/{pid}").exists()], "its sshd has ended")


def test_a_stopped_agent_ends_its_sessions(access, alice):
    shell = shell_on(alice)
    access.web.stop()
    shell.wait()


def test_tunnels_return_when_the_proxy_is_killed(access, alice):
    shell = shell_on(alice)
    os.kill(access.process.children()["proxy"], signal.SIGKILL)
    shell.wait()
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "true", check=False).code == 0, "the tunnel is back")
    wait_until(lambda: access.events("session.end"), "the end is audited")


def test_tunnels_return_when_the_cluster_starts_again(access, alice):
    access.restart()
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "true", check=False).code == 0, "the tunnel is back")


def test_a_client_that_vanishes_ends_its_session(access, alice):
    shell = shell_on(alice)
    shell.kill(signal.SIGKILL)
    shell.close(force=True)
    wait_until(lambda: not sessions_of(access.web), "its sshd has ended")
    wait_until(lambda: access.events("session.end"), "the end is audited")


# ---- many sessions, slow readers -----------------------------------------------------------------------------------


def test_a_slow_reader_slows_only_itself(access, alice):
    slow = subprocess.Popen([program(access.build, "tsh"), "ssh", "root@web-1", "cat /dev/zero"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=alice.env)
    try:
        assert len(slow.stdout.read(1 << 20)) == 1 << 20  # and then nothing is read any more
        done = alice.tsh("ssh", "root@web-1", "head -c 30000000 /dev/zero | wc -c")
        assert done.out.strip() == "30000000"
        out = subprocess.run([program(access.build, "tsh"), "ssh", "root@web-1", "head -c 30000000 /dev/zero"], capture_output=True, env=alice.env, timeout=TIMEOUT, check=True)
        assert len(out.stdout) == 30_000_000
    finally:
        slow.kill()
        slow.wait()


def test_two_hundred_sessions_at_once(access, alice, tmp_path):
    """All of them hold at the same moment: each reads a pipe that ends only when all have started."""
    count = int(os.environ.get("CTELEPORT_SESSIONS", "200"))
    (tmp_path / "started").mkdir()
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    config = alice.ssh_config()
    command = f"exec 3< {tmp_path}/gate; echo $$ > {tmp_path}/started/$$; read line <&3; echo done"
    running = []
    for _ in range(count):
        running.append(subprocess.Popen(["ssh", "-F", str(config), f"root@{NODE}", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=alice.env, text=True))
    try:
        wait_until(lambda: len(list((tmp_path / "started").iterdir())) == count, "all have started", timeout=2 * TIMEOUT)
        os.close(gate)
        ended = [p.communicate(timeout=TIMEOUT) for p in running]
    finally:
        for p in running:
            p.kill()
    assert [p.returncode for p in running] == [0] * count, next(err for _out, err in ended if err)
    assert all(out == "done\n" for out, _err in ended)
    wait_until(lambda: len(access.events("exec")) == count, "each is audited")


# ---- certificates that are none ------------------------------------------------------------------------------------


def keygen(*args):
    subprocess.run(["ssh-keygen", "-q", *map(str, args)], check=True, capture_output=True)


@pytest.fixture
def forge(alice, tmp_path):
    """forge(**changes): ssh with another certificate than alice's, through her own connection to the proxy."""
    host = alice.cluster.proxy_addr.rsplit(":", 1)[0]
    keys = alice.home / ".tsh/keys" / host
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")

    def attempt(key, certificate, login="root"):
        config = alice.ssh_config()
        return subprocess.run(["ssh", "-F", "none", "-o", f"UserKnownHostsFile={alice.home}/.tsh/known_hosts", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
                               "-o", f"IdentityFile={key}", "-o", f"CertificateFile={certificate}", "-o", f"HostKeyAlias={NODE}",
                               "-o", f"ProxyCommand={program(alice.cluster.build, 'tsh')} proxy ssh {login}@web-1", f"{login}@web-1", "echo in"],
                              capture_output=True, text=True, timeout=TIMEOUT, env=alice.env, check=False)

    attempt.keys, attempt.ca, attempt.dir = keys, tmp_path / "ca", tmp_path
    return attempt


def test_the_way_of_these_tests_lets_a_good_certificate_in(forge):
    assert forge(forge.keys / "alice", forge.keys / "alice-ssh/example.test-cert.pub").stdout == "in\n"


def refused(access, done):
    assert done.returncode != 0 and "in\n" not in done.stdout
    event = wait_until(lambda: access.events("session.rejected"), "the refusal is audited")[-1]
    assert event["code"] == "T1006W"
    return event


def test_a_certificate_of_another_ca_is_refused_and_audited(access, forge):
    keygen("-t", "ed25519", "-N", "", "-f", forge.dir / "k")
    keygen("-s", forge.ca, "-I", "alice", "-n", "root", "-V", "+1h", forge.dir / "k.pub")
    refused(access, forge(forge.dir / "k", forge.dir / "k-cert.pub"))


@pytest.fixture
def stolen_ca(access, tmp_path):
    """The cluster's own user CA, for certificates that are false in one thing only."""
    key = load_pem_private_key((access.data_dir / "ca/user.ssh.key.pem").read_bytes(), None)
    path = tmp_path / "user-ca"
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return path


def test_a_certificate_past_its_end_is_refused_and_audited(access, forge, stolen_ca):
    keygen("-t", "ed25519", "-N", "", "-f", forge.dir / "k")
    keygen("-s", stolen_ca, "-I", "alice", "-n", "root", "-V", "-2h:-1h", forge.dir / "k.pub")
    event = refused(access, forge(forge.dir / "k", forge.dir / "k-cert.pub"))
    assert "ended" in event["reason"] or "expired" in event["reason"], event
    assert event["user"] == "alice" and event["login"] == "root"


def test_a_certificate_of_an_unknown_user_is_refused_and_audited(access, forge, stolen_ca):
    keygen("-t", "ed25519", "-N", "", "-f", forge.dir / "k")
    keygen("-s", stolen_ca, "-I", "mallory", "-n", "root", "-V", "+1h", forge.dir / "k.pub")
    refused(access, forge(forge.dir / "k", forge.dir / "k-cert.pub"))


def test_a_host_certificate_is_no_users(access, forge, stolen_ca):
    keygen("-t", "ed25519", "-N", "", "-f", forge.dir / "k")
    keygen("-s", stolen_ca, "-h", "-I", "alice", "-n", "root", "-V", "+1h", forge.dir / "k.pub")
    assert forge(forge.dir / "k", forge.dir / "k-cert.pub").returncode != 0


def test_an_altered_certificate_is_refused_and_audited(access, forge):
    kind, body = (forge.keys / "alice-ssh/example.test-cert.pub").read_text().split()[:2]
    data = bytearray(base64.b64decode(body))
    at = data.find(b"alice")
    data[at:at + 5] = b"admin"
    altered = forge.dir / "altered-cert.pub"
    altered.write_text(f"{kind} {base64.b64encode(data).decode()} x\n")
    done = forge(forge.keys / "alice", altered)
    assert done.returncode != 0 and "in\n" not in done.stdout


def test_a_plain_key_without_certificate_is_refused(forge, tmp_path):
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "plain")
    assert forge(tmp_path / "plain", "none").returncode != 0


def test_a_login_not_in_the_certificate_is_refused_and_audited(access, forge):
    event = refused(access, forge(forge.keys / "alice", forge.keys / "alice-ssh/example.test-cert.pub", login="daemon"))
    assert event["login"] == "daemon"


def test_another_users_certificate_is_refused_on_a_connection(access, forge, invite):
    bob = invite(access, "bob", "access", "root")
    bob.login()
    host = access.proxy_addr.rsplit(":", 1)[0]
    keys = bob.home / ".tsh/keys" / host
    refused(access, forge(keys / "bob", keys / "bob-ssh/example.test-cert.pub"))


def test_a_stolen_host_identity_cannot_pose_as_another_node(access, alice, aws, tmp_path):
    """web-2's own sshd behind web-1's name: the client sees that the certificate is another's."""
    other = access.join("web-2", env=aws.identity(), ssh={"labels": {"env": "dev"}})
    other.wait_reachable()
    done = subprocess.run(["ssh", "-F", "none", "-o", f"UserKnownHostsFile={alice.home}/.tsh/known_hosts", "-o", "BatchMode=yes",
                           "-o", f"HostKeyAlias={NODE}", "-o", f"ProxyCommand={program(access.build, 'tsh')} proxy ssh root@web-2", "root@web-1", "echo in"],
                          capture_output=True, text=True, timeout=TIMEOUT, env=alice.env, check=False)
    assert done.returncode != 0 and "in\n" not in done.stdout
    assert "Host key verification failed" in done.stderr or "principal" in done.stderr


# ---- several proxies ----------------------------------------------------------------------------------------------------


def test_a_node_is_reached_through_any_of_several_proxies(access, alice, aws):
    access.create({"kind": "token", "version": "v2", "metadata": {"name": "proxies"}, "spec": {"roles": ["Proxy"], "join_method": "iam",
                   "allow": [{"aws_account": "123456789012"}]}})
    holder = reserved_port()
    number = port_of(holder)
    second = access.host("proxy-2", token="proxies", via="auth", env=aws.identity(arn="arn:aws:sts::123456789012:assumed-role/proxy/i-0aaaaaaaaaaaaaaaa"),
                         services={"proxy_service": {"enabled": "yes", "web_listen_addr": f"127.0.0.1:{number}", "public_addr": f"127.0.0.1:{number}"},
                                   "ssh_service": {"enabled": "no"}})
    access.web.process.mark()
    second.start()
    second.wait_joined()
    access.web.process.wait_for(r"Reverse tunnel established", timeout=TIMEOUT)
    holder.close()
    first = access.proxy_addr
    access.proxy_addr = f"127.0.0.1:{number}"
    try:
        alice.login()
        assert alice.tsh("ssh", "root@web-1", "echo by the second").out == "by the second\n"
    finally:
        access.proxy_addr = first
