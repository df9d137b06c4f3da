/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/proxy_dial.h"

#include "base/limits.h"
#include "join/identity_testing.h"
#include "net/conn_upgrade.h"
#include "net/http_server.h"
#include "net/tls_testing.h"
#include "net/watch.h"
#include "net/websocket.h"

/* What answers at the address. */
enum kind {
        PROXY,       /* the cluster */
        BALANCER,    /* ends TLS, and passes the upgrade on to the cluster */
        SILENT,      /* ends the connection at the ClientHello */
        RESTARTED,   /* ends the first connection so, and is a balancer then */
        RESETTING,   /* the same by a reset */
        RESTARTED_TWICE, /* ends the first and the third connection so, and is a balancer for the others */
        HTTP_ONLY,   /* ends the connection at a ClientHello that does not offer HTTP/1.1, and is a balancer otherwise */
        PLAIN,       /* answers the first connection by HTTP without TLS, and is a balancer then */
        WITHOUT_ALPN, /* a balancer that negotiates no protocol on the first connection; BALANCER sends an alert */
        NOT_UPGRADED, /* ends TLS, and has nothing at the path of the upgrade */
        HALF_ENDED,  /* ends every other connection at once, beginning with the first; the others are the cluster's */
        HALF_503,    /* a balancer that answers every other request by 503, beginning with the first */
        ALL_503,     /* a balancer that answers every request by 503 */
        STUCK        /* accepts the connection, and nothing follows */
};

struct connection {
        struct scene *scene;
        struct stream *open; /* the innermost stream, after its handshake */
        struct connection *next;
};

/* One address, and a dial to it, on a clock that stands still. */
struct scene {
        struct fake_clock clock;
        struct loop loop;
        enum kind kind;
        struct made_cert cluster_ca, other_ca, proxy, balancer, impostor;
        bool is_false; /* an impostor is behind the balancer */
        struct tls_context *direct, *outer, *inner, *without_alpn; /* of the servers */
        struct listener *listener;
        struct connection *connections;
        int accepted, upgrades, fetches, requests;
        char address[ADDRESS_TEXT_MAX];
        struct proxy_dial *dial;
        struct http_proxy via;
        bool learns_ca;
        struct str outer_trust; /* verifies HTTPS */
        int done;
        bool is_upgraded;
        struct stream *tls;
        struct error *err;
        struct watch watch;
        char steps[1024]; /* those reported: "+" begins, the others have succeeded */
        char last_detail[512];
};

/* ---- the servers --------------------------------------------------------------------------------------------- */

static void on_innermost(void *ctx, struct stream *tls, struct error *err)
{
        struct connection *c = ctx;

        error_free(err);
        c->open = tls;
}

/* Whether the backend of this request is dead, which is answered by 503. */
static bool has_no_backend(const struct connection *c, struct http_exchange *x)
{
        bool is_first = c->scene->requests++ % 2 == 0;

        if (c->scene->kind != ALL_503 && (c->scene->kind != HALF_503 || !is_first))
                return false;
        http_respond(x, (struct http_response){ .status = 503, .fields = "Server: box/1.0\r\n" });
        return true;
}

static void open_upgrade(void *ctx, struct http_exchange *x)
{
        static const char *const protocols[] = { "alpn-ping", NULL };
        struct connection *c = ctx;

        if (has_no_backend(c, x))
                return;
        c->scene->upgrades++;
        struct stream *ws = websocket_accept(&c->scene->loop, x, protocols);
        assert_non_null(ws);
        struct tls_handshake *h = tls_start(&c->scene->loop, c->scene->inner, ws, NULL, SECONDS(10), on_innermost, c);
        (void)h;
}

static void open_host_ca(void *ctx, struct http_exchange *x)
{
        struct connection *c = ctx;

        if (has_no_backend(c, x))
                return;
        c->scene->fetches++;
        assert_true(str_equal(http_exchange_request(x)->query, STR("type=tls-host")));
        http_respond(x, (struct http_response){ .status = 200, .body = str_of(c->scene->cluster_ca.cert_pem) });
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        (void)ctx;
        (void)err;
        http_respond(x, (struct http_response){ .status = status, .fields = "Server: box/1.0\r\n" });
}

