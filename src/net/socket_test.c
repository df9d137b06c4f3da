/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/names_testing.h"
#include "net/watch.h"
#include "os/file_testing.h"

struct fixture {
        struct loop loop;
        struct ear a, b;
        int accepted, fd;
        char peer[ADDRESS_TEXT_MAX];
        struct listener *listener;
        int dialled;
        struct error *dial_error;
        uint64_t a_to_b, b_to_a;
        int spliced;
};

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ .fd = -1 };
        assert_null(loop_init(&f.loop, NULL));
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        ear_release(&f->a);
        ear_release(&f->b);
        listener_close(f->listener);
        error_free(f->dial_error);
        loop_release(&f->loop);
        return 0;
}

static void given_pair(struct fixture *f)
{
        struct stream *a, *b;

        connected_pair(&f->loop, &a, &b);
        ear_listen(&f->a, a);
        ear_listen(&f->b, b);
}

static void write_zeros(struct stream *s, size_t len)
{
        AUTO_MEM char *zeros = mem_alloc(len);

        stream_write(s, (struct str){ zeros, len });
}

/* ---- streams ------------------------------------------------------------------------------------------- */

static void a_stream_starts_paused(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        stream_write(f->a.stream, STR("hello"));
        run_a_while(&f->loop);
        assert_received(&f->b, "");
        f->b.in_call = true;
        stream_read(f->b.stream, true);
        f->b.in_call = false;
        RUN_UNTIL(&f->loop, f->b.received.len == 5);
        assert_received(&f->b, "hello");
}

static void a_paused_stream_delivers_nothing_more(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        f->b.pause_on_read = true;
        stream_read(f->b.stream, true);
        stream_write(f->a.stream, STR("one"));
        run_a_while(&f->loop);
        stream_write(f->a.stream, STR("two"));
        stream_shutdown(f->a.stream);
        run_a_while(&f->loop);
        assert_received(&f->b, "one");
        assert_int_equal(f->b.ends, 0);
        f->b.pause_on_read = false;
        stream_read(f->b.stream, true);
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_received(&f->b, "onetwo");
}

static void bytes_that_the_kernel_refuses_are_queued_and_drained(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        f->a.in_call = true;
        for (int i = 0; i < 40; i++)
                write_zeros(f->a.stream, 100000);
        f->a.in_call = false;
        assert_true(stream_pending(f->a.stream) > 1000000);
        stream_read(f->b.stream, true);
        RUN_UNTIL(&f->loop, f->b.received.len == 4000000);
        assert_int_equal(stream_pending(f->a.stream), 0);
        assert_int_equal(f->a.drains, 1);
}

static void an_orderly_end_leaves_the_other_direction_open(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        stream_read(f->b.stream, true);
        stream_read(f->a.stream, true);
        write_zeros(f->a.stream, 1000000);
        stream_shutdown(f->a.stream); /* comes after the queued bytes */
        stream_write(f->a.stream, STR("ignored"));
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_int_equal(f->b.received.len, 1000000);
        assert_null(f->b.err);
        stream_write(f->b.stream, STR("answer"));
        RUN_UNTIL(&f->loop, f->a.received.len == 6);
        assert_int_equal(f->a.ends, 0);
}

static void closing_still_sends_written_bytes(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        write_zeros(f->a.stream, 3000000);
        stream_close(f->a.stream);
        f->a.stream = NULL;
        stream_read(f->b.stream, true);
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_int_equal(f->b.received.len, 3000000);
        assert_null(f->b.err);
}

static void closing_with_unread_input_keeps_the_last_bytes_written(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        write_zeros(f->b.stream, 100000); /* never read by a */
        stream_write(f->a.stream, STR("refused: too much"));
        stream_close(f->a.stream);
        f->a.stream = NULL;
        run_a_while(&f->loop);
        write_zeros(f->b.stream, 100000);
        stream_read(f->b.stream, true);
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_received(&f->b, "refused: too much");
        assert_null(f->b.err);
}

