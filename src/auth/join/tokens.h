/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join tokens as the Auth Service finds and keeps them: static ones from teleport.yaml, dynamic ones in
 * the store.
 */
#ifndef AUTH_JOIN_TOKENS_H
#define AUTH_JOIN_TOKENS_H

#include "auth/core/auth.h"
#include "resource.pb-c.h"
#include "state.pb-c.h"

/*
 * Where a token is kept. The key is a digest of the name: for method `token` the name is the secret,
 * and an index over secrets would tell by its timing how much of a guess was right.
 */
void token_key(struct str name, struct buf *out);
#define TOKEN_PREFIX STR("/tokens/")

/* A token found for a join. */
struct token_found {
        const Cteleport__V1__Token *token; /* lives in arena */
        struct arena *arena;               /* owned */
        uint64_t revision;                 /* 0: static */
        bool is_expired;
};
void token_found_release(struct token_found *f);

/*
 * Looks for a token by name; done exactly once from the loop. found is borrowed and may be taken over by
 * copying the struct and zeroing *found; NULL without err: there is none.
 */
void token_find(struct auth *a, struct str name, void (*done)(void *ctx, struct token_found *found, struct error *err),
                void *ctx);

/*
 * The same for the token that a host has joined with: the one that has its name now. NOT_FOUND never; a host that
 * joined with none ("local") has none.
 */
void token_find_of_host(struct auth *a, const Cteleport__State__V1__Host *host,
                        void (*done)(void *ctx, struct token_found *found, struct error *err), void *ctx);
/* Where it is kept. */
void token_key_of_host(const Cteleport__State__V1__Host *host, struct buf *out);

/* The static tokens of teleport.yaml as resources, in the arena. */
size_t static_tokens_list(struct auth *a, struct arena *arena, Cteleport__V1__Token ***ret);

/* Unpacks a stored token; DATA_LOSS if the store holds something else. */
struct error *token_unpack(struct arena *arena, const struct store_item *item, Cteleport__V1__Token **ret) MUST_USE;

/* When an item of this token leaves the store: a while after its end, so that refusals can name the end. */
struct walltime token_store_expiry(const Cteleport__V1__Token *token);

#endif
