# SPDX-License-Identifier: Apache-2.0
"""Applications in the browser: the cookie exchange, requests through the proxy, and the end of their sessions."""
import asyncio
import base64
import concurrent.futures
import contextlib
import gzip
import hashlib
import html
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import urllib.parse
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import pytest
import websockets

from accessibility import faults_of
from app_backends import Nginx, Scripted, WebSockets
from balancers import SOURCE
from boxes import SHOWN, Box
from browser import Browser
from harness import TIMEOUT, Cluster, iam_token, reserved_port, wait_until
from raw_h2 import ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Raw, frame, integer, literal
from test_captured_ssh import memory_of
from test_rotation import step
from users import User, invite_url
from web_browser import WebBrowser

PROXY = "proxy.example.test"
RAW = "raw.example.test"  # the public_addr of `raw`


class Client:
    """curl with a cookie jar. Names under .test are at the proxy's address."""

    def __init__(self, cluster, directory):
        self.cluster, self.jar, self.addr = cluster, directory / f"jar-{os.urandom(4).hex()}", cluster.proxy_addr
        self.port = cluster.proxy_addr.rsplit(":", 1)[1]

    def curl(self, url, *args, input=None):
        """The response: status, its head, its text."""
        for name in ("proxy", "files", "raw", "front", "api", "partly", "written", "half", "none", "ws"):
            url = url.replace(f"https://{name}/", f"https://{PROXY if name == 'proxy' else f'{name}.{PROXY}'}:{self.port}/")
        done = subprocess.run(["curl", "-sS", "-k", "-i", "--http1.1", "--max-time", str(TIMEOUT), "-b", self.jar, "-c", self.jar, "--connect-to", f"::{self.addr}", *args, url],
                              input=input, capture_output=True, check=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        while head.split()[1] == b"100":
            head, _, body = body.partition(b"\r\n\r\n")
        return Response(head.decode(), body)

    def get(self, url, *args):
        return self.curl(url, *args)

    def preflight(self, name, origin, method="PUT"):
        """The request of a browser before that of a page of another origin."""
        return self.curl(f"https://{name}/x", "-X", "OPTIONS", "-H", f"Origin: {origin}", "-H", f"Access-Control-Request-Method: {method}")

    def post(self, url, form, *args):
        return self.curl(url, "--data", urllib.parse.urlencode(form), *args)

    def login(self, user, response):
        """At the login page to which the response leads."""
        page = self.get(response.location)
        assert page.status == 200 and 'name="password"' in page.text, page.text
        fields = {"token": page.hidden("token"), "redirect_uri": page.hidden("redirect_uri"), "user": user.name, "password": user.password, "otp": user.otp()}
        return self.post(response.location.split("?")[0], fields)

    def launch(self, user, url):
        """From the first request to the application's page."""
        first = self.get(url)
        assert first.status == 302, first.head
        page = self.get(first.location)
        if page.status == 303 and "/web/login" in page.location:
            page = self.get(self.absolute(self.login(user, Redirect(self.absolute(page.location))).location))
        return self.exchange(page)

    def absolute(self, location):
        return location if location.startswith("https:") else f"https://{PROXY}:{self.port}{location}"

    def form_of(self, launched):
        """Steps 3 and 4: the form of the launch page."""
        assert launched.status == 200, launched.head
        state = self.get(launched.refresh)
        assert state.status == 302 and "set-cookie: __host-grv_app_auth_state_" in state.head.lower(), state.head
        page = self.get(state.location)
        assert page.status == 200, page.text
        return page

    def exchange(self, launched):
        page = self.form_of(launched)
        done = self.post(page.action, page.fields)
        assert done.status == 200, done.text
        return self.get(done.refresh)

    def forget_apps(self):
        """Without sessions of applications from now on."""
        if self.jar.exists():
            self.jar.write_text("".join(line for line in self.jar.read_text().splitlines(keepends=True) if "__Host-grv" not in line))

    def cookies(self, app):
        """Those of its session of an application, as a field's value."""
        return "; ".join(re.findall(rf"{app}\.{PROXY}\t.*\t(__Host-grv_app_session\w*\t\w+)", self.jar.read_text())).replace("\t", "=")


class Streams(Raw):
    """A connection by HTTP/2 to an application, as a client with a session of it, frame by frame."""

    def __init__(self, client, app):
        super().__init__(client.cluster.proxy_addr, server_name=f"{app}.{PROXY}")
        self.authority, self.cookies = f"{app}.{PROXY}:{client.port}", client.cookies(app)
        self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)))  # of the connection; streams keep the window of 64 KiB

    def head(self, path="/", method="GET"):
        """The fields of a request."""
        return b"".join(literal(*field) for field in ((":method", method), (":scheme", "https"), (":authority", self.authority), (":path", path), ("cookie", self.cookies)))

    def get(self, stream, path="/"):
        """Sends a request, and waits until its response has begun."""
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, self.head(path)))
        assert self.wait_for((HEADERS, None, stream), (RST_STREAM, None, stream), (GOAWAY, None, None))[0] == HEADERS

    def data(self, stream):
        return self.wait_for((DATA, None, stream), (RST_STREAM, None, stream), (GOAWAY, None, None))


class Response:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.status = int(head.split()[1])

    @property
    def text(self):
        return self.body.decode()

    @property
    def location(self):
        return re.search(r"(?im)^location: (\S+)", self.head).group(1)

    def hidden(self, name):
        return html.unescape(re.search(f'name="{name}" value="([^"]*)"', self.text).group(1))

    @property
    def refresh(self):
        """Where the page leads on to."""
        return html.unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', self.text).group(1))

    @property
    def action(self):
        return html.unescape(re.search('action="([^"]*x-teleport-auth)"', self.text).group(1))

    @property
    def fields(self):
        return {name: html.unescape(value) for name, value in re.findall('type="hidden" name="([^"]*)" value="([^"]*)"', self.text)}


class Redirect:
    def __init__(self, location):
        self.location = location


class Api(Scripted):
    """Answers every request, and lets pages of other applications read the answer."""

    def serve(self, connection):
        while request := self.read(connection):
            self.requests.put(request)
            origin = re.search(rb"(?im)^origin: (\S+)", request)
            fields = b"" if origin is None else b"Access-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n" % origin.group(1)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n%s\r\nby api" % fields)


@pytest.fixture(scope="module")
def backends(tmp_path_factory):
    nginx = Nginx(tmp_path_factory.mktemp("backends") / "nginx").start()
    yield {"nginx": nginx, "scripted": Scripted(), "api": Api(), "ws": WebSockets()}
    nginx.stop()


@pytest.fixture(scope="module")
def place(build, aws_process, tmp_path_factory, backends):
    """A cluster with a public name, a host that offers applications, and a user who may use some of them."""
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("apps-browser") / "cluster")
    with reserved_port() as port:
        number = port.getsockname()[1]
        cluster.config["proxy_service"].update(web_listen_addr=f"127.0.0.1:{number}", public_addr=[f"localhost:{number}", f"{PROXY}:{number}"],
                                               trust_x_forwarded_for=True, load_balancers=[SOURCE], plain_http_addr="127.0.0.1:0")
        cluster.start()
    cluster.create(iam_token(roles=("App",)))
    rows = [{"name": "files", "uri": f"http://{backends['nginx'].addr}", "labels": {"env": "test"}, "description": "Files of <all>"},
            {"name": "raw", "uri": f"http://{backends['scripted'].addr}", "labels": {"env": "test"}, "public_addr": RAW},
            {"name": "ws", "uri": f"http://{backends['ws'].addr}", "labels": {"env": "test"}},
            {"name": "front", "uri": f"http://{backends['nginx'].addr}", "labels": {"env": "test"}, "required_apps": ["api"]},
            {"name": "api", "uri": f"http://{backends['api'].addr}", "labels": {"env": "test"}, "required_apps": ["front"],
             "cors": {"allowed_origins": [f"https://front.{PROXY}:{number}"], "allowed_methods": ["PUT"], "allowed_headers": ["content-type"], "allow_credentials": True, "max_age": 60}},
            {"name": "partly", "uri": f"http://{backends['nginx'].addr}", "labels": {"env": "test"}, "required_apps": ["secret", "queue", "api"]},
            {"name": "secret", "uri": f"http://{backends['nginx'].addr}", "labels": {"env": "other"}},
            {"name": "queue", "uri": "tcp://127.0.0.1:9", "labels": {"env": "test"}}]
    aws_process.reset()
    cluster.apps = cluster.host("web", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": rows, "resources": [{"labels": {"kind": "written"}}]}})
    cluster.apps.start()
    cluster.apps.wait_joined()
    wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * len(rows), "all applications are reached")
    cluster.create({"kind": "role", "version": "v7", "metadata": {"name": "test-apps"}, "spec": {"allow": {"app_labels": {"env": "test"}}}})
    words = cluster.tctl("users", "add", "alice", "--roles=test-apps").out
    cluster.alice = User(cluster, "alice", tmp_path_factory.mktemp("homes") / "alice").accept(invite_url(words))
    (backends["nginx"].root / "page").write_text("a page of nginx\n")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def opened(place, tmp_path_factory):
    """A client that has opened `files`."""
    client = Client(place, tmp_path_factory.mktemp("opened"))
    page = client.launch(place.alice, "https://files/page?x=1&y=%20z")
    assert (page.status, page.text) == (200, "a page of nginx\n")
    return client


@pytest.fixture
def client(place, opened, tmp_path):
    """Logged in as the client of `opened` is, without sessions of applications: a login takes a one-time code, of which there is one in 30 s."""
    client = Client(place, tmp_path)
    client.jar.write_text(opened.jar.read_text())
    client.forget_apps()
    return client


def test_a_browser_gets_the_page_that_it_asked_for(opened, place):
    assert opened.get("https://files/page").text == "a page of nginx\n"
    assert place.event("app.session.start", app_name="files")["user"] == place.alice.name


def test_a_long_address_outlasts_the_way_to_the_session(place, client):
    """Those of dashboards have a state in their query. One that is too long is left out, and not the page."""
    for query, kept in (("state=" + "%2Fa%3Db," * 130, True), ("x" * 4000, False)):
        client.forget_apps()
        page = client.form_of(client.get(client.get(f"https://files/page?{query}").location))
        assert client.post(page.action, page.fields).refresh == f"https://files.{PROXY}:{client.port}/page" + (f"?{query}" if kept else ""), page.fields
    login = WebBrowser(place.proxy_addr).get(f"/web/launch/files.{PROXY}?path=%2Fpage&query={'%252F' * 450}")
    asked = WebBrowser(place.proxy_addr).get(login.headers["Location"]).hidden("redirect_uri")
    assert asked == f"/web/launch/files.{PROXY}?path=%2Fpage&query={'%252F' * 450}"


def test_the_start_page_opens_applications(opened):
    home = opened.get("https://proxy/web").text
    assert f'href="/web/launch/files.{PROXY}" aria-label="Open files"' in home and "Files of &lt;all&gt;" in home and "tsh proxy app queue" in home


