/* SPDX-License-Identifier: Apache-2.0 */
/* The program itself against a small Auth Service; its path is the test's argument. */
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/tctl/fake_auth.h"
#include "os/file_testing.h"

enum { WORDS_MAX = 16, OUTPUT_MAX = 64 * KiB };

static const char *tctl_path;

struct fixture {
        char *dir;
        char *config;
        pid_t auth;
        struct buf out, err;
        int exit_code;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        *f = (struct fixture){ .dir = test_dir_new(), .out = BUF_MAX(OUTPUT_MAX), .err = BUF_MAX(OUTPUT_MAX) };
        f->config = path_in(f->dir, "teleport.yaml");
        AUTO_MEM char *text = mem_printf("version: v3\nteleport: {data_dir: \"%s\", nodename: auth.example.com}\n", f->dir);
        given_file(f->dir, "teleport.yaml", text);
        f->auth = fake_auth_start(f->dir);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        fake_auth_stop(f->auth);
        test_dir_free(f->dir);
        buf_release(&f->out);
        buf_release(&f->err);
        free(f->config);
        free(f);
        return 0;
}

static void take_output(const struct fixture *f, const char *name, struct buf *ret)
{
        AUTO_MEM char *path = path_in(f->dir, name);

        buf_clear(ret);
        assert_null(file_read(path, ret));
}

static void redirect(const struct fixture *f, const char *name, int fd, int flags)
{
        AUTO_MEM char *path = path_in(f->dir, name);
        int opened = open(path, flags, 0600);

        if (opened < 0 || dup2(opened, fd) < 0)
                _exit(126);
}

/* Runs tctl with these words; the file "in" is its standard input if there is one. */
#define TCTL(f, ...) tctl(f, (char *[WORDS_MAX]){ "tctl", "-c", (f)->config, __VA_ARGS__ })
static void tctl(struct fixture *f, char **argv)
{
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                redirect(f, "out", STDOUT_FILENO, O_CREAT | O_TRUNC | O_WRONLY);
                redirect(f, "err", STDERR_FILENO, O_CREAT | O_TRUNC | O_WRONLY);
                redirect(f, "in", STDIN_FILENO, O_CREAT | O_RDONLY);
                execv(tctl_path, argv);
                _exit(127);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        f->exit_code = WEXITSTATUS(status);
        take_output(f, "out", &f->out);
        take_output(f, "err", &f->err);
}

static void assert_prints(struct fixture *f, const char *expected)
{
        if (f->exit_code != 0)
                fputs(buf_c(&f->err), stderr);
        assert_string_equal(buf_c(&f->out), expected);
        assert_int_equal(f->exit_code, 0);
}

static void assert_fails(struct fixture *f, const char *expected)
{
        assert_string_equal(buf_c(&f->err), expected);
        assert_int_equal(f->exit_code, 1);
}

#define IAM_TOKEN                                                                                  \
        "kind: token\nversion: v2\nmetadata:\n  name: iam-token\nspec:\n  roles: [Node, DB]\n"     \
        "  join_method: iam\n  allow:\n  - aws_account: \"123456789012\"\n"                        \
        "    aws_arn: arn:aws:sts::123456789012:assumed-role/web/*\n"

static void given_iam_token(struct fixture *f)
{
        AUTO_MEM char *path = path_in(f->dir, "token.yaml");

        given_file(f->dir, "token.yaml", IAM_TOKEN);
        TCTL(f, "create", "-f", path);
        assert_int_equal(f->exit_code, 0);
}

/* ---- the stories ---------------------------------------------------------------------------------- */

static void shows_the_cluster_and_its_pin(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "status");
        assert_prints(f, "Cluster  example.com   \n"
                         "Version  16.1.0        \n"
                         "host CA  never updated \n"
                         "CA pin   sha256:aabb   \n");
        TCTL(f, "status", "--format=json");
        assert_prints(f, "{\n"
                         "    \"cluster\": {\n"
                         "        \"name\": \"example.com\",\n"
                         "        \"version\": \"16.1.0\",\n"
                         "        \"ca_pins\": [\n"
                         "            \"sha256:aabb\"\n"
                         "        ]\n"
                         "    },\n"
                         "    \"authorities\": [\n"
                         "        {\n"
                         "            \"cluster_name\": \"example.com\",\n"
                         "            \"type\": \"host\",\n"
                         "            \"rotation\": {\n"
                         "                \"state\": \"never updated\"\n"
                         "            },\n"
                         "            \"keys\": [\n"
                         "                {\n"
                         "                    \"protocol\": \"SSH\",\n"
                         "                    \"status\": \"active\",\n"
                         "                    \"algorithm\": \"Ed25519\",\n"
                         "                    \"storage\": \"software\"\n"
                         "                }\n"
                         "            ]\n"
                         "        }\n"
                         "    ]\n"
                         "}\n");
}

