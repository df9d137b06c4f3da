/* SPDX-License-Identifier: Apache-2.0 */
/* The request of sshd, the program that runs for it, and the meaning of sftp-server's log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "session/session_internal.h"
#include "session/sftp_log.h"

static const char sftp_server[] = "/usr/lib/openssh/sftp-server";

static void distinguishes_kinds(void **state)
{
        static const struct {
                const char *command, *kind;
                bool is_subsystem;
        } cases[] = {
                { NULL, "shell", false },
                { "", "exec", false },
                { "ls -l", "exec", false },
                { "/usr/lib/openssh/sftp-server -e -l INFO", "sftp", true },
                { "/usr/lib/openssh/sftp-server", "sftp", false },
                { "/usr/lib/openssh/sftp-server -e -l INFO; id", "sftp", false },
                { "sftp-server -e -l INFO", "sftp", false },
                { "/home/alice/sftp-server -e -l INFO", "sftp", false },
                { "/usr/lib/openssh/../../../home/alice/sftp-server -e -l INFO", "sftp", false },
                { "/opt/my-sftp-server -e -l INFO", "exec", false },
                { "scp -t /tmp", "scp", false },
                { "scp -v -r -pf -- /tmp", "scp", false },
                { "/usr/bin/scp -qt .", "scp", false },
                { "scp a b", "exec", false },
                { "scp -- -t", "exec", false },
                { "scpx -t", "exec", false },
                { "scp\t -p  -t /tmp", "scp", false },
                { "A=1 exec env B='c d' '/usr/bin/s\\cp' -t /tmp", "exec", false }, /* d' is invalid in a shell */
                { "A=1 exec env B=c '/usr/bin/s\\cp' -t /tmp", "scp", false },
                { "env /usr/lib/openssh/sftp-server", "sftp", false },
                { "exec", "exec", false },
                { "=", "exec", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct session_request r = session_request_of(cases[i].command, sftp_server, false);

                if (strcmp(r.kind, cases[i].kind) != 0 || r.is_subsystem != cases[i].is_subsystem)
                        fail_msg("'%s' is taken for %s", cases[i].command, r.kind);
        }
        assert_false(session_request_of("/usr/lib/openssh/sftp-server -e -l INFO", sftp_server, true).is_subsystem);
        assert_false(session_request_of("/usr/lib/openssh/sftp-server -e -l INFO", NULL, false).is_subsystem);
}

static const char *const environment[] = {
        "HOME=/home/alice", "SHELL=/bin/zsh", "ZDOTDIR=/home/alice/.zsh", "LANG=C",
        "SSH_CLIENT=UNKNOWN 65535 65535", "SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535", "SSH_ORIGINAL_COMMAND=id",
        "SSH_TTY=/dev/pts/1", "SSH_TELEPORT_USER=mallory", "SSH_AUTH_SOCK=/tmp/agent", NULL,
};

static struct session_program plan(struct arena *a, const char *command, const char *tty)
{
        Cteleport__Session__V1__Approval approval = CTELEPORT__SESSION__V1__APPROVAL__INIT;
        struct session_request request = session_request_of(command, sftp_server, tty != NULL);
        struct session_program program;

        approval.session_id = "the-session";
        approval.user = "alice";
        approval.cluster = "example.com";
        approval.host_id = "the-host";
        approval.proxy_addr = "proxy:3080";
        approval.client_addr = "192.0.2.7:50122";
        request.shell = "/bin/bash";
        request.environment = environment;
        session_program_plan(a, &request, &approval, tty, &program);
        return program;
}

static void assert_words(const char **words, const char *expected)
{
        AUTO(buf) joined = BUF_MAX(64 * KiB);

        for (; *words != NULL; words++)
                buf_printf(&joined, "[%s]", *words);
        assert_string_equal(buf_c(&joined), expected);
}

static void starts_a_login_shell_or_a_command_in_it(void **state)
{
        AUTO_PTR(arena) a = arena_new(1 * MiB);
        struct session_program p = plan(a, NULL, "/dev/pts/7");

        (void)state;
        assert_string_equal(p.path, "/bin/bash"); /* the account's shell, whatever SHELL a file of the account sets */
        assert_words(p.argv, "[-bash]");
        p = plan(a, "echo \"$HOME\"", NULL);
        assert_string_equal(p.path, "/bin/bash");
        assert_words(p.argv, "[bash][-c][echo \"$HOME\"]");
        p = plan(a, "/usr/lib/openssh/sftp-server -e -l INFO", NULL);
        assert_string_equal(p.path, "/usr/lib/openssh/sftp-server");
        assert_words(p.argv, "[sftp-server][-e][-l][VERBOSE]");
}

