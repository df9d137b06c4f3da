/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matches the labels of a resource against the label selectors of a role.
 */
#ifndef ACCESS_LABELS_H
#define ACCESS_LABELS_H

#include "access/access.h"

/*
 * user  whose traits the templates of values stand for: values of traits are compared as they are. NULL: templates match nothing.
 *
 * Whether every pair of the selector matches one of the labels; `*: *` matches every resource, no pairs match none.
 * Invalid regular expressions, other templates, and templates as names of labels are refused when a role is written. Should a stored role have one,
 * `otherwise` is its result: true for deny rules, false for allow rules.
 */
bool labels_match(const struct access_user *user, const Cteleport__V1__RoleConditions *conditions, enum role_labels of, const struct access_label *labels, size_t count,
                  bool otherwise);

#endif
