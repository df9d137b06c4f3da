/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the URL from which a container gets the credentials of its role: ECS, EKS pod identity, Greengrass and similar.
 */
#ifndef AWS_CONTAINER_H
#define AWS_CONTAINER_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Writes the URL that the two variables (empty when unset) name; RELATIVE wins. Plain http is accepted only for this
 * machine and for the link-local addresses of ECS and EKS, since the answer is a secret; https is accepted for every
 * host. INVALID_ARGUMENT names the wrong variable and the reason.
 */
struct error *container_url(struct str relative, struct str full, struct buf *out) MUST_USE;

/* INVALID_ARGUMENT unless the text can be the value of an Authorization header. */
struct error *container_token_check(struct str token, const char *where) MUST_USE;

#endif
