# SPDX-License-Identifier: Apache-2.0
"""`teleport debug connect` and `tsh debug connect`: each step of the way to the cluster, and the first that fails with reason and remedy."""
import json
import re
import ssl
import subprocess
import threading
import types

import pytest
import yaml

from boxes import BOXES, NAME, SHOWN, Box, certificate
from harness import FAKES, TIMEOUT, Result, clean_env, iam_token, port_of, program, reserved_port, wait_until
from tcp_server import TcpServer
from test_egress import NAME as BEHIND_SQUID, squid, sts  # noqa: F401 (fixtures)
from test_http_proxy import HttpProxy
from test_proxies import Proxy
from test_teleport_itself import PING, web_server
from test_troubleshooting import normalised, saying, tls_ended_here
from test_web_certificates import Pair
from users import User, browse, invite_url

HOST_STEPS = ["configuration", "egress proxy", "DNS", "TCP", "TLS", "ALPN", "upgrade", "inner TLS", "join service", "auth", "clock"]
MARKS = {"✓": "passed", "-": "not needed", "!": "warning", "✗": "failed"}


class Shown:
    """The output: .steps is {title: (result, text)} in its order."""

    def __init__(self, done):
        self.code, self.out, self.err = done.code, done.out, done.err
        found = re.findall(r"^([✓✗!-]) (\S.{13}) (.*\n(?:^ {17}.*\n)*)", done.out, re.M)
        self.steps = {title.strip(): (MARKS[mark], re.sub(r"\n *", "\n", text).strip()) for mark, title, text in found}
        assert len(self.steps) == len(found), f"a step is printed twice: {done.out}"

    def fails_at(self, step, *texts):
        assert self.code == 1, self.out
        assert list(self.steps)[-1] == step and self.steps[step][0] == "failed", self.out
        assert [s for s, (result, _) in self.steps.items() if result == "failed"] == [step], self.out
        assert re.search(rf"ERROR: the connection .*fails at the step '{step}'", self.err), self.err
        for text in texts:
            assert re.search(text, self.steps[step][1]), self.out

    def result(self, step):
        return self.steps[step][0]

    def text(self, step):
        return self.steps[step][1]


def words_of(cluster, *args, data_dir=None):
    return [program(cluster.build, "teleport"), "debug", "connect", f"--data-dir={data_dir or cluster.dir / 'none'}", *map(str, args)]


def connect(cluster, *args, data_dir=None, **env):
    """On a host without a configuration file and without an identity."""
    words = words_of(cluster, *args, data_dir=data_dir)
    return Shown(Result(subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(**env), stdin=subprocess.DEVNULL)))


def web_page(cluster, path):
    return browse(f"https://{cluster.proxy_addr}{path}").text


@pytest.fixture(scope="module")
def pin(shared):
    return f"--ca-pin={shared.ca_pin}"


@pytest.fixture
def serving():
    servers = []

    def start(serve):
        servers.append(TcpServer(serve))
        return servers[-1].addr.replace("127.0.0.1", NAME)

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def closed():
    with reserved_port() as held:
        yield f"127.0.0.1:{port_of(held)}"


def nginx_text(lines):
    """The configuration of the guide for Box, with these lines in front of its location."""
    text = (SHOWN / "nginx.conf").read_text().replace("    location / {", lines + "    location / {")
    for old, new in BOXES["nginx"][2].items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def nginx(shared, tmp_path_factory):
    """nginx as the guide shows it, in front of the shared cluster."""
    box = Box("nginx", tmp_path_factory.mktemp("nginx") / "box")
    yield box.start(shared.proxy_addr)
    box.close()


# ---- teleport debug connect -------------------------------------------------------------------------------------

def test_every_step_of_a_direct_connection_passes(shared, pin):
    shown = connect(shared, f"--proxy={shared.proxy_addr}", pin)
    assert shown.code == 0 and shown.err == "", shown.out + shown.err
    assert list(shown.steps) == HOST_STEPS
    assert {step for step in HOST_STEPS if shown.result(step) == "not needed"} == {"egress proxy", "DNS", "upgrade", "inner TLS"}
    assert {shown.result(step) for step in HOST_STEPS} == {"passed", "not needed"}, shown.out
    assert shown.text("TCP") == f"connected to {shared.proxy_addr}"
    assert re.search(r"^TLSv1.3, certificate for .*teleport\.cluster\.local.*, issued by '.*', valid until 20.*; verified by ca_pin$", shown.text("TLS")), shown.out
    assert "cluster example.test" in shown.text("auth") and "ms" in shown.text("clock")