static void creates_a_token_overwrites_it_and_prints_it_back(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        assert_prints(f, "provision_token \"iam-token\" has been created\n");
        given_iam_token(f);
        assert_prints(f, "provision_token \"iam-token\" has been updated\n");
        TCTL(f, "get", "token/iam-token");
        assert_prints(f, "kind: token\n"
                         "version: v2\n"
                         "metadata:\n"
                         "  name: iam-token\n"
                         "  revision: \"2\"\n"
                         "spec:\n"
                         "  roles:\n"
                         "  - Node\n"
                         "  - Db\n"
                         "  allow:\n"
                         "  - aws_account: \"123456789012\"\n"
                         "    aws_arn: arn:aws:sts::123456789012:assumed-role/web/*\n"
                         "  join_method: iam\n");
}

static void reads_its_own_output_from_standard_input(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        TCTL(f, "get", "tokens", "--format=json");
        given_file(f->dir, "in", buf_c(&f->out));
        TCTL(f, "create");
        assert_prints(f, "provision_token \"iam-token\" has been updated\n");
}

static void refuses_a_service_that_does_not_exist(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "inventory", "ls", "--services=nod");
        assert_fails(f, "ERROR: invalid role \"nod\"\nhint:  did you mean Node\n\n");
}

static void writes_nothing_when_one_resource_of_a_file_is_wrong(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", IAM_TOKEN "---\nkind: token\nmetadata: {name: x}\nspec: {roles: [Nod]}\n");
        TCTL(f, "create", "-f", "-");
        assert_fails(f, "ERROR: stdin:14:16: invalid role \"Nod\"\nhint:  did you mean Node\n\n");
        TCTL(f, "tokens", "ls");
        assert_prints(f, "No active tokens found.\n");
}

static void refuses_empty_input_and_kinds_it_does_not_create(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", "# nothing\n");
        TCTL(f, "create");
        assert_fails(f, "ERROR: no resources found, empty input?\n"
                        "hint:  give a file that begins with a line like: kind: token\n\n");
        given_file(f->dir, "in", "kind: db\n");
        TCTL(f, "create");
        assert_fails(f, "ERROR: stdin:1:7: creating resources of type \"db\" is not supported\n"
                        "hint:  the types are token, role, user, lock and app\n\n");
}

static void prints_warnings_of_the_server_escaped(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", "kind: token\nmetadata: {name: warned}\nspec: {roles: [Node]}\n");
        TCTL(f, "create");
        assert_prints(f, "provision_token \"******\" has been created\n");
        assert_string_equal(buf_c(&f->err), "WARNING: mind the \\x1b[31mgap\n");
}

static void invites_with_a_random_token_that_ends(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "tokens", "add", "--type=node,DB", "--ttl=1h", "--value=0123456789abcdef0123", "--labels=env=prod");
        assert_prints(f, "The invite token: 0123456789abcdef0123\n"
                         "This token will expire in 60 minutes.\n"
                         "\n"
                         "Run this on the new node to join the cluster:\n"
                         "\n"
                         "> teleport start \\\n"
                         "   --roles=node,db \\\n"
                         "   --token=0123456789abcdef0123 \\\n"
                         "   --ca-pin=sha256:aabb \\\n"
                         "   --auth-server=auth.example.com:3025\n"
                         "\n"
                         "Please note:\n"
                         "\n"
                         "  - This invitation token will expire in 60 minutes\n"
                         "  - auth.example.com:3025 must be reachable from the new node\n");
        TCTL(f, "tokens", "add", "--type=app", "--ttl=1h", "--value=0123456789abcdef0456", "--app-name=wiki");
        assert_prints(f, "The invite token: 0123456789abcdef0456\n"
                         "This token will expire in 60 minutes.\n"
                         "\n"
                         "Run this on the new node to join the cluster with the application:\n"
                         "\n"
                         "> teleport app start \\\n"
                         "   --token=0123456789abcdef0456 \\\n"
                         "   --ca-pin=sha256:aabb \\\n"
                         "   --auth-server=<proxyhost>:3080 \\\n"
                         "   --name=wiki \\\n"
                         "   --uri='http://localhost:8080'\n"
                         "\n"
                         "Please note:\n"
                         "\n"
                         "  - This invitation token will expire in 60 minutes\n"
                         "  - <proxyhost>:3080 must be reachable from the new node\n");
        TCTL(f, "tokens", "add", "--type=node,app", "--app-name=wiki");
        assert_fails(f, "ERROR: --app-name and --app-uri are for tokens of hosts with applications\n"
                        "hint:  give --type=app, or leave them out\n\n");
        TCTL(f, "tokens", "add", "--type=node", "--value=0123456789abcdef0123");
        assert_fails(f, "ERROR: a token with this name already exists\n\n");
        TCTL(f, "tokens", "add", "--type=node", "--format=text");
        assert_int_equal(f->out.len, 33); /* 32 hex digits and a newline */
}

