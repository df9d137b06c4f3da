#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the parts of AWS that a join touches: STS over TLS, IMDS and the container endpoint.

Signatures are verified with botocore's own signer, so an accepted request is signed as by an AWS client. TLS is served with a certificate for the real STS names, from a CA made at start.

    aws.py --state FILE --dir DIR

FILE (JSON) lists the identities; it is read again when it changes:
    {"keys": {"AKID": {"secret": "...", "token": "...", "account": "...", "arn": "...", "user_id": "..."}},
     "imds": {"role": "web", "key": "AKID", "region": "us-east-1", "v1": false, "enabled": true},
     "container": {"key": "AKID", "authorization": "..."},
     "roles": {"arn:aws:iam::...:role/x": {"key": "AKID", "web_identity_token": "..."}},
     "sts": {"mode": "ok"}}

sts.mode: ok, slow (answers after `seconds`), held (answers when the mode is another one), hang, throttle, down (503), html, redirect, xml, lie-account,
twice (duplicate key), huge, empty, reset; a good answer as `content_type` says (type), marked as gzip (encoded), with an Error
beside it (beside) or in its metadata (within), or a second identity (second), two lengths (lengths), a length and
chunks (smuggled), until the connection ends with close_notify (ended) or without (cut), cut within its length (short) or before the last chunk (chunks); leak (a refusal that repeats the session token in code
and message). reused: the second request of a connection gets no answer. `times` limits a mode to the next N requests, `hosts`
(name -> mode and more) a mode to requests of that host.

