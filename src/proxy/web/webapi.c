/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/webapi.h"

#include "base/bug.h"
#include "base/interop.h"
#include "base/text.h"
#include "base/version.h"

#define NO_IDENTITY "this proxy has no identity of the cluster yet"

enum { BODY_MAX = 6 * KiB };

#define FIELDS                                 \
        "Cache-Control: no-store\r\n"          \
        "X-Content-Type-Options: nosniff\r\n"  \
        "Strict-Transport-Security: max-age=31536000\r\n"

static void respond_as(struct http_exchange *x, int status, const char *content_type, struct str body, bool is_last)
{
        /* RFC 9110 section 15.6.4: what this proxy lacks when it answers 503, it usually has seconds later. */
        http_respond(x, (struct http_response){ .status = status, .content_type = content_type, .body = body, .is_last = is_last,
                                                .fields = status == 503 ? FIELDS "Retry-After: 1\r\n" : FIELDS });
}

static void respond(struct http_exchange *x, int status, struct str body)
{
        respond_as(x, status, "application/json", body, false);
}

void webapi_respond_error(struct http_exchange *x, int status, const char *message, bool is_last)
{
        AUTO(buf) body = BUF_MAX(BODY_MAX);
        buf_put_c(&body, "{\"error\":{\"message\":");
        json_put_string(&body, str_of(message));
        buf_put_c(&body, "}}");
        respond_as(x, status, "application/json", buf_str(&body), is_last);
}

/* ---- pages ----------------------------------------------------------------------------------------- */

static void put_auth(struct buf *out)
{
        buf_put_c(out, "\"auth\":{\"type\":\"local\",\"second_factor\":\"otp\",\"allow_passwordless\":false,"
                       "\"private_key_policy\":\"none\",\"has_motd\":true},");
}

static void put_proxy(struct buf *out, const struct webapi_facts *facts)
{
        static const char *const listens[] = { "listen_addr", "tunnel_listen_addr", "web_listen_addr" };
        static const char *const publics[] = { "public_addr", "ssh_public_addr", "ssh_tunnel_public_addr" };

        buf_put_c(out, "\"proxy\":{\"kube\":{\"enabled\":false},\"ssh\":{");
        for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
                buf_printf(out, "\"%s\":", listens[i]);
                json_put_string(out, facts->listen_addr);
                buf_put_char(out, ',');
        }
        for (size_t i = 0; i < ARRAY_LEN(publics) && !str_is_empty(facts->public_addr); i++) {
                buf_printf(out, "\"%s\":", publics[i]);
                json_put_string(out, facts->public_addr);
                buf_put_char(out, ',');
        }
        buf_put_c(out, "\"dial_timeout\":30000000000},\"db\":{},\"tls_routing_enabled\":true},");
}

/* Teleport's tsh shows this text before it prompts for a password; tsh of cteleport does not request it. */
static void put_motd(struct buf *out, const struct webapi_facts *facts)
{
        (void)facts;
        buf_put_c(out, "{\"Text\":");
        json_put_string(out, STR(INTEROP_CLIENT_WHAT ": " INTEROP_CLIENT_HINT));
        buf_put_char(out, '}');
}

static void put_facts(struct buf *out, const struct webapi_facts *facts, bool with_auth)
{
        buf_put_char(out, '{');
        if (with_auth)
                put_auth(out);
        put_proxy(out, facts);
        buf_put_c(out, "\"server_version\":\"" CTELEPORT_VERSION "\",\"min_client_version\":\"");
        buf_printf(out, "%d.0.0\",\"cluster_name\":", version_major(STR(CTELEPORT_VERSION)) - 1); /* docs/operate/upgrade.md */
        json_put_string(out, facts->cluster);
        buf_put_c(out, ",\"automatic_upgrades\":false,\"edition\":\"oss\",\"fips\":false," INTEROP_MARK "}");
}

static void put_find(struct buf *out, const struct webapi_facts *facts)
{
        put_facts(out, facts, false);
}

static void put_ping(struct buf *out, const struct webapi_facts *facts)
{
        put_facts(out, facts, true);
}

static const struct {
        struct str path;
        void (*put)(struct buf *out, const struct webapi_facts *facts);
} pages[] = {
        { STR_INIT("/webapi/find"), put_find },
        { STR_INIT("/webapi/ping"), put_ping },
        { STR_INIT("/webapi/motd"), put_motd },
        { STR_INIT("/v1/webapi/find"), put_find },
        { STR_INIT("/v1/webapi/ping"), put_ping },
        { STR_INIT("/v1/webapi/motd"), put_motd },
};

void webapi_respond(struct http_exchange *x, const struct webapi_facts *facts)
{
        AUTO(buf) body = BUF_MAX(BODY_MAX);

        if (str_is_empty(facts->cluster)) {
                webapi_respond_error(x, 503, NO_IDENTITY, false);
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
                if (!str_equal(http_exchange_request(x)->path, pages[i].path))
                        continue;
                pages[i].put(&body, facts);
                respond(x, 200, buf_str(&body));
                return;
        }
        bug("a route leads to a page of the web API that does not exist");
}

void webapi_respond_export(struct http_exchange *x, const struct webapi_facts *facts)
{
        if (!str_equal(http_exchange_request(x)->query, STR("type=tls-host")))
                webapi_respond_error(x, 400, "the only type of CA that is exported here is 'type=tls-host'", false);
        else if (str_is_empty(facts->host_cas))
                webapi_respond_error(x, 503, NO_IDENTITY, false);
        else
                respond_as(x, 200, "text/plain; charset=utf-8", facts->host_cas, false);
}

void webapi_refuse(struct http_exchange *x, int status, const struct error *err)
{
        const char *message = err->what;

        if (status == 405)
                message = "this page is for GET";
        else if (status == 404 && interop_is_http_path(http_exchange_request(x)->path))
                message = INTEROP_CLIENT_WHAT ": " INTEROP_CLIENT_HINT;
        webapi_respond_error(x, status, message, false);
}