static void hides_secrets_in_lists_unless_asked(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        given_file(f->dir, "in", "kind: token\nmetadata: {name: 0123456789abcdefgh, labels: {a: b}, expires: 3000-01-01T00:00:00Z}\n"
                            "spec: {roles: [Proxy]}\n");
        TCTL(f, "create");
        TCTL(f, "tokens", "ls");
        assert_prints(f, "Token              Type    Labels Expiry Time (UTC)    \n"
                         "------------------ ------- ------ -------------------- \n"
                         "*************defgh Proxy   a=b    3000-01-01T00:00:00Z \n"
                         "iam-token          Node,Db        never                \n");
}

static void removes_tokens_by_both_commands(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        TCTL(f, "rm", "token/iam-token");
        assert_prints(f, "token \"iam-token\" has been deleted\n");
        given_iam_token(f);
        TCTL(f, "tokens", "rm", "iam-token");
        assert_prints(f, "Token iam-token has been deleted\n");
        TCTL(f, "tokens", "rm", "iam-token");
        assert_fails(f, "ERROR: token \"iam-token\" is not found\nhint:  look at the list\n\n");
        TCTL(f, "rm", "token");
        assert_fails(f, "ERROR: the name of the token is missing\nhint:  write, for example: tctl rm token/<name>\n\n");
        TCTL(f, "rm", "node/11111111-1111-4111-8111-111111111111");
        assert_prints(f, "node 11111111-1111-4111-8111-111111111111 has been deleted\n");
}

static void lists_nodes_without_control_sequences(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "nodes", "ls", "-v");
        assert_int_equal(f->exit_code, 0);
        assert_true(str_contains(buf_str(&f->out), STR("db\\x1b[2J ")));
        assert_true(str_contains(buf_str(&f->out), STR("env=prod")));
        assert_true(str_contains(buf_str(&f->out), STR("arn:aws:sts::123456789012:assumed-role/web/i-1")));
        assert_true(str_contains(buf_str(&f->out), STR("2027-01-15T08:00:00Z")));
        TCTL(f, "nodes", "ls", "env=prod");
        assert_prints(f, "Host UUID                                 Public Address Labels   Version \n"
                         "---- ------------------------------------ -------------- -------- ------- \n"
                         "web  11111111-1111-4111-8111-111111111111 \xe2\x9f\xb5 Tunnel       env=prod 16.1.0  \n");
        TCTL(f, "nodes", "ls", "--search=WEB", "--format=json");
        assert_true(str_contains(buf_str(&f->out), STR("\"hostname\": \"web\"")));
        assert_false(str_contains(buf_str(&f->out), STR("10.0.0.2")));
        TCTL(f, "nodes", "ls", "prod");
        assert_fails(f, "ERROR: 'prod' does not name labels\nhint:  write key=value, several with commas between\n\n");
}

static void lists_the_inventory(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "inventory", "ls", "--services=proxy");
        assert_prints(f, "Server ID                            Hostname Services   Agent Version Status \n"
                         "------------------------------------ -------- ---------- ------------- ------ \n"
                         "11111111-1111-4111-8111-111111111111 web      Node,Proxy 16.1.0        online \n");
}

static void counts_the_inventory(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "inventory", "status");
        assert_prints(f, "Versions:\n  16.1.0: 1\nServices:\n  Node: 1\n  Proxy: 1\nStates:\n  online: 1\nJoin Methods:\n  unknown: 1\n"
                         "Total Instances: 1\n");
        TCTL(f, "inventory", "status", "--format=yaml");
        assert_prints(f, "\"versions\":\n  \"16.1.0\": 1\n\"services\":\n  \"Node\": 1\n  \"Proxy\": 1\n\"states\":\n  \"online\": 1\n"
                         "\"join_methods\":\n  \"unknown\": 1\n\"total_instances\": 1\n");
        TCTL(f, "inventory", "status", "--connected");
        assert_prints(f, "Server ID                            Services   Version \n"
                         "------------------------------------ ---------- ------- \n"
                         "11111111-1111-4111-8111-111111111111 Node,Proxy 16.1.0  \n");
}

