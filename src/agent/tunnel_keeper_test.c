/* SPDX-License-Identifier: Apache-2.0 */
/* Entries, dials and tunnels, with stand-ins for the network: each dial waits until the test chooses the proxy that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/agent_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/connect.h"
#include "join/identity_testing.h"
#include "net/tls.h"
#include "rpc/pb.h"

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"
#define THREE "33333333-3333-4333-8333-333333333333"

enum { DIALS_MAX = 16 };

struct fixture;

struct connect {
        struct fixture *fixture;
        struct connect_way way;
        void (*done)(void *ctx, struct stream *tls, struct error *err);
        void *ctx;
        bool is_cancelled;
};

/* A stream that is only its certificate. */
struct fake_stream {
        struct stream stream;
        struct str cert;
        struct fixture *fixture;
};

struct tunnel_server {
        struct fixture *fixture;
        struct stream *tls;
        const struct tunnel_server_events *events;
        void *ctx;
        bool is_drained;
};

static struct fixture {
        struct loop loop;
        struct agent agent;
        struct fake_clock clock;
        struct fake_cluster cluster;
        struct connect *dials[DIALS_MAX];
        size_t dial_count;
        struct tunnel_server *tunnels[DIALS_MAX];
        size_t open;
        int closed_streams;
        int requests;             /* received by the service */
        int connected;            /* reports that all tunnels are open */
        enum error_code refusal; /* of the last that did not */
        struct held_identity identities[2];
        uint32_t wanted; /* number of tunnels, by the cluster */
} *fixture;

/* ---- stand-ins --------------------------------------------------------------------------------------------------- */

struct error *connect_way_of_tunnel(struct str addr, struct connect_way *ret)
{
        *ret = (struct connect_way){ .route = ROUTE_TUNNEL };
        snprintf(ret->address, sizeof(ret->address), "%.*s", STR_ARG(addr));
        snprintf(ret->via.address, sizeof(ret->via.address), "http-proxy:3128");
        return NULL;
}

struct connect *connect_start(struct loop *l, const struct connect_way *way, const struct connect_trust *trust,
                              void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        struct connect *c = NEW(struct connect);

        (void)l;
        assert_non_null(trust->stored);
        *c = (struct connect){ .fixture = fixture, .way = *way, .done = done, .ctx = ctx };
        assert_true(fixture->dial_count < DIALS_MAX);
        fixture->dials[fixture->dial_count++] = c;
        return c;
}

static void finish_dial(struct connect *c, struct stream *tls, struct error *err)
{
        size_t at = 0;

        while (fixture->dials[at] != c)
                at++;
        fixture->dials[at] = fixture->dials[--fixture->dial_count];
        c->done(c->ctx, tls, err);
        free(c);
}

static void cancelled(void *ctx)
{
        finish_dial(ctx, NULL, error_new(ERROR_CANCELLED, "cancelled"));
}

void connect_cancel(struct connect *c)
{
        c->is_cancelled = true;
        loop_defer(&fixture->loop, cancelled, c);
}

static void close_fake_stream(struct stream *s)
{
        fixture->closed_streams++;
        free(s);
}

static const struct stream_ops fake_ops = { .close = close_fake_stream };

struct str tls_peer_cert_der(const struct stream *s)
{
        return ((const struct fake_stream *)s)->cert;
}

struct tunnel_server *tunnel_server_new(struct loop *l, struct stream *tls, const struct tunnel_server_events *events, void *ctx)
{
        struct tunnel_server *t = NEW(struct tunnel_server);

        (void)l;
        *t = (struct tunnel_server){ .fixture = fixture, .tls = tls, .events = events, .ctx = ctx };
        fixture->tunnels[fixture->open++] = t;
        return t;
}

void tunnel_server_close(struct tunnel_server *t)
{
        size_t at = 0;

        while (fixture->tunnels[at] != t)
                at++;
        fixture->tunnels[at] = fixture->tunnels[--fixture->open];
        stream_close(t->tls);
        free(t);
}

void tunnel_server_drain(struct tunnel_server *t)
{
        t->is_drained = true;
}

void tunnel_refuse(struct tunnel_incoming *v, struct error *err)
{
        (void)v;
        fixture->refusal = err->code;
        error_free(err);
}

static void on_request(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        (void)in, (void)request;
        ((struct fixture *)ctx)->requests++;
}

