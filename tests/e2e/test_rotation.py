# SPDX-License-Identifier: Apache-2.0
"""The cluster's CAs: exported for other programs, and rotated while everything goes on."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import re
import signal
import ssl
import subprocess
import time

import pexpect
import pytest

from harness import TIMEOUT, iam_token, program, wait_until
from test_monitoring import DIAG, Diag
from test_recording import play, the_recording


def openssl(*args, text=""):
    done = subprocess.run(["openssl", *map(str, args)], input=text, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# ---- export ------------------------------------------------------------------------------------------------------


def test_the_cas_are_exported_for_openssh_and_openssl(shared, tmp_path):
    host, user = shared.tctl("auth", "export").out.splitlines()
    assert host.startswith("@cert-authority example.test,*.example.test ssh-ed25519 ") and host.endswith(" type=host")
    assert user.startswith("cert-authority ssh-ed25519 ") and user.endswith(" clustername=example.test&type=user")
    assert shared.tctl("auth", "export", "--type=host").out == host + "\n"
    compat = shared.tctl("auth", "export", "--type=host", "--compat=1.0").out
    assert compat.split()[:3] == ["cert-authority", *host.split()[2:4]] and compat.endswith(" clustername=example.test&type=host\n")

    (tmp_path / "user_ca.pub").write_text(" ".join(user.split()[1:3]) + "\n")
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "user_ca.pub"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert shared.tctl("auth", "export", f"--fingerprint={fingerprint}").out == user + "\n"
    assert "no CA has this fingerprint" in shared.tctl("auth", "export", "--fingerprint=SHA256:x", check=False).err
    assert "--fingerprint selects SSH keys" in shared.tctl("auth", "export", "--type=tls-user", "--fingerprint=x", check=False).err

    pin = openssl("x509", "-pubkey", "-noout", text=shared.tctl("auth", "export", "--type=tls-host").out)
    digest = subprocess.run("openssl pkey -pubin -outform DER | sha256sum", shell=True, input=pin, capture_output=True, text=True, check=True).stdout
    assert shared.ca_pin == "sha256:" + digest.split()[0]
    assert "Private" not in shared.tctl("auth", "export", "--keys", check=False).out


def test_an_empty_crl_is_signed_by_its_ca(shared, tmp_path):
    for kind in ("host", "user"):
        ca, crl = tmp_path / f"{kind}.pem", tmp_path / f"{kind}.crl"
        ca.write_text(shared.tctl("auth", "export", f"--type=tls-{kind}").out)
        crl.write_text(shared.tctl("auth", "crl", f"--type={kind}").out)
        assert "verify OK" in openssl("crl", "-in", crl, "-CAfile", ca, "-noout")
        assert "No Revoked Certificates" in openssl("crl", "-in", crl, "-text", "-noout")


# ---- rotation ----------------------------------------------------------------------------------------------------


def step(cluster, kind, phase, begun=None):
    """Begins a phase by hand, as soon as every host has taken over the last one. `begun`: or the status begins with this, by a step that was taken before."""
    def attempt():
        done = cluster.tctl("auth", "rotate", f"--type={kind}", "--manual", f"--phase={phase}", check=False)
        if done.code == 0:
            assert done.out == f'Updated rotation phase to "{phase}". To check status use \'tctl status\'\n'
            return True
        if begun is not None and ("another step of this rotation is being taken" in done.err or rotation_of(cluster, kind).startswith(begun)):
            return rotation_of(cluster, kind).startswith(begun)
        assert any(reason in done.err for reason in ("not taken over the phase", "the signer has not entered the phase")), done.err
        return False
    wait_until(attempt, f"the phase {phase} begins")


def followed(cluster):
    """Waits until all hosts have taken over the phase."""
    wait_until(lambda: all(ca["rotation"].get("hosts_behind", 0) == 0 for ca in cluster.json("status")["authorities"]), "the hosts have taken over the phase")


def connected(cluster):
    """Names of the hosts that are connected; none while the Auth Service does not answer."""
    done = cluster.tctl("nodes", "ls", "--format=json", check=False)
    return {n["spec"]["hostname"] for n in json.loads(done.out) if n["spec"]["state"] != "offline"} if done.code == 0 else set()


def rotation_of(cluster, kind):
    return re.search(rf"^{kind} CA +(\S.*?) *$", cluster.tctl("status").out, re.M).group(1)


def keys_of(cluster, kind):
    """The SSH keys of the CA, the one that signs first."""
    return [line.split(" ssh-ed25519 ")[1].split()[0] for line in cluster.tctl("auth", "export", f"--type={kind}").out.splitlines()]


def signer_of(user):
    """The CA that signed the user's certificate."""
    cert, = user.home.glob(".tsh/keys/*/*-ssh/*-cert.pub")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", cert], capture_output=True, text=True, check=True).stdout
    return re.search(r"Signing CA: ED25519 (\S+)", shown).group(1)


