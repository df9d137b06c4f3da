# SPDX-License-Identifier: Apache-2.0
"""Tokens, as an administrator makes, reads, changes, removes and questions them with tctl."""
import json
import os
import re
import threading

import grpc
import pytest
import yaml

from harness import ACCOUNT, TIMEOUT, WEB_ARN, Cluster, clean_env, iam_token, wait_until
from join_client import messages

STATIC = "static-secret-0123456789"

# The guide's token.yaml, comments and all.
GUIDE = """\
# token.yaml
kind: token
version: v2
metadata:
  # the token name is not a secret because instances must prove that they are
  # running in your AWS account to use this token
  name: iam-token
spec:
  # use the minimal set of roles required
  roles: [Node]
  join_method: iam
  allow:
  # specify the AWS account which Teleport processes may join from
  - aws_account: "123456789012"
  # multiple allow rules are supported
  - aws_account: "111111111111"
  # aws_arn is optional and allows you to restrict the IAM role of joining hosts
  - aws_account: "333333333333"
    aws_arn: "arn:aws:sts::333333333333:assumed-role/teleport-node-role/i-*"
"""
ALL_ROLES = GUIDE.replace("[Node]", "[Node, App, Kube, DB, WindowsDesktop]")


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    """One cluster for all tests that only use tctl; each test removes its tokens."""
    aws_process.reset()
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("tokens") / "cluster", auth={"tokens": [f"node,proxy:{STATIC}"]})
    yield cluster.start()
    assert cluster.stop() == 0


@pytest.fixture
def auth(shared):
    yield shared
    for token in shared.json("tokens", "ls", "--with-secrets"):
        if token["metadata"]["name"] != STATIC:
            shared.tctl("rm", f"token/{token['metadata']['name']}")


def names(cluster):
    return {token["metadata"]["name"] for token in cluster.json("tokens", "ls", "--with-secrets")} - {STATIC}


def refused(cluster, text, *words):
    """tctl create refuses this text with this message, and creates nothing."""
    before = names(cluster)
    done = cluster.tctl("create", "-f", stdin=text, check=False)
    assert done.code == 1
    assert done.out == ""
    for word in words:
        assert word in done.err, done.err
    assert names(cluster) == before


# ---- create, get, rm -----------------------------------------------------------------------------------


def test_the_guides_file_works_byte_for_byte(auth, tmp_path):
    path = tmp_path / "token.yaml"
    path.write_text(GUIDE)
    assert auth.tctl("create", "-f", path).out == 'provision_token "iam-token" has been created\n'
    token = auth.json("get", "token/iam-token")[0]
    assert token["kind"] == "token" and token["version"] == "v2"
    assert token["spec"] == yaml.safe_load(GUIDE)["spec"]
    assert "expires" not in token["metadata"]


def test_every_role_that_the_guide_names_is_taken(auth):
    auth.tctl("create", "-f", stdin=ALL_ROLES)
    assert auth.json("get", "token/iam-token")[0]["spec"]["roles"] == ["Node", "App", "Kube", "Db", "WindowsDesktop"]


def test_a_token_is_overwritten_with_and_without_force(auth):
    auth.tctl("create", stdin=GUIDE)
    assert auth.tctl("create", stdin=ALL_ROLES).out == 'provision_token "iam-token" has been updated\n'
    assert len(auth.json("get", "token/iam-token")[0]["spec"]["roles"]) == 5


def test_a_removed_token_is_gone_and_can_be_made_again(auth):
    auth.tctl("create", "-f", stdin=GUIDE)
    assert auth.tctl("rm", "token/iam-token").out == 'token "iam-token" has been deleted\n'
    done = auth.tctl("get", "token/iam-token", check=False)
    assert done.code == 1 and 'token "iam-token" is not found' in done.err
    done = auth.tctl("tokens", "rm", "iam-token", check=False)
    assert done.code == 1 and 'token "iam-token" is not found' in done.err
    assert "created" in auth.tctl("create", "-f", stdin=GUIDE).out


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_create_accepts_the_output_of_get(auth, form):
    auth.tctl("create", "-f", stdin=ALL_ROLES)
    auth.create(iam_token("second", labels={"env": "prod"}, expires="2999-01-01T00:00:00Z"))
    auth.tctl("tokens", "add", "--type=node", "--value=a-secret-of-some-length")
    before = [t for t in auth.json("get", "tokens", "--with-secrets") if t["metadata"]["name"] != STATIC]
    printed = [auth.tctl("get", f"token/{t['metadata']['name']}", f"--format={form}").out for t in before]
    for token in before:
        auth.tctl("rm", f"token/{token['metadata']['name']}")
    for text in printed:
        assert "created" in auth.tctl("create", "-f", stdin=text).out
    after = [t for t in auth.json("get", "tokens", "--with-secrets") if t["metadata"]["name"] != STATIC]
    for token in before + after:
        del token["metadata"]["revision"]
    assert after == before


