# SPDX-License-Identifier: Apache-2.0
"""The proxy behind a load balancer: connections that a client upgrades, and the TLS inside them."""
import re
import socket
import ssl
import types

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from harness import TIMEOUT
from join_client import Peer, join, split, tls_connect
from upgraded import BINARY, CLOSE, FORMS, PATH, PING, Upgraded, Upgrader, websocket_frame


def behind(cluster, port):
    """The cluster as a client sees it that knows only the load balancer."""
    return types.SimpleNamespace(proxy_addr=port.addr, ca_pin=cluster.ca_pin)


def exchange(connection, text):
    """The answer to a request that closes its connection."""
    connection.sendall(text.encode())
    answer = b""
    while more := connection.recv(65536):
        answer += more
    return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def get(path, fields=""):
    return f"GET {path} HTTP/1.1\r\nHost: p\r\n{fields}\r\n"


@pytest.mark.parametrize("form", FORMS)
def test_a_host_joins_inside_an_upgraded_connection(shared, aws, form):
    with Upgrader(shared.proxy_addr, form) as port, Peer(behind(shared, port), "proxy") as peer:
        host_id, identity = join(peer, aws.identity())
        assert host_id and identity.names["O"] == ["Instance"]


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_for_auth_is_passed_through(shared, form):
    name = "example.test".encode().hex() + ".teleport.cluster.local"
    with Upgrader(shared.proxy_addr, form) as port, tls_connect(port.addr, server_name=name, alpn=("h2",)) as connection:
        certificate = x509.load_der_x509_certificate(connection.getpeercert(True))
        assert certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Auth"
        assert connection.recv(9)[3] == 4, "auth begins with SETTINGS"


def test_pages_are_served_inside_but_no_second_upgrade(shared):
    with Upgrader(shared.proxy_addr) as port:
        with tls_connect(port.addr, alpn=("http/1.1",)) as connection:
            assert b"cluster_name" in exchange(connection, get("/webapi/find", "Connection: close\r\n"))
        with tls_connect(port.addr, alpn=("http/1.1",)) as connection:
            connection.sendall(get(PATH, "Connection: Upgrade\r\nUpgrade: alpn\r\n").encode())
            assert b"it is not upgraded again" in connection.recv(65536)


def test_the_host_ca_is_exported_to_clients(shared):
    with tls_connect(shared.proxy_addr, server_name="p", alpn=("http/1.1",)) as connection:
        answer = exchange(connection, get("/webapi/auth/export?type=tls-host", "Connection: close\r\n"))
    head, _, pem = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"Content-Type: text/plain" in head
    context = ssl.create_default_context(cadata=pem.decode())
    with Upgrader(shared.proxy_addr) as port, socket.create_connection(split(port.addr), timeout=TIMEOUT) as inside:
        with context.wrap_socket(inside, server_hostname="teleport.cluster.local") as verified:
            assert b"cluster_name" in exchange(verified, get("/webapi/find", "Connection: close\r\n"))


# ---- frames ---------------------------------------------------------------------------------------------------

BROKEN_FRAMES = {
    "no mask": (websocket_frame(BINARY, b"a", mask=False), 1002),
    "a reserved bit": (websocket_frame(BINARY, b"a", first=0xC0), 1002),
    "text": (websocket_frame(1, b"a"), 1003),
    "more than 1 MiB": (websocket_frame(BINARY, bytes((1 << 20) + 1)), 1009),
    "a fragmented ping": (websocket_frame(PING, first=0), 1002),
    "a long ping": (websocket_frame(PING, bytes(126)), 1002),
    "a reason that is no UTF-8": (websocket_frame(CLOSE, b"\x03\xe8\xc3\x28"), 1007),
    "an undefined status": (websocket_frame(CLOSE, b"\x03\xe7"), 1002),
}


@pytest.mark.parametrize("what", BROKEN_FRAMES)
def test_a_broken_frame_closes_with_its_status(shared, what):
    frame, status = BROKEN_FRAMES[what]
    with Upgraded(shared.proxy_addr) as upgraded:
        upgraded.socket.sendall(frame)
        assert upgraded.recv() == b"" and upgraded.close_code == status


@pytest.mark.parametrize("form", FORMS)
def test_noise_inside_ends_the_upgraded_connection(shared, form):
    with Upgraded(shared.proxy_addr, form) as upgraded:
        upgraded.sendall(b"\x05\x01\x00 socks")
        assert upgraded.recv() == b""
        assert upgraded.close_code == (1000 if form == "websocket" else None)


def test_pings_with_unread_answers_are_cut_off(shared):
    pings = websocket_frame(PING, bytes(125)) * 500
    with Upgraded(shared.proxy_addr) as upgraded, pytest.raises((ConnectionError, ssl.SSLError)):
        while True:
            upgraded.socket.sendall(pings)


# ---- what lies between a load balancer and the proxy ---------------------------------------------------------------

SECOND = "GET /webapi/find HTTP/1.1\r\nHost: p\r\n\r\n"
REFUSED = {
    "a length and chunks": ("POST /web HTTP/1.1\r\nHost: p\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    "chunks and a length of nothing": ("POST /web HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 413),
    "chunks with GET": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    "an obscured coding": ("POST /web HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "two lengths": ("POST /web HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n", 400),
    "a bare LF": ("GET /webapi/find HTTP/1.1\r\nHost: p\nX: y\r\n\r\n", 400),
    "a bare LF at the end": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\n\n", 400),
    "a folded line": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nX: y\r\n z\r\n\r\n", 400),
    "a blank before the colon": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nContent-Length : 0\r\n\r\n", 400),
    "an absolute target": ("GET https://p/webapi/find HTTP/1.1\r\nHost: p\r\n\r\n", 400),
    "two hosts": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nHost: q\r\n\r\n", 400),
    "no host": ("GET /webapi/find HTTP/1.1\r\n\r\n", 400),
    "a refused upgrade": (f"GET {PATH} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: alpn\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 777\r\n\r\n", 426),
    "an upgrade to something else": (f"GET {PATH} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", 400),
    "an upgrade without Connection": (f"GET {PATH} HTTP/1.1\r\nHost: p\r\nUpgrade: alpn\r\n\r\n", 400),
    "an upgrade over HTTP/1.0": (f"GET {PATH} HTTP/1.0\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n", 400),
}
ACCEPTED = {
    "a list with upgrade": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nConnection: upgrade, keep-alive\r\n\r\n", 2),
    "an upgrade of a page": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 1),
    "HTTP/1.0": ("GET /webapi/find HTTP/1.0\r\n\r\n", 1),
    "HTTP/1.0 that stays": ("GET /webapi/find HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1),
    "a last request": ("GET /webapi/find HTTP/1.1\r\nHost: p\r\nConnection: keep-alive, close\r\n\r\n", 1),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_ambiguous_request_is_refused_and_the_next_not_read(shared, what):
    text, status = REFUSED[what]
    with tls_connect(shared.proxy_addr, server_name="p", alpn=()) as connection:
        answer = exchange(connection, text + SECOND)
    assert statuses(answer) == [status] and b"cluster_name" not in answer


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_request_of_a_load_balancer_is_answered(shared, what):
    text, answers = ACCEPTED[what]
    with tls_connect(shared.proxy_addr, server_name="p", alpn=()) as connection:
        answer = exchange(connection, text + SECOND.replace("Host", "Connection: close\r\nHost"))
    assert statuses(answer) == [200] * answers