static void on_request_gone(void *ctx, struct tunnel_incoming *in)
{
        (void)ctx, (void)in;
}

static void on_connected(void *ctx)
{
        ((struct fixture *)ctx)->connected++;
}

static const struct agent_events agent_events = { .on_request = on_request, .on_gone = on_request_gone, .on_connected = on_connected };

void instance_link_report_tunnels(struct instance_link *k)
{
        (void)k;
}

struct held_identity *identity_hold(struct held_identity *h)
{
        h->holders++;
        return h;
}

void identity_release(struct held_identity *h)
{
        if (h != NULL)
                h->holders--;
}

/* ---- the fixture ------------------------------------------------------------------------------------------------- */

static struct stream *stream_of_proxy(struct fixture *f, const char *proxy_id)
{
        struct fake_stream *s = NEW(struct fake_stream);
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) public = BUF_MAX(4 * KiB);
        AUTO(buf) cert = BUF_MAX(CERT_MAX);
        AUTO_MEM char *name = mem_printf("%s." CLUSTER, proxy_id);
        struct x509_subject subject = { .common_name = str_of(name), .role = STR("Proxy"), .cluster = STR(CLUSTER) };

        assert_done(key_public_der(&key, &public));
        assert_done(x509_issue_host(f->cluster.ca.x509, &subject, buf_str(&public), fake_times(&f->cluster), &cert, NULL));
        *s = (struct fake_stream){ .stream = { .ops = &fake_ops }, .cert = arena_str(f->cluster.arena, buf_str(&cert)), .fixture = f };
        return &s->stream;
}

