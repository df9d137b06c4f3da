/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app_port.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "net/socket.h"
#include "resource/app.h"
#include "resource/app_ports.h"

enum { PORTS_SHOWN = 1 * KiB };

static struct app_ports ports_of(const Cteleport__V1__AppServer *server)
{
        return APP_PORTS(server->spec->app->spec);
}

/* An application without tcp_ports has one port, that of its uri, and the connection names none. */
static struct error *check_target(const Cteleport__V1__AppServer *server, uint32_t target)
{
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        const char *address = NULL;
        struct str host;
        int port = 0;

        TRY(app_uri_parse(a, str_of(server->spec->app->spec->uri), &address));
        TRY(address_split(str_of(address), 0, &host, &port));
        if ((uint32_t)port == target)
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application '%s' has no port %u: it has port %d", server->metadata->name, target, port),
                          "leave the port of the application out");
}

/* By the first host for which there is one. */
static struct error *find_target(Cteleport__V1__AppServer *const *servers, size_t count, uint32_t target, uint32_t *ret)
{
        struct error *first = NULL;

        for (size_t i = 0; i < count; i++) {
                struct app_ports ports = ports_of(servers[i]);
                struct error *err = ports.count == 0 ? check_target(servers[i], target) : app_ports_permit(ports, str_of(servers[i]->metadata->name), target);

                if (err == NULL) {
                        error_free(first);
                        *ret = ports.count == 0 ? 0 : target;
                        return NULL;
                }
                if (first == NULL)
                        first = err;
                else
                        error_free(err);
        }
        return first;
}

static struct error *several_ports(Cteleport__V1__AppServer *const *servers, size_t count)
{
        AUTO(buf) shown = BUF_MAX(PORTS_SHOWN);
        const char *name = servers[0]->metadata->name;

        for (size_t i = 0; i < count; i++) {
                bool is_new = ports_of(servers[i]).count > 0;

                for (size_t j = 0; j < i; j++)
                        is_new = is_new && !app_ports_equal(ports_of(servers[i]), ports_of(servers[j]));
                if (is_new && shown.len > 0)
                        buf_put_c(&shown, ", ");
                if (is_new)
                        app_ports_put(&shown, ports_of(servers[i]), ", ");
        }
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application '%s' has several ports: %s", name, buf_c(&shown)), "choose one of them: tsh proxy app %s --port=LOCAL:TARGET", name);
}

struct error *app_port_choose(Cteleport__V1__AppServer *const *servers, size_t count, uint32_t target, uint32_t *ret)
{
        uint32_t only = 0;
        bool is_plain = false, are_several = false;

        if (target != 0)
                return find_target(servers, count, target, ret);
        for (size_t i = 0; i < count; i++) {
                struct app_ports ports = ports_of(servers[i]);
                uint32_t port = app_ports_only(ports);

                if (ports.count == 0) {
                        is_plain = true; /* connections that name no port lead to this host */
                        continue;
                }
                are_several |= port == 0 || (only != 0 && port != only);
                only = port;
        }
        if (are_several && !is_plain)
                return several_ports(servers, count);
        *ret = is_plain ? 0 : only;
        return NULL;
}
