/* SPDX-License-Identifier: Apache-2.0 */
#include "join/methods/iam_rules.h"

#include "base/limits.h"
#include "base/names.h"
#include "base/pattern.h"
#include "base/text.h"
#include "resource/token.h"

/* The fifth field of "arn:partition:service:region:account:resource". */
static struct str account_of_pattern(struct str pattern)
{
        for (int field = 0; field < 4; field++)
                str_split(&pattern, ':');
        return str_split(&pattern, ':');
}

static struct str account_of_rule(const Cteleport__V1__TokenRule *rule)
{
        struct str account = str_of(rule->aws_account);

        return str_is_empty(account) ? account_of_pattern(str_of(rule->aws_arn)) : account;
}

static bool decide(bool answer, struct buf *why, const char *sentence)
{
        if (why != NULL)
                buf_put_c(why, sentence);
        return answer;
}

static bool differs(struct buf *why, const char *field, struct str rule, struct str got)
{
        if (why != NULL) {
                buf_printf(why, "%s is '", field);
                escape_text(why, rule, ESCAPE_LIMIT);
                buf_put_c(why, "' in the rule, the caller has '");
                escape_text(why, got, ESCAPE_LIMIT);
                buf_put_c(why, "'");
        }
        return false;
}

/* Whether a field is present with an empty value, which is not the same as an absent field. */
static bool has_empty_field(const Cteleport__V1__TokenRule *rule)
{
        return (token_rule_has_account(rule) && str_is_empty(str_of(rule->aws_account))) ||
               (token_rule_has_arn(rule) && str_is_empty(str_of(rule->aws_arn)));
}

bool iam_rule_matches(const Cteleport__V1__TokenRule *rule, const struct aws_identity *who, struct buf *why)
{
        struct str account = account_of_rule(rule);
        struct str arn = str_of(rule->aws_arn);

        if (has_empty_field(rule))
                return decide(false, why, "it has a field without a value");
        if (rule->n_aws_regions > 0 || token_rule_has_role(rule))
                return decide(false, why, "it has fields of the ec2 join method");
        if (!name_is_aws_account(account))
                return decide(false, why, "it names no account");
        if (!str_equal(account, who->account))
                return differs(why, "aws_account", account, who->account);
        if (str_is_empty(arn))
                return decide(true, why, "the account is equal, and the rule has no ARN");
        if (arn.len > LIMIT_PATTERN || who->arn.len > LIMIT_PATTERN)
                return decide(false, why, "the ARN is too long");
        if (!pattern_match(arn, who->arn))
                return differs(why, "aws_arn", arn, who->arn);
        return decide(true, why, "account and ARN match");
}

int iam_rules_find(const Cteleport__V1__TokenSpec *spec, const struct aws_identity *who)
{
        for (size_t i = 0; i < spec->n_allow && i < LIMIT_TOKEN_RULES; i++)
                if (iam_rule_matches(spec->allow[i], who, NULL))
                        return (int)i;
        return -1;
}
