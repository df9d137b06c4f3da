/* SPDX-License-Identifier: Apache-2.0 */
/* Two proxies, each on a loop of its own: `here` requests streams, `there` has the tunnel of a node and serves it. */
#include "proxy/peer_client.h"

#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "join/identity_testing.h"
#include "net/net_testing.h"
#include "proxy/node_dial.h"
#include "proxy/peer_server.h"
#include "proxy/proxy.h"
#include "proxy/tunnel_guard.h"
#include "rpc/pb.h"

#define NODE_ID "22222222-2222-4222-8222-222222222222"
#define CLIENT "192.0.2.7:4711"

struct stage {
        struct fake_cluster hosts;
        struct proxy here, there;
        Cteleport__Internal__V1__Boot boot;
        char address[ADDRESS_TEXT_MAX]; /* of the server of `there` */
        struct tunnel_server *node;
        char client_addr[64], connection_id[64], user[64]; /* as the node received them */
        struct stream *at_node;
        bool waits; /* the node does not answer */
        enum error_code refusal; /* of the node; 0: it accepts */
        int gone;

        struct peer_dial *dial;
        struct stream *stream; /* the result */
        struct error *err;
        int done;
};

#define RUN_UNTIL_BOTH(s, condition)                                                               \
        while (!(condition)) {                                                                     \
                uv_run(&(s)->here.loop.uv, UV_RUN_NOWAIT);                                         \
                uv_run(&(s)->there.loop.uv, UV_RUN_NOWAIT);                                        \
        }

/* ---- the node ---- */

static void copy(char *ret, size_t size, struct str text)
{
        snprintf(ret, size, "%.*s", STR_ARG(text));
}

static void on_connect(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        struct stage *s = ctx;

        copy(s->client_addr, sizeof s->client_addr, request->client_addr);
        copy(s->connection_id, sizeof s->connection_id, request->connection_id);
        copy(s->user, sizeof s->user, request->user);
        if (s->refusal != 0)
                tunnel_refuse(in, error_new(s->refusal, "no"));
        else if (!s->waits)
                s->at_node = tunnel_accept(in);
}

static void on_gone(void *ctx, struct tunnel_incoming *in)
{
        (void)in;
        ((struct stage *)ctx)->gone++;
}

static void on_end(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static const struct tunnel_server_events node_events = { .on_connect = on_connect, .on_gone = on_gone, .on_end = on_end };

static struct tunnel_server *given_tunnel_of(struct stage *s, struct proxy *p, struct str host_id)
{
        struct stream *a, *b;
        struct cert_info cert = { .host_id = host_id, .role = STR("Node"), .serial_hex = STR("01"), .times = fake_times(&s->hosts) };

        connected_pair(&p->loop, &a, &b);
        tunnels_add(&p->tunnels, a, &cert, "127.0.0.1:1");
        return tunnel_server_new(&p->loop, b, &node_events, s);
}

/* A tunnel of the node to this proxy. */
static struct tunnel_server *given_tunnel(struct stage *s, struct proxy *p)
{
        return given_tunnel_of(s, p, STR(NODE_ID));
}

static void given_node(struct stage *s)
{
        s->node = given_tunnel(s, &s->there);
}

/* ---- the proxies ---- */

static void init_proxy(struct proxy *p, struct stage *s)
{
        assert_done(loop_init(&p->loop, NULL));
        p->boot = &s->boot;
        p->tunnels.loop = &p->loop;
        p->tunnels.sources = &p->sources;
        p->peer_client.proxy = p;
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                p->sources.limits[i] = (struct source_limit){ 20, 20 };
        p->users.limits = (struct share_limits){ .total = 20, .each = 2 };
        p->relays.limits = (struct share_limits){ .total = 20, .each = 20 };
        p->memory = (struct budget){ .total = 64 * MiB, .share = 32 * MiB };
}

static bool counts_nothing(const struct proxy *p)
{
        return p->sources.totals[SOURCE_SSH] == 0 && p->sources.totals[SOURCE_CONNECTIONS] == 0 && p->users.total == 0 &&
               p->relays.total == 0 && p->memory.used == 0;
}

static void release_proxy(struct proxy *p)
{
        tls_context_free(p->tls_peers);
        host_identity_release(&p->identity);
        shares_release(&p->users);
        shares_release(&p->relays);
        budget_release(&p->memory);
        tunnels_release(&p->tunnels);
        sources_release(&p->sources);
        loop_release(&p->loop);
}

static void serve_peers(struct stage *s)
{
        const char *const alpn[] = { PEER_ALPN, NULL };
        AUTO(buf) trust = BUF_MAX(64 * KiB), public = BUF_MAX(4 * KiB), cert = BUF_MAX(CERT_MAX), pem = BUF_MAX(2 * CERT_MAX);
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(secret) key_pem = { 0 };
        struct str names[] = { STR_INIT("teleport.cluster.local") };
        struct x509_subject subject = { .common_name = STR(HOST_ID "." CLUSTER), .role = STR("Proxy"), .cluster = STR(CLUSTER), .dns_names = names,
                                        .dns_name_count = 1 };
        int fd;

        cert_der_to_pem(buf_str(&s->hosts.ca.cert), &trust);
        assert_done(key_public_der(&key, &public));
        assert_done(key_to_pem(&key, &key_pem));
        assert_done(x509_issue_host(s->hosts.ca.x509, &subject, buf_str(&public), fake_times(&s->hosts), &cert, NULL));
        cert_der_to_pem(buf_str(&cert), &pem);
        assert_done(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&trust), .alpn = alpn,
                                                          .is_internal = true },
                                    &s->there.tls_peers));
        assert_done(tls_context_add(s->there.tls_peers, NULL,
                                    (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&key_pem) }));
        assert_done(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        s->there.peer_server = peer_server_open(&s->there, fd);
}

