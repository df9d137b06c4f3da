/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cmd/common/flags.h"

static struct error *run_nothing(void *ctx, const struct flags *given)
{
        (void)ctx;
        (void)given;
        return NULL;
}

static const char *const formats[] = { "text", "json", NULL };
static const char *const add_aliases[] = { "tokens new", NULL };

static const struct flag add_flags[] = {
        { "type", 't', FLAG_LIST, .value = "ROLES", .is_required = true, .help = "Roles it gives" },
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = formats, .help = "Output format" },
        { "force", 0, FLAG_SWITCH, .help = "Do it anyway" },
        { NULL },
};

static const struct argument add_arguments[] = {
        { "name", .is_required = true, .help = "Its name" },
        { "more", .is_repeated = true, .help = "More names" },
        { NULL },
};

static const struct flag run_flags[] = {
        { "option", 'o', FLAG_LIST, .value = "OPTION", .is_whole = true, .help = "As it is" },
        { "tty", 't', FLAG_SWITCH, .help = "With a terminal" },
        { NULL },
};

static const struct argument run_arguments[] = {
        { "where", .is_required = true, .help = "Where to run it" },
        { "command", .is_repeated = true, .help = "What to run" },
        { NULL },
};

static const struct flag program_flags[] = {
        { "debug", 'd', FLAG_SWITCH, .help = "Print debug messages" },
        { "config", 'c', FLAG_TEXT, .value = "FILE", .env = "FLAGS_TEST_CONFIG", .help = "A file" },
        { NULL },
};

static const struct command commands[] = {
        { "tokens add", add_aliases, add_flags, add_arguments, run_nothing, .help = "Add a token" },
        { "status", .run = run_nothing, .help = "Show the cluster" },
        { "run", .flags = run_flags, .arguments = run_arguments, .run = run_nothing, .free_after = 2, .help = "Run a command" },
        { NULL },
};

static const struct foreign_flag foreign[] = {
        { "identity", 'i', "use the profile" },
        { NULL },
};

static const struct foreign_command foreign_commands[] = {
        { "db, tokens lend", "there are none" },
        { NULL },
};

static const struct program program = { .name = "tool", .help = "A tool", .foreign = foreign, .foreign_commands = foreign_commands, .flags = program_flags, .commands = commands };

enum { WORDS_MAX = 16 };

/* Parses a NULL-terminated list of words. */
#define PARSE(...) parse((char *[WORDS_MAX]){ "tool", __VA_ARGS__ })
static struct flags *parse(char **argv)
{
        AUTO(buf) help = BUF_MAX(16 * KiB);
        struct flags *f = NULL;
        int argc = 0;

        while (argv[argc] != NULL)
                argc++;
        struct error *err = flags_parse(&program, argc, argv, &f, &help);
        if (err != NULL)
                error_print(err);
        assert_null(err);
        assert_non_null(f);
        return f;
}

#define PARSE_FAILS(what, hint, ...) parse_fails(what, hint, (char *[WORDS_MAX]){ "tool", __VA_ARGS__ })
static void parse_fails(const char *what, const char *hint, char **argv)
{
        AUTO(buf) help = BUF_MAX(16 * KiB);
        AUTO_PTR(flags) f = NULL;
        int argc = 0;

        while (argv[argc] != NULL)
                argc++;
        AUTO_PTR(error) err = flags_parse(&program, argc, argv, &f, &help);
        assert_non_null(err);
        assert_null(f);
        assert_string_equal(err->what, what);
        if (hint != NULL)
                assert_string_equal(err->hint, hint);
}

static void accepts_values_after_an_equals_sign_and_as_the_next_argument(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("tokens", "add", "--type=node", "--format", "json", "x");

        assert_string_equal(flags_text(f, "format"), "json");
        assert_string_equal(flags_list(f, "type")[0], "node");
        assert_string_equal(flags_argument(f, 0), "x");
        assert_null(flags_argument(f, 1));
}

static void takes_short_forms_alone_together_and_with_their_value(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("tokens", "add", "-dfjson", "-t", "node", "-c=here", "x");

        assert_true(flags_switch(f, "debug"));
        assert_string_equal(flags_text(f, "format"), "json");
        assert_string_equal(flags_text(f, "config"), "here");
}

