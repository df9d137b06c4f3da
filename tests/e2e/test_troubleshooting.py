# SPDX-License-Identifier: Apache-2.0
"""Every output on docs/troubleshooting.md, produced by the failure that it documents.

A block of the page behind `<!-- shown: NAME -->` is the output that shows(NAME, …) of a case here has recorded, with
addresses, IDs and times replaced. CTELEPORT_WRITE_DOCS=1 writes the page's blocks instead of comparing.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from fake_auth import FakeAuth, pem
from harness import ACCOUNT, FAKES, TIMEOUT, clean_env, copy_etc, iam_token, port_of, program, reserved_port, wait_until
from tcp_server import TcpServer, splice
from users import User
from test_http_proxy import NAME, HttpProxy
from test_teleport_itself import PING, TheirCa, web_server

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
DB_ONLY = f"arn:aws:sts::{ACCOUNT}:assumed-role/db/*"


# ---- the page -----------------------------------------------------------------------------------------

def block(name):
    return re.compile(rf"(<!-- shown: {re.escape(name)} -->\n```\n)(.*?)(```\n)", re.S)


def normalised(text, places):
    """Without the parts that differ between runs."""
    for real, shown in places:
        text = text.replace(real, shown)
    for pattern, shown in (
            (r"/tmp/pytest-[^\s\"']*/data\b", "/var/lib/teleport"),
            (r"/tmp/pytest-[^\s\"']*/(token|webproxy_cert\.pem)\b", r"/var/run/secrets/\1"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-31T12:00:00Z"),
            (r"127\.0\.0\.1:\d{4,5}\b(?<!:3080)(?<!:3025)(?<!:3128)(?<!:9999)", "127.0.0.1:40404"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "0e8b2b7e-5e6c-4d0a-9a3c-6f1d2b3c4d5e"),
            (r"\b[0-9a-f]{32}\b", "1b2c3d4e5f60718293a4b5c6d7e8f901"),
            (r"\b[0-9a-f]{16}\b", "5f0c1d2e3a4b5c6d"),
            (r"ASIAEXAMPLE\d{9}", "ASIAEXAMPLE000000000"),
            (r"\b(\d+) ms ahead of", "0 ms ahead of"),
            (r'(clock_skew_seconds": )-?\d+\b', r"\g<1>0"),  # of one clock, read twice
            (r'revision: "\d+"', 'revision: "15"'),
            (r"name: (0e8b2b7e-\S+)$", r'name: "\1"'),  # in quotes when it begins with a digit
            (r" [a-z_]+\.c:\d+$", "")):
        text = re.sub(pattern, shown, text, flags=re.M)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


@pytest.fixture
def shows(request):
    """shows(name, text, (real, shown)…): the page's block of this name has this text."""
    cluster = request.getfixturevalue("access" if "access" in request.fixturenames else "cluster")

    def check(name, text, *places):
        text = normalised(text, [*places, (cluster.proxy_addr, "127.0.0.1:3080"), (cluster.auth_addr, "127.0.0.1:3025")])
        page = PAGE.read_text()
        found = block(name).search(page)
        assert found, f"{PAGE.name} has no block '{name}' for:\n{text}"
        if os.environ.get("CTELEPORT_WRITE_DOCS"):
            PAGE.write_text(page[:found.start(2)] + text + page[found.end(2):])
        else:
            assert found.group(2) == text
    return check


def line(process, pattern):
    """The first line of the log with this in it, awaited."""
    process.wait_for(pattern + r"[^\n]*\n")
    return next(text for text in process.text().splitlines() if re.search(pattern, text))


def test_a_removed_machine_comes_back(access, shows):
    before = access.web.host_id
    access.web.process.mark()
    shows("removed", access.tctl("rm", f"node/{before}").out)
    access.web.process.wait_for("This host is present in the cluster")
    text = access.web.process.new_text()
    shown = [found.group(0) for found in re.finditer(r"^.*(the cluster no longer knows this host|Successfully registered|This host is present).*$", text, re.M)]
    shows("removed-agent", "\n".join(shown))


