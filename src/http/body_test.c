/* SPDX-License-Identifier: Apache-2.0 */
#include "http/body.h"

#include "base/error_testing.h"
#include "base/limits.h"

/* Reads all of the bytes in pieces of `step`; returns the body, and the bytes after it in *ret_rest. */
static struct error *read_all(struct http_body_reader *r, struct str bytes, size_t step, struct buf *ret, size_t *ret_rest)
{
        struct str piece;

        for (size_t at = 0; at < bytes.len; at += step) {
                struct str rest = str_slice(bytes, at, step);

                while (rest.len > 0 && !http_body_is_done(r)) {
                        TRY(http_body_read(r, &rest, &piece));
                        buf_put(ret, piece);
                }
                *ret_rest = rest.len + bytes.len - at - str_slice(bytes, at, step).len;
                if (http_body_is_done(r))
                        return NULL;
        }
        return NULL;
}

enum { MORE = 1000 };

static const struct {
        const char *name, *input, *body, *trailers;
        int outcome; /* 0: complete, MORE: incomplete, otherwise the code of the error */
        size_t rest;
} chunked[] = {
        { "one chunk", "3\r\nabc\r\n0\r\n\r\n", "abc", "", 0, 0 },
        { "several", "1\r\na\r\n00a\r\n0123456789\r\n0\r\n\r\nGET", "a0123456789", "", 0, 3 },
        { "capitals", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", 0, 0 },
        { "nothing", "0\r\n\r\n", "", "", 0, 0 },
        { "many zeros", "000\r\n\r\n", "", "", 0, 0 },
        { "an extension", "3;a=\"b;c\"\r\nabc\r\n0;x\r\n\r\n", "abc", "", 0, 0 },
        { "a trailer", "0\r\nX-Sum: 5\r\nY: 6\r\n\r\nrest", "", "X-Sum: 5\r\nY: 6\r\n", 0, 4 },
        { "a trailer of the gateway", "0\r\nTeleport-Jwt-Assertion: x\r\nContent-Length: 5\r\nX_Forwarded_For: y\r\nCookie: a=b\r\nHost: b\r\nY: 6\r\n\r\n", "", "Y: 6\r\n", 0, 0 },
        { "no end", "3\r\nabc\r\n", "abc", "", MORE, 0 },
        { "no end of the trailer", "0\r\nX: y\r\n", "", NULL, MORE, 0 },
        { "within a chunk", "3\r\nab", "ab", "", MORE, 0 },
        { "a bare LF after a size", "3\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare LF after data", "3\r\nabc\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare CR after data", "3\r\nabc\r0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare CR in an extension", "3;a\rabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare LF in the trailer", "0\r\nX: y\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare LF at the end", "0\r\n\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a bare CR in the trailer", "0\r\nX: y\rZ: a\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a prefix", "0x3\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a sign", "+3\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a negative size", "-3\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a blank before", " 3\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a blank after", "3 \r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "no size", "\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "only an extension", ";a\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a size of sixteen digits", "0000000000000003\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a size beyond numbers", "10000000000000003\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a control byte in an extension", "3;\x01\r\nabc\r\n0\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a trailer without a name", "0\r\nabc\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
        { "a folded trailer", "0\r\nX: y\r\n z\r\n\r\n", NULL, NULL, ERROR_INVALID_ARGUMENT, 0 },
};

static void chunks_are_read_strictly(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(chunked); i++)
                for (size_t step = 1; step <= 1000; step = step < 4 ? step + 1 : step * 1000) {
                        AUTO(http_body_reader) r = { 0 };
                        AUTO(buf) body = BUF_MAX(64 * KiB);
                        AUTO(buf) trailers = BUF_MAX(64 * KiB);
                        size_t rest = 0;

                        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_CHUNKED });
                        struct error *err = read_all(&r, str_of(chunked[i].input), step, &body, &rest);
                        int outcome = err != NULL ? (int)err->code : http_body_is_done(&r) ? 0 : MORE;
                        if (outcome != chunked[i].outcome)
                                fail_msg("%s: %d, %s", chunked[i].name, outcome, err == NULL ? "" : err->what);
                        error_free(err);
                        if (chunked[i].body != NULL && outcome != MORE) {
                                assert_string_equal(buf_c(&body), chunked[i].body);
                                assert_int_equal(rest, chunked[i].rest);
                                http_fields_put(&trailers, &r.trailers);
                                assert_string_equal(buf_c(&trailers), chunked[i].trailers);
                        }
                        if (outcome == MORE)
                                assert_code(http_body_end(&r), ERROR_INVALID_ARGUMENT);
                }
}

