# SPDX-License-Identifier: Apache-2.0
"""Access: roles, labels, denials, locks, and rights on the cluster's own resources."""
import json
import subprocess

import pytest

from harness import TIMEOUT, wait_until
from users import User, invite_url


def role(name, allow=None, deny=None, options=None):
    return {"kind": "role", "version": "v7", "metadata": {"name": name}, "spec": {"allow": allow or {}, "deny": deny or {}, "options": options or {}}}


NODE = "root@web-1.example.test"  # as plain ssh calls it
EVERYWHERE = {"node_labels": {"*": "*"}, "logins": ["root"]}


@pytest.fixture
def bob(access, invite):
    """A user with the single role `mine`, which each test writes."""
    access.create(role("mine", EVERYWHERE))
    user = invite(access, "bob", "mine", "root")
    user.login()
    return user


# ---- presets and resources -------------------------------------------------------------------------------------


def test_the_presets_are_there(cluster):
    names = {r["metadata"]["name"] for r in json.loads(cluster.tctl("get", "roles", "--format=json").out)}
    assert {"access", "editor", "auditor"} <= names


def test_a_role_is_created_shown_updated_and_deleted(cluster):
    assert "role 'ops' has been created" in cluster.create(role("ops", EVERYWHERE)).out
    shown = json.loads(cluster.tctl("get", "role/ops", "--format=json").out)[0]
    assert shown["spec"]["allow"]["node_labels"] == {"*": "*"}
    assert "role 'ops' has been updated" in cluster.create(role("ops", EVERYWHERE)).out
    assert 'role "ops" has been deleted' in cluster.tctl("rm", "role/ops").out


@pytest.mark.parametrize("spec, word", [
    ({"options": {"require_session_mfa": True}}, "require_session_mfa"),
    ({"allow": {"loggins": ["root"]}}, "logins"),
    ({"allow": {"rules": [{"resources": ["tokenz"], "verbs": ["read"]}]}}, "tokenz"),
    ({"allow": {"rules": [{"resources": ["token"], "verbs": ["reed"]}]}}, "reed"),
    ({"allow": {"logins": ["-oProxyCommand=x"]}}, "-oProxyCommand"),
    ({"allow": {"node_labels": {"env": "^(unclosed$"}}}, "unclosed"),
    ({"options": {"max_session_ttl": "-1h"}}, "max_session_ttl"),
    ({"options": {"record_session": {"default": "sometimes"}}}, "sometimes"),
])
def test_an_invalid_role_is_refused_with_the_mistake(cluster, spec, word):
    done = cluster.tctl("create", "-f", stdin={"kind": "role", "version": "v7", "metadata": {"name": "bad"}, "spec": spec}, check=False)
    assert done.code == 1 and word in done.err, done.err


# ---- reaching nodes -----------------------------------------------------------------------------------------------


REACH = [
    (EVERYWHERE, None, True),
    ({"node_labels": {"env": "prod"}, "logins": ["root"]}, None, True),
    ({"node_labels": {"env": ["dev", "prod"]}, "logins": ["root"]}, None, True),
    ({"node_labels": {"env": "pr*"}, "logins": ["root"]}, None, True),
    ({"node_labels": {"env": "^p.+d$"}, "logins": ["root"]}, None, True),
    ({"node_labels": {"env": "prod", "team": "db"}, "logins": ["root"]}, None, False),
    ({"node_labels": {"env": "dev"}, "logins": ["root"]}, None, False),
    ({"node_labels": {}, "logins": ["root"]}, None, False),
    ({"logins": ["root"]}, None, False),
    ({"node_labels": {"*": "*"}}, None, False),
    ({"node_labels": {"*": "*"}, "logins": ["daemon"]}, None, False),
    (EVERYWHERE, {"logins": ["root"]}, False),
    (EVERYWHERE, {"node_labels": {"team": "web"}}, False),
    (EVERYWHERE, {"node_labels": {"*": "*"}}, False),
    (EVERYWHERE, {"node_labels": {"team": "db"}}, True),
]