def test_nothing_is_joined_or_recorded(shared, pin):
    before = shared.events("instance.join")
    assert connect(shared, f"--proxy={shared.proxy_addr}", pin).code == 0
    shared.create(iam_token("later"))
    shared.event("join_token.create", name="later")
    assert shared.events("instance.join") == before


def test_a_closed_port_is_named(shared, pin, closed):
    shown = connect(shared, f"--proxy={closed}", pin)
    shown.fails_at("TCP", rf"^cannot reach the proxy server at {closed}: cannot connect to {closed}: Connection refused", "remedy: is the service running there")
    assert shown.result("DNS") == "not needed"


def test_the_steps_are_printed_as_json(shared, pin, closed):
    shown = connect(shared, f"--proxy={closed}", pin, "--format=json")
    found = json.loads(shown.out)
    assert shown.code == 1 and found["address"] == closed and found["connects"] is False
    assert [step["step"] for step in found["steps"]] == ["configuration", "egress-proxy", "dns", "tcp"]
    assert found["steps"][-1]["result"] == "failed" and "Connection refused" in found["steps"][-1]["error"] and found["steps"][-1]["remedy"]
    assert json.loads(connect(shared, f"--proxy={shared.proxy_addr}", pin, "-f", "json").out)["connects"] is True


def test_a_name_that_does_not_resolve_is_named(shared, pin):
    connect(shared, "--proxy=does-not-exist.invalid:443", pin).fails_at(
        "DNS", "cannot find the address of does-not-exist.invalid:443", "remedy: check the name and this machine's DNS settings")


def test_a_step_is_printed_when_it_has_passed(shared, pin, serving):
    """A server that accepts connections and stays silent: the program waits in the handshake of TLS, and the steps before are on the screen."""
    answer = threading.Event()
    address = serving(lambda peer: answer.wait(TIMEOUT) and peer.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n"))
    with subprocess.Popen(words_of(shared, f"--proxy={address}", pin), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_env()) as process:
        out = []
        while not out or not out[-1].startswith("✓ TCP "):
            assert (line := process.stdout.readline()), out
            out.append(line)
        answer.set()
        rest, err = process.communicate(timeout=TIMEOUT)
    shown = Shown(types.SimpleNamespace(code=process.returncode, out="".join(out) + rest, err=err))
    shown.fails_at("TLS", "something that is not TLS: 'SSH-2.0-OpenSSH_9.2p1'")
    assert list(shown.steps) == HOST_STEPS[:5], shown.out


# ---- configuration ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("address, text", [("localhost:0", "the port must be a number from 1 to 65535"), ("2130706433:443", "all four numbers")])
def test_an_address_that_no_server_has_is_refused(shared, newcomer, pin, address, text):
    for shown in (connect(shared, f"--proxy={address}", pin), diagnose(newcomer, f"--proxy={address}")):
        shown.fails_at("configuration", f"'{address}' is not an address", text)


def test_the_configuration_and_identity_of_a_host_are_used(shared, aws_process):
    host = shared.host("web-1", env=aws_process.identity(), teleport={"ca_pin": shared.ca_pin}).start()
    host.wait_joined()
    host.stop()
    shown = Shown(host.teleport("debug", "connect", "-c", host.config_path))
    assert f"proxy_server {shared.proxy_addr} ({host.config_path}), ca_pin, join method iam" == shown.text("configuration")
    del host.config["teleport"]["ca_pin"]
    host.config_path.write_text(yaml.safe_dump(host.config))
    shown = Shown(host.teleport("debug", "connect", "-c", host.config_path))
    assert shown.code == 0 and "verified by the CA of this host's identity" in shown.text("TLS")


def test_auth_itself_is_diagnosed_when_auth_server_names_it(shared, tmp_path):
    config = tmp_path / "teleport.yaml"
    config.write_text(yaml.safe_dump({"version": "v3", "teleport": {"auth_server": shared.auth_addr, "ca_pin": shared.ca_pin},
                                      "auth_service": {"enabled": False}, "proxy_service": {"enabled": False}}))
    shown = connect(shared, f"--config={config}")
    assert shown.code == 0 and f"auth_server {shared.auth_addr}" in shown.text("configuration") and "h2" in shown.text("ALPN")
    config.write_text(config.read_text().replace(shared.ca_pin, "''"))
    shown = connect(shared, f"--config={config}")
    assert shown.code == 0 and {step for step in HOST_STEPS if shown.result(step) == "warning"} == {"configuration", "TLS"}, shown.out
    assert "the cluster has not proven itself: neither ca_pin nor ca.cert is configured" in shown.text("TLS") and "'tctl status' prints" in shown.text("TLS")


def test_a_user_without_the_right_to_the_identity_is_warned(shared, pin, programs, account):
    words = [f"{programs}/teleport", "debug", "connect", f"--data-dir={shared.data_dir}", f"--proxy={shared.proxy_addr}", pin]
    shown = Shown(Result(subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(), user=account.pw_uid, group=account.pw_gid,
                                        extra_groups=[], cwd="/")))
    assert shown.code == 0 and shown.result("configuration") == "warning", shown.out + shown.err
    assert "the identity of this host is not used" in shown.text("configuration") and "remedy: run this as root" in shown.text("configuration")


