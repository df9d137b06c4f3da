/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upgrade.h"

#include "base/mem.h"
#include "net/ping_stream.h"
#include "net/websocket.h"
#include "proxy/web/webapi.h"

/* What a load balancer has done to the request, or NULL if it asks for one of our protocols. */
static const char *why_not(const struct http1_request *r, const char *legacy, bool is_websocket)
{
        if (!str_equal(r->method, STR("GET")))
                return "a connection is upgraded with GET";
        if (r->minor == 0)
                return "the request came as HTTP/1.0, which has no upgrades: the load balancer must speak HTTP/1.1 to this proxy";
        if (!r->is_upgrade || r->upgrade.count == 0)
                return "the request has no 'Connection: Upgrade' with 'Upgrade': the load balancer must pass both fields on";
        if (r->is_close)
                return "the request has 'Connection: close': the load balancer must leave the connection open";
        if (legacy == NULL && !is_websocket)
                return "no protocol is offered that is served here: 'Upgrade: websocket' with the subprotocol 'alpn' or 'alpn-ping', or "
                       "'Upgrade: alpn'";
        return NULL;
}

/* The connection is closed, see refuse() in net/websocket_handshake.c. */
static void refuse(struct http_exchange *x, const char *why)
{
        webapi_respond_error(x, 400, why, true);
}

/* The forms without WebSocket. */
static struct stream *accept_legacy(struct loop *l, struct http_exchange *x, const char *protocol)
{
        AUTO(buf) fields = BUF_MAX(1 * KiB);

        buf_printf(&fields, "X-Teleport-Upgrade: %s\r\n", protocol);
        struct stream *s = http_exchange_upgrade(x, protocol, buf_c(&fields));
        if (s == NULL) {
                refuse(x, "the connection cannot be upgraded: too many bytes were sent before the answer");
                return NULL;
        }
        return str_equal(str_of(protocol), STR("alpn-ping")) ? ping_stream(l, s) : s;
}

struct stream *upgrade_accept(struct loop *l, struct http_exchange *x)
{
        static const char *const protocols[] = { "alpn-ping", "alpn", NULL };
        const struct http1_request *r = http_exchange_request(x);
        const char *legacy = http1_lines_choose(&r->upgrade, protocols);
        /* Without a key, "websocket" was written by a load balancer in place of another protocol. */
        bool is_websocket = http1_lines_have(&r->upgrade, "websocket") && (!str_is_empty(r->websocket_key) || legacy == NULL);
        const char *why = why_not(r, legacy, is_websocket);

        if (why != NULL) {
                refuse(x, why);
                return NULL;
        }
        if (http_exchange_is_draining(x)) {
                webapi_respond_error(x, 503, "this proxy is stopping: connect again", true);
                return NULL;
        }
        return is_websocket ? websocket_accept(l, x, protocols) : accept_legacy(l, x, legacy);
}
