/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app_list.h"

#include <stdlib.h>

#include "base/names.h"
#include "base/str.h"
#include "resource/app.h"
#include "resource/app_ports.h"

static struct str name_of(const Cteleport__V1__AppServer *server)
{
        return str_of(server->metadata->name);
}

/* Those of one name by host, so that the same one is shown each time. */
static int compare(const void *a, const void *b)
{
        const Cteleport__V1__AppServer *const *x = a, *const *y = b;
        int order = str_compare(name_of(*x), name_of(*y));

        return order != 0 ? order : str_compare(str_of((*x)->spec->host_id), str_of((*y)->spec->host_id));
}

size_t app_list_unite(Cteleport__V1__AppServer **servers, size_t count)
{
        size_t kept = 0;

        qsort(servers, count, sizeof *servers, compare);
        for (size_t i = 0; i < count; i++)
                if (kept == 0 || !str_equal(name_of(servers[i]), name_of(servers[kept - 1])))
                        servers[kept++] = servers[i];
        return kept;
}

const char *app_list_address(Cteleport__V1__AppServer *const *servers, size_t count, const char *name)
{
        const char *found = NULL;

        for (size_t i = 0; i < count; i++) {
                const char *address = servers[i]->spec->app->spec->public_addr;

                if (!str_equal(name_of(servers[i]), str_of(name)))
                        continue;
                if (found != NULL && strcmp(found, address) != 0)
                        return "";
                found = address;
        }
        for (size_t i = 0; i < count && found != NULL; i++)
                if (!str_equal(name_of(servers[i]), str_of(name)) && strcmp(servers[i]->spec->app->spec->public_addr, found) == 0)
                        return "";
        return found != NULL && name_is_dns(str_of(found)) ? found : ""; /* it becomes part of a command for a shell */
}

void app_list_put_uri(struct buf *out, const Cteleport__V1__AppSpec *spec)
{
        buf_put_c(out, spec->uri);
        if (spec->n_tcp_ports == 0)
                return;
        buf_put_char(out, ':');
        app_ports_put(out, APP_PORTS(spec), ",");
}

const char *app_list_type(const char *uri)
{
        return app_is_tcp(str_of(uri)) ? "TCP" : "HTTP";
}
