/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_address.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "net/socket.h"
#include "http/html.h"

struct str app_address_host(struct str address)
{
        if (str_starts_with(address, STR("["))) {
                size_t end = str_find_char(address, ']');

                return str_slice(address, 0, end == address.len ? end : end + 1);
        }
        return str_slice(address, 0, str_find_char(address, ':'));
}

/* Whether `host` is one label under the name; *ret_label borrows. */
static bool is_below(struct str host, struct str name, struct str *ret_label)
{
        size_t dot = str_find_char(host, '.');

        *ret_label = str_slice(host, 0, dot);
        return dot < host.len && name.len > 0 && str_equal_nocase(str_slice(host, dot + 1, host.len), name);
}

static bool is_public(struct str host, char *const *public_addrs, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (str_equal_nocase(host, app_address_host(str_of(public_addrs[i]))))
                        return true;
        return false;
}

/* A name of letters, so that an IP address has no labels below it. */
static bool is_name(struct str host)
{
        size_t last = 0;

        for (size_t i = 0; i < host.len; i++)
                if (host.ptr[i] == '.')
                        last = i + 1;
        return last < host.len && !char_is_digit(host.ptr[last]) && host.ptr[0] != '[' && name_is_host(host);
}

bool app_address_find(struct str host, char *const *public_addrs, size_t count, char ret_app[APP_NAME_MAX + 1], struct str *ret_public)
{
        struct str name = app_address_host(host), label;

        ret_app[0] = '\0';
        if (is_public(name, public_addrs, count))
                return false;
        for (size_t i = 0; i < count; i++) {
                struct str own = app_address_host(str_of(public_addrs[i]));

                if (!is_name(own) || !is_below(name, own, &label) || label.len > APP_NAME_MAX)
                        continue;
                for (size_t at = 0; at < label.len; at++)
                        ret_app[at] = char_lower(label.ptr[at]);
                ret_app[label.len] = '\0';
                *ret_public = str_of(public_addrs[i]);
                if (name_is_app(str_of(ret_app)))
                        return true;
                ret_app[0] = '\0';
        }
        return false;
}

/* ---- public_addr --------------------------------------------------------------------------------------------- */

static void free_app(void *ctx, struct str host, void *app)
{
        (void)ctx;
        (void)host;
        free(app);
}

void app_addresses_release(struct app_addresses *a)
{
        map_each(&a->by_host, free_app, NULL);
        map_release(&a->by_host);
        map_release(&a->offered);
}

void app_addresses_set(struct app_addresses *a, const Cteleport__V1__AppAddresses *sent)
{
        app_addresses_release(a);
        for (size_t i = 0; i < sent->n_addresses; i++) {
                struct str host = str_of(sent->addresses[i]->addr), app = str_of(sent->addresses[i]->app);

                if (is_name(host) && (str_is_empty(app) || name_is_app(app)))
                        free(map_put(&a->by_host, host, str_dup(app)));
        }
        for (size_t i = 0; i < sent->n_names; i++)
                if (name_is_app(str_of(sent->names[i])))
                        (void)map_put(&a->offered, str_of(sent->names[i]), a); /* a set: never followed */
}

static bool is_below_any(struct str host, char *const *public_addrs, size_t count)
{
        struct str label;

        for (size_t i = 0; i < count; i++)
                if (is_below(host, app_address_host(str_of(public_addrs[i])), &label))
                        return true;
        return false;
}

/* The number of labels that two names have in common at their ends. */
static size_t common_labels(struct str a, struct str b)
{
        size_t count = 0, i = 1;

        for (; i <= a.len && i <= b.len && char_lower(a.ptr[a.len - i]) == char_lower(b.ptr[b.len - i]); i++)
                count += a.ptr[a.len - i] == '.';
        return count;
}

/* The nearest one in the tree of names, where users of that name log in; the first of several. */
static struct str nearest_public(struct str name, char *const *public_addrs, size_t count)
{
        size_t best = 0;

        for (size_t i = 1; i < count; i++)
                if (common_labels(name, app_address_host(str_of(public_addrs[i]))) > common_labels(name, app_address_host(str_of(public_addrs[best]))))
                        best = i;
        return str_of(public_addrs[best]);
}

bool app_addresses_find(const struct app_addresses *a, struct str host, char *const *public_addrs, size_t count, char ret_app[APP_NAME_MAX + 1],
                        struct str *ret_public)
{
        struct str name = app_address_host(host);
        char lower[LIMIT_NAME];

