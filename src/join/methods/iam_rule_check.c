/* SPDX-License-Identifier: Apache-2.0 */
#include "join/methods/iam_rule_check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "join/token_check.h"
#include "resource/token.h"
#include "rpc/pb.h"

/* ---- the parts of a pattern ---------------------------------------------------------------------- */

/*
 * The parts arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE of a pattern. A wildcard may match colons, so the split is
 * approximate.
 */
struct arn_pattern {
        struct str prefix, partition, service, region, account, resource;
};

static struct arn_pattern split_pattern(struct str pattern)
{
        struct arn_pattern p = { 0 };
        struct str *const parts[] = { &p.prefix, &p.partition, &p.service, &p.region, &p.account };

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                *parts[i] = str_split(&pattern, ':');
        p.resource = pattern;
        return p;
}

static bool is_literal(struct str s)
{
        return str_find_char(s, '*') == s.len && str_find_char(s, '?') == s.len;
}

/* The text before the first wildcard. */
static struct str literal_start(struct str s)
{
        size_t star = str_find_char(s, '*'), mark = str_find_char(s, '?');

        return str_slice(s, 0, star < mark ? star : mark);
}

/* ---- patterns that never match --------------------------------------------------------------------- */

/* Whether a text that matches the pattern could begin with `wanted`, as far as the first wildcard tells. */
static bool could_begin(struct str pattern, struct str wanted)
{
        struct str start = literal_start(pattern);

        return start.len < wanted.len && start.len < pattern.len ? str_starts_with(wanted, start)
                                                                 : str_starts_with(start, wanted);
}

/* The name after the last slash, for the message that suggests a pattern. */
static struct str last_part(struct str s)
{
        while (str_find_char(s, '/') < s.len)
                str_split(&s, '/');
        return s;
}

static bool is_known_partition(struct str s)
{
        static const struct str partitions[] = {
                STR_INIT("aws"),     STR_INIT("aws-cn"),    STR_INIT("aws-us-gov"), STR_INIT("aws-eusc"),
                STR_INIT("aws-iso"), STR_INIT("aws-iso-b"), STR_INIT("aws-iso-e"),  STR_INIT("aws-iso-f"),
        };

        for (size_t i = 0; i < ARRAY_LEN(partitions); i++)
                if (str_equal(s, partitions[i]))
                        return true;
        return false;
}

/* Whether a pattern for assumed-role/ROLE/SESSION ends after the role, without the session. */
static bool forgets_session(struct str resource)
{
        struct str rest = resource;

        if (!str_starts_with(resource, STR("assumed-role/")) || !is_literal(resource))
                return false;
        str_split(&rest, '/');
        str_split(&rest, '/');
        return rest.len == 0;
}

/* Why no caller can have such an ARN, or NULL. AWS documents the possible ARNs with the examples of GetCallerIdentity. */
static const char *why_never(struct arena *arena, struct arn_pattern p, const char *account)
{
        if (!could_begin(p.prefix, STR("arn")) || (is_literal(p.partition) && !is_known_partition(p.partition)))
                return "ARNs begin with arn:aws: or arn:aws-cn:, arn:aws-us-gov: and so on";
        if (!is_literal(p.prefix) || !is_literal(p.partition) || !is_literal(p.service) || !is_literal(p.region) ||
            !is_literal(p.account))
                return NULL; /* a wildcard in these fields may match all the following ones */
        if (str_equal(p.service, STR("iam")) && str_starts_with(p.resource, STR("role/"))) {
                AUTO_MEM char *role = escaped(last_part(p.resource));

                return arena_printf(arena, "STS reports who assumed a role, not the role: arn:%.*s:sts::%s:assumed-role/%s/*",
                                    STR_ARG(p.partition), account, role);
        }
        if (forgets_session(p.resource))
                return "STS reports assumed-role/<role>/<session>: add /* at the end";
        if (p.region.len > 0)
                return "the ARNs that STS reports name no region: two colons stand before the account";
        if (str_equal(p.service, STR("sts")) && (could_begin(p.resource, STR("assumed-role/")) ||
                                                 could_begin(p.resource, STR("federated-user/"))))
                return NULL;
        if (str_equal(p.service, STR("iam")) && (could_begin(p.resource, STR("user/")) || could_begin(p.resource, STR("root"))))
                return NULL;
        return "STS reports sts::<account>:assumed-role/<role>/<session>, iam::<account>:user/<name> and the like";
}

/* Whether the pattern admits every role of an account. */
static bool admits_whole_account(struct arn_pattern p)
{
        struct str start = literal_start(p.resource);

        if (!is_literal(p.prefix) || !is_literal(p.partition) || !is_literal(p.service) || !is_literal(p.account))
                return false;
        return start.len < p.resource.len && str_starts_with(STR("assumed-role/"), start);
}

/* ---- the rule ------------------------------------------------------------------------------------ */

