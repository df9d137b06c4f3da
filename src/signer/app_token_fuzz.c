/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a user, the name of a trait and its value, separated by zero bytes. Property: no text ends the JSON string in which it stands, so that the claims of a token
 * have the same structure for all users.
 */
#include "signer/app_token.h"

#include "base/bug.h"
#include "base/limits.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Quotes that begin or end a string. */
static size_t count_quotes(struct str json)
{
        size_t count = 0;

        for (size_t i = 0; i < json.len; i++) {
                if ((uint8_t)json.ptr[i] < ' ')
                        bug("a control byte in the claims");
                if (json.ptr[i] == '\\')
                        i++;
                else
                        count += json.ptr[i] == '"';
        }
        return count;
}

static size_t quotes_of(struct str user, struct str name, struct str value)
{
        const struct app_token_trait trait = { name, &value, 1 };
        const struct app_token token = { .cluster = STR("example.com"), .user = user, .uri = value, .roles = &name, .role_count = 1, .traits = &trait, .trait_count = 1 };
        AUTO(buf) out = BUF_MAX(1 * MiB);

        app_token_put_claims(&token, &out);
        if (out.overflowed || !text_is_utf8(buf_str(&out)) || !str_ends_with(buf_str(&out), STR("\"exp\":0}")))
                bug("the claims are not whole");
        return count_quotes(buf_str(&out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str rest = str_of_bytes(data, size < 16 * KiB ? size : 16 * KiB);
        struct str user = str_split(&rest, '\0'), name = str_split(&rest, '\0'), value = str_split(&rest, '\0');

        if (!text_is_utf8(user) || !text_is_utf8(name) || !text_is_utf8(value))
                return 0;
        if (quotes_of(user, name, value) != quotes_of(STR(""), STR(""), STR("")))
                bug("a text ends its string");
        return 0;
}
