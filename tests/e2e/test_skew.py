# SPDX-License-Identifier: Apache-2.0
"""Programs of the last release and of this tree in one cluster, and data of the one opened by the other."""
import json
import pathlib
import re
import signal
import subprocess

import pexpect
import pytest

from harness import WEB_ARN, Cluster, iam_token, port_of, program, reserved_port, wait_until
from releases import PROJECT, Release, remove, service_protocol
from tcp_server import TcpServer, echo
from test_backup import Keys, move_to, store_check, teleport
from test_new_program import install, program_of
from test_proxies import Proxy, tunnels
from test_reload import reload
from test_rotation import step
from test_tsh_apps import ProxyApp
from users import User, invite_url, reachable_programs

TOKEN = "a-secret-of-the-tests"
SIDES = ("older hosts", "newer hosts")


def token(name, *roles):
    return {"kind": "token", "version": "v2", "metadata": {"name": name}, "spec": {"roles": list(roles), "join_method": "token"}}


@pytest.fixture(scope="module")
def release():
    return Release("peers")


@pytest.fixture(scope="module")
def older(release):
    build = release.build()
    yield build
    remove(build)


@pytest.fixture(scope="module")
def upgradable():
    """A release that has reloads and backups, and its programs."""
    release = Release("upgrades")
    release.programs = release.build()
    yield release
    remove(release.programs)


def versions(cluster, tctl):
    """The number of hosts of each version, by the tctl of this build."""
    return json.loads(cluster.tctl("inventory", "status", "--format=json", build=tctl).out)["versions"]


def version_of(build):
    return re.search(r"Teleport v(\S+)", subprocess.run([program(build, "teleport"), "version"], capture_output=True, text=True, check=True).stdout).group(1)


class Skewed:
    """A cluster whose Auth Service, and one proxy, are of one release, and whose hosts, another proxy and users are of the other."""

    def __init__(self, own, other, aws, directory):
        self.own, self.other, self.aws = own, other, aws
        self.cluster = Cluster(own, aws, directory / "cluster", auth={"host_cert_ttl": "30s"})
        with reserved_port() as port:
            addr = f"127.0.0.1:{port_of(port)}"
            self.cluster.config["proxy_service"].update(web_listen_addr=addr, public_addr=addr)
            self.cluster.start()
        self.cluster.node_env = aws.identity()
        for resource in (iam_token(), iam_token("proxy-token", roles=["Proxy"]), token(TOKEN, "Node")):
            self.cluster.create(resource)
        self.proxy = Proxy(self.cluster, "proxy-2")
        self.proxy.own_build = other
        self.proxy.start()
        self.proxy.wait_serving()
        self.hosts = {name: self.cluster.join(name, build=other, **settings) for name, settings in
                      {"by-iam": {"env": aws.identity()}, "by-token": {"token": TOKEN, "method": "token"}, "by-auth": {"env": aws.identity(), "via": "auth"}}.items()}
        self.users = {}
        for name, build in (("alice", other), ("bob", own)):
            words = self.cluster.tctl("users", "add", name, "--roles=access,editor,auditor", "--logins=root").out
            self.users[name] = User(self.cluster, name, directory / name, build=build).accept(invite_url(words))
            self.users[name].login()
        self.alice, self.bob = self.users.values()

    def stop(self):
        self.cluster.stop()


@pytest.fixture(scope="module", params=SIDES)
def skewed(request, older, programs, aws_process, tmp_path_factory):
    own, other = (programs, older) if request.param == "older hosts" else (older, programs)
    made = Skewed(own, other, aws_process, tmp_path_factory.mktemp("skew"))
    yield made
    made.stop()


@pytest.mark.nightly
def test_hosts_of_another_release_join_and_their_versions_are_listed(skewed, programs):
    assert versions(skewed.cluster, programs) == {version_of(skewed.own): 1, version_of(skewed.other): 4}


