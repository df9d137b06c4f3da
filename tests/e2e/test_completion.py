# SPDX-License-Identifier: Apache-2.0
"""The completions of bash, zsh and fish: words and flags of the programs, names of nodes, applications and tokens of the cluster."""
import pathlib
import subprocess

import pexpect
import pytest

from harness import TIMEOUT, Cluster, iam_token, program, wait_until
from users import User, invite_url

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# What is typed before Tab, and the line afterwards.
LINES = [
    ("teleport node", "teleport node "),
    ("teleport node ", "teleport node configure "),
    ("teleport start --nodena", "teleport start --nodename="),
    ("teleport configure --join-method=i", "teleport configure --join-method=iam "),
    ("tctl tok", "tctl tokens "),
    ("tctl --auth-server=x tokens ex", "tctl --auth-server=x tokens explain "),
    ("tctl get lo", "tctl get locks "),
    ("tctl users ls -f j", "tctl users ls -f json "),
    ("tctl help inv", "tctl help inventory "),
    ("tctl lock --mess", "tctl lock --message="),
    ("tctl create /etc/hostn", "tctl create /etc/hostname "),
]
NAMES = [
    ("tsh ssh we", "tsh ssh web-1 "),
    ("tsh ssh root@we", "tsh ssh root@web-1 "),
    ("tsh ssh -l root we", "tsh ssh -l root web-1 "),
    ("tsh proxy app or", "tsh proxy app orders "),
    ("tsh scp we", "tsh scp web-1:"),
    ("tctl tokens rm ia", "tctl tokens rm iam-token "),
    ("tctl rm token/ia", "tctl rm token/iam-token "),
]


@pytest.fixture(scope="module")
def completions(build, tmp_path_factory):
    out = tmp_path_factory.mktemp("completions")
    programs = [program(build, name) for name in ("teleport", "tctl", "tsh")]
    subprocess.run([PROJECT / "scripts/completions", out / "bash", out / "zsh", out / "fish", *programs], check=True, timeout=TIMEOUT)
    return out


@pytest.fixture(scope="module")
def cluster(build, aws_process, tmp_path_factory):
    """A cluster with a node that also offers an application, a token that is not a secret, and one that is."""
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("completed") / "cluster")
    cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    cluster.tctl("tokens", "add", "--type=node", "--value=iam-secret-0123456789")
    cluster.join("web-1", env=aws_process.identity(),
                 services={"app_service": {"enabled": "yes", "apps": [{"name": "orders", "uri": "tcp://127.0.0.1:9", "labels": {"env": "prod"}}]}})
    wait_until(lambda: cluster.json("apps", "ls"), "the application is offered")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def user(cluster, tmp_path_factory):
    words = cluster.tctl("users", "add", "carol", "--roles=access", "--logins=root").out
    made = User(cluster, "carol", tmp_path_factory.mktemp("home")).accept(invite_url(words))
    made.login()
    return made


class Fish:
    """fish lists candidates itself: the line after Tab, if there is one candidate."""

    def __init__(self, completions, env):
        self.path, self.env = completions / "fish/vendor_completions.d", env

    def line(self, typed):
        script = f"set -g fish_complete_path {self.path}; complete -C '{typed}'"
        found = [row.split("\t")[0] for row in subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, timeout=TIMEOUT,
                                                              env=self.env).stdout.splitlines()]
        before, _, word = typed.rpartition(" ")
        if len(found) != 1:
            return typed
        # fish itself adds the "=" of a flag with a value, and a blank after a word that does not end in one of these characters.
        end = "=" if word.startswith("--") and "=" not in word else "" if found[0].endswith((":", "/")) else " "
        return f"{before} {found[0]}{end}"

    def close(self):
        pass


