# SPDX-License-Identifier: Apache-2.0
"""Users who reach applications: through the proxy and the tunnel of a host that offers them."""
import os
import signal

import pytest

from app_client import AppConnection, certificate_of
from harness import Cluster, iam_token, wait_until
from test_tsh_apps import ProxyApp
from users import User, invite_url


def apps(*rows):
    return {"app_service": {"enabled": "yes", "apps": [{"name": name, "uri": f"tcp://{addr}", "labels": {"env": env}} for name, addr, env in rows]}}


@pytest.fixture(scope="module")
def place(build, programs, aws_process, tmp_path_factory, echo_server):
    """A cluster with a host that offers applications and SSH, and one that offers one of them."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("app-access") / "cluster")
    cluster.config.update(apps(("inside", echo_server.addr, "prod")))
    cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    aws_process.reset()
    env = aws_process.identity()
    cluster.both = cluster.host("both", env=env, services=apps(("echo", echo_server.addr, "prod"), ("lone", echo_server.addr, "prod"),
                                                               ("dev", echo_server.addr, "dev"), ("gone", "127.0.0.1:1", "prod"),
                                                               ("half", echo_server.addr, "prod"), ("down", "127.0.0.1:1", "prod")))
    cluster.only = cluster.host("only", env=env, ssh={"enabled": "no"}, services=apps(("echo", echo_server.addr, "prod"), ("half", "127.0.0.1:1", "prod"),
                                                                                               ("down", "127.0.0.1:1", "prod")))
    for host in (cluster.both, cluster.only):
        host.start()
    for host in (cluster.both, cluster.only):
        host.wait_joined()
    wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * 10, "all applications are reached")
    wait_until(lambda: cluster.node("both")["spec"]["state"] == "online", "and the node")
    yield cluster
    cluster.stop()


def role(name, **allow):
    return {"kind": "role", "version": "v7", "metadata": {"name": name}, "spec": {"allow": allow}}


def user_of(place, name, directory, *roles):
    words = place.tctl("users", "add", name, f"--roles={','.join(roles)}", "--logins=root").out
    user = User(place, name, directory / name).accept(invite_url(words))
    user.login()
    return user


@pytest.fixture(scope="module")
def alice(place, tmp_path_factory):
    """May use what is labelled env=prod."""
    place.create(role("prod-apps", app_labels={"env": "prod"}, node_labels={"*": "*"}, logins=["root"]))
    return user_of(place, "alice", tmp_path_factory.mktemp("homes"), "prod-apps")


def test_a_user_reaches_an_application(place, alice):
    with AppConnection(alice, "lone") as app:
        assert app.status == 200 and app.refusal is None, app.text
        assert app.host_id == place.both.host_id
        assert app.certificate == place.both.identity("app")["tls_cert"], "TLS ends at the host"
        assert app.echoes() and app.echoes(b"x" * 200_000)
        start = place.event("app.session.start", app_name="lone")
    end = place.event("app.session.end", app_name="lone")
    assert (start["code"], end["code"]) == ("T2007I", "T2011I")
    for event in (start, end):
        assert event["user"] == "alice" and event["app_labels"]["env"] == "prod" and event["app_uri"].startswith("tcp://127.0.0.1:")
        assert event["server_id"] == place.both.host_id and event["sid"] == start["sid"] and event["addr.remote"].startswith("127.0.0.1:")
    assert (end["tx"], end["rx"]) == (200_006, 200_006) and "login" not in start


def test_a_host_offers_ssh_and_applications_at_once(place, alice):
    assert alice.tsh("ssh", "root@both", "echo in").out == "in\n"
    with AppConnection(alice, "lone") as app:
        assert app.echoes()
    assert "is not connected" not in place.process.text()


def test_the_machine_of_auth_offers_applications_too(alice):
    with AppConnection(alice, "inside") as app:
        assert app.refusal is None and app.echoes()


REFUSED = [
    ("dev", 404, "there is no app 'dev', or it is offline"),  # not of alice's labels: as if it were not there
    ("nowhere", 404, "there is no app 'nowhere', or it is offline"),
    ("both", 404, "there is no app 'both', or it is offline"),  # the name of a host
    ("Lone", 400, "'Lone' is not the name of an application"),
    ("a.b", 400, "'a.b' is not the name of an application"),
]


@pytest.mark.parametrize("name,status,text", REFUSED)
def test_other_names_are_refused(alice, name, status, text):
    app = AppConnection(alice, name)
    assert app.status == status and text in app.text and "hint: `tsh apps ls`" in app.text, app.text


def test_a_list_of_tried_hosts_hides_no_refusal(place, alice):
    before = len(place.settled("session.rejected", app_name="dev"))
    app = AppConnection(alice, "dev", head="X-Teleport-Tried: 11111111-1111-4111-8111-111111111111\r\n")
    assert app.status == 404 and "there is no app 'dev', or it is offline" in app.text, app.text
    assert len(place.settled("session.rejected", app_name="dev")) == before + 1


def test_an_application_that_is_down_is_named(alice):
    with AppConnection(alice, "gone") as app:
        assert app.status == 200 and "the application 'gone'" in app.refusal, app.refusal


def test_the_host_accepts_only_the_certificate_of_the_dialling_user(place, alice, tmp_path):
    """The proxy's word is not enough: the certificate inside decides, and it is that of the user whom the Auth Service knows."""
    other = user_of(place, "oscar", tmp_path, "prod-apps")
    with AppConnection(alice, "lone", inner=certificate_of(other)) as app:
        assert app.refusal == "the certificate is not that of the user who opened this connection"
    with AppConnection(alice, "lone", inner=()) as app:
        assert app.refusal == "", "without a certificate TLS ends"
    place.event("session.rejected", app_name="lone", user="alice")


