# SPDX-License-Identifier: Apache-2.0
"""HTTP applications: real backends behind a host, real clients in front."""
import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import threading

import jwt
import pytest
import websockets

from app_backends import Apache, Nginx, Scripted, WebSockets
from app_client import AppConnection, LocalApp
from harness import TIMEOUT, Cluster, iam_token, wait_until
from test_app_tokens import Keys, claims_of, verified_by_openssl
from test_reload import changed, reload
from test_rotation import step
from test_tsh_apps import ProxyApp
from users import User, invite_url


@pytest.fixture(scope="module")
def backends(tmp_path_factory):
    directory = tmp_path_factory.mktemp("backends")
    nginx, apache = Nginx(directory / "nginx").start(), Apache(directory / "apache").start()
    yield {"nginx": nginx, "apache": apache, "scripted": Scripted(), "ws": WebSockets()}
    nginx.stop()
    apache.stop()


@pytest.fixture(scope="module")
def place(build, programs, aws_process, tmp_path_factory, backends):
    """A cluster with a host that offers HTTP applications, and a user who may use them."""
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("http-apps") / "cluster")
    cluster.start()
    cluster.create(iam_token(roles=("App",)))
    rows = {"files": f"http://{backends['nginx'].addr}", "raw": f"http://{backends['scripted'].addr}", "ws": f"http://{backends['ws'].addr}", "gone": "http://127.0.0.1:1",
            "deep": f"http://{backends['scripted'].addr}/start/here", "tcp": f"tcp://{backends['scripted'].addr}",
            "metadata": "http://169.254.169.254", "metadata6": "http://[fd00:ec2::254]", "mapped": "https://[::ffff:169.254.169.254]", "metadata-tcp": "tcp://169.254.169.254:80"}
    port = backends["apache"].addr.split(":")[1]
    rewritten = {"name": "rewritten", "uri": rows["raw"], "rewrite": {"redirect": ["inner.example.com"], "headers": ["X-Groups: {{external.groups}}", "Host: inner.example.com", "X-None: {{internal.none}}"], "jwt_claims": "roles"}}
    own = {"secure": {"tls": {"ca_cert_file": str(backends["apache"].ca)}}, "unverified": {}, "skipped": {"insecure_skip_verify": True},
           "misnamed": {"tls": {"ca_cert_file": str(backends["apache"].ca), "server_name": "other.example.com"}},
           "client": {"tls": {"ca_cert_file": str(backends["apache"].ca), "cert_file": str(backends["apache"].ca), "key_file": str(backends["apache"].dir / "key.pem")}},
           "unreadable": {"tls": {"ca_cert_file": "/nonexistent.pem"}}}
    aws_process.reset()
    cluster.apps = cluster.host("web", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "debug_app": "yes", "apps": [
        rewritten, *({"name": name, "uri": uri} for name, uri in rows.items()),
        *({"name": name, "uri": f"https://localhost:{port}", **more} for name, more in own.items())]}})
    cluster.apps.start()
    cluster.apps.wait_joined()
    wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * (2 + len(rows) + len(own)), "all applications are reached")
    cluster.create({"kind": "role", "version": "v7", "metadata": {"name": "all-apps"}, "spec": {"allow": {"app_labels": {"*": "*"}, "rules": [{"resources": ["session"], "verbs": ["list", "read"]}]}}})
    words = cluster.tctl("users", "add", "alice", "--roles=all-apps").out
    cluster.alice = User(cluster, "alice", tmp_path_factory.mktemp("homes") / "alice").accept(invite_url(words))
    cluster.alice.login()
    [alice] = cluster.json("get", "user/alice")
    alice["spec"]["traits"] = {**alice["spec"].get("traits", {}), "groups": ["dev", "ops"]}
    cluster.create(alice)
    yield cluster
    cluster.stop()


@pytest.fixture
def scripted(backends):
    """The scripted backend, without requests and answers of the tests before."""
    for left in (backends["scripted"].requests, backends["scripted"].answers):
        while not left.empty():
            left.get()
    return backends["scripted"]


@pytest.fixture
def app(place):
    """app(NAME): the address of a local port of that application."""
    ports = []

    def open_port(name):
        ports.append(LocalApp(place.alice, name))
        return ports[-1].addr

    yield open_port
    for port in ports:
        port.close()
        port.cut()


