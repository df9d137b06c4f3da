/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_header.h"

#include "base/field_name.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/trait_template.h"

/* Fields that have a meaning for the connection or for the length of a message. */
static bool is_of_connection(struct str name)
{
        static const struct str names[] = { STR_INIT("connection"), STR_INIT("content-length"), STR_INIT("transfer-encoding"), STR_INIT("upgrade"), STR_INIT("te"),
                                            STR_INIT("trailer"), STR_INIT("keep-alive"), STR_INIT("proxy-connection"), STR_INIT("expect") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]))
                        return true;
        return false;
}

/* Splits the value at its template. */
static struct error *split_value(struct str value, struct app_header *ret)
{
        struct trait_template t;

        if (!trait_template_split(value, &t))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the template of a header is malformed"),
                                  "write at most one {{internal.TRAIT}} or {{external.TRAIT}} in its value");
        ret->before = t.before;
        ret->trait = t.trait;
        ret->after = t.after;
        ret->is_token = t.is_internal && str_equal(t.trait, STR("jwt"));
        return NULL;
}

struct error *app_header_parse(struct str text, struct app_header *ret)
{
        size_t colon = str_find_char(text, ':');
        struct app_header h = { .name = str_slice(text, 0, colon) };
        struct str value = str_trim(str_slice(text, colon + 1, text.len));
        AUTO_MEM char *shown = escaped(h.name);

        if (colon == text.len || !http_is_token(h.name) || !http_is_field_value(value))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' has no name and value of HTTP", shown), "write \"Name: value\"");
        if (http_name_is_of_gateway(h.name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' is one that the cluster sets", shown), "choose another name");
        if (is_of_connection(h.name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' belongs to the connection", shown), "remove it");
        TRY(split_value(value, &h));
        *ret = h;
        return NULL;
}
