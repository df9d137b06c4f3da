/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net_testing.h"

#include <stdlib.h>

#include "base/error_testing.h"

/* A ClientHello made of parts, each of which a test may replace. */
struct parts {
        const char *name, *second_name; /* NULL: no extension; in its place raw_name */
        struct str raw_name;
        struct str alpn; /* wire form of the list, with its length; empty: no extension */
        struct str behind; /* bytes after the extensions, inside the message */
        int message_kind, session_id_len, ciphers_len, compression_len;
        bool no_extensions;
};

static const struct parts usual = {
        .name = "proxy.example.com",
        .alpn = STR_INIT("\0\x06\x02h2\x02h3"),
        .message_kind = 1,
        .session_id_len = 32,
        .ciphers_len = 4,
        .compression_len = 1,
};

static void put_zeros(struct buf *b, int len)
{
        while (len-- > 0)
                buf_put_u8(b, 0);
}

static void put_vector16(struct buf *out, struct str s)
{
        buf_put_u16(out, (uint16_t)s.len);
        buf_put(out, s);
}

static void put_extension(struct buf *out, uint16_t kind, struct str data)
{
        buf_put_u16(out, kind);
        put_vector16(out, data);
}

static void put_name(struct buf *out, const char *name)
{
        AUTO(buf) list = BUF_MAX(1 * KiB), data = BUF_MAX(1 * KiB);

        if (name == NULL)
                return;
        buf_put_u8(&list, 0);
        put_vector16(&list, str_of(name));
        put_vector16(&data, buf_str(&list));
        put_extension(out, 0, buf_str(&data));
}

static void put_hello(struct buf *out, const struct parts *p)
{
        AUTO(buf) body = BUF_MAX(16 * KiB), extensions = BUF_MAX(16 * KiB);

        buf_put_u16(&body, 0x0303);
        put_zeros(&body, 32);
        buf_put_u8(&body, (uint8_t)p->session_id_len);
        put_zeros(&body, p->session_id_len);
        buf_put_u16(&body, (uint16_t)p->ciphers_len);
        put_zeros(&body, p->ciphers_len);
        buf_put_u8(&body, (uint8_t)p->compression_len);
        put_zeros(&body, p->compression_len);
        put_extension(&extensions, 0x2a2a, STR("grease"));
        put_name(&extensions, p->name);
        put_name(&extensions, p->second_name);
        if (!str_is_empty(p->raw_name))
                put_extension(&extensions, 0, p->raw_name);
        if (!str_is_empty(p->alpn))
                put_extension(&extensions, 16, p->alpn);
        if (!p->no_extensions)
                put_vector16(&body, buf_str(&extensions));
        buf_put(&body, p->behind);
        buf_put_u8(out, (uint8_t)p->message_kind);
        buf_put_u8(out, 0);
        put_vector16(out, buf_str(&body));
}

/* Into records of `step` bytes. */
static void put_records(struct buf *out, struct str message, size_t step)
{
        while (message.len > 0) {
                buf_put_u8(out, 22);
                buf_put_u16(out, 0x0301);
                put_vector16(out, str_slice(message, 0, step));
                message = str_slice(message, step, message.len);
        }
}

static struct error *parse(const struct parts *p, size_t step, struct client_hello *ret, bool *ret_complete)
{
        AUTO(buf) message = BUF_MAX(32 * KiB), records = BUF_MAX(128 * KiB);

        put_hello(&message, p);
        put_records(&records, buf_str(&message), step);
        return client_hello_parse(buf_str(&records), ret, ret_complete);
}

static void reads_name_and_protocols_from_one_record_or_many(void **state)
{
        static const size_t steps[] = { 16384, 100, 10, 3, 1 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
                struct client_hello hello;
                bool is_complete;

                assert_null(parse(&usual, steps[i], &hello, &is_complete));
                assert_true(is_complete);
                assert_true(str_equal(hello.server_name, STR("proxy.example.com")));
                assert_int_equal(hello.alpn_count, 2);
                assert_true(str_equal(hello.alpn[0], STR("h2")));
                assert_true(str_equal(hello.alpn[1], STR("h3")));
        }
}

static void waits_for_the_rest_at_every_byte(void **state)
{
        AUTO(buf) message = BUF_MAX(32 * KiB), records = BUF_MAX(128 * KiB);
        struct client_hello hello;
        bool is_complete;

        (void)state;
        put_hello(&message, &usual);
        put_records(&records, buf_str(&message), 50);
        for (size_t len = 0; len < records.len; len++) {
                assert_null(client_hello_parse(str_slice(buf_str(&records), 0, len), &hello, &is_complete));
                assert_false(is_complete);
        }
        buf_put_c(&records, "early data, say");
        assert_null(client_hello_parse(buf_str(&records), &hello, &is_complete));
        assert_true(is_complete);
}

static void accepts_hellos_without_optional_parts(void **state)
{
        struct client_hello hello;
        struct parts p = usual;
        bool is_complete;

        (void)state;
        p.name = NULL;
        p.alpn = (struct str){ 0 };
        assert_null(parse(&p, 16384, &hello, &is_complete));
        assert_true(is_complete);
        assert_true(str_is_empty(hello.server_name));
        assert_int_equal(hello.alpn_count, 0);
        p.no_extensions = true;
        p.session_id_len = 0;
        assert_null(parse(&p, 16384, &hello, &is_complete));
        assert_true(is_complete);
}

