/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The current users, roles and locks, in memory: read from the store at the start, kept current by
 * watches, so that every check is a look-up and sees a change as soon as it is committed.
 */
#ifndef AUTH_USERS_DIRECTORY_H
#define AUTH_USERS_DIRECTORY_H

#include "access/access.h"
#include "auth/core/auth.h"
#include "role.pb-c.h"
#include "state/host.h"

struct directory;

/*
 * Reads everything, creates the preset roles that are missing; ready(ctx, err) once from the loop.
 * Serve nobody before.
 */
struct directory *directory_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* Follows the store no longer, so that it can be closed; what is known stays for those who still ask. */
void directory_stop(struct directory *d);
void directory_close(struct directory *d); /* watches that are left are ended */

/* Borrowed until the next turn of the loop; NULL when there is none. revision may be NULL. */
const Cteleport__V1__User *directory_user(const struct directory *d, struct str name, uint64_t *ret_revision);
const Cteleport__V1__Role *directory_role(const struct directory *d, struct str name, uint64_t *ret_revision);

const Cteleport__V1__Lock *directory_lock(const struct directory *d, struct str name, uint64_t *ret_revision);

/* Calls each for every user there is, in no order. */
void directory_each_user(const struct directory *d, void (*each)(void *ctx, const Cteleport__V1__User *user), void *ctx);

/*
 * The user with the current roles, in the arena (what it points to: until the next turn). NOT_FOUND: no such user;
 * PERMISSION_DENIED: one of the roles is gone, and with it perhaps what it denied.
 */
struct error *directory_access_user(const struct directory *d, struct str user, struct arena *a, struct access_user *ret) MUST_USE;

/*
 * Whether a certificate that is good from not_before on was issued to this user: UNAUTHENTICATED if it is older than
 * they are, for then it was issued to one of the same name who was removed. Silent about users there are none of.
 */
struct error *directory_check_issued(const struct directory *d, struct str user, struct walltime not_before) MUST_USE;

/* Whom a lock is asked about; empty fields match no lock. */
struct lock_subject {
        struct str user, login, host_id, hostname;
        struct str aws_account, aws_arn; /* that a host was attested as */
        const struct str *roles;         /* of a user */
        size_t role_count;
        char *const *system_roles;       /* of a host */
        size_t system_role_count;
};
/* PERMISSION_DENIED with the lock's message when one is in force; which lock it is goes to the cause. */
struct error *directory_check_locks(const struct directory *d, const struct lock_subject *subject) MUST_USE;

/* The same of a host. The one that the Auth Service runs on is never refused its own services. */
struct error *directory_check_host(const struct directory *d, const Cteleport__State__V1__Host *host) MUST_USE;

/* Whether a lock that says this, and has a target, would shut the host out. */
bool directory_would_lock(const struct directory *d, const Cteleport__V1__LockSpec *spec, const Cteleport__State__V1__Host *host);

bool directory_has_locks(const struct directory *d);

/* Calls changed(ctx) from the loop after any lock, role or user was written or removed or a lock ended; until unwatched. */
struct directory_watch;
struct directory_watch *directory_watch(struct directory *d, void (*changed)(void *ctx), void *ctx) MUST_USE;
void directory_unwatch(struct directory_watch *w);

#endif
