# SPDX-License-Identifier: Apache-2.0
"""
Real browsers: headless Chromium, driven by the DevTools protocol (chromedevtools.github.io/devtools-protocol) over a pipe.

A Browser is one process with a profile of its own. Each page() is a tab in a private window of its own, with its own cookies. Everything is
awaited by events of the browser: nothing sleeps.

    with Browser(tmp_path / "chromium", trust=[cluster.proxy_addr]) as browser:
        page = browser.page(width=390, scheme="dark")
        page.open(f"https://{cluster.proxy_addr}/web")
        page.fill("#user", "alice")
        with page.navigation():
            page.click("button")
        assert page.status == 200 and "Welcome" in page.text("main")
        page.check_quiet()
"""
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import select
import signal
import socket
import ssl
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import TIMEOUT, clean_env

FLAGS = """
    --headless=new --remote-debugging-pipe --disable-gpu --disable-dev-shm-usage --hide-scrollbars --mute-audio --no-first-run
    --no-default-browser-check --disable-background-networking --disable-component-update --disable-default-apps --disable-extensions
    --disable-sync --disable-breakpad --disable-crash-reporter --metrics-recording-only --disable-domain-reliability
    --disable-client-side-phishing-detection --disable-background-timer-throttling --disable-backgrounding-occluded-windows
    --disable-renderer-backgrounding --disable-ipc-flooding-protection --password-store=basic --force-color-profile=srgb --lang=en-US
    --disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication,PasswordManager
""".split()

# Names of keys that are not characters: code, Windows key code, text.
KEYS = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, ""), "Escape": ("Escape", 27, ""), " ": ("Space", 32, " "), "ArrowLeft": ("ArrowLeft", 37, ""),
        "ArrowUp": ("ArrowUp", 38, ""), "ArrowRight": ("ArrowRight", 39, ""), "ArrowDown": ("ArrowDown", 40, ""), "Home": ("Home", 36, ""),
        "End": ("End", 35, ""), "PageUp": ("PageUp", 33, ""), "PageDown": ("PageDown", 34, "")}
SHIFT = 8


