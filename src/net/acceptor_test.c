/* SPDX-License-Identifier: Apache-2.0 */
#include "net/acceptor.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/limits.h"
#include "net/memory_stream.h"
#include "net/tls_testing.h"

enum { TOTAL = 4, PER_SOURCE = 3, BEGIN_MAX = 64, CONNECTIONS_MAX = 8 };

#define PLAIN "PLAIN"

/* How the acceptor receives a connection. */
enum way { SOCKET, MEMORY };

/* Both ends of a connection. */
struct connection {
        struct accepted accepted;
        bool is_open, has_drained, has_ended;
        struct connection *carried; /* ends with this one */
        enum accepted_step failed_in;
        struct error *failure;
        struct ear server, client;
        struct tls_handshake *handshake;
        struct error *refusal; /* of the handshake, at the client */
        bool is_secured;
};

struct server {
        struct fixture *f;
        enum way way;
        struct acceptor acceptor;
        struct sources sources;
        struct ingress ingress;
        struct arena *arena;
        char address[ADDRESS_TEXT_MAX], second_address[ADDRESS_TEXT_MAX];
        struct connection connections[CONNECTIONS_MAX];
        size_t count;
        int empty;
};

static struct server the;

/* ---- the owner ------------------------------------------------------------------------------------------ */

static struct connection *of(struct accepted *a)
{
        return CONTAINER_OF(a, struct connection, accepted);
}

static struct accepted *open_connection(void *ctx)
{
        struct server *s = ctx;

        assert_true(s->count < CONNECTIONS_MAX);
        s->connections[s->count].is_open = true;
        return &s->connections[s->count++].accepted;
}

static void release(struct connection *c)
{
        stream_close(c->server.stream);
        c->server.stream = NULL;
        accepted_release(&c->accepted);
        c->is_open = false;
}

static void serve(struct accepted *a, struct stream *s)
{
        ear_listen(&of(a)->server, s);
        stream_read(s, true);
}

static void on_begun(struct accepted *a, struct str bytes)
{
        if (bytes.ptr[0] == 0x16) /* a TLS record of a handshake */
                accepted_start_tls(a, the.f->server_context, 0);
        else if (str_starts_with(bytes, STR("from ")) && str_contains(bytes, STR("\n")))
                assert_null(accepted_move(a, "198.51.100.1:1"));
        else if (str_starts_with(bytes, STR("bad")))
                accepted_end(a, error_new(ERROR_PERMISSION_DENIED, "bad"));
        else if (bytes.len >= strlen(PLAIN) && str_starts_with(bytes, STR(PLAIN)))
                serve(a, accepted_take_stream(a, strlen(PLAIN)));
}

static void on_served(struct accepted *a, struct stream *tls)
{
        serve(a, tls);
}

static void end_carried(struct connection *c)
{
        if (c->carried != NULL)
                release(c->carried);
        c->carried = NULL;
}

static void on_failed(struct accepted *a, struct error *err)
{
        end_carried(of(a));
        of(a)->failure = err;
        of(a)->failed_in = a->step;
        release(of(a));
}

static void on_drain(struct accepted *a)
{
        of(a)->has_drained = true;
        end_carried(of(a));
}

static void on_end(struct accepted *a)
{
        of(a)->has_ended = true;
        end_carried(of(a));
        release(of(a));
}

static void on_empty(void *ctx)
{
        ((struct server *)ctx)->empty++;
}

static const struct acceptor_events events = {
        .open = open_connection,
        .begun = on_begun,
        .served = on_served,
        .failed = on_failed,
        .drain = on_drain,
        .end = on_end,
        .empty = on_empty,
};

static void given_acceptor(struct fixture *f, enum way way)
{
        int fd;

        the = (struct server){ .f = f, .way = way };
        the.sources.limits[SOURCE_CONNECTIONS] = (struct source_limit){ TOTAL, PER_SOURCE };
        the.acceptor = (struct acceptor){ .loop = &f->loop, .sources = &the.sources, .events = &events, .ctx = &the,
                                          .timeout = SECONDS(10), .begin_max = BEGIN_MAX, .begin_read = 16 };
        acceptor_init(&the.acceptor);
        the.arena = arena_new(64 * KiB);
        if (f->server_context == NULL)
                given_contexts(f);
        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, the.address));
        acceptor_listen(&the.acceptor, fd);
        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, the.second_address));
        acceptor_listen(&the.acceptor, fd);
}

