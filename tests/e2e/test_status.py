# SPDX-License-Identifier: Apache-2.0
"""Status commands: state of the cluster and of a host, mistakes of configurations, sandboxes."""
import contextlib
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

from harness import ACCOUNT, TIMEOUT, clean_env, iam_token, program, wait_until


@pytest.fixture
def teleport(build, tmp_path):
    """Runs teleport as on a host of its own: nothing in its environment, nothing configured."""
    def run(*args, env=None, code=0):
        done = subprocess.run([program(build, "teleport"), *map(str, args)], capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL,
                              env=env or clean_env(HOME=tmp_path))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


# ---- version, configure ----------------------------------------------------------------------------------


def test_both_programs_tell_their_version(teleport, build):
    line = teleport("version")
    assert re.fullmatch(r"Teleport v16\.\d+\.\d+ git:\S+ \S+\n", line)
    assert subprocess.run([program(build, "tctl"), "version"], capture_output=True, text=True, check=True).stdout == line


@pytest.mark.parametrize("flags", [
    [],
    ["--roles=auth,proxy", "--cluster-name=example.test", "--public-addr=example.test:443"],
    ["--roles=node", "--join-method=iam", "--token=iam-token", "--proxy=example.test:443", "--node-labels=env=prod,y=\"n: #\""],
    ["--roles=node", "--token=/etc/token", "--auth-server=10.0.0.1:3025", "--ca-pin=sha256:" + "a" * 64, "--node-name=no"],
    ["--version=v2", "--roles=proxy,node", "--auth-server=10.0.0.1:3025"],
], ids=["bare", "cluster", "agent", "agent-of-auth", "v2"])
def test_a_configured_file_is_one_that_start_takes(teleport, tmp_path, flags):
    path = tmp_path / "etc" / "teleport.yaml"
    assert f'The configuration file "{path}" has been created' in teleport("configure", "--data-dir", tmp_path / "data", "-o", path, *flags)
    teleport("configure", "--test", path)
    printed = teleport("configure", "--data-dir", tmp_path / "data", *flags)
    assert yaml.safe_load(printed) == yaml.safe_load(path.read_text())
    assert "will not overwrite existing file" in teleport("configure", "-o", path, code=1)


def test_an_empty_pin_is_not_written_as_none(teleport, tmp_path):
    for command in (["configure"], ["node", "configure"]):
        assert "--ca-pin has no value" in teleport(*command, "--data-dir", tmp_path, "--ca-pin=", code=1)


def test_configure_writes_the_file_of_the_guide(teleport, tmp_path):
    config = yaml.safe_load(teleport("configure", "--roles=node", "--join-method=iam", "--token=iam-token", "--proxy=example.test:443",
                                     "--data-dir", tmp_path))
    assert config["version"] == "v3"
    assert config["teleport"]["join_params"] == {"token_name": "iam-token", "method": "iam"}
    assert config["teleport"]["proxy_server"] == "example.test:443"
    assert [config[f"{s}_service"]["enabled"] for s in ("auth", "proxy", "ssh")] == ["no", "no", "yes"]


def test_a_host_joins_with_a_configured_file(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity())
    host.config = yaml.safe_load(host.teleport("configure", "--roles=node", "--join-method=iam", "--token=iam-token", "--node-name=web-1",
                                               f"--proxy={cluster.proxy_addr}", f"--data-dir={host.data_dir}").out)
    host.start().wait_joined()


# ---- mistakes in teleport.yaml ---------------------------------------------------------------------------------

AGENT = "version: v3\nauth_service: {enabled: no}\nproxy_service: {enabled: no}\n"


