# SPDX-License-Identifier: Apache-2.0
"""Logins in browsers: the login page, sessions and their ends, and the start page. docs/guide/web.md, docs/decisions/0036-web-sessions.md"""
import datetime
import html
import json
import os
import re
import signal
import urllib.parse

import pytest

from accessibility import check_accessible
from browser import Browser
from harness import ACCOUNT, contents, iam_token, wait_until
from web_browser import WebBrowser

WRONG = "not the password"


@pytest.fixture
def alice(cluster, invite):
    return invite(cluster, "alice", "access", "root")


@pytest.fixture
def web(cluster):
    return WebBrowser(cluster.proxy_addr)


def logged_in(cluster, user, **more):
    browser = WebBrowser(cluster.proxy_addr, **more)
    answer = browser.login(user)
    assert (answer.status, answer.headers["Location"]) == (303, "/web"), answer.words
    return browser


def sent_at_once(cluster, path, form, browsers):
    """The answers to a form that all of the browsers send before auth reads the first one."""
    auth = cluster.process.children()["auth"]
    os.kill(auth, signal.SIGSTOP)
    try:
        sent = [browser.send("POST", path, form) for browser in browsers]
        assert WebBrowser(cluster.proxy_addr).get("/web/login").status == 200, "the proxy has received them before"
    finally:
        os.kill(auth, signal.SIGCONT)
    return [browser.receive(connection) for browser, connection in zip(browsers, sent)]


def test_a_user_logs_in_and_out_with_a_browser(cluster, alice, web):
    away = web.get("/web/sessions?a=b")
    assert (away.status, away.headers["Location"]) == (303, "/web/login?redirect_uri=%2Fweb%2Fsessions%3Fa%3Db")
    back = web.login(alice, target="/web/sessions?a=b")
    assert (back.status, back.headers["Location"]) == (303, "/web/sessions?a=b")
    assert web.attributes["__Host-session"] == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert web.attributes["__Host-login"] == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}

    page = web.get("/web/sessions")
    assert page.status == 200 and "this one" in page.words and "Mozilla/5.0 (test)" in page.words and "127.0.0.1" in page.words
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Content-Type-Options"] == "nosniff"
    assert web.get("/web/login").headers["Location"] == "/web", "who is logged in needs no form"

    event = cluster.event("user.login", user="alice", success=True)
    assert event["method"] == "local" and event["user_agent"] == "Mozilla/5.0 (test)" and event["addr.remote"].startswith("127.0.0.1:")
    certificate = cluster.event("cert.create", cert_type="user", user="alice")
    assert "ssh_serial" not in certificate

    kept = dict(web.cookies)
    out = web.post("/web/logout", {"token": page.hidden("token")})
    assert (out.status, out.headers["Location"]) == (303, "/web/login") and "__Host-session" not in web.cookies
    ended = cluster.event("user.web_session.end", user="alice", reason="logout", ended_by="alice")
    assert (ended["code"], ended["user_agent"], ended["addr.remote"]) == ("CTU01I", event["user_agent"], event["addr.remote"])
    web.cookies = kept
    again = web.get("/web")
    assert again.status == 303 and again.headers["Location"] == "/web/login", "the cookie of a login that has ended is worth nothing"


def test_wrong_logins_look_alike_and_are_slowed_down(cluster, alice, web):
    wrong = [web.login(alice, password=WRONG, otp="123456"), web.login(alice, otp="123456"), web.login(alice, name="nobody", otp="123456"),
             web.login(alice, name="al ice", otp="123456")]
    for answer in wrong:
        assert answer.status == 403 and "the user name, the password or the one-time code is wrong" in answer.words.lower()
        assert alice.password not in answer.text and "__Host-session" not in web.cookies
    assert cluster.event("user.login", user="alice", success=False)["user_agent"] == "Mozilla/5.0 (test)"
    for _ in range(3):
        web.login(alice, password=WRONG, otp="123456")
    refused = web.login(alice)
    assert refused.status == 429 and "__Host-session" not in web.cookies, "the guard of tsh login: " + refused.words
    assert "too many failed logins" in alice.login(otp="123456", check=False).err, "and tsh shares it"


