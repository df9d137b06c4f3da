/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to names with several addresses. getaddrinfo() and freeaddrinfo() of this program take the place of those of
 * libc, also for libuv.
 */
#include "net/net_testing.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/names.h"
#include "base/network.h"
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
                const char *const addresses_[] = { __VA_ARGS__ };                                                     \
                resolve_to(addresses_, ARRAY_LEN(addresses_));                                                        \
        } while (0)

/* ---- the servers ------------------------------------------------------------------------------------------- */

struct place {
        const char *host;
        int fd; /* bound; -1: this machine does not have the address */
};

struct fixture {
        struct loop loop;
        struct place places[ANSWERS_MAX]; /* all with the same port */
        size_t count;
        int port, fillers[FILLERS]; /* -1: none */
        unsigned dialled;
        int fd;
        struct error *err;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        f->fillers[0] = f->fillers[1] = f->fd = -1;
        resolver.lookups = 0;
        *state = f;
        return 0;
}

static void close_open(int fd)
{
        if (fd >= 0)
                close(fd);
}

static void close_places(struct fixture *f)
{
        for (size_t i = 0; i < FILLERS; i++) {
                close_open(f->fillers[i]);
                f->fillers[i] = -1;
        }
        while (f->count > 0)
                close_open(f->places[--f->count].fd);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        close_places(f);
        close_open(f->fd);
        error_free(f->err);
        loop_run(&f->loop);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static int bind_at(const char *host, int port)
{
        struct sock_address a;

        if (!sock_address_of_literal(str_of(host), port, &a))
                abort();
        int fd = socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&a.storage, a.len) == 0)
                return fd;
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
}

/* Binds one port of all addresses; false if another program has it on one of them. */
static bool bind_all(struct fixture *f, const char *const *hosts, size_t count)
{
        struct sock_address a = { .len = sizeof a.storage };
        char text[ADDRESS_TEXT_MAX];

        f->port = 0;
        for (size_t i = 0; i < count; i++) {
                int fd = bind_at(hosts[i], f->port);

                if (fd < 0 && errno == EADDRINUSE)
                        return false;
                if (fd < 0)
                        assert_true(errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT);
                f->places[f->count++] = (struct place){ hosts[i], fd };
                if (fd < 0 || f->port != 0)
                        continue;
                assert_int_equal(getsockname(fd, (struct sockaddr *)&a.storage, &a.len), 0);
                sock_address_text(&a, text);
                f->port = (int)strtol(strrchr(text, ':') + 1, NULL, 10);
        }
        return true;
}

/* A port that no other program has on these addresses, and that refuses connections until the test listens on one of them. */
static void given_port(struct fixture *f, const char *const *hosts, size_t count)
{
        do
                close_places(f);
        while (!bind_all(f, hosts, count));
}

#define GIVEN_PORT(f, ...)                                                                                            \
        do {                                                                                                          \
                const char *const hosts_[] = { __VA_ARGS__ };                                                         \
                given_port(f, hosts_, ARRAY_LEN(hosts_));                                                             \
        } while (0)

static int listen_at(struct fixture *f, const char *host, int backlog)
{
        for (size_t i = 0; i < f->count; i++) {
                if (strcmp(f->places[i].host, host) != 0)
                        continue;
                assert_int_equal(listen(f->places[i].fd, backlog), 0);
                return f->places[i].fd;
        }
        fail_msg("%s is not bound", host);
        return -1;
}

static void given_server(struct fixture *f, const char *host)
{
        (void)listen_at(f, host, 16);
}

/* An address that neither accepts nor refuses: its queue of new connections is full. */
static void given_silent(struct fixture *f, const char *host)
{
        struct sockaddr_storage to;
        socklen_t len = sizeof to;

        getsockname(listen_at(f, host, 0), (struct sockaddr *)&to, &len);
        for (size_t i = 0; i < FILLERS; i++) {
                f->fillers[i] = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
                (void)connect(f->fillers[i], (struct sockaddr *)&to, len);
        }
}

/* An address besides 127.0.0.1: of IPv6, unless this machine has only IPv4. */
static const char *other_address(void)
{
        int fd = bind_at("::1", 0);

        close_open(fd);
        return fd >= 0 ? "::1" : "127.0.0.9";
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
        AUTO_MEM char *expected = address_join(str_of(host), f->port);

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
        const char *other = other_address();

        GIVEN_PORT(f, other);
        given_server(f, other);
        RESOLVE_TO(other);
        dial(f);
        assert_connected_to(f, other);
}

