/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/trait_template.h"

#include "base/field_name.h"

static const struct str opening = STR_INIT("{{"), closing = STR_INIT("}}");

static size_t find(struct str s, struct str part)
{
        size_t at = 0;

        while (at < s.len && !str_starts_with(str_slice(s, at, s.len), part))
                at++;
        return at;
}

bool trait_template_split(struct str text, struct trait_template *ret)
{
        size_t begin = find(text, opening), end = find(text, closing);

        *ret = (struct trait_template){ .before = text };
        if (begin == text.len && end == text.len)
                return true;
        if (end == text.len || end < begin)
                return false;
        struct str inside = str_trim(str_slice(text, begin + opening.len, end - begin - opening.len));
        struct str kind = str_split(&inside, '.');
        *ret = (struct trait_template){ str_slice(text, 0, begin), inside, str_slice(text, end + closing.len, text.len), str_equal(kind, STR("internal")) };
        return (ret->is_internal || str_equal(kind, STR("external"))) && http_is_token(inside) && find(ret->after, opening) == ret->after.len &&
               find(ret->after, closing) == ret->after.len;
}
