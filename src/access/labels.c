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

static bool pair_matches(struct role_label pair, const struct access_label *labels, size_t count, bool otherwise)
{
        struct str key = str_of(pair.key);

        if (str_equal(key, STR("*")))
                return has_wildcard(pair.values);
        for (size_t i = 0; i < count; i++)
                if (str_equal(labels[i].key, key) && any_value_matches(pair.values, labels[i].value, otherwise))
                        return true;
        return false;
}

bool labels_match(const Cteleport__V1__RoleConditions *conditions, enum role_labels of, const struct access_label *labels, size_t count, bool otherwise)
{
        size_t pairs = role_label_count(conditions, of);

        for (size_t i = 0; i < pairs; i++)
                if (!pair_matches(role_label_at(conditions, of, i), labels, count, otherwise))
                        return false;
        return pairs > 0;
}
