/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords as argon2id hashes (RFC 9106), worked out on the pool: a few at a time, a bounded number
 * waiting, none of it on the loop.
 */
#ifndef LOGIN_PASSWORD_H
#define LOGIN_PASSWORD_H

#include "base/error.h"
#include "base/str.h"

struct loop;

enum { PASSWORD_SALT_SIZE = 16 };

/*
 * Whether a new password will do: UTF-8, LIMIT_PASSWORD_MIN characters, LIMIT_PASSWORD bytes at most, no
 * control characters, not all the same, not the user's name. INVALID_ARGUMENT with a hint.
 */
struct error *password_check_new(struct str password, struct str user) MUST_USE;

/* What one hash costs: memory in KiB and passes over it. */
struct password_cost {
        uint32_t memory, passes;
};
/* RFC 9106 section 4, the second choice, on one lane: some 150 ms of one core. */
extern const struct password_cost password_cost_usual;

struct passwords;

/* The work of one process. l must outlive it, and what is under way. */
struct passwords *passwords_new(struct loop *l, struct password_cost cost) MUST_USE;
/* Waiting requests are answered with CANCELLED, from this call. Work under way on the pool ends by itself. */
void passwords_free(struct passwords *p);

/*
 * Hashes a password: done exactly once from the loop, with the encoded form ("$argon2id$…"; borrowed until
 * done returns). salt is fresh and random. source names who asked: of each only LIMIT_PASSWORD_WAITING_SOURCE
 * wait, of all LIMIT_PASSWORD_WAITING; beyond that RESOURCE_EXHAUSTED. Inputs are copied, and wiped.
 */
void password_hash(struct passwords *p, struct str source, struct str password, const uint8_t salt[PASSWORD_SALT_SIZE],
                   void (*done)(void *ctx, struct str encoded, struct error *err), void *ctx);

/*
 * Whether the password is that of the encoded form. With an empty one (there is no such user) the work is the same
 * and the answer false.
 */
void password_verify(struct passwords *p, struct str source, struct str password, struct str encoded,
                     void (*done)(void *ctx, bool is_right, struct error *err), void *ctx);

#endif
