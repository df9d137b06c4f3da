/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

/* Fields 5 to 21 and 23 to 47, which the parser ignores. */
#define A " 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
#define B " 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 "

static const struct {
        const char *name, *text;
        bool is_good;
} cases[] = {
        { "plain", "7 (sshd) S 42" A "900" B "1000 2000 50 51 52\n", true },
        { "a name like the fields behind it", "7 (x) S 1 (y) S 42" A "900" B "1000 2000 50\n", true },
        { "a name with lines", "7 (a\nb) ) S 42" A "900" B "1000 2000\n", true },
        { "nothing", "", false },
        { "no name", "7 sshd S 42" A "900" B "1000 2000\n", false },
        { "cut behind the name", "7 (sshd)", false },
        { "cut behind the parent", "7 (sshd) S 42", false },
        { "cut behind the start", "7 (sshd) S 42" A "900", false },
        { "a parent below zero", "7 (sshd) S -1" A "900" B "1000 2000\n", false },
        { "a parent that is no process", "7 (sshd) S 4294967338" A "900" B "1000 2000\n", false },
        { "a start that is no number", "7 (sshd) S 42" A "9x" B "1000 2000\n", false },
        { "a start past all numbers", "7 (sshd) S 42" A "99999999999999999999999" B "1000 2000\n", false },
        { "two blanks", "7 (sshd) S  42" A "900" B "1000 2000\n", false },
};

static void reads_the_fields_behind_any_name(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct process_stat s;
                bool is_good = process_stat_parse(str_of(cases[i].text), &s);

                if (is_good != cases[i].is_good || (is_good && (s.parent != 42 || s.started != 900 || s.arguments != 1000 || s.arguments_end != 2000)))
                        fail_msg("%s", cases[i].name);
        }
}

static void reads_this_process(void **state)
{
        struct process_stat self, same;

        (void)state;
        prctl(PR_SET_NAME, ") S 1 (");
        assert_true(process_stat_read(0, &self));
        assert_true(process_stat_read(getpid(), &same));
        assert_int_equal(self.parent, getppid());
        assert_true(self.started > 0 && self.started == same.started);
        assert_true(self.arguments > 0 && self.arguments_end > self.arguments);
        assert_false(process_stat_read(INT32_MAX, &self));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_fields_behind_any_name),
                cmocka_unit_test(reads_this_process),
        };

        return cmocka_run_group_tests_name("process_stat", tests, NULL, NULL);
}
