# SPDX-License-Identifier: Apache-2.0
"""Certificates by ACME, from Pebble, a real ACME server, which validates the names by TLS-ALPN-01 on the proxy's own port."""
import base64
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import types
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dns_server import Dns
from harness import Cluster, Process, port_of, reserved_port, wait_until
from test_monitoring import DIAG, Diag
from test_web_certificates import connect, ping, shown

NAMES = ("a.example.test", "b.example.test")
SHOWN = "The web certificate is one of ACME"
ISSUED = r"The CA has issued a certificate.* names:\"?a\.example\.test, b\.example\.test"


def name_of(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def write_server_pair(directory):
    """The certificate of Pebble's own HTTPS, which signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    cert = (x509.CertificateBuilder().subject_name(name_of("the CA's web server")).issuer_name(name_of("the CA's web server"))
            .public_key(key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, False).sign(key, hashes.SHA256()))
    (directory / "server.pem").write_bytes(cert.public_bytes(Encoding.PEM))
    (directory / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


class CA:
    """Pebble and a DNS server, in whose answers every name is on this machine."""

    def __init__(self, directory, validity=None, nonces_refused=20):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        self.held = contextlib.ExitStack()
        self.port, self.management, self.proxy_port = (port_of(self.held.enter_context(reserved_port())) for _ in range(3))
        write_server_pair(self.dir)
        config = {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
                  "certificate": str(self.dir / "server.pem"), "privateKey": str(self.dir / "server.key"), "httpPort": 1, "tlsPort": self.proxy_port}
        if validity:
            config["certificateValidityPeriod"] = validity
        (self.dir / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.names = Dns(self.dir, default="127.0.0.1")
        self.server = Process(["pebble", "-config", self.dir / "pebble.json", "-dnsserver", self.names.addr], self.dir / "pebble.log",
                              {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_VA_ALWAYS_VALID": "0", "PEBBLE_WFE_NONCEREJECT": str(nonces_refused),
                               "PEBBLE_AUTHZREUSE": "0"})
        self.server.wait_for("ACME directory available at")
        wait_until(lambda: self.get_root(), "the CA answers")
        (self.dir / "root.pem").write_bytes(self.get_root())

    @property
    def uri(self):
        return f"https://localhost:{self.port}/dir"

    def get_root(self):
        context = ssl.create_default_context(cafile=self.dir / "server.pem")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)).open(
                    f"https://localhost:{self.management}/roots/0", timeout=10) as answer:
                return answer.read()
        except OSError:
            return None

    def configure(self, cluster, **acme):
        cluster.env["SSL_CERT_FILE"] = str(self.dir / "server.pem")
        cluster.config["proxy_service"].update(web_listen_addr=f"127.0.0.1:{self.proxy_port}", public_addr=[f"{name}:443" for name in NAMES],
                                               acme={"enabled": True, "email": "admin@example.test", "uri": self.uri, **acme})
        return cluster

    def stop(self):
        self.server.popen.kill()
        self.server.popen.wait()
        self.server.log.close()
        self.names.stop()
        self.held.close()


@pytest.fixture
def make_ca(tmp_path):
    made = []

    def make(**settings):
        made.append(CA(tmp_path / f"ca{len(made)}", **settings))
        return made[-1]

    yield make
    for ca in made:
        ca.stop()


@pytest.fixture
def make_proxy(build, aws, tmp_path):
    """A cluster that gets its certificate from the CA; it is not started yet."""
    clusters = []

    def make(ca, **acme):
        clusters.append(ca.configure(Cluster(build, aws, tmp_path / f"cluster{len(clusters)}"), **acme))
        return clusters[-1]

    yield make
    for cluster in clusters:
        if cluster.process is not None:
            cluster.stop()


def offer(cluster, name, protocol):
    """The protocol that the proxy selects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with connect(cluster.proxy_addr, name, context) as tls:
        return tls.selected_alpn_protocol()


def test_a_certificate_is_issued_kept_and_shown(make_ca, make_proxy):
    ca = make_ca()
    cluster = make_proxy(ca)
    cluster.start()
    cluster.process.wait_for(SHOWN)
    assert cluster.process.wait_for(ISSUED)
    for name in NAMES:  # as a browser verifies it
        with connect(cluster.proxy_addr, name, ssl.create_default_context(cafile=ca.dir / "root.pem")) as tls:
            assert ping(tls) == b"HTTP/1.1 200 OK"
    first = shown(cluster, NAMES[0])
    assert first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == list(NAMES)
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):  # no challenge is open
        offer(cluster, NAMES[0], "acme-tls/1")
    state = cluster.data_dir / "acme"
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"account.pem", "certificate.pem"}
    acme, proxy = (os.stat(f"/proc/{cluster.process.children()[service]}").st_uid for service in ("acme", "proxy"))
    assert {path.stat().st_uid for path in [state, *files]} == {acme}
    if proxy != 0:  # services of sanitizer builds, and of another user than root, keep their user
        assert acme not in (0, proxy)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600} and state.stat().st_mode & 0o777 == 0o700
    cluster.restart()  # the certificate of the last start is shown, and no other is ordered
    cluster.process.wait_for(SHOWN)
    assert shown(cluster, NAMES[0]) == first
    assert "A certificate is ordered" not in cluster.process.new_text()


