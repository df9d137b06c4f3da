# SPDX-License-Identifier: Apache-2.0
"""Files printed by Teleport's own tools load here, and the output of our tools has the forms that they read."""
import re
import subprocess

import pytest
import yaml

from harness import TIMEOUT, iam_token, program

CONFIGURE = '''\
#
# A Sample Teleport configuration file.
#
version: v3
teleport:
  nodename: localhost
  data_dir: /var/lib/teleport
  log:
    output: stderr
    severity: INFO
    format:
      output: text
  ca_pin: ""
  diag_addr: ""
auth_service:
  enabled: "yes"
  listen_addr: 0.0.0.0:3025
  cluster_name: example.com
  proxy_listener_mode: multiplex
ssh_service:
  enabled: "yes"
  commands:
  - name: hostname
    command: [hostname]
    period: 1m0s
proxy_service:
  enabled: "yes"
  https_keypairs: []
  https_keypairs_reload_interval: 0s
  acme: {}
'''
NODE_CONFIGURE = '''\
version: v3
teleport:
  nodename: web-1
  data_dir: /var/lib/teleport
  join_params:
    token_name: iam-token
    method: iam
  proxy_server: example.com:443
  log:
    output: stderr
    severity: INFO
    format:
      output: text
  ca_pin: ""
  diag_addr: ""
auth_service:
  enabled: "no"
ssh_service:
  enabled: "yes"
proxy_service:
  enabled: "no"
  https_keypairs: []
  https_keypairs_reload_interval: 0s
  acme: {}
'''
ROLE = '''\
kind: role
metadata:
  description: Access cluster resources
  id: 1683574028869588000
  labels: {teleport.internal/resource-type: preset}
  name: theirs
  namespace: default
spec:
  allow:
    app_labels: {'*': '*'}
    db_labels: {'*': '*'}
    db_names: ['{{internal.db_names}}']
    db_users: ['{{internal.db_users}}']
    kubernetes_groups: ['{{internal.kubernetes_groups}}']
    kubernetes_labels: {'*': '*'}
    kubernetes_resources: [{kind: '*', name: '*', namespace: '*', verbs: ['*']}]
    logins: ['{{internal.logins}}']
    node_labels: {'*': '*'}
    rules:
    - resources: [event]
      verbs: [list, read]
    - resources: [session]
      verbs: [read, list]
      where: contains(session.participants, user.metadata.name)
  deny: {}
  options:
    cert_format: standard
    create_db_user: false
    create_desktop_user: false
    desktop_clipboard: true
    desktop_directory_sharing: true
    enhanced_recording: [command, network]
    forward_agent: true
    idp: {saml: {enabled: true}}
    max_session_ttl: 30h0m0s
    pin_source_ip: false
    port_forwarding: true
    record_session: {default: best_effort, desktop: true}
    ssh_file_copy: true
version: v7
'''
EDITOR = '''\
kind: role
metadata: {name: their-editor, revision: 27c81b5c-4f44-4a37-9d3e-1f6a0a7a6f3d}
spec:
  allow:
    rules:
    - resources: [user, role, bot, saml, github, auth_connector, token, device, node, lock]
      verbs: [list, create, read, update, delete]
    - resources: [device]
      verbs: [create_enroll_token, enroll]
    - resources: [security_report]
      verbs: [list, readnosecrets, use]
  deny: {}
  options: {max_session_ttl: 30h0m0s, port_forwarding: false, forward_agent: true, ssh_file_copy: true}
version: v6
'''
USER = '''\
kind: user
metadata:
  id: 1683574028869588001
  name: carol
spec:
  created_by:
    time: "2024-05-08T19:27:08.869588Z"
    user: {name: bob}
  expires: "0001-01-01T00:00:00Z"
  roles: [access]
  status:
    is_locked: false
    lock_expires: "0001-01-01T00:00:00Z"
    locked_time: "0001-01-01T00:00:00Z"
    recovery_attempt_lock_expires: "0001-01-01T00:00:00Z"
  traits:
    logins: [root, ubuntu]
    aws_role_arns: []
version: v2
'''
TOKEN = '''\
kind: token
metadata: {id: 1683574028869588002, name: theirs, expires: "2099-01-01T00:00:00Z"}
spec:
  allow:
  - aws_account: "123456789012"
    aws_arn: arn:aws:sts::123456789012:assumed-role/web/*
  aws_iid_ttl: 0s
  bot_name: ""
  join_method: iam
  roles: [Node]
version: v2
'''
LOCK = '''\
kind: lock
metadata: {id: 1683574028869588003, name: 1f2e3d4c-1111-4222-8333-444455556666}
spec:
  created_at: "2024-05-08T19:27:08Z"
  created_by: bob
  message: suspended
  target: {user: carol}
version: v2
'''


