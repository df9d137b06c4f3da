# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame, for frames that no well-behaved library sends."""
import struct

from join_client import JOIN, tls_connect

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman coding (RFC 7541 section 6.2.2)."""
    return b"\x00" + b"".join(integer(len(text), 7) + text for text in (name.encode(), value.encode()))


def integer(value, bits, first=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytes([first | most]), value - most
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def request_headers(path=JOIN):
    return b"".join(literal(*field) for field in ((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "x"),
                                                   ("content-type", "application/grpc"), ("te", "trailers")))


def request(stream, path=JOIN, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, request_headers(path))


def message(stream, body, flags=0, compressed=0, length=None):
    """A gRPC message in one DATA frame; its prefix may lie about the length."""
    return frame(DATA, flags, stream, struct.pack(">BI", compressed, len(body) if length is None else length) + body)


class Raw:
    """A connection from any loopback address; its own end is remembered."""

    def __init__(self, address, source="127.0.0.1", settings=b"", **tls):
        self.tls = tls_connect(address, source, **tls)
        self.input = b""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def send(self, *frames):
        """False when the server has hung up."""
        try:
            self.tls.sendall(b"".join(frames))
            return True
        except OSError:
            return False

    def receive(self):
        """(kind, flags, stream, payload), or None when the server has hung up."""
        while len(self.input) < 9 or len(self.input) < 9 + int.from_bytes(self.input[:3], "big"):
            try:
                more = self.tls.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                more = b""
            if not more:
                return None
            self.input += more
        size = int.from_bytes(self.input[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.input[3:9])
        payload, self.input = self.input[9:9 + size], self.input[9 + size:]
        return kind, flags, stream & 0x7FFFFFFF, payload

    def wait_for(self, *wanted):
        """Reads until a frame of one of these (kind, flags, stream), None for any; that frame, or None at the end."""
        while True:
            got = self.receive()
            if got is None:
                return None
            for kind, flags, stream in wanted:
                if got[0] == kind and (flags is None or got[1] & flags == flags) and (stream is None or got[2] == stream):
                    return got

    def is_alive(self):
        """Whether a ping of ours is answered."""
        mark = b"alive?!?"
        if not self.send(frame(PING, 0, 0, mark)):
            return False
        while True:
            got = self.wait_for((PING, ACK, 0))
            if got is None or got[3] == mark:
                return got is not None
