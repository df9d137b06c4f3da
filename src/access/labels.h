/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matches the labels of a node against the label selectors of a role.
 */
#ifndef ACCESS_LABELS_H
#define ACCESS_LABELS_H

#include "access/access.h"

/*
 * Whether every pair of node_labels matches one of the labels; `*: *` matches every node, no pairs match none.
 * Invalid regular expressions are refused when a role is written. Should a stored role have one, `otherwise` is
 * its result: true for deny rules, false for allow rules.
 */
bool labels_match(const Cteleport__V1__RoleConditions *conditions, const struct access_label *labels, size_t count, bool otherwise);

#endif
