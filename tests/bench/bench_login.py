#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Logins on a quiet cluster, and on the same one while many terminal sessions are recorded.

    bench_login.py [--json] [--build=DIR] [--sessions=N]     DIR: the build directory (default: build); N: recordings (default: 500)

A login is `tsh login` with password and one-time code, from the start of the program to its end: the check of the password, the
certificates and the audit event are in it. Each session prints a line a second, which the node spools and the Auth Service stores and syncs.
The sessions share SSH connections, so that the recordings are measured and not the key exchanges.
"""
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time

from figures import ROOT, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import Aws, Cluster, iam_token, wait_until  # noqa: E402
from users import Accounts, User, invite_url  # noqa: E402

USERS, LOGINS_EACH, SESSIONS_PER_CONNECTION = 50, 2, 25  # a user has three valid one-time codes at a time
LINE = b"a line of a terminal, about as long as those that a build or a log prints on it\r\n"


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def invite(cluster, name, home, login):
    return User(cluster, name, home / name).accept(invite_url(cluster.tctl("users", "add", name, "--roles=access", f"--logins={login}").out))


def logins_ms(users):
    """Every user logs in LOGINS_EACH times, one login after the other."""
    taken = []
    for _ in range(LOGINS_EACH):
        for user in users:
            otp = user.otp()  # outside the time: it may have to wait for the next code
            begun = time.monotonic()
            user.login(otp=otp)
            taken.append((time.monotonic() - begun) * 1000)
    return taken


class Recordings:
    """Terminal sessions that print the bytes written into their pipes, once a second each."""

    def __init__(self, user, account, count, directory):
        self.pipes, self.programs, self.over = [], [], threading.Event()
        self.errors = directory / "errors"
        config, target = user.ssh_config(), f"{account.pw_name}@web-1.example.test"
        for number in range(count):
            if number % SESSIONS_PER_CONNECTION == 0:
                control = directory / f"c{number}"
                self.run(["ssh", "-F", str(config), "-o", "ControlMaster=yes", "-o", f"ControlPath={control}", "-o", "BatchMode=yes", "-N", target], user)
                wait_until(control.is_socket, "the connection is open", timeout=60)
            fifo = f"{account.pw_dir}/p{number}"
            os.mkfifo(fifo)
            os.chown(fifo, account.pw_uid, account.pw_gid)
            self.pipes.append(os.open(fifo, os.O_RDWR))
            self.run(["ssh", "-F", str(config), "-o", f"ControlPath={control}", "-tt", target, f"exec cat {fifo}"], user)
        self.writer = threading.Thread(target=self.write)
        self.writer.start()

    def run(self, words, user):
        with self.errors.open("a") as errors:
            self.programs.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=user.env))

    def are_in(self, records):
        """Whether Auth has two lines of each. A session that has ended is an error."""
        assert all(program.poll() is None for program in self.programs), f"a session has ended: {self.errors.read_text()}"
        return records.is_dir() and sum(f.stat().st_size > 2 * len(LINE) for f in records.iterdir()) >= len(self.pipes)

    def write(self):
        while not self.over.wait(1):
            for pipe in self.pipes:
                os.write(pipe, LINE)

    def stop(self):
        self.over.set()
        self.writer.join()
        for program in self.programs:
            program.terminate()
        for program in self.programs:
            program.wait()
        for pipe in self.pipes:
            os.close(pipe)


def cluster_with_node(ends, build, directory):
    """AWS, a cluster, a node of it and an account there, all until `ends` is left."""
    aws = Aws(tempfile.mkdtemp(dir=directory))
    ends.callback(aws.stop)
    cluster = Cluster(build, aws, directory / "cluster")
    ends.callback(cluster.stop)
    cluster.start()
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    host.wait_reachable()
    accounts = Accounts()
    ends.callback(accounts.remove)
    return aws, cluster, host, accounts.make(shell="/bin/sh")  # which has no start-up files


def measure(build, count, directory, home):
    with contextlib.ExitStack() as ends:
        _, cluster, _, account = cluster_with_node(ends, build, directory)
        users = [invite(cluster, f"user-{n}", home, account.pw_name) for n in range(USERS)]
        worker = invite(cluster, "worker", home, account.pw_name)
        worker.login()
        logins_ms(users[:5])
        quiet = logins_ms(users)
        recordings = Recordings(worker, account, count, home)
        ends.callback(recordings.stop)
        records = cluster.data_dir / "log" / "records"
        wait_until(lambda: recordings.are_in(records), "all are recorded", timeout=300)
        busy = logins_ms(users)
    figures = {"sessions": count, "logins": len(quiet)}
    for name, taken in (("quiet", quiet), ("recording", busy)):
        figures[f"{name}_ms"] = {"median": round(percentile(taken, 0.5), 1), "p99": round(percentile(taken, 0.99), 1)}
    figures["p99_ratio"] = round(figures["recording_ms"]["p99"] / figures["quiet_ms"]["p99"], 2)
    return figures


def main():
    given = options(sessions=500)
    with directories() as (directory, home):
        figures = measure(given.build, given.sessions, directory, home)
    print_figures(figures, given.json)


if __name__ == "__main__":
    main()
