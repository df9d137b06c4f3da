/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names in public_addr of applications, as proxies get them: which application each of them leads to.
 *
 * A host announces what it likes, so an announcement gets nobody else's name:
 *
 * - a name of the cluster's servers, or one below a proxy's, is no application's public_addr (auth/hosts/servers.h);
 * - a name of a resource, which administrators write, belongs to that resource, whether a host offers it or not;
 * - a name that two applications have otherwise leads to neither of them. Hosts that offer one application are one;
 * - users log in to an application at its address, so that its sessions get there: one that not all hosts of the application announce, or that
 *   a host announces for the name of a resource, is not served.
 */
#ifndef AUTH_HOSTS_APP_ADDRESSES_H
#define AUTH_HOSTS_APP_ADDRESSES_H

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "resource.pb-c.h"

enum { APP_ADDRESSES_ARENA = 4 * MiB };

/* Reads the addresses of now, and the names of the applications that hosts offer, both sorted; the message is in the arena. */
void app_addresses_read(const struct auth *a, struct arena *arena, Cteleport__V1__AppAddresses *ret);

enum { APP_WARNINGS = 8 };

/* Describes conflicts of applications, of one name or one public_addr, for `tctl status`, in the arena: at most APP_WARNINGS. Returns their number. */
size_t app_warnings(const struct auth *a, struct arena *arena, char **ret);

/* The public_addr or the name of an application has appeared, changed or gone: the proxies get the addresses within PACE_APP_ADDRESSES. */
void app_addresses_changed(struct auth *a);
/* Ends that. */
void app_addresses_stop(struct auth *a);

/*
 * Whether the resource may be written: PERMISSION_DENIED if its public_addr is that of a server or below a proxy's, ALREADY_EXISTS if another
 * resource has it.
 */
struct error *app_addresses_check(const struct auth *a, const Cteleport__V1__App *app) MUST_USE;

/* Another application, of a host's file, with the public_addr of this resource, in the arena; NULL: there is none. */
const char *app_addresses_other(const struct auth *a, const Cteleport__V1__App *app, struct arena *arena);

#endif
