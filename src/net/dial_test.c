/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to names with several addresses. getaddrinfo() and freeaddrinfo() of this program take the place of those of
 * libc, also for libuv.
 */
#include "net/net_testing.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/address.h"

enum { ANSWERS_MAX = 16, FILLERS = 2 };

/* ---- the resolver ------------------------------------------------------------------------------------------ */

static struct {
        const char *addresses[ANSWERS_MAX]; /* of every name, in this order */
        size_t count;
        int held; /* reading end of a pipe: until its end there is no answer; -1: answers are given at once */
        unsigned lookups;
} resolver = { .held = -1 };

struct found {
        struct addrinfo info;
        struct sock_address address;
};

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
        struct addrinfo **end = ret;

        (void)name;
        (void)hints;
        resolver.lookups++;
        *ret = NULL;
        if (resolver.held >= 0)
                (void)!read(resolver.held, &(char){ 0 }, 1);
        for (size_t i = 0; i < resolver.count; i++) {
                struct found *f = NEW(struct found);
                bool is_address = sock_address_of_literal(str_of(resolver.addresses[i]), (int)strtol(service, NULL, 10), &f->address);

                if (!is_address)
                        abort();
                f->info.ai_family = f->address.storage.ss_family;
                f->info.ai_addr = (struct sockaddr *)&f->address.storage;
                f->info.ai_addrlen = f->address.len;
                *end = &f->info;
                end = &f->info.ai_next;
        }
        return resolver.count == 0 ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *list)
{
        while (list != NULL) {
                struct found *f = CONTAINER_OF(list, struct found, info);

                list = list->ai_next;
                free(f);
        }
}

static void resolve_to(const char *const *addresses, size_t count)
{
        memcpy(resolver.addresses, addresses, count * sizeof *addresses);
        resolver.count = count;
}

#define RESOLVE_TO(...)                                                                                               \
        do {                                                                                                          \
                static const char *const addresses_[] = { __VA_ARGS__ };                                              \
                resolve_to(addresses_, ARRAY_LEN(addresses_));                                                        \
        } while (0)

/* ---- the servers ------------------------------------------------------------------------------------------- */

struct fixture {
        struct loop loop;
        int open, silent, fillers[FILLERS]; /* listening sockets; -1: none */
        int port;                           /* of both */
        unsigned dialled;
        int fd;
        struct error *err;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        f->open = f->silent = f->fillers[0] = f->fillers[1] = f->fd = -1;
        resolver.lookups = 0;
        *state = f;
        return 0;
}

