# SPDX-License-Identifier: Apache-2.0
"""Running the programs: processes whose log lines are awaited, a cluster, its hosts, the stand-in for AWS."""
import base64
import contextlib
import datetime
import json
import os
import pathlib
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import yaml

FAKES = pathlib.Path(__file__).resolve().parents[1] / "fakes"
# Seconds to wait for an event that must happen. Other tests start 200 sessions meanwhile: on two cores a login may wait half a minute.
TIMEOUT = float(os.environ.get("CTELEPORT_TEST_TIMEOUT", "120"))

ACCOUNT = "123456789012"
WEB_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/web/i-0123456789abcdef0"


def program(build, name):
    direct = pathlib.Path(build) / name
    if direct.is_file():
        return str(direct)
    return str(next(p for p in pathlib.Path(build).rglob(name) if p.is_file() and os.access(p, os.X_OK)))


# Error output of sanitizer builds; other builds have none.
SANITIZER = re.compile(r"^(?:==\d+==ERROR: \w+Sanitizer|.*\.[ch]:\d+:\d+: runtime error:).*", re.MULTILINE)


def check_sane(text):
    """Fails when a sanitizer complained in this text."""
    found = SANITIZER.search(text)
    assert not found, text[max(found.start() - 500, 0):found.start() + 6000]


def clean_env(**extra):
    """An environment without any AWS or Teleport setting of the machine the test runs on."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TELEPORT_", "SSL_")) and "proxy" not in k.lower()}
    env.update({k: str(v) for k, v in extra.items()})
    return env


class Process:
    """A program with its stderr in a file; tests wait for its lines."""

    def __init__(self, args, log, env=None, cwd=None):
        self.log_path = pathlib.Path(log)
        self.args = [str(a) for a in args]
        self.log = open(self.log_path, "ab")
        self.position = self.log_path.stat().st_size
        self.popen = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env, cwd=cwd)

    @property
    def pid(self):
        return self.popen.pid

    def text(self):
        return self.log_path.read_text(errors="replace")

    def new_text(self):
        with open(self.log_path, "rb") as f:
            f.seek(self.position)
            return f.read().decode(errors="replace")

    def mark(self):
        """From here on wait_for considers later lines only."""
        self.position = self.log_path.stat().st_size

    def wait_for(self, pattern, timeout=TIMEOUT):
        """The match of pattern in the lines logged since the last mark; a line that is written in two parts is read when it is whole."""
        deadline = time.monotonic() + timeout
        while True:
            text = self.new_text()
            match = re.search(pattern, text[:text.rfind("\n") + 1])
            if match:
                return match
            if self.popen.poll() is not None:
                match = re.search(pattern, self.new_text())
                if match:
                    return match
                raise AssertionError(f"{self.args[0]} ended with {self.popen.returncode} before {pattern!r}:\n{self.text()[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} within {timeout} s:\n{self.text()[-4000:]}")
            select.select([], [], [], 0.01)

    def time_of(self, pattern):
        """When a line with this pattern was logged, in whole seconds; the line is awaited."""
        text = self.wait_for(rf"(\S+Z) \w+ \[[^\n]*{pattern}").group(1)
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    def children(self):
        """{service name: pid} of the service processes below a supervisor."""
        found = {}
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == self.pid:
                    words = (status.parent / "cmdline").read_bytes().split(b"\0")
                    if b"service" in words:
                        found[words[words.index(b"service") + 1].decode()] = int(status.parent.name)
            except (OSError, IndexError, ValueError):
                continue
        return found

    def stop(self, sig=signal.SIGTERM, timeout=TIMEOUT):
        """Sends SIGTERM and returns the exit code; a process that does not end is a failure."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired as stuck:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.args} did not end:\n{self.text()[-4000:]}") from stuck
        finally:
            self.log.close()
        check_sane(self.text())
        return code