def test_a_configuration_that_is_refused_is_the_first_step(shared, tmp_path):
    config = tmp_path / "teleport.yaml"
    config.write_text("version: v3\nteleport: {proxy_sever: a.example.com}\n")
    connect(shared, f"--config={config}").fails_at("configuration", "proxy_sever")
    connect(shared, f"--proxy={shared.proxy_addr}", "--ca-pin=sha256:12").fails_at("configuration", "ca_pin")
    config.write_text("version: v3\n")
    connect(shared, f"--config={config}").fails_at("configuration", "no proxy_server and no auth_server is configured", "--proxy=HOST:PORT")


def test_without_a_pin_its_absence_is_marked(shared):
    shown = connect(shared, f"--proxy={shared.proxy_addr}")
    assert shown.result("configuration") == "warning"
    assert "there is no ca_pin" in shown.text("configuration") and "'tctl status' prints" in shown.text("configuration")
    shown.fails_at("TLS", "^certificate for auth-1, .*issued by 'CN=auth-1,O=self-signed', valid until 20", "the server's certificate is signed by an unknown authority",
                   "remedy: .*ca_pin in the configuration, or SSL_CERT_FILE; teleport start --insecure")


def test_the_ways_of_a_join_are_tried_in_their_order(shared, tmp_path, closed):
    """With ca.cert: the web certificate by it, the cluster's by it, the web certificate by the system's CAs."""
    (tmp_path / "ca.cert").write_text(web_page(shared, "/webapi/auth/export?type=tls-host"))
    shown = connect(shared, f"--proxy={shared.proxy_addr}", data_dir=tmp_path)
    assert shown.code == 0 and list(shown.steps) == HOST_STEPS and shown.text("TLS").endswith("verified by ca.cert of the data directory"), shown.out
    shown = connect(shared, f"--proxy={closed}", data_dir=tmp_path)
    assert shown.out.count("Connection refused") == 1
    connect(shared, f"--proxy={shared.auth_addr}", data_dir=tmp_path).fails_at("ALPN", "speak the application protocol we need")


