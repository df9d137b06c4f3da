/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/sshd_log.h"

#include "base/error_testing.h"

#define KEY "SHA256:w345hlfTOx2PyeU62ZvQR+lc+e4alqnW3mnUqqAoPJg"
#define CA "SHA256:9wsdy+B5eApu9/Pcz890UccstVMzIQv+zXVGji6jHb4"
#define TAIL(id, serial) " from UNKNOWN port 65535 ssh2: ED25519-CERT " KEY " ID " id " (serial " serial ") CA ED25519 " CA "\r\n"

static struct sshd_log_event read_line(const char *line)
{
        static struct sshd_log log;
        struct sshd_log_event e;

        log = (struct sshd_log){ 0 };
        sshd_log_read(&log, str_of(line), &e);
        return e;
}

/* OpenSSH 9.2 wrote these. */

static void recognises_an_accepted_user(void **state)
{
        struct sshd_log_event e = read_line("Accepted publickey for root" TAIL("alice", "18446744073709551615"));

        (void)state;
        assert_int_equal(e.kind, SSHD_LOG_ACCEPTED);
        assert_str(e.login, "root");
        assert_str(e.key_id, "alice");
        assert_str(e.ca, CA);
        assert_true(e.serial == UINT64_MAX);
}

static void takes_no_login_from_text_of_a_client(void **state)
{
        static const char *const lines[] = {
                /* a key ID that holds another line */
                "Failed publickey for root from UNKNOWN port 65535 ssh2: ED25519-CERT " KEY
                " ID x\r\nAccepted publickey for root" TAIL("alice", "77"),
                "x\nAccepted publickey for root" TAIL("alice", "77"),
                /* the unprivileged half */
                "Accepted publickey for root from UNKNOWN port 65535 ssh2: ED25519-CERT " KEY
                " ID alice (serial 77) CA ED25519 " CA " [preauth]\r\n",
                /* accounts that no host has */
                "Accepted publickey for a b" TAIL("alice", "77"),
                "Accepted publickey for " TAIL("alice", "77"),
                /* not whole */
                "Accepted publickey for root from UNKNOWN port 65535 ssh2: ED25519 " KEY "\r\n",
                "Accepted publickey for root" TAIL("alice", "18446744073709551616"),
                "Accepted publickey for root" TAIL("alice", ""),
                "Accepted publickey for root" TAIL("alice", "-1"),
                "Accepted password for root from UNKNOWN port 65535 ssh2\r\n",
                "Accepted certificate ID \"alice\" (serial 77) signed by ED25519 CA " CA " via /x\r\n",
                "",
                "\r\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
                if (read_line(lines[i]).kind == SSHD_LOG_ACCEPTED)
                        fail_msg("taken: %s", lines[i]);
}

static void leaves_a_key_id_as_it_is(void **state)
{
        struct sshd_log_event e = read_line("Failed publickey for root" TAIL("bob (serial 1) CA ED25519 " CA " ID eve from x", "5"));

        (void)state;
        assert_int_equal(e.kind, SSHD_LOG_REFUSED);
        assert_str(e.key_id, "bob (serial 1) CA ED25519 " CA " ID eve from x");
        assert_true(e.serial == 5);
}

static void recognises_a_refused_user_and_the_reason(void **state)
{
        static const struct {
                const char *before, *line, *login, *reason;
        } rows[] = {
                { "Certificate invalid: expired\r\n", "Failed publickey for root" TAIL("alice", "77"), "root",
                  "Certificate invalid: expired" },
                { "Certificate does not contain an authorized principal\r\n", "Failed publickey for invalid user x" TAIL("a", "1"),
                  "x", "Certificate does not contain an authorized principal" },
                { NULL, "Failed publickey for root" TAIL("alice", "77"), "root", "the certificate was refused" },
                { NULL, "User carol not allowed because account is locked\r\n", "carol", "account is locked" },
                { NULL, "Invalid user no from such from UNKNOWN port 65535\r\n", "no from such",
                  "there is no such user on this host" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct sshd_log log = { 0 };
                struct sshd_log_event e;

                if (rows[i].before != NULL) {
                        sshd_log_read(&log, str_of(rows[i].before), &e);
                        assert_int_equal(e.kind, SSHD_LOG_OTHER);
                }
                sshd_log_read(&log, str_of(rows[i].line), &e);
                assert_int_equal(e.kind, SSHD_LOG_REFUSED);
                assert_str(e.login, rows[i].login);
                assert_str(e.reason, rows[i].reason);
        }
        /* ssh tries its key without the certificate, too. */
        assert_int_equal(read_line("Failed publickey for root from UNKNOWN port 65535 ssh2: ED25519 " KEY "\r\n").kind,
                         SSHD_LOG_OTHER);
}

static void recognises_forwarded_ports(void **state)
{
        struct sshd_log_event e = read_line("debug1: serverloop.c:server_request_direct_tcpip():453 (pid=28721): "
                                            "originator 127.0.0.1 port 49044, target db.internal port 5432\r\n");

        (void)state;
        assert_int_equal(e.kind, SSHD_LOG_FORWARD_LOCAL);
        assert_str(e.host, "db.internal");
        assert_int_equal(e.port, 5432);
        e = read_line("debug1: serverloop.c:server_input_global_request():789 (pid=28721): tcpip-forward listen localhost port "
                      "18888\r\n");
        assert_int_equal(e.kind, SSHD_LOG_FORWARD_REMOTE);
        assert_str(e.host, "localhost");
        assert_int_equal(e.port, 18888);
}

static void ignores_text_in_the_name_of_an_originator(void **state)
{
        struct sshd_log_event e = read_line("debug1: serverloop.c:server_request_direct_tcpip():453 (pid=1): originator "
                                            "x port 1, target harmless port 80, target db port 5432\r\n");

        (void)state;
        assert_str(e.host, "db");
        assert_int_equal(e.port, 5432);
        assert_int_equal(read_line("debug1: serverloop.c:server_request_direct_tcpip():4 (pid=1): originator a port 1, target b "
                                   "port 99999\r\n")
                                 .kind,
                         SSHD_LOG_OTHER);
        assert_int_equal(read_line("originator a port 1, target b port 9\r\n").kind, SSHD_LOG_OTHER);
}

static void knows_when_sshd_starts_a_session(void **state)
{
        (void)state;
        assert_int_equal(read_line("Starting session: forced-command (config) 'exec /x' on pts/3 for root from UNKNOWN port 65535 id 0\r\n").kind,
                         SSHD_LOG_SESSION);
        assert_int_equal(read_line("Starting session: subsystem 'sftp' for root from UNKNOWN port 65535 id 1\r\n").kind, SSHD_LOG_SESSION);
        assert_int_equal(read_line("Starting session: command for root from UNKNOWN port 65535 id 0 [preauth]\r\n").kind, SSHD_LOG_OTHER);
        assert_int_equal(read_line("Invalid user Starting session: x from UNKNOWN port 65535\r\n").kind, SSHD_LOG_REFUSED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(recognises_an_accepted_user),
                cmocka_unit_test(takes_no_login_from_text_of_a_client),
                cmocka_unit_test(leaves_a_key_id_as_it_is),
                cmocka_unit_test(recognises_a_refused_user_and_the_reason),
                cmocka_unit_test(recognises_forwarded_ports),
                cmocka_unit_test(knows_when_sshd_starts_a_session),
                cmocka_unit_test(ignores_text_in_the_name_of_an_originator),
        };

        return cmocka_run_group_tests_name("sshd_log", tests, NULL, NULL);
}
