/* SPDX-License-Identifier: Apache-2.0 */
#include "api/child_message.h"

#include <stdlib.h>

#include "base/error_testing.h"
#include "base/mem.h"

static struct buf message(const struct child_message *m)
{
        struct buf out = BUF_MAX(CHILD_MESSAGE_MAX);

        child_message_put(&out, m);
        assert_null(buf_finish(&out, "message"));
        return out;
}

static void reads_the_messages_it_writes(void **state)
{
        const struct child_message m = { CHILD_SENT_HELPER_CHECK, -7, "connection", "text", NULL };
        AUTO(buf) packet = message(&m);
        struct child_message read;

        (void)state;
        assert_null(child_message_parse(buf_str(&packet), &read));
        assert_int_equal(read.kind, CHILD_SENT_HELPER_CHECK);
        assert_int_equal(read.number, -7);
        assert_string_equal(read.name, "connection");
        assert_string_equal(read.text, "text");
        assert_string_equal(read.hint, "");
}

static void cuts_text_that_is_too_long(void **state)
{
        AUTO_MEM char *longest = mem_alloc(20 * KiB);
        struct child_message read;

        (void)state;
        memset(longest, 'x', 20 * KiB - 1);
        longest[20 * KiB - 1] = '\0';
        AUTO(buf) packet = message(&(struct child_message){ CHILD_SENT_FATAL, 0, longest, longest, longest });
        assert_int_equal(packet.len, CHILD_MESSAGE_MAX);
        assert_null(child_message_parse(buf_str(&packet), &read));
        assert_int_equal(strlen(read.name), CHILD_MESSAGE_NAME);
        assert_int_equal(strlen(read.text), CHILD_MESSAGE_TEXT);
        assert_int_equal(strlen(read.hint), CHILD_MESSAGE_HINT);
}

static void assert_malformed(struct str packet)
{
        struct child_message read;

        assert_code(child_message_parse(packet, &read), ERROR_INVALID_ARGUMENT);
}

static void refuses_every_prefix_and_every_extension_of_a_message(void **state)
{
        AUTO(buf) packet = message(&(struct child_message){ CHILD_SENT_SSHD_START, 0, "name", "text", "hint" });

        (void)state;
        for (size_t len = 0; len < packet.len; len++)
                assert_malformed(str_of_bytes(packet.ptr, len));
        AUTO(buf) more = BUF_MAX(CHILD_MESSAGE_MAX);
        buf_put(&more, buf_str(&packet));
        buf_put(&more, STR("x"));
        assert_malformed(buf_str(&more));
}

static void refuses_each_of_the_table(void **state)
{
        /* bytes that replace those at an offset of a valid message: kind 4, name "name" */
        static const struct {
                size_t offset;
                char byte;
        } table[] = {
                { 0, 0 },           { 0, CHILD_MESSAGE_KINDS }, { 0, (char)0xff }, /* kinds there are not */
                { 1, 3 },           { 1, 5 },                   { 1, (char)0xff }, /* lengths that do not fit */
                { 2, 1 },           { 3, (char)0xff },          { 4, 1 },
                { 5, (char)0xff },  { 6, 1 },                   { 7, 1 },
                { 16, 0 },          { 20, 'x' },                { 21, 'x' },
                { 22, 'x' }, /* texts that end early, or not */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                AUTO(buf) packet = message(&(struct child_message){ CHILD_SENT_SSHD_START, 0, "name", NULL, NULL });

                packet.ptr[table[i].offset] = table[i].byte;
                assert_malformed(buf_str(&packet));
        }
}

static void only_common_messages_need_no_right(void **state)
{
        (void)state;
        for (enum child_message_kind kind = CHILD_SENT_READY; kind < CHILD_MESSAGE_KINDS; kind++)
                assert_int_equal(child_message_right(kind) == 0, kind <= CHILD_SENT_RELINK || kind == CHILD_SENT_ALIVE || kind == CHILD_SENT_CONNECTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_messages_it_writes),
                cmocka_unit_test(cuts_text_that_is_too_long),
                cmocka_unit_test(refuses_every_prefix_and_every_extension_of_a_message),
                cmocka_unit_test(refuses_each_of_the_table),
                cmocka_unit_test(only_common_messages_need_no_right),
        };

        return cmocka_run_group_tests_name("child_message", tests, NULL, NULL);
}