static void a_closed_socket_stops_a_peer_that_sends_without_end(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        stream_write(f->a.stream, STR("x"));
        stream_close(f->a.stream);
        f->a.stream = NULL;
        write_zeros(f->b.stream, 64 * MiB);
        RUN_UNTIL(&f->loop, f->b.ends || f->b.drains);
        assert_int_equal(f->b.drains, 0);
        assert_int_equal(f->b.err->code, ERROR_UNAVAILABLE);
}

static void a_lingering_socket_does_not_keep_the_loop_running(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        stream_write(f->a.stream, STR("x"));
        stream_close(f->a.stream);
        f->a.stream = NULL;
        loop_run(&f->loop);
}

static void releasing_the_loop_does_not_wait_for_a_peer(void **state)
{
        struct fixture *f = *state;
        int a, b;

        assert_null(socket_pair(&a, &b));
        struct stream *s = socket_stream(&f->loop, a);
        write_zeros(s, 3000000);
        stream_close(s);
        loop_release(&f->loop);
        close(b);
        assert_null(loop_init(&f->loop, NULL));
}

static void a_stream_may_be_closed_inside_its_own_callbacks(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        f->b.close_on_read = true;
        stream_read(f->b.stream, true);
        stream_read(f->a.stream, true);
        f->a.close_on_end = true;
        stream_write(f->a.stream, STR("bye"));
        RUN_UNTIL(&f->loop, f->a.ends);
        assert_received(&f->b, "bye");
        assert_null(f->a.stream);
}

static void a_write_to_a_lost_peer_fails_from_the_loop(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        ear_release(&f->b);
        run_a_while(&f->loop);
        f->a.in_call = true;
        stream_write(f->a.stream, STR("anybody?"));
        stream_write(f->a.stream, STR("hello?"));
        f->a.in_call = false;
        RUN_UNTIL(&f->loop, f->a.ends); /* even though it is paused */
        assert_int_equal(f->a.err->code, ERROR_UNAVAILABLE);
        stream_write(f->a.stream, STR("ignored"));
        assert_int_equal(stream_pending(f->a.stream), 0);
        run_a_while(&f->loop);
}

static void a_lost_peer_breaks_a_stream_with_a_full_queue(void **state)
{
        struct fixture *f = *state;

        given_pair(f);
        write_zeros(f->a.stream, 3000000);
        ear_release(&f->b);
        RUN_UNTIL(&f->loop, f->a.ends);
        assert_int_equal(f->a.err->code, ERROR_UNAVAILABLE);
        assert_int_equal(f->a.drains, 0);
}

static void a_break_is_kept_for_a_listener_that_comes_later(void **state)
{
        struct fixture *f = *state;
        int a, b;

        assert_null(socket_pair(&a, &b));
        close(b);
        struct stream *s = socket_stream(&f->loop, a);
        stream_write(s, STR("x"));
        run_a_while(&f->loop);
        ear_listen(&f->a, s);
        stream_read(s, true);
        RUN_UNTIL(&f->loop, f->a.ends);
        assert_non_null(f->a.err);
}

static void a_prefix_comes_before_the_bytes_of_the_lower_stream(void **state)
{
        struct fixture *f = *state;
        struct stream *a, *b;

        connected_pair(&f->loop, &a, &b);
        ear_listen(&f->a, a);
        ear_listen(&f->b, stream_with_prefix(&f->loop, b, STR("first ")));
        stream_write(a, STR("then"));
        f->b.in_call = true;
        stream_read(f->b.stream, true);
        f->b.in_call = false;
        stream_shutdown(a);
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_received(&f->b, "first then");
        stream_write(f->b.stream, STR("back"));
        stream_read(a, true);
        RUN_UNTIL(&f->loop, f->a.received.len == 4);
}

