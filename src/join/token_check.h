/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a token (kind: token): its system roles, and by its join method its name and its allow rules.
 */
#ifndef JOIN_TOKEN_CHECK_H
#define JOIN_TOKEN_CHECK_H

#include "resource/token.h"

/*
 * Checks a token and brings it into canonical form (roles, join_method), in place; new texts live in the arena.
 * INVALID_ARGUMENT names the field, the problem and the valid values. warnings may be NULL.
 */
struct error *token_check(Cteleport__V1__Token *token, struct arena *arena, struct token_warnings *warnings) MUST_USE;

/* Appends the name for display to out: masked when it is a secret. */
void token_safe_name(const Cteleport__V1__Token *token, struct buf *out);

#endif
