/* SPDX-License-Identifier: Apache-2.0 */
/* Which of an application's tcp_ports its user means. */
#ifndef CLIENT_APP_PORT_H
#define CLIENT_APP_PORT_H

#include "base/error.h"
#include "resource.pb-c.h"

/*
 * servers: the hosts that offer one application, at least one; they may have different ports. target: the port that the user has named, 0: none.
 * *ret is the port that connections have to name; 0: none, as the application has no tcp_ports. INVALID_ARGUMENT: no host has the port; or none was
 * named, and there are several on each host.
 */
struct error *app_port_choose(Cteleport__V1__AppServer *const *servers, size_t count, uint32_t target, uint32_t *ret) MUST_USE;

#endif
