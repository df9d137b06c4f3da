# SPDX-License-Identifier: Apache-2.0
"""A load balancer that ends TLS and is an attacker: it reads everything that passes it, and changes, cuts, repeats or reorders it."""
import asyncio
import base64
import contextlib
import ssl
import subprocess
import threading

import pytest

from boxes import NAME, certificate
from harness import TIMEOUT, Cluster, iam_token, program, read_line, wait_until
from join_client import split
from upgraded import BINARY, PATH, websocket_frame
from users import User, invite_url


class Carried:
    """An upgraded connection: the payloads seen each way, {is_reply: bytes}; harm(is_reply, number, payload): the payloads sent in place of one, None: the end."""

    def __init__(self, harm):
        self.seen, self.harm, self.is_open = {False: bytearray(), True: bytearray()}, harm, True


class Hostile:
    """Ends TLS, passes requests on to .target, and keeps all it sees; `harm`: of the connections that are upgraded from now on."""

    def __init__(self, directory):
        self.target = self.harm = None
        self.heads, self.carried = bytearray(), []
        chain, _, self.ca = certificate(directory)
        near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        near.load_cert_chain(chain)
        self.far = ssl.create_default_context()
        self.far.check_hostname, self.far.verify_mode = False, ssl.CERT_NONE
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.wait(asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=near))
        self.addr = f"{NAME}:{self.server.sockets[0].getsockname()[1]}"

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    async def end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        self.wait(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        self.loop.close()

    def open(self):
        return [one for one in self.carried if one.is_open]

    async def pass_on(self, reading, sink):
        data = await reading
        self.heads += data
        sink.write(data)
        return data

    async def serve(self, near, to_near):
        with contextlib.suppress(OSError, EOFError):
            far, to_far = await asyncio.open_connection(*self.target, ssl=self.far)
            head = await self.pass_on(near.readuntil(b"\r\n\r\n"), to_far)
            await self.pass_on(far.readuntil(b"\r\n\r\n"), to_near)
            if head.startswith(f"GET {PATH} ".encode()):
                self.carried.append(one := Carried(self.harm))
                await asyncio.gather(self.frames(one, near, to_far, False), self.frames(one, far, to_near, True))
                one.is_open = False
            else:
                await self.pass_on(far.read(), to_near)
        to_near.close()

    async def frames(self, one, source, sink, is_reply):
        number = 0
        with contextlib.suppress(OSError, EOFError):
            while True:
                first, size = await source.readexactly(2)
                is_masked, size = size & 0x80, size & 0x7F
                if size > 125:
                    size = int.from_bytes(await source.readexactly(2 if size == 126 else 8), "big")
                key = await source.readexactly(4) if is_masked else bytes(4)
                payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(await source.readexactly(size)))
                is_data = first & 0x0F == BINARY
                if is_data:
                    one.seen[is_reply] += payload
                for part in one.harm(is_reply, number, payload) if one.harm and is_data else [payload]:
                    if part is None:
                        raise EOFError
                    sink.write(websocket_frame(first & 0x0F, part, mask=is_masked))
                number += is_data
        sink.close()


@pytest.fixture(scope="module")
def front(programs, aws_process, tmp_path_factory):
    """The load balancer, in front of .cluster; .trust: the environment of clients that believe it."""
    directory = tmp_path_factory.mktemp("front")
    front = Hostile(directory / "certificates")
    front.trust = {"SSL_CERT_FILE": str(front.ca)}
    front.cluster = Cluster(programs, aws_process, directory / "cluster")
    front.cluster.config["proxy_service"]["public_addr"] = front.addr
    front.cluster.start()
    front.target = split(front.cluster.proxy_addr)
    front.cluster.create(iam_token())
    yield front
    front.cluster.stop()
    front.close()


