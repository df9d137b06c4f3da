/* SPDX-License-Identifier: Apache-2.0 */
#include "state/invite.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "state/state_internal.h"

const struct state_kind invite_kind = { "invite", STR_INIT("/invites/"), &cteleport__state__v1__invite__descriptor };
const struct state_kind invite_newest_kind = { "entry of a user's invite", STR_INIT("/invited/"), NULL };

void invite_put_id(struct str token, struct buf *out)
{
        uint8_t digest[32];

        sha256(token, digest);
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

struct error *invite_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Invite **ret)
{
        return state_read(a, &invite_kind, r, (ProtobufCMessage **)ret);
}

/* ---- the newest invite of a user ----------------------------------------------------------------------- */

struct get {
        void (*done)(void *ctx, struct str id, uint64_t revision, struct error *err);
        void *ctx;
};

static void on_record(void *ctx, const struct state_record *r, struct error *err)
{
        struct get *g = ctx;
        struct str id = { 0 };

        if (err == NULL && r != NULL && !str_starts_with(r->value, invite_kind.prefix))
                err = error_new(ERROR_DATA_LOSS, "a stored %s cannot be read", invite_newest_kind.name);
        if (err == NULL && r != NULL)
                id = str_slice(r->value, invite_kind.prefix.len, r->value.len);
        g->done(g->ctx, id, err == NULL && r != NULL ? r->revision : 0, err);
        free(g);
}

void invite_newest_get(struct store *s, struct str user, void (*done)(void *ctx, struct str id, uint64_t revision, struct error *err),
                       void *ctx)
{
        struct get *g = NEW(struct get);

        *g = (struct get){ done, ctx };
        state_get(s, &invite_newest_kind, user, on_record, g);
}

void invite_newest_require(struct store_txn *t, struct str user, uint64_t revision)
{
        state_require(t, &invite_newest_kind, user, revision);
}

void invite_newest_put(struct store_txn *t, struct str user, struct str id, struct walltime expires)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        buf_put(&key, invite_kind.prefix); /* the key as stored */
        buf_put(&key, id);
        state_put_text(t, &invite_newest_kind, user, buf_str(&key), expires);
}

void invite_newest_delete(struct store_txn *t, struct str user)
{
        state_delete(t, &invite_newest_kind, user);
}
