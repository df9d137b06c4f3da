/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow rules of an IAM join token against what STS said: one single rule must match wholly.
 */
#ifndef JOIN_METHODS_IAM_RULES_H
#define JOIN_METHODS_IAM_RULES_H

#include "base/buf.h"
#include "base/str.h"
#include "resource.pb-c.h"

/* An identity as STS attested it, and as nothing else can. */
struct aws_identity {
        struct str account; /* twelve digits */
        struct str arn;
        struct str user_id;
};

/*
 * Whether rule admits who. A rule without an account (neither aws_account nor a literal one in the
 * ARN pattern) admits nobody, as does one with fields of other join methods: absence never permits.
 * With why (may be NULL) says in a sentence what decided.
 */
bool iam_rule_matches(const Cteleport__V1__TokenRule *rule, const struct aws_identity *who, struct buf *why);

/* Position of the first rule that matches, or -1. Rules are never combined. */
int iam_rules_find(const Cteleport__V1__TokenSpec *spec, const struct aws_identity *who);

#endif
