/* SPDX-License-Identifier: Apache-2.0 */
#include "state/name.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "pki/key.h"
#include "rpc/pb.h"

enum { RECORD_ARENA = 64 * KiB, BINDING_DIGEST = 16 };

const struct state_kind name_kind = { "host name", STR_INIT("/names/"), &cteleport__state__v1__name__descriptor };

struct error *name_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Name **ret)
{
        return state_read(a, &name_kind, r, (ProtobufCMessage **)ret);
}

struct get {
        void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err);
        void *ctx;
};

static void on_record(void *ctx, const struct state_record *r, struct error *err)
{
        struct get *g = ctx;
        AUTO_PTR(arena) arena = r == NULL ? NULL : arena_new(RECORD_ARENA);
        Cteleport__State__V1__Name *name = NULL;

        if (err == NULL && r != NULL)
                err = name_read(arena, r, &name);
        g->done(g->ctx, err == NULL ? name : NULL, r == NULL ? 0 : r->revision, err);
        free(g);
}

static struct str put_id(struct str host_name, struct str cluster, struct buf *out)
{
        name_put_canonical(out, host_name, cluster);
        return buf_str(out);
}

void name_get(struct store *s, struct str host_name, struct str cluster,
              void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err), void *ctx)
{
        struct get *g = NEW(struct get);
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        *g = (struct get){ done, ctx };
        state_get(s, &name_kind, put_id(host_name, cluster, &id), on_record, g);
}

void name_require(struct store_txn *t, struct str host_name, struct str cluster, uint64_t revision)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        state_require(t, &name_kind, put_id(host_name, cluster, &id), revision);
}

void name_put(struct store_txn *t, struct str host_name, struct str cluster, struct str host_id, struct str binding, struct walltime expires)
{
        Cteleport__State__V1__Name name = CTELEPORT__STATE__V1__NAME__INIT;
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_MEM char *owner = str_dup(host_id);
        uint8_t digest[32];

        sha256(binding, digest);
        name.host_id = owner;
        name.binding_digest = (ProtobufCBinaryData){ BINDING_DIGEST, digest };
        state_put(t, &name_kind, put_id(host_name, cluster, &id), &name.base, expires);
}

void name_delete(struct store_txn *t, struct str host_name, struct str cluster)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        state_delete(t, &name_kind, put_id(host_name, cluster, &id));
}

bool name_is_bound_to(const Cteleport__State__V1__Name *name, struct str binding)
{
        uint8_t digest[32];

        if (name->binding_digest.len == 0) /* written by an older release */
                return str_equal(str_of(name->binding), binding);
        sha256(binding, digest);
        return str_equal(pb_str(name->binding_digest), str_of_bytes(digest, BINDING_DIGEST));
}
