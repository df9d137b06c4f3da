/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/presence.h"

#include "base/limits.h"
#include "base/mem.h"
#include "loop/conversation.h"
#include "pki/key.h"

enum state { AWAIT_WELCOME, PRESENT, CLOSED };

static const struct conversation_state states[] = {
        [AWAIT_WELCOME] = { "await welcome", MILLISECONDS(TIMEOUT_RPC), TO(PRESENT) | TO(CLOSED) },
        /* No deadline: the keepalive of the connection detects a lost server. */
        [PRESENT] = { "present", SECONDS(0), TO(CLOSED) },
        [CLOSED] = { "closed", SECONDS(0), 0 },
};

struct presence {
        struct loop *loop;
        const struct presence_events *events; /* NULL: closed by the owner */
        void *ctx;
        struct conversation at;
        struct rpc_client_call *call;
        struct timer *heartbeat;
        struct duration pace;
        struct error *why; /* the reason if this side ends the call */
};

static void put_now(struct presence *p, Cteleport__V1__Timestamp *t)
{
        struct walltime now = loop_wall(p->loop);
        t->seconds = walltime_unix(now);
        t->nanos = (int32_t)(now.ns - t->seconds * 1000000000);
}

static void presence_free(struct presence *p)
{
        conversation_release(&p->at);
        timer_free(p->heartbeat);
        error_free(p->why);
        free(p);
}

/* A random value up to `spread`, so that hosts that started together do not send their heartbeats together. */
static int64_t roll(int64_t spread)
{
        uint16_t dice;
        random_bytes(&dice, sizeof dice);
        return spread / UINT16_MAX * dice;
}

/* Plans the next heartbeat within ten percent of the pace. */
static void plan_heartbeat(struct presence *p)
{
        int64_t spread = p->pace.ns / 10;
        timer_start(p->heartbeat, (struct duration){ p->pace.ns - spread + roll(spread * 2) });
}

static void on_heartbeat(void *ctx)
{
        struct presence *p = ctx;
        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;
        Cteleport__V1__PresenceUp__Heartbeat beat = CTELEPORT__V1__PRESENCE_UP__HEARTBEAT__INIT;
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        put_now(p, &now);
        beat.now = &now;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HEARTBEAT;
        up.heartbeat = &beat;
        rpc_client_send(p->call, &up.base);
        plan_heartbeat(p);
}

static void answer_ping(struct presence *p, const Cteleport__V1__PresenceDown__Ping *ping)
{
        Cteleport__V1__PresenceUp__Pong pong = CTELEPORT__V1__PRESENCE_UP__PONG__INIT;
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        pong.nonce = ping->nonce;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_PONG;
        up.pong = &pong;
        rpc_client_send(p->call, &up.base);
}

/* Seconds beyond any calendar would overflow nanoseconds; no skew is computed from such a clock. */
bool presence_skew(const Cteleport__V1__Timestamp *theirs, struct walltime now, struct duration *ret)
{
        if (theirs == NULL || theirs->seconds <= 0 || theirs->seconds >= INT32_MAX * (int64_t)4)
                return false;
        *ret = walltime_since(walltime_add(walltime_of_unix(theirs->seconds), (struct duration){ theirs->nanos }), now);
        return true;
}

