/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: an entry of rewrite.headers, a value of a trait and a head, each ended by a zero byte. Properties: a backend gets each field of the gateway once, with our
 * value, and no cookie of the cluster; a browser gets neither from a backend, nor a cookie of a domain, and a redirect that was rewritten leads to its own host. What is sent on
 * is read again as it was meant.
 */
#include "app/head_rules.h"

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "http/cookies.h"
#include "resource/app_header.h"

#define ADDRESS "203.0.113.7"
#define TOKEN "a.b.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value that we have given to a field of the gateway, in one of its spellings; NULL: we have not set it. */
static const char *ours(struct str name)
{
        static const char *const known[][2] = { { "X-Forwarded-For", ADDRESS },   { "X-Forwarded-Proto", "https" }, { "X-Forwarded-Ssl", "on" },
                                                { "X-Forwarded-Server", "web" },  { "X-Real-Ip", ADDRESS },         { "Teleport-Jwt-Assertion", TOKEN } };

        for (size_t i = 0; i < ARRAY_LEN(known); i++)
                if (str_equal(name, str_of(known[i][0])))
                        return known[i][1];
        return NULL;
}

static void check_fields(const struct http_fields *f, struct str host)
{
        size_t count = 0;

        for (size_t i = 0; i < f->count; i++) {
                struct str name = f->list[i].name;

                if (!http_name_is_of_gateway(name))
                        continue;
                count++;
                const char *value = ours(name);
                bool is_right = value != NULL                                      ? str_equal(f->list[i].value, str_of(value))
                                : str_equal(name, STR("X-Forwarded-Host")) ? str_equal(f->list[i].value, host)
                                                                           : str_equal(name, STR("X-Forwarded-Port"));
                if (!is_right)
                        bug("%.*s has a value of another", STR_ARG(name));
        }
        if (count != 8)
                bug("%zu fields of the gateway", count);
}

static void check_cookies(const struct http_fields *f)
{
        for (size_t i = http_fields_find(f, "cookie", 0); i < f->count; i = http_fields_find(f, "cookie", i + 1)) {
                struct str rest = f->list[i].value;

                while (!str_is_empty(rest)) {
                        struct str element = str_split(&rest, ';');

                        if (http_cookie_is_of_gateway(str_trim(str_slice(element, 0, str_find_char(element, '=')))))
                                bug("a cookie of the cluster is sent to a backend");
                }
        }
}

static void check_request(const struct head_rules *rules, struct str head)
{
        AUTO(http_request) r = { 0 }, again = { 0 };
        AUTO(buf) put = BUF_MAX(8 * LIMIT_HTTP_HEAD);
        struct error *err = http_request_parse(head, &r);
        AUTO_MEM char *host = str_dup(r.host);

        if (err == NULL)
                err = head_rules_request(rules, &r);
        if (err != NULL) {
                error_free(err);
                return;
        }
        http_request_put(&put, &r);
        err = http_request_parse(buf_str(&put), &again);
        if (err != NULL && err->code != ERROR_RESOURCE_EXHAUSTED) /* of fields, and those of the gateway */
                bug("what is sent on is not read again: %s", err->what);
        if (err == NULL && (!str_equal(again.target, r.target) || !str_equal(again.host, r.host) || again.body.kind != r.body.kind || again.body.length != r.body.length))
                bug("what is sent on has another meaning");
        error_free(err);
        check_fields(&r.fields, str_of(host));
        check_cookies(&r.fields);
}

static void check_response(const struct head_rules *rules, struct str head)
{
        AUTO(http_response) r = { 0 };
        struct error *err = http_response_parse(head, false, &r);
        AUTO_MEM char *before = str_dup(http_fields_get(&r.fields, "location"));

        if (err == NULL)
                err = head_rules_response(rules, STR("app.example.com"), &r);
        if (err != NULL) {
                error_free(err);
                return;
        }
        struct str location = http_fields_get(&r.fields, "location"), start = STR("https://app.example.com");
        struct str rest = str_slice(location, start.len, location.len);
        bool is_own = str_starts_with(location, start) && (str_is_empty(rest) || rest.ptr[0] == '/' || rest.ptr[0] == '?' || rest.ptr[0] == '#');
        if (!str_equal(location, str_of(before)) && !is_own)
                bug("a redirect leads elsewhere");
        for (size_t i = 0; i < r.fields.count; i++)
                if (http_name_is_of_gateway(r.fields.list[i].name) || str_equal_nocase(r.fields.list[i].name, STR("alt-svc")))
                        bug("a backend sets a field of the gateway");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str rest = str_of_bytes(data, size);
        struct str entry = str_split(&rest, '\0'), value = str_split(&rest, '\0'), head = str_split(&rest, '\0');
        AUTO_MEM char *header = str_dup(entry), *text = str_dup(value);
        char *headers[] = { header }, *values[] = { text }, name[] = "groups", inner[] = "inner.example.com", *redirects[] = { inner };
        Cteleport__V1__AppRewriteConfig rewrite = CTELEPORT__V1__APP_REWRITE_CONFIG__INIT;
        Cteleport__V1__AppTrait trait = CTELEPORT__V1__APP_TRAIT__INIT, *traits[] = { &trait };
        Cteleport__V1__AppPermits permits = CTELEPORT__V1__APP_PERMITS__INIT;
        struct app_header parsed;
        size_t scanned = 0, len = 0;

        struct error *err = app_header_parse(entry, &parsed);
        if (err == NULL) {
                rewrite.headers = headers;
                rewrite.n_headers = 1;
        }
        error_free(err);
        rewrite.redirect = redirects;
        rewrite.n_redirect = 1;
        trait.name = name;
        trait.values = values;
        trait.n_values = 1;
        permits.traits = traits;
        permits.n_traits = 1;
        const struct head_rules rules = { .client_ip = ADDRESS, .host_name = "web", .assertion = STR(TOKEN), .rewrite = &rewrite, .permits = &permits };
        err = http_head_find_end(head, &scanned, &len);
        error_free(err);
        if (len == 0)
                return 0;
        check_request(&rules, str_slice(head, 0, len));
        check_response(&rules, str_slice(head, 0, len));
        return 0;
}
