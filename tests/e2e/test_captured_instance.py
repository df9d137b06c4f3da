# SPDX-License-Identifier: Apache-2.0
"""A captured `instance` process of a node: it has no AWS credentials, and runs no programs."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from harness import wait_until
from test_captured_ssh import memory_of
from test_status import stays_one_user

# Processes of a cluster and an agent that load a library.
LIBRARIES = {
    "libcurl": {"sts"}, "libsqlite3": {"auth"}, "libargon2": {"auth"}, "libqrencode": {"proxy"}, "libz.so": {"auth", "signer", "sts"},  # of files of logs; libcurl uses it
    "libnss_systemd": set(),  # a module of the account database
    "libyaml": set(), "libseccomp": set(),  # used for a moment: by a supervisor when it reads its configuration, by a process that enters its sandbox
}


@pytest.mark.parametrize("where", ["environment", "file"])
def test_instance_holds_no_aws_credentials(shared, aws, tmp_path, where):
    keys = aws.identity()
    secret = keys["AWS_SECRET_ACCESS_KEY"].encode()  # (a session token is part of the signed request)
    env = keys
    if where == "file":
        (tmp_path / ".aws").mkdir()
        path = tmp_path / ".aws/credentials"
        path.write_text("[default]\n" + "".join(f"{name.lower()} = {value}\n" for name, value in keys.items()))
        path.chmod(0o600)
        env = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    host = shared.host(f"captured-{where}", env=env).start()
    host.wait_joined()
    held = memory_of(host.process.children()["instance"])
    assert host.host_id.encode() in held, "what it knows is found: this test would find the keys"
    assert secret not in held
    host.stop()


def test_a_process_loads_only_libraries_that_it_needs(shared, aws):
    host = shared.join("plain-1", env=aws.identity()).wait_signed()
    running = {**shared.process.children(), **{f"agent's {name}": pid for name, pid in host.process.children().items()}}
    running |= {"supervisor": shared.process.pid, "agent's supervisor": host.process.pid}
    assert {"auth", "proxy", "signer", "sts", "instance", "agent's instance", "agent's ssh"} <= set(running)
    maps = {name: pathlib.Path(f"/proc/{pid}/maps").read_text() for name, pid in running.items()}
    loaded = {library: {name for name, text in maps.items() if library in text} for library in LIBRARIES}
    assert loaded == LIBRARIES
    host.stop()


def test_instance_does_not_receive_the_aws_settings(shared, aws):
    host = shared.join("plain-2", env={**aws.identity(), "AWS_SDK_LOAD_CONFIG": "1", "HTTPS_PROXY": "", "NO_PROXY": "nowhere.test"})
    environment = pathlib.Path(f"/proc/{host.process.children()['instance']}/environ").read_bytes().split(b"\0")
    names = {variable.split(b"=")[0].decode() for variable in environment}
    assert "NO_PROXY" in names
    assert not [name for name in names if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]
    host.stop()


@pytest.mark.parametrize("env", [{"AWS_PROFILE": "nowhere"}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/"}])
def test_an_aws_credential_error_is_not_reported_as_token_error(shared, env):
    host = shared.host(f"broken-{len(shared.hosts)}", env=env).start()
    host.process.wait_for("this host cannot prove its AWS identity")
    said = host.process.wait_for(r"(?s)^.*?Can not join the cluster as Instance\.[^\n]*\n").group(0)
    assert "expired or not found" not in said
    assert said.count("Attempting registration") == 1, "another way to the cluster would not help"
    host.stop()


def test_a_credential_process_ends_with_the_join_that_needed_it(shared, tmp_path):
    """It waits for ever, and ends with its host."""
    pid_file = tmp_path / "pid"
    program = tmp_path / "wait"
    program.write_text(f"#!/bin/sh\necho $$ > {pid_file}.new && mv {pid_file}.new {pid_file}\nexec sleep 1000\n")
    program.chmod(0o700)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
    host = shared.host("waiting", env={"AWS_CONFIG_FILE": str(tmp_path / "config")}).start()
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), "the credential_process runs"))
    assert host.process.children()["aws-sign"] != host.process.children()["instance"]
    host.stop()
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "it has ended")


def test_label_commands_run_in_a_separate_process(shared, aws, tmp_path):
    colour, parent = tmp_path / "colour", tmp_path / "parent"
    colour.write_text("blue")
    commands = [{"name": "colour", "command": ["cat", str(colour)], "period": "1s"},
                {"name": "parent", "command": ["sh", "-c", "echo $PPID"], "period": "1s"}]
    host = shared.join("coloured", env=aws.identity(), ssh={"commands": commands})

    def announced(name):
        labels = (shared.node("coloured") or {"spec": {}})["spec"].get("cmd_labels", {})
        return labels.get(name, {}).get("result")
    wait_until(lambda: announced("colour") == "blue", "a value is announced")
    processes = host.process.children()
    wait_until(lambda: announced("parent") == str(processes["labels"]), "the commands are children of that process")
    for service in ("instance", "labels"):
        colour.write_text(service)
        host.process.mark()
        os.kill(processes[service], signal.SIGKILL)
        host.process.wait_for(f"service is back name:{service}")
        wait_until(lambda: announced("colour") == service, f"a value is announced when {service} is back")
    assert host.stop() == 0


# ---- its user -------------------------------------------------------------------------------------------------------------

TRIES = """
import json, os, signal, sys
tries, ended = json.loads(sys.argv[1]), []
for what, target in tries:
    try:
        if what == "read":
            os.close(os.open(target, os.O_RDONLY))
        elif what == "write":
            os.close(os.open(target, os.O_WRONLY))
        elif what == "make":
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
        elif what == "signal":
            os.kill(target, 0)
        ended.append("done")
    except OSError as err:
        ended.append(type(err).__name__)