static void release_acceptor(void)
{
        acceptor_stop_listening(&the.acceptor);
        acceptor_stop(&the.acceptor);
        RUN_UNTIL(&the.f->loop, acceptor_is_empty(&the.acceptor));
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], 0);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                struct connection *c = &the.connections[i];

                assert_false(c->is_open);
                RUN_UNTIL(&the.f->loop, c->handshake == NULL);
                ear_release(&c->client);
                ear_release(&c->server);
                error_free(c->failure);
                error_free(c->refusal);
        }
        run_a_while(&the.f->loop);
        sources_release(&the.sources);
        arena_free(the.arena);
}

/* ---- clients -------------------------------------------------------------------------------------------- */

/* A TCP connection from an address of the loopback to a port of the acceptor. */
static struct stream *dial(const char *address, const char *peer)
{
        struct sockaddr_in here = { .sin_family = AF_INET }, there = { .sin_family = AF_INET };
        struct str host;
        int port, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        AUTO_MEM char *ip = str_dup(address_ip(peer));
        assert_int_equal(inet_pton(AF_INET, ip, &here.sin_addr), 1);
        assert_int_equal(bind(fd, (const struct sockaddr *)&here, sizeof here), 0);
        assert_null(address_split(str_of(address), -1, &host, &port));
        there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        there.sin_port = htons((uint16_t)port);
        assert_int_equal(connect(fd, (const struct sockaddr *)&there, sizeof there), 0);
        return socket_stream(&the.f->loop, fd);
}

/* A client's stream to the acceptor; only loopback addresses can be the source. */
static struct stream *connect_from(const char *peer)
{
        struct stream *here, *there;
        size_t before = the.count;

        if (the.way == SOCKET && str_starts_with(str_of(peer), STR("127."))) {
                here = dial(the.address, peer);
                RUN_UNTIL(&the.f->loop, the.count > before);
                return here;
        }
        if (the.way == SOCKET)
                connected_pair(&the.f->loop, &here, &there);
        else
                memory_stream_pair(&the.f->loop, &here, &there);
        const struct accepted *taken = acceptor_give(&the.acceptor, there, peer, NULL);
        assert_ptr_equal(taken, the.connections[before].failure == NULL ? &the.connections[before].accepted : NULL);
        return here;
}

/* A connection that has sent nothing yet. */
static struct connection *connection_from(const char *peer)
{
        struct connection *c = &the.connections[the.count];

        ear_listen(&c->client, connect_from(peer));
        stream_read(c->client.stream, true);
        fake_clock_advance(&the.f->clock, SECONDS(2));
        return c;
}

static struct connection *plain_from(const char *peer)
{
        struct connection *c = connection_from(peer);

        stream_write(c->client.stream, STR(PLAIN));
        RUN_UNTIL(&the.f->loop, c->accepted.step == ACCEPTED_SERVED);
        return c;
}

static void on_client_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct connection *c = ctx;

        c->handshake = NULL;
        c->refusal = err;
        c->is_secured = tls != NULL;
        if (tls != NULL)
                ear_listen(&c->client, tls);
}

static struct connection *tls_from(const char *peer)
{
        struct connection *c = &the.connections[the.count];
        struct stream *s = connect_from(peer);

        c->handshake = tls_start(&the.f->loop, the.f->client_context, s, the.f->server_name, SECONDS(10), on_client_tls, c);
        return c;
}

static void assert_failed(const struct connection *c, enum accepted_step step, enum error_code code)
{
        assert_false(c->is_open);
        assert_non_null(c->failure);
        assert_int_equal(c->failed_in, step);
        assert_int_equal(c->failure->code, code);
}

/* ---- cases, each for a socket and for a stream that is given ---------------------------------------------- */

