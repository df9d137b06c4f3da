/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions for tokens that several commands share.
 */
#ifndef CMD_TCTL_TOKENS_SHARED_H
#define CMD_TCTL_TOKENS_SHARED_H

#include "cmd/tctl/session.h"

/* Lets the cluster check the token without a write. */
struct error *token_try(struct session *s, Cteleport__V1__Token *token) MUST_USE;

/* All tokens, sorted by expiry. */
struct error *tokens_list(struct session *s, Cteleport__V1__Token ***ret, size_t *ret_count) MUST_USE;

/* Masks the names that are secrets. */
void tokens_mask(struct arena *arena, Cteleport__V1__Token **tokens, size_t count);

/* A name a line, for programs. Names that are secrets are left out unless requested: a masked name is of no use to a program. */
void tokens_put_names(struct buf *out, Cteleport__V1__Token *const *tokens, size_t count, bool with_secrets);

/* The table of `tctl tokens ls`. */
void tokens_put_table(struct buf *out, Cteleport__V1__Token *const *tokens, size_t count, struct walltime now);

#endif
