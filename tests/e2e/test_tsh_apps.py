# SPDX-License-Identifier: Apache-2.0
"""Applications as users of tsh see them: listed by `tsh apps ls`, at a port of their machine by `tsh proxy app`."""
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import types

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app_client import AppConnection
from balancers import Haproxy
from harness import TIMEOUT, Cluster, Process, contents, iam_token, program, reserved_port, wait_until
from join_client import Peer, messages, serialize
from tcp_server import TcpServer
from users import User, invite_url

PROJECT = pathlib.Path(__file__).resolve().parents[2]
FILES = {"name": "files", "uri": "tcp://127.0.0.1:9", "description": "Shared files", "labels": {"env": "prod"}}
QUEUE = {"name": "queue", "uri": "tcp://localhost:10", "labels": {"env": "dev"}}
BLOCK = hashlib.sha256(b"block").digest() * 2048  # 64 KiB
BLOCKS = 1024
progress = []  # of each connection of digest(): [blocks sent]


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def digest(connection):
    """Receives until the client has ended its direction; then sends the SHA-256 of that, and BLOCKS blocks."""
    received, sent = hashlib.sha256(), [0]
    while data := connection.recv(65536):
        received.update(data)
    progress.append(sent)
    connection.sendall(received.digest())
    for _ in range(BLOCKS):
        connection.sendall(BLOCK)
        sent[0] += 1


