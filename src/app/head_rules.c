/* SPDX-License-Identifier: Apache-2.0 */
#include "app/head_rules.h"

#include "base/limits.h"
#include "http/cookies.h"
#include "resource/app_header.h"

/* The port of "host[:port]", as users of HTTPS write it. */
static struct str port_of(struct str host)
{
        size_t end = str_starts_with(host, STR("[")) ? str_find_char(host, ']') : 0;
        struct str rest = str_slice(host, end, host.len);
        size_t colon = str_find_char(rest, ':');

        return colon == rest.len ? STR("443") : str_slice(rest, colon + 1, rest.len);
}

static struct error *add_forwarded(const struct head_rules *rules, struct http_request *r)
{
        const struct {
                const char *name;
                struct str value;
        } fields[] = {
                { "X-Forwarded-For", str_of(rules->client_ip) },    { "X-Forwarded-Host", r->host },  { "X-Forwarded-Proto", STR("https") },
                { "X-Forwarded-Port", port_of(r->host) },           { "X-Forwarded-Ssl", STR("on") }, { "X-Forwarded-Server", str_of(rules->host_name) },
                { "X-Real-Ip", str_of(rules->client_ip) },
        };

        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
                TRY(http_fields_add(&r->fields, str_of(fields[i].name), fields[i].value));
        return NULL;
}

/* ---- rewrite.headers ------------------------------------------------------------------------------------ */

/* Fields that a server cannot tell from `name` are removed, too. */
static void remove_like(struct http_fields *f, struct str name)
{
        for (size_t i = f->count; i-- > 0;)
                if (http_name_is_like(f->list[i].name, name))
                        http_fields_remove_at(f, i);
}

static struct error *add_one(struct http_request *r, const struct app_header *h, struct str value)
{
        AUTO(buf) text = BUF_MAX(LIMIT_HTTP_HEAD);

        buf_put(&text, h->before);
        buf_put(&text, value);
        buf_put(&text, h->after);
        if (str_equal_nocase(h->name, STR("host")))
                return http_request_set_host(r, buf_str(&text));
        return http_fields_add(&r->fields, h->name, buf_str(&text));
}

static struct error *add_header(const struct head_rules *rules, struct http_request *r, const struct app_header *h)
{
        if (str_is_empty(h->trait))
                return add_one(r, h, STR(""));
        if (h->is_token)
                return str_is_empty(rules->assertion) ? NULL : add_one(r, h, rules->assertion);
        for (size_t i = 0; rules->permits != NULL && i < rules->permits->n_traits; i++) {
                const Cteleport__V1__AppTrait *trait = rules->permits->traits[i];

                if (!str_equal(str_of(trait->name), h->trait))
                        continue;
                for (size_t k = 0; k < trait->n_values; k++)
                        TRY(add_one(r, h, str_of(trait->values[k])));
        }
        return NULL;
}

static struct error *set_headers(const struct head_rules *rules, struct http_request *r)
{
        struct app_header h;
        size_t count = rules->rewrite == NULL ? 0 : rules->rewrite->n_headers;

        for (size_t i = 0; i < count; i++) {
                TRY(app_header_parse(str_of(rules->rewrite->headers[i]), &h));
                remove_like(&r->fields, h.name);
        }
        for (size_t i = 0; i < count; i++) {
                TRY(app_header_parse(str_of(rules->rewrite->headers[i]), &h));
                TRY(add_header(rules, r, &h));
        }
        return NULL;
}

struct error *head_rules_request(const struct head_rules *rules, struct http_request *r)
{
        http_fields_remove_if(&r->fields, http_name_is_of_gateway);
        TRY(http_cookies_remove(&r->fields, http_cookie_is_of_gateway));
        TRY(add_forwarded(rules, r));
        if (!str_is_empty(rules->assertion))
                TRY(http_fields_add(&r->fields, STR("Teleport-Jwt-Assertion"), rules->assertion));
        return set_headers(rules, r);
}

/* ---- rewrite.redirect ------------------------------------------------------------------------------------- */

/* Whether the host of an address, with or without its port, is one of the list. */
static bool is_redirected(const struct head_rules *rules, struct str authority)
{
        struct str rest = authority, host = str_split(&rest, ':');

        for (size_t i = 0; i < rules->rewrite->n_redirect; i++)
                if (str_equal_nocase(host, str_of(rules->rewrite->redirect[i])))
                        return true;
        return false;
}

static struct error *redirect(const struct head_rules *rules, struct str host, struct http_response *r)
{
        AUTO(buf) location = BUF_MAX(2 * LIMIT_HTTP_HEAD);
        size_t at = http_fields_find(&r->fields, "location", 0);

        if (rules->rewrite == NULL || r->status < 300 || r->status > 399 || at == r->fields.count)
                return NULL;
        struct str rest = r->fields.list[at].value, scheme = str_split(&rest, ':');
        if ((!str_equal_nocase(scheme, STR("http")) && !str_equal_nocase(scheme, STR("https"))) || !str_starts_with(rest, STR("//")))
                return NULL;
        rest = str_slice(rest, 2, rest.len);
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' && rest.ptr[end] != '#')
                end++;
        if (!is_redirected(rules, str_slice(rest, 0, end)))
                return NULL;
        buf_put_c(&location, "https://");
        buf_put(&location, host);
        buf_put(&location, str_slice(rest, end, rest.len));
        return http_fields_replace(&r->fields, at, buf_str(&location));
}

struct error *head_rules_response(const struct head_rules *rules, struct str host, struct http_response *r)
{
        http_fields_remove_if(&r->fields, http_name_is_of_gateway);
        http_fields_remove(&r->fields, "alt-svc"); /* another way to the backend, past this one */
        TRY(redirect(rules, host, r));
        return http_cookies_confine(&r->fields, http_cookie_is_of_gateway);
}
