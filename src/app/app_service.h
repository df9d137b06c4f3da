/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the Application Service process, shared by app.c and connection.c. Private to src/app.
 *
 *      proxies ◀── reverse tunnels ── agent/tunnel_keeper.c
 *         │ CONNECT
 *         ▼
 *      connection.c ── TLS with the user ── report_stream.c ──▶ auth   the decision, the session, the order to end
 *         └──────────── splice ──────────────────────────────▶ the application
 *
 * The user's TLS ends in this process, with the user's certificate: proxies carry ciphertext, but for browsers, where they have the user's part themselves.
 */
#ifndef APP_APP_SERVICE_H
#define APP_APP_SERVICE_H

#include "agent/agent.h"
#include "agent/lifecycle.h"
#include "app/backend_tls.h"
#include "app/offered_apps.h"
#include "app/targets.h"
#include "app/user_tls.h"
#include "base/budget.h"
#include "base/map.h"
#include "base/shares.h"

struct app_service {
        struct loop loop;
        struct service *service;
        const Cteleport__Internal__V1__Boot *boot;
        const Cteleport__V1__TeleportConfig *config;  /* never NULL */
        struct offered_apps apps;
        struct budget memory;   /* of bytes buffered in connections */
        struct app_targets targets;  /* where applications may be */
        struct backend_tls backends; /* of https applications */
        struct buf roots;       /* contents of SSL_CERT_FILE and SSL_CERT_DIR; empty when this process can open them */

        struct agent *agent;
        struct spool *spool;    /* records of requests; NULL: at the end of the process */
        struct lifecycle life;
        struct user_tls users_tls;
        struct shares user_connections; /* number of connections, by user */
        struct map connections;         /* by ID */
};

/* ---- connection.c ----------------------------------------------------------------------------------------- */
/* Handles a CONNECT received through a tunnel. */
void app_connection_begin(struct app_service *s, struct tunnel_incoming *in, const struct tunnel_request *request);
/* Ends the connections to an application with a reason. */
void app_connections_end_of(struct app_service *s, const struct offered_app *app, const char *why);
/* Ends all connections with a reason. */
void app_connections_end(struct app_service *s, const char *why);
/* Frees the remaining connections at the end of the process, without callbacks. */
void app_connections_free(struct app_service *s);

#endif