static void serves_without_tls(void)
{
        struct connection *c = plain_from("127.0.0.1:1");

        stream_write(c->client.stream, STR("hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_received(&c->server, "hello"); /* without the bytes that were skipped */
        assert_true(str_starts_with(str_of(c->accepted.peer), STR("127.0.0.1:")));
}

static void bytes_behind_the_first_are_kept(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        stream_write(c->client.stream, STR("PLA"));
        run_a_while(&the.f->loop);
        assert_int_equal(c->accepted.step, ACCEPTED_BEGIN);
        stream_write(c->client.stream, STR("INhello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_received(&c->server, "hello");
}

static void serves_with_tls(void)
{
        struct connection *c = tls_from("127.0.0.1:1");

        RUN_UNTIL(&the.f->loop, c->handshake == NULL && c->server.stream != NULL);
        assert_true(c->is_secured);
        stream_write(c->client.stream, STR("hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_true(str_equal(tls_alpn(c->server.stream), STR("first")));
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], 1);
        accepted_uncount(&c->accepted);
        accepted_uncount(&c->accepted);
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], 0);
}

static void a_silent_connection_ends_at_the_deadline(void)
{
        the.acceptor.timeout = MILLISECONDS(20);
        struct connection *c = connection_from("127.0.0.1:1");
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_DEADLINE_EXCEEDED);
}

static void a_slow_handshake_ends_at_the_deadline(void)
{
        the.acceptor.timeout = MILLISECONDS(20);
        struct connection *c = connection_from("127.0.0.1:1");
        stream_write(c->client.stream, STR("\x16\x03\x01"));
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_HANDSHAKE, ERROR_DEADLINE_EXCEEDED);
}

static void the_owner_can_refuse_the_first_bytes(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        stream_write(c->client.stream, STR("bad"));
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_PERMISSION_DENIED);
}

static void undecided_bytes_have_a_limit(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        for (int i = 0; i <= BEGIN_MAX && c->failure == NULL; i++) {
                stream_write(c->client.stream, STR("?"));
                run_a_while(&the.f->loop);
        }
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_INVALID_ARGUMENT);
}

static void a_client_that_leaves_is_released(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        stream_shutdown(c->client.stream);
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_UNAVAILABLE);
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], 0);
}

static void a_source_has_a_limit(void)
{
        for (int i = 0; i < PER_SOURCE; i++)
                plain_from("127.0.0.1:1");
        struct connection *c = connection_from("127.0.0.1:1");
        assert_failed(c, ACCEPTED_NEW, ERROR_RESOURCE_EXHAUSTED);
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        c = plain_from("127.0.0.2:1");
        assert_true(c->is_open);
}

static void a_slash_64_is_one_source(void)
{
        for (int i = 0; i < PER_SOURCE; i++)
                plain_from(i % 2 == 0 ? "[2001:db8::1]:1" : "[2001:db8::2]:1");
        struct connection *c = connection_from("[2001:db8::3]:1");
        assert_failed(c, ACCEPTED_NEW, ERROR_RESOURCE_EXHAUSTED);
        c = plain_from("[2001:db8:0:1::1]:1");
        assert_true(c->is_open);
}

/* One is served, one sends nothing, one is in its handshake; each of them makes room, the oldest first. */
static void the_largest_source_makes_room(void)
{
        struct connection *served = plain_from("127.0.0.1:1");
        struct connection *silent = connection_from("127.0.0.1:1");
        struct connection *slow = connection_from("127.0.0.1:1");

        stream_write(slow->client.stream, STR("\x16\x03\x01"));
        RUN_UNTIL(&the.f->loop, slow->accepted.step == ACCEPTED_HANDSHAKE);
        plain_from("127.0.0.2:1");
        plain_from("127.0.0.3:1");
        assert_true(served->has_ended);
        assert_true(silent->is_open);
        connection_from("127.0.0.4:1");
        assert_failed(silent, ACCEPTED_BEGIN, ERROR_RESOURCE_EXHAUSTED);
        assert_true(slow->is_open);
}

static void a_handshake_makes_room(void)
{
        struct connection *slow = connection_from("127.0.0.1:1");

        stream_write(slow->client.stream, STR("\x16\x03\x01"));
        RUN_UNTIL(&the.f->loop, slow->accepted.step == ACCEPTED_HANDSHAKE);
        for (int i = 0; i < PER_SOURCE - 1; i++)
                plain_from("127.0.0.1:1");
        plain_from("127.0.0.2:1");
        plain_from("127.0.0.3:1");
        RUN_UNTIL(&the.f->loop, !slow->is_open);
        assert_failed(slow, ACCEPTED_HANDSHAKE, ERROR_CANCELLED);
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], TOTAL);
}