class Web(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = f"{self.path} {self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def role(name, labels):
    return {"kind": "role", "version": "v7", "metadata": {"name": name}, "spec": {"allow": {"app_labels": labels}}}


class Place:
    """A cluster with two hosts that offer applications, and its users."""

    def __init__(self, build, aws, directory, *apps):
        self.directory = directory
        self.cluster = Cluster(build, aws, directory / "cluster")
        with reserved_port() as reserved:
            self.name = f"localhost:{reserved.getsockname()[1]}"
            self.cluster.config["proxy_service"].update(web_listen_addr=self.name.replace("localhost", "127.0.0.1"), public_addr=[self.name])
            self.cluster.start()
        self.cluster.create(iam_token(roles=("Node", "App")))
        aws.reset()
        self.env = aws.identity()
        self.hosts = [self.host("apps-1", FILES, QUEUE, *apps), self.host("apps-2", FILES)]
        for host in self.hosts:
            host.wait_joined()
        wait_until(lambda: [s["spec"]["state"] for s in self.cluster.json("apps", "ls")] == ["online"] * (3 + len(apps)), "all applications are reached")

    def host(self, name, *apps):
        host = self.cluster.host(name, env=self.env, ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": list(apps)}})
        return host.start()

    def invite(self, name, *roles):
        words = self.cluster.tctl("users", "add", name, f"--roles={','.join(roles)}").out
        return User(self.cluster, name, self.directory / f"home-{name}").accept(invite_url(words))

    def user(self, name, *roles):
        user = self.invite(name, *roles)
        user.login()
        return user

    def program_user(self, name, *roles):
        """Logged in at the name of the proxy, below which applications have theirs."""
        user = self.invite(name, *roles)
        user.tsh("login", f"--proxy={self.name}", f"--user={name}", "--insecure", stdin=f"{user.password}\n{user.otp()}\n")
        return user


@pytest.fixture(scope="module")
def servers():
    with TcpServer(echo) as echoes, TcpServer(digest) as digests:
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with web, reserved_port() as down:
            yield {"echo": echoes.port, "digest": digests.port, "down": down.getsockname()[1], "web": web.server_port}
            web.shutdown()


@pytest.fixture(scope="module")
def place(build, aws_process, tmp_path_factory, servers):
    apps = [{"name": name, "uri": f"{'http' if name == 'web' else 'tcp'}://127.0.0.1:{port}", "labels": {"of": "tests"}} for name, port in servers.items()]
    apps.append({"name": "ports", "uri": "tcp://127.0.0.1", "labels": {"of": "tests"},
                 "tcp_ports": [{"port": servers["echo"]}, {"port": servers["digest"]}, {"port": 1, "end_port": 2}]})
    place = Place(build, aws_process, tmp_path_factory.mktemp("apps"), *apps)
    yield place
    place.cluster.stop()


@pytest.fixture(scope="module")
def alice(place):
    return place.user("alice", "access")


# ---- tsh apps ls ------------------------------------------------------------------------------------------------


def test_an_application_of_two_hosts_is_one_row(alice):
    assert [line.split("  ")[0] for line in alice.tsh("apps", "ls", "-v").out.splitlines()[2:]] == ["digest", "down", "echo", "files", "ports", "queue", "web"]
    assert alice.tsh("app", "ls", "-f", "names").out == "digest\ndown\necho\nfiles\nports\nqueue\nweb\n"


def test_it_has_the_columns_of_teleport(alice):
    title, _, files, queue = alice.tsh("apps", "ls", "--query=labels.env != ''").out.splitlines()
    assert title.split() == "Application Description Type Public Address Labels".split()
    assert files.split() == ["files", "Shared", "files", "TCP", "env=prod"] and queue.split() == ["queue", "TCP", "env=dev"]
    title, _, files = alice.tsh("apps", "ls", "-v", "--search=tcp", "env=prod").out.splitlines()
    assert title.split() == "Application Description Type Public Address URI Labels".split()
    assert files.split()[3:] == ["TCP", "tcp://127.0.0.1:9", "env=prod,teleport.dev/origin=config-file"]


def test_it_prints_resources_of_applications(alice):
    listed = json.loads(alice.tsh("apps", "ls", "--format=json", "--query=labels.env != ''").out)
    assert [(app["kind"], app["metadata"]["name"], app["spec"]["uri"]) for app in listed] == [
        ("app", "files", "tcp://127.0.0.1:9"), ("app", "queue", "tcp://localhost:10")]
    assert "uri: tcp://localhost:10\n" in alice.tsh("apps", "ls", "-f", "yaml").out


@pytest.mark.parametrize("chosen", [["env=dev"], ["--search=QUEUE"], ["--query=labels.env == 'dev'"], ["--query=hasPrefix(name, 'qu')"]])
def test_labels_words_and_queries_choose(alice, chosen):
    assert alice.tsh("apps", "ls", "--format=names", *chosen).out == "queue\n"


def test_others_than_permitted_are_not_listed(place):
    place.cluster.create(role("developer", {"env": "dev"}))
    assert place.user("dan", "developer").tsh("apps", "ls", "--format=names").out == "queue\n"


# ---- tsh proxy app ------------------------------------------------------------------------------------------------


class ProxyApp(Process):
    """`tsh proxy app` in the background; `port` is the local one."""

    def __init__(self, user, *args, env=None):
        super().__init__([program(user.build, "tsh"), "proxy", "app", *args], user.home / "proxy-app.log", {**user.env, **(env or {})})
        self.port = int(self.wait_for(r"Proxying connections to \S+ on 127\.0\.0\.1:(\d+)\n").group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(TIMEOUT)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def echoes(self):
        """Whether a connection is served; one that is refused is closed."""
        with contextlib.suppress(ConnectionError), self.connect() as connection:
            return is_open(connection)
        return False


def is_open(connection, data=b"hello"):
    """Whether the application `echo` is at the other end."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(data)
        return receive(connection, len(data)) == data
    return False


def receive(connection, size):
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


@pytest.fixture(scope="module")
def proxied(alice):
    with ProxyApp(alice, "echo", "-p", "0") as app:
        yield app


def test_an_application_is_reached_at_a_local_port(place, alice):
    with ProxyApp(alice, "echo") as app:
        assert "--port=PORT chooses it" in app.new_text()
        assert app.echoes()
        address = subprocess.run(["ss", "-Hltn", f"sport = {app.port}"], capture_output=True, text=True, check=True).stdout
        assert [row.split()[3] for row in address.splitlines()] == [f"127.0.0.1:{app.port}"]
    assert place.cluster.event("app.session.start", app_name="echo")["user"] == "alice"


def test_the_local_port_is_chosen(alice, servers):
    with reserved_port() as reserved, ProxyApp(alice, "echo", "-p", f"{reserved.getsockname()[1]}:{servers['echo']}") as app:
        port = reserved.getsockname()[1]
        assert app.port == port and app.echoes()
        assert "chooses it" not in app.new_text()
        taken = alice.tsh("proxy", "app", "echo", "-p", port, check=False)
        assert taken.code == 1 and f"127.0.0.1:{port}" in taken.err and "--port=PORT" in taken.err


@pytest.mark.parametrize("args, what", [
    (["nothing"], "there is no application 'nothing' that you may reach\nhint:  `tsh apps ls`"),
    (["echo", "-p", "x"], "--port"),
    (["echo", "-p", "65536"], "--port"),
    (["echo", "-p", "0:"], "the port of the application in --port"),
    (["echo", "-p", "0:1"], "the application 'echo' has no port 1: it has port "),
    (["queue/../echo"], "there is no application 'queue/../echo'"),
])
def test_a_wrong_command_line_is_explained(alice, args, what):
    done = alice.tsh("proxy", "app", *args, check=False)
    assert done.code == 1 and what in done.err, done.err


# ---- several ports of one application


def test_each_of_the_ports_is_reached(place, alice, servers):
    with ProxyApp(alice, "ports", "-p", f"0:{servers['echo']}") as echoed, ProxyApp(alice, "ports", "-p", f"0:{servers['digest']}") as digested:
        assert echoed.echoes()
        with digested.connect() as connection:
            connection.shutdown(socket.SHUT_WR)
            assert receive(connection, 32) == hashlib.sha256().digest()
    for name in ("echo", "digest"):
        start = place.cluster.event("app.session.start", app_name="ports", app_target_port=servers[name])
        assert start["app_uri"] == "tcp://127.0.0.1" and start["user"] == "alice"
        place.cluster.event("app.session.end", app_name="ports", app_target_port=servers[name])
    with ProxyApp(alice, "echo") as app:
        assert app.echoes()
    assert "app_target_port" not in place.cluster.event("app.session.start", app_name="echo")


def test_its_ports_are_listed(place, alice, servers):
    shown = f"{servers['echo']}, {servers['digest']}, 1-2"
    title, _, *rows = alice.tsh("apps", "ls", "-v", "of=tests").out.splitlines()
    assert title.split() == "Application Description Type Public Address URI Target Ports Labels".split()
    assert [shown in row for row in rows] == [row.startswith("ports ") for row in rows]
    assert f"tcp://127.0.0.1:{shown.replace(' ', '')}" in place.cluster.tctl("apps", "ls").out
    app = json.loads(alice.tsh("apps", "ls", "--format=json", "--search=ports").out)[0]
    assert app["spec"]["tcp_ports"] == [{"port": servers["echo"]}, {"port": servers["digest"]}, {"port": 1, "end_port": 2}]


def test_the_port_has_to_be_one_of_them(alice, servers):
    shown = f"{servers['echo']}, {servers['digest']}, 1-2"
    for args, what in ((["ports"], f"the application 'ports' has several ports: {shown}\nhint:  choose one of them: tsh proxy app ports --port=LOCAL:TARGET"),
                       (["ports", "-p", "0"], f"the application 'ports' has several ports: {shown}"),
                       (["ports", "-p", "0:3"], f"the application 'ports' has no port 3: it has {shown}")):
        done = alice.tsh("proxy", "app", *args, check=False)
        assert done.code == 1 and what in done.err, done.err
    for args, port in (((), servers["echo"]), ((f"--target-port={servers['digest']}",), servers["digest"]), (("--target-port=2",), 2)):
        assert f"tsh proxy app ports -p 8080:{port}\n" in alice.tsh("apps", "login", "ports", *args).out
    for app, port, what in (("ports", 3, f"the application 'ports' has no port 3: it has {shown}\nhint:  choose one of them: tsh apps login ports --target-port=PORT"), ("ports", 65536, "--target-port"),
                            ("echo", 3, f"the application 'echo' has no port 3: it has port {servers['echo']}"),
                            ("web", servers["web"], "--target-port is for TCP applications with several ports, and 'web' is reached by HTTP")):
        done = alice.tsh("apps", "login", app, f"--target-port={port}", check=False)
        assert done.code == 1 and what in done.err, done.err
    assert "tsh proxy app echo -p 8080\n" in alice.tsh("apps", "login", "echo", f"--target-port={servers['echo']}").out


def test_a_request_without_a_port_is_refused_with_the_reason(alice, servers):
    """Those of earlier releases: the request of theirs has the port 0."""
    with AppConnection(alice, "ports") as app:
        assert app.status == 409 and "has tcp_ports, and the connection names none of them" in app.text and "a release that knows tcp_ports" in app.text
    with AppConnection(alice, "ports", port=3) as app:
        assert app.status == 400 and "has no port 3" in app.text
    with AppConnection(alice, "echo", port=servers["echo"]) as app:
        assert app.status == 400 and "has no tcp_ports" in app.text


def test_a_proxy_cannot_lead_a_user_to_another_port(place, alice, servers):
    """tsh names the port inside TLS; a captured proxy may name another one to the cluster."""
    with AppConnection(alice, "ports", port=servers["echo"], announced=f"{servers['echo']}.ports.app.cteleport") as app:
        assert app.refusal is None and app.echoes()
    for announced in (f"{servers['digest']}.ports.app.cteleport", "ports.app.cteleport", "app"):
        with AppConnection(alice, "ports", port=servers["echo"], announced=announced) as app:
            assert app.refusal == "the cluster has permitted another port of the application than the one that was dialled", announced
    with AppConnection(alice, "ports", port=servers["echo"], announced=f"{servers['echo']}.echo.app.cteleport") as app:
        assert app.refusal == "the proxy leads to another application than the one that was dialled"


def test_64_mib_go_each_way_with_a_half_close_between(alice):
    with ProxyApp(alice, "digest") as app, app.connect() as connection:
        sent = hashlib.sha256()
        for _ in range(BLOCKS):
            connection.sendall(BLOCK)
            sent.update(BLOCK)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 32) == sent.digest()
        received, size = hashlib.sha256(), 0
        while data := connection.recv(65536):
            received.update(data)
            size += len(data)
        assert (size, received.digest()) == (BLOCKS * len(BLOCK), sent.digest())


def test_a_client_that_does_not_read_stops_the_application(alice):
    """What it does not read is not collected on the way; other connections go on."""
    with ProxyApp(alice, "digest") as app, app.connect() as connection, app.connect() as other:
        connection.shutdown(socket.SHUT_WR)
        receive(connection, 32)
        slow = progress[-1]
        other.shutdown(socket.SHUT_WR)
        assert sum(len(data) for data in iter(lambda: other.recv(65536), b"")) == 32 + BLOCKS * len(BLOCK)
        assert slow[0] < BLOCKS


def test_many_connections_are_open_at_once(proxied):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(proxied.connect()) for _ in range(40)]
        for i, connection in enumerate(connections):
            connection.sendall(b"%04d" % i)
        assert [receive(connection, 4) for connection in connections] == [b"%04d" % i for i in range(40)]


def test_a_refusal_is_printed_once_and_the_next_connection_works(alice, servers):
    with ProxyApp(alice, "down") as app:
        for _ in range(3):
            assert not app.echoes()
        assert app.new_text().count("ERROR: ") == 1, app.new_text()
        assert "the host of the application 'down' cannot connect to it" in app.new_text()
        with TcpServer(echo, port=servers["down"]):
            assert app.echoes()


def test_a_change_of_roles_counts_at_once(place):
    place.cluster.create(role("of-tests", {"of": "tests"}))
    user = place.user("erin", "of-tests")
    with ProxyApp(user, "echo") as app:
        with app.connect() as connection:
            assert is_open(connection)
            place.cluster.create(role("of-tests", {"of": "others"}))
            assert connection.recv(1) == b"", "an open connection ends"
        assert not app.echoes()
        app.wait_for("ERROR: there is no app 'echo', or it is offline")
        place.cluster.create(role("of-tests", {"of": "tests"}))
        assert app.echoes()


def test_a_lock_ends_open_connections(place):
    user = place.user("mallory", "access")
    with ProxyApp(user, "echo") as app:
        with app.connect() as connection:
            assert is_open(connection)
            place.cluster.create({"kind": "lock", "version": "v2", "metadata": {"name": "out"}, "spec": {"target": {"user": "mallory"}, "message": "stay out"}})
            assert connection.recv(1) == b""
        assert not app.echoes()
        app.wait_for("ERROR: .*stay out")
        place.cluster.tctl("rm", "lock/out")
        assert app.echoes()


def test_a_new_login_is_used_without_a_restart(place):
    user = place.user("bob", "access")
    with ProxyApp(user, "echo") as app:
        assert app.echoes()
        user.tsh("logout")
        assert not app.echoes()
        app.wait_for(rf"ERROR: Not logged in\.\nhint:  tsh login --proxy={re.escape(place.cluster.proxy_addr)} --user=bob\n")
        user.login()
        assert app.echoes()


@pytest.mark.nightly
def test_connections_beyond_the_limit_are_refused(alice):
    limit = int(re.search(r"LIMIT_APP_FORWARDED = (\d+)", (PROJECT / "src/base/limits.h").read_text()).group(1))
    with ProxyApp(alice, "echo") as app, contextlib.ExitStack() as stack:
        connections = []
        for _ in range(limit):  # one after the other: hundreds of TLS handshakes at once exceed their timeout on a loaded machine
            connections.append(stack.enter_context(app.connect()))
            assert is_open(connections[-1]), (len(connections), app.text())
        assert not app.echoes()
        app.wait_for(f"ERROR: there are {limit} connections to the application already")
        connections[0].close()
        wait_until(app.echoes, "there is room again")
        assert all(is_open(connection) for connection in connections[1:])


def cpu_of(process):
    """Ticks that it has used."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.nightly
def test_it_is_at_rest_while_nothing_moves(alice):
    """With connections that are idle, and one that is half closed and whose client does not read."""
    with ProxyApp(alice, "digest") as full, ProxyApp(alice, "echo") as idle, full.connect() as stalled, idle.connect() as first, idle.connect() as second:
        stalled.shutdown(socket.SHUT_WR)
        receive(stalled, 32)
        slow = progress[-1]
        assert is_open(first) and is_open(second)
        seen = -1
        while seen != slow[0]:  # until the application is stopped
            seen = slow[0]
            time.sleep(2)
        before = cpu_of(full) + cpu_of(idle)
        time.sleep(10)
        assert cpu_of(full) + cpu_of(idle) - before <= 10, "1 % of a core"


@pytest.mark.nightly
def test_a_login_that_expires_is_reported_and_renewed(place):
    """For a minute, the shortest life of a login."""
    user = place.user("frank", "access")
    user.login("--ttl=1")
    with ProxyApp(user, "echo") as app, app.connect() as connection:
        assert is_open(connection)
        reason = f"ERROR: Active profile expired.\nhint:  tsh login --proxy={place.cluster.proxy_addr} --user=frank\n"
        wait_until(lambda: not app.echoes() and reason in app.text(), "the login has expired")  # the proxy refuses one that expires on its way
        assert is_open(connection), "an open connection continues"
        user.login()
        assert app.echoes() and is_open(connection)


@pytest.mark.nightly
def test_postgresql_is_used_by_psql(place, alice):
    """With its own password, and a result that is larger than all buffers."""
    tools = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
    account = pwd.getpwnam("postgres")
    scope = contextlib.ExitStack()
    directory = pathlib.Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="ct-postgresql-")))  # pytest's own are open to root only
    os.chown(directory, account.pw_uid, account.pw_gid)

    def run(name, *args):
        subprocess.run([tools / name, *args], check=True, user=account.pw_uid, group=account.pw_gid, timeout=TIMEOUT, stdout=subprocess.DEVNULL, cwd=directory)

    (directory / "password").write_text("elephant\n")
    run("initdb", "-D", directory / "data", "-A", "scram-sha-256", "-U", "app", f"--pwfile={directory}/password")
    with scope, reserved_port() as reserved:
        port = reserved.getsockname()[1]
        run("pg_ctl", "-D", directory / "data", "-w", "-l", directory / "log", "-o", f"-h 127.0.0.1 -p {port} -k {directory}", "start")
        try:
            place.host("apps-3", {"name": "orders-db", "uri": f"tcp://127.0.0.1:{port}"}).wait_joined()
            wait_until(lambda: "orders-db" in alice.tsh("apps", "ls", "--format=names").out, "it is listed")
            with ProxyApp(alice, "orders-db") as app:
                def psql(statement):
                    return subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(app.port), "-U", "app", "-d", "postgres", "-Atc", statement], check=True,
                                          capture_output=True, text=True, timeout=TIMEOUT, env={**alice.env, "PGPASSWORD": "elephant"}).stdout

                psql("create table orders as select n, repeat('x', 100) as text from generate_series(1, 200000) n")
                assert psql("select count(*), sum(n) from orders") == "200000|20000100000\n"
                assert len(psql("select text from orders")) == 200000 * 101
        finally:
            run("pg_ctl", "-D", directory / "data", "-m", "immediate", "stop")