static void mixes_flags_and_arguments_and_keeps_flags_given_before_the_command(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("-d", "tokens", "--config=a", "add", "x", "--type", "node", "y", "z");

        assert_true(flags_switch(f, "debug"));
        assert_string_equal(flags_text(f, "config"), "a");
        assert_string_equal(flags_argument(f, 2), "z");
}

static void cuts_lists_at_commas_outside_of_quotes(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("tokens", "add", "x", "--type=a,b=\"c,d\"", "--type", "e");
        const char *const *items = flags_list(f, "type");

        assert_string_equal(items[0], "a");
        assert_string_equal(items[1], "b=\"c,d\"");
        assert_string_equal(items[2], "e");
        assert_null(items[3]);
}

static void leaves_values_whole_where_commas_mean_something_else(void **state)
{
        AUTO_PTR(flags) f = PARSE("run", "-o", "Ciphers=a,b", "-o ", "here");

        (void)state;
        assert_string_equal(flags_list(f, "option")[0], "Ciphers=a,b");
        assert_string_equal(flags_list(f, "option")[1], " ");
        assert_null(flags_list(f, "option")[2]);
}

static void leaves_a_command_its_own_flags(void **state)
{
        AUTO_PTR(flags) f = PARSE("run", "here", "-t", "ls", "-t", "--", "--help", "-x");
        const char *const words[] = { "here", "ls", "-t", "--", "--help", "-x" };

        (void)state;
        assert_true(flags_switch(f, "tty"));
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                assert_string_equal(flags_argument(f, i), words[i]);
        assert_null(flags_argument(f, ARRAY_LEN(words)));
}

static void takes_switches_back_with_no(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("status", "--debug", "--no-debug");

        assert_false(flags_switch(f, "debug"));
        assert_true(flags_given(f, "debug"));
}

static void two_dashes_end_flags_one_is_an_argument(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("tokens", "add", "-t", "a", "-", "--", "--force");

        assert_string_equal(flags_argument(f, 0), "-");
        assert_string_equal(flags_argument(f, 1), "--force");
        assert_false(flags_switch(f, "force"));
}

static void prefers_the_flag_then_the_environment_then_the_fallback(void **state)
{
        (void)state;
        setenv("FLAGS_TEST_CONFIG", "from-env", 1);
        AUTO_PTR(flags) from_env = PARSE("status");
        AUTO_PTR(flags) from_flag = PARSE("status", "-c", "from-flag");
        unsetenv("FLAGS_TEST_CONFIG");
        AUTO_PTR(flags) from_nowhere = PARSE("status");
        AUTO_PTR(flags) fallback = PARSE("tokens", "add", "-t", "a", "x");

        assert_string_equal(flags_text(from_env, "config"), "from-env");
        assert_false(flags_given(from_env, "config"));
        assert_string_equal(flags_text(from_flag, "config"), "from-flag");
        assert_null(flags_text(from_nowhere, "config"));
        assert_string_equal(flags_text(fallback, "format"), "text");
}

static void finds_commands_by_their_aliases(void **state)
{
        (void)state;
        AUTO_PTR(flags) f = PARSE("tokens", "new", "-t", "a", "x");

        assert_string_equal(flags_command(f)->name, "tokens add");
}

static void refuses_unknown_commands_and_suggests_the_nearest(void **state)
{
        (void)state;
        PARSE_FAILS("unknown command 'statsu'", "did you mean: tool status", "statsu");
        PARSE_FAILS("unknown command 'tokens ad'", "did you mean: tool tokens add", "tokens", "ad");
        PARSE_FAILS("unknown command 'toknes'", "did you mean: tool tokens", "toknes", "add");
        PARSE_FAILS("unknown command 'tokens nwe'", "did you mean: tool tokens new", "tokens", "nwe");
        PARSE_FAILS("unknown command 'stats'", "did you mean: tool status", "stats");
        PARSE_FAILS("unknown command 'nur'", "the commands are listed by: tool help", "nur"); /* half of a word is another word */
        PARSE_FAILS("'tool db' is a command of Teleport that this release does not have", "there are none; the commands are listed by: tool help", "db");
        PARSE_FAILS("'tool tokens lend' is a command of Teleport that this release does not have", NULL, "tokens", "lend");
        PARSE_FAILS("unknown command 'zzzzzz'", "the commands are listed by: tool help", "zzzzzz");
        PARSE_FAILS("--identity is not supported", "use the profile", "tokens", "add", "--identity=x");
        PARSE_FAILS("--identity is not supported", "use the profile", "-i", "x", "tokens", "add");
        PARSE_FAILS("unknown flag '--frmat'", "did you mean: --format", "tokens", "add", "--frmat=x");
        PARSE_FAILS("unknown flag '-x'", NULL, "status", "-x");
        PARSE_FAILS("unknown flag '--no-format'", NULL, "tokens", "add", "--no-format");
        PARSE_FAILS("unknown command '\\x1b[2J'", NULL, "\x1b[2J");
}

