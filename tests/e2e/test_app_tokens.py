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
from test_reload import changed, reload
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


def claims_of(token, keys, audience, algorithm="RS256"):
    """Header and claims of a token that is valid now for this audience."""
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key.key, algorithms=[algorithm], audience=audience, issuer="example.test",
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


def algorithms_of(cluster, keys):
    """The algorithms of `tctl status`, and those of the published keys."""
    ca, = [ca for ca in cluster.json("status")["authorities"] if ca["type"] == "jwt"]
    wanted = [key["algorithm"] for key in ca["keys"]]
    names = {"RSA 2048": "RS256", "ECDSA P-256": "ES256"}
    found = []

    def published():
        found[:] = [key["alg"] for key in keys.fetch_data()["keys"]]
        return found == [names[algorithm] for algorithm in wanted]
    wait_until(published, "the proxy publishes the keys of the status")
    return wanted + found


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


def test_a_new_cluster_has_the_algorithm_of_its_file(make_cluster):
    cluster = make_cluster(auth={"app_token_algorithm": "ES256"})
    assert algorithms_of(cluster, Keys(cluster)) == ["ECDSA P-256", "ES256"]
    assert re.search("^jwt CA +never updated *\n +signs by ES256 *$", cluster.tctl("status").out, re.M)


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

    former = shared.config_path.read_text()
    assert reload(shared, config=changed(shared, auth_service={"app_token_algorithm": "ES256"})).code == 0
    shared.process.wait_for("The next key of tokens for applications will be for another algorithm")
    assert algorithms_of(shared, keys) == ["RSA 2048", "RS256"]
    step(shared, "jwt", "init")
    step(shared, "jwt", "update_clients")
    assert algorithms_of(shared, keys) == ["ECDSA P-256", "RSA 2048", "ES256", "RS256"]
    assert re.search("^jwt CA +rotating clients.*\n +signs by ES256, RS256 is trusted too *$", shared.tctl("status").out, re.M)
    assert reload(shared, config=former).code == 0
    assert algorithms_of(shared, keys) == ["ECDSA P-256", "RSA 2048", "ES256", "RS256"]
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