static void a_stream_with_many_prefixes_is_wrapped_once(void **state)
{
        struct fixture *f = *state;
        struct stream *a, *b;

        connected_pair(&f->loop, &a, &b);
        ear_listen(&f->a, a);
        struct stream *s = stream_with_prefix(&f->loop, b, STR("0"));
        for (int i = 0; i < 3; i++) {
                ear_listen(&f->b, s);
                stream_read(s, true);
                stream_write(a, STR("."));
                RUN_UNTIL(&f->loop, f->b.received.len == 2);
                assert_received(&f->b, i == 0 ? "0." : "1.");
                buf_clear(&f->b.received);
                assert_ptr_equal(stream_with_prefix(&f->loop, s, STR("1")), s);
                stream_write(a, STR("2"));
                run_a_while(&f->loop);
                ear_listen(&f->b, s);
                stream_read(s, true);
                RUN_UNTIL(&f->loop, f->b.received.len == 2);
                assert_received(&f->b, "12");
                buf_clear(&f->b.received);
                s = stream_with_prefix(&f->loop, s, STR("1"));
        }
        f->b.stream = s;
}

static void a_prefixed_stream_may_be_closed_and_paused_at_any_moment(void **state)
{
        struct fixture *f = *state;
        struct stream *a, *b;

        for (int i = 0; i < 4; i++) {
                connected_pair(&f->loop, &a, &b);
                ear_listen(&f->a, a);
                ear_listen(&f->b, stream_with_prefix(&f->loop, b, STR("first")));
                f->b.close_on_read = i == 2;
                f->b.pause_on_read = i == 3;
                if (i > 0)
                        stream_read(f->b.stream, true);
                stream_write(a, STR("then"));
                if (i > 1)
                        run_a_while(&f->loop);
                assert_received(&f->b, i > 1 ? "first" : "");
                ear_release(&f->b);
                ear_release(&f->a);
                run_a_while(&f->loop);
        }
}

/* ---- splice -------------------------------------------------------------------------------------------- */

static void on_spliced(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        struct fixture *f = ctx;

        f->spliced++;
        f->a_to_b = a_to_b;
        f->b_to_a = b_to_a;
}

/* a ══ x ⇄ y ══ b */
static struct splice *given_splice(struct fixture *f, struct stream **ret_x, struct stream **ret_y)
{
        struct stream *a, *x, *y, *b;

        connected_pair(&f->loop, &a, &x);
        connected_pair(&f->loop, &y, &b);
        ear_listen(&f->a, a);
        ear_listen(&f->b, b);
        *ret_x = x;
        *ret_y = y;
        return splice_start(&f->loop, x, y, 64 * KiB, on_spliced, f);
}

static void a_splice_passes_bytes_and_ends_both_ways(void **state)
{
        struct fixture *f = *state;
        struct stream *x, *y;

        given_splice(f, &x, &y);
        stream_read(f->a.stream, true);
        stream_read(f->b.stream, true);
        write_zeros(f->a.stream, 2000000);
        stream_shutdown(f->a.stream);
        RUN_UNTIL(&f->loop, f->b.ends);
        assert_int_equal(f->b.received.len, 2000000);
        assert_int_equal(f->spliced, 0);
        stream_write(f->b.stream, STR("thanks"));
        stream_shutdown(f->b.stream);
        RUN_UNTIL(&f->loop, f->a.ends && f->spliced);
        assert_received(&f->a, "thanks");
        assert_null(f->a.err);
        assert_int_equal(f->a_to_b, 2000000);
        assert_int_equal(f->b_to_a, 6);
}

static void a_splice_does_not_read_more_than_its_window_ahead(void **state)
{
        struct fixture *f = *state;
        struct stream *x, *y;

        struct splice *sp = given_splice(f, &x, &y);
        write_zeros(f->a.stream, 5000000); /* b does not read */
        run_a_while(&f->loop);
        assert_in_range(stream_pending(y), 1, 64 * KiB + LOOP_BUFFER);
        assert_true(stream_pending(f->a.stream) > 4000000);
        splice_cancel(sp);
        splice_cancel(sp);
        assert_int_equal(f->spliced, 0);
        RUN_UNTIL(&f->loop, f->spliced);
}