static int set_up(void **state)
{
        struct stage *s = NEW(struct stage);

        *state = s;
        cteleport__internal__v1__boot__init(&s->boot);
        init_proxy(&s->here, s);
        init_proxy(&s->there, s);
        fake_cluster_init(&s->hosts, loop_wall(&s->here.loop));
        s->here.identity = fake_identity(&s->hosts, "Proxy");
        s->there.identity = fake_identity(&s->hosts, "Proxy");
        serve_peers(s);
        return 0;
}

static void note(void *ctx)
{
        *(bool *)ctx = true;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        bool is_here_over = false, is_there_over = false;

        stream_close(s->stream);
        stream_close(s->at_node);
        error_free(s->err);
        peer_client_shut(&s->here.peer_client);
        peer_server_shut(s->there.peer_server);
        tunnels_shut(&s->there.tunnels);
        tunnel_server_close(s->node);
        RUN_UNTIL_BOTH(s, s->here.peer_client.links == NULL && peer_server_is_empty(s->there.peer_server) && counts_nothing(&s->here) &&
                                  counts_nothing(&s->there));
        loop_defer(&s->here.loop, note, &is_here_over); /* after the calls that these ends have deferred */
        loop_defer(&s->there.loop, note, &is_there_over);
        RUN_UNTIL_BOTH(s, is_here_over && is_there_over);
        peer_server_free(s->there.peer_server);
        release_proxy(&s->here);
        release_proxy(&s->there);
        fake_cluster_release(&s->hosts);
        free(s);
        return 0;
}

/* ---- requests ---- */

static const struct tunnel_request request = {
        .host_id = STR_INIT(NODE_ID), .service = STR_INIT("ssh"), .kind = STR_INIT("node"), .name = STR_INIT("web-1"),
        .connection_id = STR_INIT("5f0c"), .client_addr = STR_INIT(CLIENT), .user = STR_INIT("alice"),
};

static void on_done(void *ctx, struct stream *stream, struct error *err)
{
        struct stage *s = ctx;

        s->done++;
        s->dial = NULL;
        stream_close(s->stream);
        error_free(s->err);
        s->stream = stream;
        s->err = err;
}

static void dial(struct stage *s, const char *host_id)
{
        s->dial = peer_dial_start(&s->here.peer_client, host_id, s->address, &request, on_done, s);
}

