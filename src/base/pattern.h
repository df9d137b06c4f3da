/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wildcard patterns of rules: `*` matches any sequence of characters (also an empty one, also across '/' and ':'), `?`
 * matches exactly one character where the rule supports it, all other characters match themselves. Anchored at both
 * ends, case-sensitive, locale-free.
 *
 * Time at most pattern.len * text.len, no recursion, no allocation; the callers bound both lengths.
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/str.h"

/* Whether text matches pattern, with `*` and `?`: the allow rules of tokens. */
bool pattern_match(struct str pattern, struct str text);

/* The same, but `*` is the only wildcard and `?` matches itself: the labels of roles. */
bool pattern_match_stars(struct str pattern, struct str text);

#endif
