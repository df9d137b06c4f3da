/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/limits.h"
#include "wire_test.pb-c.h"

static const ProtobufCMessageDescriptor *const everything = &cteleport__test__everything__descriptor;

/* Decodes into an arena that is big enough and gives back the code of the refusal, 0 for none. */
static int code_of(struct str bytes)
{
        AUTO_PTR(arena) arena = arena_new(1 * MiB);
        ProtobufCMessage *msg = NULL;
        AUTO_PTR(error) err = wire_decode(arena, everything, bytes, &msg);

        assert_true((err == NULL) == (msg != NULL));
        return err == NULL ? 0 : (int)err->code;
}

struct wire_case {
        const char *name;
        struct str bytes;
};

static const struct wire_case refused[] = {
        { "a tag without a value", STR_INIT("\x08") },
        { "a tag cut short", STR_INIT("\x80") },
        { "a tag of six bytes", STR_INIT("\x88\x80\x80\x80\x80\x00\x01") },
        { "field number zero", STR_INIT("\x00\x01") },
        { "a field number beyond 29 bits", STR_INIT("\x80\x80\x80\x80\x10\x01") },
        { "a varint of eleven bytes", STR_INIT("\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00") },
        { "a varint beyond 64 bits", STR_INIT("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02") },
        { "a length beyond the end", STR_INIT("\x5a\x05\x61\x62") },
        { "a length of nine bytes", STR_INIT("\x5a\xff\xff\xff\xff\xff\xff\xff\xff\x7f") },
        { "a length in a six byte varint", STR_INIT("\x5a\x81\x80\x80\x80\x80\x00" "a") },
        { "the start of a group", STR_INIT("\xa3\x06") },
        { "the end of a group", STR_INIT("\xa4\x06") },
        { "wire type six", STR_INIT("\xa6\x06\x00") },
        { "text as a varint", STR_INIT("\x58\x01") },
        { "a bool as bytes", STR_INIT("\x32\x01\x01") },
        { "a bool as 64 bits", STR_INIT("\x31\x01\x00\x00\x00\x00\x00\x00\x00") },
        { "a bool of two", STR_INIT("\x30\x02") },
        { "a nameless enum value", STR_INIT("\x38\x02") },
        { "an enum beyond 32 bits", STR_INIT("\x38\x81\x80\x80\x80\x10") },
        { "an int32 beyond its range", STR_INIT("\x08\x80\x80\x80\x80\x10") },
        { "a uint32 beyond its range", STR_INIT("\x18\x80\x80\x80\x80\x10") },
        { "a fixed32 cut short", STR_INIT("\x45\x01\x02\x03") },
        { "a fixed64 cut short", STR_INIT("\x49\x01\x02\x03\x04") },
        { "text with a NUL", STR_INIT("\x5a\x03" "a\0b") },
        { "text in Latin-1", STR_INIT("\x5a\x02" "\xe4z") },
        { "a NUL in a list of texts", STR_INIT("\x7a\x01" "\0") },
        { "the same singular text twice", STR_INIT("\x5a\x01" "a" "\x5a\x01" "b") },
        { "the same sub-message twice", STR_INIT("\x6a\x00\x6a\x00") },
        { "both members of a oneof", STR_INIT("\xa2\x01\x01" "a" "\xaa\x01\x00") },
        { "one member of a oneof twice", STR_INIT("\xaa\x01\x00\xaa\x01\x00") },
        { "packed numbers cut short", STR_INIT("\x82\x01\x02\x01\x80") },
        { "a packed number beyond its range", STR_INIT("\x82\x01\x05\x80\x80\x80\x80\x10") },
        { "packed words of six bytes", STR_INIT("\x8a\x01\x06\x01\x02\x03\x04\x05\x06") },
        { "packed bools with a two", STR_INIT("\x92\x01\x02\x01\x02") },
        { "a sub-message longer than its parent", STR_INIT("\x6a\x02\x6a\x05") },
        { "an unknown text beyond the end", STR_INIT("\xa2\x06\x05" "ab") },
        { "an unknown fixed64 cut short", STR_INIT("\xa9\x06\x01\x02") },
};

static void refuses_encodings_that_no_encoder_writes(void **state UNUSED)
{
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
                if (code_of(refused[i].bytes) != ERROR_INVALID_ARGUMENT)
                        fail_msg("accepted: %s", refused[i].name);
}

