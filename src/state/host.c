/* SPDX-License-Identifier: Apache-2.0 */
#include "state/host.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "rpc/pb.h"

enum { RECORD_ARENA = 64 * KiB, BINDING_MAX = 4 * KiB };

const struct state_kind host_kind = { "host record", STR_INIT("/hosts/"), &cteleport__state__v1__host__descriptor };

void host_binding_iam(struct str account, struct str arn, struct buf *out)
{
        struct str stable = arn;
        struct str assumed = STR(":assumed-role/");
        size_t resource = 0;

        /* The sixth field of an ARN begins behind the fifth colon. */
        for (int colons = 0; colons < 5 && resource < arn.len; resource++)
                if (arn.ptr[resource] == ':')
                        colons++;
        if (resource > 0 && str_starts_with(str_slice(arn, resource - 1, arn.len), assumed)) {
                struct str role = str_slice(arn, resource - 1 + assumed.len, arn.len);

                stable = str_slice(arn, 0, resource - 1 + assumed.len + str_find_char(role, '/'));
        }
        buf_put_c(out, "iam:");
        buf_put(out, account);
        buf_put_char(out, ':');
        buf_put(out, stable);
}

void host_binding_token(struct str token_name, struct buf *out)
{
        uint8_t digest[32];

        sha256(token_name, digest);
        buf_put_c(out, "token:");
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

struct error *host_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Host **ret)
{
        ProtobufCMessage *msg = NULL;

        TRY(state_read(a, &host_kind, r, &msg));
        Cteleport__State__V1__Host *host = (Cteleport__State__V1__Host *)msg;
        if (str_is_empty(str_of(host->host_id)))
                host->host_id = pb_text(arena_str(a, r->id).ptr);
        if (str_is_empty(str_of(host->binding)) && !str_is_empty(str_of(host->aws_account))) {
                AUTO(buf) binding = BUF_MAX(BINDING_MAX);

                host_binding_iam(str_of(host->aws_account), str_of(host->aws_arn), &binding);
                host->binding = pb_text(arena_str(a, buf_str(&binding)).ptr);
        }
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
        host_binding_iam(str_of(host->aws_account), str_of(host->aws_arn), &derived);
        if (!str_is_empty(str_of(host->aws_account)) && str_equal(str_of(host->binding), buf_str(&derived)))
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
