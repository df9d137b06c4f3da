/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report_stream.h"

#include <stdlib.h>

#include "agent/agent.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

/* An event that was reported, and is not known to be durable. */
struct reported {
        struct reported *next;
        uint64_t seq;
        char *bytes; /* a ReportUp message with its seq */
        size_t len;
        void (*acknowledged)(void *ctx, struct error *err);
        void *ctx;
};

/* A request without an answer, which is sent again after a loss. */
struct requested {
        struct requested *next;
        Cteleport__V1__ReportRequest *message; /* a copy */
};

struct report_stream {
        struct agent *agent;
        size_t *pending_bytes; /* of all report streams of the process */
        const struct report_events *events;
        void *ctx;
        char *connection_id, *client_addr;
        struct rpc_client_call *call; /* NULL: lost */
        bool is_connecting;           /* a client was requested */
        bool has_begun;               /* a stream has begun before, so the next one resumes */
        bool is_refused, is_finishing, is_finish_reported, is_freed;
        struct timer *retry;
        struct backoff backoff;

        uint64_t last_seq;
        struct reported *reported, **reported_end;
        size_t reported_count, reported_bytes;
        struct reported *unsent;             /* the first event that this stream has not carried; NULL: none */
        size_t sent_count, sent_bytes;   /* sent on this stream, not acknowledged */
        struct requested *requested, **requested_end;
        Cteleport__V1__ReportAccepted *accepted; /* a copy; NULL: no login was accepted yet */
};

/* Copies a message of this process by packing and unpacking it, which cannot fail. */
static ProtobufCMessage *copy_message(const ProtobufCMessage *message)
{
        size_t len = protobuf_c_message_get_packed_size(message);
        AUTO_MEM char *bytes = mem_alloc(len + 1);

        protobuf_c_message_pack(message, (uint8_t *)bytes);
        return protobuf_c_message_unpack(message->descriptor, NULL, len, (const uint8_t *)bytes);
}

/* ---- the memory ------------------------------------------------------------------------------------------- */

static void reported_drop_first(struct report_stream *a)
{
        struct reported *t = a->reported;

        a->reported = t->next;
        if (a->reported == NULL)
                a->reported_end = &a->reported;
        a->reported_count--;
        a->reported_bytes -= t->len;
        *a->pending_bytes -= t->len;
        if (a->unsent == t) { /* acknowledged before it was sent again */
                a->unsent = t->next;
        } else {
                a->sent_count--;
                a->sent_bytes -= t->len;
        }
        free(t->bytes);
        free(t);
}

static void requested_drop_first(struct report_stream *a)
{
        struct requested *q = a->requested;

        a->requested = q->next;
        if (a->requested == NULL)
                a->requested_end = &a->requested;
        cteleport__v1__report_request__free_unpacked(q->message, NULL);
        free(q);
}

/* Frees the stream when its call has ended and the requested client has arrived. The owner gets no event for either. */
static void free_when_quiet(struct report_stream *a)
{
        if (!a->is_freed || a->call != NULL || a->is_connecting)
                return;
        while (a->requested != NULL)
                requested_drop_first(a);
        if (a->accepted != NULL)
                cteleport__v1__report_accepted__free_unpacked(a->accepted, NULL);
        free(a->connection_id);
        free(a->client_addr);
        free(a);
}