class Terminal:
    """bash or zsh on a terminal: after Tab, the line is put between quotes and printed."""

    def __init__(self, argv, env, *setup):
        self.child = pexpect.spawn(argv[0], argv[1:], env={**env, "TERM": "dumb", "PS1": "$ "}, encoding="utf-8", dimensions=(24, 200), timeout=TIMEOUT)
        for line in (*setup, "printf 'rea''dy\\n'"):
            self.child.sendline(line)
        self.child.expect_exact("ready\r\n")

    def line(self, typed):
        self.child.send(typed + "\t\x01printf '<<%s>>\\n' \"\x05\"\r")
        self.child.expect("\r\n<<(.*?)>>\r\n")
        return self.child.match.group(1)

    def close(self):
        self.child.close(force=True)


class Zsh(Terminal):
    """It takes back the blank that it added, when the cursor moves away."""


def open_shell(name, completions, env):
    env = {key: str(value) for key, value in env.items()} | {"TELEPORT_COMPLETION_TIMEOUT": str(TIMEOUT)}
    if name == "fish":
        return Fish(completions, env)
    if name == "zsh":
        return Zsh(["zsh", "-f", "-i"], env, "PS1='$ '; bindkey -e", f"fpath=({completions}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D")
    return Terminal(["bash", "--norc", "-i"], env, "bind 'set enable-bracketed-paste off'", *(f". {completions}/bash/completions/{p}" for p in ("teleport", "tctl", "tsh")))


@pytest.fixture(params=["bash", "zsh", "fish"])
def open_with(request, build, completions, cluster, user):
    """open_with(VARIABLE=…): a shell of the user."""
    opened = []

    def make(**environment):
        path = ":".join([*(str(pathlib.Path(program(build, name)).parent) for name in ("teleport", "tctl", "tsh")), user.env["PATH"]])
        opened.append(open_shell(request.param, completions, {**user.env, "PATH": path, "TELEPORT_CONFIG_FILE": cluster.config_path, **environment}))
        return opened[-1]

    yield make
    for shell in opened:
        shell.close()


def test_without_a_login_no_names_are_completed(user, open_with, tmp_path):
    assert user.tsh("status", check=False, env={"TELEPORT_HOME": tmp_path}).code == 1
    shell = open_with(TELEPORT_HOME=tmp_path)
    assert [shell.line("tsh ssh we"), shell.line("tsh sta")] == ["tsh ssh we", "tsh status" + ("" if isinstance(shell, Zsh) else " ")]


def test_words_flags_values_and_names_are_completed(user, open_with):
    shell = open_with()
    for typed, line in LINES + NAMES:
        assert (typed, shell.line(typed)) == (typed, line.rstrip() if isinstance(shell, Zsh) else line)
    assert shell.line("tctl tokens rm iam-s") == "tctl tokens rm iam-s"  # a name that is a secret is not shown
    assert shell.line("tsh ssh web-1 we") == "tsh ssh web-1 we"  # a command of the node


def test_names_of_tokens_are_listed_without_secrets(cluster):
    assert cluster.tctl("tokens", "ls", "--format=names").out == "iam-token\n"
    assert set(cluster.tctl("tokens", "ls", "--format=names", "--with-secrets").out.splitlines()) == {"iam-token", "iam-secret-0123456789"}


def test_names_with_characters_of_a_shell_are_left_out(open_with, tmp_path):
    """A cluster chooses the names that it answers with: bash would expand them in its list of words, and again on the command line."""
    ran = tmp_path / "ran"
    hostile = [f"$(touch {ran})", f"`touch {ran}`", f"we;touch {ran}", "-oProxyCommand=x", "we b", "we*", "we'x", 'we"x', "we\\x", "we~", "we$HOME", "we!x", "\x1b[2J"]
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("tsh", "tctl"):
        (fake / name).write_text("#!/bin/sh\ncat <<'EOF'\n" + "\n".join(hostile) + "\nweb-1.example.com\nEOF\n")
        (fake / name).chmod(0o755)
    shell = open_with()
    for typed, line in ((f"{fake}/tsh ssh ", "web-1.example.com"), (f"{fake}/tctl tokens rm ", "web-1.example.com"), (f"{fake}/tsh scp ", None), (f"{fake}/tsh ssh -", None)):
        answer = shell.line(typed)
        assert not ran.exists(), answer
        assert line is None or answer.rstrip() == typed + line