When serving, one line of JSON contains the ports: {"sts": 1234, "imds": 1235, "ca": "/…/ca.pem"}. Every STS
request is appended to DIR/sts.log as JSON when it is answered; one that is held up also when it arrives.
"""
import argparse
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

STS_NAMES = ["sts.amazonaws.com"] + [
    f"sts.{region}.amazonaws.com"
    for region in ("us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2",
                   "us-gov-west-1")
] + ["sts.cn-north-1.amazonaws.com.cn", "sts-fips.us-east-1.amazonaws.com", "sts-fips.us-west-2.amazonaws.com"]
ODD = ("type", "encoded", "beside", "within", "second", "lengths", "smuggled", "ended", "cut", "short", "chunks")
XML = "https://sts.amazonaws.com/doc/2011-06-15/"


class State:
    """The identities and the behaviour of STS; read again whenever the file changes."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.stamp = None
        self.data = {}
        self.used = 0

    def get(self):
        with self.lock:
            stat = os.stat(self.path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8") as f:
                    self.data = json.load(f)
                self.stamp = stamp
                self.used = 0
            return self.data

    def sts_mode(self, host):
        sts = self.get().get("sts", {})
        sts = sts.get("hosts", {}).get(host, sts)
        with self.lock:
            if "times" in sts and self.used >= sts["times"]:
                return {"mode": "ok"}
            self.used += 1
        return sts


def make_certificate(name, issuer, key, signer, is_ca, names=()):
    """A certificate for key by signer; for a server it holds names and 127.0.0.1."""
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        alternatives = [x509.DNSName(n) for n in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(signer, hashes.SHA256())


def make_certificates(directory, names=STS_NAMES, ca_name="stand-in for Amazon's roots", alternatives=None):
    """
    A CA and a server certificate for the STS names, or with the first as subject and others as alternatives; returns the
    paths of ca.pem, sts.pem and sts.key.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = make_certificate(ca_name, ca_name, ca_key, ca_key, True)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = make_certificate(names[0], ca_name, key, ca_key, False, names if alternatives is None else alternatives)
    paths = {name: os.path.join(directory, name) for name in ("ca.pem", "sts.pem", "sts.key")}
    pem = serialization.Encoding.PEM
    with open(paths["ca.pem"], "wb") as f:
        f.write(ca.public_bytes(pem))
    with open(paths["sts.pem"], "wb") as f:
        f.write(leaf.public_bytes(pem))
    with open(os.open(paths["sts.key"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


class StsError(Exception):
    def __init__(self, code, message, status=403):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def check_signature(state, method, host, headers, body):
    """Verifies the request with botocore's signer; returns the key's entry. headers: list of pairs."""
    given = {}
    for name, value in headers:
        if name.lower() in given:
            raise StsError("InvalidRequest", f"header {name} twice", 400)
        given[name.lower()] = value
    authorization = given.get("authorization")
    if not authorization:
        raise StsError("MissingAuthenticationToken", "Request is missing Authentication Token")
    try:
        scheme, rest = authorization.split(" ", 1)
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        key_id, day, region, service, terminator = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
    except (ValueError, KeyError) as broken:
        raise StsError("IncompleteSignature", "Authorization cannot be read", 400) from broken
    if scheme != "AWS4-HMAC-SHA256" or service != "sts" or terminator != "aws4_request":
        raise StsError("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. ")
    expected_region = "us-east-1" if host == "sts.amazonaws.com" else host.split(".")[1]
    if region != expected_region:
        raise StsError("SignatureDoesNotMatch", f"Credential should be scoped to a valid region, not '{region}'. ")
    entry = state.get()["keys"].get(key_id)
    if entry is None:
        raise StsError("InvalidClientTokenId", "The security token included in the request is invalid")
    token = given.get("x-amz-security-token")
    if entry.get("token") != token:
        raise StsError("InvalidClientTokenId", "The security token included in the request is invalid")
    if entry.get("expired"):
        raise StsError("ExpiredToken", "The security token included in the request is expired")
    stamp = given.get("x-amz-date", "")
    try:
        when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError as broken:
        raise StsError("IncompleteSignature", "Date must be in ISO-8601 'basic format'", 400) from broken
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=state.get().get("clock", 0))
    window = datetime.timedelta(minutes=15)
    text = now.strftime("%Y%m%dT%H%M%SZ")
    if when < now - window:
        limit = (now - window).strftime("%Y%m%dT%H%M%SZ")
        raise StsError("SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than {limit} ({text} - 15 min.)")
    if when > now + window:
        limit = (now + window).strftime("%Y%m%dT%H%M%SZ")
        raise StsError("SignatureDoesNotMatch", f"Signature not yet current: {stamp} is still later than {limit} ({text} + 15 min.)")
    if "host" not in signed or "x-amz-date" not in signed:
        raise StsError("SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    request = AWSRequest(method=method, url=f"https://{host}/", data=body)
    for name in signed:
        if name not in given:
            raise StsError("SignatureDoesNotMatch", f"signed header {name} is missing")
        request.headers[name] = given[name]
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(key_id, entry["secret"]), "sts", region)
    if "x-amz-content-sha256" in given and given["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        raise StsError("SignatureDoesNotMatch", "the content hash differs")
    expected = signer.signature(signer.string_to_sign(request, canonical(signer, request, signed)), request)
    if not hmac.compare_digest(expected, parts["Signature"]):
        raise StsError("SignatureDoesNotMatch",
                       "The request signature we calculated does not match the signature you provided.")
    if day != stamp[:8]:
        raise StsError("SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date")
    return entry


def canonical(signer, request, signed):
    """botocore's canonical request over exactly the headers that were signed (it would skip some by itself)."""
    headers = {name: request.headers[name] for name in signed}
    return "\n".join([
        request.method, "/", "", signer.canonical_headers(Headers(headers)) + "\n", ";".join(signed),
        hashlib.sha256(request.data).hexdigest(),
    ])


class Headers(dict):
    """The two methods that botocore's canonical_headers wants."""

    def get_all(self, name):
        return [self[name]]


def expiration(hours=6):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def assume_role(state, form, role_arn):
    role = state.get().get("roles", {}).get(role_arn)
    if role is None:
        raise StsError("AccessDenied", f"User is not authorized to perform: sts:AssumeRole on resource: {role_arn}")
    if form["Action"][0] == "AssumeRoleWithWebIdentity" and form["WebIdentityToken"][0] != role.get("web_identity_token"):
        raise StsError("InvalidIdentityToken", "No OpenIDConnect provider found in your account", 400)
    if "external_id" in role and form.get("ExternalId", [""])[0] != role["external_id"]:
        raise StsError("AccessDenied", "the external ID differs")
    entry = state.get()["keys"][role["key"]]
    return {
        "Credentials": {"AccessKeyId": role["key"], "SecretAccessKey": entry["secret"], "SessionToken": entry["token"],
                        "Expiration": expiration(1)},
        "AssumedRoleUser": {"Arn": entry["arn"], "AssumedRoleId": entry["user_id"]},
    }


def to_xml(name, value):
    if isinstance(value, dict):
        return f"<{name}>" + "".join(to_xml(k, v) for k, v in value.items()) + f"</{name}>"
    return f"<{name}>{value}</{name}>"


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""

    def log_message(self, *_):
        pass

    def send(self, status, body, content_type="text/plain", headers=()):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Sts(Quiet):
    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.server.state.get().get("clock", 0))

    def note(self, outcome):
        with open(self.server.log, "a", encoding="utf-8") as log:
            log.write(json.dumps({"headers": self.headers.items(), "outcome": outcome, "peer": self.client_address[1]}) + "\n")

    def odd_answer(self, kind, mode, name, result):
        """A good answer in an invalid HTTP message, by `kind`."""
        content = {f"{name}Response": {f"{name}Result": result, "ResponseMetadata": {"RequestId": str(uuid.uuid4())}}}
        if kind == "beside":
            content = {**content, "Error": {"Code": "AccessDenied", "Message": "no", "Type": "Sender"}}
        if kind == "within":
            content[f"{name}Response"]["ResponseMetadata"]["Errors"] = ["AccessDenied"]
        if kind == "second":
            content = {**content, f"{name}response": {}}
        body = json.dumps(content).encode()
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        head, what = {
            "type": ([f"Content-Type: {mode.get('content_type')}"], None),
            "encoded": (["Content-Type: application/json", "Content-Encoding: gzip"], None),
            "beside": (["Content-Type: application/json"], None),
            "within": (["Content-Type: application/json"], None),
            "second": (["Content-Type: application/json"], None),
            "lengths": (["Content-Type: application/json", f"Content-Length: {len(body) + 7}"], None),
            "smuggled": (["Content-Type: application/json", "Transfer-Encoding: chunked"], None),
            "ended": (["Content-Type: application/json", "Connection: close"], body),
            "cut": (["Content-Type: application/json", "Connection: close"], body),
            "short": (["Content-Type: application/json", f"Content-Length: {len(body) + 1}"], body),
            "chunks": (["Content-Type: application/json", "Transfer-Encoding: chunked"], chunk),
        }[kind]
        if what is None:
            head, what = [*head, f"Content-Length: {len(body)}"], body
        self.wfile.write("\r\n".join(["HTTP/1.1 200 OK", *head, "", ""]).encode() + what)
        if kind in ("ended", "cut", "short", "chunks"):
            self.close_connection = True
            if kind == "cut":
                self.connection.shutdown(socket.SHUT_WR)
            else:
                self.connection.unwrap()

    def answer(self, status, name, result):
        request_id = str(uuid.uuid4())
        if "application/json" in self.headers.get("Accept", ""):
            if status == 200:
                body = json.dumps({f"{name}Response": {f"{name}Result": result, "ResponseMetadata": {"RequestId": request_id}}})
            else:
                body = json.dumps({"Error": result, "RequestId": request_id})
            self.send(status, body, "application/json", [("x-amzn-RequestId", request_id)])
        elif status == 200:
            inner = to_xml(f"{name}Result", result) + to_xml("ResponseMetadata", {"RequestId": request_id})
            self.send(200, f'<{name}Response xmlns="{XML}">{inner}</{name}Response>', "text/xml")
        else:
            inner = to_xml("Error", result) + to_xml("RequestId", request_id)
            self.send(status, f'<ErrorResponse xmlns="{XML}">{inner}</ErrorResponse>', "text/xml")

    def do_GET(self):
        self.send(302, "", headers=[("Location", "https://aws.amazon.com/iam")])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        host = self.headers.get("Host", "").split(":")[0]
        if host in ("127.0.0.1", "localhost"):
            host = self.server.local_alias
        mode = self.server.state.sts_mode(host)
        self.count = getattr(self, "count", 0) + 1
        if mode.get("mode", "ok") != "ok":
            self.note(mode["mode"])
        if self.misbehave(mode):
            return
        try:
            form = urllib.parse.parse_qs(body.decode(), strict_parsing=True)
            action = form["Action"][0]
            if self.path != "/":
                raise StsError("InvalidAction", "path", 400)
            if action == "AssumeRoleWithWebIdentity":
                result = assume_role(self.server.state, form, form["RoleArn"][0])
            else:
                entry = check_signature(self.server.state, "POST", host, self.headers.items(), body)
                if action == "AssumeRole":
                    result = assume_role(self.server.state, form, form["RoleArn"][0])
                elif action == "GetCallerIdentity":
                    result = {"Account": entry["account"], "Arn": entry["arn"], "UserId": entry["user_id"]}
                    if mode.get("mode") == "lie-account":
                        result["Account"] = "999999999999"
                else:
                    raise StsError("InvalidAction", f"Could not find operation {action}", 400)
            if mode.get("mode") in ODD:
                self.odd_answer(mode["mode"], mode, action, result)
                return
            self.note("ok")
            self.answer(200, action, result)
        except StsError as refused:
            self.note(refused.code)
            self.answer(refused.status, "", {"Code": refused.code, "Message": refused.message, "Type": "Sender"})
        except (KeyError, ValueError, UnicodeDecodeError) as broken:
            self.note("MalformedQueryString")
            self.answer(404, "", {"Code": "MalformedQueryString", "Message": str(broken), "Type": "Sender"})

    def misbehave(self, mode):
        """Plays the mode; True when an answer (or none) was given already."""
        kind = mode.get("mode", "ok")
        good = '{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/x","UserId":"AIDA"}'
        canned = {
            "throttle": (400, '{"Error":{"Code":"Throttling","Message":"Rate exceeded","Type":"Sender"},"RequestId":"x"}', "application/json"),
            "down": (503, '{"Error":{"Code":"ServiceUnavailable","Message":"down"},"RequestId":"x"}', "application/json"),
            "html": (200, "<html><body>captive portal</body></html>", "text/html"),
            "xml": (200, f'<GetCallerIdentityResponse xmlns="{XML}"><GetCallerIdentityResult/></GetCallerIdentityResponse>', "text/xml"),
            "twice": (200, '{"GetCallerIdentityResponse":{"GetCallerIdentityResult":' + good + ',"GetCallerIdentityResult":' + good + "}}", "application/json"),
            "huge": (200, '{"x":"' + "y" * (1 << 20) + '"}', "application/json"),
            "empty": (200, "", "application/json"),
        }
        if kind in canned:
            self.send(*canned[kind])
            return True
        if kind == "redirect":
            self.send(307, "", headers=[("Location", mode.get("to", "https://127.0.0.1:1/"))])
            return True
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            self.connection.close()
            return True
        if kind == "reused":
            self.close_connection = self.count > 1
            return self.close_connection
        if kind == "leak":
            token = self.headers["X-Amz-Security-Token"]
            code = mode.get("code", token)
            self.send(403, json.dumps({"Error": {"Code": code, "Message": f"{token} {token}", "Type": token}, "RequestId": token}),
                      "application/json", [("x-amzn-RequestId", token)])
            return True
        if kind in ("hang", "slow", "held"):
            self.note("arrived")
        while kind == "held" and self.server.state.get().get("sts", {}).get("mode") == "held":
            if self.server.stopping.wait(0.02):
                break
        if kind == "hang":
            self.server.stopping.wait(mode.get("seconds", 60))
            self.close_connection = True
            return True
        if kind == "slow":
            self.server.stopping.wait(mode.get("seconds", 2))
        return False


class Imds(Quiet):
    tokens = set()

    def imds(self):
        return self.server.state.get().get("imds", {})

    def do_PUT(self):
        imds = self.imds()
        if self.path != "/latest/api/token" or not imds.get("enabled", True):
            self.send(403 if not imds.get("enabled", True) else 404, "")
            return
        if imds.get("hop_limit"):  # the answer to the PUT never arrives
            self.server.stopping.wait(30)
            self.close_connection = True
            return
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if "token_status" in imds or not ttl.isdigit() or not 1 <= int(ttl) <= 21600 or self.headers.get("X-Forwarded-For"):
            self.send(imds.get("token_status", 400), "")
            return
        token = "".join(str(uuid.uuid4()).split("-")) + "AAAA=="
        self.tokens.add(token)
        self.send(200, token, headers=[("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)])

    def credentials(self, key_id):
        entry = self.server.state.get()["keys"][key_id]
        return {"AccessKeyId": key_id, "SecretAccessKey": entry["secret"], "Token": entry["token"], "Expiration": expiration()}

    def do_GET(self):
        if self.path.startswith("/container/"):
            self.container()
            return
        imds = self.imds()
        token = self.headers.get("X-aws-ec2-metadata-token")
        if not imds.get("enabled", True):
            self.send(403, "")
        elif (token is None and not imds.get("v1")) or (token is not None and token not in self.tokens):
            self.send(401, "")
        else:
            self.metadata(imds)

    def metadata(self, imds):
        base = "/latest/meta-data/iam/security-credentials/"
        role = imds.get("role")
        if self.path in (base, base[:-1]) and role:
            self.send(200, role)
        elif role and self.path == base + role:
            if "code" in imds:
                self.send(200, json.dumps({"Code": imds["code"], "Message": "the role cannot be assumed", "LastUpdated": expiration(0)}))
                return
            answer = {"Code": "Success", "LastUpdated": expiration(0), "Type": "AWS-HMAC", **self.credentials(imds["key"])}
            self.send(200, json.dumps(answer, indent=2))
        elif self.path == "/latest/meta-data/placement/region" and "region" in imds:
            self.send(200, imds["region"])
        elif self.path == "/latest/meta-data/placement/availability-zone" and "region" in imds:
            self.send(200, imds["region"] + "a")
        else:
            self.send(404, "<html>not found</html>", "text/html")

    def container(self):
        container = self.server.state.get().get("container", {})
        if container.get("authorization") and self.headers.get("Authorization") != container["authorization"]:
            self.send(403, '{"code":"AccessDenied","message":"wrong authorization"}', "application/json")
        elif "key" not in container:
            self.send(404, '{"code":"NotFound","message":"no credentials"}', "application/json")
        else:
            self.send(200, json.dumps(self.credentials(container["key"])), "application/json")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, handler, state, log, tls=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.state, self.log, self.tls = state, log, tls
        self.local_alias = "sts.us-east-1.amazonaws.com"
        self.stopping = threading.Event()

    def finish_request(self, request, client_address):
        if self.tls is not None:  # in the connection's own thread: a slow handshake delays no other connection
            request.settimeout(30)
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        try:
            super().finish_request(request, client_address)
        except OSError:
            pass

    def handle_error(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--dir", required=True)
    args = parser.parse_args()
    state = State(args.state)
    paths = make_certificates(args.dir)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(paths["sts.pem"], paths["sts.key"])
    log = os.path.join(args.dir, "sts.log")
    sts, imds = Server(Sts, state, log, tls), Server(Imds, state, log)
    for server in (sts, imds):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"sts": sts.server_port, "imds": imds.server_port, "ca": paths["ca.pem"]}), flush=True)
    sys.stdin.read()  # until the parent process has ended


if __name__ == "__main__":
    main()