@pytest.mark.nightly
def test_hosts_of_another_release_keep_a_tunnel_to_each_proxy(skewed):
    for host in skewed.hosts.values():
        wait_until(lambda: len(tunnels(host)) >= 2, f"{host.name} has a tunnel to both proxies")


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["by-iam", "by-token", "by-auth"])
def test_sessions_at_hosts_of_another_release_are_recorded_and_audited(skewed, name):
    for user in (skewed.alice, skewed.bob):
        shell = user.shell(f"root@{name}")
        shell.sendline("echo $((6 * 7)) is shown")
        shell.expect("42 is shown")
        shell.sendline("exit")
        shell.wait()
        started = skewed.cluster.event("session.start", user=user.name, server_hostname=name)
        skewed.cluster.event("session.end", sid=started["sid"])
        for player in (skewed.alice, skewed.bob):
            wait_until(lambda: "42 is shown" in player.tsh("play", "--format=text", started["sid"], check=False).out, "the recording has arrived")
        assert user.tsh("ssh", f"root@{name}", "echo and a command").out == "and a command\n"


@pytest.mark.nightly
def test_certificates_of_hosts_of_another_release_are_renewed(skewed):
    hosts = {**skewed.hosts, "proxy": skewed.proxy}
    for host in hosts.values():
        host.process.mark()
    for host in hosts.values():
        host.process.wait_for(rf"The certificate was renewed role:{'Proxy' if host is skewed.proxy else 'Node'}")
    for name in skewed.hosts:
        assert skewed.alice.tsh("ssh", f"root@{name}", "echo renewed").out == "renewed\n"


# Commands of tctl that the release before has too, in the order in which they run.
COMMANDS = [
    (["create", "-f"], iam_token("made-by-a-tool", arn=WEB_ARN)),
    (["create", "-f"], {"kind": "role", "version": "v7", "metadata": {"name": "made-by-a-tool"}, "spec": {"allow": {"logins": ["root"]}}}),
    (["get", "token/made-by-a-tool"], None),
    (["get", "role/made-by-a-tool"], None),
    (["get", "users"], None),
    (["status"], None),
    (["tokens", "ls"], None),
    (["nodes", "ls"], None),
    (["users", "ls"], None),
    (["inventory", "ls"], None),
    (["audit", "ls"], None),
    (["rm", "token/made-by-a-tool"], None),
    (["rm", "role/made-by-a-tool"], None),
]


