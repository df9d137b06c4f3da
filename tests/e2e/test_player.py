# SPDX-License-Identifier: Apache-2.0
"""The player of recordings, in Chromium, on a page with the policy of the proxy's pages and recordings that the tests write."""
import http.server
import json
import pathlib
import threading

import pytest

from accessibility import check_accessible
from browser import Browser

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = PROJECT / "src/proxy/web/assets"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'"
HTML = """<!DOCTYPE html><html lang="en"><head><title>Recording</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/style.css"><script src="/terminal.js" defer></script><script src="/player.js" defer></script></head>
<body><main id="main"><h1>Recording</h1><div id="player" class="player" data-cast="/cast" hidden></div></main></body></html>"""


def cast(*events, columns=40, rows=6):
    """A recording; an event is (time, output) or (time, (columns, rows))."""
    lines = [{"version": 2, "width": columns, "height": rows, "timestamp": 1700000000}]
    lines += [[at, "o", what] if isinstance(what, str) else [at, "r", f"{what[0]}x{what[1]}"] for at, what in events]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


class Server:
    """Serves the page, and one recording."""

    def __init__(self):
        self.cast = b""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = ASSETS / self.path.lstrip("/")
                known = {"/": ("text/html; charset=utf-8", HTML.encode()), "/cast": ("application/x-asciicast", server.cast)}
                kind, body = known.get(self.path) or (TYPES[path.suffix], path.read_bytes())
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "chromium") as browser:
        yield browser


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def play(browser, server):
    """play(*events): the page with this recording, loaded."""
    pages = []

    def open_it(*events, data=None, **size):
        server.cast = data if data is not None else cast(*events, **size)
        pages.append(browser.page().open(server.url))
        pages[-1].wait("document.querySelector('#player').dataset.state === 'loaded'")
        return pages[-1]

    yield open_it
    for page in pages:
        page.check_quiet()
        page.close()


SCREEN = "[...document.querySelectorAll('.screen > div')].map(l => l.textContent.trimEnd()).join('\\n').trimEnd()"


def wait_screen(page, text):
    page.wait(f"!('busy' in document.querySelector('#player').dataset) && {SCREEN} === {json.dumps(text)}")


def jump(page, seconds):
    page.evaluate(f"(e => {{ e.value = {seconds}; e.dispatchEvent(new Event('input')); }})(document.querySelector('.seek'))")


def test_a_recording_is_played_to_its_end(play):
    page = play((0.1, "one"), (0.2, "\r\ntwo"), (500, "\r\nthree"))
    wait_screen(page, "")
    page.evaluate("document.querySelector('select').value = 8")
    page.click(".play")
    wait_screen(page, "one\ntwo\nthree")  # the pause is skipped
    page.wait("document.querySelector('.play').textContent === 'Play'")
    assert page.text(".time") == "8:20 / 8:20"
    page.click("input[type=checkbox]")  # from the start again, with the pause
    page.click(".play")
    page.wait("document.querySelector('.play').textContent === 'Pause'")
    page.click(".play")
    page.wait("document.querySelector('.play').textContent === 'Play' && document.querySelector('.time').textContent < '8:'")