def test_a_cluster_of_teleport_is_named(cluster, aws, tmp_path, shows):
    with web_server(tmp_path, {"/webapi/ping": PING}) as (address, _):
        done = subprocess.run([program(cluster.build, "tsh"), "login", f"--proxy={address}", "--user=alice", "--insecure"], input="", capture_output=True, text=True,
                              timeout=TIMEOUT, env=clean_env(HOME=tmp_path), check=False)
    shows("teleport-login", done.stderr, (address, "127.0.0.1:3080"))
    ca = TheirCa()
    key = ca.make_key()
    with FakeAuth(pem(key), pem(ca.host(key.public_key(), "Auth")) + pem(ca.certificate)) as theirs:
        host = cluster.host("web-1", env=aws.identity(), via="auth", teleport={"auth_server": theirs.addr}).start()
        said = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + 64 * "0", line(host.process, "Can not join the cluster"))
        shows("teleport-join", said, (theirs.addr, "127.0.0.1:3025"))


def test_the_exit_code_of_teleport_status_shows_membership(cluster, aws, shows):
    host = cluster.host("web-1", env=aws.identity()).start()
    line(host.process, "Can not join")
    wait_until(lambda: host.status()["last_error"], "the refusal is written")
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1
    shows("status-not-joined", done.err)
    cluster.create(iam_token())
    host.wait_joined()
    wait_until(lambda: host.teleport("status", "--data-dir", host.data_dir, check=False).code == 0, "it can be reached")
    host.stop()
    wait_until(lambda: cluster.nodes() == [], "it is not listed")
    done = host.teleport("status", "--data-dir", host.data_dir, check=False)
    assert done.code == 1
    shows("status-stopped", done.out + done.err)


def test_the_state_of_the_cluster_is_missing(cluster, shows):
    cluster.stop_cluster()
    shutil.rmtree(cluster.data_dir / "backend")
    done = subprocess.run([program(cluster.build, "teleport"), "start", "-c", cluster.config_path], capture_output=True, text=True, env=cluster.env,
                          timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    shows("state-missing", done.stderr[done.stderr.index("ERROR: "):])


def test_every_output_on_the_page_has_its_case():
    named = set(re.findall(r"<!-- shown: (\S+) -->", PAGE.read_text()))
    made = set(re.findall(r"shows\(\"([^\"]+)\"", pathlib.Path(__file__).read_text()))
    assert named == made


def test_rows_and_symptoms_of_the_page_agree():
    page = PAGE.read_text()
    anchors = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.+)$", page, re.M)}
    table = page[:page.index("\n## ")]
    assert set(re.findall(r"\]\(#([^)]+)\)", table)) == anchors
    shown = "".join(re.findall(r"^```\n(.*?)^```", page, re.S | re.M))
    for words in re.findall(r"^\| [^|]*?`([^`]+)`", table, re.M):
        assert words in shown, f"no output says '{words}'"


# ---- other servers than expected ------------------------------------------------------------------------

