/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

/* Reads one field of an entry as journald does; false at the end. */
static bool next_field(struct str *rest, struct str *ret_name, struct str *ret_value)
{
        uint64_t len = 0;

        if (str_is_empty(*rest))
                return false;
        *ret_name = str_split(rest, '\n');
        assert_in_range(ret_name->len, 1, JOURNAL_NAME_MAX);
        for (size_t i = 0; i < ret_name->len; i++) {
                char c = ret_name->ptr[i];

                assert_true((c >= 'A' && c <= 'Z') || char_is_digit(c) || (c == '_' && i > 0));
        }
        assert_true(rest->len > 8);
        for (size_t i = 0; i < 8; i++)
                len |= (uint64_t)(uint8_t)rest->ptr[i] << (8 * i);
        assert_true(len < rest->len - 8);
        *ret_value = str_slice(*rest, 8, len);
        assert_int_equal(rest->ptr[8 + len], '\n');
        *rest = str_slice(*rest, 8 + len + 1, rest->len);
        return true;
}

static void assert_field(struct str entry, const char *name, struct str value)
{
        struct str found_name, found;

        while (next_field(&entry, &found_name, &found))
                if (str_equal(found_name, str_of(name))) {
                        if (!str_equal(found, value))
                                fail_msg("%s is '%.*s'", name, STR_ARG(found));
                        return;
                }
        fail_msg("there is no %s", name);
}

static size_t count_of(struct str entry)
{
        struct str name, value;
        size_t count = 0;

        while (next_field(&entry, &name, &value))
                count++;
        return count;
}

struct fixture {
        int there, here, fallback[2];
        char bytes[2 * JOURNAL_ENTRY_MAX];
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
        assert_int_equal(pipe(f->fallback), 0);
        f->here = ends[0];
        f->there = ends[1];
        log_setup((struct log_options){ .level = LOG_INFO, .fd = f->fallback[1] });
        log_component("auth");
        log_to_journal(f->here);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        log_to_journal(-1);
        log_setup((struct log_options){ .level = LOG_INFO, .fd = STDERR_FILENO });
        close(f->here);
        if (f->there >= 0)
                close(f->there);
        close(f->fallback[0]);
        close(f->fallback[1]);
        free(f);
        return 0;
}

static struct str received(struct fixture *f)
{
        ssize_t len = recv(f->there, f->bytes, sizeof(f->bytes), 0);

        assert_true(len > 0);
        return str_of_bytes(f->bytes, (size_t)len);
}

static void an_entry_has_a_field_for_each_key(void **state)
{
        struct fixture *f = *state;

        log_warn("node joined", LOG_C("token_name", "iam-token"), LOG_INT("ms", 17));
        struct str entry = received(f);
        assert_field(entry, "PRIORITY", STR("4"));
        assert_field(entry, "SYSLOG_IDENTIFIER", STR("teleport"));
        assert_field(entry, "CODE_FILE", STR("log_journal_test.c"));
        assert_field(entry, "TELEPORT_COMPONENT", STR("auth"));
        assert_field(entry, "TELEPORT_EVENT", STR("node joined"));
        assert_field(entry, "TELEPORT_TOKEN_NAME", STR("iam-token"));
        assert_field(entry, "TELEPORT_MS", STR("17"));
        assert_int_equal(count_of(entry), 9);
}

static void the_message_is_the_line_without_its_time(void **state)
{
        struct fixture *f = *state;
        struct str name, message;

        log_error("cannot go on", LOG_C("why", "a b"));
        struct str entry = received(f);
        assert_true(next_field(&entry, &name, &message));
        assert_true(str_equal(name, STR("MESSAGE")) && str_starts_with(message, STR("ERRO [AUTH]      cannot go on why:\"a b\" log_journal_test.c:")));
}

static void the_message_of_a_json_log_is_the_object(void **state)
{
        struct fixture *f = *state;
        struct str name, message;

        log_setup((struct log_options){ .level = LOG_INFO, .format = LOG_JSON, .fd = f->fallback[1] });
        log_info("node joined", LOG_C("token_name", "a\nb"));
        struct str entry = received(f);
        assert_field(entry, "TELEPORT_TOKEN_NAME", STR("a\nb"));
        assert_true(next_field(&entry, &name, &message));
        assert_true(str_starts_with(message, STR("{\"timestamp\":")) && str_ends_with(message, STR("\"token_name\":\"a\\nb\"}")));
}

static void values_with_line_feeds_add_no_fields(void **state)
{
        static const struct str hostile[] = {
                STR_INIT("x\nPRIORITY=0\n_UID=0\nMESSAGE=root logged in"), STR_INIT("\n"), STR_INIT(""), STR_INIT("\n\n\0\0\0\0\0\0\0\0\n"),
                STR_INIT("x\nMESSAGE\n\5\0\0\0\0\0\0\0hello\n"), STR_INIT("\xff\xfe\x1b[2J\r"), STR_INIT("="),
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
                log_info("login refused", LOG_STR("login", hostile[i]));
                struct str entry = received(f), name, message;
                assert_field(entry, "TELEPORT_LOGIN", hostile[i]);
                assert_field(entry, "PRIORITY", STR("6"));
                assert_int_equal(count_of(entry), 8);
                assert_true(next_field(&entry, &name, &message) && str_find_char(message, '\n') == message.len);
        }
}

static void long_values_and_names_are_cut(void **state)
{
        struct fixture *f = *state;
        char text[4096], key[200];

        memset(text, 'x', sizeof(text) - 1);
        memset(key, 'k', sizeof(key) - 1);
        text[sizeof(text) - 1] = key[sizeof(key) - 1] = '\0';
        log_info("long", LOG_C(key, text));
        struct str entry = received(f), name = { 0 }, value = { 0 };
        while (next_field(&entry, &name, &value))
                ;
        assert_int_equal(name.len, JOURNAL_NAME_MAX);
        assert_int_equal(value.len, 512);
}

static void names_have_the_characters_of_journald(void **state)
{
        AUTO(buf) entry = BUF_MAX(KiB);
        struct str rest, name, value;

        (void)state;
        journal_put_key(&entry, "a-b.c=d\ne9", STR("v"));
        rest = buf_str(&entry);
        assert_true(next_field(&rest, &name, &value) && str_equal(name, STR("TELEPORT_A_B_C_D_E9")));
}

static void a_line_that_journald_does_not_take_has_its_priority(void **state)
{
        struct fixture *f = *state;
        char line[512];

        close(f->there);
        f->there = -1;
        log_error("cannot go on", LOG_C("why", "x\ny"));
        ssize_t len = read(f->fallback[0], line, sizeof(line) - 1);
        assert_true(len > 0);
        line[len] = '\0';
        if (!str_starts_with(str_of(line), STR("<3>ERRO [AUTH]      cannot go on why:x\\ny log_journal_test.c:")))
                fail_msg("the line is: %s", line);
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_entry_has_a_field_for_each_key, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_message_is_the_line_without_its_time, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_message_of_a_json_log_is_the_object, set_up, tear_down),
                cmocka_unit_test_setup_teardown(values_with_line_feeds_add_no_fields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(long_values_and_names_are_cut, set_up, tear_down),
                cmocka_unit_test(names_have_the_characters_of_journald),
                cmocka_unit_test_setup_teardown(a_line_that_journald_does_not_take_has_its_priority, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("log_journal", tests, NULL, NULL);
}