static void on_http_closed(void *ctx)
{
        (void)ctx;
}

static const struct http_route routes[] = {
        { "GET", "/webapi/auth/export", .open = open_host_ca },
        { "GET", "/webapi/connectionupgrade", .open = open_upgrade },
};

static void on_https(void *ctx, struct stream *tls, struct error *err)
{
        struct connection *c = ctx;

        if (err != NULL) {
                error_free(err);
                return;
        }
        struct http_server *h = http_serve(tls, (struct http_server_options){ .loop = &c->scene->loop, .routes = routes,
                                                                              .route_count = c->scene->kind == NOT_UPGRADED ? 1 : 2,
                                                                              .refuse = refuse, .on_closed = on_http_closed, .ctx = c });
        (void)h;
}

static void on_hello(void *ctx, struct str bytes)
{
        struct connection *c = ctx;
        struct stream *tcp = c->open;

        c->open = NULL;
        if (c->scene->kind == HTTP_ONLY && str_contains(bytes, STR("http/1.1"))) {
                stream_read(tcp, false);
                struct tls_handshake *h = tls_start(&c->scene->loop, c->scene->outer, stream_with_prefix(&c->scene->loop, tcp, bytes), NULL,
                                                    SECONDS(10), on_https, c);
                (void)h;
                return;
        }
        if (c->scene->kind == PLAIN)
                stream_write(tcp, STR("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        stream_close(tcp);
}

static void on_hello_lost(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
        fail_msg("the connection ended before the ClientHello");
}

static const struct stream_events end_at_hello = { .on_read = on_hello, .on_end = on_hello_lost };

/* Whether this connection ends at the ClientHello, or is decided by it. */
static bool ends_at_hello(const struct scene *s)
{
        switch (s->kind) {
        case SILENT:
        case HTTP_ONLY:
                return true;
        case HALF_ENDED:
                return s->accepted % 2 == 1;
        case RESTARTED:
        case RESETTING:
        case PLAIN:
                return s->accepted == 1;
        case RESTARTED_TWICE:
                return s->accepted == 1 || s->accepted == 3;
        default:
                return false;
        }
}

static void read_hello(struct connection *c, int fd)
{
        const struct linger reset = { .l_onoff = 1 };

        if (c->scene->kind == RESETTING)
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        c->open = socket_stream(&c->scene->loop, fd);
        stream_listen(c->open, &end_at_hello, c);
        stream_read(c->open, true);
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct scene *s = ctx;

        (void)peer;
        s->accepted++;
        struct connection *c = NEW(struct connection);
        *c = (struct connection){ .scene = s, .next = s->connections };
        s->connections = c;
        if (ends_at_hello(s)) {
                read_hello(c, fd);
                return;
        }
        struct stream *tcp = socket_stream(&s->loop, fd);
        if (s->kind == STUCK) {
                c->open = tcp;
                return;
        }
        struct tls_context *outer = s->kind == WITHOUT_ALPN && s->accepted == 1 ? s->without_alpn : s->outer;
        struct tls_handshake *h = s->kind == PROXY || s->kind == HALF_ENDED ? tls_start(&s->loop, s->direct, tcp, NULL, SECONDS(10), on_innermost, c)
                                                   : tls_start(&s->loop, outer, tcp, NULL, SECONDS(10), on_https, c);
        (void)h;
}

static struct tls_context *server_context(const struct made_cert *cert, const char *const *protocols)
{
        struct tls_context *made = NULL;

        assert_null(tls_context_new((struct tls_options){ .is_server = true, .alpn = protocols }, &made));
        assert_null(tls_context_add(made, NULL, identity_of(cert)));
        return made;
}

/* ---- the dial ------------------------------------------------------------------------------------------------ */

static const char *const own_protocols[] = { "teleport-proxy-grpc", NULL };
static const char *const of_http[] = { "http/1.1", NULL };

static struct error *make_outer(void *ctx, struct tls_context **ret)
{
        struct scene *s = ctx;

        return tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .alpn = of_http, .trust_pem = s->outer_trust }, ret);
}

