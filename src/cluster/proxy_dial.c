/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/proxy_dial.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/connect.h"
#include "loop/loop.h"
#include "net/conn_upgrade.h"
#include "net/http_fetch.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/transport.h"
#include "net/watch.h"

enum { PORT_PROXY = 3080, SHOWN_MAX = 64 };

struct proxy_dial {
        struct loop *loop;
        struct proxy_dial_options options;
        const struct watch *watch; /* NULL: none */
        char *server_name;
        enum conn_upgrade setting;
        struct tls_context *egress; /* of TLS with the HTTP proxy; NULL: it needs none */
        struct tls_context *outer;
        struct tls_context *inner;     /* by the host CA that was learned; NULL: it is made after the upgrade */
        struct error *direct_failure;  /* the reason for the upgrade; NULL: it was known, or is set */
        struct error *https_refusal;   /* of the certificate of HTTPS, after a direct connection without an answer; NULL: none */
        bool is_upgrading;
        bool lacks_alpn;               /* the direct handshake failed by a server that speaks TLS, but not our protocol */
        bool is_direct_mute;           /* the direct connection ended before a byte was received: the server may just be restarting */
        bool has_tried_upgrade;
        struct timer *deadline;
        struct timer *again; /* the pause before a step is repeated */
        void (*step)(struct proxy_dial *d);
        unsigned repeats;
        /* the current step */
        struct transport *transport;
        struct tls_handshake *handshake;
        struct http_fetch *fetch;
        struct error *failed; /* a failure before the first step */
        bool is_cancelled;
        const char *late; /* the step that the deadline has ended; NULL: none */
};

static bool is_given_up(const struct proxy_dial *d)
{
        return d->is_cancelled || d->late != NULL;
}

/* A cancel, or the deadline, may come when a step has ended already and its callback is due. */
static void finish(struct proxy_dial *d, struct stream *tls, struct error *err)
{
        if (is_given_up(d)) {
                stream_close(tls);
                error_free(err);
                tls = NULL;
                err = d->is_cancelled ? error_new(ERROR_CANCELLED, "the connection was given up")
                                      : error_because(error_new(ERROR_DEADLINE_EXCEEDED, "no connection within %d seconds: %s is not finished",
                                                                TIMEOUT_PROXY_DIAL / 1000, d->late),
                                                      d->direct_failure);
                if (!d->is_cancelled)
                        d->direct_failure = NULL;
        }
        if (err != NULL && err->reason == REASON_GATEWAY)
                err->reason = REASON_NONE;
        if (d->egress != NULL)
                tls_context_drop_trust(d->egress);
        d->options.done(d->options.ctx, tls, d->is_upgrading, err);
        tls_context_free(d->options.direct);
        tls_context_free(d->egress);
        tls_context_free(d->outer);
        timer_free(d->deadline);
        timer_free(d->again);
        tls_context_free(d->inner);
        error_free(d->direct_failure);
        error_free(d->https_refusal);
        free(d->server_name);
        free(d);
}

/* ---- steps of a watch --------------------------------------------------------------------------------------------- */

static void report_tls(const struct proxy_dial *d, enum watch_step step, const struct stream *tls)
{
        if (d->watch == NULL)
                return;
        AUTO_MEM char *detail = tls_describe(tls);
        watch_report(d->watch, step, detail);
}

static void report_direct(const struct proxy_dial *d, const struct stream *tls)
{
        if (d->watch == NULL)
                return;
        AUTO_MEM char *alpn = escaped(tls_alpn(tls));
        report_tls(d, WATCH_TLS, tls);
        watch_report(d->watch, WATCH_ALPN, alpn);
}

/* The step that has failed is ALPN, as the server speaks TLS. */
static void report_no_alpn(const struct proxy_dial *d)
{
        watch_report(d->watch, WATCH_TLS, "the server speaks TLS");
        watch_report(d->watch, WATCH_ALPN, NULL);
}

/* ---- another attempt --------------------------------------------------------------------------------------------- */

static void on_again(void *ctx)
{
        struct proxy_dial *d = ctx;

        if (is_given_up(d))
                finish(d, NULL, NULL);
        else
                d->step(d);
}

/*
 * Repeats a step after a pause: a load balancer has accepted the connection, and its backend has not answered; the next
 * connection may get another backend. False: it was repeated often enough.
 */
static bool repeat(struct proxy_dial *d, void (*step)(struct proxy_dial *d))
{
        if (is_given_up(d) || d->repeats == LIMIT_PROXY_DIAL_REPEATS)
                return false;
        d->step = step;
        timer_start(d->again, MILLISECONDS((int64_t)PACE_PROXY_DIAL << d->repeats++));
        return true;
}

