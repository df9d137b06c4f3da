/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_ports.h"

#include "base/limits.h"

enum { PORT_MAX = UINT16_MAX, SHOWN_MAX = LIMIT_APP_PORTS * sizeof "65534-65535, " };

static const char how_to_write[] = "write - port: 5432, or a range: - {port: 4080, end_port: 4090}";

static uint32_t last_of(const Cteleport__V1__AppPort *p)
{
        return p->end_port == 0 ? p->port : p->end_port;
}

struct error *app_ports_check(struct app_ports ports, struct str uri)
{
        if (ports.count == 0)
                return NULL;
        if (!str_starts_with(uri, STR("tcp://")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "tcp_ports is for applications of tcp"), "write uri: tcp://HOST, or remove it");
        if (ports.count > LIMIT_APP_PORTS)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "tcp_ports has more than %d rows", LIMIT_APP_PORTS), "write ports that follow each other as a range");
        for (size_t i = 0; i < ports.count; i++) {
                const Cteleport__V1__AppPort *p = ports.list[i];

                if (p->port < 1 || p->port > PORT_MAX || p->end_port > PORT_MAX)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "tcp_ports[%zu] has a port that is not between 1 and %d", i + 1, PORT_MAX), "%s", how_to_write);
                if (p->end_port != 0 && p->end_port <= p->port)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "tcp_ports[%zu] has an end_port that is not above its port", i + 1), "%s", how_to_write);
        }
        return NULL;
}

uint32_t app_ports_only(struct app_ports ports)
{
        return ports.count == 1 && last_of(ports.list[0]) == ports.list[0]->port ? ports.list[0]->port : 0;
}

bool app_ports_equal(struct app_ports a, struct app_ports b)
{
        if (a.count != b.count)
                return false;
        for (size_t i = 0; i < a.count; i++)
                if (a.list[i]->port != b.list[i]->port || last_of(a.list[i]) != last_of(b.list[i]))
                        return false;
        return true;
}

void app_ports_put(struct buf *out, struct app_ports ports, const char *comma)
{
        for (size_t i = 0; i < ports.count; i++) {
                buf_printf(out, "%s%u", i == 0 ? "" : comma, ports.list[i]->port);
                if (last_of(ports.list[i]) != ports.list[i]->port)
                        buf_printf(out, "-%u", ports.list[i]->end_port);
        }
}

bool app_ports_have(struct app_ports ports, uint32_t port)
{
        for (size_t i = 0; i < ports.count; i++)
                if (port >= ports.list[i]->port && port <= last_of(ports.list[i]))
                        return true;
        return false;
}

struct error *app_ports_permit(struct app_ports ports, struct str app, uint32_t port)
{
        AUTO(buf) shown = BUF_MAX(SHOWN_MAX);

        app_ports_put(&shown, ports, ", ");
        if (ports.count == 0)
                return port == 0 ? NULL
                                 : error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application '%.*s' has no tcp_ports, and a connection cannot name a port of it", STR_ARG(app)),
                                              "leave the port of the application out: tsh proxy app %.*s --port=LOCAL", STR_ARG(app));
        if (port == 0)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the application '%.*s' has tcp_ports, and the connection names none of them: %s", STR_ARG(app), buf_c(&shown)),
                                  "tsh proxy app %.*s --port=LOCAL:TARGET; tsh and the proxy must have a release that knows tcp_ports", STR_ARG(app));
        return app_ports_have(ports, port) ? NULL
                                 : error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application '%.*s' has no port %u: it has %s", STR_ARG(app), port, buf_c(&shown)),
                                              "choose one of them: tsh proxy app %.*s --port=LOCAL:TARGET", STR_ARG(app));
}