static struct error *make_inner(void *ctx, struct str host_ca_pem, struct tls_context **ret)
{
        struct scene *s = ctx;
        struct str trust = s->learns_ca ? host_ca_pem : str_of(s->cluster_ca.cert_pem);

        assert_int_equal(str_is_empty(host_ca_pem), !s->learns_ca);
        return tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .alpn = own_protocols, .is_internal = true, .trust_pem = trust }, ret);
}

static void on_dialled(void *ctx, struct stream *tls, bool is_upgraded, struct error *err)
{
        struct scene *s = ctx;

        assert_true((tls == NULL) == (err != NULL));
        s->done++;
        s->tls = tls;
        s->err = err;
        s->is_upgraded = is_upgraded;
}

static void forget_outcome(struct scene *s)
{
        stream_close(s->tls);
        error_free(s->err);
        s->tls = NULL;
        s->err = NULL;
        s->done = s->accepted = s->upgrades = s->fetches = s->requests = 0;
}

static void on_step(void *ctx, enum watch_step step, const char *detail)
{
        static const char *const names[] = { "dns", "tcp", "egress", "tunnel", "tls", "alpn", "upgrade", "inner" };
        struct scene *s = ctx;
        size_t used = strlen(s->steps);

        snprintf(s->steps + used, sizeof s->steps - used, "%s%s%s", used == 0 ? "" : " ", detail == NULL ? "+" : "", names[step]);
        if (detail != NULL)
                snprintf(s->last_detail, sizeof s->last_detail, "%s", detail);
}

static void on_note(void *ctx, enum watch_step step, const char *text)
{
        struct scene *s = ctx;
        size_t used = strlen(s->steps);

        snprintf(s->steps + used, sizeof s->steps - used, " note %d: %s", step, str_contains(str_of(text), STR("certificate for proxy.example.com, issued by 'CN=a public CA'")) ? "impostor" : text);
}

static void begin(struct scene *s)
{
        struct proxy_dial_options options = {
                .address = s->address, .via = &s->via, .server_name = "proxy.example.com", .may_upgrade = true, .learns_ca = s->learns_ca,
                .inner_name = "proxy.example.com", .make_outer = make_outer, .make_inner = make_inner, .done = on_dialled, .ctx = s,
        };

        forget_outcome(s);
        assert_null(tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .alpn = own_protocols, .trust_pem = str_of(s->cluster_ca.cert_pem) },
                                    &options.direct));
        s->steps[0] = '\0';
        s->watch = (struct watch){ .report = on_step, .note = on_note, .ctx = s };
        s->dial = proxy_dial_start(&s->loop, &options);
        proxy_dial_watch(s->dial, &s->watch);
        assert_int_equal(s->done, 0);
}

static void dial(struct scene *s, enum kind kind)
{
        s->kind = kind;
        begin(s);
        RUN_UNTIL(&s->loop, s->done == 1);
}

/* The same with time that passes: pauses between attempts end, and deadlines too. */
static void dial_in_time(struct scene *s, enum kind kind)
{
        s->kind = kind;
        begin(s);
        for (int64_t ms = 0; s->done == 0; ms += PACE_PROXY_DIAL) {
                assert_true(ms <= TIMEOUT_PROXY_DIAL);
                for (int i = 0; i < 10; i++)
                        run_a_while(&s->loop);
                if (s->done == 0)
                        loop_advance(&s->loop, &s->clock, MILLISECONDS(PACE_PROXY_DIAL));
        }
}