def host_behind(front, name, instance=0):
    env = {**front.cluster.aws.identity(f"arn:aws:sts::123456789012:assumed-role/web/i-{instance:017x}"), **front.trust}
    return front.cluster.host(name, env=env, insecure=False, teleport={"proxy_server": front.addr})


@pytest.fixture(scope="module")
def web(front):
    """A node that has joined through it, and its user .alice, who has logged in through it."""
    host = host_behind(front, "web-1").start()
    host.wait_reachable()
    words = front.cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
    host.alice = User(front.cluster, "alice", front.cluster.dir / "home-alice").accept(invite_url(words))
    host.alice.env.update(front.trust)
    host.alice.tsh("login", f"--proxy={front.addr}", "--user=alice", stdin=f"{host.alice.password}\n{host.alice.otp()}\n")
    return host


# ---- what it sees ------------------------------------------------------------------------------------------------

HANDSHAKE, CHANGE_CIPHER_SPEC, ENCRYPTED = 22, 20, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2


def records(data):
    """(type, content) of the TLS records in a stream; the last may be incomplete."""
    while len(data) >= 5:
        size = int.from_bytes(data[3:5], "big")
        yield data[0], bytes(data[5:5 + size])
        data = data[5 + size:]


def forms_of(certificate):
    """The certificate in DER and PEM, whole, and its last bytes, which are its signature."""
    text = certificate.decode("latin-1")
    der = ssl.PEM_cert_to_DER_cert(text) if text.startswith("-----BEGIN") else certificate
    return [der, der[-32:], base64.b64encode(der), ssl.DER_cert_to_PEM_cert(der).encode()]


def test_a_load_balancer_sees_no_secret_of_joins_and_sessions(front, web):
    assert web.alice.tsh("ssh", "--no-mux", "root@web-1", "echo a text of the session").out == "a text of the session\n"
    headers = {name.lower(): value for name, value in front.cluster.aws.requests()[-1]["headers"]}
    secret = {"token": b"iam-token", "host ID": web.host_id.encode(), "role of the host": b"Instance", "role of the user": b"access",
              "name of the host": b"web-1", "session": b"a text of the session", "challenge": headers["x-teleport-challenge"].encode(),
              "signature": headers["authorization"].rsplit("=", 1)[1].encode(), "password": web.alice.password.encode()}
    keys = web.alice.home / ".tsh" / "keys"
    ssh = base64.b64decode(next(keys.rglob("*-cert.pub")).read_text().split()[1])
    node, instance, user = web.identity("node"), web.identity(), next(keys.rglob("alice-x509.pem")).read_bytes()
    for owner, x509 in (("node", node["tls_cert"]), ("instance", instance["tls_cert"]), ("user", user)):
        secret |= {f"certificate of the {owner}, {n}": form for n, form in enumerate(forms_of(x509))}
    for owner, wire in (("node", node["ssh_cert"]), ("user", ssh)):
        secret |= {f"SSH certificate of the {owner}": wire, f"SSH certificate of the {owner} in text": base64.b64encode(wire)}
    assert min(len(value) for value in secret.values()) > 4
    assert len(front.carried) >= 4, "join, tunnel, login and session"
    seen = bytes(front.heads) + b"".join(bytes(data) for one in front.carried for data in one.seen.values())
    assert [name for name, value in secret.items() if value in seen] == []
    for one in front.carried:
        for is_reply, hello in ((False, CLIENT_HELLO), (True, SERVER_HELLO)):
            (first, content), *others = records(one.seen[is_reply])
            assert first == HANDSHAKE and content[0] == hello
            assert {kind for kind, _ in others} <= {CHANGE_CIPHER_SPEC, ENCRYPTED}
    # What it must see: requests, the public host CA, and the server name of the handshake.
    for public in (PATH.encode(), b"BEGIN CERTIFICATE", b"teleport.cluster.local"):
        assert public in seen


# ---- what it can change -------------------------------------------------------------------------------------------