static void gets_resources_by_name_and_several_kinds_as_yaml(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "get", "node/web", "--format=text");
        assert_int_equal(f->exit_code, 0);
        TCTL(f, "get", "node/nobody");
        assert_fails(f, "ERROR: node \"nobody\" is not found\nhint:  list them all: tctl get nodes\n\n");
        TCTL(f, "get", "nodes,instances");
        assert_int_equal(f->exit_code, 0);
        assert_true(str_contains(buf_str(&f->out), STR("---\nkind: instance\n")));
        TCTL(f, "get", "nodes,instances", "--format=json");
        assert_int_equal(f->exit_code, 1);
        TCTL(f, "get", "dbs");
        assert_fails(f, "ERROR: there are no resources of type \"dbs\"\n"
                        "hint:  the types are token, node, instance, role, user, lock, app and app_server\n\n");
}

static void explains_the_rules_of_a_token(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "tokens", "explain", "iam-token", "--account=123456789012", "--arn=x");
        assert_prints(f, "refused: no rule matches\n"
                         "\n"
                         "Rule Matches Why                        \n"
                         "---- ------- -------------------------- \n"
                         "1    no      aws_account is another one \n");
        TCTL(f, "tokens", "explain", "iam-token", "--account=123456789012", "--arn=x", "-f", "yaml");
        assert_prints(f, "allowed: false\n"
                         "summary: \"refused: no rule matches\"\n"
                         "rules:\n"
                         "- index: 1\n"
                         "  matches: false\n"
                         "  text: \"aws_account is another one\"\n");
}

/* An editor that replaces the content of its file. */
static void given_editor(struct fixture *f, const char *script)
{
        AUTO_MEM char *path = path_in(f->dir, "editor");
        AUTO_MEM char *text = mem_printf("#!/bin/sh\n%s\n", script);

        assert_null(file_write_atomic(path, str_of(text), 0700));
        setenv("TELEPORT_EDITOR", path, 1);
        setenv("TMPDIR", f->dir, 1);
}

static void edits_a_token(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        given_editor(f, "sed -i 's/- Node/- Proxy/' \"$1\"");
        TCTL(f, "edit", "token/iam-token");
        assert_prints(f, "provision_token \"iam-token\" has been updated\n");
        TCTL(f, "get", "token/iam-token");
        assert_true(str_contains(buf_str(&f->out), STR("  - Proxy\n")));
        given_editor(f, "true");
        TCTL(f, "edit", "token/iam-token");
        assert_prints(f, "nothing was changed\n");
}

static void does_not_overwrite_a_resource_that_changed_during_the_edit(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        AUTO_MEM char *script = mem_printf("%s -c %s create %s/token.yaml && sed -i 's/- Node/- Proxy/' \"$1\"", tctl_path,
                                           f->config, f->dir);
        given_editor(f, script);
        TCTL(f, "edit", "token/iam-token");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("ERROR: the token was changed by another user meanwhile\n"
                                                       "hint:  your text is kept in ")));
        given_editor(f, "sed -i 's/iam-token/other/' \"$1\"");
        TCTL(f, "edit", "token/iam-token");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("ERROR: metadata.name was changed\n")));
        given_editor(f, "exit 3");
        TCTL(f, "edit", "token/iam-token");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("did not end well; nothing was changed")));
}

/* ---- users ---------------------------------------------------------------------------------------- */

static void given_user(struct fixture *f)
{
        TCTL(f, "users", "add", "alice", "--roles=access,editor", "--logins=root,ubuntu");
        assert_int_equal(f->exit_code, 0);
}

static void invites_users_with_a_link_to_the_proxy(void **state)
{
        struct fixture *f = *state;

        given_user(f);
        assert_prints(f, "User \"alice\" has been created but requires a password. Share this URL with the user to complete"
                         " user setup, link is valid for 1h:\n"
                         "https://proxy.example.com:443/web/invite/0123456789abcdef0123456789abcdef\n\n"
                         "NOTE: Make sure proxy.example.com:443 points at a Teleport proxy which users can access.\n");
        TCTL(f, "users", "add", "alice", "--roles=access");
        assert_fails(f, "ERROR: a user with this name already exists\n\n");
        TCTL(f, "get", "user/alice");
        assert_true(str_contains(buf_str(&f->out), STR("spec:\n  roles:\n  - access\n  - editor\n  traits:\n    logins:\n    - root\n"
                                                       "    - ubuntu\n")));
        TCTL(f, "users", "reset", "alice", "--ttl=90m");
        assert_prints(f, "User \"alice\" has been reset. Share this URL with the user to complete password reset, link is valid"
                         " for 1h30m:\n"
                         "https://proxy.example.com:443/web/reset/0123456789abcdef0123456789abcdef\n\n"
                         "NOTE: Make sure proxy.example.com:443 points at a Teleport proxy which users can access.\n");
        TCTL(f, "users", "reset", "alice", "--format=json");
        assert_true(str_starts_with(buf_str(&f->out), STR("{\n    \"user\": \"alice\",\n    \"url\": \"https://proxy.example.com:443/web"
                                                          "/reset/0123456789abcdef0123456789abcdef\",\n    \"expires\": \"")));
        TCTL(f, "users", "reset", "bob");
        assert_fails(f, "ERROR: user \"bob\" is not found\nhint:  look at the list\n\n");
        TCTL(f, "users", "add", "bob", "--roles=access", "--ttl=49h");
        assert_fails(f, "ERROR: --ttl must lie between 1s and 48h0m0s\n\n");
        TCTL(f, "users", "add", "--roles=access", "-", "b;ob");
        assert_int_equal(f->exit_code, 1);
}

