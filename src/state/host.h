/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /hosts/<host ID>: a host that may hold certificates. Without its record no certificate of that ID is honoured.
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
 * In the arena, with what host_put() leaves out because the rest of the record says it: the ID, and the binding that follows from the
 * attributes.
 */
struct error *host_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Host **ret) MUST_USE;

/* host borrowed until done returns; NULL without err: there is none. done exactly once from the loop; err owned. */
void host_get(struct store *s, struct str host_id,
              void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err), void *ctx);

void host_require(struct store_txn *t, struct str host_id, uint64_t revision);
void host_put(struct store_txn *t, const Cteleport__State__V1__Host *host, struct walltime expires);
void host_delete(struct store_txn *t, struct str host_id);

/* A copy of the record on the heap, for those who keep it. */
Cteleport__State__V1__Host *host_dup(const Cteleport__State__V1__Host *host) MUST_USE;
void host_free(Cteleport__State__V1__Host *host); /* NULL is silent */

#endif