static void a_family_that_refuses_is_passed_over(void **state)
{
        struct fixture *f = *state;
        const char *other = other_address();

        GIVEN_PORT(f, "127.0.0.1", other);
        given_server(f, "127.0.0.1");
        RESOLVE_TO(other, "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

static void a_family_that_does_not_answer_is_passed_over(void **state)
{
        struct fixture *f = *state;
        const char *other = other_address();

        GIVEN_PORT(f, "127.0.0.1", other);
        given_server(f, "127.0.0.1");
        given_silent(f, other);
        RESOLVE_TO(other, "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
        GIVEN_PORT(f, "127.0.0.1", other); /* and the other way round */
        given_server(f, other);
        given_silent(f, "127.0.0.1");
        RESOLVE_TO("127.0.0.1", other);
        dial(f);
        assert_connected_to(f, other);
}

static void a_family_without_a_route_is_passed_over(void **state)
{
        struct fixture *f = *state;

        GIVEN_PORT(f, "127.0.0.1");
        given_server(f, "127.0.0.1");
        RESOLVE_TO("ff02::1", "127.0.0.1"); /* no host: connect() fails at once */
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

/* Without alternation the addresses of the first family would use up LIMIT_CONNECT_ADDRESSES. */
static void the_families_alternate(void **state)
{
        struct fixture *f = *state;

        GIVEN_PORT(f, "127.0.0.1", "::1");
        given_server(f, "127.0.0.1");
        RESOLVE_TO("::1", "::1", "::1", "::1", "::1", "::1", "::1", "::1", "::1", "127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
}

static void dead_addresses_are_passed_over_up_to_the_limit(void **state)
{
        struct fixture *f = *state;

        GIVEN_PORT(f, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9");
        given_server(f, "127.0.0.1");
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

        GIVEN_PORT(f, "127.0.0.1", "127.0.0.2");
        given_server(f, "127.0.0.1");
        RESOLVE_TO("127.0.0.1");
        dial(f);
        assert_connected_to(f, "127.0.0.1");
        given_server(f, "127.0.0.2"); /* the name moves */
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

static bool is_not_first(const void *ctx, const struct ip_address *ip)
{
        struct ip_address first;

        return ip_parse(str_of(ctx), &first) && memcmp(ip, &first, sizeof first) != 0;
}

static void addresses_that_are_not_permitted_are_passed_over(void **state)
{
        struct fixture *f = *state;

        GIVEN_PORT(f, "127.0.0.2", "127.0.0.3");
        given_server(f, "127.0.0.2");
        given_server(f, "127.0.0.3");
        RESOLVE_TO("127.0.0.2", "::ffff:127.0.0.2", "127.0.0.3");
        AUTO_MEM char *target = mem_printf("a.example:%d", f->port);
        dial_permit(dial_start(&f->loop, str_of(target), SECONDS(50), on_dialled, f), is_not_first, "127.0.0.2");
        RUN_UNTIL(&f->loop, f->dialled);
        assert_null(f->err);
        struct sock_address peer = { .len = sizeof peer.storage };
        assert_int_equal(getpeername(f->fd, (struct sockaddr *)&peer.storage, &peer.len), 0);
        char text[ADDRESS_TEXT_MAX];
        sock_address_text(&peer, text);
        assert_true(str_starts_with(str_of(text), STR("127.0.0.3:")));
        assert_int_equal(resolver.lookups, 1); /* a name that changes between check and connection changes nothing */
}

static void a_dial_without_a_permitted_address_is_refused(void **state)
{
        struct fixture *f = *state;
        static const char *const targets[] = { "name:1", "127.0.0.2:1", "[::ffff:127.0.0.2]:1" };

        RESOLVE_TO("127.0.0.2", "::ffff:127.0.0.2");
        for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
                f->dialled = 0;
                dial_permit(dial_start(&f->loop, str_of(targets[i]), SECONDS(50), on_dialled, f), is_not_first, "127.0.0.2");
                RUN_UNTIL(&f->loop, f->dialled);
                assert_int_equal(f->err->code, ERROR_PERMISSION_DENIED);
                error_free(f->err);
                f->err = NULL;
        }
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
                TEST(addresses_that_are_not_permitted_are_passed_over),
                TEST(a_dial_without_a_permitted_address_is_refused),
        };

        return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