        if (app_address_find(host, public_addrs, count, ret_app, ret_public))
                return true;
        if (count == 0 || name.len > sizeof lower || is_public(name, public_addrs, count) || is_below_any(name, public_addrs, count))
                return false;
        for (size_t i = 0; i < name.len; i++)
                lower[i] = char_lower(name.ptr[i]);
        const char *app = map_get(&a->by_host, (struct str){ lower, name.len });
        if (app == NULL)
                return false;
        snprintf(ret_app, APP_NAME_MAX + 1, "%s", app);
        *ret_public = nearest_public(name, public_addrs, count);
        return true;
}

bool app_addresses_may_certify(const struct app_addresses *a, struct str host, char *const *public_addrs, size_t count, char ret_name[APP_CERT_NAME_MAX + 1])
{
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        if (host.len > APP_CERT_NAME_MAX || !is_name(host) || !app_addresses_find(a, host, public_addrs, count, app, &public_addr) ||
            map_get(&a->offered, str_of(app)) == NULL)
                return false;
        for (size_t i = 0; i < host.len; i++)
                ret_name[i] = char_lower(host.ptr[i]);
        ret_name[host.len] = '\0';
        return true;
}

/* ---- the cookie exchange --------------------------------------------------------------------------------------- */

static bool is_visible(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '\\' || s.ptr[i] == '#')
                        return false;
        return s.len <= APP_TARGET_MAX;
}

bool app_address_is_path(struct str path)
{
        return str_starts_with(path, STR("/")) && !str_starts_with(path, STR("//")) && is_visible(path) && str_find_char(path, '?') == path.len;
}

bool app_address_is_query(struct str query)
{
        return is_visible(query);
}

bool app_address_is_hex(struct str s, size_t len)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return s.len == len;
}

bool app_address_split_state(struct str state, struct str *ret_secret, struct str *ret_id)
{
        struct str secret = str_slice(state, 0, APP_STATE_SECRET_LEN), id = str_slice(state, APP_STATE_SECRET_LEN + 1, state.len);

        if (state.len != APP_STATE_SECRET_LEN + 1 + APP_STATE_ID_LEN || state.ptr[APP_STATE_SECRET_LEN] != '_' ||
            !app_address_is_hex(secret, APP_STATE_SECRET_LEN) || !app_address_is_hex(id, APP_STATE_ID_LEN))
                return false;
        *ret_secret = secret;
        *ret_id = id;
        return true;
}

void app_address_put_target(struct buf *out, struct str path, struct str query)
{
        AUTO(buf) encoded = BUF_MAX(8 * APP_TARGET_MAX);
        AUTO(buf) encoded_query = BUF_MAX(8 * APP_TARGET_MAX);

        buf_put_c(&encoded, "path=");
        url_put(&encoded, app_address_is_path(path) ? path : STR("/"));
        if (encoded.len > APP_TARGET_ENCODED_MAX) {
                buf_put_c(out, "path=%2F");
                return;
        }
        buf_put(out, buf_str(&encoded));
        if (str_is_empty(query) || !app_address_is_query(query))
                return;
        buf_put_c(&encoded_query, "&query=");
        url_put(&encoded_query, query);
        if (encoded.len + encoded_query.len <= APP_TARGET_ENCODED_MAX)
                buf_put(out, buf_str(&encoded_query));
}

bool app_address_read_chain(struct str app, struct str at, struct app_chain *ret)
{
        int most = str_is_empty(app) ? LIMIT_APP_REQUIRED : LIMIT_APP_REQUIRED - 1;

        _Static_assert(LIMIT_APP_REQUIRED <= 9, "the number has one digit");
        *ret = (struct app_chain){ 0 };
        if (at.len != 1 || at.ptr[0] < '0' || at.ptr[0] > '0' + most || (!str_is_empty(app) && !name_is_app(app)))
                return false;
        *ret = (struct app_chain){ app, (unsigned)(at.ptr[0] - '0') };
        return true;
}

void app_address_put_chain(struct buf *out, const struct app_chain *chain)
{
        if (!str_is_empty(chain->app))
                buf_printf(out, "&for=%.*s", STR_ARG(chain->app));
        if (!str_is_empty(chain->app) || chain->at > 0)
                buf_printf(out, "&at=%u", chain->at);
}