static void set_up_scene(struct scene *s, bool is_false)
{
        int fd;

        *s = (struct scene){ .is_false = is_false, .via = { .userinfo = STR("") } };
        fake_clock_init(&s->clock, TEST_TIME);
        assert_null(loop_init(&s->loop, &s->clock.clock));
        s->cluster_ca = make_cert("the cluster", NULL, NULL);
        s->other_ca = make_cert("a public CA", NULL, NULL);
        s->outer_trust = str_of(s->other_ca.cert_pem);
        s->proxy = make_cert("proxy", "DNS:proxy.example.com", &s->cluster_ca);
        s->balancer = make_cert("balancer", "DNS:balancer.example.com,IP:127.0.0.1", &s->other_ca);
        s->impostor = make_cert("impostor", "DNS:proxy.example.com", &s->other_ca);
        s->direct = server_context(&s->proxy, own_protocols);
        s->outer = server_context(&s->balancer, of_http);
        s->without_alpn = server_context(&s->balancer, NULL);
        s->inner = server_context(is_false ? &s->impostor : &s->proxy, own_protocols);
        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        s->listener = listener_new(&s->loop, fd, on_accepted, s);
}

static void tear_down_scene(struct scene *s)
{
        conn_upgrade_learn(str_of(s->address), false);
        forget_outcome(s);
        listener_close(s->listener);
        run_a_while(&s->loop);
        while (s->connections != NULL) {
                struct connection *c = s->connections;

                s->connections = c->next;
                stream_close(c->open);
                free(c);
        }
        tls_context_free(s->direct);
        tls_context_free(s->outer);
        tls_context_free(s->inner);
        tls_context_free(s->without_alpn);
        run_a_while(&s->loop);
        loop_release(&s->loop);
        struct made_cert *certs[] = { &s->cluster_ca, &s->other_ca, &s->proxy, &s->balancer, &s->impostor };
        for (size_t i = 0; i < ARRAY_LEN(certs); i++)
                made_cert_release(certs[i]);
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void a_proxy_is_reached_directly(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial(&s, PROXY);
        assert_non_null(s.tls);
        assert_false(s.is_upgraded);
        assert_int_equal(s.accepted, 1);
        tear_down_scene(&s);
}

static void a_balancer_is_found_out_and_remembered(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial(&s, BALANCER);
        assert_non_null(s.tls);
        assert_true(s.is_upgraded);
        assert_true(str_equal(tls_alpn(s.tls), STR("teleport-proxy-grpc")));
        assert_int_equal(s.accepted, 2);
        dial(&s, BALANCER);
        assert_non_null(s.tls);
        assert_int_equal(s.accepted, 1);
        tear_down_scene(&s);
}

static void steps_are_reported_up_to_the_one_that_fails(void **state)
{
        static const struct {
                enum kind kind;
                bool learns_ca, is_false;
                const char *steps;
        } rows[] = {
                { PROXY, false, false, "+tcp tcp +tls tls alpn" },
                { BALANCER, false, false, "+tcp tcp +tls tls +alpn +tcp tcp +tls tls +upgrade upgrade +inner inner" },
                { BALANCER, true, false, "+tcp tcp +tls tls +alpn +tcp tcp +tls tls +upgrade "
                                         "+tcp tcp +tls tls +upgrade upgrade +inner inner" },
                { BALANCER, false, true, "+tcp tcp +tls tls +alpn +tcp tcp +tls tls +upgrade upgrade +inner note 7: impostor" },
                { NOT_UPGRADED, false, false, "+tcp tcp +tls tls +alpn +tcp tcp +tls tls +upgrade" },
                { SILENT, false, false, "+tcp tcp +tls +tcp tcp +tls +tcp tcp +tls +tcp tcp +tls +tcp tcp +tls" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct scene s;

                set_up_scene(&s, rows[i].is_false);
                s.learns_ca = rows[i].learns_ca;
                dial_in_time(&s, rows[i].kind);
                assert_string_equal(s.steps, rows[i].steps);
                if (rows[i].kind == BALANCER && !rows[i].is_false)
                        assert_true(str_starts_with(str_of(s.last_detail), STR("TLSv1.3, certificate for proxy.example.com, issued by 'CN=the cluster', valid until ")));
                tear_down_scene(&s);
        }
}

/* An end without an answer may be that of a proxy which is being restarted, so the upgrade is not remembered then. */
static void each_refusal_of_the_direct_handshake_leads_to_an_upgrade(void **state)
{
        static const struct {
                enum kind kind;
                bool is_remembered;
        } rows[] = {
                { BALANCER, true }, { WITHOUT_ALPN, true }, { RESTARTED, false }, { RESETTING, false }, { PLAIN, true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct scene s;

                set_up_scene(&s, false);
                dial(&s, rows[i].kind);
                assert_non_null(s.tls);
                assert_true(s.is_upgraded);
                assert_int_equal(s.accepted, 2);
                assert_int_equal(conn_upgrade_is_known(str_of(s.address)), rows[i].is_remembered);
                tear_down_scene(&s);
        }
}

static void a_change_is_learned_at_the_next_attempt(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial(&s, BALANCER);
        dial(&s, PROXY); /* which does not show the balancer's certificate */
        assert_non_null(s.err);
        dial(&s, PROXY);
        assert_non_null(s.tls);
        assert_false(s.is_upgraded);
        dial(&s, BALANCER);
        assert_non_null(s.tls);
        tear_down_scene(&s);
}

static void the_host_ca_is_learned_over_https(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        s.learns_ca = true;
        dial(&s, BALANCER);
        assert_non_null(s.tls);
        assert_int_equal(s.fetches, 1);
        assert_int_equal(s.upgrades, 1);
        tear_down_scene(&s);
}

static void an_impostor_behind_the_balancer_is_refused(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, true);
        for (int is_learned = 0; is_learned <= 1; is_learned++) {
                s.learns_ca = is_learned;
                dial(&s, BALANCER);
                assert_int_equal(s.err->code, ERROR_UNAUTHENTICATED);
                assert_true(str_contains(str_of(s.err->what), STR("the connection upgrade through it failed")));
        }
        tear_down_scene(&s);
}

static void a_balancer_without_trust_gets_no_request(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        tls_context_free(s.outer);
        struct made_cert alien = make_cert("balancer", "IP:127.0.0.1", &s.cluster_ca);
        s.outer = server_context(&alien, of_http);
        s.learns_ca = true;
        dial(&s, BALANCER);
        assert_int_equal(s.err->code, ERROR_UNAUTHENTICATED);
        assert_true(str_contains(str_of(s.err->hint), STR("certificate is that of a load balancer")));
        assert_int_equal(s.fetches + s.upgrades, 0);
        made_cert_release(&alien);
        tear_down_scene(&s);
}

static void the_refusal_of_an_upgrade_names_the_box(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial(&s, NOT_UPGRADED);
        assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
        assert_true(str_contains(str_of(s.err->what), STR("('box/1.0') answered GET /webapi/connectionupgrade with 404 Not Found")));
        assert_true(str_contains(str_of(s.err->hint), STR("let it pass all paths")));
        tear_down_scene(&s);
}

static void a_server_of_nothing_is_reported_as_before(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial_in_time(&s, SILENT);
        assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
        assert_false(str_contains(str_of(s.err->what), STR("upgrade")));
        assert_int_equal(s.accepted, 1 + 1 + LIMIT_PROXY_DIAL_REPEATS); /* the upgrade was tried once */
        tear_down_scene(&s);
}

static void a_dead_backend_costs_another_attempt(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        dial_in_time(&s, HALF_ENDED);
        assert_non_null(s.tls);
        assert_false(s.is_upgraded);
        assert_int_equal(s.accepted, 4); /* ended, HTTPS with the wrong certificate, ended, the cluster */
        for (int is_learned = 0; is_learned <= 1; is_learned++) {
                s.learns_ca = is_learned;
                conn_upgrade_learn(str_of(s.address), false);
                dial_in_time(&s, HALF_503);
                assert_non_null(s.tls);
                assert_int_equal(s.requests, is_learned ? 4 : 2);
        }
        conn_upgrade_learn(str_of(s.address), false);
        s.learns_ca = false;
        dial_in_time(&s, ALL_503);
        assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
        assert_true(str_contains(str_of(s.err->what), STR("('box/1.0') answered GET /webapi/connectionupgrade with 503 Service Unavailable")));
        assert_int_equal(s.requests, 1 + LIMIT_PROXY_DIAL_REPEATS);
        tear_down_scene(&s);
}

/* A service that ends runs its loop for a few turns only. */
static void a_pause_before_another_attempt_is_cancelled_at_once(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        s.kind = ALL_503;
        begin(&s);
        RUN_UNTIL(&s.loop, s.requests == 1);
        run_a_while(&s.loop); /* the clock stands still in the pause */
        assert_int_equal(s.done, 0);
        proxy_dial_cancel(s.dial);
        uv_run(&s.loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(s.done, 1);
        assert_int_equal(s.err->code, ERROR_CANCELLED);
        tear_down_scene(&s);
}

/* The outcome is known, or set, so that no direct connection precedes. */
static void an_upgrade_without_an_answer_is_tried_again(void **state)
{
        static const struct {
                enum kind kind;
                bool is_set, learns_ca;
                int accepted;
        } rows[] = {
                { RESTARTED, false, false, 2 }, { RESTARTED, false, true, 3 }, { RESETTING, false, false, 2 },
                { RESTARTED, true, false, 2 },  { RESTARTED, true, true, 3 },  { RESTARTED_TWICE, false, true, 4 },
        };
        struct scene s;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                set_up_scene(&s, false);
                s.learns_ca = rows[i].learns_ca;
                if (rows[i].is_set)
                        setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "yes", 1);
                else
                        conn_upgrade_learn(str_of(s.address), true);
                dial_in_time(&s, rows[i].kind);
                unsetenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE");
                assert_non_null(s.tls);
                assert_true(s.is_upgraded);
                assert_int_equal(s.accepted, rows[i].accepted);
                assert_int_equal(conn_upgrade_is_known(str_of(s.address)), !rows[i].is_set);
                tear_down_scene(&s);
        }
        set_up_scene(&s, false);
        conn_upgrade_learn(str_of(s.address), true);
        dial_in_time(&s, SILENT);
        assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
        assert_int_equal(s.accepted, 1 + LIMIT_PROXY_DIAL_REPEATS);
        assert_false(conn_upgrade_is_known(str_of(s.address)));
        tear_down_scene(&s);
}

/* The direct connection is repeated, as the refused certificate may be that of a cluster which is being restarted. */
static void a_refused_certificate_of_https_is_named_after_all_attempts(void **state)
{
        (void)state;
        for (int is_learned = 0; is_learned <= 1; is_learned++) {
                struct scene s;

                set_up_scene(&s, false);
                struct made_cert expired = make_cert_at("balancer", "IP:127.0.0.1", &s.other_ca, TEST_TIME - TEST_LIFE, TEST_TIME - 60);
                tls_context_free(s.outer);
                s.outer = server_context(&expired, of_http);
                s.learns_ca = is_learned;
                dial_in_time(&s, HTTP_ONLY);
                assert_int_equal(s.accepted, 1 + 1 + LIMIT_PROXY_DIAL_REPEATS);
                assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
                assert_true(str_starts_with(str_of(s.err->what), STR("the server closed the connection during the TLS handshake, and ")));
                assert_true(str_contains(str_of(s.err->what), STR("certificate expired on 2023-11-14T22:12:20Z")));
                assert_true(str_contains(str_of(s.err->hint), STR("the certificate must be renewed")));
                assert_int_equal(s.fetches + s.upgrades, 0);
                made_cert_release(&expired);
                tear_down_scene(&s);
        }
}

/* What the balancer refuses says nothing of this host's identity, and is no dead backend. */
static void a_balancer_that_wants_a_certificate_is_asked_once(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        tls_context_free(s.outer);
        s.outer = NULL;
        assert_null(tls_context_new((struct tls_options){ .is_server = true, .alpn = of_http, .peer = TLS_PEER_REQUIRED,
                                                          .trust_pem = str_of(s.cluster_ca.cert_pem) }, &s.outer));
        assert_null(tls_context_add(s.outer, NULL, identity_of(&s.balancer)));
        dial_in_time(&s, BALANCER);
        assert_int_equal(s.accepted, 2);
        assert_int_equal(s.err->code, ERROR_UNAVAILABLE);
        assert_false(error_is_for(s.err, REASON_IDENTITY));
        assert_true(str_contains(str_of(s.err->what), STR("the server wants a certificate and we have sent none")));
        assert_true(str_contains(str_of(s.err->hint), STR("accept clients without")));
        tear_down_scene(&s);
}

static void the_host_ca_is_learned_again_after_another_direct_attempt(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        s.learns_ca = true;
        dial_in_time(&s, RESTARTED_TWICE);
        assert_non_null(s.tls);
        assert_int_equal(s.accepted, 6); /* ended, the host CA, ended, no ALPN, the host CA, the upgrade */
        assert_int_equal(s.fetches, 2);
        assert_int_equal(s.upgrades, 1);
        tear_down_scene(&s);
}

static void the_whole_dial_has_a_deadline(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        s.kind = STUCK;
        begin(&s);
        /* Each handshake is ended just before its own deadline. */
        int seen = 0;
        for (int64_t ms = 0, end = 0; s.done == 0; ms += 100) {
                assert_true(ms <= TIMEOUT_PROXY_DIAL + 100);
                for (int i = 0; i < 4; i++)
                        run_a_while(&s.loop);
                if (s.accepted > seen) {
                        seen = s.accepted;
                        end = ms + TIMEOUT_TLS_HANDSHAKE - 500;
                }
                if (ms == end && s.done == 0) {
                        stream_close(s.connections->open);
                        s.connections->open = NULL;
                }
                loop_advance(&s.loop, &s.clock, MILLISECONDS(100));
        }
        assert_int_equal(s.accepted, 4);
        assert_int_equal(s.err->code, ERROR_DEADLINE_EXCEEDED);
        assert_true(str_contains(str_of(s.err->what), STR("no connection within 30 seconds: TLS with the cluster is not finished")));
        tear_down_scene(&s);
}

/* Each host has a certificate of the cluster's CA, which may be what verifies HTTPS. */
static void a_host_in_place_of_the_balancer_gets_no_request(void **state)
{
        (void)state;
        struct scene s;
        struct fake_cluster cluster;
        AUTO(host_keys) keys = { 0 };
        AUTO(buf) public = BUF_MAX(KiB), der = BUF_MAX(CERT_MAX), pem = BUF_MAX(2 * CERT_MAX), ca = BUF_MAX(2 * CERT_MAX);
        AUTO(secret) key = { 0 };
        struct str ip = STR("127.0.0.1");
        struct x509_subject subject = { .common_name = STR(HOST_ID "." CLUSTER), .role = STR("Node"), .cluster = STR(CLUSTER),
                                        .ip_addresses = &ip, .ip_address_count = 1 };

        set_up_scene(&s, false);
        fake_cluster_init(&cluster, walltime_of_unix(TEST_TIME));
        assert_null(host_keys_generate(&keys));
        assert_null(key_public_der(&keys.tls, &public));
        assert_null(x509_issue_host(cluster.ca.x509, &subject, buf_str(&public), fake_times(&cluster), &der, NULL));
        cert_der_to_pem(buf_str(&der), &pem);
        cert_der_to_pem(buf_str(&cluster.ca.cert), &ca);
        assert_null(key_to_pem(&keys.tls, &key));
        tls_context_free(s.outer);
        assert_null(tls_context_new((struct tls_options){ .is_server = true, .alpn = of_http }, &s.outer));
        assert_null(tls_context_add(s.outer, NULL, (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&key) }));
        s.outer_trust = buf_str(&ca);
        s.learns_ca = true;
        dial(&s, BALANCER);
        assert_int_equal(s.err->code, ERROR_UNAUTHENTICATED);
        assert_int_equal(s.fetches + s.upgrades, 0);
        assert_int_equal(s.accepted, 2); /* HTTPS was made, and its certificate refused */
        fake_cluster_release(&cluster);
        tear_down_scene(&s);
}