# ---- names of applications -----------------------------------------------------------------------------------

APPS = [{"name": "wiki", "uri": "http://127.0.0.1:9"}, {"name": "docs", "uri": "http://127.0.0.1:9", "public_addr": "docs.example.org"}]
APP_ORDERED = "A certificate of an application is ordered"


def names_shown(cluster, name):
    """The names in the certificate that a client gets for this one."""
    cert = shown(cluster, name)
    return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_names_of_applications_get_certificates_when_clients_come(make_ca, make_proxy):
    """Each name alone: one that leads elsewhere fails without harm to the others, and a name of no application is never ordered."""
    ca = make_ca()
    ca.names.move("docs.example.org", "127.0.0.9")  # nothing listens there
    cluster = make_proxy(ca)
    cluster.config["app_service"] = {"enabled": "yes", "apps": APPS}
    cluster.config["teleport"].update(DIAG)
    cluster.start()
    metrics = Diag(cluster).metrics
    cluster.process.wait_for(SHOWN)
    wait_until(lambda: names_shown(cluster, "wiki.a.example.test") == ["wiki.a.example.test"], "the name has a certificate")
    first = shown(cluster, "WIKI.a.example.test")
    with connect(cluster.proxy_addr, "wiki.a.example.test", ssl.create_default_context(cafile=ca.dir / "root.pem")):
        pass  # as a browser verifies it
    for name in ("other.a.example.test", "x.wiki.a.example.test", "example.org", "xn--bcher-kva.a.example.test", "wiki.example.test"):
        assert names_shown(cluster, name) != [name]
    assert names_shown(cluster, "docs.example.org") == list(NAMES)
    line = cluster.process.wait_for("There is no certificate yet for the name of an application.*").group(0)
    assert "name:docs.example.org" in line and "127.0.0.9" in line and "not_before:" in line, line
    assert set(re.findall(rf"{APP_ORDERED} name:(\S+)", cluster.process.text())) == {"wiki.a.example.test", "docs.example.org"}
    assert "No web certificate of this proxy has the public_addr" not in cluster.process.text()  # it gets one
    assert names_shown(cluster, "docs.example.org") == list(NAMES)  # at once, and not ordered again
    assert [metrics()[f'cteleport_acme_app_names{{state="{state}"}}'] for state in ("valid", "failed")] == [1, 1]
    ca.names.move("docs.example.org", "127.0.0.1")
    cluster.process.popen.send_signal(signal.SIGHUP)  # the operator has corrected the name
    wait_until(lambda: names_shown(cluster, "docs.example.org") == ["docs.example.org"], "the corrected name has a certificate")
    cluster.restart()
    cluster.process.wait_for(SHOWN)
    wait_until(lambda: names_shown(cluster, "docs.example.org") == ["docs.example.org"], "the proxy knows the addresses of applications again")
    assert shown(cluster, "wiki.a.example.test") == first
    assert "is ordered" not in cluster.process.new_text()
    assert {path.name for path in (cluster.data_dir / "acme").rglob("*.pem")} == {
        "account.pem", "certificate.pem", "wiki.a.example.test.pem", "docs.example.org.pem"}


def test_a_certificate_is_renewed_before_its_end(make_ca, make_proxy):
    """With another e-mail address of the account than at first, which the CA gets."""
    ca = make_ca(validity=20)
    cluster = make_proxy(ca)
    cluster.start()
    cluster.process.wait_for(SHOWN)
    first = shown(cluster, NAMES[0])
    cluster.config["proxy_service"]["acme"]["email"] = "other@example.test"
    cluster.restart()
    cluster.process.wait_for(f"(?s)The certificate is renewed.*{SHOWN}")
    second = shown(cluster, NAMES[0])
    assert second.serial_number != first.serial_number
    assert second.public_key().public_numbers() != first.public_key().public_numbers()
    assert ca.server.wait_for("POST /my-account/")