void report_stream_free(struct report_stream *a)
{
        if (a == NULL)
                return;
        a->is_freed = true;
        timer_free(a->retry);
        while (a->reported != NULL) {
                void (*acknowledged)(void *ctx, struct error *err) = a->reported->acknowledged;
                void *ctx = a->reported->ctx;

                reported_drop_first(a);
                if (acknowledged != NULL)
                        acknowledged(ctx, error_new(ERROR_CANCELLED, "the connection has ended"));
        }
        if (a->call != NULL)
                rpc_client_cancel(a->call);
        free_when_quiet(a);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void send_begin(struct report_stream *a)
{
        Cteleport__V1__ReportBegin begin = CTELEPORT__V1__REPORT_BEGIN__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        begin.connection_id = a->connection_id;
        begin.client_addr = a->client_addr;
        begin.is_resumed = a->has_begun;
        if (a->has_begun)
                begin.accepted = a->accepted;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_BEGIN;
        up.begin = &begin;
        rpc_client_send(a->call, &up.base);
}

static void send_requested(struct report_stream *a, const struct requested *q)
{
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_REQUEST;
        up.request = q->message;
        rpc_client_send(a->call, &up.base);
}

/* Sends as many events as the cluster accepts unacknowledged; each acknowledgement allows further ones. */
static void send_reported(struct report_stream *a)
{
        while (a->call != NULL && a->unsent != NULL && a->sent_count < LIMIT_SSH_REPORTING &&
               a->sent_bytes < LIMIT_SSH_REPORTING_BYTES) {
                struct reported *t = a->unsent;
                Cteleport__V1__ReportUp *up = cteleport__v1__report_up__unpack(NULL, t->len, (const uint8_t *)t->bytes);

                a->unsent = t->next;
                a->sent_count++;
                a->sent_bytes += t->len;
                rpc_client_send(a->call, &up->base); /* not NULL: packed by this module */
                cteleport__v1__report_up__free_unpacked(up, NULL);
        }
}

/* Sends all events on a new stream, which has carried none yet. */
static void send_all_again(struct report_stream *a)
{
        a->unsent = a->reported;
        a->sent_count = a->sent_bytes = 0;
        send_reported(a);
}

/* Ends the stream when all events are acknowledged: after the half-close, the server ends its side. */
static void finish_if_due(struct report_stream *a)
{
        if (!a->is_finishing || a->is_finish_reported || a->is_refused || a->reported != NULL)
                return;
        a->is_finish_reported = true;
        if (a->call != NULL)
                rpc_client_half_close(a->call);
        a->events->on_finished(a->ctx);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static void refuse(struct report_stream *a, struct error *err)
{
        if (a->is_refused || a->is_finish_reported) {
                error_free(err);
                return;
        }
        a->is_refused = true;
        timer_stop(a->retry);
        a->events->on_refused(a->ctx, err);
}

static void take_ack(struct report_stream *a, uint64_t seq)
{
        if (seq > 0)
                backoff_reset(&a->backoff);
        while (!a->is_freed && a->reported != NULL && a->reported->seq <= seq) {
                void (*acknowledged)(void *ctx, struct error *err) = a->reported->acknowledged;
                void *ctx = a->reported->ctx;

                reported_drop_first(a);
                if (acknowledged != NULL)
                        acknowledged(ctx, NULL);
        }
        if (a->is_freed)
                return;
        send_reported(a);
        finish_if_due(a);
}

static void take_decision(struct report_stream *a, const Cteleport__V1__ReportDecision *decision)
{
        struct str certificate = pb_str(decision->certificate);

        backoff_reset(&a->backoff);
        if (a->requested != NULL && str_equal(pb_str(a->requested->message->certificate), certificate))
                requested_drop_first(a);
        a->events->on_decision(a->ctx, decision);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct report_stream *a = ctx;
        const Cteleport__V1__ReportDown *down = (const Cteleport__V1__ReportDown *)msg;

        if (a->is_freed || a->is_refused)
                return;
        switch (down->payload_case) {
        case CTELEPORT__V1__REPORT_DOWN__PAYLOAD_DECISION:
                take_decision(a, down->decision);
                break;
        case CTELEPORT__V1__REPORT_DOWN__PAYLOAD_ACK:
                take_ack(a, down->ack->seq);
                break;
        case CTELEPORT__V1__REPORT_DOWN__PAYLOAD_TERMINATE:
                a->events->on_terminate(a->ctx, str_of(down->terminate->reason));
                break;
        default:
                break; /* a newer server may send messages that this release does not know */
        }
}

static void lost(struct report_stream *a, struct error *err)
{
        if (a->is_freed || a->is_refused || a->is_finish_reported) {
                error_free(err);
                free_when_quiet(a);
                return;
        }
        if (err != NULL && agent_is_final(err, ERROR_UNAUTHENTICATED)) { /* or this host was removed: no user may stay on it */
                refuse(a, err);
                return;
        }
        log_debug("The cluster cannot be reached with the events of a connection", LOG_C("connection", a->connection_id),
                  LOG_ERR(err));
        error_free(err);
        timer_start(a->retry, backoff_next(&a->backoff));
}

static void on_done(void *ctx, struct error *err)
{
        struct report_stream *a = ctx;

        a->call = NULL;
        lost(a, err == NULL ? error_new(ERROR_UNAVAILABLE, "the Auth Service ended the stream") : err);
}

static const struct rpc_client_events call_events = { .on_message = on_message, .on_done = on_done };

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct report_stream *a = ctx;

        a->is_connecting = false;
        if (err != NULL || a->is_freed || a->is_refused) {
                lost(a, err);
                return;
        }
        a->call = rpc_client_call(client,
                                  (struct rpc_client_call_options){
                                          .path = "/cteleport.v1.SessionService/Report",
                                          .response = &cteleport__v1__report_down__descriptor,
                                  },
                                  &call_events, a);
        send_begin(a);
        a->has_begun = true;
        send_all_again(a);
        for (const struct requested *q = a->requested; q != NULL; q = q->next)
                send_requested(a, q);
}

static void connect_now(void *ctx)
{
        struct report_stream *a = ctx;

        if (a->call != NULL || a->is_connecting || a->is_refused)
                return;
        a->is_connecting = true;
        agent_request_auth(a->agent, on_client, a);
}

/* ---- functions for the connection ------------------------------------------------------------------------------ */

struct report_stream *report_stream_new(struct agent *agent, struct str connection_id, struct str client_addr,
                          const struct report_events *events, void *ctx)
{
        struct report_stream *a = NEW(struct report_stream);

        *a = (struct report_stream){
                .agent = agent,
                .pending_bytes = agent_pending_reports(agent),
                .events = events,
                .ctx = ctx,
                .connection_id = str_dup(connection_id),
                .client_addr = str_dup(client_addr),
                .backoff = { .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_REPORT_MAX) },
        };
        a->reported_end = &a->reported;
        a->requested_end = &a->requested;
        a->retry = timer_new(agent_loop(agent), connect_now, a);
        connect_now(a);
        return a;
}