def pin_of(address):
    """The SHA-256 of the public key of the certificate at host:port, as Chromium's list of trusted ones has it."""
    host, _, port = address.rpartition(":")
    with contextlib.closing(ssl._create_unverified_context().wrap_socket(socket.create_connection((host.strip("[]"), int(port)), TIMEOUT))) as tls:
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Browser:
    """
    Chromium. It accepts the certificates of the addresses in `trust`, whatever their names, and no others. `hosts` are rules for names
    (--host-resolver-rules): {"*.example.test": "127.0.0.1"} sends them there; all other names are not found.
    """

    def __init__(self, directory, trust=(), hosts=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        self.downloads = self.dir / "downloads"
        rules = [f"MAP {name} {address}" for name, address in (hosts or {}).items()] + ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost"]
        pins = [f"--ignore-certificate-errors-spki-list={','.join(map(pin_of, trust))}"] if trust else []
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        command = ["chromium", *FLAGS, *root, *pins, f"--user-data-dir={self.dir / 'profile'}", f"--host-resolver-rules={', '.join(rules)}", "about:blank"]
        self.log = open(self.dir / "chromium.log", "wb")
        (commands, self.to_browser), (self.from_browser, answers) = os.pipe(), os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers and events to 4, each ended by a zero byte.
        inner = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (commands, answers)]
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{inner[0]} 4>&{inner[1]}', "bash", *command], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, pass_fds=inner, start_new_session=True, env=clean_env(HOME=self.dir))
        for fd in (commands, answers, *inner):
            os.close(fd)
        os.set_blocking(self.to_browser, False)
        self.partial, self.number, self.answers, self.sessions = b"", 0, {}, {}
        try:
            self.version = self.send("Browser.getVersion")["product"]
            self.send("Target.setDiscoverTargets", discover=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends all its processes, which are a session of their own."""
        if self.process is None:
            return
        process, self.process = self.process, None
        for fd in (self.to_browser, self.from_browser):
            os.close(fd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT)
        self.log.close()

    def text_of_log(self):
        return (self.dir / "chromium.log").read_text(errors="replace")[-3000:]

    # ---- the protocol

    def write(self, message):
        data = json.dumps(message).encode() + b"\0"
        while data:
            _, ready, _ = select.select([], [self.to_browser], [], TIMEOUT)
            assert ready, "the browser does not read"
            try:
                data = data[os.write(self.to_browser, data):]
            except BrokenPipeError:
                raise AssertionError(f"the browser has ended:\n{self.text_of_log()}") from None

    def send(self, method, session=None, **params):
        """A command; returns its answer. Events that come before it are handled."""
        self.number += 1
        number = self.number
        self.write({"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})})
        deadline = time.monotonic() + TIMEOUT
        while number not in self.answers:
            self.receive(deadline, method)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise ProtocolError(f"{method}: {answer['error'].get('message')}")
        return answer.get("result", {})

    def receive(self, deadline, what):
        """Waits for more from the browser, and handles it."""
        ready, _, _ = select.select([self.from_browser], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"{what}: not within {TIMEOUT} s\n{self.text_of_log()}"
        data = os.read(self.from_browser, 1 << 20)
        assert data, f"{what}: the browser has ended\n{self.text_of_log()}"
        *messages, self.partial = (self.partial + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.sessions:
                self.sessions[message["sessionId"]].on_event(message["method"], message["params"])

    def wait(self, check, what):
        """The first true value of check(), which is called again after each message of the browser."""
        deadline = time.monotonic() + TIMEOUT
        while not (value := check()):
            self.receive(deadline, what)
        return value

    # ---- pages

    def page(self, width=1280, height=900, scheme="light", script=True, beside=None):
        """A tab in a private window of its own, or in that of another page; script False: as a browser without scripts."""
        context = beside.context if beside else self.send("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        return Page(self, context, target, width, height, scheme, script)


class ProtocolError(Exception):
    """The browser has refused a command."""


class Page:
    def __init__(self, browser, context, target, width, height, scheme, script):
        self.browser, self.context, self.target = browser, context, target
        self.script = script
        self.seen, self.loaded = set(), set()  # documents of this tab: those that have begun, and those that are complete
        self.status, self.headers, self.complaints, self.requests, self.finished = None, {}, [], [], []
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.sessions[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable")
        frame = self.send("Page.getFrameTree")["frameTree"]["frame"]
        self.main_frame = frame["id"]
        self.seen.add(frame["loaderId"])
        self.send("Page.setLifecycleEventsEnabled", enabled=True)
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)
        self.show(width, height, scheme)
        if not script:
            self.send("Emulation.setScriptExecutionDisabled", value=True)

    def send(self, method, **params):
        return self.browser.send(method, self.session, **params)

    def show(self, width=1280, height=900, scheme="light", motion="no-preference"):
        """Changes the size of the window and the user's preferences."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                          {"name": "prefers-reduced-motion", "value": motion}])

    def on_event(self, method, params):
        if method == "Page.lifecycleEvent" and params["frameId"] == self.main_frame:
            self.seen.add(params["loaderId"])
            if params["name"] == "load":
                self.loaded.add(params["loaderId"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.responseReceived" and params["type"] == "Document" and params["frameId"] == self.main_frame:
            self.status, self.headers = params["response"]["status"], {k.lower(): v for k, v in params["response"]["headers"].items()}
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append([a.get("value", a.get("description")) for a in params["args"]])
        elif method == "Browser.downloadProgress" and params["state"] == "completed":
            self.finished.append(params["guid"])

    def check_quiet(self):
        """The browser had nothing to complain of: no policy violated, no exception, no failed request."""
        assert not self.complaints, self.complaints

    # ---- going places

    @contextlib.contextmanager
    def navigation(self):
        """What is done within loads another page in this tab, whose load is awaited."""
        self.send("Runtime.evaluate", expression="0")  # whatever happened before has arrived
        before = set(self.seen)
        yield
        self.browser.wait(lambda: self.loaded - before, "another page")

    def open(self, url):
        with self.navigation():
            answer = self.send("Page.navigate", url=url)
            assert not answer.get("errorText"), f"{url}: {answer['errorText']}"
        return self

    def reload(self):
        with self.navigation():
            self.send("Page.reload")

    @property
    def url(self):
        return self.send("Page.getFrameTree")["frameTree"]["frame"]["url"]

    # ---- looking and doing

    def evaluate(self, expression):
        """The value of an expression; a promise is awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in answer, json.dumps(answer["exceptionDetails"])[:2000]
        return answer["result"].get("value")

    def wait(self, expression):
        """The first true value of an expression, which the page evaluates again and again until then."""
        if not self.script:  # without scripts nothing changes once the page is loaded, and timers do not run
            value = self.evaluate(expression)
            assert value, expression
            return value
        watch = f"""new Promise(done => {{
            const check = () => {{ const value = ({expression}); if (value) done(value); else setTimeout(check, 10); }};
            check();
        }})"""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                answer = self.send("Runtime.evaluate", expression=watch, returnByValue=True, awaitPromise=True)
            except ProtocolError as gone:  # another page was loaded meanwhile: ask that one
                assert time.monotonic() < deadline and ("context" in str(gone) or "navigat" in str(gone)), gone
                continue
            assert "exceptionDetails" not in answer, json.dumps(answer["exceptionDetails"])[:2000]
            return answer["result"].get("value")

    def text(self, selector="body"):
        """What a user reads there."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def count(self, selector):
        return self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def click(self, selector):
        """A click in the middle of the first such element, with the mouse; something that covers the element fails the test."""
        x, y, hit = self.wait(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{block: 'center', behavior: 'instant'}});
            const box = element.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
            const top = document.elementFromPoint(x, y);
            return [x, y, element === top || element.contains(top) || (top?.closest('label')?.control === element)];
        }})()""")
        assert hit, f"{selector} is covered by another element"
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def fill(self, selector, text):
        """Replaces the text of a field, as typed."""
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.evaluate(f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))")
        self.send("Input.insertText", text=text)

    def press(self, key, shift=False):
        """A key, by its name in KEYS or as a character."""
        code, number, text = KEYS.get(key, (f"Key{key.upper()}" if key.isalpha() else "", ord(key[0].upper()), key))
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": SHIFT if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def focused(self):
        """The element that the keyboard acts on: its name and ID, and whether its focus can be seen."""
        return self.evaluate("""(e => ({tag: e.tagName.toLowerCase(), id: e.id, text: (e.innerText || e.value || '').trim().slice(0, 60),
            seen: getComputedStyle(e).outlineStyle !== 'none'}))(document.activeElement)""")

    def cookies(self):
        return self.send("Network.getCookies")["cookies"]

    def screenshot(self, path, whole=True):
        """A picture of the window, or of the whole page, in a file, PNG or WebP by its name. Returns its path."""
        form = {"format": "webp", "quality": 50} if str(path).endswith(".webp") else {"format": "png"}
        data = self.send("Page.captureScreenshot", **form, captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
        return path

    def download(self, act):
        """Calls act(), which starts a download; the path of the file once all of it is there."""
        self.browser.send("Browser.setDownloadBehavior", behavior="allowAndName", browserContextId=self.context,
                          downloadPath=str(self.browser.downloads), eventsEnabled=True)
        self.browser.sessions[None] = self  # these events are the browser's, not the page's
        known = len(self.finished)
        act()
        self.browser.wait(lambda: len(self.finished) > known, "the download is complete")
        return self.browser.downloads / self.finished[-1]

    def accessible(self):
        """The accessibility tree as a list: role, name and properties of each node that assistive technology gets."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [{"role": n["role"]["value"], "name": n.get("name", {}).get("value", ""),
                 **{p["name"]: p["value"].get("value") for p in n.get("properties", ())}} for n in nodes if not n["ignored"]]

    def close(self):
        self.browser.sessions.pop(self.session, None)
        self.browser.send("Target.closeTarget", targetId=self.target)
