/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/node_filter.h"

/* web-1 with env=prod, motto="hello, world" and, from a command, load=high. */
static Cteleport__V1__Node *given_node(void)
{
        static Cteleport__V1__Node node;
        static Cteleport__V1__NodeSpec spec;
        static Cteleport__V1__Metadata metadata;
        static Cteleport__V1__Metadata__LabelsEntry env, motto, *labels[] = { &env, &motto };
        static Cteleport__V1__CommandLabelState high;
        static Cteleport__V1__NodeSpec__CmdLabelsEntry load, *commands[] = { &load };

        cteleport__v1__node__init(&node);
        cteleport__v1__node_spec__init(&spec);
        cteleport__v1__metadata__init(&metadata);
        cteleport__v1__metadata__labels_entry__init(&env);
        cteleport__v1__metadata__labels_entry__init(&motto);
        cteleport__v1__command_label_state__init(&high);
        cteleport__v1__node_spec__cmd_labels_entry__init(&load);
        env.key = "env";
        env.value = "prod";
        motto.key = "motto";
        motto.value = "hello, world";
        load.key = "load";
        load.value = &high;
        high.result = "high";
        metadata.name = "12345678-1234-4234-8234-123456789abc";
        metadata.labels = labels;
        metadata.n_labels = ARRAY_LEN(labels);
        spec.hostname = "web-1";
        spec.addr = "10.0.0.1:3022";
        spec.cmd_labels = commands;
        spec.n_cmd_labels = ARRAY_LEN(commands);
        node.metadata = &metadata;
        node.spec = &spec;
        return &node;
}

static const struct {
        const char *labels;
        bool matches;
} rows[] = {
        { "", true },
        { "env=prod", true },
        { "env='prod'", true },
        { "env=prod,load=high", true },
        { " env = prod , load = high ", true },
        { "motto=\"hello, world\"", true },
        { "\"motto\"='hello, world',env=prod", true },
        { "env=staging", false },
        { "env=prod,load=low", false },
        { "env=pro", false },
        { "ENV=prod", false },
        { "missing=", false },
};

static void needs_all_labels_exactly(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                struct node_filter f = { 0 };

                assert_null(node_filter_add_labels(&f, a, str_of(rows[i].labels)));
                if (node_filter_matches(&f, given_node(), a) != rows[i].matches)
                        fail_msg("%s is answered wrongly", rows[i].labels);
        }
}

static void refuses_an_invalid_label(void **state)
{
        const char *const wrong[] = { "env", "=prod", "env=prod,team", "env='prod", "\"env=prod", "," };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                struct node_filter f = { 0 };
                AUTO_PTR(error) err = node_filter_add_labels(&f, a, str_of(wrong[i]));

                if (err == NULL)
                        fail_msg("%s is accepted", wrong[i]);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
        }
}

static void needs_words_and_query_too(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const char *const words[] = { "WEB", "prod", NULL }, *const missing[] = { "web", "db", NULL };
        struct node_filter f = { .words = words };

        (void)state;
        assert_true(node_filter_matches(&f, given_node(), a));
        assert_null(predicate_compile(a, STR("labels.load == 'high'"), "nodes", &f.predicate));
        assert_true(node_filter_matches(&f, given_node(), a));
        f.words = missing;
        assert_false(node_filter_matches(&f, given_node(), a));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(needs_all_labels_exactly),
                cmocka_unit_test(refuses_an_invalid_label),
                cmocka_unit_test(needs_words_and_query_too),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