static void begin_direct(struct proxy_dial *d);
static void upgrade(struct proxy_dial *d);
static void fetch_host_ca(struct proxy_dial *d);

/*
 * Whether the step that has failed is repeated, as HTTPS has ended before its first byte. If the direct connection has ended so
 * too, that one is repeated instead.
 */
static bool is_https_mute(const struct proxy_dial *d, const struct error *err)
{
        return err != NULL && err->code == ERROR_UNAVAILABLE && transport_is_unanswered(d->transport) && !d->is_direct_mute;
}

/* ---- the upgrade ----------------------------------------------------------------------------------------------- */

/* The hint for a refused certificate for HTTPS, unless its time or its name is the reason, whose hints fit. */
static struct error *hint_at_authority(struct error *err, const char *hint)
{
        return err->hint != NULL && !error_is_for(err, REASON_CONNECTION) ? err : error_hint(err, "%s", hint);
}

/*
 * The failure of a direct connection without an answer, with the refusal of the HTTPS certificate. The code stays: the
 * certificate may be that of a cluster which is being restarted.
 */
static struct error *add_refusal(struct proxy_dial *d, struct error *err)
{
        struct error *refusal = d->https_refusal;

        if (refusal == NULL || err->code != ERROR_UNAVAILABLE)
                return err;
        d->https_refusal = NULL;
        refusal = hint_at_authority(refusal, "if this certificate is that of a load balancer or reverse proxy, let this machine know its authority by "
                                             "SSL_CERT_FILE or the system's CA certificates; otherwise see the server's log");
        refusal->code = err->code;
        refusal->reason = err->reason;
        refusal = error_wrap(refusal, "%s, and its certificate for HTTPS is refused", err->what);
        refusal = error_because(refusal, err->cause);
        err->cause = NULL;
        error_free(err);
        return refusal;
}

/* Of an upgrade without a direct attempt: whether it is needed was not found out. */
static struct error *blame_setting(struct error *err)
{
        AUTO_MEM char *remedy = err->hint == NULL ? NULL : mem_printf("; otherwise: %s", err->hint);

        err = error_wrap(err, "TELEPORT_TLS_ROUTING_CONN_UPGRADE is yes, and the connection upgrade failed");
        return error_hint(err, "unset TELEPORT_TLS_ROUTING_CONN_UPGRADE if nothing in front of the cluster ends TLS%s", remedy == NULL ? "" : remedy);
}

/*
 * Before the load balancer has answered by HTTPS, the failure of the direct handshake says as much, and has the hints for
 * a wrong address; only a refused certificate says more.
 */
static struct error *explain(struct proxy_dial *d, bool is_answered, struct error *err)
{
        struct error *direct = d->direct_failure;

        if (err->code == ERROR_CANCELLED)
                return err;
        d->direct_failure = NULL;
        if (!is_answered && (err->code != ERROR_UNAUTHENTICATED || d->is_direct_mute)) {
                if (direct == NULL)
                        return err;
                error_free(err);
                if (d->lacks_alpn)
                        report_no_alpn(d);
                return add_refusal(d, direct);
        }
        if (!is_answered)
                err = hint_at_authority(err, "this certificate is that of a load balancer or reverse proxy: let this machine know its authority by "
                                             "SSL_CERT_FILE or the system's CA certificates");
        if (d->setting == CONN_UPGRADE_ALWAYS)
                return blame_setting(err);
        if (direct != NULL)
                direct = error_wrap(direct, "the direct connection failed, the upgrade was tried");
        err = error_wrap(err, "something in front of the cluster ends TLS, such as a load balancer, and the connection upgrade through it failed");
        return error_because(err, direct);
}

static void upgrade_failed(struct proxy_dial *d, bool is_answered, struct error *err)
{
        if (is_given_up(d)) {
                finish(d, NULL, err);
                return;
        }
        if (!is_answered && d->is_direct_mute && err->code == ERROR_UNAUTHENTICATED) {
                error_free(d->https_refusal);
                d->https_refusal = error_copy(err);
        }
        if (!is_answered && d->is_direct_mute && repeat(d, begin_direct)) {
                d->is_upgrading = false;
                error_free(err);
                return;
        }
        conn_upgrade_learn(str_of(d->options.address), false);
        finish(d, NULL, explain(d, is_answered, err));
}

