/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ssh_dial.h"

#include <stdio.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "join/identity_testing.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { USERS_MAX = 6, NODES_MAX = 6 };

/* A client of the listener: a user, or a node with its tunnel. */
struct client {
        struct stage *stage;
        struct tls_context *tls;
        struct dial *dial;
        struct tls_handshake *handshake;
        struct stream *stream; /* of a user */
        struct buf saw;
        struct tunnel_server *tunnel; /* of a node */
        bool is_refused, has_ended;
};

/* The listener, auth with its DialService, users and nodes; all on one loop. */
struct stage {
        struct fake_clock clock;
        struct proxy proxy;
        Cteleport__Internal__V1__Boot boot;
        struct fake_cluster hosts, users; /* the two CAs */
        struct host_identity identity;    /* the proxy's */
        char address[ADDRESS_TEXT_MAX];

        struct rpc_server_conn *auth;
        struct rpc_call *requested; /* waits for its answer */
        bool answers_late;
        struct error *verdict; /* of auth; NULL: yes */
        int requested_count, gone;
        char target[64], login[64], client_addr[64];
        uint32_t port; /* UINT32_MAX: the request is not one for an application */
        bool saw_certificate;
        int alternatives; /* number of answers of auth that name others */
        size_t tried;     /* hosts, in the last request to auth */

        struct client user_clients[USERS_MAX], nodes[NODES_MAX];
        size_t user_count, node_count;

        struct error *refusal; /* of the node; NULL: it accepts */
        bool refuses_all, is_silent;
        int connects;
        struct client *connected_node;
        char connection_id[64], node_saw_addr[64], kind[32];
        char resource[96]; /* "SERVICE KIND/NAME", of the request in the tunnel */
        struct stream *at_node;
        struct buf node_saw;
        bool node_has_ended;
};

static struct stage *the; /* methods of a table have no context of their own */

#define RUN_UNTIL(s, condition)                                                                    \
        while (!(condition))                                                                       \
        uv_run(&(s)->proxy.loop.uv, UV_RUN_ONCE)

/* ---- auth ---- */

static void on_request_gone(void *ctx)
{
        struct stage *s = ctx;
        s->requested = NULL;
        s->gone++;
}

static const struct rpc_call_events request_events = { .on_gone = on_request_gone };

static void answer(struct rpc_call *call)
{
        Cteleport__V1__DialResponse response = CTELEPORT__V1__DIAL_RESPONSE__INIT;
        bool is_app = strcmp(the->kind, "app") == 0;
        response.connection_id = pb_text("5f0c");
        response.host_id = pb_text(HOST_ID);
        response.hostname = pb_text("web-1");
        response.service = pb_text(is_app ? "app" : "ssh");
        response.resource = pb_text(is_app ? "grafana" : "");
        response.has_alternatives = the->alternatives > 0 && the->alternatives-- > 0;
        if (the->verdict == NULL) {
                rpc_call_reply(call, &response.base);
                return;
        }
        struct error *verdict = the->verdict;
        the->verdict = NULL;
        rpc_call_finish(call, verdict);
}

static void open_dial(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__DialRequest *r = (const Cteleport__V1__DialRequest *)first;
        the->requested_count++;
        snprintf(the->target, sizeof the->target, "%s", r->target);
        the->port = r->app == NULL ? UINT32_MAX : r->app->port;
        snprintf(the->kind, sizeof the->kind, "%s", r->kind);
        snprintf(the->login, sizeof the->login, "%s", r->node == NULL ? "none" : r->node->login);
        snprintf(the->client_addr, sizeof the->client_addr, "%s", r->client_addr);
        the->saw_certificate = r->user_cert.len > 0;
        the->tried = r->n_tried_hosts;
        if (!the->answers_late) {
                answer(call);
                return;
        }
        the->requested = call;
        rpc_call_listen(call, &request_events, the);
}

static const struct rpc_method dial_method = { .path = "/cteleport.v1.DialService/Dial",
                                               .request = &cteleport__v1__dial_request__descriptor,
                                               .request_max = LIMIT_RPC,
                                               .open = open_dial };
static const struct rpc_method *const auth_methods[] = { &dial_method, NULL };

static void on_auth_closed(void *caller)
{
        ((struct stage *)caller)->auth = NULL;
}

static void open_auth(struct stage *s)
{
        int ours, theirs;
        assert_done(socket_pair(&ours, &theirs));
        s->auth = rpc_serve(&s->proxy.loop, socket_stream(&s->proxy.loop, theirs),
                            (struct rpc_server_options){ .methods = auth_methods, .caller = s, .on_closed = on_auth_closed,
                                                         .peer = "" });
        s->proxy.upstream = upstream_new(&s->proxy.loop, NULL, NULL);
        upstream_use_link(s->proxy.upstream, ours);
}

