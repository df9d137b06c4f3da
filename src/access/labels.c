/* SPDX-License-Identifier: Apache-2.0 */
#include "access/labels.h"

#include "base/pattern.h"
#include "base/regex.h"

static bool value_matches(struct str pattern, struct str value, bool otherwise)
{
        struct regex re;

        if (!str_starts_with(pattern, STR("^")) || !str_ends_with(pattern, STR("$")) || pattern.len < 2)
                return pattern_match_stars(pattern, value);
        struct error *err = regex_compile(str_slice(pattern, 1, pattern.len - 2), &re);
        if (err == NULL)
                return regex_match(&re, value);
        error_free(err);
        return otherwise;
}

static bool any_value_matches(const Cteleport__V1__Strings *patterns, struct str value, bool otherwise)
{
        for (size_t i = 0; patterns != NULL && i < patterns->n_values; i++)
                if (value_matches(str_of(patterns->values[i]), value, otherwise))
                        return true;
        return false;
}

static bool has_wildcard(const Cteleport__V1__Strings *patterns)
{
        for (size_t i = 0; patterns != NULL && i < patterns->n_values; i++)
                if (str_equal(str_of(patterns->values[i]), STR("*")))
                        return true;
        return false;
}

static bool pair_matches(const Cteleport__V1__RoleConditions__NodeLabelsEntry *pair, const struct access_label *labels, size_t count,
                         bool otherwise)
{
        struct str key = str_of(pair->key);

        if (str_equal(key, STR("*")))
                return has_wildcard(pair->value);
        for (size_t i = 0; i < count; i++)
                if (str_equal(labels[i].key, key) && any_value_matches(pair->value, labels[i].value, otherwise))
                        return true;
        return false;
}

bool labels_match(const Cteleport__V1__RoleConditions *conditions, const struct access_label *labels, size_t count, bool otherwise)
{
        if (conditions == NULL || conditions->n_node_labels == 0)
                return false;
        for (size_t i = 0; i < conditions->n_node_labels; i++)
                if (!pair_matches(conditions->node_labels[i], labels, count, otherwise))
                        return false;
        return true;
}
