# SPDX-License-Identifier: Apache-2.0
"""Several proxies: each with an address of its own, or all behind a load balancer that passes each connection to the next of them."""
import contextlib
import json
import os
import re
import subprocess
import textwrap
import threading

import pytest

from app_client import AppConnection
from balancers import RoundRobin
from boxes import SHOWN, Box
from harness import ACCOUNT, TIMEOUT, Host, iam_token, port_of, reserved_port, wait_until
from tcp_server import TcpServer
from test_captured_ssh import memory_of
from users import User, invite_url
from web_browser import WebBrowser

NO_SHARING = "--no-mux"


class Proxy(Host):
    """A machine with a Proxy Service only."""

    def __init__(self, cluster, name, public_addr=None, env=None, **proxy):
        with reserved_port() as port:
            self.addr = f"127.0.0.1:{port_of(port)}"
        section = {"enabled": True, "web_listen_addr": self.addr, "public_addr": public_addr or self.addr, **proxy}
        super().__init__(cluster, name, token="proxy-token", env=env or cluster.node_env, via="auth", ssh={"enabled": False}, services={"proxy_service": section})
        cluster.hosts.append(self)

    def wait_serving(self):
        self.process.wait_for(r"The Proxy Service has its identity")
        return self


class Proxies:
    """A cluster with several proxies, and a load balancer in front of them."""

    def __init__(self, cluster, front, count, is_shared, env_of=lambda name: None, **proxy):
        self.cluster, self.front = cluster, front
        cluster.proxy_addr = front.address
        self.all = [Proxy(cluster, f"proxy-{n}", front.address if is_shared else None, env_of(f"proxy-{n}"), **proxy) for n in range(count)]
        for one in self.all:
            one.start()
        for one in self.all:
            one.wait_serving()
        self.everyone()

    def node(self, name="web-1", **settings):
        host = self.cluster.host(name, env=self.cluster.node_env, **settings)
        host.start()
        return host

    def only(self, proxy):
        """New connections of clients and agents go to this one."""
        self.front.lead_to([proxy.addr])

    def everyone(self):
        self.front.lead_to([one.addr for one in self.all if one.process is not None])


def tunnels(host, event="established"):
    """The IDs of the proxies to which this host has opened a tunnel, by its log."""
    return set(re.findall(rf"Reverse tunnel {event} proxy:(\S+)", host.process.text()))


def has_tunnels(host, *proxies):
    wait_until(lambda: tunnels(host) >= {one.host_id for one in proxies}, f"{host.name} has a tunnel to each of {[one.name for one in proxies]}")


