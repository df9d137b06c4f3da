# SPDX-License-Identifier: Apache-2.0
"""
Networks in namespaces: a cluster, a middle with NAT and a load balancer, and a machine for each agent, whose link to the middle loses,
delays or blackholes frames. The link is a program between two TAP devices, since not every kernel has netem.

    agent ──link──┐                ┌── the load balancer (nginx), which ends TLS, on the middle's addresses
    agent ──link──┤ middle: router ┤
    agent ──link──┘ with NAT       └── veth ── cluster: auth, proxy, STS, users
"""
import contextlib
import ctypes
import fcntl
import functools
import heapq
import itertools
import json
import os
import pathlib
import random
import re
import secrets
import select
import shutil
import struct
import subprocess
import sys
import threading
import time

from harness import TIMEOUT, read_line

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_MAX = 65536
NETNS, ETC = pathlib.Path("/run/netns"), pathlib.Path("/etc/netns")
PROGRAMS = {"ip": "iproute2", "nft": "nftables", "conntrack": "conntrack"}


def enter(namespace):
    """Moves this thread into the network namespace."""
    with open(f"/run/netns/{namespace}", encoding="ascii") as f:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


# ---- the link: a program of its own ---------------------------------------------------------------------------


def open_tap(namespace, device):
    enter(namespace)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Relay:
    """Carries frames between two TAP devices; a line of JSON on standard input changes the link and is answered by a line."""

    def __init__(self, near, far, seed):
        self.fds = [open_tap(*near), open_tap(*far)]
        self.random, self.order, self.queue = random.Random(seed), itertools.count(), []
        self.state = {"delay": 0.0, "loss": 0.0, "down": False}

    def read_frames(self, source, sink):
        try:
            while True:
                frame = os.read(source, FRAME_MAX)
                if not self.state["down"] and self.random.random() >= self.state["loss"]:
                    heapq.heappush(self.queue, (time.monotonic() + self.state["delay"], next(self.order), sink, frame))
        except OSError:  # no more now, or the device is down
            pass

    def send_due(self):
        while self.queue and (self.state["down"] or self.queue[0][0] <= time.monotonic()):
            _, _, sink, frame = heapq.heappop(self.queue)
            if not self.state["down"]:
                try:
                    os.write(sink, frame)
                except OSError:  # lost: its queue is full, or it is down
                    pass

    def run(self):
        print("ready", flush=True)
        poller = select.poll()
        for fd in [0, *self.fds]:
            poller.register(fd, select.POLLIN)
        while True:
            wait = max(self.queue[0][0] - time.monotonic(), 0) * 1000 if self.queue else None
            ready = {fd for fd, _ in poller.poll(wait)}
            if 0 in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self.state.update(json.loads(line))
                print("changed", flush=True)
            for source, sink in (self.fds, self.fds[::-1]):
                if source in ready:
                    self.read_frames(source, sink)
            self.send_due()


# ---- namespaces -------------------------------------------------------------------------------------------------


def ip(*words, namespace=None):
    within = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *within, *map(str, words)], check=True, capture_output=True, timeout=TIMEOUT)


@functools.cache
def prepare():
    """Once: demands what namespaces need, and removes those of test runs that were killed."""
    needs = {"root": os.geteuid() == 0, "the device /dev/net/tun (modprobe tun)": os.path.exists("/dev/net/tun"),
             **{f"the program {name} (apt install {package})": shutil.which(name) for name, package in PROGRAMS.items()}}
    missing = [need for need, is_there in needs.items() if not is_there]
    assert not missing, f"tests in network namespaces need {', '.join(missing)}"
    for name in {path.name for directory in (NETNS, ETC) for path in directory.glob("ct*")}:
        owner = re.match(r"ct(\d+)-", name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=TIMEOUT)
            shutil.rmtree(ETC / name, ignore_errors=True)


def remove_etc(directory):
    """With /etc/netns, which is empty unless others use it."""
    shutil.rmtree(directory)
    with contextlib.suppress(OSError):
        ETC.rmdir()


