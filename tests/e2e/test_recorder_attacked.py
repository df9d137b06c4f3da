# SPDX-License-Identifier: Apache-2.0
"""An account on a node attacks the program that records its sessions: before its start, and in its process."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pexpect
import pytest

from harness import TIMEOUT, iam_token, wait_until
from test_recording import play, record, the_recording

NODE = "web-1.example.test"  # as plain ssh calls it
SHELLS = ["/bin/bash", "/usr/bin/zsh", "/usr/bin/tcsh", "/usr/bin/fish"]

# Appends the program and user that it was loaded into to ~/loaded.
LIBRARY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static __attribute__((constructor)) void begin(void)
{
        char exe[4096] = "?", line[8192];
        const char *user = getenv("SSH_TELEPORT_USER");
        if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
                return;
        int fd = open("%(home)s/loaded", O_WRONLY | O_CREAT | O_APPEND, 0600);
        int n = snprintf(line, sizeof(line), "%%s for %%s\n", exe, user == NULL ? "nobody" : user);
        if (fd >= 0 && write(fd, line, n) == n)
                close(fd);
}
"""

# Attacks every new process of its own account at once, by every means of access.
WATCHER = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static int read_file(const char *form, int pid, char *out, int size)
{
        char path[64];
        snprintf(path, sizeof(path), form, pid);
        int fd = open(path, O_RDONLY), n = fd < 0 ? -1 : (int)read(fd, out, size - 1);
        if (fd >= 0)
                close(fd);
        for (int i = 0; i < n; i++)
                if (out[i] == 0)
                        out[i] = ' ';
        out[n < 0 ? 0 : n] = 0;
        return n;
}
static int can_open(const char *form, int pid, int flags)
{
        char path[64];
        snprintf(path, sizeof(path), form, pid);
        int fd = open(path, flags);
        return fd; /* a hold stays: it is kept open */
}
static void try_hold(int pid)
{
        static int seen;
        char words[4096], line[64];
        if (pid <= 1 || read_file("/proc/%d/cmdline", pid, words, sizeof(words)) <= 0 || strstr(words, "ssh-session --") == NULL)
                return;
        if (seen != pid)
                printf("saw %d\n", seen = pid);
        int mem = can_open("/proc/%d/mem", pid, O_RDWR);
        int exe = can_open("/proc/%d/exe", pid, O_RDONLY);
        int tty = can_open("/proc/%d/fd/0", pid, O_RDWR);
        int handle = (int)syscall(SYS_pidfd_open, pid, 0);
        int stolen = handle < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, handle, 0, 0);
        if (handle >= 0)
                close(handle);
        snprintf(line, sizeof(line), "%s%s%s%s", mem >= 0 ? " mem" : "", exe >= 0 ? " exe" : "", tty >= 0 ? " fd" : "",
                 stolen >= 0 ? " getfd" : "");
        /* Still the same program, and not the shell that a child of it has become meanwhile? */
        if (line[0] != 0 && read_file("/proc/%d/cmdline", pid, words, sizeof(words)) > 0 && strstr(words, "ssh-session --") != NULL)
                printf("got %d:%s: %s\n", pid, line, words);
}
int main(void)
{
        setvbuf(stdout, NULL, _IOLBF, 0);
        puts("ready");
        for (unsigned turn = 0;; turn++) { /* the newest, and now and then all of them */
                char last[32] = "";
                read_file("/proc/sys/kernel/ns_last_pid", 0, last, sizeof(last));
                for (int i = 0; i < 60; i++)
                        try_hold(atoi(last) - i);
                DIR *all = turn % 64 == 0 ? opendir("/proc") : NULL;
                for (struct dirent *entry; all != NULL && (entry = readdir(all)) != NULL;)
                        try_hold(atoi(entry->d_name));
                if (all != NULL)
                        closedir(all);
        }
}
"""

# Opens every accessible terminal as soon as it exists, and writes a word to it.
TERMINALS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
        static char is_open[64];
        char path[32];
        setvbuf(stdout, NULL, _IOLBF, 0);
        puts("ready");
        for (;;)
                for (int i = 0; i < 64; i++) {
                        snprintf(path, sizeof(path), "/dev/pts/%d", i);
                        if (is_open[i])
                                continue;
                        int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
                        if (fd < 0)
                                continue;
                        is_open[i] = 1;
                        printf("opened %s\n", path);
                        if (write(fd, "unrecorded!", 11) != 11)
                                puts("mute");
                }
}
"""

