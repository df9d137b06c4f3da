# SPDX-License-Identifier: Apache-2.0
"""Connections of tsh that stay open for further commands: their users, their effects on a session, and their end."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pexpect
import pytest

from harness import TIMEOUT, Cluster, iam_token, wait_until
from users import User, invite_url
from test_roles import EVERYWHERE, role


@pytest.fixture(scope="module")
def home():
    """A short path: that of a socket holds no more than 107 bytes."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="m.", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def shared(build, aws_process, programs, tmp_path_factory):
    """One cluster for all of them, with two nodes."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("mux") / "cluster")
    cluster.start()
    cluster.create(iam_token())
    cluster.node_env = aws_process.identity()
    cluster.web = cluster.join("web-1", env=cluster.node_env)
    cluster.web.wait_reachable()
    yield cluster
    cluster.stop()


@pytest.fixture
def carol(shared, home, account, request):
    """A new logged-in user, without processes left after the test."""
    name = f"u{len(list(home.iterdir()))}"
    words = shared.tctl("users", "add", name, "--roles=access", f"--logins=root,{account.pw_name}").out
    user = User(shared, name, home / name).accept(invite_url(words))
    user.login()
    user.logins_before = logins(shared)
    yield user
    user.tsh("logout", check=False)
    for pid in processes(user):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)


def logins(cluster):
    return cluster.web.process.text().count("A user has logged in")


def connections(user):
    """Connections to the node since the user was created."""
    return logins(user.cluster) - user.logins_before


def processes(user):
    """Those on the workstation that live in this home. ssh writes its title over its environment."""
    mark, title, found = f"TELEPORT_HOME={user.home}/.tsh".encode(), f"ssh: {user.home}/.tsh/mux/".encode(), []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0") or (process / "cmdline").read_bytes().startswith(title):
                found.append(int(process.name))
        except OSError:
            pass
    return found


def sockets(user):
    directory = user.home / ".tsh/mux"
    return [path for path in directory.iterdir() if path.is_socket()] if directory.is_dir() else []


def master(user):
    """The ssh that holds the connection; it takes its title when the command that has made it may have ended already."""
    title = f"ssh: {sockets(user)[0]} [mux]"

    def found():
        out = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        return next((int(line.split()[0]) for line in out.splitlines() if title in line), None)

    return wait_until(found, "the master has its title")


def is_alone(user):
    return not processes(user) and not sockets(user)


# ---- sharing -----------------------------------------------------------------------------------------------------------


def test_further_commands_use_one_connection(carol, tmp_path):
    assert carol.tsh("ssh", "root@web-1", "echo one").out == "one\n"
    directory = carol.home / ".tsh/mux"
    assert directory.stat().st_mode & 0o777 == 0o700 and all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())
    done = carol.tsh("ssh", "root@web-1", "cat; echo two >&2; exit 7", stdin="in\n", check=False)
    assert (done.code, done.out, done.err) == (7, "in\n", "two\n")
    (tmp_path / "f").write_text("x" * 100_000)
    carol.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g")
    assert (tmp_path / "g").read_text() == "x" * 100_000
    carol.tsh("sftp", "-b", "-", "root@web-1", stdin=f"get {tmp_path}/g {tmp_path}/h\n")
    assert (tmp_path / "h").read_text() == "x" * 100_000
    carol.tsh("ssh", "--login=root", "web-1.example.test", "true")
    assert connections(carol) == 1
    wait_until(lambda: len(processes(carol)) == 2, "the commands have ended")
    lines = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes(carol)]
    assert len(lines) == 2 and not [line for line in lines if b"echo" in line], "what stays is called by what it is, not by the command that made it"


def test_a_copy_leaves_a_connection_for_others_too(carol, tmp_path):
    (tmp_path / "f").write_text("f")
    carol.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g")
    carol.tsh("ssh", "root@web-1", "true")
    assert connections(carol) == 1


def test_each_session_is_its_own_in_audit_and_recordings(carol, shared):
    carol.tsh("ssh", "root@web-1", "exit 3", check=False)
    carol.tsh("ssh", "root@web-1", "exit 4", check=False)
    for word in ("first", "second"):
        shell = carol.shell("root@web-1")
        shell.sendline(f"echo {word}-shell; exit")
        shell.wait()
    assert connections(carol) == 1

    def new(kind):
        return [e for e in shared.events(kind) if e["user"] == carol.name]

    wait_until(lambda: len(new("session.end")) == 4, "each has its end")
    assert len({e["sid"] for e in new("session.start")}) == 4
    assert [str(e["exitCode"]) for e in new("exec")] == ["3", "4"]
    wait_until(lambda: len(carol.recordings()) == 2, "both are recorded")
    ids = {e["sid"] for e in new("session.start") if "first-shell" in carol.tsh("play", "--format=text", e["sid"], check=False).out}
    assert len(ids) == 1, "a recording shows its own session"


def test_signals_and_terminals_are_those_of_the_session(carol):
    carol.tsh("ssh", "root@web-1", "true")
    assert carol.tsh("ssh", "root@web-1", "kill -TERM $$", check=False).code == 255
    assert "not a tty" in carol.tsh("ssh", "root@web-1", "tty", check=False).out
    assert "/dev/pts/" in carol.tsh("ssh", "-tt", "root@web-1", "tty").out
    shell = carol.shell("root@web-1", rows=33, columns=99)
    shell.sendline("stty size")
    shell.expect("33 99")
    shell.setwinsize(50, 132)
    shell.sendline('until [ "$(stty size)" = "50 132" ]; do :; done; echo resi""zed')
    shell.expect("resized")
    shell.sendline("""sh -c 'echo run""ning; exec sleep 1000'""")  # a shell that has not started it yet takes the key itself
    shell.expect("running")
    shell.sendintr()
    shell.expect(r"[#$] $")
    shell.sendline("exit 5")
    shell.wait()
    assert shell.exitstatus == 5
    assert connections(carol) == 1


def test_a_parent_ignoring_sigchld_learns_the_exit_status(carol):
    for _ in range(2):
        carol.line("env --ignore-signal=CHLD tsh ssh root@web-1 'exit 3'", code=3)


def test_connection_options_get_a_connection_of_their_own(carol):
    carol.tsh("ssh", "root@web-1", "true")
    for flags in (["--no-mux"], ["-R", "0:127.0.0.1:1"], ["-A"], ["-o", "LogLevel=ERROR"], ["-d"]):
        before = connections(carol)
        carol.tsh(*(["-d"] if flags == ["-d"] else []), "ssh", *([] if flags == ["-d"] else flags), "root@web-1", "true", check=False)
        assert connections(carol) == before + 1, flags
    assert len(sockets(carol)) == 1


def test_no_mux_leaves_nothing_open(carol, tmp_path):
    carol.tsh("ssh", "--no-mux", "root@web-1", "true")
    carol.tsh("sftp", "--no-mux", "-b", "-", "root@web-1", stdin="pwd\n")
    wait_until(lambda: is_alone(carol), "no process is left")
    assert connections(carol) == 2


def test_another_login_or_certificate_never_uses_it(carol, account):
    carol.tsh("ssh", "root@web-1", "true")
    assert carol.tsh("ssh", f"{account.pw_name}@web-1", "id", "-un").out == f"{account.pw_name}\n"
    assert connections(carol) == 2
    carol.login()
    carol.tsh("ssh", "root@web-1", "true")
    assert connections(carol) == 3, "the connection of the login before is not used"
    wait_until(lambda: len(sockets(carol)) == 1, "and no longer kept")


def done_at_once(user, login, count, command):
    """The output of commands that start together, as an account without start-up files of its shell: those of root may disturb each other."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(user.tsh("ssh", f"{login}@web-1", command, check=False))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A build that counts coverage complains that this account may not write its counters.
    return [(r.code, r.out, re.sub(r"profiling:.*\n", "", r.err)) for r in results]