class Namespace:
    """A network namespace; `hosts`: {name: address}, its /etc/hosts."""

    def __init__(self, stack, name, hosts=None):
        prepare()
        self.name = f"ct{os.getpid()}-{secrets.token_hex(3)}-{name}"
        self.inside = ["ip", "netns", "exec", self.name]
        ip("netns", "add", self.name)
        stack.callback(ip, "netns", "del", self.name)
        self.ip("link", "set", "lo", "up")
        etc = ETC / self.name
        etc.mkdir(parents=True)
        stack.callback(remove_etc, etc)
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # where nothing answers: no name is looked up elsewhere
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{address} {host}\n" for host, address in (hosts or {}).items()))

    def ip(self, *words):
        ip(*words, namespace=self.name)

    def run(self, *args, stdin=None):
        return subprocess.run([*self.inside, *args], check=True, capture_output=True, text=True, input=stdin, timeout=TIMEOUT).stdout

    def call(self, function):
        """The value of function(), whose sockets are in this namespace."""
        done = {}

        def run():
            try:
                enter(self.name)
                done["value"] = function()
            except BaseException as err:  # raised again below
                done["error"] = err

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if "error" in done:
            raise done["error"]
        return done["value"]


class Machine(Namespace):
    """A machine behind a link of its own; `number` makes its addresses and seeds the losses of the link."""

    def __init__(self, stack, middle, name, number, hosts=None):
        self.net, self.middle, self.device = f"10.99.{number}", middle, f"tap{number}"
        super().__init__(stack, name, {host: address.format(gateway=self.gateway) for host, address in (hosts or {}).items()})
        self.relay = subprocess.Popen([sys.executable, __file__, self.name, "tap", middle.name, self.device, str(number)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0)
        stack.callback(self.stop)
        assert read_line(self.relay.stdout) == b"ready\n"
        middle.ip("addr", "add", f"{self.gateway}/24", "dev", self.device)
        middle.ip("link", "set", self.device, "up")
        self.ip("link", "set", "tap", "up")
        self.take_address(2)

    @property
    def gateway(self):
        return f"{self.net}.1"

    def take_address(self, last):
        """As from DHCP; an earlier address goes."""
        self.ip("addr", "flush", "dev", "tap")
        self.address = f"{self.net}.{last}"
        self.ip("addr", "add", f"{self.address}/24", "dev", "tap")
        self.ip("route", "replace", "default", "via", self.gateway)

    def link(self, **state):
        """delay: seconds in each direction; loss: share of the frames; down: all are lost, without a notice to either end."""
        self.relay.stdin.write(json.dumps(state).encode() + b"\n")
        assert read_line(self.relay.stdout) == b"changed\n"

    def set_mtu(self, mtu):
        self.ip("link", "set", "tap", "mtu", mtu)
        self.middle.ip("link", "set", self.device, "mtu", mtu)

    def stop(self):
        self.relay.stdin.close()
        try:
            self.relay.wait(TIMEOUT)
        finally:
            self.relay.kill()  # of no effect on a process that has ended
            self.relay.wait()
            self.relay.stdout.close()


# NAT for all machines; a machine in `rebound` gets other ports, and no reset reaches it.
RULES = """
table ip nat {
    set rebound { type ipv4_addr; }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "cluster" ip saddr @rebound meta l4proto tcp masquerade to :50000-59999
        oifname "cluster" meta l4proto tcp masquerade to :10000-49999
    }
    chain forward {
        type filter hook forward priority filter;
        ip daddr @rebound tcp flags & rst == rst drop
    }
}
"""


class Middle(Namespace):
    """The router, with NAT, between the machines and the cluster."""

    CLUSTER = "10.99.0.2"

    def __init__(self, stack, cluster):
        super().__init__(stack, "middle")
        self.ip("link", "add", "cluster", "type", "veth", "peer", "name", "eth0", "netns", cluster.name)
        self.ip("addr", "add", "10.99.0.1/24", "dev", "cluster")
        self.ip("link", "set", "cluster", "up")
        cluster.ip("addr", "add", f"{self.CLUSTER}/24", "dev", "eth0")
        cluster.ip("link", "set", "eth0", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run("nft", "-f", "-", stdin=RULES)

    def rebind(self, machine):
        """The NAT forgets the machine's connections; later ones have other ports."""
        self.run("nft", "add", "element", "ip", "nat", "rebound", f"{{ {machine.address} }}")
        self.run("conntrack", "-D", "--orig-src", machine.address)


if __name__ == "__main__":
    Relay(sys.argv[1:3], sys.argv[3:5], int(sys.argv[5])).run()
