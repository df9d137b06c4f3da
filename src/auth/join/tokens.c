/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/tokens.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "resource/token.h"
#include "rpc/rpc.h"

/* How long an ended token stays so that a refusal can say "expired at …" instead of "not found". */
#define EXPIRED_TOKEN_KEPT HOURS(24)

/* A stored token is bounded by LIMIT_STORE_VALUE; unpacked it takes a few times that. */
enum { TOKEN_ARENA = 4 * LIMIT_STORE_VALUE };

void token_key(struct str name, struct buf *out)
{
        uint8_t digest[32];

        sha256(name, digest);
        buf_put(out, TOKEN_PREFIX);
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

void token_found_release(struct token_found *f)
{
        arena_free(f->arena);
        *f = (struct token_found){ 0 };
}

struct error *token_unpack(struct arena *arena, const struct store_item *item, Cteleport__V1__Token **ret)
{
        ProtobufCMessage *msg = NULL;
        struct error *err = wire_decode(arena, &cteleport__v1__token__descriptor, item->value, &msg);

        if (err != NULL)
                return error_because(error_new(ERROR_DATA_LOSS, "a stored token cannot be read"), err);
        *ret = (Cteleport__V1__Token *)msg;
        if ((*ret)->metadata == NULL || (*ret)->spec == NULL)
                return error_new(ERROR_DATA_LOSS, "a stored token has no metadata or spec");
        (*ret)->metadata->revision =
                (char *)arena_printf(arena, "%llu", (unsigned long long)item->revision);
        return NULL;
}

struct walltime token_store_expiry(const Cteleport__V1__Token *token)
{
        struct walltime end = token_expires(token);

        if (end.ns == 0 || end.ns > INT64_MAX - EXPIRED_TOKEN_KEPT.ns) /* the year 3000 of old guides: not in this store's time */
                return (struct walltime){ 0 };
        return walltime_add(end, EXPIRED_TOKEN_KEPT);
}

static Cteleport__V1__Token *token_of_static(struct arena *arena, const struct static_token *st)
{
        Cteleport__V1__Token *token = arena_alloc(arena, sizeof *token);
        Cteleport__V1__Metadata *metadata = arena_alloc(arena, sizeof *metadata);
        Cteleport__V1__TokenSpec *spec = arena_alloc(arena, sizeof *spec);
        Cteleport__V1__Metadata__LabelsEntry *origin = arena_alloc(arena, sizeof *origin);

        cteleport__v1__token__init(token);
        cteleport__v1__metadata__init(metadata);
        cteleport__v1__token_spec__init(spec);
        cteleport__v1__metadata__labels_entry__init(origin);
        origin->key = (char *)"teleport.dev/origin";
        origin->value = (char *)"config-file";
        metadata->name = (char *)str_to_c(arena, st->secret);
        metadata->labels = arena_alloc(arena, sizeof *metadata->labels);
        metadata->labels[0] = origin;
        metadata->n_labels = 1;
        spec->join_method = (char *)"token";
        spec->roles = arena_alloc(arena, st->role_count * sizeof *spec->roles);
        for (size_t i = 0; i < st->role_count; i++)
                spec->roles[spec->n_roles++] = (char *)str_to_c(arena, st->roles[i]);
        token->kind = (char *)"token";
        token->version = (char *)"v2";
        token->metadata = metadata;
        token->spec = spec;
        return token;
}

size_t static_tokens_list(struct auth *a, struct arena *arena, Cteleport__V1__Token ***ret)
{
        *ret = arena_alloc(arena, a->static_token_count * sizeof **ret);
        for (size_t i = 0; i < a->static_token_count; i++)
                (*ret)[i] = token_of_static(arena, &a->static_tokens[i]);
        return a->static_token_count;
}

void token_key_of_host(const Cteleport__State__V1__Host *host, struct buf *out)
{
        struct str secret = STR("token:"), binding = str_of(host->binding);

        if (!str_is_empty(str_of(host->token_key))) {
                buf_put_c(out, host->token_key);
        } else if (str_starts_with(binding, secret)) { /* the name is the secret; its digest is the binding */
                buf_put(out, TOKEN_PREFIX);
                buf_put(out, str_slice(binding, secret.len, binding.len));
        } else {
                token_key(str_of(host->token_name), out);
        }
}

struct find {
        struct auth *auth;
        void (*done)(void *ctx, struct token_found *found, struct error *err);
        void *ctx;
        char *name; /* NULL: looked for by its key */
        struct token_found found;
};

static void find_finish(struct find *f, struct token_found *found, struct error *err)
{
        f->done(f->ctx, found, err);
        token_found_release(&f->found);
        if (f->name != NULL)
                wipe(f->name, strlen(f->name));
        free(f->name);
        free(f);
}

static bool is_kept_under(const Cteleport__V1__Token *token, struct str key)
{
        AUTO(buf) own = BUF_MAX(LIMIT_STORE_KEY);

        token_key(str_of(token->metadata->name), &own);
        return str_equal(buf_str(&own), key);
}

static void on_item(void *ctx, const struct store_item *item, struct error *err)
{
        struct find *f = ctx;
        Cteleport__V1__Token *token = NULL;

        if (err != NULL || item == NULL) {
                find_finish(f, NULL, err);
                return;
        }
        f->found.arena = arena_new(TOKEN_ARENA);
        f->found.revision = item->revision;
        err = token_unpack(f->found.arena, item, &token);
        /* The digest decided; the name itself is compared in constant time, for it may be the secret. */
        if (err == NULL && (f->name == NULL ? !is_kept_under(token, item->key) : !secret_equal(str_of(token->metadata->name), str_of(f->name))))
                err = error_new(ERROR_DATA_LOSS, "a stored token does not have the name it is kept under");
        if (err != NULL) {
                find_finish(f, NULL, err);
                return;
        }
        f->found.token = token;
        f->found.is_expired = token_is_expired(token, loop_wall(&f->auth->loop));
        find_finish(f, &f->found, NULL);
}

static void on_static(void *ctx)
{
        struct find *f = ctx;

        find_finish(f, &f->found, NULL);
}

/* Compares with every static token, the same work whichever fits. */
static const struct static_token *find_static(const struct auth *a, struct str name)
{
        const struct static_token *hit = NULL;

        for (size_t i = 0; i < a->static_token_count; i++)
                if (secret_equal(a->static_tokens[i].secret, name))
                        hit = &a->static_tokens[i];
        return hit;
}

static void find_from(struct find *f, const struct static_token *st, struct str key)
{
        if (st != NULL) {
                f->found.arena = arena_new(TOKEN_ARENA);
                f->found.token = token_of_static(f->found.arena, st);
                loop_defer(&f->auth->loop, on_static, f);
                return;
        }
        store_get(f->auth->store, key, on_item, f);
}

void token_find(struct auth *a, struct str name, void (*done)(void *ctx, struct token_found *found, struct error *err),
                void *ctx)
{
        struct find *f = NEW(struct find);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .auth = a, .done = done, .ctx = ctx, .name = str_dup(name) };
        token_key(name, &key);
        find_from(f, find_static(a, name), buf_str(&key));
}

void token_find_of_host(struct auth *a, const Cteleport__State__V1__Host *host,
                        void (*done)(void *ctx, struct token_found *found, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);
        const struct static_token *hit = NULL;
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .auth = a, .done = done, .ctx = ctx };
        token_key_of_host(host, &key);
        for (size_t i = 0; i < a->static_token_count; i++) {
                AUTO(buf) other = BUF_MAX(LIMIT_STORE_KEY);

                token_key(a->static_tokens[i].secret, &other);
                if (str_equal(buf_str(&other), buf_str(&key)))
                        hit = &a->static_tokens[i];
        }
        find_from(f, hit, buf_str(&key));
}
