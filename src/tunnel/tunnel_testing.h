/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of tunnels: both ends of a tunnel on a loop with a clock that the test sets, with an agent that
 * answers as the test defines.
 */
#ifndef TUNNEL_TUNNEL_TESTING_H
#define TUNNEL_TUNNEL_TESTING_H

#include "base/limits.h"
#include "net/net_testing.h"
#include "tunnel/tunnel.h"

enum { INCOMING_STREAMS_MAX = 2000 };

/* The agent's reaction to an incoming stream. */
enum manner { ACCEPTS, REFUSES, WAITS };

/* A tunnel and the recorded events of its ends. */
struct rig {
        struct fake_clock clock;
        struct loop loop;
        struct tunnel *tunnel;        /* the proxy's end */
        struct tunnel_server *server; /* the agent's */
        enum manner manner;
        int connects, gone, drains, server_ends, client_ends;
        char host_id[64], connection_id[64], client_addr[64]; /* of the last incoming stream */
        struct tunnel_incoming *poll;                           /* the pending incoming stream */
        struct stream *accepted[INCOMING_STREAMS_MAX];
        size_t accepted_count;
};

static inline void rig_on_connect(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct rig *r = ctx;

        r->connects++;
        snprintf(r->host_id, sizeof r->host_id, "%.*s", STR_ARG(request->host_id));
        snprintf(r->connection_id, sizeof r->connection_id, "%.*s", STR_ARG(request->connection_id));
        snprintf(r->client_addr, sizeof r->client_addr, "%.*s", STR_ARG(request->client_addr));
        if (r->manner == REFUSES) {
                tunnel_refuse(v, error_hint(error_new(ERROR_FAILED_PRECONDITION, "no sshd: 100%% gone\nfor gr\xc3\xbcn"),
                                            "install it"));
                return;
        }
        if (r->manner == WAITS) {
                r->poll = v;
                return;
        }
        assert_true(r->accepted_count < INCOMING_STREAMS_MAX);
        r->accepted[r->accepted_count++] = tunnel_accept(v);
}

static inline void rig_on_gone(void *ctx, struct tunnel_incoming *v)
{
        struct rig *r = ctx;

        assert_ptr_equal(r->poll, v);
        r->poll = NULL;
        r->gone++;
}

static inline void rig_on_server_end(void *ctx, struct error *err)
{
        struct rig *r = ctx;

        assert_non_null(err);
        error_free(err);
        r->server_ends++;
}

static inline void rig_on_drain(void *ctx)
{
        struct rig *r = ctx;

        r->drains++;
}

static inline void rig_on_client_end(void *ctx, struct error *err)
{
        struct rig *r = ctx;

        assert_non_null(err);
        error_free(err);
        r->client_ends++;
}

static const struct tunnel_server_events rig_events = { rig_on_connect, rig_on_gone, rig_on_server_end, rig_on_drain };

static inline void rig_init(struct rig *r)
{
        struct stream *a, *b;

        *r = (struct rig){ 0 };
        fake_clock_init(&r->clock, 1700000000);
        assert_null(loop_init(&r->loop, &r->clock.clock));
        connected_pair(&r->loop, &a, &b);
        r->tunnel = tunnel_new(&r->loop, a, rig_on_client_end, r);
        r->server = tunnel_server_new(&r->loop, b, &rig_events, r);
}

static inline void rig_release(struct rig *r)
{
        tunnel_close(r->tunnel);
        tunnel_server_close(r->server);
        run_a_while(&r->loop);
        loop_release(&r->loop);
}

/* A dial and its result. */
struct call {
        struct tunnel_dial *dial;
        struct stream *stream;
        struct error *err;
        int done;
};

static inline void call_done(void *ctx, struct stream *s, struct error *err)
{
        struct call *c = ctx;

        assert_int_equal(c->done, 0);
        assert_true((s == NULL) != (err == NULL));
        c->done++;
        c->dial = NULL;
        c->stream = s;
        c->err = err;
}

static inline void call_start(struct rig *r, struct call *c)
{
        struct tunnel_request request = { .host_id = STR("7c1e"), .service = STR("ssh"), .kind = STR("node"), .name = STR("web-1"), .connection_id = STR("conn-1"), .client_addr = STR("192.0.2.7:40000") };

        *c = (struct call){ 0 };
        c->dial = tunnel_connect(r->tunnel, &request, call_done, c);
        assert_int_equal(c->done, 0);
}

/* An accepted stream: its two ends. */
static inline void pair_up(struct rig *r, struct ear *proxy, struct ear *agent)
{
        struct call c;
        size_t before = r->accepted_count;

        r->manner = ACCEPTS;
        call_start(r, &c);
        RUN_UNTIL(&r->loop, c.done);
        assert_non_null(c.stream);
        assert_int_equal(r->accepted_count, before + 1);
        *proxy = *agent = (struct ear){ 0 };
        ear_listen(proxy, c.stream);
        ear_listen(agent, r->accepted[before]);
}

#endif
