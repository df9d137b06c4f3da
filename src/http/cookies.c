/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cookies.h"

#include "base/limits.h"

/* The next element of "a=b; c=d", trimmed, and its name. */
static struct str next_element(struct str *rest, struct str *ret_name)
{
        struct str element = str_trim(str_split(rest, ';'));

        *ret_name = str_trim(str_slice(element, 0, str_find_char(element, '=')));
        return element;
}

static struct str value_of(struct str element)
{
        size_t equals = str_find_char(element, '=');

        return equals == element.len ? STR("") : str_trim(str_slice(element, equals + 1, element.len));
}

struct str http_cookie_get(const struct http_fields *f, struct str name)
{
        for (size_t i = http_fields_find(f, "cookie", 0); i < f->count; i = http_fields_find(f, "cookie", i + 1)) {
                struct str rest = f->list[i].value, found;

                while (!str_is_empty(rest)) {
                        struct str element = next_element(&rest, &found);

                        if (str_equal(found, name) && str_find_char(element, '=') < element.len)
                                return value_of(element);
                }
        }
        return (struct str){ 0 };
}

bool http_cookie_is_of_gateway(struct str name)
{
        static const struct str session = STR_INIT("__Host-session"), app = STR_INIT("__Host-grv_");

        return str_equal_nocase(name, session) || str_equal_nocase(str_slice(name, 0, app.len), app);
}

static void put_element(struct buf *out, struct str element)
{
        if (out->len > 0)
                buf_put_c(out, "; ");
        buf_put(out, element);
}

struct error *http_cookies_remove(struct http_fields *f, http_cookie_match *is_ours)
{
        for (size_t i = http_fields_find(f, "cookie", 0); i < f->count; i = http_fields_find(f, "cookie", i)) {
                AUTO(buf) kept = BUF_MAX(2 * LIMIT_HTTP_HEAD);
                struct str rest = f->list[i].value, name;
                bool is_changed = false;

                while (!str_is_empty(rest)) {
                        struct str element = next_element(&rest, &name);

                        if (is_ours(name))
                                is_changed = true;
                        else if (!str_is_empty(element))
                                put_element(&kept, element);
                }
                if (kept.len == 0) {
                        http_fields_remove_at(f, i);
                        continue;
                }
                if (is_changed)
                        TRY(http_fields_replace(f, i, buf_str(&kept)));
                i++;
        }
        return NULL;
}

struct error *http_cookies_confine(struct http_fields *f, http_cookie_match *is_ours)
{
        for (size_t i = http_fields_find(f, "set-cookie", 0); i < f->count; i = http_fields_find(f, "set-cookie", i)) {
                AUTO(buf) kept = BUF_MAX(2 * LIMIT_HTTP_HEAD);
                struct str rest = f->list[i].value, name;
                struct str cookie = next_element(&rest, &name);
                bool is_changed = false;

                if (str_is_empty(name) || str_find_char(cookie, '=') == cookie.len || is_ours(name)) {
                        http_fields_remove_at(f, i);
                        continue;
                }
                buf_put(&kept, cookie);
                while (!str_is_empty(rest)) {
                        struct str attribute = next_element(&rest, &name);

                        if (str_equal_nocase(name, STR("domain")))
                                is_changed = true;
                        else
                                put_element(&kept, attribute);
                }
                if (is_changed)
                        TRY(http_fields_replace(f, i, buf_str(&kept)));
                i++;
        }
        return NULL;
}
