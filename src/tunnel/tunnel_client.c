/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's end of a tunnel, which opens streams.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/grpc.h"
#include "rpc/status.h"
#include "tunnel/tunnel_internal.h"

struct tunnel {
        struct tunnel_end end;
        void (*on_ready)(void *ctx), (*on_leaving)(void *ctx); /* NULL: not wanted, or called */
        bool is_ready, is_left; /* SETTINGS, GOAWAY were received */
};

struct tunnel_dial {
        struct tunnel_stream *stream;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        int64_t status;       /* 0: no answer */
        struct buf refusal;   /* the agent's error message */
        struct error *failure;
        bool is_answered;     /* the headers are complete */
};

/* ---- answers ------------------------------------------------------------------------------------------------- */

/* The error of a dial; NULL: the agent has accepted. */
static struct error *verdict(struct tunnel_dial *d)
{
        struct error *err = d->failure;

        d->failure = NULL;
        if (err != NULL || (d->is_answered && d->status == 200))
                return err;
        if (d->is_answered)
                return status_to_error(tunnel_code_of(d->status), buf_str(&d->refusal));
        err = d->stream->broken; /* the stream was closed without an answer */
        d->stream->broken = NULL;
        return err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the node did not answer");
}

static void report_dial(struct tunnel_end *e UNUSED, struct tunnel_stream *s)
{
        struct tunnel_dial *d = s->dial;

        if (!d->is_answered && d->failure == NULL && s->end != NULL)
                return; /* data arrived before the answer: it waits */
        struct error *err = verdict(d);

        s->dial = NULL;
        if (err != NULL)
                tunnel_stream_abandon(s);
        d->done(d->ctx, err == NULL ? &s->stream : NULL, err);
        buf_release(&d->refusal);
        free(d);
}

/* err is owned; if called again, the first error stays. */
static void fail(struct tunnel_dial *d, struct error *err)
{
        if (d->failure != NULL)
                error_free(err);
        else
                d->failure = err;
        tunnel_stream_note(d->stream);
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void on_header(struct h2 *h, int32_t id, struct str name, struct str value)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s == NULL || s->dial == NULL || s->dial->is_answered)
                return;
        if (str_equal(name, STR(":status"))) {
                error_free(parse_int(value, 100, 999, "the HTTP status", &s->dial->status)); /* nghttp2 has checked it */
        } else if (str_equal(name, STR("cteleport-error"))) {
                buf_clear(&s->dial->refusal);
                grpc_put_percent_decoded(&s->dial->refusal, str_slice(value, 0, 3 * STATUS_TEXT_MAX));
        }
}

static void on_headers(struct h2 *h, int32_t id)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s == NULL || s->dial == NULL || s->dial->status < 200)
                return;
        s->dial->is_answered = true;
        tunnel_stream_note(s);
}

/* The agent has not processed the request: another tunnel may be tried (RFC 9113, 8.7). */
static struct error *agent_leaves(void)
{
        return error_for(error_new(ERROR_UNAVAILABLE, "the node is about to leave this tunnel"), REASON_CONNECTION);
}

static struct error *reset_by_agent(uint32_t error_code)
{
        if (error_code == NGHTTP2_REFUSED_STREAM)
                return agent_leaves();
        return error_new(ERROR_UNAVAILABLE, "the node broke the connection off: %s", nghttp2_http2_strerror(error_code));
}

static void on_stream_end(struct h2 *h, int32_t id, uint32_t error_code)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s != NULL)
                tunnel_stream_leave(s, s->is_read_ended ? NULL : reset_by_agent(error_code));
}

static void on_not_begun(struct h2 *h, int32_t id)
{
        struct tunnel_end *e = CONTAINER_OF(h, struct tunnel_end, h2);

        for (struct tunnel_stream *s = e->streams; s != NULL; s = s->next) {
                if (s->id != id)
                        continue;
                tunnel_stream_leave(s, agent_leaves());
                return;
        }
}

/* The agent has accepted the tunnel: a server sends SETTINGS first (RFC 9113, 3.4). */
static void on_settings(struct h2 *h)
{
        struct tunnel *t = CONTAINER_OF(h, struct tunnel, end.h2);

        t->is_ready = true;
        h2_request_turn(h);
}

