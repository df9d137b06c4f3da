/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/command_line.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/error_testing.h"

static void splits_arguments_as_a_shell_does_and_expands_nothing(void **state)
{
        static const struct {
                const char *line;
                const char *words[6]; /* none: refused */
        } cases[] = {
                { "/bin/x", { "/bin/x" } },
                { "  /bin/x \t a\nb ", { "/bin/x", "a", "b" } },
                { "x 'a b' \"c d\"", { "x", "a b", "c d" } },
                { "x a'b c'd", { "x", "ab cd" } },
                { "x '' \"\"", { "x", "", "" } },
                { "x 'a\"b' \"a'b\"", { "x", "a\"b", "a'b" } },
                { "x a\\ b \\'", { "x", "a b", "'" } },
                { "x \"a\\\"b\\\\c\\d\"", { "x", "a\"b\\c\\d" } },
                { "x 'a\\'", { "x", "a\\" } },
                { "x $HOME ~ *.c `id` $(id) ; | & > # y", { 0 } }, /* compared below */
                { "x 'a", { 0 } },
                { "x \"a", { 0 } },
                { "x \\", { 0 } },
                { "", { 0 } },
                { " \t ", { 0 } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char **words = NULL;
                AUTO_PTR(error) err = command_words(str_of(cases[i].line), &words);

                print_message("%s\n", cases[i].line);
                if (strstr(cases[i].line, "$HOME") != NULL) {
                        assert_string_equal(words[1], "$HOME");
                        assert_string_equal(words[3], "*.c");
                        assert_string_equal(words[6], ";");
                } else {
                        assert_int_equal(err == NULL, cases[i].words[0] != NULL);
                        for (size_t k = 0; err == NULL && k < ARRAY_LEN(cases[i].words); k++) {
                                if (cases[i].words[k] == NULL) {
                                        assert_null(words[k]);
                                        break;
                                }
                                assert_string_equal(words[k], cases[i].words[k]);
                        }
                }
                command_words_free(words);
        }
}

static void limits_the_number_of_arguments(void **state)
{
        AUTO(buf) line = BUF_MAX(4 * KiB);
        char **words;

        (void)state;
        for (int i = 0; i <= COMMAND_WORDS_MAX; i++)
                buf_put_c(&line, "x ");
        assert_code(command_words(buf_str(&line), &words), ERROR_INVALID_ARGUMENT);
        assert_code(command_words(STR("a\0b"), &words), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(splits_arguments_as_a_shell_does_and_expands_nothing),
                cmocka_unit_test(limits_the_number_of_arguments),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
