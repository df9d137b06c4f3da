# SPDX-License-Identifier: Apache-2.0
"""Accounts and login shells on a node as its own sshd would have them: PAM, message of the day, last login."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pexpect
import pytest

from harness import TIMEOUT, iam_token
from test_recorder_attacked import without_counters
from test_recording import play, the_recording

MOTD = pathlib.Path("/etc/motd").read_text()


@pytest.fixture(scope="module")
def by_sshd():
    """by_sshd(account): the terminal output of a plain sshd with the same PAM file."""
    keys = pathlib.Path(tempfile.mkdtemp(prefix="ct-sshd.", dir="/var/tmp"))  # the account reads its key there
    keys.chmod(0o755)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    server = f"/usr/sbin/sshd -i -f none -h {keys}/host -o UsePAM=yes -o PrintMotd=no -o StrictModes=no -o AuthorizedKeysFile={keys}/user.pub"

    def run(account):
        return until_the_end(pexpect.spawn("ssh", ["-F", "none", "-i", f"{keys}/user", "-o", f"ProxyCommand={server}", "-o", "StrictHostKeyChecking=no",
                                                   "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"{account.pw_name}@node"],
                                           env={"PATH": os.environ["PATH"], "TERM": "xterm"}, timeout=TIMEOUT))

    yield run
    shutil.rmtree(keys)


def until_the_end(child):
    child.delaybeforesend = None
    child.expect(r"[#$] $")
    text = child.before + child.after
    child.sendline("exit")
    child.expect(pexpect.EOF)
    return text.decode()


def greeting(text):
    """The output before the prompt, without times; sshd ends some lines twice, and a build that counts coverage prints warnings in between."""
    text = re.sub(r"\r+\n", "\r\n", without_counters(text.encode()).decode())
    text = re.sub(r"Last login: \w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}( from UNKNOWN)?", "Last login: TIME", text)
    return re.sub(r"(\x1b[^\n]*)?[^\n]*[#$] $", "", text)


@pytest.fixture
def without_pam(make_cluster, aws, programs):
    cluster = make_cluster(build=programs)
    cluster.create(iam_token())
    cluster.web = cluster.join("web-1", env=aws.identity(), ssh={"pam": {"enabled": False}})
    cluster.web.wait_reachable()
    return cluster


def logged_in(cluster, invite, login):
    user = invite(cluster, "alice", "access", login)
    user.login()
    return user


def test_an_account_with_a_locked_password_logs_in(access, invite, accounts):
    """As the default users of cloud images."""
    account = accounts.make()
    subprocess.run(["usermod", "--password", "!", account.pw_name], check=True)
    alice = logged_in(access, invite, account.pw_name)
    assert alice.tsh("ssh", f"{account.pw_name}@web-1", "id -un").out == f"{account.pw_name}\n"


def test_without_pam_a_locked_password_keeps_out(without_pam, invite, accounts):
    account = accounts.make()
    subprocess.run(["usermod", "--password", "!", account.pw_name], check=True)
    alice = logged_in(without_pam, invite, account.pw_name)
    assert "Permission denied" in alice.tsh("ssh", f"{account.pw_name}@web-1", "id -un", check=False).err


def test_a_login_shell_is_greeted_as_by_sshd(access, invite, accounts, by_sshd):
    account = accounts.make()
    alice = logged_in(access, invite, account.pw_name)
    target = f"{account.pw_name}@web-1"
    ours = [until_the_end(alice.terminal("ssh", target)) for _ in range(2)]
    theirs = by_sshd(account)
    assert greeting(ours[1]) == greeting(theirs)
    assert MOTD.strip().replace("\n", "\r\n") in ours[0] and "Last login" not in ours[0], "the first login ever"
    assert ours[1].count("Last login: ") == 1 and ours[1].count(MOTD.strip().splitlines()[0]) == 1
    assert ours[1].encode() in play(alice, the_recording(access, alice, 2)["session_id"], "pty"), "it is recorded like the rest"
    # No message for commands, with and without a terminal, and for accounts with .hushlogin.
    assert without_counters(alice.terminal("ssh", "-t", target, "echo alone").read()).startswith(b"alone\r\n")
    assert alice.tsh("ssh", target, "echo alone").out == "alone\n"
    (pathlib.Path(account.pw_dir) / ".hushlogin").touch()
    quiet = until_the_end(alice.terminal("ssh", target))
    assert greeting(quiet) == greeting(by_sshd(account)) == ""


def test_without_pam_sshd_itself_would_greet(without_pam, invite, accounts):
    account = accounts.make()
    alice = logged_in(without_pam, invite, account.pw_name)
    shown = [greeting(until_the_end(alice.terminal("ssh", f"{account.pw_name}@web-1"))) for _ in range(2)]
    motd = MOTD.rstrip("\n").replace("\n", "\r\n") + "\r\n"
    assert shown == [motd, "Last login: TIME\r\n" + motd]


def test_an_expired_password_starts_nothing_unrecorded(access, invite, accounts):
    account = accounts.make()
    subprocess.run(["chage", "--lastday", "0", account.pw_name], check=True)
    alice = logged_in(access, invite, account.pw_name)
    child = alice.terminal("ssh", f"{account.pw_name}@web-1")
    child.expect(pexpect.EOF)
    assert b"has to be changed first" in child.before and b"urrent password" not in child.before
    assert not access.events("session.start")
