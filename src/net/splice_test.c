/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A splice whose user ends its direction while the output to it is full: the queue is emptied, or lost with the connection, and the
 * splice goes on reading from the node until that ends.
 */
#include "net/tls_testing.h"

#include <sys/socket.h>

#include "net/websocket.h"

enum { MUCH = 5000000, WINDOW = 64 * KiB };

enum kind { OVER_SOCKET, OVER_TLS, OVER_WEBSOCKET };

/* user ══ proxy ⇄ y ══ node; the user does not read at first. */
struct ends {
        struct fixture *f;
        struct stream *proxy, *websocket;
        struct ear node;
        int fd; /* of the user's socket */
        int spliced;
};

static void given_user(struct fixture *f, struct ends *e, enum kind kind)
{
        int fd;

        *e = (struct ends){ .f = f };
        assert_null(socket_pair(&fd, &e->fd));
        struct stream *proxy = socket_stream(&f->loop, fd), *user = socket_stream(&f->loop, e->fd);
        if (kind == OVER_SOCKET) {
                e->proxy = proxy;
                ear_listen(&f->at_client.ear, user);
                return;
        }
        if (kind == OVER_WEBSOCKET) {
                proxy = websocket_stream(&f->loop, proxy, WEBSOCKET_SERVER);
                e->websocket = user = websocket_stream(&f->loop, user, WEBSOCKET_CLIENT);
        }
        given_contexts(f);
        start(f, &f->at_server, proxy);
        start(f, &f->at_client, user);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
        assert_null(f->at_server.err);
        assert_null(f->at_client.err);
        e->proxy = f->at_server.ear.stream;
        f->at_server.ear.stream = NULL;
}

/* In one read of the proxy: the end of TLS, and that of the WebSocket. */
static void user_ends(struct ends *e)
{
        stream_shutdown(e->f->at_client.ear.stream);
        if (e->websocket != NULL)
                stream_shutdown(e->websocket);
}

static void user_reads(struct ends *e)
{
        stream_read(e->f->at_client.ear.stream, true);
}

static void user_breaks(struct ends *e)
{
        assert_int_equal(shutdown(e->fd, SHUT_RDWR), 0);
}

static void write_much(struct stream *s)
{
        AUTO_MEM char *zeros = mem_alloc(MUCH);

        stream_write(s, (struct str){ zeros, MUCH });
}

static void on_spliced(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        struct ends *e = ctx;

        (void)a_to_b;
        assert_int_equal(b_to_a, MUCH);
        e->spliced++;
}

static void check_splice(void **state, enum kind kind, void (*then)(struct ends *e))
{
        struct fixture *f = *state;
        struct ends e;
        struct stream *node, *y;

        given_user(f, &e, kind);
        connected_pair(&f->loop, &node, &y);
        ear_listen(&e.node, node);
        stream_read(node, true);
        (void)splice_start(&f->loop, e.proxy, y, WINDOW, on_spliced, &e);
        write_much(node);
        RUN_UNTIL(&f->loop, stream_pending(e.proxy) >= WINDOW);
        user_ends(&e);
        RUN_UNTIL(&f->loop, e.node.ends == 1);
        assert_null(e.node.err);
        assert_true(stream_pending(node) > 0); /* the splice does not read from the node */
        then(&e);
        RUN_UNTIL(&f->loop, stream_pending(node) == 0);
        assert_int_equal(e.spliced, 0);
        stream_shutdown(node);
        RUN_UNTIL(&f->loop, e.spliced == 1);
        ear_release(&e.node);
}

static void a_splice_goes_on_when_a_user_that_ended_has_read(void **state)
{
        for (enum kind kind = OVER_SOCKET; kind <= OVER_WEBSOCKET; kind++, again(state))
                check_splice(state, kind, user_reads);
}

static void a_splice_goes_on_when_a_user_that_ended_is_lost(void **state)
{
        for (enum kind kind = OVER_SOCKET; kind <= OVER_WEBSOCKET; kind++, again(state))
                check_splice(state, kind, user_breaks);
}

static void a_break_after_the_peers_end_empties_the_queue_once(void **state)
{
        for (enum kind kind = OVER_SOCKET; kind <= OVER_WEBSOCKET; kind++, again(state)) {
                struct fixture *f = *state;
                struct ends e;

                given_user(f, &e, kind);
                ear_listen(&e.node, e.proxy);
                stream_read(e.proxy, true);
                write_much(e.proxy);
                user_ends(&e);
                RUN_UNTIL(&f->loop, e.node.ends == 1);
                assert_null(e.node.err);
                assert_int_equal(e.node.drains, 0);
                assert_true(stream_pending(e.proxy) > 0);
                user_breaks(&e);
                RUN_UNTIL(&f->loop, e.node.drains == 1);
                write_much(e.proxy);
                assert_int_equal(stream_pending(e.proxy), 0);
                run_a_while(&f->loop);
                assert_int_equal(e.node.drains, 1);
                ear_release(&e.node);
        }
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                A_TEST(a_splice_goes_on_when_a_user_that_ended_has_read),
                A_TEST(a_splice_goes_on_when_a_user_that_ended_is_lost),
                A_TEST(a_break_after_the_peers_end_empties_the_queue_once),
        };

        return cmocka_run_group_tests_name("splice", tests, make_all, release_all);
}
