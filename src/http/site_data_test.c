/* SPDX-License-Identifier: Apache-2.0 */
#include "http/site_data.h"

#include "base/error_testing.h"

#define ALL "\"cache\", \"clientHints\", \"executionContexts\", \"prefetchCache\", \"prerenderCache\", \"storage\""

static const struct {
        const char *first, *second, *kept; /* kept NULL: no field is left */
} rows[] = {
        { "\"cache\"", NULL, "\"cache\"" },
        { "\"storage\" , \"cache\"", NULL, "\"cache\", \"storage\"" },
        { "\"storage\"", "\"cache\"", "\"cache\", \"storage\"" },
        { "\"cache\",\"cache\"", "\"cache\"", "\"cache\"" },
        { "\"storage:inbox_1\", \"cookies\", \"cache\"", NULL, "\"storage:inbox_1\", \"cache\"" },
        { "\"cookies\"", NULL, NULL },
        { "\"cookies\", \"storage\"", NULL, "\"storage\"" },
        { "\"storage\"", "\"cookies\"", "\"storage\"" },
        { "\"*\"", NULL, ALL },
        { "\"cookies\",\"*\"", "\"*\", \"cache\"", ALL },
        { "\t\"cookies\"\t,,\t\"cache\" ,", NULL, "\"cache\"" },
        { "\"COOKIES\", \"Cookies\", \"CACHE\"", NULL, NULL },
        { "cookies", NULL, NULL },
        { "*", NULL, NULL },
        { "'cookies', \"cookies', cookies\"", NULL, NULL },
        { "\"coo kies\", \" cookies\", \"cookies \", \"coo\tkies\"", NULL, NULL },
        { "\"coo\\kies\", \"\\*\"", NULL, NULL },
        { "\"\"cookies\"\", \"cookies\"\"cache\"", NULL, NULL },
        { "\"cookies\";q=1, \"cache\";\"cookies\"", NULL, NULL },
        { "\"cache, cookies\"", "\"", NULL },
        { "\"coo", "kies\"", NULL },
        { "\"storage:\", \"storage:a b\", \"storage:A\", \"storage:a\"\", \"storage:\"cookies\"", NULL, NULL },
        { "\"storage:a", "\"", NULL },
        { "{ \"types\": [ \"cookies\" ] }", NULL, NULL },
        { "\"c\xc3\xb6okies\", \"\xff\"", NULL, NULL },
        { "", NULL, NULL },
        { ",", "\"", NULL },
};

static void cookies_are_not_cleared_for_the_domain(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(http_fields) f = { 0 };

                assert_null(http_fields_add(&f, STR("cLEAR-sITE-dATA"), str_of(rows[i].first)));
                assert_null(http_fields_add(&f, STR("X-Other"), STR("\"cookies\"")));
                if (rows[i].second != NULL)
                        assert_null(http_fields_add(&f, STR("Clear-Site-Data"), str_of(rows[i].second)));
                assert_null(http_site_data_confine(&f));
                struct str kept = http_fields_get(&f, "clear-site-data");
                if (f.count != (rows[i].kept == NULL ? 1U : 2U) || !str_equal(kept, str_of(rows[i].kept == NULL ? "" : rows[i].kept)))
                        fail_msg("row %zu, %s: %.*s", i, rows[i].first, STR_ARG(kept));
                assert_true(str_equal(http_fields_get(&f, "x-other"), STR("\"cookies\"")));
        }
}

static void a_response_without_the_field_stays_as_it_is(void **state)
{
        AUTO(http_fields) f = { 0 };

        (void)state;
        assert_null(http_site_data_confine(&f));
        assert_int_equal(f.count, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cookies_are_not_cleared_for_the_domain),
                cmocka_unit_test(a_response_without_the_field_stays_as_it_is),
        };

        return cmocka_run_group_tests_name("http_site_data", tests, NULL, NULL);
}
