/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define CASE(bytes) STR_INIT(bytes)

/* The source as text, "-" when the header has none. */
static void source_text(const struct proxy_header *h, char ret[IP_PORT_TEXT_MAX])
{
        snprintf(ret, IP_PORT_TEXT_MAX, "-");
        if (h->has_source)
                ip_text_with_port(&h->source, h->source_port, ret);
}

/* Each header is followed by bytes of the connection. */
static void returns_the_source_of_a_header(void **state)
{
        static const struct {
                const char *name, *source;
                struct str header;
        } rows[] = {
                { "TCP4", "203.0.113.7:56324", CASE("PROXY TCP4 203.0.113.7 192.168.0.11 56324 443\r\n") },
                { "the longest TCP4", "255.255.255.255:65535", CASE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") },
                { "ports of zero", "1.2.3.4:0", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n") },
                { "TCP6", "[2001:db8::7]:1", CASE("PROXY TCP6 2001:DB8::7 ::1 1 65535\r\n") },
                { "the longest TCP6", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                  CASE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n") },
                { "IPv4 in TCP6", "203.0.113.7:1", CASE("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:1.2.3.4 1 2\r\n") },
                { "UNKNOWN", "-", CASE("PROXY UNKNOWN\r\n") },
                { "UNKNOWN with addresses", "-", CASE("PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n") },
                { "UNKNOWN of 107 bytes", "-",
                  CASE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n") },
                { "v2 TCP over IPv4", "203.0.113.7:258", CASE(V2 "\x21\x11\x00\x0c\xcb\x00\x71\x07\x01\x02\x03\x04\x01\x02\x03\x04") },
                { "v2 TCP over IPv6", "[2001:db8::7]:258",
                  CASE(V2 "\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
                          "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x01\x02\x03\x04") },
                { "v2 with TLVs", "203.0.113.7:1",
                  CASE(V2 "\x21\x11\x00\x17\xcb\x00\x71\x07\x01\x02\x03\x04\x00\x01\x00\x02" "\x04\x00\x00" "\xea\x00\x05vpc-1") },
                { "v2 with a checksum", "203.0.113.7:1",
                  CASE(V2 "\x21\x11\x00\x13\xcb\x00\x71\x07\x01\x02\x03\x04\x00\x01\x00\x02" "\x03\x00\x04\xf7\x2f\x1b\x94") },
                { "v2 LOCAL", "-", CASE(V2 "\x20\x00\x00\x00") },
                { "v2 LOCAL with a block", "-", CASE(V2 "\x20\xff\x00\x03\x03\xff\xff") },
                { "v2 UNSPEC", "-", CASE(V2 "\x21\x00\x00\x05" "block") },
                { "v2 IPv4 of no transport", "-", CASE(V2 "\x21\x10\x00\x0c\xcb\x00\x71\x07\x01\x02\x03\x04\x00\x01\x00\x02") },
                { "v2 UDP over IPv4", "-", CASE(V2 "\x21\x12\x00\x0c\xcb\x00\x71\x07\x01\x02\x03\x04\x00\x01\x00\x02") },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) bytes = BUF_MAX(LIMIT_PROXY_HEADER);
                enum proxy_header_kind kind;
                struct proxy_header h;
                char source[IP_PORT_TEXT_MAX];

                print_message("          %s\n", rows[i].name);
                buf_put(&bytes, rows[i].header);
                buf_put_c(&bytes, "\x16\x03\x01 and more\r\n");
                for (size_t len = 0; len < rows[i].header.len; len++) {
                        assert_null(proxy_header_parse(str_slice(buf_str(&bytes), 0, len), &h, &kind));
                        assert_int_equal(kind, PROXY_HEADER_PARTIAL);
                }
                assert_null(proxy_header_parse(buf_str(&bytes), &h, &kind));
                assert_int_equal(kind, PROXY_HEADER_WHOLE);
                assert_int_equal(h.size, rows[i].header.len);
                source_text(&h, source);
                assert_string_equal(source, rows[i].source);
        }
}

static void skips_unix_addresses(void **state)
{
        AUTO(buf) bytes = BUF_MAX(LIMIT_PROXY_HEADER);
        enum proxy_header_kind kind;
        struct proxy_header h;

        (void)state;
        buf_put(&bytes, STR(V2 "\x21\x31\x00\xd8"));
        memset(buf_extend(&bytes, 216), 'x', 216);
        assert_null(proxy_header_parse(buf_str(&bytes), &h, &kind));
        assert_int_equal(kind, PROXY_HEADER_WHOLE);
        assert_int_equal(h.size, bytes.len);
        assert_false(h.has_source);
}

static void other_protocols_are_no_header(void **state)
{
        static const struct str rows[] = {
                CASE("\x16\x03\x01\x00\xc4"), CASE("GET / HTTP/1.1\r\n"), CASE("POST / HTTP/1.1\r\n"), CASE("PROPFIND / HTTP/1.1\r\n"),
                CASE("PROXYTCP4"), CASE("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), CASE("SSH-2.0-OpenSSH_9.2\r\n"), CASE("CTP1"),
                CASE("\r\n\r\n\r\n"), CASE("\r\n\r\n\0\r\nQUIT\r\n"), CASE("\0"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                enum proxy_header_kind kind;
                struct proxy_header h;

                assert_null(proxy_header_parse(rows[i], &h, &kind));
                assert_int_equal(kind, PROXY_HEADER_NONE);
        }
}

static void refuses_malformed_headers(void **state)
{
#define LONG "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        static const struct {
                const char *why;
                struct str bytes;
        } rows[] = {
                { "does not end in CR LF", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n") },
                { "does not end in CR LF", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r ") },
                { "does not end in CR LF", CASE("PROXY TCP4 1.2.3.4\n5.6.7.8 1 2\r\n") },
                { "longer than 107 bytes", CASE("PROXY UNKNOWN " LONG) },
                { "longer than 107 bytes", CASE("PROXY UNKNOWN " LONG "\r\n") },
                { "none of TCP4", CASE("PROXY \r\n") },
                { "none of TCP4", CASE("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n") },
                { "none of TCP4", CASE("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n") },
                { "none of TCP4", CASE("PROXY UNKNOWN\t\r\n") },
                { "none of TCP4", CASE("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n") },
                { "two addresses and two ports", CASE("PROXY TCP4\r\n") },
                { "two addresses and two ports", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n") },
                { "two addresses and two ports", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n") },
                { "two addresses and two ports", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n") },
                { "not one of its family", CASE("PROXY TCP4  1.2.3.4 5.6.7.8 2\r\n") },
                { "not one of its family", CASE("PROXY TCP4 ::1 ::1 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP4 1.2.3.4 ::1 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n") },
                { "not one of its family", CASE("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n") },
                { "a port is not", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n") },
                { "a port is not", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n") },
                { "a port is not", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 -0 2\r\n") },
                { "a port is not", CASE("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n") },
                { "a port is not", CASE("PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n") },
                { "version or command", CASE(V2 "\x11") },
                { "version or command", CASE(V2 "\x31\x11\x00\x0c") },
                { "version or command", CASE(V2 "\x22\x11\x00\x0c") },
                { "family or transport", CASE(V2 "\x21\x41") },
                { "family or transport", CASE(V2 "\x21\x13\x00\x0c") },
                { "has 4097 bytes", CASE(V2 "\x20\x00\x0f\xf1") },
                { "has 65551 bytes", CASE(V2 "\x21\x11\xff\xff") },
                { "too short for its addresses", CASE(V2 "\x21\x11\x00\x0b" "xxxxxxxxxxx") },
                { "too short for its addresses", CASE(V2 "\x21\x21\x00\x0c" "xxxxxxxxxxxx") },
                { "too short for its addresses", CASE(V2 "\x21\x31\x00\x00") },
                { "TLVs are longer", CASE(V2 "\x21\x11\x00\x0e" "xxxxxxxxxxxx" "\x04\x00") },
                { "TLVs are longer", CASE(V2 "\x21\x11\x00\x10" "xxxxxxxxxxxx" "\x04\x00\x02x") },
                { "TLVs are longer", CASE(V2 "\x21\x11\x00\x0f" "xxxxxxxxxxxx" "\x04\xff\xff") },
                { "checksum has another form", CASE(V2 "\x21\x11\x00\x12" "xxxxxxxxxxxx" "\x03\x00\x03xxx") },
                { "checksum is wrong", CASE(V2 "\x21\x11\x00\x13\xcb\x00\x71\x07\x01\x02\x03\x04\x00\x01\x00\x02" "\x03\x00\x04\xf7\x2f\x1b\x95") },
                { "checksum is wrong", CASE(V2 "\x21\x11\x00\x13\xcb\x00\x71\x08\x01\x02\x03\x04\x00\x01\x00\x02" "\x03\x00\x04\xf7\x2f\x1b\x94") },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                enum proxy_header_kind kind;
                struct proxy_header h;
                struct error *err = proxy_header_parse(rows[i].bytes, &h, &kind);

                print_message("          %zu %s\n", i, rows[i].why);
                assert_non_null(err);
                assert_int_not_equal(kind, PROXY_HEADER_WHOLE);
                assert_true(str_contains(str_of(err->what), str_of(rows[i].why)));
                error_free(err);
        }
}

static void a_header_may_have_the_most_bytes(void **state)
{
        AUTO(buf) bytes = BUF_MAX(LIMIT_PROXY_HEADER);
        enum proxy_header_kind kind;
        struct proxy_header h;
        size_t tlv = LIMIT_PROXY_HEADER - 16 - 12 - 3;

        (void)state;
        buf_put(&bytes, STR(V2 "\x21\x11"));
        buf_put_u16(&bytes, LIMIT_PROXY_HEADER - 16);
        memset(buf_extend(&bytes, 12), 0, 12);
        buf_put_u8(&bytes, 4);
        buf_put_u16(&bytes, (uint16_t)tlv);
        memset(buf_extend(&bytes, tlv), 'x', tlv);
        assert_null(proxy_header_parse(buf_str(&bytes), &h, &kind));
        assert_int_equal(kind, PROXY_HEADER_WHOLE);
        assert_int_equal(h.size, LIMIT_PROXY_HEADER);
}

/* The check value of CRC-32C, and the examples of RFC 3720 appendix B.4. */
static void computes_crc32c(void **state)
{
        static const char zeros[32];

        (void)state;
        assert_int_equal(proxy_header_crc32c(STR("123456789"), SIZE_MAX), 0xe3069283);
        assert_int_equal(proxy_header_crc32c(str_of_bytes(zeros, sizeof zeros), SIZE_MAX), 0x8a9136aa);
        assert_int_equal(proxy_header_crc32c(str_of_bytes(zeros, sizeof zeros), 5), 0x8a9136aa);
        assert_int_equal(proxy_header_crc32c(STR("1234\0\0\0\0009"), SIZE_MAX), proxy_header_crc32c(STR("123456789"), 4));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(returns_the_source_of_a_header),
                cmocka_unit_test(skips_unix_addresses),
                cmocka_unit_test(other_protocols_are_no_header),
                cmocka_unit_test(refuses_malformed_headers),
                cmocka_unit_test(a_header_may_have_the_most_bytes),
                cmocka_unit_test(computes_crc32c),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