/* ---- nodes ---- */

static void on_node_read(void *ctx, struct str bytes)
{
        struct stage *s = ctx;
        buf_put(&s->node_saw, bytes);
}

static void on_node_stream_end(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        error_free(err);
        s->node_has_ended = true;
}

static const struct stream_events node_stream_events = { .on_read = on_node_read, .on_end = on_node_stream_end };

static void on_connect(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct client *node = ctx;
        struct stage *s = node->stage;
        s->connects++;
        s->connected_node = node;
        snprintf(s->connection_id, sizeof s->connection_id, "%.*s", STR_ARG(request->connection_id));
        snprintf(s->resource, sizeof s->resource, "%.*s %.*s/%.*s", STR_ARG(request->service), STR_ARG(request->kind), STR_ARG(request->name));
        snprintf(s->node_saw_addr, sizeof s->node_saw_addr, "%.*s", STR_ARG(request->client_addr));
        if (s->is_silent)
                return;
        if (s->refuses_all) {
                tunnel_refuse(v, error_new(ERROR_UNAVAILABLE, "stopping"));
                return;
        }
        if (s->refusal != NULL) {
                tunnel_refuse(v, s->refusal);
                s->refusal = NULL;
                return;
        }
        s->at_node = tunnel_accept(v);
        stream_listen(s->at_node, &node_stream_events, s);
        stream_read(s->at_node, true);
}

static void on_incoming_gone(void *ctx, struct tunnel_incoming *v)
{
        (void)ctx;
        (void)v;
}

static void on_tunnel_end(void *ctx, struct error *err)
{
        struct client *node = ctx;
        error_free(err);
        node->has_ended = true;
}

static const struct tunnel_server_events tunnel_events = { .on_connect = on_connect, .on_gone = on_incoming_gone,
                                                           .on_end = on_tunnel_end };

/* ---- connecting ---- */

static void on_user_read(void *ctx, struct str bytes)
{
        struct client *v = ctx;
        buf_put(&v->saw, bytes);
}

static void on_user_end(void *ctx, struct error *err)
{
        struct client *v = ctx;
        v->is_refused = err != NULL && err->code == ERROR_PERMISSION_DENIED;
        error_free(err);
        v->has_ended = true;
}

static const struct stream_events user_events = { .on_read = on_user_read, .on_end = on_user_end };

static void on_shaken(void *ctx, struct stream *tls, struct error *err)
{
        struct client *v = ctx;
        v->handshake = NULL;
        v->is_refused = err != NULL;
        error_free(err);
        if (tls == NULL)
                return;
        if (str_equal(tls_alpn(tls), STR(TUNNEL_ALPN))) {
                v->tunnel = tunnel_server_new(&v->stage->proxy.loop, tls, &tunnel_events, v);
                return;
        }
        v->stream = tls;
        stream_listen(tls, &user_events, v);
        stream_read(tls, true);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct client *v = ctx;
        struct loop *l = &v->stage->proxy.loop;
        v->dial = NULL;
        assert_done(err);
        v->handshake = tls_start(l, v->tls, socket_stream(l, fd), "teleport.cluster.local", SECONDS(5), on_shaken, v);
}

static void open_connection(struct stage *s, struct client *v, const char *protocol, struct tls_identity id)
{
        const char *const alpn[] = { protocol, NULL };
        *v = (struct client){ .stage = s, .saw = BUF_MAX(1 * MiB) };
        assert_done(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn, .is_internal = true }, &v->tls));
        assert_done(tls_context_add(v->tls, NULL, id));
        v->dial = dial_start(&s->proxy.loop, str_of(s->address), SECONDS(5), on_dialled, v);
        RUN_UNTIL(s, v->dial == NULL);
        RUN_UNTIL(s, v->handshake == NULL);
}

/* A host of the cluster with this role, on this protocol. */
static struct client *host_connects(struct stage *s, const char *role, const char *protocol)
{
        struct client *v = &s->nodes[s->node_count++];
        AUTO(host_identity) id = fake_identity(&s->hosts, role);
        AUTO(buf) chain = BUF_MAX(64 * KiB);
        host_identity_chain_pem(&id, &chain);
        open_connection(s, v, protocol,
              (struct tls_identity){ .cert_chain_pem = buf_str(&chain), .key_pem = secret_str(&id.tls_key_pem) });
        return v;
}

