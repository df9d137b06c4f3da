/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the labels of a node are those that a role speaks of.
 */
#ifndef ACCESS_LABELS_H
#define ACCESS_LABELS_H

#include "access/access.h"

/*
 * Whether every pair of node_labels matches one of the labels; `*: *` matches every node, no pairs match
 * none. A value that is no regular expression although it looks like one was refused when the role was
 * written; should one be met, `otherwise` says what it does: true where it denies, false where it allows.
 */
bool labels_match(const Cteleport__V1__RoleConditions *conditions, const struct access_label *labels, size_t count, bool otherwise);

#endif