def test_an_edit_is_saved_and_a_mistake_refused(auth, tmp_path):
    auth.tctl("create", "-f", stdin=GUIDE)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i \"s/$FROM/$TO/\" \"$1\"\n")
    editor.chmod(0o755)

    def edit(before, after):
        return auth.tctl("edit", "token/iam-token", check=False, env=clean_env(TELEPORT_EDITOR=editor, FROM=before, TO=after, TMPDIR=tmp_path))

    assert edit("- Node", "- App").out == 'provision_token "iam-token" has been updated\n'
    assert auth.json("get", "token/iam-token")[0]["spec"]["roles"] == ["App"]
    done = edit("- App", "- Ap")
    assert done.code == 1 and 'invalid role "Ap"' in done.err and "did you mean App" in done.err and "your text is kept in" in done.err
    assert edit("join_method: iam", "join_methd: iam").code == 1
    assert auth.json("get", "token/iam-token")[0]["spec"]["roles"] == ["App"]
    assert edit("nothing", "to do").out == "nothing was changed\n"


def test_input_from_pipes_is_read(auth, tmp_path):
    for path, name in (("/dev/stdin", "by-path"), ("-", "by-dash")):
        assert "created" in auth.tctl("create", "-f", path, stdin=GUIDE.replace("iam-token", name)).out
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(GUIDE.replace("iam-token", "by-fifo")))
    writer.start()
    assert "created" in auth.tctl("create", "-f", pipe).out
    writer.join()


def test_teleports_output_is_read(auth):
    printed = """\
kind: token
version: v1
metadata: {name: carried-over, id: 1683574028869588000, namespace: default}
spec:
  roles: [Node]
  join_method: iam
  aws_iid_ttl: 0s
  suggested_labels: {env: [prod]}
  allow:
  - &web {aws_account: "123456789012"}
  - {<<: *web, aws_arn: "arn:aws:sts::123456789012:assumed-role/web/i-*"}
"""
    done = auth.tctl("create", "-f", stdin=printed)
    assert "are ignored: metadata.id, metadata.namespace, spec.aws_iid_ttl\n" in done.err
    token = auth.json("get", "token/carried-over")[0]
    assert (token["version"], token["spec"]["suggested_labels"]) == ("v2", {"env": ["prod"]})
    assert token["spec"]["allow"][1] == {"aws_account": "123456789012", "aws_arn": "arn:aws:sts::123456789012:assumed-role/web/i-*"}


def test_a_revision_in_a_file_prevents_lost_updates(auth):
    auth.tctl("create", "-f", stdin=GUIDE)
    old = auth.tctl("get", "token/iam-token", "--format=yaml").out
    auth.tctl("create", "-f", stdin=GUIDE.replace("[Node]", "[App]"))
    done = auth.tctl("create", "-f", stdin=old, check=False)
    assert done.code == 1 and "changed by another user meanwhile" in done.err and "without metadata.revision" in done.err
    assert auth.json("get", "token/iam-token")[0]["spec"]["roles"] == ["App"]
    present = auth.tctl("get", "token/iam-token", "--format=yaml").out
    assert "updated" in auth.tctl("create", "-f", stdin=present).out
    foreign = re.sub("revision: .*", "revision: 6f0b1c9e-9f0c-4c5e-9d5e-1a2b3c4d5e6f", old)
    assert "updated" in auth.tctl("create", "-f", stdin=foreign).out
    auth.tctl("rm", "token/iam-token")
    assert "created" in auth.tctl("create", "-f", stdin=old).out


def test_token_changes_are_audited_with_their_user(auth):
    auth.tctl("create", "-f", stdin=GUIDE.replace("iam-token", "audited"))
    auth.tctl("rm", "token/audited")
    made, removed = auth.event("join_token.create", name="audited"), auth.event("join_token.delete", name="audited")
    assert made["user"] and removed["user"]
    assert made["join_method"] == "iam" and made["roles"] == ["Node"]