def test_a_name_that_leads_elsewhere_is_reported(make_ca, make_proxy):
    ca = make_ca()
    ca.names.move(NAMES[1], "127.0.0.9")  # nothing listens there
    cluster = make_proxy(ca)
    cluster.start()
    line = cluster.process.wait_for("There is no certificate yet.*").group(0)
    assert f"{NAMES[1]}: the CA refuses the authorization (" in line and "127.0.0.9" in line, line
    assert "port 443 of each host of public_addr" in line and "again:" in line
    assert "self-signed" in shown(cluster, NAMES[0]).issuer.rfc4514_string()
    ca.names.move(NAMES[1], "127.0.0.1")
    cluster.process.popen.send_signal(signal.SIGHUP)  # the operator has corrected the name
    cluster.process.wait_for(SHOWN)


def test_a_ca_that_is_not_trusted_is_refused(make_ca, make_proxy):
    cluster = make_proxy(make_ca())
    cluster.env["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
    cluster.start()
    line = cluster.process.wait_for("There is no certificate yet.*").group(0)
    assert "the CA cannot be reached" in line and "trust its certificate" in line, line


def test_teleport_configure_writes_acme(build, tmp_path):
    program = next(path for path in (build, *build.rglob("teleport")) if path.name == "teleport" and path.is_file())

    def configure(*args):
        return subprocess.run([program, "configure", "--cluster-name=teleport.example.test", *args], capture_output=True, text=True, timeout=30, check=False)

    written = configure("--acme", "--acme-email=admin@example.test")
    assert written.returncode == 0
    for line in ("  web_listen_addr: 0.0.0.0:443\n", "  public_addr:\n    - teleport.example.test:443\n", "  acme:\n    enabled: \"yes\"\n    email: \"admin@example.test\"\n"):
        assert line in written.stdout, written.stdout
    assert "--acme-email needs --acme" in configure("--acme-email=x@example.test").stderr
    (tmp_path / "teleport.yaml").write_text(written.stdout.replace("https_keypairs: []", "https_keypairs: [{key_file: /x, cert_file: /y}]"))
    refused = subprocess.run([program, "configure", "--test", tmp_path / "teleport.yaml"], capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 1 and "proxy_service has https_keypairs and acme" in refused.stderr


# ---- a hostile or broken CA ---------------------------------------------------------------------------------


class Liar(http.server.ThreadingHTTPServer):
    """An ACME server that validates nothing and whose answers a test replaces: {step: (status, headers, body), or a function that returns it}."""

    daemon_threads = True

    def __init__(self, directory):
        directory.mkdir()
        write_server_pair(directory)
        super().__init__(("127.0.0.1", 0), LiarHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem", directory / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.dir, self.port, self.lies, self.asked = directory, self.server_address[1], {}, []
        self.sent = {}  # the payload of the last request of each step
        self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    uri = property(lambda self: f"{self.url}/directory")

    def handle_error(self, request, client_address):
        """A client that ends the connection is no error."""

    def answer(self, step):
        url = self.url
        order = {"status": "ready", "authorizations": [f"{url}/authorization"], "finalize": f"{url}/finalize"}
        truth = {
            "directory": (200, {}, {"newNonce": f"{url}/nonce", "newAccount": f"{url}/account", "newOrder": f"{url}/order"}),
            "nonce": (204, {}, b""),
            "account": (201, {"Location": f"{url}/account/1"}, {"status": "valid"}),
            "order": (201, {"Location": f"{url}/order/1"}, order),
            "order/1": (200, {}, order),
            "authorization": (200, {}, {"status": "valid", "identifier": {"type": "dns", "value": NAMES[0]}}),
            "finalize": (200, {}, {**order, "status": "valid", "certificate": f"{url}/certificate"}),
            "certificate": (200, {}, (self.dir / "server.pem").read_bytes()),  # of another key
        }
        lie = self.lies.get(step) or truth[step]
        return lie() if callable(lie) else lie

    def certify(self, age, days=90):
        """A certificate of this age, in days, for the last request."""
        csr = x509.load_der_x509_csr(decoded(self.sent["finalize"]["csr"]))
        begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=age)
        builder = (x509.CertificateBuilder().subject_name(name_of(NAMES[0])).issuer_name(name_of("a CA")).public_key(csr.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=days))
                   .add_extension(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, False))
        return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class LiarHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        step = self.path[1:]
        payload = decoded(json.loads(body)["payload"]) if body else b""
        self.server.sent[step] = json.loads(payload) if payload else None
        self.server.asked.append(step)
        status, headers, body = self.server.answer(step)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Replay-Nonce": "abc", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *words):
        """Nothing: the log of the test is that of the programs."""


def problem(kind, detail="no"):
    return {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}


LIES = [
    ("directory", (200, {}, b"<html>"), "the directory of the CA is not well-formed JSON"),
    ("directory", (200, {}, {"newNonce": "file:///etc/shadow"}), "the directory of the CA has no valid 'newNonce'"),
    ("directory", (200, {}, b" " * 1_000_000), "the CA cannot be reached"),
    ("account", (201, {"Location": "http://127.0.0.1/"}, {}), "does not say where the account is"),
    ("account", (403, {}, problem("unauthorized", "deactivated")), "the CA refuses the account (unauthorized: deactivated, HTTP status 403) (hint: the CA does not accept the account"),
    ("order", (429, {"Retry-After": "7200"}, problem("rateLimited", "too\nmany")), "the CA refuses the order (rateLimited: too"),
    ("order", (400, {}, problem("badNonce")), "the CA refuses the order (badNonce: no, HTTP status 400)"),
    ("authorization", (200, {}, {"status": "valid", "identifier": {"type": "dns", "value": "other.example.test"}}), "is for a name that was not ordered"),
    ("authorization", (200, {}, {"status": "pending", "identifier": {"type": "dns", "value": NAMES[0]}, "challenges": []}), "does not offer the challenge tls-alpn-01"),
    ("certificate", None, "the certificate of the CA cannot be used"),
]


@pytest.fixture
def liar(tmp_path):
    liar = Liar(tmp_path / "liar")
    yield liar
    liar.shutdown()
    liar.server_close()


def test_a_hostile_ca_gets_no_certificate_in(liar, make_proxy):
    """After each failure a reload (SIGHUP) orders again."""
    cluster = make_proxy(types.SimpleNamespace(configure=lambda cluster, **acme: configure_for(cluster, liar)))
    for number, (step, lie, reason) in enumerate(LIES):
        liar.lies, liar.asked = ({step: lie} if lie else {}), []
        if number == 0:
            cluster.start()
        else:
            cluster.process.mark()
            cluster.process.popen.send_signal(signal.SIGHUP)
        line = cluster.process.wait_for("There is no certificate yet.*").group(0)
        assert reason in line and "\n" not in line, line
        if step == "order" and lie[0] == 429:  # the next order waits as long as the CA asks for
            again = datetime.datetime.fromisoformat(line.rsplit("again:", 1)[1].split()[0].replace("Z", "+00:00"))
            assert (again - datetime.datetime.now(datetime.timezone.utc)).total_seconds() > 7000
        if "badNonce" in reason:
            assert 5 < liar.asked.count("order") < 20
    assert "self-signed" in shown(cluster, NAMES[0]).issuer.rfc4514_string()


def test_an_order_is_repeated_when_its_proxy_has_ended(liar, make_proxy):
    """Then the CA issues certificates that are old already, as with a clock that is months ahead: it is not asked again at once."""
    challenge = {"type": "tls-alpn-01", "url": f"{liar.url}/challenge", "token": "abc"}
    liar.lies = {"authorization": (200, {}, {"status": "pending", "identifier": {"type": "dns", "value": NAMES[0]}, "challenges": [challenge]}),
                 "challenge": (200, {}, {}), "account": (200, {"Location": f"{liar.url}/account/1"}, {"contact": ["mailto:old@example.test"]}),
                 "account/1": (200, {}, {})}
    cluster = make_proxy(types.SimpleNamespace(configure=lambda cluster, **acme: configure_for(cluster, liar, email="new@example.test")))
    cluster.start()
    wait_until(lambda: "challenge" in liar.asked and liar.asked[-1] == "authorization", "the CA is asked for the result")
    assert liar.sent["account/1"] == {"contact": ["mailto:new@example.test"]}
    os.kill(cluster.process.children()["proxy"], signal.SIGKILL)
    cluster.process.wait_for("There is no certificate yet.*the proxy process that showed the challenge has ended")
    liar.lies = {"account": liar.lies["account"], "account/1": (400, {}, {"type": "urn:ietf:params:acme:error:invalidContact"}),
                 "certificate": lambda: (200, {}, liar.certify(age=70))}
    liar.asked = []
    cluster.process.wait_for("ordered without a change of the account's e-mail address.*invalidContact")
    cluster.process.wait_for("The new certificate is old by the clock of this machine")
    cluster.process.wait_for(SHOWN)
    assert "a CA" in shown(cluster, NAMES[0]).issuer.rfc4514_string()
    cluster.process.mark()
    cluster.process.popen.send_signal(signal.SIGHUP)
    os.kill(cluster.process.children()["proxy"], signal.SIGKILL)
    cluster.process.wait_for(SHOWN)  # by a new process, after the signal
    assert liar.asked.count("order") == 1


def configure_for(cluster, liar, **acme):
    cluster.env["SSL_CERT_FILE"] = str(liar.dir / "server.pem")
    cluster.config["proxy_service"].update(public_addr=f"{NAMES[0]}:443", acme={"enabled": True, "uri": liar.uri, **acme})
    return cluster