static void take_welcome(struct presence *p, const Cteleport__V1__PresenceDown__Welcome *w)
{
        struct duration skew;
        bool has_skew = presence_skew(w->now, loop_wall(p->loop), &skew);
        int64_t pace_ms = w->heartbeat_ms;
        if (pace_ms < PACE_HEARTBEAT_MIN)
                pace_ms = PACE_HEARTBEAT_MIN;
        if (pace_ms > PACE_HEARTBEAT_MAX)
                pace_ms = PACE_HEARTBEAT_MAX;
        p->pace = MILLISECONDS(pace_ms);
        bool is_poll = w->is_poll && p->events->on_polled != NULL;
        if (p->at.state == AWAIT_WELCOME)
                conversation_enter(&p->at, is_poll ? CLOSED : PRESENT);
        if (!is_poll)
                plan_heartbeat(p);
        p->events->on_welcome(p->ctx, str_of(w->cluster), has_skew ? &skew : NULL);
        if (is_poll && p->events != NULL)
                p->events->on_polled(p->ctx, (struct duration){ p->pace.ns - roll(p->pace.ns / 10) });
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct presence *p = ctx;
        const Cteleport__V1__PresenceDown *down = (const Cteleport__V1__PresenceDown *)msg;
        if (p->events == NULL)
                return;
        switch (down->payload_case) {
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_WELCOME:
                take_welcome(p, down->welcome);
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PING:
                answer_ping(p, down->ping);
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_NOTICE:
                p->events->on_notice(p->ctx, str_of(down->notice->kind), str_of(down->notice->text));
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PROXIES:
                p->events->on_proxies(p->ctx, down->proxies);
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_AUTHORITIES:
                p->events->on_authorities(p->ctx, str_of(down->authorities->revision));
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_APPS:
                p->events->on_apps(p->ctx, down->apps);
                break;
        default:
                break; /* a newer server may send messages that this release does not know */
        }
}

static void on_done(void *ctx, struct error *err)
{
        struct presence *p = ctx;
        const struct presence_events *events = p->events;
        void *events_ctx = p->ctx;
        if (p->why != NULL) {
                error_free(err);
                err = p->why;
                p->why = NULL;
        }
        if (err == NULL)
                err = error_new(ERROR_UNAVAILABLE, "the Auth Service ended the presence stream");
        presence_free(p);
        if (events != NULL)
                events->on_end(events_ctx, err);
        else
                error_free(err);
}

static void on_expired(void *ctx)
{
        struct presence *p = ctx;
        p->why = error_new(ERROR_DEADLINE_EXCEEDED, "the Auth Service did not answer this host's hello in time");
        conversation_enter(&p->at, CLOSED);
        rpc_client_cancel(p->call);
}

static const struct rpc_client_events call_events = { .on_message = on_message, .on_done = on_done };

struct presence *presence_open(struct loop *l, struct rpc_client *client, Cteleport__V1__PresenceUp__Hello *hello,
                               const struct presence_events *events, void *ctx)
{
        struct presence *p = NEW(struct presence);
        *p = (struct presence){ .loop = l, .events = events, .ctx = ctx };
        conversation_init(&p->at, l, states, AWAIT_WELCOME, on_expired, p);
        p->heartbeat = timer_new(l, on_heartbeat, p);
        p->call = rpc_client_call(client,
                                  (struct rpc_client_call_options){
                                          .path = "/cteleport.v1.HostService/Presence",
                                          .response = &cteleport__v1__presence_down__descriptor,
                                  },
                                  &call_events, p);

        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        put_now(p, &now);
        hello->now = &now;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HELLO;
        up.hello = hello;
        rpc_client_send(p->call, &up.base);
        hello->now = NULL;
        return p;
}

/* False: the presence is not established, and nothing is sent. */
static bool report(struct presence *p, const Cteleport__V1__PresenceUp *up)
{
        if (p->at.state != PRESENT)
                return false;
        rpc_client_send(p->call, &up->base);
        return true;
}

bool presence_report_labels(struct presence *p, Cteleport__V1__PresenceUp__Labels *all)
{
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;

        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_LABELS;
        up.labels = all;
        return report(p, &up);
}

bool presence_report_apps(struct presence *p, char **names, size_t count)
{
        Cteleport__V1__PresenceUp__Apps all = CTELEPORT__V1__PRESENCE_UP__APPS__INIT;
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;

        all.names = names;
        all.n_names = count;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_APPS;
        up.apps = &all;
        return report(p, &up);
}

void presence_close(struct presence *p)
{
        if (p == NULL)
                return;
        p->events = NULL; /* the memory is freed when the call has ended */
        timer_stop(p->heartbeat);
        conversation_release(&p->at);
        rpc_client_cancel(p->call);
}