def fingerprints(cluster, kind):
    text = "".join(f"ssh-ed25519 {key}\n" for key in keys_of(cluster, kind))
    return [line.split()[1] for line in subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=text, capture_output=True, text=True, check=True).stdout.splitlines()]


@contextlib.contextmanager
def session_open(user, target="root@web-1"):
    """A session that echoes; the function that is yielded shows that it still runs."""
    held = subprocess.Popen([program(user.cluster.build, "tsh"), "ssh", target, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=user.env, text=True)

    def still_runs(word):
        held.stdin.write(f"{word}\n")
        held.stdin.flush()
        assert held.stdout.readline() == f"{word}\n"

    try:
        still_runs("begun")
        yield still_runs
    finally:
        held.stdin.close()
        held.wait(TIMEOUT)
        held.stdout.close()


def greets(user, node="web-1"):
    return user.tsh("ssh", f"root@{node}", "echo", "hello").out == "hello\n"


def await_reached(user, node="web-1"):
    """After processes were killed or started: their connections are made again."""
    wait_until(lambda: user.tsh("ssh", f"root@{node}", "true", check=False).code == 0, f"{node} is reached")


def pins_of(cluster):
    return re.findall(r"sha256:[0-9a-f]{64}", cluster.tctl("status").out)


def pinned(cluster, aws, name, **settings):
    """A host with the cluster's ca_pin of this moment, which reaches it through the proxy."""
    return cluster.join(name, env=aws.identity(), teleport={"ca_pin": cluster.ca_pin}, insecure=False, **settings)


def test_the_user_ca_is_rotated_under_open_sessions(access, alice, invite):
    old, = fingerprints(access, "user")
    assert rotation_of(access, "user") == "never updated"
    with session_open(alice) as still_runs:
        step(access, "user", "init")
        assert re.fullmatch(r"initialized \(mode: manual, started: \w{3} [ \d]\d \d\d:\d\d:\d\d UTC\)", rotation_of(access, "user"))
        followed(access)
        still_runs("both CAs are trusted")
        assert greets(alice)

        step(access, "user", "update_clients")
        new, = set(fingerprints(access, "user")) - {old}
        bob = invite(access, "bob")
        bob.login()
        assert (signer_of(alice), signer_of(bob)) == (old, new)
        assert greets(alice) and greets(bob)

        step(access, "user", "update_servers")
        assert greets(alice) and greets(bob)
        access.process.mark()
        os.kill(access.process.children()["signer"], signal.SIGKILL)
        os.kill(access.process.children()["auth"], signal.SIGKILL)
        access.process.wait_for("Auth service is ready")
        assert rotation_of(access, "user").startswith("rotating servers (mode: manual")
        still_runs("auth and signer were killed")

        step(access, "user", "standby")
        followed(access)
        assert fingerprints(access, "user") == [new]
        assert re.fullmatch(r"rotated \w{3} [ \d]\d \d\d:\d\d:\d\d UTC", rotation_of(access, "user"))
        still_runs("the old CA is gone")
        await_reached(bob)
        for command in (("ssh", "root@web-1", "true"), ("ls",)):
            refused = alice.tsh(*command, check=False)
            assert refused.code == 1 and "the server refused our certificate" in refused.err
            assert "log in again: tsh login --proxy=" in refused.err and "data directory" not in refused.err
    assert [e["phase"] for e in access.exactly(4, "cert_authority.rotate")] == ["init", "update_clients", "update_servers", "standby"]
    alice.login()
    assert signer_of(alice) == new and greets(alice)


def test_both_cas_are_rotated_at_once(make_cluster, aws):
    """A host learns of the second step while it renews its certificates for the first one."""
    cluster = make_cluster()
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    before = [started.process.children()["instance"] for started in (cluster, host)]
    for phase in ("init", "update_clients", "update_servers", "standby"):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda kind: step(cluster, kind, phase), ("user", "host")))
        followed(cluster)
    assert [started.process.children()["instance"] for started in (cluster, host)] == before


