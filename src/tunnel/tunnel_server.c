/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of a tunnel, which accepts or refuses streams.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "rpc/grpc.h"
#include "rpc/status.h"
#include "tunnel/tunnel_internal.h"

struct tunnel_server {
        struct tunnel_end end;
        const struct tunnel_server_events *events;
        bool is_drain_due, is_drain_reported;
};

/* The value of a request header. */
struct field {
        char text[LIMIT_NAME];
        size_t len;
};

struct tunnel_incoming {
        struct tunnel_stream *stream;
        struct field host_id, service, kind, name, connection_id, client_addr, user;
        bool is_connect;
        bool is_bad;   /* a value is longer than any that a proxy sends */
        bool is_whole; /* the headers are complete */
        bool is_reported;
};

/* ---- an incoming stream -------------------------------------------------------------------------------------------- */

static void on_begin(struct h2 *h, int32_t id)
{
        struct tunnel_stream *s = tunnel_stream_new(CONTAINER_OF(h, struct tunnel_end, h2), id);

        s->poll = NEW(struct tunnel_incoming);
        s->poll->stream = s;
        nghttp2_session_set_stream_user_data(h->session, id, s);
}

static struct str field_str(const struct field *f)
{
        return (struct str){ f->text, f->len };
}

/* NULL: the header is ignored. */
static struct field *field_of(struct tunnel_incoming *v, struct str name)
{
        const struct {
                const char *header;
                struct field *field;
        } fields[] = {
                { ":authority", &v->host_id },           { "cteleport-service", &v->service },
                { "cteleport-kind", &v->kind },          { "cteleport-name", &v->name },
                { "cteleport-connection", &v->connection_id }, { "cteleport-client-addr", &v->client_addr },
                { "cteleport-user", &v->user },
        };

        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
                if (str_equal(name, str_of(fields[i].header)))
                        return fields[i].field;
        return NULL;
}

static void on_header(struct h2 *h, int32_t id, struct str name, struct str value)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);
        struct tunnel_incoming *v = s == NULL ? NULL : s->poll;

        if (v == NULL || v->is_whole)
                return;
        if (str_equal(name, STR(":method")))
                v->is_connect = str_equal(value, STR("CONNECT"));
        struct field *f = field_of(v, name);

        if (f == NULL)
                return;
        if (value.len > sizeof f->text) {
                v->is_bad = true;
                return;
        }
        memcpy(f->text, value.ptr, value.len);
        f->len = value.len;
}

static void on_headers(struct h2 *h, int32_t id)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s == NULL || s->poll == NULL)
                return;
        s->poll->is_whole = true;
        tunnel_stream_note(s);
}

/* Ends the state of an incoming stream: it was answered, or needs no answer. */
static struct tunnel_stream *incoming_end(struct tunnel_incoming *v)
{
        struct tunnel_stream *s = v->stream;

        s->poll = NULL;
        free(v);
        return s;
}

static void report_incoming(struct tunnel_end *e, struct tunnel_stream *s)
{
        struct tunnel_incoming *v = s->poll;
        struct tunnel_server *t = CONTAINER_OF(e, struct tunnel_server, end);
        struct tunnel_request request = {
                .host_id = field_str(&v->host_id),
                .service = field_str(&v->service),
                .kind = field_str(&v->kind),
                .name = field_str(&v->name),
                .connection_id = field_str(&v->connection_id),
                .client_addr = field_str(&v->client_addr),
                .user = field_str(&v->user),
        };

        if (s->end == NULL) { /* the stream was closed before it was answered */
                if (v->is_reported && !t->end.is_closed)
                        t->events->on_gone(t->end.ctx, v);
                stream_close(&incoming_end(v)->stream);
                return;
        }
        if (!v->is_whole || v->is_reported)
                return;
        v->is_reported = true;
        if (!v->is_connect || v->is_bad || str_is_empty(request.connection_id))
                tunnel_refuse(v, error_new(ERROR_INVALID_ARGUMENT, "this is no request for a connection"));
        else if (t->end.is_closed || t->end.is_draining)
                tunnel_refuse(v, error_new(ERROR_UNAVAILABLE, "the node is leaving this tunnel"));
        else
                t->events->on_connect(t->end.ctx, v, &request);
}

