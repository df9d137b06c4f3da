/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Password hashes with argon2id (RFC 9106), computed on the thread pool: a few at a time, with a bounded queue.
 */
#ifndef LOGIN_PASSWORD_H
#define LOGIN_PASSWORD_H

#include "base/error.h"
#include "base/str.h"

struct loop;

enum { PASSWORD_SALT_SIZE = 16 };

/*
 * Checks a new password: UTF-8, LIMIT_PASSWORD_MIN characters, LIMIT_PASSWORD bytes at most, no control characters, not
 * all the same, not the user's name. INVALID_ARGUMENT with a hint.
 */
struct error *password_check_new(struct str password, struct str user) MUST_USE;

/* The cost of one hash: memory in KiB and passes over it. */
struct password_cost {
        uint32_t memory, passes;
};
/* RFC 9106 section 4, the second choice, on one lane: some 150 ms of one core. */
extern const struct password_cost password_cost_usual;

struct passwords;

/* Loads libargon2 (base/library.h), before the sandbox and passwords_new(). FAILED_PRECONDITION if it is missing. */
struct error *passwords_load(void) MUST_USE;

/* Creates the queue of a process. l must outlive it and its running jobs. */
struct passwords *passwords_new(struct loop *l, struct password_cost cost) MUST_USE;
/* Frees the queue. Waiting requests end with CANCELLED before this returns; running jobs are completed in the background. */
void passwords_free(struct passwords *p);

/*
 * Hashes a password: done is called exactly once, from the loop, with the encoded form ("$argon2id$…"; borrowed until
 * done returns). salt must be new and random. source is the client's source: at most LIMIT_PASSWORD_WAITING_SOURCE
 * requests of one source wait, and LIMIT_PASSWORD_WAITING in all; beyond that RESOURCE_EXHAUSTED. Inputs are copied,
 * and wiped.
 */
void password_hash(struct passwords *p, struct str source, struct str password, const uint8_t salt[PASSWORD_SALT_SIZE],
                   void (*done)(void *ctx, struct str encoded, struct error *err), void *ctx);

/*
 * Verifies the password against the encoded form. With an empty form (the user does not exist) the work is the same and
 * the result false.
 */
void password_verify(struct passwords *p, struct str source, struct str password, struct str encoded,
                     void (*done)(void *ctx, bool is_right, struct error *err), void *ctx);

#endif
