/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/der.h"

#include "base/text.h"
#include "pki/pki_testing.h"

static void assert_hex(struct buf *b, const char *hex)
{
        AUTO(buf) got = BUF_MAX(64 * KiB);

        assert_done(buf_finish(b, "the element"));
        hex_encode(&got, buf_str(b));
        assert_str(buf_str(&got), hex);
        buf_clear(b);
}

static void writes_values_in_their_one_form(void **state)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);
        struct der d = der_over(&out);

        (void)state;
        der_put_bool(&d, true);
        assert_hex(&out, "0101ff");
        der_put_unsigned(&d, STR(""));
        assert_hex(&out, "020100");
        der_put_unsigned(&d, STR("\0\0\x7f"));
        assert_hex(&out, "02017f");
        der_put_unsigned(&d, STR("\x80"));
        assert_hex(&out, "02020080");
        der_put_small(&d, 2);
        assert_hex(&out, "020102");
        der_put_bits(&d, STR("\xab"));
        assert_hex(&out, "030200ab");
        der_put_named_bits(&d, 0x80);
        assert_hex(&out, "03020780");
        der_put_named_bits(&d, 0x06);
        assert_hex(&out, "03020106");
        der_put_oid(&d, OID(1, 2, 840, 113549, 1, 1, 11)); /* X.690 section 8.19 by way of RFC 8017 */
        assert_hex(&out, "06092a864886f70d01010b");
        der_put_oid(&d, OID(2, 999, 3)); /* the example of X.690 section 8.19.5 */
        assert_hex(&out, "0603883703");
}

static void writes_lengths_in_their_shortest_form(void **state)
{
        static const struct {
                size_t len;
                const char *head;
        } cases[] = {
                { 0, "0400" },       { 127, "047f" },       { 128, "048180" },       { 255, "0481ff" },
                { 256, "04820100" }, { 65535, "0482ffff" }, { 65536, "0483010000" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) contents = BUF_MAX(128 * KiB);
                AUTO(buf) out = BUF_MAX(128 * KiB);
                AUTO(buf) head = BUF_MAX(16);
                struct der d = der_over(&out);

                if (cases[i].len > 0)
                        memset(buf_extend(&contents, cases[i].len), 'x', cases[i].len);
                der_put(&d, DER_OCTET_STRING, buf_str(&contents));
                hex_encode(&head, str_slice(buf_str(&out), 0, out.len - cases[i].len));
                assert_str(buf_str(&head), cases[i].head);

                struct reader r = reader_over(buf_str(&out));
                assert_true(str_equal(der_get(&r, DER_OCTET_STRING), buf_str(&contents)));
                assert_done(reader_finish(&r, "the element"));
        }
}

static void nests_elements_with_growing_lengths(void **state)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);
        struct der d = der_over(&out);
        char filler[126];

        (void)state;
        memset(filler, 'x', sizeof filler);
        der_begin(&d, DER_SEQUENCE);
        der_begin(&d, DER_SEQUENCE);
        der_put(&d, DER_OCTET_STRING, str_of_bytes(filler, sizeof filler));
        der_end(&d);
        der_put_bool(&d, false);
        der_end(&d);

        struct reader r = reader_over(buf_str(&out));
        struct reader outer = der_enter(&r, DER_SEQUENCE);
        struct reader inner = der_enter(&outer, DER_SEQUENCE);
        assert_int_equal(der_get(&inner, DER_OCTET_STRING).len, sizeof filler);
        der_leave(&outer, &inner);
        assert_true(str_equal(der_get(&outer, DER_BOOLEAN), STR("\0")));
        der_leave(&r, &outer);
        assert_done(reader_finish(&r, "the element"));
}

