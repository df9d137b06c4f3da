/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/app_sni.h"

#include "base/error_testing.h"
#include "base/mem.h"

static void names_an_application_and_a_port(void **state)
{
        static const struct {
                const char *app;
                uint32_t port;
                const char *sni;
        } rows[] = {
                { "queue", 0, "queue.app.cteleport" },
                { "queue", 1, "1.queue.app.cteleport" },
                { "queue-2", 65535, "65535.queue-2.app.cteleport" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *sni = app_sni_new(rows[i].app, rows[i].port);
                struct str app;
                uint32_t port = 7;

                assert_string_equal(sni, rows[i].sni);
                assert_true(app_sni_read(str_of(sni), &app, &port));
                assert_true(str_equal(app, str_of(rows[i].app)));
                assert_int_equal(port, rows[i].port);
        }
}

static void other_names_name_no_application(void **state)
{
        static const char *const rows[] = { "", "app", "app.cteleport", "queue.app.cteleport.", "queue.app.example.com", "queue.APP.cteleport", "x.cteleport" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str app;
                uint32_t port;

                assert_false(app_sni_read(str_of(rows[i]), &app, &port));
        }
}

/* What is no port belongs to the name, which no application has. */
static void a_port_has_one_form(void **state)
{
        static const char *const rows[] = { "0.queue", "01.queue", "65536.queue", "99999.queue", "100000.queue", "4294967297.queue", "+1.queue", "-1.queue", " 1.queue", "1x.queue", ".queue", "1", "1.", "a.queue", "" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *sni = mem_printf("%s.app.cteleport", rows[i]);
                struct str app;
                uint32_t port;

                assert_true(app_sni_read(str_of(sni), &app, &port));
                assert_true(port == 0 ? str_equal(app, str_of(rows[i])) : app.len == 0);
        }
        struct str app;
        uint32_t port;
        assert_true(app_sni_read(STR("1.2.queue.app.cteleport"), &app, &port));
        assert_int_equal(port, 1);
        assert_true(str_equal(app, STR("2.queue")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_an_application_and_a_port),
                cmocka_unit_test(other_names_name_no_application),
                cmocka_unit_test(a_port_has_one_form),
        };

        return cmocka_run_group_tests_name("app_sni", tests, NULL, NULL);
}