static void turn(struct fixture *f)
{
        for (int i = 0; i < 4; i++)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

static void wait_for(struct fixture *f, struct duration by)
{
        loop_advance(&f->loop, &f->clock, by);
        turn(f);
}

/* The list of the cluster: pairs of host ID and address; an address that begins with '-' is of a proxy that is away. */
static void set(struct fixture *f, const char *const *pairs)
{
        Cteleport__Internal__V1__Proxies list = CTELEPORT__INTERNAL__V1__PROXIES__INIT;
        Cteleport__Internal__V1__ProxyAddress rows[4], *pointers[4];

        for (; pairs[2 * list.n_proxies] != NULL; list.n_proxies++) {
                size_t n = list.n_proxies;

                cteleport__internal__v1__proxy_address__init(&rows[n]);
                rows[n].host_id = pb_text(pairs[2 * n]);
                rows[n].is_away = pairs[2 * n + 1][0] == '-';
                rows[n].addr = pb_text(pairs[2 * n + 1] + rows[n].is_away);
                pointers[n] = &rows[n];
        }
        list.proxies = pointers;
        list.connection_count = f->wanted;
        list.is_guess = list.n_proxies == 1 && pairs[0][0] == '\0';
        tunnel_keeper_set(f->agent.tunnels, &list);
        wait_for(f, MILLISECONDS(5));
}
#define SET(f, ...) set(f, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static struct connect *dial_to(struct fixture *f, const char *address)
{
        for (size_t i = 0; i < f->dial_count; i++)
                if (strcmp(f->dials[i]->way.address, address) == 0 && !f->dials[i]->is_cancelled)
                        return f->dials[i];
        fail_msg("nobody dials %s", address);
        return NULL;
}

static void answer(struct fixture *f, const char *address, const char *proxy_id)
{
        finish_dial(dial_to(f, address), stream_of_proxy(f, proxy_id), NULL);
        turn(f);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        fixture = f;
        fake_clock_init(&f->clock, 1800000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        f->identities[0] = (struct held_identity){ .id.host_id = STR("first"), .holders = 1 };
        f->agent.loop = &f->loop;
        f->agent.row = services_find("ssh");
        f->agent.options = (struct agent_options){ .events = &agent_events, .ctx = f };
        f->agent.identity = &f->identities[0];
        f->agent.tunnels = tunnel_keeper_new(&f->agent);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        tunnel_keeper_free(f->agent.tunnels);
        turn(f);
        assert_int_equal(f->dial_count, 0);
        assert_int_equal(f->open, 0);
        assert_int_equal(f->agent.identity->holders, 1);
        fake_cluster_release(&f->cluster);
        loop_release(&f->loop);
        free(f);
        return 0;
}

/* ---- the tests ------------------------------------------------------------------------------------------------------ */

static void keeps_a_tunnel_to_each_proxy(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443", TWO, "two:443");
        answer(f, "one:443", ONE);
        answer(f, "two:443", TWO);
        assert_int_equal(f->open, 2);
        wait_for(f, HOURS(1));
        assert_int_equal(f->dial_count, 0);
}

/* A former process of the service waits for this. */
static void reports_once_that_no_tunnel_is_missing(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443", TWO, "two:443");
        answer(f, "one:443", ONE);
        assert_int_equal(f->connected, 0);
        answer(f, "two:443", TWO);
        assert_int_equal(f->connected, 1);
        SET(f, ONE, "one:443", TWO, "two:443", THREE, "three:443");
        answer(f, "three:443", THREE);
        assert_int_equal(f->connected, 1);
}

static void reaches_all_proxies_behind_one_address(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "lb:443", TWO, "lb:443");
        assert_int_equal(f->dial_count, 2);
        answer(f, "lb:443", TWO);
        answer(f, "lb:443", TWO); /* again: not the one that is missing */
        assert_int_equal(f->open, 1);
        assert_int_equal(f->closed_streams, 1);
        wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
        answer(f, "lb:443", ONE);
        assert_int_equal(f->open, 2);
        wait_for(f, HOURS(1));
        assert_int_equal(f->dial_count, 0);
}

static size_t times_logged(int log_fd, const char *event)
{
        char text[16 * KiB] = { 0 };
        size_t count = 0;

        assert_true(pread(log_fd, text, sizeof text - 1, 0) >= 0);
        for (const char *at = text; (at = strstr(at, event)) != NULL; at++)
                count++;
        return count;
}

/* A load balancer with affinity by client address. */
static void searches_slowly_where_an_address_leads_to_one_proxy(void **state)
{
        static const char event[] = "Not all proxies behind an address are reached";
        struct fixture *f = *state;
        int log_fd = memfd_create("log", MFD_CLOEXEC), duplicates = 0;

        log_setup((struct log_options){ .level = LOG_WARN, .fd = log_fd });
        SET(f, ONE, "lb:443", TWO, "lb:443");
        answer(f, "lb:443", ONE);
        answer(f, "lb:443", ONE);
        for (; times_logged(log_fd, event) == 0; duplicates++) {
                assert_true(duplicates < 2 * LIMIT_PROXY_SEARCH);
                wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
                answer(f, "lb:443", ONE);
        }
        assert_true(duplicates >= 2 * LIMIT_PROXY_SEARCH - 2);
        for (int i = 0; i < 5; i++) {
                wait_for(f, MILLISECONDS(PACE_PROXY_SEARCH_MAX));
                answer(f, "lb:443", ONE);
        }
        assert_int_equal(times_logged(log_fd, event), 1);
        wait_for(f, MILLISECONDS(4 * PACE_RETRY_MAX));
        assert_int_equal(f->dial_count, 0);
        wait_for(f, MILLISECONDS(PACE_PROXY_SEARCH_MAX));
        answer(f, "lb:443", TWO);
        assert_int_equal(f->open, 2);
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        close(log_fd);
}

/* Proxies that relay to each other are not all to be reached. */
static void searches_silently_for_more_tunnels_than_one_address_leads_to(void **state)
{
        struct fixture *f = *state;
        int log_fd = memfd_create("log", MFD_CLOEXEC);

        log_setup((struct log_options){ .level = LOG_WARN, .fd = log_fd });
        f->wanted = 2;
        SET(f, ONE, "lb:443", TWO, "lb:443", THREE, "lb:443");
        answer(f, "lb:443", ONE);
        for (int i = 0; i < 4 * LIMIT_PROXY_SEARCH; i++) {
                wait_for(f, MILLISECONDS(PACE_PROXY_SEARCH_MAX));
                answer(f, "lb:443", ONE);
        }
        assert_int_equal(times_logged(log_fd, "WARN"), 0);
        wait_for(f, MILLISECONDS(4 * PACE_RETRY_MAX));
        assert_int_equal(f->dial_count, 0); /* slowly, too */
        wait_for(f, MILLISECONDS(PACE_PROXY_SEARCH_MAX));
        answer(f, "lb:443", TWO);
        assert_int_equal(f->open, 2);
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        close(log_fd);
}

static void learns_the_name_of_the_proxy_that_answered_first(void **state)
{
        struct fixture *f = *state;

        SET(f, "", "lb:443");
        answer(f, "lb:443", ONE);
        SET(f, ONE, "lb:443", TWO, "two:443");
        assert_int_equal(f->open, 1);
        assert_int_equal(f->dial_count, 1);
        answer(f, "two:443", TWO);
        assert_int_equal(f->open, 2);
}

static void opens_a_lost_tunnel_again(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        answer(f, "one:443", ONE);
        f->tunnels[0]->events->on_end(f->tunnels[0]->ctx, error_new(ERROR_UNAVAILABLE, "cut"));
        assert_int_equal(f->open, 0);
        wait_for(f, MILLISECONDS(PACE_RETRY_FIRST));
        answer(f, "one:443", ONE);
        assert_int_equal(f->open, 1);
}

/* As by a load balancer with a short idle timeout. */
static void dials_slowly_where_tunnels_end_early(void **state)
{
        struct fixture *f = *state;
        int log_fd = memfd_create("log", MFD_CLOEXEC);
        char text[16 * KiB] = "";

        log_setup((struct log_options){ .level = LOG_WARN, .fd = log_fd });
        SET(f, ONE, "one:443");
        for (int i = 0; i < 10; i++) {
                wait_for(f, i < 3 ? MILLISECONDS(PACE_RETRY_FIRST) : MILLISECONDS(PACE_RETRY_MAX));
                answer(f, "one:443", ONE);
                wait_for(f, MILLISECONDS(2000 + 10 * i));
                f->tunnels[0]->events->on_end(f->tunnels[0]->ctx, error_new(ERROR_UNAVAILABLE, "cut"));
        }
        wait_for(f, MILLISECONDS(PACE_RETRY_FIRST * 4));
        assert_int_equal(f->dial_count, 0);
        wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
        answer(f, "one:443", ONE);
        /* A tunnel that lasts ends the suspicion, however it ends. */
        wait_for(f, HOURS(1));
        f->tunnels[0]->events->on_drain(f->tunnels[0]->ctx);
        wait_for(f, MILLISECONDS(PACE_RETRY_FIRST));
        answer(f, "one:443", ONE);
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        assert_true(pread(log_fd, text, sizeof text - 1, 0) > 0);
        const char *first = strstr(text, "Reverse tunnels to a proxy end early");
        assert_non_null(first);
        assert_null(strstr(first + 1, "Reverse tunnels to a proxy"));
        assert_non_null(strstr(first, "after about 2.0 seconds"));
        close(log_fd);
}

static void leaves_a_proxy_that_ends_its_streams(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        answer(f, "one:443", ONE);
        struct tunnel_server *old = f->tunnels[0];
        old->events->on_drain(old->ctx);
        wait_for(f, MILLISECONDS(PACE_RETRY_FIRST));
        answer(f, "one:443", ONE);
        assert_int_equal(f->open, 2);
        old->events->on_end(old->ctx, error_new(ERROR_UNAVAILABLE, "gone"));
        assert_int_equal(f->open, 1);
        wait_for(f, HOURS(1));
        assert_int_equal(f->dial_count, 0);
}

static void forgets_proxies_that_are_gone(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443", TWO, "two:443");
        answer(f, "one:443", ONE);
        SET(f, TWO, "two:443"); /* what is open there may end by itself */
        assert_int_equal(f->open, 1);
        assert_true(f->tunnels[0]->is_drained);
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 0);
        f->tunnels[0]->events->on_end(f->tunnels[0]->ctx, error_new(ERROR_UNAVAILABLE, "gone"));
        SET(f, ONE, "one:443"); /* and an unneeded dial is cancelled */
        assert_int_equal(f->dial_count, 1);
        answer(f, "one:443", ONE);
}