def wait_until(check, what, timeout=TIMEOUT):
    """The first true value of check(), which is repeated until then."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        select.select([], [], [], 0.05)


def contents(directory):
    """{path below directory: bytes} of its files, in use or not: a temporary file may go as it is read."""
    found = {}
    for path in pathlib.Path(directory).rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found[path.relative_to(directory)] = path.read_bytes()
    return found


def copy_etc(to):
    """Copies /etc with owners, to be mounted there: other tests make accounts meanwhile, whose temporary files may go before they are copied."""
    def copy(source, target):
        with contextlib.suppress(FileNotFoundError):
            owner = os.stat(source)
            shutil.copy2(source, target)
            os.chown(target, owner.st_uid, owner.st_gid)

    shutil.copytree("/etc", to, symlinks=True, copy_function=copy)


def read_line(pipe, timeout=TIMEOUT):
    """The next line of a pipe without a buffer, in bytes; what there is of it when the pipe ends."""
    line, deadline = b"", time.monotonic() + timeout
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"no line within {timeout} s, only {line}"
        byte = pipe.read(1)
        if not byte:
            break
        line += byte
    return line


def reserved_port(host="127.0.0.1", port=0):
    """
    Holds a port for a program that binds it later: bound and not listening, so that neither a connection nor another test gets it from the kernel,
    while a program that sets SO_REUSEADDR, as ours and OpenSSH's do, can listen there. To be closed when it does, or afterwards.
    """
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder


def port_of(holder):
    return holder.getsockname()[1]


class Aws:
    """The stand-in for STS and IMDS with its identities; `inside`: a command that runs others in a network namespace, here and below."""

    def __init__(self, directory, inside=()):
        self.dir = pathlib.Path(directory)
        self.state_path = self.dir / "state.json"
        self.state = {}
        self.reset()
        self.process = subprocess.Popen([*inside, "/usr/bin/python3", str(FAKES / "aws.py"), "--state", str(self.state_path), "--dir", str(self.dir)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        where = json.loads(self.process.stdout.readline())
        self.sts_port, self.imds_port, self.ca = where["sts"], where["imds"], where["ca"]

    def reset(self):
        self.state = {"keys": {}, "imds": {}, "container": {}, "roles": {}, "sts": {"mode": "ok"}}
        self.write()
        (self.dir / "sts.log").unlink(missing_ok=True)

    def write(self):
        """Atomically, so that the stand-in never reads half of it."""
        new = self.state_path.with_suffix(".new")
        new.write_text(json.dumps(self.state))
        new.rename(self.state_path)

    def identity(self, arn=WEB_ARN, account=ACCOUNT, key=None, token=True):
        """A new access key for this ARN: {"AWS_ACCESS_KEY_ID": …} for an environment."""
        number = len(self.state["keys"])
        key = key or f"{'ASIA' if token else 'AKIA'}EXAMPLE{number:09d}"
        secret = f"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE{number:03d}"
        session = f"IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVz{number:04d}+token==" if token else None
        self.state["keys"][key] = {"secret": secret, "token": session, "account": account, "arn": arn,
                                   "user_id": f"AROAEXAMPLE:{arn.rsplit('/', 1)[-1]}"}
        self.write()
        env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        if session:
            env["AWS_SESSION_TOKEN"] = session
        return env

    def sts_mode(self, mode, **more):
        self.state["sts"] = {"mode": mode, **more}
        self.write()

    def instance_role(self, env, role="web", **more):
        """IMDS hands out this identity."""
        self.state["imds"] = {"role": role, "key": env["AWS_ACCESS_KEY_ID"], "region": "us-east-1", **more}
        self.write()

    @property
    def imds_url(self):
        return f"http://127.0.0.1:{self.imds_port}/"

    def requests(self):
        log = self.dir / "sts.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def stop(self):
        self.process.stdin.close()
        self.process.wait(TIMEOUT)


def iam_token(name="iam-token", account=ACCOUNT, arn=None, roles=("Node",), **metadata):
    rule = {"aws_account": account}
    if arn:
        rule["aws_arn"] = arn
    return {"kind": "token", "version": "v2", "metadata": {"name": name, **metadata},
            "spec": {"roles": list(roles), "join_method": "iam", "allow": [rule]}}


def ssh_line(wire):
    """A key or certificate in wire form as a line of a .pub file."""
    length = int.from_bytes(wire[:4], "big")
    return f"{wire[4:4 + length].decode()} {base64.b64encode(wire).decode()}\n"


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        check_sane(self.err)

    def __contains__(self, text):
        return text in self.out


class Cluster:
    """auth_service and proxy_service on this machine."""

    def __init__(self, build, aws, directory, auth=None, proxy=True, ssh=False, teleport=None, env=None, disk=None, inside=()):
        self.build, self.aws, self.dir = build, aws, pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        self.inside = disk.inside if disk else inside  # or that runs them where the disk is seen
        self.data_dir = disk.here if disk else self.dir / "data"
        self.config_path = self.dir / "teleport.yaml"
        self.env = clean_env(**{"AWS_CA_BUNDLE": aws.ca, **(env or {})})
        self.config = {
            "version": "v3",
            "teleport": {"nodename": "auth-1", "data_dir": str(disk.path if disk else self.data_dir), **(teleport or {})},
            "auth_service": {"enabled": True, "listen_addr": "127.0.0.1:0", "cluster_name": "example.test",
                             "heartbeat_ttl": "10s", "aws": {"sts_connect_to": f"127.0.0.1:{aws.sts_port}"}, **(auth or {})},
            "proxy_service": {"enabled": proxy, "web_listen_addr": "127.0.0.1:0"} if proxy else {"enabled": "no"},
            "ssh_service": {"enabled": ssh},
        }
        self.process = None
        self.hosts = []
        self.held = contextlib.ExitStack()  # the ports of a stopped cluster
        self.auth_addr = self.proxy_addr = None

    def write_config(self):
        self.config_path.write_text(yaml.safe_dump(self.config))

    def start(self):
        """Starts and waits until everything serves; a restart keeps the ports."""
        self.hold_ports()
        with self.held:
            return self.start_process()

    def hold_ports(self):
        """Holds the ports of the former run until the next start; one that has a listener, or is held, stays as it is."""
        for service, key in (("auth_service", "listen_addr"), ("proxy_service", "web_listen_addr")):
            host, _, port = str(self.config[service].get(key, "")).rpartition(":")
            if host and port != "0":
                with contextlib.suppress(OSError):
                    self.held.enter_context(reserved_port(host.strip("[]"), int(port)))

    def start_process(self):
        self.write_config()
        self.process = Process([*self.inside, program(self.build, "teleport"), "start", "-c", self.config_path], self.dir / "cluster.log", self.env)
        self.auth_addr = self.process.wait_for(r"Auth service listening addr:(\S+)").group(1)
        self.config["auth_service"]["listen_addr"] = self.auth_addr
        if self.config["proxy_service"]["enabled"] is True:
            self.proxy_addr = self.process.wait_for(r"Proxy service listening addr:(\S+)").group(1)
            self.config["proxy_service"]["web_listen_addr"] = self.proxy_addr
        self.process.wait_for(r"Teleport \S+ successfully started")
        return self

    def stop(self, **how):
        hosts, self.hosts = self.hosts, []
        try:
            with contextlib.ExitStack() as stops:  # whatever is wrong with one, the others end too
                for host in reversed(hosts):
                    stops.callback(host.stop)
        except AssertionError:
            self.stop_cluster(**how)
            raise
        return self.stop_cluster(**how)

    def stop_cluster(self, **how):
        """The services only; the hosts stay."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        try:
            return process.stop(**how)
        finally:
            self.hold_ports()

    def restart(self):
        self.stop_cluster()
        return self.start()

    def tctl(self, *args, stdin="", check=True, env=None, build=None):
        """Runs tctl, of the cluster's or another build, on the auth machine; a YAML document may be given as a dict."""
        if isinstance(stdin, dict):
            stdin = yaml.safe_dump(stdin)
        args = [*self.inside, program(build or self.build, "tctl"), "-c", str(self.config_path), *map(str, args)]
        done = Result(subprocess.run(args, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, env=env or self.env))
        if check:
            assert done.code == 0, f"{args} failed:\n{done.err}"
        return done

    def create(self, resource):
        return self.tctl("create", "-f", stdin=resource)

    def create_ending(self, make, seconds=1.5):
        """Creates or updates make(expires=…) so that it ends in some seconds, once more if tctl took longer than that; the time of its end."""
        def attempt():
            end = time.time() + seconds
            expires = datetime.datetime.fromtimestamp(end, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            done = self.tctl("create", "-f", stdin=make(expires=expires), check=False)
            assert done.code == 0 or "has passed already" in done.err, done.err
            return done.code == 0 and end
        return wait_until(attempt, "it is created before its end")

    def json(self, *args):
        return json.loads(self.tctl(*args, "--format=json").out)

    @property
    def ca_pin(self):
        return re.search(r"sha256:[0-9a-f]{64}", self.tctl("status").out).group(0)

    def events(self, kind=None):
        path = self.data_dir / "log" / "events.log"
        text = path.read_text() if path.exists() else ""
        lines = text[:text.rfind("\n") + 1].splitlines()  # the last one may be half written yet
        return [e for e in map(json.loads, lines) if kind is None or e["event"] == kind]

    def event(self, kind, **fields):
        """The first event of this kind with these fields; awaited, for the log is written behind the answer."""
        matches = lambda: [e for e in self.events(kind) if all(e.get(name) == value for name, value in fields.items())]
        return wait_until(matches, f"the audit log has {kind} {fields}")[0]

    def exactly(self, count, kind, **fields):
        """All events of this kind with these fields: as many as count, which are awaited, and no more."""
        matches = lambda: [e for e in self.events(kind) if all(e.get(name) == value for name, value in fields.items())]
        found = wait_until(lambda: len(found := matches()) >= count and (found,), f"the audit log has {count} times {kind} {fields}")[0]
        assert len(found) == count, found
        return found

    def settled(self, kind=None, **fields):
        """All events of this kind with these fields that are about what was answered so far: those before a new one are in the log when it is."""
        name = f"settled-{secrets.token_hex(8)}"
        self.create(iam_token(name))
        self.event("join_token.create", name=name)
        self.tctl("rm", f"token/{name}")
        return [e for e in self.events(kind) if all(e.get(field) == value for field, value in fields.items())]

    def host(self, name="web-1", **settings):
        """A host that is not started yet."""
        host = Host(self, name, **settings)
        self.hosts.append(host)
        return host

    def join(self, name="web-1", **settings):
        """A host that has joined and is listed."""
        host = self.host(name, **settings)
        host.start()
        host.wait_joined()
        wait_until(lambda: self.node(name), f"{name} is listed")
        return host

    def nodes(self):
        return self.json("nodes", "ls")

    def node(self, name):
        return next((n for n in self.nodes() if n["spec"]["hostname"] == name), None)


class Host:
    """An agent: the guide's teleport.yaml in a directory of its own."""

    def __init__(self, cluster, name, token="iam-token", method="iam", env=None, via="proxy", teleport=None, ssh=None,
                 insecure=True, services=None, disk=None, inside=(), build=None):
        self.cluster, self.name = cluster, name
        self.own_build = build  # None: the programs of its cluster
        self.dir = cluster.dir / f"host-{len(cluster.hosts)}-{re.sub(r'[^A-Za-z0-9.-]', '_', name)[:40]}"
        self.dir.mkdir()
        self.inside = disk.inside if disk else inside
        self.data_dir = disk.here if disk else self.dir / "data"
        self.config_path = self.dir / "teleport.yaml"
        self.insecure = insecure and via == "proxy"
        server = {"proxy_server": cluster.proxy_addr} if via == "proxy" else {"auth_server": cluster.auth_addr, "ca_pin": cluster.ca_pin}
        self.config = {
            "version": "v3",
            "teleport": {"nodename": name, "data_dir": str(disk.path if disk else self.data_dir), "join_params": {"token_name": token, "method": method},
                         **server, **(teleport or {})},
            "auth_service": {"enabled": "no"},
            "proxy_service": {"enabled": "no"},
            "ssh_service": {"enabled": "yes", **(ssh or {})},
            **(services or {}),
        }
        self.env = clean_env(**{"HOME": self.dir, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
                                "AWS_CA_BUNDLE": cluster.aws.ca, **(env or {})})
        self.process = None

    @property
    def build(self):
        return self.own_build or self.cluster.build

    def start(self):
        if self not in self.cluster.hosts:  # the cluster was stopped with all its hosts
            self.cluster.hosts.append(self)
        self.config_path.write_text(yaml.safe_dump(self.config))
        flags = ["--insecure"] if self.insecure else []
        args = [*self.inside, program(self.build, "teleport"), "start", "-c", self.config_path, *flags]
        self.process = Process(args, self.dir / "host.log", self.env)
        return self

    def wait_joined(self):
        return self.process.wait_for(r"This host is present in the cluster")

    def wait_reachable(self):
        """It is listed, and has a tunnel to the proxy."""
        self.process.wait_for(r"This host is present in the cluster")
        return self.process.wait_for(r"Reverse tunnel established")

    def teleport(self, *args, check=True):
        done = Result(subprocess.run([program(self.build, "teleport"), *map(str, args)], capture_output=True, text=True, timeout=TIMEOUT, env=self.env,
                                     stdin=subprocess.DEVNULL))
        if check:
            assert done.code == 0, done.err
        return done

    def status(self):
        """The data of `teleport status`; awaited, for the file is written behind the events that it is about."""
        path = self.data_dir / "proc" / "status.json"
        wait_until(path.exists, "the status is stored")
        return json.loads(path.read_text())

    def identity(self, role="instance"):
        """The stored keys and certificates of a role, awaited; certificates as bytes."""
        path = self.data_dir / "proc" / "ids" / f"{role}.json"
        wait_until(path.exists, f"the identity {role} is stored")
        spec = json.loads(path.read_text())["spec"]
        for key in ("tls_cert", "ssh_cert"):
            spec[key] = base64.b64decode(spec[key])
        for key in ("tls_ca_certs", "ssh_ca_keys"):
            spec[key] = [base64.b64decode(value) for value in spec[key]]
        return spec

    @property
    def host_id(self):
        path = self.data_dir / "host_uuid"
        return wait_until(lambda: path.exists() and path.read_text(), "the host ID is stored")

    def clone(self, name):
        """A host that starts with all that this one, which runs, has on its disk."""
        self.process.wait_for("successfully wrote the credentials and state of Node")
        clone = self.cluster.host(name, env={key: value for key, value in self.env.items() if key.startswith("AWS_")})
        # A file that is being written has a temporary name, which is gone before it can be copied.
        shutil.copytree(self.data_dir, clone.data_dir, ignore=shutil.ignore_patterns("*.sock", f".*.{'[0-9a-f]' * 16}"))
        return clone.start()

    def stop(self, **how):
        if self.process is None:
            return None
        process, self.process = self.process, None
        return process.stop(**how)

    def wait_signed(self):
        """Waits until the process that signed the proof of the join has ended: from then on the children are those that stay."""
        wait_until(lambda: "aws-sign" not in self.process.children(), "the signing process has ended")
        return self

    def kill(self):
        process, self.process = self.process, None
        process.stop(sig=signal.SIGKILL)