static void on_inner(void *ctx, struct stream *tls, struct error *err)
{
        struct proxy_dial *d = ctx;

        if (err != NULL)
                watch_note(d->watch, WATCH_INNER_TLS, tls_handshake_refused(d->handshake));
        if (err != NULL && !tls_handshake_is_answered(d->handshake) && (err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED))
                err = error_hint(err, "the upgrade was accepted, and no TLS came through it: is a Proxy Service of this cluster behind the load balancer, "
                                      "and does the load balancer pass binary messages of WebSockets on? see its log");
        d->handshake = NULL;
        if (err != NULL) {
                upgrade_failed(d, true, err);
                return;
        }
        report_tls(d, WATCH_INNER_TLS, tls);
        conn_upgrade_learn(str_of(d->options.address), d->setting == CONN_UPGRADE_DETECT && !d->is_direct_mute);
        finish(d, tls, NULL);
}

static bool is_answered(const struct transport *t)
{
        return transport_step(t) == TRANSPORT_STEP_UPGRADE;
}

static void on_upgraded(void *ctx, struct stream *s, struct error *err)
{
        struct proxy_dial *d = ctx;
        AUTO_PTR(tls_context) inner = NULL;
        bool was_answered = is_answered(d->transport);
        bool is_backend_dead = was_answered ? error_is_for(err, REASON_GATEWAY) : is_https_mute(d, err);

        d->transport = NULL;
        if (is_backend_dead && repeat(d, upgrade)) {
                error_free(err);
                return;
        }
        if (err != NULL || is_given_up(d)) {
                stream_close(s);
                upgrade_failed(d, was_answered, err);
                return;
        }
        tls_context_drop_trust(d->outer); /* the system's CAs take a megabyte, and the connection may stay open for days */
        inner = d->inner;
        d->inner = NULL;
        err = inner != NULL ? NULL : d->options.make_inner(d->options.ctx, STR(""), &inner);
        if (err != NULL) {
                stream_close(s);
                upgrade_failed(d, true, err);
                return;
        }
        watch_report(d->watch, WATCH_INNER_TLS, NULL);
        const char *name = d->options.inner_name == NULL ? d->server_name : d->options.inner_name;
        d->handshake = tls_start(d->loop, inner, s, name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_inner, d);
}

static void upgrade(struct proxy_dial *d)
{
        d->transport = transport_start(d->loop,
                                       &(struct transport_target){ .kind = TRANSPORT_UPGRADE, .address = d->options.address,
                                                                   .via = d->options.via, .egress = d->egress, .outer = d->outer,
                                                                   .watch = d->watch },
                                       on_upgraded, d);
}

/* ---- the host CA over HTTPS ------------------------------------------------------------------------------------- */

static struct error *read_host_ca(struct proxy_dial *d, const char *server, struct str page)
{
        AUTO_MEM char *shown = escaped(str_trim(str_slice(page, 0, SHOWN_MAX)));

        if (str_is_empty(page))
                return error_new(ERROR_UNAVAILABLE, "the page of %s is empty", server);
        struct error *err = d->options.make_inner(d->options.ctx, page, &d->inner);
        return err == NULL ? NULL : error_because(error_new(err->code, "%s answered with '%s', which is no CA certificate", server, shown), err);
}

/* With a remedy, and how to do without the request. */
static struct error *explain_host_ca(const struct proxy_dial *d, struct error *err)
{
        AUTO_MEM char *remedy = str_dup(str_of(err->hint == NULL ? "let the load balancer pass /webapi/ on to the Proxy Service" : err->hint));

        err = error_wrap(err, "GET /webapi/auth/export?type=tls-host, the certificates of the host CA");
        return d->options.ca_hint == NULL ? error_hint(err, "%s", remedy) : error_hint(err, "%s; %s", remedy, d->options.ca_hint);
}

static void on_host_ca(void *ctx, struct str body, struct error *err)
{
        struct proxy_dial *d = ctx;
        AUTO_MEM char *server = http_fetch_answerer(d->fetch);

        d->fetch = NULL;
        if (is_given_up(d)) {
                finish(d, NULL, err);
                return;
        }
        if (err != NULL && error_is_for(err, REASON_GATEWAY) && repeat(d, fetch_host_ca)) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = read_host_ca(d, server, body);
        if (err != NULL)
                upgrade_failed(d, true, explain_host_ca(d, err));
        else
                upgrade(d);
}

