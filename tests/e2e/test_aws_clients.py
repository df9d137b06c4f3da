# SPDX-License-Identifier: Apache-2.0
"""AWS's own clients, the stand-in for AWS and our signatures agree."""
import json
import subprocess
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError

from fake_auth import CHALLENGE, FakeAuth
from harness import ACCOUNT, WEB_ARN, clean_env
from join_client import Keys, Identity, Peer, host_params, solution
from signing import BODY, FORM, read_request, sign, stand_in, verify

FORM_WITHOUT_CHARSET = "application/x-www-form-urlencoded"
HASH = "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"


def sts_of_boto3(aws, env):
    session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"), "us-east-1")
    return session.client("sts", endpoint_url=f"https://127.0.0.1:{aws.sts_port}", verify=aws.ca)


# ---- the stand-in is one ----------------------------------------------------------------------------------

def test_the_stand_in_answers_the_aws_cli(aws):
    env = clean_env(AWS_CA_BUNDLE=aws.ca, AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", **aws.identity())
    done = subprocess.run(["/usr/bin/aws", "sts", "get-caller-identity", "--endpoint-url", f"https://127.0.0.1:{aws.sts_port}"],
                          env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Arn"] == WEB_ARN


@pytest.mark.parametrize("token", [True, False])
def test_the_stand_in_answers_boto3(aws, token):
    answer = sts_of_boto3(aws, aws.identity(token=token)).get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == (ACCOUNT, WEB_ARN)


@pytest.mark.parametrize("name, value, code", [
    ("AWS_SECRET_ACCESS_KEY", "another", "SignatureDoesNotMatch"),
    ("AWS_SESSION_TOKEN", "another", "InvalidClientTokenId"),
    ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLEUNKNOWN00", "InvalidClientTokenId"),
])
def test_the_stand_in_refuses_boto3_as_sts_does(aws, name, value, code):
    with pytest.raises(ClientError) as refused:
        sts_of_boto3(aws, {**aws.identity(), name: value}).get_caller_identity()
    assert refused.value.response["Error"]["Code"] == code


# ---- our signature ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("token", [True, False])
def test_botocore_finds_the_signature_of_a_host_good(cluster, aws, token):
    env = aws.identity(token=token)
    with FakeAuth() as auth:
        host = cluster.host(env=env)
        host.config["teleport"]["proxy_server"] = auth.addr
        host.start()
        raw = auth.proof()
    assert verify(aws, raw)["arn"] == WEB_ARN
    _, headers, body = read_request(raw)
    given = {name.lower(): value for name, value in headers}
    assert len(given) == len(headers)
    assert body == BODY
    assert given["x-teleport-challenge"] == CHALLENGE
    signed = given["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-date", "x-teleport-challenge", "accept"} <= set(signed)
    assert ("x-amz-security-token" in signed) == token
    changed = raw.replace(CHALLENGE.encode(), CHALLENGE[::-1].encode())
    with pytest.raises(stand_in.StsError):
        verify(aws, changed)


# ---- requests of other clients ------------------------------------------------------------------------------

SDK = {"Amz-Sdk-Invocation-Id": str(uuid.UUID(int=1 << 64)), "Amz-Sdk-Request": "attempt=1; max=3"}
LENGTH = {"Content-Length": str(len(BODY))}
ACCEPT = {"Accept": "application/json"}

# Signed and unsigned headers, beside those that every signer adds, as recorded from the clients.
CLIENTS = {
    "botocore": ({**ACCEPT, "Content-Type": FORM}, {**LENGTH, **SDK, "Accept-Encoding": "identity", "User-Agent": "Botocore/1.29.27 Python/3.11"}),
    "Go v1": ({**ACCEPT, **LENGTH, "Content-Type": FORM}, {"User-Agent": "aws-sdk-go/1.44.77 (go1.19; linux; amd64)"}),
    "Go v2": ({**ACCEPT, **LENGTH, **SDK, "Content-Type": FORM_WITHOUT_CHARSET}, {"User-Agent": "aws-sdk-go-v2/1.17.1 os/linux", "Accept-Encoding": "gzip"}),
    "JavaScript v3": ({"accept": "application/json", "content-length": str(len(BODY)), "content-type": FORM_WITHOUT_CHARSET,
                       "amz-sdk-invocation-id": SDK["Amz-Sdk-Invocation-Id"], "amz-sdk-request": "attempt=1; max=3",
                       "x-amz-content-sha256": HASH, "x-amz-user-agent": "aws-sdk-js/3.1169.0"},
                      {"user-agent": "aws-sdk-js/3.1169.0 ua/2.1", "Connection": "keep-alive"}),
    "curl": (ACCEPT, {**LENGTH, "Content-Type": FORM_WITHOUT_CHARSET, "User-Agent": "curl/7.88.1"}),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("token", [True, False])
def test_a_request_as_another_client_signs_it_joins(shared, aws, client, token):
    signed, unsigned = CLIENTS[client]
    name = f"host-{list(CLIENTS).index(client)}-{int(token)}"
    with Peer(shared) as peer:
        keys, stream = Keys(), peer.join()
        challenge = stream.challenge(host_params(name, keys))
        proof = sign(aws.identity(token=token), challenge, signed, unsigned)
        result = stream.send(solution(proof)).result()
        Identity.of_join(keys, result.certificates)
    sent = {name.lower(): value for name, value in aws.requests()[-1]["headers"]}
    for name in unsigned.keys() - {"Content-Length", "Content-Type"}:
        assert sent.get(name.lower()) != unsigned[name], f"{name} is not signed, so it is not passed on"


@pytest.mark.parametrize("region, host", [
    ("us-west-2", "sts.us-west-2.amazonaws.com"),
    ("us-east-1", "sts.amazonaws.com"),
    ("us-west-2", "sts-fips.us-west-2.amazonaws.com"),
])
def test_a_request_for_another_sts_host_joins(shared, aws, region, host):
    with Peer(shared) as peer:
        keys, stream = Keys(), peer.join()
        challenge = stream.challenge(host_params(f"of-{host}", keys))
        stream.send(solution(sign(aws.identity(), challenge, region=region, host=host))).result()
    assert dict(aws.requests()[-1]["headers"])["Host"] == host