@pytest.fixture
def serving():
    servers = []

    def start(serve):
        servers.append(TcpServer(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def relay(target, takes=lambda hello: True):
    """Forwards connections to target() if their first bytes are accepted."""
    def serve(peer):
        hello = peer.recv(65536)
        if not takes(hello):
            return
        host, port = target().split(":")
        with socket.create_connection((host, int(port))) as upstream:
            upstream.sendall(hello)
            splice(peer, upstream)
    return serve


NO_UPGRADE = '{"error":{"message":"the request has no \'Connection: Upgrade\' with \'Upgrade\': the load balancer must pass both fields on"}}'


def tls_ended_here(aws, answer, body=""):
    """Acts like a load balancer that works on HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(aws.dir / "sts.pem", aws.dir / "sts.key")
    context.set_alpn_protocols(["h2", "http/1.1"])

    def serve(peer):
        with context.wrap_socket(peer, server_side=True) as tls:
            if tls.recv(65536):
                tls.sendall(f"HTTP/1.1 {answer}\r\nServer: nginx/1.22.1\r\n\r\n{body}".encode())
    return serve


def tls_begun_again(aws, target):
    """Acts like a firewall that inspects TLS, and chooses the protocol that both sides speak."""
    outside, inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outside.load_cert_chain(aws.dir / "sts.pem", aws.dir / "sts.key")
    inside.check_hostname, inside.verify_mode = False, ssl.CERT_NONE
    for context in (outside, inside):
        context.set_alpn_protocols(["teleport-proxy-grpc"])

    def serve(peer):
        with outside.wrap_socket(peer, server_side=True) as near:
            host, port = target.rsplit(":", 1)
            with inside.wrap_socket(socket.create_connection((host, int(port))), server_hostname="teleport.example.com") as far:
                other = {near: far, far: near}
                while ready := select.select([near, far], [], [], TIMEOUT)[0]:
                    for end in ready:
                        if not (data := end.recv(65536)):
                            return
                        while end.pending():
                            data += end.recv(65536)
                        other[end].sendall(data)
    return serve


def saying(text):
    def serve(peer):
        peer.sendall(text)
        peer.recv(65536)
    return serve


def at(address):
    return {"teleport": {"proxy_server": address}}


def test_the_steps_to_the_cluster_are_shown(cluster, aws, tmp_path, shows):
    config = tmp_path / "teleport.yaml"
    host = cluster.host("web-1", env=aws.identity())

    def steps(address):
        config.write_text(f"version: v3\nteleport: {{proxy_server: '{address}', ca_pin: '{cluster.ca_pin}', data_dir: {tmp_path}/data}}\n"
                          "auth_service: {enabled: no}\nproxy_service: {enabled: no}\n")
        done = host.teleport("debug", "connect", "-c", config, check=False)
        return done.out + done.err
    with reserved_port() as closed:
        address = f"127.0.0.1:{port_of(closed)}"
        shows("debug-closed", steps(address), (address, "127.0.0.1:9999"), (str(config), "/etc/teleport.yaml"))
    shown = re.sub(r"\d+ ms (behind|ahead of)", "3 ms behind", re.sub(r", version \S+", ", version 1.0.0", steps(cluster.proxy_addr)))
    shows("debug-connect", shown, (str(config), "/etc/teleport.yaml"))


# ---- connections to the cluster -----------------------------------------------------------------------------

def test_a_balancer_that_ends_tls_is_named(cluster, aws, serving, shows):
    balancer = serving(tls_ended_here(aws, "404 Not Found"))
    host = cluster.host("web-1", env=aws.identity(), **at(balancer.addr)).start()
    shows("tls-ended", line(host.process, "Can not join"), (balancer.addr, "127.0.0.1:3080"))


def test_a_member_behind_a_tls_terminating_balancer_keeps_its_identity(cluster, aws, serving, shows):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity())
    host.stop()
    balancer = serving(tls_ended_here(aws, "502 Bad Gateway"))
    host.config["teleport"]["proxy_server"] = balancer.addr
    host.start()
    shows("intercepted", line(host.process, "is not connected to the cluster"), (balancer.addr, "127.0.0.1:3080"))


def test_a_balancer_that_passes_no_upgrade_on_is_named(cluster, aws, serving, shows):
    balancer = serving(tls_ended_here(aws, "400 Bad Request", NO_UPGRADE))
    host = cluster.host("web-1", env=aws.identity(), **at(balancer.addr)).start()
    shows("upgrade-not-passed", line(host.process, "Can not join"), (balancer.addr, "127.0.0.1:3080"))


def test_a_firewall_that_inspects_tls_is_named(cluster, aws, serving, shows):
    cluster.create(iam_token())
    balancer = serving(tls_begun_again(aws, cluster.proxy_addr))
    host = cluster.host("web-1", env=aws.identity(), **at(balancer.addr)).start()
    shows("tls-begun-again", line(host.process, "Can not join"), (balancer.addr, "127.0.0.1:3080"))


def test_a_port_without_tls_is_named(cluster, aws, serving, shows):
    http = serving(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    ssh = serving(saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
    for name, server in (("port-of-http", http), ("port-of-ssh", ssh)):
        host = cluster.host(name, env=aws.identity(), **at(server.addr)).start()
        text = line(host.process, "Can not join")
        if server is http:
            shows("port-of-http", text, (server.addr, "127.0.0.1:3080"))
        else:
            shows("port-of-ssh", text, (server.addr, "127.0.0.1:3080"))


def test_a_closed_port_is_named(cluster, aws, shows):
    with reserved_port() as closed:
        address = f"127.0.0.1:{port_of(closed)}"
        host = cluster.host("web-1", env=aws.identity(), **at(address)).start()
        shows("port-closed", line(host.process, "Can not join"), (address, "127.0.0.1:9999"))


def test_proxy_server_pointing_at_auth_is_reported(cluster, aws, shows):
    server = {"proxy_server": cluster.auth_addr, "ca_pin": cluster.ca_pin}
    host = cluster.host("web-1", env=aws.identity(), insecure=False, teleport=server).start()
    shows("proxy-server-is-auth", line(host.process, "Can not join"))


def test_auth_server_that_points_at_a_proxy_joins_through_it(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity(), teleport={"auth_server": cluster.proxy_addr})
    del host.config["teleport"]["proxy_server"]
    host.start().wait_joined()


def test_an_unknown_authority_is_named_with_its_issuer(cluster, aws, shows):
    host = cluster.host("web-1", env=aws.identity(), insecure=False).start()
    shows("unknown-authority", line(host.process, "Can not join"))


def test_an_http_proxy_that_refuses_is_named(cluster, aws, shows):
    proxy = HttpProxy(cluster.proxy_addr, status="407 Proxy Authentication Required")
    try:
        env = {**aws.identity(), "HTTPS_PROXY": f"http://{proxy.address}"}
        host = cluster.host("web-1", env=env, **at(f"{NAME}:443")).start()
        shows("http-proxy", line(host.process, "Can not join"), (proxy.address, "10.0.0.1:3128"))
    finally:
        proxy.shutdown()
        proxy.server_close()


def test_no_tls_at_all_is_refused_at_start(cluster, shows):
    done = subprocess.run([program(cluster.build, "teleport"), "start", "--insecure-no-tls", "-c", cluster.config_path], capture_output=True,
                          text=True, timeout=TIMEOUT)
    assert done.returncode != 0
    shows("insecure-no-tls", done.stderr)


# ---- the token ------------------------------------------------------------------------------------------

def test_a_token_that_is_not_there_is_named(cluster, aws, shows):
    host = cluster.host("web-1", token="iam-tokn", env=aws.identity()).start()
    shows("token-not-found", line(host.process, "Can not join"))


def test_an_expired_token_is_named_with_its_end(cluster, aws, shows):
    cluster.create_ending(iam_token, seconds=1)
    wait_until(lambda: cluster.json("tokens", "ls") == [], "the token has ended")
    host = cluster.host("web-1", env=aws.identity()).start()
    shows("token-expired", line(host.process, "Can not join"))


def test_the_token_list_shows_the_rules(cluster, shows):
    cluster.create(iam_token(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/web/*", roles=("Node", "App", "Db")))
    shows("tokens-ls", cluster.tctl("tokens", "ls").out)


def test_a_rule_for_a_whole_account_is_warned_of(cluster, shows):
    done = cluster.tctl("create", "-f", stdin=iam_token())
    shows("account-only", done.out + done.err)


# ---- the AWS identity -----------------------------------------------------------------------------------

def test_a_refused_host_is_reported_with_its_identity(cluster, aws, shows):
    cluster.create(iam_token(arn=DB_ONLY))
    host = cluster.host("web-1", env=aws.identity()).start()
    shows("no-rule-host", line(host.process, "Can not join"))
    shows("no-rule-auth", line(cluster.process, "Failure to join"))
    event = wait_until(lambda: [e for e in cluster.events("instance.join") if not e["success"]], "it is audited")[0]
    shows("no-rule-audit", json.dumps(event, indent=2))
    arn = event["attributes"]["arn"]
    shows("explain", cluster.tctl("tokens", "explain", "iam-token", f"--account={ACCOUNT}", f"--arn={arn}").out)
    wait_until(lambda: host.status()["last_error"], "the refusal is written")
    shows("status", host.teleport("status", "--data-dir", host.data_dir, check=False).out)


def test_missing_credentials_are_reported_on_both_sides(cluster, shows):
    cluster.create(iam_token())
    host = cluster.host("web-1").start()
    shows("no-credentials-host", line(host.process, "Can not join"))
    shows("no-credentials-auth", line(cluster.process, "Failure to join"))


def test_a_wrong_secret_is_reported_as_sts_reports_it(cluster, aws, shows):
    cluster.create(iam_token())
    env = {**aws.identity(), "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYNOTTHISKEY"}
    host = cluster.host("web-1", env=env).start()
    shows("wrong-secret-host", line(host.process, "Can not join"))
    shows("wrong-secret-auth", line(cluster.process, "Failure to join"))


def test_the_region_signed_for_is_the_region_asked(cluster, aws):
    cluster.create(iam_token())
    cluster.join("web-1", env={**aws.identity(), "AWS_REGION": "eu-west-1"})
    assert [dict(r["headers"])["Host"] for r in aws.requests()] == ["sts.eu-west-1.amazonaws.com"]


def test_the_sts_host_of_the_region_is_asked_first(cluster, aws, shows):
    host = cluster.host("web-1", env={**aws.identity(), "AWS_REGION": "eu-central-1"})
    shows("regional-sts", host.teleport("aws", "identity").out)


def test_an_unknown_region_is_reported_with_the_setting(cluster, aws, shows):
    cluster.create(iam_token())
    host = cluster.host("web-1", env={**aws.identity(), "AWS_REGION": "eu-north-7"}).start()
    shows("new-region-host", line(host.process, "Can not join"))
    shows("new-region-auth", line(cluster.process, "Failure to join"))


def test_which_credentials_of_a_pod_were_used_is_said(cluster, aws, tmp_path, shows):
    cluster.create(iam_token())
    role = f"arn:aws:iam::{ACCOUNT}:role/pod"
    key = aws.identity(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/pod/session")["AWS_ACCESS_KEY_ID"]
    aws.state["roles"][role] = {"key": key, "web_identity_token": "eyJhbGciOi.example"}
    aws.write()
    (tmp_path / "token").write_text("eyJhbGciOi.example")
    host = cluster.join("web-1", env={"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": tmp_path / "token",
                                      "AWS_ENDPOINT_URL_STS": f"https://127.0.0.1:{aws.sts_port}"})
    shows("web-identity", line(host.process, "Proved the AWS identity"))


# ---- clocks ---------------------------------------------------------------------------------------------

@pytest.fixture
def host_with_clock(cluster, aws, tmp_path):
    """host_with_clock(seconds): a host with a wrong clock in each of its processes, in any environment."""
    def make(seconds):
        library = tmp_path / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", f"-DCLOCK_OFF_BY={seconds}", "-o", library, FAKES / "clock.c"], check=True)
        copy_etc(tmp_path / "etc")
        (tmp_path / "etc/ld.so.preload").write_text(f"{library}\n")
        host = cluster.host("web-1", env={**aws.identity(), "ASAN_OPTIONS": "verify_asan_link_order=0"})
        host.inside = ["unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path}/etc /etc && exec "$@"', "sh"]
        return host.start()
    return make


def test_a_clock_far_off_is_named_in_the_refusal(cluster, host_with_clock, shows):
    cluster.create(iam_token())
    host = host_with_clock(-1200)
    shows("clock-refused", re.sub(r"\b1[12]\d\d seconds", "1200 seconds", line(host.process, "Can not join")))


def test_a_clock_that_is_off_is_measured_at_the_join(cluster, host_with_clock, shows):
    cluster.create(iam_token())
    host = host_with_clock(-120)
    text = line(host.process, "The clock of this host is off")
    status = wait_until(lambda: next(iter(re.findall(r"^Notice.*clock.*$", host.teleport("status", "--data-dir", host.data_dir, check=False).out, re.M)), None),
                        "status tells of the clock")
    shows("clock-off", re.sub(r"\b1[0-4]\d\b", "120", f"{text}\n{status}"))


# ---- after the join -------------------------------------------------------------------------------------

def test_two_hosts_of_one_image_are_both_warned(cluster, aws, shows):
    cluster.create(iam_token())
    original = cluster.join("web-1", env=aws.identity())
    clone = original.clone("web-2")
    shows("cloned", line(original.process, "two live agents"))
    line(clone.process, "two live agents")


def test_an_empty_host_uuid_is_made_anew(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity())
    host.data_dir.mkdir(mode=0o700)
    (host.data_dir / "host_uuid").write_text("")
    host.start().wait_joined()
    assert len(host.host_id) == 36


def test_a_host_that_joined_and_cannot_be_reached_says_so(cluster, aws, serving, shows):
    cluster.create(iam_token())
    front = serving(relay(lambda: cluster.proxy_addr, takes=lambda hello: b"teleport-proxy-grpc" in hello))
    host = cluster.host("web-1", env=aws.identity(), **at(front.addr)).start()
    shows("not-listed", line(host.process, "is not listed there"), (front.addr, "127.0.0.1:3080"))


def test_a_restart_of_the_cluster_is_said_once_and_mended(cluster, aws, shows):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    host.process.mark()
    cluster.stop_cluster()
    lost = line(host.process, "not connected|is not listed")
    cluster.start()
    host.wait_joined()
    found = [text for text in host.process.text().splitlines() if "present in the cluster" in text]
    shows("reconnected", f"{lost}\n{found[-1]}")


def test_a_changed_dns_address_is_used_without_a_restart(cluster, aws, serving, make_cluster):
    cluster.create(iam_token())
    front = serving(relay(lambda: cluster.proxy_addr))
    host = cluster.host("web-1", env=aws.identity(), **at(front.addr)).start()
    host.wait_joined()
    host.process.mark()
    cluster.stop_cluster()
    cluster.config["proxy_service"]["web_listen_addr"] = "127.0.0.1:0"
    before = cluster.proxy_addr
    cluster.start()
    assert cluster.proxy_addr != before
    host.wait_joined()
    cluster.exactly(1, "instance.join", success=True)


def test_a_host_needs_little_memory(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity()).wait_signed()
    pids = [host.process.pid, *host.process.children().values()]
    peak = sum(int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) for pid in pids)
    limit = 64 if "sanitizer build" not in host.process.text() else 1024
    assert peak < limit * 1024, f"{peak} KiB at most so far"


# ---- connections of users to a node -------------------------------------------------------------------------

def refusal(done):
    """The output of a program that failed."""
    assert done.code != 0
    return re.sub(r"^WARNING: .*\n", "", done.err)  # of --insecure


def test_a_login_at_an_untrusted_proxy(access, tmp_path, shows):
    user = User(access, "alice", tmp_path / "alice")
    done = user.tsh("login", f"--proxy={access.proxy_addr}", "--user=alice", stdin="x\nx\n", check=False)
    shows("proxy-not-trusted", refusal(done))


def test_a_login_with_the_wrong_password_or_code(access, invite, shows):
    user = invite(access)
    shows("login-wrong", refusal(user.login(otp="000000", check=False)))
    for _ in range(5):
        last = user.login(otp="000000", check=False)
    shows("login-guessing", refusal(last))


def test_a_login_that_has_ended(access, invite, shows):
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "brief"}, "spec": {
        "allow": {"node_labels": {"*": "*"}, "logins": ["root"]}, "options": {"max_session_ttl": "5s"}}})
    user = invite(access, roles="brief")
    user.login()
    wait_until(lambda: user.tsh("ls", check=False).code, "the login has ended")
    shows("login-ended", refusal(user.tsh("ssh", "root@web-1", check=False)))


def test_a_node_that_is_not_there(alice, shows):
    shows("no-such-node", refusal(alice.tsh("ssh", "root@web-7", check=False)))


def test_a_node_without_a_tunnel(access, alice, shows):
    children, supervisor = access.web.process.children(), access.web.process.pid
    os.kill(supervisor, signal.SIGSTOP)  # the ssh process is not started again; the instance still announces the host
    try:
        os.kill(children["ssh"], signal.SIGKILL)
        access.process.wait_for("A node's tunnel has ended")
        shows("no-tunnel", refusal(alice.tsh("ssh", "root@web-1", "true", check=False)))
    finally:
        os.kill(supervisor, signal.SIGCONT)


def test_several_nodes_of_one_name(access, alice, shows):
    access.join("web-1", env=access.node_env, ssh=access.web.config["ssh_service"]).wait_reachable()
    done = wait_until(lambda: (lambda d: d if "ambiguous" in d.err else None)(alice.tsh("ssh", "root@web-1", "true", check=False)), "both are reachable")
    shows("ambiguous", refusal(done))


def test_a_role_that_does_not_match(access, invite, shows):
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "staging"}, "spec": {
        "allow": {"node_labels": {"env": "staging"}, "logins": ["{{internal.logins}}"]}}})
    user = invite(access, roles="staging", logins="root,ubuntu")
    user.login()
    shows("role-node", refusal(user.tsh("ssh", "root@web-1", check=False)))
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "staging"}, "spec": {
        "allow": {"node_labels": {"env": "*"}, "logins": ["{{internal.logins}}"]}, "deny": {"logins": ["root"]}}})
    shows("role-login", refusal(user.tsh("ssh", "root@web-1", check=False)))
    reason = wait_until(lambda: access.events("session.rejected")[1:], "both are audited")[0]
    shows("role-audit", json.dumps({key: reason[key] for key in ("event", "code", "user", "login", "server_hostname", "reason", "causes")}, indent=2))


def test_a_locked_user(access, alice, shows):
    access.tctl("lock", "--user=alice", "--message=ask the security team")
    shows("locked", refusal(alice.tsh("ssh", "root@web-1", check=False)))
    shows("locks", access.tctl("get", "locks").out)


def test_an_account_that_is_locked_on_the_node(access, invite, accounts, shows):
    name = accounts.make().pw_name
    subprocess.run(["usermod", "--lock", name], check=True)
    user = invite(access, logins=name)
    user.login()
    assert user.tsh("ssh", f"{name}@web-1", "echo by PAM").out == "by PAM\n"
    access.web.stop()
    access.web.config["ssh_service"]["pam"] = {"enabled": False}
    access.web.start().wait_reachable()
    wait_until(lambda: access.node("web-1"), "web-1 is listed again")
    shows("account-locked", refusal(user.tsh("ssh", f"{name}@web-1", "true", check=False)), (name, "ubuntu"))
    shows("account-locked-audit", wait_until(lambda: access.events("session.rejected"), "the refusal is audited")[0]["reason"], (name, "ubuntu"))


def test_an_account_with_an_expired_password(access, invite, accounts, shows):
    name = accounts.make().pw_name
    subprocess.run(["chage", "--lastday", "0", name], check=True)
    user = invite(access, logins=name)
    user.login()
    terminal = user.terminal("ssh", f"{name}@web-1")
    terminal.expect("(teleport: the password[^\r]*)\r")
    shows("account-expired", terminal.match.group(1).decode())


def test_copying_files_where_it_is_not_allowed(access, invite, tmp_path, shows):
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "no-files"}, "spec": {
        "allow": {"node_labels": {"*": "*"}, "logins": ["root"]}, "options": {"ssh_file_copy": False}}})
    user = invite(access, roles="no-files")
    user.login()
    (tmp_path / "file").write_text("x")
    shows("file-copy", refusal(user.tsh("scp", tmp_path / "file", f"root@web-1:{tmp_path}/there", check=False)), (str(tmp_path), "/home/alice"))
    shows("file-copy-sftp", refusal(user.ssh("-b", "-", "root@web-1.example.test", stdin="ls\n", program_="sftp", check=False)))
    shows("file-copy-audit", wait_until(lambda: access.events("session.rejected"), "the refusal is audited")[0]["reason"])


def test_a_host_without_an_ssh_server(cluster, aws, shows):
    cluster.create(iam_token())
    host = cluster.host("web-1", env=aws.identity())
    host.inside = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /usr/sbin/sshd && exec "$@"', "sh"]
    host.start()
    host.process.wait_for(r"ERROR: .*\n.*\n")
    shows("no-sshd", "\n".join(re.findall(r"^(?:ERROR|hint): .*$", host.process.text(), re.M)))


@pytest.mark.parametrize("mode", ["strict", "best_effort"])
def test_a_recording_that_cannot_be_written(access, invite, mode, shows):
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "recorded"}, "spec": {
        "allow": {"node_labels": {"*": "*"}, "logins": ["root"]}, "options": {"record_session": {"default": mode}}}})
    user = invite(access, roles="recorded")
    user.login()
    (access.web.data_dir / "spool").rmdir()  # where nothing can be written then, not even by root
    child = user.terminal("ssh", "-t", "root@web-1", "true")
    child.expect(r"(teleport: [^\r\n]*)[\r\n]")
    said = child.match.group(1).decode()
    child.close()
    if mode == "strict":
        shows("recording-strict", said)
    else:
        shows("recording-best-effort", said)