static void count_tunnel(void *ctx, const char *host_id, const char *role, struct cert_issue cert)
{
        (void)host_id;
        (void)role;
        (void)cert;
        (*(size_t *)ctx)++;
}

/* Number of the tunnels that their nodes serve. */
static size_t open_tunnels(const struct stage *s)
{
        size_t count = 0;
        tunnels_each(&s->proxy.tunnels, count_tunnel, &count);
        return count;
}

static struct client *agent_connects(struct stage *s, const char *role)
{
        size_t before = open_tunnels(s);
        struct client *v = host_connects(s, role, TUNNEL_ALPN);
        RUN_UNTIL(s, open_tunnels(s) > before || v->has_ended);
        return v;
}

static struct client *node_connects(struct stage *s)
{
        return agent_connects(s, "Node");
}

/* A user with a certificate of this CA. */
static struct client *user_connects(struct stage *s, struct fake_cluster *ca, const char *protocol)
{
        struct client *v = &s->user_clients[s->user_count++];
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) public = BUF_MAX(4 * KiB);
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);
        AUTO(secret) key_pem = { 0 };
        struct str roles[] = { STR_INIT("access") }, logins[] = { STR_INIT("root") };
        struct x509_user_subject subject = { .user = STR("alice"), .cluster = STR(CLUSTER), .roles = roles, .role_count = 1,
                                             .logins = logins, .login_count = 1 };
        assert_done(key_public_der(&key, &public));
        assert_done(key_to_pem(&key, &key_pem));
        assert_done(x509_issue_user(ca->ca.x509, &subject, buf_str(&public), fake_times(ca), &der, NULL));
        cert_der_to_pem(buf_str(&der), &pem);
        open_connection(s, v, protocol, (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&key_pem) });
        return v;
}

static struct client *alice_requests(struct stage *s, const char *request)
{
        struct client *v = user_connects(s, &s->users, SSH_DIAL_ALPN);
        assert_non_null(v->stream);
        stream_write(v->stream, str_of(request));
        return v;
}

static const char way[] = "CONNECT web-1:0 HTTP/1.1\r\nHost: web-1:0\r\nX-Teleport-Login: root\r\n\r\n";

static void advance(struct stage *s, int64_t ms)
{
        loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(ms));
}

static bool has_answer(const struct client *v, const char *status_line)
{
        return str_starts_with(buf_str(&v->saw), str_of(status_line));
}

/* ---- the stage ---- */

static void make_context(struct stage *s, const char *protocol, struct str ca_cert, struct tls_context **ret)
{
        const char *const alpn[] = { protocol, NULL };
        AUTO(buf) trust = BUF_MAX(64 * KiB);
        AUTO(buf) chain = BUF_MAX(64 * KiB);
        cert_der_to_pem(ca_cert, &trust);
        host_identity_chain_pem(&s->identity, &chain);
        assert_done(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&trust),
                                                   .alpn = alpn, .is_internal = true },
                             ret));
        assert_done(tls_context_add(*ret, NULL,
                             (struct tls_identity){ .cert_chain_pem = buf_str(&chain),
                                                    .key_pem = secret_str(&s->identity.tls_key_pem) }));
}

