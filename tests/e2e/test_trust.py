# SPDX-License-Identifier: Apache-2.0
"""Nobody is believed unproven: the cluster by its hosts, AWS by the Auth Service."""
import pathlib
import ssl
import threading

import pytest

from fake_auth import FakeAuth, server_certificate
from harness import iam_token
from join_client import SERVER_NAME
from signing import stand_in

WRONG_PIN = "sha256:" + "0" * 64


def web_certificate(cluster):
    """The proxy's own certificate, which no CA signed."""
    return (cluster.data_dir / "webproxy_cert.pem").read_text()


def refused(host, pattern):
    """The line with which a host that trusts nobody says so."""
    host.start()
    return host.process.wait_for(f"Can not join the cluster.*{pattern}.*").group(0)


def has_heard_nothing(cluster, aws):
    return cluster.events("instance.join") == [] and aws.requests() == []


# ---- a host and its proxy -----------------------------------------------------------------------------------

def test_a_proxy_with_an_unknown_certificate_is_refused_and_the_way_out_is_told(cluster, aws):
    cluster.create(iam_token())
    line = refused(cluster.host(env=aws.identity(), insecure=False), "certificate")
    assert cluster.proxy_addr in line
    assert "ca_pin" in line or "ca.cert" in line or "SSL_CERT_FILE" in line
    assert has_heard_nothing(cluster, aws)


def test_a_host_joins_a_proxy_whose_certificate_its_system_trusts(cluster, aws, tmp_path):
    cluster.create(iam_token())
    (tmp_path / "roots.pem").write_text(web_certificate(cluster))
    host = cluster.join(env={**aws.identity(), "SSL_CERT_FILE": tmp_path / "roots.pem"}, insecure=False)
    assert "--insecure" not in host.process.text()


def test_a_host_joins_a_proxy_whose_certificate_lies_in_its_data_dir(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), insecure=False)
    host.data_dir.mkdir(mode=0o700)
    (host.data_dir / "ca.cert").write_text(web_certificate(cluster))
    host.start().wait_joined()


def test_a_host_joins_a_proxy_by_the_ca_pin(cluster, aws):
    cluster.create(iam_token())
    cluster.join(env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin})


@pytest.mark.parametrize("via", ["proxy", "auth"])
def test_a_wrong_ca_pin_is_refused(cluster, aws, via):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), via=via, insecure=False)
    host.config["teleport"]["ca_pin"] = WRONG_PIN
    line = refused(host, "ca_pin")
    assert "tctl status" in line
    assert has_heard_nothing(cluster, aws)


def test_one_right_pin_of_several_is_enough(cluster, aws):
    cluster.create(iam_token())
    cluster.join(env=aws.identity(), via="auth", teleport={"ca_pin": [WRONG_PIN, cluster.ca_pin]})


def test_an_auth_server_without_a_pin_is_trusted_on_first_use_with_a_warning(cluster, aws):
    cluster.create(iam_token())
    host = cluster.host(env=aws.identity(), via="auth")
    del host.config["teleport"]["ca_pin"]
    host.start()
    assert "tctl status" in host.process.wait_for("has not proven itself.*").group(0)
    host.wait_joined()


# ---- a rogue server -----------------------------------------------------------------------------------------

def at(host, server, by):
    """Leads a host to another server."""
    for name in ("proxy_server", "auth_server"):
        host.config["teleport"].pop(name, None)
    host.config["teleport"][by] = server.addr
    return host


@pytest.mark.parametrize("by, teleport", [
    ("proxy_server", {}),
    ("proxy_server", {"ca_pin": WRONG_PIN}),
    ("auth_server", {"ca_pin": WRONG_PIN}),
])
def test_a_rogue_server_hears_nothing(cluster, aws, by, teleport):
    with FakeAuth(*server_certificate(SERVER_NAME)) as rogue:
        host = at(cluster.host(env=aws.identity(), insecure=False, teleport=teleport), rogue, by)
        refused(host, rogue.addr)
        host.stop()
        assert rogue.received.empty()


def test_a_rogue_server_in_place_of_a_known_cluster_hears_nothing(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join(env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin})
    host.stop()
    with FakeAuth() as rogue:
        at(host, rogue, "auth_server").start()
        host.process.wait_for(f"not connected to the cluster.*{rogue.addr}")
        host.stop()
        assert rogue.received.empty()


@pytest.mark.parametrize("by", ["proxy_server", "auth_server"])
def test_a_host_of_the_cluster_cannot_pose_as_its_server(cluster, aws, by):
    cluster.create(iam_token())
    traitor = cluster.join("traitor", env=aws.identity())
    stolen = traitor.identity("node")
    chain = "".join(map(ssl.DER_cert_to_PEM_cert, [stolen["tls_cert"], *stolen["tls_ca_certs"]]))
    with FakeAuth(stolen["tls_key"].encode(), chain.encode()) as rogue:
        host = at(cluster.host("web-2", env=aws.identity(), insecure=False, teleport={"ca_pin": cluster.ca_pin}), rogue, by)
        refused(host, "")
        assert "of role 'Node' instead of" in host.process.text()
        host.stop()
        assert rogue.received.empty()


# ---- AWS towards the Auth Service -----------------------------------------------------------------------------

@pytest.fixture
def impostor(tmp_path):
    """An STS by a CA of its own, with a certificate for another name; (server, its CA, its log)."""
    paths = stand_in.make_certificates(tmp_path, ["sts.example.com"], "a CA of somebody else")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(paths["sts.pem"], paths["sts.key"])
    state = tmp_path / "state.json"
    state.write_text('{"sts": {"mode": "ok"}, "keys": {}}')
    server = stand_in.Server(stand_in.Sts, stand_in.State(state), tmp_path / "sts.log", tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, paths["ca.pem"], tmp_path / "sts.log"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("whose_ca", ["ours", "theirs"])
def test_an_sts_without_a_certificate_for_its_name_by_a_trusted_ca_is_told_nothing(make_cluster, aws, impostor, whose_ca):
    server, ca, log = impostor
    cluster = make_cluster(env={"AWS_CA_BUNDLE": ca if whose_ca == "theirs" else aws.ca},
                           auth={"aws": {"sts_connect_to": f"127.0.0.1:{server.server_port}"}})
    cluster.create(iam_token())
    refused(cluster.host(env=aws.identity()), "could not be asked")
    line = cluster.process.wait_for("Failure to join cluster occurred.*certificate of https://sts.us-east-1.amazonaws.com.*").group(0)
    assert "AWS_CA_BUNDLE" in line
    event = [e for e in cluster.events("instance.join") if not e["success"]][0]
    assert (event["check"], "attributes" in event) == ("sts", False)
    assert not pathlib.Path(log).exists(), "no request was sent"
