/* SPDX-License-Identifier: Apache-2.0 */
#include "net/transport.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/http1.h"
#include "net/http_answer.h"
#include "net/http_fetch.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/watch.h"
#include "net/websocket.h"

enum { PORT_HTTPS = 443, SHOWN_MAX = 200 };

struct transport {
        struct loop *loop;
        struct transport_target target;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        enum transport_step at;
        /* the current step */
        struct dial *dial;
        struct http_tunnel *tunnel;
        struct tls_handshake *handshake;
        struct websocket_connect *upgrade;
        bool is_unanswered; /* the TLS handshake has failed before the first byte */
        bool is_cancelled;
};

/* A cancel may come when a step has ended already and its callback is due. */
static void finish(struct transport *t, struct stream *s, struct error *err)
{
        if (t->is_cancelled && err == NULL) {
                stream_close(s);
                s = NULL;
                err = error_new(ERROR_CANCELLED, "the connection was given up");
        }
        t->done(t->ctx, s, err);
        free(t);
}

enum transport_step transport_step(const struct transport *t)
{
        return t->at;
}

bool transport_is_unanswered(const struct transport *t)
{
        return t->is_unanswered;
}

/* ---- the connection upgrade ---------------------------------------------------------------------------------- */

char *transport_host_field(const char *address)
{
        struct str host;
        int port;
        struct error *err = address_split(str_of(address), PORT_HTTPS, &host, &port);

        if (err != NULL || port != PORT_HTTPS) {
                error_free(err);
                return str_dup(str_of(address));
        }
        bool is_v6 = str_find_char(host, ':') != host.len;
        return mem_printf(is_v6 ? "[%.*s]" : "%.*s", STR_ARG(host));
}

static bool has_any(const char *said, const char *const *words)
{
        for (; *words != NULL; words++)
                if (str_contains(str_of(said), str_of(*words)))
                        return true;
        return false;
}

/* Of status 400 the reason decides: that of the Proxy Service (proxy/upgrade.c, proxy/listener.c), or of the load balancer itself. */
static const char *hint_of_bad_request(const char *said, bool is_page)
{
        static const struct {
                const char *words[5];
                const char *hint;
        } reasons[] = {
                { { "speaks TLS", "HTTPS port" },
                  "it sends HTTP without TLS to a port for HTTPS of the Proxy Service: let it use HTTPS there (nginx: proxy_pass https://...)" },
                { { "X-Forwarded-For" },
                  "let the load balancer that connects to the Proxy Service replace X-Forwarded-For and not append to it" },
                { { "SSL certificate", "client certificate" },
                  "it demands a certificate of its own from clients: let it accept them without one (nginx: ssl_verify_client)" },
                { { "Upgrade", "upgrade", "WebSocket", "Connection: close" },
                  "it does not pass WebSocket upgrades on: let it pass the fields Upgrade and Connection of "
                  "/webapi/connectionupgrade (nginx: proxy_http_version 1.1 and proxy_set_header)" },
        };

        for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
                if (has_any(said, reasons[i].words))
                        return reasons[i].hint;
        if (is_page)
                return "let the load balancer pass /webapi/ on to the Proxy Service; its log may say more";
        return "see the log of the load balancer, which names no reason that is known here: it must pass /webapi/connectionupgrade on to the "
               "Proxy Service as a WebSocket";
}

/* The remedy for each answer that is not the expected one. is_page: to a request without an upgrade. */
static const char *hint_of(int status, const char *said, bool is_page)
{
        switch (status) {
        case 200:
                if (is_page)
                        break;
                return "a web page answered in place of the Proxy Service, such as that of a login or of a firewall: let "
                       "/webapi/connectionupgrade pass on to the Proxy Service as a WebSocket";
        case 400:
                return hint_of_bad_request(said, is_page);
        case 426:
                if (is_page)
                        break;
                return "it does not pass WebSocket upgrades on: let it pass the fields Upgrade and Connection of "
                       "/webapi/connectionupgrade (nginx: proxy_http_version 1.1 and proxy_set_header)";
        case 401:
        case 403:
        case 407:
                return "it wants a login, or denies access: exempt the paths of the Proxy Service from that";
        case 404:
        case 405:
                return "let it pass all paths of this name on to the Proxy Service; is it the address of a cluster, of a version that "
                       "has the connection upgrade?";
        case 429:
                return "it limits requests: allow this host more of them";
        case 502:
        case 503:
        case 504:
                return "it cannot reach the Proxy Service behind it: check that this runs, and how the load balancer connects to it "
                       "(HTTPS, port 3080, HTTP/1.1 and not h2)";
        default:
                break;
        }
        return is_page ? "let the load balancer pass /webapi/ on to the Proxy Service"
                       : "let the load balancer pass /webapi/connectionupgrade on to the Proxy Service as a WebSocket";
}

