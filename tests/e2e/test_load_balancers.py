# SPDX-License-Identifier: Apache-2.0
"""A cluster whose proxy is reached through a load balancer or reverse proxy that ends TLS: everything works as without it."""
import contextlib
import os
import signal
import socket

import pytest

from boxes import BOXES, NAME, Place
from harness import TIMEOUT, iam_token, wait_until
from join_client import Peer, join, split
from test_upgrade import behind, exchange, get
from upgraded import FORMS, Upgraded, Upgrader
from users import browse, invite_url


@pytest.fixture(scope="module", params=BOXES)
def place(request, programs, aws_process, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        place = Place(stack, request.param, programs, aws_process, tmp_path_factory.mktemp(request.param))
        place.web = place.host().start()
        place.web.wait_reachable()
        place.alice = place.user(roles="access,editor")
        yield place


def test_an_agent_joins_through_it_and_is_listed(place):
    node = wait_until(lambda: place.cluster.node("web-1"), "web-1 is listed")
    assert node["spec"]["hostname"] == "web-1"
    text = place.web.process.text()
    assert "Successfully registered via proxy server" in text and "cannot reach" not in text


def test_a_command_runs_on_the_node_through_it(place):
    assert place.alice.tsh("ls", "--format=names").out == "web-1\n"
    assert place.alice.tsh("ssh", "root@web-1", "echo through").out == "through\n"


def test_a_file_is_copied_through_it(place, tmp_path):
    data = bytes(range(256)) * 8192
    (tmp_path / "sent").write_bytes(data)
    place.alice.tsh("scp", "-q", tmp_path / "sent", f"root@web-1:{tmp_path}/received")
    assert (tmp_path / "received").read_bytes() == data


def test_tctl_of_a_workstation_works_through_it(place):
    assert "web-1" in place.alice.tctl("nodes", "ls").out


def test_the_page_of_an_invitation_is_served_through_it(place):
    url = invite_url(place.cluster.tctl("users", "add", "bob", "--roles=access").out)
    assert url.startswith(f"https://{place.box.addr}/web/invite/")
    assert browse(url).status == 200


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_upgrade_passes_through_it(place, form):
    with Upgraded(place.box.addr, form, name=NAME) as upgraded:
        upgraded.sendall(b"\x05\x01\x00 socks")
        assert upgraded.recv() == b"" and upgraded.answer.split(None, 2)[1] == b"101"


def test_the_tunnel_is_opened_again_after_its_restart(place):
    place.web.process.mark()
    place.box.restart()
    place.web.process.wait_for("Reverse tunnel established")
    # The presence of the host is connected again, too, before or after its tunnel; until then it counts as offline.
    wait_until(lambda: place.alice.tsh("ssh", "root@web-1", "echo again", check=False).out == "again\n", "web-1 is reached again")


def test_certificates_are_renewed_through_it(programs, aws, tmp_path):
    """By one kind of box: an agent renews as it joins and connects."""
    with contextlib.ExitStack() as stack:
        place = Place(stack, "haproxy", programs, aws, tmp_path, auth={"host_cert_ttl": "12s"})
        host = place.host().start()
        stack.callback(host.stop)
        host.wait_reachable()
        user = place.user()
        for _ in range(2):
            host.process.wait_for("Reverse tunnel renewed")
            host.process.mark()
        assert user.tsh("ssh", "root@web-1", "echo renewed").out == "renewed\n"
        text = host.process.text()
        assert text.count("Reverse tunnel established") == 1 and "A reverse tunnel is lost" not in text, text


def test_a_client_that_forges_its_address_counts_with_its_own(place):
    """The box replaces X-Forwarded-For: a second address would be refused."""
    with Upgrader(place.box.addr, source="127.0.0.9", name=NAME, fields="X-Forwarded-For: 198.51.100.1\r\n") as port:
        with Peer(behind(place.cluster, port), "proxy") as peer:
            host_id, _ = join(peer, place.cluster.aws.identity("arn:aws:sts::123456789012:assumed-role/forger/i-0"), name="forger")
    assert place.cluster.event("instance.join", success=True, host_id=host_id)["addr.remote"] == "127.0.0.9:0"


def test_a_pinned_cluster_is_joined_through_it(place):
    host = place.host("web-2", ca_pin=place.cluster.ca_pin).start()
    host.wait_reachable()
    host.stop()


def test_plain_http_is_served_to_load_balancers_where_configured(programs, aws_process, tmp_path):
    with contextlib.ExitStack() as stack:
        place = Place(stack, "nginx", programs, aws_process, tmp_path / "place", is_plain=True)
        with socket.create_connection(split(place.box.target), timeout=TIMEOUT) as connection:
            assert b"cluster_name" in exchange(connection, get("/webapi/find", "Connection: close\r\n"))
        place.host().start().wait_reachable()
        assert place.user().tsh("ssh", "root@web-1", "echo through").out == "through\n"
        assert place.cluster.event("session.start")["addr.remote"] == "127.0.0.1:0"


# ---- what an ALB does, played by HAProxy -----------------------------------------------------------------------

# HTTP/2 and HTTP/1.1 in front, HTTP/1.1 behind, no ALPN and no server name to the target, whose certificate is not verified.
ALB = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend https
    bind 127.0.0.1:{port} ssl crt /etc/ssl/teleport.example.com.pem alpn h2,http/1.1
    http-request set-header X-Amzn-Trace-Id Root=1-%Ts-%rt
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Port 443
    option forwardfor
    http-after-response set-header Server awselb/2.0
    default_backend target
backend target
    server target 10.0.0.10:3080 ssl verify none no-check
"""


@pytest.fixture(scope="module")
def alb(programs, aws_process, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Place(stack, "haproxy", programs, aws_process, tmp_path_factory.mktemp("alb"), ALB)


def test_an_agent_joins_and_is_reached_through_an_alb(alb):
    alb.host().start().wait_reachable()
    assert alb.user().tsh("ssh", "root@web-1", "echo through").out == "through\n"


@pytest.mark.nightly
def test_a_session_is_idle_for_longer_than_an_alb_permits(alb):
    """Twice as long: the pings of client, host and proxy keep the session and the tunnel."""
    host = alb.host("idle").start()
    host.wait_reachable()
    user = alb.user("idle")
    host.process.mark()
    assert user.tsh("ssh", "root@idle", "sleep 130; echo awake", timeout=3 * TIMEOUT).out == "awake\n"
    assert "tunnel is lost" not in host.process.new_text() and "not connected" not in host.process.new_text()
    host.stop()


def test_the_setting_of_the_environment_forbids_the_upgrade(alb):
    host = alb.host("never", env={"TELEPORT_TLS_ROUTING_CONN_UPGRADE": f"yes,{alb.box.addr}=no"}).start()
    host.process.wait_for("the server does not speak the application protocol we need")
    host.stop()


def test_the_setting_of_the_environment_demands_the_upgrade(alb, tmp_path):
    """Straight at the proxy, which has the upgrade itself; its certificate is not trusted, unlike that inside."""
    host = alb.host("always", env={"TELEPORT_TLS_ROUTING_CONN_UPGRADE": "0,127.0.0.1=1"}, proxy_server=alb.cluster.proxy_addr,
                    ca_pin=alb.cluster.ca_pin)
    host.start().process.wait_for("the connection upgrade failed: the server's certificate")
    host.stop()
    host.insecure = True
    host.start().wait_joined()
    host.stop()


def test_a_setting_that_cannot_be_read_is_reported(alb):
    host = alb.host("maybe", env={"TELEPORT_TLS_ROUTING_CONN_UPGRADE": "maybe"}).start()
    host.process.wait_for("TELEPORT_TLS_ROUTING_CONN_UPGRADE of the environment: 'maybe' is neither yes nor no")
    host.stop()


def test_a_certificate_that_is_not_trusted_is_refused(alb):
    host = alb.host("distrustful", env={"SSL_CERT_FILE": "/nonexistent"}).start()
    host.process.wait_for("the server's certificate is signed by an unknown authority.*SSL_CERT_FILE")
    assert "Successfully registered" not in host.process.text()
    host.stop()


# ---- a load balancer that leads upgrades to another cluster --------------------------------------------------------

ELSEWHERE = ALB.replace("    default_backend target\n", "    use_backend elsewhere if { path /webapi/connectionupgrade }\n    default_backend target\n"
                        "backend elsewhere\n    server elsewhere {elsewhere} ssl verify none no-check\n")


def test_another_cluster_inside_the_upgrade_is_refused(programs, aws, make_cluster, tmp_path):
    """A host that joins with a pin, also with --insecure, refuses it before it sends anything; so do a member, a user, and a login by the cluster's own CA."""
    other = make_cluster()
    other.create(iam_token())
    with contextlib.ExitStack() as stack:
        place = Place(stack, "haproxy", programs, aws, tmp_path / "place", ALB)
        member = place.host("member").start()
        member.wait_reachable()
        alice = place.user()
        place.box.config = ELSEWHERE.replace("{elsewhere}", other.proxy_addr)
        member.process.mark()
        instance = member.process.children()["instance"]
        os.kill(instance, signal.SIGSTOP)  # it would report that nothing listens, and a second reason is not logged
        place.box.restart()
        os.kill(instance, signal.SIGCONT)
        line = member.process.wait_for("cannot reach the cluster at.*").group(0)
        assert "unknown authority" in line, line
        joining = place.host("joining", ca_pin=place.cluster.ca_pin)
        joining.insecure = True
        line = joining.start().process.wait_for("Can not join the cluster as Instance.*").group(0)
        assert "ca_pin" in line, line
        for command in (("ls",), ("login", f"--proxy={place.box.addr}", "--user=alice")):
            refused = alice.tsh(*command, stdin=f"{alice.password}\n000000\n", check=False)
            assert refused.code == 1 and "the connection upgrade through it failed: the server's certificate" in refused.err, refused.err
        assert other.events("user.login") == [] and other.events("instance.join") == [] and other.nodes() == [] and not (joining.data_dir / "host_uuid").exists()
        place.box.config = ALB
        place.box.restart()
        joining.wait_reachable()
        member.process.wait_for("Reverse tunnel established")
        assert other.events("instance.join") == []
