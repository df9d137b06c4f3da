# SPDX-License-Identifier: Apache-2.0
"""A client of applications: CONNECT to the proxy with a user's certificate, then TLS with the host that offers the application."""
import contextlib
import select
import socket
import ssl

from harness import TIMEOUT
from tcp_server import TcpServer


def certificate_of(user):
    """The files of a user who has logged in by tsh."""
    keys = user.home / ".tsh/keys" / user.cluster.proxy_addr.rsplit(":", 1)[0]
    return keys / f"{user.name}-x509.pem", keys / f"{user.name}.key"


def context_of(files, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    if files:
        context.load_cert_chain(*files)
    return context


class AppConnection:
    """
    A connection to an application. `status` and `text` are the proxy's answer; `refusal` is the reason of the host, None when the
    application's bytes follow; HTTP applications send no such reason. inner: files of the certificate for the host, if it is another one than for the proxy; () is none.
    announced: the SNI for the host. port: of an application with several ones, for the proxy.
    """

    def __init__(self, user, name, inner=None, head="", protocol="cteleport-tcp", announced="app", port=0):
        address, listening = user.cluster.proxy_addr.rsplit(":", 1)
        self.text, self.refusal = "", None
        raw = socket.create_connection((address, int(listening)), timeout=TIMEOUT)
        self.outer = context_of(certificate_of(user), "cteleport-ssh").wrap_socket(raw, server_hostname="teleport.cluster.local")
        self.outer.sendall(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\nX-Teleport-Kind: app\r\n{head}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (more := self.outer.recv(1)):
            answer += more
        self.head = answer.decode()
        self.status = int(answer.split()[1])
        if self.status != 200:
            while more := self.outer.recv(4096):
                self.text += more.decode()
            self.close()
            return
        self.host_id = next(line.split(": ")[1] for line in self.head.splitlines() if line.lower().startswith("x-teleport-host-id"))
        self.input, self.output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inner = context_of(certificate_of(user) if inner is None else inner, protocol).wrap_bio(self.input, self.output, server_hostname=announced)
        self.run(self.inner.do_handshake)
        self.certificate = self.inner.getpeercert(binary_form=True)
        if protocol == "http/1.1":
            return
        length = self.receive(1)
        if length != b"\0":
            self.refusal = self.receive(length[0]).decode() if length else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, operation, *args):
        """An operation of the inner TLS; b"" at the end of the connection."""
        while True:
            try:
                return operation(*args)
            except ssl.SSLWantReadError:
                self.flush()
                try:
                    more = self.outer.recv(16384)
                except (ssl.SSLError, ConnectionError):
                    more = b""
                if not more:
                    return b""
                self.input.write(more)
            except ssl.SSLError:  # the peer's close, or its alert
                return b""
            finally:
                self.flush()

    def flush(self):
        with contextlib.suppress(OSError):
            self.outer.sendall(self.output.read())

    def send(self, data):
        self.run(self.inner.write, data)

    def receive(self, size):
        """As many bytes, or fewer at the end."""
        data = b""
        while len(data) < size and (more := self.run(self.inner.read, size - len(data))):
            data += more
        return data

    def echoes(self, data=b"hello\n"):
        """Whether the application, which sends back what it gets, is there."""
        self.send(data)
        return self.receive(len(data)) == data

    def close(self):
        self.outer.close()


class LocalApp(TcpServer):
    """A local port of an HTTP application: plain HTTP here, TLS with the user's certificate to the host that offers it."""

    def __init__(self, user, name):
        self.user, self.name = user, name
        super().__init__()

    def serve(self, connection):
        with AppConnection(self.user, self.name, protocol="http/1.1") as app:
            if app.status != 200:
                connection.sendall(f"HTTP/1.1 {app.status} Refused\r\nConnection: close\r\n\r\n{app.text}".encode())
                return
            while self.pump(connection, app):
                pass

    @staticmethod
    def pump(connection, app):
        ready = [app.outer] if app.outer.pending() else select.select([connection, app.outer], [], [])[0]
        if connection in ready:
            data = connection.recv(65536)
            if not data:
                return False
            app.inner.write(data)
            app.flush()
        if app.outer in ready:
            try:
                more = app.outer.recv(65536)
            except ssl.SSLError:
                return False
            app.input.write(more)
            with contextlib.suppress(ssl.SSLWantReadError):
                while data := app.inner.read(65536):
                    connection.sendall(data)
                return False
            app.flush()
            return bool(more)
        return True
