/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/node_dial.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "loop/loop.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "services/services.h"

struct node_dial {
        struct proxy *proxy;
        struct tunnel_request request;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;

        struct node_dial_peers peers;
        size_t tried; /* of the peers */

        /* What the dial waits for: one of the first two, or the others. */
        struct tunnel_dial *dial;
        struct peer_dial *peer;
        struct tunnel_wait *wait;
        struct rpc_client_call *locate;
        struct error *refusal; /* of another proxy that has no room for this one's connections; NULL: none */
        bool has_waited, has_left_tunnel, is_relayed, is_cancelled;
};

static struct error *no_tunnel(const struct node_dial *d)
{
        bool is_node = str_equal(d->request.kind, STR("node"));
        const char *host = is_node ? "node" : "application's host";

        if (d->refusal != NULL)
                return error_new(ERROR_UNAVAILABLE, "the %s is connected to another proxy only: %s", host, d->refusal->what);
        return error_hint(error_new(ERROR_UNAVAILABLE, "the %s is not connected to this proxy right now", host),
                          "a %s connects again within seconds; if it does not, check its log and the proxy's public_addr", is_node ? "node" : "host");
}

void node_dial_read_peers(Cteleport__V1__PeerProxy *const *peers, size_t count, struct node_dial_peers *ret)
{
        ret->count = 0;
        for (size_t i = 0; i < count && ret->count < LIMIT_DIAL_PEERS; i++) {
                struct node_dial_peer *peer = &ret->list[ret->count];
                size_t len = strlen(peers[i]->addr);

                if (!name_is_host_id(str_of(peers[i]->host_id)) || len == 0 || len >= sizeof peer->addr)
                        continue;
                memcpy(peer->host_id, peers[i]->host_id, strlen(peers[i]->host_id) + 1);
                memcpy(peer->addr, peers[i]->addr, len + 1);
                ret->count++;
        }
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void free_when_done(struct node_dial *d)
{
        if (d->done != NULL || d->locate != NULL)
                return;
        error_free(d->refusal);
        free(d);
}

static void finish(struct node_dial *d, struct stream *s, struct error *err)
{
        void (*done)(void *ctx, struct stream *s, struct error *err) = d->done;

        tunnels_await_cancel(d->wait);
        d->wait = NULL;
        d->done = NULL;
        done(d->ctx, s, err);
        if (d->locate != NULL)
                rpc_client_cancel(d->locate); /* on_located() frees the dial */
        else
                free_when_done(d);
}

/* ---- routes ------------------------------------------------------------------------------------------------ */

static void try_routes(struct node_dial *d);

static void on_connected(void *ctx, struct stream *s, struct error *err)
{
        struct node_dial *d = ctx;

        d->dial = NULL;
        d->is_relayed = false;
        if (err != NULL && !d->is_cancelled && !d->has_left_tunnel && error_is_for(err, REASON_CONNECTION)) {
                d->has_left_tunnel = true; /* the node has not processed the request */
                error_free(err);
                try_routes(d);
                return;
        }
        finish(d, s, err);
}

/* Whether the request has not reached the node: another route may be tried. ABORTED: the other proxy has no room for it. */
static bool was_not_begun(const struct error *err)
{
        return error_is_for(err, REASON_CONNECTION) || err->code == ERROR_NOT_FOUND || err->code == ERROR_ABORTED;
}

static void on_relayed(void *ctx, struct stream *s, struct error *err)
{
        struct node_dial *d = ctx;

        d->peer = NULL;
        d->is_relayed = true;
        if (err == NULL || d->is_cancelled || !was_not_begun(err)) {
                finish(d, s, err);
                return;
        }
        if (err->code == ERROR_ABORTED) {
                error_free(d->refusal);
                d->refusal = err;
        } else {
                error_free(err);
        }
        try_routes(d);
}

static void on_awaited(void *ctx, bool is_there)
{
        struct node_dial *d = ctx;

        (void)is_there;
        d->wait = NULL;
        try_routes(d);
}

static void on_location(void *ctx, const ProtobufCMessage *msg)
{
        struct node_dial *d = ctx;
        const Cteleport__V1__LocateResponse *answer = (const Cteleport__V1__LocateResponse *)msg;

        if (d->done == NULL)
                return;
        node_dial_read_peers(answer->peers, answer->n_peers, &d->peers);
        d->tried = 0;
}

static void on_located(void *ctx, struct error *err)
{
        struct node_dial *d = ctx;

        error_free(err); /* the wait for an own tunnel goes on */
        d->locate = NULL;
        if (d->done == NULL || d->wait == NULL || d->is_cancelled || d->peers.count == d->tried) {
                free_when_done(d);
                return;
        }
        tunnels_await_cancel(d->wait);
        d->wait = NULL;
        try_routes(d);
}

static const struct rpc_client_events locate_events = { .on_message = on_location, .on_done = on_located };

static void locate(struct node_dial *d)
{
        struct rpc_client *auth = d->peers.is_peering ? upstream_client(d->proxy->upstream) : NULL;
        Cteleport__V1__LocateRequest request = CTELEPORT__V1__LOCATE_REQUEST__INIT;
        AUTO_MEM char *host_id = str_dup(d->request.host_id);

        if (auth == NULL)
                return;
        request.host_id = host_id;
        const struct service_row *row = services_of_kind(d->request.kind);
        request.role = row == NULL ? pb_text("") : pb_text(row->role.name.ptr);
        d->locate = rpc_client_call(auth,
                                    (struct rpc_client_call_options){
                                            .path = "/cteleport.v1.DialService/Locate",
                                            .response = &cteleport__v1__locate_response__descriptor,
                                            .within = MILLISECONDS(TIMEOUT_TUNNEL_AWAITED),
                                    },
                                    &locate_events, d);
        rpc_client_send(d->locate, &request.base);
        rpc_client_half_close(d->locate);
}

static void try_routes(struct node_dial *d)
{
        d->dial = tunnels_connect(&d->proxy->tunnels, &d->request, on_connected, d);
        if (d->dial != NULL)
                return;
        if (d->tried < d->peers.count) {
                const struct node_dial_peer *peer = &d->peers.list[d->tried++];

                d->peer = peer_dial_start(&d->proxy->peer_client, peer->host_id, peer->addr, &d->request, on_relayed, d);
                return;
        }
        if (d->has_waited) {
                finish(d, NULL, no_tunnel(d));
                return;
        }
        d->has_waited = true;
        d->wait = tunnels_await(&d->proxy->tunnels, d->request.host_id, d->request.kind, MILLISECONDS(TIMEOUT_TUNNEL_AWAITED), on_awaited, d);
        locate(d);
}

struct node_dial *node_dial_start(struct proxy *p, const struct tunnel_request *request, const struct node_dial_peers *peers,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct node_dial *d = NEW(struct node_dial);

        *d = (struct node_dial){ .proxy = p, .request = *request, .peers = *peers, .done = done, .ctx = ctx };
        try_routes(d);
        return d;
}

bool node_dial_is_relayed(const struct node_dial *d)
{
        return d->is_relayed;
}

static void on_cancelled(void *ctx)
{
        finish(ctx, NULL, error_new(ERROR_CANCELLED, "the connection was given up"));
}

void node_dial_cancel(struct node_dial *d)
{
        if (d->is_cancelled)
                return;
        d->is_cancelled = true;
        if (d->dial != NULL) {
                tunnel_connect_cancel(d->dial);
        } else if (d->peer != NULL) {
                peer_dial_cancel(d->peer);
        } else {
                tunnels_await_cancel(d->wait);
                d->wait = NULL;
                loop_defer(&d->proxy->loop, on_cancelled, d);
        }
}