def test_an_auditor_reads_the_requests_in_the_browser(place, opened, tmp_path):
    """From the audit log to the list of requests; without scripts. The user has no right to read recordings."""
    before = {event["sid"] for event in place.settled("app.session.start")}
    opened.get("https://files/none?token=secret&%3Cb%3E", f"https://files.{PROXY}:{opened.port}/page?x=1&y=2")  # on one connection
    audrey = User(place, "audrey", tmp_path / "audrey").accept(invite_url(place.tctl("users", "add", "audrey", "--roles=auditor").out))
    web = WebBrowser(place.proxy_addr)
    web.login(audrey)
    session, = {event["sid"] for event in place.settled("app.session.start")} - before
    link = f"/web/recordings/{session}"
    assert f'href="{link}">Requests' in web.get("/web/audit?type=app.session.start").text
    requests = wait_until(lambda: (page := web.get(link)) and all(path in page.words for path in ("GET /none?token=&*", "GET /page?x=&y=")) and page,
                          "the requests are there")
    assert requests.title == "Requests" and "application files on web" in requests.words and "secret" not in requests.text
    assert requests.words.index("/none") < requests.words.index("/page"), "newest first"
    found = web.get(link + "?q=none+404")
    assert "GET /none" in found.words and "GET /page" not in found.words and "No request matches" in web.get(link + "?q=%3Cb%3E").words
    assert "application files on web" in web.get("/web/recordings?q=files").words
    assert opened.get(f"https://proxy{link}").status == 403, "alice"

    with contextlib.closing(http.client.HTTPSConnection(place.proxy_addr, context=ssl._create_unverified_context(), timeout=TIMEOUT)) as connection:
        for _ in range(100):  # each is an event
            connection.request("GET", link + ".txt", headers={"Cookie": f"__Host-session={web.cookies['__Host-session']}"})
            assert '"path":"/none"' in connection.getresponse().read().decode()
    earlier = re.search(r'href="([^"]*)">Earlier events', web.get("/web/audit?type=session.recording.access&user=audrey").text).group(1)
    assert "session.recording.access" in web.get(html.unescape(earlier)).words


def test_a_browser_that_refuses_cookies_gets_a_reason(place, client, tmp_path):
    led = Client(place, tmp_path).get("https://files/page", "-b", "none=1", "-L", "--max-redirs", "3")  # curl fails beyond
    assert 'name="password"' in led.text
    page = client.form_of(client.get(client.get("https://files/page").location))
    client.forget_apps()
    refused = client.post(page.action, page.fields)
    assert refused.status == 403 and "Allow cookies for this host" in refused.text and "Request ID" in refused.text and "ocation:" not in refused.head


def test_the_backend_gets_no_cookie_of_the_cluster(place, client, backends):
    scripted = backends["scripted"]
    scripted.answer()
    client.launch(place.alice, "https://raw/")
    scripted.requests.get(timeout=TIMEOUT)
    scripted.answer(b"ok", b"HTTP/1.1 200 OK", b"Set-Cookie: mine=1; Path=/; Domain=example.test", b"Set-Cookie: __Host-grv_app_session=forged; Path=/; Secure")
    answer = client.get("https://raw/", "-H", "Cookie: theirs=2", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Teleport-Jwt-Assertion: forged")
    assert answer.text == "ok" and "mine=1; Path=/\r\n" in answer.head and "grv" not in answer.head
    fields = scripted.fields()
    assert "grv" not in str(fields) and "forged" not in str(fields) and "theirs=2" in str(fields["cookie"])
    assert (fields["x-forwarded-for"], fields["host"], fields["x-forwarded-proto"]) == (["127.0.0.1"], [f"raw.{PROXY}:{client.port}"], ["https"])


# Cookies of an application that would reach others or the proxy, or pass for those of the cluster, and what is left of them.
COOKIES = {
    f"a=1; Domain={PROXY}; Path=/": "a=1; Path=/", f"a=2; domain=.{PROXY.upper()}": "a=2", "a=3; DOMAIN = test ; Secure": "a=3; Secure", "a=4; Domain=": "a=4",
    f"__Secure-a=5; Secure; Domain={PROXY}": "__Secure-a=5; Secure", "__Host-a=6; Secure; Path=/": "__Host-a=6; Secure; Path=/",
    f"a=7; Path=/; Domain=other.test; Domain={PROXY}": "a=7; Path=/", "__Host-session=1.2; Secure; Path=/": None, "__HOST-Session=1.2; Secure; Path=/": None,
    "__Host-grv_app_session_subject=x; Secure; Path=/; Max-Age=0": None, "__Host-grv_app_auth_state_0123456789abcdef=x; Secure; Path=/": None,
    f"=__Host-session=1.2; Domain={PROXY}": None, f"__Host-session; Domain={PROXY}": None, "\t__Host-session =1.2; Path=/": None,
}


def test_cookies_of_an_application_are_for_its_host_only(raw, scripted):
    """Also in interim responses. Nor does one clear the cookies of the whole domain."""
    lines = [*(f"Set-Cookie: {cookie}".encode() for cookie in COOKIES), b'Clear-Site-Data: "cookies", "storage"', b'clear-site-data: "cache","Cookies", "COOKIES"']
    scripted.answer(b"ok", b"HTTP/1.1 103 Early Hints\r\n" + b"\r\n".join(lines) + b"\r\n\r\nHTTP/1.1 200 OK", *lines)
    with tls_of(raw, "raw") as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: raw.{PROXY}:{raw.port}\r\nCookie: {raw.cookies('raw')}\r\nConnection: close\r\n\r\n".encode())
        with tls.makefile("rb") as answer:
            text = answer.read().decode()
    heads = text.split("\r\n\r\n")
    assert [re.findall(r"(?im)^set-cookie: (.*)\r?$", head.replace("\r", "")) for head in heads[:2]] == [[kept for kept in COOKIES.values() if kept]] * 2, text
    assert [re.findall(r"(?im)^clear-site-data: (.*)\r?$", head.replace("\r", "")) for head in heads[:2]] == [['"cache", "storage"']] * 2, text


def test_bodies_pass_both_ways(opened, backends):
    data = os.urandom(3_000_000)
    assert opened.curl("https://files/upload/data", "-T", "-", input=data).status == 201
    assert hashlib.sha256(opened.get("https://files/upload/data").body).digest() == hashlib.sha256(data).digest()


def test_browsers_are_served_by_http2(opened, backends):
    data = os.urandom(4_000_000)
    wanted = opened.get("https://files/page", "--http2")
    assert (wanted.head.splitlines()[0], wanted.text) == ("HTTP/2 200 ", "a page of nginx\n")
    names = {line.partition(":")[0] for line in wanted.head.splitlines()[1:]}
    assert names == {"server", "date", "content-type", "last-modified", "etag", "accept-ranges", "content-length"}
    for how in ((), ("-H", "Transfer-Encoding:", "-H", "Expect: 100-continue")):
        assert opened.curl("https://files/upload/h2", "--http2", "-T", "-", *how, input=data).status in (201, 204)
    assert hashlib.sha256(opened.get("https://files/upload/h2", "--http2").body).digest() == hashlib.sha256(data).digest()
    part = opened.get("https://files/upload/h2", "--http2", "-r", "500000-500099")
    assert (part.status, part.body) == (206, data[500000:500100])
    head = opened.get("https://files/upload/h2", "--http2", "-I")
    assert (head.status, head.body) == (200, b"") and "content-length: 4000000" in head.head
    assert opened.get("https://files/none", "--http2").status == 404
    assert Client(opened.cluster, opened.jar.parent).get("https://files/page", "--http2").status == 302, "without a session"


def test_many_downloads_at_once_by_http2(opened, backends):
    (backends["nginx"].root / "long").write_bytes(bytes(1 << 20))
    urls = [word for _ in range(64) for word in ("-o", "/dev/null", f"https://files.{PROXY}:{opened.port}/long")]
    done = subprocess.run(["curl", "-sS", "-k", "-Z", "--parallel-max", "32", "--http2", "--max-time", str(TIMEOUT), "-b", opened.jar, "--connect-to", f"::{opened.addr}",
                           "-w", "%{http_code} %{size_download}\\n", *urls], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"200 {1 << 20}"] * 64, done.stderr


def test_http2_becomes_http1_of_one_meaning(place, client, backends):
    """Fields, cookies and bodies pass; the rules of the gateway apply to them."""
    scripted = backends["scripted"]
    scripted.answer()
    client.launch(place.alice, "https://raw/")
    scripted.requests.get(timeout=TIMEOUT)
    scripted.answers.put(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
    answer = client.post("https://raw/form", {"a": "b"}, "--http2", "-H", "Cookie: theirs=2", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Teleport-Jwt-Assertion: forged")
    assert answer.status == 200 and answer.body.startswith(b"hello") and "x-hop" not in answer.head and "transfer-encoding" not in answer.head
    fields = scripted.fields()
    assert "grv" not in str(fields) and "forged" not in str(fields) and "theirs=2" in str(fields["cookie"]) and fields["content-length"] == ["3"]
    assert (fields["x-forwarded-for"], fields["host"]) == (["127.0.0.1"], [f"raw.{PROXY}:{client.port}"])


def test_http2_that_is_ambiguous_never_reaches_an_application(place, client, backends):
    """Each ends its own stream; the connection goes on."""
    host = f"raw.{PROXY}:{client.port}"
    fields = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", host)]
    bad = [[*fields, ("x", "a\r\nTransfer-Encoding: chunked")], [*fields, ("transfer-encoding", "chunked")], [*fields, ("connection", "x-forwarded-for")],
           [*fields, ("host", "evil.example")], [*fields, ("te", "gzip")], [*fields, ("content-length", "5")],
           [*fields[:2], (":path", "/ HTTP/1.1\r\nX: y"), fields[3]], [("x", "y"), *fields], fields[:3]]
    with Raw(place.proxy_addr, server_name=f"raw.{PROXY}") as browser:
        for number, head in enumerate(bad):
            stream = 2 * number + 1
            browser.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"".join(literal(*field) for field in head)))
            assert browser.wait_for((RST_STREAM, None, stream), (HEADERS, None, stream), (GOAWAY, None, None))[0] == RST_STREAM, head
        assert browser.is_alive()
    assert backends["scripted"].requests.empty()


BODY_GROWTH_KIB = 16 * 1024  # windows and buffers of both processes, whatever the size of a body


def peak_kib(place):
    """The most memory that proxy and agent have had so far."""
    pids = place.process.children()["proxy"], place.apps.process.children()["app"]
    return sum(int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) for pid in pids)


def large_bodies(place, opened, backends, tmp_path, size):
    """Sends a body of that size to nginx, and takes it back: the memory of proxy and agent does not grow with it."""
    before = peak_kib(place)
    with open(tmp_path / "large", "wb") as large:
        large.truncate(size)
    assert opened.curl("https://files/upload/large", "-T", tmp_path / "large").status in (201, 204)
    stored = backends["nginx"].root / "upload/large"
    assert stored.stat().st_size == size
    fetched = opened.get("https://files/upload/large", "-o", tmp_path / "fetched", "-D", "-")
    assert fetched.status == 200 and (tmp_path / "fetched").stat().st_size >= size
    for path in (stored, tmp_path / "fetched", tmp_path / "large"):
        path.unlink()
    assert peak_kib(place) - before < BODY_GROWTH_KIB or "sanitizer build" in place.process.text()  # which keeps freed memory