# ---- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before, after, words", [
    pytest.param("aws_account", "aws_acount", ["stdin:14:5: unknown key 'aws_acount' in spec.allow[1]", "did you mean 'aws_account'"], id="key"),
    pytest.param("kind: token", "kind: tokn", ["stdin:2:7:", '"tokn"', "did you mean 'token'"], id="kind"),
    pytest.param("[Node]", "[App, Nod]", ["stdin:10:16:", 'invalid role "Nod"', "did you mean Node"], id="role"),
    pytest.param("join_method: iam", "join_method: aim", ["stdin:11:16:", "no join method 'aim'", "iam and token"], id="method"),
    pytest.param('"123456789012"', "123456789012", ["stdin:14:18:", "spec.allow[1].aws_account must be text", "quotes"], id="account-unquoted"),
    pytest.param('"123456789012"', '"12345678901"', ["stdin:14:18:", "'12345678901' is not an AWS account number"], id="account-short"),
    pytest.param("aws_account: \"333333333333\"", "aws_role: x", ["stdin:18:15:", "spec.allow[3].aws_role is not for join method iam"], id="field-of-ec2"),
    pytest.param("name: iam-token", "name: iam token", ["stdin:7:9:", "metadata.name"], id="name"),
    pytest.param("  name: iam-token", "  labels: {}", ["stdin:7:3:", "a name is required"], id="no-name"),
    pytest.param("  roles: [Node]", "  roles: []", ["stdin:10:10:", "missing roles"], id="no-roles"),
    pytest.param("version: v2", "version: v3", ["stdin:3:10:", "write version: v2"], id="version"),
    pytest.param("name: iam-token", "name: iam-token\n  expires: 2020-01-01", ["stdin:8:12:", "metadata.expires must be a date and time"], id="date"),
    pytest.param("name: iam-token", "name: iam-token\n  expires: 2020-01-01T00:00:00Z", ["stdin:8:12:", "passed already"], id="past"),
    pytest.param("roles: [Node]", "\troles: [Node]", ["stdin:10:3:"], id="tab"),
    pytest.param(GUIDE, "", ["no resources found, empty input?"], id="empty"),
])
def test_a_mistake_is_reported_with_line_and_nearest_key(auth, before, after, words):
    refused(auth, GUIDE.replace(before, after, 1), *words)


@pytest.mark.parametrize("mistake", [("roles: ", "role: "), ("[Node]", "[Nod]"), ("name: second", f"name: {STATIC}"),
                                     ("name: second", "name: second\n  expires: 2020-01-01T00:00:00Z")], ids=["key", "role", "static", "past"])
def test_a_mistake_in_one_document_creates_none(auth, mistake):
    second = GUIDE.replace("iam-token", "second").replace(*mistake)
    refused(auth, GUIDE.replace("iam-token", "first") + "---\n" + second, "stdin:")


def test_a_rule_that_admits_a_whole_account_is_warned_of(auth):
    warned = auth.tctl("create", "-f", stdin=GUIDE).err
    assert "WARNING: spec.allow[1] admits every user and role of AWS account 123456789012" in warned
    assert "every EC2 instance through its instance identity role" in warned
    assert "spec.allow[3]" not in warned


def test_a_rule_that_names_the_role_itself_is_warned_of(auth):
    done = auth.create(iam_token(arn=f"arn:aws:iam::{ACCOUNT}:role/web"))
    assert f"never matches: STS reports who assumed a role, not the role: arn:aws:sts::{ACCOUNT}:assumed-role/web/*" in done.err


# ---- expiry ----------------------------------------------------------------------------------------------


def test_an_expired_token_is_not_listed_and_refuses_joins(cluster, aws):
    cluster.create_ending(lambda expires: iam_token("short", expires=expires), seconds=1)
    wait_until(lambda: cluster.json("tokens", "ls") == [], "the token has ended")
    assert cluster.tctl("get", "token/short", check=False).code == 1
    assert "No active tokens found" in cluster.tctl("tokens", "ls").out
    explained = cluster.tctl("tokens", "explain", "short", f"--account={ACCOUNT}", f"--arn={WEB_ARN}").out
    assert "refused: the token has expired" in explained
    host = cluster.host("web-1", token="short", env=aws.identity()).start()
    host.process.wait_for("expired")
    assert cluster.nodes() == []
    assert "created" in cluster.create(iam_token("short")).out
    host.wait_joined()


