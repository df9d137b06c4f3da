# SPDX-License-Identifier: Apache-2.0
"""
Agents on bad networks: slow and lossy links, links that swallow everything, a NAT that forgets, an address that changes, a peer that is gone.

All outages begin at once, when the fixture is made, and each test awaits the end of one: silence is noticed after less than 30 seconds.
"""
import contextlib
import os
import pathlib
import signal
import time

import pytest

import boxes
from harness import TIMEOUT, Aws, Cluster, Process, clean_env, iam_token, program, wait_until
from networks import Machine, Middle, Namespace
from test_crash import kill_tree
from users import User, invite_url

NAME = "teleport.example.com"
ADDRESS = f"{NAME}:3080"
# Seconds. The exact bound is proven by unit tests that move the clock (docs/protocols/session.md); this one is for busy machines.
NOTICED = 30 + 10
UNNOTICED = 15  # seconds in which no ping can be found unanswered after traffic
CPU_SHARE = 0.02  # of one core, while the network is away
ROUND_TRIP, LOSS = 0.2, 0.02


def cpu_seconds(host):
    """User and system time of all processes of an agent."""
    ticks = 0
    for pid in [host.process.pid, *host.process.children().values()]:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Outage:
    """The network of an agent goes away now."""

    def __init__(self, host, begin):
        self.host, self.cpu = host, cpu_seconds(host)
        host.process.mark()
        self.began = time.time()
        begin()

    def seconds_until(self, process, pattern):
        """From the beginning to this line of a log, at most: its times are whole seconds."""
        return process.time_of(pattern) + 1 - self.began

    def cpu_share(self):
        return (cpu_seconds(self.host) - self.cpu) / (time.time() - self.began)


class Place:
    """A cluster, and agents on machines with links of their own: straight to the proxy, or to a load balancer that ends TLS (nginx)."""

    def __init__(self, stack, programs, directory):
        self.stack, self.directory, self.machines, self.outages = stack, directory, {}, {}
        self.net = Namespace(stack, "cluster", {NAME: Middle.CLUSTER})
        self.middle = Middle(stack, self.net)
        aws = Aws(directory, inside=self.net.inside)
        stack.callback(aws.stop)
        self.env = aws.identity()
        self.cluster = Cluster(programs, aws, directory / "cluster", inside=self.net.inside)
        self.cluster.config["proxy_service"].update(web_listen_addr=f"{Middle.CLUSTER}:3080", public_addr=ADDRESS)
        self.cluster.start()
        stack.callback(self.cluster.stop)
        self.cluster.create(iam_token())
        self.start_nginx()

    def start_nginx(self):
        directory = self.directory / "nginx"
        directory.mkdir()
        chain, key, self.ca = boxes.certificate(directory / "certificates", NAME)
        text = (boxes.SHOWN / "nginx.conf").read_text()
        for old, new in {"listen 443 ssl": "listen 3080 ssl", f"/etc/ssl/{NAME}.pem": chain, f"/etc/ssl/{NAME}.key": key, "10.0.0.10:3080": self.cluster.proxy_addr}.items():
            assert old in text, old
            text = text.replace(old, str(new))
        nginx = Process([*self.middle.inside, *boxes.nginx(directory, text)], directory / "log", clean_env())
        self.stack.callback(nginx.stop)

    def agent(self, name, is_direct=True, **link):
        """An agent that is started, on a machine of its own."""
        number = len(self.machines) + 1
        machine = Machine(self.stack, self.middle, name, number, {NAME: Middle.CLUSTER if is_direct else "{gateway}"})
        machine.link(**link)
        env = {**self.env, **({} if is_direct else {"SSL_CERT_FILE": str(self.ca)})}
        host = self.cluster.host(name, env=env, insecure=is_direct, teleport={"proxy_server": ADDRESS}, inside=machine.inside)
        host.machine = machine
        self.machines[name] = machine
        return host.start()

    def user(self, name):
        words = self.cluster.tctl("users", "add", name, "--roles=access", "--logins=root").out
        user = User(self.cluster, name, self.directory / f"home-{name}", inside=self.net.inside)
        self.net.call(lambda: user.accept(invite_url(words)))
        user.login()
        return user

    def reaches(self, host):
        """A command runs on the node, once its presence and its tunnel are connected."""
        words = ("ssh", "--no-mux", f"root@{host.name}", "echo here")
        wait_until(lambda: self.alice.tsh(*words, check=False).out == "here\n", f"{host.name} is reached")