static void refuses_incomplete_and_overfull_lines(void **state)
{
        (void)state;
        PARSE_FAILS("a command is missing", NULL, NULL);
        PARSE_FAILS("'tokens' needs a subcommand", "use one of: tool tokens add", "tokens");
        PARSE_FAILS("--type is missing", NULL, "tokens", "add", "x");
        PARSE_FAILS("--format needs a value (FORMAT)", "write --format=FORMAT", "tokens", "add", "--format");
        PARSE_FAILS("the argument <name> is missing", NULL, "tokens", "add", "-t", "a");
        PARSE_FAILS("'status' takes no argument 'x'", NULL, "status", "x");
        PARSE_FAILS("--format cannot be 'xml'", "use one of: text, json", "tokens", "add", "-f", "xml");
}

static void assert_help(char **argv, const char *expected)
{
        AUTO(buf) help = BUF_MAX(16 * KiB);
        AUTO_PTR(flags) f = NULL;
        int argc = 0;

        while (argv[argc] != NULL)
                argc++;
        assert_null(flags_parse(&program, argc, argv, &f, &help));
        assert_null(f);
        assert_string_equal(buf_c(&help), expected);
}

static void prints_help_from_the_rows(void **state)
{
        (void)state;
        assert_help((char *[]){ "tool", "help", NULL },
                    "Usage: tool [<flags>] <command> [<args> ...]\n"
                    "\n"
                    "A tool.\n"
                    "\n"
                    "Flags:\n"
                    "  -d, --debug        Print debug messages\n"
                    "  -c, --config=FILE  A file [env FLAGS_TEST_CONFIG]\n"
                    "\n"
                    "Commands:\n"
                    "  tokens add  Add a token\n"
                    "  status      Show the cluster\n"
                    "  run         Run a command\n"
                    "\n"
                    "More about one of them: tool help <command>\n");
        assert_help((char *[]){ "tool", "tokens", "add", "--help", NULL },
                    "Usage: tool tokens add [<flags>] <name> [<more...>]\n"
                    "\n"
                    "Add a token.\n"
                    "\n"
                    "Flags:\n"
                    "  -t, --type=ROLES     Roles it gives (required)\n"
                    "  -f, --format=FORMAT  Output format (text, json) [text]\n"
                    "      --force          Do it anyway\n"
                    "\n"
                    "Arguments:\n"
                    "  name  Its name\n"
                    "  more  More names\n"
                    "\n"
                    "Flags of every command:\n"
                    "  -d, --debug        Print debug messages\n"
                    "  -c, --config=FILE  A file [env FLAGS_TEST_CONFIG]\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_values_after_an_equals_sign_and_as_the_next_argument),
                cmocka_unit_test(takes_short_forms_alone_together_and_with_their_value),
                cmocka_unit_test(mixes_flags_and_arguments_and_keeps_flags_given_before_the_command),
                cmocka_unit_test(cuts_lists_at_commas_outside_of_quotes),
                cmocka_unit_test(leaves_values_whole_where_commas_mean_something_else),
                cmocka_unit_test(leaves_a_command_its_own_flags),
                cmocka_unit_test(takes_switches_back_with_no),
                cmocka_unit_test(two_dashes_end_flags_one_is_an_argument),
                cmocka_unit_test(prefers_the_flag_then_the_environment_then_the_fallback),
                cmocka_unit_test(finds_commands_by_their_aliases),
                cmocka_unit_test(refuses_unknown_commands_and_suggests_the_nearest),
                cmocka_unit_test(refuses_incomplete_and_overfull_lines),
                cmocka_unit_test(prints_help_from_the_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
