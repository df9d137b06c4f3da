/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"

#include <string.h>

#include "base/compiler.h"
#include "base/error_testing.h"

static void reads_the_major_number(void **state)
{
        static const struct row {
                const char *text;
                int major;
        } rows[] = {
                { "16.1.0", 16 },  { "16.1", 16 },          { "0.0.1", 0 },       { "17.0.0-rc.1+x86", 17 }, { "9999.0.0", 9999 }, { "", -1 },
                { "16", -1 },      { "v16.1.0", -1 },       { ".1.0", -1 },       { "16.", -1 },             { "-1.0.0", -1 },     { "10000.0.0", -1 },
                { "16.1.0\n", -1 }, { "16 .1", -1 },        { "16.1;rm", -1 },    { "16.\xc3\xa4", -1 },     { "18446744073709551632.1", -1 },
                { "16.1.0-12345678901234567890123456", -1 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (version_major(str_of(rows[i].text)) != rows[i].major)
                        fail_msg("'%s': %d", rows[i].text, version_major(str_of(rows[i].text)));
        assert_int_equal(version_major(STR("16.1\0.0")), -1);
}

static void copies_only_texts_that_are_versions(void **state)
{
        char text[VERSION_TEXT_MAX];

        (void)state;
        version_text(text, STR("16.1.0-dev+1"));
        assert_string_equal(text, "16.1.0-dev+1");
        version_text(text, STR("16.1.0 (other)"));
        assert_string_equal(text, "");
        version_text(text, STR("1234567890123456789012345678901"));
        assert_int_equal(strlen(text), 31);
        version_text(text, STR("12345678901234567890123456789012"));
        assert_string_equal(text, "");
}

static void accepts_a_host_of_this_major_version_or_the_one_before(void **state)
{
        static const struct row {
                const char *host;
                bool may;
        } rows[] = {
                { "16.1.0", true }, { "16.99.0", true }, { "16.0.0-rc.1", true }, { "15.0.0", true }, { "14.9.9", false },
                { "17.0.0", false }, { "0.1.0", false }, { "", true },            { "unknown", true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(error) err = version_check_host(str_of(rows[i].host), STR("16.1.0"));

                if ((err == NULL) != rows[i].may)
                        fail_msg("%s", rows[i].host);
                if (err != NULL)
                        assert_true(err->code == ERROR_FAILED_PRECONDITION && strstr(err->what, rows[i].host) != NULL && strstr(err->what, "16.1.0") != NULL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_major_number),
                cmocka_unit_test(copies_only_texts_that_are_versions),
                cmocka_unit_test(accepts_a_host_of_this_major_version_or_the_one_before),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
