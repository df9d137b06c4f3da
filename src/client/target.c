/* SPDX-License-Identifier: Apache-2.0 */
#include "client/target.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

static struct error *parse_login(struct arena *a, struct str *text, struct target *ret)
{
        size_t equals = str_find_char(*text, '='), at = equals;

        /* The last '@' before labels, because account names of a directory may contain '@' (me@corp.example.com). */
        ret->login = NULL;
        while (at > 0 && (at == equals || text->ptr[at] != '@'))
                at--;
        if (text->len == 0 || text->ptr[at] != '@')
                return NULL;
        struct str login = str_slice(*text, 0, at);
        if (!name_is_login(login)) {
                AUTO_MEM char *shown = escaped(login);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be the name of an account on a node", shown),
                                  "write login@node; 'tsh status' shows your logins");
        }
        ret->login = str_to_c(a, login);
        *text = str_slice(*text, at + 1, text->len);
        return NULL;
}

static struct error *parse_node(struct arena *a, struct str node, const char *cluster, struct target *ret)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        if (!name_is_host(str_ends_with(node, STR(".")) ? str_slice(node, 0, node.len - 1) : node)) {
                AUTO_MEM char *shown = escaped(node);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be the name of a node", shown),
                                  "names have letters, digits, '.' and '-' only; 'tsh ls' lists the nodes there are");
        }
        name_put_canonical(&canonical, node, str_of(cluster));
        ret->node = str_to_c(a, buf_str(&canonical));
        ret->labels = NULL;
        return NULL;
}

struct error *target_parse(struct arena *a, struct str text, const char *cluster, struct target *ret)
{
        TRY(parse_login(a, &text, ret));
        /* Labels are only compared, but text with a leading dash was probably meant as an option of ssh. */
        if (str_find_char(text, '=') == text.len || str_starts_with(text, STR("-")))
                return parse_node(a, text, cluster, ret);
        ret->node = NULL;
        ret->labels = str_to_c(a, text);
        return ret->labels == NULL ? error_new(ERROR_INVALID_ARGUMENT, "the labels cannot be read") : NULL;
}

struct error *target_parse_address(struct arena *a, struct str text, const char *cluster, struct target *ret)
{
        int64_t port;

        TRY(parse_login(a, &text, ret));
        size_t colon = str_find_char(text, ':');
        if (colon < text.len)
                TRY(parse_int(str_slice(text, colon + 1, text.len), 0, UINT16_MAX, "port", &port));
        return parse_node(a, str_slice(text, 0, colon), cluster, ret);
}

bool target_split_path(struct str argument, struct str *ret_target, struct str *ret_path)
{
        size_t colon = str_find_char(argument, ':');

        if (colon == 0 || colon == argument.len || str_find_char(argument, '/') < colon)
                return false;
        *ret_target = str_slice(argument, 0, colon);
        *ret_path = str_slice(argument, colon + 1, argument.len);
        return true;
}
