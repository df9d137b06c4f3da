/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One allow rule of a token of method iam: what it must say, and whether AWS could ever satisfy it.
 * Only token.c uses it.
 */
#ifndef RESOURCE_TOKEN_RULE_H
#define RESOURCE_TOKEN_RULE_H

#include "resource/token.h"

/*
 * Checks the rule and makes sure that it names an account: an ARN pattern with twelve digits in the
 * account's place lends them. index is from 1.
 */
struct error *token_rule_check(Cteleport__V1__TokenRule *rule, size_t index, struct arena *arena,
                               struct token_warnings *warnings) MUST_USE;

/* Adds a sentence while there is room; warnings may be NULL. */
void token_warn(struct token_warnings *warnings, struct arena *arena, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