def test_other_debug_commands_are_those_of_teleport(shared):
    done = subprocess.run([program(shared.build, "teleport"), "debug", "set-log-level", "DEBUG"], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1 and "a command of Teleport that this release does not have" in done.stderr and "teleport debug connect" in done.stderr


def test_insecure_is_no_flag_of_it(shared):
    shown = connect(shared, f"--proxy={shared.proxy_addr}", "--insecure")
    assert shown.code == 1 and "unknown flag '--insecure'" in shown.err and shown.steps == {}


# ---- TLS ----------------------------------------------------------------------------------------------------------

def test_another_pin_is_refused_with_both(shared):
    wrong = "sha256:" + "0" * 64
    connect(shared, f"--proxy={shared.proxy_addr}", f"--ca-pin={wrong}").fails_at(
        "TLS", f"the cluster's CA is {shared.ca_pin}, and ca_pin names {wrong}", "remedy: compare teleport.ca_pin with the pin that 'tctl status' prints")


@pytest.mark.parametrize("name, end, text, remedy", [
    ("other.example.com", 1, "the server's certificate is not for 'localhost', it is for: other.example.com", "connect by one of these names"),
    (NAME, -1, r"the server's certificate expired on 20\S+Z", "the clock of this machine says 20.*the certificate must be renewed"),
])
def test_a_wrong_web_certificate_is_named(shared, serving, tmp_path, name, end, text, remedy):
    pair = Pair(tmp_path, "web")
    pair.write(name, begin=-3, end=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["teleport-proxy-grpc"])
    address = serving(lambda peer: context.wrap_socket(peer, server_side=True).close())
    connect(shared, f"--proxy={address}", SSL_CERT_FILE=str(pair.cert)).fails_at("TLS", f"^certificate for {name}, issued by 'CN=web', valid until 20", text, f"remedy: .*{remedy}")


def test_a_port_of_another_service_is_named(shared, pin, serving):
    connect(shared, f"--proxy={serving(saying(b'SSH-2.0-OpenSSH_9.2p1'))}", pin).fails_at("TLS", "something that is not TLS: 'SSH-2.0-OpenSSH_9.2p1'")


def test_a_proxy_server_that_is_auth_fails_at_alpn(shared, pin):
    connect(shared, f"--proxy={shared.auth_addr}", pin).fails_at("ALPN", r"does not speak the application protocol we need \(ALPN\)", "named in auth_server")


def test_a_server_that_ends_every_call_serves_no_joins(shared, serving, tmp_path):
    """Only the proxy's own words about auth show that it forwards joins."""
    pair = Pair(tmp_path, "web")
    pair.write(NAME, begin=-3, end=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["teleport-proxy-grpc"])
    address = serving(lambda peer: context.wrap_socket(peer, server_side=True).close())
    connect(shared, f"--proxy={address}", SSL_CERT_FILE=str(pair.cert)).fails_at("join service", "connection")


# ---- load balancers -------------------------------------------------------------------------------------------------

HTTPS_PROOF = "verified by the host CA, which was read from /webapi/auth/export over the HTTPS above"


@pytest.mark.parametrize("has_pin, proof", [(True, "verified by ca_pin"), (False, HTTPS_PROOF)])
def test_every_step_through_nginx_passes(shared, pin, nginx, has_pin, proof):
    shown = connect(shared, f"--proxy={nginx.addr}", *([pin] if has_pin else []), SSL_CERT_FILE=str(nginx.ca))
    assert shown.code == 0 and list(shown.steps) == HOST_STEPS, shown.out
    assert f"127.0.0.1:{nginx.port}" in shown.text("DNS") and f"connected to 127.0.0.1:{nginx.port}" in shown.text("TCP")
    assert "certificate for localhost, 127.0.0.1, issued by 'CN=a public CA'" in shown.text("TLS")
    assert shown.text("TLS").endswith("; verified by the CAs of the system")
    assert "something in front of the cluster ends TLS, such as a load balancer" in shown.text("ALPN")
    assert shown.text("upgrade") == "WebSocket at /webapi/connectionupgrade"
    assert "teleport.cluster.local" in shown.text("inner TLS") and shown.text("inner TLS").endswith(proof)


def test_the_output_in_the_guide_is_that_through_nginx(shared, pin, nginx):
    out = connect(shared, f"--proxy={nginx.addr}", pin, SSL_CERT_FILE=str(nginx.ca)).out.replace("[::1]:%d, " % nginx.port, "")
    places = [(nginx.addr, "teleport.example.com:443"), (f"127.0.0.1:{nginx.port}", "192.0.2.10:443"), ("localhost, 127.0.0.1,", "teleport.example.com,")]
    out = normalised(re.sub(r"version \S+", "version 1.0.0", re.sub(r"\d+ ms \S+", "3 ms behind", out.replace("ahead of", "ahead-of"))), places)
    guide = (SHOWN.parent / "load-balancers.md").read_text()
    assert re.search(r"^\$ teleport debug connect [^\n]*\n(.*?)^```$", guide, re.M | re.S).group(1) == out


def test_nginx_that_drops_the_websocket_upgrade_is_named(shared, pin, tmp_path):
    text = "".join(line for line in (SHOWN / "nginx.conf").read_text().splitlines(True) if "Upgrade $" not in line and "Connection $" not in line)
    for old, new in BOXES["nginx"][2].items():
        text = text.replace(old, new)
    box = Box("nginx", tmp_path / "box", text)
    try:
        box.start(shared.proxy_addr)
        shown = connect(shared, f"--proxy={box.addr}", pin, SSL_CERT_FILE=str(box.ca))
    finally:
        box.close()
    shown.fails_at("upgrade", r"the server there \('nginx/[0-9.]+'\) answered GET /webapi/connectionupgrade with 4\d\d .*, and says 'the request ", "remedy: it does not pass WebSocket upgrades on")


def test_a_certificate_of_the_load_balancer_that_is_not_trusted(shared, pin, nginx):
    connect(shared, f"--proxy={nginx.addr}", pin, SSL_CERT_FILE="/nonexistent").fails_at(
        "TLS", "^certificate for localhost, 127.0.0.1, issued by 'CN=a public CA', valid until 20", "something in front of the cluster ends TLS", "signed by an unknown authority, 'CN=a public CA'", "remedy: this certificate is that of a load balancer")


def test_another_cluster_behind_the_load_balancer_fails_inside(shared, nginx):
    connect(shared, f"--proxy={nginx.addr}", "--ca-pin=sha256:" + "0" * 64, SSL_CERT_FILE=str(nginx.ca)).fails_at("inner TLS", "the cluster's CA is sha256:")


def test_nginx_that_speaks_http_to_the_https_port_is_named(shared, pin, tmp_path):
    text = (SHOWN / "nginx.conf").read_text()
    for old, new in BOXES["nginx"][2].items():
        text = text.replace(old, new)
    assert "proxy_pass https://" in text
    box = Box("nginx", tmp_path / "box", text.replace("proxy_pass https://", "proxy_pass http://"))
    try:
        box.start(shared.proxy_addr)
        shown = connect(shared, f"--proxy={box.addr}", pin, SSL_CERT_FILE=str(box.ca))
    finally:
        box.close()
    shown.fails_at("upgrade", "with 400 Bad Request, and says 'This port speaks TLS: use https.'", "remedy: it sends HTTP without TLS to a port for HTTPS")


@pytest.mark.parametrize("answer, remedy", [
    ("404 Not Found", "let it pass all paths"),
    ("502 Bad Gateway", "cannot reach the Proxy Service behind it"),
    ("400 Bad Request|This port speaks TLS: use https.", "let it use HTTPS there"),
    ("400 Bad Request|the load balancer sent more than one address in X-Forwarded-For", "replace X-Forwarded-For and not append"),
])
def test_the_answer_of_a_load_balancer_has_its_remedy(shared, pin, serving, tmp_path, answer, remedy):
    answer, _, body = answer.partition("|")
    _, _, ca = certificate(tmp_path / "certificates")
    address = serving(tls_ended_here(types.SimpleNamespace(dir=ca.parent), answer, body))
    connect(shared, f"--proxy={address}", pin, SSL_CERT_FILE=str(ca)).fails_at("upgrade", f"connectionupgrade with {answer}", body, f"remedy: .*{remedy}")


@pytest.mark.parametrize("answer, shown_as, remedy", [
    ("404 Not Found", "answered 404 Not Found", "let it pass all paths"),
    ("403 Forbidden", "answered 403 Forbidden", "exempt the paths of the Proxy Service"),
    ("302 Found\r\nLocation: https://login.example.com/", "answered 302 Found, and sends us on to 'https://login.example.com/'", "pass /webapi/ on"),
    ("200 OK\r\nServer: nginx/1.22.1\r\nContent-Length: 29\r\n\r\n<html>an error of ours</html>", "answered with '<html>an error of ours</html>', which is no CA certificate", "pass /webapi/ on"),
])
def test_a_load_balancer_that_keeps_the_host_ca_is_named(shared, newcomer, serving, tmp_path, answer, shown_as, remedy):
    """Without a pin, and at a login, the host CA is read over HTTPS first."""
    _, _, ca = certificate(tmp_path / "certificates")
    address = serving(tls_ended_here(types.SimpleNamespace(dir=ca.parent), answer))
    for shown, hint in ((connect(shared, f"--proxy={address}", SSL_CERT_FILE=str(ca)), "; with ca_pin this request is not made"),
                        (diagnose(newcomer, f"--proxy={address}", SSL_CERT_FILE=str(ca)), "")):
        shown.fails_at("upgrade", "/webapi/auth/export", re.escape(shown_as), f"remedy: .*{remedy}.*{hint}")
        assert "server there ('nginx/1.22.1')" in shown.text("upgrade") and shown.result("ALPN") == "passed"


def test_the_setting_of_the_upgrade_decides(shared, pin, nginx):
    trust = {"SSL_CERT_FILE": str(nginx.ca)}
    connect(shared, f"--proxy={nginx.addr}", pin, TELEPORT_TLS_ROUTING_CONN_UPGRADE="no", **trust).fails_at(
        "ALPN", "TELEPORT_TLS_ROUTING_CONN_UPGRADE is no, and the direct connection failed: the server does not speak the application protocol we need",
        "remedy: unset TELEPORT_TLS_ROUTING_CONN_UPGRADE if something in front of the cluster ends TLS")
    shown = connect(shared, f"--proxy={nginx.addr}", pin, TELEPORT_TLS_ROUTING_CONN_UPGRADE="yes", **trust)
    assert shown.code == 0 and shown.result("ALPN") == "not needed" and "TELEPORT_TLS_ROUTING_CONN_UPGRADE" in shown.text("ALPN")
    assert shown.text("configuration").endswith(", TELEPORT_TLS_ROUTING_CONN_UPGRADE is yes")
    shown = connect(shared, f"--proxy={shared.proxy_addr}", pin, TELEPORT_TLS_ROUTING_CONN_UPGRADE="yes")
    shown.fails_at("TLS", "TELEPORT_TLS_ROUTING_CONN_UPGRADE is yes, and the connection upgrade failed", "remedy: unset TELEPORT_TLS_ROUTING_CONN_UPGRADE if nothing")
    assert "something in front of the cluster ends TLS, such" not in shown.out
    connect(shared, f"--proxy={nginx.addr}", pin, TELEPORT_TLS_ROUTING_CONN_UPGRADE="maybe", **trust).fails_at("configuration", "'maybe' is neither yes nor no")


# ---- egress proxies -------------------------------------------------------------------------------------------------

@pytest.fixture
def behind_squid(shared, squid, tmp_path):  # noqa: F811
    roots = tmp_path / "roots.pem"
    roots.write_text(squid.ca)
    return f"--proxy={BEHIND_SQUID}:{shared.proxy_addr.rsplit(':', 1)[1]}", str(roots)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_step_through_squid_passes(shared, pin, squid, behind_squid, scheme):  # noqa: F811
    address, roots = behind_squid
    shown = connect(shared, address, pin, HTTPS_PROXY=squid.url(scheme), SSL_CERT_FILE=roots)
    assert shown.code == 0 and "CONNECT" in shown.text("egress proxy") and "s@fe" not in shown.out, shown.out
    assert shown.result("DNS") == shown.result("TCP") == "not needed" and "HTTP proxy" in shown.text("DNS")


def test_a_wrong_password_for_squid_is_named(shared, pin, squid, behind_squid):  # noqa: F811
    shown = connect(shared, behind_squid[0], pin, HTTPS_PROXY=squid.url("http", "web:wrong@"))
    shown.fails_at("egress proxy", f"the HTTP proxy at localhost:{squid.plain} gives no tunnel: it answered 407", "remedy: the user or the password of HTTPS_PROXY is refused")
    assert "wrong" not in shown.out + shown.err


def test_a_refusal_of_the_http_proxy_is_named(shared, pin):
    with HttpProxy(shared.proxy_addr, status="403 Forbidden") as proxy:
        shown = connect(shared, "--proxy=teleport.example.com:443", pin, HTTPS_PROXY=f"http://{proxy.address}")
        proxy.shutdown()
    shown.fails_at("egress proxy", f"the HTTP proxy at {proxy.address} gives no tunnel: it answered 403", "remedy: allow CONNECT to this address")


def test_a_setting_of_the_http_proxy_that_cannot_be_used(shared, pin, newcomer):
    address, setting = "--proxy=teleport.example.com:443", {"HTTPS_PROXY": "socks4://127.0.0.1:1080"}
    for shown in (connect(shared, address, pin, **setting), diagnose(newcomer, address, **setting)):
        shown.fails_at("egress proxy", "HTTPS_PROXY")
        assert shown.result("configuration") == "passed"


def test_an_http_proxy_that_is_away_is_named(shared, pin, closed):
    connect(shared, "--proxy=teleport.example.com:443", pin, HTTPS_PROXY=f"http://{closed}").fails_at(
        "egress proxy", f"the HTTP proxy at {closed} \\(HTTPS_PROXY\\) does not answer: cannot connect to {closed}: Connection refused")


# ---- clocks ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def other_clock(tmp_path_factory):
    """other_clock(seconds): the environment of a process whose clock is ahead by that much."""
    directory = tmp_path_factory.mktemp("clocks")

    def make(seconds):
        library = directory / f"clock{seconds}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", f"-DCLOCK_OFF_BY={seconds}", "-o", library, FAKES / "clock.c"], check=True)
        return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    return make


