# SPDX-License-Identifier: Apache-2.0
"""Real load balancers and reverse proxies in front of a proxy, with the configurations that the guide shows."""
import contextlib
import pathlib
import socket

from harness import Cluster, Process, clean_env, iam_token, port_of, reserved_port, wait_until
from join_client import split
from signing import stand_in
from users import User, invite_url

NAME = "localhost"
SHOWN = pathlib.Path(__file__).resolve().parents[2] / "docs" / "guide" / "load-balancers"
APACHE_MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "http2", "proxy", "proxy_http", "headers")


def certificate(directory, name=NAME):
    """A certificate for a name: the paths of chain with key, key, and CA."""
    directory.mkdir(exist_ok=True)
    made = {name: pathlib.Path(path) for name, path in stand_in.make_certificates(str(directory), (name,), "a public CA").items()}
    key = made["sts.key"].read_text()
    (directory / "front.pem").write_text(made["sts.pem"].read_text() + key)
    return directory / "front.pem", made["sts.key"], made["ca.pem"]


# What the guide's files leave to the machine's defaults: where to run, and what needs a port below 1024.
def nginx(directory, config):
    (directory / "nginx.conf").write_text(config)
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", directory, "-c", directory / "nginx.conf",
            "-g", f"daemon off; pid {directory}/nginx.pid; error_log stderr;"]


def haproxy(directory, config):
    (directory / "haproxy.cfg").write_text(config)
    return ["/usr/sbin/haproxy", "-db", "-f", directory / "haproxy.cfg"]


def caddy(directory, config):
    (directory / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + config)
    return ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]


def apache(directory, config):
    modules = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in APACHE_MODULES]
    lines = [*modules, f"ServerRoot {directory}", f"DefaultRuntimeDir {directory}", f"PidFile {directory}/apache.pid",
             "ErrorLog /proc/self/fd/2", "User www-data", "Group www-data"]
    (directory / "apache.conf").write_text("\n".join(lines) + "\n" + config)
    return ["/usr/sbin/apache2", "-DFOREGROUND", "-f", directory / "apache.conf"]


# How it is started, the file of the guide, and what is replaced in that file beside certificates and the proxy's address.
BOXES = {
    "nginx": (nginx, "nginx.conf", {"listen 443 ssl": "listen 127.0.0.1:{port} ssl", "teleport.example.com;": "{name};"}),
    "haproxy": (haproxy, "haproxy.cfg", {"bind :443": "bind 127.0.0.1:{port}"}),
    "caddy": (caddy, "Caddyfile", {"\nteleport.example.com:443": "\n{name}:{port}"}),
    "apache": (apache, "apache.conf", {"Listen 443": "Listen 127.0.0.1:{port}", "*:443": "127.0.0.1:{port}", "ServerName teleport.example.com": "ServerName {name}"}),
}

PLAIN = {"nginx": {"https://10.0.0.10:3080": "http://10.0.0.10:3080"}, "haproxy": {"10.0.0.10:3080 ssl verify none sni ssl_fc_sni": "10.0.0.10:3080"}}


class Box:
    """
    One of BOXES, or a configuration of one of their programs, on a port of its own; it keeps the port when it restarts. is_plain: it speaks HTTP without
    TLS to its target.
    """

    def __init__(self, kind, directory, config=None, name=NAME, is_plain=False):
        self.kind, self.name, self.directory, self.config, self.is_plain = kind, name, pathlib.Path(directory), config, is_plain
        self.directory.mkdir(parents=True)
        self.holder = reserved_port()
        self.port = port_of(self.holder)
        self.addr = f"{name}:{self.port}"
        self.chain, self.key, self.ca = certificate(self.directory / "certificates", name)
        self.process = None

    def text(self, target):
        _, name, places = BOXES[self.kind]
        text = self.config or (SHOWN / name).read_text()
        places = {} if self.config else places
        if self.is_plain:
            places = {**PLAIN[self.kind], **places}
        places = {**places, "/etc/ssl/teleport.example.com.pem": str(self.chain), **({"10.0.0.10:3080": target} if target else {})}
        for old, new in places.items():
            assert old in text or self.config, (name, old)
            text = text.replace(old, new)
        return text.replace("/etc/ssl/teleport.example.com.key", str(self.key)).replace("{port}", str(self.port)).replace("{name}", self.name)

    def start(self, target=None):
        """target: the address of the proxy; None: the configuration has none to be replaced."""
        self.target = target
        args = BOXES[self.kind][0](self.directory, self.text(target))
        self.process = Process(args, self.directory / "box.log", clean_env(HOME=self.directory, XDG_DATA_HOME=self.directory, XDG_CONFIG_HOME=self.directory))
        wait_until(self.is_listening, f"{self.kind} listens:\n{self.process.text()}")
        return self

    def is_listening(self):
        assert self.process.popen.poll() is None, self.process.text()
        with contextlib.suppress(OSError):
            socket.create_connection(split(f"127.0.0.1:{self.port}"), timeout=5).close()
            return True

    def restart(self):
        self.process.stop()
        self.start(self.target)

    def close(self):
        if self.process is not None:
            self.process.stop()
        self.holder.close()


class Place:
    """A cluster behind a box whose X-Forwarded-For it trusts; hosts and users know the box's address only. is_plain: the box uses the port for plain HTTP."""

    def __init__(self, stack, kind, programs, aws, directory, config=None, name=NAME, is_plain=False, auth=None):
        self.directory = directory
        self.box = Box(kind, directory / "box", config, name, is_plain)
        stack.callback(self.box.close)
        self.cluster = Cluster(programs, aws, directory / "cluster", auth=auth)
        self.cluster.config["proxy_service"].update(public_addr=self.box.addr, trust_x_forwarded_for=True, load_balancers=["127.0.0.1"])
        if is_plain:
            self.cluster.config["proxy_service"]["plain_http_addr"] = "127.0.0.1:0"
        self.cluster.start()
        stack.callback(self.cluster.stop)
        self.box.start(self.cluster.process.wait_for(r"listening for plain HTTP addr:(\S+)").group(1) if is_plain else self.cluster.proxy_addr)
        self.cluster.create(iam_token())
        self.trust = {"SSL_CERT_FILE": str(self.box.ca)}

    def host(self, name="web-1", env=None, **teleport):
        env = {**self.cluster.aws.identity(), **self.trust, **(env or {})}
        return self.cluster.host(name, env=env, insecure=False, teleport={"proxy_server": self.box.addr, **teleport})

    def user(self, name="alice", roles="access", logins="root"):
        words = self.cluster.tctl("users", "add", name, f"--roles={roles}", f"--logins={logins}").out
        user = User(self.cluster, name, self.directory / f"home-{name}")
        user.env.update(self.trust)
        user.accept(invite_url(words))
        user.tsh("login", f"--proxy={self.box.addr}", f"--user={name}", stdin=f"{user.password}\n{user.otp()}\n")
        return user
