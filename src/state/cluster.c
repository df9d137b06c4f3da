/* SPDX-License-Identifier: Apache-2.0 */
#include "state/cluster.h"

#include <stdlib.h>

#include "base/mem.h"
#include "state/state_internal.h"

const struct state_kind cluster_kind = { "name of the cluster", STR_INIT("/cluster/"), NULL };

#define NAME STR("name")

struct get {
        void (*done)(void *ctx, struct str name, struct error *err);
        void *ctx;
};

static void on_record(void *ctx, const struct state_record *r, struct error *err)
{
        struct get *g = ctx;

        if (err == NULL && r != NULL && str_is_empty(r->value))
                err = error_new(ERROR_DATA_LOSS, "the stored name of the cluster cannot be read");
        g->done(g->ctx, err == NULL && r != NULL ? r->value : STR(""), err);
        free(g);
}

void cluster_name_get(struct store *s, void (*done)(void *ctx, struct str name, struct error *err), void *ctx)
{
        struct get *g = NEW(struct get);

        *g = (struct get){ done, ctx };
        state_get(s, &cluster_kind, NAME, on_record, g);
}

void cluster_name_create(struct store_txn *t, struct str name)
{
        state_require(t, &cluster_kind, NAME, 0);
        state_put_text(t, &cluster_kind, NAME, name, (struct walltime){ 0 });
}
