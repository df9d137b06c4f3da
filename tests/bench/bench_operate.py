#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to operate a large cluster.

    bench_operate.py [--json] [--build=DIR] [--hosts=N] [--rounds=N] [--agents=N]

    hosts    in the store for backups (default: 100000)
    rounds   backups (default: 5)
    agents   that follow a rotation (default: 1000)

Backup: `tctl backup` of the cluster, from the start of the program to its end, while hosts join one after the other; a join of another client
(join_client.py), with and without a backup beside it.

Rotation: the host CA is rotated by hand while one program plays all agents (rotation_fleet.c), each with its presence and a tunnel, and dials them as a
user, one after the other. For each phase the time from the start of `tctl auth rotate` until the Auth Service knows that all have certificates of that
phase, and the CPU time until then. At the end all connect again.
"""
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

from figures import ROOT, allow_played_agents, cpu_seconds, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import Aws, Cluster, iam_token, program, wait_until  # noqa: E402
from join_client import Peer, join  # noqa: E402
from test_rotation import followed  # noqa: E402
from users import User, invite_url  # noqa: E402

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


# ---- rotation -----------------------------------------------------------------------------------------------------------


def read_state(fleet):
    line = fleet.stdout.readline()
    assert line, "the agents have failed"
    return json.loads(line)


def phase_figures(cluster, fleet, phase):
    """Begins the phase, and returns its figures and the state of the agents."""
    followed(cluster)  # the cluster's own host
    pids = {name: cluster.process.children()[name] for name in ("auth", "proxy", "signer")}
    before, begun = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
    cluster.tctl("auth", "rotate", "--type=host", "--manual", f"--phase={phase}")
    state, seconds = read_state(fleet), time.monotonic() - begun
    return {"seconds": round(seconds, 2), "cpu_seconds": {name: round(cpu_seconds(pid) - before[name], 2) for name, pid in pids.items()}}, state


def rotation(build, aws, directory, home, agents):
    cluster = Cluster(build, aws, directory / "rotation", auth={"heartbeat_ttl": "10m"})
    fleet = None
    try:
        cluster.start()
        allow_played_agents(aws)
        cluster.create(iam_token("bench"))
        user = User(cluster, "alice", home / "user")
        user.accept(invite_url(cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out)).login()
        fleet = subprocess.Popen([program(build, "rotation_fleet"), str(agents), cluster.proxy_addr], env=user.env, stdout=subprocess.PIPE, text=True)
        read_state(fleet)
        figures, state = {}, {}
        for phase in ("init", "update_clients", "update_servers", "standby"):
            figures[phase], state = phase_figures(cluster, fleet, phase)
            if phase == "update_clients":
                user.login()  # from here on the workstation knows both CAs
                time.sleep(2)  # the program reads the profile every second
        fleet.send_signal(signal.SIGTERM)
        again = read_state(fleet)
        assert fleet.wait() == 0
        return {"agents": agents, "phases": figures, "slowest_seconds": max(one["seconds"] for one in figures.values()), **state, **again}
    finally:
        if fleet and fleet.poll() is None:
            fleet.kill()
            fleet.wait()
        cluster.stop()


def measure(build, hosts, rounds, agents):
    with directories() as (directory, home):
        aws = Aws(directory)
        cluster = Cluster(build, aws, directory / "cluster")
        try:
            cluster.start()
            cluster.create(iam_token())
            cluster.stop_cluster()
            subprocess.run([program(build, "full_store"), cluster.data_dir, str(hosts), "1000"], check=True)
            cluster.start()
            figures = {"hosts": hosts, "backup": backup(cluster, aws.identity(), directory, rounds)}
            cluster.stop()
            return {**figures, "rotation": rotation(build, aws, directory, home, agents)}
        finally:
            cluster.stop()
            aws.stop()


if __name__ == "__main__":
    given = options(hosts=100000, rounds=5, agents=1000)
    print_figures(measure(given.build, given.hosts, given.rounds, given.agents), given.json)