def test_labels_and_logins_decide_and_deny_wins(access, bob):
    refused = 0
    for allow, deny, reaches in REACH:
        access.create(role("mine", allow, deny))
        done = bob.tsh("ssh", "root@web-1", "echo in", check=False)
        assert (done.out == "in\n") == reaches, (allow, deny, done.err)
        refused += not reaches
    rejected = wait_until(lambda: len(e := access.events("session.rejected")) == refused and e, "each refusal is audited")
    assert {(e["user"], e["code"]) for e in rejected} == {("bob", "T1006W")}


def test_nodes_a_user_may_not_reach_are_not_listed(access, bob):
    assert "web-1" in bob.tsh("ls").out
    access.create(role("mine", {"node_labels": {"env": "dev"}, "logins": ["root"]}))
    assert "web-1" not in bob.tsh("ls").out
    assert "web-1" not in bob.tctl("nodes", "ls").out


def test_a_hidden_node_is_as_one_that_is_not_there(access, bob):
    """By name and ID, for ssh, listings and tctl; only the audit distinguishes them."""
    access.create(role("mine", {**EVERYWHERE, "node_labels": {"no": "such"}}))
    host_id = next(n["metadata"]["name"] for n in json.loads(access.tctl("get", "nodes", "--format=json").out) if n["spec"]["hostname"] == "web-1")
    other_id = "00000000-1111-4222-8333-444444444444"
    def said(done):
        text = done.out + done.err
        for name in ("web-1", "web-9", host_id, other_id):
            text = text.replace(name, "NODE")
        return done.code, text

    for there, absent in (("web-1", "web-9"), (host_id, other_id), ("web-1.example.test", "web-9.example.test")):
        for words in (("ssh", "root@{}", "true"), ("ls", "{}"), ("ls", "name={}")):
            done, none = (bob.tsh(*(word.format(name) for word in words), check=False) for name in (there, absent))
            assert said(done) == said(none), (there, words)
    for there, absent in (("web-1", "web-9"), (host_id, other_id)):
        done, none = (bob.tctl("get", f"node/{name}", check=False) for name in (there, absent))
        assert said(done) == said(none), there
    rejected = wait_until(lambda: [e for e in access.events("session.rejected") if e.get("server_id") == host_id], "the audit has it")
    assert "no role that reaches" in rejected[0]["reason"]


def test_a_denial_in_one_role_overrides_allow_rules(access, bob):
    access.create(role("no-web", deny={"node_labels": {"team": "web"}}))
    access.tctl("users", "update", "bob", "--set-roles=mine,no-web")
    assert bob.tsh("ssh", "root@web-1", "true", check=False).code != 0


def test_ls_filters_by_labels_search_and_query(alice):
    for args in (["env=prod"], ["env=prod,team=web"], ["--search=web"], ['--query=labels["env"] == "prod" && name != "x"'], ["--query=hasPrefix(name, \"web\")"]):
        assert "web-1" in alice.tsh("ls", *args).out, args
    for args in (["env=dev"], ["env=prod,team=db"], ["--search=database"], ['--query=labels["env"] != "prod"']):
        assert "web-1" not in alice.tsh("ls", *args).out, args
    assert alice.tsh("ls", "--query=labels[", check=False).code == 1
    names = alice.tsh("ls", "--format=names").out.split()
    assert names == ["web-1"]
    verbose = alice.tsh("ls", "-v").out
    assert "Node ID" in verbose and "Node Name" in verbose
    assert json.loads(alice.tsh("ls", "--format=json").out)[0]["spec"]["hostname"] == "web-1"


def test_tctl_filters_nodes_as_tsh_does(access):
    def names(*args):
        return [node["spec"]["hostname"] for node in access.json("nodes", "ls", *args)]

    assert names('--query=labels["env"] == "prod"') == ["web-1"] == names("--search=web") == names("env=prod")
    assert names('--query=labels["env"] != "prod"') == []


