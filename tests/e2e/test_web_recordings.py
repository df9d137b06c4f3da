# SPDX-License-Identifier: Apache-2.0
"""Recordings in the browser: the list, the player and the downloads, for users as their roles allow. docs/guide/web.md"""
import pytest

from accessibility import check_accessible
from browser import Browser
from harness import Cluster, iam_token, reserved_port, wait_until
from test_player import SCREEN, jump, wait_screen
from test_recording import play, record, the_recording
from users import User, invite_url
from web_browser import WebBrowser


@pytest.fixture(scope="module")
def place(build, aws_process, programs, tmp_path_factory):
    cluster = Cluster(programs, aws_process, tmp_path_factory.mktemp("recordings") / "cluster")
    with reserved_port() as port:
        number = port.getsockname()[1]
        cluster.config["proxy_service"].update(web_listen_addr=f"127.0.0.1:{number}", public_addr=[f"localhost:{number}", f"teleport.example.com:{number}"])
        cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    apps = [{"name": "wiki", "uri": "http://127.0.0.1:9", "labels": {"env": "prod", "team": "docs"}, "description": "Handbook and meeting notes"},
            {"name": "queue", "uri": "tcp://127.0.0.1:9", "labels": {"env": "test"}}]
    cluster.web = cluster.join("web-1", env=aws_process.identity(), ssh={"labels": {"env": "prod", "team": "web"}}, services={"app_service": {"enabled": "yes", "apps": apps}})
    cluster.web.wait_reachable()
    wait_until(lambda: [s["spec"]["state"] for s in cluster.json("apps", "ls")] == ["online"] * 2, "its applications are reached")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def users(place, tmp_path_factory):
    """alice, whose session is recorded; bob, and audrey with the role auditor. Each logs in twice at most: there are three codes at a time."""
    made = {}
    for name, role in (("alice", "access"), ("bob", "access"), ("audrey", "auditor")):
        words = place.tctl("users", "add", name, f"--roles={role}", "--logins=root").out
        made[name] = User(place, name, tmp_path_factory.mktemp(name) / "home").accept(invite_url(words))
    made["alice"].login()
    record(made["alice"], "root@web-1", typed=["PS1='$ '", "clear", "ls --color=always -l /usr", "printf '\\033[1;32mgreen\\033[m \\303\\244 <b>\\n'", "exit"])
    made["recording"] = the_recording(place, made["alice"])
    return made


@pytest.fixture(scope="module")
def browser(place, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "chromium", trust=[place.proxy_addr]) as browser:
        yield browser


def log_in(page, url, user):
    """Opens a page, which leads to the login and back."""
    check_accessible(page.open(url), "login")
    for field, text in (("user", user.name), ("password", user.password), ("otp", user.otp())):
        page.fill(f"input[name={field}]", text)
    with page.navigation():
        page.press("Enter")


def web_of(place, user):
    web = WebBrowser(place.proxy_addr)
    assert web.login(user).status == 303
    return web


@pytest.fixture(scope="module")
def auditor(place, users):
    return web_of(place, users["audrey"])


def test_an_auditor_finds_and_plays_a_recording_in_the_browser(place, users, browser):
    page = browser.page()
    log_in(page, f"https://{place.proxy_addr}/web/recordings", users["audrey"])
    assert page.url.endswith("/web/recordings") and page.count("tbody tr") == 1, "the login leads back"
    assert "root@web-1" in page.text("tbody") and page.text(".badge") == "complete"
    check_accessible(page, "recordings")
    page.fill("input[type=search]", "nobody such")
    with page.navigation():
        page.press("Enter")
    assert "No recording matches" in page.text("main")
    page.fill("input[type=search]", "WEB-1 alice")
    with page.navigation():
        page.press("Enter")
    with page.navigation():
        page.click("tbody a")
    page.wait("document.querySelector('#player').dataset.state === 'loaded'")
    assert page.evaluate("document.querySelector('.notice[role=status]').hidden"), "nothing is wrong with the recording"
    jump(page, 999)
    page.wait(f"!('busy' in document.querySelector('#player').dataset) && {SCREEN}.includes('green \\u00e4 <b>')")
    assert page.count(".screen .bold.f10") == 1 and page.count(".screen b") == 0
    page.fill(".find input", "GREEN")
    page.press("Enter")
    page.wait("document.querySelector('.hits button')")
    check_accessible(page, "recording")
    page.close()


def test_pages_of_an_administrator_are_accessible(place, browser, tmp_path):
    words = place.tctl("users", "add", "olga", "--roles=access,editor,auditor", "--logins=root").out
    olga = User(place, "olga", tmp_path / "home").accept(invite_url(words))
    page, base = browser.page(), f"https://{place.proxy_addr}"
    log_in(page, f"{base}/web", olga)
    browser.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], browserContextId=page.context)
    page.wait("document.querySelector('.copy button')")
    check_accessible(page, "home")
    assert page.text("table a.button") == "Open" and "Handbook" in page.text("table")
    page.click("tr:last-child .copy button")
    page.wait("document.querySelector('tr:last-child .copy button').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "tsh ssh root@web-1" == page.text("tr:last-child .copy code")
    for name in ("cluster", "audit", "sessions"):
        check_accessible(page.open(f"{base}/web/{name}"), name)
    page.close()


def test_downloads_have_all_of_the_recording(place, users):
    web, session = web_of(place, users["alice"]), users["recording"]["session_id"]
    cast = web.get(f"/web/recordings/{session}.cast")
    assert cast.status == 200 and cast.headers["Content-Type"] == "application/x-asciicast" and cast.headers["Cache-Control"] == "no-store"
    assert cast.text == play(users["alice"], session, "json").decode()
    text = web.get(f"/web/recordings/{session}.txt")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8" and text.text == play(users["alice"], session, "text").decode()
    assert "green ä <b>" in text.text and "\x1b" not in text.text and "sandbox" in text.headers["Content-Security-Policy"]
    page = web.get(f"/web/recordings/{session}")
    assert f'href="/web/recordings/{session}.txt"' in page.text and "<noscript>" in page.text
    place.event("session.recording.access", user="alice", sid=session)


def test_other_users_see_recordings_as_their_roles_allow(place, users, auditor):
    session = users["recording"]["session_id"]
    bob = web_of(place, users["bob"])
    assert "There are no recordings that you may see" in bob.get("/web/recordings").words
    for path in (session, f"{session}.cast", f"{session}.txt"):
        refused = bob.get(f"/web/recordings/{path}")
        assert refused.status == 404 and "no recording of such a session" in refused.words, path
        assert auditor.get(f"/web/recordings/{path}").status == 200
    assert session in auditor.get("/web/recordings").text
    nobody = WebBrowser(place.proxy_addr).get(f"/web/recordings/{session}.cast")
    assert nobody.status == 303 and nobody.headers["Location"].startswith("/web/login")


@pytest.mark.parametrize("path", ["x", "x.cast", ".txt", "../../etc/passwd", "0" * 36, "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000.cast",
                                  "FFFFFFFF-0000-4000-8000-000000000000.cast", "ffffffff-ffff-4fff-bfff-ffffffffffff", "a" * 2000])
def test_a_recording_that_is_none_is_not_found(place, users, auditor, path):
    assert auditor.get(f"/web/recordings/{path}").status == 404
