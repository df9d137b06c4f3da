/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert_end.h"

#include "pki/pki_testing.h"

enum { DAY = 86400, NOW = 1700000000 };

static void passes_marks_in_the_last_quarter_of_a_life(void **state)
{
        static const struct {
                const char *name;
                int64_t life, left;
                int mark;
        } rows[] = {
                { "a CA of ten years", 3652 * DAY, 31 * DAY, CERT_END_FAR },
                { "a month before its end", 3652 * DAY, 30 * DAY, 30 },
                { "a week and a second", 3652 * DAY, 7 * DAY + 1, 30 },
                { "a week", 3652 * DAY, 7 * DAY, 7 },
                { "a day", 3652 * DAY, DAY, 1 },
                { "a second", 3652 * DAY, 1, 1 },
                { "the end", 3652 * DAY, 0, 0 },
                { "long ago", 3652 * DAY, -100 * DAY, 0 },
                { "three months, when others renew it", 90 * DAY, 30 * DAY, CERT_END_FAR },
                { "three months, not renewed", 90 * DAY, 22 * DAY, 30 },
                { "a certificate of a day", DAY, DAY / 2, CERT_END_FAR },
                { "a certificate of a day, not renewed", DAY, DAY / 5, 1 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct cert_times times = times_of(NOW + rows[i].left - rows[i].life, NOW + rows[i].left);

                if (cert_end_mark(times, walltime_of_unix(NOW)) != rows[i].mark)
                        fail_msg("%s: %d", rows[i].name, cert_end_mark(times, walltime_of_unix(NOW)));
        }
}

static void knows_when_the_next_mark_is_passed(void **state)
{
        static const struct {
                int64_t life, left, next;
        } rows[] = {
                { 3652 * DAY, 31 * DAY, DAY },
                { 3652 * DAY, 30 * DAY, 23 * DAY },
                { 3652 * DAY, 7 * DAY, 6 * DAY },
                { 3652 * DAY, DAY, DAY },
                { 90 * DAY, 30 * DAY, 30 * DAY - 90 * DAY / 4 },
                { 90 * DAY, 20 * DAY, 13 * DAY },
                { DAY, DAY, DAY - DAY / 4 },
                { DAY, DAY / 4, DAY / 4 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct cert_times times = times_of(NOW + rows[i].left - rows[i].life, NOW + rows[i].left);

                assert_int_equal(cert_end_next(times, walltime_of_unix(NOW)).ns, rows[i].next * 1000000000);
        }
        assert_int_equal(cert_end_next(times_of(0, NOW), walltime_of_unix(NOW)).ns, INT64_MAX);
}

static void describes_the_end(void **state)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);

        (void)state;
        cert_end_put(&out, times_of(0, NOW + 6 * DAY), walltime_of_unix(NOW));
        assert_string_equal(buf_c(&out), "expires in 6 days, at 2023-11-20T22:13:20Z");
        buf_clear(&out);
        cert_end_put(&out, times_of(0, NOW + 3 * 3600), walltime_of_unix(NOW));
        assert_string_equal(buf_c(&out), "expires in 3 hours, at 2023-11-15T01:13:20Z");
        buf_clear(&out);
        cert_end_put(&out, times_of(0, NOW), walltime_of_unix(NOW));
        assert_string_equal(buf_c(&out), "expired at 2023-11-14T22:13:20Z");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(passes_marks_in_the_last_quarter_of_a_life),
                cmocka_unit_test(knows_when_the_next_mark_is_passed),
                cmocka_unit_test(describes_the_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