def test_the_end_of_a_token_is_listed(auth):
    auth.create(iam_token("until-2999", expires="2999-01-01T00:00:00Z"))
    auth.create(iam_token("forever"))
    auth.tctl("tokens", "add", "--type=node", "--ttl=5m", "--value=secret-of-five-minutes")
    rows = auth.tctl("tokens", "ls", "--with-secrets").out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["secret-of-five-minutes", "until-2999", "forever", STATIC]
    assert re.search(r"\([1-4]m", rows[0]) and "2999" in rows[1] and "never" in rows[2]


# ---- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", [("tokens", "ls"), ("tokens", "ls", "--format=json"), ("get", "tokens"), ("get", "tokens", "--format=text")])
def test_secrets_are_masked_in_listings_unless_asked_for(auth, listing):
    auth.tctl("tokens", "add", "--type=node", "--value=short-secret")
    auth.create(iam_token("not-a-secret"))
    masked = auth.tctl(*listing).out
    assert "short-secret" not in masked and "*" * len("short-secret") in masked
    assert STATIC not in masked and "*" * 18 + STATIC[18:] in masked
    assert "not-a-secret" in masked
    shown = auth.tctl(*listing, "--with-secrets").out
    assert "short-secret" in shown and STATIC in shown


def test_a_secret_reaches_neither_the_log_nor_the_audit(auth):
    auth.tctl("tokens", "add", "--type=node", "--value=a-secret-of-another-form")
    auth.tctl("tokens", "rm", "a-secret-of-another-form")
    auth.event("join_token.delete", name="*" * 18 + "r-form")
    assert "a-secret-of-another-form" not in auth.process.text()
    assert "a-secret-of-another-form" not in (auth.data_dir / "log" / "events.log").read_text()


def test_a_secret_is_random_and_never_reused(auth):
    first = json.loads(auth.tctl("tokens", "add", "--type=node,app", "--format=json").out)
    second = auth.tctl("tokens", "add", "--type=node", "--format=text").out.strip()
    assert first["roles"] == ["Node", "App"]
    assert len(first["token"]) == len(second) == 32 and first["token"] != second
    done = auth.tctl("tokens", "add", "--type=node", f"--value={second}", check=False)
    assert done.code == 1 and "already exists" in done.err
    done = auth.tctl("tokens", "add", "--type=nodd", check=False)
    assert done.code == 1 and 'invalid role "nodd"' in done.err and "did you mean Node" in done.err


def test_a_static_token_can_only_be_changed_in_the_file(auth):
    done = auth.tctl("tokens", "rm", STATIC, check=False)
    assert done.code == 1 and "remove it from auth_service.tokens" in done.err
    done = auth.tctl("tokens", "add", "--type=node", f"--value={STATIC}", check=False)
    assert done.code == 1 and "auth_service.tokens" in done.err
    assert auth.json("get", f"token/{STATIC}")[0]["metadata"]["labels"] == {"teleport.dev/origin": "config-file"}


# ---- joining by method token -------------------------------------------------------------------------------


def test_a_host_joins_with_the_invitation_as_it_is_printed(cluster):
    text = cluster.tctl("tokens", "add", "--type=node", "--ttl=5m").out
    secret = text.split("The invite token: ")[1].split("\n")[0]
    assert "This token will expire in 5 minutes." in text
    assert f"--ca-pin={cluster.ca_pin} \\\n" in text
    cluster.join("web-1", token=secret, method="token")
    event = cluster.event("instance.join", success=True)
    assert event["method"] == "token"
    assert event["token_name"] == "*" * 24 + secret[24:]


def test_a_host_joins_with_a_static_token_kept_in_files(make_cluster, tmp_path):
    (tmp_path / "secrets").write_text("one-secret-0123456789\nanother-secret-0123456789\n")
    (tmp_path / "token").write_text("another-secret-0123456789\n")
    cluster = make_cluster(auth={"tokens": [f"node:{tmp_path / 'secrets'}"]})
    assert len(cluster.json("tokens", "ls")) == 2
    cluster.join("web-1", token=str(tmp_path / "token"), method="token", via="auth")
    assert cluster.node("web-1")["spec"]["join_method"] == "token"


# ---- explaining ----------------------------------------------------------------------------------------------


def explain(cluster, account, role="teleport-node-role", asks="Node"):
    return cluster.json("tokens", "explain", "iam-token", f"--account={account}", f"--arn=arn:aws:sts::{account}:assumed-role/{role}/i-1",
                        f"--role={asks}")