static void refuses_ambiguous_hellos(void **state)
{
        static const char too_many[] = "\0\x22\1a\1b\1c\1d\1e\1f\1g\1h\1i\1j\1k\1l\1m\1n\1o\1p\1q";
        struct {
                const char *what;
                struct parts parts;
        } rows[] = {
                { "another message", usual },
                { "a long session id", usual },
                { "no cipher", usual },
                { "half a cipher", usual },
                { "no compression method", usual },
                { "bytes behind the extensions", usual },
                { "two names", usual },
                { "a name with a blank", usual },
                { "an empty name", usual },
                { "an address as name", usual },
                { "a name with a NUL", usual },
                { "an empty list of names", usual },
                { "an unknown kind of name", usual },
                { "two names in the list", usual },
                { "bytes behind the list of names", usual },
                { "an empty list of protocols", usual },
                { "an empty protocol", usual },
                { "a protocol that is cut", usual },
                { "bytes behind the list of protocols", usual },
                { "too many protocols", usual },
        };
        struct parts *p[ARRAY_LEN(rows)];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                p[i] = &rows[i].parts;
        p[0]->message_kind = 2;
        p[1]->session_id_len = 33;
        p[2]->ciphers_len = 0;
        p[3]->ciphers_len = 3;
        p[4]->compression_len = 0;
        p[5]->behind = STR("x");
        p[6]->second_name = "other.example.com";
        p[7]->name = "proxy example";
        p[8]->name = "";
        p[9]->name = "10.0.0.1";
        for (int i = 10; i <= 14; i++)
                p[i]->name = NULL;
        p[10]->raw_name = STR("\0\x06\0\0\x03" "a\0b");
        p[11]->raw_name = STR("\0\0");
        p[12]->raw_name = STR("\0\x06\1\0\x03" "abc");
        p[13]->raw_name = STR("\0\x0c\0\0\x03" "abc\0\0\x03" "def");
        p[14]->raw_name = STR("\0\x06\0\0\x03" "abcx");
        p[15]->alpn = STR("\0\0");
        p[16]->alpn = STR("\0\x04\x02h2\0");
        p[17]->alpn = STR("\0\x04\x04h2x");
        p[18]->alpn = STR("\0\x03\x02h2x");
        p[19]->alpn = str_of_bytes(too_many, sizeof too_many - 1);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct client_hello hello;
                bool is_complete;
                struct error *err = parse(p[i], 16384, &hello, &is_complete);

                if (err == NULL)
                        fail_msg("accepts %s", rows[i].what);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_false(is_complete);
                error_free(err);
        }
}

static void refuses_bytes_that_are_no_hello_without_waiting_for_more(void **state)
{
        static const struct {
                const char *what;
                struct str bytes;
        } rows[] = {
                { "HTTP", STR_INIT("G") },
                { "an alert", STR_INIT("\x15\x03\x01") },
                { "SSL 2", STR_INIT("\x80\x2e\x01\x03\x01") },
                { "a strange version", STR_INIT("\x16\x02") },
                { "an empty record", STR_INIT("\x16\x03\x01\0\0") },
                { "a record that is too long", STR_INIT("\x16\x03\x01\x40\x01") },
                { "another message", STR_INIT("\x16\x03\x01\0\1\2") },
                { "a message that is too long", STR_INIT("\x16\x03\x01\0\4\1\0\x40\0") },
                { "another record in between", STR_INIT("\x16\x03\x01\0\4\1\0\0\x40\x17") },
                { "a message that ends inside its record", STR_INIT("\x16\x03\x01\0\6\1\0\0\1\0\0") },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct client_hello hello;
                bool is_complete;
                struct error *err = client_hello_parse(rows[i].bytes, &hello, &is_complete);

                if (err == NULL)
                        fail_msg("accepts %s", rows[i].what);
                error_free(err);
        }
}

static void does_not_wait_beyond_its_limit(void **state)
{
        AUTO(buf) records = BUF_MAX(128 * KiB), message = BUF_MAX(32 * KiB);
        struct client_hello hello;
        bool is_complete;

        (void)state;
        buf_put(&message, STR("\1\0\x3f\xfc"));
        put_zeros(&message, 0x3ffc);
        put_records(&records, buf_str(&message), 64);
        assert_null(client_hello_parse(str_slice(buf_str(&records), 0, CLIENT_HELLO_MAX - 1), &hello, &is_complete));
        assert_false(is_complete);
        assert_failed(client_hello_parse(buf_str(&records), &hello, &is_complete));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_name_and_protocols_from_one_record_or_many),
                cmocka_unit_test(waits_for_the_rest_at_every_byte),
                cmocka_unit_test(accepts_hellos_without_optional_parts),
                cmocka_unit_test(refuses_ambiguous_hellos),
                cmocka_unit_test(refuses_bytes_that_are_no_hello_without_waiting_for_more),
                cmocka_unit_test(does_not_wait_beyond_its_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