static int set_up(void **state)
{
        struct stage *s = NEW(struct stage);
        int fd;
        *state = the = s;
        fake_clock_init(&s->clock, 1700000000);
        assert_done(loop_init(&s->proxy.loop, &s->clock.clock));
        cteleport__internal__v1__boot__init(&s->boot);
        s->proxy.boot = &s->boot;
        s->proxy.identity.cluster = STR(CLUSTER);
        s->proxy.tunnels.loop = &s->proxy.loop;
        s->proxy.tunnels.sources = &s->proxy.sources;
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                s->proxy.sources.limits[i] = (struct source_limit){ 20, 20 };
        s->proxy.sources.limits[SOURCE_SSH] = (struct source_limit){ 2, 2 };
        s->proxy.users.limits = (struct share_limits){ .total = 20, .each = 20 };
        s->proxy.memory = (struct budget){ .total = 64 * MiB, .share = 32 * MiB };
        s->node_saw = BUF_MAX(1 * MiB);
        fake_cluster_init(&s->hosts, loop_wall(&s->proxy.loop));
        fake_cluster_init(&s->users, loop_wall(&s->proxy.loop));
        s->identity = fake_identity(&s->hosts, "Proxy");
        make_context(s, TUNNEL_ALPN, buf_str(&s->hosts.ca.cert), &s->proxy.tls_nodes);
        make_context(s, SSH_DIAL_ALPN, buf_str(&s->users.ca.cert), &s->proxy.tls_users);
        open_auth(s);
        assert_done(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        s->proxy.listener = proxy_listener_open(&s->proxy, fd, -1);
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        for (size_t i = 0; i < s->user_count; i++)
                stream_close(s->user_clients[i].stream);
        for (size_t i = 0; i < s->node_count; i++)
                stream_close(s->nodes[i].stream);
        stream_close(s->at_node);
        s->proxy.is_stopping = true; /* proxy_is_empty() ends the loop */
        s->proxy.tunnels.ctx = &s->proxy;
        proxy_listener_shut(s->proxy.listener);
        tunnels_shut(&s->proxy.tunnels);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
        for (size_t i = 0; i < s->node_count; i++)
                tunnel_server_close(s->nodes[i].tunnel);
        RUN_UNTIL(s, s->auth == NULL);
        assert_true(tunnels_are_empty(&s->proxy.tunnels));
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        assert_int_equal(s->proxy.sources.totals[SOURCE_SSH], 0);
        assert_int_equal(s->proxy.users.total, 0);
        for (size_t i = 0; i < USERS_MAX; i++) {
                tls_context_free(s->user_clients[i].tls);
                buf_release(&s->user_clients[i].saw);
        }
        for (size_t i = 0; i < NODES_MAX; i++) {
                tls_context_free(s->nodes[i].tls);
                buf_release(&s->nodes[i].saw);
        }
        proxy_listener_free(s->proxy.listener);
        shares_release(&s->proxy.users);
        assert_int_equal(s->proxy.memory.used, 0);
        budget_release(&s->proxy.memory);
        tunnels_release(&s->proxy.tunnels);
        sources_release(&s->proxy.sources);
        tls_context_free(s->proxy.tls_nodes);
        tls_context_free(s->proxy.tls_users);
        host_identity_release(&s->identity);
        fake_cluster_release(&s->hosts);
        fake_cluster_release(&s->users);
        buf_release(&s->node_saw);
        error_free(s->verdict);
        error_free(s->refusal);
        loop_release(&s->proxy.loop);
        free(s);
        return 0;
}

/* ---- tests ---- */

static void a_user_reaches_a_node(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        struct client *alice = alice_requests(s, way);
        stream_write(alice->stream, STR("SSH-2.0-early\r\n")); /* bytes that arrive before the answer wait for it */
        RUN_UNTIL(s, s->node_saw.len == 15);
        assert_string_equal(s->target, "web-1");
        assert_string_equal(s->login, "root");
        assert_string_equal(s->kind, "node");
        assert_string_equal(s->resource, "ssh node/web-1");
        assert_true(str_starts_with(str_of(s->client_addr), STR("127.0.0.1:")));
        assert_true(s->saw_certificate);
        assert_string_equal(s->connection_id, "5f0c");
        assert_string_equal(s->node_saw_addr, s->client_addr);
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        assert_int_equal(s->proxy.sources.totals[SOURCE_SSH], 1);
        stream_write(s->at_node, STR("SSH-2.0-node\r\n"));
        stream_shutdown(s->at_node);
        RUN_UNTIL(s, alice->has_ended);
        assert_string_equal(buf_c(&alice->saw), "HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: " HOST_ID "\r\nX-Teleport-Connection: 5f0c\r\n"
                                                "\r\nSSH-2.0-node\r\n");
        stream_close(alice->stream);
        alice->stream = NULL;
        RUN_UNTIL(s, s->node_has_ended && proxy_listener_is_empty(s->proxy.listener));
}

static void passes_the_kind_that_a_client_requests_on_to_auth(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        s->verdict = error_new(ERROR_UNIMPLEMENTED, "there is no such kind");
        struct client *alice = alice_requests(s, "CONNECT wiki:0 HTTP/1.1\r\nHost: wiki:0\r\nX-Teleport-Kind: app\r\nX-Teleport-Login: root\r\n\r\n");
        RUN_UNTIL(s, alice->has_ended);
        assert_string_equal(s->kind, "app");
        assert_string_equal(s->target, "wiki");
        assert_string_equal(s->login, "none"); /* which is of nodes only */
        assert_true(str_starts_with(buf_str(&alice->saw), STR("HTTP/1.1 501 ")));
        assert_int_equal(s->connects, 0);
}

static void the_port_of_an_application_is_sent_to_auth(void **state)
{
        static const struct {
                const char *request;
                uint32_t port;
        } rows[] = {
                { "CONNECT wiki:5432 HTTP/1.1\r\nHost: wiki:5432\r\nX-Teleport-Kind: app\r\n\r\n", 5432 },
                { "CONNECT wiki:0 HTTP/1.1\r\nHost: wiki:0\r\nX-Teleport-Kind: app\r\n\r\n", 0 },
                { "CONNECT web-1:3022 HTTP/1.1\r\nHost: web-1:3022\r\nX-Teleport-Login: root\r\n\r\n", UINT32_MAX },
        };
        struct stage *s = *state;

        (void)node_connects(s);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                s->verdict = error_new(ERROR_INVALID_ARGUMENT, "no such port");
                struct client *alice = alice_requests(s, rows[i].request);
                RUN_UNTIL(s, alice->has_ended);
                assert_int_equal(s->port, rows[i].port);
                assert_true(str_starts_with(buf_str(&alice->saw), STR("HTTP/1.1 400 ")));
        }
}