@pytest.mark.parametrize("text, words", [
    ("version: v3\nteleport:\n  nodenam: x\n", [":3:3: unknown key 'nodenam' in teleport", "did you mean 'nodename'"]),
    ("version: v3\nauth_servic:\n  enabled: no\n", [":2:1: unknown key 'auth_servic' at the top level", "did you mean 'auth_service'"]),
    ("version: v3\nproxy_server: a\n", [":2:1: unknown key 'proxy_server'", "belongs in teleport"]),
    ("version: v3\nauth_service:\n  authentication:\n    type: github\n",
     [":3:3: 'auth_service.authentication' is a key of Teleport that this release does not have"]),
    ("version: v3\nproxy_service:\n  idp: {saml: {enabled: yes}}\n", [":3:3: 'proxy_service.idp' is a key of Teleport"]),
    ("version: v3\nteleport:\n  connection_limits: {max_users: 9}\n", [":3:3: 'teleport.connection_limits' is a key of Teleport"]),
    ("version: v3\ndiscovery_service: {enabled: yes}\n", [":2:1: 'discovery_service' is a key of Teleport"]),
    ("version: v3\nteleprot: {}\nauth_service: {proxy_listener_mode: separate, authentication: {type: saml}}\n",
     ["has 3 mistakes", ":2:1: unknown key 'teleprot' at the top level; did you mean 'teleport'",
      ":3:16: 'auth_service.proxy_listener_mode' is a key of Teleport", ":3:47: 'auth_service.authentication' is a key of Teleport"]),
    ("version: v3\nteleport: {nodename: 10.0.0.5, data_dir: x, log: {severity: LOUD}}\nproxy_service: {public_addr: a/b}\n",
     ["the configuration has 4 mistakes:\n", "\n  teleport.data_dir cannot be 'x'; write an absolute path\n", "\n  teleport.nodename '10.0.0.5' is an address",
      "\n  teleport.log.severity cannot be 'LOUD'; use DEBUG, INFO, WARN or ERROR\n", "\n  proxy_service.public_addr: 'a/b' is not an address; write host:port"]),
    ("version: v3\nversion: v2\nteleport: {nodename: a, nodename: b, nodenam: c}\n",
     ["has 3 mistakes", ":2:1: key 'version' occurs twice; keep one of them; the other is in line 1", ":3:25: key 'nodename' occurs twice",
      ":3:38: unknown key 'nodenam' in teleport; did you mean 'nodename'"]),
    ("version: v3\nteleport: {nodename: {{ name }}}\n", [":2:23:", "put a template such as '{{ name }}' in quotes"]),
    ("version: v3\nteleport:\n  auth_token: @x\n", [":3:15: a value cannot begin with '@'", "in quotes"]),
    ("version: v3\nteleport: {nodename: 10.0.0.5}\n", ["teleport.nodename '10.0.0.5' is an address"]),
    ("version: v3\nteleport:\n\tnodename: x\n", [":3:1:", "does not allow tabs"]),
    ("version: v3\nauth_service:\n  enabled: nope\n  enabled: no\n", [":4:3:"]),
    ("version: v3\nauth_service:\n  enabled: perhaps\n", [":3:12: auth_service.enabled must be yes or no, not 'perhaps'"]),
    ("version: v3\nauth_service:\n  host_cert_ttl: 1\n", [":3:18: auth_service.host_cert_ttl must be a duration like 1h30m"]),
    ("version: v9\n", ["version 'v9' of the configuration is not supported", "write version: v3"]),
    (AGENT + "teleport: {auth_server: a, proxy_server: b}\n", ["only one of teleport.auth_server and teleport.proxy_server may be set"]),
    (AGENT, ["auth_server or proxy_server is required"]),
    (AGENT + "teleport: {proxy_server: a}\nssh_service: {enabled: no}\n", ["at least one service must be enabled"]),
    (AGENT + "teleport: {auth_servers: [a]}\n", ["teleport.auth_servers is not supported in version v3"]),
    (AGENT.replace("v3", "v2") + "teleport: {proxy_server: a}\n", ["supported from version v3 onwards"]),
    (AGENT + "teleport: {proxy_server: a, join_params: {token_name: x, method: imam}}\n", ["no join method 'imam'", "iam and token"]),
    (AGENT + "teleport: {proxy_server: a, join_params: {token_name: x}, auth_token: x}\n", ["cannot both be set"]),
    (AGENT + "teleport: {proxy_server: a, ca_pin: abc}\n", ["'abc' is not a CA pin"]),
    *[(AGENT + f"teleport: {{proxy_server: a}}\n{service}_service: {{enabled: yes}}\n", [f"{service}_service is not part of this release", "already joins"])
      for service in ("db", "kubernetes", "windows_desktop")],
], ids=lambda value: None if isinstance(value, list) else re.sub(r"[^a-z_0-9:]+", " ", value.replace(AGENT, ""))[-40:].strip())
def test_start_and_configure_report_a_wrong_file_alike(teleport, tmp_path, text, words):
    path = tmp_path / "teleport.yaml"
    path.write_text(text)
    started = teleport("start", "-c", path, code=1)
    for word in words:
        assert word in started, started
    tested = teleport("configure", "--test", path, code=1)
    assert tested.startswith(f"FAIL {path}\n") and started in tested
    assert sorted(p.name for p in tmp_path.iterdir()) == ["teleport.yaml"]


