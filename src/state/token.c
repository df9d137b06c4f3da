/* SPDX-License-Identifier: Apache-2.0 */
#include "state/token.h"

#include "base/limits.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/token.h"
#include "rpc/pb.h"

/* How long the record of an expired token stays, for refusals that say "expired at …" instead of "not found". */
#define EXPIRED_TOKEN_KEPT HOURS(24)

const struct state_kind token_kind = { "token", STR_INIT("/tokens/"), &cteleport__v1__token__descriptor };

void token_put_id(struct str name, struct buf *out)
{
        uint8_t digest[32];

        sha256(name, digest);
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

void token_put_id_of_host(const Cteleport__State__V1__Host *host, struct buf *out)
{
        struct str secret = STR("token:"), binding = str_of(host->binding), key = str_of(host->token_key);

        if (str_starts_with(key, token_kind.prefix))
                buf_put(out, str_slice(key, token_kind.prefix.len, key.len));
        else if (str_starts_with(binding, secret)) /* the name is the secret; its digest is the binding */
                buf_put(out, str_slice(binding, secret.len, binding.len));
        else
                token_put_id(str_of(host->token_name), out);
}

void token_set_of_host(Cteleport__State__V1__Host *host, struct str name, struct buf *key)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY), derived = BUF_MAX(LIMIT_STORE_KEY);

        host->token_key = pb_text("");
        token_put_id(name, &id);
        token_put_id_of_host(host, &derived);
        if (str_equal(buf_str(&id), buf_str(&derived)))
                return;
        buf_put(key, token_kind.prefix); /* the key as stored */
        buf_put(key, buf_str(&id));
        host->token_key = pb_text(buf_c(key));
}

struct error *token_read(struct arena *a, const struct state_record *r, Cteleport__V1__Token **ret)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        ProtobufCMessage *msg = NULL;

        TRY(state_read_resource(a, &token_kind, r, &msg));
        Cteleport__V1__Token *token = (Cteleport__V1__Token *)msg;
        if (token->spec == NULL)
                return error_new(ERROR_DATA_LOSS, "a stored token has no spec");
        token_put_id(str_of(token->metadata->name), &id);
        if (!str_equal(buf_str(&id), r->id))
                return error_new(ERROR_DATA_LOSS, "a stored token has another name than its key");
        *ret = token;
        return NULL;
}

struct walltime token_record_end(const Cteleport__V1__Token *token)
{
        struct walltime end = token_expires(token);

        if (end.ns == 0 || end.ns > INT64_MAX - EXPIRED_TOKEN_KEPT.ns) /* no end, or beyond the store's range (year 3000) */
                return (struct walltime){ 0 };
        return walltime_add(end, EXPIRED_TOKEN_KEPT);
}

void token_require(struct store_txn *t, struct str name, uint64_t revision)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        token_put_id(name, &id);
        state_require(t, &token_kind, buf_str(&id), revision);
}

void token_require_of_host(struct store_txn *t, const Cteleport__State__V1__Host *host, uint64_t revision)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        token_put_id_of_host(host, &id);
        state_require(t, &token_kind, buf_str(&id), revision);
}

void token_put(struct store_txn *t, Cteleport__V1__Token *token)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        token_put_id(str_of(token->metadata->name), &id);
        token->metadata->revision = pb_text(""); /* the record in the store has the revision */
        state_put(t, &token_kind, buf_str(&id), &token->base, token_record_end(token));
}

void token_delete(struct store_txn *t, struct str name)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        token_put_id(name, &id);
        state_delete(t, &token_kind, buf_str(&id));
}