def test_a_phase_waits_for_a_host_of_hidden_name(access, alice):
    instance = access.web.process.children()["instance"]
    os.kill(instance, signal.SIGSTOP)
    try:
        step(access, "user", "init")
        wait_until(lambda: "1 connected host has not taken over this phase: web-1" in access.tctl("status").out, "web-1 alone is behind")
        shown = alice.tctl("status").out
        assert "1 connected host has not taken over this phase" in shown and "web-1" not in shown
        refused = access.tctl("auth", "rotate", "--type=user", "--manual", "--phase=update_clients", check=False)
        assert refused.code == 1 and "1 connected host has not taken over the phase init yet: web-1" in refused.err
    finally:
        os.kill(instance, signal.SIGCONT)
    followed(access)


@pytest.mark.nightly
def test_a_rotation_of_the_user_ca_is_rolled_back(access, alice, invite):
    old, = fingerprints(access, "user")
    assert "no rotation is in progress" in access.tctl("auth", "rotate", "--type=user", "--manual", "--phase=standby", check=False).err
    step(access, "user", "init")
    assert "after which standby cannot follow" in access.tctl("auth", "rotate", "--type=user", "--manual", "--phase=standby", check=False).err
    step(access, "user", "update_clients")
    bob = invite(access, "bob")
    bob.login()
    assert signer_of(bob) != old and greets(bob)
    step(access, "user", "rollback")
    assert rotation_of(access, "user").startswith("rolling back (mode: manual")
    assert greets(bob) and greets(alice)
    carol = invite(access, "carol")
    carol.login()
    assert signer_of(carol) == old
    step(access, "user", "standby")
    followed(access)
    assert rotation_of(access, "user") == "never updated" and fingerprints(access, "user") == [old]
    assert greets(alice) and greets(carol)
    assert bob.tsh("ssh", "root@web-1", "true", check=False).code != 0


def test_the_host_ca_is_rotated_under_open_sessions(access, alice, aws):
    host = pinned(access, aws, "web-2")
    host.wait_reachable()
    old, = pins_of(access)
    with session_open(alice) as still_runs, session_open(alice, "root@web-2") as still_runs_there:
        step(access, "host", "init")
        followed(access)
        assert len(pins_of(access)) == 2 and pins_of(access)[0] == old
        assert greets(alice) and greets(alice, "web-2")
        step(access, "host", "update_clients")
        late = pinned(access, aws, "web-3")  # its pin names the old CA alone
        late.wait_reachable()
        alice.login()  # from here on the workstation knows both CAs, without a word of the user
        followed(access)
        assert greets(alice, "web-2")

        step(access, "host", "update_servers")
        followed(access)
        assert pins_of(access)[1] == old
        assert greets(alice) and greets(alice, "web-2") and greets(alice, "web-3")
        access.process.mark()
        os.kill(access.process.children()["signer"], signal.SIGKILL)
        os.kill(access.process.children()["auth"], signal.SIGKILL)
        access.process.wait_for("Auth service is ready")

        step(access, "host", "standby")
        followed(access)
        new, = pins_of(access)
        assert new != old
        still_runs("the new CA is alone")
        still_runs_there("here, too")
        for name in ("web-1", "web-2", "web-3"):
            await_reached(alice, name)

    host.stop()
    host.start().wait_joined()  # the pin is of the CA before, whose Auth Service has named this one
    assert "Joining the cluster" not in host.process.text().split("This host is present")[-2]
    await_reached(alice, "web-2")
    refused = access.host("web-4", env=aws.identity(), teleport={"ca_pin": old}, insecure=False).start()
    refused.process.wait_for(f"the cluster's CA is {new}, and ca_pin names {old}")
    late.stop()


def test_a_host_that_joins_again_in_a_phase_follows(make_cluster, aws):
    """In the same process, which has requested certificates of this phase before."""
    cluster = make_cluster()
    cluster.create(iam_token())
    cluster.node_env = aws.identity()
    web = cluster.join("web-1", env=aws.identity())
    web.wait_reachable()
    step(cluster, "host", "init")
    followed(cluster)
    web.process.mark()
    cluster.tctl("rm", f"node/{web.host_id}")
    web.process.wait_for("This host is present in the cluster")
    step(cluster, "host", "update_clients")