def test_large_bodies_take_constant_memory(place, opened, backends, tmp_path):
    large_bodies(place, opened, backends, tmp_path, 48 << 20)


@pytest.mark.nightly
def test_bodies_of_a_gibibyte_take_constant_memory(place, opened, backends, tmp_path):
    large_bodies(place, opened, backends, tmp_path, 1 << 30)


@pytest.fixture(scope="module")
def raw(place, opened, backends, tmp_path_factory):
    """A client that has opened `raw`."""
    client = Client(place, tmp_path_factory.mktemp("raw"))
    client.jar.write_text(opened.jar.read_text())
    client.forget_apps()
    backends["scripted"].answer()
    client.launch(place.alice, "https://raw/")
    return client


@pytest.fixture
def scripted(raw, backends):
    """The backend of `raw`, without requests of the tests before."""
    backends["scripted"].forget()
    yield backends["scripted"]
    backends["scripted"].forget()


def tls_of(client, app):
    """A connection by HTTP/1.1 to an application."""
    host, port = client.addr.rsplit(":", 1)
    return ssl._create_unverified_context().wrap_socket(socket.create_connection((host, int(port)), TIMEOUT), server_hostname=f"{app}.{PROXY}")


def nghttp(client, path, *args):
    """What nghttp shows of its request to `raw`: each frame, and the bodies."""
    fields = [f":authority: raw.{PROXY}:{client.port}", f"cookie: {client.cookies('raw')}"]
    return subprocess.run(["nghttp", "-v", "-y", *[word for field in fields for word in ("-H", field)], *args, f"https://{client.addr}{path}"],
                          capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout


BOTH_VERSIONS = ("--http1.1", "--http2")


def test_compressed_bodies_pass_untouched(place, raw, scripted):
    """Nobody on the way unpacks them: 64 MiB of zeros stay the 64 KiB that they are, in both directions."""
    bomb, before = gzip.compress(bytes(64 << 20), mtime=0), peak_kib(place)
    for how in BOTH_VERSIONS:
        scripted.answer(bomb, b"HTTP/1.1 200 OK", b"Content-Encoding: gzip")
        answer = raw.curl("https://raw/bomb", how, "-H", "Accept-Encoding: gzip", "-H", "Content-Encoding: gzip", "--data-binary", "@-", input=bomb)
        assert answer.body == bomb and "content-encoding: gzip" in answer.head.lower()
        request = scripted.requests.get(timeout=TIMEOUT)
        assert request.endswith(b"\r\n\r\n" + bomb) and b"accept-encoding: gzip\r\n" in request.lower()
    assert peak_kib(place) - before < BODY_GROWTH_KIB or "sanitizer build" in place.process.text()


CUT_OFF = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    "before the end of the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nx-sum: 1\r\n",
}


def test_half_a_body_is_an_error_to_the_browser(raw, scripted):
    """It must not take the half for the whole. The next request is served."""
    for name, begun in CUT_OFF.items():
        for how in BOTH_VERSIONS:
            def cut(connection, begun=begun):
                connection.sendall(begun)
                if how == "--http2":  # by a reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

            scripted.answers.put(cut)
            with pytest.raises(subprocess.CalledProcessError) as broken:
                raw.get("https://raw/half", how)
            assert broken.value.stdout.endswith((b"\r\n\r\nhalf", b"\r\n\r\n")), (name, how)
            assert broken.value.returncode in (18, 56, 92), (name, how, broken.value.stderr)  # of curl: part of a file, an error while it received, an error of the stream
    scripted.answer(b"whole")
    assert raw.get("https://raw/whole").text == "whole"


BAD_HEADS = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nevil!",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an upgrade that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "10,000 fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "fields without end": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1000 + b"\r\nX: " + b"y" * 100_000,
    "interim responses without end": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100,
}


def test_heads_that_cannot_be_passed_on_become_pages(raw, scripted):
    for name, head in BAD_HEADS.items():
        for how in BOTH_VERSIONS:
            scripted.answers.put(lambda connection, head=head: connection.sendall(head))
            answer = raw.get("https://raw/", how, "-H", "Accept: application/json")
            while answer.status < 200:  # interim responses, which were passed on
                head, _, body = answer.body.partition(b"\r\n\r\n")
                answer = Response(head.decode(), body)
            assert answer.status == 502 and json.loads(answer.text)["error"]["request_id"], (name, how)
    scripted.answer(b"well")
    assert raw.get("https://raw/").text == "well"


def test_a_request_with_ten_thousand_fields_is_refused(raw, scripted):
    """By HTTP/2 only the stream is. The backend gets nothing."""
    with tls_of(raw, "raw") as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: raw.{PROXY}:{raw.port}\r\nCookie: {raw.cookies('raw')}\r\n".encode() + b"X: y\r\n" * 10_000 + b"\r\n")
        assert tls.recv(13) == b"HTTP/1.1 431 "
    with Streams(raw, "raw") as browser:
        head = browser.head() + literal("x", "") * 10_000
        parts = [head[at:at + 16000] for at in range(0, len(head), 16000)]
        browser.send(frame(HEADERS, END_STREAM, 1, parts[0]), *(frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, 1, part) for part in parts[1:]))
        assert browser.wait_for((DATA, END_STREAM, 1), (RST_STREAM, None, 1), (GOAWAY, None, None))[0] in (DATA, RST_STREAM)
        assert browser.is_alive()
    assert scripted.requests.empty()


def whole_upload(scripted, answer):
    """Reads a request with chunks to its end before the answer: all of it is in scripted.requests then."""
    def read(connection):
        data = scripted.requests.get(timeout=TIMEOUT)
        while not re.search(rb"\r\n0\r\n(.+\r\n)*\r\n$", data):
            data += connection.recv(65536)
        scripted.requests.put(data)
        return answer

    scripted.answers.put(read)


TRAILING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\nSet-Cookie: __Host-grv_app_session=forged\r\nTeleport-Jwt-Assertion: forged\r\n\r\n"
FORGED_TRAILERS = ("x-real-ip: 6.6.6.6", "teleport_jwt_assertion: forged", "host: evil", "cookie: a=b")


def test_trailers_pass_both_ways(raw, scripted, tmp_path):
    """Those of the gateway and of the framing do not."""
    (tmp_path / "body").write_bytes(b"hello")

    def arrived(body=b"5\r\nhello\r\n"):
        request = scripted.requests.get(timeout=TIMEOUT)
        assert re.search(rb"(?i)\r\n\r\n%s0\r\nx-sum: 1\r\n\r\n$" % body, request), request

    whole_upload(scripted, TRAILING)
    with tls_of(raw, "raw") as tls:
        trailers = "".join(f"{line}\r\n" for line in ("X-Sum: 1", *FORGED_TRAILERS))
        tls.sendall(f"POST / HTTP/1.1\r\nHost: raw.{PROXY}:{raw.port}\r\nCookie: {raw.cookies('raw')}\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n"
                    f"5\r\nhello\r\n0\r\n{trailers}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n0\r\nX-Sum: 2\r\n\r\n"):
            more = tls.recv(4096)
            assert more, answer
            answer += more
    assert b"forged" not in answer
    arrived()
    whole_upload(scripted, TRAILING)
    shown = nghttp(raw, "/", "-d", tmp_path / "body", "--no-content-length", *[word for line in ("x-sum: 1", *FORGED_TRAILERS[:2]) for word in ("--trailer", line)])
    assert re.search(r"recv \(stream_id=\d+\) x-sum: 2\n", shown) and not re.search("recv.*forged", shown), shown
    arrived()
    whole_upload(scripted, TRAILING)
    with Streams(raw, "raw") as browser:  # right behind the head
        browser.send(frame(HEADERS, END_HEADERS, 1, browser.head("/", "POST")), frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("x-sum", "1")))
        assert browser.data(1)[3] == b"ok"
        arrived(b"")