static void dialled(struct stage *s)
{
        int before = s->done;

        dial(s, HOST_ID);
        RUN_UNTIL_BOTH(s, s->done > before);
}

static void relays_a_connection_into_the_tunnel_of_a_node(void **state)
{
        struct stage *s = *state;
        struct ear user = { 0 }, node = { 0 };

        given_node(s);
        dialled(s);
        assert_null(s->err);
        assert_string_equal(s->client_addr, CLIENT); /* of the user, not of the other proxy */
        assert_string_equal(s->connection_id, "5f0c");
        assert_string_equal(s->user, "alice");
        assert_int_equal(s->there.users.total, 1);
        assert_int_equal(sources_count(&s->there.sources, SOURCE_SSH, STR("192.0.2.7")), 1);
        ear_listen(&user, s->stream);
        ear_listen(&node, s->at_node);
        stream_read(s->stream, true);
        stream_read(s->at_node, true);
        stream_write(s->stream, STR("from the user"));
        stream_write(s->at_node, STR("from the node"));
        RUN_UNTIL_BOTH(s, user.received.len == 13 && node.received.len == 13);
        assert_received(&node, "from the user");
        assert_received(&user, "from the node");
        stream_close(s->stream);
        s->stream = NULL;
        RUN_UNTIL_BOTH(s, node.ends == 1);
        stream_close(s->at_node);
        s->at_node = NULL;
        RUN_UNTIL_BOTH(s, s->there.users.total == 0);
        error_free(node.err);
        error_free(user.err);
        buf_release(&node.received);
        buf_release(&user.received);
}

static void uses_one_connection_for_several_requests(void **state)
{
        struct stage *s = *state;

        given_node(s);
        dialled(s);
        struct peer_link *link = s->here.peer_client.links;
        stream_close(s->at_node);
        s->at_node = NULL;
        dialled(s);
        assert_null(s->err);
        assert_ptr_equal(s->here.peer_client.links, link);
}

static void a_proxy_without_a_tunnel_of_the_node_refuses(void **state)
{
        struct stage *s = *state;

        dialled(s);
        assert_int_equal(s->err->code, ERROR_NOT_FOUND);
        assert_int_equal(s->there.users.total, 0);
}

static void limits_of_users_hold_for_relayed_connections(void **state)
{
        struct stage *s = *state;

        given_node(s);
        shares_add(&s->there.users, STR("alice"));
        shares_add(&s->there.users, STR("alice"));
        dialled(s);
        assert_int_equal(s->err->code, ERROR_RESOURCE_EXHAUSTED);
        assert_string_equal(s->connection_id, "");
        shares_remove(&s->there.users, STR("alice"));
        shares_remove(&s->there.users, STR("alice"));
}

/* A captured proxy sends them: each would be counted for ever. */
static void a_request_without_the_address_of_a_client_is_not_counted(void **state)
{
        struct stage *s = *state;
        struct tunnel_request unnamed = request;

        given_node(s);
        unnamed.client_addr = STR("");
        s->dial = peer_dial_start(&s->here.peer_client, HOST_ID, s->address, &unnamed, on_done, s);
        RUN_UNTIL_BOTH(s, s->done == 1);
        assert_int_equal(s->err->code, ERROR_INVALID_ARGUMENT);
        assert_int_equal(s->there.sources.totals[SOURCE_SSH], 0);
}

static void a_host_of_another_role_relays_nothing(void **state)
{
        struct stage *s = *state;

        given_node(s);
        host_identity_release(&s->here.identity);
        s->here.identity = fake_identity(&s->hosts, "Node");
        dialled(s);
        assert_int_equal(s->err->code, ERROR_UNAVAILABLE);
        assert_string_equal(s->connection_id, "");
}

static void another_proxy_at_the_address_gets_no_request(void **state)
{
        struct stage *s = *state;

        given_node(s);
        dial(s, NODE_ID);
        RUN_UNTIL_BOTH(s, s->done == 1);
        assert_true(error_is_for(s->err, REASON_CONNECTION));
        assert_string_equal(s->connection_id, "");
}

