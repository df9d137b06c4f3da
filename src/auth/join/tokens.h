/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks up join tokens: static ones from teleport.yaml and dynamic ones in the store.
 */
#ifndef AUTH_JOIN_TOKENS_H
#define AUTH_JOIN_TOKENS_H

#include "auth/core/auth.h"
#include "resource.pb-c.h"
#include "state/token.h"

/* A token found for a join. */
struct token_found {
        const Cteleport__V1__Token *token; /* lives in arena */
        struct arena *arena;               /* owned */
        uint64_t revision;                 /* 0: static */
        bool is_expired;
};
void token_found_release(struct token_found *f);

/*
 * Looks up a token by name; done is called exactly once, from the loop. found is borrowed and may be taken over by
 * copying the struct and zeroing *found; NULL without err: there is none.
 */
void token_find(struct auth *a, struct str name, void (*done)(void *ctx, struct token_found *found, struct error *err),
                void *ctx);

/*
 * The same for the token with which a host has joined, by its name. A host that joined without a token ("local") has
 * none. Never NOT_FOUND.
 */
void token_find_of_host(struct auth *a, const Cteleport__State__V1__Host *host,
                        void (*done)(void *ctx, struct token_found *found, struct error *err), void *ctx);

/* The static tokens of teleport.yaml as resources, in the arena. */
size_t static_tokens_list(struct auth *a, struct arena *arena, Cteleport__V1__Token ***ret);

#endif
