/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rotation of the cluster's CAs: the steps that an administrator or the schedule takes.
 *
 * A step is written to the store with its audit event, then requested from the signer, and then in effect here: the new CAs are
 * trusted by this process before a host learns of them. A start takes the step again that a crash interrupted. The signer's own
 * phase counts if it is neither the stored one nor the one before: one of the two was restored from a backup.
 *
 * Hosts take over a step by new certificates, which they request when the revision of the CAs changes (presence.h). A step is
 * refused while connected hosts have not taken over the last one, as the next would cut them off. The CA jwt has no such hosts.
 */
#ifndef AUTH_CERTS_ROTATION_H
#define AUTH_CERTS_ROTATION_H

#include "api.pb-c.h"
#include "auth/core/auth.h"

struct rotation;

/* Reads the records, and takes the step that a crash interrupted. done is called once, from the loop; err is owned. */
struct rotation *rotation_open(struct auth *a, void (*done)(void *ctx, struct error *err), void *ctx) MUST_USE;
void rotation_close(struct rotation *r);

/*
 * Takes a step. done is called exactly once, from the loop. INVALID_ARGUMENT for an unknown type or phase; FAILED_PRECONDITION for a
 * step that does not follow, or while hosts have not taken over the last one; UNAVAILABLE if the step is stored, and the signer
 * takes it later. by: the administrator, for the audit log; request and by are borrowed until done.
 */
void rotation_step(struct rotation *r, const Cteleport__V1__RotateRequest *request, struct str by,
                   void (*done)(void *ctx, struct error *err), void *ctx);

/* Fills the state of the rotation of that type of CA; texts are in the arena. */
void rotation_describe(const struct rotation *r, const char *type, struct arena *arena, Cteleport__V1__AuthorityStatus *ret);

/* Whether hosts take over the steps of that type of CA. Those of the CA jwt concern applications only. */
bool rotation_has_followers(const char *type);

/* Whether a rotation is in progress. */
bool rotation_is_active(const struct rotation *r);

/* Hosts that are connected and have certificates of an earlier revision of the CAs. */
enum { HOSTS_BEHIND_NAMED = 5 };
struct hosts_behind {
        uint32_t count;
        struct buf names[HOSTS_BEHIND_NAMED]; /* of some */
};
void hosts_behind_release(struct hosts_behind *h);
/* Counts them. done is called exactly once, from the loop; found is owned by the callee's caller until it returns. */
void rotation_find_behind(struct rotation *r, void (*done)(void *ctx, const struct hosts_behind *found, struct error *err), void *ctx);

/*
 * A warning for each rotation whose step is due and waits, in the arena. behind: what rotation_find_behind has found; NULL if no
 * rotation is in progress.
 */
enum { ROTATION_WARNINGS = 3 }; /* one for each type */
size_t rotation_warnings(const struct rotation *r, const struct hosts_behind *behind, struct arena *arena, char *ret[ROTATION_WARNINGS]);

#endif
