/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /names/<host name, canonical form>: the host that has a name, and the binding (host.h) of hosts that may take it
 * over.
 *
 * Only a digest of the binding is stored, to save space: there is a record for each host, and the binding itself is
 * never shown.
 */
#ifndef STATE_NAME_H
#define STATE_NAME_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind name_kind;

struct error *name_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Name **ret) MUST_USE;

/* Names in any spelling; cluster: that of this cluster, whose names are host names too (name_put_canonical). As host_get(). */
void name_get(struct store *s, struct str host_name, struct str cluster,
              void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err), void *ctx);

void name_require(struct store_txn *t, struct str host_name, struct str cluster, uint64_t revision);
void name_put(struct store_txn *t, struct str host_name, struct str cluster, struct str host_id, struct str binding, struct walltime expires);
void name_delete(struct store_txn *t, struct str host_name, struct str cluster);

bool name_is_bound_to(const Cteleport__State__V1__Name *name, struct str binding);

#endif
