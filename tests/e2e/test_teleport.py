# SPDX-License-Identifier: Apache-2.0
"""The commands of `teleport` besides `start`: files that they write, and refusals."""
import json
import os
import pathlib
import re
import resource
import stat
import subprocess

import pytest
import yaml

from harness import TIMEOUT, program


@pytest.fixture
def teleport(build, tmp_path):
    def run(*args, check=True, env=None):
        done = subprocess.run([program(build, "teleport"), *map(str, args)], capture_output=True, text=True, timeout=TIMEOUT,
                              cwd=tmp_path, env={**os.environ, **(env or {})})
        assert done.returncode == 0 or not check, done.stderr
        return done
    return run


# ---- configuration files ------------------------------------------------------------------------------

def test_configure_writes_a_file_that_start_accepts(teleport, tmp_path):
    path = tmp_path / "etc" / "teleport.yaml"
    done = teleport("configure", "--cluster-name=example.com", "--public-addr=example.com:443", "-o", path)
    assert f'teleport start --config="{path}"' in done.stdout and "Happy Teleporting!" in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert teleport("configure", "--test", path).stderr == f"OK {path}\n"
    again = teleport("configure", "-o", path, check=False)
    assert again.returncode == 1
    assert f"will not overwrite existing file {path}, rm -f {path} and try again" in again.stderr


def test_node_configure_writes_the_guides_file(teleport, tmp_path):
    text = teleport("node", "configure", "--proxy=example.com:443", "--token=iam-token", "--join-method=iam",
                    "--labels=env=prod,zip=01234").stdout
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    assert teleport("configure", "--test", path).stderr == f"OK {path}\n"
    for line in ("version: v3", "proxy_server: example.com:443", "token_name: iam-token", "method: iam", '"zip": "01234"'):
        assert line in text


def test_a_broken_file_fails_with_its_place(teleport, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("version: v3\nteleport:\n  nodenam: web\n")
    done = teleport("configure", "--test", path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"FAIL {path}\n")
    assert "broken.yaml:3" in done.stderr and "nodename" in done.stderr


@pytest.mark.parametrize("args, words", [
    (("--proxy=a", "--auth-server=b"), "exclude each other"),
    (("--cert-file=/etc/hostname",), "belong together"),
    (("--roles=nodes",), "unknown role: 'nodes'"),
    (("-o", "relative/path"), "cannot write to"),
    (("--public-addr=not a name",), "public_addr"),
])
def test_configure_refuses(teleport, args, words):
    done = teleport("configure", *args, check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_install_systemd_writes_a_unit(teleport, build, tmp_path):
    path = tmp_path / "teleport.service"
    assert teleport("install", "systemd", "-o", path).stdout == ""
    unit = path.read_text()
    assert f"ExecStart={program(build, 'teleport')} start --config /etc/teleport.yaml --pid-file=/run/teleport.pid\n" in unit
    assert "EnvironmentFile=-/etc/default/teleport\n" in unit and unit.endswith("WantedBy=multi-user.target\n")
    bad = teleport("install", "systemd", "--pid-file=/run/x\nUser=root", check=False)
    assert bad.returncode == 1 and "--pid-file" in bad.stderr


def test_a_unit_file_is_readable_and_replaced(teleport, tmp_path):
    path = tmp_path / "new" / "teleport.service"
    teleport("install", "systemd", "-o", path)
    assert path.stat().st_mode & 0o7777 == 0o644 and path.parent.stat().st_mode & 0o7777 == 0o755
    path.chmod(0o600)
    teleport("install", "systemd", "-o", path, "--fd-limit=4096")  # over its own
    assert path.stat().st_mode & 0o7777 == 0o644 and "LimitNOFILE=4096\n" in path.read_text()
    path.write_text("[Unit]\nDescription=Teleport\n\n[Service]\nExecStart = /usr/local/bin/teleport start\n")
    teleport("install", "systemd", "-o", path)  # over another version's
    assert "Type=notify\n" in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["teleport.service"]


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "fifo", "device", "text", "other unit", "empty", "binary"])
def test_install_systemd_overwrites_nothing_but_its_unit(teleport, tmp_path, kind):
    path, target = tmp_path / "teleport.service", tmp_path / "target"
    texts = {"text": "root:x:0:0:root:/root:/bin/bash\n", "empty": "", "binary": "\0" * 70000, "link": "kept",
             "other unit": "[Unit]\nDescription=teleport\n[Service]\nExecStart=/usr/sbin/nginx\n"}
    if "link" in kind:
        path.symlink_to(target)
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    if kind in texts:
        path.write_text(texts[kind])
    before = path.lstat()
    done = teleport("install", "systemd", "-o", path, check=False)
    assert done.returncode == 1 and "is not overwritten" in done.stderr and str(path) in done.stderr, done.stderr
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert target.exists() == (kind == "link") and (kind not in texts or path.read_text() == texts[kind])


# ---- what the unit permits --------------------------------------------------------------------------------

AGENT = {"version": "v3", "teleport": {"proxy_server": "example.com:443", "join_params": {"token_name": "t", "method": "iam"}},
         "auth_service": {"enabled": "no"}, "proxy_service": {"enabled": "no"}, "ssh_service": {"enabled": "yes"}}
CLUSTER = {"version": "v3", "ssh_service": {"enabled": "no"}}


@pytest.fixture
def install(teleport, tmp_path):
    """Writes a unit for a configuration; the unit's text and its lines as {key: [values]}."""
    def run(config, *args, **how):
        yaml_path, unit = tmp_path / "teleport.yaml", tmp_path / "teleport.service"
        if config is not None:
            yaml_path.write_text(yaml.safe_dump(config))
        done = teleport("install", "systemd", "-c", yaml_path, "-o", unit, *args, **how)
        if done.returncode:
            return done.stderr
        lines = {}
        for line in unit.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                lines.setdefault(line.partition("=")[0], []).append(line.partition("=")[2])
        return lines
    return run