# As strace does: traces a process and whatever it starts.
TRACER = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
int main(int argc, char **argv)
{
        int status, pid = argc < 2 ? 0 : atoi(argv[1]);
        if (ptrace(PTRACE_SEIZE, pid, 0, (void *)(long)(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)) < 0)
                return 1;
        puts("ready");
        fflush(stdout);
        while ((pid = waitpid(-1, &status, __WALL)) > 0)
                if (WIFSTOPPED(status))
                        ptrace(PTRACE_CONT, pid, 0, (void *)(long)(status >> 16 != 0 ? 0 : WSTOPSIG(status)));
        return 0;
}
"""


@pytest.fixture(scope="module")
def compiled():
    """compiled(name, source, *flags): a program or library that every account may use."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ct-attack.", dir="/var/tmp"))
    directory.chmod(0o755)

    def make(name, source, *flags):
        subprocess.run(["gcc", "-O1", *flags, "-x", "c", "-", "-o", str(directory / name)], input=source, text=True, check=True)
        return directory / name

    yield make
    shutil.rmtree(directory)


@pytest.fixture
def with_pam(make_cluster, aws, programs):
    """A cluster whose node opens sessions through PAM, as the distribution has configured it for sshd."""
    cluster = make_cluster(build=programs)
    cluster.create(iam_token())
    cluster.web = cluster.join("web-1", env=aws.identity(), ssh={"pam": {"enabled": True}})
    cluster.web.wait_reachable()
    return cluster