def flip_last(payload):
    return payload[:-1] + bytes([payload[-1] ^ 1])


ONLY_TLS13, ONLY_TLS12 = b"\x00\x2b\x00\x03\x02\x03\x04", b"\x00\x2b\x00\x03\x02\x03\x03"
HARMS = {
    "tampered answer": lambda is_reply, number, payload: [flip_last(payload) if is_reply and number == 0 else payload],
    "tampered request": lambda is_reply, number, payload: [payload if is_reply or number else flip_last(payload)],
    "truncated": lambda is_reply, number, payload: [payload[:100], None] if is_reply and number == 0 else [payload],
    "replayed": lambda is_reply, number, payload: [payload] * (2 if is_reply and number == 0 else 1),
    "reordered": lambda is_reply, number, payload: [payload[200:], payload[:200]] if is_reply and number == 0 else [payload],
    "downgraded": lambda is_reply, number, payload: [payload if is_reply else payload.replace(ONLY_TLS13, ONLY_TLS12)],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_load_balancer_achieves_a_refused_connection_only(front, harm):
    upgrades, front.harm = len(front.carried), HARMS[harm]
    name = harm.replace(" ", "-")
    host = host_behind(front, name, 1 + list(HARMS).index(harm)).start()
    host.process.wait_for("Can not join the cluster as Instance")
    assert len(front.carried) > upgrades and not (host.data_dir / "host_uuid").exists()
    assert front.cluster.node(name) is None
    front.harm = None
    host.wait_joined()
    host.stop()


class Later:
    """Harm to an open connection: once, to the next frame in one direction, or to the next two of them; `begun` is set then."""

    def __init__(self, kind, is_reply, begun):
        self.kind, self.is_reply, self.begun = kind, is_reply, begun
        self.held, self.is_over = None, False

    def __call__(self, is_reply, number, payload):
        if is_reply != self.is_reply or self.is_over or number < 3:
            return [payload]
        self.begun.set()
        if self.kind == "swapped" and self.held is None:
            self.held = payload
            return []
        self.is_over = True
        return {"tampered": [flip_last(payload)], "replayed": [payload, payload], "truncated": [payload[:len(payload) // 2], None],
                "swapped": [payload, self.held]}[self.kind]


# Which way the frame goes that is harmed: towards the node, or back.
MIDWAY = {"tampered": False, "replayed": True, "swapped": True, "truncated": False}


@pytest.mark.parametrize("kind", MIDWAY)
@pytest.mark.parametrize("where", ["session", "tunnel"])
def test_harm_to_an_open_connection_ends_it_without_wrong_output(front, web, where, kind):
    before, begun = front.open(), threading.Event()
    tsh = subprocess.Popen([program(front.cluster.build, "tsh"), "ssh", "--no-mux", "root@web-1", "cat"], bufsize=0, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=web.alice.env)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tsh)
        stack.callback(tsh.kill)
        tsh.stdin.write(b"1\n")
        assert read_line(tsh.stdout) == b"1\n"
        web.process.mark()
        for one in before if where == "tunnel" else [one for one in front.open() if one not in before]:
            # The user sends requests towards the node; in the tunnel the proxy sends, and its frames are replies.
            one.harm = Later(kind, MIDWAY[kind] == (where == "tunnel"), begun)
        with contextlib.suppress(BrokenPipeError):
            tsh.stdin.write(b"2\n")
            assert begun.wait(TIMEOUT)
            tsh.stdin.write(b"3\n")
        out, err = tsh.communicate(timeout=TIMEOUT)
    assert tsh.returncode != 0 and b"2\n3\n".startswith(out), (out, err)
    if where == "tunnel":
        web.process.wait_for("A reverse tunnel is lost")
        web.process.wait_for("Reverse tunnel established")
    wait_until(lambda: web.alice.tsh("ssh", "--no-mux", "root@web-1", "echo back", check=False).out == "back\n", "web-1 is reached again")
