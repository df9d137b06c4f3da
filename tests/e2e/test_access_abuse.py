# SPDX-License-Identifier: Apache-2.0
"""Users, nodes and unauthenticated peers that try forbidden actions."""
import contextlib
import pathlib
import re
import socket
import ssl
import subprocess
import time

import pytest

from harness import TIMEOUT, wait_until
from users import User, invite_url

NODE = "web-1.example.test"  # as plain ssh calls it


def logged_in(access, invite, login):
    user = invite(access, "mallory", "access", login)
    user.login()
    return user


# ---- before and beside the recorder ------------------------------------------------------------------------------


@pytest.fixture
def eager(accounts, tmp_path_factory):
    """An account with a shell that always reads a file beneath HOME, as csh does."""
    shell = pathlib.Path("/var/tmp/ct-eager-sh")
    shell.write_text('#!/bin/sh\n[ -r "$HOME/.eagerrc" ] && . "$HOME/.eagerrc"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    made = accounts.make(shell=str(shell))
    yield made
    shell.unlink()


def test_a_startup_file_does_not_run_instead_of_the_recorder(access, invite, eager):
    (pathlib.Path(eager.pw_dir) / ".eagerrc").write_text('echo unrecorded; [ -n "$SSH_TELEPORT_USER" ] || exit 0\n')
    mallory = logged_in(access, invite, eager.pw_name)
    done = mallory.tsh("ssh", f"{eager.pw_name}@web-1", "echo $HOME")
    assert done.out == f"unrecorded\n{eager.pw_dir}\n", "the file is read once: inside of the session"
    assert wait_until(lambda: access.events("session.start"), "the start is audited")


def test_an_imitated_sftp_server_is_audited_as_a_command(access, invite, account):
    fake = pathlib.Path(account.pw_dir) / "sftp-server"
    fake.write_text("#!/bin/sh\necho 'remove name \"/etc/shadow\"' >&2\n")
    fake.chmod(0o755)
    mallory = logged_in(access, invite, account.pw_name)
    mallory.tsh("ssh", f"{account.pw_name}@web-1", f"{fake} -e -l INFO")
    wait_until(lambda: access.events("session.end"), "the end is audited")
    assert not access.events("sftp"), "its word is not the node's word"


def words_of(program):
    """The command lines of the processes that run this subcommand of teleport."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that has ended meanwhile
            line = path.read_bytes().decode(errors="replace")
            if f"\0{program}\0" in line:
                found.append(line.split("\0"))
    return found


@pytest.mark.parametrize("program", ["ssh-session", "ssh-authorize"])
def test_a_user_cannot_impersonate_sshd_at_the_helper_socket(access, alice, programs, program):
    """With everything that the programs of a session receive, and with our own program."""
    shell = alice.shell("root@web-1")
    own = " ".join(next(words for words in words_of("ssh-session") if str(programs) in words[0]))
    socket_, connection = re.search(r"--socket=\S+", own).group(0), re.search(r"--connection=\S+", own).group(0)
    for how in ("", "exec "):
        done = alice.tsh("ssh", "root@web-1", f"{how}{programs}/teleport {program} {socket_} {connection} root AAAA", check=False)
        assert done.code != 0 and "no program of sshd's" in done.err
    shell.sendline("echo st''ill; exit")
    shell.expect("still")
    shell.wait()


@pytest.mark.parametrize("signal_, reason", [("KILL", "the session's program has ended"), ("STOP", "user alice is locked")])
def test_killing_or_stopping_the_recorder_ends_the_session(access, alice, signal_, reason):
    shell = alice.shell("root@web-1")
    shell.sendline(f"kill -{signal_} $PPID")
    if signal_ == "STOP":
        access.tctl("lock", "--user=alice")
    shell.expect("closed")
    end = wait_until(lambda: access.events("session.end"), "the end is audited")[0]
    assert end["reason"] == reason and end["exit_code"] != 0


def test_a_connection_that_only_forwards_is_ended_by_a_lock(access, alice):
    config = alice.ssh_config()
    quiet = subprocess.Popen(["ssh", "-F", config, "-N", "-R", "0:127.0.0.1:1", f"root@{NODE}"], env=alice.env, stderr=subprocess.DEVNULL)
    wait_until(lambda: access.events("port"), "the forward is there")
    access.tctl("lock", "--login=root")
    assert quiet.wait(TIMEOUT) != 0
    end = wait_until(lambda: access.events("client.disconnect"), "why it ended is audited")[0]
    assert end["reason"] == "login root is locked"


# ---- the proxy's listener for users and nodes ---------------------------------------------------------------------------


def at_the_listener(access, protocol, certificate, key, request=b""):
    """The proxy's answer to a client with this certificate: "" when it closes without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    context.load_cert_chain(certificate, key)
    host, port = access.proxy_addr.rsplit(":", 1)
    said = b""
    try:
        with context.wrap_socket(socket.create_connection((host, int(port)), timeout=TIMEOUT), server_hostname="teleport.cluster.local") as s:
            s.sendall(request)
            while b"\n" not in said.split(b"\r\n\r\n", 1)[-1]:
                data = s.recv(4096)
                if not data:
                    break
                said += data
    except (ssl.SSLError, ConnectionError) as refusal:
        return f"refused: {refusal}"
    return said.decode()


def of_user(access, user):
    keys = user.home / ".tsh/keys" / access.proxy_addr.rsplit(":", 1)[0]
    return keys / f"{user.name}-x509.pem", keys / f"{user.name}.key"


def of_node(access):
    identity = access.web.identity("node")
    certificate, key = access.dir / "node.crt", access.dir / "node.key"
    certificate.write_bytes(subprocess.run(["openssl", "x509", "-inform", "DER"], input=identity["tls_cert"], capture_output=True, check=True).stdout)
    key.write_text(identity["tls_key"])
    return certificate, key


CONNECT = b"CONNECT web-1:0 HTTP/1.1\r\nHost: web-1:0\r\n"


REQUESTS = [
    (CONNECT + b"X-Teleport-Login: root\r\n\r\n", "200"),
    (CONNECT + b"X-Teleport-Login: root\r\nX-Teleport-Login: daemon\r\n\r\n", "400"),
    (CONNECT + b"X-Teleport-Login: -oProxyCommand=x\r\n\r\n", "400"),
    (CONNECT + b"X-Teleport-Login: root\x1b[31m\r\n\r\n", "400"),
    (CONNECT + b"X-Teleport-Login: daemon\r\n\r\n", "403"),
    (CONNECT.replace(b"web-1", b"../web-1"), "400"),
    (CONNECT.replace(b"web-1", b"a" * 257), "400"),
    (CONNECT.replace(b"web-1:0", b"web-1:65536"), "400"),
    (CONNECT.replace(b"web-1", b"nowhere") + b"\r\n", "404"),
    (CONNECT.replace(b"\r\n", b"\n") + b"\n", "400"),
    (CONNECT + b"X: " + b"x" * 17000, "429"),
    (b"GET / HTTP/1.1\r\nHost: web-1\r\n\r\n", "400"),
    (CONNECT + b"Content-Length: 5\r\n\r\nhello", "501"),
    (CONNECT + b"Transfer-Encoding: chunked\r\n\r\n", "501"),
]


def test_the_user_listener_accepts_one_kind_of_request(access, alice):
    for request, answer in REQUESTS:
        said = at_the_listener(access, "cteleport-ssh", *of_user(access, alice), request)
        assert said.startswith(f"HTTP/1.1 {answer} "), (request, said)


def test_a_certificate_is_accepted_at_one_listener_only(access, alice):
    """The CA that signed it decides, and a node's tunnel is its own: a refused peer receives no bytes."""
    wanted = CONNECT + b"X-Teleport-Login: root\r\n\r\n"
    assert "SSH-2.0" in at_the_listener(access, "cteleport-ssh", *of_user(access, alice), wanted)
    assert at_the_listener(access, "cteleport-ssh", *of_node(access), wanted).startswith("refused: ")
    access.process.mark()
    assert at_the_listener(access, "cteleport-reversetunnel", *of_user(access, alice), wanted).startswith("refused: ")
    assert "tunnel is open" not in access.process.new_text()
    assert alice.tsh("ssh", "root@web-1", "echo fine").out == "fine\n"


# ---- users who were removed ---------------------------------------------------------------------------------------


def test_a_removed_user_stays_removed_when_the_name_is_reused(access, alice, invite, tmp_path):
    since = int(time.time())
    access.tctl("users", "rm", "alice")
    wait_until(lambda: int(time.time()) > since, "the next second: certificates count in them")
    words = access.tctl("users", "add", "alice", "--roles=access,editor", "--logins=root").out
    other = User(access, "alice", tmp_path / "other").accept(invite_url(words))
    other.login()
    assert other.tsh("ssh", "root@web-1", "echo in").out == "in\n"
    for done in (alice.tsh("ssh", "root@web-1", "echo in", check=False), alice.tsh("ls", check=False), alice.tctl("users", "ls", check=False)):
        assert done.code != 0 and "older than user" in done.err, done.err
