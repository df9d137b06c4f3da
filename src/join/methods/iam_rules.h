/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matches the identity attested by STS against the allow rules of an IAM join token: all fields of at least one rule
 * must match.
 */
#ifndef JOIN_METHODS_IAM_RULES_H
#define JOIN_METHODS_IAM_RULES_H

#include "base/buf.h"
#include "base/str.h"
#include "resource.pb-c.h"

/* An AWS identity as attested by STS. */
struct aws_identity {
        struct str account; /* twelve digits */
        struct str arn;
        struct str user_id;
};

/*
 * Whether the rule admits the identity. A rule without an account (neither aws_account nor a literal one in the ARN
 * pattern), or with fields of other join methods, admits none. why (may be NULL) gets the reason as a sentence.
 */
bool iam_rule_matches(const Cteleport__V1__TokenRule *rule, const struct aws_identity *who, struct buf *why);

/* Position of the first rule that matches, or -1. Rules are never combined. */
int iam_rules_find(const Cteleport__V1__TokenSpec *spec, const struct aws_identity *who);

#endif
