/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: token — defines which hosts may join the cluster and their system roles. join/token_check.h validates it.
 */
#ifndef RESOURCE_TOKEN_H
#define RESOURCE_TOKEN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "resource.pb-c.h"

/* Warnings for the author of a token or another resource, which is accepted nevertheless. In the arena. */
enum { TOKEN_WARNINGS_MAX = 8 };
struct token_warnings {
        const char *texts[TOKEN_WARNINGS_MAX];
        size_t count;
};

/* Adds a sentence while there is room; warnings may be NULL. */
void token_warn(struct token_warnings *warnings, struct arena *arena, const char *format, ...) PRINTF_LIKE(3, 4);

/* Refuses a token that has expired: metadata.expires is in the past. */
struct error *token_check_end(const Cteleport__V1__Token *token, struct walltime now) MUST_USE;

/* Whether metadata.expires has passed. */
bool token_is_expired(const Cteleport__V1__Token *token, struct walltime now);

/*
 * The expiry of a token, for the store; 0: never. A time beyond the range of struct walltime (tokens of old guides use
 * the year 3000) becomes the last one in range.
 */
struct walltime token_expires(const Cteleport__V1__Token *token);

/* Whether the token gives this role. Any local service role implies Instance. */
bool token_gives_role(const Cteleport__V1__Token *token, struct str role);

/* Whether a field of a rule is given, even without a value; each field is a oneof of its own. */
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

/* Appends the masked form of a secret token name to out: its end, if it is long. */
enum { TOKEN_SECRET_LENGTH = 16 }; /* shorter secrets can be guessed */
void token_mask(struct str name, struct buf *out);

#endif
