#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A load balancer in front of the proxies, in one run: what it costs a session, what an idle tunnel costs, and the death of one proxy.

    bench_proxy.py [--json] [--build=DIR] [--agents=N] [--rounds=N] [--bytes=N]

HAProxy ends TLS, as in the guide. Bytes and round trips of `ssh` through proxy and tunnel, with node and user connected directly and both through
HAProxy, by HTTPS and by plain HTTP to the proxy, by turns; beside it a download by HTTPS from nginx, direct and through HAProxy, to show what HAProxy costs by itself. Then agents that one
program plays (proxy_fleet.c): the memory of their idle tunnels, and the time until they are back when one of three proxies dies.
"""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import bench_ssh
from bench_ssh import pss_kib, round_trips_ms
from figures import ROOT, allow_played_agents, cpu_seconds, directories, options, print_figures

sys.path.insert(0, str(ROOT / "tests/e2e"))

from boxes import Box, Place  # noqa: E402
from harness import Aws, Cluster, iam_token, program  # noqa: E402
from test_proxies import PEER, PEERING, Proxy  # noqa: E402
from users import Accounts, User, invite_url  # noqa: E402

NGINX = """
user root;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:{port} ssl;
        ssl_certificate /etc/ssl/teleport.example.com.pem;
        ssl_certificate_key /etc/ssl/teleport.example.com.key;
        root ROOT;
    }
}
"""

# Each connection as of a client of its own, as those of many hosts are.
ALL = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch 1
frontend https
    bind 127.0.0.1:{port} ssl crt /etc/ssl/teleport.example.com.pem alpn h2,http/1.1
    http-request set-header X-Forwarded-For 10.%[rand(250)].%[rand(250)].%[rand(250)]
    default_backend teleport
backend teleport
    balance roundrobin
    default-server ssl verify none check inter 1s fall 1 rise 1
"""


def by_turns(rounds, ways, measure):
    """The medians of measure(*how) of each way; by turns, so that all meet the same machine."""
    taken = {way: [] for way in ways}
    for _ in range(rounds):
        for way, how in ways.items():
            taken[way].append(measure(*how))
    return {way: statistics.median(times) for way, times in taken.items()}


# ---- a session --------------------------------------------------------------------------------------------------------


def direct_user(build, aws, directory, stack, account):
    """A user of a cluster which they and its node reach directly."""
    cluster = Cluster(build, aws, directory / "direct").start()
    stack.callback(cluster.stop)
    cluster.create(iam_token())
    cluster.join("web-1", env=aws.identity()).wait_reachable()
    user = User(cluster, "alice", directory / "direct-home")
    user.accept(invite_url(cluster.tctl("users", "add", "alice", "--roles=access", f"--logins={account}").out)).login()
    return user


