/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/trait_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_equal(struct str is, const char *wanted)
{
        if (!str_equal(is, str_of(wanted)))
                fail_msg("'%.*s' instead of '%s'", STR_ARG(is), wanted);
}

static void splits_text_at_its_template(void **state)
{
        static const struct {
                const char *text, *before, *trait, *after;
                bool is_internal;
        } rows[] = {
                { "", "", "", "", false },
                { "plain {text}", "plain {text}", "", "", false },
                { "{{internal.logins}}", "", "logins", "", true },
                { "{{ external.team }}", "", "team", "", false },
                { "a-{{external.x.y}}-b", "a-", "x.y", "-b", false },
                { "{{external.team}} {", "", "team", " {", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct trait_template t;

                assert_true(trait_template_split(str_of(rows[i].text), &t));
                assert_equal(t.before, rows[i].before);
                assert_equal(t.trait, rows[i].trait);
                assert_equal(t.after, rows[i].after);
                assert_int_equal(t.is_internal, rows[i].is_internal);
        }
}

static void refuses_other_braces(void **state)
{
        static const struct str rows[] = {
                STR_INIT("{{"), STR_INIT("}}"), STR_INIT("}}{{"), STR_INIT("{{}}"), STR_INIT("{{internal}}"), STR_INIT("{{internal.}}"), STR_INIT("{{.x}}"),
                STR_INIT("{{user.x}}"), STR_INIT("{{internal.x"), STR_INIT("internal.x}}"), STR_INIT("{{internal.a b}}"), STR_INIT("{{internal.a\0b}}"),
                STR_INIT("{{internal.x}}{{external.y}}"), STR_INIT("{{internal.x}} }}"), STR_INIT("{{internal.x}} {{"), STR_INIT("{{{internal.x}}}"),
                STR_INIT("{{email.local(external.email)}}"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct trait_template t;

                if (trait_template_split(rows[i], &t))
                        fail_msg("'%.*s' is a template", STR_ARG(rows[i]));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(splits_text_at_its_template),
                cmocka_unit_test(refuses_other_braces),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