def test_it_ends_when_its_connections_have_ended(alice):
    with ProxyApp(alice, "echo") as app:
        with app.connect() as connection:
            assert is_open(connection)
            app.popen.send_signal(signal.SIGTERM)
            app.wait_for("Waiting for the end of 1 open")
            with pytest.raises(ConnectionRefusedError):
                app.connect()
            assert is_open(connection), "an open connection continues"
        assert app.popen.wait(TIMEOUT) == 0


def test_a_second_signal_ends_everything(alice):
    with ProxyApp(alice, "echo") as app, app.connect() as connection:
        assert is_open(connection)
        app.popen.send_signal(signal.SIGINT)
        app.wait_for("a second signal ends them")
        app.popen.send_signal(signal.SIGINT)
        assert app.popen.wait(TIMEOUT) == 0 and connection.recv(1) == b""


def test_without_connections_one_signal_suffices(alice):
    with ProxyApp(alice, "echo") as app:
        assert app.echoes()
        app.popen.send_signal(signal.SIGINT)
        assert app.popen.wait(TIMEOUT) == 0


def test_an_http_application_is_reached_by_plain_http(alice):
    """Two requests on one connection."""
    assert next(line for line in alice.tsh("apps", "ls", "-v").out.splitlines() if line.startswith("web ")).split()[1] == "HTTP"
    with ProxyApp(alice, "web") as app:
        done = subprocess.run(["curl", "-sS", "-w", "%{num_connects}\n", "-d", "one=1", f"http://127.0.0.1:{app.port}/first?q=1", f"http://127.0.0.1:{app.port}/second"],
                              capture_output=True, text=True, check=True, timeout=TIMEOUT, env=alice.env)
        assert done.stdout == "/first?q=1 one=1\n1\n/second one=1\n0\n", done