static void a_fixed_connection_does_not_make_room(void)
{
        for (int i = 0; i < TOTAL; i++)
                plain_from(i < PER_SOURCE ? "127.0.0.1:1" : "127.0.0.2:1")->accepted.admitted.is_fixed = true;
        struct connection *c = connection_from("127.0.0.3:1");
        assert_failed(c, ACCEPTED_NEW, ERROR_RESOURCE_EXHAUSTED);
}

static void a_connection_moves_to_the_source_of_its_client(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        stream_write(c->client.stream, STR("from me\n"));
        RUN_UNTIL(&the.f->loop, sources_count(&the.sources, SOURCE_CONNECTIONS, STR("198.51.100.1")) == 1);
        assert_int_equal(sources_count(&the.sources, SOURCE_CONNECTIONS, STR("127.0.0.1")), 0);
        assert_string_equal(c->accepted.peer, "198.51.100.1:1");
}

static void a_drain_waits_for_the_last(void)
{
        struct connection *first = plain_from("127.0.0.1:1"), *last = plain_from("127.0.0.1:1");
        struct connection *silent = connection_from("127.0.0.1:1");

        acceptor_drain(&the.acceptor);
        assert_failed(silent, ACCEPTED_BEGIN, ERROR_UNAVAILABLE);
        assert_true(first->has_drained && last->has_drained);
        release(first);
        run_a_while(&the.f->loop);
        assert_int_equal(the.empty, 0);
        release(last);
        assert_int_equal(the.empty, 0); /* from the loop only */
        RUN_UNTIL(&the.f->loop, the.empty == 1);
        run_a_while(&the.f->loop);
        assert_int_equal(the.empty, 1);
}

static void a_drain_ends_a_handshake(void)
{
        struct connection *c = connection_from("127.0.0.1:1");

        stream_write(c->client.stream, STR("\x16\x03\x01"));
        RUN_UNTIL(&the.f->loop, c->accepted.step == ACCEPTED_HANDSHAKE);
        acceptor_drain(&the.acceptor);
        RUN_UNTIL(&the.f->loop, the.empty == 1);
        assert_failed(c, ACCEPTED_HANDSHAKE, ERROR_CANCELLED);
}

static void a_drain_of_nothing_is_reported(void)
{
        acceptor_drain(&the.acceptor);
        assert_int_equal(the.empty, 0);
        RUN_UNTIL(&the.f->loop, the.empty == 1);
}

static void a_connection_names_its_port(void)
{
        struct stream *second = dial(the.second_address, "127.0.0.1:1"), *first;

        RUN_UNTIL(&the.f->loop, the.count == 1);
        first = dial(the.address, "127.0.0.1:1");
        RUN_UNTIL(&the.f->loop, the.count == 2);
        assert_int_equal(the.connections[0].accepted.port, 1);
        assert_int_equal(the.connections[1].accepted.port, 0);
        stream_close(first);
        stream_close(second);
        RUN_UNTIL(&the.f->loop, acceptor_is_empty(&the.acceptor));
}

static void nothing_is_taken_while_draining(void)
{
        struct connection *open = plain_from("127.0.0.1:1"), *late = &the.connections[the.count];
        struct stream *here, *there;

        acceptor_drain(&the.acceptor);
        if (the.way == SOCKET) {
                here = dial(the.address, "127.0.0.1:1"); /* the socket still listens */
        } else {
                memory_stream_pair(&the.f->loop, &here, &there);
                assert_null(acceptor_give(&the.acceptor, there, "127.0.0.1:1", NULL));
        }
        ear_listen(&late->client, here);
        stream_read(here, true);
        RUN_UNTIL(&the.f->loop, late->client.ends > 0);
        assert_int_equal(the.count, 1);
        assert_true(open->is_open);
}

static void a_stop_ends_all(void)
{
        struct connection *served = plain_from("127.0.0.1:1"), *adopted = &the.connections[the.count];
        struct connection *silent;

        acceptor_adopt(&the.acceptor, open_connection(&the), "local");
        silent = connection_from("127.0.0.1:1");
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], 2);
        acceptor_stop(&the.acceptor);
        assert_true(served->has_ended && adopted->has_ended);
        assert_failed(silent, ACCEPTED_BEGIN, ERROR_UNAVAILABLE);
        RUN_UNTIL(&the.f->loop, the.empty == 1);
}