static void lists_updates_and_removes_users(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "users", "ls");
        assert_prints(f, "No users found\n");
        TCTL(f, "users", "add", "zoe", "--roles=auditor");
        given_user(f);
        TCTL(f, "users", "ls");
        assert_prints(f, "User  Roles         \n"
                         "----- ------------- \n"
                         "alice access,editor \n"
                         "zoe   auditor       \n\n");
        TCTL(f, "users", "update", "alice", "--set-roles=access", "--set-logins=root");
        assert_prints(f, "User alice has been updated:\n\tNew roles: access\n\tNew logins: root\n");
        TCTL(f, "users", "update", "zoe", "--set-logins=zoe");
        assert_prints(f, "User zoe has been updated:\n\tNew logins: zoe\n");
        TCTL(f, "get", "users", "--format=json");
        assert_true(str_contains(buf_str(&f->out), STR("\"roles\": [\n                \"auditor\"")));
        assert_false(str_contains(buf_str(&f->out), STR("ubuntu")));
        TCTL(f, "users", "update", "zoe");
        assert_fails(f, "ERROR: nothing to update\nhint:  give --set-roles or --set-logins\n\n");
        TCTL(f, "users", "rm", "alice, zoe");
        assert_prints(f, "User \"alice\" has been deleted\nUser \"zoe\" has been deleted\n");
        TCTL(f, "users", "rm", "alice");
        assert_fails(f, "ERROR: user \"alice\" is not found\nhint:  look at the list\n\n");
}

#define ROLE                                                                                       \
        "kind: role\nversion: v7\nmetadata:\n  name: ops\nspec:\n  allow:\n    logins: [root, '{{internal.logins}}']\n" \
        "    node_labels:\n      env: [prod, test]\n      team: '*'\n    rules:\n    - resources: [event, session]\n"       \
        "      verbs: [list, read]\n"

static void overwrites_roles_and_users_only_when_forced(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", ROLE "---\nkind: user\nversion: v2\nmetadata: {name: bob}\nspec: {roles: [ops]}\n");
        TCTL(f, "create");
        assert_prints(f, "role 'ops' has been created\nuser \"bob\" has been created\n");
        TCTL(f, "create");
        assert_fails(f, "ERROR: stdin:1: a role with this name already exists\nhint:  use -f (--force) to overwrite it\n\n");
        TCTL(f, "create", "-f");
        assert_prints(f, "role 'ops' has been updated\nuser \"bob\" has been updated\n");
        TCTL(f, "get", "roles", "--format=text");
        assert_prints(f, "Role Allowed to login as      Node Labels          Access to resources     \n"
                         "---- ------------------------ -------------------- ----------------------- \n"
                         "ops  root,{{internal.logins}} env=prod|test,team=* event,session:list,read \n");
        TCTL(f, "get", "users", "--format=text");
        assert_prints(f, "User \n---- \nbob  \n");
        TCTL(f, "get", "roles,users");
        assert_true(str_contains(buf_str(&f->out), STR("---\nkind: user\n")));
        TCTL(f, "rm", "role/ops");
        assert_prints(f, "role \"ops\" has been deleted\n");
        given_file(f->dir, "in", "kind: role\nversion: v7\nmetadata: {name: x}\nspec: {options: {require_session_mfa: yes}}\n");
        TCTL(f, "create");
        assert_int_equal(f->exit_code, 1);
}

static void edits_a_role(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", ROLE);
        TCTL(f, "create");
        given_editor(f, "sed -i 's/- root/- admin/' \"$1\"");
        TCTL(f, "edit", "role/ops");
        assert_prints(f, "role 'ops' has been updated\n");
        TCTL(f, "get", "role/ops");
        assert_true(str_contains(buf_str(&f->out), STR("    - admin\n")));
        TCTL(f, "edit", "node/web");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_starts_with(buf_str(&f->err), STR("ERROR: resources of type \"node\" cannot be edited\n")));
}