static struct error *check_pattern_bytes(struct str pattern, size_t index)
{
        if (pattern.len > LIMIT_PATTERN)
                return error_new(ERROR_INVALID_ARGUMENT, "spec.allow[%zu].aws_arn is longer than %d characters", index,
                                 LIMIT_PATTERN);
        for (size_t i = 0; i < pattern.len; i++)
                if (pattern.ptr[i] <= ' ' || pattern.ptr[i] > '~') {
                        AUTO_MEM char *shown = escaped(pattern);

                        return error_new(ERROR_INVALID_ARGUMENT,
                                         "spec.allow[%zu].aws_arn '%s' has a character that no ARN has", index, shown);
                }
        return NULL;
}

static struct error *check_fields_of_other_methods(const Cteleport__V1__TokenRule *rule, size_t index)
{
        const char *field = rule->n_aws_regions > 0 ? "aws_regions" : token_rule_has_role(rule) ? "aws_role" : NULL;

        if (field == NULL)
                return NULL;
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "spec.allow[%zu].%s is not for join method iam", index, field);
        return error_about(error_hint(err, "a rule of method iam has aws_account and aws_arn"), "spec.allow[%zu].%s", index, field);
}

/* A field with an empty value is an error and differs from an absent field: without an ARN a rule admits the whole account. */
static struct error *check_given(bool is_given, const char *value, const char *field, size_t index)
{
        if (!is_given || !str_is_empty(str_of(value)))
                return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "spec.allow[%zu].%s has no value", index, field),
                                      "give it a value, or leave the key out"),
                           "spec.allow[%zu].%s", index, field);
}

/* Every rule needs an account; a rule with an ARN only gets the account of the ARN. */
static struct error *settle_account(Cteleport__V1__TokenRule *rule, struct arn_pattern p, size_t index, struct arena *arena)
{
        struct str account = str_of(rule->aws_account);

        if (account.len == 0 && !name_is_aws_account(p.account))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "spec.allow[%zu] has no aws_account", index),
                                  "add aws_account: \"<twelve digits>\" to the rule");
        TRY(check_given(token_rule_has_account(rule), rule->aws_account, "aws_account", index));
        if (account.len == 0) {
                rule->aws_account = pb_text(arena_str(arena, p.account).ptr);
                rule->has_aws_account_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ACCOUNT_AWS_ACCOUNT;
                return NULL;
        }
        AUTO_MEM char *shown = escaped(account);
        if (!name_is_aws_account(account))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "spec.allow[%zu].aws_account '%s' is not an AWS account number", index, shown),
                                  "an account number has twelve digits; quote it, or YAML drops leading zeros");
        if (name_is_aws_account(p.account) && !str_equal(p.account, account) && is_literal(p.prefix) &&
            is_literal(p.partition) && is_literal(p.service) && is_literal(p.region))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "spec.allow[%zu] can never match: aws_account is %s, aws_arn names account %.*s",
                                            index, shown, STR_ARG(p.account)),
                                  "all fields of a rule must match; write a rule for each account");
        return NULL;
}

static void warn_of_width(const Cteleport__V1__TokenRule *rule, struct arn_pattern p, size_t index, struct arena *arena,
                          struct token_warnings *warnings)
{
        struct str pattern = str_of(rule->aws_arn);

        if (pattern.len == 0 || str_equal(pattern, STR("*")) || admits_whole_account(p)) {
                token_warn(warnings, arena,
                           "spec.allow[%zu] admits every user and role of AWS account %s, and every EC2 instance through "
                           "its instance identity role; narrow it with aws_arn: arn:aws:sts::%s:assumed-role/<role>/*",
                           index, rule->aws_account, rule->aws_account);
                return;
        }
        const char *why = why_never(arena, p, rule->aws_account);
        AUTO_MEM char *shown = escaped(pattern);
        if (why != NULL)
                token_warn(warnings, arena, "spec.allow[%zu].aws_arn '%s' never matches: %s", index, shown, why);
}

struct error *iam_rule_check(Cteleport__V1__TokenRule *rule, size_t index, struct arena *arena,
                               struct token_warnings *warnings)
{
        struct arn_pattern p = split_pattern(str_of(rule->aws_arn));

        struct error *err = check_fields_of_other_methods(rule, index);
        err = error_also(err, check_given(token_rule_has_arn(rule), rule->aws_arn, "aws_arn", index));
        err = error_also(err, error_about(check_pattern_bytes(str_of(rule->aws_arn), index), "spec.allow[%zu].aws_arn", index));
        if (err == NULL || rule->aws_account != NULL) /* else an error above may be the cause of the missing account */
                err = error_also(err, error_about(settle_account(rule, p, index, arena), "spec.allow[%zu].aws_account", index));
        if (err == NULL)
                warn_of_width(rule, p, index, arena, warnings);
        return err;
}
