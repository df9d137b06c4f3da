# SPDX-License-Identifier: Apache-2.0
"""Errors of wrong command lines, addresses and files: failure, reason, and a correct command."""
import os
import pwd
import re
import subprocess

import pytest

from conftest import PROJECT
from harness import TIMEOUT, clean_env, program


LONG = ".".join(["a" * 63] * 3 + ["a" * 61])  # the longest DNS name


@pytest.fixture
def run(build, tmp_path):
    """run("tsh --x"): the error output of a command line, without a cluster and without a login."""

    def run_one(line, user=None, **env):
        name, *args = line.split()
        command = [program(build, name), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL, user=user,
                              env=clean_env(HOME=tmp_path, TELEPORT_HOME=tmp_path / "tsh", **env))
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr

    return run_one


@pytest.mark.parametrize("line, what, hint", [
    ("tsh kube ls", "'tsh kube' is a command of Teleport that this release does not have", "this release serves SSH and applications only; the commands are listed by: tsh help"),
    ("tsh proxy db x", "'tsh proxy db' is a command of Teleport that this release does not have", "this release serves SSH and applications only; the commands are listed by: tsh help"),
    ("tsh join x", "'tsh join' is a command of Teleport that this release does not have",
     "sessions are not joined by others; recorded ones are listed by `tsh recordings ls` and shown by `tsh play`; the commands are listed by: tsh help"),
    ("tctl nodes add", "'tctl nodes add' is a command of Teleport that this release does not have",
     "make a token for the new host: tctl tokens add --type=node; the commands are listed by: tctl help"),
    ("tctl acl ls", "'tctl acl' is a command of Teleport that this release does not have",
     "there are no access lists; roles are given by: tctl users update NAME --set-roles=ROLES; the commands are listed by: tctl help"),
    ("teleport db start", "'teleport db' is a command of Teleport that this release does not have", "this release serves SSH and applications only; the commands are listed by: teleport help"),
    ("teleport start --bootstrap=x", "--bootstrap is not supported", "create the resources when the cluster runs: tctl create -f FILE"),
    ("tctl users add bob --roles=access --db-users=x", "--db-users is not supported", "this release serves SSH and applications only"),
    ("tsh apps login x --aws-role=y", "--aws-role is not supported", "consoles and programs of clouds are not served; leave it out"),
    ("tsh lgoin", "unknown command 'lgoin'", "did you mean: tsh login"),
    ("tsh jion", "unknown command 'jion'", "the commands are listed by: tsh help"),
    ("tctl sl", "unknown command 'sl'", "the commands are listed by: tctl help"),
    ("tctl edit rol/x", "there are no resources of type \"rol\"", "did you mean 'role'"),
    ("tsh ls --search", "--search needs a value (WORDS)", "write --search=WORDS"),
    ("tsh scp a", "the argument <destination> is missing", "see: tsh help scp"),
    ("tctl lock --user=a --ttl=soon", "--ttl must be a duration like 1h30m, 10s or 500ms, not 'soon'", None),
    ("tctl tokens add --type=node --ttl=1", "--ttl must be a duration like 1h30m, 10s or 500ms, not '1'", None),
    ("tctl users add a --roles=access --ttl=", "--ttl must be a duration like 1h30m, 10s or 500ms, not ''", None),
    ("tsh login --user=a --proxy=http://localhost:1", "'http://localhost:1' is not an address",
     "write host:port without a scheme; https:// is the only accepted one"),
    ("tsh login --user=a --proxy=localhost:x", "'localhost:x' is not an address: the port must be a number from 0 to 65535",
     "write host:port, for example proxy.example.com:443 or [2001:db8::1]:443"),
    ("tsh login --user=a --proxy=localhost:", "'localhost:' is not an address: the port must be a number from 0 to 65535", None),
    ("tsh login --user=a --proxy=localhost:0", "'localhost:0' is not an address: the port must be a number from 1 to 65535", None),
    ("tsh login --user=a --proxy=127.1:443", "'127.1:443' is not an address", "write an IPv4 address with all four numbers, for example 192.0.2.1"),
    (f"tsh login --user=a --proxy={LONG}a:443", f"'{LONG}a:443' is not an address", "a DNS name has at most 253 bytes"),
    (f"tsh login --user=a --proxy={LONG[:63]}a.test:443", f"'{LONG[:63]}a.test:443' is not an address", "each label of a DNS name, the text between two dots, has at most 63 bytes"),
    ("tsh login --user=a --proxy=bücher.example.com:443", "'bücher.example.com:443' is not an address",
     "write the name in ASCII: an internationalized name as its A-label, which begins with xn-- (the command idn2 prints it)"),
    ("tctl --auth-server=bücher.example.com nodes ls", "'bücher.example.com' is not an address",
     "write the name in ASCII: an internationalized name as its A-label, which begins with xn-- (the command idn2 prints it)"),
    ("tsh ls --proxy=a.example.com", "Not logged in.", "tsh login --proxy=a.example.com --user=NAME"),
    ("tctl --auth-server=https://a.example.com:443/web nodes ls", "--auth-server=a.example.com:443: Not logged in.", "tsh login --proxy=a.example.com:443 --user=NAME"),
    ("teleport start -c /nonexistent", "cannot open /nonexistent: No such file or directory", "name the configuration file with -c FILE; `teleport configure` writes one"),
    ("tctl -c /nonexistent status", "cannot open /nonexistent: No such file or directory", "name the configuration file with -c FILE; `teleport configure` writes one"),
], ids=lambda value: value if value and value.startswith("t") else "")
def test_a_wrong_command_line_is_answered_with_a_correct_one(run, line, what, hint):
    said = run(line)
    assert said.startswith(f"ERROR: {what}\n"), said
    assert hint is None or f"\nhint:  {hint}\n" in said, said