static const struct wire_case accepted[] = {
        { "nothing", STR_INIT("") },
        { "a negative int32 in ten bytes", STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
        { "the largest uint64", STR_INIT("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
        { "a padded varint", STR_INIT("\x30\x81\x80\x00") },
        { "a length padded to five bytes", STR_INIT("\x5a\x81\x80\x80\x80\x00" "a") },
        { "numbers packed and one by one", STR_INIT("\x82\x01\x02\x01\x02\x80\x01\x03") },
        { "an empty packed list", STR_INIT("\x82\x01\x00") },
        { "a list of sub-messages", STR_INIT("\x72\x00\x72\x00\x72\x02\x30\x01") },
        { "a map", STR_INIT("\xb2\x01\x06\x0a\x01" "k" "\x12\x01" "v") },
        { "an unknown varint", STR_INIT("\xa0\x06\x01") },
        { "bytes with a NUL", STR_INIT("\x62\x02" "\0\0") },
        { "a known enum value", STR_INIT("\x38\x07") },
};

static void accepts_all_that_the_encoding_allows(void **state UNUSED)
{
        for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
                if (code_of(accepted[i].bytes) != 0)
                        fail_msg("refused: %s", accepted[i].name);
}

/* `depth` messages in each other. */
static struct str nested(struct buf *out, unsigned depth)
{
        buf_clear(out);
        for (unsigned i = 1; i < depth; i++) {
                uint8_t inner = (uint8_t)(2 * (depth - i - 1));

                buf_put(out, STR("\x6a"));
                buf_put_u8(out, inner);
        }
        return buf_str(out);
}

static void counts_the_depth_of_nesting(void **state UNUSED)
{
        AUTO(buf) bytes = BUF_MAX(1 * KiB);

        assert_int_equal(code_of(nested(&bytes, LIMIT_RPC_DEPTH)), 0);
        assert_int_equal(code_of(nested(&bytes, LIMIT_RPC_DEPTH + 1)), ERROR_INVALID_ARGUMENT);
}

static void counts_fields_and_list_items(void **state UNUSED)
{
        AUTO(buf) bytes = BUF_MAX(2 * MiB);

        for (int i = 0; i <= LIMIT_RPC_FIELDS; i++)
                buf_put(&bytes, STR("\xa0\x06\x01")); /* unknown ones count too */
        assert_int_equal(code_of(buf_str(&bytes)), ERROR_INVALID_ARGUMENT);
}

static void names_the_field_and_the_message_of_an_error(void **state UNUSED)
{
        AUTO_PTR(arena) arena = arena_new(4 * KiB);
        ProtobufCMessage *msg = NULL;
        AUTO_PTR(error) err = wire_decode(arena, everything, STR("\x6a\x03\x5a\x01\xff"), &msg);

        assert_non_null(err);
        assert_string_equal(err->what, "message Everything has text in field 'text' that is not UTF-8");
}

static void drops_fields_of_a_later_version_at_every_depth(void **state UNUSED)
{
        Cteleport__Test__Later leaf = CTELEPORT__TEST__LATER__INIT;
        Cteleport__Test__Later other = CTELEPORT__TEST__LATER__INIT;
        Cteleport__Test__Later root = CTELEPORT__TEST__LATER__INIT;
        Cteleport__Test__Later *children[] = { &other, &leaf };
        AUTO(buf) bytes = BUF_MAX(4 * KiB);
        AUTO_PTR(arena) arena = arena_new(16 * KiB);
        ProtobufCMessage *msg = NULL;
        char text[301];

        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        leaf.text = "leaf";
        leaf.added = text; /* makes the length of its parents a byte wider than the copy needs */
        other.text = "other";
        other.unknown = &leaf;
        root.child = &other;
        root.children = children;
        root.n_children = ARRAY_LEN(children);
        root.number = 7;
        root.text = "root";
        wire_encode(&bytes, &root.base);

        assert_null(wire_decode(arena, everything, buf_str(&bytes), &msg));
        const Cteleport__Test__Everything *got = (const Cteleport__Test__Everything *)msg;
        assert_int_equal(got->base.n_unknown_fields, 0);
        assert_string_equal(got->text, "root");
        assert_string_equal(got->child->text, "other");
        assert_int_equal(got->child->base.n_unknown_fields, 0);
        assert_int_equal(got->n_children, 2);
        assert_string_equal(got->children[0]->text, "other");
        assert_string_equal(got->children[1]->text, "leaf");
        assert_int_equal(got->children[1]->base.n_unknown_fields, 0);
}

static void reports_a_full_arena(void **state UNUSED)
{
        AUTO(buf) bytes = BUF_MAX(4 * KiB);

        for (int i = 0; i < 1000; i++)
                buf_put(&bytes, STR("\x72\x00")); /* two bytes on the wire, a struct in memory */
        for (size_t cap = 64; cap <= 64 * KiB; cap *= 4) {
                AUTO_PTR(arena) arena = arena_new(cap);
                ProtobufCMessage *msg = NULL;
                AUTO_PTR(error) err = wire_decode(arena, everything, buf_str(&bytes), &msg);

                assert_non_null(err);
                assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
                assert_true(arena_used(arena) <= cap);
        }
}

static void finds_the_only_field_of_a_message(void **state UNUSED)
{
        static const struct {
                struct str bytes;
                unsigned field;
        } cases[] = {
                { STR_INIT("\x0a\x00"), 1 },
                { STR_INIT("\x2a\x02" "ab"), 5 },
                { STR_INIT("\x8a\x00\x02" "ab"), 1 },     /* a padded tag */
                { STR_INIT("\x2a\x82\x00" "ab"), 5 },     /* a padded length */
                { STR_INIT(""), 0 },
                { STR_INIT("\x2a"), 0 },
                { STR_INIT("\x28\x01"), 0 },              /* a number */
                { STR_INIT("\x2a\x03" "ab"), 0 },         /* cut short */
                { STR_INIT("\x2a\x01" "ab"), 0 },         /* something follows */
                { STR_INIT("\x2a\x00\x0a\x00"), 0 },
                { STR_INIT("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0 },
                { STR_INIT("\x82\x80\x80\x80\x80\x80\x80\x80\x02\x00"), 0 }, /* no number of a field */
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                assert_int_equal(wire_only_field(cases[i].bytes), cases[i].field);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refuses_encodings_that_no_encoder_writes),
                cmocka_unit_test(accepts_all_that_the_encoding_allows),
                cmocka_unit_test(counts_the_depth_of_nesting),
                cmocka_unit_test(counts_fields_and_list_items),
                cmocka_unit_test(names_the_field_and_the_message_of_an_error),
                cmocka_unit_test(drops_fields_of_a_later_version_at_every_depth),
                cmocka_unit_test(reports_a_full_arena),
                cmocka_unit_test(finds_the_only_field_of_a_message),
        };

        return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
