# SPDX-License-Identifier: Apache-2.0
"""Captured `ssh` process and proxy: the keys in their memory, and the effect of false answers."""
import base64
import datetime
import hashlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import struct
import subprocess
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness import TIMEOUT, program, wait_until
from join_client import messages

# ---- keys in memory ---------------------------------------------------------------------------------------------


SHADOW = 1 << 30  # a larger mapping is a sanitizer's: it marks usable bytes, and has no data


def memory_of(pid):
    """Everything that the process has mapped and may write: its own data, not its programs' files. It is stopped meanwhile, so that mappings stay."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "it has stopped")
        return read_memory(pid)
    finally:
        os.kill(pid, signal.SIGCONT)


def read_memory(pid):
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if rights.startswith("rw"):
                begin, end = int(begin, 16), int(end, 16)
                if end - begin > SHADOW:
                    continue
                memory.seek(begin)
                found.append(memory.read(end - begin))
    return b"\0".join(found)


def lines_of_pem(pem):
    return [line.encode() for line in pem.split("\n") if len(line) == 64 or line.startswith("M")]


def ssh_key_forms(text):
    """An Ed25519 key as it may lie in memory: its seed, PKCS#8 as PEM, and sshd's file."""
    raw = base64.b64decode("".join(text.splitlines()[1:-1]))
    public = raw[raw.index(b"ssh-ed25519") + 15:][:32]
    seed = raw[:raw.rindex(public)][-32:]
    pkcs8 = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed)
    return [seed, pkcs8[24:], "".join(text.splitlines()[3:4]).encode()]


def test_the_host_key_is_in_no_network_process(access):
    host_key = (access.web.data_dir / "proc/ssh/host_key").read_text()
    identity = json.loads((access.web.data_dir / "proc/ids/node.json").read_text())
    tls_key = lines_of_pem(identity["spec"]["tls_key"])
    held = memory_of(access.web.process.children()["ssh"])
    assert any(line in held for line in tls_key), "what it uses it has, and this test would find it"
    for form in ssh_key_forms(host_key):
        assert form not in held
    assert b"ssh-ed25519-cert-v01@openssh.com" not in held, "nor the certificate of that key"


def test_the_proxy_holds_no_key_for_ssh(access):
    held = memory_of(access.process.children()["proxy"])
    found = re.findall(rb"-----BEGIN (?:OPENSSH )?PRIVATE KEY-----\n([^-]+)", held)
    assert found, "it has a key of its own"
    assert not [text for text in found if text.startswith((b"MC4CAQAwBQYDK2Vw", b"b3BlbnNzaC1rZXk"))], "an Ed25519 key"


# ---- answers of the ssh process to sshd's program -----------------------------------------------------------------

HOST = "11111111-1111-4111-8111-111111111111"
LOGIN, CERTIFICATE = "root", b"a certificate of a user"
PTY, PORTS, AGENT = 1, 2, 4
CONTEXT = b"cteleport, Auth Service to sshd: this certificate may log in, version 1\0"
SHA256 = ec.ECDSA(hashes.SHA256())


def der(thing):
    return thing.public_bytes(serialization.Encoding.DER)