def test_a_page_reads_nothing_by_dns_rebinding(alice):
    """DNS rebinding: the browser takes the port for a server of the page, and sends its name."""
    with ProxyApp(alice, "web") as app:
        def curl(name, *args):
            return subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "--connect-to", f"::127.0.0.1:{app.port}", f"http://{name}:{app.port}/page", *args],
                                  capture_output=True, text=True, check=True, timeout=TIMEOUT, env=alice.env).stdout.rsplit("\n", 1)

        for name in ("localhost", "web.localhost", "[::1]"):
            assert curl(name) == ["/page \n", "200"], name
        for name in ("evil.example", "localhost.evil.example"):
            text, status = curl(name, "-H", "Accept: application/json")
            assert status == "421" and f"the host '{name}:{app.port}' is none of the application 'web'" in text and "http://localhost" in text, text


def test_it_passes_a_load_balancer_that_ends_tls(place, alice, tmp_path):
    balancer = Haproxy(tmp_path / "haproxy").start_http(place.cluster.proxy_addr)
    try:
        user = User(place.cluster, "alice", tmp_path / "home")
        user.totp_secret, user.last_step = alice.totp_secret, alice.last_step
        user.tsh("login", f"--proxy={balancer.address}", "--user=alice", "--insecure", stdin=f"{user.password}\n{user.otp()}\n")
        alice.last_step = user.last_step
        with ProxyApp(user, "echo") as app:
            assert app.echoes() and app.echoes()
            assert "ERROR" not in app.new_text()
    finally:
        balancer.stop()


