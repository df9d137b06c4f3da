# SPDX-License-Identifier: Apache-2.0
"""Sessions on a joined machine: tsh, and the plain OpenSSH programs with the configuration that tsh prints."""
import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pexpect
import pytest
import yaml

from harness import TIMEOUT, Process, port_of, reserved_port, wait_until
from users import quoted

NODE = "web-1.example.test"  # as plain ssh calls it


# ---- one command, one shell ----------------------------------------------------------------------------------


def test_a_command_runs_on_the_node_and_returns_output(alice):
    done = alice.tsh("ssh", "root@web-1", "echo out; echo err >&2; id -un")
    assert done.out == "out\nroot\n" and "err\n" in done.err


def test_the_exit_status_is_that_of_the_remote_command(alice):
    assert alice.tsh("ssh", "root@web-1", "exit 7", check=False).code == 7
    assert alice.tsh("ssh", "root@web-1", "true").code == 0


def test_a_command_killed_by_a_signal_fails(alice):
    assert alice.tsh("ssh", "root@web-1", "kill -9 $$", check=False).code != 0


@pytest.mark.parametrize("closed, shown", [("<&-", "ok\n"), (">&-", ""), ("2>&-", "ok\n"), ("<&- >&- 2>&-", "")])
def test_it_works_with_closed_standard_descriptors(alice, closed, shown):
    assert alice.line(f'tsh ssh root@web-1 "echo ok; exit 7" {closed}', code=7).out == shown
    assert alice.line(f"tsh ls --format=names {closed}").out == shown.replace("ok", "web-1")


def test_links_named_ssh_and_scp_are_those_commands(alice, tmp_path):
    for name in ("ssh", "scp"):
        (tmp_path / name).symlink_to(alice.bin / "tsh")
    assert alice.line(f"{tmp_path}/ssh root@web-1 'echo linked'").out == "linked\n"
    alice.line(f"{tmp_path}/scp -q root@web-1:/etc/hostname {tmp_path}/copied")
    assert (tmp_path / "copied").read_text() == pathlib.Path("/etc/hostname").read_text()


def test_tt_gives_a_terminal_without_one_here(alice):
    assert "/dev/pts/" in alice.tsh("ssh", "-tt", "root@web-1", "tty").out
    assert "/dev/pts/" in alice.tsh("ssh", "-o", "RequestTTY=force", "root@web-1", "tty").out


def test_the_language_of_the_workstation_reaches_the_node(alice):
    assert alice.line("LANG=C.UTF-8 LC_TIME=C tsh ssh root@web-1 'echo $LANG $LC_TIME'").out == "C.UTF-8 C\n"


def test_forwarding_of_the_local_agent_by_teleports_word(alice):
    done = alice.tsh("ssh", "-o", "ForwardAgent local", "root@web-1", "echo ok")
    assert done.out == "ok\n" and "Cannot forward agent" not in done.err


def test_standard_input_reaches_the_command_and_its_end_too(alice):
    text = "".join(f"line {i}\n" for i in range(1000))
    assert alice.tsh("ssh", "root@web-1", "sha256sum", stdin=text).out.split()[0] == hashlib.sha256(text.encode()).hexdigest()


def test_a_node_is_reached_by_name_id_and_label(alice, access):
    for target in ("web-1", access.web.host_id, "env=prod", "env=prod,team=web"):
        assert alice.tsh("ssh", f"root@{target}", "hostname").code == 0, target


def test_another_account_is_logged_in_to(alice, account):
    done = alice.tsh("ssh", f"{account.pw_name}@web-1", "id -un; pwd; echo $HOME")
    assert done.out.split() == [account.pw_name, account.pw_dir, account.pw_dir]


def test_a_session_knows_where_it_is(alice, access):
    out = alice.tsh("ssh", "root@web-1", "env; echo SHLVL=$SHLVL").out
    facts = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    assert facts["SSH_TELEPORT_USER"] == "alice"
    assert facts["SSH_TELEPORT_CLUSTER_NAME"] == "example.test"
    assert facts["SSH_TELEPORT_HOST_UUID"] == access.web.host_id
    assert re.fullmatch(r"[0-9a-f-]{36}", facts["SSH_SESSION_ID"])
    assert facts["SSH_CLIENT"].startswith("127.0.0.1 ")
    assert not [name for name in facts if name.startswith("AWS_")], "credentials of the host are not those of its users"