@pytest.fixture
def proxies(make_cluster, aws, programs, tmp_path):
    """proxies(count, is_shared): a cluster whose proxies are on machines of their own."""
    made = []

    def make(count=3, is_shared=True, auth=None, **proxy):
        cluster = make_cluster(build=programs, proxy=False, auth=auth)
        cluster.node_env = aws.identity()
        cluster.create(iam_token(roles=("Node", "App")))
        cluster.create(iam_token("proxy-token", roles=["Proxy"]))
        made.append(RoundRobin(tmp_path / "haproxy").start())
        return Proxies(cluster, made[-1], count, is_shared, lambda name: aws.identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/i-0"), **proxy)

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def user(invite):
    """user(proxies): alice, logged in through the front."""

    def make(proxies):
        someone = invite(proxies.cluster, "alice", "access", "root")
        someone.login()
        return someone

    return make


def reaches(someone, proxies, proxy, node="web-1"):
    """The user reaches the node through this proxy, once its presence is connected, which may have gone through a proxy that has ended."""
    proxies.only(proxy)
    wait_reached(someone, node)


def wait_reached(someone, node="web-1"):
    wait_until(lambda: someone.tsh("ssh", NO_SHARING, f"root@{node}", "echo", "here", check=False).out == "here\n", f"{node} is reached")


def test_every_proxy_reaches_a_node(proxies, user):
    all_ = proxies(is_shared=False)
    web = all_.node()
    has_tunnels(web, *all_.all)
    alice = user(all_)
    for proxy in all_.all:
        reaches(alice, all_, proxy)


def test_agents_find_all_proxies_behind_one_address(proxies, user):
    all_ = proxies()
    web = all_.node()
    has_tunnels(web, *all_.all)
    alice = user(all_)
    for proxy in all_.all:
        reaches(alice, all_, proxy)
    accepted = all_.front.accepted()
    reaches(alice, all_, all_.all[0])  # takes longer than the first pauses of the search
    assert all_.front.accepted() - accepted < 10  # which is over
    assert web.process.text().count("Reverse tunnel established") == 3


def test_death_of_a_proxy_costs_its_sessions_only(proxies, user):
    all_ = proxies()
    first, second, third = all_.all
    web = all_.node()
    has_tunnels(web, *all_.all)
    alice = user(all_)
    all_.only(second)
    shell = alice.shell("root@web-1", NO_SHARING)
    all_.only(first)
    cut_off = alice.shell("root@web-1", NO_SHARING)
    all_.everyone()
    first.kill()
    cut_off.expect("(?i)closed|lost|reset|broken")
    for _ in all_.all:  # the load balancer still has the dead one among its targets
        wait_reached(alice)
    shell.sendline("echo $((40 + 2))")
    shell.expect("42")
    for proxy in (second, third):
        reaches(alice, all_, proxy)
    shell.sendline("exit")
    cut_off.close(force=True)
    shell.close(force=True)


def test_agents_of_a_dead_proxy_use_another_one(proxies, user):
    all_ = proxies(count=2, is_shared=False)
    first, second = all_.all
    web = all_.node(teleport={"proxy_server": first.addr})
    has_tunnels(web, *all_.all)
    alice = user(all_)
    first.kill()
    reaches(alice, all_, second)  # the node's own requests to auth went through the first


def test_a_dead_backend_costs_an_attempt(proxies, user):
    all_ = proxies(count=1)
    alice = user(all_)
    with TcpServer(lambda connection: None) as dead:  # accepts connections and ends them
        all_.front.lead_to([dead.addr, dead.addr, all_.all[0].addr])
        web = all_.node()
        has_tunnels(web, *all_.all)
        wait_reached(alice)
        for _ in range(3):
            assert alice.tsh("ssh", NO_SHARING, "root@web-1", "echo here").out == "here\n"
            assert alice.tsh("ls", "--format=names").out == "web-1\n"


def test_a_proxy_that_comes_back_gets_its_tunnel(proxies, user):
    all_ = proxies(count=2)
    first, second = all_.all
    web = all_.node()
    has_tunnels(web, *all_.all)
    second.kill()
    web.process.wait_for(r"A reverse tunnel is lost")
    web.process.mark()
    second.start().wait_serving()
    web.process.wait_for(rf"Reverse tunnel established proxy:{second.host_id}")
    reaches(user(all_), all_, second)


def test_agents_follow_added_and_removed_proxies(proxies, user):
    all_ = proxies(count=1)
    web = all_.node()
    has_tunnels(web, *all_.all)
    added = Proxy(all_.cluster, "proxy-9", all_.front.address)
    all_.all.append(added)
    added.start().wait_serving()
    all_.everyone()
    has_tunnels(web, added)
    web.process.mark()
    added_id = added.host_id
    all_.cluster.tctl("rm", f"node/{added_id}")
    web.process.wait_for(rf"(A reverse tunnel is lost|does not belong to the cluster any more).*proxy:{added_id}")
    added.stop()
    all_.everyone()
    reaches(user(all_), all_, all_.all[0])


PAGE = SHOWN.parent / "several-proxies.md"


class ReverseProxy(Box):
    """HAProxy that ends TLS: the guide's file with the backend of several-proxies.md."""

    def __init__(self, directory):
        super().__init__("haproxy", directory, name="127.0.0.1")  # a proxy of another machine gets no certificate for localhost
        self.address = self.addr

    def text(self, target):
        backend = re.search(r"^ *backend teleport\n(?: +[a-z].*\n)+", PAGE.read_text(), re.M).group(0)
        for n, address in enumerate(self.targets):
            assert f" 10.0.2.{11 + n}:3080 " in backend
            backend = backend.replace(f"10.0.2.{11 + n}:3080", address)
        return super().text(target).split("\nbackend teleport\n")[0] + "\n" + textwrap.dedent(backend)

    def lead_to(self, targets):
        self.targets = targets
        self.start(targets[0])


def test_proxies_behind_a_load_balancer_that_ends_tls(make_cluster, aws, programs, tmp_path):
    with contextlib.closing(ReverseProxy(tmp_path / "box")) as front:
        cluster = make_cluster(build=programs, proxy=False)
        cluster.node_env = {**aws.identity(), "SSL_CERT_FILE": str(front.ca)}
        cluster.create(iam_token())
        cluster.create(iam_token("proxy-token", roles=["Proxy"]))
        all_ = Proxies(cluster, front, 3, is_shared=True, trust_x_forwarded_for=True, load_balancers=["127.0.0.1"])
        web = all_.node(insecure=False)
        has_tunnels(web, *all_.all)
        words = cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
        alice = User(cluster, "alice", tmp_path / "alice").accept(invite_url(words))
        alice.env["SSL_CERT_FILE"] = str(front.ca)
        alice.tsh("login", f"--proxy={front.addr}", "--user=alice", stdin=f"{alice.password}\n{alice.otp()}\n")
        for _ in all_.all:
            assert alice.tsh("ssh", NO_SHARING, "root@web-1", "echo here").out == "here\n"
        all_.all[0].kill()
        for _ in all_.all:
            wait_reached(alice)
        cluster.stop()


# ---- proxies that relay to each other ------------------------------------------------------------------------


PEERING = {"tunnel_strategy": {"type": "proxy_peering"}}
PEER = {"peer_listen_addr": "127.0.0.1:0"}


def holder_of(all_, web):
    """The only proxy that the node has a tunnel to."""
    wait_until(lambda: tunnels(web), "the node has a tunnel")
    assert len(tunnels(web)) == 1
    return next(one for one in all_.all if one.host_id in tunnels(web))


class Stalled(TcpServer):
    """The backend of an HTTP application, which reads SOME of the body of a request, and the rest when the test lets it go on."""

    SOME, BODY = 1 << 18, 1 << 24

    def __init__(self):
        self.has_some, self.go_on = threading.Event(), threading.Event()
        super().__init__()

    def serve(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        left = self.BODY - len(data.partition(b"\r\n\r\n")[2])
        while left > 0 and (more := connection.recv(65536)):
            left -= len(more)
            if self.BODY - left > self.SOME:
                self.has_some.set()
                self.go_on.wait(TIMEOUT)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def seen_in_upload(alice, gateway, relay, backend, tmp_path):
    """Which of two proxies have the body of a request to the application `pages` in their memory, while it is sent to the first one."""
    marker = os.urandom(32).hex().encode()
    (tmp_path / "body").write_bytes(marker * (backend.BODY // len(marker)))
    backend.has_some.clear()
    backend.go_on.clear()
    config = json.loads(alice.tsh("apps", "config", "pages", "--format=json").out)
    command = ["curl", "-sS", "-k", "--max-time", str(TIMEOUT), "--connect-to", f"::{gateway.addr}", "-o", "/dev/null", "-w", "%{http_code}", config["uri"] + "/"]
    wait_until(lambda: subprocess.run(command, capture_output=True, check=True).stdout == b"302", "the proxy knows the address of the application")
    with subprocess.Popen([*command, "--cert", config["cert"], "--key", config["key"], "-T", tmp_path / "body"], stdout=subprocess.PIPE, text=True) as curl:
        try:
            wait_until(lambda: backend.has_some.is_set() or curl.poll() is not None, "the backend has a part of the body")
            return [one for one in {gateway, relay} if marker in memory_of(one.process.children()["proxy"])]
        finally:
            backend.go_on.set()
            assert curl.communicate(timeout=TIMEOUT)[0] == "204"


def test_proxies_relay_to_a_host_of_another_proxy(proxies, user, echo_server, tmp_path):
    all_ = proxies(auth=PEERING, **PEER)
    web = all_.node()
    backend = Stalled()
    apps = all_.node("apps-1", ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": [
        {"name": "echo", "uri": f"tcp://{echo_server.addr}"}, {"name": "pages", "uri": f"http://{backend.addr}", "public_addr": "pages.example.test"}]}})
    holder = holder_of(all_, web)
    alice = user(all_)
    for proxy in all_.all:
        reaches(alice, all_, proxy)
        with wait_until(lambda: (app := AppConnection(alice, "echo")).status == 200 and app, "the application is reached") as app:
            assert app.echoes()
    others = [one for one in all_.all if one is not holder]
    for one in others:
        one.process.wait_for(rf"Connected to another proxy proxy:{holder.host_id}")
    assert "Another proxy is connected" in holder.process.text()
    assert len(tunnels(web)) == len(tunnels(apps)) == 1
    all_.cluster.exactly(3, "session.start")
    alice.tsh("apps", "login", "pages")
    relay = holder_of(all_, apps)
    for proxy in (relay, next(one for one in all_.all if one is not relay)):  # only where the browser's TLS ends, and not at the other one, through which it goes
        assert seen_in_upload(alice, proxy, relay, backend, tmp_path) == [proxy]
    backend.close()
    all_.only(others[0])
    copied = alice.tsh("scp", NO_SHARING, web.config_path, "root@web-1:/dev/null", check=False)  # more than a first window, both ways
    assert copied.code == 0, copied.err


def test_nodes_of_a_dead_proxy_move_to_another_one(proxies, user):
    all_ = proxies(auth=PEERING, **PEER)
    web = all_.node()
    holder = holder_of(all_, web)
    alice = user(all_)
    others = [one for one in all_.all if one is not holder]
    holder.kill()
    all_.everyone()
    web.process.wait_for(rf"Reverse tunnel established proxy:({'|'.join(one.host_id for one in others)})")
    for proxy in others:
        reaches(alice, all_, proxy)


def test_a_proxy_that_was_locked_or_removed_relays_nothing(proxies, user):
    all_ = proxies(auth=PEERING, **PEER)
    web = all_.node()
    holder = holder_of(all_, web)
    alice = user(all_)
    locked, removed = (one for one in all_.all if one is not holder)
    for one, command in ((locked, ("lock", f"--server-id={locked.host_id}")), (removed, ("rm", f"node/{removed.host_id}"))):
        reaches(alice, all_, one)
        shell = alice.shell("root@web-1", NO_SHARING)
        all_.cluster.tctl(*command)
        holder.process.wait_for(rf"The connection of another proxy is ended by the cluster proxy:{one.host_id}")
        shell.expect("(?i)closed|lost|reset|broken")
        shell.close(force=True)
    reaches(alice, all_, holder)


def test_a_login_in_a_browser_is_good_at_every_proxy(proxies, invite):
    place = proxies(2, is_shared=False)
    alice = invite(place.cluster, "alice", "access", "root")
    here, there = (WebBrowser(one.addr) for one in place.all)
    assert here.login(alice).status == 303
    there.cookies = dict(here.cookies)
    assert there.get("/web").status == 200 and "this one" in there.get("/web/sessions").words
    page = there.get("/web/sessions")
    assert there.post("/web/logout", {"token": page.hidden("token")}).status == 303
    assert here.get("/web").status == 303, "it ended at both"