static void gives_the_environment_of_a_session(void **state)
{
        AUTO_PTR(arena) a = arena_new(1 * MiB);
        struct session_program p = plan(a, NULL, "/dev/pts/7");

        (void)state;
        assert_words(p.envp,
                     "[HOME=/home/alice][SHELL=/bin/zsh][ZDOTDIR=/home/alice/.zsh][LANG=C][SSH_AUTH_SOCK=/tmp/agent][SSH_CLIENT=192.0.2.7 50122 0]"
                     "[SSH_CONNECTION=192.0.2.7 50122 127.0.0.1 0][SSH_TTY=/dev/pts/7][SSH_SESSION_ID=the-session]"
                     "[TELEPORT_SESSION=the-session][SSH_TELEPORT_USER=alice][SSH_TELEPORT_CLUSTER_NAME=example.com]"
                     "[SSH_TELEPORT_HOST_UUID=the-host][SSH_SESSION_WEBPROXY_ADDR=proxy:3080]");
}

/* "action path target flags read/written", or the kind. */
static void describe(struct str line, struct buf *out)
{
        struct sftp_operation op;
        const char *status = "";

        switch (sftp_log_line(line, &op, &status)) {
        case SFTP_LINE_OPERATION:
                buf_printf(out, "%s|%s|%s|%s|%llu/%llu", op.action, buf_c(&op.path), buf_c(&op.target), buf_c(&op.flags),
                           (unsigned long long)op.bytes_read, (unsigned long long)op.bytes_written);
                sftp_operation_release(&op);
                return;
        case SFTP_LINE_NOTE:
                buf_put_c(out, "note");
                return;
        case SFTP_LINE_STATUS:
                buf_printf(out, "status %s", status);
                return;
        case SFTP_LINE_FOREIGN:
                buf_put_c(out, "foreign");
        }
}

static void reads_the_log_lines_of_sftp_server(void **state)
{
        static const char *const cases[][2] = { /* as OpenSSH 9.2 prints them, and as a user can forge them */
                { "open \"/tmp/a\" flags WRITE,CREATE,TRUNCATE mode 0755", "open|/tmp/a||WRITE,CREATE,TRUNCATE mode 0755|0/0" },
                { "close \"/tmp/a\" bytes read 17 written 3", "close|/tmp/a|||17/3" },
                { "forced close \"/tmp/a\" bytes read 0 written 3", "close|/tmp/a|||0/3" },
                { "opendir \"/tmp\"", "opendir|/tmp|||0/0" },
                { "closedir \"/tmp\"", "note" },
                { "remove name \"/tmp/a\"", "remove|/tmp/a|||0/0" },
                { "mkdir name \"/tmp/d\" mode 0777", "mkdir|/tmp/d||mode 0777|0/0" },
                { "rmdir name \"/tmp/d\"", "rmdir|/tmp/d|||0/0" },
                { "set \"/tmp/c\" mode 0600", "setstat|/tmp/c||mode 0600|0/0" },
                { "rename old \"/a\" new \"/b\"", "rename|/a|/b||0/0" },
                { "posix-rename old \"/a\" new \"/b\"", "rename|/a|/b||0/0" },
                { "symlink old \"c\" new \"/tmp/s\"", "symlink|c|/tmp/s||0/0" },
                { "hardlink old \"/a\" new \"/b\"", "link|/a|/b||0/0" },
                { "sent status No such file", "status No such file" },
                { "sent status \x1b[2J", "status Failure" },
                { "stat name \"/x\"", "note" },
                { "session opened for local user root from [UNKNOWN]", "note" },
                { "remove name \"/tmp/\\303\\251\\\\x\\377\"", "remove|/tmp/\xc3\xa9\\\\x\\xff|||0/0" },
                { "remove name \"a\" b\"", "remove|a\" b|||0/0" },
                { "remove name \"cut off", "remove|cut off|||0/0" },
                { "rename old \"cut off", "rename|cut off|||0/0" },
                { "close \"x\" bytes read 99999999999999999999 written -1", "close|x|||0/0" },
                { "Couldn't do it", "foreign" },
                { "", "foreign" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) out = BUF_MAX(64 * KiB);

                describe(str_of(cases[i][0]), &out);
                assert_string_equal(buf_c(&out), cases[i][1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(distinguishes_kinds),
                cmocka_unit_test(starts_a_login_shell_or_a_command_in_it),
                cmocka_unit_test(gives_the_environment_of_a_session),
                cmocka_unit_test(reads_the_log_lines_of_sftp_server),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
