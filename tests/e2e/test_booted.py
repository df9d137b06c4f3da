# SPDX-License-Identifier: Apache-2.0
"""The service under a real systemd: its unit, reload and rotation of logs, where sessions live, restarts, a fork bomb."""
import json
import os
import pathlib
import re
import tempfile
import types
import urllib.request

import pexpect
import pytest
import yaml

from booted import Machine
from harness import TIMEOUT, Cluster, Host, iam_token, program, read_line, wait_until
from test_troubleshooting import block, normalised
from users import User, invite_url

UNIT = "/etc/systemd/system/teleport.service"
LOG = "/var/log/teleport.log"
TOKEN = "a-secret-for-machines-of-the-tests"
GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "guide"

# Limits that a bomb meets soon: of the users of logind, and of the unit, of which sessions without PAM get a third.
LIMITS = {"/etc/systemd/system/user-.slice.d/50-tests.conf": "[Slice]\nTasksMax=100\n",
          "/etc/systemd/system/teleport.service.d/50-tests.conf": "[Service]\nTasksMax=300\n"}

BOMB = """i=0
while [ $i -lt 400 ]; do sleep 300 & i=$((i+1)); done
echo all of them
"""


def logrotate_example():
    """The one of the guide."""
    return re.search(r"^```\n(/var/log/teleport\.log \{\n.*?^\})\n```", (GUIDE / "ssh-access.md").read_text(), re.S | re.M).group(1)


# An Auth Service and a proxy inside of the machine, under the unit without sessions.
INNER = "/etc/cluster.yaml"


def environment(variables):
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def status_of(machine, unit):
    return machine.run("systemctl", "show", "-P", "StatusText", unit).stdout


