/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cluster/app_status.h"
#include "base/text.h"
#include "base/error_testing.h"

static struct str parse(const char *bytes, size_t len, size_t *ret_used)
{
        struct str refusal;

        app_status_parse((struct str){ bytes, len }, ret_used, &refusal);
        return refusal;
}

static void the_bytes_of_the_application_follow_a_zero(void **state)
{
        AUTO(buf) out = BUF_MAX(16);
        size_t used;

        (void)state;
        app_status_put(&out, NULL);
        buf_put_c(&out, "hi");
        assert_null(parse(out.ptr, out.len, &used).ptr);
        assert_int_equal(used, 1);
}

static void a_refusal_is_read_when_it_is_complete(void **state)
{
        AUTO(buf) out = BUF_MAX(64);
        size_t used;

        (void)state;
        app_status_put(&out, "no access");
        for (size_t len = 0; len < out.len; len++) {
                assert_null(parse(out.ptr, len, &used).ptr);
                assert_int_equal(used, 0);
        }
        assert_true(str_equal(parse(out.ptr, out.len, &used), STR("no access")));
        assert_int_equal(used, out.len);
}

static void a_long_refusal_is_cut_between_characters(void **state)
{
        AUTO(buf) out = BUF_MAX(KiB), text = BUF_MAX(KiB);
        size_t used;

        (void)state;
        for (int i = 0; i < 100; i++)
                buf_put_c(&text, "\xe2\x82\xac"); /* 3 bytes each, so 255 is 85 of them */
        buf_put_c(&text, "x");
        app_status_put(&out, buf_c(&text) + 1); /* not UTF-8 at its begin: nothing of it can be shown */
        assert_true(str_equal(parse(out.ptr, out.len, &used), STR("refused")));
        out.len = 0;
        buf_release(&text);
        text = BUF_MAX(KiB);
        buf_put_c(&text, "ab");
        for (int i = 0; i < 100; i++)
                buf_put_c(&text, "\xe2\x82\xac");
        app_status_put(&out, buf_c(&text));
        struct str refusal = parse(out.ptr, out.len, &used);
        assert_int_equal(refusal.len, 254);
        assert_true(text_is_utf8(refusal));
}

static void a_refusal_without_text_is_one(void **state)
{
        AUTO(buf) out = BUF_MAX(64);
        size_t used;

        (void)state;
        app_status_put(&out, "");
        assert_true(str_equal(parse(out.ptr, out.len, &used), STR("refused")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_bytes_of_the_application_follow_a_zero),
                cmocka_unit_test(a_refusal_is_read_when_it_is_complete),
                cmocka_unit_test(a_long_refusal_is_cut_between_characters),
                cmocka_unit_test(a_refusal_without_text_is_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