def config(tmp_path, data_dir):
    path = tmp_path / "teleport.yaml"
    path.write_text(f"version: v3\nteleport: {{nodename: a, data_dir: {data_dir}}}\nauth_service: {{listen_addr: 127.0.0.1:0}}\n"
                    "proxy_service: {enabled: no}\nssh_service: {enabled: no}\n")
    return path


def test_an_impossible_data_dir_is_reported_with_the_setting(run, tmp_path):
    (tmp_path / "file").touch()
    said = run(f"teleport start -c {config(tmp_path, tmp_path / 'file')}")
    assert f"ERROR: data directory: {tmp_path}/file is not a directory\nhint:  set teleport.data_dir to a directory" in said
    said = run(f"teleport start -c {config(tmp_path, tmp_path / 'file/data')}")
    assert f"ERROR: data directory: cannot make the directory {tmp_path}/file/data: Not a directory\nhint:  set teleport.data_dir" in said


@pytest.mark.parametrize("options, why, hint", [
    ("ro", "Read-only file system", "that file system is read-only"),
    ("nr_inodes=1", "No space left on device", "make room on that file system"),
])
def test_a_read_only_disk_is_not_reported_as_missing_rights(programs, tmp_path, options, why, hint):
    place = tmp_path / "disk"
    place.mkdir()
    inside = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", f"mount -t tmpfs -o {options},mode=0700 tmpfs {place} && exec \"$@\"", "sh"]
    start = [*inside, program(programs, "teleport"), "start", "-c", config(tmp_path, place / "data")]
    said = subprocess.run(start, capture_output=True, text=True, timeout=TIMEOUT, check=False).stderr
    assert f"ERROR: data directory: cannot make the directory {place}/data: {why}\nhint:  {hint}" in said
    write = [*inside, program(programs, "teleport"), "configure", "-o", f"file://{place}/teleport.yaml"]
    said = subprocess.run(write, capture_output=True, text=True, timeout=TIMEOUT, check=False).stderr
    assert f"{why}\nhint:  {hint}" in said and "sudo" not in said


