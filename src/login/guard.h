/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limit against guessing of passwords: after a number of failed logins, further ones are refused without a check.
 *
 *      a user from one source     LIMIT_LOGIN_FAILURES, then that pair waits
 *      a user from everywhere     LIMIT_LOGIN_FAILURES_USER an hour; beyond, only attempts from sources are checked
 *                                 from which this user logged in before: an attacker cannot lock a user out
 *      all users from one source  LIMIT_LOGIN_FAILURES_SOURCE; sources known for the user are exempt
 *
 * A user that does not exist is counted like one that does; an attacker who tries every name learns only which users
 * logged in from the same source. The state is in memory, of bounded size, and lost when the process ends.
 */
#ifndef LOGIN_GUARD_H
#define LOGIN_GUARD_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/source.h"

/* A zeroed guard is ready for use. The owner must not access its fields. */
struct guard {
        struct map counters;
};
void guard_release(struct guard *g);

/* One attempt to log in: the claimed user and the source. Borrowed. */
struct guard_attempt {
        struct str user, source;
        bool is_known; /* the user logged in from this source before */
};

/*
 * Admits an attempt to the password check, and counts it as failed until guard_passed() or guard_undecided() undoes
 * that, so that concurrent attempts have no advantage. RESOURCE_EXHAUSTED with a hint when it is refused; nothing is
 * counted then.
 */
struct error *guard_enter(struct guard *g, const struct guard_attempt *a, struct instant now) MUST_USE;

/* The attempt succeeded: resets the counter of the user and source. */
void guard_passed(struct guard *g, const struct guard_attempt *a, struct instant now);

/* The attempt could not be checked because of an internal error. */
void guard_undecided(struct guard *g, const struct guard_attempt *a, struct instant now);

/* Resets the counters of a user, who has a new password. */
void guard_reset_user(struct guard *g, struct str user);

/* Whether only attempts from known sources are checked for this user now. */
bool guard_is_closed(const struct guard *g, struct str user, struct instant now);

#endif
