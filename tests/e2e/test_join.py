# SPDX-License-Identifier: Apache-2.0
"""The guide from its first line to its last."""
import ssl
import subprocess

from harness import ACCOUNT, WEB_ARN, iam_token, ssh_line, wait_until


def test_a_host_joins_with_its_iam_role(cluster, aws):
    cluster.create(iam_token(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/web/*"))
    host = cluster.join("web-1", env=aws.identity())
    node = cluster.node("web-1")
    assert node["metadata"]["name"] == host.host_id
    assert node["spec"]["aws_arn"] == WEB_ARN
    assert node["spec"]["aws_account"] == ACCOUNT
    assert node["spec"]["join_method"] == "iam"
    assert "web-1" in cluster.tctl("nodes", "ls").out


def test_a_host_joins_straight_at_auth_with_a_ca_pin(cluster, aws):
    cluster.create(iam_token())
    cluster.join("web-1", env=aws.identity(), via="auth")


def test_a_refused_join_explains_itself_on_both_sides(cluster, aws):
    cluster.create(iam_token(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/db/*"))
    host = cluster.host("web-1", env=aws.identity()).start()
    host.process.wait_for("not allowed by any rule of token 'iam-token'")
    event = wait_until(lambda: [e for e in cluster.events("instance.join") if not e["success"]], "the refusal is audited")[0]
    assert event["code"] == "TJ002E"
    assert event["check"] == "rules"
    assert event["attributes"]["arn"] == WEB_ARN
    assert event["node_name"] == "web-1"
    assert cluster.nodes() == []
    refused = cluster.json("joins", "ls", "--failed", "--token=iam-token", f"--account={ACCOUNT}")[0]
    assert (refused["result"], refused["hostname"], refused["arn"], refused["check"]) == ("refused", "web-1", WEB_ARN, "rules")
    assert cluster.json("joins", "ls", "--account=210987654321") == []


def test_a_success_is_audited_with_the_attested_identity(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    event = cluster.event("instance.join", success=True)
    assert event["code"] == "TJ002I"
    assert event["attributes"]["arn"] == WEB_ARN
    assert event["host_id"] == host.host_id
    assert event["token_name"] == "iam-token"
    listed, = cluster.json("joins", "ls", "--since=1h")
    assert (listed["result"], listed["host_id"], listed["token"], listed["account"]) == ("joined", host.host_id, "iam-token", ACCOUNT)
    assert cluster.tctl("joins", "ls").out.endswith("\n\n1 joined, 0 refused\n")
    counts = cluster.json("inventory", "status")
    assert counts["total_instances"] == sum(counts["versions"].values()) == 2 and counts["services"]["Node"] == 1


def test_a_restart_does_not_join_again(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    first = host.host_id
    host.stop()
    host.start()
    host.wait_joined()
    assert host.host_id == first
    cluster.exactly(1, "instance.join", success=True)


def test_openssl_and_ssh_keygen_accept_the_certificates(cluster, aws, tmp_path):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    identity = host.identity("node")
    (tmp_path / "cert.der").write_bytes(identity["tls_cert"])
    (tmp_path / "ca.pem").write_text("".join(map(ssl.DER_cert_to_PEM_cert, identity["tls_ca_certs"])))
    openssl = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", tmp_path / "ca.pem", tmp_path / "cert.der"]
    done = subprocess.run(openssl, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "host-cert.pub").write_text(ssh_line(identity["ssh_cert"]))
    done = subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "host-cert.pub"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "host certificate" in done.stdout
    assert "web-1.example.test" in done.stdout


def test_keys_and_identity_are_private(cluster, aws):
    cluster.create(iam_token())
    host = cluster.join("web-1", env=aws.identity())
    host.process.wait_for("successfully wrote the credentials and state of Node")
    assert host.data_dir.stat().st_mode & 0o777 == 0o700
    for path in (host.data_dir / "proc" / "ids").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
