# SPDX-License-Identifier: Apache-2.0
"""The true address of clients behind load balancers that announce it, by the PROXY protocol or X-Forwarded-For, and forged announcements."""
import contextlib
import copy
import socket
import ssl

import pytest

from balancers import SOURCE, Haproxy, Nginx
from harness import TIMEOUT, Cluster, iam_token
from join_client import Peer, Relay, join, split
from upgraded import Upgrader
from users import User, invite_url

CLIENT, OTHER = "127.0.0.9", "127.0.0.3"
LOGIN_FAILURES = 5  # LIMIT_LOGIN_FAILURES
V1 = b"PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x01\x7f\x00\x00\x01\x12\x67\x01\xbb"
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


@pytest.fixture(scope="module")
def place(programs, aws_process, tmp_path_factory):
    """A cluster that expects headers from SOURCE, with load balancers in front of it: .front[name] is an address."""
    directory = tmp_path_factory.mktemp("ingress")
    announced = {"proxy_protocol": "on", "load_balancers": [f"{SOURCE}/32"]}
    cluster = Cluster(programs, aws_process, directory / "cluster", auth=announced)
    cluster.config["proxy_service"].update(announced)
    haproxy, nginx = Haproxy(directory / "haproxy"), Nginx(directory / "nginx")
    with contextlib.ExitStack() as stack:
        for started in (cluster, haproxy, nginx):
            stack.callback(started.stop)
        cluster.start()
        haproxy.start({
            "v1": ("127.0.0.1", cluster.proxy_addr, "send-proxy"),
            "v2": ("127.0.0.1", cluster.proxy_addr, "send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 500ms"),
            "v2-ipv6": ("::1", cluster.proxy_addr, "send-proxy-v2"),
            "auth-v1": ("127.0.0.1", cluster.auth_addr, "send-proxy"),
            "auth-v2": ("127.0.0.1", cluster.auth_addr, "send-proxy-v2"),
            "silent": ("127.0.0.1", cluster.proxy_addr, ""),
        })
        nginx.start(cluster.proxy_addr)
        cluster.front = {**haproxy.addresses, "nginx": nginx.address}
        cluster.create(iam_token())
        yield cluster


def behind(cluster, name):
    """The cluster as it is seen through a load balancer."""
    seen = copy.copy(cluster)
    seen.auth_addr = seen.proxy_addr = cluster.front[name]
    return seen


@pytest.mark.parametrize("name, via", [("v1", "proxy"), ("v2", "proxy"), ("nginx", "proxy"), ("auth-v1", "auth"), ("auth-v2", "auth")])
def test_a_join_is_audited_with_its_true_address(place, aws, name, via):
    with Peer(behind(place, name), via, source=CLIENT) as peer:
        host_id, _ = join(peer, aws.identity(f"arn:aws:sts::123456789012:assumed-role/{name}/i-0"), name=f"host-{name}")
    event = place.event("instance.join", success=True, host_id=host_id)
    assert event["addr.remote"].startswith(f"{CLIENT}:"), event
    assert event["forwarded_by_proxy"] is (via == "proxy")


def test_sessions_and_logins_are_audited_with_true_addresses(place, aws, tmp_path):
    host = place.host("web-1", env=aws.identity(), teleport={"proxy_server": place.front["v2-ipv6"]}).start()
    host.wait_reachable()
    assert place.event("instance.join", success=True, node_name="web-1")["addr.remote"].startswith("[::1]:")
    words = place.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    alice = User(behind(place, "v1"), "alice", tmp_path / "alice").accept(invite_url(words))
    alice.login()
    assert place.event("user.login", success=True)["addr.remote"].startswith("127.0.0.1:")
    assert alice.tsh("ssh", "root@web-1", "echo here").out == "here\n"
    assert place.event("session.start")["addr.remote"].startswith("127.0.0.1:")
    assert not [e for e in place.events() if str(e.get("addr.remote")).startswith(SOURCE)]
    host.stop()


def guessing_is_stopped_at_its_client(cluster, user, way):
    """way(address): a port that leads from there to the load balancer. The failures of one address lock it, and no other."""
    with way(CLIENT) as guessing, way(OTHER) as honest:
        user.cluster = copy.copy(cluster)
        user.cluster.proxy_addr = guessing.addr
        for _ in range(LOGIN_FAILURES + 1):
            last = user.login(password="wrong password here", otp="000000", check=False)
        assert "too many failed logins" in last.err, last.err
        assert "too many failed logins" in user.login(check=False).err, "the right password is not tried either"
        user.cluster.proxy_addr = honest.addr
        user.login()
    refused = cluster.exactly(LOGIN_FAILURES + 2, "user.login", user=user.name, success=False)
    assert {e["addr.remote"].rsplit(":", 1)[0] for e in refused} == {CLIENT}
    assert cluster.event("user.login", user=user.name, success=True)["addr.remote"].startswith(f"{OTHER}:")


def test_guessing_behind_the_proxy_protocol_is_stopped_at_its_client(place, invite):
    guessing_is_stopped_at_its_client(place, invite(behind(place, "v1"), "guessed"), lambda address: Relay(place.front["v2"], address))


def answer_to(address, first, source):
    """What comes back, until the connection is ended, when it begins with these bytes and TLS follows."""
    with socket.create_connection(split(address), timeout=TIMEOUT, source_address=(source, 0)) as plain:
        with contextlib.suppress(ConnectionError):
            plain.sendall(first)
            return plain.recv(1)
    return b""


