/* SPDX-License-Identifier: Apache-2.0 */
#include "http/fields.h"

#include "base/error_testing.h"
#include "base/limits.h"

static void assert_fields(const struct http_fields *f, const char *expected)
{
        AUTO(buf) out = BUF_MAX(64 * KiB);

        http_fields_put(&out, f);
        assert_string_equal(buf_c(&out), expected);
}

static void fields_can_be_edited(void **state)
{
        AUTO(http_fields) f = { 0 };

        (void)state;
        assert_fields(&f, "");
        assert_null(http_fields_add(&f, STR("A"), STR("1")));
        assert_null(http_fields_add(&f, STR("B"), STR(" 2 ")));
        assert_null(http_fields_add(&f, STR("a"), STR("3")));
        assert_true(str_equal(http_fields_get(&f, "b"), STR("2")));
        assert_null(http_fields_get(&f, "c").ptr);
        assert_int_equal(http_fields_find(&f, "A", 1), 2);
        assert_int_equal(http_fields_find(&f, "A", 3), 3);
        assert_null(http_fields_replace(&f, 1, STR("4")));
        assert_fields(&f, "A: 1\r\nB: 4\r\na: 3\r\n");
        assert_null(http_fields_set(&f, STR("A"), STR("5")));
        assert_fields(&f, "B: 4\r\nA: 5\r\n");
        assert_int_equal(http_fields_remove(&f, "b"), 1);
        assert_int_equal(http_fields_remove(&f, "b"), 0);
        assert_fields(&f, "A: 5\r\n");
}

static void a_field_cannot_become_two(void **state)
{
        static const char *const values[] = { "a\r\nB: c", "a\nB: c", "a\rb", "\x01", "\x7f" };
        static const char *const names[] = { "", "A B", "A:", "A\r\nB", "(", "\xc3\xa9" };
        AUTO(http_fields) f = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
                assert_code(http_fields_add(&f, STR("A"), str_of(values[i])), ERROR_INVALID_ARGUMENT);
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                assert_code(http_fields_add(&f, str_of(names[i]), STR("a")), ERROR_INVALID_ARGUMENT);
        assert_code(http_fields_add(&f, STR("A"), ((struct str){ "a\0b", 3 })), ERROR_INVALID_ARGUMENT);
        assert_null(http_fields_add(&f, STR("A"), STR("old")));
        assert_code(http_fields_set(&f, STR("A"), STR("a\nb")), ERROR_INVALID_ARGUMENT);
        assert_code(http_fields_replace(&f, 0, STR("a\nb")), ERROR_INVALID_ARGUMENT);
        assert_fields(&f, "A: old\r\n");
        for (int i = 1; i < LIMIT_HTTP_FIELDS; i++)
                assert_null(http_fields_add(&f, STR("X"), STR("y")));
        assert_code(http_fields_add(&f, STR("X"), STR("y")), ERROR_RESOURCE_EXHAUSTED);
}

static void fields_of_the_gateway_are_known_in_any_spelling(void **state)
{
        static const char *const ours[] = { "Teleport-Jwt-Assertion", "teleport_jwt_assertion", "TELEPORT.JWT-x", "X-Teleport-Api-Error", "X-Forwarded-For", "x_forwarded_host",
                                            "X-Forwarded-Anything", "X-Real-Ip", "x_real_ip", "Forwarded", "Cf-Access-Token", "X-Teleport-" };
        static const char *const others[] = { "Teleport", "X-Real", "X-Real-Ip-2", "X-Forwarded", "Forwarded-For", "Authorization", "Teleports-X", "XX-Forwarded-For", "" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(ours); i++)
                if (!http_name_is_of_gateway(str_of(ours[i])))
                        fail_msg("%s", ours[i]);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
                if (http_name_is_of_gateway(str_of(others[i])))
                        fail_msg("%s", others[i]);
        AUTO(http_fields) f = { 0 };
        assert_null(http_fields_add(&f, STR("X_Forwarded-For"), STR("1")));
        assert_null(http_fields_add(&f, STR("B"), STR("2")));
        assert_null(http_fields_add(&f, STR("x-real-ip"), STR("3")));
        assert_int_equal(http_fields_remove_if(&f, http_name_is_of_gateway), 2);
        assert_fields(&f, "B: 2\r\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fields_can_be_edited),
                cmocka_unit_test(a_field_cannot_become_two),
                cmocka_unit_test(fields_of_the_gateway_are_known_in_any_spelling),
        };

        return cmocka_run_group_tests_name("http_fields", tests, NULL, NULL);
}