def test_keys_of_teleport_without_effect_are_named_in_one_warning(build, tmp_path):
    """Keys that Teleport's own tools and charts write for disabled services, and values that equal the defaults here."""
    path = tmp_path / "teleport.yaml"
    path.write_text('''\
version: v3
teleport:
  nodename: web-1
  proxy_server: a:443
  join_params: {token_name: x, method: iam}
  cache: {enabled: yes}
  ca_pin: ""
  diag_addr: ""
auth_service: {enabled: "no", authentication: {type: local, second_factor: otp}, proxy_listener_mode: multiplex}
proxy_service: {enabled: "no", https_keypairs: [], https_keypairs_reload_interval: 0s, acme: {}}
discovery_service: {enabled: false}
jamf_service: {enabled: no}
ssh_service: {enabled: "yes", labels: {rack: 12, n: 1.20}}
---
''')
    done = subprocess.run([program(build, "teleport"), "configure", "--test", path], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"OK {path}")
    assert ("are ignored: teleport.cache, auth_service.authentication, auth_service.proxy_listener_mode, "
            "discovery_service, jamf_service\n") in done.stderr


@pytest.mark.parametrize("args", [
    ["--roles=auth"], ["--roles=proxy,auth"], ["--roles=auth,proxy,node"], [], ["--cluster-name=example.test"],
    *[[f"--roles={roles}", "--proxy=127.0.0.1:3080", "--token=t", f"--join-method={method}"] for roles in ("node", "proxy", "node,proxy") for method in ("iam", "token")],
    ["--roles=node", "--auth-server=127.0.0.1:3025", "--token=t"],
], ids=" ".join)
def test_start_accepts_the_output_of_configure(build, tmp_path, args):
    """In a network of its own, for the file has the default ports."""
    path, data, log = tmp_path / "teleport.yaml", tmp_path / "data", tmp_path / "log"
    subprocess.run([program(build, "teleport"), "configure", *args, f"--data-dir={data}", "--output", f"file://{path}"], check=True, capture_output=True, timeout=TIMEOUT)
    with open(log, "w") as out:
        running = subprocess.Popen(["unshare", "--net", "sh", "-c", f"ip link set lo up && exec {program(build, 'teleport')} start -c {path}"],
                                   stdout=out, stderr=out, env=clean_env(HOME=tmp_path))
        try:
            wait_until(lambda: running.poll() is not None or any(
                line in log.read_text() for line in ("Teleport process successfully started", "Can not join")), "the services start")
            assert running.poll() is None, log.read_text()
        finally:
            running.terminate()
            running.wait(timeout=TIMEOUT)


def test_an_unknown_command_or_flag_names_the_nearest_one(teleport):
    assert "did you mean: teleport start" in teleport("strat", code=1)
    assert "did you mean: --roles" in teleport("start", "--rols=node", code=1)
    assert "No such file" in teleport("start", "-c", "/nonexistent/teleport.yaml", code=1)


# ---- teleport status -----------------------------------------------------------------------------------------------


def rows(text):
    return dict(re.findall(r"^(\w[\w ]*?) *: (.*)$", text, re.M))


def test_status_of_a_host_that_never_started(build, tmp_path):
    def status(*flags):
        return subprocess.run([program(build, "teleport"), "status", "--data-dir", tmp_path / "nothing", *flags], capture_output=True, text=True,
                              env=clean_env(HOME=tmp_path))
    done = status()
    assert done.stdout.startswith("You are not inside of a Teleport SSH session\n")
    assert rows(done.stdout) == {"Service": "not running", "Joined": "no"}
    assert done.returncode == 1 and "not running" in done.stderr
    done = status("--format=json")
    assert json.loads(done.stdout) == {"running": False} and done.returncode == 1


