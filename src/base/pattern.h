/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wildcards of rules: `*` is any run of characters (also empty, also across '/' and ':'), `?` is exactly
 * one where the rule knows it, everything else is itself. Anchored at both ends, case-sensitive,
 * locale-free.
 *
 * Time at most pattern.len * text.len, no recursion, no allocation; the callers bound both lengths.
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/str.h"

/* Whether text matches pattern, with `*` and `?`: the allow rules of tokens. */
bool pattern_match(struct str pattern, struct str text);

/* The same where `*` is the only wildcard and `?` is itself: the labels of roles. */
bool pattern_match_stars(struct str pattern, struct str text);

#endif
