# SPDX-License-Identifier: Apache-2.0
"""Unauthenticated peers that send nothing, too much, or half a message: other hosts still join, and memory stays bounded."""
import contextlib
import ctypes
import os
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import time
import types

import grpc
import pytest

from harness import TIMEOUT, Cluster, iam_token, wait_until
from join_client import LEGACY, Peer, client_init, join, join_legacy, split, tls_connect
from raw_h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Raw,
                    frame, integer, literal, message, request, request_headers)
from upgraded import FORMS, Upgraded, Upgrader

PER_SOURCE = 50
ALL_PLACES = 2000
HANDSHAKE = 10  # seconds after which a silent connection is closed in any case
MEMORY = 50 << 20
BOTH = pytest.mark.parametrize("via", ["auth", "proxy"])


@pytest.fixture(scope="module")
def target(build, aws_process, tmp_path_factory):
    """One cluster for all floods: each of them finds it as the one before has left it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    aws_process.reset()
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("target") / "cluster")
    cluster.start()
    cluster.create(iam_token())
    yield cluster
    assert cluster.stop() == 0
    assert "restarted" not in (cluster.dir / "cluster.log").read_text()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(cluster):
    """{service: resident bytes} of auth and proxy."""
    pids = cluster.process.children()
    return {name: 1024 * int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pids[name]}/status").read_text()).group(1))
            for name in ("auth", "proxy")}


@pytest.fixture
def others_join(target, aws):
    """At the end of each flood: the same processes run, not much larger, and a host joins by each route."""
    before, pids = memory(target), target.process.children()

    def check():
        for via in ("auth", "proxy"):
            with Peer(target, via) as peer:
                join(peer, aws.identity())
        after = memory(target)
        assert target.process.children() == pids, "a process died"
        limit = MEMORY if "sanitizer build" not in target.process.text() else 10 * MEMORY  # it keeps freed memory
        assert all(after[name] - before[name] < limit for name in before), (before, after)

    return check


def address(cluster, via):
    return cluster.auth_addr if via == "auth" else cluster.proxy_addr


def hung_up(sock):
    """Whether the server has closed this connection; waits for it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


class Silent(socket.socket):
    """A connection on which nothing is sent, and when it was begun."""

    def __init__(self, target_address, source):
        host, port = split(target_address)
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.settimeout(TIMEOUT)
        self.bind((source, 0))
        self.began = time.monotonic()
        self.connect((host, port))

    def is_due(self):
        """Whether the server closes it because it has been silent for long: not so when the machine is as fast as usual."""
        return time.monotonic() - self.began >= HANDSHAKE


def silent_connections(stack, target_address, sources):
    """One silent connection from each of the addresses."""
    return [stack.enter_context(Silent(target_address, source)) for source in sources]


def gone(connections, wait=0):
    """Those that the server has closed before they were due, if need be after a wait (seconds)."""
    poll = select.poll()
    for sock in connections:
        poll.register(sock, select.POLLIN)
    closed = {fd for fd, _ in poll.poll(1000 * wait)}
    return [sock for sock in connections if sock.fileno() in closed and not sock.is_due()]


def is_refused(stack, target_address, source):
    """Whether the server closes a further silent connection from there at once; waits for it."""
    sock, = silent_connections(stack, target_address, [source])
    return hung_up(sock) and not sock.is_due()


def is_let_in(stack, target_address, source):
    """A connection from there that the server keeps and answers, or None."""
    try:
        raw = stack.enter_context(Raw(target_address, source))
    except OSError:
        return None
    return raw if raw.is_alive() else None


@BOTH
def test_a_thousand_connections_that_say_nothing(target, others_join, via):
    with contextlib.ExitStack() as stack:
        there = address(target, via)
        silent = silent_connections(stack, there, [f"127.0.0.{source}" for source in range(2, 22) for _ in range(PER_SOURCE)])
        assert is_refused(stack, there, "127.0.0.2"), "a source may have more than its share"
        assert is_refused(stack, there, "127.0.0.21")
        others_join()
        assert not gone(silent), "a connection within the limit was closed"
        silent.pop(0).close()
        wait_until(lambda: is_let_in(stack, there, "127.0.0.2"), "there is room again")


