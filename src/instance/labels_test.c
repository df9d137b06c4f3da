/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/labels.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "rpc/pb.h"

enum { COMMANDS_MAX = 4 };

struct fixture {
        struct loop loop;
        struct labels *labels;
        Cteleport__V1__SSHConfig config;
        Cteleport__V1__Config whole;
        Cteleport__V1__CommandLabelConfig rows[COMMANDS_MAX], *pointers[COMMANDS_MAX];
        char *words[COMMANDS_MAX][3];
        size_t changes, enough;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        assert_null(loop_init(&f->loop, NULL));
        cteleport__v1__sshconfig__init(&f->config);
        cteleport__v1__config__init(&f->whole);
        f->whole.ssh_service = &f->config;
        f->config.commands = f->pointers;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        labels_free(f->labels);
        loop_run(&f->loop); /* until the programs have ended */
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void given(struct fixture *f, const char *name, const char *script)
{
        size_t n = f->config.n_commands++;

        cteleport__v1__command_label_config__init(&f->rows[n]);
        f->rows[n].name = pb_text(name);
        f->words[n][0] = pb_text("/bin/sh");
        f->words[n][1] = pb_text("-c");
        f->words[n][2] = pb_text(script);
        f->rows[n].command = f->words[n];
        f->rows[n].n_command = 3;
        f->pointers[n] = &f->rows[n];
}

static void on_changed(void *ctx, const struct label_result *label)
{
        struct fixture *f = ctx;

        assert_non_null(label->result);
        if (++f->changes >= f->enough)
                loop_stop(&f->loop);
}

/* Until this number of values was received. */
static void run(struct fixture *f, size_t enough)
{
        f->enough = enough;
        f->labels = labels_new(&f->loop, &f->whole, on_changed, f);
        loop_run(&f->loop);
}

static void assert_label(const struct fixture *f, const char *name, const char *expected)
{
        const struct label_result *list;
        size_t count = labels_list(f->labels, &list);

        for (size_t i = 0; i < count; i++) {
                if (strcmp(list[i].name, name) != 0)
                        continue;
                assert_string_equal(list[i].result, expected);
                return;
        }
        fail_msg("no value for %s", name);
}

static void takes_the_output_of_a_command(void **state)
{
        struct fixture *f = *state;

        given(f, "kernel", "echo '  6.1.0  '");
        given(f, "failed", "echo broken; exit 3");
        given(f, "silent", "exit 1");
        given(f, "missing", "");
        f->words[3][0] = pb_text("/no/such");
        run(f, 4);
        assert_label(f, "kernel", "6.1.0");
        assert_label(f, "failed", "it ended with status 3; output: broken");
        assert_label(f, "silent", "it ended with status 1");
        assert_label(f, "missing", "it cannot be started: no such file or directory");
}

static void passes_a_command_no_environment_of_the_agent(void **state)
{
        struct fixture *f = *state;

        setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
        setenv("TELEPORT_CONFIG", "secret", 1);
        given(f, "environment", "env | grep -c -E 'AWS|TELEPORT|secret' || true");
        given(f, "where", "pwd");
        run(f, 2);
        assert_label(f, "environment", "0");
        assert_label(f, "where", "/");
}

static void keeps_a_bounded_length_and_no_control_characters(void **state)
{
        struct fixture *f = *state;
        const struct label_result *list;

        given(f, "long", "head -c 100000 /dev/zero | tr '\\0' x");
        given(f, "rude", "printf '\\033[2Jx\\n'");
        run(f, 2);
        assert_label(f, "rude", "\\x1b[2Jx");
        size_t count = labels_list(f->labels, &list);
        for (size_t i = 0; i < count; i++)
                assert_in_range(strlen(list[i].result), 1, LIMIT_LABEL_VALUE + 8);
}

static void ends_a_command_that_is_still_running(void **state)
{
        struct fixture *f = *state;

        given(f, "quick", "echo 1");
        given(f, "slow", "sleep 600 & sleep 600");
        run(f, 1);
        assert_label(f, "quick", "1"); /* and the end of this test does not wait for the other */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(takes_the_output_of_a_command),
                TEST(passes_a_command_no_environment_of_the_agent),
                TEST(keeps_a_bounded_length_and_no_control_characters),
                TEST(ends_a_command_that_is_still_running),
        };

        return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
