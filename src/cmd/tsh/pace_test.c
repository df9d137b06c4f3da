/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cmd/tsh/pace.h"

static struct instant at(int64_t ms)
{
        return (struct instant){ MILLISECONDS(ms).ns };
}

static int64_t wait_ms(struct pace *p, int64_t event_ms, int64_t now_ms)
{
        struct duration d = pace_wait(p, MILLISECONDS(event_ms), at(now_ms));

        return d.ns < 0 ? -1 : duration_ms(d);
}

static struct pace given_pace(const char *speed, bool is_idle_skipped)
{
        struct pace p;

        assert_null(pace_init(&p, speed, is_idle_skipped, at(0)));
        return p;
}

static void shows_events_at_their_time(void **state)
{
        struct pace p = given_pace("1x", false), fast = given_pace("4x", false), slow = given_pace("0.5x", false);

        (void)state;
        assert_int_equal(wait_ms(&p, 1000, 0), 1000);
        assert_int_equal(wait_ms(&p, 1000, 400), 600);
        assert_int_equal(wait_ms(&p, 1000, 1500), 0); /* late: at once */
        assert_int_equal(wait_ms(&fast, 1000, 0), 250);
        assert_int_equal(wait_ms(&slow, 1000, 0), 2000);
}

static void changes_speed_from_where_it_is(void **state)
{
        struct pace p = given_pace("1x", false);

        (void)state;
        pace_shown(&p, MILLISECONDS(1000));
        assert_int_equal(pace_key(&p, KEY_FASTER, at(2000)), PACE_GO_ON); /* at 2 s of the recording */
        assert_int_equal(wait_ms(&p, 4000, 2000), 1000);
        for (int i = 0; i < 10; i++)
                pace_key(&p, KEY_FASTER, at(2000));
        assert_int_equal(wait_ms(&p, 10000, 2000), 1000); /* 8x is the most */
        for (int i = 0; i < 10; i++)
                pace_key(&p, KEY_SLOWER, at(2000));
        assert_int_equal(wait_ms(&p, 3000, 2000), 2000);
}

static void resumes_after_a_stop_at_the_same_position(void **state)
{
        struct pace p = given_pace("1x", false);

        (void)state;
        pace_shown(&p, MILLISECONDS(3000));
        assert_int_equal(pace_resume(&p, at(60000)), PACE_REWIND);
        assert_int_equal(wait_ms(&p, 1000, 60000), 0);
        assert_int_equal(wait_ms(&p, 3000, 60000), 0);
        assert_int_equal(wait_ms(&p, 3500, 60000), 500);
}

static void pauses_until_a_key_resumes(void **state)
{
        struct pace p = given_pace("1x", false);

        (void)state;
        pace_key(&p, KEY_PAUSE, at(500));
        assert_int_equal(wait_ms(&p, 1000, 60000), -1);
        pace_key(&p, KEY_PAUSE, at(90000));
        assert_int_equal(wait_ms(&p, 1000, 90000), 500);
}

static void skips_forward_and_back(void **state)
{
        struct pace p = given_pace("1x", false);

        (void)state;
        assert_int_equal(pace_key(&p, KEY_FORWARD, at(1000)), PACE_GO_ON);
        assert_int_equal(wait_ms(&p, 10900, 1000), 0);
        pace_shown(&p, MILLISECONDS(10900));
        assert_int_equal(wait_ms(&p, 11500, 1000), 500);
        pace_shown(&p, MILLISECONDS(14000));
        assert_int_equal(pace_key(&p, KEY_BACK, at(4000)), PACE_REWIND);
        assert_int_equal(wait_ms(&p, 0, 4000), 0);
        pace_shown(&p, MILLISECONDS(3900));
        assert_int_equal(wait_ms(&p, 4000, 4000), 0); /* 14 s less 10 */
        pace_shown(&p, MILLISECONDS(4000));
        assert_int_equal(wait_ms(&p, 4500, 4000), 500);
}

static void cuts_gaps_when_idle_time_is_skipped(void **state)
{
        struct pace p = given_pace("1x", true);

        (void)state;
        assert_int_equal(wait_ms(&p, 400, 0), 400);
        pace_shown(&p, MILLISECONDS(400));
        assert_int_equal(wait_ms(&p, 60400, 400), 500);
        assert_int_equal(wait_ms(&p, 60400, 600), 300); /* a second call: shortened once only */
        pace_shown(&p, MILLISECONDS(60400));
        assert_int_equal(wait_ms(&p, 60500, 900), 100);
}

static void reads_keys_of_terminals(void **state)
{
        static const struct {
                const char *bytes;
                enum pace_key key;
                size_t left;
        } rows[] = {
                { " ", KEY_PAUSE, 0 },     { "\x1b[C", KEY_FORWARD, 0 }, { "\x1bOD", KEY_BACK, 0 }, { "\x1b[A,", KEY_FASTER, 1 },
                { "..", KEY_FORWARD, 1 }, { "q", KEY_QUIT, 0 },         { "\x03", KEY_QUIT, 0 },  { "x", KEY_NONE, 0 },
                { "\x1b", KEY_NONE, 0 },  { "x q", KEY_PAUSE, 1 },
                /* answers of a terminal, a key behind */
                { "\x1b[?62;1;4c,", KEY_BACK, 0 },           { "\x1b[12;40R.", KEY_FORWARD, 0 },
                { "\x1bP1$r0 q\x1b\\,", KEY_BACK, 0 },      { "\x1b]11;rgb:ffff/qqqq\a,", KEY_BACK, 0 },
                { "\x1b]11;q\x1bq\x1b\\,", KEY_BACK, 0 }, { "\x1bP+q", KEY_NONE, 0 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str bytes = str_of(rows[i].bytes);
                struct key_reader r = { 0 };

                assert_int_equal(pace_read_key(&r, &bytes), rows[i].key);
                assert_int_equal(bytes.len, rows[i].left);
        }
}

static void reads_keys_across_reads(void **state)
{
        struct key_reader r = { 0 };
        static const char *const parts[] = { "\x1b", "P1$r0 q", "\x1b", "\\", "\x1b[1", "2;1R", "\x1b[" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
                struct str part = str_of(parts[i]);
                assert_int_equal(pace_read_key(&r, &part), KEY_NONE);
        }
        struct str end = STR("A");
        assert_int_equal(pace_read_key(&r, &end), KEY_FASTER);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(shows_events_at_their_time),
                cmocka_unit_test(changes_speed_from_where_it_is),
                cmocka_unit_test(resumes_after_a_stop_at_the_same_position),
                cmocka_unit_test(pauses_until_a_key_resumes),
                cmocka_unit_test(skips_forward_and_back),
                cmocka_unit_test(cuts_gaps_when_idle_time_is_skipped),
                cmocka_unit_test(reads_keys_of_terminals),
                cmocka_unit_test(reads_keys_across_reads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
