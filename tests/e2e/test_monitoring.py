# SPDX-License-Identifier: Apache-2.0
"""The diagnostic address: /healthz, /readyz and /metrics of a cluster and of a host."""
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import pexpect
import pytest
import yaml

from harness import TIMEOUT, clean_env, iam_token, program, wait_until
from tcp_server import TcpServer
from test_reload import changed, reload

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import tables  # noqa: E402


class Diag:
    """The diagnostic address of a cluster or a host that was started with diag_addr 127.0.0.1:0."""

    def __init__(self, started):
        self.address = started.process.wait_for(r"Diagnostic service listening addr:(\S+)").group(1)
        self.host, port = self.address.rsplit(":", 1)
        self.port = int(port)

    def get(self, path, method="GET"):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type"), answer.read().decode()
        finally:
            connection.close()

    def ready(self):
        """The status of /readyz, its text, and the states of the parts."""
        status, kind, body = self.get("/readyz")
        assert kind == "application/json"
        body = json.loads(body)
        return status, body["status"], {p["part"]: p["state"] for p in body["parts"]}

    def wait_ready(self, status, **parts):
        return wait_until(lambda: (now := self.ready())[0] == status and parts.items() <= now[2].items() and now, f"/readyz answers {status}, {parts}")

    def wait_recovered(self, **parts):
        """The parts are ready again after a failure: recovering, and after some time ok."""
        status, text, _ = wait_until(lambda: (now := self.ready())[0] != 503 and parts.items() <= now[2].items() and now, f"/readyz has {parts}")
        assert (status, text) in ((400, RECOVERING), (200, "ok"))

    def metrics(self):
        """{name{labels}: value}."""
        status, kind, body = self.get("/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return {name: float(value) for name, value in re.findall(r"^([^# ]\S*) (\S+)$", body, re.M)}


DIAG = {"diag_addr": "127.0.0.1:0"}
STARTING = "teleport is starting and hasn't joined the cluster yet"
DEGRADED = "teleport is in a degraded state, check logs for details"
RECOVERING = "teleport is recovering from a degraded state, check logs for details"


def test_a_host_with_a_tunnel_is_ready(make_cluster, aws):
    cluster = make_cluster(teleport=DIAG)
    of_cluster = Diag(cluster)
    assert of_cluster.get("/healthz") == (200, "application/json", '{"status":"ok"}\n')
    of_cluster.wait_ready(200, processes="ok", store="ok", audit="ok", disk="ok", auth="ok", cluster="ok")

    host = cluster.host("web-1", env=aws.identity(), teleport=DIAG).start()  # there is no such token yet
    of_host = Diag(host)
    assert of_host.get("/healthz")[0] == 200
    host.process.wait_for(r"Can not join the cluster as Instance")
    status, text, parts = of_host.ready()
    assert (status, text) == (400, STARTING)
    assert parts == {"processes": "ok", "cluster": "starting", "tunnels": "starting"}
    assert of_host.metrics()["process_state"] == 3
    cluster.create(iam_token())
    assert of_host.wait_ready(200) == (200, "ok", {"processes": "ok", "cluster": "ok", "tunnels": "ok"})
    assert of_host.metrics()["process_state"] == 0

    cluster.stop_cluster(sig=signal.SIGKILL)
    assert of_host.wait_ready(503, tunnels="degraded")[1] == DEGRADED
    of_host.wait_ready(503, processes="ok", tunnels="degraded", cluster="degraded")
    assert of_host.get("/healthz")[0] == 200
    cluster.start()
    of_host.wait_recovered(tunnels="ok", cluster="ok")


LINE = re.compile(r'[a-z_0-9]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? (-?[0-9]+(\.[0-9]{9})?)')


@pytest.fixture
def watched(make_cluster, programs):
    """A host that runs all services, with its diagnostic address."""
    cluster = make_cluster(build=programs, ssh=True, teleport=DIAG)
    diag = Diag(cluster)
    diag.wait_ready(200, tunnels="ok")
    return cluster, diag


def test_every_metric_of_the_reference_is_shown_and_no_other(watched):
    cluster, _ = watched
    cluster.config["app_service"] = {"enabled": "yes", "apps": [{"name": "files", "uri": "tcp://127.0.0.1:9"}]}
    cluster.restart()
    diag = Diag(cluster)
    diag.wait_ready(200, tunnels="ok")
    cluster.tctl("tokens", "add", "--type=node")  # audited: there are events in the log
    wait_until(lambda: diag.metrics()["teleport_audit_emit_events"] > 0, "an event is counted")
    text = diag.get("/metrics")[2]
    described = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert described == [(m.name, m.type) for m in tables.metrics() if m.process != "acme"], "test_acme.py has those of the process acme"
    assert [name for name, _ in described] == re.findall(r"^# HELP (\S+) \S", text, re.M)
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line), line
    series = re.findall(r"^([^# ]\S*) ", text, re.M)
    assert len(set(series)) == len(series), "no series occurs twice"
    kinds = dict(described)
    for name in series:
        base = re.sub(r"\{.*", "", name)
        assert base in kinds or kinds[re.sub(r"_(bucket|sum|count)$", "", base)] == "histogram"


def test_joins_logins_and_sessions_are_counted(watched, aws, invite):
    cluster, diag = watched
    before = diag.metrics()
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity()).start()
    host.wait_joined()
    refused = cluster.host("web-2", env=aws.identity(account="999988887777")).start()
    refused.process.wait_for(r"Can not join the cluster as Instance")

    def grown(**least):
        now = diag.metrics()
        growth = {name: now[name] - before[name] for name in least}
        return all(growth[name] >= value for name, value in least.items()) and growth

    joined, denied = 'cteleport_joins_total{method="iam",result="joined"}', 'cteleport_joins_total{method="iam",result="refused"}'
    identified = 'cteleport_sts_request_seconds_count{outcome="identified"}'
    growth = wait_until(lambda: grown(**{joined: 1, denied: 1, identified: 1, "cteleport_join_seconds_count": 1, "backend_write_seconds_count": 1,
                                         "cteleport_store_commit_seconds_count": 1, "cteleport_audit_write_seconds_count": 1,
                                         "auth_generate_requests_total": 1, "teleport_connected_resources{type=\"node\"}": 1}), "the join is counted")
    assert growth[joined] == 1 and growth['teleport_connected_resources{type="node"}'] == 1
    now = diag.metrics()
    assert now['cteleport_sts_request_seconds_bucket{outcome="identified",le="+Inf"}'] == now[identified]
    for name, process in (("host", "instance"), ("web", "supervisor"), ("host_ca", "auth"), ("user_ca", "auth")):
        assert now[f'cteleport_certificate_not_after_seconds{{process="{process}",certificate="{name}"}}'] > time.time()
    wait_until(lambda: diag.metrics()["teleport_reverse_tunnels_connected"] == 2, "both nodes have a tunnel")

    alice = invite(cluster)
    assert alice.login(password="wrong", check=False).code == 1
    alice.login()
    shell = alice.shell("root@auth-1")
    ones = ["user_login_total", "failed_login_attempts_total", "proxy_ssh_sessions_total", "cteleport_connections_open", "cteleport_ssh_connections_open",
            "server_interactive_sessions_total", "teleport_incomplete_session_uploads_total", "teleport_connect_to_node_attempts_total"]
    wait_until(lambda: {name: value for name, value in diag.metrics().items() if name in ones} == dict.fromkeys(ones, 1), "each is counted once")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    alice.tsh("ssh", "root@no-such-node", "true", check=False)
    wait_until(lambda: (now := diag.metrics())["server_interactive_sessions_total"] == now["teleport_incomplete_session_uploads_total"] == 0, "the session has ended")
    now = diag.metrics()
    assert now["failed_connect_to_node_attempts_total"] == 1
    assert now.keys() == before.keys(), "hosts, users and sessions add no series"
    assert len(now) <= 10_000
    assert not re.search("alice|root@|web-[12]|auth-1|iam-token|" + host.host_id, diag.get("/metrics")[2] + diag.get("/readyz")[2]), "no names"

    for agent in (host, refused):
        agent.stop()
    shell = alice.shell("root@auth-1")
    cluster.process.popen.send_signal(signal.SIGQUIT)
    assert diag.wait_ready(503, processes="degraded")[1] == DEGRADED, "no load balancer is to send new users while this session goes on"
    assert diag.get("/healthz")[0] == 200
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    assert cluster.process.popen.wait(TIMEOUT) == 0


def test_a_process_that_ends_is_named(make_cluster):
    cluster = make_cluster(teleport=DIAG)
    diag = Diag(cluster)
    diag.wait_ready(200)
    before = diag.metrics()
    assert before['cteleport_process_up{process="proxy"}'] == 1 and before['cteleport_process_starts_total{process="proxy"}'] == 1
    for process in ("supervisor", "signer", "sts", "auth", "proxy", "diag"):
        assert before[f'process_resident_memory_bytes{{process="{process}"}}'] > 1 << 20
        assert before[f'process_open_fds{{process="{process}"}}'] > 3
    os.kill(cluster.process.children()["proxy"], signal.SIGKILL)
    wait_until(lambda: diag.metrics()['cteleport_process_starts_total{process="proxy"}'] == 2, "the proxy is started again")
    diag.wait_recovered(processes="ok", auth="ok")


def test_a_process_of_a_reload_is_shown(make_cluster):
    cluster = make_cluster(ssh=True, teleport=DIAG)
    diag = Diag(cluster)
    diag.wait_ready(200)
    up, before = 'cteleport_process_up{process="labels"}', cluster.config_path.read_text()
    assert up not in diag.metrics()
    commands = {"commands": [{"name": "kernel", "command": ["/bin/uname"], "period": "1h"}]}
    assert reload(cluster, config=changed(cluster, ssh_service=commands)).code == 0
    wait_until(lambda: diag.metrics().get(up) == 1, "the process is shown")
    assert reload(cluster, config=before).code == 0
    wait_until(lambda: up not in diag.metrics(), "the process is not shown any more")
    diag.wait_recovered(processes="ok", cluster="ok", tunnels="ok")


def allow_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


def test_no_client_keeps_another_one_from_an_answer(make_cluster):
    """Clients that hold their connections, never read, or send no HTTP."""
    # AddressSanitizer keeps freed memory, which must not count as used.
    cluster = make_cluster(teleport=DIAG, env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"})
    diag = Diag(cluster)
    allow_descriptors(1500)
    pid = cluster.process.children()["diag"]
    resident = lambda: int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    before, held = resident(), []
    for i in range(1000):
        s = socket.create_connection((diag.host, diag.port), timeout=TIMEOUT)
        held.append(s)
        s.sendall((b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20, b"GET /metr", b"\x16\x03\x01\x00\xff", b"")[i % 4])
        if i % 250 == 249:
            assert diag.get("/healthz")[0] == 200
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 100, "all but the latest connections are closed")
    assert resident() - before < 32 << 20
    for s in held:
        s.close()
    for request, status in {"GET / HTTP/1.1\r\nHost: x": 404, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0": 405,
                            "GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + "a" * 70000: 431, "GET  /metrics": 400,
                            "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5": 413}.items():
        with socket.create_connection((diag.host, diag.port), timeout=TIMEOUT) as s:
            s.sendall(request.encode() + b"\r\n\r\n")
            assert s.makefile("rb").readline().split()[1] == str(status).encode(), request
    assert diag.get("/metrics", "HEAD")[2] == ""
    assert cluster.process.children().keys() >= {"diag", "auth", "proxy"}


def test_a_full_disk_is_reported(make_cluster, tmp_path):
    from test_disk import Disk

    disk = Disk(tmp_path / "disk", "24m")
    try:
        cluster = make_cluster(teleport=DIAG, disk=disk)
        diag = Diag(cluster)
        diag.wait_ready(200, store="ok", disk="ok")
        disk.fill()
        diag.wait_ready(503, disk="degraded", store="degraded")
        disk.free()
        diag.wait_recovered(disk="ok", store="ok")
        cluster.stop()
    finally:
        disk.close()


def test_an_address_in_use_is_an_error_of_the_start(build, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        done = subprocess.run([program(build, "teleport"), "start", "-c", "/dev/null", "--data-dir", tmp_path / "data", "--roles=node",
                               "--auth-server=127.0.0.1:1", "--token=x", "--diag-addr", address],
                              capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(HOME=tmp_path))
    assert done.returncode == 1
    assert "teleport.diag_addr" in done.stderr and address in done.stderr


# ---- tctl top ----------------------------------------------------------------------------------------------------


def test_tctl_top_shows_a_host_in_80_columns(watched):
    cluster, diag = watched
    wait_until(lambda: diag.metrics().get("teleport_reverse_tunnels_connected") == 1, "the proxy counts the tunnel of its host")
    once = cluster.tctl("top", f"http://{diag.address}").out
    assert cluster.tctl("top", diag.address).out.splitlines()[0] == once.splitlines()[0]
    assert max(map(len, once.splitlines())) < 80
    assert once.startswith(f"{diag.address}: ready\n")
    assert re.findall(r"^(\S+) +yes +1 +[0-9.]+ MiB ", once, re.M) == ["supervisor", "signer", "sts", "auth", "proxy", "instance", "ssh", "diag"]
    for line in (r"Joins +0 joined, 0 refused, 0 failed", r"Cluster +1 nodes with a heartbeat, 0 open connections", r"Proxy +1 tunnels of nodes, 0 connections",
                 r"Node +1 tunnels, 0 connections, 0 sessions, 0 recordings", r"Certificates .*host_ca \d+d"):
        assert re.search(f"^{line}", once, re.M), once

    live = pexpect.spawn(program(cluster.build, "tctl"), ["-c", str(cluster.config_path), "top", diag.address, "200ms"], dimensions=(40, 80), timeout=TIMEOUT)
    live.expect(re.escape(diag.address) + ": ready")
    live.expect("every 200ms; q quits")
    cluster.tctl("tokens", "add", "--type=node")
    live.expect(r"auth +yes +1 +[0-9.]+ MiB +[0-9.]+ %")
    live.send("q")
    live.expect(re.escape("\033[?1049l"))
    live.expect(pexpect.EOF)
    live.close()
    assert live.exitstatus == 0


@pytest.mark.parametrize("answer, words", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", ["line 1 is not a metric", "teleport.diag_addr"]),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ["status 404"]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nprocess_state 0\n", ["the answer is cut"]),
    (b"\x16\x03\x01\x02\x00", ["ERROR:"]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"# x\n" * 600000, ["too long"]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\na{x=\"\033[2J\"} 1\n"[:-1], ["line 1 is not a metric"]),
], ids=["html", "404", "cut", "tls", "long", "escape"])
def test_tctl_top_refuses_an_answer_of_something_else(build, tmp_path, answer, words):
    with TcpServer(lambda connection: (connection.recv(65536), connection.sendall(answer))) as server:
        done = subprocess.run([program(build, "tctl"), "top", server.addr], capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(HOME=tmp_path))
    assert done.returncode == 1 and done.stdout == "" and server.addr in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_tctl_top_without_a_server_names_the_address(build, tmp_path):
    done = subprocess.run([program(build, "tctl"), "top", "127.0.0.1:1"], capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(HOME=tmp_path))
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr and "hint:" in done.stderr


# ---- Prometheus' own checks --------------------------------------------------------------------------------------

OPERATE = pathlib.Path(__file__).resolve().parents[2] / "docs/operate"
ALERTS = OPERATE / "prometheus-alerts.yaml"


def promtool(*args, code=0, **more):
    done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True, timeout=TIMEOUT, **more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.nightly
def test_promtool_reads_the_metrics(watched):
    """It finds fault with some of Teleport's names, and with none of this project."""
    complaints = promtool("check", "metrics", input=watched[1].get("/metrics")[2], code=3).splitlines()
    assert complaints and [c for c in complaints if "should" not in c or c.startswith("cteleport_")] == []


@pytest.mark.nightly
def test_promtool_accepts_the_alerts_and_the_dashboard(tmp_path):
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", ALERTS)
    panels = json.loads((OPERATE / "grafana-dashboard.json").read_text())["panels"]
    expressions = [target["expr"].replace("$__rate_interval", "5m") for panel in panels for target in panel.get("targets", [])]
    rules = [{"record": f"dashboard:{i}", "expr": expression} for i, expression in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


@pytest.mark.nightly
def test_every_alert_fires_for_its_fault_and_none_without(tmp_path):
    text = (pathlib.Path(__file__).with_name("prometheus_alerts_test.yaml")).read_text()
    names = sorted({rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]})
    count = {"TeleportCertificateExpiresIn7Days": 2}  # of two certificates
    firing = [{"labels": f'{{alertname="{name}"}}', "value": count.get(name, 1)} for name in names]
    (tmp_path / "alerts_test.yaml").write_text(text.replace("[ALL]", json.dumps(firing)).replace("../../docs/operate/prometheus-alerts.yaml", str(ALERTS)))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "alerts_test.yaml")