@pytest.mark.nightly
def test_a_host_that_was_off_for_a_rotation_joins_again(access, alice, aws):
    access.tctl("tokens", "add", "--type=node", "--value=a-secret-for-one-host")
    off, kept, invited = access.join("web-2", env=aws.identity()), pinned(access, aws, "web-3"), access.join("web-4", token="a-secret-for-one-host", method="token")
    for host in (off, kept, invited):
        host.wait_reachable()
        host.stop()
    access.tctl("tokens", "rm", "a-secret-for-one-host")
    old, = pins_of(access)
    for phase in ("init", "update_clients"):
        step(access, "host", phase)
        followed(access)
    alice.login()
    for phase in ("update_servers", "standby"):
        step(access, "host", phase)
        followed(access)
    new, = pins_of(access)
    off.start().wait_joined()
    assert "Joining the cluster with a secure token" in off.process.text()
    off.wait_reachable()
    await_reached(alice, "web-2")
    kept.start()
    kept.process.wait_for(f"the cluster's CA is {new}, and ca_pin names {old}")
    kept.stop()
    kept.config["teleport"]["ca_pin"] = new
    kept.start().wait_joined()

    invited.start()
    invited.process.wait_for("Can not join the cluster as Instance, the token expired or not found. Regenerate the token and try again.")
    invited.stop()
    access.tctl("tokens", "add", "--type=node", "--value=another-secret-for-it")
    access.tctl("rm", f"node/{invited.host_id}")  # its name is that of a host that the cluster knows
    invited.config["teleport"]["join_params"]["token_name"] = "another-secret-for-it"
    invited.start().wait_joined()


@pytest.mark.nightly
def test_a_session_over_rotations_of_both_cas_is_recorded_whole(access, alice):
    shell = alice.shell("root@web-1")
    shell.sendline("echo begun before")
    for kind in ("user", "host"):
        for phase in ("init", "update_clients", "update_servers", "standby"):
            step(access, kind, phase)
            followed(access)
            shell.sendline(f"echo {kind} $((1 + 1)) {phase}")
            shell.expect(f"{kind} 2 {phase}")
            if phase == "update_clients":
                alice.login()
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    played = play(alice, the_recording(access, alice)["session_id"], "pty").decode()
    assert "begun before" in played and re.findall(r"(user|host) 2 (\w+)", played) == [
        (kind, phase) for kind in ("user", "host") for phase in ("init", "update_clients", "update_servers", "standby")]


@pytest.mark.nightly
@pytest.mark.parametrize("phases", [["init"], ["init", "update_clients"], ["init", "update_clients", "update_servers"]], ids=lambda phases: phases[-1])
def test_a_rotation_of_the_host_ca_is_rolled_back(access, alice, aws, phases):
    pinned(access, aws, "web-2").wait_reachable()
    old, = pins_of(access)
    with session_open(alice, "root@web-2") as still_runs:
        for phase in phases:
            step(access, "host", phase)
            followed(access)
            if phase == "update_clients":
                alice.login()
        step(access, "host", "rollback")
        followed(access)
        assert greets(alice) and greets(alice, "web-2")
        step(access, "host", "standby")
        followed(access)
        still_runs("the new CA is dropped")
    assert pins_of(access) == [old]
    assert greets(alice) and greets(alice, "web-2")
    assert rotation_of(access, "host") == "never updated"


@pytest.mark.nightly
def test_a_rotation_by_schedule_takes_its_steps_by_itself(access, alice):
    old, = fingerprints(access, "user")
    assert access.tctl("auth", "rotate", "--type=user", "--grace-period=30s").out == \
        "Initiated certificate authority rotation. To check status use 'tctl status'\n"
    assert re.fullmatch(r"initialized \(mode: auto, started: .* UTC, ending: .* UTC\)", rotation_of(access, "user"))
    wait_until(lambda: rotation_of(access, "user").startswith("rotating clients"), "clients are rotated")
    access.restart()  # the schedule goes on
    wait_until(lambda: rotation_of(access, "user").startswith("rotated "), "the rotation has ended")
    assert old not in fingerprints(access, "user")
    assert [e["user"] for e in access.exactly(4, "cert_authority.rotate")][1:] == ["the schedule"] * 3


@pytest.mark.nightly
def test_a_schedule_that_waits_is_in_status_and_metrics(make_cluster, aws):
    def waiting():
        return [value for name, value in Diag(cluster).metrics().items() if name.startswith("cteleport_ca_rotation_waiting_since_seconds") and 'ca="user"' in name]

    def warning():
        return re.search(r"^Warning +(.*?) *$", cluster.tctl("status").out, re.M)

    cluster = make_cluster(teleport=DIAG, auth={"heartbeat_ttl": "10m"})  # a host that does not answer counts as connected meanwhile
    cluster.create(iam_token())
    instance = cluster.join("web-1", env=aws.identity()).process.children()["instance"]
    os.kill(instance, signal.SIGSTOP)
    try:
        cluster.tctl("auth", "rotate", "--type=user", "--grace-period=30s")
        assert not waiting() and not warning()
        since, = wait_until(waiting, "the metric says that the schedule waits")
        assert abs(time.time() - since) < TIMEOUT
        assert re.fullmatch(r"the rotation of the user CA waits since .* UTC for 1 connected host: update or lock it; without it the next phase begins by tctl auth "
                            r"rotate --type=user --manual --phase=update_clients --force", warning().group(1))
        assert "1 connected host has not taken over this phase: web-1" in cluster.tctl("status").out
    finally:
        os.kill(instance, signal.SIGCONT)
    wait_until(lambda: rotation_of(cluster, "user").startswith("rotating clients"), "the schedule goes on")
    wait_until(lambda: not waiting() and not warning(), "nothing waits when the signer has taken the step")


