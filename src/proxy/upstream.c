/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "cluster/auth_client.h"

struct upstream {
        struct auth_client *client;
        void (*relink)(void *ctx);
        void *relink_ctx;
        bool has_way;     /* a link, or an identity and an address */
        bool is_reported; /* the log has reported that auth is unreachable */
};

static void relink(void *ctx)
{
        struct upstream *u = ctx;

        u->relink(u->relink_ctx);
}

static void on_change(void *ctx, const struct error *err)
{
        struct upstream *u = ctx;

        if (err != NULL && !u->is_reported)
                log_warn("The Auth Service is away: joins are refused until it is back", LOG_ERR(err));
        else if (err == NULL && u->is_reported)
                log_info("The Auth Service is back");
        u->is_reported = err != NULL;
        metric_set_health(HEALTH_AUTH, err == NULL ? HEALTH_OK : HEALTH_DEGRADED);
}

struct upstream *upstream_new(struct loop *l, void (*relink_auth)(void *ctx), void *ctx)
{
        struct upstream *u = NEW(struct upstream);

        metric_set_health(HEALTH_AUTH, HEALTH_STARTING);
        *u = (struct upstream){ .relink = relink_auth, .relink_ctx = ctx };
        u->client = auth_client_new(l, (struct auth_client_options){
                                               .relink = relink_auth == NULL ? NULL : relink,
                                               .on_change = on_change,
                                               .ctx = u,
                                               .is_kept = true,
                                               .is_direct = true,
                                       });
        return u;
}

void upstream_free(struct upstream *u)
{
        if (u == NULL)
                return;
        auth_client_free(u->client);
        free(u);
}

void upstream_use_link(struct upstream *u, int fd)
{
        u->has_way = true;
        auth_client_use_link(u->client, fd);
}

void upstream_use_tls(struct upstream *u, const char *address, const struct host_identity *id)
{
        u->has_way = true;
        auth_client_use_identity(u->client, id, STR(""), str_of(address));
}

struct rpc_client *upstream_client(const struct upstream *u)
{
        return auth_client_get(u->client);
}

struct error *upstream_absence(const struct upstream *u)
{
        return error_hint(error_for(error_new(ERROR_UNAVAILABLE, u->has_way ? "this proxy cannot reach the Auth Service right now"
                                                                            : "this proxy has no identity of the cluster yet"), REASON_NO_AUTH),
                          "try again in a moment; the proxy's log has details");
}

void upstream_unary(const struct upstream *u, struct rpc_client_call_options options, const ProtobufCMessage *request,
                    void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        struct rpc_client *auth = u == NULL ? NULL : upstream_client(u);

        if (auth != NULL)
                rpc_client_unary(auth, options, request, done, ctx);
        else
                done(ctx, NULL, u == NULL ? error_new(ERROR_CANCELLED, "the proxy is stopping") : upstream_absence(u));
}