static struct error *refuse(int status, struct str reason, struct str head, struct str body, bool is_page)
{
        AUTO_MEM char *server = http_fetch_server(head);
        AUTO_MEM char *shown = escaped(str_slice(reason, 0, 64));
        AUTO_MEM char *place = escaped(str_slice(http1_response_field(head, "location"), 0, SHOWN_MAX));
        AUTO_MEM char *said = http_answer_reason(reason, body);
        bool is_redirect = status / 100 == 3 && place[0] != '\0';
        const char *more = is_redirect ? place : said;

        struct error *err = error_new(ERROR_UNAVAILABLE, "%s answered %s%d %s%s%s%s", server, is_page ? "" : "GET /webapi/connectionupgrade with ",
                                      status, shown, more[0] == '\0' ? "" : is_redirect ? ", and sends us on to '" : ", and says '", more,
                                      more[0] == '\0' ? "" : "'");
        if (http1_status_is_gateway(status))
                err = error_for(err, REASON_GATEWAY);
        return error_hint(err, "%s", hint_of(status, said, is_page));
}

static struct error *refusal(int status, struct str reason, struct str head, struct str body)
{
        return refuse(status, reason, head, body, false);
}

struct error *transport_refuse_page(int status, struct str reason, struct str head, struct str body)
{
        return refuse(status, reason, head, body, true);
}

static void on_upgrade(void *ctx, struct stream *ws, struct error *err)
{
        struct transport *t = ctx;

        t->upgrade = NULL;
        if (err == NULL)
                watch_report(t->target.watch, WATCH_UPGRADE, "WebSocket at /webapi/connectionupgrade");
        finish(t, ws, err);
}

static void begin_upgrade(struct transport *t, struct stream *https)
{
        AUTO_MEM char *host = transport_host_field(t->target.address);
        const struct websocket_request request = {
                .host = host,
                .path = "/webapi/connectionupgrade",
                .protocol = "alpn-ping",
                .refusal = refusal,
                .within = MILLISECONDS(TIMEOUT_HTTP1),
        };

        t->at = TRANSPORT_STEP_UPGRADE;
        watch_report(t->target.watch, WATCH_UPGRADE, NULL);
        t->upgrade = websocket_connect_start(t->loop, https, &request, on_upgrade, t);
}

/* ---- TLS, TCP, the HTTP proxy -------------------------------------------------------------------------------- */

static void report_tls(const struct transport *t, enum watch_step step, const struct stream *tls)
{
        if (t->target.watch == NULL)
                return;
        AUTO_MEM char *detail = tls_describe(tls);
        watch_report(t->target.watch, step, detail);
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct transport *t = ctx;

        if (err == NULL)
                report_tls(t, WATCH_TLS, tls);
        else
                watch_note(t->target.watch, WATCH_TLS, tls_handshake_refused(t->handshake));
        t->is_unanswered = err != NULL && !tls_handshake_is_answered(t->handshake);
        t->handshake = NULL;
        if (err != NULL || t->target.kind == TRANSPORT_HTTPS || t->is_cancelled)
                finish(t, tls, err);
        else
                begin_upgrade(t, tls);
}

static void have_bytes(struct transport *t, struct stream *s)
{
        struct str host;
        int port;

        if (t->target.kind == TRANSPORT_BYTES || t->is_cancelled) {
                finish(t, s, NULL);
                return;
        }
        struct error *err = address_split(str_of(t->target.address), PORT_HTTPS, &host, &port);
        if (err != NULL) {
                stream_close(s);
                finish(t, NULL, err);
                return;
        }
        AUTO_MEM char *server_name = str_dup(host);
        t->at = TRANSPORT_STEP_TLS;
        watch_report(t->target.watch, WATCH_TLS, NULL);
        t->handshake = tls_start(t->loop, t->target.outer, s, server_name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, t);
}