def test_forms_of_other_sites_and_other_browsers_are_refused(cluster, alice, web):
    page = web.get("/web/login")
    form = {"token": page.hidden("token"), "redirect_uri": "/web", "user": "alice", "password": alice.password, "otp": alice.otp()}
    assert web.post("/web/login", form, Origin="https://evil.example").status == 403
    assert web.post("/web/login", form, Origin="null", Sec_Fetch_Site="cross-site").status == 403
    assert WebBrowser(cluster.proxy_addr).post("/web/login", form).status == 403, "the form is valid with its cookie only"
    assert web.post("/web/login", {**form, "token": "0" * 32}).status == 403
    assert web.post("/web/login", form).status == 303

    other = logged_in(cluster, alice)
    token = web.get("/web/sessions").hidden("token")
    for attempt in ({}, {"token": "0" * 64}, {"token": other.get("/web/sessions").hidden("token")}):
        refused = web.post("/web/logout", attempt)
        assert refused.status == 403 and "Request ID" in refused.words
        assert cluster.process.wait_for("A page was refused")
    assert web.post("/web/logout", {"token": token}, Origin="https://evil.example").status == 403
    assert web.get("/web").status == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "/webevil", "/web\r\nSet-Cookie: a=b", "javascript:alert(1)", "/", "/web/é"])
def test_a_login_leads_to_pages_of_this_host_only(shared, target):
    web = WebBrowser(shared.proxy_addr)
    page = web.get("/web/login?redirect_uri=" + urllib.parse.quote(target, safe=""))
    assert page.status == 200 and page.hidden("redirect_uri") == "/web"


def test_a_user_ends_logins_of_other_browsers(cluster, alice, web, invite):
    web.login(alice)
    other = logged_in(cluster, alice, agent="Other/1\xe9<b>" + "x" * 300)
    page = web.get("/web/sessions")
    assert page.words.count("this one") == 1 and "Other/1?<b>" in page.words and "x" * 200 not in page.text and "<b>x" not in page.text
    other_id, secret = other.cookies["__Host-session"].split(".")
    assert other_id in page.text and secret not in page.text
    assert other.get("/web").status == 200, "the proxy has the session and its connection now"
    form = {"token": page.hidden("token"), "id": other_id}
    done = web.post("/web/sessions", form)
    assert (done.status, done.headers["Location"]) == (303, "/web/sessions")
    assert other.get("/web").headers["Location"] == "/web/login"
    assert web.post("/web/sessions", form).status == 404 and web.get("/web").status == 200

    bob = invite(cluster, "bob", "access", "root")
    first, second = logged_in(cluster, bob), logged_in(cluster, bob)
    others = {"token": first.get("/web/sessions").hidden("token"), "id": "others"}
    assert {answer.status for answer in sent_at_once(cluster, "/web/sessions", others, [first] * 8)} == {303}
    assert second.get("/web").status == 303 and first.get("/web").status == 200 and web.get("/web").status == 200
    assert first.post("/web/logout", {"token": others["token"]}).status == 303 and cluster.event("user.web_session.end", user="bob", reason="logout")
    for user in ("alice", "bob"):
        cluster.exactly(1, "user.web_session.end", user=user, reason="ended by the user", ended_by=user)


