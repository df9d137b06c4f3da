/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /hosts/<host ID>: a joined host. Certificates of a host ID without a record are not accepted.
 */
#ifndef STATE_HOST_H
#define STATE_HOST_H

#include "join/method.h"
#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind host_kind;

/*
 * The attributes that its join method has attested of a host, for Host.aws_account, aws_arn and attributes: host_attributes() borrows
 * from the record; host_set_attributes() adds the recorded ones, the values in the arena, the names borrowed.
 */
void host_attributes(const Cteleport__State__V1__Host *host, struct join_attributes *ret);
void host_set_attributes(Cteleport__State__V1__Host *host, const struct join_attributes *attributes, struct arena *arena);

/*
 * Reads a host, in the arena, with the fields that host_put() leaves out because they follow from others: the ID, and
 * the binding, which is computed from the attributes.
 */
struct error *host_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Host **ret) MUST_USE;

/*
 * Reads the record of a host, borrowed until done returns; NULL without err: there is none. done is called exactly
 * once, from the loop; err is owned.
 */
void host_get(struct store *s, struct str host_id,
              void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err), void *ctx);

void host_require(struct store_txn *t, struct str host_id, uint64_t revision);
void host_put(struct store_txn *t, const Cteleport__State__V1__Host *host, struct walltime expires);
void host_delete(struct store_txn *t, struct str host_id);

/* A copy of the record on the heap. */
Cteleport__State__V1__Host *host_dup(const Cteleport__State__V1__Host *host) MUST_USE;
void host_free(Cteleport__State__V1__Host *host); /* NULL is silent */

#endif
