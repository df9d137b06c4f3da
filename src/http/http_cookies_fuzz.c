/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: after the gateway's cookies were removed, or a backend's confined, a browser's or a server's reading of the fields finds no
 * cookie of the gateway and no attribute Domain; the others are still there.
 */
#include "base/bug.h"
#include "http/cookies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_ours(struct str name)
{
        return str_starts_with(name, STR("__Host-s"));
}

/* The elements of a field as RFC 6265 section 5.2 splits them: at every ';', the name up to the first '='. */
static size_t count_names(struct str value, bool (*match)(struct str name))
{
        size_t count = 0;

        while (!str_is_empty(value)) {
                struct str element = str_split(&value, ';');

                count += match(str_trim(str_slice(element, 0, str_find_char(element, '='))));
        }
        return count;
}

static bool is_domain(struct str name)
{
        return str_equal_nocase(name, STR("domain"));
}

static bool is_other(struct str name)
{
        return !str_is_empty(name) && !is_ours(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(http_fields) request = { 0 };
        AUTO(http_fields) response = { 0 };
        struct str value = str_of_bytes(data, size);
        struct error *err = http_fields_add(&request, STR("Cookie"), value);

        if (err != NULL) {
                error_free(err);
                return 0;
        }
        err = http_fields_add(&response, STR("Set-Cookie"), value);
        if (err != NULL)
                bug("a value is judged by its name");
        err = http_cookies_remove(&request, is_ours);
        if (err == NULL) {
                struct str kept = http_fields_get(&request, "cookie");

                if (count_names(kept, is_ours) > 0 || count_names(kept, is_other) != count_names(value, is_other))
                        bug("cookies of the gateway are left, or others are lost");
                err = http_cookies_confine(&response, is_ours);
        }
        if (err == NULL && response.count > 0) {
                struct str rest = response.list[0].value, cookie = str_split(&rest, ';');

                if (is_ours(str_trim(str_slice(cookie, 0, str_find_char(cookie, '=')))) || count_names(rest, is_domain) > 0)
                        bug("a cookie of the gateway, or an attribute Domain, is left");
        }
        error_free(err);
        return 0;
}
