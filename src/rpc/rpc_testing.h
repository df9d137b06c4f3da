/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of gRPC: a service that echoes, streams and records its calls, on a loop with a clock that the test sets.
 */
#ifndef RPC_RPC_TESTING_H
#define RPC_RPC_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/net_testing.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "wire_test.pb-c.h"

typedef Cteleport__Test__Everything Everything;

enum { ECHO_MAX = 64 * KiB };

/* The service and its recorded calls. Its methods get it with rpc_call_caller(). */
struct service {
        struct fake_clock clock;
        struct loop loop;
        struct rpc_server_conn *conn; /* NULL once closed */
        bool is_open_to_unauthenticated;
        struct error *refusal; /* the error that the guard returns, or NULL */
        int guarded, opened, messages, half_closes, gone, closed;
        char last_text[64];
        char metadata[64];            /* "version" of the last call */
        struct rpc_call *call;        /* the last one opened and not finished */
        bool is_slow;                 /* does not answer automatically */
        bool closes_on_message;       /* closes the connection in a callback */
        struct budget memory;         /* total 0: none */
        struct budget_holder *holder;
};

static inline Everything everything_of(const char *text)
{
        Everything msg = CTELEPORT__TEST__EVERYTHING__INIT;

        msg.text = pb_text(text);
        return msg;
}

static inline void service_saw(struct service *s, struct rpc_call *call)
{
        struct str version = rpc_call_metadata(call, "version");

        s->opened++;
        s->call = call;
        snprintf(s->metadata, sizeof s->metadata, "%.*s", STR_ARG(version));
}

static inline void service_finish(struct service *s, struct error *err)
{
        struct rpc_call *call = s->call;

        s->call = NULL;
        rpc_call_finish(call, err);
}

static inline void service_on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct rpc_call *call = ctx;
        struct service *s = rpc_call_caller(call);
        const Everything *sent = (const Everything *)msg;

        s->messages++;
        snprintf(s->last_text, sizeof s->last_text, "%s", sent->text);
        if (s->closes_on_message)
                rpc_server_close(s->conn);
        if (!s->is_slow)
                rpc_call_send(call, msg);
        if (strcmp(sent->text, "bye") == 0)
                service_finish(s, NULL);
}

static inline void service_on_half_close(void *ctx)
{
        struct service *s = rpc_call_caller(ctx);

        s->half_closes++;
        if (!s->is_slow)
                service_finish(s, NULL);
}

static inline void service_on_gone(void *ctx)
{
        struct service *s = rpc_call_caller(ctx);

        s->gone++;
        s->call = NULL;
}

static const struct rpc_call_events service_events = { service_on_message, service_on_half_close, service_on_gone };

static inline void service_chat(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct service *s = rpc_call_caller(call);

        assert_null(first);
        service_saw(s, call);
        rpc_call_listen(call, &service_events, call);
}

static inline void service_echo(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct service *s = rpc_call_caller(call);
        const Everything *sent = (const Everything *)first;

        service_saw(s, call);
        s->messages++;
        rpc_call_listen(call, &service_events, call);
        snprintf(s->last_text, sizeof s->last_text, "%s", sent->text);
        if (s->is_slow)
                return;
        if (strcmp(sent->text, "refuse") == 0) {
                service_finish(s, error_because(error_hint(error_new(ERROR_PERMISSION_DENIED, "grün is 100%% refused"),
                                                           "ask for blue\nor red"),
                                                error_new(ERROR_INTERNAL, "a secret cause")));
                return;
        }
        s->call = NULL;
        rpc_call_reply(call, first);
}

static const struct rpc_method method_echo = {
        .path = "/cteleport.test.Service/Echo",
        .request = &cteleport__test__everything__descriptor,
        .request_max = ECHO_MAX,
        .open = service_echo,
};
static const struct rpc_method method_chat = {
        .path = "/cteleport.test.Service/Chat",
        .request = &cteleport__test__everything__descriptor,
        .request_max = ECHO_MAX,
        .is_client_stream = true,
        .open = service_chat,
};
static const struct rpc_method *const service_methods[] = { &method_echo, &method_chat, NULL };

static inline struct error *service_guard(void *caller, const struct rpc_method *method UNUSED)
{
        struct service *s = caller;

        s->guarded++;
        return s->refusal == NULL ? NULL : error_copy(s->refusal);
}

static inline void service_closed(void *caller)
{
        struct service *s = caller;

        s->closed++;
        s->conn = NULL;
        budget_drop(s->holder);
        s->holder = NULL;
}

static inline void service_init(struct service *s)
{
        *s = (struct service){ 0 };
        fake_clock_init(&s->clock, 1700000000);
        assert_null(loop_init(&s->loop, &s->clock.clock));
}

/* Serves at one end of a socketpair and returns the other. */
static inline struct stream *service_serve(struct service *s)
{
        struct stream *ours, *theirs;

        connected_pair(&s->loop, &ours, &theirs);
        if (s->memory.total > 0)
                s->holder = budget_hold(&s->memory, STR("192.0.2.1"));
        s->conn = rpc_serve(&s->loop, ours,
                            (struct rpc_server_options){
                                    .methods = service_methods,
                                    .guard = service_guard,
                                    .caller = s,
                                    .on_closed = service_closed,
                                    .peer = "192.0.2.1:4711",
                                    .is_open_to_unauthenticated = s->is_open_to_unauthenticated,
                                    .memory = s->holder,
                            });
        return theirs;
}

static inline void service_release(struct service *s)
{
        if (s->conn != NULL)
                rpc_server_close(s->conn);
        loop_release(&s->loop);
        budget_release(&s->memory);
        error_free(s->refusal);
}

#endif
