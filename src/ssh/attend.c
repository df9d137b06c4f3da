/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/attend.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "ssh/ssh_service.h"

/* Told, and not known to be durable. */
struct told {
        struct told *next;
        uint64_t seq;
        char *bytes; /* an AttendUp with its seq */
        size_t len;
        void (*acknowledged)(void *ctx, struct error *err);
        void *ctx;
};

/* Asked, and not answered: asked again after a loss. */
struct asked {
        struct asked *next;
        char *login;
        struct buf certificate, nonce;
};

struct attend {
        struct ssh_service *service;
        const struct attend_events *events;
        void *ctx;
        char *connection_id, *client_addr;
        struct rpc_client_call *call; /* NULL: lost */
        bool is_connecting;           /* waits for a client */
        bool has_begun;               /* at least once: the next stream resumes */
        bool is_refused, is_finishing, is_finish_told, is_freed;
        struct timer *retry;
        struct backoff backoff;

        uint64_t last_seq;
        struct told *told, **told_end;
        size_t told_count, told_bytes;
        struct told *unsent;             /* the first that this stream has not carried; NULL: none */
        size_t sent_count, sent_bytes;   /* on their way */
        struct asked *asked, **asked_end;
        char *accepted_login; /* NULL: nothing was accepted yet */
        struct buf accepted;  /* its certificate */
};

static ProtobufCBinaryData bytes_of(struct str s)
{
        return (ProtobufCBinaryData){ s.len, (uint8_t *)(uintptr_t)s.ptr };
}

/* ---- the memory ------------------------------------------------------------------------------------------- */

static void told_drop_first(struct attend *a)
{
        struct told *t = a->told;

        a->told = t->next;
        if (a->told == NULL)
                a->told_end = &a->told;
        a->told_count--;
        a->told_bytes -= t->len;
        a->service->untold_bytes -= t->len;
        if (a->unsent == t) { /* acknowledged before it was sent again */
                a->unsent = t->next;
        } else {
                a->sent_count--;
                a->sent_bytes -= t->len;
        }
        free(t->bytes);
        free(t);
}

static void asked_drop_first(struct attend *a)
{
        struct asked *q = a->asked;

        a->asked = q->next;
        if (a->asked == NULL)
                a->asked_end = &a->asked;
        buf_release(&q->certificate);
        buf_release(&q->nonce);
        free(q->login);
        free(q);
}

/* Waits for its call to end and for the client it asked for; nobody hears of either. */
static void free_when_quiet(struct attend *a)
{
        if (!a->is_freed || a->call != NULL || a->is_connecting)
                return;
        while (a->asked != NULL)
                asked_drop_first(a);
        buf_release(&a->accepted);
        free(a->accepted_login);
        free(a->connection_id);
        free(a->client_addr);
        free(a);
}