static void a_proxy_that_is_not_reached_is_reported_as_such(void **state)
{
        struct stage *s = *state;
        int fd;

        assert_done(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        close(fd); /* nothing listens there any more */
        dialled(s);
        assert_true(error_is_for(s->err, REASON_CONNECTION));
        assert_null(s->here.peer_client.links);
}

static void a_removed_proxy_loses_its_connections(void **state)
{
        struct stage *s = *state;
        struct ear user = { 0 };

        given_node(s);
        dialled(s);
        ear_listen(&user, s->stream);
        stream_read(s->stream, true);
        peer_server_end_host(s->there.peer_server, STR(HOST_ID), (struct cert_issue){ 0 }, "removed");
        RUN_UNTIL_BOTH(s, user.ends == 1 && s->there.users.total == 0);
        RUN_UNTIL_BOTH(s, s->here.peer_client.links == NULL);
        error_free(user.err);
}

/* The certificate of the connections, and their number. */
struct links {
        struct cert_issue cert;
        int count;
};

static void note_link(void *ctx, const char *host_id, struct cert_issue cert)
{
        struct links *links = ctx;

        assert_string_equal(host_id, HOST_ID);
        links->cert = cert;
        links->count++;
}

static void a_former_holder_of_its_id_loses_its_connections(void **state)
{
        struct stage *s = *state;
        struct links served = { 0 }, after = { 0 };

        given_node(s);
        dialled(s);
        peer_server_each(s->there.peer_server, note_link, &served);
        assert_int_equal(served.count, 1);
        peer_server_end_host(s->there.peer_server, STR(HOST_ID), served.cert, "joined again");
        peer_server_each(s->there.peer_server, note_link, &after);
        assert_int_equal(after.count, 1); /* it is of the holder itself */
        served.cert.serial_time++;
        peer_server_end_host(s->there.peer_server, STR(HOST_ID), served.cert, "the ID belongs to another one");
        RUN_UNTIL_BOTH(s, s->here.peer_client.links == NULL);
}

static void connections_to_a_former_holder_of_an_id_end(void **state)
{
        struct stage *s = *state;
        struct links made = { 0 }, after = { 0 };

        given_node(s);
        dialled(s);
        peer_client_each(&s->here.peer_client, note_link, &made);
        assert_int_equal(made.count, 1);
        peer_client_end_host(&s->here.peer_client, STR(HOST_ID), made.cert);
        peer_client_each(&s->here.peer_client, note_link, &after);
        assert_int_equal(after.count, 1);
        made.cert.serial_time++;
        peer_client_end_host(&s->here.peer_client, STR(HOST_ID), made.cert);
        assert_null(s->here.peer_client.links);
}

static void note_tunnel(void *ctx, const char *host_id, const char *role UNUSED, struct cert_issue cert UNUSED)
{
        *(int *)ctx += strcmp(host_id, HOST_ID) == 0;
}

/* A host that is a node and a proxy: auth names the connections that end by role. */
static void ends_the_connections_of_a_host_by_role(void **state)
{
        static const struct {
                const char *role;
                int tunnels, links;
        } rows[] = { { "Node", 0, 1 }, { "App", 1, 1 }, { "Proxy", 1, 0 }, { "", 0, 0 } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                Cteleport__V1__TunnelsDown down = CTELEPORT__V1__TUNNELS_DOWN__INIT;
                struct links made = { 0 }, served = { 0 };
                int tunnels_here = 0, tunnels_there = 0;
                struct stage *s;

                if (i > 0)
                        set_up(state);
                s = *state;
                given_node(s);
                dialled(s);
                struct tunnel_server *here = given_tunnel_of(s, &s->here, STR(HOST_ID)), *there = given_tunnel_of(s, &s->there, STR(HOST_ID));
                RUN_UNTIL_BOTH(s, s->here.tunnels.by_host.count == 1 && s->there.tunnels.by_host.count == 2);
                down.host_id = pb_text(HOST_ID);
                down.role = pb_text(rows[i].role);
                tunnel_guard_end_host(&s->here, &down);
                tunnel_guard_end_host(&s->there, &down);
                tunnels_each(&s->here.tunnels, note_tunnel, &tunnels_here);
                tunnels_each(&s->there.tunnels, note_tunnel, &tunnels_there);
                peer_client_each(&s->here.peer_client, note_link, &made);
                peer_server_each(s->there.peer_server, note_link, &served);
                assert_int_equal(tunnels_here, rows[i].tunnels);
                assert_int_equal(tunnels_there, rows[i].tunnels);
                assert_int_equal(made.count, rows[i].links);
                assert_int_equal(served.count, rows[i].links);
                tunnels_shut(&s->here.tunnels);
                tunnel_server_close(here);
                tunnel_server_close(there);
                if (i + 1 < ARRAY_LEN(rows))
                        tear_down(state);
        }
}

static void a_proxy_that_leaves_gets_no_further_request(void **state)
{
        struct stage *s = *state;
        struct ear node = { 0 };

        given_node(s);
        dialled(s);
        struct stream *first = s->stream, *first_at_node = s->at_node;
        s->stream = NULL;
        s->at_node = NULL;
        peer_server_drain(s->there.peer_server);
        dialled(s); /* its GOAWAY is under way */
        assert_true(error_is_for(s->err, REASON_CONNECTION)); /* so that the next proxy is tried */
        dialled(s);
        assert_true(error_is_for(s->err, REASON_CONNECTION));
        ear_listen(&node, first_at_node);
        stream_read(first_at_node, true);
        stream_write(first, STR("still here"));
        RUN_UNTIL_BOTH(s, node.received.len == 10);
        stream_close(first);
        stream_close(first_at_node);
        buf_release(&node.received);
        error_free(node.err);
}

static void a_dial_goes_on_when_a_proxy_leaves(void **state)
{
        struct stage *s = *state;
        struct node_dial_peers peers = { .count = 1 };

        given_node(s);
        dialled(s);
        snprintf(peers.list[0].host_id, sizeof peers.list[0].host_id, "%s", HOST_ID);
        snprintf(peers.list[0].addr, sizeof peers.list[0].addr, "%s", s->address);
        peer_server_drain(s->there.peer_server);
        (void)!node_dial_start(&s->here, &request, &peers, on_done, s);
        RUN_UNTIL_BOTH(s, s->here.tunnels.waits != NULL); /* it has left the proxy, and waits for a tunnel to its own */
        stream_close(s->at_node);
        struct tunnel_server *node = given_tunnel(s, &s->here);
        RUN_UNTIL_BOTH(s, s->done == 2);
        assert_null(s->err);
        stream_close(s->at_node);
        s->at_node = NULL;
        tunnels_shut(&s->here.tunnels);
        tunnel_server_close(node);
}

static void dial_through_peer(struct stage *s)
{
        struct node_dial_peers peers = { .count = 1 };

        snprintf(peers.list[0].host_id, sizeof peers.list[0].host_id, "%s", HOST_ID);
        snprintf(peers.list[0].addr, sizeof peers.list[0].addr, "%s", s->address);
        (void)!node_dial_start(&s->here, &request, &peers, on_done, s);
}

/* The dial waits for another route, and takes the tunnel that the node opens then. */
static void assert_goes_on(struct stage *s)
{
        RUN_UNTIL_BOTH(s, s->done == 1 || s->here.tunnels.waits != NULL);
        assert_int_equal(s->done, 0);
        struct tunnel_server *node = given_tunnel(s, &s->here);
        RUN_UNTIL_BOTH(s, s->done == 1);
        assert_null(s->err);
        stream_close(s->at_node);
        s->at_node = NULL;
        tunnels_shut(&s->here.tunnels);
        tunnel_server_close(node);
}

static void a_dial_goes_on_when_a_proxy_has_used_its_share(void **state)
{
        struct stage *s = *state;

        given_node(s);
        s->there.relays.limits.each = 0;
        dial_through_peer(s);
        assert_goes_on(s);
}

static void assert_dial_refused(struct stage *s, enum error_code by_node, enum error_code here)
{
        given_node(s);
        s->refusal = by_node;
        dial_through_peer(s);
        RUN_UNTIL_BOTH(s, s->done == 1 || s->here.tunnels.waits != NULL);
        assert_int_equal(s->done, 1);
        assert_int_equal(s->err->code, here);
}

static void a_dial_ends_when_the_node_refuses(void **state)
{
        assert_dial_refused(*state, ERROR_RESOURCE_EXHAUSTED, ERROR_RESOURCE_EXHAUSTED);
}

static void a_node_cannot_send_the_codes_of_proxies(void **state)
{
        assert_dial_refused(*state, ERROR_ABORTED, ERROR_UNAVAILABLE);
}

static void a_used_share_is_reported_when_no_other_route_is_left(void **state)
{
        struct stage *s = *state;

        given_node(s);
        s->there.relays.limits.each = 0;
        dial_through_peer(s);
        RUN_UNTIL_BOTH(s, s->done == 1 || s->here.tunnels.waits != NULL);
        assert_int_equal(s->done, 0);
        tunnels_shut(&s->here.tunnels);
        RUN_UNTIL_BOTH(s, s->done == 1);
        assert_non_null(strstr(s->err->what, "too many connections of one other proxy"));
}

/* The node has not processed the request (RFC 9113, 8.7). */
static void a_dial_goes_on_when_the_node_leaves_its_tunnel(void **state)
{
        struct stage *s = *state;
        struct node_dial_peers none = { 0 };

        struct tunnel_server *old = given_tunnel(s, &s->here);
        RUN_UNTIL_BOTH(s, s->here.tunnels.by_host.count == 1);
        (void)!node_dial_start(&s->here, &request, &none, on_done, s);
        tunnel_server_drain(old);
        assert_goes_on(s);
        tunnel_server_close(old);
}

enum { CAPTURED_MAX = LIMIT_PEER_LINKS + 2 };

/* A captured proxy in place of `there`: it accepts every request, and at once leaves the connection (GOAWAY). */
struct captured {
        struct stage *stage;
        struct tls_handshake *handshake;
        struct tunnel_server *links[CAPTURED_MAX];
        struct stream *streams[CAPTURED_MAX];
        size_t count;
};

static void on_captured_connect(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *wanted)
{
        struct captured *c = ctx;

        (void)wanted;
        c->streams[c->count - 1] = tunnel_accept(in);
        tunnel_server_drain(c->links[c->count - 1]);
}

static const struct tunnel_server_events captured_events = { .on_connect = on_captured_connect, .on_gone = on_gone, .on_end = on_end };

static void on_captured_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct captured *c = ctx;

        assert_done(err);
        assert_true(c->count < CAPTURED_MAX);
        c->links[c->count++] = tunnel_server_new(&c->stage->there.loop, tls, &captured_events, c);
}

