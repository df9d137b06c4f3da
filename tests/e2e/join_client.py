# SPDX-License-Identifier: Apache-2.0
"""A joining host on other libraries than the project's: grpcio, protobuf, botocore and cryptography, message by message."""
import base64
import functools
import hashlib
import importlib
import pathlib
import queue
import socket
import ssl
import subprocess
import sys
import tempfile
import types
import uuid

import grpc
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from grpc_tools import protoc

from harness import TIMEOUT, wait_until
from tcp_server import TcpServer, splice

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
SERVER_NAME = "teleport.cluster.local"
JOIN = "/teleport.join.v1.JoinService/Join"
LEGACY = "/proto.JoinService/RegisterUsingIAMMethod"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
VERSION = (("version", "16.4.7"),)


@functools.cache
def messages():
    """The modules made of proto/*.proto: .join, .legacy, .api, .session, .web."""
    names = {"join": "join", "legacy": "join_legacy", "api": "api", "session": "session", "web": "web"}
    with tempfile.TemporaryDirectory() as out:
        files = [str(PROTO / f"{name}.proto") for name in (*names.values(), "common", "resource", "role")]
        assert protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", *files]) == 0
        sys.path.insert(0, out)
        try:
            return types.SimpleNamespace(**{short: importlib.import_module(f"{name}_pb2") for short, name in names.items()})
        finally:
            sys.path.remove(out)


# ---- reaching the cluster -----------------------------------------------------------------------------------

