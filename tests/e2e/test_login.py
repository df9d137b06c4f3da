# SPDX-License-Identifier: Apache-2.0
"""Users: invited, logging in, locked out and back, and tctl from their workstations."""
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import termios
import time

import pytest

from browser import Browser
from harness import TIMEOUT, contents, iam_token, wait_until
from users import PASSWORD, User, browse, invite_url, on_proxy, program


@pytest.fixture
def carol(cluster, invite):
    """Invited, not logged in, with no node to go to."""
    return invite(cluster, "carol", "access", "root")


# ---- the invitation ---------------------------------------------------------------------------------------------


def test_an_invitation_link_has_a_purpose_and_an_expiry(cluster):
    out = cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root,ubuntu").out
    assert 'User "bob" has been created but requires a password.' in out
    assert "valid for 1h" in out
    assert re.search(r"https://\S+/web/invite/[0-9a-f]{32}\n", out)
    user = json.loads(cluster.tctl("get", "user/bob", "--format=json").out)[0]
    assert user["spec"]["roles"] == ["access"] and user["spec"]["traits"]["logins"] == ["root", "ubuntu"]


def test_listings_show_passwords_and_lockouts_of_users(cluster, carol):
    def statuses():
        listed = json.loads(cluster.tctl("get", "users", "--format=json").out)
        one = json.loads(cluster.tctl("get", "user/carol", "--format=json").out)[0]
        found = {u["metadata"]["name"]: u["spec"]["status"] for u in listed}
        assert one["spec"]["status"] == found["carol"]
        return found

    cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root")
    assert statuses() == {"bob": {"is_locked": False, "has_password": False}, "carol": {"is_locked": False, "has_password": True}}
    shown = cluster.tctl("get", "user/carol").out
    cluster.tctl("create", "-f", stdin=shown.replace("has_password: true", "has_password: false"))
    assert statuses()["carol"]["has_password"], "a user resource cannot change it"


def test_web_pages_share_one_connection(cluster):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(cluster.proxy_addr, context=context, timeout=TIMEOUT)
    addresses, statuses = set(), []
    for method, path in [("GET", "/"), ("GET", "/webapi/find"), ("POST", "/webapi/ping"), ("HEAD", "/web"), ("GET", "/web/none")]:
        connection.request(method, path)
        addresses.add(connection.sock.getsockname())
        answer = connection.getresponse()
        statuses.append(answer.status)
        answer.read()
    connection.close()
    assert statuses == [200, 200, 405, 303, 404] and len(addresses) == 1


def test_the_link_names_a_proxy_of_another_machine(make_cluster, aws):
    cluster = make_cluster(proxy=False)
    cluster.create(iam_token(roles=("Proxy",)))
    proxy = cluster.host("proxy-1", via="auth", env=aws.identity(), services={
        "proxy_service": {"enabled": "yes", "web_listen_addr": "127.0.0.1:0", "public_addr": "teleport.example.test:443"}, "ssh_service": {"enabled": "no"}})
    proxy.start()
    proxy.wait_joined()
    cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root")
    named = lambda: "https://teleport.example.test:443/web/" in cluster.tctl("users", "reset", "bob").out
    wait_until(named, "the link has the address that the proxy has announced")


