/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /cluster/name: the name of the cluster, written at its first start and never changed.
 */
#ifndef STATE_CLUSTER_H
#define STATE_CLUSTER_H

#include "state/state.h"

/* name borrowed until done returns; "" without err: the cluster has not been started yet. done exactly once from the loop; err owned. */
void cluster_name_get(struct store *s, void (*done)(void *ctx, struct str name, struct error *err), void *ctx);

/* The transaction is ABORTED if there is a name already. */
void cluster_name_create(struct store_txn *t, struct str name);

#endif
