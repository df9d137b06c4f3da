/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: token — which hosts may join the cluster, and in which system roles. Its check is in join/token_check.h.
 */
#ifndef RESOURCE_TOKEN_H
#define RESOURCE_TOKEN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "resource.pb-c.h"

/* Warnings for the author of a token, or of another resource; they do not refuse it. In the arena. */
enum { TOKEN_WARNINGS_MAX = 8 };
struct token_warnings {
        const char *texts[TOKEN_WARNINGS_MAX];
        size_t count;
};

/* Adds a sentence while there is room; warnings may be NULL. */
void token_warn(struct token_warnings *warnings, struct arena *arena, const char *format, ...) PRINTF_LIKE(3, 4);

/* Refuses a token that admits no host any more: metadata.expires has passed. */
struct error *token_check_end(const Cteleport__V1__Token *token, struct walltime now) MUST_USE;

/* Whether metadata.expires has passed. */
bool token_is_expired(const Cteleport__V1__Token *token, struct walltime now);

/*
 * When it ends, for the store; 0: never. A moment beyond what struct walltime can hold (tokens of old
 * guides end in the year 3000) becomes the last one that it can.
 */
struct walltime token_expires(const Cteleport__V1__Token *token);

/* Whether the token gives this role: itself, or Instance through any local service role. */
bool token_gives_role(const Cteleport__V1__Token *token, struct str role);

/* Which fields of a rule are given, even if without a value; each is alone in a oneof. */
static inline bool token_rule_has_account(const Cteleport__V1__TokenRule *rule)
{
        return rule->has_aws_account_case != CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ACCOUNT__NOT_SET;
}
static inline bool token_rule_has_role(const Cteleport__V1__TokenRule *rule)
{
        return rule->has_aws_role_case != CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ROLE__NOT_SET;
}
static inline bool token_rule_has_arn(const Cteleport__V1__TokenRule *rule)
{
        return rule->has_aws_arn_case != CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ARN__NOT_SET;
}

/* How the secret that is a token's name may be shown: the end of it, if it is long. Appends to out. */
enum { TOKEN_SECRET_LENGTH = 16 }; /* shorter secrets can be guessed */
void token_mask(struct str name, struct buf *out);

#endif
