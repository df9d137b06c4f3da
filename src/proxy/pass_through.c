/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/pass_through.h"

#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/acceptor.h"
#include "net/pass.h"
#include "proxy/proxy.h"

enum { PASS_WINDOW = 1 };
_Static_assert((int)CLIENT_HELLO_MAX + (int)PASS_THROUGH_HELLO_READ == (int)LIMIT_PASSED_HELLO,
               "the product of connections that are passed through holds");
_Static_assert((int)LIMIT_PASSED_HELLO + (int)ACCEPTED_RECORD_MAX + (int)PASS_THROUGH_HELLO_READ == (int)LIMIT_PASSED_UPGRADED,
               "the product of those inside upgraded connections holds");

struct pass_through {
        struct proxy *proxy;
        struct accepted *client;
        void (*done)(void *ctx);
        void *ctx;
        struct stream *outside; /* NULL while the splice owns it */
        struct dial *dial;
        struct splice *splice;
        uint8_t ticket[PASS_TICKET_SIZE]; /* issued by auth for this connection */
        bool has_ticket;
        bool is_counted;
        bool is_announcing; /* the call to auth is open, and its callback is due */
        bool is_over;
        bool is_reported; /* done() was called */
};

/* ---- end of the connection ------------------------------------------------------------------------- */

static void report_done(void *ctx)
{
        struct pass_through *t = ctx;

        t->is_reported = true;
        t->done(t->ctx);
        if (!t->is_announcing)
                free(t);
}

/* Ends the connection; only the call to auth may still be open. */
static void end(struct pass_through *t)
{
        t->is_over = true;
        stream_close(t->outside);
        t->outside = NULL;
        if (t->is_counted)
                sources_leave(&t->proxy->sources, SOURCE_PASSED, t->client->peer);
        loop_defer(&t->proxy->loop, report_done, t);
}

void pass_through_cancel(struct pass_through *t)
{
        if (t->is_over)
                return;
        if (t->dial != NULL)
                dial_cancel(t->dial);
        else if (t->splice != NULL)
                splice_cancel(t->splice);
        else
                end(t);
}

/* ---- the connection to auth ------------------------------------------------------------------------ */

static void on_passed(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        struct pass_through *t = ctx;

        (void)a_to_b;
        (void)b_to_a;
        t->splice = NULL;
        end(t);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct pass_through *t = ctx;
        struct loop *l = &t->proxy->loop;

        t->dial = NULL;
        if (err != NULL) {
                log_debug("A connection could not be passed to the Auth Service", LOG_C("peer", t->client->peer), LOG_ERR(err));
                error_free(err);
                end(t);
                return;
        }
        struct stream *outside = t->outside, *inside = socket_stream(l, fd);
        t->outside = NULL;
        if (!t->client->is_carried) /* otherwise its reads stay as small as at its beginning */
                accepted_limit_reads(t->client, LIMIT_PASSED_READ);
        socket_stream_limit_reads(inside, LIMIT_PASSED_READ);
        if (t->has_ticket) {
                stream_write(inside, STR(PASS_MAGIC));
                stream_write(inside, str_of_bytes(t->ticket, sizeof t->ticket));
        }
        t->splice = splice_start(l, outside, inside, PASS_WINDOW, on_passed, t);
}

static void dial_auth(struct pass_through *t)
{
        t->dial = dial_start(&t->proxy->loop, str_of(t->proxy->auth_address), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, t);
}

/* ---- the ticket ------------------------------------------------------------------------------------ */

/* Without a ticket auth counts the connection for the address of this proxy, which has a low limit. */
static void on_announced(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct pass_through *t = ctx;
        const Cteleport__V1__PassResponse *answer = (const Cteleport__V1__PassResponse *)msg;

        t->is_announcing = false;
        if (t->is_over) {
                error_free(err);
                if (t->is_reported)
                        free(t);
                return;
        }
        if (err != NULL && err->code != ERROR_UNIMPLEMENTED && err->code != ERROR_UNAVAILABLE) {
                log_debug("A connection could not be announced to the Auth Service", LOG_C("peer", t->client->peer), LOG_ERR(err));
                error_free(err);
                end(t);
                return;
        }
        error_free(err);
        t->has_ticket = answer != NULL && answer->ticket.len == sizeof t->ticket;
        if (t->has_ticket)
                memcpy(t->ticket, answer->ticket.data, sizeof t->ticket);
        dial_auth(t);
}

static void announce(struct pass_through *t, struct rpc_client *auth)
{
        Cteleport__V1__PassRequest request = CTELEPORT__V1__PASS_REQUEST__INIT;

        t->is_announcing = true;
        request.remote_addr = t->client->peer;
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.PassService/Announce",
                                                           .response = &cteleport__v1__pass_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_CONNECT) },
                         &request.base, on_announced, t);
}

struct pass_through *pass_through_start(struct proxy *p, struct stream *s, struct accepted *client, void (*done)(void *ctx), void *ctx)
{
        struct rpc_client *auth = p->upstream == NULL ? NULL : upstream_client(p->upstream);
        struct pass_through *t = NEW(struct pass_through);

        *t = (struct pass_through){ .proxy = p, .outside = s, .client = client, .done = done, .ctx = ctx };
        t->is_counted = p->auth_address != NULL && sources_enter(&p->sources, SOURCE_PASSED, client->peer);
        if (p->auth_address != NULL && !t->is_counted)
                log_debug("A connection was not passed to the Auth Service: too many are open", LOG_C("peer", client->peer));
        if (!t->is_counted)
                end(t);
        else if (auth == NULL)
                dial_auth(t);
        else
                announce(t, auth);
        return t;
}
