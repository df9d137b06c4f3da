/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The current users, roles and locks, in memory: read from the store at the start, and updated by watches, so that
 * checks do not wait for the store and see a change as soon as it is committed.
 */
#ifndef AUTH_USERS_DIRECTORY_H
#define AUTH_USERS_DIRECTORY_H

#include "access/access.h"
#include "auth/core/auth.h"
#include "role.pb-c.h"
#include "state/host.h"

struct directory;

/*
 * Reads everything, creates the preset roles that are missing; ready(ctx, err) is called once from the loop. No client
 * may be served before.
 */
struct directory *directory_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* Stops watching the store, so that it can be closed. Look-ups continue to work. */
void directory_stop(struct directory *d);
void directory_close(struct directory *d); /* remaining directory watches are removed */

/* Borrowed until the next turn of the loop; NULL when there is none. revision may be NULL. */
const Cteleport__V1__User *directory_user(const struct directory *d, struct str name, uint64_t *ret_revision);
const Cteleport__V1__Role *directory_role(const struct directory *d, struct str name, uint64_t *ret_revision);

const Cteleport__V1__Lock *directory_lock(const struct directory *d, struct str name, uint64_t *ret_revision);

/* Calls each() for every user, in no particular order. */
void directory_each_user(const struct directory *d, void (*each)(void *ctx, const Cteleport__V1__User *user), void *ctx);

/*
 * The user with the current roles, in the arena (what it points to is valid until the next turn of the loop).
 * NOT_FOUND: no such user; PERMISSION_DENIED: one of the roles does not exist; its deny rules would be missing.
 */
struct error *directory_access_user(const struct directory *d, struct str user, struct arena *a, struct access_user *ret) MUST_USE;

/*
 * Checks that a certificate valid from not_before on was issued to this user: UNAUTHENTICATED if it is older than the
 * user, as it was then issued to a removed user of the same name. No error for a user that does not exist.
 */
struct error *directory_check_issued(const struct directory *d, struct str user, struct walltime not_before) MUST_USE;

/* The subject of a lock check; empty fields match no lock. */
struct lock_subject {
        struct str user, login, host_id, hostname;
        struct str aws_account, aws_arn; /* attested for a host */
        const struct str *roles;         /* of a user */
        size_t role_count;
        char *const *system_roles;       /* of a host */
        size_t system_role_count;
};
/* PERMISSION_DENIED with the lock's message when one is in force; the cause names the lock. */
struct error *directory_check_locks(const struct directory *d, const struct lock_subject *subject) MUST_USE;

/* The same for a host. The host of the Auth Service is never refused its own services. */
struct error *directory_check_host(const struct directory *d, const Cteleport__State__V1__Host *host) MUST_USE;

/* Whether this lock, which has a target, would refuse the host. */
bool directory_would_lock(const struct directory *d, const Cteleport__V1__LockSpec *spec, const Cteleport__State__V1__Host *host);

bool directory_has_locks(const struct directory *d);

/* Grows whenever a lock was written; by it a directory watch can tell whether it concerns locks. */
uint64_t directory_locks_written(const struct directory *d);

/*
 * Calls changed(ctx) from the loop after any lock, role or user was written or removed or a lock expired, until
 * directory_unwatch().
 */
struct directory_watch;
struct directory_watch *directory_watch(struct directory *d, void (*changed)(void *ctx), void *ctx) MUST_USE;
void directory_unwatch(struct directory_watch *w);

#endif