/* The configured address, before the cluster has named its proxies, is no proxy that has left. */
static void reports_no_proxy_that_was_a_guess(void **state)
{
        static const char event[] = "A proxy does not belong to the cluster any more";
        struct fixture *f = *state;
        int log_fd = memfd_create("log", MFD_CLOEXEC);

        log_setup((struct log_options){ .level = LOG_INFO, .fd = log_fd });
        SET(f, "", "lb:443");
        SET(f, ONE, "one:443");
        assert_int_equal(times_logged(log_fd, event), 0);
        answer(f, "one:443", ONE);
        SET(f, TWO, "two:443");
        assert_int_equal(times_logged(log_fd, event), 1);
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        close(log_fd);
}

static void keeps_its_tunnels_while_the_cluster_is_unknown(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        answer(f, "one:443", ONE);
        SET(f, "", "lb:443"); /* of an instance that has just started */
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 1);
        assert_false(f->tunnels[0]->is_drained);
        SET(f, ONE, "one:443");
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 1);
}

static void searches_anew_when_a_proxy_comes_back(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "-lb:443");
        for (int i = 0; i < 12; i++) {
                finish_dial(dial_to(f, "lb:443"), NULL, error_new(ERROR_UNAVAILABLE, "refused"));
                wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
        }
        finish_dial(dial_to(f, "lb:443"), NULL, error_new(ERROR_UNAVAILABLE, "refused"));
        SET(f, ONE, "lb:443");
        answer(f, "lb:443", ONE);
        assert_int_equal(f->open, 1);
}

