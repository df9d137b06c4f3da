# SPDX-License-Identifier: Apache-2.0
"""Changes of teleport.yaml while the service runs: applied without a restart, or refused as a whole."""
import os
import pathlib
import resource
import signal
import subprocess

import pexpect
import pytest
import yaml

from harness import TIMEOUT, Cluster, Result, iam_token, program, wait_until


def reload(owner, *flags, config=None):
    """`teleport reload` for a cluster or a host; a changed configuration is written first."""
    if config is not None:
        owner.config_path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return Result(subprocess.run([program(owner.build, "teleport"), "reload", "-c", str(owner.config_path), *flags], capture_output=True, text=True, timeout=TIMEOUT,
                                 env=owner.env, stdin=subprocess.DEVNULL))


def changed(owner, **sections):
    """The configuration with which it was started, with other keys in its sections."""
    config = yaml.safe_load(owner.config_path.read_text())
    for section, keys in sections.items():
        config[section] = {**config.get(section, {}), **keys}
    return config


@pytest.fixture(scope="module")
def running(build, aws_process, tmp_path_factory):
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("reload") / "cluster").start()
    cluster.create(iam_token())
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def host(running, aws_process):
    return running.join(env=aws_process.identity()).wait_signed()


def test_labels_change_without_a_restart(running, host):
    before = host.process.children()
    done = reload(host, config=changed(host, ssh_service={"labels": {"env": "prod"}, "commands": [{"name": "kernel", "command": ["/bin/uname"], "period": "1h"}]}))
    assert done.code == 0 and "ssh_service.labels, ssh_service.commands" in done.out
    wait_until(lambda: (running.node(host.name)["metadata"].get("labels") or {}).get("env") == "prod", "the cluster has the new label")
    wait_until(lambda: "Linux" in str(running.node(host.name)), "the cluster has the output of the command")
    after = host.process.children()
    assert after["ssh"] == before["ssh"] and after["instance"] != before["instance"] and "labels" in after
    assert reload(host).out == "The configuration was reloaded: nothing has changed\n"
    assert host.process.children() == after


@pytest.mark.parametrize("section, keys, reason", [
    ("teleport", {"nodename": "other"}, ": a reload cannot apply the change of teleport.nodename: the certificates of this host have its name"),
    ("teleport", {"log": {"severity": "LOUD"}}, ": teleport.log.severity cannot be 'LOUD'"),
    ("ssh_service", {"lables": {"a": "b"}}, ": unknown key 'lables' in ssh_service"),
])
def test_a_refused_file_changes_nothing(host, section, keys, reason):
    before, good = host.process.children(), host.config_path.read_text()
    done = reload(host, config=changed(host, **{section: keys}))
    assert done.code == 1 and f"{host.config_path}:" in done.err and reason in done.err, done.err
    assert host.process.children() == before
    assert reload(host, config=good).code == 0


def test_the_log_of_all_processes_changes_its_format(running):
    running.process.mark()
    before, good = running.process.children(), running.config_path.read_text()
    assert reload(running, config=changed(running, teleport={"log": {"format": {"output": "json"}}})).code == 0
    running.create(iam_token("another"))
    running.process.wait_for(r'\{.*Resource written.*\}')
    assert running.process.children() == before
    assert reload(running, config=good).code == 0


def test_static_tokens_change_under_an_open_presence(running, host):
    before, good = running.process.children(), running.config_path.read_text()
    running.process.mark()
    assert reload(running, config=changed(running, auth_service={"tokens": ["node:a-new-static-token"]})).code == 0
    after = running.process.children()
    assert after["auth"] != before["auth"] and after["proxy"] == before["proxy"] and after["instance"] == before["instance"]
    late = running.host(name="static", token="a-new-static-token", method="token").start()
    late.wait_joined()
    late.stop()
    running.hosts.remove(late)
    wait_until(lambda: running.node(host.name), "the host is listed")
    assert reload(running, config=good).code == 0


def test_a_reload_needs_a_running_service(build, tmp_path):
    path = tmp_path / "teleport.yaml"
    path.write_text(f"version: v3\nteleport: {{data_dir: {tmp_path}/data}}\n")
    done = Result(subprocess.run([program(build, "teleport"), "reload", "-c", path], capture_output=True, text=True, timeout=TIMEOUT))
    assert done.code == 1 and f"no teleport runs with the data directory {tmp_path}/data" in done.err


