/* SPDX-License-Identifier: Apache-2.0 */
#include "client/locate.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/loop.h"
#include "rpc/pb.h"

enum { ID_MAX = 64, REFUSAL_MAX = 512 };

struct locate {
        struct loop *loop;
        const struct profile *profile;
        const char *node, *login;
        struct client_dial *dial; /* while it is under way */
        struct rpc_client *client;
        char id[ID_MAX + 1];
        size_t found;
        const char *copy_refusal; /* in the profile's arena; NULL: not sent */
        struct buf after; /* name after which the next page begins */
        const char **ret_copy_refusal; /* NULL: not requested */
        void (*done)(void *ctx, const char *host_id, struct error *err);
        void *ctx;
};

static void finish(struct locate *q, struct error *err)
{
        rpc_client_close(q->client);
        q->client = NULL;
        if (err == NULL && q->found == 0) {
                AUTO_MEM char *shown = escaped(str_of(q->node));

                err = error_hint(error_new(ERROR_NOT_FOUND, "there is no node '%s' that you may log in to%s%s, or it is offline", shown,
                                           q->login[0] == '\0' ? "" : " as ", q->login),
                                 "`tsh ls` shows the nodes you can reach");
        } else if (err == NULL && q->found > 1) {
                err = error_hint(error_new(ERROR_FAILED_PRECONDITION, "ambiguous host could match multiple nodes"),
                                 "connect to the host ID that `tsh ls -v` shows");
        }
        if (q->ret_copy_refusal != NULL && q->copy_refusal != NULL)
                *q->ret_copy_refusal = q->copy_refusal;
        q->done(q->ctx, err == NULL ? q->id : NULL, err);
        buf_release(&q->after);
        free(q);
}

/* An Auth Service of an earlier release lists all nodes, so the matching ones are selected here as well. */
static struct error *check(struct locate *q, const Cteleport__V1__Node *node)
{
        struct str id = node->metadata == NULL ? STR("") : str_of(node->metadata->name);

        if (node->spec == NULL || (!name_is_same(str_of(node->spec->hostname), str_of(q->node), str_of(q->profile->cluster)) &&
                                   !str_equal_nocase(id, str_of(q->node))))
                return NULL;
        if (!name_is_host_id(id) || id.len > ID_MAX)
                return error_new(ERROR_DATA_LOSS, "the Auth Service sent a node without an ID");
        memcpy(q->id, id.ptr, id.len);
        q->id[id.len] = '\0';
        q->found++;
        return NULL;
}

static void send_request(struct locate *q);

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct locate *q = ctx;
        const Cteleport__V1__ListNodesResponse *page = (const Cteleport__V1__ListNodesResponse *)answer;
        bool is_last = true;

        for (size_t i = 0; err == NULL && i < page->n_nodes; i++)
                err = check(q, page->nodes[i]);
        if (err == NULL && page->copy_refusal[0] != '\0')
                q->copy_refusal = str_to_c(q->profile->arena, str_slice(str_of(page->copy_refusal), 0, REFUSAL_MAX));
        if (err == NULL && page->next[0] != '\0') {
                is_last = str_equal(buf_str(&q->after), str_of(page->next));
                buf_clear(&q->after);
                buf_put_c(&q->after, page->next);
        }
        if (err != NULL || is_last)
                finish(q, err == NULL ? NULL : error_wrap(err, "cannot get the ID of the node from the Auth Service"));
        else
                send_request(q);
}

static void send_request(struct locate *q)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;
        struct rpc_client_call_options options = {
                .path = "/cteleport.v1.AdminService/ListNodes",
                .response = &cteleport__v1__list_nodes_response__descriptor,
                .response_max = LIMIT_RPC,
                .within = MILLISECONDS(TIMEOUT_RPC),
        };

        request.node = pb_text(q->node);
        request.login = pb_text(q->login);
        request.after = pb_text(buf_c(&q->after));
        rpc_client_unary(q->client, options, &request.base, on_answer, q);
}

static void on_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err); /* the pending call reports it */
}

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct locate *q = ctx;

        q->dial = NULL;
        if (err != NULL) {
                finish(q, err);
                return;
        }
        q->client = rpc_client_new(q->loop, tls, "auth", on_closed, q);
        send_request(q);
}

static void on_known(void *ctx)
{
        finish(ctx, NULL);
}

static struct locate *start(struct locate query)
{
        struct locate *q = NEW(struct locate);

        *q = query;
        q->after = BUF_MAX(LIMIT_RPC);
        return q;
}

struct locate *locate_start(struct loop *l, const struct profile *p, const char *node, const char *login,
                            void (*done)(void *ctx, const char *host_id, struct error *err), void *ctx)
{
        struct locate *q = start((struct locate){ .loop = l, .profile = p, .node = node, .login = login, .done = done, .ctx = ctx });

        if (name_is_host_id(str_of(node)) && strlen(node) <= ID_MAX) {
                memcpy(q->id, node, strlen(node) + 1);
                q->found = 1;
                loop_defer(l, on_known, q);
                return q;
        }
        q->dial = client_dial_auth(l, p, on_dialled, q);
        return q;
}

void locate_cancel(struct locate *q)
{
        struct rpc_client *client = q->client;

        q->client = NULL;
        if (q->dial != NULL)
                client_dial_cancel(q->dial);
        rpc_client_close(client); /* ends a pending call */
}

/* ---- with a loop of its own ------------------------------------------------------------------------------------ */

struct waiting {
        struct loop loop;
        struct arena *arena;
        const char *id;
        struct error *err;
};

static void on_located(void *ctx, const char *host_id, struct error *err)
{
        struct waiting *w = ctx;

        w->err = err;
        if (err == NULL)
                w->id = str_to_c(w->arena, str_of(host_id));
        loop_stop(&w->loop);
}

static struct error *await(struct waiting *w)
{
        loop_run(&w->loop);
        loop_run(&w->loop); /* until the connection is closed */
        loop_release(&w->loop);
        return w->err;
}

struct error *locate(const struct profile *p, const char *node, const char *login, const char **ret_id)
{
        struct waiting w = { .arena = p->arena };

        TRY(loop_init(&w.loop, NULL));
        struct locate *q = locate_start(&w.loop, p, node, login, on_located, &w);
        (void)q; /* it ends by itself */
        struct error *err = await(&w);
        *ret_id = w.id;
        return err;
}

struct error *locate_copy_refusal(const struct profile *p, const char *node, const char *login, const char **ret)
{
        struct waiting w = { .arena = p->arena };

        *ret = "";
        TRY(loop_init(&w.loop, NULL));
        struct locate *q = start((struct locate){ .loop = &w.loop, .profile = p, .node = node, .login = login, .done = on_located, .ctx = &w,
                                                  .ret_copy_refusal = ret });
        q->dial = client_dial_auth(&w.loop, p, on_dialled, q);
        return await(&w);
}
