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

static void the_type_follows_from_the_scheme(void **state)
{
        (void)state;
        assert_string_equal(app_list_type("tcp://localhost:5432"), "TCP");
        assert_string_equal(app_list_type("http://localhost"), "HTTP");
        assert_string_equal(app_list_type("https://localhost"), "HTTP");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_application_of_several_hosts_is_one),
                cmocka_unit_test(the_type_follows_from_the_scheme),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