def test_the_slider_and_the_keys_go_to_a_time(play):
    page = play((1, "one"), (10, "\r\ntwo"), (20, (20, 3)), (30.07, "\x1b[2J\x1b[Hthree"))
    jump(page, 29)
    wait_screen(page, "one\ntwo")
    assert page.count(".screen > div") == 3
    jump(page, 99)
    wait_screen(page, "three")
    page.evaluate("document.querySelector('.stage').focus()")
    for key, shown in (("Home", ""), ("ArrowRight", "one"), ("ArrowRight", "one\ntwo"), ("ArrowLeft", "one"), (".", "one\ntwo"), (",", "one"), ("End", "three"), (",", "one\ntwo")):
        page.press(key)
        wait_screen(page, shown)
    page.press(">")
    assert page.evaluate("document.querySelector('select').value") == "2"
    page.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_a_jump_and_playing_show_the_same_screen(play):
    """Also over the screens that are kept on the way, of which there are many here."""
    lines = "".join(f"\x1b[{31 + i % 7}m{i:06d} {'x' * (i % 60)}\r\n" for i in range(30000))
    page = play(*((i / 100, lines[i * 4000:(i + 1) * 4000]) for i in range(len(lines) // 4000 + 1)), columns=60)
    end = page.evaluate("Number(document.querySelector('.seek').max)")
    expected = """(index => { const r = new Recording(), t = new Terminal(60, 6); return fetch('/cast').then(a => a.text()).then(text => {
        text.trim().split('\\n').forEach(l => r.addLine(l)); r.data.slice(0, r.indexAt(index)).forEach(d => t.write(d)); return t.strings().join('\\n').trimEnd(); }); })"""
    for share in (1, 0.5, 0.9, 0.1, 0.6):
        jump(page, end * share)
        at = page.evaluate("Number(document.querySelector('.seek').value)")
        wait_screen(page, page.evaluate(f"{expected}({at})"))


def test_markup_in_a_recording_is_text(play):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page = play((1, f"{hostile}\x1b]0;{hostile}\x07\x1b[38;2;1;2;3mcolour"), (2, "\r\n\x1b[31m\x1b[1m\x1b[7m&lt;</div>"), columns=100)
    jump(page, 2)
    wait_screen(page, f"{hostile}colour\n&lt;</div>")
    page.fill("input[type=search]", "<img")
    page.press("Enter")
    page.wait("document.querySelectorAll('.hits button').length === 1")
    page.click("summary")
    page.wait("document.querySelector('.transcript pre').textContent.includes('<script>')")
    assert page.count("main img, main script, .screen b, .hits img") == 0
    assert page.evaluate("[...document.querySelectorAll('.screen span')].find(s => s.textContent === 'colour').style.color") == "rgb(1, 2, 3)"


HOSTILE = {
    "scrolls and repeats": "\x1b[999999S\x1b[999999T\x1b[999999b\x1b[999999L\x1b[999999@" * 8,
    "erases": "\x1b[2J" * 64,
    "screens": "\x1b[?1049hx\x1b[?1049l" * 32,
    "combining characters": "e" + "\u0301" * 300,
    "strings without an end": "\x1b]0;" + "x" * 300 + "\x1bP" + "y" * 300,
    "parameters": "\x1b[" + "9" * 100 + ";" * 100 + "m",
    "lone surrogates": "\udcff\ud800" * 100,
    "styles of one cell": "".join(f"\x1b[38;2;{i};{i};{i}m." for i in range(200)),
}


def test_a_hostile_recording_does_not_stop_the_page(play):
    """The page answers while it processes it at the largest size of a terminal."""
    page = play((0, (65535, 65535)), *((i / 10, printed) for i in range(1, 300) for printed in HOSTILE.values()), (40, "\x18\x1b\\\x1bcdone"))
    turns = page.evaluate("""new Promise(done => {
        const slider = document.querySelector('.seek'), box = document.querySelector('#player');
        let n = 0;
        const turn = () => { if ('busy' in box.dataset) { n++; setTimeout(turn); } else done(n); };
        slider.value = 40;
        slider.dispatchEvent(new Event('input'));
        turn();
    })""")
    assert turns > 1, "timers run between two slices of the work"
    wait_screen(page, "done")
    page.fill("input[type=search]", "done")
    page.press("Enter")
    page.wait("document.querySelector('.find [role=status]').textContent === '1 place'")


NONE = {
    b"": "no output", b"{}\n": "version 2", b"junk\n": "cannot be played", b'{"version":2,"width":80,"height":24}\n': "no output", b"x" * (2 << 20): "too long",
    b'{"version":2,"width":80,"height":24}\n[1,"o",5]\n["x","i","y"]\n[1,"r","bad"]\n[]\n': "no output",
}


def test_a_recording_that_is_none_is_reported(play, server):
    page = play((1, "good"))
    for server.cast, shown in NONE.items():
        page.reload()
        page.wait(f"document.querySelector('.notice.bad')?.textContent.includes({json.dumps(shown)})")


def test_notes_of_the_proxy_are_shown(play):
    page = play(data=cast((1, "a")) + b'[1,"m","bytes are <b>missing</b> here"]\n[2,"o","b"]\n')
    assert page.text(".notice") == "0:01: bytes are <b>missing</b> here."
    jump(page, 2)
    wait_screen(page, "ab")


def test_text_is_found_at_each_time_it_appears(play):
    page = play((1, "secret"), (2, "\r      "), (3, "\r\nother"), (4, "\r\nTOP Secret\r\n"), (5, "\r\n" * 9), (6, "\x1b[?1049h\x1b[Hsecret"), columns=20)
    page.fill("input[type=search]", "secret")
    page.press("Enter")
    page.wait("document.querySelectorAll('.hits button').length === 3")
    assert page.evaluate("[...document.querySelectorAll('.hits button')].map(b => b.textContent)") == ["0:01 secret", "0:04 TOP Secret", "0:06 secret"]
    wait_screen(page, "secret")
    assert page.evaluate("document.querySelector('.found').textContent") == "secret"
    page.evaluate("document.querySelector('.stage').focus()")
    page.press("n")
    wait_screen(page, "\nother\nTOP Secret")
    page.click(".hits li:last-child button")
    wait_screen(page, "secret")
    page.press("Enter")
    page.fill("input[type=search]", "absent")
    page.press("Enter")
    page.wait("document.querySelector('.find [role=status]').textContent === 'Not found'")


def test_the_transcript_has_all_lines(play):
    lines = [f"line {i}" for i in range(50)]
    page = play((1, "\r\n".join(lines)), (2, "\x1b[?1049h\x1b[Hediting"), (3, "\x1b[?1049l\r\nend"))
    page.click("summary")
    page.wait("document.querySelector('.transcript pre').textContent.includes('end')")
    text = page.evaluate("document.querySelector('.transcript pre').textContent").split("\n")
    assert [line for line in text if line] == lines[:44] + ["editing"] + lines[44:] + ["end"]


def test_the_player_is_accessible(play):
    page = play((1, "\x1b[31mred\x1b[0m \x1b[44mblue\x1b[0m \u65e5\u672c\r\n$ "), (2, "ls\r\n"), columns=80, rows=24)
    jump(page, 2)
    page.fill("input[type=search]", "ls")
    page.press("Enter")
    page.wait("document.querySelectorAll('.hits button').length === 1")
    check_accessible(page, "player")
