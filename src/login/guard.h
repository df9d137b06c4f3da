/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard against guessing: how many wrong logins are checked before further ones are refused unchecked.
 *
 *      a user from one source     LIMIT_LOGIN_FAILURES, then that pair waits
 *      a user from everywhere     LIMIT_LOGIN_FAILURES_USER an hour; beyond, only attempts from places are checked
 *                                 from which this user logged in before: an attacker cannot lock a user out
 *      all users from one source  LIMIT_LOGIN_FAILURES_SOURCE; places known for the user are spared
 *
 * A user that does not exist is counted like one that does; an attacker who tries every name learns only which users logged in
 * from the same source. Lives in memory: bounded, and gone with the process.
 */
#ifndef LOGIN_GUARD_H
#define LOGIN_GUARD_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/source.h"

/* A zeroed guard is ready. Owner may touch nothing. */
struct guard {
        struct map tallies;
};
void guard_release(struct guard *g);

/* One attempt to log in: who claims to be whom, from where. Borrowed. */
struct guard_attempt {
        struct str user, source;
        bool is_known; /* the user logged in from this source before */
};

/*
 * Whether the attempt is checked at all; then it counts as failed from now on, so that many at once are not
 * better than one after the other: guard_passed() or guard_undecided() take that back.
 * RESOURCE_EXHAUSTED with a hint when it is not; nothing is counted then.
 */
struct error *guard_enter(struct guard *g, const struct guard_attempt *a, struct instant now) MUST_USE;

/* It was right: the pair begins anew. */
void guard_passed(struct guard *g, const struct guard_attempt *a, struct instant now);

/* It was neither right nor wrong: trouble of ours. */
void guard_undecided(struct guard *g, const struct guard_attempt *a, struct instant now);

/* A new password: nothing is held against the user any more. */
void guard_forgive(struct guard *g, struct str user);

/* Whether attempts for this user are at present checked from known places only. */
bool guard_is_closed(const struct guard *g, struct str user, struct instant now);

#endif