def test_teleport_status_tells_of_the_session_one_is_in(alice, programs):
    out = alice.tsh("ssh", "root@web-1", f"{programs}/teleport status").out
    assert "alice, logged in as root from" in out and "Cluster Name: example.test" in out


def test_a_shell_on_a_terminal(alice):
    shell = alice.shell("root@web-1")
    shell.sendline("stty size; echo in$((40+2)); exit 3")
    shell.expect(r"24 80\s+in42")
    shell.wait()
    assert shell.exitstatus == 3


def test_a_command_gets_a_terminal_when_asked(alice):
    assert "not a tty" in alice.tsh("ssh", "root@web-1", "tty", check=False).out
    child = alice.terminal("ssh", "-t", "root@web-1", "tty; stty size", rows=33, columns=99)
    child.expect(r"/dev/pts/\d+\s+33 99")


def test_a_program_that_only_root_can_run_lets_accounts_in(access, programs, alice, account, tmp_path):
    """The programs that sshd runs as other accounts are in its own library, not on the disk."""
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    shutil.copy(programs / "teleport", closed / "teleport")
    host = access.join("web-2", env=access.node_env)
    host.stop()
    host.process = Process([closed / "teleport", "start", "-c", host.config_path, "--insecure"], host.dir / "closed.log", host.env)
    host.wait_reachable()
    assert alice.tsh("ssh", f"{account.pw_name}@web-2", "id", "-un").out == f"{account.pw_name}\n"


def test_a_terminal_resize_is_audited(alice):
    shell = alice.shell("root@web-1")
    shell.setwinsize(50, 132)
    shell.sendline('until [ "$(stty size)" = "50 132" ]; do :; done; echo resi""zed')
    shell.expect("resized")
    shell.close()


def test_services_have_their_names_in_process_listings(access):
    """In ps and in ss: they were all called "exe"."""
    for process in (access.process, access.web.process):
        children = process.children()
        assert children
        for name, pid in children.items():
            assert pathlib.Path(f"/proc/{pid}/comm").read_text() == f"teleport: {name}"[:15] + "\n"
            assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"teleport: {name}\0".encode())


FOREIGN = [(["login", "--request-roles=x"], "--request-roles", "tctl users update"), (["login", "--out=id"], "--out", "TELEPORT_HOME"),
           (["ssh", "-i", "id", "root@web-1"], "--identity", "TELEPORT_HOME"), (["-J", "proxy", "ssh", "root@web-1"], "--jumphost", "tsh login --proxy"),
           (["ls", "--all"], "--all", "tsh login --proxy"), (["ssh", "--no-resume", "root@web-1"], "--no-resume", "leave it out"),
           (["--ttl=5", "ssh", "root@web-1", "true"], "--ttl", "tsh login --ttl"), (["--ttl=5", "ls"], "--ttl", "tsh login --ttl")]


def test_flags_without_effect_are_refused_with_a_hint(alice):
    for words, flag, instead in FOREIGN:
        done = alice.tsh(*words, check=False)
        assert done.code == 1 and flag in done.err.splitlines()[0] and instead in done.err, (words, done.err)


# ---- names that are no names ---------------------------------------------------------------------------------


HOSTILE_NAMES = ["-oProxyCommand=touch OWNED", "root@-oProxyCommand=touch OWNED", "web-1;touch OWNED", "web 1", "web-1\nHost *", "`touch OWNED`",
                 "$(touch OWNED)", "web-1'", 'web-1"', "web-1|x", "-", "", "root@", "ro ot@web-1", "-l@web-1", "web-1\\x"]


def test_a_hostile_name_is_an_error_and_not_a_command(alice):
    for name in HOSTILE_NAMES:
        done = alice.tsh("ssh", "--", name, "true", check=False, env={"PWD": str(alice.home)})
        assert done.code != 0 and "ERROR" in done.err, name
        assert not list(pathlib.Path.cwd().glob("OWNED")) and not list(alice.home.glob("OWNED")), name


def test_an_unknown_node_is_named_in_the_error(alice):
    done = alice.tsh("ssh", "root@nosuch", "true", check=False)
    assert done.code == 1 and "nosuch" in done.err


