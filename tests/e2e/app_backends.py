# SPDX-License-Identifier: Apache-2.0
"""Backends of HTTP applications: nginx, Apache, a WebSocket server, and one that answers with any bytes and keeps what it was sent."""
import asyncio
import pathlib
import queue
import tempfile
import threading

import websockets

from balancers import Balancer, text_of
from fake_auth import server_certificate
from harness import TIMEOUT, reserved_port
from tcp_server import TcpServer


class Nginx(Balancer):
    """Serves the files of .root, and takes uploads (PUT) there. Sets .addr."""

    def start(self, user="root"):
        self.root = self.dir / "files"
        self.root.mkdir()
        held = reserved_port()
        self.addr = text_of(held)
        config = self.dir / "nginx.conf"
        config.write_text(f"""daemon off; user {user}; worker_processes 1; pid {self.dir}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log {self.dir}/access.log;
  client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy; fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  client_max_body_size 0;
  server {{
    listen {self.addr};
    root {self.root};
    location /upload/ {{ dav_methods PUT; create_full_put_path on; client_body_in_file_only off; }}
    location /headers {{ return 200 "$http_x_forwarded_for $http_x_forwarded_host $http_x_real_ip"; }}
  }}
}}
""")
        with held:
            return self.run(["/usr/sbin/nginx", "-c", str(config), "-p", str(self.dir)], [held.getsockname()])


class Apache(Balancer):
    """Serves the files of .root over TLS. Sets .addr and .ca, the file of its certificate."""

    def start(self, name="localhost"):
        self.public = tempfile.TemporaryDirectory(prefix="ct-apache-")  # its workers are not root
        self.root = pathlib.Path(self.public.name)
        self.root.chmod(0o755)
        key, chain = server_certificate(name)
        self.ca = self.dir / "cert.pem"
        self.ca.write_bytes(chain)
        (self.dir / "key.pem").write_bytes(key)
        held = reserved_port()
        self.addr = text_of(held)
        modules = pathlib.Path("/usr/lib/apache2/modules")
        names = [name for name in ("mpm_event", "authz_core", "ssl", "socache_shmcb", "dir", "mime") if (modules / f"mod_{name}.so").exists()]
        config = self.dir / "httpd.conf"
        config.write_text("\n".join([f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names] + [
            f"ServerRoot {self.dir}", f"Listen {self.addr}", "ServerName localhost", f"PidFile {self.dir}/pid", f"ErrorLog {self.dir}/error.log", f"DocumentRoot {self.root}",
            "User www-data", "Group www-data", f"<Directory {self.root}>", "Require all granted", "</Directory>", "TypesConfig /etc/mime.types", "SSLEngine on",
            f"SSLCertificateFile {self.ca}", f"SSLCertificateKeyFile {self.dir}/key.pem", ""]))
        with held:
            return self.run(["/usr/sbin/apache2", "-DFOREGROUND", "-f", str(config)], [held.getsockname()])

    def stop(self):
        super().stop()
        self.public.cleanup()


class WebSockets:
    """Echoes the messages of WebSockets; "close" closes."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def echo(socket):
            async for message in socket:
                if message == "close":
                    await socket.close(4000, "as requested")
                else:
                    await socket.send(message)

        async def main():
            server = await websockets.serve(echo, "127.0.0.1", 0, max_size=None)
            self.addr = text_of(server.sockets[0])
            ready.set()
            await asyncio.Event().wait()

        threading.Thread(target=self.loop.run_until_complete, args=(main(),), daemon=True).start()
        assert ready.wait(TIMEOUT)


class Scripted(TcpServer):
    """
    Answers each request with the next of .answers, bytes or a function of the connection; .requests has what it was sent, heads and bodies.
    .begun has the heads of requests whose body had not arrived with them, .left the length of bodies that ended too early. Answers come after the body unless
    .read_body is False.
    """

    def __init__(self):
        self.requests, self.answers, self.begun, self.left = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue()
        self.read_body = True
        super().__init__()

    def serve(self, connection):
        while request := self.read(connection):
            self.requests.put(request)
            answer = self.answers.get(timeout=TIMEOUT)
            if callable(answer):
                answer = answer(connection)
            if answer is None:
                return
            connection.sendall(answer)

    def read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            self.begun.put(head)
        while self.read_body and len(body) < length:
            try:
                more = connection.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                self.left.put(len(body))
                return b""
            body += more
        return head + b"\r\n\r\n" + body

    def answer(self, body=b"ok", head=b"HTTP/1.1 200 OK", *fields):
        lines = [head, b"Content-Length: %d" % len(body), *fields]
        self.answers.put(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def fields(self):
        """{name in small letters: [values]} of the last request."""
        found = {}
        for line in self.requests.get(timeout=TIMEOUT).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return found

    def forget(self):
        """What has come so far, for the next test that looks at it."""
        for queue_of in (self.requests, self.begun, self.left):
            while not queue_of.empty():
                queue_of.get()
