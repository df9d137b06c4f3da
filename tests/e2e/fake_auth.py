# SPDX-License-Identifier: Apache-2.0
"""A gRPC server that plays a cluster's join service towards a real agent, honestly or not."""
import queue
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import PATIENCE
from join_client import JOIN, SERVER_NAME, messages
from signing import stand_in

CHALLENGE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def pem(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def server_certificate(*names):
    """(key, chain) in PEM for a server with these names, by a CA that nobody knows."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = stand_in.make_certificate("an unknown CA", "an unknown CA", ca_key, ca_key, True)
    leaf = stand_in.make_certificate(names[0], "an unknown CA", key, ca_key, False, names)
    return pem(key), pem(leaf) + pem(ca)


class FakeAuth:
    """Leads whoever comes to the challenge and keeps what they say."""

    def __init__(self, key=None, chain=None):
        if key is None:
            key, chain = server_certificate(SERVER_NAME)
        self.received = queue.SimpleQueue()
        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self])
        port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
        self.addr = f"127.0.0.1:{port}"

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(0)

    def service(self, call):
        """The handler of a method, as grpcio asks for it; None: UNIMPLEMENTED."""
        if call.method != JOIN:
            return None
        j = messages().join
        return grpc.stream_stream_rpc_method_handler(self.join, j.JoinRequest.FromString, j.JoinResponse.SerializeToString)

    def join(self, requests, context):
        j = messages().join
        self.received.put(next(requests))
        yield j.JoinResponse(init=j.ServerInit(join_method="iam"))
        self.received.put(next(requests))
        yield j.JoinResponse(challenge=j.Challenge(iam_challenge=j.IAMChallenge(challenge=CHALLENGE)))
        self.received.put(next(requests))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "that was all this server wanted")

    def proof(self):
        """The signed request of the next solution."""
        while True:
            message = self.received.get(timeout=PATIENCE)
            if message.WhichOneof("payload") == "solution":
                return message.solution.iam_challenge_solution.sts_identity_request
