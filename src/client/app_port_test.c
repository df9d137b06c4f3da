/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "client/app_port.h"

enum { HOSTS = 3, RANGES = 2 };

/* Of one host; no ranges: it has the port of `uri`. */
struct offer {
        const char *uri;
        uint32_t ranges[RANGES][2]; /* port and end_port */
};

#define PLAIN     { "tcp://db:5432", { { 0 } } }
#define ONE(port) { "tcp://db", { { port, 0 } } }
#define TWO       { "tcp://db", { { 5432, 0 }, { 8000, 8010 } } }

struct host {
        Cteleport__V1__AppPort ports[RANGES], *list[RANGES];
        Cteleport__V1__AppSpec app_spec;
        Cteleport__V1__App app;
        Cteleport__V1__AppServerSpec spec;
        Cteleport__V1__Metadata metadata;
        Cteleport__V1__AppServer server;
};

static void make(struct host *h, const struct offer *offer)
{
        static char name[] = "db";

        cteleport__v1__app_spec__init(&h->app_spec);
        cteleport__v1__app__init(&h->app);
        cteleport__v1__app_server_spec__init(&h->spec);
        cteleport__v1__metadata__init(&h->metadata);
        cteleport__v1__app_server__init(&h->server);
        h->app_spec.uri = (char *)(uintptr_t)offer->uri;
        h->app_spec.tcp_ports = h->list;
        for (size_t i = 0; i < RANGES && offer->ranges[i][0] != 0; i++) {
                cteleport__v1__app_port__init(&h->ports[i]);
                h->ports[i].port = offer->ranges[i][0];
                h->ports[i].end_port = offer->ranges[i][1];
                h->list[h->app_spec.n_tcp_ports++] = &h->ports[i];
        }
        h->metadata.name = name;
        h->app.spec = &h->app_spec;
        h->spec.app = &h->app;
        h->server.metadata = &h->metadata;
        h->server.spec = &h->spec;
}

static void a_port_is_chosen_by_all_hosts(void **state)
{
        static const struct {
                struct offer offers[HOSTS]; /* uri NULL: no further ones */
                uint32_t target, port;
                const char *refusal; /* NULL: port */
        } rows[] = {
                { { PLAIN }, 0, 0, NULL },
                { { PLAIN }, 5432, 0, NULL },
                { { PLAIN }, 5433, 0, "the application 'db' has no port 5433: it has port 5432" },
                { { ONE(5432) }, 0, 5432, NULL },
                { { ONE(5432) }, 5433, 0, "the application 'db' has no port 5433: it has 5432" },
                { { ONE(5432), ONE(5432) }, 0, 5432, NULL },
                { { ONE(5432), ONE(5433) }, 0, 0, "the application 'db' has several ports: 5432, 5433" },
                { { ONE(5432), ONE(5433) }, 5433, 5433, NULL },
                { { ONE(5432), TWO, TWO }, 0, 0, "the application 'db' has several ports: 5432, 5432, 8000-8010" },
                { { TWO }, 0, 0, "the application 'db' has several ports: 5432, 8000-8010" },
                { { TWO }, 8010, 8010, NULL },
                { { TWO }, 8011, 0, "the application 'db' has no port 8011: it has 5432, 8000-8010" },
                { { TWO, PLAIN }, 0, 0, NULL }, /* connections without a port lead to the second host */
                { { PLAIN, TWO }, 8000, 8000, NULL },
                { { TWO, PLAIN }, 5432, 5432, NULL },
                { { PLAIN, TWO }, 9, 0, "the application 'db' has no port 9: it has port 5432" },
        };

        (void)state;
        for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
                struct host hosts[HOSTS];
                Cteleport__V1__AppServer *servers[HOSTS];
                size_t count = 0;
                uint32_t port = 0;

                for (; count < HOSTS && rows[row].offers[count].uri != NULL; count++) {
                        make(&hosts[count], &rows[row].offers[count]);
                        servers[count] = &hosts[count].server;
                }
                AUTO_PTR(error) err = app_port_choose(servers, count, rows[row].target, &port);
                if (rows[row].refusal == NULL) {
                        assert_null(err);
                        assert_int_equal(port, rows[row].port);
                        continue;
                }
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_string_equal(err->what, rows[row].refusal);
                assert_non_null(err->hint);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_port_is_chosen_by_all_hosts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
