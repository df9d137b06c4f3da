/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a token (kind: token): its system roles, and by its join method its name and its allow rules.
 */
#ifndef JOIN_TOKEN_CHECK_H
#define JOIN_TOKEN_CHECK_H

#include "resource/token.h"

/*
 * Checks a token and brings it into canonical form (roles, join_method), in place; new texts live in the arena. INVALID_ARGUMENT
 * says what is wrong, of which field, and what would be right. warnings may be NULL.
 */
struct error *token_check(Cteleport__V1__Token *token, struct arena *arena, struct token_warnings *warnings) MUST_USE;

/* The name as it may be shown: masked when it is a secret, else whole. Appends to out. */
void token_safe_name(const Cteleport__V1__Token *token, struct buf *out);

#endif