void report_stream_request(struct report_stream *a, const Cteleport__V1__ReportRequest *request)
{
        struct requested *q = NEW(struct requested);

        *q = (struct requested){ .message = (Cteleport__V1__ReportRequest *)copy_message(&request->base) };
        *a->requested_end = q;
        a->requested_end = &q->next;
        if (a->call != NULL)
                send_requested(a, q);
}

static void on_overflow(void *ctx)
{
        struct report_stream *a = ctx;

        refuse(a, error_new(ERROR_RESOURCE_EXHAUSTED, "the events of this connection could not be reported to the cluster for too long"));
}

void report_stream_send(struct report_stream *a, const Cteleport__V1__ReportUp *up, void (*acknowledged)(void *ctx, struct error *err),
                 void *ctx)
{
        Cteleport__V1__ReportUp numbered = *up;
        struct reported *t = NEW(struct reported);

        numbered.seq = ++a->last_seq;
        t->seq = numbered.seq;
        t->len = cteleport__v1__report_up__get_packed_size(&numbered);
        t->bytes = mem_alloc(t->len);
        cteleport__v1__report_up__pack(&numbered, (uint8_t *)t->bytes);
        t->acknowledged = acknowledged;
        t->ctx = ctx;
        *a->reported_end = t;
        a->reported_end = &t->next;
        a->reported_count++;
        a->reported_bytes += t->len;
        *a->pending_bytes += t->len;
        if (a->unsent == NULL)
                a->unsent = t;
        if (!a->is_refused)
                send_reported(a);
        bool beyond_share = *a->pending_bytes > LIMIT_SSH_UNACKED_ALL && a->reported_bytes > LIMIT_SSH_UNACKED_ALL / LIMIT_SSH_CONNECTIONS;
        if (a->reported_count > LIMIT_SSH_UNACKED || a->reported_bytes > LIMIT_SSH_UNACKED_BYTES || beyond_share)
                on_overflow(a);
}

void report_stream_accepted(struct report_stream *a, const Cteleport__V1__ReportAccepted *accepted)
{
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        if (a->accepted != NULL)
                cteleport__v1__report_accepted__free_unpacked(a->accepted, NULL);
        a->accepted = (Cteleport__V1__ReportAccepted *)copy_message(&accepted->base);
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED;
        up.accepted = a->accepted;
        report_stream_send(a, &up, NULL, NULL);
}

void report_stream_finish(struct report_stream *a)
{
        a->is_finishing = true;
        finish_if_due(a);
}