static void a_splice_closes_both_when_one_breaks(void **state)
{
        struct fixture *f = *state;
        struct stream *x, *y;

        given_splice(f, &x, &y);
        stream_read(f->a.stream, true);
        ear_release(&f->b);
        write_zeros(f->a.stream, 1000000);
        RUN_UNTIL(&f->loop, f->spliced && f->a.ends);
}

/* ---- listening and dialling ---------------------------------------------------------------------------- */

/* The kernel checks whether the peer is still there. */
static void assert_kept_alive(int fd)
{
        int is_on = 0, idle = 0;
        socklen_t len = sizeof(int);

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &is_on, &len), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &len), 0);
        assert_true(is_on);
        assert_int_equal(idle, TIMEOUT_TCP_KEEPALIVE / 1000);
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct fixture *f = ctx;

        f->accepted++;
        assert_kept_alive(fd);
        memcpy(f->peer, peer, strlen(peer) + 1);
        if (f->a.stream == NULL)
                ear_listen(&f->a, socket_stream(&f->loop, fd));
        else
                close(fd);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct fixture *f = ctx;

        f->dialled++;
        f->fd = fd;
        f->dial_error = err;
        if (fd >= 0)
                ear_listen(&f->b, socket_stream(&f->loop, fd));
}

static void a_dialled_connection_is_accepted(void **state)
{
        static const char *const addresses[] = { "127.0.0.1:0", ":0", "localhost:0" };
        char address[ADDRESS_TEXT_MAX];
        int fd;

        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                struct fixture *f = *state;

                assert_null(socket_listen_tcp(str_of(addresses[i]), &fd, address));
                f->listener = listener_new(&f->loop, fd, on_accepted, f);
                AUTO_MEM char *target = mem_printf("%s:%s", i == 2 ? "localhost" : "127.0.0.1", strrchr(address, ':') + 1);
                assert_non_null(dial_start(&f->loop, str_of(target), SECONDS(20), on_dialled, f));
                assert_int_equal(f->dialled, 0);
                RUN_UNTIL(&f->loop, f->dialled && f->accepted);
                assert_null(f->dial_error);
                assert_non_null(strstr(f->peer, "127.0.0.1"));
                assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
                assert_kept_alive(f->fd);
                stream_write(f->b.stream, STR("hello"));
                stream_read(f->a.stream, true);
                RUN_UNTIL(&f->loop, f->a.received.len == 5);
                tear_down(state);
                set_up(state);
        }
}

static void dialling_a_closed_port_reports_an_error(void **state)
{
        struct fixture *f = *state;
        char address[ADDRESS_TEXT_MAX];
        int fd;

        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
        close(fd);
        assert_non_null(dial_start(&f->loop, str_of(address), SECONDS(20), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        assert_int_equal(f->dial_error->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->dial_error->what, "Connection refused"));
        assert_non_null(f->dial_error->hint);
}

static void refuses_addresses_that_are_none(void **state)
{
        static const char *const wrong[] = {
                "", ":", "host", "host:", "host:0", "host:65536", "host:-1", "host:1:2", "ho st:1", "[::1]", "[::1]1",
                "[::1", "[host]:1", "[127.0.0.1]:1", "https://host:1", "host:1/", "-host:1", "host\n:1", "[::1]:",
        };

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                struct fixture *f = *state;

                assert_non_null(dial_start(&f->loop, str_of(wrong[i]), SECONDS(20), on_dialled, f));
                assert_int_equal(f->dialled, 0);
                RUN_UNTIL(&f->loop, f->dialled);
                assert_int_equal(f->dial_error->code, ERROR_INVALID_ARGUMENT);
                tear_down(state);
                set_up(state);
        }
}

static void splits_addresses(void **state)
{
        static const struct {
                const char *text, *host;
                int port;
        } rows[] = {
                { "proxy.example.com:443", "proxy.example.com", 443 }, { "proxy", "proxy", 3080 },
                { "10.0.0.1:1", "10.0.0.1", 1 }, { "[2001:db8::1]:443", "2001:db8::1", 443 },
                { "2001:db8::1", "2001:db8::1", 3080 }, { "[::1]", "::1", 3080 }, { "0.0.0.0:0", "0.0.0.0", 0 },
        };
        struct str host;
        int port;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                assert_null(address_split(str_of(rows[i].text), 3080, &host, &port));
                assert_true(str_equal(host, str_of(rows[i].host)));
                assert_int_equal(port, rows[i].port);
        }
}

