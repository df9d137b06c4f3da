# SPDX-License-Identifier: Apache-2.0
"""Reports to the service manager (sd_notify): the state of the membership, readiness, the watchdog."""
import contextlib
import os
import re
import select
import signal
import socket
import time

import pytest

from harness import TIMEOUT, iam_token, wait_until
from test_reload import changed, reload


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = str(directory / "notify")
        self.socket.bind(self.path)
        self.seen = []

    def env(self, watchdog=None):
        return {"NOTIFY_SOCKET": self.path, **({"WATCHDOG_USEC": str(watchdog)} if watchdog else {})}

    def wait_for(self, pattern):
        """The first message from here on that has this pattern; each is considered once."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {pattern!r} came, only {self.seen[-20:]}"
            self.seen.append(self.socket.recv(65536).decode())
            if re.search(pattern, self.seen[-1]):
                return self.seen[-1]

    def last(self, prefix):
        """The last message with this prefix that has come."""
        while select.select([self.socket], [], [], 0)[0]:
            self.seen.append(self.socket.recv(65536).decode())
        return [message for message in self.seen if message.startswith(prefix)][-1]

    def close(self):
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    with contextlib.closing(Manager(tmp_path)) as made:
        yield made


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_the_status_follows_the_membership_of_a_host(make_cluster, aws, manager):
    cluster = make_cluster()
    host = cluster.host(env={**aws.identity(), **manager.env()})
    host.start()
    assert re.match(r"STATUS=\w+ is starting; ", manager.wait_for("^STATUS="))
    manager.wait_for("^READY=1$")
    refused = manager.wait_for("^STATUS=not joined; joining through [^;]+; .*")
    assert "refused" in refused or "denied" in refused or "token" in refused, refused
    assert "\n" not in refused
    cluster.create(iam_token())
    through = re.escape(cluster.proxy_addr)
    assert re.fullmatch(rf"STATUS=joined cluster example\.test since {TIME}; connected through {through}, 1 tunnel", manager.wait_for("1 tunnel$"))
    cluster.stop_cluster()
    assert re.match(rf"STATUS=joined cluster example\.test since {TIME}; not connected; ", manager.wait_for("; not connected; "))
    cluster.start()
    manager.wait_for("1 tunnel$")
    host.process.popen.send_signal(signal.SIGTERM)
    assert manager.wait_for("^STOPPING=1$") and manager.wait_for("^STATUS=") == "STATUS=stopping"


def test_a_host_warns_when_its_certificate_is_not_renewed(make_cluster, aws, manager):
    cluster = make_cluster(auth={"host_cert_ttl": "12s"})
    cluster.create(iam_token())
    host = cluster.host(env={**aws.identity(), **manager.env()})
    host.start()
    manager.wait_for("1 tunnel$")
    cluster.stop_cluster()
    host.process.wait_for('A certificate of this host was not renewed role:(Instance|Node) end:"expire')
    manager.wait_for(rf"; the certificate of role (Instance|Node) was not renewed, its end is {TIME}")
    wait_until(lambda: "was not renewed, its end is" in host.teleport("status", "-c", host.config_path, check=False).out, "teleport status has it")
    cluster.start()
    manager.wait_for("1 tunnel$")
    wait_until(lambda: "was not renewed" not in manager.last("STATUS="), "the warning ends with the renewal")


def test_the_status_of_a_cluster_names_it(make_cluster, manager):
    cluster = make_cluster(env=manager.env())
    manager.wait_for("^READY=1$")
    manager.wait_for(rf"^STATUS=joined cluster example\.test since {TIME}; connected through this machine$")
    for _ in range(4):  # the pause before each start doubles, until it is longer than that between two reports
        proxy = wait_until(lambda: cluster.process.children().get("proxy"), "the proxy runs")
        os.kill(proxy, signal.SIGKILL)
        wait_until(lambda gone=proxy: cluster.process.children().get("proxy") != gone, "it was reaped")
    assert re.match(r"STATUS=proxy is restarted; joined cluster example\.test", manager.wait_for("^STATUS=proxy is restarted"))
    manager.wait_for(r"^STATUS=joined cluster example\.test")


def test_the_status_after_a_reload_is_that_before(make_cluster, aws, manager):
    cluster = make_cluster()
    cluster.create(iam_token())
    host = cluster.host(env={**aws.identity(), **manager.env()})
    host.start()
    manager.wait_for("1 tunnel$")
    for n in range(3):  # `labels` is replaced last: nothing else happens after it
        config = changed(host, ssh_service={"commands": [{"name": "kernel", "command": ["/bin/echo", str(n)], "period": "1h"}]})
        assert reload(host, config=config).code == 0
        manager.wait_for("^READY=1$")
    wait_until(lambda: manager.last("STATUS=").startswith("STATUS=joined"), "the status names no service")


def test_a_service_that_hangs_is_restarted_by_the_watchdog(make_cluster, manager):
    cluster = make_cluster(env=manager.env(watchdog=20_000_000))  # a busy machine answers within 15 s
    manager.wait_for("^READY=1$")
    manager.wait_for("^WATCHDOG=1$")
    before = cluster.process.children()
    cluster.process.mark()
    os.kill(before["proxy"], signal.SIGSTOP)
    cluster.process.wait_for(rf"a service does not answer and is killed name:proxy pid:{before['proxy']}")
    cluster.process.wait_for("service is back name:proxy")
    manager.wait_for("^WATCHDOG=1$")  # the supervisor lives
    assert cluster.process.children()["auth"] == before["auth"]
    wait_until(lambda: cluster.tctl("status", check=False).code == 0, "the cluster serves")


def test_a_watchdog_for_another_process_is_not_fed(make_cluster, manager):
    cluster = make_cluster(env={**manager.env(watchdog=200_000), "WATCHDOG_PID": "1"})
    manager.wait_for("^READY=1$")
    manager.wait_for("^STATUS=joined")
    cluster.stop()
    manager.wait_for("^STOPPING=1$")
    assert not [message for message in manager.seen if "WATCHDOG" in message]