class Authority:
    """A host CA with its own Auth Service, and the permits of that service."""

    def __init__(self):
        self.ca_key, self.key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "example.test"), x509.NameAttribute(NameOID.COMMON_NAME, "example.test")])
        self.ca = self.certify(self.name, self.ca_key, x509.BasicConstraints(True, 0), [])
        self.cert = self.of_role("Auth", self.key)
        spki = self.ca_key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.pin = "sha256:" + hashlib.sha256(spki).hexdigest()

    def certify(self, subject, key, basic, usages):
        now = datetime.datetime.utcnow()
        built = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key()).serial_number(x509.random_serial_number() >> 40)
                 .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(hours=1)).add_extension(basic, True)
                 .add_extension(x509.KeyUsage(not basic.ca, False, False, False, False, basic.ca, basic.ca, False, False), True))
        if usages:
            built = built.add_extension(x509.ExtendedKeyUsage(usages), False)
        return built.sign(self.ca_key, hashes.SHA256())

    def of_role(self, role, key):
        cluster = x509.NameAttribute(x509.ObjectIdentifier("1.3.9999.1.7"), "example.test")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{HOST}.example.test"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, role), cluster])
        return self.certify(subject, key, x509.BasicConstraints(False, None), [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])

    def permit(self, asked, permits=PTY, key=None, cert=None, ca=None, **other):
        said = {"connection": asked.connection_id, "host": HOST, "login": asked.login, "certificate": asked.certificate, "nonce": asked.nonce, **other}
        text = b"".join(struct.pack(">I", len(said[name])) + said[name].encode() for name in ("connection", "host", "login"))
        statement = CONTEXT + text + hashlib.sha256(said["certificate"]).digest() + struct.pack(">I", permits) + said["nonce"]
        return messages().session.Permit(permits=permits, signature=(key or self.key).sign(statement, SHA256), signer_cert=der(cert or self.cert),
                                         signer_ca=der(ca or self.ca))


def frame(message):
    return struct.pack(">I", message.ByteSize()) + message.SerializeToString()


class CapturedSsh:
    """Listens at the socket of the ssh process, as root, with answers of the test."""

    def __init__(self, programs, user, *more):
        self.name = f"cteleport-test-{uuid.uuid4().hex}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind("\0" + self.name)
        self.listener.listen()
        self.listener.settimeout(TIMEOUT)
        self.connection = str(uuid.uuid4())
        args = [program(programs, "teleport"), "ssh-authorize", f"--socket={self.name}", f"--connection={self.connection}", *more, LOGIN,
                base64.b64encode(CERTIFICATE).decode()]
        self.sshds = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, user=user, group=pwd.getpwnam(user).pw_gid, extra_groups=[],
                                      env={"PATH": "/usr/bin"}, cwd="/")
        self.peer = self.listener.accept()[0]
        self.peer.settimeout(TIMEOUT)
        size = struct.unpack(">I", self.peer.recv(4, socket.MSG_WAITALL))[0]
        self.asked = messages().session.HelperUp.FromString(self.peer.recv(size, socket.MSG_WAITALL)).authorize

    def answer(self, answer):
        """The result for sshd and its log: (code, stdout, stderr)."""
        down = answer if isinstance(answer, bytes) else frame(messages().session.HelperDown(permit=answer))
        self.peer.sendall(down)
        out, err = self.sshds.communicate(timeout=TIMEOUT)
        self.peer.close()
        self.listener.close()
        # A build that counts coverage cannot write its counters as this user, and prints an error.
        said = "".join(line for line in err.decode().splitlines(True) if not line.startswith("profiling:"))
        return self.sshds.returncode, out.decode(), said


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def captured(programs, authority, account):
    """captured(*arguments): a program of sshd that sends requests to the test."""
    return lambda *more: CapturedSsh(programs, account.pw_name, f"--host={HOST}", f"--ca={authority.pin}", *more)


def refused(result):
    code, out, err = result
    assert code == 1 and out == "", "sshd gets no byte"
    return err


def test_sshd_gets_a_line_from_a_signed_answer(captured, authority):
    helper = captured()
    assert (helper.asked.login, helper.asked.certificate, len(helper.asked.nonce)) == (LOGIN, CERTIFICATE, 32)
    assert helper.answer(authority.permit(helper.asked, PTY | AGENT)) == (0, "restrict,pty,agent-forwarding root\n", "")
    helper = captured("--no-port-forwarding")
    assert helper.answer(authority.permit(helper.asked, PORTS))[1] == "restrict root\n", "what the node forbids is the node's own"


@pytest.mark.parametrize("change", [{"login": "nobody"}, {"connection": HOST}, {"host": HOST.replace("1", "2")}, {"certificate": b"another"},
                                    {"nonce": bytes(32)}], ids=lambda change: next(iter(change)))