/* Three are served; the newest carries the one before it. */
static void given_carried(struct connection **ret_oldest, struct connection **ret_carried, struct connection **ret_carrier)
{
        *ret_oldest = plain_from("127.0.0.1:1");
        *ret_carried = plain_from("127.0.0.2:1");
        *ret_carrier = plain_from("127.0.0.3:1");
        (*ret_carrier)->carried = *ret_carried;
}

static void a_drain_may_release_another_connection(void)
{
        struct connection *oldest, *carried, *carrier;

        given_carried(&oldest, &carried, &carrier);
        acceptor_drain(&the.acceptor);
        assert_true(oldest->has_drained && carrier->has_drained);
        assert_false(carried->has_drained || carried->is_open);
        release(oldest);
        release(carrier);
        RUN_UNTIL(&the.f->loop, the.empty == 1);
}

static void a_stop_may_release_another_connection(void)
{
        struct connection *oldest, *carried, *carrier;

        given_carried(&oldest, &carried, &carrier);
        acceptor_stop(&the.acceptor);
        assert_true(oldest->has_ended && carrier->has_ended);
        assert_false(carried->has_ended || carried->is_open);
        RUN_UNTIL(&the.f->loop, the.empty == 1);
        run_a_while(&the.f->loop);
        assert_int_equal(the.empty, 1);
}

/* As a connection that was upgraded: its stream comes back to the acceptor, with other layers on it. */
static void a_stream_takes_the_place_of_its_carrier(void)
{
        struct connection *carrier, *inner;

        for (size_t i = 0; i + 1 < PER_SOURCE; i++)
                plain_from("127.0.0.1:1");
        carrier = plain_from("127.0.0.1:1");
        inner = &the.connections[the.count];
        struct stream *s = carrier->server.stream, *socket = carrier->accepted.socket;
        carrier->server.stream = NULL;
        assert_ptr_equal(acceptor_give(&the.acceptor, s, carrier->accepted.peer, &carrier->accepted), &inner->accepted);
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], PER_SOURCE);
        release(carrier);
        assert_int_equal(the.sources.totals[SOURCE_CONNECTIONS], PER_SOURCE);
        assert_ptr_equal(inner->accepted.socket, socket);
        stream_write(carrier->client.stream, STR(PLAIN "inside"));
        RUN_UNTIL(&the.f->loop, inner->server.received.len == strlen("inside"));
}

/* ---- the header of a load balancer, for sockets ------------------------------------------------------------- */

/* 127.0.0.2 is a load balancer; 127.0.0.1 is this machine. */
static void given_ingress(const char *proxy_protocol, bool trusts_forwarded_for)
{
        static char *const load_balancers[] = { "127.0.0.1", "127.0.0.2" };

        assert_null(ingress_init(the.arena,
                                 &(struct ingress_settings){ proxy_protocol, trusts_forwarded_for, load_balancers, ARRAY_LEN(load_balancers) },
                                 &the.ingress));
        the.acceptor.ingress = &the.ingress;
}

static size_t connections_of(const char *ip)
{
        return sources_count(&the.sources, SOURCE_CONNECTIONS, str_of(ip));
}

