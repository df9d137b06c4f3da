/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/web/app_cors.h"

#include <stdlib.h>

#include "auth/core/caller.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/sessions.h"
#include "base/mem.h"
#include "base/names.h"
#include "rpc/wire.h"
#include "web.pb-c.h"

enum { QUERY_ARENA = 32 * KiB, PACKED_MAX = 16 * KiB };

/* A request, until all hosts are read. */
struct query {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the caller is gone */
        struct arena *arena;
        struct str app;
        struct str hosts[LIMIT_DIAL_CANDIDATES];
        size_t count, next;
        bool is_known;     /* cors is that of a host */
        struct str packed; /* of cors, in the arena */
        ProtobufCMessage *cors;
};

/* err is owned. */
static void finish(struct query *q, struct error *err)
{
        const Cteleport__V1__AppCors none = CTELEPORT__V1__APP_CORS__INIT;

        if (q->call == NULL)
                error_free(err);
        else if (err != NULL)
                rpc_call_finish(q->call, err);
        else
                rpc_call_reply(q->call, q->cors == NULL ? &none.base : q->cors);
        arena_free(q->arena);
        free(q);
}

static void on_gone(void *ctx)
{
        ((struct query *)ctx)->call = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

/* False: the host has another setting than those before, and nothing is allowed. */
static bool add_host(struct query *q, const struct node_app *app, struct error **ret_err)
{
        const Cteleport__V1__AppCors *cors = app->spec == NULL ? NULL : app->spec->cors;
        AUTO(buf) packed = BUF_MAX(PACKED_MAX);

        *ret_err = NULL;
        if (cors != NULL)
                wire_encode(&packed, &cors->base);
        if (packed.overflowed || (q->is_known && !str_equal(q->packed, buf_str(&packed))))
                return false;
        if (!q->is_known && cors != NULL) {
                *ret_err = wire_copy(q->arena, &cors->base, &q->cors);
                q->packed = arena_str(q->arena, buf_str(&packed));
        }
        q->is_known = true;
        return *ret_err == NULL;
}

static void read_next(struct query *q);

static void on_host(void *ctx, const struct node *host, struct error *err)
{
        struct query *q = ctx;
        const struct node_app *app = err != NULL || host == NULL ? NULL : node_find_app(host, q->app);

        if (err == NULL && q->auth->is_stopping)
                err = error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        if (err == NULL && app != NULL && !add_host(q, app, &err))
                q->cors = NULL;
        else if (err == NULL && q->call != NULL) {
                read_next(q);
                return;
        }
        finish(q, err);
}

static void read_next(struct query *q)
{
        if (q->next == q->count)
                finish(q, NULL);
        else
                node_find(q->auth, q->hosts[q->next++], on_host, q);
}

void app_cors_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct query *q = NEW(struct query);
        struct str ids[LIMIT_DIAL_CANDIDATES];

        *q = (struct query){ .auth = caller->auth, .call = call, .arena = arena_new(QUERY_ARENA) };
        rpc_call_listen(call, &call_events, q);
        q->app = arena_str(q->arena, str_slice(str_of(((const Cteleport__V1__FindAppRequest *)first)->name), 0, LIMIT_NAME));
        if (!name_is_app(q->app)) {
                finish(q, error_new(ERROR_INVALID_ARGUMENT, "this is not the name of an application"));
                return;
        }
        q->count = q->auth->sessions == NULL ? 0 : nodes_offering_app(sessions_nodes(q->auth->sessions), q->app, ids);
        for (size_t i = 0; i < q->count; i++)
                q->hosts[i] = arena_str(q->arena, ids[i]);
        read_next(q);
}
