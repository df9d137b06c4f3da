/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wildcards of allow rules: `*` is any run of characters (also empty, also across '/' and ':'), `?` is
 * exactly one, everything else is itself. Anchored at both ends, case-sensitive, locale-free.
 */
#ifndef JOIN_PATTERN_H
#define JOIN_PATTERN_H

#include "base/str.h"

/*
 * Whether text matches pattern. Time at most pattern.len * text.len, no recursion, no allocation; both
 * lengths are bounded by their callers (LIMIT_PATTERN).
 */
bool pattern_match(struct str pattern, struct str text);

#endif
