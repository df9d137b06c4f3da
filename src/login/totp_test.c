/* SPDX-License-Identifier: Apache-2.0 */
#include "login/totp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

#define KEY STR("12345678901234567890")

static void makes_the_codes_of_rfc_4226(void **state)
{
        /* RFC 4226 appendix D. */
        static const uint32_t codes[] = { 755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(codes); i++)
                assert_int_equal(totp_code(KEY, i), codes[i]);
}

static void makes_the_codes_of_rfc_6238(void **state)
{
        /* RFC 6238 appendix B, SHA-1; the last six of its eight digits. */
        static const struct {
                int64_t time;
                struct str code;
        } rows[] = {
                { 59, STR_INIT("287082") },         { 1111111109, STR_INIT("081804") },  { 1111111111, STR_INIT("050471") },
                { 1234567890, STR_INIT("005924") }, { 2000000000, STR_INIT("279037") },  { 20000000000, STR_INIT("353130") },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                int64_t step = 0;

                if (rows[i].time > INT64_MAX / 1000000000)
                        continue; /* beyond our clock; the code itself is checked below */
                assert_true(totp_check(KEY, rows[i].code, walltime_of_unix(rows[i].time), 0, &step));
                assert_int_equal(step, rows[i].time / 30);
        }
        assert_int_equal(totp_code(KEY, 20000000000 / 30), 353130);
}

static void takes_the_step_before_and_after_but_no_other(void **state)
{
        const struct walltime now = walltime_of_unix(1111111109);
        const int64_t present = 1111111109 / 30;

        (void)state;
        for (int64_t off = -3; off <= 3; off++) {
                char code[8];
                int64_t step = -1;

                snprintf(code, sizeof code, "%06u", totp_code(KEY, (uint64_t)(present + off)));
                bool is_near = off >= -1 && off <= 1;
                assert_int_equal(totp_check(KEY, str_of(code), now, 0, &step), is_near);
                assert_int_equal(step, is_near ? present + off : -1);
        }
}

static void takes_each_step_once(void **state)
{
        const struct walltime now = walltime_of_unix(1111111109);
        const int64_t present = 1111111109 / 30;
        char before[8], code[8], after[8];
        int64_t step = 0;

        (void)state;
        snprintf(before, sizeof before, "%06u", totp_code(KEY, (uint64_t)(present - 1)));
        snprintf(code, sizeof code, "%06u", totp_code(KEY, (uint64_t)present));
        snprintf(after, sizeof after, "%06u", totp_code(KEY, (uint64_t)(present + 1)));
        assert_true(totp_check(KEY, str_of(code), now, present - 1, &step));
        assert_int_equal(step, present);
        assert_false(totp_check(KEY, str_of(code), now, present, &step));
        assert_false(totp_check(KEY, str_of(before), now, present, &step)); /* nor one from before it */
        assert_true(totp_check(KEY, str_of(after), now, present, &step));
        assert_false(totp_check(KEY, str_of(after), now, INT64_MAX, &step));
}

static void refuses_an_invalid_code(void **state)
{
        static const struct str codes[] = { STR_INIT(""),        STR_INIT("81804"),   STR_INIT("0081804"), STR_INIT("081804 "),
                                            STR_INIT(" 081804"), STR_INIT("08180"),   STR_INIT("08180\0"), STR_INIT("081804\0"),
                                            STR_INIT("-81804"),  STR_INIT("0x1804"),  STR_INIT("081805"),  STR_INIT("999999999999999999999") };
        int64_t step = 0;

        (void)state;
        assert_true(totp_check(KEY, STR("081804"), walltime_of_unix(1111111109), 0, &step));
        for (size_t i = 0; i < ARRAY_LEN(codes); i++)
                assert_false(totp_check(KEY, codes[i], walltime_of_unix(1111111109), 0, &step));
}

static void writes_keys_as_rfc_4648_does(void **state)
{
        /* RFC 4648 section 10, without the padding. */
        static const struct {
                struct str bytes;
                const char *text;
        } rows[] = {
                { STR_INIT(""), "" },         { STR_INIT("f"), "MY" },         { STR_INIT("fo"), "MZXQ" },
                { STR_INIT("foo"), "MZXW6" }, { STR_INIT("foob"), "MZXW6YQ" }, { STR_INIT("fooba"), "MZXW6YTB" },
                { STR_INIT("foobar"), "MZXW6YTBOI" }, { STR_INIT("\xff\xff\xff\xff\xff"), "77777777" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) out = BUF_MAX(64);

                base32_encode(&out, rows[i].bytes);
                assert_string_equal(buf_c(&out), rows[i].text);
        }
}

static void writes_an_address_that_apps_read(void **state)
{
        AUTO(buf) url = BUF_MAX(1 * KiB);

        (void)state;
        totp_put_url(&url, STR("example.com"), STR("alice+1@example.com"), KEY);
        assert_string_equal(buf_c(&url), "otpauth://totp/example.com:alice%2B1%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                                         "&issuer=example.com&algorithm=SHA1&digits=6&period=30");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(makes_the_codes_of_rfc_4226),
                cmocka_unit_test(makes_the_codes_of_rfc_6238),
                cmocka_unit_test(takes_the_step_before_and_after_but_no_other),
                cmocka_unit_test(takes_each_step_once),
                cmocka_unit_test(refuses_an_invalid_code),
                cmocka_unit_test(writes_keys_as_rfc_4648_does),
                cmocka_unit_test(writes_an_address_that_apps_read),
        };

        return cmocka_run_group_tests_name("totp", tests, NULL, NULL);
}
