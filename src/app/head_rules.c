/* SPDX-License-Identifier: Apache-2.0 */
#include "app/head_rules.h"

#include "http/cookies.h"

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

struct error *head_rules_request(const struct head_rules *rules, struct http_request *r)
{
        http_fields_remove_if(&r->fields, http_name_is_of_gateway);
        TRY(http_cookies_remove(&r->fields, http_cookie_is_of_gateway));
        TRY(add_forwarded(rules, r));
        return str_is_empty(rules->assertion) ? NULL : http_fields_add(&r->fields, STR("Teleport-Jwt-Assertion"), rules->assertion);
}

struct error *head_rules_response(const struct head_rules *rules, struct str host, struct http_response *r)
{
        (void)rules;
        (void)host;
        http_fields_remove_if(&r->fields, http_name_is_of_gateway);
        http_fields_remove(&r->fields, "alt-svc"); /* another way to the backend, past this one */
        return http_cookies_confine(&r->fields, http_cookie_is_of_gateway);
}