#define APP "kind: app\nversion: v3\nmetadata: {name: files, description: Shared files, labels: {env: prod}}\nspec: {uri: 'tcp://127.0.0.1:9'}\n"

static void creates_lists_and_removes_an_application(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "in", APP);
        TCTL(f, "create");
        assert_prints(f, "application \"files\" has been created\n");
        TCTL(f, "create", "-f");
        assert_prints(f, "application \"files\" has been updated\n");
        TCTL(f, "get", "apps", "--format=text");
        assert_prints(f, "Name  Description  URI               Public Address Labels   Version \n"
                         "----- ------------ ----------------- -------------- -------- ------- \n"
                         "files Shared files tcp://127.0.0.1:9                env=prod v3      \n");
        TCTL(f, "get", "app/files");
        assert_true(str_contains(buf_str(&f->out), STR("    teleport.dev/origin: dynamic\n")));
        TCTL(f, "get", "app_server/web/files", "--format=text");
        assert_true(str_contains(buf_str(&f->out), STR("\nweb  files TCP ")));
        TCTL(f, "get", "app_server/db/files");
        assert_int_equal(f->exit_code, 1);
        TCTL(f, "rm", "app_server/db/files");
        assert_fails(f, "ERROR: app_server \"db/files\" is not found\nhint:  list them all: tctl get app_servers\n\n");
        TCTL(f, "rm", "app_server/web/files");
        assert_prints(f, "app_server \"web/files\" has been deleted\n");
        TCTL(f, "edit", "app_server/web/files");
        assert_true(str_contains(buf_str(&f->err), STR("resources of type \"app_server\" cannot be edited\nhint:  only hosts announce app_servers; create a resource of kind app")));
        given_file(f->dir, "in", "kind: app_server\nversion: v3\n");
        TCTL(f, "create");
        assert_true(str_contains(buf_str(&f->err), STR("creating resources of type \"app_server\" is not supported\nhint:  only hosts announce app_servers; create a resource of kind app")));
        TCTL(f, "rm", "app/files");
        assert_prints(f, "app \"files\" has been deleted\n");
        given_file(f->dir, "in", "kind: app\nversion: v3\nmetadata: {name: Files}\nspec: {uri: 'tcp://127.0.0.1'}\n");
        TCTL(f, "create");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("must be a valid DNS subdomain")));
        assert_true(str_contains(buf_str(&f->err), STR("has no host and port to connect to")));
}

static void locks_one_target_for_a_while(void **state)
{
        struct fixture *f = *state;
        struct str before = STR("Created a lock with name \"");

        TCTL(f, "lock", "--user=alice", "--message=ask \x1b[2Jus", "--expires=2999-01-31T00:00:00Z");
        assert_int_equal(f->exit_code, 1); /* beyond the range of a time */
        TCTL(f, "lock", "--user=alice", "--message=ask us", "--expires=2199-01-31T00:00:00Z");
        assert_int_equal(f->exit_code, 0);
        assert_true(str_starts_with(buf_str(&f->out), before));
        AUTO_MEM char *name = str_dup(str_slice(buf_str(&f->out), before.len, 36));
        AUTO_MEM char *expected = mem_printf("ID                                   Target     Message Expires              \n"
                                             "------------------------------------ ---------- ------- -------------------- \n"
                                             "%s user alice ask us  2199-01-31T00:00:00Z \n", name);
        AUTO_MEM char *resource = mem_printf("lock/%s", name), *deleted = mem_printf("lock \"%s\" has been deleted\n", name);
        TCTL(f, "get", "locks", "--format=text");
        assert_prints(f, expected);
        TCTL(f, "rm", resource);
        assert_prints(f, deleted);
        TCTL(f, "lock", "--node=web", "--ttl=10m");
        assert_int_equal(f->exit_code, 0);
        TCTL(f, "lock", "--message=x");
        assert_fails(f, "ERROR: nothing to lock is named\n"
                        "hint:  give exactly one of --user, --role, --login, --node, --server-id, --join-arn and --aws-account\n\n");
        TCTL(f, "lock", "--user=a", "--role=b");
        assert_int_equal(f->exit_code, 1);
        TCTL(f, "lock", "--user=a", "--ttl=1h", "--expires=2199-01-31T00:00:00Z");
        assert_fails(f, "ERROR: --expires and --ttl are both given\nhint:  give one of them\n\n");
        TCTL(f, "lock", "--user=a", "--expires=2001-01-31T00:00:00Z");
        assert_fails(f, "ERROR: the lock would have ended already\n\n");
}