# ---- tsh apps login ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grace(place):
    return place.program_user("grace", "access")


class Answer:
    """What curl got, with a certificate of `tsh apps login` and as that prints it."""

    def __init__(self, user, config, *args, url=None):
        done = subprocess.run(["curl", "-sSi", "--insecure", "--cert", config["cert"], "--key", config["key"], *args, url or config["uri"] + "/page"],
                              capture_output=True, text=True, timeout=TIMEOUT, env=user.env)
        assert done.returncode == 0, done.stderr
        head, self.text = done.stdout.split("\n\n", 1)
        self.status, self.head = int(head.split()[1]), head
        self.error = json.loads(self.text)["error"] if self.text.startswith("{") else {}


def config_of(user, app):
    return json.loads(user.tsh("apps", "config", app, "--format=json").out)


def test_curl_uses_an_application_with_a_certificate(place, grace):
    directory = grace.home / ".tsh/keys/localhost/grace-app" / place.cluster.config["auth_service"]["cluster_name"]
    assert "please login using 'tsh apps login' first" in grace.tsh("apps", "config", check=False).err
    text, _, command = grace.tsh("apps", "login", "web").out.partition("\n\n")
    assert text == "Logged into app web. Example curl command:"
    assert command == f"curl --insecure \\\n  --cert {directory}/web-x509.pem \\\n  --key {directory}/web.key \\\n  https://web.{place.name}\n"
    assert grace.line(command).out == "/ \n"
    assert (directory / "web.key").stat().st_mode & 0o777 == 0o600
    assert "> web" in grace.tsh("apps", "ls").out and "> echo" not in grace.tsh("apps", "ls").out
    assert grace.line(command.rstrip() + "/upload -d one=1").out == "/upload one=1\n"
    assert place.cluster.event("app.session.start", app_name="web", user="grace")
    assert [line.split()[0] for line in grace.tsh("apps", "config").out.splitlines()] == ["Name:", "URI:", "CA:", "Cert:", "Key:"]
    assert config_of(grace, "web") == {"name": "web", "uri": f"https://web.{place.name}", "ca": str(directory.parents[1] / f"cas/{directory.name}.pem"),
                                       "cert": f"{directory}/web-x509.pem", "key": f"{directory}/web.key", "curl": command}
    for name in ("uri", "ca", "cert", "key"):
        assert grace.tsh("apps", "config", "-f", name).out == config_of(grace, "web")[name] + "\n"
    assert grace.line(f'eval "$({program(grace.build, "tsh")} apps config -f curl)"').out == "/ \n"