def test_a_reload_waits_while_descriptors_are_missing(host):
    pid, usual = host.process.pid, resource.prlimit(host.process.pid, resource.RLIMIT_NOFILE)
    host.process.mark()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, usual[1]))
    try:
        command = subprocess.Popen([program(host.cluster.build, "teleport"), "reload", "-c", str(host.config_path)], stdout=subprocess.PIPE, text=True, env=host.env)
        host.process.wait_for(r"A reload that was requested waits .*Too many open files")
        wait_until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S", "the supervisor waits, too")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert command.communicate(timeout=TIMEOUT)[0] == "The configuration was reloaded: nothing has changed\n"


def test_a_wrong_file_is_refused_by_signal_too(host):
    good = host.config_path.read_text()
    host.process.mark()
    host.config_path.write_text("version: v3\nteleport: [\n")
    host.process.popen.send_signal(signal.SIGHUP)
    host.process.wait_for(r"The configuration was not reloaded; the former one stays in force .*teleport.yaml:\d+:\d+")
    host.config_path.write_text(good)


def open_session(cluster, aws, invite):
    """A host that joins the cluster, a user, and the user's terminal on that host."""
    cluster.create(iam_token())
    web = cluster.join("web-1", env=aws.identity()).wait_signed()
    web.wait_reachable()
    alice = invite(cluster)
    alice.login()
    return web, alice, alice.shell("root@web-1")


def test_a_session_goes_on_while_its_services_are_replaced(alice, access):
    shell, web = alice.shell("root@web-1"), access.web
    former = [web.process.children()["ssh"], access.process.children()["proxy"]]
    web.process.mark()
    access.process.mark()
    assert reload(access, config=changed(access, proxy_service={"proxy_protocol": "off"})).code == 0
    assert alice.tsh("ssh", "root@web-1", "echo new").out == "new\n"
    assert reload(web, config=changed(web, ssh_service={"port_forwarding": False})).code == 0
    web.process.wait_for(r"The new process of this service has its tunnels, and accepts all new connections")
    shell.sendline("echo $((6 * 7)) is still here")
    shell.expect("42 is still here")
    assert alice.tsh("ssh", "root@web-1", "echo newer").out == "newer\n" and all(os.path.exists(f"/proc/{pid}") for pid in former)
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    web.process.wait_for(r"The former process of a service has ended name:ssh")
    access.process.wait_for(r"The former process of a service has ended name:proxy")
    assert alice.tsh("ssh", "root@web-1", "echo again").out == "again\n"
    wait_until(lambda: any("42 is still here" in alice.tsh("play", "--format=text", r["session_id"], check=False).out for r in alice.recordings()),
               "the recording has arrived")


@pytest.mark.nightly
def test_a_former_process_gets_renewed_certificates(make_cluster, programs, aws, invite):
    """A session on it can be reported after the certificate with which it was replaced has expired."""
    cluster = make_cluster(build=programs, auth={"host_cert_ttl": "12s"})
    web, alice, shell = open_session(cluster, aws, invite)
    former, old = web.process.children()["ssh"], web.identity("node")["tls_cert"]
    assert reload(web, config=changed(web, ssh_service={"port_forwarding": False})).code == 0
    web.process.wait_for(r"The new process of this service has its tunnels, and accepts all new connections")
    assert reload(web, config=changed(web, ssh_service={"labels": {"a": "b"}})).code == 0  # instance is another process, too
    ended = ["openssl", "x509", "-inform", "DER", "-noout", "-checkend", "0"]
    wait_until(lambda: subprocess.run(ended, input=old, capture_output=True).returncode, "the former certificate has expired")
    os.kill(cluster.process.children()["auth"], signal.SIGKILL)  # connections to it are made again
    wait_until(lambda: cluster.tctl("status", check=False).code == 0, "auth is back")
    shell.sendline("echo $((6 * 7)) is still here")
    shell.expect("42 is still here")
    assert os.path.exists(f"/proc/{former}")
    web.process.mark()
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    web.process.wait_for(r"The former process of a service has ended name:ssh")
    wait_until(lambda: any("42 is still here" in alice.tsh("play", "--format=text", r["session_id"], check=False).out for r in alice.recordings()),
               "the recording has arrived")
    assert cluster.event("session.end")