def test_a_user_without_root_gets_a_hint(run, programs, account, monkeypatch):
    where = pwd.getpwnam(account.pw_name).pw_dir
    home = os.path.join(where, "words")
    os.makedirs(home, mode=0o755)
    path = os.path.join(home, "teleport.yaml")
    with open(path, "w") as file:
        file.write("version: v3\nteleport: {nodename: a, data_dir: /var/lib/ct-words}\nauth_service: {listen_addr: 127.0.0.1:0}\n"
                   "proxy_service: {enabled: no}\nssh_service: {enabled: no}\n")
    os.chmod(where, 0o755)
    monkeypatch.chdir("/")
    command = ["runuser", "-u", account.pw_name, "--", program(programs, "teleport"), "start", "-c", path]
    said = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False).stderr
    assert ("ERROR: data directory: cannot make the directory /var/lib/ct-words: Permission denied\n"
            "hint:  start teleport as root, or set teleport.data_dir to a directory that this user may write\n") in said
    os.chmod(path, 0o600)
    said = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False).stderr
    assert said.startswith(f"ERROR: cannot open {path}: Permission denied\nhint:  run this as root, or let this user read the file\n\n")


@pytest.mark.parametrize("key, cert, what, hint", [
    ("absent", "cert", "https_keypairs: cannot open {dir}/absent: No such file or directory", "name the files of a certificate in proxy_service.https_keypairs[1]"),
    ("cert", "key", "there is no certificate in the PEM text", "the names of key and certificate may be swapped"),
    ("cert", "cert", "the private key cannot be read: the file holds a certificate", "the names of key and certificate may be swapped"),
    ("locked", "cert", "the private key cannot be read: it is encrypted with a passphrase", "openssl pkey -in KEY -out NEW"),
    ("other", "cert", "the private key and the certificate are not a pair", "must print the same"),
    ("open", "cert", "https_keypairs: {dir}/open has mode 0644: it holds a secret that other users may read or change", "chmod 0600 {dir}/open"),
])
def test_an_unusable_web_certificate_is_reported_with_the_reason(run, tmp_path, key, cert, what, hint):
    subprocess.run(f"""cd {tmp_path} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x -keyout key -out cert &&
        openssl genpkey -algorithm ed25519 -out other && openssl pkey -in key -aes256 -passout pass:x -out locked && cp key open && chmod 600 key cert other locked &&
        chmod 644 open""", shell=True, check=True, capture_output=True)
    path = tmp_path / "teleport.yaml"
    path.write_text(f"version: v3\nteleport: {{nodename: a, data_dir: {tmp_path}/data}}\nauth_service: {{enabled: yes, listen_addr: 127.0.0.1:0}}\n"
                    f"proxy_service: {{web_listen_addr: 127.0.0.1:0, https_keypairs: [{{key_file: {tmp_path}/{key}, cert_file: {tmp_path}/{cert}}}]}}\n"
                    "ssh_service: {enabled: no}\n")
    said = run(f"teleport start -c {path}")
    assert what.format(dir=tmp_path) in said.split("ERROR: ")[1] and hint.format(dir=tmp_path) in said.split("\nhint:  ")[1], said


def test_urls_are_addresses_and_auths_port_is_recognised(access, invite):
    alice = invite(access)
    done = alice.tsh("login", f"--proxy=HTTPS://{access.proxy_addr}/web/login?x=1", "--user=alice", "--insecure", stdin=f"{alice.password}\n{alice.otp()}\n")
    assert "Logged in as:       alice" in done.out
    refused = alice.tsh("ssh", "daemon@web-1", "id", check=False)
    assert refused.code == 1 and "ERROR: access denied: user alice may not log in to this node as 'daemon'\nhint:  your logins are shown by: tsh status\n" in refused.err
    refused = alice.tsh("login", f"--proxy={access.auth_addr}", "--user=alice", "--insecure", stdin="x\n123456\n", check=False)
    assert refused.code == 1 and "users log in at the proxy's address: tsh login --proxy=HOST[:PORT]" in refused.err


def test_each_command_that_the_readme_lists_as_missing_says_so(run):
    missing = (PROJECT / "README.md").read_text().split("## What is not there", 1)[1]
    commands = re.findall(r"`((?:tsh|tctl|teleport) [^`]+)`", missing)
    assert len(commands) >= 3
    for command in commands:
        assert re.match(r"ERROR: ('t\w+ [\w ]+' is a command of Teleport that this release does not have|--[\w-]+ is not supported)\nhint:  ", run(command)), command