def test_a_clock_that_proofs_do_not_survive_fails(shared, pin, other_clock):
    connect(shared, f"--proxy={shared.proxy_addr}", pin, **other_clock(1200)).fails_at(
        "clock", r"the clock of this host is 1[12]\d\d seconds ahead of the cluster's", "remedy: set the clock of this host")


def test_a_clock_that_is_slightly_off_is_marked(shared, pin, other_clock):
    shown = connect(shared, f"--proxy={shared.proxy_addr}", pin, **other_clock(50))
    assert shown.code == 0 and shown.result("clock") == "warning" and "seconds ahead of the cluster's" in shown.text("clock")


def test_a_clock_before_the_certificate_of_the_cluster(shared, pin, other_clock):
    connect(shared, f"--proxy={shared.proxy_addr}", pin, **other_clock(-86400)).fails_at(
        "TLS", "the server's certificate is not valid yet: this host's clock is at least", "remedy: set the clock of this host")


# ---- auth is away -----------------------------------------------------------------------------------------------------

def test_a_proxy_that_does_not_reach_auth_is_named(make_cluster, aws, tmp_path):
    cluster = make_cluster(proxy=False)
    cluster.node_env = aws.identity()
    cluster.create(iam_token("proxy-token", roles=["Proxy"]))
    pin = f"--ca-pin={cluster.ca_pin}"
    proxy = Proxy(cluster, "proxy-1").start().wait_serving()
    wait_until(lambda: connect(cluster, f"--proxy={proxy.addr}", pin).code == 0, "the proxy reaches auth")
    cluster.stop_cluster()
    shown = wait_until(lambda: (shown := connect(cluster, f"--proxy={proxy.addr}", pin)).code == 1 and shown, "the proxy has lost auth")
    shown.fails_at("auth", "this proxy cannot reach the Auth Service right now", "remedy: try again in a moment; the proxy's log has details")
    assert shown.result("join service") == "passed"
    diagnose(User(cluster, "bob", tmp_path / "home"), f"--proxy={proxy.addr}", "--insecure").fails_at("auth", "this proxy cannot reach the Auth Service right now")