# Requests that the Auth Service did not always have, and commands that send them.
NEW_REQUESTS = {
    "RotateAuthority": ["auth", "rotate", "--type=user", "--manual", "--phase=init"],
    "CreateCrl": ["auth", "crl", "--type=user"],
    "Backup": ["backup", "--recipient=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
}


@pytest.mark.nightly
@pytest.mark.parametrize("where", ["locally", "through the proxy"])
def test_tools_of_another_release_administer_the_cluster(skewed, where):
    run = (lambda *args, **how: skewed.cluster.tctl(*args, build=skewed.other, **how)) if where == "locally" else skewed.alice.tctl
    for args, document in COMMANDS:
        done = run(*args, stdin=json.dumps(document) if document else "")
        assert done.err == "", (args, done.err)
    for name in skewed.hosts:
        assert name in run("nodes", "ls").out


@pytest.mark.nightly
def test_users_tools_of_another_release_work(skewed, tmp_path):
    alice = skewed.alice
    assert set(skewed.hosts) <= set(re.findall(r"^\S+", alice.tsh("ls").out, re.M))
    (tmp_path / "sent").write_text("content")
    alice.tsh("scp", tmp_path / "sent", f"root@by-iam:{tmp_path}/received")
    assert (tmp_path / "received").read_text() == "content"
    assert alice.ssh("root@by-token.example.test", "echo openssh too").out == "openssh too\n"
    assert "alice" in alice.tsh("status").out


@pytest.mark.nightly
def test_requests_unknown_to_an_older_cluster_end_with_both_versions(older, programs, release, make_cluster, tmp_path):
    cluster = make_cluster(build=older)
    unknown = {name: command for name, command in NEW_REQUESTS.items() if f"rpc {name}(" not in release.source("proto/api.proto")}
    for name, command in unknown.items():
        done = cluster.tctl(*command, tmp_path / name, build=programs, check=False) if name == "Backup" else cluster.tctl(*command, build=programs, check=False)
        assert done.code == 1
        assert f"the server does not know the request {name}: it runs version {version_of(older)}, and this program is version {version_of(programs)}" in done.err
        assert "the Auth Service is upgraded first" in done.err
    assert list(tmp_path.glob("Backup*")) == []
    assert cluster.tctl("status", build=programs).out.startswith("Cluster  example.test")


# ---- applications with several ports ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_ports():
    """Programs that know applications, but no tcp_ports."""
    release = Release("applications")
    assert "tcp_ports" not in release.source("proto/common.proto") + release.source("proto/config.proto"), "the last release has tcp_ports: remove these two tests"
    build = release.build()
    yield build
    remove(build)


@pytest.fixture
def echoed():
    with TcpServer(echo) as server:
        yield server


def app_host(cluster, name, build, app):
    return cluster.host(name, build=build, env=cluster.node_env, ssh={"enabled": "no"},
                        services={"app_service": {"enabled": "yes", "apps": [app], "resources": [{"labels": {"*": "*"}}]}}).start()


def application(name, **spec):
    return {"kind": "app", "version": "v3", "metadata": {"name": name, "labels": {"of": "tests"}}, "spec": spec}


def app_user(cluster, name, directory, build, addr):
    user = User(cluster, name, directory / name, build=build).accept(invite_url(cluster.tctl("users", "add", name, "--roles=access").out))
    user.tsh("login", f"--proxy={addr}", f"--user={name}", "--insecure", stdin=f"{user.password}\n{user.otp()}\n")
    return user


def offers(cluster):
    """(application, host) of all hosts that are reached."""
    return {(s["metadata"]["name"], s["spec"]["hostname"]) for s in cluster.json("apps", "ls") if s["spec"]["state"] == "online"}


@pytest.mark.nightly
def test_older_hosts_proxies_and_tools_refuse_several_ports(without_ports, programs, make_cluster, aws, tmp_path, echoed):
    cluster = make_cluster(build=programs)
    cluster.node_env = aws.identity()
    for resource in (iam_token(roles=("Node", "App")), iam_token("proxy-token", roles=["Proxy"]), application("plain", uri=f"tcp://{echoed.addr}"),
                     application("ports", uri="tcp://127.0.0.1", tcp_ports=[{"port": echoed.port}, {"port": 1}])):
        cluster.create(resource)
    proxy = Proxy(cluster, "proxy-2")
    proxy.own_build = without_ports
    proxy.start()
    proxy.wait_serving()
    hosts = {name: app_host(cluster, name, build, {"name": f"of-{name}", "uri": f"tcp://{echoed.addr}"}) for name, build in (("older", without_ports), ("newer", programs))}
    assert "write" in hosts["older"].process.wait_for(r"The cluster has sent an application that this host cannot offer app:ports .*").group(0)
    wait_until(lambda: offers(cluster) == {("plain", "older"), ("plain", "newer"), ("of-older", "older"), ("of-newer", "newer"), ("ports", "newer")}, "all is offered")
    for host in hosts.values():
        wait_until(lambda: len(tunnels(host)) == 2, f"{host.name} has a tunnel to both proxies")

    ways = {"alice": (programs, cluster.proxy_addr), "bob": (without_ports, cluster.proxy_addr), "carol": (programs, proxy.addr)}
    users = {name: app_user(cluster, name, tmp_path, *way) for name, way in ways.items()}
    for user in users.values():
        for app in ("plain", "of-older", "of-newer"):
            with ProxyApp(user, app) as reached:
                assert reached.echoes(), (user.name, app)
    with ProxyApp(users["alice"], "ports", f"--port=0:{echoed.port}") as reached:
        assert reached.echoes()
    for name, args in (("bob", ()), ("carol", (f"--port=0:{echoed.port}",))):
        with ProxyApp(users[name], "ports", *args) as refused:
            assert not refused.echoes()
            refused.wait_for("has tcp_ports, and the connection names none of them.*\n.*a release that knows tcp_ports")


@pytest.mark.nightly
def test_an_older_cluster_serves_the_applications_of_newer_hosts(without_ports, programs, make_cluster, aws, tmp_path, echoed):
    cluster = make_cluster(build=without_ports)
    cluster.node_env = aws.identity()
    cluster.create(iam_token(roles=("Node", "App")))
    cluster.create(application("plain", uri=f"tcp://{echoed.addr}"))
    app_host(cluster, "newer", programs, {"name": "own", "uri": f"tcp://{echoed.addr}"})
    wait_until(lambda: offers(cluster) == {("plain", "newer"), ("own", "newer")}, "both are offered")
    user = app_user(cluster, "alice", tmp_path, programs, cluster.proxy_addr)
    for app in ("plain", "own"):
        with ProxyApp(user, app) as reached:
            assert reached.echoes()

    ports = {"uri": "tcp://127.0.0.1", "tcp_ports": [{"port": echoed.port}]}
    done = cluster.tctl("create", "-f", stdin=json.dumps(application("ports", **ports)), build=programs, check=False)
    assert done.code == 1 and "the uri 'tcp://127.0.0.1'" in done.err, done.err
    several = app_host(cluster, "several", programs, {"name": "ports", **ports})
    several.process.wait_for(r"the uri 'tcp://127\.0\.0\.1'.*hint: the Auth Service has an earlier release than this host, without tcp_ports: upgrade it")


# ---- data of the last release -----------------------------------------------------------------------------------------


def session(user, text):
    """A session at web-1 on a terminal, to its end."""
    shell = user.shell("root@web-1")
    shell.sendline(f"echo {text}-$((6 * 7))")
    shell.expect(f"{text}-42")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)