def test_many_at_once_all_get_through(carol, account):
    carol.tsh("ssh", f"{account.pw_name}@web-1", "true")
    assert done_at_once(carol, account.pw_name, 14, "sleep 1; echo done") == [(0, "done\n", "")] * 14


def test_two_that_begin_together_do_not_disturb_each_other(carol, account):
    assert done_at_once(carol, account.pw_name, 4, "echo done") == [(0, "done\n", "")] * 4


# ---- sockets that are of no use --------------------------------------------------------------------------------------------


def test_a_master_that_died_is_replaced_without_a_word(carol):
    carol.tsh("ssh", "root@web-1", "true")
    os.kill(master(carol), signal.SIGKILL)
    assert sockets(carol), "its socket is left"
    done = carol.tsh("ssh", "root@web-1", "echo again")
    assert (done.out, done.err) == ("again\n", "")
    carol.tsh("ssh", "root@web-1", "true")
    assert connections(carol) in (2, 3), "while the dead one's bytes are still carried nobody takes its place"


def test_a_master_that_hangs_is_left_aside(carol):
    carol.tsh("ssh", "root@web-1", "true")
    hung = master(carol)
    os.kill(hung, signal.SIGSTOP)
    try:
        done = carol.tsh("ssh", "root@web-1", "echo again")
        assert (done.out, done.err) == ("again\n", "")
    finally:
        os.kill(hung, signal.SIGKILL)


