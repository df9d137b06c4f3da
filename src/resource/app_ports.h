/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_ports of an application: the ports at which one host has it. Each connection names one of them.
 */
#ifndef RESOURCE_APP_PORTS_H
#define RESOURCE_APP_PORTS_H

#include "base/buf.h"
#include "base/error.h"
#include "common.pb-c.h"

/* Borrowed; an empty one is that of an application with a port in its uri. */
struct app_ports {
        Cteleport__V1__AppPort *const *list;
        size_t count;
};

/* Of an AppConfig or AppSpec. */
#define APP_PORTS(app) ((struct app_ports){ (app)->tcp_ports, (app)->n_tcp_ports })

/* Checks the ports of an application with this uri, of which only the scheme is looked at. INVALID_ARGUMENT names the row, and says what to write. */
struct error *app_ports_check(struct app_ports ports, struct str uri) MUST_USE;

/* Whether it is one of them. */
bool app_ports_have(struct app_ports ports, uint32_t port);

/* The only port; 0: there are several, or none. */
uint32_t app_ports_only(struct app_ports ports);

bool app_ports_equal(struct app_ports a, struct app_ports b);

/* Appends them as users read them: "4080-4090, 5095"; `comma` is between them. */
void app_ports_put(struct buf *out, struct app_ports ports, const char *comma);

/*
 * Whether a connection to the application may name this port, 0: none. FAILED_PRECONDITION: it has to name one; INVALID_ARGUMENT: it may not
 * name this one. The errors name the ports that there are.
 */
struct error *app_ports_permit(struct app_ports ports, struct str app, uint32_t port) MUST_USE;

#endif