static void lists_events_of_all_pages_without_control_sequences(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "audit", "ls", "--from=2026-01-01");
        assert_prints(f, "Time                     Event      Code   User      What                                            \n"
                         "------------------------ ---------- ------ --------- ----------------------------------------------- \n"
                         "2026-01-31T08:00:00.000Z user.login T1000I alice     method=local                                    \n"
                         "2026-01-31T08:00:01.000Z exec       T3002I al\\x1bice login=root command=\"ls -l \\x1b[2J \xf0\x9f\x99\x82\" exitCode=0 \n");
        TCTL(f, "audit", "ls", "--limit=1", "-f", "yaml");
        assert_prints(f, "\"time\": \"2026-01-31T08:00:01.000Z\"\n\"uid\": \"2\"\n\"event\": \"exec\"\n\"code\": \"T3002I\"\n"
                         "\"user\": \"al\\u001Bice\"\n\"login\": \"root\"\n\"command\": \"ls -l \\u001B[2J \\U0001F642\"\n\"exitCode\": 0\n"
                         "\"server_labels\":\n  \"env\": \"prod\"\n\"roles\":\n  - \"access\"\n");
        TCTL(f, "events", "ls", "--format=json", "--from=1h", "--to=10m");
        assert_true(str_starts_with(buf_str(&f->out), STR("[\n    {\n        \"time\": \"2026-01-31T08:00:00.000Z\",\n")));
        assert_false(str_contains(buf_str(&f->out), STR("\x1b")));
        TCTL(f, "audit", "ls", "--type=none");
        assert_prints(f, "No events found.\n");
        TCTL(f, "audit", "ls", "--user=loop");
        assert_fails(f, "ERROR: the Auth Service sends the same page again and again\n\n");
        TCTL(f, "audit", "ls", "--from=yesterday");
        assert_fails(f, "ERROR: --from=yesterday is no time\n"
                        "hint:  write a time (2026-01-31T08:00:00Z), a day (2026-01-31), or so long ago (90m, 24h)\n\n");
        TCTL(f, "audit", "ls", "--from=1h", "--to=2h");
        assert_fails(f, "ERROR: --to is before --from\n\n");
}

static void lists_joins_with_reasons_and_their_counts(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "joins", "ls", "--since=2026-01-01");
        assert_true(str_contains(buf_str(&f->out), STR("2026-01-31T08:00:00.000Z joined  web")));
        assert_true(str_contains(buf_str(&f->out), STR("w\\x1b[2Jeb")));
        assert_true(str_contains(buf_str(&f->out), STR("no rule matches: rule 1: account")));
        assert_true(str_contains(buf_str(&f->out), STR("40 refusals that were only counted")));
        assert_true(str_ends_with(buf_str(&f->out), STR("\n\n1 joined, 42 refused: 40 only counted, 1 allow, 1 token\n")));
        TCTL(f, "joins", "ls", "--failed", "--account=210987654321", "--format=yaml");
        assert_prints(f, "\"time\": \"2026-01-31T08:00:01.000Z\"\n\"result\": \"refused\"\n\"hostname\": \"w\\u001B[2Jeb\"\n\"host_id\": \"\"\n"
                         "\"role\": \"\"\n\"method\": \"iam\"\n\"token\": \"iam-token\"\n\"account\": \"210987654321\"\n"
                         "\"arn\": \"arn:aws:sts::210987654321:assumed-role/web/i-0\"\n\"address\": \"\"\n\"request_id\": \"\"\n\"check\": \"allow\"\n"
                         "\"reason\": \"no rule matches: rule 1: account\"\n");
        TCTL(f, "joins", "ls", "--token=iam-token", "--limit=1", "--format=json");
        assert_true(str_contains(buf_str(&f->out), STR("\"result\": \"refused\"")));
        assert_false(str_contains(buf_str(&f->out), STR("\"result\": \"joined\"")));
        TCTL(f, "joins", "ls", "--token=nobody's");
        assert_prints(f, "No joins found.\n\n40 further refusals were only counted, without token and account\n");
        TCTL(f, "joins", "ls", "--account=123456789012");
        assert_true(str_ends_with(buf_str(&f->out), STR("\n\n1 joined, 0 refused\n40 further refusals were only counted, without token and account\n")));
        TCTL(f, "joins", "ls", "--since=-1h");
        assert_int_equal(f->exit_code, 1);
}

