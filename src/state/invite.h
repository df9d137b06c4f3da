/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /invites/<SHA-256 of the token, hexadecimal>: an invite, with which a user sets a password; it expires by itself.
 * /invited/<user>: the key of the user's newest invite; an older one is not accepted.
 */
#ifndef STATE_INVITE_H
#define STATE_INVITE_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind invite_kind;

/* The ID of the invite with this token; a digest, as of join tokens (token.h). */
void invite_put_id(struct str token, struct buf *out);

struct error *invite_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Invite **ret) MUST_USE;

/*
 * Reads the ID of the user's newest invite, borrowed until done returns, and the revision of this entry. Both are empty
 * without err when the user has none. done is called exactly once, from the loop; err is owned.
 */
void invite_newest_get(struct store *s, struct str user, void (*done)(void *ctx, struct str id, uint64_t revision, struct error *err),
                       void *ctx);
void invite_newest_require(struct store_txn *t, struct str user, uint64_t revision);
void invite_newest_put(struct store_txn *t, struct str user, struct str id, struct walltime expires);
void invite_newest_delete(struct store_txn *t, struct str user);

#endif