static const char app_way[] = "CONNECT grafana:0 HTTP/1.1\r\nHost: grafana:0\r\nX-Teleport-Kind: app\r\n\r\n";

/* One host, one ID, two tunnels: a connection goes to the one whose certificate is of the role that offers its kind. */
static void each_kind_has_the_tunnel_of_its_role(void **state)
{
        static const char *const roles[] = { "Node", "App" }, *const ways[] = { way, app_way };
        static const char *const resources[] = { "ssh node/web-1", "app app/grafana" };
        struct stage *s = *state;
        struct client *agents[ARRAY_LEN(roles)];

        for (size_t i = 0; i < ARRAY_LEN(roles); i++)
                agents[i] = agent_connects(s, roles[i]);
        assert_int_equal(s->proxy.tunnels.by_host.count, 1);
        for (size_t i = 0; i < 2 * ARRAY_LEN(roles); i++) {
                struct client *alice = alice_requests(s, ways[i % 2]);

                RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
                assert_ptr_equal(s->connected_node, agents[i % 2]);
                assert_string_equal(s->resource, resources[i % 2]);
                stream_close(alice->stream);
                alice->stream = NULL;
                RUN_UNTIL(s, s->node_has_ended);
                stream_close(s->at_node);
                s->at_node = NULL;
                s->node_has_ended = false;
        }
}

/* A host that has only the certificate of one role gets no connection to resources of another. */
static void a_tunnel_of_another_role_gets_no_connection(void **state)
{
        static const char *const roles[] = { "App", "Node" }, *const ways[] = { way, app_way }, *const hosts[] = { "node", "application's host" };
        struct stage *s = *state;

        for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
                struct client *agent = agent_connects(s, roles[i]), *alice = alice_requests(s, ways[i]);
                AUTO_MEM char *why = mem_printf("the %s is not connected to this proxy right now\n", hosts[i]);

                for (int requested = s->requested_count; s->requested_count == requested;)
                        uv_run(&s->proxy.loop.uv, UV_RUN_ONCE);
                RUN_UNTIL(s, s->proxy.tunnels.waits != NULL);
                advance(s, TIMEOUT_TUNNEL_AWAITED);
                RUN_UNTIL(s, alice->has_ended);
                assert_true(has_answer(alice, "HTTP/1.1 503 "));
                assert_non_null(strstr(buf_c(&alice->saw), why));
                tunnel_server_close(agent->tunnel);
                agent->tunnel = NULL;
                RUN_UNTIL(s, tunnels_are_empty(&s->proxy.tunnels));
        }
        assert_int_equal(s->connects, 0);
}

static void only_services_that_users_connect_to_open_tunnels(void **state)
{
        static const char *const roles[] = { "Proxy", "Instance", "Auth", "Discovery" };
        struct stage *s = *state;

        for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
                struct client *v = host_connects(s, roles[i], TUNNEL_ALPN);

                RUN_UNTIL(s, v->has_ended || v->is_refused);
        }
        assert_true(tunnels_are_empty(&s->proxy.tunnels));
}

/* The first host refuses, another one that auth names then accepts; the user gets one answer. */
static void another_host_is_tried_if_several_offer_the_application(void **state)
{
        struct stage *s = *state;

        (void)agent_connects(s, "App");
        s->alternatives = 1;
        s->refusal = error_new(ERROR_UNAVAILABLE, "stopping");
        struct client *alice = alice_requests(s, app_way);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_int_equal(s->requested_count, 2);
        assert_int_equal(s->tried, 1);
        assert_true(s->saw_certificate);
        assert_int_equal(s->connects, 2);
        stream_close(alice->stream);
        alice->stream = NULL;
        RUN_UNTIL(s, s->node_has_ended);
}