# ---- tsh debug connect ------------------------------------------------------------------------------------------------

USER_STEPS = ["configuration", "egress proxy", "DNS", "TCP", "TLS", "ALPN", "upgrade", "inner TLS", "web page", "auth", "clock", "login"]


def diagnose(user, *args, **env):
    return Shown(user.tsh("debug", "connect", *args, check=False, env=env))


@pytest.fixture(scope="module")
def user(shared, tmp_path_factory):
    words = shared.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    someone = User(shared, "alice", tmp_path_factory.mktemp("alice")).accept(invite_url(words))
    someone.login()
    return someone


@pytest.fixture
def newcomer(shared, tmp_path):
    """A user who has not logged in on this machine."""
    return User(shared, "bob", tmp_path / "home")


def test_every_step_of_a_logged_in_user_passes(shared, user):
    shown = diagnose(user)
    assert shown.code == 0 and list(shown.steps) == USER_STEPS, shown.out
    assert {step for step in USER_STEPS if shown.result(step) == "warning"} == {"configuration"}
    assert shown.text("TLS").endswith("verified by the CAs of the profile") and shown.text("configuration").startswith(f"{shared.proxy_addr} (profile)")
    assert "alice, until 20" in shown.text("login") and "cluster example.test" in shown.text("auth")


