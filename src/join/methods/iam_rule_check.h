/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks an allow rule of a token of join method iam when the token is written: its form, and whether any AWS identity
 * could match it.
 */
#ifndef JOIN_METHODS_IAM_RULE_CHECK_H
#define JOIN_METHODS_IAM_RULE_CHECK_H

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "resource.pb-c.h"

struct token_warnings;

/*
 * Checks the rule and makes sure that it names an account: it is taken from an ARN pattern that has twelve digits as
 * its account. index counts from 1.
 */
struct error *iam_rule_check(Cteleport__V1__TokenRule *rule, size_t index, struct arena *arena, struct token_warnings *warnings) MUST_USE;

#endif
