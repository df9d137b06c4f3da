/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/limits.h"

struct list {
        Cteleport__V1__AppPort ports[LIMIT_APP_PORTS + 1], *list[LIMIT_APP_PORTS + 1];
};

/* Pairs of port and end_port. */
static struct app_ports make(struct list *l, const uint32_t (*pairs)[2], size_t count)
{
        for (size_t i = 0; i < count; i++) {
                cteleport__v1__app_port__init(&l->ports[i]);
                l->ports[i].port = pairs[i][0];
                l->ports[i].end_port = pairs[i][1];
                l->list[i] = &l->ports[i];
        }
        return (struct app_ports){ l->list, count };
}

static void checks_ports_and_ranges(void **state)
{
        static const struct {
                const char *uri;
                uint32_t port, end_port;
                const char *problem; /* NULL: valid */
        } rows[] = {
                { "tcp://a", 1, 0, NULL },
                { "tcp://a", 65535, 0, NULL },
                { "tcp://a", 1, 65535, NULL },
                { "tcp://a", 4080, 4081, NULL },
                { "tcp://a", 0, 0, "tcp_ports[2] has a port that is not between 1 and 65535" },
                { "tcp://a", 0, 80, "tcp_ports[2] has a port that is not between 1 and 65535" },
                { "tcp://a", 65536, 0, "tcp_ports[2] has a port that is not between 1 and 65535" },
                { "tcp://a", 80, 65536, "tcp_ports[2] has a port that is not between 1 and 65535" },
                { "tcp://a", UINT32_MAX, UINT32_MAX, "tcp_ports[2] has a port that is not between 1 and 65535" },
                { "tcp://a", 80, 80, "tcp_ports[2] has an end_port that is not above its port" },
                { "tcp://a", 81, 80, "tcp_ports[2] has an end_port that is not above its port" },
                { "http://a", 80, 0, "tcp_ports is for applications of tcp" },
                { "https://a", 80, 0, "tcp_ports is for applications of tcp" },
                { "", 80, 0, "tcp_ports is for applications of tcp" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                const uint32_t pairs[][2] = { { 22, 0 }, { rows[i].port, rows[i].end_port } };
                struct list l;
                AUTO_PTR(error) err = app_ports_check(make(&l, pairs, 2), str_of(rows[i].uri));

                if (rows[i].problem == NULL) {
                        assert_null(err);
                        continue;
                }
                assert_non_null(err);
                assert_string_equal(err->what, rows[i].problem);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_non_null(err->hint);
        }
}

static void has_a_limit(void **state)
{
        uint32_t pairs[LIMIT_APP_PORTS + 1][2];
        struct list l;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
                pairs[i][0] = 65000 + (uint32_t)i;
                pairs[i][1] = 65500;
        }
        const uint32_t(*all)[2] = (const uint32_t(*)[2])pairs;
        assert_null(app_ports_check(make(&l, all, LIMIT_APP_PORTS), STR("tcp://a")));
        AUTO_PTR(error) shown = app_ports_permit(make(&l, all, LIMIT_APP_PORTS), STR("a"), 1);
        assert_non_null(strstr(shown->what, "65031-65500")); /* the last one is shown, too */
        AUTO_PTR(error) err = app_ports_check(make(&l, all, ARRAY_LEN(pairs)), STR("tcp://a"));
        assert_non_null(err);
        assert_null(app_ports_check((struct app_ports){ 0 }, STR("http://a")));
}

static void permits_the_ports_that_there_are(void **state)
{
        static const struct {
                uint32_t port;
                enum error_code code; /* 0: permitted */
        } rows[] = {
                { 79, ERROR_INVALID_ARGUMENT }, { 80, 0 },      { 81, ERROR_INVALID_ARGUMENT },   { 7999, ERROR_INVALID_ARGUMENT }, { 8000, 0 },
                { 8005, 0 },                    { 8010, 0 },    { 8011, ERROR_INVALID_ARGUMENT }, { 0, ERROR_FAILED_PRECONDITION }, { 65616, ERROR_INVALID_ARGUMENT },
        };
        static const uint32_t pairs[][2] = { { 80, 0 }, { 8000, 8010 } };
        struct list l;
        struct app_ports ports = make(&l, pairs, 2);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(error) err = app_ports_permit(ports, STR("queue"), rows[i].port);

                assert_int_equal(err == NULL ? 0 : err->code, rows[i].code);
                assert_int_equal(app_ports_have(ports, rows[i].port), err == NULL);
                if (err == NULL)
                        continue;
                assert_non_null(strstr(err->what, "80, 8000-8010"));
                assert_non_null(strstr(err->hint, "tsh proxy app queue --port=LOCAL:TARGET"));
        }
        assert_null(app_ports_permit((struct app_ports){ 0 }, STR("queue"), 0));
        AUTO_PTR(error) err = app_ports_permit((struct app_ports){ 0 }, STR("queue"), 80);
        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
}

static void knows_the_only_port(void **state)
{
        static const struct {
                uint32_t pairs[2][2];
                size_t count;
                uint32_t only;
        } rows[] = {
                { { { 0 } }, 0, 0 }, { { { 80, 0 } }, 1, 80 }, { { { 80, 81 } }, 1, 0 }, { { { 80, 0 }, { 81, 0 } }, 2, 0 },
        };
        struct list l;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_int_equal(app_ports_only(make(&l, rows[i].pairs, rows[i].count)), rows[i].only);
}

static void compares(void **state)
{
        static const uint32_t a[][2] = { { 80, 0 }, { 8000, 8010 } }, b[][2] = { { 80, 0 }, { 8000, 8011 } }, c[][2] = { { 80, 0 } };
        struct list l, m;

        (void)state;
        assert_true(app_ports_equal(make(&l, a, 2), make(&m, a, 2)));
        assert_false(app_ports_equal(make(&l, a, 2), make(&m, b, 2)));
        assert_false(app_ports_equal(make(&l, a, 2), make(&m, c, 1)));
        assert_true(app_ports_equal((struct app_ports){ 0 }, (struct app_ports){ 0 }));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(checks_ports_and_ranges),
                cmocka_unit_test(has_a_limit),
                cmocka_unit_test(permits_the_ports_that_there_are),
                cmocka_unit_test(knows_the_only_port),
                cmocka_unit_test(compares),
        };

        return cmocka_run_group_tests_name("app_ports", tests, NULL, NULL);
}
