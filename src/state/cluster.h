/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /cluster/name: the name of the cluster, written at its first start and never changed.
 */
#ifndef STATE_CLUSTER_H
#define STATE_CLUSTER_H

#include "state/state.h"

/*
 * Reads the name, borrowed until done returns; "" without err: the cluster was never started. done is called exactly
 * once, from the loop; err is owned.
 */
void cluster_name_get(struct store *s, void (*done)(void *ctx, struct str name, struct error *err), void *ctx);

/* Adds the creation of the name to t, which is ABORTED if there is a name already. */
void cluster_name_create(struct store_txn *t, struct str name);

#endif
