# SPDX-License-Identifier: Apache-2.0
"""Our WebSocket against that of python3-websockets, each as client and as server."""
import asyncio
import os
import subprocess

import pytest
import websockets

from harness import TIMEOUT

DATA = os.urandom(700_000)


@pytest.fixture
def peer(build):
    return next(path for path in build.rglob("websocket_peer") if path.is_file())


@pytest.fixture
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