static void on_https(void *ctx, struct stream *s, struct error *err)
{
        struct proxy_dial *d = ctx;
        bool is_backend_dead = is_https_mute(d, err);

        d->transport = NULL;
        if (is_backend_dead && repeat(d, fetch_host_ca)) {
                error_free(err);
                return;
        }
        if (err != NULL || is_given_up(d)) {
                stream_close(s);
                upgrade_failed(d, false, err);
                return;
        }
        /* The CAs that verified this certificate may be the cluster's own, and then any of its hosts has one. */
        err = connect_check_web_certificate(tls_peer_cert_der(s), loop_wall(d->loop));
        if (err != NULL) {
                stream_close(s);
                upgrade_failed(d, false, err);
                return;
        }
        AUTO_MEM char *host = transport_host_field(d->options.address);
        const struct http_fetch_request request = {
                .host = host,
                .path = "/webapi/auth/export?type=tls-host",
                .limit = LIMIT_HOST_CA_PAGE,
                .within = MILLISECONDS(TIMEOUT_HTTP1),
                .refusal = transport_refuse_page,
        };
        watch_report(d->watch, WATCH_UPGRADE, NULL);
        d->fetch = http_fetch_start(d->loop, s, &request, on_host_ca, d);
}

static void fetch_host_ca(struct proxy_dial *d)
{
        d->transport = transport_start(d->loop,
                                       &(struct transport_target){ .kind = TRANSPORT_HTTPS, .address = d->options.address,
                                                                   .via = d->options.via, .egress = d->egress, .outer = d->outer,
                                                                   .watch = d->watch },
                                       on_https, d);
}

static void begin_upgrade(struct proxy_dial *d)
{
        d->is_upgrading = d->has_tried_upgrade = true;
        tls_context_free(d->outer);
        d->outer = NULL;
        tls_context_free(d->inner); /* of an earlier upgrade, which a direct attempt has followed */
        d->inner = NULL;
        struct error *err = d->options.make_outer(d->options.ctx, &d->outer);
        if (err != NULL)
                upgrade_failed(d, true, err);
        else if (d->options.learns_ca)
                fetch_host_ca(d);
        else
                upgrade(d);
}

/* ---- the direct handshake ---------------------------------------------------------------------------------------- */

/*
 * Whether something else than the cluster answers: it has chosen none of our protocols, or HTTP/2, which load balancers
 * speak too, with a certificate that is not the cluster's.
 */
static bool is_load_balancer(const struct tls_handshake *h, const struct error *err)
{
        struct str alpn = tls_handshake_alpn(h);

        if (err->code == ERROR_CANCELLED || err->code == ERROR_DEADLINE_EXCEEDED || err->code == ERROR_INVALID_ARGUMENT)
                return false;
        if (str_equal(alpn, STR("h2")))
                return err->code == ERROR_UNAUTHENTICATED && !error_is_for(err, REASON_OTHER_CA);
        return str_is_empty(alpn);
}

static void on_direct(void *ctx, struct stream *tls, struct error *err)
{
        struct proxy_dial *d = ctx;
        bool is_balancer = err != NULL && is_load_balancer(d->handshake, err);

        d->is_direct_mute = err != NULL && !tls_handshake_is_answered(d->handshake);
        d->lacks_alpn = err != NULL && tls_handshake_lacks_alpn(d->handshake);
        if (err != NULL)
                watch_note(d->watch, WATCH_TLS, tls_handshake_refused(d->handshake));
        d->handshake = NULL;
        if (err == NULL)
                report_direct(d, tls);
        else if (d->lacks_alpn)
                report_no_alpn(d);
        bool may_upgrade = is_balancer && d->options.may_upgrade && d->setting == CONN_UPGRADE_DETECT && !(d->is_direct_mute && d->has_tried_upgrade);
        if (err != NULL && d->is_direct_mute && !may_upgrade && err->code == ERROR_UNAVAILABLE && repeat(d, begin_direct)) {
                error_free(err);
                return;
        }
        if (is_balancer && !d->is_direct_mute && d->options.may_upgrade && d->setting == CONN_UPGRADE_NEVER)
                err = error_hint(error_wrap(err, "TELEPORT_TLS_ROUTING_CONN_UPGRADE is no, and the direct connection failed"),
                                 "unset TELEPORT_TLS_ROUTING_CONN_UPGRADE if something in front of the cluster ends TLS, such as a load balancer");
        if (is_given_up(d) || !may_upgrade) {
                finish(d, tls, d->is_direct_mute ? add_refusal(d, err) : err);
                return;
        }
        error_free(d->direct_failure);
        d->direct_failure = err;
        begin_upgrade(d);
}

