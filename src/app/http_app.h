/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP application on one connection of a user: each request is forwarded to the application's uri with the token of the user, and failures become pages. The
 * connection to the backend is dialled by the first request, and kept for the next ones.
 */
#ifndef APP_HTTP_APP_H
#define APP_HTTP_APP_H

#include "api.pb-c.h"
#include "app/request_log.h"
#include "config.pb-c.h"
#include "net/stream.h"

struct agent;
struct loop;
struct app_targets;
struct backend_tls;

struct http_app_options {
        struct loop *loop;
        struct agent *agent; /* requests the tokens of the user; borrowed until on_closed */
        const Cteleport__V1__AppConfig *app;
        const char *id, *client_addr; /* of the connection, copied */
        const char *host_name;
        bool is_dumper; /* the application of debug_app: there is no backend, requests are answered with their own heads */
        bool is_local;  /* the client is at a port of the user's machine: requests for other hosts are refused (local_host.h) */
        Cteleport__V1__AppPermits *const *permits; /* the current ones; borrowed until on_closed, as the following ones */
        const struct app_targets *targets;
        struct backend_tls *tls;
        struct str roots_pem; /* additional roots of the system, for https */
        /* Whether the next request has to wait, until http_app_resume(): the disk does not keep up with the records. */
        bool (*must_wait)(void *ctx);
        void (*on_exchange)(void *ctx, const struct request_entry *entry); /* a request has ended; borrowed */
        /* Once, from the loop; it is freed then. The bytes are those of the user's connection. */
        void (*on_closed)(void *ctx, uint64_t from_client, uint64_t to_client);
        void *ctx;
};

struct http_app;
/* Serves the client, owned from now on. */
struct http_app *http_app_start(struct http_app_options options, struct stream *client) MUST_USE;
/* Closes both connections; on_closed is called from the loop. */
void http_app_close(struct http_app *h);
/* Ahead of http_app_close(), when records are taken now only: calls on_exchange for the request that is running, if there is one. */
void http_app_report(struct http_app *h);
/* A request that waited for the disk goes on. */
void http_app_resume(struct http_app *h);
/* The number of bytes so far, both ways. */
uint64_t http_app_bytes(const struct http_app *h);

#endif