class Attacker:
    """A program of the account that waits on the node."""

    def __init__(self, path, account):
        ids = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen([path], **ids, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ended(self):
        """Its traces."""
        self.process.kill()
        return self.process.communicate()[0].splitlines()


def owned(account, path, text, mode=0o600):
    path = pathlib.Path(account.pw_dir) / path
    for directory in [path.parent, *path.parent.parents]:
        if pathlib.Path(account.pw_dir) in directory.parents and not directory.exists():
            owned(account, directory.relative_to(account.pw_dir).parent / ".made", "")
            directory.mkdir()
            os.chown(directory, account.pw_uid, account.pw_gid)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


def lay_traps(account, library):
    """Everything that a shell, ld.so, sshd or PAM may read of an account: each records its run and its session."""
    home = account.pw_dir
    tell = f'echo "$0 for $SSH_TELEPORT_USER" >> {home}/ran'
    posix = f'[ -w {home}/ran ] && {tell}\n'
    trap = owned(account, "trap.sh", posix)
    for name in (".bashrc", ".bash_profile", ".profile", ".zshenv", ".zshrc", ".zprofile", ".ssh/rc"):
        owned(account, name, posix)
    owned(account, ".tcshrc", f'if (! $?SSH_TELEPORT_USER) setenv SSH_TELEPORT_USER ""\necho "csh for $SSH_TELEPORT_USER" >> {home}/ran\n')
    owned(account, ".config/fish/config.fish", f'echo "fish for $SSH_TELEPORT_USER" >> {home}/ran\n')
    variables = {"LD_PRELOAD": library, "BASH_ENV": trap, "ENV": trap, "ZDOTDIR": home, "XDG_CONFIG_HOME": f"{home}/.config",
                 "PS4": f"$({tell})", "SHELLOPTS": "xtrace", "BASH_FUNC_exec%%": f"() {{ {tell}; }}", "SHELL": f"{home}/trap.sh",
                 "SSH_ORIGINAL_COMMAND": "echo other", "PLAIN": "kept"}
    owned(account, ".pam_environment", "".join(f'{name} DEFAULT="{value}"\n'.replace("$", r"\$") for name, value in variables.items()))
    owned(account, ".ssh/environment", "".join(f"{name}={value}\n" for name, value in variables.items()))
    owned(account, "ran", "")
    owned(account, "loaded", "")


def sprung(account):
    """The traps that were triggered, and those of them outside of a session."""
    lines = [line for name in ("ran", "loaded") for line in (pathlib.Path(account.pw_dir) / name).read_text().splitlines()]
    return lines, [line for line in lines if not line.endswith("for mallory")]


def logged_in(cluster, invite, login):
    user = invite(cluster, "mallory", "access", login)
    user.login()
    return user


@pytest.fixture(params=SHELLS, ids=[pathlib.Path(s).name for s in SHELLS])
def trapped(request, accounts, compiled):
    account = accounts.make(shell=request.param)
    lay_traps(account, compiled(f"trap-{account.pw_name}.so", LIBRARY % {"home": account.pw_dir}, "-shared", "-fPIC"))
    return account


def test_nothing_of_the_accounts_runs_before_the_recorder(with_pam, invite, trapped):
    """Whatever PAM reads from the account's home: it is the session's, and there it is recorded or audited."""
    mallory = logged_in(with_pam, invite, trapped.pw_name)
    target = f"{trapped.pw_name}@web-1"
    done = mallory.tsh("ssh", target, "echo PLAIN=$PLAIN SESSION=$SSH_SESSION_ID", check=False)
    started = wait_until(lambda: with_pam.events("session.start"), "the start is audited")
    assert f"PLAIN=kept SESSION={started[0]['sid']}" in done.out, done.err
    shell = mallory.terminal("ssh", target)
    shell.sendline("echo on a term''inal; exit")
    shell.expect("on a terminal")
    shell.expect(pexpect.EOF)
    mallory.ssh(f"{trapped.pw_name}@{NODE}:ran", mallory.home / "copy", program_="scp", check=False)
    mallory.ssh("-O", f"{trapped.pw_name}@{NODE}:ran", mallory.home / "copy", program_="scp", check=False)
    wait_until(lambda: len(with_pam.events("session.end")) == 4, "the ends are audited")
    all_of_them, outside = sprung(trapped)
    assert not outside
    assert [line for line in all_of_them if "for mallory" in line], "in a session they work as with plain sshd"


def test_processes_of_the_account_cannot_touch_the_recorder(access, invite, account, compiled):
    mallory = logged_in(access, invite, account.pw_name)
    attacker = Attacker(compiled("watcher", WATCHER), account)
    for _ in range(8):
        mallory.tsh("ssh", f"{account.pw_name}@web-1", "true")
    shell = mallory.shell(f"{account.pw_name}@web-1")  # stays until the test has checked it
    assert attacker.process.stdout.readline().startswith("saw ")
    shell.close()
    assert not [line for line in attacker.ended() if line.startswith("got")]


def without_counters(text):
    """A build that counts coverage cannot write its counters as the account, and prints an error at its end."""
    return re.sub(rb"profiling:[^\n]*\n", b"", text)


def test_the_account_cannot_open_the_terminal_before_the_recorder(access, invite, account, compiled):
    mallory = logged_in(access, invite, account.pw_name)
    attacker = Attacker(compiled("terminals", TERMINALS), account)
    for count in range(1, 4):
        shown = record(mallory, f"{account.pw_name}@web-1", "sleep 0.2; echo over")
        played = play(mallory, the_recording(access, mallory, count)["session_id"], "pty")
        shown, played = without_counters(shown), without_counters(played)
        assert shown.startswith(played) and len(shown) - len(played) < 80, (shown, played)
    assert attacker.ended()


@pytest.fixture
def deaf_shell(accounts):
    """An account with a shell that ignores -c: it always reads commands from its input."""
    shell = pathlib.Path("/var/tmp/ct-deaf-sh")
    shell.write_text("#!/bin/sh\nexec /bin/sh\n")
    shell.chmod(0o755)
    yield accounts.make(shell=str(shell))
    shell.unlink()


def test_a_shell_that_ignores_its_command_is_audited_like_others(access, invite, deaf_shell):
    mallory = logged_in(access, invite, deaf_shell.pw_name)
    done = mallory.tsh("ssh", f"{deaf_shell.pw_name}@web-1", "echo asked", stdin="echo read\n")
    assert done.out == "read\n"
    start = wait_until(lambda: access.events("session.start"), "the start is audited")[0]
    end = wait_until(lambda: access.events("session.end"), "the end is audited")[0]
    assert start["login"] == deaf_shell.pw_name and end["sid"] == start["sid"]


def test_tmux_as_a_login_shell_is_recorded(access, invite, accounts):
    account = accounts.make(shell="/usr/bin/tmux")
    mallory = logged_in(access, invite, account.pw_name)
    shell = mallory.terminal("ssh", f"{account.pw_name}@web-1")
    shell.expect(re.escape("[0] "), timeout=TIMEOUT)  # its status line
    shell.sendline("echo in tm''ux")
    shell.expect("in tmux")  # tmux shows nothing more of a shell that has ended
    shell.sendline("exit")
    shell.expect(pexpect.EOF, timeout=TIMEOUT)
    assert b"in tmux" in play(mallory, the_recording(access, mallory)["session_id"], "pty")


class Multiplexed:
    """A connection without a session; sessions are started on it later."""

    def __init__(self, user, login):
        self.user, self.target = user, f"{login}@{NODE}"
        self.command = ["ssh", "-F", user.ssh_config(), "-S", "control"]  # an absolute one may be too long for a socket
        self.process = subprocess.Popen([*self.command, "-M", "-N", self.target], env=user.env, cwd=user.home, stderr=subprocess.DEVNULL)
        wait_until((user.home / "control").exists, "the connection is there")

    def run(self, command):
        return subprocess.run([*self.command, self.target, command], env=self.user.env, cwd=self.user.home, capture_output=True, text=True, timeout=TIMEOUT)


def test_a_session_that_reports_nothing_ends_its_connection(with_pam, invite, accounts):
    """A limit of the account's keeps the program of the session from starting: a program that sshd started then would not be recorded."""
    account = accounts.make()
    mallory = logged_in(with_pam, invite, account.pw_name)
    limits = pathlib.Path(f"/etc/security/limits.d/{account.pw_name}.conf")
    limits.write_text(f"{account.pw_name} hard fsize 1\n")
    try:
        connection = Multiplexed(mallory, account.pw_name)
        done = connection.run("echo ran")
        assert done.returncode == 255 and done.stdout == "" and "cannot be started" in done.stderr
        assert connection.process.wait(TIMEOUT) != 0
    finally:
        limits.unlink()
    end = wait_until(lambda: with_pam.events("client.disconnect"), "why it ended is audited")[0]
    assert end["reason"] == "sshd started a session that did not report to the recorder"
    assert not with_pam.events("session.start")


def test_a_traced_program_begins_no_session(access, invite, account, compiled):
    mallory = logged_in(access, invite, account.pw_name)
    connection = Multiplexed(mallory, account.pw_name)
    words = ["pgrep", "-u", account.pw_name, "-f", f"^sshd: {account.pw_name}"]
    sshd = wait_until(lambda: subprocess.run(words, capture_output=True, text=True).stdout.split(), "PAM has opened the session")
    tracer = subprocess.Popen([compiled("tracer", TRACER), *sshd], stdout=subprocess.PIPE, text=True)
    assert tracer.stdout.readline() == "ready\n"
    done = connection.run("echo ran")
    assert done.returncode == 255 and done.stdout == "" and "no program of sshd's" in done.stderr
    assert connection.process.wait(TIMEOUT) != 0
    tracer.kill()
    tracer.communicate()
    assert not access.events("session.start")
