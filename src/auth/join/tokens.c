/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/tokens.h"

#include <stdlib.h>

#include "auth/core/record_cache.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "resource/token.h"
#include "rpc/rpc.h"

/* A stored token has at most LIMIT_STORE_VALUE bytes; decoded it needs a few times that. */
enum { TOKEN_ARENA = 4 * LIMIT_STORE_VALUE };

void token_found_release(struct token_found *f)
{
        arena_free(f->arena);
        *f = (struct token_found){ 0 };
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

struct find {
        struct auth *auth;
        void (*done)(void *ctx, struct token_found *found, struct error *err);
        void *ctx;
        char *name; /* NULL: only the key of the record is known */
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

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct find *f = ctx;
        Cteleport__V1__Token *token = NULL;

        if (err != NULL || record == NULL) {
                find_finish(f, NULL, err);
                return;
        }
        f->found.arena = arena_new(TOKEN_ARENA);
        f->found.revision = record->revision;
        err = token_read(f->found.arena, record, &token);
        /* The record was found by a digest. The name, which may be a secret, is compared in constant time. */
        if (err == NULL && f->name != NULL && !secret_equal(str_of(token->metadata->name), str_of(f->name)))
                err = error_new(ERROR_DATA_LOSS, "a stored token has another name than its key");
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

/* Compares all static tokens, so that the time does not depend on the match. */
static const struct static_token *find_static(const struct auth *a, struct str name)
{
        const struct static_token *hit = NULL;

        for (size_t i = 0; i < a->static_token_count; i++)
                if (secret_equal(a->static_tokens[i].secret, name))
                        hit = &a->static_tokens[i];
        return hit;
}

static void find_from(struct find *f, const struct static_token *st, struct str id)
{
        if (st != NULL) {
                f->found.arena = arena_new(TOKEN_ARENA);
                f->found.token = token_of_static(f->found.arena, st);
                loop_defer(&f->auth->loop, on_static, f);
                return;
        }
        if (f->auth->tokens != NULL)
                record_cache_get(f->auth->tokens, id, on_record, f);
        else
                state_get(f->auth->store, &token_kind, id, on_record, f);
}

void token_find(struct auth *a, struct str name, void (*done)(void *ctx, struct token_found *found, struct error *err),
                void *ctx)
{
        struct find *f = NEW(struct find);
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .auth = a, .done = done, .ctx = ctx, .name = str_dup(name) };
        token_put_id(name, &id);
        find_from(f, find_static(a, name), buf_str(&id));
}

void token_find_of_host(struct auth *a, const Cteleport__State__V1__Host *host,
                        void (*done)(void *ctx, struct token_found *found, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);
        const struct static_token *hit = NULL;
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .auth = a, .done = done, .ctx = ctx };
        token_put_id_of_host(host, &id);
        for (size_t i = 0; i < a->static_token_count; i++) {
                AUTO(buf) other = BUF_MAX(LIMIT_STORE_KEY);

                token_put_id(a->static_tokens[i].secret, &other);
                if (str_equal(buf_str(&other), buf_str(&id)))
                        hit = &a->static_tokens[i];
        }
        find_from(f, hit, buf_str(&id));
}