/* Those did not reach the application. They count in the limit of tries, and are known to auth in each request. */
static void a_client_names_hosts_that_it_has_tried(void **state)
{
#define TRIED "CONNECT grafana:0 HTTP/1.1\r\nHost: grafana:0\r\nX-Teleport-Kind: app\r\nX-Teleport-Tried: "
#define ID_1  "11111111-1111-4111-8111-111111111111"
#define ID_2  "22222222-2222-4222-8222-222222222222"
        static const char *const refused[] = { TRIED "x\r\n\r\n", TRIED ID_1 ",\xff\r\n\r\n", TRIED ID_1 "," ID_1 "," ID_2 "\r\n\r\n", TRIED ",\r\n\r\n" };
        struct stage *s = *state;

        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                struct client *mallory = alice_requests(s, refused[i]);

                RUN_UNTIL(s, mallory->has_ended);
                assert_true(has_answer(mallory, "HTTP/1.1 400 "));
        }
        assert_int_equal(s->requested_count, 0);
        (void)agent_connects(s, "App");
        s->alternatives = 100;
        s->refuses_all = true;
        struct client *alice = alice_requests(s, TRIED ID_1 ", " ID_2 "\r\n\r\n");
        RUN_UNTIL(s, alice->has_ended);
        assert_true(has_answer(alice, "HTTP/1.1 503 "));
        assert_int_equal(s->tried, 2);
        assert_int_equal(s->requested_count, 1);
}

/* Auth names no other host that works: the user gets the reason of the last one, after a number of tries. */
static void the_last_host_gives_the_reason(void **state)
{
        struct stage *s = *state;

        s->alternatives = 100;
        for (int round = 0; round < 2; round++) {
                struct client *alice;
                int requested = s->requested_count;

                if (round == 0)
                        alice = alice_requests(s, app_way); /* no tunnel */
                else
                        (void)agent_connects(s, "App"), s->refuses_all = true, alice = alice_requests(s, app_way);
                for (int tries = 1; round == 0 && tries <= LIMIT_DIAL_TRIES; tries++) {
                        RUN_UNTIL(s, s->requested_count == requested + tries && s->proxy.tunnels.waits != NULL);
                        advance(s, TIMEOUT_TUNNEL_AWAITED);
                }
                RUN_UNTIL(s, alice->has_ended);
                assert_int_equal(s->requested_count, requested + LIMIT_DIAL_TRIES);
                assert_true(has_answer(alice, "HTTP/1.1 503 "));
                assert_non_null(strstr(buf_c(&alice->saw), round == 0 ? "not connected to this proxy" : "stopping"));
        }
}

static void a_host_that_does_not_answer_is_left_for_another(void **state)
{
        struct stage *s = *state;

        (void)agent_connects(s, "App");
        s->alternatives = 1;
        s->is_silent = true;
        struct client *alice = alice_requests(s, app_way);
        RUN_UNTIL(s, s->connects == 1);
        s->is_silent = false;
        advance(s, TIMEOUT_ALTERNATIVE);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_int_equal(s->requested_count, 2);
        stream_close(alice->stream);
        alice->stream = NULL;
        RUN_UNTIL(s, s->node_has_ended);
}

static void refusals_of_auth_are_forwarded(void **state)
{
        static const struct {
                enum error_code code;
                const char *line;
        } cases[] = {
                { ERROR_PERMISSION_DENIED, "HTTP/1.1 403 Forbidden\r\n" },
                { ERROR_FAILED_PRECONDITION, "HTTP/1.1 409 Conflict\r\n" },
                { ERROR_INTERNAL, "HTTP/1.1 502 Bad Gateway\r\n" },
        };
        struct stage *s = *state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                s->verdict = error_hint(error_new(cases[i].code, "no"), "ask");
                struct client *alice = alice_requests(s, way);
                RUN_UNTIL(s, alice->has_ended);
                if (!has_answer(alice, cases[i].line))
                        fail_msg("%s instead of %s", buf_c(&alice->saw), cases[i].line);
                assert_true(str_ends_with(buf_str(&alice->saw), STR("\r\n\r\nno\nhint: ask\n")));
        }
        assert_int_equal(s->connects, 0);
}

static void a_node_without_a_tunnel_cannot_be_reached(void **state)
{
        struct stage *s = *state;
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, s->proxy.tunnels.waits != NULL);
        advance(s, TIMEOUT_TUNNEL_AWAITED - 1);
        assert_int_equal(alice->saw.len, 0);
        advance(s, 1);
        RUN_UNTIL(s, alice->has_ended);
        assert_true(has_answer(alice, "HTTP/1.1 503 Service Unavailable\r\n"));
        assert_true(str_contains(buf_str(&alice->saw), STR("not connected to this proxy")));
}

