/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#define HELLO "\0\0\0\x08\0\0\0\x01\0\0\0\x04"
#define ALIVE "\0\0\0\x0c\x80\0\0\x05\0\0\0\0\0\0\x12\x34"
#define EXTENDED "\0\0\0\x18\0\0\0\x01\0\0\0\x04\0\0\0\x03" "one" "\0\0\0\x05" "value"
#define BYTES(literal) { literal, sizeof(literal) - 1 }

static const struct {
        const char *name;
        struct str bytes;
        enum mux_answer is;
} cases[] = {
        { "nothing", BYTES(""), MUX_ANSWER_SHORT },
        { "a part of a length", BYTES("\0\0\0"), MUX_ANSWER_SHORT },
        { "hello alone", BYTES(HELLO), MUX_ANSWER_SHORT },
        { "hello and alive", BYTES(HELLO ALIVE), MUX_ANSWER_ALIVE },
        { "an extension", BYTES(EXTENDED ALIVE), MUX_ANSWER_ALIVE },
        { "the alive reply first", BYTES(ALIVE HELLO), MUX_ANSWER_OTHER },
        { "two hellos", BYTES(HELLO HELLO), MUX_ANSWER_OTHER },
        { "version 3", BYTES("\0\0\0\x08\0\0\0\x01\0\0\0\x03"), MUX_ANSWER_OTHER },
        { "version 0x01000004", BYTES("\0\0\0\x08\0\0\0\x01\x01\0\0\x04"), MUX_ANSWER_OTHER },
        { "a packet of nothing", BYTES("\0\0\0\0"), MUX_ANSWER_OTHER },
        { "a packet without a second number", BYTES("\0\0\0\x07\0\0\0\x01\0\0\0"), MUX_ANSWER_OTHER },
        { "a length over the limit", BYTES("\0\0\x10\x01"), MUX_ANSWER_OTHER },
        { "the largest length", BYTES("\xff\xff\xff\xff\0\0\0\x01\0\0\0\x04"), MUX_ANSWER_OTHER },
        { "an extension that is cut", BYTES("\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x01"), MUX_ANSWER_OTHER },
        { "an extension without a value", BYTES("\0\0\0\x0d\0\0\0\x01\0\0\0\x04\0\0\0\x01x"), MUX_ANSWER_OTHER },
        { "an extension longer than its packet", BYTES("\0\0\0\x10\0\0\0\x01\0\0\0\x04\xff\xff\xff\xff\0\0\0\0"), MUX_ANSWER_OTHER },
        { "an answer to another request", BYTES(HELLO "\0\0\0\x0c\x80\0\0\x05\0\0\0\x01\0\0\x12\x34"), MUX_ANSWER_OTHER },
        { "a refusal", BYTES(HELLO "\0\0\0\x0c\x80\0\0\x03\0\0\0\0\0\0\0\0"), MUX_ANSWER_OTHER },
        { "alive without a process", BYTES(HELLO "\0\0\0\x08\x80\0\0\x05\0\0\0\0"), MUX_ANSWER_OTHER },
        { "alive with more than a process", BYTES(HELLO "\0\0\0\x10\x80\0\0\x05\0\0\0\0\0\0\x12\x34\0\0\0\0"), MUX_ANSWER_OTHER },
        { "more than was asked for", BYTES(HELLO ALIVE "\0"), MUX_ANSWER_OTHER },
        { "an SSH server", BYTES("SSH-2.0-x\r\n"), MUX_ANSWER_OTHER },
        { "noise", BYTES("\xff\xfe\xfd\xfc\xfb\xfa"), MUX_ANSWER_OTHER },
};

static void knows_a_master_from_all_else(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                if (mux_answer_read(cases[i].bytes) != cases[i].is)
                        fail_msg("%s: %d", cases[i].name, mux_answer_read(cases[i].bytes));
}

static void takes_extensions_and_any_pieces(void **state)
{
        static const char answer[] = EXTENDED ALIVE;
        size_t len = sizeof answer - 1;

        (void)state;
        for (size_t i = 0; i < len; i++)
                assert_int_equal(mux_answer_read(str_of_bytes(answer, i)), MUX_ANSWER_SHORT);
        assert_int_equal(mux_answer_read(str_of_bytes(answer, len)), MUX_ANSWER_ALIVE);
}

/* A whole answer is never longer than the bytes read. */
static void reads_no_more_than_its_limit(void **state)
{
        AUTO_MEM char *bytes = mem_alloc(MUX_ANSWER_MAX);

        (void)state;
        /* The largest hello: 4096 bytes with an extension that fills them. */
        memset(bytes, 'x', MUX_ANSWER_MAX);
        memcpy(bytes, "\0\0\x0f\xfc\0\0\0\x01\0\0\0\x04\0\0\0\0\0\0\x0f\xec", 20);
        memcpy(bytes + MUX_PACKET_MAX, ALIVE, sizeof ALIVE - 1);
        assert_int_equal(mux_answer_read(str_of_bytes(bytes, MUX_ANSWER_MAX - 1)), MUX_ANSWER_SHORT);
        assert_int_equal(mux_answer_read(str_of_bytes(bytes, MUX_ANSWER_MAX)), MUX_ANSWER_ALIVE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_a_master_from_all_else),
                cmocka_unit_test(takes_extensions_and_any_pieces),
                cmocka_unit_test(reads_no_more_than_its_limit),
        };

        return cmocka_run_group_tests_name("mux_answer", tests, NULL, NULL);
}