def test_an_answer_signed_for_another_login_is_refused(captured, authority, change):
    helper = captured()
    assert "signature" in refused(helper.answer(authority.permit(helper.asked, **change)))


def test_an_answer_is_good_once(captured, authority):
    first, second = captured(), captured()
    good = authority.permit(first.asked)
    assert first.answer(good)[0] == 0
    refused(second.answer(good))


def test_a_captured_ssh_process_can_sign_nothing(captured, authority):
    """With all that it has: the key and the certificate of role Node, by the true CA; and a CA of its own."""
    own = Authority()
    node = ec.generate_private_key(ec.SECP256R1())
    forged = {
        "no signature": lambda asked: messages().session.Permit(permits=PTY),
        "more than was signed": lambda asked: merged(authority.permit(asked), permits=PTY | PORTS | AGENT),
        "its own role": lambda asked: authority.permit(asked, key=node, cert=authority.of_role("Node", node)),
        "a proxy's role": lambda asked: authority.permit(asked, key=node, cert=authority.of_role("Proxy", node)),
        "the true certificate, its own key": lambda asked: authority.permit(asked, key=node),
        "a CA of its own": own.permit,
        "its own certificate, the true CA": lambda asked: own.permit(asked, ca=authority.ca),
        "flags that are none": lambda asked: authority.permit(asked, permits=1 << 20),
    }
    for what, make in forged.items():
        helper = captured()
        assert refused(helper.answer(make(helper.asked))), what


def merged(permit, **more):
    permit.MergeFrom(messages().session.Permit(**more))
    return permit


def test_no_text_of_a_captured_ssh_process_reaches_sshd(captured):
    """The lines of older versions, and every other message that has text."""
    evil = 'cert-authority,command="/bin/sh" ssh-ed25519 AAAA\nroot\n'
    s = messages().session
    lines = evil.encode()
    old = b"\x0a" + bytes([len(lines) + 2]) + b"\x0a" + bytes([len(lines)]) + lines  # principals { lines }
    answers = [struct.pack(">I", len(old)) + old, frame(s.HelperDown(refusal=s.Refusal(text=evil))), frame(s.HelperDown(end=s.End(text=evil))),
               frame(s.HelperDown(notice=s.Notice(text=evil))), frame(s.HelperDown(approval=s.Approval(user=evil))), b"\xff\xff\xff\xff", b"\0\0\0\1\xff"]
    for answer in answers:
        assert "cert-authority" not in refused(captured().answer(answer))


POLL = ("7", "271", "73")  # poll, ppoll of x86-64; ppoll of arm64


def test_ssh_authorize_is_sandboxed_before_it_reads_an_answer(captured, authority):
    """It prepares itself while it waits for the answer, and reads nothing before it is prepared."""
    helper = captured()

    def status():
        return dict(re.findall(r"^(\w+):[ \t]*(.*)$", pathlib.Path(f"/proc/{helper.sshds.pid}/status").read_text(), re.M))

    call = pathlib.Path(f"/proc/{helper.sshds.pid}/syscall")
    wait_until(lambda: call.read_text().split()[0] in POLL, "it awaits the answer")
    status = status()
    assert status["NoNewPrivs"] == "1" and "0" not in status["Uid"].split() and int(status["CapPrm"], 16) == 0
    held = [os.readlink(link) for link in pathlib.Path(f"/proc/{helper.sshds.pid}/fd").iterdir()]
    kinds = sorted(what.split(":")[0] for what in held if what != os.readlink("/proc/self/fd/0"))
    assert kinds == ["pipe", "pipe", "socket"], "sshd's two pipes, and the socket it asks on"
    is_sanitized = b"__asan_init" in pathlib.Path(f"/proc/{helper.sshds.pid}/exe").read_bytes()
    assert status["Seccomp"] == ("0" if is_sanitized else "2")
    helper.answer(authority.permit(helper.asked))