print(json.dumps(ended))
"""


def as_user_of(pid, cwd, tries):
    """Output of a shell that runs as the user of that process in its working directory."""
    uid, gid = (int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line[:4] in ("Uid:", "Gid:"))
    done = subprocess.run(["/usr/bin/python3", "-c", TRIES, json.dumps(tries)], capture_output=True, text=True, check=True, cwd=cwd, user=uid, group=gid,
                          extra_groups=[], env={"PATH": "/usr/bin:/bin"})
    return dict(zip((f"{what} {target}" for what, target in tries), json.loads(done.stdout)))


def test_the_user_of_instance_reaches_nothing_of_the_others(shared, aws):
    if stays_one_user(shared):
        return
    host = shared.host("captured-user", env=aws.identity()).start()
    host.wait_reachable()
    host.wait_signed()
    for machine in (shared, host):
        running = machine.process.children()
        others = [pid for name, pid in running.items() if name != "instance"] + [machine.process.pid]
        tries = [["signal", pid] for pid in others] + [["read", f"/proc/{pid}/{name}"] for pid in others for name in ("mem", "environ", "fd")]
        tries += [[what, "../host_uuid"] for what in ("read", "write", "make")] + [["make", "../planted"], ["read", ".."]]
        got = as_user_of(running["instance"], machine.data_dir / "proc", [["make", "status.json"], *tries])
        assert got.pop("make status.json") == "done", "its own files are not shut: this test would see it"
        assert set(got.values()) == {"PermissionError"}, got
        for place in ("ca", "backend", "log", "spool"):
            if (machine.data_dir / place).exists():
                names = [path.name for path in (machine.data_dir / place).iterdir()]
                tries = [["read", "."], ["make", "planted"], *([what, name] for name in names for what in ("read", "write"))]
                got = as_user_of(running["instance"], machine.data_dir / place, tries)
                assert set(got.values()) == {"PermissionError"}, (place, got)
    assert host.stop() == 0