static void on_goaway(struct h2 *h)
{
        struct tunnel *t = CONTAINER_OF(h, struct tunnel, end.h2);

        t->is_left = true;
        h2_request_turn(h);
}

/* Calls *callback once if `is_due`; it may close the tunnel. */
static void report(struct tunnel *t, bool is_due, void (**callback)(void *ctx))
{
        void (*call)(void *ctx) = *callback;

        if (!is_due || call == NULL || t->end.is_closed)
                return;
        *callback = NULL;
        call(t->end.ctx);
}

static void on_turn(struct h2 *h)
{
        struct tunnel *t = CONTAINER_OF(h, struct tunnel, end.h2);

        report(t, t->is_ready, &t->on_ready);
        report(t, t->is_left, &t->on_leaving);
        end_on_turn(h);
}

static const struct h2_events client_events = {
        .on_header = on_header,
        .on_headers = on_headers,
        .on_data = end_on_data,
        .on_last = end_on_last,
        .on_stream_end = on_stream_end,
        .on_not_begun = on_not_begun,
        .on_settings = on_settings,
        .on_goaway = on_goaway,
        .on_turn = on_turn,
        .on_received = on_turn,
        .put_data = end_put_data,
        .on_time = end_on_time,
        .on_end = end_on_end,
};

/* ---- the tunnel ---------------------------------------------------------------------------------------------------- */

struct tunnel *tunnel_new(struct loop *l, struct stream *tls, void (*on_end_reported)(void *ctx, struct error *err), void *ctx)
{
        struct tunnel *t = NEW(struct tunnel);

        *t = (struct tunnel){ .end.report = report_dial, .end.on_end = on_end_reported, .end.ctx = ctx };
        end_init(&t->end, l, tls, &client_events, tunnel_h2_options(false));
        return t;
}

void tunnel_watch(struct tunnel *t, void (*ready)(void *ctx), void (*leaving)(void *ctx))
{
        t->on_ready = ready;
        t->on_leaving = leaving;
        h2_request_turn(&t->end.h2);
}

void tunnel_close(struct tunnel *t)
{
        if (t != NULL)
                end_close(&t->end);
}

void tunnel_drain(struct tunnel *t)
{
        end_drain(&t->end);
}

/* ---- dialling -------------------------------------------------------------------------------------------------------- */

static void submit(struct tunnel_stream *s, const struct tunnel_request *request)
{
        struct h2 *h = &s->end->h2;
        nghttp2_nv headers[] = {
                H2_CONST_HEADER(":method", "CONNECT"),
                H2_HEADER(":authority", request->host_id),
                H2_HEADER("cteleport-service", request->service),
                H2_HEADER("cteleport-kind", request->kind),
                H2_HEADER("cteleport-name", request->name),
                H2_HEADER("cteleport-connection", request->connection_id),
                H2_HEADER("cteleport-client-addr", request->client_addr),
                H2_HEADER("cteleport-user", request->user),
        };

        s->id = nghttp2_submit_request(h->session, NULL, headers, ARRAY_LEN(headers), &tunnel_stream_source, s);
        if (s->id < 0) /* stream numbers are exhausted, after 2^30 streams */
                fail(s->dial, error_new(ERROR_UNAVAILABLE, "no more connections in this tunnel: %s", nghttp2_strerror(s->id)));
        h2_wants(h);
}

struct tunnel_dial *tunnel_connect(struct tunnel *t, const struct tunnel_request *request,
                                   void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct tunnel_dial *d = NEW(struct tunnel_dial);

        *d = (struct tunnel_dial){ .done = done, .ctx = ctx, .refusal = BUF_MAX(STATUS_TEXT_MAX) };
        d->stream = tunnel_stream_new(&t->end, 0);
        d->stream->dial = d;
        if (t->end.is_draining || t->end.h2.is_over)
                fail(d, error_for(error_new(ERROR_UNAVAILABLE, "the tunnel to the node is being closed"), REASON_CONNECTION));
        else
                submit(d->stream, request);
        return d;
}

void tunnel_connect_cancel(struct tunnel_dial *d)
{
        fail(d, error_new(ERROR_CANCELLED, "the connection was given up"));
}