class Listener:
    """Listens at a path and sends a given text to each client."""

    def __init__(self, path, says):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.says = says
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        held = []
        while True:
            try:
                connection = self.socket.accept()[0]
                connection.sendall(self.says)
                held.append(connection)
            except OSError:
                return


HELLO = b"\0\0\0\x08\0\0\0\x01\0\0\0\x04"


@pytest.mark.parametrize("says", [b"", b"\xff" * 64, HELLO, b"\0\0\0\x08\0\0\0\x01\0\0\0\x03", HELLO + b"\0\0\0\x08\x80\0\0\x03\0\0\0\0", b"SSH-2.0-x\r\n"],
                         ids=["nothing", "noise", "hello_alone", "old_version", "a_refusal", "ssh"])
def test_a_socket_that_is_no_masters_is_left_aside(carol, says):
    carol.tsh("ssh", "root@web-1", "true")
    path = sockets(carol)[0]
    os.kill(master(carol), signal.SIGKILL)
    path.unlink()
    listener = Listener(path, says)
    try:
        done = carol.tsh("ssh", "root@web-1", "echo through")
        assert (done.out, done.err) == ("through\n", "")
    finally:
        listener.socket.close()


def test_a_directory_that_others_can_write_is_not_used(carol):
    directory = carol.home / ".tsh/mux"
    for make in (directory.mkdir, lambda: directory.symlink_to(carol.home), directory.touch):
        make()
        if not directory.is_symlink():
            directory.chmod(0o777)
        done = carol.tsh("ssh", "root@web-1", "echo through")
        assert (done.out, done.err) == ("through\n", "")
        assert not sockets(carol)
        directory.rename(carol.home / f"mux{len(list(carol.home.iterdir()))}")


def test_a_path_that_no_socket_can_have_is_no_error(carol, tmp_path):
    top = carol.home / ("d" * 60)
    shutil.copytree(carol.home / ".tsh", top)
    for _ in range(2):
        done = carol.tsh("ssh", "root@web-1", "echo through", env={"TELEPORT_HOME": str(top)})
        assert (done.out, done.err) == ("through\n", "")
    assert connections(carol) == 2 and not (top / "mux").exists()


# ---- its end -----------------------------------------------------------------------------------------------------------------


def test_logout_ends_it_at_once(carol):
    carol.tsh("ssh", "root@web-1", "true")
    assert sockets(carol)
    carol.tsh("logout")
    wait_until(lambda: is_alone(carol), "master and carrier are gone")
    assert carol.tsh("ssh", "root@web-1", "true", check=False).code == 1


def test_logout_leaves_a_session_that_runs_and_nothing_after_it(carol):
    shell = carol.shell("root@web-1")
    carol.tsh("logout")
    assert not sockets(carol), "no other session begins"
    shell.sendline("echo still-$((40+2))")
    shell.expect("still-42")
    shell.sendline("exit")
    shell.wait()
    wait_until(lambda: is_alone(carol), "the connection ends with its last session")


@pytest.mark.parametrize("target", ["user", "node"])
def test_a_lock_ends_it(carol, shared, target):
    carol.tsh("ssh", "root@web-1", "true")
    shell = carol.shell("root@web-1")
    words = shared.tctl("lock", f"--user={carol.name}" if target == "user" else "--node=web-1", "--message=out for today", "--ttl=1h").out
    try:
        shell.expect("out for today")
        shell.wait()
        wait_until(lambda: is_alone(carol), "the connection is gone")
        done = carol.tsh("ssh", "root@web-1", "true", check=False)
        assert done.code == 1 and "lock" in done.err
    finally:
        shared.tctl("rm", "lock/" + words.split('"')[1])


@pytest.mark.parametrize("is_first", [True, False], ids=["the_first", "a_further_one"])
def test_a_connection_that_breaks_under_a_command_says_so(carol, tmp_path, is_first):
    if not is_first:
        carol.tsh("ssh", "root@web-1", "true")
    results = []
    thread = threading.Thread(target=lambda: results.append(carol.tsh("ssh", "root@web-1", f"touch {tmp_path}/runs; sleep 1000", check=False)))
    thread.start()
    wait_until(lambda: (tmp_path / "runs").exists(), "the command runs")
    os.kill(master(carol), signal.SIGKILL)
    thread.join(TIMEOUT)
    assert results[0].code not in (0, 255) and "the connection to web-1 has ended" in results[0].err, (results[0].code, results[0].err)