def test_an_ambiguous_node_name_lists_the_nodes(alice, access, aws):
    other = access.join("web-1", env=access.node_env)
    other.wait_reachable()
    done = alice.tsh("ssh", "root@web-1", "true", check=False)
    assert done.code == 1 and "ambiguous host could match multiple nodes" in done.err
    assert access.web.host_id in done.err + done.out and other.host_id in done.err + done.out
    assert alice.tsh("ssh", f"root@{other.host_id}", "true").code == 0


# ---- files ------------------------------------------------------------------------------------------------------


def test_tsh_copies_files_both_ways(alice, tmp_path):
    source = tmp_path / "a file with spaces"
    source.write_bytes(os.urandom(300_000))
    alice.tsh("scp", source, f"root@web-1:{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == source.read_bytes()
    alice.tsh("scp", f"root@web-1:{tmp_path}/there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_tsh_copies_directories(alice, tmp_path):
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/x").write_text("x")
    alice.tsh("scp", "-r", tmp_path / "tree", f"root@web-1:{tmp_path}/copy")
    assert (tmp_path / "copy/deep/x").read_text() == "x"


def test_tsh_sftp_runs_a_batch(alice, tmp_path):
    (tmp_path / "up").write_text("by sftp")
    batch = tmp_path / "batch"
    batch.write_text(f"put {tmp_path}/up {tmp_path}/uploaded\nget {tmp_path}/uploaded {tmp_path}/down\n")
    alice.tsh("sftp", "-b", batch, "root@web-1")
    assert (tmp_path / "down").read_text() == "by sftp"


def test_plain_ssh_scp_and_sftp_work_with_the_printed_configuration(alice, tmp_path):
    assert alice.ssh(f"root@{NODE}", "echo plain").out == "plain\n"
    (tmp_path / "f").write_text("copied")
    alice.ssh(tmp_path / "f", f"root@{NODE}:{tmp_path}/g", program_="scp")
    assert (tmp_path / "g").read_text() == "copied"
    alice.ssh("-b", "-", f"root@{NODE}", stdin=f"get {tmp_path}/g {tmp_path}/h\n", program_="sftp")
    assert (tmp_path / "h").read_text() == "copied"


def test_rsync_and_git_work_over_it(alice, tmp_path):
    shell = quoted(["ssh", "-F", str(alice.ssh_config())])
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a").write_text("a" * 100_000)
    subprocess.run(["rsync", "-a", "-e", shell, f"{tmp_path}/src/", f"root@{NODE}:{tmp_path}/dst/"], check=True, env=alice.env, timeout=TIMEOUT)
    assert (tmp_path / "dst/a").read_text() == "a" * 100_000
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "repo"], check=True)
    work = tmp_path / "work"
    env = {**alice.env, "GIT_SSH_COMMAND": shell, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.test", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@example.test"}
    subprocess.run(["git", "clone", "-q", f"ssh://root@{NODE}{tmp_path}/repo", work], check=True, env=env, timeout=TIMEOUT, capture_output=True)
    (work / "x").write_text("x")
    subprocess.run("git add x && git commit -qm x && git push -q origin HEAD:main", shell=True, check=True, cwd=work, env=env, timeout=TIMEOUT)
    assert "x" in subprocess.run(["git", "-C", tmp_path / "repo", "ls-tree", "main"], capture_output=True, text=True, check=True).stdout


# ---- host keys -----------------------------------------------------------------------------------------------------


