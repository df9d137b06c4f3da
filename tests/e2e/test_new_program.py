# SPDX-License-Identifier: Apache-2.0
"""Another program in the place of the running one: the services get new processes of it, or all keep the former one."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pexpect
import pytest
import yaml

from harness import TIMEOUT, iam_token, program, wait_until
from test_monitoring import DIAG, Diag
from test_reload import open_session, reload
from users import reachable_programs


@pytest.fixture
def replaceable(build):
    """Built programs that a test may replace."""
    directory = reachable_programs(build)
    yield directory
    shutil.rmtree(directory)


def install(build, content):
    """Puts another file in the place of `teleport`, as a package manager does."""
    path = pathlib.Path(program(build, "teleport"))
    new = path.with_name("teleport.new")
    new.write_bytes(content)
    new.chmod(0o755)
    new.rename(path)


def program_of(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


def test_a_new_program_takes_over_from_the_former_one(replaceable, make_cluster, aws, invite):
    cluster = make_cluster(build=replaceable)
    web, alice, shell = open_session(cluster, aws, invite)
    former = web.process.children()
    all_former = {*former.values(), *cluster.process.children().values()}
    path = pathlib.Path(program(replaceable, "teleport"))
    good = path.read_bytes()

    no_program, other_messages = b"#!/bin/sh\nexit 1\n", good.replace(b"service protocol %s", b"service protocol 0 ")
    for content, reason in ((no_program, "cannot take over: "), (other_messages, "understand each other")):
        assert content != good
        install(replaceable, content)
        web.process.mark()
        web.process.popen.send_signal(signal.SIGUSR2)
        web.process.wait_for(rf"The configuration was not reloaded.*the program {path} was replaced, and the new one.*{reason}")
        assert web.process.children() == former
    install(replaceable, good)
    done = reload(cluster)
    assert done.code == 0 and "new processes of the program on the disk" in done.out, done.err
    web.process.mark()
    web.process.popen.send_signal(signal.SIGUSR2)
    web.process.wait_for("The services run from the program on the disk; the configuration has not changed")
    new = wait_until(lambda: (now := web.process.children()) and set(now) == set(former) and now, "all run")
    assert new["instance"] != former["instance"]
    for pid in {*new.values(), *cluster.process.children().values()} - all_former:  # a former one that still has the session may be listed
        assert program_of(pid) == path.stat().st_ino
    shell.sendline("echo $((6 * 7)) is still here")
    shell.expect("42 is still here")
    assert alice.tsh("ssh", "root@web-1", "echo new").out == "new\n"
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    web.process.wait_for(r"The former process of a service has ended name:ssh")
    assert reload(web).out == "The configuration was reloaded: nothing has changed\n"


def test_metrics_of_a_later_program_are_shown_and_others_refused(build, replaceable, make_cluster):
    cluster = make_cluster(build=replaceable, teleport=DIAG)
    before, diag = cluster.process.children(), Diag(cluster)
    good = pathlib.Path(program(replaceable, "teleport")).read_bytes()

    renamed = good.replace(b"auth_generate_seconds\0", b"auth_generate_minutes\0")
    assert renamed != good
    install(replaceable, renamed)
    done = reload(cluster)
    assert done.code == 1 and "do not record the same metrics: only a restart applies it" in done.err and "systemctl restart teleport" in done.err, done.err
    assert cluster.process.children() == before

    install(replaceable, pathlib.Path(program(build, "teleport-later")).read_bytes())
    count = diag.metrics()["auth_generate_seconds_count"]
    done = reload(cluster)
    assert done.code == 0 and "new processes of the program on the disk" in done.out, done.err
    after = diag.metrics()
    assert after['cteleport_later{process="auth",a="20",b="30"}'] == 0 and after["auth_generate_seconds_count"] >= count > 0
    diag.wait_ready(200, processes="ok", store="ok")
    cluster.create(iam_token())


def test_all_services_keep_the_former_program_if_one_fails(build, replaceable, make_cluster, aws, invite):
    """With all services on one host, and on an agent; sessions that are open go on."""
    cluster = make_cluster(build=replaceable, ssh=True)
    web, alice, shell = open_session(cluster, aws, invite)
    path = pathlib.Path(program(replaceable, "teleport"))
    former, good = path.stat().st_ino, path.read_bytes()
    broken, bad_auth = pathlib.Path(program(build, "teleport-broken")).read_bytes(), good.replace(b"SELECT count(*) FROM sqlite_schema", b"SELECT error(*) FROM sqlite_schema")
    assert bad_auth != good
    for owner, content, reason in ((web, broken, "the new process of the service 'ssh' ended with status 1 before it was ready"),
                                   (cluster, broken, "the new process of the service 'proxy' ended with status 1 before it was ready"),
                                   (cluster, bad_auth, "no such function: error")):  # the last one, when the others have the new program
        install(replaceable, content)
        done = reload(owner)
        assert done.code == 1 and reason in done.err, done.err
        wait_until(lambda: {program_of(pid) for pid in owner.process.children().values()} == {former}, "all have the former program")
    shell.sendline("echo $((6 * 7)) is still here")
    shell.expect("42 is still here")
    cluster.create(iam_token("another"))
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "echo new", check=False).out == "new\n", "the proxy has found the Auth Service again")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)


def test_a_session_on_the_auth_host_survives_an_upgrade(replaceable, make_cluster, invite):
    """Former processes report it to the new process of the Auth Service."""
    cluster = make_cluster(build=replaceable, ssh=True)
    cluster.process.wait_for(r"Reverse tunnel established")
    alice = invite(cluster)
    alice.login()
    shell = alice.shell("root@auth-1")
    install(replaceable, pathlib.Path(program(replaceable, "teleport")).read_bytes())
    done = reload(cluster)
    assert done.code == 0 and "new processes of the program on the disk" in done.out, done.err
    shell.sendline("echo $((6 * 7)) is still here")
    shell.expect("42 is still here")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    for service in ("ssh", "proxy"):
        cluster.process.wait_for(rf"The former process of a service has ended name:{service}")
    cluster.event("session.end")
    wait_until(lambda: any("42 is still here" in alice.tsh("play", "--format=text", r["session_id"], check=False).out for r in alice.recordings()),
               "the recording has arrived")
    wait_until(lambda: alice.tsh("ssh", "root@auth-1", "echo new", check=False).out == "new\n", "the proxy has found the Auth Service again")


# Lines of the log that divide an upgrade into steps, on the auth host and on an agent.
STEPS = ("loads the configuration again", "The program on the disk is another one", r"has a new process name:(instance)", r"has a new process name:(ssh|auth)")


def interrupt(owner, name, build, step):
    """Lets it reload, with a copy of the program, and kills one of its processes at a step; "" for the supervisor. Whether the supervisor runs on."""
    install(build, pathlib.Path(program(build, "teleport")).read_bytes())
    owner.process.mark()
    running = subprocess.Popen([program(build, "teleport"), "reload", "-c", str(owner.config_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    owner.process.wait_for(step)
    pid = owner.process.children().get(name) if name else owner.process.pid
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.wait(TIMEOUT)
    return name != ""


@pytest.mark.nightly
def test_kills_during_reloads_leave_a_working_cluster(replaceable, make_cluster, aws, invite):
    cluster = make_cluster(build=replaceable)
    cluster.restart()  # the file has the ports from now on
    cluster.create(iam_token())
    web = cluster.join("web-1", env=aws.identity()).wait_signed()
    alice = invite(cluster)
    alice.login()
    victims = ["", "instance", "ssh", "auth", "signer", "proxy"]
    for n in range(len(victims) * len(STEPS)):
        name, step = victims[n % len(victims)], STEPS[n // len(victims)]
        web.config["ssh_service"]["labels"] = {"n": str(n)}
        cluster.config["auth_service"]["tokens"] = [f"node:static-token-{n}"]
        for owner in (web, cluster):
            owner.config_path.write_text(yaml.safe_dump(owner.config))
            if interrupt(owner, name, replaceable, step):
                reload(owner)  # refused or interrupted before: now it is applied
            elif owner is web:
                web.kill()
                web.start()
            else:
                cluster.process.stop(sig=signal.SIGKILL)
                cluster.process = None
                cluster.start()
        wait_until(lambda: (node := cluster.node("web-1")) and (node["metadata"].get("labels") or {}).get("n") == str(n), f"label {n} is there after a kill of {name!r}")
        wait_until(lambda: alice.tsh("ssh", "root@web-1", "echo works", check=False).out == "works\n", f"a session begins after a kill of {name!r}")