static void a_dial_waits_for_a_tunnel_on_its_way(void **state)
{
        struct stage *s = *state;
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, s->proxy.tunnels.waits != NULL);
        struct client *node = node_connects(s);
        advance(s, 1);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_ptr_equal(s->connected_node, node);
        assert_null(s->proxy.tunnels.waits);
}

static void a_closed_connection_waits_for_no_tunnel(void **state)
{
        struct stage *s = *state;
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, s->proxy.tunnels.waits != NULL);
        stream_close(alice->stream);
        alice->stream = NULL;
        proxy_listener_shut(s->proxy.listener); /* a user who hangs up is noticed when bytes are read */
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
        assert_null(s->proxy.tunnels.waits);
}

/* As an agent does that has a tunnel to this proxy already, when several proxies share an address. */
static void a_connection_that_its_node_closes_replaces_no_tunnel(void **state)
{
        struct stage *s = *state;
        struct client *node = node_connects(s);
        struct client *doubled = host_connects(s, "Node", TUNNEL_ALPN);
        tunnel_server_close(doubled->tunnel); /* before it has sent its settings */
        doubled->tunnel = NULL;
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_ptr_equal(s->connected_node, node);
        RUN_UNTIL(s, s->proxy.tunnels.count == 1);
        assert_int_equal(open_tunnels(s), 1);
}

static void a_tunnel_that_its_node_leaves_is_not_used(void **state)
{
        struct stage *s = *state;
        struct client *old = node_connects(s);
        struct client *first = alice_requests(s, way);
        RUN_UNTIL(s, has_answer(first, "HTTP/1.1 200 OK\r\n"));
        struct stream *kept = s->at_node;
        tunnel_server_drain(old->tunnel);
        struct client *second = alice_requests(s, way);
        RUN_UNTIL(s, s->proxy.tunnels.waits != NULL);
        struct client *new = node_connects(s);
        advance(s, 1);
        RUN_UNTIL(s, has_answer(second, "HTTP/1.1 200 OK\r\n"));
        assert_ptr_equal(s->connected_node, new);
        stream_close(kept);
}

static void a_refusal_of_the_node_is_forwarded(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        s->refusal = error_new(ERROR_UNAVAILABLE, "sshd does not start");
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, alice->has_ended);
        assert_true(has_answer(alice, "HTTP/1.1 503 "));
        assert_true(str_contains(buf_str(&alice->saw), STR("sshd does not start")));
}

static void an_invalid_address_of_a_node_is_refused(void **state)
{
        static const char *const requests[] = {
                "GET /webapi/ping HTTP/1.1\r\nHost: p\r\n\r\n",
                "CONNECT -oProxyCommand=x:0 HTTP/1.1\r\nHost: p\r\n\r\n",
                "SSH-2.0-OpenSSH\r\n",
        };
        struct stage *s = *state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                struct client *v = alice_requests(s, requests[i]);
                RUN_UNTIL(s, v->has_ended);
                assert_true(has_answer(v, "HTTP/1.1 400 Bad Request\r\n"));
        }
        assert_int_equal(s->requested_count, 0);
}

static void only_the_user_ca_makes_users(void **state)
{
        struct stage *s = *state;
        struct client *mallory = user_connects(s, &s->hosts, SSH_DIAL_ALPN); /* a host CA that signs users: refused */
        RUN_UNTIL(s, mallory->is_refused);
        struct client *host = host_connects(s, "Node", SSH_DIAL_ALPN);
        RUN_UNTIL(s, host->is_refused);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
        assert_int_equal(s->requested_count, 0);
}

static void only_nodes_have_tunnels(void **state)
{
        struct stage *s = *state;
        struct client *instance = host_connects(s, "Instance", TUNNEL_ALPN);
        RUN_UNTIL(s, instance->has_ended || instance->is_refused);
        struct client *alice = user_connects(s, &s->users, TUNNEL_ALPN);
        RUN_UNTIL(s, alice->has_ended || alice->is_refused || alice->tunnel != NULL);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
        tunnel_server_close(alice->tunnel);
        assert_true(tunnels_are_empty(&s->proxy.tunnels));
}