void attend_free(struct attend *a)
{
        if (a == NULL)
                return;
        a->is_freed = true;
        timer_free(a->retry);
        while (a->told != NULL) {
                void (*acknowledged)(void *ctx, struct error *err) = a->told->acknowledged;
                void *ctx = a->told->ctx;

                told_drop_first(a);
                if (acknowledged != NULL)
                        acknowledged(ctx, error_new(ERROR_CANCELLED, "the connection has ended"));
        }
        if (a->call != NULL)
                rpc_client_cancel(a->call);
        free_when_quiet(a);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void send_begin(struct attend *a)
{
        Cteleport__V1__AttendBegin begin = CTELEPORT__V1__ATTEND_BEGIN__INIT;
        Cteleport__V1__AttendUp up = CTELEPORT__V1__ATTEND_UP__INIT;

        begin.connection_id = a->connection_id;
        begin.client_addr = a->client_addr;
        begin.is_resumed = a->has_begun;
        if (a->has_begun && a->accepted_login != NULL) {
                begin.certificate = bytes_of(buf_str(&a->accepted));
                begin.login = a->accepted_login;
        }
        up.payload_case = CTELEPORT__V1__ATTEND_UP__PAYLOAD_BEGIN;
        up.begin = &begin;
        rpc_client_send(a->call, &up.base);
}

static void send_asked(struct attend *a, const struct asked *q)
{
        Cteleport__V1__AttendAsk ask = CTELEPORT__V1__ATTEND_ASK__INIT;
        Cteleport__V1__AttendUp up = CTELEPORT__V1__ATTEND_UP__INIT;

        ask.certificate = bytes_of(buf_str(&q->certificate));
        ask.login = q->login;
        ask.nonce = bytes_of(buf_str(&q->nonce));
        up.payload_case = CTELEPORT__V1__ATTEND_UP__PAYLOAD_ASK;
        up.ask = &ask;
        rpc_client_send(a->call, &up.base);
}

/* As much as the cluster takes at once; the rest when it has acknowledged some of that. */
static void send_told(struct attend *a)
{
        while (a->call != NULL && a->unsent != NULL && a->sent_count < LIMIT_SSH_TELLING &&
               a->sent_bytes < LIMIT_SSH_TELLING_BYTES) {
                struct told *t = a->unsent;
                Cteleport__V1__AttendUp *up = cteleport__v1__attend_up__unpack(NULL, t->len, (const uint8_t *)t->bytes);

                a->unsent = t->next;
                a->sent_count++;
                a->sent_bytes += t->len;
                rpc_client_send(a->call, &up->base); /* we packed it */
                cteleport__v1__attend_up__free_unpacked(up, NULL);
        }
}

/* On a new stream nothing is on its way. */
static void send_all_again(struct attend *a)
{
        a->unsent = a->told;
        a->sent_count = a->sent_bytes = 0;
        send_told(a);
}

/* The server ends the stream when it has heard everything. */
static void finish_if_due(struct attend *a)
{
        if (!a->is_finishing || a->is_finish_told || a->is_refused || a->told != NULL)
                return;
        a->is_finish_told = true;
        if (a->call != NULL)
                rpc_client_half_close(a->call);
        a->events->on_finished(a->ctx);
}

/* ---- hearing ---------------------------------------------------------------------------------------------------- */

static void refuse(struct attend *a, struct error *err)
{
        if (a->is_refused || a->is_finish_told) {
                error_free(err);
                return;
        }
        a->is_refused = true;
        timer_stop(a->retry);
        a->events->on_refused(a->ctx, err);
}

static void take_ack(struct attend *a, uint64_t seq)
{
        if (seq > 0)
                backoff_reset(&a->backoff);
        while (!a->is_freed && a->told != NULL && a->told->seq <= seq) {
                void (*acknowledged)(void *ctx, struct error *err) = a->told->acknowledged;
                void *ctx = a->told->ctx;

                told_drop_first(a);
                if (acknowledged != NULL)
                        acknowledged(ctx, NULL);
        }
        if (a->is_freed)
                return;
        send_told(a);
        finish_if_due(a);
}

static void take_decision(struct attend *a, const Cteleport__V1__AttendDecision *decision)
{
        struct str certificate = str_of_bytes(decision->certificate.data, decision->certificate.len);

        backoff_reset(&a->backoff);
        if (a->asked != NULL && str_equal(buf_str(&a->asked->certificate), certificate))
                asked_drop_first(a);
        a->events->on_decision(a->ctx, decision);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct attend *a = ctx;
        const Cteleport__V1__AttendDown *down = (const Cteleport__V1__AttendDown *)msg;

        if (a->is_freed || a->is_refused)
                return;
        switch (down->payload_case) {
        case CTELEPORT__V1__ATTEND_DOWN__PAYLOAD_DECISION:
                take_decision(a, down->decision);
                break;
        case CTELEPORT__V1__ATTEND_DOWN__PAYLOAD_ACK:
                take_ack(a, down->ack->seq);
                break;
        case CTELEPORT__V1__ATTEND_DOWN__PAYLOAD_TERMINATE:
                a->events->on_terminate(a->ctx, str_of(down->terminate->reason));
                break;
        default:
                break; /* a newer server may say more than we understand */
        }
}

/* Whether another try cannot help: the cluster heard us, and wants none of it. */
static bool is_final(const struct error *err)
{
        if (error_is_for(err, REASON_CONNECTION)) /* the cluster has said nothing */
                return false;
        switch (err->code) {
        case ERROR_NOT_FOUND:
        case ERROR_PERMISSION_DENIED:
        case ERROR_FAILED_PRECONDITION:
        case ERROR_INVALID_ARGUMENT:
        case ERROR_UNIMPLEMENTED:
        case ERROR_UNAUTHENTICATED: /* this host was removed from the cluster: nobody may stay on it */
                return true;
        default:
                return false;
        }
}

static void lost(struct attend *a, struct error *err)
{
        if (a->is_freed || a->is_refused || a->is_finish_told) {
                error_free(err);
                free_when_quiet(a);
                return;
        }
        if (err != NULL && is_final(err)) {
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
        struct attend *a = ctx;

        a->call = NULL;
        lost(a, err == NULL ? error_new(ERROR_UNAVAILABLE, "the Auth Service ended the stream") : err);
}

static const struct rpc_client_events call_events = { .on_message = on_message, .on_done = on_done };

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct attend *a = ctx;

        a->is_connecting = false;
        if (err != NULL || a->is_freed || a->is_refused) {
                lost(a, err);
                return;
        }
        a->call = rpc_client_call(client,
                                  (struct rpc_client_call_options){
                                          .path = "/cteleport.v1.SessionService/Attend",
                                          .response = &cteleport__v1__attend_down__descriptor,
                                  },
                                  &call_events, a);
        send_begin(a);
        a->has_begun = true;
        send_all_again(a);
        for (const struct asked *q = a->asked; q != NULL; q = q->next)
                send_asked(a, q);
}

static void connect_now(void *ctx)
{
        struct attend *a = ctx;

        if (a->call != NULL || a->is_connecting || a->is_refused)
                return;
        a->is_connecting = true;
        ssh_auth_client(a->service, on_client, a);
}

/* ---- what the connection says ---------------------------------------------------------------------------------- */

struct attend *attend_new(struct ssh_service *s, struct str connection_id, struct str client_addr,
                          const struct attend_events *events, void *ctx)
{
        struct attend *a = NEW(struct attend);

        *a = (struct attend){
                .service = s,
                .events = events,
                .ctx = ctx,
                .connection_id = str_dup(connection_id),
                .client_addr = str_dup(client_addr),
                .backoff = { .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_ATTEND_MOST) },
                .accepted = BUF_MAX(CERT_MAX),
        };
        a->told_end = &a->told;
        a->asked_end = &a->asked;
        a->retry = timer_new(&s->loop, connect_now, a);
        connect_now(a);
        return a;
}