def test_the_secret_of_a_session_stays_with_its_user(place, grace):
    subject = subprocess.run(["openssl", "x509", "-noout", "-subject", "-in", config_of(grace, "web")["cert"]], capture_output=True, text=True, check=True).stdout
    secret = re.search(r"1\.3\.9999\.50\.2 ?= ?([0-9a-f]{64})", subject).group(1).encode()
    files = contents(place.cluster.data_dir)
    assert any(b"web_sessions/" in text for text in files.values()), "the session's record is in one of them"
    assert not [path for path, text in files.items() if secret in text]
    assert secret not in place.cluster.process.log_path.read_bytes()


def test_only_the_certificate_of_the_application_is_accepted(place, grace, tmp_path):
    good = config_of(grace, "web")
    keys = grace.home / ".tsh/keys/localhost"
    made = {"uri": good["uri"], "cert": str(tmp_path / "cert"), "key": str(tmp_path / "key")}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=grace", "-keyout", made["key"],
                    "-out", made["cert"]], check=True, capture_output=True)
    of_login = {**good, "cert": str(keys / "grace-x509.pem"), "key": str(keys / "grace.key")}
    cases = [(of_login, good["uri"], 403, "the certificate is not one for applications", "web"),
             (good, good["uri"].replace("web", "echo"), 403, "the certificate is good for the application 'web' only", "echo"),
             (made, good["uri"], 401, "the certificate is not one of a user of this cluster", "web")]
    for config, url, status, what, app in cases:
        answer = Answer(grace, config, "-b", "__Host-grv_app_session=0; other=1", url=url)
        assert (answer.status, answer.error["message"]) == (status, what)
        assert f"tsh apps login {app}" in answer.error["hint"]
        place.cluster.process.wait_for(f"request_id:{answer.error['request_id']}")
    assert Answer(grace, good, "-b", "__Host-grv_app_session=0; __Host-grv_app_session_subject=0").status == 200, "the certificate decides"


