# SPDX-License-Identifier: Apache-2.0
"""Tokens that applications receive: their keys, as python3-jwt and openssl read them."""
import base64
import json
import pathlib
import re
import ssl
import tempfile
import urllib.request

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import TIMEOUT, wait_until
from test_backup import store_check
from test_rotation import openssl, rotation_of, step


class Keys(jwt.PyJWKClient):
    """The keys that the proxy publishes, as a program with that library gets them."""

    def __init__(self, cluster):
        super().__init__(f"https://{cluster.proxy_addr}/.well-known/jwks.json", cache_jwk_set=False)

    def fetch_data(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(self.uri, timeout=TIMEOUT, context=context) as answer:
            assert answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-cache"
            return json.load(answer)

    def ids(self):
        return [key.key_id for key in self.get_signing_keys()]


def claims_of(token, keys, audience):
    """Header and claims of a token that is valid now for this audience."""
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key.key, algorithms=["RS256"], audience=audience, issuer="example.test",
                        options={"require": ["iss", "sub", "aud", "iat", "nbf", "exp"]})
    return jwt.get_unverified_header(token), claims


def verified_by_openssl(token, cluster):
    """Whether the key that `tctl auth export` prints first has signed the token."""
    signed, _, signature = token.rpartition(".")
    with tempfile.TemporaryDirectory() as directory:
        files = {"signature": base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)), "key": exported_keys(cluster)[0].encode()}
        for name, content in files.items():
            pathlib.Path(directory, name).write_bytes(content)
        return "Verified OK" in openssl("dgst", "-sha256", "-verify", f"{directory}/key", "-signature", f"{directory}/signature", text=signed)


def exported_keys(cluster):
    """The public keys as PEM, the one that signs first."""
    return re.findall(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\n", cluster.tctl("auth", "export", "--type=jwt").out, re.S)


def test_a_cluster_of_an_earlier_release_gets_the_key(shared):
    """As after an upgrade: the data directory has no such key. Hosts and users keep their CAs."""
    pin, (key,) = shared.ca_pin, exported_keys(shared)
    shared.stop_cluster()
    (shared.data_dir / "ca/jwt.key.pem").unlink()
    assert store_check(shared).out.count(": ok, ") == 4
    shared.start()
    shared.process.wait_for("The CA for tokens of applications was made")
    other, = exported_keys(shared)
    assert shared.ca_pin == pin and other != key


def test_the_keys_of_tokens_are_published_through_a_rotation(shared):
    keys = Keys(shared)
    old, = keys.ids()
    assert [key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in [keys.get_signing_key(old).key]] == exported_keys(shared)
    assert "Public-Key: (2048 bit)" in openssl("pkey", "-pubin", "-text", "-noout", text=exported_keys(shared)[0])
    ca, = [ca for ca in shared.json("status")["authorities"] if ca["type"] == "jwt"]
    assert ca["keys"] == [{"protocol": "JWT", "status": "active", "algorithm": "RSA 2048", "storage": "software"}]

    step(shared, "jwt", "init")
    wait_until(lambda: len(keys.ids()) == 2, "the new key is published")
    assert keys.ids()[0] == old and len(exported_keys(shared)) == 2
    new = keys.ids()[1]
    for phase in ("update_clients", "update_servers"):
        step(shared, "jwt", phase)
        wait_until(lambda: keys.ids() == [new, old], "the new key signs, the old one is trusted")
    step(shared, "jwt", "standby")
    wait_until(lambda: keys.ids() == [new], "the old key is dropped")
    assert rotation_of(shared, "jwt").startswith("rotated ") and rotation_of(shared, "host") == rotation_of(shared, "user") == "never updated"

    step(shared, "jwt", "init")
    step(shared, "jwt", "update_clients")
    step(shared, "jwt", "rollback")
    wait_until(lambda: len(keys.ids()) == 2 and keys.ids()[0] == new, "the former key signs again")
    step(shared, "jwt", "standby")
    wait_until(lambda: keys.ids() == [new], "the newer key is dropped")
    assert shared.event("cert_authority.rotate", ca_type="jwt", phase="rollback")


def test_the_openid_configuration_names_the_keys(shared):
    keys = Keys(shared)
    keys.uri = f"https://{shared.proxy_addr}/.well-known/openid-configuration"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(keys.uri, timeout=TIMEOUT, context=context) as answer:
        found = json.load(answer)
    assert found["issuer"] == "example.test"
    assert found["jwks_uri"] == f"https://{shared.proxy_addr}/.well-known/jwks.json"