void attend_ask(struct attend *a, struct str certificate, struct str login, struct str nonce)
{
        struct asked *q = NEW(struct asked);

        *q = (struct asked){ .login = str_dup(login), .certificate = BUF_MAX(CERT_MAX), .nonce = BUF_MAX(KiB) };
        buf_put(&q->certificate, certificate);
        buf_put(&q->nonce, nonce);
        *a->asked_end = q;
        a->asked_end = &q->next;
        if (a->call != NULL)
                send_asked(a, q);
}

static void on_overflow(void *ctx)
{
        struct attend *a = ctx;

        refuse(a, error_new(ERROR_RESOURCE_EXHAUSTED, "the events of this connection could not be reported to the cluster for too long"));
}

void attend_tell(struct attend *a, const Cteleport__V1__AttendUp *up, void (*acknowledged)(void *ctx, struct error *err),
                 void *ctx)
{
        Cteleport__V1__AttendUp numbered = *up;
        struct told *t = NEW(struct told);

        numbered.seq = ++a->last_seq;
        t->seq = numbered.seq;
        t->len = cteleport__v1__attend_up__get_packed_size(&numbered);
        t->bytes = mem_alloc(t->len);
        cteleport__v1__attend_up__pack(&numbered, (uint8_t *)t->bytes);
        t->acknowledged = acknowledged;
        t->ctx = ctx;
        *a->told_end = t;
        a->told_end = &t->next;
        a->told_count++;
        a->told_bytes += t->len;
        a->service->untold_bytes += t->len;
        if (a->unsent == NULL)
                a->unsent = t;
        if (!a->is_refused)
                send_told(a);
        bool beyond_share = a->service->untold_bytes > LIMIT_SSH_UNTOLD_ALL && a->told_bytes > LIMIT_SSH_UNTOLD_ALL / LIMIT_SSH_CONNECTIONS;
        if (a->told_count > LIMIT_SSH_UNTOLD || a->told_bytes > LIMIT_SSH_UNTOLD_BYTES || beyond_share)
                on_overflow(a);
}

void attend_accepted(struct attend *a, struct str certificate, struct str login)
{
        Cteleport__V1__AttendAccepted accepted = CTELEPORT__V1__ATTEND_ACCEPTED__INIT;
        Cteleport__V1__AttendUp up = CTELEPORT__V1__ATTEND_UP__INIT;

        free(a->accepted_login);
        a->accepted_login = str_dup(login);
        buf_clear(&a->accepted);
        buf_put(&a->accepted, certificate);
        accepted.certificate = bytes_of(certificate);
        accepted.login = a->accepted_login;
        up.payload_case = CTELEPORT__V1__ATTEND_UP__PAYLOAD_ACCEPTED;
        up.accepted = &accepted;
        attend_tell(a, &up, NULL, NULL);
}

void attend_finish(struct attend *a)
{
        a->is_finishing = true;
        finish_if_due(a);
}
