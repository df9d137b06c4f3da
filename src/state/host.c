/* SPDX-License-Identifier: Apache-2.0 */
#include "state/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/mem.h"
#include "rpc/pb.h"

enum { RECORD_ARENA = 64 * KiB, BINDING_MAX = 4 * KiB };

const struct state_kind host_kind = { "host record", STR_INIT("/hosts/"), &cteleport__state__v1__host__descriptor };

/* These two attributes have fields of their own in the record. */
static const char *const AWS_ACCOUNT = "account", *const AWS_ARN = "arn";

void host_attributes(const Cteleport__State__V1__Host *host, struct join_attributes *ret)
{
        *ret = (struct join_attributes){ 0 };
        if (!str_is_empty(str_of(host->aws_account))) {
                join_attributes_add(ret, AWS_ACCOUNT, str_of(host->aws_account), true);
                join_attributes_add(ret, AWS_ARN, str_of(host->aws_arn), true);
        }
        for (size_t i = 0; i < host->n_attributes && ret->count < JOIN_ATTRIBUTES_MAX; i++)
                join_attributes_add(ret, host->attributes[i]->name, str_of(host->attributes[i]->value), true);
}

void host_set_attributes(Cteleport__State__V1__Host *host, const struct join_attributes *attributes, struct arena *arena)
{
        host->attributes = arena_alloc(arena, JOIN_ATTRIBUTES_MAX * sizeof *host->attributes);
        for (size_t i = 0; i < attributes->count; i++) {
                const struct join_attribute *a = &attributes->list[i];

                if (!a->is_recorded)
                        continue;
                if (strcmp(a->name, AWS_ACCOUNT) == 0) {
                        host->aws_account = pb_text(str_to_c(arena, a->value));
                } else if (strcmp(a->name, AWS_ARN) == 0) {
                        host->aws_arn = pb_text(str_to_c(arena, a->value));
                } else {
                        Cteleport__State__V1__HostAttribute *other = arena_alloc(arena, sizeof *other);

                        cteleport__state__v1__host_attribute__init(other);
                        other->name = pb_text(a->name);
                        other->value = pb_text(str_to_c(arena, a->value));
                        host->attributes[host->n_attributes++] = other;
                }
        }
}

/* Computes the binding from the attributes. false: a method without attributes, whose binding depends on a secret. */
static bool derive_binding(const Cteleport__State__V1__Host *host, struct buf *out)
{
        const struct join_method *method = join_method_find(str_of(host->join_method));
        struct join_attributes attributes;

        host_attributes(host, &attributes);
        if (method == NULL || attributes.count == 0)
                return false;
        method->put_binding(STR(""), &attributes, out);
        return true;
}

struct error *host_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Host **ret)
{
        ProtobufCMessage *msg = NULL;

        TRY(state_read(a, &host_kind, r, &msg));
        Cteleport__State__V1__Host *host = (Cteleport__State__V1__Host *)msg;
        if (str_is_empty(str_of(host->host_id)))
                host->host_id = pb_text(arena_str(a, r->id).ptr);
        AUTO(buf) binding = BUF_MAX(BINDING_MAX);
        if (str_is_empty(str_of(host->binding)) && derive_binding(host, &binding))
                host->binding = pb_text(arena_str(a, buf_str(&binding)).ptr);
        *ret = host;
        return NULL;
}

struct get {
        void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
        void *ctx;
};

static void on_record(void *ctx, const struct state_record *r, struct error *err)
{
        struct get *g = ctx;
        AUTO_PTR(arena) arena = r == NULL ? NULL : arena_new(RECORD_ARENA);
        Cteleport__State__V1__Host *host = NULL;

        if (err == NULL && r != NULL)
                err = host_read(arena, r, &host);
        g->done(g->ctx, err == NULL ? host : NULL, r == NULL ? 0 : r->revision, err);
        free(g);
}

void host_get(struct store *s, struct str host_id,
              void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err), void *ctx)
{
        struct get *g = NEW(struct get);

        *g = (struct get){ done, ctx };
        state_get(s, &host_kind, host_id, on_record, g);
}

void host_require(struct store_txn *t, struct str host_id, uint64_t revision)
{
        state_require(t, &host_kind, host_id, revision);
}

void host_put(struct store_txn *t, const Cteleport__State__V1__Host *host, struct walltime expires)
{
        Cteleport__State__V1__Host stored = *host;
        AUTO(buf) derived = BUF_MAX(BINDING_MAX);

        stored.host_id = pb_text("");
        if (derive_binding(host, &derived) && str_equal(str_of(host->binding), buf_str(&derived)))
                stored.binding = pb_text("");
        state_put(t, &host_kind, str_of(host->host_id), &stored.base, expires);
}

void host_delete(struct store_txn *t, struct str host_id)
{
        state_delete(t, &host_kind, host_id);
}

Cteleport__State__V1__Host *host_dup(const Cteleport__State__V1__Host *host)
{
        size_t size = cteleport__state__v1__host__get_packed_size(host);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        cteleport__state__v1__host__pack(host, bytes);
        Cteleport__State__V1__Host *copy = cteleport__state__v1__host__unpack(NULL, size, bytes);
        if (copy == NULL)
                bug("a host record that was just packed cannot be read");
        return copy;
}

void host_free(Cteleport__State__V1__Host *host)
{
        if (host != NULL)
                cteleport__state__v1__host__free_unpacked(host, NULL);
}