def test_no_prompt_and_no_unknown_host_ever(alice):
    """Without a terminal, batch mode and strict checking: every question fails."""
    done = alice.ssh("-v", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", f"root@{NODE}", "true")
    assert "Host certificate" in done.err or "host certificate" in done.err
    assert not (alice.home / ".ssh/known_hosts").exists()


def test_one_question_serves_both_programs_of_plain_ssh(alice, tmp_path):
    """The KnownHostsCommand needs no connection to the cluster: it uses the answer that the ProxyCommand of the same ssh received."""
    config = alice.ssh_config().read_text()
    broken = tmp_path / "config"
    broken.write_text(config.replace("KnownHostsCommand /usr/bin/env ", "KnownHostsCommand /usr/bin/env HTTPS_PROXY=http://127.0.0.1:9 "))
    assert broken.read_text() != config
    for name in (f"root@{NODE}", f"root@WEB-1.example.test"):
        done = subprocess.run(["ssh", "-F", broken, "-o", "BatchMode=yes", name, "echo once"], capture_output=True, text=True, env=alice.env, timeout=TIMEOUT)
        assert (done.stdout, done.returncode) == ("once\n", 0), done.stderr


def test_ssh_keyscan_sees_the_certificate_of_the_cluster(alice, access, tmp_path):
    """ssh-keyscan speaks TCP only: a port that leads into the node's SSH server is made for it."""
    from users import program
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        for _ in range(8):
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection:
                subprocess.run([program(access.build, "tsh"), "proxy", "ssh", "root@web-1"], stdin=connection, stdout=connection, env=alice.env,
                               stderr=subprocess.DEVNULL, check=False)

    threading.Thread(target=serve, daemon=True).start()
    done = subprocess.run(["ssh-keyscan", "-c", "-T", str(int(TIMEOUT)), "-p", str(port), "-t", "ed25519", "127.0.0.1"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    listener.close()
    line = next(line for line in done.stdout.splitlines() if "ssh-ed25519-cert-v01@openssh.com" in line)
    (tmp_path / "host-cert.pub").write_text(line[line.index("ssh-ed25519-cert"):] + "\n")
    said = subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "host-cert.pub"], capture_output=True, text=True, check=True).stdout
    assert "host certificate" in said and "web-1.example.test" in said and access.web.host_id in said


# ---- forwarding -------------------------------------------------------------------------------------------------------


@pytest.fixture
def echo():
    """An echo service on this machine."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


@pytest.fixture
def port():
    """A free port, reserved until the test ends."""
    with reserved_port() as holder:
        yield port_of(holder)


def await_forward(child, works, what):
    """Fails with the output of ssh."""
    try:
        wait_until(works, what)
    except AssertionError as error:
        child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1)
        raise AssertionError(f"{error}; {'running' if child.isalive() else 'ended'}, it said: {child.before!r}") from None


def exactly(connection, count):
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data


def said_back(port, text=b"through"):
    def ask():
        try:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as s:
                s.sendall(text)
                return exactly(s, len(text)) == text
        except OSError:
            return False

    return ask


@pytest.mark.parametrize("how", ["-L", "-R"])
def test_ports_are_forwarded_and_audited(alice, access, echo, port, how):
    child = alice.terminal("ssh", "-N", how, f"{port}:127.0.0.1:{echo}", "root@web-1")
    await_forward(child, said_back(port), "the forwarded port answers")
    child.close(force=True)
    event = wait_until(lambda: access.events("port"), "the forward is audited")[0]
    assert event["code"] == "T3003I" and event["user"] == "alice"


def test_a_socks_proxy_is_a_forward_too(alice, echo, port):
    child = alice.terminal("ssh", "-N", "-D", str(port), "root@web-1")

    def through_socks():
        try:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as s:
                s.sendall(b"\x05\x01\x00")
                assert exactly(s, 2) == b"\x05\x00"
                s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + echo.to_bytes(2, "big"))
                assert exactly(s, 10)[1] == 0
                s.sendall(b"socks")
                return exactly(s, 5) == b"socks"
        except OSError:
            return False

    await_forward(child, through_socks, "the SOCKS proxy answers")
    child.close(force=True)


# ---- audit ----------------------------------------------------------------------------------------------------------------


def test_a_command_is_audited_with_user_and_node(alice, access):
    alice.tsh("ssh", "root@web-1", "echo audited; exit 4", check=False)
    event = wait_until(lambda: access.events("exec"), "the command is audited")[0]
    assert event["command"] == "echo audited; exit 4"
    assert str(event["exitCode"]) == "4"
    assert (event["user"], event["login"], event["server_hostname"], event["server_id"]) == ("alice", "root", "web-1", access.web.host_id)


def test_a_shell_is_audited_from_start_to_end(alice, access):
    shell = alice.shell("root@web-1")
    shell.sendline("exit")
    shell.wait()
    start = wait_until(lambda: access.events("session.start"), "the start is audited")[0]
    end = wait_until(lambda: access.events("session.end"), "the end is audited")[0]
    data = wait_until(lambda: access.events("session.data"), "the traffic is audited")[0]
    assert start["code"] == "T2000I" and end["code"] == "T2004I" and data["code"] == "T2006I"
    assert start["sid"] == end["sid"] and start["user"] == "alice" and start["login"] == "root"


def test_file_transfers_are_audited(alice, access, tmp_path):
    (tmp_path / "f").write_text("x" * 1234)
    alice.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g")
    wait_until(lambda: [e for e in access.events("sftp") if e.get("path", "").endswith("/g")], "the transfer is audited")
