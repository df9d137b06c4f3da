/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SNI by which a client names the application, and one of its tcp_ports, inside the TLS that ends at the host: "NAME.app.cteleport" or
 * "PORT.NAME.app.cteleport". The proxy names both to the cluster, too, and cannot lead the user to another application, or port, of that host. A
 * client that sends another SNI, as earlier ones do, has no such protection.
 */
#ifndef CLUSTER_APP_SNI_H
#define CLUSTER_APP_SNI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

/* port 0: none. The caller frees it. */
char *app_sni_new(const char *app, uint32_t port) MUST_USE;

/* false: it names no application. *ret_app borrows, and may be no valid name; *ret_port 0: it names no port. */
bool app_sni_read(struct str sni, struct str *ret_app, uint32_t *ret_port);

#endif
