/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of nodes.
 */
#ifndef CMD_TSH_NODES_H
#define CMD_TSH_NODES_H

#include "base/buf.h"
#include "resource.pb-c.h"

/* The host ID, "" without one. */
const char *node_id(const Cteleport__V1__Node *node);

/* Verbose tables have the IDs, all labels and complete cells. */
void nodes_put_table(struct buf *out, Cteleport__V1__Node *const *nodes, size_t count, bool is_verbose);

#endif