def test_a_client_that_awaits_100_gets_it_from_the_backend(opened, raw, scripted, tmp_path):
    """And before it has sent the body, by either version."""
    data = os.urandom(100_000)
    (tmp_path / "body").write_bytes(b"x" * 5)
    for how in BOTH_VERSIONS:
        answer = opened.curl("https://files/upload/awaited", how, "-T", "-", "-H", "Expect: 100-continue", "--expect100-timeout", "3600", input=data)
        assert answer.status in (201, 204) and opened.get("https://files/upload/awaited").body == data

    def go_on(connection):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection.recv(5) == b"xxxxx"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    scripted.read_body = False
    scripted.answers.put(go_on)
    try:
        shown = nghttp(raw, "/awaited", "-d", tmp_path / "body", "--expect-continue")
    finally:
        scripted.read_body = True
    assert shown.index(":status: 100") < shown.index("send DATA") < shown.index(":status: 200"), shown
    scripted.answers.put(lambda connection: b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    scripted.read_body = False
    try:
        with tls_of(raw, "raw") as tls:
            tls.sendall(f"PUT / HTTP/1.1\r\nHost: raw.{PROXY}:{raw.port}\r\nCookie: {raw.cookies('raw')}\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n".encode())
            assert tls.recv(13) == b"HTTP/1.1 413 ", "the refusal comes without the body"
    finally:
        scripted.read_body = True


PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 1, 3, 5, 6, 9
HEAD, HELD, LAST = END_HEADERS | END_STREAM, END_HEADERS, END_STREAM


def setting(number, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def got(b, *more, flags=HEAD, stream=1):
    """A request for a page, with further fields."""
    return frame(HEADERS, flags, stream, b.head("/page") + b"".join(more))


def held(b, *more, stream=1):
    """A request whose body is awaited."""
    return frame(HEADERS, HELD, stream, b.head("/upload/held", "PUT") + b"".join(more))


def with_length(b, length):
    return held(b, literal("content-length", str(length)))


# {section of RFC 9113, and what: (the frames, the code with which the connection ends, or {stream: the code with which it ends}; {}: all goes on)}
FRAMES = {
    "3.4 no preface": (lambda b: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", FRAME_SIZE_ERROR),
    "4.1 a type that is unknown": (lambda b: frame(0xbe, 0xff, 0, b"12345678"), {}),
    "4.1 flags that are unknown": (lambda b: frame(PING, 0x16, 0, b"12345678"), {}),
    "4.1 the reserved bit": (lambda b: frame(PING, 0, 0x80000000, b"12345678"), {}),
    "4.2 a frame of data that is too large": (lambda b: held(b) + frame(DATA, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
    "4.2 a head in a frame that is too large": (lambda b: got(b, literal("x", "y" * 16384)), FRAME_SIZE_ERROR),
    "4.3 a head that is cut": (lambda b: frame(HEADERS, HEAD, 1, b.head()[:-3]), COMPRESSION_ERROR),
    "4.3 a frame within a head": (lambda b: got(b, flags=LAST) + frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), PROTOCOL_ERROR),
    "4.3 a head within a head": (lambda b: got(b, flags=LAST) + got(b, stream=3), PROTOCOL_ERROR),
    "4.3 the rest of another head": (lambda b: got(b, flags=LAST) + frame(CONTINUATION, END_HEADERS, 3, b.head()), PROTOCOL_ERROR),
    "5.1 data of an idle stream": (lambda b: frame(DATA, LAST, 1, b"x"), PROTOCOL_ERROR),
    "5.1 a reset of an idle stream": (lambda b: frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 a window of an idle stream": (lambda b: frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 the rest of a head without its begin": (lambda b: frame(CONTINUATION, END_HEADERS, 1, b.head()), PROTOCOL_ERROR),
    "5.1 data after the end": (lambda b: got(b) + frame(DATA, LAST, 1, b"x"), STREAM_CLOSED),
    "5.1 a head after the end": (lambda b: got(b) + got(b), STREAM_CLOSED),
    "5.1 data after a reset": (lambda b: held(b) + frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(DATA, LAST, 1, b"x"), {}),  # nghttp2 takes it for a late one
    "5.1 a head after a reset": (lambda b: held(b) + frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + got(b), {}),
    "5.1.1 a number of servers": (lambda b: got(b, stream=2), PROTOCOL_ERROR),
    "5.1.1 a smaller number": (lambda b: got(b, stream=5) + got(b, stream=3), {}),
    "5.3.2 a head that depends on itself": (lambda b: frame(HEADERS, HEAD | 0x20, 1, b"\0\0\0\1\x10" + b.head()), PROTOCOL_ERROR),
    "5.4.1 an unknown error of a stream": (lambda b: held(b) + frame(RST_STREAM, 0, 1, b"\0\0\0\xff"), {}),
    "5.5 an unknown setting": (lambda b: setting(0xf0, 1), {}),
    "6.1 data of the connection": (lambda b: frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.1 more padding than data": (lambda b: held(b) + frame(DATA, LAST | 8, 1, b"\x06test"), PROTOCOL_ERROR),
    "6.2 a head of the connection": (lambda b: got(b, stream=0), PROTOCOL_ERROR),
    "6.2 more padding than head": (lambda b: frame(HEADERS, HEAD | 8, 1, b"\xff" + b.head("/page")[:100]), PROTOCOL_ERROR),
    "6.3 a priority of the connection": (lambda b: frame(PRIORITY, 0, 0, b"\0\0\0\0\x10"), PROTOCOL_ERROR),
    "6.3 a priority of four bytes": (lambda b: frame(PRIORITY, 0, 1, b"\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.4 a reset of the connection": (lambda b: frame(RST_STREAM, 0, 0, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "6.4 a reset of three bytes": (lambda b: held(b) + frame(RST_STREAM, 0, 1, b"\0\0\x08"), FRAME_SIZE_ERROR),
    "6.5 settings of a stream": (lambda b: frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "6.5 half a setting": (lambda b: frame(SETTINGS, 0, 0, b"\0\3\0"), FRAME_SIZE_ERROR),
    "6.5 an acknowledgement with settings": (lambda b: frame(SETTINGS, 1, 0, b"\0\3\0\0\0\1"), FRAME_SIZE_ERROR),
    "6.5.2 half a push": (lambda b: setting(2, 2), PROTOCOL_ERROR),
    "6.5.2 a window that is too large": (lambda b: setting(4, 1 << 31), FLOW_CONTROL_ERROR),
    "6.5.2 frames that are too small": (lambda b: setting(5, 16383), PROTOCOL_ERROR),
    "6.5.2 frames that are too large": (lambda b: setting(5, 1 << 24), PROTOCOL_ERROR),
    "6.6 a promise of a client": (lambda b: held(b) + frame(5, END_HEADERS, 1, b"\0\0\0\2" + b.head()), PROTOCOL_ERROR),
    "6.7 a ping of a stream": (lambda b: frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "6.7 a ping of four bytes": (lambda b: frame(PING, 0, 0, b"1234"), FRAME_SIZE_ERROR),
    "6.7 an answer to no ping": (lambda b: frame(PING, 1, 0, b"12345678"), {}),
    "6.8 GOAWAY of a stream": (lambda b: frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "6.9 no window for the connection": (lambda b: frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "6.9 no window for a stream": (lambda b: held(b) + frame(WINDOW_UPDATE, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "6.9 a window of three bytes": (lambda b: frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), FRAME_SIZE_ERROR),
    "6.9.1 too much of a window for the connection": (lambda b: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "6.9.1 too much of a window for a stream": (lambda b: held(b) + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), {1: FLOW_CONTROL_ERROR}),
    "6.9.2 a setting that makes a window too large": (lambda b: held(b) + frame(WINDOW_UPDATE, 0, 1, b"\x40\0\0\0") + setting(4, 0x7fffffff), {1: FLOW_CONTROL_ERROR}),
    "6.10 more of a head that is complete": (lambda b: held(b) + frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    "6.10 the rest of no head": (lambda b: frame(CONTINUATION, END_HEADERS, 0, b""), PROTOCOL_ERROR),
    "8.1 two heads": (lambda b: held(b) + frame(HEADERS, HELD, 1, literal("x", "y")), {1: PROTOCOL_ERROR}),
    "8.1 a pseudo-field in trailers": (lambda b: held(b) + frame(HEADERS, HEAD, 1, literal(":path", "/")), {1: PROTOCOL_ERROR}),
    "8.1.1 more data than announced": (lambda b: with_length(b, 1) + frame(DATA, LAST, 1, b"test"), {1: PROTOCOL_ERROR}),
    "8.1.1 less data than announced": (lambda b: with_length(b, 9) + frame(DATA, 0, 1, b"test") + frame(DATA, LAST, 1, b"test"), {1: PROTOCOL_ERROR}),
    "8.2.1 capital letters": (lambda b: got(b, literal("X-Test", "ok")), {1: PROTOCOL_ERROR}),
    "8.2.1 a line in a value": (lambda b: got(b, literal("x", "a\r\nTeleport-Jwt-Assertion: forged")), {1: PROTOCOL_ERROR}),
    "8.2.2 a field of the connection": (lambda b: got(b, literal("connection", "keep-alive")), {1: PROTOCOL_ERROR}),
    "8.2.2 another te": (lambda b: got(b, literal("te", "gzip")), {1: PROTOCOL_ERROR}),
    "8.3 an unknown pseudo-field": (lambda b: frame(HEADERS, HEAD, 1, literal(":test", "ok") + b.head()), {1: PROTOCOL_ERROR}),
    "8.3 a pseudo-field of responses": (lambda b: frame(HEADERS, HEAD, 1, literal(":status", "200") + b.head()), {1: PROTOCOL_ERROR}),
    "8.3 a pseudo-field after a field": (lambda b: frame(HEADERS, HEAD, 1, literal("x", "y") + b.head()), {1: PROTOCOL_ERROR}),
    "8.3.1 a pseudo-field twice": (lambda b: frame(HEADERS, HEAD, 1, literal(":path", "/") + b.head()), {1: PROTOCOL_ERROR}),
    "8.3.1 an empty path": (lambda b: frame(HEADERS, HEAD, 1, b.head("")), {1: PROTOCOL_ERROR}),
    "8.3.1 no path": (lambda b: frame(HEADERS, HEAD, 1, literal(":method", "GET") + literal(":scheme", "https") + literal(":authority", b.authority)), {1: PROTOCOL_ERROR}),
    "8.5 CONNECT with a path": (lambda b: frame(HEADERS, HEAD, 1, b.head("/", "CONNECT")), {1: PROTOCOL_ERROR}),
    "HPACK 2.3.3 an index beyond the tables": (lambda b: got(b, integer(200, 7, 0x80)), COMPRESSION_ERROR),
    "HPACK 4.2 a size of the table behind a field": (lambda b: got(b, b"\x20"), COMPRESSION_ERROR),
    "HPACK 5.2 padding of eight bits": (lambda b: got(b, b"\0\x81x\x85\xf2\xb2\x4a\x84\xff"), COMPRESSION_ERROR),
    "HPACK 5.2 padding of zeros": (lambda b: got(b, b"\0\x81x\x83\xf2\xb2\x40"), COMPRESSION_ERROR),
    "HPACK 5.2 the end of strings": (lambda b: got(b, b"\0\x81x\x88\xf2\xb2\x4a\x84\xff\xff\xff\xff"), COMPRESSION_ERROR),
    "HPACK 5.1 an endless number": (lambda b: got(b, b"\xff" + b"\xff" * 20), COMPRESSION_ERROR),
    "HPACK 6.1 the index 0": (lambda b: got(b, b"\x80"), COMPRESSION_ERROR),
    "HPACK 6.3 a table that is too large": (lambda b: frame(HEADERS, HEAD, 1, integer(65536, 5, 0x20) + b.head("/page")), COMPRESSION_ERROR),
}


def test_frames_that_break_rules_end_stream_or_connection(opened):
    """What h2spec tests: a connection ends with the code of its error, or the stream alone does."""
    for name, (frames, ends) in FRAMES.items():
        with Streams(opened, "files") as browser:
            browser.send(frames(browser))
            if isinstance(ends, int):
                goaway = browser.wait_for((GOAWAY, None, 0))
                assert goaway is not None and int.from_bytes(goaway[3][4:8], "big") == ends, (name, goaway)
                assert not browser.is_alive(), name
                continue
            for stream, code in ends.items():
                reset = browser.wait_for((RST_STREAM, None, stream), (GOAWAY, None, 0))
                assert reset[0] == RST_STREAM and int.from_bytes(reset[3], "big") == code, (name, reset)
            assert browser.is_alive(), name
            browser.get(9, "/page")


def test_a_window_is_kept_to_the_byte(opened):
    with Streams(opened, "files") as browser:
        browser.send(setting(4, 3))
        browser.get(1, "/page")
        assert browser.data(1)[3] == b"a p"
        assert browser.is_alive()
        browser.send(setting(4, 1))  # two bytes less than nothing
        browser.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 4)))
        assert browser.data(1)[3] == b"ag"
        browser.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100)))
        assert browser.data(1)[3] == b"e of nginx\n"


# What costs a browser little and the proxy more; each ends the connection before long.
FLOODS = {
    "resets": lambda b, n: held(b, stream=n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08"),
    "resets that it makes the proxy send": lambda b, n: held(b, stream=n) + frame(DATA, LAST, n, b"x") + frame(HEADERS, HEAD, n, literal("x", "y")),
    "heads that are refused": lambda b, n: frame(HEADERS, HEAD, n, literal("x", "y") + b.head()),
    "continuations": lambda b, n: got(b, flags=LAST) * (n == 1) + frame(CONTINUATION, 0, 1, literal("x", "y" * 1000)) * 10,
    "pings": lambda b, n: frame(PING, 0, 0, b"12345678") * 100,
    "windows": lambda b, n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 100,
    "settings": lambda b, n: frame(SETTINGS) * 100,
    "priorities": lambda b, n: frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 100,
    "data without bytes": lambda b, n: held(b) * (n == 1) + frame(DATA, 0, 1) * 100,
}


def test_floods_of_frames_end_their_connection(place, opened):
    before = place.process.children()["proxy"], len(memory_of(place.process.children()["proxy"]))
    for name, frames in FLOODS.items():
        with Streams(opened, "files") as browser:
            ended = not all(browser.send(b"".join(frames(browser, n) for n in range(first, first + 20, 2))) for first in range(1, 2000, 20))
            assert ended or not browser.is_alive(), name
    assert place.process.children()["proxy"] == before[0]
    grown = len(memory_of(before[0])) - before[1]
    assert grown < (4 << 20 if "sanitizer build" not in place.process.text() else 64 << 20), grown  # that build keeps freed memory
    assert opened.get("https://files/page", "--http2").status == 200


def test_server_sent_events_arrive_one_by_one_by_http2(place, client, backends):
    scripted, go_on = backends["scripted"], threading.Semaphore(0)
    scripted.answer()
    client.launch(place.alice, "https://raw/")

    def events(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number in range(3):
            connection.sendall(b"data: %d\n\n" % number)
            assert go_on.acquire(timeout=TIMEOUT)

    scripted.answers.put(events)
    with Streams(client, "raw") as browser:
        browser.get(1)
        for number in range(3):
            assert browser.data(1)[3] == b"data: %d\n\n" % number
            go_on.release()
        assert browser.data(1)[1] & END_STREAM
    scripted.forget()


def test_a_stream_that_is_not_read_holds_up_no_other(place, client, backends):
    """Neither does its body pile up anywhere, and with the reset of the stream it ends at the backend."""
    scripted, most, sent, is_over = backends["scripted"], 1 << 28, [0], threading.Event()
    scripted.answer()
    client.launch(place.alice, "https://raw/")

    def download(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % most)
        try:
            while sent[0] < most:
                sent[0] += connection.send(bytes(1 << 16))
        finally:
            is_over.set()

    scripted.answers.put(download)
    with Streams(client, "raw") as browser:
        browser.get(1, "/long")
        streams = iter(range(3, 1 << 16, 2))

        def another_is_served():
            stream = next(streams)
            scripted.answer(b"short")
            browser.get(stream)
            body = b""
            while not (got := browser.data(stream))[1] & END_STREAM:
                body += got[3]
            return body + got[3] == b"short"

        def is_still():
            before = sent[0]
            assert another_is_served()
            return sent[0] == before

        wait_until(is_still, "the backend has to wait")
        assert sent[0] < most // 2, "what sockets hold"
        assert not is_over.is_set()
        browser.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
        assert is_over.wait(TIMEOUT) and sent[0] < most // 2
        assert another_is_served()
    scripted.forget()


class Unread:
    """An answer of a backend that nobody is to take: .sent bytes were sent before it .is_over."""

    MOST = 1 << 28

    def __init__(self):
        self.sent, self.is_over = 0, threading.Event()

    def __call__(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.MOST)
        try:
            while self.sent < self.MOST:
                self.sent += connection.send(bytes(1 << 16))
        finally:
            self.is_over.set()


def answer_pings(browser, ended):
    """Until stream 1 or the connection ends: .put(the frame) of that."""
    while (got := browser.wait_for((PING, None, 0), (RST_STREAM, None, 1), (GOAWAY, None, None))) and got[0] == PING:
        browser.send(frame(PING, ACK, 0, got[3]))
    ended.put(got)


@pytest.mark.nightly
def test_browsers_that_read_nothing_are_cut_off_slow_backends_not(place, client, backends):
    """
    The browser costs bounded memory until TIMEOUT_HTTP_STALL, by HTTP/2 also if it answers each PING. A backend that sends a byte a second,
    or nothing for longer than that, is waited for.
    """
    scripted, stall = backends["scripted"], 300
    scripted.answer()
    client.launch(place.alice, "https://raw/")
    scripted.forget()
    services = [place.process.children()["proxy"], place.apps.process.children()["app"]]
    is_done, may_go_on, ended, unread = threading.Event(), threading.Event(), queue.Queue(), [Unread(), Unread(), Unread()]

    def used():
        return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) << 10 for pid in services)

    def slow(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (stall + 20))
        for _ in range(stall + 20):
            connection.sendall(b"s")
            is_done.wait(1)

    def silent(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        assert may_go_on.wait(2 * stall)
        return b" last"

    def by_http1(answer):
        host, port = place.proxy_addr.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), TIMEOUT)
        tls = stack.enter_context(ssl._create_unverified_context().wrap_socket(plain, server_hostname=f"raw.{PROXY}"))
        scripted.answers.put(answer)
        tls.sendall(f"GET / HTTP/1.1\r\nHost: raw.{PROXY}\r\nCookie: {client.cookies('raw')}\r\n\r\n".encode())
        scripted.requests.get(timeout=TIMEOUT)
        return tls

    def by_http2(answer):
        browser = stack.enter_context(Streams(client, "raw"))
        scripted.answers.put(answer)
        browser.get(1)
        return browser

    def body_of(tls):
        file = stack.enter_context(tls.makefile("rb"))
        assert file.readline().startswith(b"HTTP/1.1 200 ")
        while file.readline() != b"\r\n":
            pass
        return file

    with contextlib.ExitStack() as stack:
        stack.callback(is_done.set)
        before = used()
        by_http1(unread[0])
        by_http2(unread[1])
        threading.Thread(target=answer_pings, args=(by_http2(unread[2]), ended), daemon=True).start()
        first, second = body_of(by_http1(silent)), body_of(by_http1(slow))
        assert first.read(5) == b"first" and second.read(20) == 20 * b"s"
        sent = [one.sent for one in unread]
        assert second.read(stall - 60) == (stall - 60) * b"s"
        assert unread[1].is_over.is_set(), "its PINGs were not answered"
        assert not unread[0].is_over.is_set() and not unread[2].is_over.is_set() and ended.empty()
        assert (unread[0].sent, unread[2].sent) == (sent[0], sent[2]), "they wait"
        grown = used() - before
        assert grown < 8 << 20 or "sanitizer build" in place.process.text(), grown
        assert second.read(60) == 60 * b"s"
        may_go_on.set()
        assert first.read(5) == b" last"
        assert all(one.is_over.wait(TIMEOUT) for one in unread) and max(one.sent for one in unread) < Unread.MOST // 2
        kind, _, _, code = ended.get(timeout=TIMEOUT)
        assert kind == RST_STREAM and struct.unpack(">I", code)[0] == 8, "CANCEL"
    scripted.forget()


def echoes(client):
    """Whether a WebSocket of the application `ws` works, to its orderly end."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["http/1.1"])  # as browsers do for a WebSocket
    host, port = client.addr.rsplit(":", 1)

    async def talk():
        async with websockets.connect(f"wss://ws.{PROXY}:{client.port}/", ssl=context, host=host, port=int(port), server_hostname=f"ws.{PROXY}",
                                      max_size=None, extra_headers={"Cookie": client.cookies("ws")}) as socket:
            for message in ("hello", os.urandom(1_000_000)):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send("close")
            await socket.wait_closed()
            return socket.close_code, socket.close_reason

    return asyncio.run(asyncio.wait_for(talk(), TIMEOUT)) == (4000, "as requested")


def test_websockets_pass_beside_http2(place, client):
    client.launch(place.alice, "https://ws/")
    assert echoes(client)


WEBSOCKETS, WEBSOCKET_KIB = 2000, 32
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


def idle_websocket(client, scripted):
    def accept(connection):
        connection.sendall(UPGRADED)
        connection.recv(1)

    scripted.answers.put(accept)
    tls = tls_of(client, "raw")
    tls.sendall(f"GET / HTTP/1.1\r\nHost: raw.{PROXY}:{client.port}\r\nCookie: {client.cookies('raw')}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    assert tls.recv(4096).startswith(b"HTTP/1.1 101 ")
    return tls


@pytest.mark.nightly
def test_idle_websockets_take_little_memory(place, raw, scripted):
    """Of proxy and agent together, through one agent. Their end at once holds up nobody."""
    pids = place.process.children()["proxy"], place.apps.process.children()["app"]

    def pss_kib():
        return sum(int(re.search(r"(?m)^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()).group(1)) for pid in pids)

    soft, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (min(hard, 4 * WEBSOCKETS), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(setrlimit, RLIMIT_NOFILE, (soft, hard))
        for _ in range(10):
            stack.enter_context(idle_websocket(raw, scripted))
        before = pss_kib()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for tls in pool.map(lambda _: idle_websocket(raw, scripted), range(WEBSOCKETS - 10)):
                stack.enter_context(tls)
        if "sanitizer build" not in place.process.text():
            wait_until(lambda: (pss_kib() - before) / (WEBSOCKETS - 10) <= WEBSOCKET_KIB, "they take little memory")
        print(f"{(pss_kib() - before) / (WEBSOCKETS - 10):.1f} KiB each")
        assert raw.get("https://files/page", "--http2").status == 302  # others are served
    scripted.answer(b"after them")
    assert raw.get("https://raw/", "--http2").text == "after them"
    assert (place.process.children()["proxy"], place.apps.process.children()["app"]) == pids


def through(kind, directory, *changes):
    """A load balancer with the configuration of the guide, in which each (old, new) was changed, and which connects from SOURCE."""
    text, places = {"haproxy": ("haproxy.cfg", {"bind :443": "bind 127.0.0.1:{port}", "10.0.0.10:3080 ssl": f"10.0.0.10:3080 source {SOURCE} ssl"}),
                    "nginx": ("nginx.conf", {"listen 443 ssl": "listen 127.0.0.1:{port} ssl", "location / {": f"location / {{ proxy_bind {SOURCE};"})}[kind]
    text = (SHOWN / text).read_text()
    for old, new in (*changes, *places.items()):
        assert old in text, (kind, old)
        text = text.replace(old, new)
    return Box(kind, directory, text)


KEEPALIVE = [("https://10.0.0.10:3080;", "https://cluster;"), ('""      close', '""      ""'), ("worker_processes auto", "worker_processes 1"),
             ("    server {", "    upstream cluster { server 10.0.0.10:3080; keepalive 4; }\n    server {")]
# As the guide shows them, and without TLS.
LOAD_BALANCERS = {
    "haproxy": ("haproxy", []),
    "nginx": ("nginx", []),
    "nginx without tls": ("nginx", [("https://10.0.0.10:3080", "http://10.0.0.10:3080")]),
}
# With many requests on a connection; the own TLS of the latter two names no host, as that of an AWS ALB.
SHARED = {
    "nginx with keepalive": ("nginx", KEEPALIVE),
    "haproxy without a name": ("haproxy", [(" sni ssl_fc_sni", ""), ("mode http", "mode http\n    http-reuse always")]),
    "nginx without a name": ("nginx", [("proxy_ssl_server_name on", "proxy_ssl_server_name off"), *KEEPALIVE]),
}


def plain_addr(place):
    return re.findall(r"listening for plain HTTP addr:(\S+)", place.process.text())[-1]


@pytest.mark.parametrize("kinds", [LOAD_BALANCERS, pytest.param(SHARED, marks=pytest.mark.nightly)], ids=["as shown", "shared"])
def test_a_load_balancer_may_end_tls(place, tmp_path, kinds):
    """From the login to a WebSocket, by HTTP/2 to the load balancer too; cluster and application know the browser's address."""
    name = "carol" if kinds is LOAD_BALANCERS else "carla"
    carol = User(place, name, tmp_path / "home").accept(invite_url(place.tctl("users", "add", name, "--roles=test-apps").out))
    client = Client(place, tmp_path)
    for kind, (program, changes) in kinds.items():  # the later ones with the sessions that began at the first one
        with contextlib.closing(through(program, tmp_path / kind.replace(" ", "-"), *changes).start(plain_addr(place) if "without tls" in kind else place.proxy_addr)) as box:
            client.addr = f"127.0.0.1:{box.port}"
            if kind == next(iter(kinds)):
                client.launch(carol, "https://files/page")
                client.launch(carol, "https://ws/")
            from_another = client.get("https://files/headers", "--http2", "--interface", "127.0.0.7", "-H", "X-Forwarded-For: 6.6.6.6")
            assert from_another.head.startswith("HTTP/2 200") and from_another.text.split()[0] == "127.0.0.7", (kind, from_another.text)
            assert client.get("https://proxy/webapi/find").status == 200, kind
            assert client.get("https://files/headers").text.split()[0] == "127.0.0.1", kind
            assert echoes(client), kind


class Shared:
    """A connection of a load balancer that names no host in its TLS, with requests of many browsers for many hosts. is_plain: without TLS."""

    def __init__(self, place, is_plain=False):
        host, port = (plain_addr(place) if is_plain else place.proxy_addr).rsplit(":", 1)
        self.port = place.proxy_addr.rsplit(":", 1)[1]
        self.http = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
        self.http.auto_open = 0  # it stays one connection
        self.http.sock = socket.create_connection((host, int(port)), timeout=TIMEOUT, source_address=(SOURCE, 0))
        if not is_plain:
            self.http.sock = ssl._create_unverified_context().wrap_socket(self.http.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.sock.close()

    def get(self, name, path, cookies=""):
        """(status, text, Location) of a request of a browser for that host."""
        fields = {"Host": f"{name}:{self.port}", "X-Forwarded-For": "203.0.113.5", "Accept": "text/html", **({"Cookie": cookies} if cookies else {})}
        self.http.request("GET", path, None, fields)
        answer = self.http.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("Location", "")


def user_of(fields):
    """Whom the application takes its request for."""
    token, = fields["teleport-jwt-assertion"]
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"]


def test_users_and_hosts_share_a_connection_of_a_load_balancer(place, client, backends, tmp_path):
    """As that of an AWS ALB. The host and the cookies of each request decide, and nothing of the one before."""
    scripted = backends["scripted"]
    scripted.forget()
    dave = User(place, "dave", tmp_path / "home").accept(invite_url(place.tctl("users", "add", "dave", "--roles=test-apps").out))
    davids = Client(place, tmp_path)
    for one, user in ((client, place.alice), (davids, dave)):
        scripted.answer()
        one.launch(user, "https://raw/")
    scripted.forget()
    raw, files, proxy = f"raw.{PROXY}", f"files.{PROXY}", PROXY

    def is_served_as(shared, browser, user):
        scripted.answer()
        assert shared.get(raw, "/", browser.cookies("raw"))[:2] == (200, "ok")
        return user_of(scripted.fields()) == user.name

    with Shared(place) as shared, Shared(place, is_plain=True) as plain:
        for one in (shared, plain):
            assert is_served_as(one, client, place.alice) and is_served_as(one, client, place.alice)
            assert is_served_as(one, davids, dave)
            status, text, location = one.get(raw, "/")
            assert status == 302 and location.startswith(f"https://{PROXY}:{one.port}/web/launch/raw."), "a request without cookies is none of dave's"
            status, text, location = one.get(files, "/page", davids.cookies("raw"))
            assert status == 302 and "/web/launch/files." in location and "a page" not in text, "a session is for its application only"
            status, text, _ = one.get(proxy, "/webapi/find", client.cookies("raw"))
            assert status == 200 and json.loads(text)["cluster_name"] == "example.test"
            status, text, location = one.get(proxy, "/web", client.cookies("raw"))
            assert status == 303 and location.startswith("/web/login"), "the proxy's pages have a login of their own"
            assert is_served_as(one, davids, dave), "after a page of the proxy"
        wrong = re.sub(r"(session_subject=)\w+", rf"\g<1>{'0' * 64}", davids.cookies("raw"))
        assert plain.get(raw, "/", wrong)[0] == 302
        place.event("auth", user="dave", app_name="raw", error="the secret is not that of the session", **{"addr.remote": "203.0.113.5:0"})
        assert scripted.requests.empty()
        assert davids.get("https://raw/teleport-logout").status == 200
        for one in (shared, plain):
            assert is_served_as(one, client, place.alice), "the end of dave's session is that of his requests only"
            assert one.get(raw, "/", davids.cookies("raw"))[0] == 302
        assert scripted.requests.empty()


def test_many_hosts_on_one_connection_take_bounded_memory(place, client):
    """What the proxy keeps for the next request to a host is not kept for every name that somebody invents."""
    def ask(browser, first, count):
        for stream in range(first, first + 2 * count, 2):
            fields = [(":method", "HEAD"), (":scheme", "https"), (":path", "/"), (":authority", f"invented{stream}.{PROXY}:{client.port}")]
            browser.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"".join(literal(*field) for field in fields)))
            assert browser.wait_for((HEADERS, None, stream), (RST_STREAM, None, stream), (GOAWAY, None, None))[0] == HEADERS

    proxy = place.process.children()["proxy"]
    with Raw(place.proxy_addr, server_name=f"raw.{PROXY}") as browser:
        ask(browser, 1, 100)
        before = len(memory_of(proxy))
        ask(browser, 201, 1000)
        grown = len(memory_of(proxy)) - before
        assert grown < (1 << 20 if "sanitizer build" not in place.process.text() else 64 << 20), grown  # that build keeps freed memory
        assert browser.is_alive()


def test_programs_get_a_reason_instead_of_a_redirect(client):
    for fields in (["Accept: application/json"], ["Sec-Fetch-Mode: cors"], ["X-Requested-With: XMLHttpRequest"], ["Connection: Upgrade", "Upgrade: websocket"]):
        answer = client.get("https://files/page", *[word for field in fields for word in ("-H", field)])
        assert answer.status == 401, fields
        assert "not logged in" in json.loads(answer.text)["error"]["message"] and "Cache-Control: no-store" in answer.head
    form = client.post("https://files/page", {"a": "b"})
    assert form.status == 401 and "was not processed" in form.text, "a form is not sent elsewhere"


def test_the_proxy_answers_preflight_requests_by_cors(client, backends):
    """Browsers send them without cookies. No page learns from the answer whether an application exists."""
    front = f"https://front.{PROXY}:{client.port}"

    allowed = client.preflight("api", front)
    assert allowed.status == 200 and not allowed.body, allowed.head
    for line in (f"Access-Control-Allow-Origin: {front}", "Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: content-type",
                 "Access-Control-Allow-Credentials: true", "Access-Control-Max-Age: 60", "Vary: Origin"):
        assert f"{line}\r\n" in f"{allowed.head}\r\n", allowed.head
    for refused in (client.preflight("api", "https://evil.example"), client.preflight("api", "null"), client.preflight("files", front), client.preflight("none", front),
                    client.preflight("api", front, method="")):
        assert refused.status == 401 and "Access-Control" not in refused.head, refused.head
    assert backends["api"].requests.empty()


def test_resources_have_cors_and_required_applications_too(place, client, backends):
    def write(*origins):
        place.create({"kind": "app", "version": "v3", "metadata": {"name": "written", "labels": {"kind": "written", "env": "test"}},
                      "spec": {"uri": f"http://{backends['nginx'].addr}", "required_apps": ["api"], "cors": {"allowed_origins": origins}}})

    write("https://a.example")
    allowed = wait_until(lambda: (answer := client.preflight("written", "https://a.example")).status == 200 and answer, "the host offers it")
    assert "Access-Control-Allow-Origin: https://a.example\r\n" in f"{allowed.head}\r\n" and "Credentials" not in allowed.head
    write("https://b.example")
    wait_until(lambda: client.preflight("written", "https://b.example").status == 200, "the change counts")
    assert client.preflight("written", "https://a.example").status == 401
    step = client.get(client.get("https://written/").location)
    assert step.status == 303 and step.location.startswith(f"/web/launch/api.{PROXY}?") and "for=written&at=0" in step.location
    place.tctl("rm", "app/written")


def test_required_applications_are_opened_in_the_same_login(place, client):
    """Also where two of them require each other."""
    step = client.get(client.get("https://front/page?x=1").location)
    assert step.status == 303 and step.location.startswith(f"/web/launch/api.{PROXY}?path=%2Fpage&query=x%3D1&for=front&at=0"), step.head
    page = client.form_of(client.get(client.absolute(step.location)))
    done = client.post(page.action, page.fields)
    assert done.refresh == f"https://{PROXY}:{client.port}/web/launch/front.{PROXY}?path=%2Fpage&query=x%3D1&at=1"
    assert client.exchange(client.get(done.refresh)).text == "a page of nginx\n"
    assert client.get("https://api/").text == "by api"
    forged = client.get("https://files/x-teleport-auth?for=..%2Fevil.example&at=0")
    assert "for=" not in forged.location and forged.location.startswith(f"https://{PROXY}:{client.port}/web/launch/files."), forged.head


def test_a_required_application_that_cannot_be_opened_is_named(place, client):
    step = client.get(client.get("https://partly/page").location)
    for name, status in (("secret", 404), ("queue", 400)):
        page = client.get(client.absolute(step.location))
        assert page.status == status and f"requires &#39;{name}&#39;, which cannot be opened" in page.text and "Request ID" in page.text, page.text
        step = client.get(client.absolute(html.unescape(re.search('href="(/web/launch/partly[^"]*)"', page.text).group(1))))
        assert step.status == 303, "it goes on without it"
    page = client.form_of(client.get(client.absolute(step.location)))
    assert client.exchange(client.get(client.post(page.action, page.fields).refresh)).text == "a page of nginx\n"


def test_the_way_back_stays_on_the_application(place, client):
    """Whatever path and query the addresses have, the browser ends at the application's own host."""
    first = client.get("https://files//evil.example/%2e%2e?next=https://evil.example")
    assert first.location.startswith(f"https://{PROXY}:{client.port}/web/launch/files.{PROXY}?path=%2F")
    for path in ("//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nSet-Cookie: x=y", "@evil.example"):
        state = client.get(f"https://files/x-teleport-auth?path={urllib.parse.quote(path, safe='')}")
        assert "path=%2F&state=" in state.location and "evil" not in state.location and "Set-Cookie: x" not in state.head, state.head
    page = client.launch(place.alice, "https://files/page")
    assert page.status == 200
    page = client.form_of(client.get(f"https://proxy/web/launch/files.{PROXY}?path=%2Fpage"))
    done = client.post(page.action, {**page.fields, "path": "//evil.example", "query": "a b"})
    assert done.status == 200 and f'url=https://files.{PROXY}:{client.port}/">' in done.text and "evil" not in done.text


def test_the_launch_page_leads_to_own_applications_only(opened):
    for name in ("evil.example", f"a.b.{PROXY}", PROXY, f"files.{PROXY}.evil.example", f"files.{PROXY}%2eevil.example", f"files.{PROXY}/x", f"files.{PROXY}:444", ""):
        answer = opened.get(f"https://proxy/web/launch/{name}")
        assert answer.status == 404 and "ocation:" not in answer.head, (name, answer.head)
    hidden, none = (opened.get(f"https://proxy/web/launch/{name}.{PROXY}") for name in ("secret", "none"))
    assert (hidden.status, none.status) == (404, 404)
    assert "that you may use" in hidden.text and "Request ID" in hidden.text
    tcp = opened.get(f"https://proxy/web/launch/queue.{PROXY}")
    assert tcp.status == 400 and "tsh proxy app queue" in tcp.text


def test_a_login_begins_in_the_same_browser(place, opened, tmp_path):
    """Login CSRF: the values of one browser are worth nothing in another one, and end there."""
    values = opened.form_of(opened.get(f"https://proxy/web/launch/files.{PROXY}"))
    victim = Client(place, tmp_path)
    refused = victim.post(values.action, values.fields)
    assert refused.status == 403 and "Request ID" in refused.text and "__Host-grv_app_session" not in refused.head
    assert opened.post(values.action, values.fields).status == 403, "the session was ended"
    own = opened.form_of(opened.get(f"https://proxy/web/launch/files.{PROXY}"))
    wrong = {**own.fields, "subject_cookie_value": "0" * 64}
    assert opened.post(own.action, wrong).status == 403
    assert opened.post(own.action.replace("files.", "raw."), own.fields).status == 403, "of another application"
    assert opened.get("https://files/page").text == "a page of nginx\n", "the session that the browser had"
    event = place.event("auth", user=place.alice.name, app_name="files", error="the state is not that of this browser")
    assert (event["code"], event["success"]) == ("T3007W", False) and event["addr.remote"].startswith("127.0.0.1:") and event["server_id"]
    place.event("auth", app_name="files", error="the session is none of this application, or its secret is another")
    ended = place.event("user.app_session.end", user=place.alice.name, app_name="files", reason="refused")
    assert ended["ended_by"] == ended["server_id"] == event["server_id"], "by the proxy"


def test_a_session_opens_its_own_application_only(place, client):
    client.launch(place.alice, "https://files/page")
    jar = dict(re.findall(r"(__Host-grv_app_session\w*)\t(\w+)", client.jar.read_text()))
    cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
    stolen = Client(place, client.jar.parent)
    assert stolen.get("https://files/page", "-H", f"Cookie: {cookies}").status == 200
    assert stolen.get("https://raw/", "-H", f"Cookie: {cookies}").status == 302
    assert stolen.get("https://files/page", "-H", f"Cookie: __Host-grv_app_session={jar['__Host-grv_app_session']}").status == 302
    wrong = cookies.replace(jar["__Host-grv_app_session_subject"], "0" * 64)
    assert stolen.get("https://files/page", "-H", f"Cookie: {wrong}").status == 302
    event = place.event("auth", user=place.alice.name, app_name="files", error="the secret is not that of the session")
    assert jar["__Host-grv_app_session_subject"] not in str(event) and "0" * 64 not in str(event)


def resource(name, **spec):
    return {"kind": "app", "version": "v3", "metadata": {"name": name, "labels": {"env": "test", "kind": "written"}}, "spec": spec}


def test_an_application_is_opened_at_its_own_address(place, client, backends):
    """No cookie, form or redirect is for another host, and the backend gets the address that the user has opened."""
    scripted, url = backends["scripted"], f"https://{RAW}:{client.port}/"
    scripted.answer(b"at home")
    home = client.get("https://proxy/web")
    assert f'href="/web/launch/{RAW}"' in home.text
    page = client.form_of(client.get(f"https://proxy/web/launch/{RAW}"))
    assert page.action == f"{url}x-teleport-auth" and f"form-action {url[:-1]};" in page.head, page.head
    done = client.post(page.action, page.fields)
    assert done.refresh == url
    assert client.get(url).text == "at home"
    fields = scripted.fields()
    assert (fields["host"], fields["x-forwarded-host"]) == ([f"{RAW}:{client.port}"], [f"{RAW}:{client.port}"])
    cookies = {line.split("\t")[0].removeprefix("#HttpOnly_") for line in client.jar.read_text().splitlines() if "__Host-grv_app_session\t" in line}
    assert cookies == {RAW}
    assert place.event("app.session.start", app_name="raw", app_public_addr=RAW)["user"] == place.alice.name
    jar = "; ".join(f"{name}={value}" for name, value in re.findall(r"(__Host-grv_app_session\w*)\t(\w+)", client.jar.read_text()))
    assert client.get("https://files/page", "-H", f"Cookie: {jar}").status == 302, "a session of another application"
    assert RAW in place.tctl("apps", "ls").out


def test_an_address_of_two_applications_leads_to_neither(place, client, aws_process, backends):
    """An administrator is refused. Of two hosts' files that have one address, neither is chosen, until a resource has it."""
    for addr, reason in ((PROXY, "name of a server"), (f"raw.{PROXY}", "below that of a proxy"), ("10.0.0.1", "no IP address")):
        refused = place.tctl("create", stdin=json.dumps(resource("rogue", uri="http://127.0.0.1:9", public_addr=addr)), check=False)
        assert refused.code == 1 and reason in refused.err, refused
    url = f"https://{RAW}:{client.port}/"
    assert client.get(url).status == 302
    aws_process.reset()
    rogue = place.host("rogue", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": [
        {"name": "rogue", "uri": "http://127.0.0.1:9", "labels": {"env": "test"}, "public_addr": RAW},
        {"name": "partly", "uri": "http://127.0.0.1:9", "labels": {"env": "test"}, "public_addr": "theirs.example.test"},
        {"name": "other", "uri": "http://127.0.0.1:9", "labels": {"env": "test"}, "public_addr": f"files.{PROXY}"}]}})
    rogue.start()
    rogue.wait_joined()
    wait_until(lambda: "its public address is that of" in place.tctl("apps", "ls").out, "the listing has it")
    wait_until(lambda: client.get(url).status == 503, "it leads to none of them")
    assert "Several applications have this address" in client.get(url, "-H", "Accept: text/html").text
    assert "several applications have the public_addr" in place.tctl("status").out
    assert client.get(f"https://proxy/web/launch/{RAW}").status == 404
    assert client.get("https://proxy/web/launch/theirs.example.test").status == 404, "sessions of another host's application would go there"
    assert "'partly' with different public_addr" in place.tctl("status").out
    conflicts = [line for line in place.process.text().splitlines() if "Two applications have one public_addr" in line and RAW in line]
    assert len(conflicts) == 1, "it is logged as it begins, not as often as it is read"
    assert client.get("https://files/page").location.startswith(f"https://{PROXY}:{client.port}/web/launch/files."), "the other one got nothing"
    kept = place.tctl("create", stdin=json.dumps(resource("kept", uri=f"http://{backends['nginx'].addr}", public_addr=RAW)))
    assert f"has the public_addr '{RAW}', too; it leads to this resource now" in kept.err, kept
    again = place.tctl("create", stdin=json.dumps(resource("second", uri="http://127.0.0.1:9", public_addr=RAW)), check=False)
    assert again.code == 1 and "the application 'kept' has the public_addr" in again.err, again
    wait_until(lambda: client.get(url).status == 302, "the resource has it")
    wait_until(lambda: [s["spec"]["state"] for s in place.json("apps", "ls") if s["metadata"]["name"] == "kept"] == ["online"], "it is offered")
    assert client.exchange(client.get(f"https://proxy/web/launch/{RAW}?path=%2Fpage")).text == "a page of nginx\n"
    assert place.event("app.create", name="kept")["app_public_addr"] == RAW
    place.tctl("rm", "app/kept")
    rogue.stop()


def test_a_resource_has_rewrite_and_its_round_trip(place, client, backends):
    scripted, port = backends["scripted"], client.port
    place.create(resource("shown", uri=f"http://{backends['scripted'].addr}", rewrite={
        "redirect": ["inside.example"], "jwt_claims": "none", "headers": [{"name": "X-Team", "value": "one"}, {"name": "X-Token", "value": "{{internal.jwt}}"}]}))
    before, = place.json("get", "app/shown")
    place.create(place.tctl("get", "app/shown").out)
    after, = place.json("get", "app/shown")
    assert before["metadata"].pop("revision") != after["metadata"].pop("revision") and before == after
    wait_until(lambda: "shown" in [s["metadata"]["name"] for s in place.json("apps", "ls") if s["spec"]["state"] == "online"], "it is offered")
    scripted.answer(b"", b"HTTP/1.1 302 Found", b"Location: http://inside.example/next")
    page = client.exchange(client.get(f"https://proxy/web/launch/shown.{PROXY}"))
    assert page.location == f"https://shown.{PROXY}:{port}/next"
    got = scripted.fields()
    assert got["x-team"] == ["one"] and got["x-token"] == got["teleport-jwt-assertion"]
    refused = place.tctl("create", stdin=json.dumps(resource("shown", uri="http://127.0.0.1:9", rewrite={"headers": [{"name": "X-Real-Ip", "value": "1"}]})), check=False)
    assert refused.code == 1 and "is one that the cluster sets" in refused.err
    place.tctl("rm", "app/shown")


def test_another_host_of_the_same_connection_is_not_served(place, opened):
    address = opened.cluster.proxy_addr.rsplit(":", 1)
    context = ssl._create_unverified_context()
    for host in (PROXY, f"raw.{PROXY}", "localhost", "evil.example", f"files.{PROXY}.evil.example", f"files.{PROXY}.", f"x.files.{PROXY}", "127.0.0.1", "[::1]", "169.254.169.254"):
        with context.wrap_socket(socket.create_connection((address[0], int(address[1])), TIMEOUT), server_hostname=f"files.{PROXY}") as tls:
            tls.sendall(f"GET /web/login HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode())
            answer = tls.recv(4096)
            assert answer.startswith(b"HTTP/1.1 421 "), host
            assert (b"leave out the dot" in answer) == host.endswith("."), answer


def test_a_name_in_tls_of_another_host_reaches_no_application(opened):
    """Also with its session: a name that somebody lets lead to the proxy's address is not enough."""
    host, port = opened.addr.rsplit(":", 1)
    for announced, name in ((sni, name) for sni in (PROXY, "evil.example", "localhost") for name in (f"files.{PROXY}:{port}", "evil.example", "127.0.0.1")):
        with ssl._create_unverified_context().wrap_socket(socket.create_connection((host, int(port)), TIMEOUT), server_hostname=announced) as tls:
            tls.sendall(f"GET /page HTTP/1.1\r\nHost: {name}\r\nCookie: {opened.cookies('files')}\r\nConnection: close\r\n\r\n".encode())
            with tls.makefile("rb") as answer:
                text = answer.read().decode()
        assert re.match("HTTP/1.1 4(04|21) ", text), (announced, name, text)
        assert "a page of nginx" not in text and "et-cookie" not in text


AWAY = ["//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "https://evil.example/", "https:evil.example", "@evil.example", ".evil.example",
        ":1@evil.example/", "/\r\nX: y", "javascript:alert(1)"]


def test_a_launch_leads_to_the_application_only(client):
    """Whatever its link has, and the form that it makes."""
    origin = f"https://files.{PROXY}:{client.port}"
    for path in AWAY:
        page = client.get(f"https://proxy/web/launch/files.{PROXY}?{urllib.parse.urlencode({'path': path})}")
        assert page.refresh == f"{origin}/x-teleport-auth?path=%2F", (path, page.refresh)
    for host in ("evil.example", f"files.{PROXY}.evil.example", f"files.{PROXY}:1@evil.example", f"files.{PROXY}%2F%2Fevil.example", "%2F%2Fevil.example", PROXY, "127.0.0.1"):
        page = client.get(f"https://proxy/web/launch/{host}")
        assert page.status == 404 and "ocation:" not in page.head and "refresh" not in page.text, host
    for path in ("//evil.example", "/\\evil.example"):
        page = client.form_of(client.get(f"https://proxy/web/launch/files.{PROXY}"))
        assert client.post(page.action, {**page.fields, "path": path, "query": "\r\nX: y"}).refresh == f"{origin}/", path


def test_logging_out_ends_the_session_everywhere(place, client):
    client.launch(place.alice, "https://files/page")
    jar = client.jar.read_text()
    out = client.get("https://files/teleport-logout")
    assert out.status == 200 and "Logged out" in out.text
    assert client.get("https://files/page").status == 302
    client.jar.write_text(jar)
    assert client.get("https://files/page").status == 302, "the old cookies are worth nothing"
    ended = place.event("user.app_session.end", user=place.alice.name, app_name="files", reason="logout", ended_by=place.alice.name)
    assert ended["code"] == "CTU02I" and ended["addr.remote"] and ended["server_id"], "the proxy has reported it"


def test_a_session_ends_with_the_login_and_with_the_rights(place, tmp_path):
    client = Client(place, tmp_path)
    client.launch(place.alice, "https://files/page")
    place.tctl("users", "update", "alice", "--set-roles=auditor")
    refused = client.get("https://files/page")
    assert refused.status == 404 and "no app &#39;files&#39;" in refused.text and "Request ID" in refused.text
    place.tctl("users", "update", "alice", "--set-roles=test-apps")
    assert client.get("https://files/page").status == 200
    place.tctl("lock", "--user=alice", "--ttl=1h")
    refused = client.get("https://files/page", "-H", "Accept: application/json")
    assert refused.status == 403 and "lock" in json.loads(refused.text)["error"]["message"]
    for lock in place.json("get", "locks"):
        place.tctl("rm", f"lock/{lock['metadata']['name']}")
    assert client.get("https://files/page").status == 200
    home = client.get("https://proxy/web")
    client.post("https://proxy/web/logout", {"token": home.hidden("token")})
    wait_until(lambda: client.get("https://files/page").status == 302, "the session ends with the login")


def test_sessions_survive_a_restart_of_the_proxy(place, client):
    client.launch(place.alice, "https://files/page")
    place.restart()
    wait_until(lambda: client.get("https://files/page").status == 200, "the next request works")


def test_a_process_that_dies_costs_the_running_request_only(place, client, backends):
    """kill -9 of the host's Application Service, of the proxy, and of auth: a reason or a closed connection, then the next request works."""
    client.launch(place.alice, "https://files/page")
    backends["scripted"].answer()
    client.launch(place.alice, "https://raw/")

    def killed_in_a_request(supervisor, name):
        backends["scripted"].answers.put(lambda connection: os.kill(supervisor.children()[name], signal.SIGKILL))
        return client.curl("https://raw/", "-H", "Accept: application/json")

    def works_again():
        with contextlib.suppress(subprocess.CalledProcessError):
            return client.get("https://files/page").status == 200

    lost = killed_in_a_request(place.apps.process, "app")
    assert lost.status == 502 and json.loads(lost.text)["error"]["request_id"], lost.head
    wait_until(works_again, "after the death of the Application Service")
    with pytest.raises(subprocess.CalledProcessError):
        killed_in_a_request(place.process, "proxy")
    wait_until(works_again, "after the death of the proxy")
    lost = killed_in_a_request(place.process, "auth")
    assert lost.status in (502, 503), "the backend closes; auth is not part of a running request"
    wait_until(works_again, "after the death of auth")


def half(uri):
    return {"kind": "app", "version": "v3", "metadata": {"name": "half", "labels": {"kind": "written", "env": "test"}}, "spec": {"uri": uri}}


def assert_backends_are_left(place, client, backends):
    """`half` reaches its backend from one of two hosts: a request without a body gets there, after one with a body the next one."""
    place.create(half(f"http://{backends['nginx'].addr}"))
    wait_until(lambda: [s["spec"]["state"] for s in place.json("apps", "ls") if s["metadata"]["name"] == "half"] == ["online"] * 2, "both hosts offer it")
    client.launch(place.alice, "https://half/page")
    place.process.mark()

    def is_left():
        page = client.get("https://half/page")
        assert (page.status, page.text) == (200, "a page of nginx\n") and "unreached" not in page.head.lower(), page.head
        return "another one is tried" in place.process.new_text()

    def statuses_of_two(*args):
        """On one connection."""
        both = client.curl("https://half/page", f"https://half.{PROXY}:{client.port}/page", *args)
        assert "unreached" not in both.head.lower() + both.text.lower(), both.head
        return [both.status, *map(int, re.findall(r"HTTP/1.1 (\d+)", both.text))]

    def is_left_after_a_body():
        statuses = statuses_of_two("-d", "body")  # which nginx does not accept
        assert statuses in ([405, 405], [502, 405]), statuses
        return statuses == [502, 405]

    wait_until(is_left, "a request began at the host that does not reach the application")
    wait_until(is_left_after_a_body, "a request with a body got there, and the next one of its connection did not")
    place.create(half("http://127.0.0.1:1"))
    none = wait_until(lambda: (page := client.get("https://half/page")).status != 200 and page, "no host reaches it any more")
    assert none.status == 502 and "cannot connect to it" in none.text and "request id" in none.text.lower(), none.text
    before = len(place.settled("app.session.start"))
    assert statuses_of_two() == [502, 502] and len(place.settled("app.session.start")) == before + 2, "the second request stays with the last host"
    place.tctl("rm", "app/half")


def test_browsers_are_led_to_another_host(place, client, backends, aws_process):
    """One of two hosts stops, by SIGKILL and gracefully: the next request goes to the other one. Without any, there is a page, and no redirect."""
    client.launch(place.alice, "https://files/page")
    rows = [{"name": name, "uri": f"http://{backends['nginx'].addr}", "labels": {"env": "test"}} for name in ("files", "api")]
    rows.append({"name": "half", "uri": "http://127.0.0.1:1", "labels": {"env": "test"}})
    other = place.host("other", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": rows}}).start()
    other.wait_joined()
    wait_until(lambda: [s["spec"]["state"] for s in place.json("apps", "ls") if s["spec"]["hostname"] == "other"] == ["online"] * 3, "the other host is reached")
    assert client.preflight("api", f"https://front.{PROXY}:{client.port}").status == 401, "the hosts of one application have different cors"
    assert_backends_are_left(place, client, backends)
    place.apps.kill()
    for _ in range(4):
        assert client.get("https://files/page").status == 200
    other.stop()
    none = client.get("https://files/page")
    assert none.status in (404, 503) and "Request ID" in none.text and "ocation:" not in none.head, none.text
    place.apps.start()
    wait_until(lambda: client.get("https://files/page").status == 200, "the host is back")
    place.tctl("rm", f"node/{other.host_id}")


def test_an_upload_that_a_browser_leaves_ends_at_the_backend(place, client, backends):
    backends["scripted"].answer()
    client.launch(place.alice, "https://raw/")
    cookies = client.cookies("raw")
    host, port = place.proxy_addr.rsplit(":", 1)
    with ssl._create_unverified_context().wrap_socket(socket.create_connection((host, int(port)), TIMEOUT), server_hostname=f"raw.{PROXY}") as tls:
        tls.sendall(f"PUT /x HTTP/1.1\r\nHost: raw.{PROXY}:{port}\r\nCookie: {cookies}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"x" * 1000)
        backends["scripted"].begun.get(timeout=TIMEOUT)
    assert backends["scripted"].left.get(timeout=TIMEOUT) < 1_000_000
    backends["scripted"].answer()
    assert client.get("https://raw/").status == 200


@pytest.mark.nightly
def test_a_session_survives_a_rotation_of_the_host_ca(place, client):
    client.launch(place.alice, "https://files/page")
    for phase in ("init", "update_clients", "update_servers", "standby"):
        step(place, "host", phase)
        wait_until(lambda: client.get("https://files/page").status == 200, f"the application is reached in the phase {phase}")


def check_a_front_end_with_its_api(page, port, api):
    """`front` requires `api`, whose cors lets its pages send requests with cookies; those of `files` may not."""
    page.open(f"https://front.{PROXY}:{port}/page?x=1")
    page.wait(f"location.host == 'front.{PROXY}:{port}' && document.body && document.body.innerText.includes('a page of nginx')")
    while not api.requests.empty():
        api.requests.get()
    fetch = f"""fetch('https://api.{PROXY}:{port}/items', {{method: 'PUT', credentials: 'include', headers: {{'Content-Type': 'application/json'}}, body: '{{}}'}})
                .then(async r => r.status + ' ' + await r.text(), e => 'refused')"""
    assert page.evaluate(fetch) == "200 by api"
    assert api.requests.get(timeout=TIMEOUT).startswith(b"PUT /items ")
    page.open(f"https://files.{PROXY}:{port}/page")
    page.wait(f"location.host == 'files.{PROXY}:{port}' && document.body && document.body.innerText.includes('a page of nginx')")
    assert page.evaluate(fetch) == "refused"
    assert api.requests.empty()


def test_chromium_opens_an_application(place, backends, tmp_path):
    """With third-party cookies blocked, as in a private window."""
    bob = User(place, "bob", tmp_path / "bob").accept(invite_url(place.tctl("users", "add", "bob", "--roles=test-apps").out))
    with Browser(tmp_path / "chromium", trust=[place.proxy_addr], hosts={f"*.{PROXY}": "127.0.0.1", PROXY: "127.0.0.1"}) as browser:
        page = browser.page()
        page.open(f"https://files.{PROXY}:{place.proxy_addr.rsplit(':', 1)[1]}/page?x=1")
        page.fill("#user", "bob")
        page.fill("#password", bob.password)
        page.fill("#otp", bob.otp())
        page.click("button")
        page.wait("document.body && document.body.innerText.includes('a page of nginx')")
        assert page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        assert page.evaluate("location.pathname + location.search") == "/page?x=1"
        tossed = [f"__Host-session=1.2; Secure; Path=/; Domain={PROXY}", f"=__Host-session=1.2; Secure; Path=/; Domain={PROXY}", f"__Host-grv_app_session=1; Secure; Path=/; Domain={PROXY}"]
        shown = page.evaluate("".join(f"document.cookie = '{cookie}';" for cookie in tossed) + "document.cookie")
        assert "__Host" not in shown, "a page reads or sets cookies of the cluster"
        page.open(f"https://{PROXY}:{place.proxy_addr.rsplit(':', 1)[1]}/web")
        page.wait("document.body && document.body.innerText.includes('files')")
        assert page.evaluate("document.cookie") == "", "the proxy's own cookie is not for scripts"
        check_a_front_end_with_its_api(page, place.proxy_addr.rsplit(":", 1)[1], backends["api"])
        page.open(f"https://files.{PROXY}:{place.proxy_addr.rsplit(':', 1)[1]}/teleport-logout")
        page.wait("document.body.innerText.includes('Logged out')")
        assert not faults_of(page), "a page in place of the application's"