def test_explain_names_the_rule_that_matches(auth):
    auth.tctl("create", "-f", stdin=GUIDE)
    answer = explain(auth, "333333333333")
    assert answer["allowed"] is True and answer["summary"] == "allowed by rule 3"
    assert [rule["matches"] for rule in answer["rules"]] == [False, False, True]


def test_explain_says_rule_by_rule_why_none_matches(auth):
    auth.tctl("create", "-f", stdin=GUIDE)
    answer = explain(auth, "333333333333", role="db")
    assert answer["allowed"] is False and answer["summary"] == "refused: no rule matches"
    why = [rule["text"] for rule in answer["rules"]]
    assert why[0] == "aws_account is '123456789012' in the rule, the caller has '333333333333'"
    assert why[2].startswith("aws_arn is 'arn:aws:sts::333333333333:assumed-role/teleport-node-role/i-*' in the rule")


def test_explain_names_a_wrong_role_or_method(auth):
    auth.tctl("create", "-f", stdin=GUIDE)
    assert explain(auth, "123456789012", role="any")["allowed"] is True
    assert explain(auth, "123456789012", asks="App")["summary"] == "refused: the token does not allow role 'App'"
    text = auth.tctl("tokens", "explain", STATIC, f"--account={ACCOUNT}", f"--arn={WEB_ARN}").out
    assert "join method is 'token', not 'iam'" in text
    done = auth.tctl("tokens", "explain", "iam-token", "--account=12", f"--arn={WEB_ARN}", check=False)
    assert done.code == 1 and "--account must be twelve digits" in done.err


# ---- fields left empty --------------------------------------------------------------------------------------------

NOTHING = ["", "~", "null", '""', "' '", "[]"]


@pytest.mark.parametrize("field", ["aws_arn", "aws_role", "aws_account"])
def test_a_rule_with_a_field_left_empty_is_refused(auth, tmp_path, field):
    """A field that a template left empty must not mean "any": in YAML and JSON, created and edited."""
    rule = {"aws_account": ACCOUNT, "aws_arn": WEB_ARN}
    auth.create(iam_token("kept", arn=WEB_ARN))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\ncp \"$WITH\" \"$1\"\n")
    editor.chmod(0o755)
    for nothing in NOTHING:
        lines = "".join(f"    {k}: {v}\n" for k, v in rule.items() if k != field)
        text = f"kind: token\nversion: v2\nmetadata: {{name: kept}}\nspec:\n  roles: [Node]\n  join_method: iam\n  allow:\n  - {field}: {nothing}\n{lines}"
        for done in (auth.tctl("create", "-f", stdin=text, check=False),
                     (tmp_path / "with").write_text(text) and auth.tctl("edit", "token/kept", check=False, env=clean_env(
                         TELEPORT_EDITOR=editor, WITH=tmp_path / "with", TMPDIR=tmp_path))):
            assert done.code == 1 and f"spec.allow[1].{field} has no value" in done.err, (nothing, done.err)
    for nothing in (None, "", " "):
        token = iam_token("kept", arn=WEB_ARN)
        token["spec"]["allow"][0][field] = nothing
        done = auth.tctl("create", "-f", stdin=json.dumps(token), check=False)
        assert done.code == 1 and f"{field} has no value" in done.err, (nothing, done.err)
    assert auth.json("get", "token/kept")[0]["spec"]["allow"] == [{"aws_account": ACCOUNT, "aws_arn": WEB_ARN}]


def test_an_empty_field_over_the_wire_is_refused(auth):
    """As PutToken takes it from any client, not only tctl; absent and empty differ on the wire."""
    api = messages().api
    with grpc.insecure_channel(f"unix:{auth.data_dir}/auth.sock") as channel:
        put = channel.unary_unary("/cteleport.v1.AdminService/PutToken", lambda m: m.SerializeToString(), api.PutResponse.FromString)
        for field in ("aws_account", "aws_role", "aws_arn"):
            request = api.PutTokenRequest()
            request.token.metadata.name = "wire"
            request.token.spec.join_method = "iam"
            request.token.spec.roles.append("Node")
            rule = request.token.spec.allow.add(aws_account=ACCOUNT, aws_arn=WEB_ARN)
            setattr(rule, field, "")
            with pytest.raises(grpc.RpcError) as refused:
                put(request, timeout=TIMEOUT)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and field in refused.value.details()
    assert "wire" not in names(auth)