static void on_bytes(void *ctx, struct stream *s, struct error *err)
{
        struct proxy_dial *d = ctx;

        d->transport = NULL;
        if (err != NULL || is_given_up(d)) {
                finish(d, s, err);
                return;
        }
        watch_report(d->watch, WATCH_TLS, NULL);
        d->handshake = tls_start(d->loop, d->options.direct, s, d->server_name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_direct, d);
}

static void begin_direct(struct proxy_dial *d)
{
        d->transport = transport_start(d->loop,
                                       &(struct transport_target){ .kind = TRANSPORT_BYTES, .address = d->options.address,
                                                                   .via = d->options.via, .egress = d->egress, .watch = d->watch },
                                       on_bytes, d);
}

/* ---- start, deadline and cancel ---------------------------------------------------------------------------------- */

/* The current step calls back with an error. */
static void stop_step(struct proxy_dial *d)
{
        if (d->transport != NULL) {
                transport_cancel(d->transport);
        } else if (d->handshake != NULL) {
                tls_cancel(d->handshake);
        } else if (d->fetch != NULL) {
                http_fetch_cancel(d->fetch);
        } else if (timer_is_running(d->again)) {
                timer_stop(d->again);
                loop_defer(d->loop, on_again, d); /* a service that stops runs its loop for a few turns, not for a time */
        }
}

static const char *name_step(const struct proxy_dial *d)
{
        static const char *const steps[] = {
                [TRANSPORT_STEP_CONNECT] = "the TCP connection",
                [TRANSPORT_STEP_EGRESS_TLS] = "TLS with the HTTP proxy",
                [TRANSPORT_STEP_TUNNEL] = "the CONNECT of the HTTP proxy",
                [TRANSPORT_STEP_TLS] = "TLS with the load balancer",
                [TRANSPORT_STEP_UPGRADE] = "the connection upgrade",
        };

        if (d->transport != NULL)
                return steps[transport_step(d->transport)];
        if (d->handshake != NULL)
                return d->is_upgrading ? "TLS inside the connection upgrade" : "TLS with the cluster";
        return d->fetch != NULL ? "the request for the host CA's certificates" : "another attempt, after a load balancer's backend has not answered,";
}

static void on_deadline(void *ctx)
{
        struct proxy_dial *d = ctx;

        d->late = name_step(d);
        stop_step(d);
}

/* The certificate of an HTTP proxy is verified by the system's CAs, whatever proves the cluster. */
static struct error *make_egress(struct proxy_dial *d)
{
        static const char *const alpn[] = { "http/1.1", NULL };

        if (!d->options.via->is_tls)
                return NULL;
        return tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .roots_pem = d->options.roots_pem, .alpn = alpn }, &d->egress);
}

static void begin(void *ctx)
{
        struct proxy_dial *d = ctx;
        bool is_known = d->setting == CONN_UPGRADE_DETECT && conn_upgrade_is_known(str_of(d->options.address));

        if (d->failed != NULL || is_given_up(d))
                finish(d, NULL, d->failed);
        else if (d->options.may_upgrade && (d->setting == CONN_UPGRADE_ALWAYS || is_known))
                begin_upgrade(d);
        else
                begin_direct(d);
}

static struct error *read_address(struct proxy_dial *d)
{
        struct str host;
        int port;

        TRY(address_split(str_of(d->options.address), PORT_PROXY, &host, &port));
        if (d->server_name == NULL)
                d->server_name = str_dup(host);
        d->options.server_name = d->server_name;
        return conn_upgrade_of_environment(host, port, &d->setting);
}

struct proxy_dial *proxy_dial_start(struct loop *l, const struct proxy_dial_options *options)
{
        struct proxy_dial *d = NEW(struct proxy_dial);

        *d = (struct proxy_dial){ .loop = l, .options = *options };
        d->server_name = options->server_name == NULL ? NULL : str_dup(str_of(options->server_name));
        d->failed = read_address(d);
        if (d->failed == NULL)
                d->failed = make_egress(d);
        d->deadline = timer_new(l, on_deadline, d);
        d->again = timer_new(l, on_again, d);
        timer_start(d->deadline, MILLISECONDS(TIMEOUT_PROXY_DIAL));
        loop_defer(l, begin, d);
        return d;
}

void proxy_dial_watch(struct proxy_dial *d, const struct watch *w)
{
        d->watch = w;
}

void proxy_dial_cancel(struct proxy_dial *d)
{
        d->is_cancelled = true;
        stop_step(d);
}