def ssh_of(user, account):
    return ["ssh", "-F", str(user.ssh_config()), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", f"{account}@web-1.example.test"], user.env


def session_figures(build, aws, directory, stack, given):
    """One byte and many through the direct tunnel, and through HAProxy, with the CPU time of HAProxy for them."""
    places = {way: Place(stack, "haproxy", build, aws, directory / f"session_{way}", is_plain=way == "haproxy_http") for way in ("haproxy", "haproxy_http")}
    for place in places.values():
        place.host().start().wait_reachable()
    accounts = Accounts()
    stack.callback(accounts.remove)
    account = accounts.make(shell="/bin/sh").pw_name  # whose shell has no start-up files
    users = {"direct": direct_user(build, aws, directory, stack, account), **{way: place.user(logins=account) for way, place in places.items()}}
    ways = {way: ssh_of(user, account) for way, user in users.items()}
    haproxy = places["haproxy"].box.process.pid
    for way in ways.values():
        bench_ssh.start_ms(*way)
    figures = {}
    bench_ssh.BYTES = given.bytes << 20
    for name, measure in (("down", bench_ssh.seconds_down), ("up", bench_ssh.seconds_up)):
        before = cpu_seconds(haproxy)
        seconds = by_turns(given.rounds, ways, measure)
        figures[f"{name}_mib_per_second"] = {way: round(given.bytes / taken) for way, taken in seconds.items()}
        figures[f"{name}_ratio"] = {way: round(seconds["direct"] / seconds[way], 3) for way in places}
        figures[f"{name}_haproxy_cpu_ms_per_mib"] = round(1000 * (cpu_seconds(haproxy) - before) / given.rounds / given.bytes, 2)
    trips = {way: statistics.median(round_trips_ms(*how)) for way, how in ways.items()}
    figures["round_trip_ms"] = {way: round(taken, 3) for way, taken in trips.items()}
    figures["added_latency_ms"] = round(trips["haproxy"] - trips["direct"], 3)
    return figures


# ---- HAProxy by itself --------------------------------------------------------------------------------------------------


def download_seconds(addr, ca):
    begun = time.monotonic()
    subprocess.run(["curl", "-sS", "--fail", "--http1.1", "--cacert", ca, "-o", "/dev/null", f"https://{addr}/zeros"], check=True)
    return time.monotonic() - begun


def box_figures(directory, stack, given):
    """The same bytes by HTTPS from nginx, direct and through HAProxy."""
    with open(directory / "zeros", "wb") as zeros:
        zeros.truncate(given.bytes << 20)
    server = Box("nginx", directory / "nginx", NGINX.replace("ROOT", str(directory)))
    box = Box("haproxy", directory / "haproxy")
    for one in (server, box):
        stack.callback(one.close)
    server.start()
    box.start(f"127.0.0.1:{server.port}")
    seconds = by_turns(given.rounds, {"direct": (server.addr, server.ca), "haproxy": (box.addr, box.ca)}, download_seconds)
    return {"https_mib_per_second": {way: round(given.bytes / taken) for way, taken in seconds.items()},
            "https_ratio": round(seconds["direct"] / seconds["haproxy"], 3)}


# ---- many agents --------------------------------------------------------------------------------------------------------


def fleet_figures(build, aws, directory, stack, given):
    cluster = Cluster(build, aws, directory / "fleet", proxy=False, auth=PEERING).start()
    stack.callback(cluster.stop)
    allow_played_agents(aws)
    cluster.node_env = aws.identity()
    cluster.create(iam_token("bench"))
    cluster.create(iam_token("proxy-token", roles=["Proxy"]))
    one, all_ = Box("haproxy", directory / "one"), Box("haproxy", directory / "all", ALL)
    for box in (one, all_):
        stack.callback(box.close)
    cluster.proxy_addr = f"127.0.0.1:{all_.port}"  # a proxy that joins is not given the name "localhost"
    proxies = [Proxy(cluster, f"proxy-{n}", cluster.proxy_addr, trust_x_forwarded_for=True, load_balancers=["127.0.0.1"], **PEER).start() for n in range(3)]
    for proxy in proxies:
        proxy.wait_serving()
    all_.config += "".join(f"    server proxy{n} {proxy.addr}\n" for n, proxy in enumerate(proxies))
    all_.start()
    one.start(proxies[1].addr)
    user = User(cluster, "alice", directory / "fleet-home")
    user.accept(invite_url(cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out)).login()
    first, second, third = proxies
    words = [given.agents, third.addr, first.addr, first.process.children()["proxy"], one.addr, second.process.children()["proxy"], one.process.pid,
             cluster.proxy_addr, first.process.pid]
    haproxy_kib = pss_kib(one.process.pid)
    done = subprocess.run([program(build, "proxy_fleet"), *map(str, words)], env=user.env, stdout=subprocess.PIPE, text=True, check=True)
    first.kill()  # it is dead already
    return {**json.loads(done.stdout), "haproxy_kib": haproxy_kib}


def measure(given, directory):
    aws = Aws(tempfile.mkdtemp(dir=directory))
    figures = {"bytes": given.bytes << 20}
    try:
        for part in (session_figures, box_figures, fleet_figures):
            with contextlib.ExitStack() as stack:
                words = (directory, stack, given) if part is box_figures else (given.build, aws, directory, stack, given)
                figures.update(part(*words))
        return figures
    finally:
        aws.stop()


def main():
    given = options(agents=1000, rounds=5, bytes=512)
    with directories() as (directory, _):
        figures = measure(given, directory)
    print_figures(figures, given.json)


if __name__ == "__main__":
    main()