static void keeps_as_many_tunnels_as_the_cluster_requests(void **state)
{
        struct fixture *f = *state;

        f->wanted = 1;
        SET(f, ONE, "lb:443", TWO, "lb:443");
        assert_int_equal(f->dial_count, 1);
        answer(f, "lb:443", TWO); /* any of them will do */
        assert_int_equal(f->open, 1);
        wait_for(f, HOURS(1));
        assert_int_equal(f->dial_count, 0);
        f->wanted = 2;
        SET(f, ONE, "lb:443", TWO, "lb:443");
        answer(f, "lb:443", ONE);
        assert_int_equal(f->open, 2);
}

static void takes_another_proxy_when_the_first_fails(void **state)
{
        struct fixture *f = *state;

        f->wanted = 1;
        SET(f, ONE, "one:443", TWO, "two:443");
        assert_int_equal(f->dial_count, 1);
        bool is_one_first = strcmp(f->dials[0]->way.address, "one:443") == 0;
        const char *first = is_one_first ? "one:443" : "two:443", *second = is_one_first ? "two:443" : "one:443";
        finish_dial(dial_to(f, first), NULL, error_new(ERROR_UNAVAILABLE, "refused"));
        wait_for(f, MILLISECONDS(5));
        answer(f, second, is_one_first ? TWO : ONE);
        assert_int_equal(f->open, 1);
        f->tunnels[0]->events->on_end(f->tunnels[0]->ctx, error_new(ERROR_UNAVAILABLE, "cut"));
        wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
        assert_true(f->dial_count > 0);
        answer(f, f->dials[0]->way.address, strcmp(f->dials[0]->way.address, "one:443") == 0 ? ONE : TWO);
        assert_int_equal(f->open, 1);
}

static void dials_proxies_by_turns_when_all_fail(void **state)
{
        struct fixture *f = *state;
        int dials_of_two = 0;

        f->wanted = 1;
        SET(f, ONE, "one:443", TWO, "two:443");
        for (int i = 0; i < 8; i++) {
                assert_int_equal(f->dial_count, 1);
                dials_of_two += strcmp(f->dials[0]->way.address, "two:443") == 0;
                finish_dial(f->dials[0], NULL, error_new(ERROR_UNAVAILABLE, "refused"));
                wait_for(f, MILLISECONDS(PACE_RETRY_MAX));
        }
        assert_int_equal(dials_of_two, 4);
}

static void dials_a_proxy_where_it_is_now(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "old:443");
        finish_dial(dial_to(f, "old:443"), NULL, error_new(ERROR_UNAVAILABLE, "refused"));
        SET(f, ONE, "new:443");
        answer(f, "new:443", ONE);
        assert_int_equal(f->open, 1);
}

static void opens_nothing_while_it_ends(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443", TWO, "two:443");
        answer(f, "one:443", ONE);
        tunnel_keeper_drain(f->agent.tunnels);
        answer(f, "two:443", TWO);
        assert_int_equal(f->open, 1);
        f->tunnels[0]->events->on_end(f->tunnels[0]->ctx, error_new(ERROR_UNAVAILABLE, "cut"));
        wait_for(f, HOURS(1));
        assert_int_equal(f->dial_count, 0);
}

/* As agent_use_identity() does. */
static void renew(struct fixture *f, struct str host_id)
{
        f->identities[1] = (struct held_identity){ .id.host_id = host_id, .holders = 1 };
        f->agent.identity = &f->identities[1];
        tunnel_keeper_renew(f->agent.tunnels);
        wait_for(f, MILLISECONDS(5));
}

