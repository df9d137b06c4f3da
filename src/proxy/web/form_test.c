/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/form.h"

#include "base/buf.h"
#include "base/error_testing.h"

static void reads_the_forms_of_browsers(void **state)
{
        (void)state;
        AUTO(form) form = { 0 };
        assert_null(form_parse(STR("user=alice&password=a+b%2Bc%26%3d%C3%A9&otp=&flag&"), &form));
        assert_string_equal(form_value(&form, "user").ptr, "alice");
        assert_string_equal(form_value(&form, "password").ptr, "a b+c&=\xc3\xa9");
        assert_true(str_equal(form_value(&form, "otp"), STR("")));
        assert_true(str_equal(form_value(&form, "flag"), STR("")));
        assert_true(str_equal(form_value(&form, "nobody"), STR("")));
}

static const struct {
        const char *name, *body;
} refused[] = {
        { "an escape without digits", "a=%zz" },
        { "an escape with a sign", "a=%+1" },
        { "an escape cut short", "a=%4" },
        { "a percent sign at the end", "a=%" },
        { "a NUL", "a=x%00y" },
        { "bytes that are no text", "a=%ff" },
        { "a surrogate", "a=%ed%a0%80" },
        { "a name twice", "a=1&b=2&a=3" },
        { "a name twice, once escaped", "a=1&%61=3" },
        { "too many fields", "a=&b=&c=&d=&e=&f=&g=&h=&i=" },
        { "a name that is too long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1" },
};

static void refuses_each_case_of_the_table(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                AUTO(form) form = { 0 };
                AUTO_PTR(error) err = form_parse(str_of(refused[i].body), &form);
                if (err == NULL || err->code != ERROR_INVALID_ARGUMENT || form.count != 0)
                        fail_msg("%s", refused[i].name);
        }
}

static void bounds_values_by_their_decoded_length(void **state)
{
        (void)state;
        AUTO(buf) body = BUF_MAX(8 * KiB);
        AUTO(form) form = { 0 }, longer = { 0 };
        buf_put_c(&body, "p=");
        for (int i = 0; i < FORM_VALUE_MAX; i++)
                buf_put_c(&body, "%41");
        assert_null(form_parse(buf_str(&body), &form));
        assert_int_equal(form_value(&form, "p").len, FORM_VALUE_MAX);
        buf_put_char(&body, 'A');
        assert_failed(form_parse(buf_str(&body), &longer));
}

static void addresses_may_be_longer(void **state)
{
        static const char *const names[] = { "redirect_uri", "path", "query" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                AUTO(buf) body = BUF_MAX(16 * KiB);
                AUTO(form) form = { 0 }, longer = { 0 };

                buf_printf(&body, "%s=", names[i]);
                for (int n = 0; n < FORM_ADDRESS_MAX; n++)
                        buf_put_c(&body, "%41");
                assert_null(form_parse(buf_str(&body), &form));
                assert_int_equal(form_value(&form, names[i]).len, FORM_ADDRESS_MAX);
                buf_put_char(&body, 'A');
                assert_failed(form_parse(buf_str(&body), &longer));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_forms_of_browsers),
                cmocka_unit_test(refuses_each_case_of_the_table),
                cmocka_unit_test(bounds_values_by_their_decoded_length),
                cmocka_unit_test(addresses_may_be_longer),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