def configure_test(build, path):
    done = subprocess.run([program(build, "teleport"), "configure", "--test", path], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("text, ignored", [
    (CONFIGURE, "auth_service.proxy_listener_mode"),
    (NODE_CONFIGURE, ""),
], ids=["configure", "node configure"])
def test_the_output_of_teleport_configure_loads(build, tmp_path, text, ignored):
    path = tmp_path / "teleport.yaml"
    path.write_text(text)
    code, said = configure_test(build, path)
    assert code == 0 and said.endswith(f"OK {path}\n")
    assert re.findall(r"are ignored: (.*)\n", said) == ([ignored] if ignored else [])


def test_all_that_would_change_something_is_refused_at_once(build, tmp_path, cluster):
    path = tmp_path / "teleport.yaml"
    path.write_text(NODE_CONFIGURE.replace("acme: {}", "acme: {}\n  idp: {saml: {enabled: yes}}\n  tunnel_public_addr: a:3024").replace('enabled: "no"\n  https', 'enabled: "yes"\n  https')
                    .replace('auth_service:\n  enabled: "no"', 'auth_service:\n  enabled: "yes"\n  client_idle_timeout: 5m'))
    code, said = configure_test(build, path)
    assert code == 1 and "has 3 mistakes" in said
    for what in ("'auth_service.client_idle_timeout' is a key of Teleport that this release does not have, and its value would change something; "
                 "leave it out; set spec.options.client_idle_timeout in the roles",
                 "'proxy_service.idp' is a key of Teleport that this release does not have, and its value would change something",
                 "'proxy_service.tunnel_public_addr' is a key of Teleport that this release does not have, and its value would change something; "
                 "leave it out; public_addr is for all clients and agents"):
        assert what in said
    refused = cluster.tctl("create", "-f", stdin=ROLE.replace("pin_source_ip: false", "pin_source_ip: true").replace("deny: {}", "deny: {require_session_join: [{name: x}]}"), check=False)
    assert refused.code == 1 and "2 mistakes" in refused.err
    assert "'spec.options.pin_source_ip'" in refused.err and "'spec.deny.require_session_join'" in refused.err


def test_the_output_of_teleports_tctl_get_is_created(cluster):
    for text, ignored in ((ROLE, "spec.allow.kubernetes_resources"), (USER, "spec.expires"), (TOKEN, "spec.aws_iid_ttl"), (LOCK, "spec.created_by")):
        done = cluster.tctl("create", "-f", stdin=text)
        assert "has been created" in done.out
        assert done.err.count("are ignored") == 1 and ignored in done.err and "metadata.id" in done.err
    done = cluster.tctl("create", "-f", stdin=EDITOR)
    assert "have no effect: bot, saml, github, auth_connector, device, create_enroll_token, enroll, security_report, readnosecrets, use\n" in done.err
    assert cluster.json("get", "role/theirs")[0]["spec"]["options"]["forward_agent"] is True
    assert cluster.json("get", "user/carol")[0]["spec"]["traits"]["logins"] == ["root", "ubuntu"]


def test_all_mistakes_of_a_file_are_reported_in_one_run(cluster):
    done = cluster.tctl("create", "-f", check=False, stdin="""\
kind: token
version: v2
metadata: {name: t}
spec:
  roles: [Nodee, Node, node]
  join_method: iam
  allow: [{aws_account: "12"}, {aws_account: "123456789012", aws_arn: "é"}]
---
kind: role
version: v7
metadata: {name: a b}
spec: {allow: {logins: ['*'], rules: [{resources: [tokens], verbs: [write]}]}}
""")
    assert done.code == 1 and "stdin has 8 mistakes:\n" in done.err
    for line in ("stdin:5:11: invalid role \"Nodee\"; did you mean Node", "stdin:5:24: duplicate role Node; name it once",
                 "stdin:7:25: spec.allow[1].aws_account '12' is not an AWS account number; an account number has twelve digits",
                 "stdin:7:71: spec.allow[2].aws_arn 'é' has a character that no ARN has", "stdin:11:18: metadata.name 'a b' is not a valid name of a role; use letters",
                 "stdin:12:25: the login '*' is not allowed", "stdin:12:52: unknown resource 'tokens'; did you mean 'token'", "stdin:12:69: unknown verb 'write'; the verbs are list"):
        assert line in done.err, done.err
    assert cluster.json("get", "tokens") == []


def test_tctl_get_prints_teleports_forms(cluster):
    cluster.create(iam_token("ours"))
    cluster.tctl("users", "add", "dave", "--roles=access", "--logins=root")
    cluster.tctl("lock", "--user=dave", "--ttl=1h")
    user = cluster.json("get", "user/dave")[0]
    assert set(user["spec"]["created_by"]["user"]) == {"name"} and isinstance(user["spec"]["created_by"]["user"]["name"], str)
    assert user["spec"]["traits"]["logins"] == ["root"] and user["version"] == "v2"
    for kind in ("user/dave", "role/access", "token/ours", "locks"):
        printed = cluster.tctl("get", kind).out
        for document in yaml.safe_load_all(printed):
            assert document["kind"] in ("user", "role", "token", "lock") and isinstance(document["metadata"]["name"], str)
        cluster.tctl("create", "-f", stdin=printed)  # the output can be read again
    before = yaml.safe_load(cluster.tctl("get", "user/dave").out)
    before["spec"]["created_by"]["user"] = "admin"  # as releases before printed it
    del before["metadata"]["revision"]
    assert "updated" in cluster.create(before).out
