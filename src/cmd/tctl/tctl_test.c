/* SPDX-License-Identifier: Apache-2.0 */
/* The program itself against a small Auth Service; its path is the test's argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cmd/tctl/fake_auth.h"
#include "os/file.h"

enum { WORDS_MAX = 16, OUTPUT_MAX = 64 * KiB };

static const char *tctl_path;

struct fixture {
        char dir[32];
        char *config;
        pid_t auth;
        struct buf out, err;
        int exit_code;
};

static char *path_in(const struct fixture *f, const char *name)
{
        return mem_printf("%s/%s", f->dir, name);
}

static void given_file(const struct fixture *f, const char *name, const char *text)
{
        AUTO_MEM char *path = path_in(f, name);

        assert_null(file_write_atomic(path, str_of(text), 0600));
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        *f = (struct fixture){ .dir = "/tmp/tctl-test-XXXXXX", .out = BUF_MAX(OUTPUT_MAX), .err = BUF_MAX(OUTPUT_MAX) };
        assert_non_null(mkdtemp(f->dir));
        f->config = path_in(f, "teleport.yaml");
        AUTO_MEM char *text = mem_printf("version: v3\nteleport: {data_dir: \"%s\", nodename: auth.example.com}\n", f->dir);
        given_file(f, "teleport.yaml", text);
        f->auth = fake_auth_start(f->dir);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        char *argv[] = { "rm", "-r", "-f", f->dir, NULL };

        fake_auth_stop(f->auth);
        pid_t child = fork();
        if (child == 0) {
                execvp(argv[0], argv);
                _exit(127);
        }
        waitpid(child, NULL, 0);
        buf_release(&f->out);
        buf_release(&f->err);
        free(f->config);
        free(f);
        return 0;
}

static void take_output(const struct fixture *f, const char *name, struct buf *ret)
{
        AUTO_MEM char *path = path_in(f, name);

        buf_clear(ret);
        assert_null(file_read(path, ret));
}

static void redirect(const struct fixture *f, const char *name, int fd, int flags)
{
        AUTO_MEM char *path = path_in(f, name);
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
        AUTO_MEM char *path = path_in(f, "token.yaml");

        given_file(f, "token.yaml", IAM_TOKEN);
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

static void reads_back_what_it_prints_from_standard_input(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        TCTL(f, "get", "tokens", "--format=json");
        given_file(f, "in", buf_c(&f->out));
        TCTL(f, "create");
        assert_prints(f, "provision_token \"iam-token\" has been updated\n");
}

static void writes_nothing_when_one_resource_of_a_file_is_wrong(void **state)
{
        struct fixture *f = *state;

        given_file(f, "in", IAM_TOKEN "---\nkind: token\nmetadata: {name: x}\nspec: {roles: [Nod]}\n");
        TCTL(f, "create", "-f", "-");
        assert_fails(f, "ERROR: stdin:14:16: invalid role \"Nod\"\nhint:  did you mean Node\n\n");
        TCTL(f, "tokens", "ls");
        assert_prints(f, "No active tokens found.\n");
}

static void refuses_empty_input_and_kinds_it_does_not_create(void **state)
{
        struct fixture *f = *state;

        given_file(f, "in", "# nothing\n");
        TCTL(f, "create");
        assert_fails(f, "ERROR: no resources found, empty input?\n"
                        "hint:  give a file that begins with a line like: kind: token\n\n");
        given_file(f, "in", "kind: role\n");
        TCTL(f, "create");
        assert_fails(f, "ERROR: stdin:1:7: creating resources of type \"role\" is not supported\n\n");
}

static void prints_warnings_of_the_server_escaped(void **state)
{
        struct fixture *f = *state;

        given_file(f, "in", "kind: token\nmetadata: {name: warned}\nspec: {roles: [Node]}\n");
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
        TCTL(f, "tokens", "add", "--type=node", "--value=0123456789abcdef0123");
        assert_fails(f, "ERROR: a token with this name already exists\n\n");
        TCTL(f, "tokens", "add", "--type=node", "--format=text");
        assert_int_equal(f->out.len, 33); /* 32 hex digits and a newline */
}

static void hides_secrets_in_lists_unless_asked(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        given_file(f, "in", "kind: token\nmetadata: {name: 0123456789abcdefgh, labels: {a: b}, expires: 3000-01-01T00:00:00Z}\n"
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

static void lists_nodes_without_letting_them_steer_the_terminal(void **state)
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
        assert_fails(f, "ERROR: 'prod' is not a label\nhint:  write key=value, several with commas between\n\n");
}

static void lists_the_inventory(void **state)
{
        struct fixture *f = *state;

        TCTL(f, "inventory", "ls", "--services=proxy");
        assert_prints(f, "Server ID                            Hostname Services   Agent Version Status \n"
                         "------------------------------------ -------- ---------- ------------- ------ \n"
                         "11111111-1111-4111-8111-111111111111 web      Node,Proxy 16.1.0        online \n");
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
        TCTL(f, "get", "roles");
        assert_fails(f, "ERROR: there are no resources of type \"roles\"\nhint:  the types are token, node and instance\n\n");
}

static void explains_who_gets_in(void **state)
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

/* An editor that replaces what it finds. */
static void given_editor(struct fixture *f, const char *script)
{
        AUTO_MEM char *path = path_in(f, "editor");
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

static void does_not_overwrite_what_changed_while_it_was_edited(void **state)
{
        struct fixture *f = *state;

        given_iam_token(f);
        AUTO_MEM char *script = mem_printf("%s -c %s create %s/token.yaml && sed -i 's/- Node/- Proxy/' \"$1\"", tctl_path,
                                           f->config, f->dir);
        given_editor(f, script);
        TCTL(f, "edit", "token/iam-token");
        assert_int_equal(f->exit_code, 1);
        assert_true(str_contains(buf_str(&f->err), STR("ERROR: the token was changed by somebody else meanwhile\n"
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

static void says_where_it_looked_when_nobody_answers(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f, "other.yaml");
        AUTO_MEM char *expected = mem_printf(
                "ERROR: Cannot connect to the auth server: %s/none/auth.sock: No such file or directory\n"
                "hint:  is the Auth Service running on this host, with the configuration that tctl reads (-c)\n\n", f->dir);
        AUTO_MEM char *text = mem_printf("teleport: {data_dir: %s/none}\n", f->dir);

        given_file(f, "other.yaml", text);
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
                STORY(reads_back_what_it_prints_from_standard_input),
                STORY(writes_nothing_when_one_resource_of_a_file_is_wrong),
                STORY(refuses_empty_input_and_kinds_it_does_not_create),
                STORY(prints_warnings_of_the_server_escaped),
                STORY(invites_with_a_random_token_that_ends),
                STORY(hides_secrets_in_lists_unless_asked),
                STORY(removes_tokens_by_both_commands),
                STORY(lists_nodes_without_letting_them_steer_the_terminal),
                STORY(lists_the_inventory),
                STORY(gets_resources_by_name_and_several_kinds_as_yaml),
                STORY(explains_who_gets_in),
                STORY(edits_a_token),
                STORY(does_not_overwrite_what_changed_while_it_was_edited),
                STORY(says_where_it_looked_when_nobody_answers),
        };

        if (argc != 2)
                return 2;
        tctl_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