def test_a_user_reaches_the_cluster_through_nginx(shared, newcomer, nginx):
    shown = diagnose(newcomer, f"--proxy={nginx.addr}", SSL_CERT_FILE=nginx.ca)
    assert shown.code == 0 and list(shown.steps) == USER_STEPS, shown.out
    assert shown.text("inner TLS").endswith(HTTPS_PROOF) and shown.result("login") == "not needed"
    assert shown.text("configuration") == f"{nginx.addr} (--proxy)"
    shown = diagnose(newcomer, SSL_CERT_FILE=nginx.ca, TELEPORT_PROXY=nginx.addr, TELEPORT_TLS_ROUTING_CONN_UPGRADE="yes")
    assert shown.code == 0 and shown.text("configuration") == f"{nginx.addr} (TELEPORT_PROXY), TELEPORT_TLS_ROUTING_CONN_UPGRADE is yes"


def test_a_logged_in_user_needs_no_pages_of_the_proxy(shared, tmp_path):
    """As every command of a login, the diagnosis verifies the cluster by the CAs of the profile."""
    box = Box("nginx", tmp_path / "box")
    user = User(shared, "bob", tmp_path / "home")
    user.env["SSL_CERT_FILE"] = str(box.ca)
    try:
        box.start(shared.proxy_addr)
        user.accept(invite_url(shared.tctl("users", "add", "bob", "--roles=access", "--logins=root").out))
        user.tsh("login", f"--proxy={box.addr}", "--user=bob", stdin=f"{user.password}\n{user.otp()}\n")
        box.process.stop()
        box.config = nginx_text("    location /webapi/auth/ { return 404; }\n    location /webapi/ping { return 404; }\n")
        box.start(shared.proxy_addr)
        user.tsh("ls")
        shown = diagnose(user)
    finally:
        box.close()
    assert shown.code == 0 and list(shown.steps) == USER_STEPS, shown.out + shown.err
    assert shown.text("inner TLS").endswith("verified by the CAs of the profile") and shown.text("TLS").endswith("verified by the CAs of the system")
    assert shown.result("web page") == "warning" and "answered 404" in shown.text("web page") and shown.result("login") == "passed"


