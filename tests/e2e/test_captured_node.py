# SPDX-License-Identifier: Apache-2.0
"""The root processes of a node, the supervisor and sshd, against a hostile `instance` and hostile peers."""
import os
import pathlib
import re
import subprocess

from harness import program


def descriptors(pid):
    """{number: target} of a process's open descriptors."""
    found = {}
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(link.name)] = os.readlink(link)
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def internet_sockets(pid):
    """{socket: is it listening} of those in the tables of TCP."""
    held, found = set(descriptors(pid).values()), {}
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in held:
                found[words[9]] = words[3] == "0A"
    return found


def descendants(pid):
    """{pid: name} of all processes below a process."""
    parents, names, found = {}, {}, {}
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(re.findall(r"^(Name|Pid|PPid):\t(.*)$", status.read_text(), re.M))
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(fields["Pid"])], names[int(fields["Pid"])] = int(fields["PPid"]), fields["Name"]
    for process, name in names.items():
        above = process
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and process != pid:
            found[process] = name
    return found


class WaitingClient:
    """A connection to a node on which the user has sent no SSH message yet."""

    def __init__(self, user, target):
        self.process = subprocess.Popen([program(user.cluster.build, "tsh"), "proxy", "ssh", target], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=user.env)
        self.banner = self.process.stdout.readline()

    def end(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_the_supervisor_holds_no_connection_of_a_peer(access, alice):
    client = WaitingClient(alice, "root@web-1")
    assert client.banner.startswith(b"SSH-2.0-")
    assert set(internet_sockets(access.process.pid).values()) == {True}, "it listens, and hands that on"
    assert internet_sockets(access.web.process.pid) == {}
    peers = internet_sockets(access.process.children()["proxy"])
    assert False in peers.values(), "who has connections is found"
    client.end()


def test_sshd_before_login_holds_nothing_of_ours(access, alice):
    client = WaitingClient(alice, "root@web-1")
    supervisor = access.web.process
    services = supervisor.children()
    sshds = [pid for pid, name in descendants(supervisor.pid).items() if name.startswith("sshd")]
    assert sshds, "it waits for the client"
    ours = set().union(*(descriptors(pid).values() for pid in [supervisor.pid, *services.values()]))
    for pid in sshds:
        held = descriptors(pid)
        assert all(re.match(r"(socket|pipe):|/dev/null$", what) for what in held.values()), held
        assert {what for what in held.values() if what != "/dev/null"}.isdisjoint(ours), held
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"AWS_" not in environment and str(access.web.data_dir).encode() not in environment
    client.end()


def test_no_text_of_a_captured_instance_steers_root(access, alice, tmp_path):
    """The one file of instance's that the supervisor reads: without valid lines logins are denied, and there is no other effect."""
    authority = access.web.data_dir / "proc/ssh/authority"
    good, planted = authority.read_bytes(), tmp_path / "planted"
    host_line, ca_line = good.splitlines()[:2]
    long = b"host " + b"a" * 10000 + b"\n"
    option = b"host " + access.web.host_id.encode() + b" -o PermitRootLogin=yes\n"
    command = b"ca sha256:" + b"0" * 63 + b"$\nca sha256:`touch " + str(planted).encode() + b"`\n"
    for content in (b"", b"\0" * 100, long, option + ca_line + b"\n", host_line + b"\n" + command, host_line + b"\n", ca_line + b"\n", None, "link"):
        authority.unlink()
        if content is None:
            os.mkfifo(authority)
        elif content == "link":
            authority.symlink_to("/dev/zero")
        else:
            authority.write_bytes(content)
        done = alice.tsh("ssh", "--no-mux", "root@web-1", "true", check=False)
        assert done.code == 255, content
        assert access.web.process.popen.poll() is None and not planted.exists()
    authority.unlink()
    authority.write_bytes(good)
    assert alice.tsh("ssh", "--no-mux", "root@web-1", "echo in").out == "in\n"
