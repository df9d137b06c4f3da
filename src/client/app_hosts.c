/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app_hosts.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/node_filter.h"
#include "loop/loop.h"
#include "rpc/pb.h"

struct check {
        struct check *next;
        struct app_hosts *hosts;
        char *host_id;
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

struct app_hosts {
        struct loop *loop;
        char *app;
        struct map ids;       /* as of the last complete answer */
        struct instant since; /* of that answer */
        bool is_known;        /* there is one */

        /* the request that is pending, for all checks that wait for it */
        struct check *waiting;
        struct profile profile;
        struct rpc_client *client;
        struct map next_ids; /* of the pages so far */
        struct buf after;    /* name after which the next page begins */
        struct error *failed; /* before the request */
        bool is_pending;
};

struct app_hosts *app_hosts_new(struct loop *l, const char *app)
{
        struct app_hosts *h = NEW(struct app_hosts);

        *h = (struct app_hosts){ .loop = l, .app = str_dup(str_of(app)), .after = BUF_MAX(LIMIT_RPC) };
        return h;
}

void app_hosts_free(struct app_hosts *h)
{
        if (h == NULL)
                return;
        map_release(&h->ids);
        buf_release(&h->after);
        free(h->app);
        free(h);
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static void use(struct app_hosts *h, struct map *ids)
{
        map_release(&h->ids);
        h->ids = *ids;
        *ids = (struct map){ 0 };
        h->since = loop_now(h->loop);
        h->is_known = true;
}

void app_hosts_keep(struct app_hosts *h, const char *const *ids, size_t count)
{
        struct map kept = { 0 };

        for (size_t i = 0; i < count; i++)
                map_put(&kept, str_of(ids[i]), h);
        use(h, &kept);
}

/* ---- checks ----------------------------------------------------------------------------------------------- */

static bool is_fresh(const struct app_hosts *h)
{
        return h->is_known && instant_since(loop_now(h->loop), h->since).ns < MILLISECONDS(PACE_APP_HOSTS).ns;
}

/* err is owned: of the request. */
static void settle(struct check *c, struct error *err)
{
        if (err == NULL && map_get(&c->hosts->ids, str_of(c->host_id)) == NULL)
                err = error_new(ERROR_PERMISSION_DENIED, "the proxy connects to the host %s, which does not offer the application '%s' to you", c->host_id,
                                c->hosts->app);
        c->done(c->ctx, err);
        free(c->host_id);
        free(c);
}

static void on_known(void *ctx)
{
        settle(ctx, NULL);
}

/* Ends the request, and the checks that wait for it. err is owned. */
static void finish(struct app_hosts *h, struct error *err)
{
        struct check *waiting = h->waiting;

        if (err == NULL)
                use(h, &h->next_ids);
        map_release(&h->next_ids);
        rpc_client_close(h->client);
        profile_release(&h->profile);
        h->client = NULL;
        h->waiting = NULL;
        h->is_pending = false;
        if (err != NULL)
                err = error_wrap(err, "cannot get the hosts of the application from the Auth Service");
        while (waiting != NULL) {
                struct check *c = waiting;

                waiting = c->next;
                settle(c, err == NULL ? NULL : error_copy(err));
        }
        error_free(err);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static void send_request(struct app_hosts *h);

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct app_hosts *h = ctx;
        const Cteleport__V1__ListAppServersResponse *page = (const Cteleport__V1__ListAppServersResponse *)answer;
        bool is_last = true;

        if (err == NULL)
                err = app_servers_check(page->app_servers, page->n_app_servers);
        for (size_t i = 0; err == NULL && i < page->n_app_servers; i++)
                if (strcmp(page->app_servers[i]->metadata->name, h->app) == 0)
                        map_put(&h->next_ids, str_of(page->app_servers[i]->spec->host_id), h);
        if (err == NULL && page->next[0] != '\0') {
                is_last = str_equal(buf_str(&h->after), str_of(page->next));
                buf_clear(&h->after);
                buf_put_c(&h->after, page->next);
        }
        if (err != NULL || is_last)
                finish(h, err);
        else
                send_request(h);
}

static void send_request(struct app_hosts *h)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;
        struct rpc_client_call_options options = {
                .path = "/cteleport.v1.AdminService/ListAppServers",
                .response = &cteleport__v1__list_app_servers_response__descriptor,
                .response_max = LIMIT_RPC,
                .within = MILLISECONDS(TIMEOUT_RPC),
        };

        request.after = pb_text(buf_c(&h->after));
        rpc_client_unary(h->client, options, &request.base, on_answer, h);
}

static void on_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err); /* the pending call reports it */
}

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct app_hosts *h = ctx;

        if (err != NULL) {
                finish(h, err);
                return;
        }
        h->client = rpc_client_new(h->loop, tls, "auth", on_closed, h);
        send_request(h);
}

static void on_failed(void *ctx)
{
        struct app_hosts *h = ctx;

        finish(h, h->failed);
}

/* With a profile of its own, as the one of the check may be released before the answer. */
static void begin(struct app_hosts *h, const struct profile *p)
{
        h->is_pending = true;
        buf_clear(&h->after);
        h->failed = profile_load(&h->profile, p->proxy_host, p->user);
        if (h->failed != NULL) {
                loop_defer(h->loop, on_failed, h);
                return;
        }
        struct client_dial *dial = client_dial_auth(h->loop, &h->profile, on_dialled, h);
        (void)dial; /* ends by itself */
}

void app_hosts_check(struct app_hosts *h, const struct profile *p, const char *host_id, void (*done)(void *ctx, struct error *err), void *ctx)
{
        struct check *c = NEW(struct check);

        *c = (struct check){ .hosts = h, .host_id = str_dup(str_of(host_id)), .done = done, .ctx = ctx };
        if (is_fresh(h) && map_get(&h->ids, str_of(host_id)) != NULL) {
                loop_defer(h->loop, on_known, c);
                return;
        }
        c->next = h->waiting;
        h->waiting = c;
        if (!h->is_pending)
                begin(h, p);
}
