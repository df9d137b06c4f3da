/* SPDX-License-Identifier: Apache-2.0 */
#include "access/labels.h"

#include "base/pattern.h"
#include "base/regex.h"
#include "resource/trait_template.h"
#include "resource/user.h"

/* One selector against the labels of a resource. */
struct matching {
        const struct access_user *user;
        const struct access_label *labels;
        size_t count;
        bool otherwise;
};

/* Whether the value is one of the user's trait, between the texts of the template. An empty value of a trait stands for nothing. */
static bool template_matches(const struct access_user *user, const struct trait_template *t, struct str value)
{
        const Cteleport__V1__StringList *traits = user == NULL || user->record == NULL ? NULL : user_trait(user->record, t->trait);

        if (traits == NULL || value.len <= t->before.len + t->after.len || !str_starts_with(value, t->before) || !str_ends_with(value, t->after))
                return false;
        struct str middle = str_slice(value, t->before.len, value.len - t->before.len - t->after.len);
        for (size_t i = 0; i < traits->n_values; i++)
                if (str_equal(str_of(traits->values[i]), middle))
                        return true;
        return false;
}

static bool value_matches(const struct matching *m, struct str pattern, struct str value)
{
        struct trait_template t;
        struct regex re;

        if (str_contains(pattern, STR("{{")))
                return trait_template_split(pattern, &t) ? template_matches(m->user, &t, value) : m->otherwise;
        if (!str_starts_with(pattern, STR("^")) || !str_ends_with(pattern, STR("$")) || pattern.len < 2)
                return pattern_match_stars(pattern, value);
        struct error *err = regex_compile(str_slice(pattern, 1, pattern.len - 2), &re);
        if (err == NULL)
                return regex_match(&re, value);
        error_free(err);
        return m->otherwise;
}

static bool any_value_matches(const struct matching *m, const Cteleport__V1__Strings *patterns, struct str value)
{
        for (size_t i = 0; patterns != NULL && i < patterns->n_values; i++)
                if (value_matches(m, str_of(patterns->values[i]), value))
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

static bool pair_matches(const struct matching *m, struct role_label pair)
{
        struct str key = str_of(pair.key);

        if (str_equal(key, STR("*")))
                return has_wildcard(pair.values);
        if (str_contains(key, STR("{{")))
                return m->otherwise;
        for (size_t i = 0; i < m->count; i++)
                if (str_equal(m->labels[i].key, key) && any_value_matches(m, pair.values, m->labels[i].value))
                        return true;
        return false;
}

bool labels_match(const struct access_user *user, const Cteleport__V1__RoleConditions *conditions, enum role_labels of, const struct access_label *labels, size_t count,
                  bool otherwise)
{
        const struct matching m = { .user = user, .labels = labels, .count = count, .otherwise = otherwise };
        size_t pairs = role_label_count(conditions, of);

        for (size_t i = 0; i < pairs; i++)
                if (!pair_matches(&m, role_label_at(conditions, of, i)))
                        return false;
        return pairs > 0;
}