def curl(addr, path="/", *args, input=None):
    return subprocess.run(["curl", "-sS", "--max-time", str(TIMEOUT), *args, f"http://{addr}{path}"], input=input, capture_output=True, check=True).stdout


def test_files_of_nginx_are_served(app, backends):
    data = os.urandom(3_000_000)
    (backends["nginx"].root / "data").write_bytes(data)
    addr = app("files")
    assert hashlib.sha256(curl(addr, "/data")).digest() == hashlib.sha256(data).digest()
    assert curl(addr, "/data", "-r", "1000-1999") == data[1000:2000]
    head = curl(addr, "/data", "-I").decode().split("\r\n")
    assert head[0] == "HTTP/1.1 200 OK" and "Content-Length: 3000000" in head
    tag = next(line for line in head if line.startswith("ETag:")).split(": ")[1]
    assert curl(addr, "/data", "-H", f"If-None-Match: {tag}", "-w", "%{http_code}") == b"304"
    assert curl(addr, "/none", "-o", "/dev/null", "-w", "%{http_code}") == b"404"


@pytest.mark.parametrize("how", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect:")])
def test_uploads_reach_nginx(app, backends, how):
    data = os.urandom(3_000_000)
    assert curl(app("files"), "/upload/data", "-T", "-", "-o", "/dev/null", "-w", "%{http_code}", *how, input=data) in (b"201", b"204")
    assert (backends["nginx"].root / "upload/data").read_bytes() == data


def test_both_connections_are_kept(app, scripted):
    connection = http.client.HTTPConnection(app("raw"), timeout=TIMEOUT)
    for number in range(3):
        scripted.answer(b"%d" % number)
        connection.request("GET", f"/{number}")
        assert connection.getresponse().read() == b"%d" % number
        assert scripted.requests.get(timeout=TIMEOUT).startswith(b"GET /%d HTTP/1.1\r\n" % number)
    assert len(scripted.open) == 1
    connection.close()
    wait_until(lambda: not scripted.open, "the backend's connection ends with the user's")


def test_fields_of_the_gateway_are_never_those_of_the_user(app, scripted):
    addr = app("raw")
    scripted.answer()
    forged = ("X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "x-forwarded_FOR: 6.6.6.6", "X.Real.Ip: 6.6.6.6", "Teleport_Jwt_Assertion: forged", "TELEPORT-JWT_ASSERTION: forged", "X-Forwarded-Host: evil", "X-Real-Ip: 6.6.6.6", "Teleport-Jwt-Assertion: forged", "teleport.jwt_assertion: forged",
              "Forwarded: for=6.6.6.6", "Cookie: a=b; __Host-grv_app_session=secret; c=d; __Host-session=secret", "Connection: X-Real-Ip, X-Forwarded-Host")
    assert curl(addr, "/", *[word for field in forged for word in ("-H", field)]) == b"ok"
    fields = scripted.fields()
    assert (fields["x-forwarded-for"], fields["x-real-ip"]) == (["127.0.0.1"], ["127.0.0.1"])
    assert (fields["host"], fields["x-forwarded-host"], fields["x-forwarded-port"]) == ([addr], [addr], [addr.split(":")[1]])
    assert (fields["x-forwarded-proto"], fields["x-forwarded-ssl"], fields["x-forwarded-server"]) == (["https"], ["on"], ["web"])
    assert fields["cookie"] == ["a=b; c=d"]
    assert "forged" not in str(fields) and "6.6.6.6" not in str(fields) and "secret" not in str(fields)
    folded = [re.sub(r"[^A-Z0-9]", "_", name.upper()) for name in fields]  # as CGI, WSGI and others give them to programs
    assert len(folded) == len(set(folded)) and len(fields["teleport-jwt-assertion"]) == 1


def test_an_application_learns_the_user_from_a_token(place, app, scripted):
    """Verified by python3-jwt with the keys that the proxy publishes, and by openssl."""
    keys, uri = Keys(place), f"http://{scripted.addr}"
    connection = http.client.HTTPConnection(app("raw"), timeout=TIMEOUT)

    def token():
        scripted.answer()
        connection.request("GET", "/", headers={"Teleport-Jwt-Assertion": "forged"})
        assert connection.getresponse().read() == b"ok"
        only, = scripted.fields()["teleport-jwt-assertion"]
        return only

    first = token()
    header, claims = claims_of(first, keys, uri)
    assert header == {"alg": "RS256", "kid": keys.ids()[0], "typ": "JWT"}
    assert {name: claims[name] for name in ("iss", "sub", "username", "aud", "roles")} == {
        "iss": "example.test", "sub": "alice", "username": "alice", "aud": [uri], "roles": ["all-apps"]}
    user, = place.json("get", "user/alice")
    assert claims["traits"] == user["spec"].get("traits", {})
    assert claims["nbf"] == claims["iat"] - 10 and claims["exp"] == claims["iat"] + 600
    assert verified_by_openssl(first, place)
    assert token() == first  # it is kept for the next requests
    connection.close()

    with contextlib.closing(http.client.HTTPConnection(app("rewritten"), timeout=TIMEOUT)) as connection:  # jwt_claims: roles
        scripted.answer()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        _, claims = claims_of(scripted.fields()["teleport-jwt-assertion"][0], keys, uri)
        assert (claims["roles"], claims["traits"]) == (["all-apps"], {})

    former = place.config_path.read_text()
    assert reload(place, config=changed(place, auth_service={"app_token_algorithm": "ES256"})).code == 0
    step(place, "jwt", "init")
    wait_until(lambda: len(keys.ids()) == 2, "both keys are published")
    step(place, "jwt", "update_clients")
    connection = http.client.HTTPConnection(app("raw"), timeout=TIMEOUT)
    second = token()
    connection.close()
    header, claims = claims_of(second, keys, uri, algorithm="ES256")
    assert header["alg"] == "ES256" and header["kid"] != jwt.get_unverified_header(first)["kid"] and claims["sub"] == "alice"
    assert claims_of(first, keys, uri)[1]["sub"] == "alice"
    step(place, "jwt", "rollback")
    step(place, "jwt", "standby")
    assert reload(place, config=former).code == 0


def test_a_backend_sets_cookies_for_its_host_only(app, scripted):
    scripted.answer(b"ok", b"HTTP/1.1 200 OK", b"Set-Cookie: a=b; Domain=.example.com; Path=/", b"Set-Cookie: __Host-grv_app_session=x; Path=/; Secure",
                                b"X-Teleport-Api-Error: forged", b"Alt-Svc: h3=\":1\"")
    head = curl(app("raw"), "/", "-i").decode()
    assert "Set-Cookie: a=b; Path=/\r\n" in head and "grv" not in head and "forged" not in head and "Alt-Svc" not in head


def test_a_response_is_passed_on_as_it_comes(app, scripted):
    """Server-sent events: each reaches the browser before the next is made."""
    received = scripted.requests
    go_on = [threading.Event() for _ in range(3)]

    def events(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number, event in enumerate(go_on):
            connection.sendall(b"data: %d\n\n" % number)
            assert event.wait(TIMEOUT)

    scripted.answers.put(events)
    connection = http.client.HTTPConnection(app("raw"), timeout=TIMEOUT)
    connection.request("GET", "/events")
    response = connection.getresponse()
    for number, event in enumerate(go_on):
        assert response.readline() + response.readline() == b"data: %d\n\n" % number
        event.set()
    assert response.read() == b""
    assert received.get(timeout=TIMEOUT)


def sessions(place):
    """The IDs of all sessions of applications that have begun."""
    return {event["sid"] for event in place.settled("app.session.start")}


def test_websockets_pass(place, app):
    before = sessions(place)

    def await_line():
        session, = sessions(place) - before
        wait_until(lambda: '"status_code":101' in place.alice.tsh("play", session, "--format=text", check=False).out,
                   "the recording has the request while the WebSocket is open")

    async def talk(addr):
        async with websockets.connect(f"ws://{addr}/", max_size=None) as socket:
            for message in ("hello", b"\0" * 100, os.urandom(2_000_000)):
                await socket.send(message)
                assert await socket.recv() == message
            await asyncio.to_thread(await_line)  # PINGs are answered meanwhile
            await socket.send("close")
            await socket.wait_closed()
            return socket.close_code, socket.close_reason

    assert asyncio.run(asyncio.wait_for(talk(app("ws")), TIMEOUT)) == (4000, "as requested")


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET http://evil@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLED, ids=["cl-te", "cl-cl", "bare-lf", "obs-fold", "blank", "user"])
def test_ambiguous_requests_never_reach_the_backend(place, scripted, request_bytes):
    with AppConnection(place.alice, "raw", protocol="http/1.1") as app:
        app.send(request_bytes)
        assert app.receive(13) == b"HTTP/1.1 400 "
        while app.receive(1000):
            pass
    assert scripted.requests.empty()


BAD_RESPONSES = {
    "nothing": None,
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nevil!",
    "te": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unasked upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "endless": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
}


@pytest.mark.parametrize("answer", BAD_RESPONSES.values(), ids=BAD_RESPONSES)
def test_bad_responses_become_pages(app, scripted, place, answer):
    scripted.answers.put(answer)
    status, _, page = curl(app("raw"), "/", "-w", "\n%{http_code}", "-H", "Accept: application/json").decode().rpartition("\n")[::-1]
    assert status == "502", page
    error = json.loads(page)["error"]
    assert "the application 'raw'" in error["message"]
    place.apps.process.wait_for(re.escape(error["request_id"]))
    assert scripted.requests.get(timeout=TIMEOUT)


def test_a_backend_that_is_down_is_named(app, place):
    addr = app("gone")
    text = curl(addr, "/", "-w", "%{http_code}").decode()
    assert "ERROR: the host of the application 'gone' cannot connect to it: cannot connect to 127.0.0.1:1" in text and text.endswith("502"), text
    page = curl(addr, "/", "-i", "-H", "Accept: text/html,*/*").decode()
    assert "Content-Type: text/html" in page and "<main><h1>The application did not answer</h1>" in page and "Request ID" in page and "Is the service running there" in page
    json.loads(curl(addr, "/", "-H", "Accept: application/json"))


def test_the_path_of_the_uri_is_the_start(app, scripted):
    assert b"Location: /start/here\r\n" in curl(app("deep"), "/", "-i")
    scripted.answer()
    assert curl(app("deep"), "/other") == b"ok"
    assert scripted.requests.get(timeout=TIMEOUT).startswith(b"GET /other ")


def test_headers_and_redirects_are_rewritten(app, scripted):
    scripted.answer(b"", b"HTTP/1.1 302 Found", b"Location: http://inner.example.com:81/x")
    addr = app("rewritten")
    head = curl(addr, "/", "-i", "-H", "X-Groups: root", "-H", "x_groups: root", "-H", "X-None: root").decode()
    assert f"Location: https://{addr}/x\r\n" in head, head
    fields = scripted.fields()
    assert (fields["x-groups"], fields["host"], fields["x-forwarded-host"]) == (["dev", "ops"], ["inner.example.com"], [addr])
    assert "root" not in str(fields)


def test_the_dumper_answers_with_the_request(place, app):
    answer = curl(app("dumper"), "/a?b=c", "-i", "-H", "X-Own: 1", "-H", "X-Forwarded-For: 192.0.2.9", "-d", "x=1").decode()
    head, body = answer.split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 200 ") and "text/plain" in head, head
    assert re.search(r"(?im)^set-cookie: dumper\.session\.cookie=[0-9a-f]{16};", head), head
    assert body.startswith("POST /a?b=c HTTP/1.1\r\n") and "X-Own: 1\r\n" in body, body
    assert "X-Forwarded-For: 127.0.0.1\r\n" in body and "192.0.2.9" not in body, body
    token, = re.findall(r"(?m)^Teleport-Jwt-Assertion: (\S+)\r$", body)
    assert len(token.split(".")) == 3
    assert curl(app("dumper"), "/", "-I").startswith(b"HTTP/1.1 200 ")


def test_tsh_makes_them_reachable(place, backends):
    """A client that offers both protocols gets the one of the application."""
    (backends["nginx"].root / "hello").write_text("hello")
    with ProxyApp(place.alice, "files") as proxy:
        assert curl(f"127.0.0.1:{proxy.port}", "/hello") == b"hello"


def test_each_kind_of_application_is_reached_by_its_protocol(place):
    with AppConnection(place.alice, "raw") as app:
        assert app.refusal == "the application 'raw' is reached by HTTP"
    with AppConnection(place.alice, "tcp", protocol="http/1.1") as app:
        page = app.receive(10_000).decode()
        assert page.startswith("HTTP/1.1 502 ") and "the application 'tcp' is not reached by HTTP" in page


def test_apache_is_verified(app, backends):
    (backends["apache"].root / "page").write_text("over TLS")
    for name in ("secure", "skipped", "client"):
        assert curl(app(name), "/page") == b"over TLS", name
    assert curl(app("client"), "/whoami", "-o", "/dev/null", "-w", "%{http_code}") == b"404"


UNVERIFIED = {
    "unverified": "tls.ca_cert_file",
    "misnamed": "other.example.com",
    "unreadable": "cannot use the files of its tls settings",
}


@pytest.mark.parametrize("name,reason", UNVERIFIED.items())
def test_a_backend_that_is_not_verified_gets_no_request(app, name, reason):
    page = curl(app(name), "/page", "-w", "%{http_code}").decode()
    assert page.endswith("502") and f"the application '{name}'" in page and reason in page, page


@pytest.mark.parametrize("name", ["metadata", "metadata6", "mapped"])
def test_metadata_services_are_no_applications(app, name):
    page = curl(app(name), "/latest/meta-data/", "-w", "%{http_code}").decode()
    assert page.endswith("502") and "is not permitted" in page and "by allowed_hosts and denied_hosts of app_service" in page, page


def test_nor_are_they_over_tcp(place):
    with AppConnection(place.alice, "metadata-tcp") as app:
        assert "the address of 169.254.169.254:80 is not permitted" in app.refusal


def recording(place, session):
    """What is listed of the recording of a session; None if it is not."""
    return next((r for r in place.alice.recordings() if r["session_id"] == session), None)


def test_requests_are_recorded_without_secrets(place, app, scripted):
    """The lines are in the recording of the connection; the audit log has the event that names it."""
    before = sessions(place)
    port = app("raw")
    connection = http.client.HTTPConnection(port, timeout=TIMEOUT)
    for method, path, body in ("GET", "/first?token=secret&flag", None), ("POST", "/second", b"12345"):
        scripted.answer(b"fine", b"HTTP/1.1 201 Made")
        connection.request(method, path, body)
        assert connection.getresponse().read() == b"fine"
    connection.close()
    session, = sessions(place) - before
    wait_until(lambda: (listed := recording(place, session)) and listed.get("is_complete"), "the recording is complete")
    played = place.alice.tsh("play", session, "--format=json").out
    requests = [json.loads(line) for piece in played.splitlines()[1:] for line in json.loads(piece)[2].splitlines()]
    assert [(r["event"], r["code"], r["method"], r["path"], r["raw_query"], r["status_code"], r["rx"], r["tx"]) for r in requests] == [
        ("app.session.request", "T2009I", "GET", "/first", "token=&*", 201, 0, 4), ("app.session.request", "T2009I", "POST", "/second", "", 201, 5, 4)]
    chunk = place.event("app.session.chunk", session_chunk_id=session)
    assert (chunk["code"], chunk["user"], chunk["app_name"], chunk["server_hostname"]) == ("T2008I", "alice", "raw", "web")
    assert "secret" not in (place.data_dir / "log" / "records" / f"{session}.rec").read_text(errors="replace")


def test_requests_of_an_open_connection_are_recorded(place, app, scripted):
    before = sessions(place)
    connection = http.client.HTTPConnection(app("raw"), timeout=TIMEOUT)

    def request(path):
        scripted.answer(b"fine")
        connection.request("GET", path)
        assert connection.getresponse().read() == b"fine"

    def paths():
        return re.findall(r'"path":"(/\w+)"', place.alice.tsh("play", session, "--format=text").out)

    request("/open")
    session, = sessions(place) - before
    wait_until(lambda: recording(place, session), "the recording is listed")
    wait_until(lambda: paths() == ["/open"], "the line of the open connection is in the recording")
    request("/last")
    connection.request("GET", "/running")
    while not scripted.requests.get(timeout=TIMEOUT).startswith(b"GET /running "):
        pass
    place.apps.stop()
    scripted.answers.put(None)  # the backend waits no longer
    place.apps.start()
    wait_until(lambda: recording(place, session).get("is_complete"), "the recording is complete")
    assert paths() == ["/open", "/last", "/running"]
    lines = place.alice.tsh("play", session, "--format=text").out.splitlines()
    assert ['"cut":true' in line for line in lines if "app.session.request" in line] == [False, False, True]