def test_a_user_without_login_and_proxy_is_asked_for_one(newcomer):
    diagnose(newcomer).fails_at("configuration", "Not logged in", r"tsh debug connect --proxy=HOST\[:PORT\]")


def test_a_user_at_an_untrusted_proxy_gets_the_remedy(shared, newcomer):
    diagnose(newcomer, f"--proxy={shared.proxy_addr}").fails_at("TLS", f"cannot reach the proxy at {shared.proxy_addr}: .*unknown authority", "remedy: .*SSL_CERT_FILE")


def test_a_user_at_a_closed_port_gets_json(newcomer, closed):
    shown = diagnose(newcomer, f"--proxy={closed}", "--format=json")
    found = json.loads(shown.out)
    assert shown.code == 1 and [step["step"] for step in found["steps"]][-1] == "tcp" and "Connection refused" in found["steps"][-1]["error"]


def test_a_user_behind_a_refusing_http_proxy(shared, newcomer):
    with HttpProxy(shared.proxy_addr, status="403 Forbidden") as proxy:
        shown = diagnose(newcomer, "--proxy=teleport.example.com:443", HTTPS_PROXY=f"http://{proxy.address}")
        proxy.shutdown()
    shown.fails_at("egress proxy", "gives no tunnel: it answered 403")


def test_a_locked_user_does_not_pass_the_login(shared, tmp_path):
    """In TLS 1.3 the handshake succeeds before auth has judged the certificate; a call reports what it found."""
    words = shared.tctl("users", "add", "mallory", "--roles=access", "--logins=root").out
    mallory = User(shared, "mallory", tmp_path / "mallory").accept(invite_url(words))
    mallory.login()
    assert diagnose(mallory).result("login") == "passed"
    shared.tctl("lock", "--user=mallory")
    diagnose(mallory).fails_at("login", "user mallory is locked")
    shared.tctl("users", "rm", "mallory")
    diagnose(mallory).fails_at("login", "mallory")


def test_a_setting_of_the_upgrade_is_not_the_http_proxys(newcomer):
    shown = diagnose(newcomer, "--proxy=teleport.example.com:443", HTTPS_PROXY="http://127.0.0.1:3128", TELEPORT_TLS_ROUTING_CONN_UPGRADE="maybe")
    shown.fails_at("configuration", "'maybe' is neither yes nor no")


def test_a_proxy_of_teleport_at_the_second_port_is_named(newcomer, tmp_path):
    """The address has no port, and nothing answers at the first one that is tried."""
    with web_server(tmp_path, {"/webapi/ping": PING}) as (address, _), HttpProxy(address, refused=":3080") as proxy:
        shown = diagnose(newcomer, "--proxy=teleport.example.com", "--insecure", HTTPS_PROXY=f"http://{proxy.address}")
        proxy.shutdown()
    shown.fails_at("configuration", "belongs to a cluster of Teleport itself.*: teleport.example.com:443")