def test_a_certificate_without_its_key_opens_nothing(grace):
    """ID and secret of the session can be read in it; as cookies they are good for nothing."""
    good = config_of(grace, "web")
    subject = subprocess.run(["openssl", "x509", "-noout", "-subject", "-in", good["cert"]], capture_output=True, text=True, check=True).stdout
    session, secret = (re.search(rf"1\.3\.9999\.50\.{number} ?= ?([0-9a-f]+)", subject).group(1) for number in (1, 2))
    done = subprocess.run(["curl", "-sSi", "--insecure", "-b", f"__Host-grv_app_session={session}; __Host-grv_app_session_subject={secret}", f"{good['uri']}/page"],
                          capture_output=True, text=True, timeout=TIMEOUT, env=grace.env)
    assert done.returncode == 0 and int(done.stdout.split()[1]) in (302, 401), done
    assert Answer(grace, good).status == 200


def test_the_certificate_of_an_application_is_none_of_a_login(grace, tmp_path):
    shutil.copytree(grace.home / ".tsh", tmp_path / "tsh")
    config = config_of(grace, "web")
    shutil.copy(config["cert"], tmp_path / "tsh/keys/localhost/grace-x509.pem")
    shutil.copy(config["key"], tmp_path / "tsh/keys/localhost/grace.key")
    done = grace.tsh("apps", "ls", env={"TELEPORT_HOME": tmp_path / "tsh"}, check=False)
    assert done.code == 1 and "the certificate is good for the application 'web' only" in done.err


def test_tls_1_2_would_show_the_certificate_and_gets_none(place, grace):
    def handshake(name, version):
        return subprocess.run(["openssl", "s_client", "-connect", place.name.replace("localhost", "127.0.0.1"), "-servername", name, f"-{version}"], input="",
                              capture_output=True, text=True, timeout=TIMEOUT).stdout

    assert "Acceptable client certificate CA names" in handshake("web.localhost", "tls1_3"), "browsers without such a certificate ask nobody"
    assert "No client certificate CA names sent" in handshake("web.localhost", "tls1_2")
    assert "No client certificate CA names sent" in handshake("localhost", "tls1_3")
    answer = Answer(grace, config_of(grace, "web"), "--tls-max", "1.2")
    assert answer.status == 302 and "TLS 1.3 only" in answer.text
    answer = Answer(grace, config_of(grace, "web"), "--tls-max", "1.2", "-H", "Accept: application/json")
    assert answer.status == 401 and "TLS 1.3 only" in answer.error["hint"]


def test_a_certificate_outlives_the_proxy(place, grace):
    os.kill(place.cluster.process.children()["proxy"], signal.SIGKILL)
    wait_until(lambda: curl_status(grace, config_of(grace, "web")) == 200, "the proxy is back, and the host's tunnel")


def curl_status(user, config):
    with contextlib.suppress(AssertionError):
        return Answer(user, config).status


def refusal(user, config, status):
    """The error with which requests are refused, once the cluster's processes know the change."""
    return wait_until(lambda: (answer := Answer(user, config)).status == status and answer.error, f"requests are refused by {status}")


