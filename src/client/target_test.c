/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/error_testing.h"
#include "client/target.h"

#define CLUSTER "example.com"

static const struct {
        const char *text, *login, *node, *labels;
} good[] = {
        { "web-1", NULL, "web-1", NULL },
        { "root@web-1", "root", "web-1", NULL },
        { "root@web-1.example.com", "root", "web-1", NULL },
        { "root@web-1.lan.example.com", "root", "web-1.lan", NULL },
        { "Web-9", NULL, "web-9", NULL },
        { "root@WEB-9.Example.COM.", "root", "web-9", NULL },
        { "web-9.", NULL, "web-9", NULL },
        { "ABCDEFAB-1234-4234-8234-123456789ABC", NULL, "abcdefab-1234-4234-8234-123456789abc", NULL },
        { "web-1.other.com", NULL, "web-1.other.com", NULL },
        { "_apt@12345678-1234-4234-8234-123456789abc", "_apt", "12345678-1234-4234-8234-123456789abc", NULL },
        { "10.0.0.1", NULL, "10.0.0.1", NULL },
        { "root@env=prod", "root", NULL, "env=prod" },
        { "env=prod,team=db", NULL, NULL, "env=prod,team=db" },
        { "owner=alice@example.com", NULL, NULL, "owner=alice@example.com" },
};

static void assert_text(const char *got, const char *expected)
{
        if (expected == NULL)
                assert_null(got);
        else
                assert_string_equal(got, expected);
}

static void reads_names_ids_and_labels(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                AUTO_PTR(arena) a = arena_new(16 * KiB);
                struct target t;

                assert_null(target_parse(a, str_of(good[i].text), CLUSTER, &t));
                assert_text(t.login, good[i].login);
                assert_text(t.node, good[i].node);
                assert_text(t.labels, good[i].labels);
        }
}

/* Names that a shell, ssh or a terminal would misinterpret. */
static const char *const hostile[] = {
        "", "@", "root@", "@web-1", "-oProxyCommand=x", "root@-oProxyCommand", "root@-oProxyCommand=x", "-v", "--", "root@--", "-l@web-1", "ro ot@web-1",
        "web 1", "root@web 1", " web-1", "web-1 ", "web-1\n", "web\n-1", "web-1\r", "\x1b[2Jweb-1", "web'1", "web\"1", "web`id`",
        "$(id)", "web$HOME", "web;id", "web|id", "web&id", "web>x", "web<x", "web(1)", "web*", "web?", "web[1]", "web{1}", "~root",
        "web\\1", "web!1", "web#1", "web%h", "%h", "web:22", "web/1", "../web", "ro@ot@x@web-1", "ro'ot@web-1", "$(id)@web-1",
        "-root@web-1", "root;id@web-1", "web..1", ".example.com", "w\xc3\xa9z", "web\xff", "web\t1",
};

static void refuses_ambiguous_targets(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
                AUTO_PTR(arena) a = arena_new(16 * KiB);
                struct target t;
                AUTO_PTR(error) err = target_parse(a, str_of(hostile[i]), CLUSTER, &t);
                AUTO_PTR(error) err_too = target_parse_address(a, str_of(hostile[i]), CLUSTER, &t);

                if (err == NULL || (err_too == NULL && strcmp(hostile[i], "web:22") != 0))
                        fail_msg("'%s' is accepted", hostile[i]);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                /* The refusal itself has no control characters either. */
                for (const char *c = err->what; *c != '\0'; c++)
                        assert_true((unsigned char)*c >= ' ');
        }
}

static void takes_a_port_that_means_nothing_from_ssh(void **state)
{
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        struct target t;

        (void)state;
        assert_null(target_parse_address(a, STR("root@web-1.example.com:3022"), CLUSTER, &t));
        assert_string_equal(t.login, "root");
        assert_string_equal(t.node, "web-1");
        const char *const wrong[] = { "web-1:", "web-1:x", "web-1:70000", "web-1:22:22", "env=prod", "env=prod:22" };
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_failed(target_parse_address(a, str_of(wrong[i]), CLUSTER, &t));
}

static const struct {
        const char *argument, *target, *path; /* target NULL: a file here */
} arguments[] = {
        { "web-1:/srv", "web-1", "/srv" },
        { "root@web-1:", "root@web-1", "" },
        { "root@web-1:a:b", "root@web-1", "a:b" },
        { "file", NULL, NULL },
        { "./web-1:file", NULL, NULL },
        { "/srv/a:b", NULL, NULL },
        { ":file", NULL, NULL },
        { "", NULL, NULL },
        { "scp://web-1/file", "scp", "//web-1/file" },
};

static void separates_files_from_locations_as_scp_does(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
                struct str target, path;
                bool is_remote = target_split_path(str_of(arguments[i].argument), &target, &path);

                assert_int_equal(is_remote, arguments[i].target != NULL);
                if (!is_remote)
                        continue;
                assert_true(str_equal(target, str_of(arguments[i].target)));
                assert_true(str_equal(path, str_of(arguments[i].path)));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_names_ids_and_labels),
                cmocka_unit_test(refuses_ambiguous_targets),
                cmocka_unit_test(takes_a_port_that_means_nothing_from_ssh),
                cmocka_unit_test(separates_files_from_locations_as_scp_does),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