def test_a_login_form_that_is_sent_again_leads_on(cluster, alice, web, invite):
    page = web.get("/web/login?redirect_uri=%2Fweb%2Fsessions")
    form = {"token": page.hidden("token"), "redirect_uri": page.hidden("redirect_uri"), "user": "alice", "password": alice.password, "otp": alice.otp()}
    twice = [WebBrowser(cluster.proxy_addr), WebBrowser(cluster.proxy_addr)]
    for click in twice:  # of a double click: none has the cookie of the other
        click.cookies = dict(web.cookies)
    answers = sent_at_once(cluster, "/web/login", form, twice)
    assert [(a.status, a.headers["Location"]) for a in answers] == [(303, "/web/sessions")] * 2, [a.words for a in answers]
    assert twice[0].cookies == twice[1].cookies and "__Host-session" in twice[0].cookies

    web.cookies = dict(twice[0].cookies)
    again = web.post("/web/login", form)  # a reload
    assert (again.status, again.headers["Location"]) == (303, "/web/sessions") and web.cookies == twice[0].cookies
    assert web.get("/web/sessions").words.count("this one") == 1
    refused = web.post("/web/login", {**form, "token": "0" * 64})
    assert refused.status == 403 and "does not belong to this browser" in refused.words
    bob = invite(cluster, "bob", "access", "root")
    answer = web.post("/web/login", {**form, "user": "bob", "password": bob.password, "otp": bob.otp()})
    assert answer.status == 303 and web.cookies["__Host-session"] != twice[0].cookies["__Host-session"], "another user logs in"
    web.cookies = {name: value for name, value in web.cookies.items() if name == "__Host-login"}
    assert "is wrong" in web.post("/web/login", form).words, "without the session the code is good once"
    cluster.exactly(1, "user.login", user="alice", success=True)
    cluster.exactly(1, "user.login", user="alice", success=False)


def test_locks_roles_and_removals_act_on_a_browser_at_once(cluster, alice, web, invite):
    mallory = invite(cluster, "mallory", "access", "root")
    web.login(alice)
    theirs = logged_in(cluster, mallory)
    own = web.cookies["__Host-session"].split(".")[0]
    token = theirs.get("/web/sessions").hidden("token")
    assert theirs.post("/web/sessions", {"token": token, "id": own}).status == 404, "only own logins can be ended"

    assert web.get("/web").status == 200
    lock = cluster.tctl("lock", "--user=alice", "--message=leaving").out
    refused = web.get("/web")
    assert refused.status == 403 and "Request ID" in refused.words and "leaving" in refused.words, refused.words
    kept = dict(web.cookies)
    out = web.post("/web/logout", {"token": refused.hidden("token")})
    assert (out.status, out.headers["Location"]) == (303, "/web/login") and "__Host-session" not in web.cookies, "another user may use this browser"
    assert web.get("/web/login").status == 200
    web.cookies = kept
    name = lock.split('"')[1]
    cluster.tctl("rm", f"lock/{name}")
    assert web.get("/web").status == 200

    cluster.tctl("users", "reset", "alice")
    assert web.get("/web").status == 303, "a reset of the password ends the logins in browsers"
    ended = cluster.exactly(1, "user.web_session.end", user="alice")[0]  # none by the lock: the login was there again after it
    assert ended["reason"] == "password reset" and ended["ended_by"].startswith("admin")
    assert theirs.get("/web").status == 200
    cluster.tctl("users", "rm", "mallory")
    assert theirs.get("/web").status == 303


def test_a_session_survives_the_proxy_and_auth(cluster, alice, web):
    web.login(alice)
    assert web.get("/web").status == 200
    os.kill(cluster.process.children()["proxy"], signal.SIGKILL)
    wait_until(lambda: cluster.process.text().count("Proxy Service is starting") == 2, "the proxy is back")
    wait_until(lambda: answers(web), "pages are served again")
    assert web.get("/web").status == 200, "the key is read from auth, sealed, and opened with the cookie"
    proxy = cluster.process.children()["proxy"]

    forged = dict(web.cookies)
    value = forged["__Host-session"]
    for wrong in (value[:-1] + ("0" if value[-1] != "0" else "1"), value.split(".")[0], value.replace(".", "_"), "x" * 97, value + "0"):
        web.cookies["__Host-session"] = wrong
        assert web.get("/web").status == 303, wrong
        web.cookies = dict(forged)
    assert web.get("/web").status == 200
    assert os.path.exists(f"/proc/{proxy}"), "a wrong secret beside the ID of a session in memory takes nothing from that session"

    stored = b"".join(contents(cluster.data_dir / "backend").values())
    secret = value.split(".")[1]
    assert value.split(".")[0].encode() in stored, "the session is stored"
    assert secret.encode() not in stored and bytes.fromhex(secret) not in stored and b"PRIVATE KEY" not in stored