def test_a_proxy_cannot_lead_a_user_to_another_application(place, alice):
    """tsh names the application inside TLS; a captured proxy may connect the user to another one of the same host, and name that everywhere."""
    with AppConnection(alice, "lone", announced="lone.app.cteleport") as app:
        assert app.refusal is None and app.echoes()
    for name in ("echo.app.cteleport", "lone.lone.app.cteleport", "app.cteleport"):
        with AppConnection(alice, "lone", announced=name) as app:
            if name == "app.cteleport":
                assert app.refusal is None, "another SNI names no application: of earlier clients"
            else:
                assert app.refusal == "the proxy leads to another application than the one that was dialled", name


def test_a_lock_ends_an_open_connection(place, alice):
    with AppConnection(alice, "lone") as app:
        assert app.echoes()
        place.create({"kind": "lock", "version": "v2", "metadata": {"name": "out"}, "spec": {"target": {"user": "alice"}, "message": "stay out"}})
        assert app.receive(1) == b""
    wait_until(lambda: [e for e in place.events("app.session.end") if "stay out" in e.get("reason", "")], "the end is audited with its reason")
    refused = AppConnection(alice, "lone")
    assert refused.status == 403 and "stay out" in refused.text, refused.text
    place.tctl("rm", "lock/out")
    with AppConnection(alice, "lone") as app:
        assert app.echoes()


def test_a_change_of_roles_ends_open_connections(place, alice):
    with AppConnection(alice, "lone") as app:
        assert app.echoes()
        place.create(role("prod-apps", node_labels={"*": "*"}, logins=["root"]))
        assert app.receive(1) == b""
    assert AppConnection(alice, "lone").status == 404
    place.create(role("prod-apps", app_labels={"env": "prod"}, node_labels={"*": "*"}, logins=["root"]))
    with AppConnection(alice, "lone") as app:
        assert app.echoes()


def test_a_template_of_a_role_stands_for_a_trait(place, tmp_path):
    place.create(role("own-env", app_labels={"env": "{{external.env}}"}))
    bea = user_of(place, "bea", tmp_path, "own-env")
    assert AppConnection(bea, "lone").status == 404, "she has no such trait"
    record = place.json("get", "users/bea")[0]
    del record["metadata"]["revision"]

    def set_trait(*values):
        record["spec"]["traits"] = {"env": list(values)}
        place.create(record)

    set_trait("*", "^.*$", "pro")
    assert AppConnection(bea, "lone").status == 404, "values of traits are no patterns"
    set_trait("dev", "prod")
    with AppConnection(bea, "lone") as app:
        assert app.echoes()
        set_trait("dev")
        assert app.receive(1) == b"", "the trait is gone"
    assert AppConnection(bea, "lone").status == 404
    with AppConnection(bea, "dev") as app:
        assert app.echoes()


def test_another_host_takes_over(place, alice):
    """Two hosts offer `echo`: connections go to both; when one is killed, they go to the other."""
    seen = set()

    def both_seen():
        with AppConnection(alice, "echo") as app:
            assert app.echoes()
            seen.add(app.host_id)
        return seen == {place.both.host_id, place.only.host_id}

    wait_until(both_seen, "each host gets connections")
    place.only.kill()
    for _ in range(8):
        with AppConnection(alice, "echo") as app:
            assert app.status == 200 and app.echoes(), app.text
            assert app.host_id == place.both.host_id
    place.only.start()
    seen.clear()
    wait_until(both_seen, "the host that is back gets connections")


def test_another_host_is_tried_if_a_backend_is_down(place, alice):
    """`half` works on one of its two hosts: each connection of tsh gets there."""
    place.only.process.mark()
    with ProxyApp(alice, "half") as half:
        def tried():
            assert half.echoes(), half.text()
            return "An application cannot be reached" in place.only.process.new_text()
        wait_until(tried, "a connection began at the host whose backend is down")
    failed = place.event("app.session.end", app_name="half", server_id=place.only.host_id)
    assert "cannot connect" in failed["reason"] and (failed["tx"], failed["rx"]) == (0, 0)
    assert place.event("app.session.start", app_name="half", server_id=place.only.host_id, sid=failed["sid"])

    with ProxyApp(alice, "down") as down:
        assert not down.echoes()
        down.wait_for("the host of the application 'down' cannot connect to it")
    ends = place.exactly(2, "app.session.end", app_name="down")
    assert {e["server_id"] for e in ends} == {place.both.host_id, place.only.host_id}, "each was tried once"


@pytest.mark.nightly  # each attempt at the host takes TIMEOUT_ALTERNATIVE
def test_a_host_that_hangs_is_left_for_another(place, alice):
    """Its tunnel is open, and its process does not answer: the user waits for some seconds, and is connected."""
    pid = place.only.process.children()["app"]
    os.kill(pid, signal.SIGSTOP)
    try:
        def tried():
            with AppConnection(alice, "echo") as app:
                assert app.status == 200 and app.echoes() and app.host_id == place.both.host_id, app.text
            return "another one is tried" in place.process.text()

        place.process.mark()
        wait_until(tried, "a connection was meant for the host that hangs")
    finally:
        os.kill(pid, signal.SIGCONT)
    with AppConnection(alice, "echo") as app:
        assert app.echoes()
