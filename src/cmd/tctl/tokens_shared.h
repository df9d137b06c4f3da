/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several commands do with tokens.
 */
#ifndef CMD_TCTL_TOKENS_SHARED_H
#define CMD_TCTL_TOKENS_SHARED_H

#include "cmd/tctl/session.h"

/* Asks whether it would be refused; writes nothing. */
struct error *token_try(struct session *s, Cteleport__V1__Token *token) MUST_USE;

/* All tokens, those that end first before the others. */
struct error *tokens_list(struct session *s, Cteleport__V1__Token ***ret, size_t *ret_count) MUST_USE;

/* Replaces the names that are secrets by what may be shown of them. */
void tokens_mask(struct arena *arena, Cteleport__V1__Token **tokens, size_t count);

/* The table of `tctl tokens ls`. */
void tokens_put_table(struct buf *out, Cteleport__V1__Token *const *tokens, size_t count, struct walltime now);

#endif
