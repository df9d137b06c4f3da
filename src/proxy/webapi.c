/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/webapi.h"

#include "base/interop.h"
#include "base/text.h"

enum { BODY_MAX = 6 * KiB };

/* One request a connection: these pages are read once, by agents that start. */
static int put_answer(struct buf *out, int status, struct str body, bool is_head)
{
        buf_printf(out,
                   "HTTP/1.1 %d %s\r\n"
                   "Content-Type: application/json\r\n"
                   "Content-Length: %zu\r\n"
                   "Cache-Control: no-store\r\n"
                   "X-Content-Type-Options: nosniff\r\n"
                   "Strict-Transport-Security: max-age=31536000\r\n"
                   "%s"
                   "Connection: close\r\n\r\n",
                   status, http1_reason(status), body.len, status == 405 ? "Allow: GET, HEAD\r\n" : "");
        if (!is_head)
                buf_put(out, body);
        return status;
}

static int put_error(struct buf *out, int status, const char *message, bool is_head)
{
        AUTO(buf) body = BUF_MAX(BODY_MAX);
        buf_put_c(&body, "{\"error\":{\"message\":");
        json_put_string(&body, str_of(message));
        buf_put_c(&body, "}}");
        return put_answer(out, status, buf_str(&body), is_head);
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

/* Shown by Teleport's tsh before it asks for a password; ours does not ask for it. */
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
        buf_put_c(out, "\"server_version\":\"" CTELEPORT_VERSION "\",\"min_client_version\":\"" CTELEPORT_VERSION "\",\"cluster_name\":");
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

int webapi_answer(struct buf *out, const struct webapi_facts *facts, const struct http1_request *request)
{
        bool is_head = str_equal(request->method, STR("HEAD"));
        AUTO(buf) body = BUF_MAX(BODY_MAX);

        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
                if (!str_equal(request->path, pages[i].path))
                        continue;
                if (!is_head && !str_equal(request->method, STR("GET")))
                        return put_error(out, 405, "this page is for GET", false);
                if (str_is_empty(facts->cluster))
                        return put_error(out, 503, "this proxy has no identity of the cluster yet", is_head);
                pages[i].put(&body, facts);
                return put_answer(out, 200, buf_str(&body), is_head);
        }
        if (interop_is_http_path(request->path))
                return put_error(out, 404, INTEROP_CLIENT_WHAT ": " INTEROP_CLIENT_HINT, is_head);
        return put_error(out, 404, "there is no such page", is_head);
}

int webapi_refuse(struct buf *out, const struct error *err)
{
        int status = err->code == ERROR_RESOURCE_EXHAUSTED ? 431 : err->code == ERROR_UNIMPLEMENTED ? 413 : 400;
        return put_error(out, status, err->what, false);
}
