/* SPDX-License-Identifier: Apache-2.0 */
#include "app/offered_apps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "rpc/pb.h"

struct fixture {
        struct offered_apps apps;
        struct buf ended; /* names of the applications whose connections end */
};

static void on_ended(void *ctx, struct offered_app *app, const char *why)
{
        struct fixture *f = ctx;

        assert_true(why[0] != '\0');
        buf_printf(&f->ended, "%s ", app->config->name);
}

/* Pairs of name and uri, ended by NULL. */
static void set(struct fixture *f, const char *const *pairs)
{
        Cteleport__Internal__V1__Apps sent = CTELEPORT__INTERNAL__V1__APPS__INIT;
        Cteleport__V1__AppConfig configs[8], *list[8];

        sent.apps = list;
        for (size_t i = 0; pairs[2 * i] != NULL; i++) {
                cteleport__v1__app_config__init(&configs[i]);
                configs[i].name = pb_text(pairs[2 * i]);
                configs[i].uri = pb_text(pairs[2 * i + 1]);
                list[sent.n_apps++] = &configs[i];
        }
        buf_clear(&f->ended);
        offered_apps_set(&f->apps, &sent, on_ended, f);
}

#define SET(f, ...) set(f, (const char *const[]){ __VA_ARGS__, NULL })

static void ends_only_applications_that_are_gone_or_elsewhere(void **state)
{
        struct fixture f = { .ended = BUF_MAX(KiB) };
        char *names[LIMIT_APPS];

        (void)state;
        SET(&f, "a", "tcp://x:1", "b", "tcp://x:2", "c", "tcp://x:3");
        assert_int_equal(f.ended.len, 0);
        struct offered_app *a = offered_app_hold(offered_app_find(&f.apps, STR("a")));
        SET(&f, "a", "tcp://x:1", "c", "tcp://y:3", "d", "tcp://x:4");
        assert_true(str_equal(buf_str(&f.ended), STR("b c ")) || str_equal(buf_str(&f.ended), STR("c b ")));
        assert_ptr_equal(offered_app_find(&f.apps, STR("a")), a);
        assert_null(offered_app_find(&f.apps, STR("b")));
        assert_string_equal(offered_app_find(&f.apps, STR("c"))->config->uri, "tcp://y:3");
        assert_int_equal(offered_apps_names(&f.apps, names), 3);
        set(&f, (const char *const[]){ NULL });
        assert_int_equal(f.apps.by_name.count, 0);
        assert_string_equal(a->config->uri, "tcp://x:1"); /* a connection still holds it */
        offered_app_release(a);
        offered_apps_release(&f.apps);
        buf_release(&f.ended);
}

static void set_ports(struct fixture *f, uint32_t first, uint32_t last)
{
        Cteleport__Internal__V1__Apps sent = CTELEPORT__INTERNAL__V1__APPS__INIT;
        Cteleport__V1__AppConfig config = CTELEPORT__V1__APP_CONFIG__INIT, *list[] = { &config };
        Cteleport__V1__AppPort port = CTELEPORT__V1__APP_PORT__INIT, *ports[] = { &port };

        config.name = pb_text("a");
        config.uri = pb_text("tcp://x");
        config.tcp_ports = ports;
        config.n_tcp_ports = 1;
        port.port = first;
        port.end_port = last;
        sent.apps = list;
        sent.n_apps = 1;
        buf_clear(&f->ended);
        offered_apps_set(&f->apps, &sent, on_ended, f);
}

/* Which of the connections end is decided by their ports. */
static void a_change_of_ports_concerns_its_connections(void **state)
{
        struct fixture f = { .ended = BUF_MAX(KiB) };

        (void)state;
        set_ports(&f, 80, 0);
        set_ports(&f, 80, 0);
        assert_int_equal(f.ended.len, 0);
        set_ports(&f, 80, 81);
        assert_true(str_equal(buf_str(&f.ended), STR("a ")));
        offered_apps_release(&f.apps);
        buf_release(&f.ended);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ends_only_applications_that_are_gone_or_elsewhere),
                cmocka_unit_test(a_change_of_ports_concerns_its_connections),
        };

        return cmocka_run_group_tests_name("offered_apps", tests, NULL, NULL);
}