static void renews_its_tunnels_at_once(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        answer(f, "one:443", ONE);
        renew(f, STR("first"));
        assert_int_equal(f->open, 1); /* open tunnels continue until the proxy ends them */
        answer(f, "one:443", ONE);
        assert_int_equal(f->open, 2);
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 1);
}

static void closes_a_tunnel_opened_under_another_id(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443", TWO, "two:443");
        answer(f, "one:443", ONE);
        answer(f, "two:443", TWO);
        renew(f, STR("second"));
        assert_int_equal(f->open, 0);
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 0);
        answer(f, "one:443", ONE);
        answer(f, "two:443", TWO);
        assert_int_equal(tunnel_keeper_count(f->agent.tunnels), 2);
}

static void opens_nothing_with_an_identity_that_was_replaced(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        struct connect *early = dial_to(f, "one:443");
        renew(f, STR("second"));
        assert_ptr_equal(dial_to(f, "one:443"), early);
        answer(f, "one:443", ONE);
        assert_int_equal(f->open, 0);
        wait_for(f, MILLISECONDS(5));
        answer(f, "one:443", ONE);
        assert_int_equal(f->open, 1);
}

static void dials_the_proxy_of_its_own_machine_directly(void **state)
{
        struct fixture *f = *state;

        SET(f, "first", "192.0.2.1:3080", "other", "192.0.2.2:3080");
        assert_string_equal(dial_to(f, "192.0.2.1:3080")->way.via.address, "");
        assert_string_equal(dial_to(f, "192.0.2.2:3080")->way.via.address, "http-proxy:3128");
}

static void request(struct fixture *f, struct str service, struct str kind)
{
        const struct tunnel_request request = { .host_id = STR("first"), .service = service, .kind = kind, .name = STR("web-1"),
                                                .connection_id = STR("connection") };

        f->refusal = ERROR_INTERNAL;
        f->tunnels[0]->events->on_connect(f->tunnels[0]->ctx, (struct tunnel_incoming *)&f->requests, &request);
}

static void refuses_requests_for_another_service_or_kind(void **state)
{
        struct fixture *f = *state;

        SET(f, ONE, "one:443");
        answer(f, "one:443", ONE);
        request(f, STR("app"), STR("node"));
        assert_int_equal(f->refusal, ERROR_NOT_FOUND);
        request(f, STR(""), STR("node"));
        assert_int_equal(f->refusal, ERROR_NOT_FOUND);
        request(f, STR("ssh"), STR("app"));
        assert_int_equal(f->refusal, ERROR_UNIMPLEMENTED);
        assert_int_equal(f->requests, 0);
        request(f, STR("ssh"), STR("node"));
        assert_int_equal(f->requests, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(keeps_a_tunnel_to_each_proxy),
                TEST(reports_once_that_no_tunnel_is_missing),
                TEST(reaches_all_proxies_behind_one_address),
                TEST(searches_slowly_where_an_address_leads_to_one_proxy),
                TEST(searches_silently_for_more_tunnels_than_one_address_leads_to),
                TEST(learns_the_name_of_the_proxy_that_answered_first),
                TEST(opens_a_lost_tunnel_again),
                TEST(dials_slowly_where_tunnels_end_early),
                TEST(leaves_a_proxy_that_ends_its_streams),
                TEST(forgets_proxies_that_are_gone),
                TEST(reports_no_proxy_that_was_a_guess),
                TEST(keeps_its_tunnels_while_the_cluster_is_unknown),
                TEST(searches_anew_when_a_proxy_comes_back),
                TEST(keeps_as_many_tunnels_as_the_cluster_requests),
                TEST(takes_another_proxy_when_the_first_fails),
                TEST(dials_proxies_by_turns_when_all_fail),
                TEST(dials_a_proxy_where_it_is_now),
                TEST(opens_nothing_while_it_ends),
                TEST(renews_its_tunnels_at_once),
                TEST(closes_a_tunnel_opened_under_another_id),
                TEST(opens_nothing_with_an_identity_that_was_replaced),
                TEST(dials_the_proxy_of_its_own_machine_directly),
                TEST(refuses_requests_for_another_service_or_kind),
        };

        return cmocka_run_group_tests_name("tunnel_keeper", tests, NULL, NULL);
}
