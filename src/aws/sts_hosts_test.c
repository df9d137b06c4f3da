/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts_hosts.h"

#include <stdio.h>

#include "base/error_testing.h"

static const struct sts_host_options fips_only = { .fips = true };

static void knows_every_host_of_the_published_table(void **state)
{
        static const struct {
                const char *host, *region, *partition;
                bool is_global, is_fips;
        } cases[] = {
                { "sts.amazonaws.com", "us-east-1", "aws", true, false },
                { "sts.us-east-1.amazonaws.com", "us-east-1", "aws", false, false },
                { "sts.eu-central-2.amazonaws.com", "eu-central-2", "aws", false, false },
                { "sts.ap-southeast-7.amazonaws.com", "ap-southeast-7", "aws", false, false },
                { "sts-fips.us-west-2.amazonaws.com", "us-west-2", "aws", false, true },
                { "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov", false, true },
                { "sts.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws-cn", false, false },
                { "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "aws-eusc", false, false },
                { "sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "aws-iso", false, false },
                { "sts.us-isob-west-1.sc2s.sgov.gov", "us-isob-west-1", "aws-iso-b", false, false },
                { "sts.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", "aws-iso-e", false, false },
                { "sts.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", "aws-iso-f", false, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct sts_host h = { 0 };

                print_message("%s\n", cases[i].host);
                assert_true(sts_host_find(str_of(cases[i].host), NULL, &h));
                assert_string_equal(h.name, cases[i].host);
                assert_string_equal(h.region, cases[i].region);
                assert_string_equal(h.partition, cases[i].partition);
                assert_int_equal(h.is_global, cases[i].is_global);
                assert_int_equal(h.is_fips, cases[i].is_fips);
                assert_false(h.is_guessed);
        }
}

static void refuses_every_name_that_is_not_in_the_table(void **state)
{
        static const struct {
                struct str host;
                const char *sent;
        } cases[] = {
                { STR_INIT("sts.us-west-2.amazonaws.com.evil"), "not an AWS STS host" },
                { STR_INIT("sts.us-west-2.amazonaws.com.evil.com"), "not an AWS STS host" },
                { STR_INIT("evilsts.us-west-2.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("evil.us-west-2.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("s3.us-west-2.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts2.us-west-2.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.evil.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-99.amazonaws.com"), "does not know" },
                { STR_INIT("sts.us-east-3.amazonaws.com"), "does not know" },
                { STR_INIT("sts.cn-west-9.amazonaws.com.cn"), "does not know" },
                { STR_INIT("sts.not-a-region.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.example.com"), "not an AWS STS host" },
                { STR_INIT("sts-fips.example.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-west-2.example.com"), "not an AWS STS host" },
                { STR_INIT("example.com"), "not an AWS STS host" },
                { STR_INIT("sts.cn-north-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com.cn"), "not an AWS STS host" },
                { STR_INIT("sts.us-isob-east-1.amazonaws.com.cn"), "not an AWS STS host" },
                { STR_INIT("sts.eusc-de-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.aws-global.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts-fips.aws-global.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts-fips.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1-fips.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts-fips.us-gov-west-1.amazonaws.com"), "no FIPS endpoint" },
                { STR_INIT("sts-fips.eu-west-1.amazonaws.com"), "no FIPS endpoint" },
                { STR_INIT("vpce-0a1b.sts.us-east-1.vpce.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-west-2.api.aws"), "not an AWS STS host" },
                { STR_INIT("sts.amazonaws.com.cn"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com."), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com:443"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com:8443"), "not an AWS STS host" },
                { STR_INIT("STS.us-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.US-EAST-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT(" sts.us-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com "), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com\t"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com\0"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com\0.evil.com"), "not an AWS STS host" },
                { STR_INIT("user@sts.us-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com/x"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com?x"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com#x"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1%2eamazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1..amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("169.254.169.254"), "not an AWS STS host" },
                { STR_INIT("localhost"), "not an AWS STS host" },
                { STR_INIT("[::1]"), "not an AWS STS host" },
                { STR_INIT("xn--sts-9la.us-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT("sts.us-east-1.amazonaws.com, sts.us-east-1.amazonaws.com"), "not an AWS STS host" },
                { STR_INIT(""), "not an AWS STS host" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct sts_host h;
                AUTO_PTR(error) why = sts_host_explain(cases[i].host, NULL);

                print_message("%s\n", why->what);
                assert_false(sts_host_find(cases[i].host, NULL, &h));
                assert_int_equal(why->code, ERROR_PERMISSION_DENIED);
                assert_non_null(strstr(why->what, cases[i].sent));
                assert_non_null(why->hint);
        }
}

static void accepts_only_fips_hosts_under_fips(void **state)
{
        struct sts_host h;

        (void)state;
        assert_true(sts_host_find(STR("sts-fips.us-east-2.amazonaws.com"), &fips_only, &h));
        assert_true(sts_host_find(STR("sts.us-gov-east-1.amazonaws.com"), &fips_only, &h));
        assert_false(sts_host_find(STR("sts.us-east-2.amazonaws.com"), &fips_only, &h));
        assert_false(sts_host_find(STR("sts.amazonaws.com"), &fips_only, &h));
        AUTO_PTR(error) why = sts_host_explain(STR("sts.amazonaws.com"), &fips_only);
        assert_non_null(strstr(why->what, "not a FIPS endpoint"));
}

static void accepts_the_regions_an_operator_adds(void **state)
{
        static const char *const added[] = { "us-north-7", "cn-west-9=aws-cn", "bad region", NULL };
        const struct sts_host_options o = { .extra_regions = added };
        struct sts_host h;

        (void)state;
        assert_true(sts_host_find(STR("sts.us-north-7.amazonaws.com"), &o, &h));
        assert_string_equal(h.region, "us-north-7");
        assert_string_equal(h.partition, "aws");
        assert_true(sts_host_find(STR("sts.cn-west-9.amazonaws.com.cn"), &o, &h));
        assert_false(sts_host_find(STR("sts.cn-west-9.amazonaws.com"), &o, &h));
        assert_false(sts_host_find(STR("sts-fips.us-north-7.amazonaws.com"), &o, &h));
        assert_false(sts_host_find(STR("sts.us-north-7.amazonaws.com"), NULL, &h));

        static const char *const refused[] = { "",          "us-east",    "us-east-1=",      "us-east-1=moon",
                                               "US-EAST-1", "us-east-1 ", "us--east-1=aws",  "a.b-c-1",
                                               "us-e-a/-1", "-us-east-1", "us-east-1=aws=x", "us-east-" };
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
                assert_code(sts_extra_region_check(str_of(refused[i])), ERROR_INVALID_ARGUMENT);
        AUTO_PTR(error) none = sts_extra_region_check(STR("us-gov-north-1=aws-us-gov"));
        assert_null(none);
}

static void builds_the_host_of_a_region(void **state)
{
        static const struct {
                const char *region;
                bool fips;
                const char *host, *signed_for;
                bool guessed;
        } cases[] = {
                { "us-west-2", false, "sts.us-west-2.amazonaws.com", "us-west-2", false },
                { "us-west-2", true, "sts-fips.us-west-2.amazonaws.com", "us-west-2", false },
                { "eu-west-1", true, "sts-fips.us-east-1.amazonaws.com", "us-east-1", false },
                { "us-gov-west-1", true, "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", false },
                { "cn-northwest-1", false, "sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1", false },
                { "us-isob-east-1", false, "sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", false },
                { "aws-global", false, "sts.amazonaws.com", "us-east-1", false },
                { "aws-global", true, "sts-fips.us-east-1.amazonaws.com", "us-east-1", false },
                { "ap-middle-3", false, "sts.ap-middle-3.amazonaws.com", "ap-middle-3", true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct sts_host_options o = { .fips = cases[i].fips };
                struct sts_host h;
                AUTO_PTR(error) err = sts_host_for_region(str_of(cases[i].region), &o, &h);

                assert_null(err);
                assert_string_equal(h.name, cases[i].host);
                assert_string_equal(h.region, cases[i].signed_for);
                assert_int_equal(h.is_guessed, cases[i].guessed);
        }
}

static void explains_a_region_that_has_no_host(void **state)
{
        struct sts_host h;

        (void)state;
        assert_code(sts_host_for_region(STR("us-east-1.evil.com/"), NULL, &h), ERROR_INVALID_ARGUMENT);
        assert_code(sts_host_for_region(STR("moon-base-1"), NULL, &h), ERROR_INVALID_ARGUMENT);
        assert_code(sts_host_for_region(STR("cn-north-1"), &fips_only, &h), ERROR_FAILED_PRECONDITION);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_every_host_of_the_published_table),
                cmocka_unit_test(refuses_every_name_that_is_not_in_the_table),
                cmocka_unit_test(accepts_only_fips_hosts_under_fips),
                cmocka_unit_test(accepts_the_regions_an_operator_adds),
                cmocka_unit_test(builds_the_host_of_a_region),
                cmocka_unit_test(explains_a_region_that_has_no_host),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