static void close_open(int fd)
{
        if (fd >= 0)
                close(fd);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        close_open(f->open);
        close_open(f->silent);
        for (size_t i = 0; i < FILLERS; i++)
                close_open(f->fillers[i]);
        close_open(f->fd);
        error_free(f->err);
        loop_run(&f->loop);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static int listen_at(const char *host, int port, int *ret_port)
{
        AUTO_MEM char *address = mem_printf("%s:%d", host, port);
        char bound[ADDRESS_TEXT_MAX];
        int fd;

        assert_null(socket_listen_tcp(str_of(address), &fd, bound));
        if (ret_port != NULL)
                *ret_port = (int)strtol(strrchr(bound, ':') + 1, NULL, 10);
        return fd;
}

/* An address that neither accepts nor refuses: its queue of new connections is full. */
static void given_silent(struct fixture *f, const char *host)
{
        struct sockaddr_storage to;
        socklen_t len = sizeof to;

        f->silent = listen_at(host, f->port, NULL);
        listen(f->silent, 0);
        getsockname(f->silent, (struct sockaddr *)&to, &len);
        for (size_t i = 0; i < FILLERS; i++) {
                f->fillers[i] = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
                (void)connect(f->fillers[i], (struct sockaddr *)&to, len);
        }
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct fixture *f = ctx;

        f->dialled++;
        f->fd = fd;
        f->err = err;
}

static void dial(struct fixture *f)
{
        AUTO_MEM char *target = mem_printf("proxy.example.com:%d", f->port);

        close_open(f->fd);
        f->fd = -1;
        f->dialled = 0;
        assert_non_null(dial_start(&f->loop, str_of(target), SECONDS(50), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        loop_run(&f->loop);
        assert_int_equal(f->dialled, 1);
}

static void assert_connected_to(struct fixture *f, const char *host)
{
        struct sock_address peer = { .len = sizeof peer.storage };
        char text[ADDRESS_TEXT_MAX];
        AUTO_MEM char *expected = mem_printf("%s:%d", host, f->port);

        if (f->err != NULL)
                fail_msg("%s", f->err->what);
        assert_int_equal(getpeername(f->fd, (struct sockaddr *)&peer.storage, &peer.len), 0);
        sock_address_text(&peer, text);
        assert_string_equal(text, expected);
}

/* ---- tests ------------------------------------------------------------------------------------------------- */

static void connects_to_a_name_that_has_ipv6_only(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("[::1]", 0, &f->port);
        RESOLVE_TO("::1");
        dial(f);
        assert_connected_to(f, "[::1]");
}

static void a_family_that_refuses_is_passed_over(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        RESOLVE_TO("::1", "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

static void a_family_that_does_not_answer_is_passed_over(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        given_silent(f, "[::1]");
        RESOLVE_TO("::1", "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
        close(f->open);
        close(f->silent);
        for (size_t i = 0; i < FILLERS; i++)
                close(f->fillers[i]);
        f->open = listen_at("[::1]", 0, &f->port); /* and the other way round */
        given_silent(f, "127.0.0.1");
        RESOLVE_TO("127.0.0.1", "::1");
        dial(f);
        assert_connected_to(f, "[::1]");
}

static void a_family_without_a_route_is_passed_over(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        RESOLVE_TO("ff02::1", "127.0.0.1"); /* no host: connect() fails at once */
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

/* Without alternation the addresses of the first family would use up LIMIT_CONNECT_ADDRESSES. */
static void the_families_alternate(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        RESOLVE_TO("::1", "::1", "::1", "::1", "::1", "::1", "::1", "::1", "::1", "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

static void dead_addresses_are_passed_over_up_to_the_limit(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        RESOLVE_TO("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.1");
        assert_int_equal(resolver.count, LIMIT_CONNECT_ADDRESSES);
        dial(f);
        assert_connected_to(f, "127.0.0.1");
        RESOLVE_TO("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.1");
        dial(f);
        assert_non_null(f->err);
        assert_non_null(strstr(f->err->what, "(127.0.0.9:")); /* the last one that was tried */
        assert_int_equal(f->err->code, ERROR_UNAVAILABLE);
}

static void every_dial_looks_the_name_up_again(void **state)
{
        struct fixture *f = *state;

        f->open = listen_at("127.0.0.1", 0, &f->port);
        RESOLVE_TO("127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
        close(f->open);
        f->open = listen_at("127.0.0.2", f->port, NULL); /* the server moves */
        RESOLVE_TO("127.0.0.2");
        dial(f);
        assert_connected_to(f, "127.0.0.2");
        assert_int_equal(resolver.lookups, 2);
}

static void a_resolver_that_does_not_answer_is_named(void **state)
{
        struct fixture *f = *state;
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        resolver.held = ends[0];
        RESOLVE_TO("127.0.0.1");
        assert_non_null(dial_start(&f->loop, STR("proxy.example.com:1"), MILLISECONDS(20), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        assert_int_equal(f->err->code, ERROR_DEADLINE_EXCEEDED);
        assert_non_null(strstr(f->err->what, "the DNS server of this machine did not answer for proxy.example.com:1"));
        assert_non_null(strstr(f->err->hint, "no-aaaa"));
        close(ends[1]); /* a late answer is ignored */
        loop_run(&f->loop);
        close(ends[0]);
        resolver.held = -1;
        assert_int_equal(f->dialled, 1);
}

static void the_longest_name_is_looked_up(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) target = BUF_MAX(512);

        for (size_t i = 0; i < 253; i++)
                buf_put_char(&target, i % 64 == 63 ? '.' : 'a');
        buf_put_c(&target, ":1");
        resolver.count = 0;
        assert_non_null(dial_start(&f->loop, buf_str(&target), SECONDS(50), on_dialled, f));
        RUN_UNTIL(&f->loop, f->dialled);
        assert_int_equal(f->err->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->err->what, "cannot find the address of aaa"));
        assert_int_equal(resolver.lookups, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(connects_to_a_name_that_has_ipv6_only),
                TEST(a_family_that_refuses_is_passed_over),
                TEST(a_family_that_does_not_answer_is_passed_over),
                TEST(a_family_without_a_route_is_passed_over),
                TEST(the_families_alternate),
                TEST(dead_addresses_are_passed_over_up_to_the_limit),
                TEST(every_dial_looks_the_name_up_again),
                TEST(a_resolver_that_does_not_answer_is_named),
                TEST(the_longest_name_is_looked_up),
        };

        return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
