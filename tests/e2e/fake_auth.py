# SPDX-License-Identifier: Apache-2.0
"""A gRPC server that plays a cluster's join service towards a real agent, honestly or not."""
import asyncio
import contextlib
import queue
import socket
import ssl
import tempfile
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import TIMEOUT
from join_client import (JOIN, LEGACY, SERVER_NAME, Peer, host_params, join_legacy, messages, pinned_ca, prove,
                         solution, split, token_init)
from signing import stand_in
from tcp_server import TcpServer, splice

CHALLENGE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def pem(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def server_certificate(*names):
    """(key, chain) in PEM for a server with these names, by an unknown CA."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = stand_in.make_certificate("an unknown CA", "an unknown CA", ca_key, ca_key, True)
    leaf = stand_in.make_certificate(names[0], "an unknown CA", key, ca_key, False, names)
    return pem(key), pem(leaf) + pem(ca)


class TlsFront:
    """Ends TLS, choosing the protocols that a proxy chooses, which grpcio cannot, and passes the bytes on to a port."""

    def __init__(self, port, key, chain):
        self.port = port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["teleport-proxy-grpc", "h2"])
        with tempfile.NamedTemporaryFile() as file:
            file.write(chain + key)
            file.flush()
            context.load_cert_chain(file.name)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context), self.loop).result()
        self.addr = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    async def serve(self, near, to_near):
        far, to_far = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(self.pump(near, to_far), self.pump(far, to_near))

    @staticmethod
    async def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)


class FakeAuth:
    """Answers each client up to the challenge and keeps the messages that it sent."""

    def __init__(self, key=None, chain=None, challenge=CHALLENGE):
        self.challenge = challenge
        if key is None:
            key, chain = server_certificate(SERVER_NAME)
        self.received = queue.SimpleQueue()
        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self])
        self.front = TlsFront(self.server.add_insecure_port("127.0.0.1:0"), key, chain)
        self.addr = self.front.addr

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.front.stop()
        self.server.stop(0)

    def service(self, call):
        """The handler of a method for grpcio; None: UNIMPLEMENTED."""
        if call.method != JOIN:
            return None
        j = messages().join
        return grpc.stream_stream_rpc_method_handler(self.join, j.JoinRequest.FromString, j.JoinResponse.SerializeToString)

    def join(self, requests, context):
        j = messages().join
        self.received.put(next(requests))
        yield j.JoinResponse(init=j.ServerInit(join_method="iam"))
        self.received.put(next(requests))
        yield j.JoinResponse(challenge=j.Challenge(iam_challenge=j.IAMChallenge(challenge=self.challenge)))
        self.received.put(next(requests))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "that was all this server wanted")

    def proof(self):
        """The signed request of the next solution."""
        while True:
            message = self.received.get(timeout=TIMEOUT)
            if message.WhichOneof("payload") == "solution":
                return message.solution.iam_challenge_solution.sts_identity_request


class OneService(FakeAuth):
    """Has one of the two join services, by `is_old`; join_legacy() serves the older one."""

    is_old = False

    def service(self, call):
        if call.method == LEGACY and self.is_old:
            m = messages().legacy
            return grpc.stream_stream_rpc_method_handler(self.join_legacy, m.RegisterUsingIAMMethodRequest.FromString,
                                                         m.RegisterUsingIAMMethodResponse.SerializeToString)
        return None if self.is_old else super().service(call)


class Certifier(OneService):
    """
    Leads a host through a join without passing any of it on: has the host's keys certified by `source`, a real cluster, by
    a proof with AWS credentials of its own (a host's proof is valid on the host's connection only) or a secret token,
    and answers with the result of `alter`.
    """

    def __init__(self, source, env, alter=lambda certificates: None, is_old=False, secret=None, **certificate):
        super().__init__(**certificate)
        self.source, self.env, self.alter, self.is_old, self.secret = source, env, alter, is_old, secret

    def certify(self, stream, params):
        if self.secret is None:
            return stream.send(solution(prove(self.env, stream.challenge(params)))).result()
        stream.begin(self.secret, method="token").receive()
        return stream.send(token_init(params)).result()

    def join(self, requests, context):
        j = messages().join
        next(requests)
        yield j.JoinResponse(init=j.ServerInit(join_method="iam"))
        params = next(requests).iam_init.client_params
        yield j.JoinResponse(challenge=j.Challenge(iam_challenge=j.IAMChallenge(challenge=CHALLENGE)))
        self.received.put(next(requests))
        with Peer(self.source) as peer:
            result = self.certify(peer.join(), params)
        self.alter(result.certificates)
        yield j.JoinResponse(result=j.Result(host_result=result))

    def join_legacy(self, requests, context):
        m = messages().legacy
        yield m.RegisterUsingIAMMethodResponse(challenge=CHALLENGE)
        request = next(requests)
        self.received.put(request)
        with Peer(self.source) as peer:
            stream = peer.legacy()
            request.sts_identity_request = prove(self.env, stream.receive().challenge)
            certs = stream.send(request).receive().certs
            stream.half_close()
        self.alter(certs)
        yield m.RegisterUsingIAMMethodResponse(certs=certs)


class CapturedProxy(Certifier):
    """The same with the certificate of a Proxy Service of the cluster. `elsewhere`: another cluster to certify the keys."""

    def __init__(self, cluster, env, alter=lambda certificates: None, elsewhere=None, is_old=False, secret=None):
        with Peer(cluster) as peer:
            identity = join_legacy(peer, env, "captured", role="Proxy")
        super().__init__(elsewhere or cluster, env, alter, is_old, secret, key=identity.key_pem,
                         chain=identity.cert_pem + pinned_ca(cluster.auth_addr, cluster.ca_pin))


class Relay(OneService):
    """
    A man in the middle: forwards the challenge of the real cluster to the host, and answers it with the host's proof. `keys`: to be certified instead of the host's; `name`: instead of the host's.
    """

    def __init__(self, cluster, key, chain, via="auth", keys=None, name=None, is_old=False):
        super().__init__(key, chain)
        self.cluster, self.via, self.keys, self.name, self.is_old = cluster, via, keys, name, is_old
        self.outcome = queue.SimpleQueue()  # certificates, or how auth refused them

    def ended(self, stream, context):
        """Receives the cluster's answer to the proof."""
        try:
            self.outcome.put(stream.receive())
        except grpc.RpcError as refused:
            self.outcome.put(refused)
        stream.half_close()
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "that was all this server wanted")

    def join(self, requests, context):
        j = messages().join
        next(requests)
        yield j.JoinResponse(init=j.ServerInit(join_method="iam"))
        params = next(requests).iam_init.client_params
        if self.keys:
            params = host_params(self.name or params.host_params.host_name, self.keys)
        elif self.name:
            params.host_params.host_name = self.name
        with Peer(self.cluster, self.via) as peer:
            stream = peer.join()
            yield j.JoinResponse(challenge=j.Challenge(iam_challenge=j.IAMChallenge(challenge=stream.challenge(params))))
            stream.send(next(requests))
            self.ended(stream, context)

    def join_legacy(self, requests, context):
        m = messages().legacy
        with Peer(self.cluster, self.via) as peer:
            stream = peer.legacy()
            yield m.RegisterUsingIAMMethodResponse(challenge=stream.receive().challenge)
            request = next(requests)
            if self.keys:
                tls, ssh = self.keys.public_texts()
                request.register_using_token_request.PublicTLSKey, request.register_using_token_request.PublicSSHKey = tls, ssh
            if self.name:
                request.register_using_token_request.NodeName = self.name
            stream.send(request)
            self.ended(stream, context)


class Splitter(TcpServer):
    """In front of a captured proxy, as a proxy does: forwards TLS for auth to the cluster, and the rest to `rest`."""

    def __init__(self, cluster, rest):
        self.cluster, self.rest = cluster, rest
        super().__init__()

    def serve(self, near):
        hello = near.recv(65536)
        with socket.create_connection(split(self.cluster.proxy_addr if b"teleport-auth@" in hello else self.rest.addr)) as far:
            far.sendall(hello)
            splice(near, far)