def test_the_page_needs_no_script_and_allows_none(cluster):
    url = on_proxy(cluster, invite_url(cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root").out))
    page = browse(url)
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "script-src" not in policy.replace("script-src 'none'", "")
    assert "<script" not in page.text.lower()
    assert page.headers["Referrer-Policy"] == "no-referrer" and "no-store" in page.headers["Cache-Control"]
    assert "<svg" in page.text, "the code to scan"


def test_the_link_is_good_once(cluster, tmp_path):
    url = invite_url(cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root").out)
    bob = User(cluster, "bob", tmp_path / "bob").accept(url)
    again = browse(on_proxy(cluster, url))
    assert again.status in (404, 410)
    done = browse(on_proxy(cluster, url), {"password": "another password entirely", "again": "another password entirely", "otp": "000000"})
    assert done.status in (404, 410)
    bob.login()


@pytest.mark.parametrize("form, word", [
    ({"password": "short", "again": "short"}, "12"),
    ({"password": PASSWORD, "again": PASSWORD + "x"}, "differ"),
    ({"password": PASSWORD, "again": PASSWORD, "otp": "000000"}, "code"),
    ({"password": PASSWORD, "again": PASSWORD, "otp": "abcdef"}, "code"),
    ({}, "password"),
])
def test_an_invalid_form_names_the_fault_and_can_be_resent(cluster, tmp_path, form, word):
    url = invite_url(cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root").out)
    bob = User(cluster, "bob", tmp_path / "bob")
    page = browse(on_proxy(cluster, url))
    bob.totp_secret = re.sub(r"\s", "", re.search(r"\b((?:[A-Z2-7]{4} ?){8})\b", page.plain()).group(1))
    refused = browse(on_proxy(cluster, url), {"otp": bob.code_of(int(time.time()) // 30), **form})
    assert refused.status == 400 and word in refused.plain().lower()
    assert PASSWORD not in refused.text
    bob.accept(url).login()


def test_an_invented_invitation_link_is_refused(cluster):
    for path in ("0" * 32, "zz", "../../etc/passwd", "%00", "A" * 5000):
        assert browse(f"https://{cluster.proxy_addr}/web/invite/{path}").status in (400, 404, 431), path


def test_a_reset_ends_the_old_password_at_once(cluster, carol):
    carol.login()
    words = cluster.tctl("users", "reset", "carol").out
    assert "has been reset" in words and "/web/reset/" in words
    assert carol.login(check=False).code != 0
    carol.password, carol.last_step = "an entirely new password", 0
    carol.accept(invite_url(words)).login()


def test_an_invitation_is_accepted_in_a_browser(cluster, tmp_path):
    """Chromium with scripts and everything on: it complains of nothing, shows the code to scan, and keeps what is right in a form that is refused."""
    url = on_proxy(cluster, invite_url(cluster.tctl("users", "add", "bob", "--roles=access", "--logins=root").out))
    bob = User(cluster, "bob", tmp_path / "bob")
    with Browser(tmp_path / "chromium", trust=[cluster.proxy_addr]) as browser:
        page = browser.page(width=390).open(url)
        assert page.status == 200 and "Scan this" in page.text("main") and page.count("svg") == 1
        bob.totp_secret = re.sub(r"\s", "", re.search(r"\b((?:[A-Z2-7]{4} ?){8})\b", page.text("main")).group(1))
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "the page is wider than the window"
        page.fill("#password", PASSWORD)
        page.fill("#again", PASSWORD)
        page.fill("#otp", "12345")
        page.press("Enter")
        assert page.evaluate("document.querySelector('#otp').validity.patternMismatch") and page.url == url, "the browser refuses five digits"
        page.fill("#otp", bob.otp())
        with page.navigation():
            page.click("button")
        assert page.status == 200 and "are set" in page.text("main")
        page.check_quiet()
    bob.login()


# ---- logging in -----------------------------------------------------------------------------------------------------


def test_a_replaceable_home_directory_is_refused_before_the_password(cluster, carol, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    done = carol.tsh("login", f"--proxy={cluster.proxy_addr}", f"--user={carol.name}", "--insecure", check=False, stdin="not the password\n000000\n",
                     env={"TELEPORT_HOME": str(shared / ".tsh")})
    assert done.code == 1 and "other users could replace your profile" in done.err, "the cluster was asked first"


def test_an_address_copied_from_a_browser_is_taken(cluster, carol):
    done = carol.tsh("login", f"--proxy=https://{cluster.proxy_addr}/web/login", f"--user={carol.name}", "--insecure",
                     stdin=f"{carol.password}\n{carol.otp()}\n")
    assert "Logged in as" in done.out
    assert carol.tsh("status", f"--proxy=https://{cluster.proxy_addr}").code == 0


def test_accounts_of_a_directory_are_logins(cluster):
    cluster.tctl("users", "add", "dora", "--roles=access", "--logins=dora@corp.example.com,root")
    assert cluster.json("get", "user/dora")[0]["spec"]["traits"] == {"logins": ["dora@corp.example.com", "root"]}
    cluster.tctl("users", "update", "dora", "--set-logins=dora@corp")
    assert cluster.json("get", "user/dora")[0]["spec"]["traits"] == {"logins": ["dora@corp"]}
    cluster.tctl("users", "rm", "dora")


def test_login_shows_the_status_block(carol):
    out = carol.login().out
    for line in (r"> Profile URL: {8}https://", r"  Logged in as: {7}carol", r"  Cluster: {12}example\.test", r"  Roles: {14}access",
                 r"  Logins: {13}root", r"  Valid until: {8}\d{4}-\d\d-\d\d .*\[valid for (12h0m0s|11h59m\d+s)\]", r"  Extensions: +.*permit-pty"):
        assert re.search(line, out), f"{line!r} in\n{out}"
    assert carol.tsh("status").out.split("Valid until")[0] in out + "\n"


def test_the_files_lie_where_teleport_puts_them_and_are_private(carol):
    carol.login()
    top = carol.home / ".tsh"
    host = carol.cluster.proxy_addr.rsplit(":", 1)[0]
    assert (top / "current-profile").read_text().strip() == host
    for path in (f"{host}.yaml", "known_hosts", f"keys/{host}/carol", f"keys/{host}/carol.pub", f"keys/{host}/carol-x509.pem", f"keys/{host}/certs.pem",
                 f"keys/{host}/carol-ssh/example.test-cert.pub"):
        assert (top / path).is_file(), path
        assert (top / path).stat().st_mode & 0o077 == 0, path
    said = subprocess.run(["ssh-keygen", "-L", "-f", top / f"keys/{host}/carol-ssh/example.test-cert.pub"], capture_output=True, text=True, check=True).stdout
    assert "user certificate" in said and 'Key ID: "carol"' in said and "root" in said and "permit-pty" in said
    said = subprocess.run(["openssl", "x509", "-noout", "-subject", "-ext", "extendedKeyUsage", "-in", top / f"keys/{host}/carol-x509.pem"], capture_output=True,
                          text=True, check=True).stdout
    assert "CN = carol" in said and "Client Authentication" in said and "Server Authentication" not in said


def test_a_login_lives_as_requested_within_the_roles_limit(cluster, carol):
    def life():
        said = json.loads(carol.tsh("status", "--format=json").out)["active"]["valid_until"]
        return subprocess.run(["date", "-d", said, "+%s"], capture_output=True, text=True, check=True).stdout

    carol.login("--ttl=5")
    assert 200 < int(life()) - time.time() <= 301
    cluster.tctl("create", "-f", stdin={"kind": "role", "version": "v7", "metadata": {"name": "brief"}, "spec": {"options": {"max_session_ttl": "10m"},
                                                                                                        "allow": {"logins": ["root"]}}})
    cluster.tctl("users", "update", "carol", "--set-roles=access,brief")
    carol.login("--ttl=600")
    assert 500 < int(life()) - time.time() <= 601


def test_logout_leaves_no_key(carol):
    carol.login()
    assert "Logged out all users from all proxies." in carol.tsh("logout").out
    assert not [p for p in (carol.home / ".tsh").rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    done = carol.tsh("status", check=False)
    assert done.code == 1 and "Not logged in" in done.err + done.out


def test_wrong_user_password_and_code_give_the_same_refusal(cluster, carol, tmp_path):
    refusals = set()
    for name, password, otp in (("nobody-there", PASSWORD, "123456"), ("carol", "wrong password here", carol.otp()), ("carol", PASSWORD, "000000")):
        user = User(cluster, name, tmp_path / "guess")
        done = user.login(password=password, otp=otp, check=False)
        assert done.code == 1
        refusals.add(done.err.replace(name, "USER"))
    assert len(refusals) == 1, refusals
    failed = wait_until(lambda: len(e := [e for e in cluster.events("user.login") if not e["success"]]) == 3 and e, "each refusal is audited")
    assert all(e["code"] == "T1000W" for e in failed)


def test_a_code_is_good_once(carol):
    code = carol.otp()
    carol.login(otp=code)
    assert carol.login(otp=code, check=False).code == 1
    carol.login()


def test_guessing_is_stopped_and_its_victim_is_not(cluster, carol, tmp_path):
    """Many failures from here lock this address for this user; local tctl still resets, and another user still logs in."""
    for _ in range(6):
        last = carol.login(password="wrong password here", otp="000000", check=False)
    assert "too many" in last.err or "wait" in last.err
    assert carol.login(check=False).code == 1, "the right password is not tried either"
    done = User(cluster, "dave", tmp_path / "dave").accept(invite_url(cluster.tctl("users", "add", "dave", "--roles=access", "--logins=root").out))
    done.login()
    words = cluster.tctl("users", "reset", "carol").out
    carol.last_step = 0
    carol.accept(invite_url(words)).login()


def test_password_and_code_are_asked_on_a_terminal_without_echo(cluster, carol):
    child = carol.terminal("login", f"--proxy={cluster.proxy_addr}", "--user=carol", "--insecure")
    child.expect_exact("Enter password for Teleport user carol:")
    child.sendline(PASSWORD)
    child.expect_exact("Enter an OTP code from a device:")
    shown = child.before
    child.sendline(carol.otp())
    child.expect("Profile URL")
    assert PASSWORD.encode() not in shown
    child.wait()
    assert child.exitstatus == 0


def test_a_stopped_prompt_restores_the_terminal(cluster, carol):
    login = ("login", f"--proxy={cluster.proxy_addr}", "--user=carol", "--insecure")
    question = "Enter password for Teleport user carol:"
    job = carol.job(*login)
    echoes = lambda: bool(termios.tcgetattr(job.child_fd)[3] & termios.ECHO)
    for stop in (lambda: os.kill(job.job_pid, signal.SIGTSTP), lambda: job.send("\x1a")):
        job.expect_exact(question)
        wait_until(lambda: not echoes(), "nothing is echoed")
        stop()
        job.expect("<stopped usual True>")
        job.send("\n")
    job.expect_exact(question)
    wait_until(lambda: not echoes(), "nothing is echoed")
    os.kill(job.job_pid, signal.SIGSTOP)
    job.expect("<stopped usual False>")
    modes = termios.tcgetattr(job.child_fd)
    termios.tcsetattr(job.child_fd, termios.TCSANOW, modes[:3] + [modes[3] | termios.ECHO] + modes[4:])
    job.send("\n")
    job.expect_exact(question)
    wait_until(lambda: not echoes(), "nothing is echoed again")
    job.sendline(PASSWORD)
    job.expect_exact("Enter an OTP code from a device:")
    job.sendline(carol.otp())
    job.expect("<ended 0 usual True>")
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        job = carol.job(*login)
        job.expect_exact(question)
        wait_until(lambda: not echoes(), "nothing is echoed")
        os.kill(job.job_pid, end)
        job.expect(r"<ended (\d+) usual True>")
        assert os.WTERMSIG(int(job.match.group(1))) == end


def test_a_proxy_without_a_trusted_certificate_gets_no_password(cluster, carol):
    done = carol.tsh("login", f"--proxy={cluster.proxy_addr}", "--user=carol", stdin=f"{PASSWORD}\n{carol.otp()}\n", check=False)
    assert done.code == 1 and "--insecure" in done.err
    assert not cluster.events("user.login")


def test_a_deleted_user_is_out(cluster, carol):
    carol.login()
    cluster.tctl("users", "rm", "carol")
    assert carol.login(check=False).code == 1
    assert carol.tctl("status", check=False).code == 1


def test_nothing_secret_of_a_login_is_written_anywhere(cluster, carol):
    carol.login()
    carol.login(password="a wrong but secret guess", check=False)
    words = cluster.process.text() + (cluster.data_dir / "log/events.log").read_text()
    for secret in (PASSWORD, "a wrong but secret guess", carol.totp_secret):
        assert secret not in words
    for path, text in contents(cluster.data_dir).items():
        assert PASSWORD.encode() not in text, path


# ---- tctl from the workstation ------------------------------------------------------------------------------------------


def test_tctl_works_from_the_workstation_after_login(cluster, invite):
    editor = invite(cluster, "erin", "editor,access", "root")
    editor.login()
    out = editor.tctl("status").out
    assert "example.test" in out and cluster.ca_pin in out
    editor.tctl("tokens", "ls")
    editor.tctl("users", "ls")


def test_tctl_asks_to_log_in_without_a_login(cluster, tmp_path):
    nobody = User(cluster, "nobody", tmp_path / "nobody")
    done = nobody.tctl("status", check=False)
    assert done.code == 1 and "tsh login" in done.err


@pytest.mark.parametrize("args", [("tokens", "ls"), ("users", "ls"), ("get", "roles"), ("users", "add", "eve", "--roles=editor", "--logins=root"),
                                  ("lock", "--user=carol"), ("tokens", "add", "--type=node")])
def test_tctl_follows_the_roles_of_a_user(cluster, carol, args):
    carol.login()
    done = carol.tctl(*args, check=False)
    assert done.code == 1 and "carol" in done.err, done.err
    assert not [u for u in cluster.json("users", "ls") if u["metadata"]["name"] == "eve"]




# ---- which cluster a workstation believes ---------------------------------------------------------------------------


def at_another(cluster, user, name="carol"):
    """A user of that cluster at the same workstation."""
    return User(cluster, name, user.home).accept(invite_url(cluster.tctl("users", "add", name, "--roles=access,editor", "--logins=root").out))


def test_a_proxy_with_a_known_cluster_name_needs_confirmation(cluster, carol, make_cluster):
    carol.login()
    top = carol.home / ".tsh"
    before = contents(top)
    hostile = make_cluster()
    there = at_another(hostile, carol)
    done = there.login(check=False)
    pins = [re.search(r"sha256:[0-9a-f]{64}", c.tctl("status").out).group() for c in (cluster, hostile)]
    assert done.code == 1 and all(pin in done.err for pin in pins), done.err
    assert contents(top) == before
    assert there.login(f"--ca-pin={pins[0]}", check=False).code == 1 and contents(top) == before
    named = re.findall(r"--ca-pin=(\S+)", done.err)
    assert len(named) == 2
    there.login(*[f"--ca-pin={n}" for n in named])
    after = contents(top)
    changed = {str(p) for p in before if after[p] != before[p]}
    assert changed == {"current-profile", "known_hosts"}, changed
    carol.tsh("ls", f"--proxy={cluster.proxy_addr}")
    there.tsh("ls", f"--proxy={hostile.proxy_addr}")
    carol.login()  # at the first one nothing has changed, and nothing needs to be confirmed
    there.tsh("logout", f"--proxy={hostile.proxy_addr}", "--user=carol")
    assert (top / "known_hosts").read_bytes() == before[(top / "known_hosts").relative_to(top)]


def test_an_outer_clusters_name_reaches_no_inner_node(cluster, carol, make_cluster):
    outer = make_cluster(auth={"cluster_name": "test"})
    there = at_another(outer, carol)
    there.login()
    carol.login()
    known = carol.home / ".tsh/known_hosts"

    def cas(host):
        found = subprocess.run(["ssh-keygen", "-F", host, "-f", known], capture_output=True, text=True).stdout
        return [line.split()[1].split(",")[0] for line in found.splitlines() if line.startswith("@cert-authority")]

    assert cas("web-1.example.test") == ["example.test"] and cas("web-1.test") == ["test"]
    config = there.tsh("config", f"--proxy={outer.proxy_addr}").out
    (carol.home / "outer").write_text(config)
    shown = {h: subprocess.run(["ssh", "-G", "-F", carol.home / "outer", h], capture_output=True, text=True, check=True).stdout for h in ("web-1.test", "web-1.example.test")}
    assert "proxycommand" in shown["web-1.test"] and "proxycommand" not in shown["web-1.example.test"]
    for command in (("ssh", "root@web-1.example.test", "true"), ("proxy", "ssh", "root@web-1.example.test"), ("scp", "root@web-1.example.test:/etc/hostname", "/dev/null")):
        done = there.tsh(*command, f"--proxy={outer.proxy_addr}", check=False) if command[0] == "proxy" else \
            there.tsh(command[0], f"--proxy={outer.proxy_addr}", *command[1:], check=False)
        assert done.code == 1 and "is a name in the cluster example.test" in done.err, (command, done.err)


def test_a_profile_that_others_could_change_is_not_used(carol):
    carol.login()
    top = carol.home / ".tsh"
    host = carol.cluster.proxy_addr.rsplit(":", 1)[0]
    commands = [("tsh", "status"), ("tsh", "ls"), ("tsh", "config"), ("tsh", "ssh", "root@web-1", "true"), ("tsh", "recordings", "ls"), ("tsh", "scp", "root@web-1:/x", "/dev/null"),
                ("tsh", "proxy", "ssh", "root@web-1"), ("tctl", "get", "users")]

    def refuse(path, word):
        for program_, *args in commands:
            done = carol.tsh(*args, check=False) if program_ == "tsh" else carol.tctl(*args, check=False)
            assert done.code == 1 and str(path) in done.err and word in done.err, (path, args, done.err)

    for path in (top, top / "keys", top / f"keys/{host}", top / f"keys/{host}/carol", top / f"keys/{host}/certs.pem", top / f"{host}.yaml", top / f"keys/{host}/cas/known_hosts"):
        mode = path.stat().st_mode & 0o777
        path.chmod(mode | 0o020)
        refuse(path, "other users may")
        path.chmod(mode)
        moved = path.with_name(path.name + ".moved")
        path.rename(moved)
        path.symlink_to(moved)
        refuse(path, "symbolic link")
        path.unlink()
        moved.rename(path)
    key = top / f"keys/{host}/carol.key"
    (carol.home / "copy").hardlink_to(key)
    refuse(key, "hard link")
    (carol.home / "copy").unlink()
    carol.tsh("ls")