def test_each_session_has_the_options_of_its_beginning(shared, home, account, tmp_path):
    shared.create(role("copier", EVERYWHERE))
    words = shared.tctl("users", "add", "copier", "--roles=copier", "--logins=root").out
    user = User(shared, "copier", home / "copier").accept(invite_url(words))
    user.login()
    before = logins(shared)
    (tmp_path / "f").write_text("f")
    user.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g")
    shared.create(role("copier", EVERYWHERE, options={"ssh_file_copy": False}))
    assert user.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g", check=False).code != 0
    assert "copying files is not allowed" in user.tsh("ssh", "root@web-1", f"scp -t {tmp_path}", check=False).err
    assert user.tsh("ssh", "root@web-1", "echo still").out == "still\n"
    shared.create(role("copier", EVERYWHERE))
    user.tsh("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g")
    assert logins(shared) - before == 1
    shell = user.shell("root@web-1")
    shared.create(role("copier", EVERYWHERE, options={"port_forwarding": False}))
    shell.expect("no longer allow the forwarding of ports")
    shell.close()
    user.tsh("logout")


@pytest.mark.parametrize("flags", [[], ["--no-mux"]], ids=["shared", "own"])
def test_from_the_lock_on_nothing_begins(carol, shared, tmp_path, flags):
    # Whenever a command begins, before the connection has ended or while it does: it runs and is allowed, or the error has the reason in one sentence.
    carol.tsh("ssh", "root@web-1", "true")
    before = {e["uid"] for e in shared.settled("session.start")}
    words = shared.tctl("lock", f"--user={carol.name}", "--message=out for today", "--ttl=1h").out
    try:
        while True:
            is_last = is_alone(carol)
            done = carol.tsh("ssh", *flags, "root@web-1", "echo began", check=False)
            assert done.code != 0 and done.out == "", (done.code, done.out, done.err)
            assert "out for today" in done.err and len(done.err.strip().splitlines()) == 1, (done.code, done.err)
            copy = carol.tsh("scp", *flags, "/etc/hostname", f"root@web-1:{tmp_path}/copy", check=False)
            assert copy.code != 0 and "out for today" in copy.err and not (tmp_path / "copy").exists(), (copy.code, copy.err)
            if is_last:
                break
        assert not {e["uid"] for e in shared.settled("session.start")} - before, "no session began"
    finally:
        shared.tctl("rm", "lock/" + words.split('"')[1])


def test_the_end_of_the_certificate_ends_it(shared, home, account):
    shared.create(role("brief", EVERYWHERE, options={"max_session_ttl": "15s"}))
    words = shared.tctl("users", "add", "brief", "--roles=brief", "--logins=root").out
    user = User(shared, "brief", home / "brief").accept(invite_url(words))
    user.login()
    shell = user.shell("root@web-1")
    assert sockets(user)
    ends = datetime.datetime.fromisoformat(json.loads(user.tsh("status", "--format=json").out)["active"]["valid_until"])
    left = (ends - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    wait_until(lambda: not sockets(user), "no other session begins", max(left, 0) + TIMEOUT)
    assert datetime.datetime.now(datetime.timezone.utc) >= ends
    assert "expired" in user.tsh("ssh", "root@web-1", "true", check=False).err
    shell.sendline("echo still-$((40+2)); exit")
    shell.expect("still-42")
    shell.wait()
    wait_until(lambda: is_alone(user), "the connection ends with its last session")


def test_idle_sessions_end_one_by_one(shared, home, account):
    shared.create(role("idle", EVERYWHERE, options={"client_idle_timeout": "5s"}))
    words = shared.tctl("users", "add", "idle", "--roles=idle", "--logins=root").out
    user = User(shared, "idle", home / "idle").accept(invite_url(words))
    user.login()
    idle, busy = user.shell("root@web-1"), user.shell("root@web-1")
    begun = time.monotonic()
    while idle.expect(["no input for 5s", pexpect.TIMEOUT], timeout=0.2) != 0:
        busy.sendline("true")
        assert time.monotonic() - begun < TIMEOUT
    busy.sendline("echo busy-$((40+2))")
    busy.expect("busy-42")
    user.tsh("logout")
    busy.close()


def test_ssh_gets_the_options_that_notice_silence(carol, tmp_path):
    """In place of ssh and scp, a script that prints its arguments."""
    for name in ("ssh", "scp"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$*"\n')
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{carol.env['PATH']}"}
    for words in (["ssh", "root@web-1", "true"], ["scp", "root@web-1:/dev/null", tmp_path / "copy"]):
        out = carol.tsh(words[0], "--no-mux", *words[1:], env=env).out
        assert "-o ServerAliveInterval=30 -o ServerAliveCountMax=3 " in out, out
