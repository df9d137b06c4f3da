# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any process at any moment of a join, and orderly ends."""
import contextlib
import itertools
import json
import os
import pathlib
import random
import signal
import threading
import time

import pytest

from harness import TIMEOUT, iam_token, wait_until

KILLS = int(os.environ.get("CTELEPORT_KILLS", "200"))
AGENTS = 3


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def is_alive(pid):
    """A zombie with threads that have not exited yet still has its descriptors open, a listening socket among them."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" or len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def kill_tree(process):
    """A supervisor and its children, as a power cut ends them."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)  # so that it starts no child that the list does not have
    children = process.children()
    for pid in children.values():
        kill(pid)
    process.popen.kill()  # last: services that see its end stop in order, and say so to their peers
    process.popen.wait()
    wait_until(lambda: not any(map(is_alive, children.values())), "all of them are dead")


def assert_identities_are_whole(host):
    ids = host.data_dir / "proc" / "ids"
    for path in ids.iterdir() if ids.exists() else ():
        if path.suffix == ".json":
            spec = json.loads(path.read_text())["spec"]
            assert all(spec[part] for part in ("tls_key", "tls_cert", "ssh_key", "tls_ca_certs")), path
            assert bool(spec["ssh_cert"]) == (path.stem == "node"), path


def whole_events(cluster):
    """All events of a stopped cluster: each line is one."""
    return [json.loads(line) for line in (cluster.data_dir / "log" / "events.log").read_text().splitlines()]


