/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /passwords/<user>: the credentials of a user: the hash of the password and the one-time key. The only record with
 * secrets of users.
 */
#ifndef STATE_CREDENTIAL_H
#define STATE_CREDENTIAL_H

#include "base/limits.h"
#include "base/secret.h"
#include "base/source.h"
#include "state/state.h"

extern const struct state_kind credential_kind;

/* A user's password and one-time key in memory. A zeroed struct means that the user has none. */
struct credential {
        struct str hash; /* owned; "": none */
        struct secret totp_key;
        int64_t last_step; /* last used time step of the one-time code; codes up to it are refused */
        int64_t changed;   /* Unix seconds */
        char sources[LIMIT_LOGIN_SOURCES][SOURCE_TEXT_MAX]; /* of successful logins, newest last */
        size_t source_count;
        uint64_t revision; /* 0: no stored record */
};
void credential_release(struct credential *c);

/* r NULL gives an empty one. DATA_LOSS when the record cannot be read. */
struct error *credential_read(const struct state_record *r, struct credential *ret) MUST_USE;
void credential_put(struct store_txn *t, struct str user, const struct credential *c);

bool credential_knows(const struct credential *c, const char *source);
/* Adds the source as the newest one; the oldest is dropped when there are too many. */
void credential_add_source(struct credential *c, const char *source);

/* Deletes password, one-time key and invite of a user: with the user, or before a reset. */
void credentials_delete(struct store_txn *t, struct str user);

#endif
