/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/grpc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "rpc/status.h"

struct timeout_case {
        const char *text;
        int64_t ns; /* -1: refused */
};

static const struct timeout_case timeouts[] = {
        { "1n", 1 },
        { "20u", 20000 },
        { "300m", 300000000 },
        { "5S", 5000000000 },
        { "2M", 120000000000 },
        { "1H", 3600000000000 },
        { "0S", 0 },
        { "99999999S", 99999999000000000 },
        { "99999999H", INT64_MAX },
        { "", -1 },
        { "S", -1 },
        { "5", -1 },
        { "5s", -1 },
        { "5 S", -1 },
        { "-5S", -1 },
        { "+5S", -1 },
        { "100000000S", -1 },
        { "5SS", -1 },
};

static void reads_timeouts(void **state UNUSED)
{
        for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
                struct duration got = { -1 };
                AUTO_PTR(error) err = grpc_timeout_parse(str_of(timeouts[i].text), &got);

                if (got.ns != timeouts[i].ns || (err == NULL) != (timeouts[i].ns >= 0))
                        fail_msg("'%s' gives %lld", timeouts[i].text, (long long)got.ns);
        }
}

static void writes_timeouts_that_it_can_read(void **state UNUSED)
{
        const struct duration given[] = { { 0 }, { 1 }, MILLISECONDS(1500), SECONDS(30), HOURS(24), HOURS(24 * 365) };

        for (size_t i = 0; i < ARRAY_LEN(given); i++) {
                AUTO(buf) text = BUF_MAX(GRPC_TIMEOUT_TEXT_MAX);
                struct duration got = { 0 };

                grpc_timeout_put(&text, given[i]);
                assert_null(grpc_timeout_parse(buf_str(&text), &got));
                /* Never shorter than meant, at most a millisecond longer. */
                assert_true(got.ns >= given[i].ns && got.ns < given[i].ns + 1000000);
        }
}

static void encodes_every_byte_of_a_status_message(void **state UNUSED)
{
        AUTO(buf) encoded = BUF_MAX(1 * KiB);
        AUTO(buf) decoded = BUF_MAX(1 * KiB);
        char all[256];

        for (int i = 0; i < 256; i++)
                all[i] = (char)i;
        grpc_put_percent_encoded(&encoded, str_of_bytes(all, sizeof all));
        for (size_t i = 0; i < encoded.len; i++)
                assert_true(encoded.ptr[i] >= 0x20 && encoded.ptr[i] <= 0x7e);
        grpc_put_percent_decoded(&decoded, buf_str(&encoded));
        assert_true(str_equal(buf_str(&decoded), str_of_bytes(all, sizeof all)));
}

static void lets_broken_percent_escapes_stand(void **state UNUSED)
{
        AUTO(buf) decoded = BUF_MAX(1 * KiB);

        grpc_put_percent_decoded(&decoded, STR("100% %zz %4 %41%"));
        assert_true(str_equal(buf_str(&decoded), STR("100% %zz %4 A%")));
}

static void knows_the_content_types_of_grpc(void **state UNUSED)
{
        assert_true(grpc_is_content_type(STR("application/grpc")));
        assert_true(grpc_is_content_type(STR("application/grpc+proto")));
        assert_true(grpc_is_content_type(STR("Application/gRPC; charset=utf-8")));
        assert_false(grpc_is_content_type(STR("application/grpc-web")));
        assert_false(grpc_is_content_type(STR("application/grpc+json")));
        assert_false(grpc_is_content_type(STR("application/json")));
        assert_false(grpc_is_content_type(STR("")));
}

static void puts_messages_together_however_they_are_cut(void **state UNUSED)
{
        const struct str wire = STR("\0\0\0\0\0" "\0\0\0\0\x03" "abc" "\0\0\0\0\x01" "d");

        for (size_t step = 1; step <= wire.len; step++) {
                struct grpc_inbox in;
                AUTO(buf) got = BUF_MAX(64);

                grpc_inbox_init(&in, 3);
                for (size_t at = 0; at < wire.len; at += step) {
                        struct str bytes = str_slice(wire, at, step);

                        while (bytes.len > 0) {
                                struct str message;
                                bool is_whole = false;

                                assert_null(grpc_inbox_feed(&in, &bytes, &is_whole, &message));
                                if (!is_whole)
                                        continue;
                                buf_put(&got, message);
                                buf_put_char(&got, '|');
                                assert_false(grpc_inbox_is_midway(&in));
                        }
                }
                assert_true(str_equal(buf_str(&got), STR("|abc|d|")));
                grpc_inbox_release(&in);
        }
}

static void status_text_separates_error_and_hint(void **state UNUSED)
{
        AUTO(buf) text = BUF_MAX(STATUS_TEXT_MAX);
        AUTO_PTR(error) sent = error_hint(error_new(ERROR_NOT_FOUND, "no token 'a\\x1b'"), "list them: tctl tokens ls");

        sent = error_because(sent, error_new(ERROR_INTERNAL, "not for the peer"));
        status_put_text(&text, sent);
        AUTO_PTR(error) got = status_to_error(5, buf_str(&text));
        assert_int_equal(got->code, ERROR_NOT_FOUND);
        assert_string_equal(got->what, sent->what); /* escaped once, not at every hop */
        assert_string_equal(got->hint, sent->hint);
        assert_null(got->cause);
}

static void status_text_of_a_peer_has_no_control_characters(void **state UNUSED)
{
        AUTO_PTR(error) got = status_to_error(99, STR("red \x1b[31m\nhint: \x07"));

        assert_int_equal(got->code, ERROR_UNKNOWN);
        assert_string_equal(got->what, "red \\x1b[31m");
        assert_string_equal(got->hint, "\\x07");
}

static void status_text_is_clipped(void **state UNUSED)
{
        AUTO(buf) text = BUF_MAX(STATUS_TEXT_MAX);
        char what[2 * STATUS_TEXT_MAX];

        memset(what, 'x', sizeof what - 1);
        what[sizeof what - 1] = '\0';
        AUTO_PTR(error) err = error_hint(error_new(ERROR_INTERNAL, "%s", what), "%s", what);
        status_put_text(&text, err);
        assert_false(text.overflowed);
        AUTO_PTR(error) got = status_to_error(13, buf_str(&text));
        assert_non_null(got->hint);
        AUTO_PTR(error) silent = status_to_error(14, STR(""));
        assert_string_equal(silent->what, "the peer answered UNAVAILABLE without saying why");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_timeouts),
                cmocka_unit_test(writes_timeouts_that_it_can_read),
                cmocka_unit_test(encodes_every_byte_of_a_status_message),
                cmocka_unit_test(lets_broken_percent_escapes_stand),
                cmocka_unit_test(knows_the_content_types_of_grpc),
                cmocka_unit_test(puts_messages_together_however_they_are_cut),
                cmocka_unit_test(status_text_separates_error_and_hint),
                cmocka_unit_test(status_text_of_a_peer_has_no_control_characters),
                cmocka_unit_test(status_text_is_clipped),
        };

        return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
