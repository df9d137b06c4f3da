/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How people prove who they are, as the store keeps it: a password and a one-time key for each user, and
 * the invites with which they set them.
 *
 *      /passwords/<user>            what a login is compared with
 *      /invites/<sha256 of token>   an invite; expires by itself
 *      /invited/<user>              which of them is the user's: an elder one is good for nothing
 */
#ifndef AUTH_USERS_CREDENTIALS_H
#define AUTH_USERS_CREDENTIALS_H

#include "base/limits.h"
#include "base/secret.h"
#include "login/guard.h"
#include "state.pb-c.h"
#include "store/store.h"

void password_key(struct str user, struct buf *out);
void invite_key(struct str token, struct buf *out);
void invited_key(struct str user, struct buf *out);

/* A user's password and one-time key in memory. A zeroed one is that of a user who has none. */
struct credential {
        struct str hash; /* owned; "": none */
        struct secret totp_key;
        int64_t last_step; /* of the one-time code; steps up to it are used */
        int64_t changed;   /* Unix seconds */
        char sources[LIMIT_LOGIN_SOURCES][SOURCE_TEXT_MAX]; /* of successful logins, newest last */
        size_t source_count;
        uint64_t revision; /* 0: there is none in the store */
};
void credential_release(struct credential *c);

/* From what the store has; NULL gives an empty one. DATA_LOSS if it is something else. */
struct error *credential_read(const struct store_item *item, struct credential *ret) MUST_USE;
/* Adds the put to t. */
void credential_put(struct store_txn *t, struct str user, const struct credential *c);

bool credential_knows(const struct credential *c, const char *source);
/* Makes the source the newest of those known; the oldest goes when there are too many. */
void credential_add_source(struct credential *c, const char *source);

/* Ends password, one-time key and invite of a user: with the user, or before a reset. */
void credentials_forget(struct store_txn *t, struct str user);

#endif