def answers(web):
    """The proxy serves pages, and has its connection to auth again."""
    try:
        return web.get("/web").status != 503
    except OSError:
        return False


def test_the_start_page_lists_nodes_that_roles_allow(access, invite, aws):
    """Nodes with their command; search and labels without scripts. The roles decide, not the proxy."""
    access.join("db-1", env=aws.identity(), ssh={"labels": {"env": "dev", "note": "<script>alert(1)</script> & more", **{f"z{i}": "y" for i in range(10)}}}).wait_reachable()
    alice, web = invite(access, "alice", "access", "ubuntu,root"), WebBrowser(access.proxy_addr)
    web.login(alice)
    page = web.get("/web")
    assert page.status == 200 and page.title == "Resources" and "2 of 2." in page.words
    assert "tsh ssh root@web-1" in page.words and "tsh ssh root@db-1" in page.words and page.words.index("db-1") < page.words.index("web-1")
    assert "<script>" not in page.text and "note=<script>alert(1)</script> & more" in page.words
    assert '/web?q=&amp;label=env%3Dprod' in page.text and "<summary>4 more</summary>" in page.text and "z9=y" in page.words

    for query, found in {"q=PROD": ["web-1"], "q=web+team": ["web-1"], "q=web+dev": [], "label=env%3Ddev": ["db-1"], "label=env%3D": [], "q=more": ["db-1"],
                         "q=%22%3E%3Cb%3E": [], "page=2": [], "page=0": ["db-1", "web-1"], "page=x&label=team%3Dweb": ["web-1"]}.items():
        page = web.get("/web?" + query)
        assert page.status == 200 and "<b>x" not in page.text, page.words
        assert [name for name in ("db-1", "web-1") if f"@{name}" in page.words] == found, query
        assert ("The list has fewer pages: the first one" in page.words) == (query == "page=2"), query
    assert web.get("/web?q=%").status == 400 and web.get("/web?q=" + "a" * 1500).status == 400

    access.tctl("create", "-f", stdin="kind: role\nversion: v7\nmetadata: {name: dev}\nspec: {allow: {logins: [root], node_labels: {env: dev}}}\n")
    access.tctl("users", "update", "alice", "--set-roles=dev")
    page = web.get("/web")
    assert "db-1" in page.words and "web-1" not in page.words, "a changed role acts at once"