static void extensions_and_trailers_have_a_longest_length(void **state)
{
        AUTO(http_body_reader) r = { 0 };
        AUTO(buf) body = BUF_MAX(64 * KiB);
        AUTO(buf) input = BUF_MAX(64 * KiB);
        size_t rest;

        (void)state;
        buf_put_c(&input, "1;");
        for (int i = 0; i < 257; i++)
                buf_put_char(&input, 'x');
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_CHUNKED });
        assert_code(read_all(&r, buf_str(&input), 1000, &body, &rest), ERROR_INVALID_ARGUMENT);
        buf_clear(&input);
        buf_put_c(&input, "0\r\n");
        for (int i = 0; i <= LIMIT_HTTP_TRAILER / 128; i++)
                buf_printf(&input, "X-%04d: %0118d\r\n", i, i);
        for (size_t step = 1; step <= 1000; step *= 1000) {
                http_body_reader_release(&r);
                http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_CHUNKED });
                assert_code(read_all(&r, buf_str(&input), step, &body, &rest), ERROR_RESOURCE_EXHAUSTED);
        }
}

static void a_length_ends_a_body_exactly(void **state)
{
        AUTO(http_body_reader) r = { 0 };
        AUTO(buf) body = BUF_MAX(64 * KiB);
        size_t rest;

        (void)state;
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_LENGTH, .length = 5 });
        assert_null(read_all(&r, STR("abcdeGET"), 100, &body, &rest));
        assert_true(http_body_is_done(&r));
        assert_string_equal(buf_c(&body), "abcde");
        assert_int_equal(rest, 3);
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_LENGTH, .length = 5 });
        assert_null(read_all(&r, STR("abcd"), 1, &body, &rest));
        assert_code(http_body_end(&r), ERROR_INVALID_ARGUMENT);
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_LENGTH });
        assert_true(http_body_is_done(&r));
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_NONE });
        assert_true(http_body_is_done(&r));
        http_body_start(&r, (struct http_framing){ .kind = HTTP_BODY_UNTIL_CLOSE });
        assert_null(read_all(&r, STR("fg"), 1, &body, &rest));
        assert_false(http_body_is_done(&r));
        assert_null(http_body_end(&r));
        assert_true(http_body_is_done(&r));
        assert_string_equal(buf_c(&body), "abcdeabcdfg");
}

static void bodies_are_written_as_they_are_read(void **state)
{
        AUTO(buf) out = BUF_MAX(64 * KiB);
        AUTO(http_fields) trailers = { 0 };

        (void)state;
        assert_null(http_fields_add(&trailers, STR("X"), STR("y")));
        http_body_put(&out, HTTP_BODY_CHUNKED, STR("0123456789abcdef"));
        http_body_put_end(&out, HTTP_BODY_CHUNKED, &trailers);
        http_body_put_end(&out, HTTP_BODY_CHUNKED, NULL);
        http_body_put(&out, HTTP_BODY_LENGTH, STR("abc"));
        http_body_put_end(&out, HTTP_BODY_LENGTH, &trailers);
        assert_string_equal(buf_c(&out), "10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n0\r\n\r\nabc");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(chunks_are_read_strictly),
                cmocka_unit_test(extensions_and_trailers_have_a_longest_length),
                cmocka_unit_test(a_length_ends_a_body_exactly),
                cmocka_unit_test(bodies_are_written_as_they_are_read),
        };

        return cmocka_run_group_tests_name("http_body", tests, NULL, NULL);
}