static void on_captured_accept(void *ctx, int fd, const char *peer)
{
        struct captured *c = ctx;
        struct loop *l = &c->stage->there.loop;

        (void)peer;
        c->handshake = tls_start(l, c->stage->there.tls_peers, socket_stream(l, fd), NULL, SECONDS(5), on_captured_tls, c);
}

static void dialled_at_last(struct stage *s)
{
        do
                dialled(s);
        while (s->err != NULL); /* a GOAWAY was under way */
}

static void a_proxy_that_leaves_every_connection_gets_a_few_only(void **state)
{
        struct stage *s = *state;
        struct captured c = { .stage = s };
        struct stream *streams[LIMIT_PEER_LINKS];
        int fd;

        assert_done(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        struct listener *listener = listener_new(&s->there.loop, fd, on_captured_accept, &c);
        for (size_t i = 0; i < LIMIT_PEER_LINKS; i++) {
                dialled_at_last(s);
                streams[i] = s->stream;
                s->stream = NULL;
        }
        do
                dialled(s);
        while (s->err == NULL || strstr(s->err->what, "has left") == NULL);
        assert_true(error_is_for(s->err, REASON_CONNECTION)); /* so that the next proxy is tried */
        assert_int_equal(c.count, LIMIT_PEER_LINKS);
        stream_close(streams[0]);
        stream_close(c.streams[0]);
        dialled_at_last(s);
        for (size_t i = 1; i < LIMIT_PEER_LINKS; i++)
                stream_close(streams[i]);
        stream_close(s->stream);
        s->stream = NULL;
        for (size_t i = 1; i < c.count; i++)
                stream_close(c.streams[i]);
        RUN_UNTIL_BOTH(s, s->here.peer_client.links == NULL);
        for (size_t i = 0; i < c.count; i++)
                tunnel_server_close(c.links[i]);
        listener_close(listener);
}

/* So a captured proxy cannot use up the connections of all users. */
static void one_proxy_has_a_share_of_the_connections(void **state)
{
        struct stage *s = *state;

        given_node(s);
        s->there.relays.limits.each = 1;
        dialled(s);
        assert_null(s->err);
        struct stream *first = s->stream;
        s->stream = NULL;
        dialled(s);
        assert_int_equal(s->err->code, ERROR_ABORTED); /* the next proxy is tried, not as when the node refuses */
        stream_close(s->at_node);
        s->at_node = NULL;
        stream_close(first);
        RUN_UNTIL_BOTH(s, s->there.relays.total == 0);
        dialled(s);
        assert_null(s->err);
}

static void a_cancelled_request_ends_at_the_node(void **state)
{
        struct stage *s = *state;

        given_node(s);
        s->waits = true;
        dial(s, HOST_ID);
        RUN_UNTIL_BOTH(s, s->connection_id[0] != '\0');
        peer_dial_cancel(s->dial);
        RUN_UNTIL_BOTH(s, s->done == 1 && s->gone == 1);
        assert_int_equal(s->err->code, ERROR_CANCELLED);
        dial(s, HOST_ID);
        peer_dial_cancel(s->dial); /* at once */
        RUN_UNTIL_BOTH(s, s->done == 2);
}

static void a_renewed_identity_uses_a_new_connection(void **state)
{
        struct stage *s = *state;

        given_node(s);
        dialled(s);
        struct stream *first = s->stream, *first_at_node = s->at_node;
        s->stream = NULL;
        host_identity_release(&s->here.identity);
        s->here.identity = fake_identity(&s->hosts, "Proxy");
        peer_client_renew(&s->here.peer_client);
        dialled(s);
        assert_null(s->err);
        struct ear node = { 0 };
        ear_listen(&node, first_at_node);
        stream_read(first_at_node, true);
        stream_write(first, STR("still here"));
        RUN_UNTIL_BOTH(s, node.received.len == 10);
        assert_int_equal(s->there.users.total, 2);
        stream_close(first);
        stream_close(first_at_node);
        RUN_UNTIL_BOTH(s, s->there.users.total == 1);
        buf_release(&node.received);
        error_free(node.err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(relays_a_connection_into_the_tunnel_of_a_node),
                TEST(uses_one_connection_for_several_requests),
                TEST(a_proxy_without_a_tunnel_of_the_node_refuses),
                TEST(limits_of_users_hold_for_relayed_connections),
                TEST(a_request_without_the_address_of_a_client_is_not_counted),
                TEST(a_host_of_another_role_relays_nothing),
                TEST(another_proxy_at_the_address_gets_no_request),
                TEST(a_proxy_that_is_not_reached_is_reported_as_such),
                TEST(a_removed_proxy_loses_its_connections),
                TEST(a_former_holder_of_its_id_loses_its_connections),
                TEST(connections_to_a_former_holder_of_an_id_end),
                TEST(ends_the_connections_of_a_host_by_role),
                TEST(a_proxy_that_leaves_gets_no_further_request),
                TEST(a_dial_goes_on_when_a_proxy_leaves),
                TEST(a_dial_goes_on_when_a_proxy_has_used_its_share),
                TEST(a_dial_ends_when_the_node_refuses),
                TEST(a_node_cannot_send_the_codes_of_proxies),
                TEST(a_used_share_is_reported_when_no_other_route_is_left),
                TEST(a_dial_goes_on_when_the_node_leaves_its_tunnel),
                TEST(a_proxy_that_leaves_every_connection_gets_a_few_only),
                TEST(one_proxy_has_a_share_of_the_connections),
                TEST(a_cancelled_request_ends_at_the_node),
                TEST(a_renewed_identity_uses_a_new_connection),
        };

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