/* Submits the answer, unless the stream was just closed. */
static void submit(struct tunnel_stream *s, const nghttp2_nv *headers, size_t count, const nghttp2_data_provider *source)
{
        if (s->end == NULL || s->end->h2.is_over)
                return;
        nghttp2_submit_response(s->end->h2.session, s->id, headers, count, source);
        h2_wants(&s->end->h2);
}

struct stream *tunnel_accept(struct tunnel_incoming *v)
{
        struct tunnel_stream *s = incoming_end(v);
        nghttp2_nv headers[] = { H2_CONST_HEADER(":status", "200") };

        submit(s, headers, ARRAY_LEN(headers), &tunnel_stream_source);
        return &s->stream;
}

void tunnel_refuse(struct tunnel_incoming *v, struct error *err)
{
        struct tunnel_stream *s = incoming_end(v);
        AUTO(buf) text = BUF_MAX(STATUS_TEXT_MAX);
        AUTO(buf) encoded = BUF_MAX(3 * STATUS_TEXT_MAX);
        char status[4];

        status_put_text(&text, err);
        grpc_put_percent_encoded(&encoded, buf_str(&text));
        snprintf(status, sizeof status, "%u", tunnel_status_of(err->code));
        error_free(err);
        nghttp2_nv headers[] = {
                H2_HEADER(":status", str_of(status)),
                H2_HEADER("cteleport-error", buf_str(&encoded)),
        };
        submit(s, headers, ARRAY_LEN(headers), NULL);
        stream_close(&s->stream);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* A refusal was sent: the rest of the proxy's request is not needed. */
static void on_sent_last(struct h2 *h, int32_t id)
{
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

static void on_stream_end(struct h2 *h, int32_t id, uint32_t error_code)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s != NULL)
                tunnel_stream_leave(s, s->is_read_ended
                                               ? NULL
                                               : error_new(ERROR_UNAVAILABLE, "the proxy broke the connection off: %s",
                                                           nghttp2_http2_strerror(error_code)));
}

static void on_goaway(struct h2 *h)
{
        struct tunnel_server *t = CONTAINER_OF(h, struct tunnel_server, end.h2);

        t->is_drain_due = true;
        h2_request_turn(h);
}

static void report_drain(struct tunnel_server *t)
{
        if (!t->is_drain_due || t->is_drain_reported || t->end.is_closed)
                return;
        t->is_drain_reported = true;
        if (t->events->on_drain != NULL)
                t->events->on_drain(t->end.ctx);
}

static void on_turn(struct h2 *h)
{
        struct tunnel_server *t = CONTAINER_OF(h, struct tunnel_server, end.h2);

        report_drain(t);
        end_on_turn(h);
}

static void on_end(struct h2 *h)
{
        struct tunnel_server *t = CONTAINER_OF(h, struct tunnel_server, end.h2);

        report_drain(t);
        end_on_end(h);
}

static const struct h2_events server_events = {
        .on_begin = on_begin,
        .on_header = on_header,
        .on_headers = on_headers,
        .on_data = end_on_data,
        .on_last = end_on_last,
        .on_sent_last = on_sent_last,
        .on_stream_end = on_stream_end,
        .on_goaway = on_goaway,
        .on_turn = on_turn,
        .on_received = on_turn,
        .put_data = end_put_data,
        .on_time = end_on_time,
        .on_end = on_end,
};

/* ---- the tunnel ---------------------------------------------------------------------------------------------------- */

struct tunnel_server *tunnel_server_new(struct loop *l, struct stream *tls, const struct tunnel_server_events *events,
                                        void *ctx)
{
        struct tunnel_server *t = NEW(struct tunnel_server);

        *t = (struct tunnel_server){ .end.report = report_incoming, .end.on_end = events->on_end, .end.ctx = ctx, .events = events };
        end_init(&t->end, l, tls, &server_events, tunnel_h2_options(true));
        return t;
}

void tunnel_server_close(struct tunnel_server *t)
{
        if (t != NULL)
                end_close(&t->end);
}

void tunnel_server_drain(struct tunnel_server *t)
{
        end_drain(&t->end);
}
