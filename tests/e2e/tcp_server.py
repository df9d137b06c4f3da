# SPDX-License-Identifier: Apache-2.0
"""TCP servers on loopback, for tests that put a server or a relay in place of a part of a cluster."""
import contextlib
import socket
import threading


def splice(a, b, how=socket.SHUT_RDWR):
    """Copies bytes both ways until both have ended. how: SHUT_RDWR: the end of one way ends the other; SHUT_WR: it does not."""
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink) if how == socket.SHUT_RDWR else (sink,):
            with contextlib.suppress(OSError):
                end.shutdown(how)

    back = threading.Thread(target=copy, args=(b, a), daemon=True)
    back.start()
    copy(a, b)
    back.join()


def echo(connection):
    """Sends back the bytes of a connection, for TcpServer."""
    while data := connection.recv(65536):
        connection.sendall(data)


class TcpServer:
    """Serves each connection on a thread of its own, by serve(connection); an OSError there ends the connection."""

    def __init__(self, serve=None, host="127.0.0.1", port=0):
        if serve:
            self.serve = serve
        self.open = set()
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.addr = f"{host}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Accepts no more connections; open ones continue."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def cut(self):
        """Ends the open connections."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.open.add(connection)
                threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)
        self.open.discard(connection)
