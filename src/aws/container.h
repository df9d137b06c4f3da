/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container gets its role's credentials: ECS, EKS pod identity, Greengrass and their like.
 */
#ifndef AWS_CONTAINER_H
#define AWS_CONTAINER_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Writes the URL that the two variables (empty when unset) name; RELATIVE wins. Plain http goes only to this
 * machine and to the link-local addresses of ECS and EKS, since the answer is a secret; https goes anywhere.
 * INVALID_ARGUMENT says which variable is wrong, and why.
 */
struct error *container_url(struct str relative, struct str full, struct buf *out) MUST_USE;

/* INVALID_ARGUMENT unless the text can be the value of an Authorization header. */
struct error *container_token_check(struct str token, const char *where) MUST_USE;

#endif
