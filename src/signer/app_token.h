/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of a token that an application receives (Teleport-Jwt-Assertion), and its form: a JSON Web Token (RFC 7519) with
 * Teleport's claims.
 */
#ifndef SIGNER_APP_TOKEN_H
#define SIGNER_APP_TOKEN_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/key.h"

struct app_token_trait {
        struct str name;
        const struct str *values;
        size_t value_count;
};

/* All texts are borrowed, and UTF-8. */
struct app_token {
        struct str cluster, user, uri;
        const struct str *roles;
        size_t role_count;
        const struct app_token_trait *traits; /* no two of one name */
        size_t trait_count;
        struct walltime issued, not_before, not_after;
};

/* Appends the claims: iss, sub and username, aud, roles, traits, iat, nbf, exp. */
void app_token_put_claims(const struct app_token *t, struct buf *out);

/*
 * Appends the signed token. id: of the key (jwk.h). RESOURCE_EXHAUSTED if it is larger than LIMIT_APP_TOKEN.
 */
struct error *app_token_sign(const struct app_token *t, const struct key *k, struct str id, struct buf *out) MUST_USE;

#endif