static void lists_recordings_by_time_and_fails_for_a_damaged_one(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "recordings", "ls");
        assert_string_equal(buf_c(&f->out),
                            "ID                                   User  Login Hostname   Started (UTC)        Length   Status    Command \n"
                            "------------------------------------ ----- ----- ---------- -------------------- -------- --------- ------- \n"
                            "11111111-1111-4111-8111-111111111111                        2027-01-15T08:00:00Z 1m30s    short     top     \n"
                            "22222222-2222-4222-8222-222222222222 alice root  web\\x1b[2J 2027-01-15T08:01:00Z going on recording         \n");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("1 of 2 recordings on the Auth Service's disk differ")));
}

/* ---- the caller ------------------------------------------------------------------------------------- */

static void asks_users_to_log_in_without_an_auth_service(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *home = path_in(f->dir, "home"), *path = path_in(f->dir, "agent.yaml");
        AUTO_MEM char *text = mem_printf("teleport: {data_dir: %s/none}\nauth_service: {enabled: no}\n", f->dir);

        setenv("TELEPORT_HOME", home, 1);
        given_file(f->dir, "agent.yaml", text);
        TCTL(f, "status", "-c", path);
        assert_fails(f, "ERROR: no Auth Service runs on this host, and no user is logged in\n"
                        "hint:  log in first: tsh login --proxy=HOST --user=NAME; or run tctl where the Auth Service runs\n\n");
        TCTL(f, "status", "--auth-server=proxy.example.com:443");
        assert_fails(f, "ERROR: --auth-server=proxy.example.com:443: Not logged in.\n"
                        "hint:  tsh login --proxy=proxy.example.com:443 --user=NAME\n\n");
        TCTL(f, "status", "-i", "identity");
        assert_fails(f, "ERROR: identity files are not supported\n"
                        "hint:  log in with tsh login, or run tctl where the Auth Service runs\n\n");
        unsetenv("TELEPORT_HOME");
}

/* The code of an answer does not show whether there was a connection. */
static void takes_no_answer_for_a_lost_connection(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "tokens", "explain", "busy", "--account=123456789012", "--arn=x");
        assert_fails(f, "ERROR: the Auth Service accepts no new connections: its disk is nearly full\n\n");
}

static void names_the_tried_addresses_when_no_auth_answers(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "other.yaml");
        AUTO_MEM char *expected = mem_printf(
                "ERROR: Cannot connect to the auth server: %s/none/auth.sock: No such file or directory\n"
                "hint:  is the Auth Service running on this host, with the configuration that tctl reads (-c)\n\n", f->dir);
        AUTO_MEM char *text = mem_printf("teleport: {data_dir: %s/none}\n", f->dir);

        given_file(f->dir, "other.yaml", text);
        TCTL(f, "status", "-c", path);
        assert_fails(f, expected);
        fake_auth_stop(f->auth);
        TCTL(f, "status");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("auth.sock: Connection refused\n")));
        f->auth = fake_auth_start(f->dir);
}

int main(int argc, char **argv)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                STORY(shows_the_cluster_and_its_pin),
                STORY(creates_a_token_overwrites_it_and_prints_it_back),
                STORY(reads_its_own_output_from_standard_input),
                STORY(refuses_a_service_that_does_not_exist),
                STORY(writes_nothing_when_one_resource_of_a_file_is_wrong),
                STORY(refuses_empty_input_and_kinds_it_does_not_create),
                STORY(prints_warnings_of_the_server_escaped),
                STORY(invites_with_a_random_token_that_ends),
                STORY(hides_secrets_in_lists_unless_asked),
                STORY(removes_tokens_by_both_commands),
                STORY(lists_nodes_without_control_sequences),
                STORY(lists_the_inventory),
                STORY(counts_the_inventory),
                STORY(gets_resources_by_name_and_several_kinds_as_yaml),
                STORY(explains_the_rules_of_a_token),
                STORY(edits_a_token),
                STORY(does_not_overwrite_a_resource_that_changed_during_the_edit),
                STORY(invites_users_with_a_link_to_the_proxy),
                STORY(lists_updates_and_removes_users),
                STORY(overwrites_roles_and_users_only_when_forced),
                STORY(edits_a_role),
                STORY(creates_lists_and_removes_an_application),
                STORY(locks_one_target_for_a_while),
                STORY(lists_events_of_all_pages_without_control_sequences),
                STORY(lists_joins_with_reasons_and_their_counts),
                STORY(lists_recordings_by_time_and_fails_for_a_damaged_one),
                STORY(asks_users_to_log_in_without_an_auth_service),
                STORY(takes_no_answer_for_a_lost_connection),
                STORY(names_the_tried_addresses_when_no_auth_answers),
        };

        if (argc != 2)
                return 2;
        tctl_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