static void the_setting_decides_instead(void **state)
{
        (void)state;
        struct scene s;

        set_up_scene(&s, false);
        setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "127.0.0.1=no", 1);
        dial(&s, BALANCER);
        assert_int_equal(s.err->code, ERROR_FAILED_PRECONDITION);
        assert_int_equal(s.accepted, 1);
        setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "yes", 1);
        dial(&s, BALANCER);
        assert_non_null(s.tls);
        assert_int_equal(s.accepted, 1);
        assert_false(conn_upgrade_is_known(str_of(s.address)));
        setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "perhaps", 1);
        dial(&s, PROXY);
        assert_int_equal(s.err->code, ERROR_INVALID_ARGUMENT);
        unsetenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE");
        tear_down_scene(&s);
}

/* Cancels after a number of turns of the loop, so that the cancel meets each step. */
static void a_cancelled_dial_says_so_once(void **state)
{
        (void)state;
        struct scene s;
        bool has_finished = false;

        set_up_scene(&s, false);
        s.learns_ca = true;
        for (int turns = 0; !has_finished; turns++) {
                conn_upgrade_learn(str_of(s.address), false);
                s.kind = BALANCER;
                begin(&s);
                for (int i = 0; i < turns && s.done == 0; i++)
                        uv_run(&s.loop.uv, UV_RUN_NOWAIT);
                has_finished = s.done == 1;
                if (!has_finished)
                        proxy_dial_cancel(s.dial);
                RUN_UNTIL(&s.loop, s.done == 1);
                assert_true(has_finished || (s.err != NULL && s.err->code == ERROR_CANCELLED));
        }
        tear_down_scene(&s);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_proxy_is_reached_directly),
                cmocka_unit_test(a_balancer_is_found_out_and_remembered),
                cmocka_unit_test(steps_are_reported_up_to_the_one_that_fails),
                cmocka_unit_test(each_refusal_of_the_direct_handshake_leads_to_an_upgrade),
                cmocka_unit_test(a_change_is_learned_at_the_next_attempt),
                cmocka_unit_test(the_host_ca_is_learned_over_https),
                cmocka_unit_test(an_impostor_behind_the_balancer_is_refused),
                cmocka_unit_test(a_balancer_without_trust_gets_no_request),
                cmocka_unit_test(the_refusal_of_an_upgrade_names_the_box),
                cmocka_unit_test(a_server_of_nothing_is_reported_as_before),
                cmocka_unit_test(a_dead_backend_costs_another_attempt),
                cmocka_unit_test(a_pause_before_another_attempt_is_cancelled_at_once),
                cmocka_unit_test(an_upgrade_without_an_answer_is_tried_again),
                cmocka_unit_test(a_refused_certificate_of_https_is_named_after_all_attempts),
                cmocka_unit_test(a_balancer_that_wants_a_certificate_is_asked_once),
                cmocka_unit_test(the_host_ca_is_learned_again_after_another_direct_attempt),
                cmocka_unit_test(the_whole_dial_has_a_deadline),
                cmocka_unit_test(a_host_in_place_of_the_balancer_gets_no_request),
                cmocka_unit_test(the_setting_decides_instead),
                cmocka_unit_test(a_cancelled_dial_says_so_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
