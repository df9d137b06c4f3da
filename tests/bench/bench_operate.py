#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to operate a large cluster.

    bench_operate.py [--json] [--build=DIR] [--hosts=N] [--rounds=N]     N: hosts in the store (default: 100000), backups (default: 5)

Backup: `tctl backup` of the cluster, from the start of the program to its end, while hosts join one after the other; a join of another client
(join_client.py), with and without a backup beside it.
"""
import os
import statistics
import subprocess
import sys
import threading
import time

from figures import ROOT, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import Aws, Cluster, iam_token, program, wait_until  # noqa: E402
from join_client import Peer, join  # noqa: E402

RECIPIENT = "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzz"


ALONE = 100  # joins without a backup beside them, to compare


class Joins:
    """Hosts that join one after the other, on one connection, until close()."""

    def __init__(self, cluster, env):
        self.taken, self.is_over, self.failed = [], False, None
        self.thread = threading.Thread(target=self.run, args=(cluster, env))
        self.thread.start()

    def run(self, cluster, env):
        try:
            with Peer(cluster) as peer:
                while not self.is_over:
                    begun = time.monotonic()
                    join(peer, env, name=f"host-{len(self.taken)}-{os.getpid()}")
                    self.taken.append((time.monotonic() - begun) * 1000)
        except Exception as error:  # reported by close()
            self.failed = error

    def close(self):
        self.is_over = True
        self.thread.join()
        if self.failed:
            raise self.failed
        return self.taken


def backup(cluster, env, directory, rounds):
    joins = Joins(cluster, env)
    wait_until(lambda: joins.failed or len(joins.taken) > ALONE, "enough hosts have joined without a backup")
    alone, seconds, during = len(joins.taken), [], []
    for number in range(rounds):
        first, begun = len(joins.taken), time.monotonic()
        cluster.tctl("backup", "-r", RECIPIENT, directory / f"{number}.age")
        seconds.append(time.monotonic() - begun)
        during += joins.taken[first + 1:]
    taken = joins.close()
    size = (directory / "0.age").stat().st_size
    return {
        "seconds": round(statistics.median(seconds), 2), "worst_seconds": round(max(seconds), 2), "mib": round(size / 2**20),
        "join_ms": {"alone": round(statistics.median(taken[1:alone]), 1), "during": round(statistics.median(during), 1)},
        "slowest_join_ms": {"alone": round(max(taken[1:alone])), "during": round(max(during))},
        "joins_during": len(during),
    }


def measure(build, hosts, rounds):
    with directories() as (directory, _):
        aws = Aws(directory)
        cluster = Cluster(build, aws, directory / "cluster")
        try:
            cluster.start()
            cluster.create(iam_token())
            cluster.stop_cluster()
            subprocess.run([program(build, "full_store"), cluster.data_dir, str(hosts), "1000"], check=True)
            cluster.start()
            return {"hosts": hosts, "backup": backup(cluster, aws.identity(), directory, rounds)}
        finally:
            cluster.stop()
            aws.stop()


if __name__ == "__main__":
    given = options(hosts=100000, rounds=5)
    print_figures(measure(given.build, given.hosts, given.rounds), given.json)
