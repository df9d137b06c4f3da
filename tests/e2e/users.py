# SPDX-License-Identifier: Apache-2.0
"""Users: invited, logging in with tsh, reaching nodes; each with a home directory of their own."""
import html
import json
import os
import pathlib
import pwd
import re
import shlex
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import pexpect

from harness import TIMEOUT, Result, clean_env, program, wait_until

PASSWORD = "correct horse battery staple"
STEP = 30  # seconds of a one-time code


JOB = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for usual in (signal.SIGTTOU, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(usual, signal.SIG_DFL)
    print(f"<job {os.getpid()}>", flush=True)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    flags = termios.tcgetattr(0)[3]
    is_usual = all(flags & flag for flag in (termios.ICANON, termios.ECHO, termios.ISIG))
    if not os.WIFSTOPPED(status):
        print(f"<ended {status} usual {is_usual}>", flush=True)
        break
    os.tcsetpgrp(0, os.getpgrp())
    print(f"<stopped usual {is_usual}>", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
"""


class Page:
    """A page of the proxy as a browser without scripts gets it."""

    def __init__(self, answer):
        self.status, self.headers, self.text = answer.status, answer.headers, answer.read().decode()

    def plain(self):
        return html.unescape(re.sub(r"<[^>]*>", " ", self.text))


def browse(url, form=None, headers=None):
    """GET, or POST of a form; the certificate is the proxy's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=TIMEOUT) as answer:
            return Page(answer)
    except urllib.error.HTTPError as refusal:
        return Page(refusal)


def on_proxy(cluster, url):
    """The same page on the address the proxy listens at in this test."""
    return f"https://{cluster.proxy_addr}{urllib.parse.urlsplit(url).path}"


def invite_url(text):
    return re.search(r"https://\S+/web/(?:invite|reset)/[0-9a-f]{32}", text).group(0)


class User:
    """A user with a password, a second factor and a home directory."""

    def __init__(self, cluster, name, directory, inside=(), build=None):
        self.cluster, self.name, self.inside = cluster, name, inside
        self.own_build = build  # None: the programs of the cluster
        self.home = pathlib.Path(directory)
        self.home.mkdir(parents=True, exist_ok=True)
        self.password = PASSWORD
        self.totp_secret = None
        self.last_step = 0
        self.env = clean_env(HOME=self.home, TELEPORT_HOME=self.home / ".tsh", PATH=f"{self.bin}:{os.environ['PATH']}")
        for name_ in ("SSH_AUTH_SOCK", "TERM_PROGRAM"):
            self.env.pop(name_, None)

    @property
    def build(self):
        return self.own_build or self.cluster.build

    @property
    def bin(self):
        return pathlib.Path(program(self.build, "tsh")).parent

    def accept(self, url):
        """Opens the invitation, reads the secret from the page, and sets password and second factor."""
        url = on_proxy(self.cluster, url)
        page = browse(url)
        assert page.status == 200, page.text
        self.totp_secret = re.sub(r"\s", "", re.search(r"\b((?:[A-Z2-7]{4} ?){8})\b", page.plain()).group(1))
        done = browse(url, {"password": self.password, "again": self.password, "otp": self.otp()})
        assert done.status == 200, done.plain()
        return self

    def otp(self):
        """A code that was not used yet: of the step before, this one or the next, as a server allows."""
        now = int(time.time()) // STEP
        is_late = time.time() % STEP > STEP - 10  # the step before may be too old when it arrives
        step = max(now if is_late else now - 1, self.last_step + 1)
        if step > now + 1:
            wait_until(lambda: int(time.time()) // STEP >= step - 1, "the next one-time code", timeout=2 * STEP)
        self.last_step = step
        return self.code_of(step)

    def code_of(self, step):
        args = ["oathtool", "--totp", "--base32", f"--now=@{step * STEP}", self.totp_secret]
        return subprocess.run(args, capture_output=True, text=True, check=True).stdout.strip()

    def tsh(self, *args, stdin="", check=True, timeout=TIMEOUT, env=None):
        done = Result(subprocess.run([*self.inside, program(self.build, "tsh"), *map(str, args)], input=stdin, capture_output=True, text=True,
                                     timeout=timeout, env={**self.env, **(env or {})}, errors="surrogateescape"))
        if check:
            assert done.code == 0, f"tsh {args} failed ({done.code}):\n{done.out}\n{done.err}"
        return done

    def line(self, text, code=0, timeout=TIMEOUT):
        """A line of /bin/sh on the workstation, with tsh on its path."""
        done = Result(subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, timeout=timeout, env=self.env))
        assert done.code == code, f"{text} ended with {done.code}:\n{done.out}\n{done.err}"
        return done

    def login(self, *args, password=None, otp=None, check=True):
        return self.tsh("login", f"--proxy={self.cluster.proxy_addr}", f"--user={self.name}", "--insecure", *args,
                        stdin=f"{password or self.password}\n{otp or self.otp()}\n", check=check)

    def tctl(self, *args, stdin="", check=True):
        """tctl on the workstation: through the proxy, with the rights of the user."""
        env = {**self.env, "TELEPORT_CONFIG_FILE": ""}
        done = Result(subprocess.run([program(self.build, "tctl"), *map(str, args)], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, env=env))
        if check:
            assert done.code == 0, f"tctl {args} failed:\n{done.err}"
        return done

    def ssh_config(self):
        path = self.home / "ssh_config"
        path.write_text(self.tsh("config").out)
        return path

    def ssh(self, *args, stdin="", check=True, timeout=TIMEOUT, program_="ssh"):
        """The plain OpenSSH program with the configuration that `tsh config` prints."""
        done = Result(subprocess.run([program_, "-F", str(self.ssh_config()), *map(str, args)], input=stdin, capture_output=True, text=True,
                                     timeout=timeout, env=self.env, errors="surrogateescape"))
        if check:
            assert done.code == 0, f"{program_} {args} failed ({done.code}):\n{done.err}"
        return done

    def terminal(self, *args, rows=24, columns=80, **more):
        """tsh on a terminal of its own."""
        child = pexpect.spawn(program(self.build, "tsh"), [str(a) for a in args], env={**self.env, "TERM": "xterm"}, dimensions=(rows, columns),
                              timeout=TIMEOUT, **more)
        child.delaybeforesend = None
        return child

    def job(self, *args):
        """tsh on a terminal as a shell runs it: when it is stopped, the shell prints that, and Enter continues it."""
        child = pexpect.spawn("/usr/bin/python3", ["-c", JOB, str(program(self.build, "tsh")), *map(str, args)], env={**self.env, "TERM": "xterm"},
                              dimensions=(24, 80), timeout=TIMEOUT)
        child.delaybeforesend = None
        child.expect(r"<job (\d+)>")
        child.job_pid = int(child.match.group(1))
        return child

    def shell(self, target, *flags, **size):
        """A shell that is ready: earlier input is echoed by the program that has the terminal then."""
        child = self.terminal("ssh", *flags, target, **size)
        child.expect(r"[#$] $")
        return child

    def recordings(self):
        return json.loads(self.tsh("recordings", "ls", "--format=json").out)


class Accounts:
    """Accounts on this machine to log in to; removed afterwards."""

    def __init__(self):
        self.names = []

    def make(self, name=None, shell="/bin/bash"):
        name = name or f"ct{os.getpid()}x{len(self.names)}"
        subprocess.run(["useradd", "--create-home", "--shell", shell, "--password", "*", name], check=True)
        self.names.append(name)
        return pwd.getpwnam(name)

    def remove(self):
        for name in self.names:
            subprocess.run(["pkill", "-KILL", "-u", name], check=False)
            subprocess.run(["userdel", "--remove", name], check=False, capture_output=True)


def reachable_programs(build):
    """The programs where every account can run them, as an installed package would have them."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ct-bin.", dir="/var/tmp"))
    directory.chmod(0o755)
    for name in ("teleport", "tctl", "tsh"):
        shutil.copy(program(build, name), directory / name)
        (directory / name).chmod(0o755)
    return directory


def quoted(args):
    return " ".join(map(shlex.quote, args))