def is_played(user, text):
    wait_until(lambda: any(f"{text}-42" in user.tsh("play", "--format=text", r["session_id"], check=False).out for r in user.recordings()),
               f"the recording of '{text}' is played")


@pytest.mark.nightly
def test_data_directories_of_the_last_release_are_opened(older, programs, make_cluster, aws, invite):
    cluster = make_cluster(build=older)
    cluster.create(iam_token())
    web = cluster.join("web-1", env=aws.identity())
    web.wait_reachable()
    alice = invite(cluster, roles="access,auditor")
    alice.login()
    session(alice, "before")
    is_played(alice, "before")
    pin, host_id = cluster.ca_pin, web.host_id
    web.stop()
    cluster.stop_cluster()

    cluster.build = programs
    assert store_check(cluster).out.count(": ok, ") == 4
    cluster.start()
    web.start()
    web.wait_reachable()
    assert (cluster.ca_pin, web.host_id) == (pin, host_id)
    cluster.exactly(1, "instance.join", success=True)
    session(alice, "after")  # the login of the former tsh
    for text in ("before", "after"):
        is_played(alice, text)
    assert versions(cluster, programs) == {version_of(programs): 2}


@pytest.mark.nightly
def test_a_backup_of_the_last_release_is_restored(upgradable, programs, make_cluster, aws, tmp_path):
    cluster = make_cluster(build=upgradable.programs)
    cluster.create(iam_token())
    cluster.join("web-1", env=aws.identity())
    keys, backup, elsewhere = Keys(tmp_path), tmp_path / "cluster.age", tmp_path / "elsewhere"
    pin = cluster.ca_pin
    cluster.tctl("backup", "-r", keys.recipient, "--audit-log", "--recordings", backup)
    cluster.stop_cluster()

    cluster.build = programs
    teleport(cluster, "restore", "--data-dir", elsewhere, "--identity", keys.identity, "--ca-pin", pin, backup)
    move_to(cluster, elsewhere)
    assert store_check(cluster).out.count(": ok, ") == 4
    cluster.start()
    wait_until(lambda: (node := cluster.node("web-1")) and node["spec"].get("version") == version_of(upgradable.programs), "the host of the last release is back")
    cluster.exactly(1, "instance.join", success=True)


