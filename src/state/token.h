/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /tokens/<SHA-256 of the name, hexadecimal>: a join token, as the resource's message.
 *
 * The ID is a digest: for method `token` the name is the secret, and the timing of a look-up in an index of secrets would tell
 * how much of a guess was right.
 */
#ifndef STATE_TOKEN_H
#define STATE_TOKEN_H

#include "resource.pb-c.h"
#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind token_kind;

/* The ID of the token with this name. */
void token_put_id(struct str name, struct buf *out);
/* The ID of the token that a host has joined with. */
void token_put_id_of_host(const Cteleport__State__V1__Host *host, struct buf *out);
/*
 * Sets the token with which a host joins in its record: Host.token_key, unless it follows from other fields. key is
 * storage for the text.
 */
void token_set_of_host(Cteleport__State__V1__Host *host, struct str name, struct buf *key);

/*
 * Reads a token, in the arena, with metadata.revision. DATA_LOSS also for a token without metadata or spec, or when its
 * name does not match the key of its record.
 */
struct error *token_read(struct arena *a, const struct state_record *r, Cteleport__V1__Token **ret) MUST_USE;

void token_require(struct store_txn *t, struct str name, uint64_t revision);
void token_require_of_host(struct store_txn *t, const Cteleport__State__V1__Host *host, uint64_t revision);
/* The record stays 24 hours beyond the token's end, so that a refusal can state when it expired. metadata.revision is cleared. */
void token_put(struct store_txn *t, Cteleport__V1__Token *token);
/* The time at which the record of the token expires: 0 for never. */
struct walltime token_record_end(const Cteleport__V1__Token *token);
void token_delete(struct store_txn *t, struct str name);

#endif
