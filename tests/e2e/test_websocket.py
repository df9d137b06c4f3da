# SPDX-License-Identifier: Apache-2.0
"""Our WebSocket against that of python3-websockets, each as client and as server; and the cases of the Autobahn test suite."""
import asyncio
import base64
import contextlib
import hashlib
import os
import re
import socket
import subprocess
import threading

import pytest
import websockets

from harness import TIMEOUT
from join_client import split
from upgraded import BINARY, CLOSE, PING, PONG, WEBSOCKET_FIELDS, websocket_frame

DATA = os.urandom(700_000)


@pytest.fixture(scope="module")
def peer(build):
    return next(path for path in build.rglob("websocket_peer") if path.is_file())


@pytest.fixture(scope="module")
def server(peer):
    process = subprocess.Popen([peer, "server"], stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()


def run(work):
    asyncio.run(asyncio.wait_for(work, TIMEOUT))


def test_another_client_gets_its_bytes_back(server):
    async def work():
        async with websockets.connect(f"ws://{server}/echo", max_size=None) as ws:
            await (await ws.ping(b"are you there"))
            await ws.send(iter([DATA[:5], DATA[5:300_000], DATA[300_000:]]))
            received = b""
            while len(received) < len(DATA):
                received += await ws.recv()
            assert received == DATA
            await ws.close()
            assert ws.close_code == 1000

    run(work())


def test_a_message_of_text_is_refused(server):
    async def work():
        async with websockets.connect(f"ws://{server}/echo") as ws:
            await ws.send("text")
            with pytest.raises(websockets.ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1003

    run(work())


def test_a_message_that_is_too_long_is_refused(server):
    async def work():
        async with websockets.connect(f"ws://{server}/echo", max_size=None) as ws:
            await ws.send(bytes(1024 * 1024 + 1))
            with pytest.raises(websockets.ConnectionClosedError):
                while True:
                    await ws.recv()
            assert ws.close_code == 1009

    run(work())


def test_our_client_gets_its_bytes_back_from_another_server(peer):
    async def echo(ws):
        async for message in ws:
            await ws.ping()
            await ws.send(message)

    async def work():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as listening:
            port = listening.sockets[0].getsockname()[1]
            client = await asyncio.create_subprocess_exec(peer, "client", f"127.0.0.1:{port}", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                          stderr=subprocess.PIPE)
            out, err = await client.communicate(DATA)
            assert (client.returncode, err) == (0, b"") and out == DATA

    run(work())


# ---- the cases of the Autobahn test suite --------------------------------------------------------------------------

TEXT, MORE = 1, 0
OCTETS = 1
SOME, HELLO = b"fragment1", b"Hello, world!"


def frame(opcode, payload=b"", final=True, reserved=0):
    return opcode, payload, (0x80 if final else 0) | reserved << 4


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def cases():
    """name: (frames, bytes that come back, payloads of the pongs, status of the close frame, bytes of each write)."""
    data, ping, end = frame(BINARY, HELLO), frame(PING, b"p"), close(1000)
    first, last = frame(BINARY, SOME, final=False), frame(MORE, b"fragment2")
    both = SOME + b"fragment2"
    yield "1.1 text", [frame(TEXT, HELLO)], b"", [], 1003
    for number, (size, write) in enumerate([(0, None), (125, None), (126, None), (127, None), (128, None), (65535, None), (65536, None), (65536, 997)], 1):
        yield f"1.2.{number}", [frame(BINARY, b"\xfe" * size), end], b"\xfe" * size, [], 1000, write
    yield "2.1", [frame(PING), end], b"", [b""], 1000
    yield "2.2", [frame(PING, HELLO), end], b"", [HELLO], 1000
    yield "2.3", [frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), end], b"", [b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"], 1000
    yield "2.4", [frame(PING, b"\xfe" * 125), end], b"", [b"\xfe" * 125], 1000
    yield "2.5", [frame(PING, b"\xfe" * 126)], b"", [], 1002
    yield "2.6", [frame(PING, b"\xfe" * 125), end], b"", [b"\xfe" * 125], 1000, OCTETS
    yield "2.7", [frame(PONG), end], b"", [], 1000
    yield "2.8", [frame(PONG, b"unsolicited"), end], b"", [], 1000
    yield "2.9", [frame(PONG, b"unsolicited"), ping, end], b"", [b"p"], 1000
    pings = [b"payload-%d" % n for n in range(10)]
    for name, write in (("2.10", None), ("2.11", OCTETS)):
        yield name, [*(frame(PING, payload) for payload in pings), end], b"", pings, 1000, write
    yield "3.1", [frame(BINARY, HELLO, reserved=1), ping], b"", [], 1002
    for name, write in (("3.2", None), ("3.3", 19), ("3.4", OCTETS)):
        yield name, [data, frame(BINARY, HELLO, reserved=2), ping], HELLO, [], 1002, write
    yield "3.5", [frame(BINARY, b"\xff", reserved=5), ping], b"", [], 1002
    yield "3.6", [frame(PING, HELLO, reserved=6), ping], b"", [], 1002
    yield "3.7", [frame(CLOSE, b"\x03\xe8", reserved=7), ping], b"", [], 1002
    for kind, opcodes in ((1, range(3, 8)), (2, range(11, 16))):
        first_unknown, second, *others = opcodes
        yield f"4.{kind}.1", [frame(first_unknown)], b"", [], 1002
        yield f"4.{kind}.2", [frame(second, b"reserved")], b"", [], 1002
        for number, (opcode, write) in enumerate(zip(others, (None, 19, OCTETS)), 3):
            yield f"4.{kind}.{number}", [data, frame(opcode, b"" if number == 3 else HELLO), ping], HELLO, [], 1002, write
    yield "5.1", [frame(PING, SOME, final=False), last], b"", [], 1002
    yield "5.2", [frame(PONG, SOME, final=False), last], b"", [], 1002
    for name, write in (("5.3", None), ("5.4", 15), ("5.5", OCTETS)):
        yield name, [first, last, end], both, [], 1000, write
    for name, write in (("5.6", None), ("5.7", 15), ("5.8", OCTETS)):
        yield name, [first, ping, last, end], both, [b"p"], 1000, write
    for name, final, write in (("5.9", True, None), ("5.10", True, 23), ("5.11", True, OCTETS), ("5.12", False, None), ("5.13", False, 23), ("5.14", False, OCTETS)):
        yield name, [frame(MORE, b"nothing to continue", final), data], b"", [], 1002, write
    yield "5.15", [first, last, frame(MORE, b"nothing to continue", final=False), data], both, [], 1002
    for name, final in (("5.16", False), ("5.17", True)):
        yield name, [frame(MORE, SOME, final), first, last] * 2, b"", [], 1002
    yield "5.18", [first, frame(BINARY, b"fragment2")], SOME, [], 1002
    parts = [frame(BINARY, b"1", final=False), frame(MORE, b"2", final=False), frame(PING, b"a"), frame(MORE, b"3", final=False),
             frame(MORE, b"4", final=False), frame(PING, b"b"), frame(MORE, b"5")]
    for name, write in (("5.19", None), ("5.20", OCTETS)):
        yield name, [*parts, end], b"12345", [b"a", b"b"], 1000, write
    yield "6 (text that is no UTF-8)", [frame(TEXT, b"\xce\xba\xed\xa0\x80")], b"", [], 1003
    yield "7.1.1", [data, end], HELLO, [], 1000
    yield "7.1.2", [end, end], b"", [], 1000
    yield "7.1.3", [end, ping], b"", [], 1000
    yield "7.1.4", [end, data], b"", [], 1000
    yield "7.1.5", [first, end, last], SOME, [], 1000
    yield "7.1.6", [frame(BINARY, b"*" * (256 << 10)), data, end, ping], b"*" * (256 << 10) + HELLO, [], 1000
    yield "7.3.1", [close()], b"", [], None
    yield "7.3.2", [frame(CLOSE, b"a")], b"", [], 1002
    yield "7.3.3", [close(1000)], b"", [], 1000
    yield "7.3.4", [close(1000, HELLO)], b"", [], 1000
    yield "7.3.5", [close(1000, b"*" * 123)], b"", [], 1000
    yield "7.3.6", [close(1000, b"*" * 124)], b"", [], 1002
    yield "7.5.1", [close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], b"", [], 1007
    for number, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
        yield f"7.7.{number}", [close(code)], b"", [], code
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield f"7.9.{number}", [close(code)], b"", [], 1002
    yield "9.2.1", [frame(BINARY, b"\xfe" * (64 << 10)), end], b"\xfe" * (64 << 10), [], 1000
    yield "9.2.3", [frame(BINARY, b"\xfe" * (1 << 20)), end], b"\xfe" * (1 << 20), [], 1000
    yield "9.2.4 (more than we accept)", [frame(BINARY, b"\xfe" * (4 << 20))], b"", [], 1009
    yield "9.4.1", [frame(BINARY, b"*" * 64, final=False), *[frame(MORE, b"*" * 64, final=False)] * 1000, frame(MORE, b"*" * 64), end], b"*" * 64 * 1002, [], 1000
    yield "9.6.1", [frame(BINARY, b"\xfe" * (64 << 10)), end], b"\xfe" * (64 << 10), [], 1000, 64
    yield "10.1", [frame(BINARY, b"*" * 1300, final=False), *[frame(MORE, b"*" * 1300, final=False)] * 49, frame(MORE, b"*" * 536), end], b"*" * 65536, [], 1000
    yield "12 and 13 (compressed)", [frame(BINARY, b"\xf2\x48\xcd\xc9\xc9\x07\x00", reserved=4)], b"", [], 1002


CASES = {name: case for name, *case in cases()}


class Autobahn:
    """The test suite's end of a connection with one of ours; is_client: this end is the client, whose frames are masked."""

    def __init__(self, connection, is_client):
        self.socket, self.is_client, self.received = connection, is_client, b""
        self.socket.settimeout(TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self):
        while b"\r\n\r\n" not in self.received:
            self.received += self.socket.recv(65536)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head.decode()

    def take_frame(self):
        """opcode and payload, or None."""
        have = self.received
        if len(have) < 2:
            return None
        assert have[0] & 0xF0 == 0x80 and bool(have[1] & 0x80) != self.is_client, "whole messages, which only a client masks"
        more = {126: 2, 127: 8}.get(have[1] & 0x7F, 0)
        begin = 2 + more + (0 if self.is_client else 4)
        size = int.from_bytes(have[2:2 + more], "big") if more else have[1] & 0x7F
        if len(have) < begin + size:
            return None
        payload, self.received = have[begin:begin + size], have[begin + size:]
        if not self.is_client:
            pad = (have[begin - 4:begin] * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        return have[0] & 0x0F, payload

    def frames(self):
        """All frames up to the end of the connection."""
        while True:
            while one := self.take_frame():
                yield one
            more = b""
            with contextlib.suppress(ConnectionResetError):  # it does not read what follows a refusal
                more = self.socket.recv(65536)
            if not more:
                return
            self.received += more

    def send(self, frames, write):
        data = b"".join(websocket_frame(opcode, payload, self.is_client, first) for opcode, payload, first in frames)
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), write or len(data) or 1):
                self.socket.sendall(data[at:at + (write or len(data))])

    def run(self, frames, echoed, pongs, status, write=None):
        """Sends the frames; a close frame, which ends both directions, when the answers to those before it were received."""
        first_close = next((n for n, (opcode, *_) in enumerate(frames) if opcode == CLOSE), len(frames))
        sending = threading.Thread(target=self.send, args=(frames[:first_close], write))
        sending.start()
        received, incoming = [], self.frames()
        payloads = lambda opcode: [payload for one, payload in received if one == opcode]
        while first_close < len(frames) and (payloads(PONG) != pongs or sum(map(len, payloads(BINARY))) < len(echoed)):
            received.append(next(incoming))
        sending.join()
        self.send(frames[first_close:], write)
        received += incoming
        data = b"".join(payloads(BINARY))
        assert payloads(PONG) == pongs
        assert data == echoed if first_close < len(frames) else echoed.startswith(data)  # a refusal may come before the echo
        assert received[-1][0] == CLOSE and len(payloads(CLOSE)) == 1
        assert received[-1][1][:2] == (b"" if status is None else status.to_bytes(2, "big"))


@pytest.mark.parametrize("case", CASES)
def test_our_server_passes_the_case(server, case):
    with socket.create_connection(split(server)) as connection:
        suite = Autobahn(connection, is_client=True)
        connection.sendall(f"GET /echo HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{WEBSOCKET_FIELDS}\r\n".encode())
        assert suite.head().startswith("HTTP/1.1 101 ")
        suite.run(*CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_our_client_passes_the_case(peer, case):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = subprocess.Popen([peer, "echo", "127.0.0.1:%d" % listening.getsockname()[1]])
        with listening.accept()[0] as connection:
            suite = Autobahn(connection, is_client=False)
            key = re.search(r"Sec-WebSocket-Key: (\S+)", suite.head()).group(1)
            accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
            connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            suite.run(*CASES[case])
        assert client.wait(TIMEOUT) == 0