@pytest.mark.nightly
@pytest.mark.parametrize("victim", ["auth", "signer", "instance", "proxy", "all"])
def test_a_kill_at_each_step_leaves_a_working_cluster(access, alice, aws, victim):
    pinned(access, aws, "web-2").wait_reachable()
    for kind in ("user", "host"):
        for phase in ("init", "update_clients", "update_servers", "standby"):
            request = subprocess.Popen([program(access.build, "tctl"), "-c", str(access.config_path), "auth", "rotate", f"--type={kind}", "--manual",
                                        f"--phase={phase}", "--force"], env=access.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if victim == "all":
                for pid in [*access.process.children().values(), access.process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                request.wait(TIMEOUT)
                access.process.popen.wait(TIMEOUT)
                access.start()
            else:
                os.kill(wait_until(lambda: access.process.children().get(victim), f"{victim} runs"), signal.SIGKILL)
                request.wait(TIMEOUT)
            begun = {"init": "initialized", "update_clients": "rotating clients", "update_servers": "rotating servers", "standby": "rotated"}[phase]
            # Else no host would be connected, and a phase would cut them off: --force asks for none.
            for name in ("web-1", "web-2"):
                wait_until(lambda: name in connected(access), f"{name} is connected again")
            if not rotation_of(access, kind).startswith(begun):
                step(access, kind, phase, begun)  # the kill was before the step was stored, or the step is just being taken
            followed(access)
            if phase == "update_clients":
                alice.login()
    await_reached(alice)
    await_reached(alice, "web-2")


# ---- before the end ------------------------------------------------------------------------------------------------


def give_life(path, key, begin, end):
    """Signs a certificate, of a P-256 key, again with other times (RFC 5280, section 4.1; lengths of two bytes)."""
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    contents = der[4:8 + int.from_bytes(der[6:8], "big")]
    for old, new in zip(re.findall(rb"\x17\x0d(\d{12}Z)", contents)[:2], (begin, end)):
        contents = contents.replace(old, new.strftime("%y%m%d%H%M%SZ").encode(), 1)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=contents, capture_output=True, check=True).stdout
    body = contents + bytes.fromhex("300a06082a8648ce3d040302") + bytes([3, len(signature) + 1, 0]) + signature
    path.write_text(ssl.DER_cert_to_PEM_cert(b"\x30\x82" + len(body).to_bytes(2, "big") + body))


def test_a_ca_and_a_web_certificate_warn_before_their_end(make_cluster, tmp_path):
    cert, key = tmp_path / "web.pem", tmp_path / "web.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=proxy.test",
            "-addext", "subjectAltName=DNS:proxy.test,IP:127.0.0.1", "-days", "300")
    cluster = make_cluster()
    assert "Warning" not in cluster.tctl("status").out
    cluster.stop()
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    ca = cluster.data_dir / "ca"
    give_life(ca / "user.tls.cert.pem", ca / "user.tls.key.pem", now - 300 * day, now + 6.1 * day)
    give_life(cert, key, now - 300 * day, now + 7 * day + datetime.timedelta(seconds=8))  # the proxy runs when the mark of a week is passed
    cluster.config["proxy_service"]["https_keypairs"] = [{"key_file": str(key), "cert_file": str(cert)}]
    cluster.start()
    cluster.process.wait_for("A CA of the cluster is near its end type:user")
    cluster.process.wait_for('A web certificate is near its end pair:1 end:"expires in 6 days, ')
    warnings = wait_until(lambda: len(found := re.findall(r"^Warning +(.*?) *$", cluster.tctl("status").out, re.M)) == 2 and found, "status has both warnings")
    assert re.fullmatch(r"the user CA expires in 6 days, at \S+Z: tctl auth rotate --type=user", warnings[0])
    assert re.fullmatch(r"the web certificate of proxy \S+ expires in 6 days, at \S+Z: replace its files, and let it load them by SIGHUP", warnings[1])
