/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests and fuzz targets of the relay: an owner that connects every request to a backend at the other end of a pair of streams, and
 * answers failures with their status.
 */
#ifndef HTTP_RELAY_TESTING_H
#define HTTP_RELAY_TESTING_H

#include "base/mem.h"
#include "http/relay.h"
#include "loop/loop.h"
#include "net/memory_stream.h"

/* An end of a pair: what it received. */
struct peer {
        struct stream *stream;
        struct buf received;
        bool has_ended, is_broken;
};

enum { PEERS_MAX = 8, PEER_MOST = 64 * MiB };

struct relay_owner {
        struct loop loop;
        struct fake_clock clock;
        struct http_relay *relay; /* NULL once closed */
        struct peer client, backends[PEERS_MAX];
        size_t backend_count;
        struct http_record records[PEERS_MAX];
        size_t record_count;
        enum http_failure failure; /* the last one */
        int status;
        int failures, reconnects;
        bool answers; /* requests get 204 of the owner, no backend */
        size_t collects; /* the most of a body that the owner reads, to answer with it; 0: it does not */
        bool waits;   /* nothing is decided in on_request */
        bool has_tunnel; /* a record has status 101 */
        bool edits;   /* heads get a field more, and lose X-Remove */
        int take_backs; /* of the next responses, which are taken back if that is possible, and requested from another backend */
        struct stream *foreign; /* a request for the host "foreign" has come on it */
};

static inline void peer_on_read(void *ctx, struct str bytes)
{
        struct peer *p = ctx;

        buf_put(&p->received, bytes);
}

static inline void peer_on_end(void *ctx, struct error *err)
{
        struct peer *p = ctx;

        p->has_ended = true;
        p->is_broken = err != NULL;
        error_free(err);
}

static const struct stream_events peer_events = { .on_read = peer_on_read, .on_end = peer_on_end };

static inline void peer_start(struct peer *p, struct stream *s)
{
        p->stream = s;
        p->received = BUF_MAX(PEER_MOST);
        stream_listen(s, &peer_events, p);
        stream_read(s, true);
}

static inline void owner_connect(struct relay_owner *o)
{
        struct stream *ours, *theirs;

        if (http_relay_is_connected(o->relay)) {
                http_relay_forward(o->relay, NULL);
                return;
        }
        if (o->backend_count == PEERS_MAX) {
                http_relay_answer(o->relay, 503, NULL, STR(""));
                return;
        }
        memory_stream_pair(&o->loop, &ours, &theirs);
        peer_start(&o->backends[o->backend_count++], theirs);
        http_relay_forward(o->relay, ours);
}

static inline bool owner_is_foreign(void *ctx, const struct http_request *request)
{
        (void)ctx;
        return str_equal(request->host, STR("foreign"));
}

static inline void owner_on_foreign(void *ctx, struct stream *client)
{
        ((struct relay_owner *)ctx)->foreign = client;
}

static inline void owner_on_request(void *ctx, struct http_request *request)
{
        struct relay_owner *o = ctx;

        if (o->edits) {
                error_free(http_fields_add(&request->fields, STR("X-Added"), STR("1")));
                http_fields_remove(&request->fields, "x-remove");
        }
        if (o->collects > 0)
                http_relay_collect(o->relay, o->collects);
        else if (o->answers)
                http_relay_answer(o->relay, 204, NULL, STR(""));
        else if (!o->waits)
                owner_connect(o);
}

static inline void owner_on_collected(void *ctx, struct str body)
{
        http_relay_answer(((struct relay_owner *)ctx)->relay, 200, NULL, body);
}

static inline void owner_on_reconnect(void *ctx)
{
        struct relay_owner *o = ctx;

        o->reconnects++;
        owner_connect(o);
}

static inline void owner_on_response(void *ctx, struct http_response *response)
{
        struct relay_owner *o = ctx;

        if (o->edits)
                error_free(http_fields_add(&response->fields, STR("X-Answered"), STR("1")));
        if (o->take_backs > 0 && o->take_backs-- > 0 && http_relay_take_back(o->relay))
                owner_on_reconnect(o);
}

static inline void owner_on_failure(void *ctx, enum http_failure failure, int status, const struct error *err)
{
        struct relay_owner *o = ctx;

        (void)err;
        o->failure = failure;
        o->status = status;
        o->failures++;
        http_relay_answer(o->relay, status, NULL, STR("page"));
}

static inline void owner_on_exchange(void *ctx, const struct http_record *record)
{
        struct relay_owner *o = ctx;

        if (o->record_count < PEERS_MAX)
                o->records[o->record_count] = *record;
        o->record_count++;
        o->has_tunnel = o->has_tunnel || record->status == 101;
}

static inline void owner_on_closed(void *ctx)
{
        struct relay_owner *o = ctx;

        o->relay = NULL;
}

static const struct http_relay_events owner_events = {
        .is_foreign = owner_is_foreign,
        .on_foreign = owner_on_foreign,
        .on_request = owner_on_request,
        .on_collected = owner_on_collected,
        .on_reconnect = owner_on_reconnect,
        .on_response = owner_on_response,
        .on_failure = owner_on_failure,
        .on_exchange = owner_on_exchange,
        .on_closed = owner_on_closed,
};

/* The relay gets at most `reads` bytes of the client at once. */
static inline void owner_start(struct relay_owner *o, size_t reads)
{
        struct stream *client, *ours;

        *o = (struct relay_owner){ 0 };
        fake_clock_init(&o->clock, 1700000000);
        error_free(loop_init(&o->loop, &o->clock.clock));
        memory_stream_pair(&o->loop, &client, &ours);
        memory_stream_limit_reads(ours, reads);
        peer_start(&o->client, client);
        o->relay = http_relay_start(&o->loop, ours, &owner_events, o);
}

static inline void owner_turn(struct relay_owner *o, int turns)
{
        for (int i = 0; i < turns; i++)
                uv_run(&o->loop.uv, UV_RUN_NOWAIT);
}

static inline void owner_release(struct relay_owner *o)
{
        if (o->relay != NULL)
                http_relay_close(o->relay);
        owner_turn(o, 20);
        stream_close(o->client.stream);
        stream_close(o->foreign);
        buf_release(&o->client.received);
        for (size_t i = 0; i < o->backend_count; i++) {
                stream_close(o->backends[i].stream);
                buf_release(&o->backends[i].received);
        }
        owner_turn(o, 20);
        loop_release(&o->loop);
}

#endif