def test_status_of_a_joined_and_of_a_stopped_host(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    wait_until(lambda: host.status()["state"] == "connected", "the state is written")
    running = rows(host.teleport("status", "-c", host.config_path).out)
    assert running["Service"].startswith("connected since ")
    assert running["Host UUID"] == host.host_id
    assert running["Joined"].startswith("yes, cluster example.test, since ")
    assert re.fullmatch(r"until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", running["Certificate"])
    assert running["Server"] == cluster.proxy_addr
    assert "Last error" not in running
    assert json.loads(host.teleport("status", "-c", host.config_path, "--format=json").out)["running"] is True
    host.stop()
    done = host.teleport("status", "-c", host.config_path, check=False)
    assert done.code == 1 and "not running" in done.err
    stopped = rows(done.out)
    assert stopped["Service"] == "not running" and stopped["Joined"] == running["Joined"]


def test_status_of_a_host_that_is_refused_says_why(cluster, aws):
    cluster.create(iam_token(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/db/*"))
    host = cluster.host("web-1", env=aws.identity()).start()
    host.process.wait_for("not allowed by any rule")
    wait_until(lambda: (host.data_dir / "proc" / "status.json").exists() and host.status()["last_error"], "the refusal is written")
    done = host.teleport("status", "-c", host.config_path, check=False)
    assert done.code == 1 and "has not joined" in done.err
    shown = rows(done.out)
    assert shown["Service"].startswith("joining since ")
    assert shown["Joined"] == "no"
    assert "not allowed by any rule of token 'iam-token'" in shown["Last error"]
    assert "Hint" in shown
    assert "Host UUID" not in shown and "Clock" not in shown


def test_status_inside_of_a_session_tells_about_the_session(teleport):
    shown = rows(teleport("status", env=clean_env(SSH_SESSION_ID="abc", SSH_TELEPORT_USER="alice", USER="root", SSH_CLIENT="192.0.2.1 5 22",
                                                 SSH_TELEPORT_CLUSTER_NAME="example.test", SSH_TELEPORT_HOST_UUID="1\x1b[2J",
                                                 SSH_SESSION_WEBPROXY_ADDR="example.test:443")))
    assert shown == {"User ID": "alice, logged in as root from 192.0.2.1 5 22", "Cluster Name": "example.test", "Host UUID": "1\\x1b[2J",
                    "Session ID": "abc", "Session URL": "https://example.test:443/web/cluster/example.test/console/session/abc"}


# ---- tctl status ------------------------------------------------------------------------------------------------------


def test_tctl_status_shows_cluster_authorities_and_pin(cluster):
    lines = [re.split(r"  +", line.strip()) for line in cluster.tctl("status").out.splitlines()]
    assert lines.pop(5) == ["signs by RS256"]  # the jwt CA
    assert [line[0] for line in lines] == ["Cluster", "Version", "host CA", "user CA", "jwt CA", "CA pin"]
    assert lines[0][1] == "example.test"
    assert lines[2][1] == lines[3][1] == lines[4][1] == "never updated"
    assert re.fullmatch("sha256:[0-9a-f]{64}", lines[5][1])
    whole = cluster.json("status")
    assert whole["cluster"]["ca_pins"] == [lines[5][1]]
    assert [a["type"] for a in whole["authorities"]] == ["host", "user", "jwt"]
    same = yaml.safe_load(cluster.tctl("status", "--format=yaml").out)
    assert same["disk"].keys() == whole["disk"].keys() and {**same, "disk": None} == {**whole, "disk": None}, "other programs fill the disk meanwhile"
    cluster.restart()
    assert cluster.ca_pin == lines[5][1]


def test_tctl_names_the_addresses_that_do_not_answer(cluster, tmp_path):
    cluster.stop_cluster()
    shown = cluster.tctl("status", check=False)
    assert shown.code == 1
    assert "Cannot connect to the auth server" in shown.err and str(cluster.data_dir / "auth.sock") in shown.err
    (tmp_path / "agent.yaml").write_text(AGENT + f"teleport: {{proxy_server: a, data_dir: {tmp_path}}}\n")
    shown = subprocess.run([program(cluster.build, "tctl"), "-c", tmp_path / "agent.yaml", "status"], capture_output=True, text=True, env=clean_env(HOME=tmp_path))
    assert shown.returncode == 1 and "no Auth Service runs on this host" in shown.stderr and "tsh login" in shown.stderr


def test_a_cluster_of_twelve_thousand_hosts_is_listed_whole(cluster, build):
    cluster.stop_cluster()
    subprocess.run([program(build, "full_store"), cluster.data_dir, "12000", "3000"], check=True)
    cluster.start()
    nodes = cluster.json("nodes", "ls")
    assert [n["spec"]["hostname"] for n in nodes] == [f"host-{n:06}" for n in range(12000)]
    assert len({n["metadata"]["name"] for n in nodes}) == 12000
    assert len(cluster.json("inventory", "ls")) >= 12000
    assert len(cluster.json("tokens", "ls")) == 3000


# ---- sandboxes ------------------------------------------------------------------------------------------------------------


OWN_USERS = ("signer", "sts", "auth", "proxy", "instance")


def owners(directory):
    """{path below directory: owner} of its files."""
    found = {}
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a new file has replaced it
            found[str(path.relative_to(directory))] = path.lstat().st_uid
    return found


def given_away_to_root(directory):
    """As an earlier release left it: owned by root and closed to others."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
    directory.chmod(0o700)


def stays_one_user(cluster):
    """Services change their user as root only, and not under sanitizers: then all files belong to the user who started them."""
    if os.geteuid() == 0 and "none (sanitizer build)" not in cluster.process.text():
        return False
    assert set(owners(cluster.data_dir).values()) == {os.geteuid()}
    return True


def test_a_data_directory_of_root_is_taken_over(cluster, aws):
    if stays_one_user(cluster):
        return
    cluster.create(iam_token())
    pin = cluster.ca_pin
    cluster.stop_cluster()
    given_away_to_root(cluster.data_dir)
    cluster.start()
    assert cluster.ca_pin == pin and cluster.json("tokens", "ls")
    found = owners(cluster.data_dir)
    signer, auth, instance = found["ca"], found["backend"], found["proc"]
    assert len({0, 65534, signer, auth, instance}) == 5
    for path, owner in found.items():
        expected = {"ca": signer, "backend": auth, "log": auth, "proc": instance}.get(path.split("/")[0])
        assert expected is None or owner == expected, path
    assert (cluster.data_dir / "ca").stat().st_mode & 0o777 == 0o700 == (cluster.data_dir / "backend").stat().st_mode & 0o777


def test_the_identity_of_an_older_agent_is_taken_over(cluster, aws):
    """As an earlier release left it, all of it is root's; the ID of the host stays so."""
    if stays_one_user(cluster):
        return
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity()).start()
    host.wait_reachable()
    host_id, serial = host.host_id, host.identity()["tls_cert"]
    host.stop()
    given_away_to_root(host.data_dir)
    host.start().wait_reachable()
    found = owners(host.data_dir)
    assert {owner for path, owner in found.items() if path.split("/")[0] == "proc"} == {found["proc"]} and found["proc"] not in {0, 65534, found["spool"]}
    assert found["host_uuid"] == 0 and host.host_id == host_id and host.identity()["tls_cert"] == serial, "it did not join again"
    wait_until(lambda: json.loads(host.teleport("status", f"--data-dir={host.data_dir}", "--format=json").out)["state"] == "connected", "instance learns of the tunnel")


def test_an_agent_without_root_joins_and_keeps_its_identity(make_cluster, aws, programs, account):
    """There is no user to change to: all of its files are those of the account that started it."""
    if os.geteuid() != 0:
        return  # then all of these tests run so
    cluster = make_cluster(build=programs)
    cluster.create(iam_token())
    host = cluster.host("plain-1", env=aws.identity())
    home = pathlib.Path(account.pw_dir)
    host.data_dir, host.config_path = home / "teleport", home / "teleport.yaml"
    host.config["teleport"]["data_dir"] = str(host.data_dir)
    host.inside = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    home.chmod(0o755)
    host.start().wait_joined()
    first = host.host_id
    host.stop()
    host.start().wait_joined()
    assert host.host_id == first and set(owners(host.data_dir).values()) == {account.pw_uid}


@pytest.mark.parametrize("place", ["ca", "backend", "log", "proc"])
def test_the_owner_of_a_hard_link_is_not_changed(cluster, tmp_path, place):
    if stays_one_user(cluster):
        return
    cluster.stop_cluster()
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    os.link(secret, cluster.data_dir / place / "planted")
    with pytest.raises(AssertionError, match="hard links"):
        cluster.start()
    assert secret.stat().st_uid == 0
    (cluster.data_dir / place / "planted").unlink()
    (cluster.data_dir / place / "planted").symlink_to(secret)
    cluster.process = None
    cluster.start()
    assert secret.stat().st_uid == 0
    (cluster.data_dir / place / "planted").unlink()


def test_every_process_has_given_up_its_rights(cluster, aws):
    users = {}
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity()).wait_signed()
    processes = {**cluster.process.children(), "agent": host.process.children()["instance"]}
    assert sorted(processes) == ["agent", "auth", "instance", "proxy", "signer", "sts"]
    for name, pid in processes.items():
        status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
        assert status["NoNewPrivs"] == "1", name
        if "none (sanitizer build)" in cluster.process.text():
            continue
        assert status["Seccomp"] == "2", name
        for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
            assert int(status[f"Cap{kind}"], 16) == 0 or os.geteuid() != 0, f"{name} keeps Cap{kind}"
        if os.geteuid() == 0 and name in OWN_USERS:
            assert len(set(status["Uid"].split())) == 1 == len(set(status["Gid"].split())) and status["Groups"].strip() == "", name
            users[name] = int(status["Uid"].split()[0])
        if os.geteuid() == 0 and name == "agent":
            agent = int(status["Uid"].split()[0])
    assert not {0, 65534} & set(users.values()) and len(set(users.values())) == len(users), users
    assert not users or agent == users["instance"]
