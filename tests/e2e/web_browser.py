# SPDX-License-Identifier: Apache-2.0
"""A browser without scripts: cookies, forms and redirects of the web pages, by http.client."""
import html
import http.client
import re
import ssl
import urllib.parse

from harness import TIMEOUT


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.text = response.read().decode()

    @property
    def words(self):
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def title(self):
        return html.unescape(re.search(r"<title>(.*?)</title>", self.text).group(1))

    def hidden(self, name):
        """The value of a hidden field; of the last form that has it."""
        return html.unescape(re.findall(rf'name="{name}" value="([^"]*)"', self.text)[-1])


class WebBrowser:
    """Follows no redirects by itself; keeps cookies as a browser does: by name, dropped with Max-Age=0."""

    def __init__(self, address, agent="Mozilla/5.0 (test)"):
        self.address, self.agent, self.cookies, self.attributes = address, agent, {}, {}

    def send(self, method, path, form=None, **headers):
        """A connection whose answer is to be received."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(self.address, context=context, timeout=TIMEOUT)
        lines = {"User-Agent": self.agent, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            lines["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            lines.setdefault("Content-Type", "application/x-www-form-urlencoded")
            lines.setdefault("Origin", f"https://{self.address}")
        connection.request(method, path, urllib.parse.urlencode(form) if form is not None else None, lines)
        return connection

    def receive(self, connection):
        answer = Answer(connection.getresponse())
        connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            self.attributes[name] = set(attributes)
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def request(self, method, path, form=None, **headers):
        return self.receive(self.send(method, path, form, **headers))

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def post(self, path, form, **headers):
        return self.request("POST", path, form, **headers)

    def login(self, user, target="", otp=None, password=None, name=None, **headers):
        """Opens the form and sends it."""
        page = self.get("/web/login" + (f"?redirect_uri={urllib.parse.quote(target, safe='')}" if target else ""))
        assert page.status == 200, page.words
        return self.post("/web/login", {"token": page.hidden("token"), "redirect_uri": page.hidden("redirect_uri"), "user": name or user.name,
                                        "password": password or user.password, "otp": otp or user.otp()}, **headers)
