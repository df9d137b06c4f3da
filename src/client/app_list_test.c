/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/app_list.h"

static Cteleport__V1__AppServer server_of(Cteleport__V1__Metadata *m, Cteleport__V1__AppServerSpec *spec, char *name, char *host_id)
{
        Cteleport__V1__AppServer server = CTELEPORT__V1__APP_SERVER__INIT;

        cteleport__v1__metadata__init(m);
        cteleport__v1__app_server_spec__init(spec);
        m->name = name;
        spec->host_id = host_id;
        server.metadata = m;
        server.spec = spec;
        return server;
}

static void an_application_of_several_hosts_is_one(void **state)
{
        char wiki[] = "wiki", db[] = "db", first[] = "1", second[] = "2";
        Cteleport__V1__Metadata m[4];
        Cteleport__V1__AppServerSpec specs[4];
        Cteleport__V1__AppServer a = server_of(&m[0], &specs[0], wiki, second), b = server_of(&m[1], &specs[1], db, first),
                                 c = server_of(&m[2], &specs[2], wiki, first), d = server_of(&m[3], &specs[3], db, second);
        Cteleport__V1__AppServer *servers[] = { &a, &b, &c, &d };

        (void)state;
        assert_int_equal(app_list_unite(servers, 4), 2);
        assert_ptr_equal(servers[0], &b);
        assert_ptr_equal(servers[1], &c);
        assert_int_equal(app_list_unite(servers, 0), 0);
}

/* As the Auth Service decides it: all hosts of one application, and that application alone. */
static void an_address_is_of_all_hosts_of_one_application(void **state)
{
        static const struct {
                const char *addresses[3]; /* of two hosts of wiki, and of db */
                const char *expected;
        } rows[] = {
                { { "w.example.com", "w.example.com", "" }, "w.example.com" }, { { "w.example.com", "", "" }, "" },
                { { "w.example.com", "v.example.com", "" }, "" },              { { "w.example.com", "w.example.com", "w.example.com" }, "" },
                { { "w.example.com", "w.example.com", "d.example.com" }, "w.example.com" }, { { "", "", "" }, "" },
                { { "$(id)", "$(id)", "" }, "" },                              { { "w.example.com;id", "w.example.com;id", "" }, "" },
                { { "w.example.com/x", "w.example.com/x", "" }, "" },          { { "w\nid", "w\nid", "" }, "" },
        };
        char wiki[] = "wiki", db[] = "db", first[] = "1", second[] = "2";
        Cteleport__V1__Metadata m[3];
        Cteleport__V1__AppServerSpec specs[3];
        Cteleport__V1__App apps[3];
        Cteleport__V1__AppSpec app_specs[3];
        Cteleport__V1__AppServer list[] = { server_of(&m[0], &specs[0], wiki, first), server_of(&m[1], &specs[1], wiki, second), server_of(&m[2], &specs[2], db, first) };
        Cteleport__V1__AppServer *servers[] = { &list[0], &list[1], &list[2] };

        (void)state;
        for (size_t i = 0; i < 3; i++) {
                cteleport__v1__app__init(&apps[i]);
                cteleport__v1__app_spec__init(&app_specs[i]);
                apps[i].spec = &app_specs[i];
                specs[i].app = &apps[i];
        }
        for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
                for (size_t i = 0; i < 3; i++)
                        app_specs[i].public_addr = (char *)(uintptr_t)rows[row].addresses[i];
                assert_string_equal(app_list_address(servers, 3, "wiki"), rows[row].expected);
        }
        assert_string_equal(app_list_address(servers, 3, "none"), "");
        assert_string_equal(app_list_address(servers, 0, "wiki"), "");
}

static void the_type_follows_from_the_scheme(void **state)
{
        (void)state;
        assert_string_equal(app_list_type("tcp://localhost:5432"), "TCP");
        assert_string_equal(app_list_type("http://localhost"), "HTTP");
        assert_string_equal(app_list_type("https://localhost"), "HTTP");
}

static void several_ports_are_listed_behind_the_host(void **state)
{
        Cteleport__V1__AppPort one = CTELEPORT__V1__APP_PORT__INIT, range = CTELEPORT__V1__APP_PORT__INIT, *ports[] = { &range, &one };
        Cteleport__V1__AppSpec spec = CTELEPORT__V1__APP_SPEC__INIT;
        char uri[] = "tcp://db.internal";
        AUTO(buf) out = BUF_MAX(KiB);

        (void)state;
        range.port = 4080;
        range.end_port = 4090;
        one.port = 5095;
        spec.uri = uri;
        app_list_put_uri(&out, &spec);
        assert_string_equal(buf_c(&out), "tcp://db.internal");
        buf_clear(&out);
        spec.tcp_ports = ports;
        spec.n_tcp_ports = 2;
        app_list_put_uri(&out, &spec);
        assert_string_equal(buf_c(&out), "tcp://db.internal:4080-4090,5095");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_application_of_several_hosts_is_one),
                cmocka_unit_test(an_address_is_of_all_hosts_of_one_application),
                cmocka_unit_test(the_type_follows_from_the_scheme),
                cmocka_unit_test(several_ports_are_listed_behind_the_host),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