def score(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, timeout=TIMEOUT)
    return float(re.search(r"Overall exposure level for teleport.service: ([0-9.]+)", done.stdout).group(1)), done.stdout


@pytest.mark.parametrize("config, most", [(CLUSTER, 2.5), (AGENT, 9.6)], ids=["cluster", "node"])
def test_systemd_accepts_the_units_without_a_word(install, tmp_path, config, most):
    install(config)
    unit = tmp_path / "teleport.service"
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    exposure, details = score(unit)
    assert exposure <= most, details


def test_the_unit_of_a_node_restricts_no_session(install):
    lines = install(AGENT)
    allowed = {"Type", "NotifyAccess", "Restart", "RestartSec", "EnvironmentFile", "ExecStart", "ExecReload", "PIDFile", "LimitNOFILE", "OOMPolicy",
               "UMask", "KillMode", "Delegate", "TasksMax", "Description", "After", "WantedBy", "WatchdogSec", "TimeoutStartSec"}
    assert set(lines) <= allowed and lines["KillMode"] == ["process"] and lines["Delegate"] == ["pids"]


@pytest.mark.parametrize("config, args, restricted", [
    (None, (), False),  # written later: any service
    (AGENT, (), False),
    (CLUSTER, (), True),
    ({"version": "v3"}, (), False),  # ssh_service is on by default
    (None, ("--roles=auth,proxy",), True),
    (AGENT, ("--roles=proxy",), True),
    (CLUSTER, ("--roles=node",), False),
])
def test_the_services_decide_about_the_unit(install, config, args, restricted):
    lines = install(config, *args)
    assert ("NoNewPrivileges" in lines) == restricted
    assert lines.get("Environment", []) == (["TELEPORT_UNIT_WITHOUT_SESSIONS=yes"] if restricted else [])


def test_the_unit_has_the_directories_of_the_configuration(install):
    config = {**CLUSTER, "teleport": {"data_dir": "/srv/teleport", "storage": {"path": "/srv/teleport/backend"}, "log": {"output": "/var/log/teleport.log"},
                                      "ca_pin": "/root/pins"},
              "proxy_service": {"https_keypairs": [{"cert_file": "/home/www/cert.pem", "key_file": "/etc/ssl/key.pem"}]}}
    lines = install(config, "--pid-file=/run/teleport/pid")
    assert lines["ReadWritePaths"] == ["/srv/teleport", "/run/teleport", "/var/log"]
    assert lines["BindReadOnlyPaths"][0] == "-/root/.aws" and {"-/root", "-/home/www"} <= set(lines["BindReadOnlyPaths"])
    assert "StateDirectory" not in lines
    assert install(CLUSTER)["StateDirectory"] == ["teleport"]
    assert install({**CLUSTER, "teleport": {"data_dir": "/tmp/teleport"}})["BindPaths"] == ["/tmp/teleport"]


@pytest.mark.parametrize("config, words", [
    ({**CLUSTER, "teleport": {"data_dir": "/srv/a b"}}, "teleport.data_dir: '/srv/a b' is not an absolute path without special characters"),
    ({**CLUSTER, "teleport": {"data_dir": "/srv/%h"}}, "teleport.data_dir"),
    ({**CLUSTER, "teleport": {"log": {"output": "/var/log/x\nUser=root"}}}, "teleport.log.output"),
    ({**CLUSTER, "telepor": {}}, "telepor"),
])
def test_install_systemd_refuses(install, tmp_path, config, words):
    assert words in install(config, check=False) and not (tmp_path / "teleport.service").exists()


def test_the_unit_without_sessions_refuses_ssh_service(teleport, tmp_path):
    path = tmp_path / "teleport.yaml"
    path.write_text(yaml.safe_dump({**AGENT, "teleport": {**AGENT["teleport"], "data_dir": str(tmp_path / "data")}}))
    done = teleport("start", "-c", path, check=False, env={"TELEPORT_UNIT_WITHOUT_SESSIONS": "yes"})
    assert done.returncode == 1 and "teleport install systemd -o" in done.stderr and "ssh_service" in done.stderr


def test_install_systemd_writes_no_configuration_file(teleport):
    done = teleport("install", "systemd", "-o", "file", check=False)
    assert done.returncode == 1 and "absolute path of the unit" in done.stderr


# ---- about this host -----------------------------------------------------------------------------------

def test_aws_identity_names_the_source_and_no_secret(teleport):
    env = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIsecret", "AWS_REGION": "us-west-2",
           "AWS_EC2_METADATA_DISABLED": "true"}
    done = teleport("aws", "identity", "--format=json", env=env)
    answer = json.loads(done.stdout)
    assert answer["source"] == "environment" and answer["region"] == "us-west-2"
    assert answer["sts_host"] == "sts.us-west-2.amazonaws.com"
    text = teleport("aws", "identity", env=env)
    for output in (done.stdout, text.stdout, done.stderr, text.stderr):
        assert "wJalrXUtnFEMIsecret" not in output


# ---- the services ------------------------------------------------------------------------------------

def test_the_services_may_open_more_descriptors_than_a_shell_allows(make_cluster):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        cluster = make_cluster()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for service in ("auth", "proxy"):
        limits = pathlib.Path(f"/proc/{cluster.process.children()[service]}/limits").read_text()
        assert re.search(r"Max open files +(\d+)", limits).group(1) == str(min(hard, 65536))