static void writes_times_as_rfc_5280_wants_them(void **state)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);
        struct der d = der_over(&out);

        (void)state;
        der_put_time(&d, walltime_of_unix(0));
        assert_str(str_slice(buf_str(&out), 0, out.len), "\x17\x0d"
                                                         "700101000000Z");
        buf_clear(&out);
        der_put_time(&d, walltime_of_unix(2524607999)); /* the last second of 2049 */
        assert_str(buf_str(&out), "\x17\x0d"
                                  "491231235959Z");
        buf_clear(&out);
        der_put_time(&d, walltime_of_unix(2524608000));
        assert_str(buf_str(&out), "\x18\x0f"
                                  "20500101000000Z");
}

static void reports_an_overflow_once_at_the_end(void **state)
{
        AUTO(buf) out = BUF_MAX(64);
        struct der d = der_over(&out);
        char filler[100] = { 0 };

        (void)state;
        der_begin(&d, DER_SEQUENCE);
        der_put(&d, DER_OCTET_STRING, str_of_bytes(filler, sizeof filler));
        der_end(&d);
        assert_refused(buf_finish(&out, "the element"), ERROR_RESOURCE_EXHAUSTED, "the element");
}

/* Encodings that a reader of the row's kind must refuse: forms of BER that DER does not have, and truncated ones. */
static void refuses_invalid_der(void **state)
{
        static const struct {
                const char *name, *hex;
                enum { OCTETS, NUMBER, BITS } kind;
        } cases[] = {
                { "nothing", "", OCTETS },
                { "another tag", "020101", OCTETS },
                { "no length", "04", OCTETS },
                { "contents cut short", "0402aa", OCTETS },
                { "indefinite length", "0480aa0000", OCTETS },
                { "long form of a short length", "048101aa", OCTETS },
                { "leading zero in a length", "04820080", OCTETS },
                { "length of four bytes", "048401000000", OCTETS },
                { "bytes behind", "0401aabb", OCTETS },
                { "empty number", "0200", NUMBER },
                { "negative number", "020180", NUMBER },
                { "number with a zero too many", "0202007f", NUMBER },
                { "empty bit string", "0300", BITS },
                { "bit string of seven bits", "030201fe", BITS },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) bytes = BUF_MAX(64);

                assert_done(hex_decode(&bytes, str_of(cases[i].hex)));
                struct reader r = reader_over(buf_str(&bytes));
                if (cases[i].kind == OCTETS)
                        der_get(&r, DER_OCTET_STRING);
                else if (cases[i].kind == NUMBER)
                        der_get_unsigned(&r);
                else
                        der_get_bits(&r);
                struct error *err = reader_finish(&r, "it");
                if (err == NULL)
                        print_error("accepted: %s\n", cases[i].name);
                assert_refused(err, ERROR_INVALID_ARGUMENT, "it is malformed");
        }
}

static void carries_a_fault_from_the_inside_out(void **state)
{
        (void)state;
        struct reader r = reader_over(STR("\x30\x03\x02\x01\x80"));
        struct reader inner = der_enter(&r, DER_SEQUENCE);
        der_get_unsigned(&inner);
        der_leave(&r, &inner);
        assert_refused(reader_finish(&r, "it"), ERROR_INVALID_ARGUMENT, "negative");

        r = reader_over(STR("\x30\x03\x02\x01\x01"));
        inner = der_enter(&r, DER_SEQUENCE);
        der_leave(&r, &inner);
        assert_refused(reader_finish(&r, "it"), ERROR_INVALID_ARGUMENT, "longer than its content");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_values_in_their_one_form),
                cmocka_unit_test(writes_lengths_in_their_shortest_form),
                cmocka_unit_test(nests_elements_with_growing_lengths),
                cmocka_unit_test(writes_times_as_rfc_5280_wants_them),
                cmocka_unit_test(reports_an_overflow_once_at_the_end),
                cmocka_unit_test(refuses_invalid_der),
                cmocka_unit_test(carries_a_fault_from_the_inside_out),
        };

        return cmocka_run_group_tests_name("der", tests, NULL, NULL);
}
