/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of all records of a store that no process has open, for `teleport store check`.
 */
#ifndef STATE_STATE_CHECK_H
#define STATE_STATE_CHECK_H

#include "state/state.h"

/*
 * Whether the item is a record of a known kind that this program can read. DATA_LOSS, naming the key, if it cannot be decoded;
 * UNIMPLEMENTED if no kind has such keys.
 */
struct error *state_check_item(const struct store_item *item) MUST_USE;

/* The name of the cluster, if the item is the record of it; else "". */
struct str state_cluster_name(const struct store_item *item);

#endif