def test_unauthenticated_connections_make_room_for_hosts(target, aws):
    with contextlib.ExitStack() as stack:
        silent = silent_connections(stack, target.auth_addr, [f"127.0.1.{source}" for source in range(1, 1 + ALL_PLACES // PER_SOURCE) for _ in range(PER_SOURCE)])

        def joined():
            try:
                with Peer(target) as peer:
                    return join(peer, aws.identity())
            except (OSError, grpc.RpcError):
                return None  # hung up on; the next try finds room

        assert wait_until(joined, "a host is let in")
        assert len(gone(silent)) < 100, "no more had to go than were needed"
        assert gone(silent) or silent[0].is_due(), "it had to wait until the silent ones were given up"


SINGLE = [f"127.1.{group}.{number}" for group in range(4) for number in range(1, 126)]
REPEATED = [f"127.0.1.{source}" for source in range(1, 31) for _ in range(PER_SOURCE)]


@BOTH
def test_the_source_with_most_connections_makes_room(target, via):
    assert len(SINGLE) + len(REPEATED) == ALL_PLACES
    with contextlib.ExitStack() as stack:
        singles = silent_connections(stack, address(target, via), SINGLE)  # the oldest
        repeated = silent_connections(stack, address(target, via), REPEATED)
        newcomers = [wait_until(lambda n=n: is_let_in(stack, address(target, via), f"127.0.2.{n}"), "a newcomer is let in") for n in range(1, 11)]
        assert all(raw.is_alive() for raw in newcomers)
        assert not gone(singles), "a source with one connection had to go"
        assert len(gone(repeated)) < 100
        assert len(gone(repeated)) >= len(newcomers) or singles[0].is_due()
        assert is_refused(stack, address(target, via), "127.0.1.30"), "a source with many connections takes places of others"


@BOTH
def test_sources_of_agents_keep_their_places(target, aws, via):
    with Peer(target, via) as peer:
        identity = join_legacy(peer, aws.identity(), role="Node")
    with contextlib.ExitStack() as stack:
        with tls_connect(address(target, via), "127.0.0.7", alpn=["cteleport-reversetunnel" if via == "proxy" else "h2"], identity=identity) as agent:
            assert agent.recv(1), "the agent is let in"
        known, = silent_connections(stack, address(target, via), ["127.0.0.7"])
        singles = silent_connections(stack, address(target, via), [f"127.2.{n // 250}.{1 + n % 250}" for n in range(ALL_PLACES + 50)])
        more = [is_let_in(stack, address(target, via), "127.0.0.7") for _ in range(3)]  # at once, though all of the others are young
        assert all(more)
        wait_until(lambda: is_let_in(stack, address(target, via), "127.0.3.1"), "a newcomer is let in")
        assert gone(singles) or singles[0].is_due()
        assert not gone([known])
        assert all(raw.is_alive() for raw in more)


IDENTITY_MOST = 2000


def is_spoken_to(tls):
    """Whether the server sends anything before it closes."""
    try:
        return tls.recv(1) != b""
    except OSError:
        return False


def test_one_identity_has_a_number_of_connections(target, aws, others_join):
    """A host that is known has them without a limit of its source; two thousand are enough for any."""
    with Peer(target, "auth") as peer:
        identity = join_legacy(peer, aws.identity(), role="Node")
    with contextlib.ExitStack() as stack:
        for count in range(IDENTITY_MOST + 20):
            tls = stack.enter_context(tls_connect(target.auth_addr, "127.0.0.8", alpn=["h2"], identity=identity))
            if count >= IDENTITY_MOST - 1 and not is_spoken_to(tls):
                break
        assert IDENTITY_MOST - 1 <= count <= IDENTITY_MOST + 1
    others_join()


AUTH_INSIDE = {"server_name": "example.test".encode().hex() + ".teleport.cluster.local", "alpn": ("teleport-auth@example.test", "h2")}


def test_passed_connections_count_by_their_client(target, others_join):
    with contextlib.ExitStack() as stack:
        passed = [stack.enter_context(Raw(target.proxy_addr, "127.0.0.60", **AUTH_INSIDE)) for _ in range(PER_SOURCE)]
        with pytest.raises(OSError):  # through the proxy …
            tls_connect(target.proxy_addr, "127.0.0.60", **AUTH_INSIDE)
        assert is_refused(stack, target.auth_addr, "127.0.0.60")  # … and beside it
        stack.enter_context(tls_connect(target.proxy_addr, "127.0.0.61", **AUTH_INSIDE))
        others_join()
        assert all(raw.is_alive() for raw in passed)


def test_passed_connections_wait_in_the_kernel(target, others_join):
    """Bytes that clients send and auth does not read: the proxy buffers a piece of each connection."""
    with contextlib.ExitStack() as stack:
        passed = [stack.enter_context(Raw(target.proxy_addr, f"127.0.4.{n % 3}", **AUTH_INSIDE)) for n in range(PER_SOURCE)]
        auth = target.process.children()["auth"]
        os.kill(auth, signal.SIGSTOP)
        stack.callback(os.kill, auth, signal.SIGCONT)
        before, socks = memory(target)["proxy"], [stack.enter_context(socket.socket(fileno=os.dup(raw.tls.fileno()))) for raw in passed]
        for sock in socks:
            sock.setblocking(False)
        writable = socks
        while writable:  # until none has taken anything for a while
            for sock in writable:
                with contextlib.suppress(BlockingIOError):
                    sock.send(bytes(1 << 20))
            _, writable, _ = select.select([], socks, [], 1)
        assert memory(target)["proxy"] - before < PER_SOURCE * (64 << 10), "more waits at the proxy than was read last"
    others_join()


def test_only_a_proxy_sets_the_source_of_a_connection(target, others_join):
    with contextlib.ExitStack() as stack:
        for begin in (b"CTP1" + bytes(16), b"CTP1" + b"127.0.0.99:12345"):
            sock, = silent_connections(stack, target.auth_addr, ["127.0.0.63"])
            sock.sendall(begin + b"\x16\x03\x01")
            assert hung_up(sock)
        with Peer(target) as peer:
            assert peer.status("/cteleport.v1.PassService/Announce") == grpc.StatusCode.UNAUTHENTICATED
    others_join()


@contextlib.contextmanager
def network_namespace(*commands):
    """Processes that start meanwhile have a network of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", encoding="ascii") as before:
        assert libc.unshare(0x40000000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNET
        try:
            subprocess.run(["ip", "-batch", "-"], input="\n".join(["link set lo up", *commands]), text=True, check=True)
            yield
        finally:
            assert libc.setns(before.fileno(), 0x40000000) == 0


def test_a_slash_64_is_one_source(build, aws_process, tmp_path):
    addresses = [f"2001:db8:0:1::{n:x}" for n in range(1, PER_SOURCE + 2)]
    other = "2001:db8:0:2::1"
    with network_namespace(*(f"addr add {a}/128 dev lo nodad" for a in [*addresses, other])), contextlib.ExitStack() as stack:
        cluster = Cluster(build, aws_process, tmp_path / "cluster", auth={"listen_addr": "[::1]:0"})
        cluster.config["proxy_service"]["web_listen_addr"] = "[::1]:0"
        cluster.start()
        stack.callback(cluster.stop)
        for via in ("auth", "proxy"):
            there = address(cluster, via)
            silent = silent_connections(stack, there, addresses[:PER_SOURCE])
            assert is_refused(stack, there, addresses[PER_SOURCE]), "each address of a /64 had a share of its own"
            assert is_let_in(stack, there, other)
            assert not gone(silent)


@BOTH
def test_connections_that_stop_after_tls(target, others_join, via):
    with contextlib.ExitStack() as stack:
        for source in range(2, 6):
            for _ in range(PER_SOURCE):
                stack.enter_context(Raw(address(target, via), f"127.0.0.{source}"))
        others_join()


@BOTH
def test_a_source_with_maximum_joins_leaves_room_for_others(target, others_join, via):
    begun = client_init().SerializeToString()
    with contextlib.ExitStack() as stack:
        for _ in range(12):  # with 100 streams each: more than the joins that may be under way in all
            raw = stack.enter_context(Raw(address(target, via), "127.0.0.30"))
            raw.send(*(request(s) + message(s, begun) for s in range(1, 200, 2)))
            assert raw.is_alive()
        others_join()


@BOTH
def test_joins_that_a_few_sources_never_finish_make_room(target, aws, others_join, via):
    begun = client_init().SerializeToString()  # the rest is awaited
    with contextlib.ExitStack() as stack:
        for source in range(1, 12):  # with 100 each: more than the joins that may be under way in all
            raw = stack.enter_context(Raw(address(target, via), f"127.0.4.{source}"))
            raw.send(*(request(s) + message(s, begun) for s in range(1, 200, 2)))
            assert raw.is_alive()
        for newcomer in range(3):  # no authenticated peer ever came from there
            with Peer(target, via, source=f"127.0.5.{newcomer + 1}") as peer:
                join(peer, aws.identity())
        others_join()


@BOTH
def test_rapid_resets(target, others_join, via):
    with Raw(address(target, via), "127.0.0.40") as raw:
        for first in range(1, 2000, 200):
            raw.send(*(request(s) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in range(first, first + 200, 2)))
        assert not raw.is_alive()
    others_join()


NOISE = {
    "pings": frame(PING, 0, 0, b"12345678"),
    "settings": frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\xff\xff"),
    "empty settings": frame(SETTINGS),
    "priorities": frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "windows": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
    "empty data": frame(DATA, 0, 1),
}


@pytest.mark.parametrize("kind", NOISE)
@BOTH
def test_frames_that_carry_nothing(target, others_join, via, kind):
    with Raw(address(target, via), "127.0.0.41") as raw:
        raw.send(request(1))
        for _ in range(20):
            raw.send(NOISE[kind] * 200)
        assert not raw.is_alive()
    others_join()


@BOTH
def test_headers_without_end(target, others_join, via):
    with Raw(address(target, via), "127.0.0.42") as raw:
        raw.send(frame(HEADERS, 0, 1, request_headers()))
        for _ in range(20):
            raw.send(*[frame(CONTINUATION, 0, 1, literal("x-more", "y" * 1000))] * 50)
        assert not raw.is_alive()
    others_join()


@BOTH
def test_a_header_bomb(target, others_join, via):
    entry = b"\x40" + integer(3, 7) + b"x-b" + integer(4000, 7) + b"y" * 4000  # kept in the table as entry 62, then named again and again
    with Raw(address(target, via), "127.0.0.43") as raw:
        for s in range(1, 100, 2):
            raw.send(frame(HEADERS, END_HEADERS, s, request_headers() + (entry if s == 1 else b"") + integer(62, 7, 0x80) * 4000))
        raw.wait_for((HEADERS, END_STREAM, 1), (RST_STREAM, None, 1), (GOAWAY, None, 0))
        others_join()


HOLDERS = [f"127.0.3.{source}" for source in range(1, 11) for _ in range(PER_SOURCE)]


@BOTH
def test_requests_that_never_end_share_a_bound(target, aws, via):
    """Connections times streams times headers: 1.4 GiB of these 500 by their own limits, 128 MiB together."""
    before, pids = memory(target), target.process.children()
    entry = b"\x40" + literal("x-large", "y" * 3900)[1:]
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(Raw(address(target, via), source)) for source in HOLDERS]
        for raw in raws:
            raw.send(*[frame(HEADERS, END_HEADERS, stream, request_headers() + (entry if stream == 1 else integer(62, 7, 0x80)) + integer(62, 7, 0x80) * 2)
                       for stream in range(1, 200, 2)])
        alive = sum(raw.is_alive() for raw in raws)  # and all of them were answered; auth has closed most
        grown = memory(target)[via] - before[via]
        limit = 320 << 20 if "sanitizer build" not in target.process.text() else 3200 << 20
        assert grown < limit, f"{grown >> 20} MiB, with {alive} connections"
    with Peer(target, via) as peer:
        join(peer, aws.identity())
    assert target.process.children() == pids


@BOTH
def test_oversized_headers_are_refused_and_the_connection_stays_open(target, others_join, via):
    with Raw(address(target, via), "127.0.0.44") as raw:
        large = literal("x-large", "y" * 9000)
        raw.send(frame(HEADERS, 0, 1, request_headers() + large), frame(CONTINUATION, END_HEADERS, 1, large))
        raw.send(frame(HEADERS, 0, 3, request_headers()), frame(CONTINUATION, END_HEADERS, 3, literal("x-fits", "y" * 8000)))
        raw.send(message(3, client_init().SerializeToString()))
        assert raw.wait_for((HEADERS, END_STREAM, 1), (RST_STREAM, None, 1), (DATA, None, 1))[0] != DATA
        assert raw.wait_for((DATA, None, 3))
        assert raw.is_alive()


@BOTH
def test_a_client_that_asks_and_does_not_read(target, others_join, via):
    with Raw(address(target, via), "127.0.0.45") as raw:
        for first in range(1, 100000, 1000):
            raw.send(*(request(s, "/no/such.method", END_HEADERS | END_STREAM) for s in range(first, first + 1000, 2)))
        others_join()
        assert not raw.is_alive(), "it may queue what it likes"


@BOTH
def test_a_client_without_a_window_stalls_only_itself(target, others_join, via):
    no_window = b"\x00\x04\x00\x00\x00\x00"
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            raw = stack.enter_context(Raw(address(target, via), "127.0.0.46", no_window))
            raw.send(*(request(s, LEGACY) for s in range(1, 200, 2)))
            assert raw.is_alive()
        others_join()


BROKEN = {
    "a message that ends too early": message(1, b"\x0a\x02", END_STREAM, length=100),
    "half a prefix": frame(DATA, END_STREAM, 1, b"\0\0"),
    "a message that is too large": message(1, b"", length=65537),
    "a message of 4 GiB": message(1, b"", length=0xFFFFFFFF),
    "a compressed message": message(1, b"\x0a\x02", compressed=1),
    "a flag that gRPC does not have": message(1, b"\x0a\x02", compressed=2),
    "its last word with its first": message(1, client_init().SerializeToString(), END_STREAM),
    "two messages at once": message(1, client_init().SerializeToString()) * 2,
}


@pytest.mark.parametrize("what", BROKEN)
@BOTH
def test_a_malformed_call_is_answered_and_the_connection_stays_open(target, via, what):
    with Raw(address(target, via), "127.0.0.47") as raw:
        raw.send(request(1), BROKEN[what])
        kind, _, _, _ = raw.wait_for((HEADERS, END_STREAM, 1), (RST_STREAM, None, 1))
        assert kind == HEADERS, "the client gets no reason"
        assert raw.is_alive()


NOT_HTTP2 = {
    "a frame on no stream": frame(DATA, 0, 0, b"x"),
    "data before headers": frame(DATA, 0, 5, b"x"),
    "an even stream": request(2),
    "a huge frame": frame(DATA, 0, 1, b"x" * 20000),
    "a reserved setting": frame(SETTINGS, 0, 0, b"\x00\x02\x00\x00\x00\x07"),
    "a window too far": frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    "a short ping": frame(PING, 0, 0, b"1234"),
    "broken header compression": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
    "plain HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4,
}


@pytest.mark.parametrize("what", NOT_HTTP2)
@BOTH
def test_a_peer_that_does_not_speak_http2_is_disconnected(target, via, what):
    with Raw(address(target, via), "127.0.0.48") as raw:
        raw.send(NOT_HTTP2[what])
        assert not raw.is_alive()


@BOTH
def test_connections_cut_in_the_middle_of_a_frame(target, others_join, via):
    whole = request(1) + message(1, client_init().SerializeToString())
    for cut in range(1, len(whole), 7):
        with Raw(address(target, via), "127.0.0.49") as raw:
            raw.send(whole[:cut])
    others_join()


@BOTH
def test_garbage_instead_of_tls(target, others_join, via):
    for garbage in (b"\x16\x03\x01\xff\xff" + b"\x01" * 70000, b"\0" * 1000, b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x00" * 1000, b"\x80\x2e\x01\x03\x01"):
        with socket.create_connection(split(address(target, via)), timeout=TIMEOUT, source_address=("127.0.0.50", 0)) as s:
            with contextlib.suppress(OSError):
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
    others_join()


# ---- inside upgraded connections -----------------------------------------------------------------------------

@pytest.fixture
def inside(target):
    """An address that leads to the proxy through upgraded connections of one source."""
    with Upgrader(target.proxy_addr, source="127.0.7.1") as port:
        yield port.addr


@pytest.mark.parametrize("sources", [5, pytest.param(20, marks=pytest.mark.nightly)])
def test_many_upgrades_that_say_nothing(target, aws, others_join, sources):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Upgraded(target.proxy_addr, FORMS[n % len(FORMS)], f"127.0.6.{source}"))
                  for source in range(1, sources + 1) for n in range(PER_SOURCE)]
        with Upgrader(target.proxy_addr, source="127.0.7.2") as port, Peer(types.SimpleNamespace(proxy_addr=port.addr, ca_pin=target.ca_pin), "proxy") as peer:
            join(peer, aws.identity())
        others_join()
        for one in silent:  # each has the time of a handshake
            assert one.recv() == b""


def test_an_upgraded_connection_counts_once_for_its_source(target):
    source = "127.0.7.3"
    with contextlib.ExitStack() as stack:
        direct = [stack.enter_context(Raw(target.proxy_addr, source)) for _ in range(PER_SOURCE - 1)]
        port = stack.enter_context(Upgrader(target.proxy_addr, source=source))
        inner = stack.enter_context(Raw(port.addr))
        assert inner.is_alive()
        assert is_refused(stack, target.proxy_addr, source)
        assert direct[0].is_alive() and inner.is_alive()


@pytest.mark.parametrize("form", FORMS)
def test_a_client_that_does_not_read_its_upgraded_connection(target, others_join, form):
    """TLS inside, requests without end, and not one byte read of the connection that carries them."""
    with Upgraded(target.proxy_addr, form, "127.0.7.5") as carrier:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        tls = context.wrap_bio(incoming, outgoing, server_hostname="teleport.cluster.local")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                carrier.sendall(outgoing.read())
                incoming.write(carrier.recv())
        tls.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
        carrier.socket.settimeout(5)
        with contextlib.suppress(OSError):
            for first in range(1, 200000, 1000):
                for s in range(first, first + 1000, 2):
                    tls.write(request(s, "/no/such.method", END_HEADERS | END_STREAM))
                carrier.sendall(outgoing.read())
        others_join()


def test_rapid_resets_inside(target, inside, others_join):
    with Raw(inside) as raw:
        for first in range(1, 2000, 200):
            raw.send(*(request(s) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in range(first, first + 200, 2)))
        assert not raw.is_alive()
    others_join()


def test_a_flood_of_refusals_is_counted_and_joins_are_listed(cluster, aws):
    cluster.create(iam_token())
    begun = client_init().SerializeToString()
    for _ in range(13):  # hosts that go away in the middle of their join, a hundred at once
        with Raw(cluster.auth_addr, "127.0.0.31") as raw:
            raw.send(*(request(s) + message(s, begun) for s in range(1, 200, 2)))
            assert raw.is_alive()
    with Peer(cluster) as peer:
        join(peer, aws.identity())
    assert cluster.stop() == 0
    events = cluster.events("instance.join")
    listed = [e for e in events if not e["success"] and "suppressed" not in e]
    assert 1000 <= len(listed) <= 1100  # and those of the seconds that this takes
    assert sum(e.get("suppressed", 0) for e in events) == 1300 - len(listed)
    assert [e["node_name"] for e in events if e["success"]] == ["web-1"]
