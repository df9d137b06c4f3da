# SPDX-License-Identifier: Apache-2.0
"""A client that reaches the proxy as behind a load balancer: it upgrades an HTTPS connection, in frames that are made here."""
import contextlib
import os
import select
import socket
import ssl

from join_client import split, tls_connect
from tcp_server import TcpServer

FORMS = ("websocket", "alpn", "alpn-ping")
PATH = "/webapi/connectionupgrade"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
WEBSOCKET_FIELDS = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
WEBSOCKET_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def websocket_frame(opcode, payload=b"", mask=True, first=0x80):
    """A frame of a client; `first` has the bits beside the opcode."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    head = bytes([first | opcode, (0x80 if mask else 0) | length[0]]) + length[1:]
    if not mask:
        return head + payload
    key = os.urandom(4)
    pad = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


class Upgraded:
    """One upgraded connection: sendall() and recv() of the bytes inside, or frames; `fields`: more of the request; .answer is the head of the answer."""

    def __init__(self, address, form="websocket", source="127.0.0.1", plain=False, fields="", name="proxy.example.com"):
        self.form, self.received, self.close_code = form, b"", None
        self.socket = (socket.create_connection(split(address), timeout=10, source_address=(source, 0)) if plain
                       else tls_connect(address, source, name, ["http/1.1"]))
        fields += f"{WEBSOCKET_FIELDS}Sec-WebSocket-Protocol: alpn-ping\r\n" if form == "websocket" else ""
        self.socket.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: {form}\r\n{fields}\r\n".encode())
        while b"\r\n\r\n" not in self.received:
            self.fill()
        self.answer, _, self.received = self.received.partition(b"\r\n\r\n")
        assert self.answer.startswith(b"HTTP/1.1 101 "), self.answer
        assert form != "websocket" or WEBSOCKET_ACCEPT in self.answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def fill(self):
        more = self.socket.recv(65536)
        if not more:
            raise EOFError
        self.received += more

    def frame_size(self):
        """(bytes before the payload, bytes of the payload) of the next frame; None: its header is incomplete."""
        if self.form == "alpn":
            return (0, len(self.received)) if self.received else None
        if self.form == "alpn-ping":
            return (4, int.from_bytes(self.received[:4], "big")) if len(self.received) >= 4 else None
        if len(self.received) < 2:
            return None
        first, size = self.received[:2]
        assert first & 0x70 == 0 and size & 0x80 == 0, "a server sets no reserved bits and no mask"
        more = {126: 2, 127: 8}.get(size, 0)
        if len(self.received) < 2 + more:
            return None
        return 2 + more, int.from_bytes(self.received[2:2 + more], "big") if more else size

    def take_frame(self):
        """The next frame if all of it was received, otherwise None: opcode (None without WebSocket) and payload."""
        size = self.frame_size()
        if size is None or len(self.received) < sum(size):
            return None
        opcode = self.received[0] & 0x0F if self.form == "websocket" else None
        payload, self.received = self.received[size[0]:sum(size)], self.received[sum(size):]
        return opcode, payload

    def take_payloads(self):
        """The payloads received so far; answers pings. EOFError after a close frame."""
        while frame := self.take_frame():
            opcode, payload = frame
            if opcode == PING:
                self.socket.sendall(websocket_frame(PONG, payload))
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big") or 1005
                raise EOFError
            elif payload and opcode in (None, BINARY):
                yield payload

    def recv(self):
        """The next bytes from inside; b"" at the end."""
        try:
            while True:
                for payload in self.take_payloads():
                    return payload
                self.fill()
        except (EOFError, OSError):
            return b""

    def sendall(self, data):
        if self.form == "websocket":
            data = websocket_frame(BINARY, data)
        elif self.form == "alpn-ping":
            data = len(data).to_bytes(4, "big") + data
        self.socket.sendall(data)

    def end(self):
        """Ends the connection in order; nothing is read after it."""
        with contextlib.suppress(OSError):
            if self.form == "websocket":
                self.socket.sendall(websocket_frame(CLOSE, (1000).to_bytes(2, "big")))
            self.socket.shutdown(socket.SHUT_WR)


class Upgrader(TcpServer):
    """A TCP port whose connections reach the proxy through upgraded ones, for clients that know only addresses."""

    def __init__(self, target, form="websocket", **how):
        self.target, self.how = target, {"form": form, **how}
        super().__init__()

    def serve(self, near):
        """One thread for both directions: an ssl.SSLSocket is not for two."""
        with Upgraded(self.target, **self.how) as far, contextlib.suppress(EOFError, OSError):
            far.socket.settimeout(0)
            is_open, poll = True, select.poll()
            for one in (near, far.socket):
                poll.register(one, select.POLLIN)
            while is_open:
                if near.fileno() in dict(poll.poll()):
                    data = near.recv(65536)
                    far.socket.settimeout(None)
                    if not data:
                        far.end()
                        break
                    far.sendall(data)
                    far.socket.settimeout(0)
                try:
                    while True:
                        far.fill()
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
                except (EOFError, OSError):
                    is_open = False
                for payload in far.take_payloads():
                    near.sendall(payload)