def test_a_lock_is_named(place, grace):
    place.cluster.create({"kind": "lock", "version": "v2", "metadata": {"name": "grace"}, "spec": {"target": {"user": "grace"}, "message": "stay out"}})
    assert "stay out" in refusal(grace, config_of(grace, "web"), 403)["message"]
    place.cluster.tctl("rm", "lock/grace")
    wait_until(lambda: Answer(grace, config_of(grace, "web")).status == 200, "the lock has gone")


def kept(user, directory):
    """Copies of the files, which stay when tsh removes its own."""
    config = config_of(user, "web")
    return {**config, **{name: shutil.copy(config[name], directory / name) for name in ("cert", "key")}}


def test_a_logout_ends_the_session(place, grace, tmp_path):
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
    first = kept(grace, tmp_path / "first")
    grace.tsh("apps", "login", "web")
    second = kept(grace, tmp_path / "second")
    assert Answer(grace, second).status == 200
    refusal(grace, first, 401)  # the new certificate has ended the former one
    assert grace.tsh("apps", "logout", "web").out == 'Logged out of app "web"\n'
    ended = place.cluster.event("user.app_session.end", user="grace", app_name="web", reason="logout", ended_by="grace")
    assert ended["code"] == "CTU02I" and "server_id" not in ended
    error = refusal(grace, second, 401)
    assert "has ended" in error["message"] and error["hint"] == "tsh apps login web"
    assert 'not logged into app "web"' in grace.tsh("apps", "logout", "web", check=False).err
    assert grace.tsh("apps", "logout").out == "Logged out of all apps\n" and "> web" not in grace.tsh("apps", "ls").out
    grace.tsh("apps", "login", "web")
    third = kept(grace, tmp_path / "third")
    assert Answer(grace, third).status == 200
    assert "WARNING" not in grace.tsh("logout").err
    assert refusal(grace, third, 401) and not (grace.home / ".tsh/keys").exists()
    event = place.cluster.event("auth", app_name="web", error="the session of the certificate has ended")
    assert (event["code"], event["success"]) == ("T3007W", False) and event["server_id"]


def login_of(user):
    keys = next((user.home / ".tsh/keys").glob(f"*/{user.name}-x509.pem"))
    return types.SimpleNamespace(cert_pem=keys.read_bytes(), key_pem=keys.with_name(f"{user.name}.key").read_bytes())


def session_request(app, session_id):
    def public_key():
        return ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    return messages().web.CreateAppSessionRequest(app=app, id=session_id, public_key=public_key(), sealed_key=b"sealed", client_public_key=public_key(), client_secret="0" * 64)


def test_a_session_that_is_ended_many_times_has_one_event(place, alice):
    """Nobody fills the audit log by requests that arrive before the first of them is stored."""
    with Peer(place.cluster, identity=login_of(alice)) as peer:
        assert peer.status("/cteleport.v1.Web/CreateAppSession", session_request("web", "1" * 32)) == grpc.StatusCode.OK
        delete = peer.channel.unary_unary("/cteleport.v1.Web/DeleteAppSession", serialize, bytes)
        ends = [delete.future(messages().web.DeleteAppSessionRequest(id="1" * 32), timeout=TIMEOUT) for _ in range(50)]
        codes = [end.code() for end in ends]
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND} and codes.count(grpc.StatusCode.OK) == 1
    place.cluster.exactly(1, "user.app_session.end", user="alice", app_name="web")


def test_beginning_sessions_in_a_loop_is_refused(place, alice):
    """Of an application that does not exist, so that the signer has nothing to do; others are not affected."""
    request = session_request("nothing", "0" * 32)
    with Peer(place.cluster, identity=login_of(alice)) as peer:
        codes = [grpc.StatusCode.NOT_FOUND]
        while codes[-1] == grpc.StatusCode.NOT_FOUND and len(codes) < 1000:
            codes.append(peer.status("/cteleport.v1.Web/CreateAppSession", request))
    assert codes[-1] == grpc.StatusCode.RESOURCE_EXHAUSTED and len(codes) > 100
    place.cluster.process.wait_for("A user is beyond the pace.*user:alice")


def test_other_ways_are_named(place, alice):
    done = alice.tsh("apps", "login", "web", check=False)
    assert done.code == 1 and "tsh login --proxy=NAME" in done.err and "tsh proxy app web" in done.err, "the login is at an address"
    assert "tsh proxy app echo -p 8080" in alice.tsh("apps", "login", "echo").out
    assert "curl http://127.0.0.1:8080" in alice.tsh("apps", "login", "web", env={"TELEPORT_TLS_ROUTING_CONN_UPGRADE": "yes"}).out
    done = alice.tsh("apps", "login", "nothing", check=False)
    assert done.code == 1 and 'app "nothing" not found\nhint:  use `tsh apps ls`' in done.err