class Booted:
    """A cluster, a machine with an agent under systemd, and a user with access to it."""

    def __init__(self, build, aws, directory):
        self.cluster = Cluster(build, aws, directory / "cluster")
        self.cluster.start()
        self.cluster.create({"kind": "token", "version": "v2", "metadata": {"name": TOKEN}, "spec": {"roles": ["Node"], "join_method": "token"}})
        self.cluster.create(iam_token())
        self.config = {
            "version": "v3",
            "teleport": {"nodename": "web-1", "proxy_server": self.cluster.proxy_addr, "join_params": {"token_name": "iam-token", "method": "iam"}},
            "auth_service": {"enabled": "no"}, "proxy_service": {"enabled": "no"}, "ssh_service": {"enabled": "yes"},
        }
        self.machine = None
        try:
            self.machine = Machine(directory / "machine", {
                "/usr/local/bin/teleport": pathlib.Path(program(build, "teleport")), "/usr/local/bin/tctl": pathlib.Path(program(build, "tctl")), "/etc/teleport.yaml": yaml.safe_dump(self.config),
                "/etc/default/teleport": environment({**aws.identity(), "SSL_CERT_FILE": "/etc/proxy.pem", "AWS_REGION": "us-east-1"}), "/etc/proxy.pem": (self.cluster.data_dir / "webproxy_cert.pem").read_text(),
                "/etc/motd": "Welcome to the machine.\n", "/etc/logrotate.d/teleport": logrotate_example() + "\n"})
            for name in ("ada", "bob"):  # as cloud-init makes the default user: no password fits, '!' in /etc/shadow
                self.machine.run("useradd", "--create-home", "--shell", "/bin/bash", name)
            self.machine.run("hostname", "web-1")
            self.shown = self.type_the_guide()
            for path, text in LIMITS.items():
                (self.machine.root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
                (self.machine.root / path[1:]).write_text(text)
            self.machine.run("systemctl", "daemon-reload")
            self.config["teleport"].update(log={"output": LOG}, ca_pin=self.cluster.ca_pin)
            self.write_config()
            self.restart()
            words = self.cluster.tctl("users", "add", "alice", "--roles=access", "--logins=ada,bob").out
            self.alice = User(self.cluster, "alice", directory / "home").accept(invite_url(words))
            self.alice.login()
        except BaseException:
            self.stop()
            raise

    def type_the_guide(self):
        """The last commands of the guide, as root of the machine types them: {command: output}."""
        shown = {}
        for command in ("teleport install systemd -o /etc/systemd/system/teleport.service", "systemctl enable teleport", "systemctl start teleport"):
            done = self.machine.run(*command.split())
            shown[command] = done.stdout + done.stderr
        wait_until(lambda: status_of(self.machine, "teleport").endswith("1 tunnel\n"), "the status shows the tunnel")
        shown["systemctl status teleport"] = self.machine.run("systemctl", "status", "teleport").stdout
        with self.machine.started("journalctl", "-fu", "teleport") as follow:
            lines = []
            while not (lines and "Reverse tunnel established" in lines[-1]):
                lines.append(read_line(follow.stdout).decode())
                assert lines[-1], lines
        shown["journalctl -fu teleport"] = "".join(lines)
        self.log_of_the_guide = self.machine.run("journalctl", "-u", "teleport").stdout
        return shown

    def write_config(self):
        (self.machine.root / "etc/teleport.yaml").write_text(yaml.safe_dump(self.config))

    def tctl(self, *args, stdin=None):
        """tctl of the cluster inside."""
        return self.machine.run("tctl", "-c", INNER, *args, **({"input": stdin} if stdin else {})).stdout

    def journal(self, *matches):
        """Entries of the journal as dictionaries."""
        done = self.machine.run("journalctl", "--output=json", "--no-pager", *matches)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def log(self):
        path = self.machine.root / LOG[1:]
        return path.read_text() if path.exists() else ""

    def wait_reachable(self, times):
        try:
            wait_until(lambda: self.log().count("Reverse tunnel established") >= times, "the agent's tunnel stands")
        except AssertionError as late:
            raise AssertionError(self.log()[-3000:]) from late

    def restart(self):
        """Restarts the service; answers when it can be reached."""
        before = self.log().count("Reverse tunnel established")
        self.machine.run("systemctl", "reset-failed", "teleport")  # these tests restart it more often than systemd lets a unit start
        self.machine.run("systemctl", "restart", "teleport")
        self.wait_reachable(before + 1)

    def set_pam(self, enabled):
        self.config["ssh_service"]["pam"] = {"enabled": enabled}
        self.write_config()
        self.restart()

    def on(self, login, command, **more):
        return self.alice.tsh("ssh", f"{login}@web-1", command, **more)

    def main_pid(self):
        return int(self.machine.run("systemctl", "show", "-P", "MainPID", "teleport").stdout)

    def group(self, pid):
        """The control groups of a process inside: {controllers: path}."""
        lines = self.machine.run("cat", f"/proc/{pid}/cgroup").stdout.splitlines()
        groups = {line.split(":")[1]: line.split(":", 2)[2] for line in lines}
        return {name: groups[name] for name in ("", "pids") if name in groups}

    def stop(self):
        if self.machine is not None:
            self.machine.stop()
        self.cluster.stop()


@pytest.fixture(scope="module")
def booted(build, aws_process):
    with tempfile.TemporaryDirectory(prefix="ct-boot.", dir="/var/tmp") as directory:
        pathlib.Path(directory).chmod(0o755)
        made = Booted(build, aws_process, pathlib.Path(directory))
        yield made
        made.stop()


def plain(booted, text):
    """Lines without the parts that differ between runs."""
    text = re.sub(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d (\S+) (\w+)\[\d+\]", r"Jan 31 12:00:00 \1 \2[4190]", text, flags=re.M)
    text = re.sub(r"since \w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+; .* ago", "since Sat 2026-01-31 12:00:00 UTC; 1s ago", text)
    text = re.sub(r"Main PID: \d+", "Main PID: 4190", text)
    text = re.sub(r"([├└]─)\d+ ", r"\g<1>4190 ", text)
    text = re.sub(r"\bpid:\d+", "pid:4190", text)
    text = re.sub(r"\d+ \(limit: \d+\)", "12", text)
    return normalised(text, [(booted.cluster.proxy_addr, "teleport.example.com:443"), ("example.test", "demo.example.com")]).splitlines()


def test_the_output_in_the_guide_is_that_of_its_commands(booted):
    """With CTELEPORT_WRITE_DOCS=1 it is written. Lines of several processes come in any order: each of the guide's must be among the real ones."""
    page = GUIDE / "iam-joining.md"
    found = block("systemd").search(page.read_text())
    if os.environ.get("CTELEPORT_WRITE_DOCS"):
        text = "\n".join(f"$ {command}\n" + "\n".join(plain(booted, output)) for command, output in booted.shown.items())
        page.write_text(page.read_text()[:found.start(2)] + re.sub(r"\n{2,}\$", "\n$", text) + "\n" + page.read_text()[found.end(2):])
    else:
        commands = re.split(r"^\$ (.*)$", found.group(2), flags=re.M)[1:]
        assert commands[::2] == list(booted.shown)
        for command, output in zip(commands[::2], commands[1::2]):
            real = plain(booted, booted.shown[command]) + (plain(booted, booted.log_of_the_guide) if "teleport[" in output else [])
            assert set(output.replace("└", "├").split("\n")) <= {"", *(line.replace("└", "├") for line in real)}, command


def test_the_unit_reloads_and_its_log_is_rotated(booted):
    machine, unit = booted.machine, booted.machine.root / UNIT[1:]
    assert unit.stat().st_mode & 0o7777 == 0o644
    assert machine.run("systemd-analyze", "verify", UNIT).stderr == ""
    pid, log = booted.main_pid(), machine.root / LOG[1:]
    machine.run("systemctl", "reload", "teleport")
    assert "`teleport reload` reopens the log file" in booted.log()
    before = log.stat().st_ino
    machine.run("logrotate", "--force", "/etc/logrotate.d/teleport")
    wait_until(lambda: log.exists() and "`teleport reload` reopens" in booted.log(), "the new file is written to")
    assert log.stat().st_ino != before and log.with_suffix(".log.1").stat().st_ino == before
    for process in machine.pids("teleport"):
        wait_until(lambda process=process: f"{LOG}.1" not in machine.run("ls", "-l", f"/proc/{process}/fd").stdout, f"{process} has left the old file")
    assert booted.main_pid() == pid and machine.run("systemctl", "is-active", "teleport").stdout == "active\n"
    booted.restart()  # so that wait_reachable has lines to count


def test_systemctl_reload_fails_with_the_reason(booted):
    machine, pid = booted.machine, booted.main_pid()
    (machine.root / "etc/teleport.yaml").write_text(yaml.safe_dump({**booted.config, "ssh_service": {"lables": {"env": "prod"}}}))
    assert machine.run("systemctl", "reload", "teleport", check=False).returncode != 0
    assert "/etc/teleport.yaml:" in (shown := machine.run("systemctl", "status", "teleport").stdout) and "unknown key 'lables'" in shown
    booted.write_config()
    machine.run("systemctl", "reload", "teleport")
    assert booted.main_pid() == pid and machine.run("systemctl", "is-active", "teleport").stdout == "active\n"


@pytest.mark.parametrize("pam", [True, False], ids=["logind", "own groups"])
def test_sessions_outlive_restarts_and_a_bomb_hits_its_user(booted, pam):
    machine = booted.machine
    booted.set_pam(pam)
    if not pam:
        machine.run("usermod", "--password", "*", "ada")
        machine.run("usermod", "--password", "*", "bob")

    # Where they live: not with the agent.
    service = booted.group(booted.main_pid())
    assert set(service.values()) == {"/system.slice/teleport.service/agent"}
    session = dict(line.split(":")[1:] for line in booted.on("ada", "cat /proc/self/cgroup").out.splitlines())
    place = r"/user\.slice/user-\d+\.slice/session-\w+\.scope" if pam else r"/system\.slice/teleport\.service/sessions/[0-9a-f-]{36}"
    for controller in service:
        assert re.fullmatch(place, session[controller]), session

    # A restart: tmux and nohup go on, the session that was open ends.
    shell = booted.alice.shell("ada@web-1")
    booted.on("ada", "tmux new-session -d -s work 'sleep 1001'; nohup sleep 1002 >/dev/null 2>&1 &")
    left = wait_until(lambda: machine.pids("-f", "^(sleep 100[12]|tmux new)"), "they run")
    wait_until(lambda: len(machine.pids("-f", "^sleep 100[12]")) == 2, "both run")
    left = machine.pids("-f", "^sleep 100[12]")
    booted.restart()
    shell.expect(pexpect.EOF, timeout=TIMEOUT)
    assert machine.pids("-f", "^sleep 100[12]") == left
    assert "work" in booted.on("ada", "tmux list-sessions").out
    assert set(booted.group(booted.main_pid()).values()) == {"/system.slice/teleport.service/agent"}

    # A fork bomb, with an end: its user cannot start more, others and the agent go on.
    bomb = booted.alice.terminal("ssh", "ada@web-1", "-t", BOMB)
    bomb.expect("fork|Resource temporarily unavailable|retry", timeout=TIMEOUT)
    assert booted.on("bob", "echo here").out == "here\n"
    assert 20 < len(machine.pids("-x", "sleep")) < 120
    assert machine.run("systemctl", "is-active", "teleport").stdout == "active\n"
    bomb.close(force=True)
    machine.run("pkill", "-KILL", "-u", "ada", check=False)
    machine.run("pkill", "-KILL", "-u", "bob", check=False)
    wait_until(lambda: booted.on("ada", "echo again", check=False).out == "again\n", "the user is back")


def test_sessions_have_all_rights_of_the_machine(booted):
    """No restriction of the unit reaches them: setuid programs work, and root can do anything."""
    machine = booted.machine
    machine.run("install", "-m", "4755", "/usr/bin/id", "/usr/local/bin/id-of-root")
    assert booted.on("ada", "id-of-root -u").out == "0\n"
    lines = "grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status"
    assert booted.on("ada", lines).out == machine.run("sh", "-c", lines).stdout
    assert booted.on("ada", "umask").out == "0022\n"
    mounts = "readlink /proc/self/ns/mnt"
    assert booted.on("ada", mounts).out == machine.run("sh", "-c", mounts).stdout


def test_a_login_shell_is_greeted_under_systemd(booted):
    booted.set_pam(True)
    first = booted.alice.shell("bob@web-1")
    assert b"Welcome to the machine.\r\n" in first.before
    first.sendline("exit")
    first.expect(pexpect.EOF)


@pytest.fixture(scope="module")
def restricted(booted, aws_process):
    """An Auth Service and a proxy that systemd runs with all restrictions, and the address of the proxy."""
    machine, aws = booted.machine, aws_process
    config = {"version": "v3", "teleport": {"nodename": "auth-1", "data_dir": "/var/lib/teleport-cluster"},
              "auth_service": {"cluster_name": "restricted.test", "listen_addr": "127.0.0.1:0", "aws": {"sts_connect_to": f"127.0.0.1:{aws.sts_port}"}},
              "proxy_service": {"web_listen_addr": "127.0.0.1:0"}, "ssh_service": {"enabled": "no"}}
    config["teleport"]["diag_addr"] = "127.0.0.1:0"
    (machine.root / INNER[1:]).write_text(yaml.safe_dump(config))
    (machine.root / "etc/aws-ca.pem").write_text(pathlib.Path(aws.ca).read_text())
    # The detector of leaks would trace its process, which the unit forbids.
    (machine.root / "etc/default/cluster").write_text(environment({"AWS_CA_BUNDLE": "/etc/aws-ca.pem", "ASAN_OPTIONS": "detect_leaks=0"}))
    machine.run("teleport", "install", "systemd", "-c", INNER, "--env-file=/etc/default/cluster", "--pid-file=/run/cluster.pid",
                "-o", "/etc/systemd/system/cluster.service")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "cluster")
    lines = machine.run("journalctl", "-u", "cluster", "-o", "cat").stdout
    listening = {name: re.search(rf"{name} service listening addr:(\S+)", lines).group(1) for name in ("Proxy", "Diagnostic")}
    yield types.SimpleNamespace(address=listening["Proxy"], diag=listening["Diagnostic"])
    machine.run("systemctl", "stop", "cluster")


def test_systemctl_status_shows_the_membership(booted, restricted):
    since = r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    agent = rf"joined cluster example\.test {since}; connected through {re.escape(booted.cluster.proxy_addr)}, 1 tunnel\n"
    wait_until(lambda: re.fullmatch(agent, status_of(booted.machine, "teleport")), "the agent's state is shown")
    server = rf"joined cluster restricted\.test {since}; connected through this machine\n"
    wait_until(lambda: re.fullmatch(server, status_of(booted.machine, "cluster")), "the cluster's state is shown")


def test_the_journal_has_fields_and_priorities(booted, restricted):
    machine = booted.machine
    present, = wait_until(lambda: booted.journal("-u", "cluster", "TELEPORT_EVENT=This host is present in the cluster"), "the entry is there")
    assert {name: present[name] for name in ("PRIORITY", "SYSLOG_IDENTIFIER", "TELEPORT_COMPONENT", "TELEPORT_CLUSTER", "TELEPORT_SERVER", "CODE_FILE")} == {
        "PRIORITY": "6", "SYSLOG_IDENTIFIER": "teleport", "TELEPORT_COMPONENT": "instance", "TELEPORT_CLUSTER": "restricted.test",
        "TELEPORT_SERVER": "this machine", "CODE_FILE": "certify.c"}
    assert present["MESSAGE"].startswith("INFO [INSTANCE]  This host is present in the cluster host_id:") and present["_TRANSPORT"] == "journal"
    assert present["_PID"] != machine.run("systemctl", "show", "-P", "MainPID", "cluster").stdout.strip()  # the process that logged it
    components = {entry.get("TELEPORT_COMPONENT") for entry in booted.journal("-u", "cluster")}
    assert {"proc", "auth", "proxy", "instance"} <= components and "signer" not in components, components
    signer = [entry for entry in booted.journal("-u", "cluster", "_TRANSPORT=stdout") if "[SIGNER]" in entry["MESSAGE"]]
    assert signer and {entry["PRIORITY"] for entry in signer} == {"6"} and not [entry for entry in signer if "<6>" in entry["MESSAGE"]]
    unix = [line.split() for line in machine.run("cat", "/proc/net/unix").stdout.splitlines()[1:]]
    datagram = {f"socket:[{fields[6]}]" for fields in unix if fields[4] == "0002"}

    def has_datagram_socket(service):
        pid, = machine.pids("-f", f"^teleport: {service} service")
        return bool(datagram & set(machine.run("sh", "-c", f"readlink /proc/{pid}/fd/*").stdout.split()))
    assert has_datagram_socket("auth") and not has_datagram_socket("signer")  # which holds keys


def test_a_cluster_serves_under_the_restricted_unit(booted, restricted, aws_process, build, tmp_path):
    machine = booted.machine
    pid = int(machine.run("systemctl", "show", "-P", "MainPID", "cluster").stdout)
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    booted.tctl("create", "-f", "/dev/stdin", stdin=yaml.safe_dump(iam_token()))
    cluster = types.SimpleNamespace(build=build, aws=aws_process, dir=tmp_path, hosts=[], proxy_addr=restricted.address)
    host = Host(cluster, "web-2", env=aws_process.identity())
    host.start()
    try:
        host.wait_reachable()
        assert "web-2" in booted.tctl("nodes", "ls")
    finally:
        host.stop()
    assert "web-2" in (machine.root / "var/lib/teleport-cluster/log/events.log").read_text()
    machine.run("systemctl", "reload", "cluster")
    assert machine.run("systemctl", "show", "-P", "NRestarts", "cluster").stdout == "0\n"
    with urllib.request.urlopen(f"http://{restricted.diag}/metrics", timeout=TIMEOUT) as answer:
        metrics = answer.read().decode()
    for figure in ("process_resident_memory_bytes", "process_open_fds"):  # of processes of other users, which /proc does not hide from root
        assert float(re.search(rf'^{figure}{{process="auth"}} (\S+)$', metrics, re.M).group(1)) > 0, metrics
    assert booted.journal("-u", "cluster", "-p", "info", "TELEPORT_COMPONENT=auth", "TELEPORT_NODE_NAME=web-2")


@pytest.fixture
def second(booted):
    """start(drop-in, token name): another agent inside, as the service `second`; it ends with the test."""
    machine, unit = booted.machine, "/etc/systemd/system/second.service"

    def start(drop_in, token_name):
        config = {**booted.config, "teleport": {"nodename": "web-3", "data_dir": "/var/lib/second", "proxy_server": booted.cluster.proxy_addr,
                                                "ca_pin": booted.cluster.ca_pin, "join_params": {"token_name": token_name, "method": "token"}}}
        (machine.root / "etc/second.yaml").write_text(yaml.safe_dump(config))
        machine.run("teleport", "install", "systemd", "-c", "/etc/second.yaml", "--pid-file=/run/second.pid", "-o", unit)
        place = machine.root / f"{unit[1:]}.d"
        place.mkdir(exist_ok=True)
        (place / "50-tests.conf").write_text(f"[Service]\n{drop_in}\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "second")
    yield start
    machine.run("systemctl", "stop", "second")
    machine.run("rm", "-rf", "/var/lib/second")


def test_the_join_token_is_a_credential_of_systemd(booted, second):
    (booted.machine.root / "etc/join-token").write_text(TOKEN + "\n")
    second("LoadCredential=token:/etc/join-token", "/run/credentials/second.service/token")
    wait_until(lambda: status_of(booted.machine, "second").endswith("1 tunnel\n"), "the host has joined")
    wait_until(lambda: booted.cluster.node("web-3"), "it is listed")


def test_the_reason_of_a_failed_start_is_an_error(booted, second):
    with pytest.raises(AssertionError, match="systemctl"):
        second("Restart=no", "/no/such/token")
    reasons = booted.journal("-u", "second", "-p", "err")
    assert [entry for entry in reasons if entry["MESSAGE"].startswith("ERROR: cannot read the join token: ") and entry["PRIORITY"] == "3"], reasons


@pytest.mark.nightly
def test_systemd_restarts_a_supervisor_that_hangs(booted, second):
    machine = booted.machine
    second("WatchdogSec=8", TOKEN)
    pid = machine.run("systemctl", "show", "-P", "MainPID", "second").stdout.strip()
    machine.run("kill", "-STOP", pid)
    wait_until(lambda: machine.run("systemctl", "show", "-P", "NRestarts", "second").stdout == "1\n", "systemd has started it again")
    wait_until(lambda: status_of(machine, "second").endswith("1 tunnel\n"), "the host is back")
    assert machine.run("systemctl", "show", "-P", "MainPID", "second").stdout.strip() != pid
    assert not machine.run("ps", "-o", "pid=", "--ppid", pid, check=False).stdout.strip()  # its services have ended with it
