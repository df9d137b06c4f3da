# SPDX-License-Identifier: Apache-2.0
"""Signed GetCallerIdentity requests as AWS's clients write them, signed and verified by botocore."""
import datetime
import sys
import types
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import FAKES

sys.path.append(str(FAKES))
import aws as stand_in  # noqa: E402

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
US_EAST = "sts.us-east-1.amazonaws.com"


def write_request(headers):
    lines = ["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY


def sign(env, challenge, signed=None, unsigned=None, region="us-east-1", host=US_EAST, late_by=0):
    """
    The serialized request with the challenge. signed and unsigned are further headers; without any it equals the
    request of botocore. late_by: seconds by which the signer's clock is behind.
    """
    if signed is None:
        signed = {"Accept": "application/json", "Content-Type": FORM}
        unsigned = {"Content-Length": str(len(BODY)), "Accept-Encoding": "identity", "User-Agent": "Botocore/1.29.27"}
    request = AWSRequest("POST", f"https://{host}/", data=BODY, headers={"Host": host, "X-Teleport-Challenge": challenge, **signed})
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    now = datetime.datetime.utcnow() - datetime.timedelta(seconds=late_by)
    with mock.patch("botocore.auth.datetime") as clock:
        clock.datetime.utcnow.return_value = now
        SigV4Auth(credentials, "sts", region).add_auth(request)
    return write_request([*request.headers.items(), *(unsigned or {}).items()])


def read_request(raw):
    """(request line, [(name, value)], body)"""
    head, body = raw.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("ascii").split("\r\n")
    return first, [tuple(line.split(": ", 1)) for line in lines], body


def verify(aws, raw):
    """The key's entry in the stand-in, if botocore finds the signature good; StsError if not."""
    first, headers, body = read_request(raw)
    assert first == "POST / HTTP/1.1"
    host = next(value for name, value in headers if name.lower() == "host")
    return stand_in.check_signature(types.SimpleNamespace(get=lambda: aws.state), "POST", host, headers, body)
