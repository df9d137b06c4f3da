/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_rate.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"

enum { FLOOD = 100000 };

static struct instant now = { 1000000000000 };

static bool allows(struct log_site *site, enum log_level level, const char *key, const char *value)
{
        const struct log_field fields[] = { LOG_C("reason", "x"), LOG_C(key, value), { .key = NULL } };

        return log_rate_allows(site, level, fields, now);
}

static size_t flood(struct log_site *site, enum log_level level, const char *key, const char *value)
{
        size_t written = 0;

        for (int i = 0; i < FLOOD; i++)
                written += allows(site, level, key, value);
        return written;
}

static void a_peer_has_a_rate_for_each_kind_of_line(void **state)
{
        static struct log_site one, others[20];
        size_t left_alone = 0;
        char peer[16];

        (void)state;
        assert_int_equal(flood(&one, LOG_WARN, "host_id", "h1"), LIMIT_LOG_BURST);
        assert_int_equal(one.left_out, FLOOD - LIMIT_LOG_BURST);
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                snprintf(peer, sizeof peer, "h%zu", i + 2);
                left_alone += allows(&others[i], LOG_WARN, "host_id", "h1") && allows(&one, LOG_WARN, "host_id", peer);
        }
        assert_true(left_alone + 2 >= ARRAY_LEN(others)); /* counters are shared by chance */
        now = instant_add(now, MINUTES(1));
        assert_int_equal(flood(&one, LOG_WARN, "host_id", "h1"), LIMIT_LOG_PER_MINUTE);
}

static void all_peers_together_have_one_budget_for_warnings(void **state)
{
        static struct log_site warnings, events, nameless;
        char peer[32];
        size_t warned = 0, reported = 0;

        (void)state;
        for (int i = 0; i < FLOOD; i++) {
                snprintf(peer, sizeof peer, "198.51.%d.%d:%d", i / 256 % 256, i % 256, i % 50000 + 1);
                warned += allows(&warnings, LOG_WARN, "remote_addr", peer);
                reported += allows(&events, LOG_INFO, "remote_addr", peer);
        }
        assert_int_equal(warned, LIMIT_LOG_BURST_ALL);
        assert_true(reported > LIMIT_LOG_BURST_ALL); /* a big cluster logs many events */
        assert_int_equal(flood(&nameless, LOG_INFO, "connection", "c"), LIMIT_LOG_BURST_ALL);
}

static void knows_the_peer_of_a_line(void **state)
{
        const struct {
                struct log_field fields[4];
                const char *peer;
        } rows[] = {
                { { LOG_C("user", "alice"), LOG_C("host_id", "h1"), LOG_C("remote_addr", "203.0.113.7:4711") }, "host_id h1" },
                { { LOG_C("remote_addr", "203.0.113.7:4711"), LOG_C("user", "alice"), LOG_C("host_id", "") }, "user alice" },
                { { LOG_C("by", "root"), LOG_C("name", "x") }, "by root" },
                { { LOG_C("remote_addr", "203.0.113.7:4711") }, "203.0.113.7" },
                { { LOG_C("peer", "[2001:db8:1:2:3::4]:80") }, "2001:db8:1:2::/64" }, /* a subscriber has all of it */
                { { LOG_C("connection_id", "x"), LOG_INT("uid", 7) }, "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) peer = BUF_MAX(KiB);

                log_rate_peer(rows[i].fields, &peer);
                assert_string_equal(buf_c(&peer), rows[i].peer);
        }
}

static void ports_and_debug_lines_change_nothing(void **state)
{
        static struct log_site site, debug;
        char peer[32];
        size_t written = 0;

        (void)state;
        now = instant_add(now, HOURS(24)); /* the lines of others no longer count */
        for (int i = 1; i < 60000; i++) {
                snprintf(peer, sizeof peer, "203.0.113.9:%d", i);
                written += allows(&site, LOG_WARN, "remote_addr", peer);
        }
        assert_int_equal(written, LIMIT_LOG_BURST);
        assert_int_equal(flood(&debug, LOG_DEBUG, "remote_addr", "203.0.113.9:1"), FLOOD);
}

/* Through the macros, and onto the disk. */
static void the_next_line_says_how_many_were_left_out(void **state)
{
        char path[] = "/tmp/log_rate_test.XXXXXX", *text = calloc(1, 1 << 20);
        int fd = mkstemp(path);

        (void)state;
        assert_true(fd >= 0 && text != NULL);
        log_setup((struct log_options){ .level = LOG_INFO, .fd = fd });
        for (int i = 0; i < 3 * LIMIT_LOG_BURST; i++)
                log_warn("Connection refused", LOG_C("remote_addr", i < 3 * LIMIT_LOG_BURST - 1 ? "203.0.113.7:4711" : "198.51.100.1:4711"));
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = STDERR_FILENO });
        ssize_t len = pread(fd, text, (1 << 20) - 1, 0);
        assert_true(len > 0);
        size_t lines = 0;
        for (ssize_t i = 0; i < len; i++)
                lines += text[i] == '\n';
        assert_in_range(lines, LIMIT_LOG_BURST + 1, LIMIT_LOG_BURST + 30);
        assert_non_null(strstr(text, " left_out:"));
        close(fd);
        unlink(path);
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_peer_has_a_rate_for_each_kind_of_line),
                cmocka_unit_test(all_peers_together_have_one_budget_for_warnings),
                cmocka_unit_test(knows_the_peer_of_a_line),
                cmocka_unit_test(ports_and_debug_lines_change_nothing),
                cmocka_unit_test(the_next_line_says_how_many_were_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
