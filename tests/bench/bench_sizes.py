#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What logins, connections and recordings need: bytes on the disk of the Auth Service, descriptors, memory.

    bench_sizes.py [--json] [--build=DIR] [--hosts=N] [--sessions=N]     N: hosts (default: 5), open sessions (default: 50)

Bytes of events.log are those of one thing that was done TIMES times. The shell of a minute is one in which a command that prints a
screen (24 lines of 79 characters) is typed every five seconds. Descriptors and memory are those of each process with the hosts or sessions,
less those before, for each.
"""
import contextlib
import os
import subprocess
import sys
import time

import pexpect

from figures import ROOT, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from bench_login import cluster_with_node, invite  # noqa: E402
from bench_ssh import pss_kib  # noqa: E402
from harness import Cluster, iam_token, program, wait_until  # noqa: E402

TIMES, MINUTE, PAUSE, SCREEN = 20, 60, 5, "seq -f %079g 24"


def settled(path):
    """The size of a file that does not grow any more."""
    sizes = []
    while len(sizes) < 4 or len(set(sizes[-4:])) > 1:
        time.sleep(0.5)
        sizes.append(path.stat().st_size)
    return sizes[-1]


class Log:
    """Bytes that the audit log has got for each thing that was done."""

    def __init__(self, cluster):
        self.path = cluster.data_dir / "log/events.log"

    def bytes_of(self, do, times=TIMES):
        before = settled(self.path)
        for _ in range(times):
            do()
        return round((settled(self.path) - before) / times)


def shell(user, target):
    child = user.shell(target)
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def events(cluster, users, target):
    log, worker, command = Log(cluster), users[0], [program(cluster.build, "tsh"), "ssh"]
    file = worker.home / "file"
    file.write_bytes(b"x" * 1000)

    def run(*words):
        subprocess.run([*command, *words], env=worker.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    logins = iter([user for _ in range(2) for user in users])
    taken = {"login": log.bytes_of(lambda: next(logins).login(), 2 * len(users))}
    taken["shell"] = log.bytes_of(lambda: shell(worker, target))
    run(target, "true")
    taken["further_command"] = log.bytes_of(lambda: run(target, "true"))
    taken["command"] = log.bytes_of(lambda: run("--no-mux", target, "true"))
    taken["file_copy"] = log.bytes_of(lambda: worker.tsh("scp", file, f"{target}:copy"))
    return taken


def recording(cluster, worker, target):
    """Bytes of the recordings of a minute, and of a MiB of output in lines."""
    records = cluster.data_dir / "log/records"

    def size_of(work):
        before = set(records.iterdir()) if records.exists() else set()
        child = worker.shell(target)
        work(child)
        child.sendline("exit")
        child.expect(pexpect.EOF)
        child.close()
        return settled(wait_until(lambda: next(iter(set(records.iterdir()) - before), None), "the recording is stored"))

    def minute(child):
        begun = time.monotonic()
        for step in range(MINUTE // PAUSE):
            child.sendline(SCREEN)
            child.expect(r"[#$] $")
            time.sleep(max(0, begun + (step + 1) * PAUSE - time.monotonic()))

    def mebibyte(child):
        child.sendline("yes 'a line of a build' | head -c 1048576; echo; echo done")
        child.expect("\ndone")

    return {"empty": size_of(lambda child: None), "minute": size_of(minute), "mib": size_of(mebibyte)}


def renewal(build, aws, directory):
    """Bytes of the event of a renewed host certificate."""
    cluster = Cluster(build, aws, directory / "brief", auth={"host_cert_ttl": "12s"})
    try:
        cluster.start()
        cluster.create(iam_token())
        cluster.join("web-1", env=aws.identity())
        wait_until(lambda: len(cluster.events("cert.create")) >= 4, "certificates are renewed")
        lines = [line for line in (cluster.data_dir / "log/events.log").read_text().splitlines() if '"cert.create"' in line]
        return round(sum(len(line) + 1 for line in lines) / len(lines))
    finally:
        cluster.stop()


def of_processes(*supervisors):
    """{process: (descriptors, KiB)}; those of a host are host/NAME."""
    found = {}
    for prefix, program_ in supervisors:
        for name, pid in {"supervisor": program_.pid, **program_.children()}.items():
            found[prefix + name] = (len(os.listdir(f"/proc/{pid}/fd")), pss_kib(pid))
    return found


def growth(before, after, count):
    """What each of `count` things needs, of the processes that need something."""
    fds = {name: round((after[name][0] - before[name][0]) / count, 1) for name in before}
    kib = {name: round((after[name][1] - before[name][1]) / count, 1) for name in before}
    return {"descriptors": {name: n for name, n in fds.items() if n >= 0.5}, "kib": {name: n for name, n in kib.items() if n >= 1}}


def per_host(cluster, aws, count):
    before = of_processes(("", cluster.process))
    for number in range(count):
        cluster.join(f"host-{number}", env=aws.identity()).wait_reachable()
    return growth(before, of_processes(("", cluster.process)), count)


def per_session(cluster, host, worker, target, count):
    """Each a connection of its own, as of a user who logs in from elsewhere."""
    supervisors = ("", cluster.process), ("host/", host.process)
    before = of_processes(*supervisors)
    held = []
    for _ in range(count):
        held.append(subprocess.Popen([program(cluster.build, "tsh"), "ssh", "--no-mux", "-t", target, "echo; exec cat"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=worker.env))
        held[-1].stdout.read(1)
    taken = growth(before, of_processes(*supervisors), count)
    for child in held:
        child.stdin.close()
        child.terminate()
        child.wait()
    return taken


def measure(build, hosts, sessions, directory, home):
    with contextlib.ExitStack() as ends:
        aws, cluster, host, account = cluster_with_node(ends, build, directory)
        target = f"{account.pw_name}@web-1"
        users = [invite(cluster, f"user-{n}", home, account.pw_name) for n in range(5)]
        users[0].login()
        shell(users[0], target)
        return {"hosts": hosts, "sessions": sessions, "event_bytes": {**events(cluster, users, target), "renewal": renewal(build, aws, directory)},
                "recording_bytes": recording(cluster, users[0], target), "each_host": per_host(cluster, aws, hosts),
                "each_session": per_session(cluster, host, users[0], target, sessions)}


def main():
    given = options(hosts=5, sessions=50)
    with directories() as (directory, home):
        figures = measure(given.build, given.hosts, given.sessions, directory, home)
    print_figures(figures, given.json)


if __name__ == "__main__":
    main()