static void a_header_names_the_client(void)
{
        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.2:1");
        stream_write(c->client.stream, STR("PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n" PLAIN "hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_received(&c->server, "hello");
        assert_string_equal(c->accepted.peer, "198.51.100.1:4711");
        assert_int_equal(connections_of("198.51.100.1"), 1);
        assert_int_equal(connections_of("127.0.0.2"), 0);
}

static void a_header_may_come_in_pieces(void)
{
        static const struct str header = STR_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x01\x7f\x00\x00\x01\x12\x67\x01\xbb");

        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.2:1");
        for (size_t i = 0; i < header.len; i++) {
                stream_write(c->client.stream, str_slice(header, i, 1));
                run_a_while(&the.f->loop);
        }
        RUN_UNTIL(&the.f->loop, connections_of("198.51.100.1") == 1);
        assert_int_equal(c->accepted.step, ACCEPTED_BEGIN);
        stream_write(c->client.stream, STR(PLAIN "hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_string_equal(c->accepted.peer, "198.51.100.1:4711");
}

/* It is longer than the first bytes may be without a header. */
static void a_long_header_is_skipped(void)
{
        AUTO(buf) header = BUF_MAX(LIMIT_PROXY_HEADER);
        size_t rest = LIMIT_PROXY_HEADER - 16;

        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.2:1");
        buf_put(&header, STR("\r\n\r\n\0\r\nQUIT\n\x20\x00"));
        buf_put_u16(&header, (uint16_t)rest);
        memset(buf_extend(&header, rest), 'x', rest);
        stream_write(c->client.stream, buf_str(&header));
        stream_write(c->client.stream, STR(PLAIN "hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_received(&c->server, "hello");
        assert_int_equal(connections_of("127.0.0.2"), 1);
}

static void a_forged_header_is_refused(void)
{
        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.3:1");
        stream_write(c->client.stream, STR("PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n" PLAIN));
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_PERMISSION_DENIED);
        assert_true(str_starts_with(str_of(c->accepted.peer), STR("127.0.0.3:")));
        c = plain_from("127.0.0.3:1");
        assert_true(c->is_open);
}

static void a_load_balancer_without_header_is_refused(void)
{
        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.2:1");
        stream_write(c->client.stream, STR(PLAIN));
        RUN_UNTIL(&the.f->loop, c->client.ends > 0);
        assert_failed(c, ACCEPTED_BEGIN, ERROR_PERMISSION_DENIED);
}

static void this_machine_may_leave_out_the_header(void)
{
        given_ingress("on", false);
        struct connection *c = plain_from("127.0.0.1:1");
        assert_true(c->is_open);
        assert_int_equal(connections_of("127.0.0.1"), 1);
}

static void a_header_without_meaning_is_skipped(void)
{
        given_ingress(NULL, false);
        struct connection *c = connection_from("127.0.0.3:1");
        stream_write(c->client.stream, STR("PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n" PLAIN "hello"));
        RUN_UNTIL(&the.f->loop, c->server.received.len == 5);
        assert_true(str_starts_with(str_of(c->accepted.peer), STR("127.0.0.3:")));
}

/* While its headers are awaited it has no limit of its own; each client that it announces has the usual one. */
static void a_load_balancer_has_no_limit_of_its_own(void)
{
        struct connection *c[TOTAL];

        given_ingress("on", false);
        for (size_t i = 0; i < TOTAL; i++)
                c[i] = connection_from("127.0.0.2:1");
        assert_int_equal(connections_of("127.0.0.2"), TOTAL);
        for (size_t i = 0; i < TOTAL; i++) {
                stream_write(c[i]->client.stream, STR("PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n" PLAIN));
                RUN_UNTIL(&the.f->loop, i < PER_SOURCE ? c[i]->accepted.step == ACCEPTED_SERVED : c[i]->client.ends > 0);
        }
        assert_failed(c[TOTAL - 1], ACCEPTED_BEGIN, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(connections_of("198.51.100.1"), PER_SOURCE);
}

static void a_trusted_http_proxy_has_no_limit_of_its_own(void)
{
        given_ingress("off", true);
        for (size_t i = 0; i < TOTAL; i++)
                plain_from("127.0.0.2:1");
        assert_int_equal(connections_of("127.0.0.2"), TOTAL);
}

/* Something else than HTTP is served, in which a proxy announces nobody. */
static void the_end_of_an_exemption_brings_the_limit_back(void)
{
        struct connection *c[TOTAL];

        given_ingress("off", true);
        for (size_t i = 0; i < TOTAL; i++)
                c[i] = plain_from("127.0.0.2:1");
        for (size_t i = 0; i < TOTAL; i++) {
                size_t others = connections_of("127.0.0.2") - 1;
                AUTO_PTR(error) err = accepted_end_exemption(&c[i]->accepted);

                assert_int_equal(err == NULL, others < PER_SOURCE);
                if (err == NULL)
                        assert_null(accepted_end_exemption(&c[i]->accepted)); /* again: it is counted once */
        }
}

static const struct {
        const char *name;
        void (*run)(void);
} header_cases[] = {
        { "a header names the client", a_header_names_the_client },
        { "a header may come in pieces", a_header_may_come_in_pieces },
        { "a long header is skipped", a_long_header_is_skipped },
        { "a forged header is refused", a_forged_header_is_refused },
        { "a load balancer without header is refused", a_load_balancer_without_header_is_refused },
        { "this machine may leave out the header", this_machine_may_leave_out_the_header },
        { "a header without meaning is skipped", a_header_without_meaning_is_skipped },
        { "a load balancer has no limit of its own", a_load_balancer_has_no_limit_of_its_own },
        { "a trusted HTTP proxy has no limit of its own", a_trusted_http_proxy_has_no_limit_of_its_own },
        { "the end of an exemption brings the limit back", the_end_of_an_exemption_brings_the_limit_back },
};

static void load_balancers_announce_their_clients(void **state)
{
        for (size_t i = 0; i < ARRAY_LEN(header_cases); i++) {
                print_message("          %s\n", header_cases[i].name);
                given_acceptor(*state, SOCKET);
                header_cases[i].run();
                release_acceptor();
                again(state);
        }
}

/* Only the load balancer's own connection may begin with a header, not a stream that it carries. */
static void a_given_stream_has_no_header(void **state)
{
        given_acceptor(*state, MEMORY);
        given_ingress("on", false);
        struct connection *c = connection_from("127.0.0.2:1");
        stream_write(c->client.stream, STR("PROXY TCP4 198.51.100.1 127.0.0.1 4711 443\r\n" PLAIN "                        "));
        RUN_UNTIL(&the.f->loop, c->accepted.begin.len >= BEGIN_MAX);
        assert_string_equal(c->accepted.peer, "127.0.0.2:1");
        assert_int_equal(c->accepted.step, ACCEPTED_BEGIN);
        release_acceptor();
}

static const struct {
        const char *name;
        void (*run)(void);
} cases[] = {
        { "serves without TLS", serves_without_tls },
        { "bytes behind the first are kept", bytes_behind_the_first_are_kept },
        { "serves with TLS", serves_with_tls },
        { "a silent connection ends at the deadline", a_silent_connection_ends_at_the_deadline },
        { "a slow handshake ends at the deadline", a_slow_handshake_ends_at_the_deadline },
        { "the owner can refuse the first bytes", the_owner_can_refuse_the_first_bytes },
        { "undecided bytes have a limit", undecided_bytes_have_a_limit },
        { "a client that leaves is released", a_client_that_leaves_is_released },
        { "a source has a limit", a_source_has_a_limit },
        { "a /64 is one source", a_slash_64_is_one_source },
        { "the largest source makes room", the_largest_source_makes_room },
        { "a handshake makes room", a_handshake_makes_room },
        { "a fixed connection does not make room", a_fixed_connection_does_not_make_room },
        { "a connection moves to the source of its client", a_connection_moves_to_the_source_of_its_client },
        { "a drain waits for the last", a_drain_waits_for_the_last },
        { "a drain ends a handshake", a_drain_ends_a_handshake },
        { "a drain of nothing is reported", a_drain_of_nothing_is_reported },
        { "a connection names its port", a_connection_names_its_port },
        { "nothing is taken while draining", nothing_is_taken_while_draining },
        { "a stop ends all", a_stop_ends_all },
        { "a drain may release another connection", a_drain_may_release_another_connection },
        { "a stream takes the place of its carrier", a_stream_takes_the_place_of_its_carrier },
        { "a stop may release another connection", a_stop_may_release_another_connection },
};

static void run_cases(void **state, enum way way)
{
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                print_message("          %s\n", cases[i].name);
                given_acceptor(*state, way);
                cases[i].run();
                release_acceptor();
                again(state);
        }
}

static void sockets_pass_the_steps(void **state)
{
        run_cases(state, SOCKET);
}

static void streams_pass_the_steps(void **state)
{
        run_cases(state, MEMORY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(sockets_pass_the_steps, set_up, tear_down),
                cmocka_unit_test_setup_teardown(streams_pass_the_steps, set_up, tear_down),
                cmocka_unit_test_setup_teardown(load_balancers_announce_their_clients, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_given_stream_has_no_header, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, make_all, release_all);
}