def test_administrators_see_the_cluster_and_its_audit_log(cluster, invite, aws):
    cluster.create(iam_token(name="fleet"))
    cluster.tctl("tokens", "add", "--type=node", "--value=0123456789abcdef0123456789abcdef")
    cluster.join("web-1", token="fleet", env=aws.identity())
    arn = "arn:aws:sts::999999999999:assumed-role/web/i-0123456789abcdef0"
    refused = cluster.host("web-2", token="fleet", env=aws.identity(arn, account="999999999999"))
    refused.start()
    cluster.event("instance.join", success=False, node_name="web-2")
    refused.stop()
    cluster.tctl("lock", "--user=nobody", "--message=<b>out</b>")
    cluster.tctl("create", stdin="kind: role\nversion: v7\nmetadata: {name: dev}\nspec: {allow: {logins: [root], node_labels: {env: dev}}}\n")
    admin, user = invite(cluster, "admin", "access,editor,auditor", "root"), invite(cluster, "alice", "dev", "root")
    web, other = logged_in(cluster, admin), logged_in(cluster, user)

    page = web.get("/web/cluster")
    assert page.status == 200, page.words
    for text in ("web-1", "iam fleet", "assumed-role/web", "editor", "alice", "<b>out</b>", "(secret)", "standby", "16.1.0"):
        assert text in page.words, text
    assert "0123456789abcdef0123456789abcdef" not in page.text and "<b>out" not in page.text and "1970" not in page.words
    assert 'href="/web/audit?type=instance.join&amp;refused=yes"' in page.text
    page = other.get("/web/cluster")
    assert page.status == 200 and page.words.count("Access denied: no role of user alice allows") == 4 and "fleet" not in page.words

    times = re.findall(r'data-label="Time">([^<]+)<', web.get("/web/audit").text)
    assert len(times) > 10 and times == sorted(times, reverse=True), "newest first"
    middle = int(datetime.datetime.fromisoformat(times[5]).timestamp() * 1000)
    assert set(re.findall(r'data-label="Time">([^<]+)<', web.get(f"/web/audit?to={middle}").text)) == {time for time in times if time <= times[5]}
    assert "web-1" in web.get("/web/audit?type=instance.join").words
    page = web.get("/web/audit?type=instance.join&refused=yes")
    assert page.words.count("instance.join refused") == page.text.count("<tr><td") and "web-1" not in page.words
    assert page.status == 200 and "web-2" in page.words and "refused" in page.words and "tctl tokens explain fleet" in page.words, page.words
    assert f"tctl tokens explain fleet --account=999999999999 --arn={arn} " in page.words, page.words
    link = html.unescape(re.search(r'href="(/web/explain[^"]*)"', page.text).group(1))
    rules, answer = web.get(link), cluster.tctl("tokens", "explain", "fleet", "--account=999999999999", f"--arn={arn}", "--format=json").out
    answer = json.loads(answer)
    assert rules.status == 200 and answer["summary"] in rules.words and all(rule["text"] in rules.words for rule in answer["rules"]) and answer["rules"], rules.words
    assert "allowed by rule 1" in web.get(link.replace("999999999999", ACCOUNT)).words
    strange = web.get("/web/explain?token=fleet&account=123456789012&arn=%3Cb%3Ex")
    assert strange.status == 200 and "<b>x" not in strange.text and "<b>x" in strange.words
    assert web.get("/web/explain").status == 400 and web.get(link.replace("fleet", "none")).status == 404 and other.get(link).status == 403
    assert "user.login" not in page.words and "user.login" in web.get("/web/audit?user=alice").words
    assert "No events here" in web.get("/web/audit?user=%3Cb%3E&type=x").words
    assert other.get("/web/audit").status == 403


def test_a_keyboard_suffices_and_all_pages_are_accessible(cluster, invite, tmp_path):
    cluster.create(iam_token())
    admin = invite(cluster, "admin", "access,editor,auditor", "root")
    with Browser(tmp_path / "chromium", trust=[cluster.proxy_addr]) as browser:
        page = browser.page(width=390, scheme="dark")
        page.open(f"https://{cluster.proxy_addr}/web/sessions")
        check_accessible(page, "login")
        page.fill("#user", "admin")
        page.fill("#password", admin.password)
        page.fill("#otp", admin.otp())
        with page.navigation():
            page.press("Enter")
        assert page.url == f"https://{cluster.proxy_addr}/web/sessions" and "this one" in page.text("main")
        for name in ("", "sessions", "cluster", "audit", f"explain?token=iam-token&account={ACCOUNT}&arn=x"):
            check_accessible(page.open(f"https://{cluster.proxy_addr}/web/{name}".rstrip("/")), f"empty-{name}")
        page.check_quiet()
        page.open(f"https://{cluster.proxy_addr}/web")
        with page.navigation():
            page.click(".who button")
        assert page.url == f"https://{cluster.proxy_addr}/web/login"
        assert not [cookie for cookie in page.cookies() if cookie["name"] == "__Host-session"]