class Joiner(threading.Thread):
    """A host that loses its identity after each join, repeatedly."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.joins, self.starts, self.over, self.failure = host, 0, 0, threading.Event(), None

    def run(self):
        try:
            while not self.over.is_set():
                self.once()
        except Exception as failure:  # reported by the main thread
            self.failure = failure

    def once(self):
        host = self.host
        host.start()
        self.starts += 1
        wait_until(lambda: self.over.is_set() or host.process.popen.poll() is not None or
                   "is present in the cluster" in host.process.new_text(), "the end of a join", 4 * TIMEOUT)
        if "is present in the cluster" in host.process.new_text():
            self.joins += 1
            kill_tree(host.process)
            assert_identities_are_whole(host)
            for path in (host.data_dir / "proc" / "ids").iterdir():
                path.unlink()
        else:
            kill_tree(host.process)
        host.process.log.close()
        host.process = None


def test_nothing_is_lost_when_processes_are_killed_200_times(cluster, aws):
    """The victims take turns; each dies at a random moment while three hosts join without end."""
    cluster.create(iam_token())
    dice = random.Random(16)
    joiners = [Joiner(cluster.host(f"web-{n}", env=aws.identity())) for n in range(AGENTS)]
    for joiner in joiners:
        joiner.start()
    acknowledged, killed = [], dict.fromkeys(["auth", "signer", "sts", "proxy", "instance", "agent", "supervisor"], 0)
    deadline = time.monotonic() + 8 * TIMEOUT
    for victim in itertools.cycle(killed):
        if sum(killed.values()) >= KILLS and sum(joiner.joins for joiner in joiners) > AGENTS and len(acknowledged) > KILLS // 4:
            break
        assert time.monotonic() < deadline, f"{killed} {len(acknowledged)} {[joiner.joins for joiner in joiners]}"
        time.sleep(dice.uniform(0, 0.15))  # a random moment is the point here
        if victim == "supervisor":
            kill_tree(cluster.process)
            cluster.process = None
            cluster.start()
            killed[victim] += 1
        elif victim == "agent":
            process = dice.choice(joiners).host.process
            if process is not None:
                killed[victim] += sum(map(kill, process.children().values()))
        else:
            pid = cluster.process.children().get(victim)
            killed[victim] += pid is not None and kill(pid)
        name = f"token-{len(acknowledged)}"
        if cluster.tctl("create", stdin=iam_token(name), check=False).code == 0:
            acknowledged.append(name)
    for joiner in joiners:
        joiner.over.set()
    for joiner in joiners:
        joiner.join(TIMEOUT)
        assert not joiner.is_alive() and joiner.failure is None, joiner.failure
        assert_identities_are_whole(joiner.host)
    cluster.restart()
    names = {token["metadata"]["name"] for token in cluster.json("get", "tokens")}
    assert set(acknowledged) <= names, f"{killed} {len(acknowledged)}"
    cluster.join("fresh-1", env=aws.identity())
    cluster.stop()
    events = whole_events(cluster)
    audited = len([e for e in events if e["event"] == "instance.join" and e["success"]])
    assert audited > sum(joiner.joins for joiner in joiners)
    assert len({e["uid"] for e in events}) == len(events), "no event twice"


@pytest.mark.parametrize("name", ["events.log.1", "events-20260101.log"])
def test_no_event_comes_twice_when_the_log_was_rotated(cluster, name):
    """The log moves away right after an event is in it, while auth is dead."""
    before = {e["uid"] for e in cluster.events()}
    cluster.create(iam_token("rotated"))
    wait_until(lambda: cluster.events("join_token.create"), "the event is in the log")
    kill_tree(cluster.process)
    cluster.process = None
    log = cluster.data_dir / "log" / "events.log"
    log.rename(log.with_name(name))
    cluster.start()
    old = [json.loads(line)["uid"] for line in log.with_name(name).read_text().splitlines()]
    new = [e["uid"] for e in cluster.events()]
    assert before < set(old)
    assert not set(old) & set(new)


@pytest.mark.parametrize("service", ["proxy", "auth", "signer", "sts", "instance"])
def test_a_service_that_dies_is_started_again_and_said_once(make_cluster, aws, service):
    cluster = make_cluster(ssh=True)
    cluster.create(iam_token())
    cluster.process.mark()
    kill(cluster.process.children()[service])
    cluster.process.wait_for(f"service is back name:{service}")
    cluster.join(env=aws.identity())
    said = cluster.process.new_text()
    assert said.count("service ended") == 1, said
    assert f"service ended and will be started again name:{service}" in said


def test_a_service_that_keeps_dying_gets_longer_pauses(cluster):
    pauses = []
    for _ in range(4):
        cluster.process.mark()
        kill(cluster.process.children()["proxy"])
        pauses.append(int(cluster.process.wait_for(r"will be started again name:proxy.* pause_ms:(\d+)").group(1)))
        cluster.process.wait_for("service is back name:proxy")
    assert pauses == sorted(pauses) and pauses[-1] >= 3 * pauses[0], pauses


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_every_process_of_cluster_and_host(make_cluster, aws, sig):
    cluster = make_cluster(ssh=True)
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity()).wait_signed()
    pids = [*cluster.process.children().values(), *host.process.children().values()]
    assert len(pids) == 8
    logs = [host.process, cluster.process]
    assert host.stop(sig=sig) == 0
    assert cluster.stop_cluster(sig=sig) == 0
    assert not [pid for pid in pids if is_alive(pid)]
    for log in logs:  # a sanitizer may search for leaks longer than the supervisor waits
        assert "sanitizer build" in log.text() or "does not end and is killed" not in log.text()


def test_a_signal_while_hosts_join_loses_nothing_acknowledged(cluster, aws):
    cluster.create(iam_token())
    hosts = [cluster.host(f"web-{n}", env=aws.identity()).start() for n in range(3)]
    hosts[0].process.wait_for("Attempting registration")
    cluster.stop_cluster()
    cluster.start()
    for host in hosts:
        host.wait_joined()
    wait_until(lambda: {host.host_id for host in hosts} <= {node["metadata"]["name"] for node in cluster.nodes()}, "all of them are listed")


def test_children_do_not_outlive_a_killed_supervisor(cluster):
    pids = list(cluster.process.children().values())
    process, cluster.process = cluster.process, None
    process.stop(sig=signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), "they end")