static void explains_the_mistake_in_the_name_of_an_address(void **state)
{
        static const struct {
                const char *text, *hint; /* hint NULL: accepted */
        } rows[] = {
                { NAME_253 ":443", NULL },
                { NAME_253, NULL },
                { NAME_253 "a:443", "at most 253 bytes" },
                { NAME_253 "a", "at most 253 bytes" },
                { LABEL_63 ".b:443", NULL },
                { LABEL_63 "a.b:443", "at most 63 bytes" },
                { "b\xc3\xbc" "cher.example.com:443", "xn--" },
                { "b\xc3\xbc" "cher.example.com:https", "xn--" },
                { "xn--bcher-kva.example.com:443", NULL },
                { "b cher.example.com:443", "write host:port" },
                /* the resolver would take these for IPv4 addresses */
                { "127.1:443", "all four numbers" },
                { "0x7f.1", "all four numbers" },
                { "2130706433:443", "all four numbers" },
                { "1.2.3:443", "all four numbers" },
                { "0177.0.0.1:443", "all four numbers" },
                { "proxy.1:443", NULL },
                { "999999999999:443", NULL },
                { "example.0x7F", NULL },
                { "127.0.0.1", NULL },
                { "1.2.3.example:443", NULL },
                { "web-1:443", NULL },
                { "web.1a", NULL },
                { "0xg.x0:443", NULL },
        };
        struct str host;
        int port;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(error) err = address_split(str_of(rows[i].text), 3080, &host, &port);

                if (rows[i].hint == NULL ? err != NULL : err == NULL || strstr(err->hint, rows[i].hint) == NULL)
                        fail_msg("%s: %s", rows[i].text, err == NULL ? "accepted" : err->hint);
        }
}

static void dialling_a_name_that_does_not_exist_reports_an_error(void **state)
{
        struct fixture *f = *state;

        assert_non_null(dial_start(&f->loop, STR("does-not-exist.invalid:443"), SECONDS(50), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        assert_int_equal(f->dial_error->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->dial_error->what, "does-not-exist.invalid"));
}

struct steps {
        char text[512];
};

static void on_step(void *ctx, enum watch_step step, const char *detail)
{
        struct steps *s = ctx;
        size_t used = strlen(s->text);

        snprintf(s->text + used, sizeof s->text - used, "%s%s%s;", step == WATCH_DNS ? "dns" : "tcp", detail == NULL ? "" : " ", detail == NULL ? "" : detail);
}

static void a_watched_dial_reports_its_lookup_and_its_connection(void **state)
{
        static const char *const targets[] = { "127.0.0.1", "localhost" };
        char address[ADDRESS_TEXT_MAX];
        int fd;

        for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
                struct fixture *f = *state;
                struct steps steps = { "" };
                const struct watch watch = { .report = on_step, .ctx = &steps };

                assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
                f->listener = listener_new(&f->loop, fd, on_accepted, f);
                AUTO_MEM char *target = mem_printf("%s:%s", targets[i], strrchr(address, ':') + 1);
                AUTO_MEM char *connected = mem_printf("tcp connected to %s", address);
                dial_watch(dial_start(&f->loop, str_of(target), SECONDS(20), on_dialled, f), &watch);
                RUN_UNTIL(&f->loop, f->dialled && f->accepted);
                assert_int_equal(str_starts_with(str_of(steps.text), STR("dns;dns ")), i == 1);
                assert_non_null(strstr(steps.text, "tcp;"));
                assert_non_null(strstr(steps.text, connected));
                tear_down(state);
                set_up(state);
        }
}