static bool is_direct(const struct transport *t)
{
        return t->target.via->address[0] == '\0';
}

static void on_tunnel(void *ctx, struct stream *tunnel, struct error *err)
{
        struct transport *t = ctx;

        t->tunnel = NULL;
        if (err != NULL) {
                finish(t, NULL, err);
                return;
        }
        watch_report(t->target.watch, WATCH_TUNNEL, t->target.via->address);
        have_bytes(t, tunnel);
}

static void begin_tunnel(struct transport *t, struct stream *proxy)
{
        t->at = TRANSPORT_STEP_TUNNEL;
        watch_report(t->target.watch, WATCH_TUNNEL, NULL);
        t->tunnel = http_tunnel_start(t->loop, proxy, t->target.via, str_of(t->target.address), MILLISECONDS(TIMEOUT_CONNECT),
                                      on_tunnel, t);
}

static void on_egress_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct transport *t = ctx;

        if (err != NULL)
                watch_note(t->target.watch, WATCH_EGRESS_TLS, tls_handshake_refused(t->handshake));
        t->handshake = NULL;
        if (err == NULL && !t->is_cancelled) {
                report_tls(t, WATCH_EGRESS_TLS, tls);
                begin_tunnel(t, tls);
                return;
        }
        if (err != NULL && err->code != ERROR_CANCELLED) {
                if (err->code == ERROR_UNAUTHENTICATED && error_is_for(err, REASON_CONNECTION))
                        err = error_hint(err, "let this machine know the authority of the HTTP proxy's certificate: SSL_CERT_FILE, or the system's CA "
                                              "certificates");
                err->code = ERROR_UNAVAILABLE; /* the proxy's certificate says nothing of the cluster's */
                err = error_wrap(err, "the HTTP proxy at %s is not reached over TLS", t->target.via->address);
        }
        finish(t, tls, err);
}

static void begin_egress_tls(struct transport *t, struct stream *tcp)
{
        struct str host;
        int port;
        struct error *err = address_split(str_of(t->target.via->address), PORT_HTTPS, &host, &port);

        if (err != NULL) {
                stream_close(tcp);
                finish(t, NULL, err);
                return;
        }
        AUTO_MEM char *server_name = str_dup(host);
        t->at = TRANSPORT_STEP_EGRESS_TLS;
        watch_report(t->target.watch, WATCH_EGRESS_TLS, NULL);
        t->handshake = tls_start(t->loop, t->target.egress, tcp, server_name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_egress_tls, t);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct transport *t = ctx;

        t->dial = NULL;
        if (err != NULL) {
                if (!is_direct(t) && err->code != ERROR_CANCELLED)
                        err = error_wrap(err, "the HTTP proxy at %s (HTTPS_PROXY) does not answer", t->target.via->address);
                finish(t, NULL, err);
                return;
        }
        struct stream *tcp = socket_stream(t->loop, fd);
        if (is_direct(t) || t->is_cancelled) {
                have_bytes(t, tcp);
                return;
        }
        if (t->target.via->is_tls)
                begin_egress_tls(t, tcp);
        else
                begin_tunnel(t, tcp);
}

struct transport *transport_start(struct loop *l, const struct transport_target *target,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct transport *t = NEW(struct transport);

        *t = (struct transport){ .loop = l, .target = *target, .done = done, .ctx = ctx };
        const char *first = is_direct(t) ? target->address : target->via->address;
        t->dial = dial_start(l, str_of(first), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, t);
        if (target->watch != NULL)
                dial_watch(t->dial, target->watch);
        return t;
}

void transport_cancel(struct transport *t)
{
        t->is_cancelled = true;
        if (t->dial != NULL)
                dial_cancel(t->dial);
        else if (t->tunnel != NULL)
                http_tunnel_cancel(t->tunnel);
        else if (t->handshake != NULL)
                tls_cancel(t->handshake);
        else if (t->upgrade != NULL)
                websocket_connect_cancel(t->upgrade);
}