FORGED = {"v1": V1, "v2": V2, "local": V2_LOCAL, "unknown": b"PROXY UNKNOWN\r\n"}


@pytest.mark.parametrize("via", ["auth", "proxy"])
def test_forged_headers_are_refused_and_logged(place, via):
    address = place.auth_addr if via == "auth" else place.proxy_addr
    for name, header in FORGED.items():
        place.process.mark()
        assert answer_to(address, header + b"\x16\x03\x01", OTHER) == b"", name
        place.process.wait_for(rf"A connection was refused.*{OTHER}.*its sender is none of load_balancers")
    assert page_of(place.proxy_addr, b"", OTHER).startswith(b"HTTP/1.1 200")  # without a header they are served


def test_a_load_balancer_that_sends_no_header_is_refused(place):
    place.process.mark()
    assert answer_to(place.front["silent"], b"\x16\x03\x01", "127.0.0.1") == b""
    place.process.wait_for(rf"A connection was refused.*{SOURCE}.*sent no PROXY protocol header")


def test_malformed_headers_of_a_load_balancer_are_refused(place):
    cut_tlv = V2[:14] + b"\x00\x0d" + V2[16:] + b"\x04"
    too_long = V2[:12] + b"\x21\x11\xff\xff"
    for header in (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", cut_tlv, too_long):
        place.process.mark()
        assert answer_to(place.proxy_addr, header + b"\x16\x03\x01", SOURCE) == b"", header
        place.process.wait_for(rf"A connection was refused.*{SOURCE}.*PROXY protocol header")


PING = b"GET /webapi/ping HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"


def page_of(address, first, source, request=PING):
    """The answer to a request in TLS behind these bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(split(address), timeout=TIMEOUT, source_address=(source, 0)) as plain:
        plain.sendall(first)
        with context.wrap_socket(plain) as tls:
            tls.sendall(request)
            return b"".join(iter(lambda: tls.recv(65536), b""))


def test_a_header_counts_for_nothing_where_it_is_not_configured(make_cluster):
    cluster = make_cluster(auth={"proxy_protocol": "off"})
    for header in (V1, V2):
        assert page_of(cluster.proxy_addr, header, OTHER).startswith(b"HTTP/1.1 200")
        cluster.process.wait_for(rf"The address of a PROXY protocol header was ignored.*{OTHER}")
        cluster.process.mark()
        assert answer_to(cluster.auth_addr, header + b"\x16\x03\x01", OTHER) == b""
        cluster.process.wait_for(rf"A connection was refused.*{OTHER}.*proxy_protocol is off")


# ---- X-Forwarded-For ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def website(build, aws_process, tmp_path_factory):
    """A cluster behind an HTTP load balancer at .front."""
    directory = tmp_path_factory.mktemp("website")
    cluster, haproxy = Cluster(build, aws_process, directory / "cluster"), Haproxy(directory / "haproxy")
    cluster.config["proxy_service"].update({"trust_x_forwarded_for": True, "load_balancers": [SOURCE]})
    with contextlib.ExitStack() as stack:
        for started in (cluster, haproxy):
            stack.callback(started.stop)
        cluster.start()
        cluster.front = {"http": haproxy.start_http(cluster.proxy_addr).address}
        cluster.create(iam_token())
        yield cluster


def test_requests_and_upgrades_count_for_the_forwarded_client(website, aws, tmp_path):
    words = website.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    User(behind(website, "http"), "alice", tmp_path / "alice").accept(invite_url(words))
    assert website.event("user.password_change", user="alice")["addr.remote"] == "127.0.0.1:0"
    assert {e["addr.remote"] for e in website.events() if e.get("user") == "alice" and "addr.remote" in e} == {"127.0.0.1:0"}
    seen = copy.copy(website)
    with Upgrader(website.front["http"], source=CLIENT) as port:
        seen.proxy_addr = port.addr
        with Peer(seen, "proxy") as peer:
            host_id, _ = join(peer, aws.identity())
    assert website.event("instance.join", success=True, host_id=host_id)["addr.remote"] == f"{CLIENT}:0"


def test_guessing_behind_forwarded_addresses_is_stopped_at_its_client(website, invite):
    guessing_is_stopped_at_its_client(website, invite(behind(website, "http"), "guessed"), lambda address: Upgrader(website.front["http"], source=address))


def test_forged_forwarded_addresses_are_refused_or_ignored(website):
    forged = b"GET /webapi/ping HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"
    website.process.mark()
    assert page_of(website.proxy_addr, b"", OTHER, forged).startswith(b"HTTP/1.1 200")
    website.process.wait_for(rf"An X-Forwarded-For field was ignored.*{OTHER}")
    answer = page_of(website.front["http"], b"", OTHER, forged)  # the load balancer adds a second address
    assert answer.startswith(b"HTTP/1.1 400") and b"more than one address in X-Forwarded-For" in answer
    website.process.wait_for(rf"A request was refused.*{SOURCE}")
    answer = page_of(website.proxy_addr, b"", SOURCE, forged.replace(b"198.51.100.1", b"unknown"))
    assert answer.startswith(b"HTTP/1.1 400") and b"is not an address" in answer
