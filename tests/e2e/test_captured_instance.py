# SPDX-License-Identifier: Apache-2.0
"""The node's `instance` process, captured: no AWS credentials are in its memory after a join."""
import pytest

from harness import Cluster, iam_token
from test_captured_ssh import memory_of


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("shared") / "cluster")
    cluster.start()
    cluster.create(iam_token())
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("where", ["environment", "file"])
def test_instance_holds_no_aws_credentials(shared, aws, tmp_path, where):
    keys = aws.identity()
    secret, session = keys["AWS_SECRET_ACCESS_KEY"].encode(), keys["AWS_SESSION_TOKEN"].encode()
    env = keys
    if where == "file":
        (tmp_path / ".aws").mkdir()
        path = tmp_path / ".aws/credentials"
        path.write_text("[default]\n" + "".join(f"{name.lower()} = {value}\n" for name, value in keys.items()))
        path.chmod(0o600)
        env = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    host = shared.host(f"captured-{where}", env=env).start()
    host.wait_joined()
    held = memory_of(host.process.children()["instance"])
    assert host.host_id.encode() in held, "what it knows is found: this test would find the keys"
    assert secret not in held
    assert session not in held
    host.stop()
