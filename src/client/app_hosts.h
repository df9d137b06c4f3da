/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts that offer an application, by the Auth Service: a proxy names the host of a connection, and is not believed that it
 * offers the application. The Auth Service is asked over TLS that is end to end through the proxy.
 *
 * The answer is kept for PACE_APP_HOSTS; a host that it does not have leads to a new request at once.
 */
#ifndef CLIENT_APP_HOSTS_H
#define CLIENT_APP_HOSTS_H

#include "client/client.h"

struct loop;
struct app_hosts;

/* The name is copied. */
struct app_hosts *app_hosts_new(struct loop *l, const char *app) MUST_USE;
/* No check may be pending. NULL is ignored. */
void app_hosts_free(struct app_hosts *h);

/* Keeps an answer of the Auth Service: the IDs of all hosts that offer the application. */
void app_hosts_keep(struct app_hosts *h, const char *const *ids, size_t count);

/*
 * Checks that the host offers the application, with the login of the profile if a request is needed. done is called exactly once, from
 * the loop; err (owned): PERMISSION_DENIED if the host does not, or that of the request. The texts are copied.
 */
void app_hosts_check(struct app_hosts *h, const struct profile *p, const char *host_id, void (*done)(void *ctx, struct error *err), void *ctx);

#endif