@pytest.fixture(scope="module")
def place(programs, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        place = Place(stack, programs, tmp_path_factory.mktemp("outages"))
        agents = {"dark": place.agent("dark"), "dark-l7": place.agent("dark-l7", is_direct=False), "moved": place.agent("moved"), "rebound": place.agent("rebound")}
        place.agents = agents
        place.alice = place.user("alice")
        for host in agents.values():
            host.wait_reachable()
            host.wait_signed()
            place.reaches(host)
        place.cluster.process.mark()
        begin = {"dark": lambda: agents["dark"].machine.link(down=True), "dark-l7": lambda: agents["dark-l7"].machine.link(down=True),
                 "moved": lambda: agents["moved"].machine.take_address(77), "rebound": lambda: place.middle.rebind(agents["rebound"].machine)}
        place.outages = {name: Outage(host, begin[name]) for name, host in agents.items()}
        place.slow = {name: place.agent(name, is_direct, down=True) for name, is_direct in (("slow", True), ("slow-l7", False))}
        yield place
        for host in place.cluster.hosts:  # all at once: each takes seconds to end on its link
            host.process.popen.terminate()


@pytest.mark.parametrize("name", ["slow", "slow-l7"])
def test_a_join_is_repeated_and_succeeds_on_a_lossy_link(place, name):
    host = place.slow[name]
    host.process.wait_for("Can not join the cluster as Instance")
    host.machine.link(down=False, delay=ROUND_TRIP / 2, loss=LOSS)
    host.wait_reachable()
    place.reaches(host)


@pytest.mark.parametrize("name", ["moved", "rebound"])
def test_a_tunnel_is_opened_again_after_a_network_change(place, name):
    host, outage = place.agents[name], place.outages[name]
    assert outage.seconds_until(host.process, "A reverse tunnel is lost") <= NOTICED
    assert outage.cpu_share() < CPU_SHARE
    host.process.wait_for("Reverse tunnel established")
    place.reaches(host)


@pytest.mark.parametrize("name", ["dark", "dark-l7"])
def test_a_link_that_swallows_everything_is_noticed_at_both_ends(place, name):
    host, outage = place.agents[name], place.outages[name]
    assert outage.seconds_until(host.process, "A reverse tunnel is lost") <= NOTICED
    assert outage.seconds_until(place.cluster.process, rf"A node's tunnel has ended host_id:{host.host_id}") <= NOTICED
    host.process.wait_for("No reverse tunnel to a proxy")
    assert outage.cpu_share() < CPU_SHARE
    host.process.mark()
    host.machine.link(down=False)
    host.process.wait_for("Reverse tunnel established")
    place.reaches(host)


@pytest.mark.parametrize("name", ["slow", "slow-l7"])
def test_a_user_on_a_lossy_link_reaches_a_node(place, name):
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, place.alice, "inside", place.alice.inside)
        stack.callback(place.alice.env.pop, "SSL_CERT_FILE", None)
        for host in place.slow.values():
            host.machine.link(down=False, delay=ROUND_TRIP / 2, loss=LOSS)
        place.alice.inside = place.slow[name].machine.inside
        place.alice.env["SSL_CERT_FILE"] = str(place.ca)
        place.reaches(place.slow["slow"])


@pytest.mark.parametrize("name", ["slow", "slow-l7"])
def test_a_file_is_copied_over_a_link_with_small_frames(place, name, tmp_path):
    host = place.slow[name]
    host.machine.link(down=False, delay=0, loss=0)
    host.machine.set_mtu(1280)
    place.reaches(host)
    data = os.urandom(500_000)
    (tmp_path / "sent").write_bytes(data)
    place.alice.tsh("scp", "-q", tmp_path / "sent", f"root@{name}:{tmp_path}/received")
    place.alice.tsh("scp", "-q", f"root@{name}:{tmp_path}/received", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.nightly
def test_a_session_ends_when_its_users_machine_is_gone(place, tmp_path):
    """Nothing is sent on the connection: the checks of TCP find out, after two minutes."""
    place.agents["dark"].machine.link(down=False)
    place.reaches(place.agents["dark"])
    machine = Machine(place.stack, place.middle, "user", 100, {NAME: Middle.CLUSTER})
    command = [*machine.inside, program(place.cluster.build, "tsh"), "ssh", "--no-mux", f"root@{place.agents['dark'].name}", f"touch {tmp_path}/runs; sleep 10000"]
    ended = len(place.cluster.events("session.end"))
    session = Process(command, tmp_path / "log", place.alice.env)
    place.stack.callback(session.stop, sig=signal.SIGKILL)
    wait_until((tmp_path / "runs").exists, "the command runs")
    machine.link(down=True)
    wait_until(lambda: len(place.cluster.events("session.end")) > ended, "the session ends", timeout=TIMEOUT + 150)


def test_an_agent_notices_that_its_peer_was_replaced(place):
    """A half-open connection: the new proxy at the same address knows nothing of it."""
    host = place.agents["dark"]
    host.machine.link(down=False)
    place.reaches(host)
    host.process.mark()
    host.machine.link(down=True)
    began = time.monotonic()
    kill_tree(place.cluster.process)  # whose ports are free then
    place.cluster.stop_cluster()
    place.cluster.start()
    before = host.process.new_text()
    if time.monotonic() - began < UNNOTICED:
        assert "A reverse tunnel is lost" not in before
    host.machine.link(down=False)
    host.process.wait_for("A reverse tunnel is lost")
    host.process.wait_for("Reverse tunnel established")
    place.reaches(host)