static void the_newest_tunnel_of_a_node_serves_and_old_ones_go(void **state)
{
        struct stage *s = *state;
        struct client *first = node_connects(s);
        for (int i = 1; i < LIMIT_TUNNELS_PER_HOST; i++)
                (void)node_connects(s);
        assert_int_equal(s->proxy.tunnels.count, LIMIT_TUNNELS_PER_HOST);
        struct client *last = host_connects(s, "Node", TUNNEL_ALPN);
        RUN_UNTIL(s, first->has_ended);
        assert_int_equal(s->proxy.tunnels.count, LIMIT_TUNNELS_PER_HOST);
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_ptr_equal(s->connected_node, last);
        tunnel_server_close(last->tunnel); /* the one before is the newest now */
        last->tunnel = NULL;
        RUN_UNTIL(s, s->proxy.tunnels.count == LIMIT_TUNNELS_PER_HOST - 1 && s->node_has_ended);
        stream_close(s->at_node);
        s->at_node = NULL;
        alice = alice_requests(s, way);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        assert_ptr_equal(s->connected_node, last - 1);
}

static void a_client_that_leaves_during_the_dial_request_is_removed(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        s->answers_late = true;
        (void)alice_requests(s, way);
        RUN_UNTIL(s, s->requested != NULL);
        proxy_listener_shut(s->proxy.listener); /* the end of the proxy ends the dial, as a user's hang-up does */
        RUN_UNTIL(s, s->gone == 1 && proxy_listener_is_empty(s->proxy.listener));
        assert_int_equal(s->connects, 0);
}

static void users_have_limits_of_their_own(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        s->answers_late = true;
        for (int i = 0; i < 2; i++)
                (void)alice_requests(s, way);
        RUN_UNTIL(s, s->requested_count == 2);
        struct client *third = alice_requests(s, way);
        RUN_UNTIL(s, third->has_ended);
        assert_int_equal(s->requested_count, 2);
}

static void one_user_does_not_use_all_connections(void **state)
{
        struct stage *s = *state;
        (void)node_connects(s);
        s->proxy.users.limits = (struct share_limits){ .total = 20, .each = 1 };
        struct client *first = alice_requests(s, way);
        RUN_UNTIL(s, first->saw.len > 0);
        assert_int_equal(s->proxy.users.total, 1);
        struct client *second = alice_requests(s, way);
        RUN_UNTIL(s, second->has_ended);
        assert_int_equal(second->saw.len, 0);
        assert_int_equal(s->proxy.users.total, 1);
}

static void draining_keeps_connections_and_begins_none(void **state)
{
        struct stage *s = *state;
        struct client *node = node_connects(s);
        struct client *alice = alice_requests(s, way);
        RUN_UNTIL(s, has_answer(alice, "HTTP/1.1 200 OK\r\n"));
        proxy_listener_drain(s->proxy.listener);
        tunnels_drain(&s->proxy.tunnels);
        stream_write(s->at_node, STR("still here"));
        RUN_UNTIL(s, str_ends_with(buf_str(&alice->saw), STR("still here")));
        stream_close(s->at_node);
        s->at_node = NULL;
        RUN_UNTIL(s, alice->has_ended);
        stream_close(alice->stream);
        alice->stream = NULL;
        RUN_UNTIL(s, node->has_ended && tunnels_are_empty(&s->proxy.tunnels) && proxy_listener_is_empty(s->proxy.listener));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_user_reaches_a_node),
                TEST(passes_the_kind_that_a_client_requests_on_to_auth),
                TEST(the_port_of_an_application_is_sent_to_auth),
                TEST(each_kind_has_the_tunnel_of_its_role),
                TEST(a_tunnel_of_another_role_gets_no_connection),
                TEST(only_services_that_users_connect_to_open_tunnels),
                TEST(another_host_is_tried_if_several_offer_the_application),
                TEST(a_client_names_hosts_that_it_has_tried),
                TEST(the_last_host_gives_the_reason),
                TEST(a_host_that_does_not_answer_is_left_for_another),
                TEST(refusals_of_auth_are_forwarded),
                TEST(a_node_without_a_tunnel_cannot_be_reached),
                TEST(a_dial_waits_for_a_tunnel_on_its_way),
                TEST(a_closed_connection_waits_for_no_tunnel),
                TEST(a_connection_that_its_node_closes_replaces_no_tunnel),
                TEST(a_tunnel_that_its_node_leaves_is_not_used),
                TEST(a_refusal_of_the_node_is_forwarded),
                TEST(an_invalid_address_of_a_node_is_refused),
                TEST(only_the_user_ca_makes_users),
                TEST(only_nodes_have_tunnels),
                TEST(the_newest_tunnel_of_a_node_serves_and_old_ones_go),
                TEST(a_client_that_leaves_during_the_dial_request_is_removed),
                TEST(users_have_limits_of_their_own),
                TEST(one_user_does_not_use_all_connections),
                TEST(draining_keeps_connections_and_begins_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