static void a_cancelled_dial_reports_once_from_the_loop(void **state)
{
        static const char *const targets[] = { "127.0.0.1:1", "localhost:1", "not an address" };

        for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
                struct fixture *f = *state;
                struct dial *d = dial_start(&f->loop, str_of(targets[i]), SECONDS(20), on_dialled, f);

                dial_cancel(d);
                assert_int_equal(f->dialled, 0);
                loop_run(&f->loop);
                assert_int_equal(f->dialled, 1);
                assert_int_equal(f->dial_error->code, i == 2 ? ERROR_INVALID_ARGUMENT : ERROR_CANCELLED);
                tear_down(state);
                set_up(state);
        }
}

static void a_dial_without_an_answer_ends_at_its_deadline(void **state)
{
        struct fixture *f = *state;
        char address[ADDRESS_TEXT_MAX];
        int fd, fillers[2];
        struct sockaddr_in to;
        socklen_t len = sizeof to;

        /* A full accept queue is a peer that does not answer. */
        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
        listen(fd, 0);
        getsockname(fd, (struct sockaddr *)&to, &len);
        for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
                fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                (void)connect(fillers[i], (struct sockaddr *)&to, len);
        }
        assert_non_null(dial_start(&f->loop, str_of(address), MILLISECONDS(20), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        assert_int_equal(f->dial_error->code, ERROR_DEADLINE_EXCEEDED);
        for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
                close(fillers[i]);
        close(fd);
}

static void a_listener_without_descriptors_hangs_up_and_recovers(void **state)
{
        struct fixture *f = *state;
        char address[ADDRESS_TEXT_MAX];
        struct sockaddr_in to;
        socklen_t len = sizeof to;
        struct rlimit before, tight;
        char byte;
        int fd;

        assert_null(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
        getsockname(fd, (struct sockaddr *)&to, &len);
        f->listener = listener_new(&f->loop, fd, on_accepted, f);
        int caller = socket(AF_INET, SOCK_STREAM, 0);
        getrlimit(RLIMIT_NOFILE, &before);
        tight = (struct rlimit){ .rlim_cur = (rlim_t)caller + 1, .rlim_max = before.rlim_max };
        setrlimit(RLIMIT_NOFILE, &tight);
        assert_int_equal(connect(caller, (struct sockaddr *)&to, len), 0);
        run_a_while(&f->loop);
        assert_int_equal(f->accepted, 0);
        assert_true(recv(caller, &byte, 1, MSG_DONTWAIT) <= 0);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_non_null(dial_start(&f->loop, str_of(address), SECONDS(20), on_dialled, f));
        RUN_UNTIL(&f->loop, f->accepted && f->dialled);
        close(caller);
}

static void a_unix_socket_is_private_and_replaces_a_dead_one(void **state)
{
        int fd, second;
        uid_t uid;
        gid_t gid;
        pid_t pid;

        (void)state;
        char *folder = test_dir_new();
        AUTO_MEM char *path = path_in(folder, "auth.sock");
        assert_null(socket_listen_unix(path, &fd));
        assert_int_equal(mode_of(path), 0600);
        assert_code(socket_listen_unix(path, &second), ERROR_ALREADY_EXISTS);
        close(fd);
        assert_null(socket_listen_unix(path, &fd));
        close(fd);
        unlink(path);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        assert_code(socket_listen_unix(path, &fd), ERROR_ALREADY_EXISTS);
        test_dir_free(folder);
        assert_null(socket_pair(&fd, &second));
        assert_null(socket_peer_cred(fd, &uid, &gid, &pid));
        assert_int_equal(uid, getuid());
        assert_int_equal(pid, getpid());
        close(fd);
        close(second);
}

static void a_unix_socket_may_have_a_long_path(void **state)
{
        char *folder = test_dir_new(), name[201];
        int fd, second, connected;

        (void)state;
        memset(name, 'd', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        AUTO_MEM char *dir = path_in(folder, name);
        assert_int_equal(mkdir(dir, 0700), 0);
        AUTO_MEM char *path = path_in(dir, "auth.sock");
        assert_code(socket_connect_unix(path, &connected), ERROR_NOT_FOUND);
        assert_null(socket_listen_unix(path, &fd));
        assert_int_equal(mode_of(path), 0600);
        assert_code(socket_listen_unix(path, &second), ERROR_ALREADY_EXISTS);
        assert_null(socket_connect_unix(path, &connected));
        close(connected);
        close(fd);
        assert_null(socket_listen_unix(path, &fd)); /* replaces the one that nobody listens on */
        close(fd);
        AUTO_MEM char *long_name = path_in(dir, name);
        assert_code(socket_listen_unix(long_name, &fd), ERROR_INVALID_ARGUMENT);
        test_dir_free(folder);
}

static void knows_private_addresses(void **state)
{
        static const struct {
                const char *address;
                bool is_private;
        } cases[] = {
                { "127.0.0.1:1", true }, { "10.255.255.255:1", true }, { "172.16.0.1:1", true }, { "172.31.255.255:1", true },
                { "192.168.0.1:1", true }, { "100.64.0.1:1", true }, { "100.127.255.255:1", true }, { "169.254.1.1:1", true },
                { "[::1]:1", true }, { "[fd00::1]:1", true }, { "[fc00::1]:1", true }, { "[fe80::1%eth0]:1", true }, { "[::ffff:10.0.0.1]:1", true },
                { "9.255.255.255:1", false }, { "11.0.0.0:1", false }, { "172.15.255.255:1", false }, { "172.32.0.0:1", false },
                { "192.167.0.1:1", false }, { "100.63.255.255:1", false }, { "100.128.0.0:1", false }, { "203.0.113.7:1", false },
                { "0.0.0.0:1", false }, { "[2001:db8::1]:1", false }, { "[fec0::1]:1", false }, { "[::ffff:203.0.113.7]:1", false }, { "[::]:1", false },
                { "", false }, { "link", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                if (address_is_private(cases[i].address) != cases[i].is_private)
                        fail_msg("%s", cases[i].address);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_stream_starts_paused),
                TEST(a_paused_stream_delivers_nothing_more),
                TEST(bytes_that_the_kernel_refuses_are_queued_and_drained),
                TEST(an_orderly_end_leaves_the_other_direction_open),
                TEST(closing_still_sends_written_bytes),
                TEST(closing_with_unread_input_keeps_the_last_bytes_written),
                TEST(a_closed_socket_stops_a_peer_that_sends_without_end),
                TEST(a_lingering_socket_does_not_keep_the_loop_running),
                TEST(releasing_the_loop_does_not_wait_for_a_peer),
                TEST(a_stream_may_be_closed_inside_its_own_callbacks),
                TEST(a_write_to_a_lost_peer_fails_from_the_loop),
                TEST(a_lost_peer_breaks_a_stream_with_a_full_queue),
                TEST(a_break_is_kept_for_a_listener_that_comes_later),
                TEST(a_prefix_comes_before_the_bytes_of_the_lower_stream),
                TEST(a_stream_with_many_prefixes_is_wrapped_once),
                TEST(a_prefixed_stream_may_be_closed_and_paused_at_any_moment),
                TEST(a_splice_passes_bytes_and_ends_both_ways),
                TEST(a_splice_does_not_read_more_than_its_window_ahead),
                TEST(a_splice_closes_both_when_one_breaks),
                TEST(a_dialled_connection_is_accepted),
                TEST(dialling_a_closed_port_reports_an_error),
                TEST(refuses_addresses_that_are_none),
                TEST(splits_addresses),
                cmocka_unit_test(explains_the_mistake_in_the_name_of_an_address),
                TEST(dialling_a_name_that_does_not_exist_reports_an_error),
                TEST(a_watched_dial_reports_its_lookup_and_its_connection),
                TEST(a_cancelled_dial_reports_once_from_the_loop),
                TEST(a_dial_without_an_answer_ends_at_its_deadline),
                TEST(a_listener_without_descriptors_hangs_up_and_recovers),
                cmocka_unit_test(knows_private_addresses),
                TEST(a_unix_socket_is_private_and_replaces_a_dead_one),
                TEST(a_unix_socket_may_have_a_long_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