def test_labels_can_come_from_commands(access, alice, aws, tmp_path):
    said = tmp_path / "said"
    said.write_text("blue\n")
    host = access.join("web-2", env=access.node_env, ssh={"commands": [{"name": "colour", "command": ["cat", str(said)], "period": "1s"}]})
    host.wait_reachable()
    wait_until(lambda: "web-2" in alice.tsh("ls", "colour=blue").out, "the label of a command is seen")
    said.write_text("green\n")
    wait_until(lambda: "web-2" in alice.tsh("ls", "colour=green").out, "the label changes with what the command says")


def test_escape_sequences_in_labels_reach_no_terminal(access, alice):
    host = access.join("web-3", env=access.node_env, ssh={"labels": {"evil": "\x1b]0;owned\x07\x1b[31mred\u202e"}})
    for listing in (alice.tsh("ls", "-v").out, alice.tctl("nodes", "ls").out, access.tctl("nodes", "ls").out):
        assert "\x1b" not in listing and "\x07" not in listing and "\u202e" not in listing
    assert host.host_id


# ---- permissions of a session ---------------------------------------------------------------------------------------------


def test_forwarding_is_the_roles_to_allow(access, bob):
    access.create(role("mine", EVERYWHERE, options={"port_forwarding": False}))
    bob.login()
    for forward in (("-W", "127.0.0.1:22"), ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22")):
        assert bob.ssh(*forward, NODE, check=False).code != 0
    denied = wait_until(lambda: access.events("port")[1:] and access.events("port"), "the refused forwards are audited")
    assert [(e["code"], e["direction"], e["addr"], e["success"]) for e in denied] == [
        ("T3003E", "local", "127.0.0.1:22", False), ("T3003E", "remote", "localhost:0", False)]


def test_a_role_taken_back_counts_before_the_certificate_ends(access, bob):
    """The certificate of the login still permits forwarding; the node asks the cluster again."""
    access.create(role("mine", EVERYWHERE, options={"port_forwarding": False}))
    done = bob.ssh("-W", "127.0.0.1:22", NODE, check=False)
    assert done.code != 0 and "administratively prohibited" in done.err


def test_file_copy_is_the_roles_to_allow(access, bob, tmp_path):
    access.create(role("mine", EVERYWHERE, options={"ssh_file_copy": False}))
    (tmp_path / "f").write_text("x")
    for args in (("scp", tmp_path / "f", f"root@web-1:{tmp_path}/g"), ("sftp", "-b", "/dev/null", "root@web-1"), ("ssh", "root@web-1", f"scp -t {tmp_path}"),
                 ("ssh", "root@web-1", f" scp  -pt {tmp_path}"), ("ssh", "root@web-1", f"LANG=C exec 'scp'\t-t {tmp_path}")):
        assert bob.tsh(*args, check=False).code != 0, args
    assert not (tmp_path / "g").exists()
    assert bob.tsh("ssh", "root@web-1", "echo yes").out == "yes\n"


@pytest.mark.parametrize("whose", ["roles", "node"])
def test_a_refused_copy_says_why(access, bob, aws, tmp_path, whose):
    before = set()
    if whose == "roles":
        access.create(role("mine", EVERYWHERE, options={"ssh_file_copy": False}))
    else:
        access.web.config["ssh_service"]["ssh_file_copy"] = False
        access.web.stop()
        access.web.start()
        access.web.wait_reachable()
        wait_until(lambda: bob.tsh("ssh", "root@web-1", "true", check=False).code == 0, "it is listed again")
        before = {e["uid"] for e in access.settled("session.start")}
        assert before, "its start is audited"
    (tmp_path / "f").write_text("x")
    (tmp_path / "there").write_text("y")
    here, there, back = tmp_path / "f", f"root@web-1:{tmp_path}/there", tmp_path / "back"
    said = f"copying files is not allowed: ssh_file_copy of {'your roles' if whose == 'roles' else 'this node'} forbids it"
    for flags in ([], ["--no-mux"], []):
        for args in (("scp", *flags, here, there), ("scp", *flags, there, back), ("scp", *flags, here, tmp_path / "there", f"root@web-1:{tmp_path}"),
                     ("scp", *flags, f"root@{access.web.host_id}:{tmp_path}/there", back), ("sftp", *flags, "-b", "/dev/null", "root@web-1")):
            done = bob.tsh(*args, check=False)
            assert done.code == 1 and f"ERROR: {said}" in done.err, (args, done.err)
            assert "No such file" not in done.err and "Connection closed" not in done.err and "ot a directory" not in done.err, done.err
    plain = "copying files is not allowed"
    done = bob.ssh("-b", "/dev/null", NODE, program_="sftp", check=False)
    assert done.code != 0 and plain in done.err, done.err
    for args in ((here, f"{NODE}:{tmp_path}/there"), (f"{NODE}:{tmp_path}/there", back), ("-r", here, tmp_path / "there", f"{NODE}:{tmp_path}")):
        done = bob.ssh(*args, program_="scp", check=False)
        assert done.code == 1 and "Permission denied" in done.err, done.err
        done = bob.ssh("-O", *args, program_="scp", check=False)
        assert done.code == 1 and done.err.count(f"teleport: {plain}") == 2, "on standard error, and in scp's own protocol: " + done.err
    assert (tmp_path / "there").read_text() == "y" and not back.exists()
    assert len(access.settled("session.rejected")) > 10 and {e["uid"] for e in access.events("session.start")} == before
    failed = bob.tsh("ssh", "root@web-1", "echo yes")
    assert failed.out == "yes\n"


def test_a_copy_that_fails_for_itself_says_no_more(access, bob, tmp_path):
    done = bob.tsh("scp", f"root@web-1:{tmp_path}/absent", tmp_path / "back", check=False)
    assert done.code == 1 and "No such file" in done.err and "ERROR" not in done.err


def test_agent_forwarding_is_the_roles_to_allow(access, bob, tmp_path):
    agent = subprocess.run(["ssh-agent", "-s", "-a", str(tmp_path / "agent.sock")], capture_output=True, text=True, check=True).stdout
    pid = agent.split("SSH_AGENT_PID=")[1].split(";")[0]
    try:
        env = {"SSH_AUTH_SOCK": str(tmp_path / "agent.sock")}
        assert bob.tsh("ssh", "-A", "root@web-1", "test -S \"$SSH_AUTH_SOCK\"", check=False, env=env).code != 0
        access.create(role("mine", EVERYWHERE, options={"forward_agent": True}))
        bob.login()
        assert bob.tsh("ssh", "-A", "root@web-1", "test -S \"$SSH_AUTH_SOCK\"", check=False, env=env).code == 0
    finally:
        subprocess.run(["kill", pid], check=False)


def test_an_idle_terminal_is_ended_with_a_word(access, bob):
    access.create(role("mine", EVERYWHERE, options={"client_idle_timeout": "1s"}))
    shell = bob.terminal("ssh", "root@web-1")  # the prompt may appear later than that
    shell.expect("no input for 1s")
    shell.wait()


def test_an_idle_connection_is_ended_for_every_use(access, bob):
    access.create(role("mine", EVERYWHERE, options={"client_idle_timeout": "4s"}))
    config = bob.ssh_config()
    start = lambda *args: subprocess.Popen(["ssh", "-F", config, *args], env=bob.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    idle = [start(NODE, "sleep 600"), start("-N", NODE), start("-N", "-R", "0:127.0.0.1:1", NODE), start("-s", NODE, "sftp")]
    alive = start("-N", "-o", "ServerAliveInterval=1", NODE)
    busy = bob.ssh(NODE, "for i in $(seq 12); do echo $i; sleep 0.5; done")
    assert busy.out.split()[-1] == "12", "output is no idleness"
    for process in idle:
        assert process.wait(TIMEOUT) != 0
        process.stdin.close()
    assert alive.poll() is None, "what keeps it alive is no idleness"
    alive.kill()
    alive.communicate()
    reasons = wait_until(lambda: [e["reason"] for e in access.events("client.disconnect") if e.get("reason")][len(idle) - 1:] and access.events("client.disconnect"), "the ends are audited")
    assert {e["reason"] for e in reasons if e.get("reason")} == {"the connection was closed: it had no traffic for 4s"}


# ---- locks ------------------------------------------------------------------------------------------------------------------


def test_a_lock_ends_live_sessions_and_refuses_new_ones(access, bob):
    for target in ("--user=bob", "--role=mine", "--login=root", "--node=web-1", f"--server-id={access.web.host_id}"):
        shell = bob.shell("root@web-1")
        words = access.tctl("lock", target, "--message=out for today", "--ttl=1h").out
        assert 'Created a lock with name "' in words
        shell.expect("out for today")
        shell.wait()
        done = bob.tsh("ssh", "root@web-1", "true", check=False)
        assert done.code != 0, target
        lock = words.split('"')[1]
        assert f'lock "{lock}" has been deleted' in access.tctl("rm", f"lock/{lock}").out
        assert bob.tsh("ssh", "root@web-1", "echo back").out == "back\n", target
    access.exactly(5, "lock.created")
    access.exactly(5, "lock.deleted")


def test_a_lock_of_a_user_stops_login_and_tctl_too(access, bob):
    access.tctl("lock", "--user=bob")
    assert bob.login(check=False).code == 1
    assert bob.tctl("nodes", "ls", check=False).code == 1


def test_a_lock_ends_by_itself(access, bob):
    name = access.tctl("lock", "--user=bob").out.split('"')[1]
    assert bob.tsh("ssh", "root@web-1", "true", check=False).code != 0
    access.create_ending(lambda expires: {"kind": "lock", "version": "v2", "metadata": {"name": name}, "spec": {"target": {"user": "bob"}, "expires": expires}})
    wait_until(lambda: bob.tsh("ssh", "root@web-1", "true", check=False).code == 0, "the lock has ended")


def test_a_running_command_is_ended_by_a_lock(access, bob):
    child = bob.terminal("ssh", "root@web-1", "echo started; exec sleep 1000")
    child.expect("started")
    access.tctl("lock", "--user=bob")
    child.wait()
    wait_until(lambda: access.events("exec"), "its end is audited")


# ---- rights on the cluster's resources ---------------------------------------------------------------------------------------------


def test_rules_give_verbs_on_kinds(access, invite):
    access.create(role("tokens-only", {"rules": [{"resources": ["token"], "verbs": ["list", "read"]}]}))
    user = invite(access, "tina", "tokens-only", "root")
    user.login()
    user.tctl("tokens", "ls")
    for refused in (("tokens", "add", "--type=node"), ("users", "ls"), ("get", "roles")):
        assert user.tctl(*refused, check=False).code == 1, refused


def test_granting_rights_beyond_ones_own_is_refused(access, bob):
    """`access` and a role without rules may not touch users, roles or locks."""
    for args in (("users", "update", "bob", "--set-roles=editor"), ("users", "rm", "bob"), ("rm", "role/access")):
        assert bob.tctl(*args, check=False).code == 1
    assert json.loads(access.tctl("get", "user/bob", "--format=json").out)[0]["spec"]["roles"] == ["mine"]


def test_the_auditor_reads_events_and_recordings_and_logs_in_nowhere(access, invite):
    auditor = invite(access, "audrey", "auditor", "root")
    auditor.login()
    wait_until(lambda: "user.login" in auditor.tctl("audit", "ls", "--type=user.login").out, "the login is listed")
    assert auditor.tsh("ssh", "root@web-1", "true", check=False).code != 0