def split(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


@functools.cache
def tls_context(alpn, identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    if identity:
        with tempfile.NamedTemporaryFile() as file:
            file.write(identity.key_pem + identity.cert_pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def tls_connect(address, source="127.0.0.1", server_name=SERVER_NAME, alpn=("h2",), identity=None):
    """A TLS connection that believes any server; with an identity it shows that certificate."""
    context = tls_context(tuple(alpn), identity)
    plain = socket.create_connection(split(address), timeout=TIMEOUT, source_address=(source, 0))
    return context.wrap_socket(plain, server_hostname=server_name)


def pinned_ca(address, pin):
    """The CA (PEM) that the server sends behind its own certificate, believed because of its pin."""
    with tls_connect(address) as connection:
        for sent in connection._sslobj.get_unverified_chain():
            cert = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(sent.public_bytes()))
            spki = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            if "sha256:" + hashlib.sha256(spki).hexdigest() == pin:
                return cert.public_bytes(serialization.Encoding.PEM)
    raise AssertionError(f"{address} sends no CA with pin {pin}")


class Relay(TcpServer):
    """Forwards connections from a loopback address of the caller's choice, which grpcio cannot choose."""

    def __init__(self, target, source):
        self.target, self.source = split(target), (source, 0)
        super().__init__()

    def serve(self, near):
        with socket.create_connection(self.target, source_address=self.source) as far:
            splice(near, far)


class Peer:
    """auth or the proxy of a cluster, as grpcio sees it; with an identity it shows that certificate."""

    def __init__(self, cluster, via="auth", identity=None, source=None):
        self.cluster = cluster
        self.address = cluster.auth_addr if via == "auth" else cluster.proxy_addr
        self.relay = Relay(self.address, source) if source else None
        if self.relay:
            self.address = self.relay.addr
        self.ca = pinned_ca(self.address, cluster.ca_pin)
        key, cert = (identity.key_pem, identity.cert_pem) if identity else (None, None)
        self.channel = grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.ca, key, cert),
                                           options=[("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1),
                                                    ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        if self.relay:
            self.relay.close()

    def join(self, **how):
        return Stream(self, JOIN, messages().join.JoinResponse, **how)

    def legacy(self, **how):
        return Stream(self, LEGACY, messages().legacy.RegisterUsingIAMMethodResponse, **how)

    def stream(self, path, response):
        return Stream(self, path, response)

    def call(self, path, request=b"", response=bytes):
        """A unary call; bytes in and out by default."""
        done = self.channel.unary_unary(path, serialize, response if response is bytes else response.FromString)
        return done(request, timeout=TIMEOUT)

    def status(self, path, request=b""):
        """The status code with which a unary call ends."""
        try:
            self.call(path, request)
        except grpc.RpcError as refused:
            return refused.code()
        return grpc.StatusCode.OK


def serialize(message):
    return message if isinstance(message, bytes) else message.SerializeToString()


class Stream:
    """One call in both directions: send(), receive(), and how it ended."""

    def __init__(self, peer, path, response, metadata=VERSION, **how):
        self.peer, self.outgoing, self.sent, self.written = peer, queue.SimpleQueue(), 0, 0
        method = peer.channel.stream_stream(path, serialize, response.FromString)
        self.call = method(self.messages(), timeout=TIMEOUT, metadata=metadata, **how)

    def messages(self):
        """grpcio asks for the next one when it has written the one before."""
        for message in iter(self.outgoing.get, None):
            yield message
            self.written += 1

    def send(self, *sent):
        self.sent += len(sent)
        for message in sent:
            self.outgoing.put(message)
        return self

    def arrived(self):
        """All that was sent is at the server: it has answered a call that came behind it on the same connection."""
        wait_until(lambda: self.written == self.sent, "it is written")
        assert self.peer.status("/no.Service/Call") == grpc.StatusCode.UNIMPLEMENTED
        return self

    def half_close(self):
        self.outgoing.put(None)

    def receive(self):
        return next(self.call)

    def receive_order(self):
        """Of a TunnelsDown stream: the next end of a tunnel or peer. The addresses of applications come at the begin and after each change."""
        return next(down for down in self.call if not down.HasField("app_addresses"))

    def refusal(self):
        """The error that ends the stream; no certificates may precede it."""
        try:
            for message in self.call:
                assert message.WhichOneof("payload") != "result" if message.DESCRIPTOR.name == "JoinResponse" else not message.HasField("certs")
        except grpc.RpcError as refused:
            return refused
        finally:
            self.half_close()
        raise AssertionError("the stream ended without an error")

    # The parts of a join of the newer service, in their order.

    def begin(self, token="iam-token", role="Instance", method="iam", **more):
        return self.send(client_init(token, role, method, **more))

    def challenge(self, params=None, **begin):
        """Walks on to the challenge."""
        self.begin(**begin)
        assert self.receive().init.join_method == "iam"
        self.send(iam_init(params or host_params()))
        return self.receive().challenge.iam_challenge.challenge

    def result(self):
        answer = self.receive()
        assert answer.WhichOneof("payload") == "result"
        self.half_close()
        return answer.result.host_result


def audited(cluster, refused):
    """The audit event of a refusal, found by the request id that the joining host received."""
    request_id = refused.details().rsplit("(request ", 1)[1].split(")")[0]
    return wait_until(lambda: [e for e in cluster.events("instance.join") if e.get("request_id") == request_id], f"{request_id} is audited")[0]


# ---- messages of a host -----------------------------------------------------------------------------------------

def client_init(token="iam-token", role="Instance", method="iam", **more):
    j = messages().join
    return j.JoinRequest(client_init=j.ClientInit(token_name=token, system_role=role, join_method=method, **more))


def host_params(name="web-1", keys=None, principals=(), dns_names=()):
    j = messages().join
    tls, ssh = (keys or Keys()).public()
    return j.ClientParams(host_params=j.HostParams(public_keys=j.PublicKeys(public_tls_key=tls, public_ssh_key=ssh), host_name=name,
                                                   additional_principals=principals, dns_names=dns_names))


def iam_init(params):
    j = messages().join
    return j.JoinRequest(iam_init=j.IAMInit(client_params=params))


def token_init(params):
    j = messages().join
    return j.JoinRequest(token_init=j.TokenInit(client_params=params))


def solution(proof):
    j = messages().join
    return j.JoinRequest(solution=j.ChallengeSolution(iam_challenge_solution=j.IAMChallengeSolution(sts_identity_request=proof)))


def giving_up(reason="REASON_CHALLENGE_SOLUTION_FAILED", text="no credentials"):
    j = messages().join
    return j.JoinRequest(giving_up=j.GivingUp(reason=j.GivingUp.Reason.Value(reason), msg=text))


def legacy_request(proof, name="web-1", token="iam-token", role="Node", host_id=None, keys=None, **more):
    m = messages().legacy
    tls, ssh = (keys or Keys()).public_texts()
    request = m.RegisterUsingTokenRequest(HostID=str(uuid.uuid4()) if host_id is None else host_id, NodeName=name, Role=role, Token=token,
                                          PublicTLSKey=tls, PublicSSHKey=ssh, **more)
    return m.RegisterUsingIAMMethodRequest(register_using_token_request=request, sts_identity_request=proof)


def prove(env, challenge, host="sts.us-east-1.amazonaws.com", region="us-east-1"):
    """The GetCallerIdentity request for the challenge, signed by botocore, as bytes."""
    request = AWSRequest("POST", f"https://{host}/", data=BODY, headers={
        "Host": host, "Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Content-Length": str(len(BODY)), "X-Teleport-Challenge": challenge})
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    SigV4Auth(credentials, "sts", region).add_auth(request)
    lines = ["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY


# ---- keys and certificates ------------------------------------------------------------------------------------

class Keys:
    """A key for TLS and one for SSH; others than usual may be given."""

    def __init__(self, tls=None, ssh=None):
        self.tls = ec.generate_private_key(ec.SECP256R1()) if tls is None else tls
        self.ssh = ed25519.Ed25519PrivateKey.generate() if ssh is None else ssh

    def public(self):
        """DER and SSH wire form; bytes that were given go as they are."""
        tls = self.tls if isinstance(self.tls, bytes) else self.tls.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ssh = self.ssh if isinstance(self.ssh, bytes) else base64.b64decode(self.ssh_line().split()[1])
        return tls, ssh

    def public_texts(self):
        """PEM and authorized_keys line."""
        tls = self.tls if isinstance(self.tls, bytes) else self.tls.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return tls, self.ssh if isinstance(self.ssh, bytes) else self.ssh_line() + b"\n"

    def private_pem(self):
        return self.tls.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def ssh_line(self):
        return self.ssh.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


class Identity:
    """The certificates of a join, verified for these keys and CAs."""

    def __init__(self, keys, tls_cert, tls_cas, ssh_cert, ssh_cas):
        self.cert = tls_cert
        self.key_pem = keys.private_pem()
        self.cert_pem = tls_cert.public_bytes(serialization.Encoding.PEM)
        assert tls_cert.public_key().public_numbers() == keys.tls.public_key().public_numbers(), "the X.509 certificate is for another key"
        assert any(is_issued_by(tls_cert, ca) for ca in tls_cas), "no CA of the answer issued the X.509 certificate"
        self.principals = []
        if not ssh_cert:  # nodes alone run an SSH server
            assert self.names["O"] != ["Node"]
            return
        assert self.names["O"] == ["Node"], "an SSH certificate for a host that is no node"
        shown = ssh_keygen(ssh_cert)  # which also verifies the signature
        assert "host certificate" in shown["Type"]
        assert fingerprint(keys.ssh_line()) in shown["Public key"], "the SSH certificate is for another key"
        assert any(fingerprint(ca) in shown["Signing CA"] for ca in ssh_cas), "no CA of the answer issued the SSH certificate"
        self.principals = shown["Principals"].split()

    @classmethod
    def of_join(cls, keys, certificates):
        return cls(keys, x509.load_der_x509_certificate(certificates.tls_cert), map(x509.load_der_x509_certificate, certificates.tls_ca_certs),
                   certificates.ssh_cert and ssh_line(certificates.ssh_cert), [ssh_line(ca) for ca in certificates.ssh_ca_keys])

    @classmethod
    def of_legacy(cls, keys, certs):
        return cls(keys, x509.load_pem_x509_certificate(certs.TLS), map(x509.load_pem_x509_certificate, certs.TLSCACerts), certs.SSH, certs.SSHCACerts)

    @property
    def sans(self):
        """The DNS names and addresses of the X.509 certificate."""
        return {str(name.value) for name in self.cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}

    @property
    def names(self):
        """{"O": role, "CN": …, OID: [values]} of the subject, all values as lists."""
        found = {}
        for attribute in self.cert.subject:
            found.setdefault(attribute.rfc4514_attribute_name, []).append(attribute.value)
        return found


def ssh_line(wire):
    length = int.from_bytes(wire[:4], "big")
    return wire[4:4 + length] + b" " + base64.b64encode(wire)


def fingerprint(line):
    """As ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(line.split()[1])).digest()).decode().rstrip("=")


def ssh_keygen(cert):
    """The fields that `ssh-keygen -L` prints of a certificate, {"Type": …, "Principals": …}; lists are joined by blanks."""
    done = subprocess.run(["ssh-keygen", "-L", "-f", "-"], input=cert, capture_output=True, check=True)
    found, key = {}, None
    for line in done.stdout.decode().splitlines()[1:]:
        if not line.startswith(" " * 16):
            key, _, line = line.strip().partition(": ")
            key = key.rstrip(":")
        found[key] = f"{found.get(key, '')} {line.strip()}".strip()
    return found


def is_issued_by(cert, ca):
    key = ca.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(), cert.signature_hash_algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes)
        else:
            key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except Exception:  # noqa: BLE001: InvalidSignature or a key of another kind, it is all a no
        return False
    return cert.issuer == ca.subject


def join(peer, env, name="web-1", keys=None, **begin):
    """A whole join of the newer service; (host ID, identity)."""
    keys = keys or Keys()
    stream = peer.join()
    challenge = stream.challenge(host_params(name, keys), **begin)
    result = stream.send(solution(prove(env, challenge))).result()
    return result.host_id, Identity.of_join(keys, result.certificates)


def join_legacy(peer, env, name="web-1", keys=None, **request):
    """A whole join of the older service; the identity."""
    keys = keys or Keys()
    stream = peer.legacy()
    proof = prove(env, stream.receive().challenge)
    certs = stream.send(legacy_request(proof, name, keys=keys, **request)).receive().certs
    stream.half_close()
    return Identity.of_legacy(keys, certs)


def generate_host_certs(peer, role, keys=None, **names):
    """GenerateHostCerts: the identity, or the refusal."""
    keys = keys or Keys()
    tls, ssh = keys.public()
    api = messages().api
    try:
        answer = peer.call("/cteleport.v1.HostService/GenerateHostCerts",
                           api.HostCertsRequest(role=role, host_name="web-1", public_tls_key=tls, public_ssh_key=ssh, **names), api.HostCertsResponse)
    except grpc.RpcError as refusal:
        return refusal
    return Identity.of_join(keys, answer.certificates)
