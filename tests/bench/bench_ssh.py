#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SSH through proxy and reverse tunnel beside an OpenSSH server on loopback, in one run: bytes, round trips, starts, memory.

    bench_ssh.py [--json] [--build=DIR]     DIR: the build directory (default: build)

Both are reached with the system's own ssh: the direct server, the same sshd without any of ours, by its defaults; the node as
`tsh config` says, which prefers AES-GCM to ChaCha20. Then `tsh ssh NODE true`: with a connection of its own each time, and over one
that stays open; as an account whose shell has no start-up files, which on some machines take longer than all the rest.
"""
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time

from figures import ROOT, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import Aws, Cluster, iam_token, port_of, program, reserved_port  # noqa: E402
from users import Accounts, User, invite_url  # noqa: E402

BYTES = 512 << 20
ROUNDS, TRIPS, STARTS, SESSIONS = 5, 1000, 25, 50


class Direct:
    """sshd on loopback with a key of this run."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / name], check=True)
        holder = reserved_port()
        self.port = port_of(holder)
        (self.dir / "keys").write_text((self.dir / "user.pub").read_text())
        (self.dir / "sshd_config").write_text(f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.dir}/host
AuthorizedKeysFile {self.dir}/keys
StrictModes no
PasswordAuthentication no
UsePAM no
PidFile none
PermitRootLogin yes
UseDNS no
MaxStartups 1000
""")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", self.dir / "sshd_config"], stderr=subprocess.PIPE, text=True)
        while "listening" not in self.process.stderr.readline():
            pass
        holder.close()
        self.words = ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.dir / "user"), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                      "-o", f"UserKnownHostsFile={self.dir}/known_hosts", "-o", "LogLevel=ERROR", "root@127.0.0.1"]
        self.env = dict(os.environ)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def seconds_down(words, env):
    begun = time.monotonic()
    subprocess.run([*words, f"head -c {BYTES} /dev/zero"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env, check=True)
    return time.monotonic() - begun


def seconds_up(words, env):
    begun = time.monotonic()
    source = subprocess.Popen(["head", "-c", str(BYTES), "/dev/zero"], stdout=subprocess.PIPE)
    subprocess.run([*words, "cat > /dev/null"], stdin=source.stdout, env=env, check=True)
    source.wait()
    return time.monotonic() - begun


def round_trips_ms(words, env):
    """One byte there and back, again and again."""
    child = subprocess.Popen([*words, "exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=env)
    times = []
    for i in range(TRIPS + 50):
        begun = time.monotonic()
        child.stdin.write(b"x")
        select.select([child.stdout], [], [])
        child.stdout.read(1)
        if i >= 50:
            times.append((time.monotonic() - begun) * 1000)
    child.stdin.close()
    child.wait()
    return times


def start_ms(words, env):
    begun = time.monotonic()
    subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, env=env, check=True)
    return (time.monotonic() - begun) * 1000


def pss_kib(pid):
    try:
        return int(next(line.split()[1] for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")))
    except (OSError, StopIteration):
        return 0


def below(pid):
    """All processes below pid, itself included: {pid: name}."""
    parents, names = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        names[int(stat.parent.name)], parents[int(stat.parent.name)] = name, int(rest.split()[1])
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return {p: names.get(p, "") for p in found}


def own_kib(agent):
    """Our processes on a node: all below the agent except sshd and programs of users."""
    return sum(pss_kib(pid) for pid, name in below(agent.process.pid).items() if name.startswith("teleport"))


def memory_per_session(words, env, agent):
    before = own_kib(agent)
    held = [subprocess.Popen([*words, "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=env) for _ in range(SESSIONS)]
    for child in held:
        child.stdout.read(1)
    with_them = own_kib(agent)
    for child in held:
        child.stdin.close()
        child.wait()
    return (with_them - before) / SESSIONS


def tsh_starts(build, user, account):
    """By turns: a connection each time, and one that an earlier command has left open."""
    command = [program(build, "tsh"), "ssh", f"{account}@web-1"]
    ways = {"first": [*command[:2], "--no-mux", *command[2:]], "further": command}
    start_ms(command, user.env)
    if not any(path.is_socket() for path in (user.home / ".tsh/mux").iterdir()):
        raise RuntimeError("no connection stays open: is the path of the home too long for a socket?")
    taken = {way: [] for way in ways}
    for _ in range(STARTS):
        for way, words in ways.items():
            taken[way].append(start_ms(words, user.env))
    user.tsh("logout")
    return {way: round(statistics.median(t), 1) for way, t in taken.items()}


def measure(build, directory, home):
    aws = Aws(tempfile.mkdtemp(dir=directory))
    cluster = Cluster(build, aws, directory / "cluster")
    direct = Direct(directory / "direct")
    accounts = Accounts()
    try:
        account = accounts.make(shell="/bin/sh").pw_name
        cluster.start()
        cluster.create(iam_token())
        node = cluster.join("web-1", env=aws.identity())
        node.wait_reachable()
        words = cluster.tctl("users", "add", "bench", "--roles=access", f"--logins=root,{account}").out
        user = User(cluster, "bench", home).accept(invite_url(words))
        user.login()
        ours = ["ssh", "-F", str(user.ssh_config()), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "root@web-1.example.test"]
        both = {"direct": (direct.words, direct.env), "tunnel": (ours, user.env)}
        for way in both.values():
            start_ms(*way)
        figures = {"bytes": BYTES, "sessions": SESSIONS}
        for name, what in (("down", seconds_down), ("up", seconds_up)):
            taken = {way: [] for way in both}
            for _ in range(ROUNDS):  # by turns, so that both meet the same machine
                for way, how in both.items():
                    taken[way].append(what(*how))
            figures[f"{name}_mib_per_second"] = {way: round((BYTES >> 20) / statistics.median(t)) for way, t in taken.items()}
            figures[f"{name}_ratio"] = round(statistics.median(taken["direct"]) / statistics.median(taken["tunnel"]), 3)
        trips = {way: round_trips_ms(*how) for way, how in both.items()}
        figures["round_trip_ms"] = {way: round(statistics.median(t), 3) for way, t in trips.items()}
        figures["added_latency_ms"] = round(statistics.median(trips["tunnel"]) - statistics.median(trips["direct"]), 3)
        starts = {way: [] for way in both}
        for _ in range(STARTS):
            for way, how in both.items():
                starts[way].append(start_ms(*how))
        figures["start_ms"] = {way: round(statistics.median(t), 1) for way, t in starts.items()}
        figures["agent_kib_per_session"] = round(memory_per_session(*both["tunnel"], node), 1)
        figures["tsh_start_ms"] = tsh_starts(build, user, account)
        return figures
    finally:
        direct.stop()
        cluster.stop()
        aws.stop()
        accounts.remove()


def main():
    given = options()
    with directories() as (directory, home):
        figures = measure(given.build, directory, home)
    print_figures(figures, given.json)


if __name__ == "__main__":
    main()