# ---- an upgrade in place ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["peers", "upgrades"])
def upgrade(request, release, older, upgradable, programs):
    """A release, a copy of its programs in which `teleport` may be replaced, and the bytes of the newer one."""
    of, build = (release, older) if request.param == "peers" else (upgradable, upgradable.programs)
    directory = reachable_programs(build)
    yield of, directory, pathlib.Path(program(programs, "teleport")).read_bytes()
    remove(directory)


@pytest.mark.nightly
def test_hosts_are_upgraded_in_place(upgrade, programs, make_cluster, aws, invite):
    of, build, newer = upgrade
    cluster = make_cluster(build=build)
    cluster.restart()  # the file has the ports from now on
    cluster.create(iam_token())
    web = cluster.join("web-1", env=aws.identity()).wait_signed()
    web.wait_reachable()
    alice = invite(cluster, roles="access,auditor")
    alice.login()
    shell = alice.shell("root@web-1")
    shell.sendline("echo before-$((6 * 7))")
    shell.expect("before-42")
    install(build, newer)
    path = pathlib.Path(program(build, "teleport"))
    ours = service_protocol((PROJECT / "src/api/service.h").read_text())

    for owner in (cluster, web):
        owner.process.mark()
        if of.service_protocol == ours:
            former = set(owner.process.children().values())
            owner.process.popen.send_signal(signal.SIGUSR2)
            owner.process.wait_for("The services run from the program on the disk; the configuration has not changed")
            assert {program_of(pid) for pid in set(owner.process.children().values()) - former} == {path.stat().st_ino}
            continue
        if of.service_protocol is not None:  # it knows reloads, and refuses one to a program with other messages
            assert "understand each other" in reload(owner).err
            assert program_of(owner.process.children()["instance"]) != path.stat().st_ino
        if owner is cluster:
            cluster.restart()
        else:
            owner.stop()
            owner.start()
    if of.service_protocol == ours:
        shell.sendline("echo still-$((6 * 7))")
        shell.expect("still-42")
        shell.sendline("exit")
    shell.expect(pexpect.EOF)
    is_played(alice, "before")
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "echo new", check=False).out == "new\n", "sessions begin")
    cluster.exactly(1, "instance.join", success=True)
    assert versions(cluster, programs) == {version_of(programs): 2}


# ---- a rotation of the CA ------------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_a_rotation_waits_until_older_hosts_are_upgraded(older, programs, make_cluster, aws, invite):
    cluster = make_cluster(build=programs)
    cluster.create(iam_token())
    web = cluster.join("web-1", env=aws.identity(), build=older)
    web.wait_reachable()
    alice = invite(cluster)
    alice.login()
    rotate = ["auth", "rotate", "--type=user", "--manual"]
    cluster.tctl(*rotate, "--phase=init")
    refused = cluster.tctl(*rotate, "--phase=update_clients", check=False)
    assert refused.code == 1 and "web-1" in refused.err, refused.err
    assert alice.tsh("ssh", "root@web-1", "echo works").out == "works\n"  # the host goes on in the former phase
    web.stop()
    web.own_build = programs
    web.start()
    for phase in ("update_clients", "update_servers", "standby"):
        step(cluster, "user", phase)
    alice.login()
    wait_until(lambda: alice.tsh("ssh", "root@web-1", "echo new CA", check=False).out == "new CA\n", "the host accepts certificates of the new CA")
