# SPDX-License-Identifier: Apache-2.0
"""The service under an operating system: its log files."""
import os
import signal

from harness import wait_until
from test_captured_node import descriptors


def places(process):
    """The destination of the log of the supervisor's services."""
    return {descriptors(pid).get(2) for pid in process.children().values()}


def test_all_processes_reopen_the_log_after_rotation(make_cluster, tmp_path):
    log = tmp_path / "cluster0" / "cluster.log"
    cluster = make_cluster(teleport={"log": {"output": str(log)}})
    services = cluster.process.children()
    assert set(services) == {"signer", "sts", "auth", "proxy", "instance"}
    rotated = log.rename(log.with_suffix(".1"))
    cluster.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "SIGHUP reopens the log file" in log.read_text(), "the new file is there")
    wait_until(lambda: places(cluster.process) == {str(log)}, "all of them write to the new file")
    for pid in [cluster.process.pid, *services.values()]:  # 1, and of the supervisor 2, are as it was started
        assert not [n for n, place in descriptors(pid).items() if place == str(rotated) and n > 2]
    size = rotated.stat().st_size
    cluster.host(token="no-such-token").start()
    wait_until(lambda: "no-such-token" in log.read_text(), "auth logs into the new file")
    os.kill(services["proxy"], signal.SIGKILL)  # processes started later use the new file from the start
    wait_until(lambda: "service is back" in log.read_text(), "the service is back")
    assert cluster.process.children() != services and places(cluster.process) == {str(log)}
    assert rotated.stat().st_size == size


def test_a_log_that_cannot_be_reopened_stays_where_it_was(make_cluster, tmp_path):
    log = tmp_path / "cluster0" / "cluster.log"
    cluster = make_cluster(teleport={"log": {"output": str(log)}})
    rotated = log.rename(log.with_suffix(".1"))
    log.symlink_to("/dev/null")
    cluster.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: "the log stays in the file where it was" in rotated.read_text(), "the old file says so")
    log.unlink()
    cluster.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "SIGHUP reopens" in log.read_text(), "the next one works")
