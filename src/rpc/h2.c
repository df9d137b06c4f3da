/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/h2.h"

#include "base/bug.h"
#include "base/limits.h"
#include "loop/buffer_spare.h"

enum {
        FRAME_HEADER = 9, /* RFC 9113 section 4.1 */
        WRITE_MARK = 128 * KiB,  /* unsent bytes in the stream above which output stays in nghttp2 */
        DATA_MAX = STREAM_WRITE_BEST / 4, /* a frame fits into a TLS record, and four of them into a batch */
        SETTINGS_WAIT_MS = 20,   /* a short-lived server sends its settings alone if it has no other output for this time */
        CONTROL_PER_DATA = 4,    /* window updates and pings allowed per useful frame: some clients send many */
};

/* ---- budgets -------------------------------------------------------------------------------------------- */

static bool budget_spend(struct h2_budget *b, struct instant now)
{
        if (b->per_second == 0)
                return true;
        int64_t price = 1000000000 / b->per_second;
        int64_t unspent_debt = b->spent_ns - instant_since(now, b->at).ns;

        b->at = now;
        b->spent_ns = (unspent_debt < 0 ? 0 : unspent_debt) + price;
        return b->spent_ns <= b->burst * price;
}

static void budget_refund(struct h2_budget *b, int64_t tokens)
{
        if (b->per_second > 0)
                b->spent_ns -= tokens * (1000000000 / b->per_second);
        if (b->spent_ns < 0)
                b->spent_ns = 0;
}

static void too_many(struct h2 *h, const char *what)
{
        h2_end(h, error_new(ERROR_RESOURCE_EXHAUSTED, "the peer %s", what));
}

void h2_spend_reset(struct h2 *h)
{
        if (!budget_spend(&h->options.resets, loop_now(h->loop)))
                too_many(h, "resets too many streams");
}

bool h2_may_queue(struct h2 *h)
{
        if (h->is_over)
                return false;
        if (h->queued + stream_pending(h->stream) <= LIMIT_UNREAD_OUTPUT)
                return true;
        too_many(h, "does not read its answers");
        return false;
}

/* ---- output ------------------------------------------------------------------------------------------------- */

static void h2_turn(void *ctx);

void h2_request_turn(struct h2 *h)
{
        if (h->is_turn_due)
                return;
        h->is_turn_due = true;
        loop_defer(h->loop, h2_turn, h);
}

void h2_wants(struct h2 *h)
{
        h->has_output = true;
        if (!h->is_busy && !h->is_over)
                h2_request_turn(h);
}

void h2_end(struct h2 *h, struct error *err)
{
        if (h->is_over) {
                error_free(err);
                return;
        }
        h->is_over = true;
        h->why = err;
        stream_read(h->stream, false);
        h2_request_turn(h);
}

void h2_go_away(struct h2 *h)
{
        if (h->is_over)
                return;
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
        h2_wants(h);
}

static void send_batch(struct h2 *h)
{
        if (h->batch_len > 0)
                stream_write(h->stream, str_of_bytes(h->batch, h->batch_len));
        h->batch_len = 0;
}

/* Reserves len more bytes (LOOP_BUFFER_WITH_SPARE at most) of the batch; they count as written. */
static char *extend_batch(struct h2 *h, size_t len)
{
        if (len > LOOP_BUFFER_WITH_SPARE - h->batch_len)
                send_batch(h);
        char *at = h->batch + h->batch_len;
        h->batch_len += len;
        return at;
}

/* Copies a DATA frame from the owner's memory into the batch, without a copy in nghttp2. */
static int on_send_data(nghttp2_session *session UNUSED, nghttp2_frame *frame, const uint8_t *header, size_t len,
                        nghttp2_data_source *source UNUSED, void *ctx)
{
        struct h2 *h = ctx;
        char *out = extend_batch(h, FRAME_HEADER + len); /* frames are never padded */

        memcpy(out, header, FRAME_HEADER);
        h->events->put_data(h, frame->hd.stream_id, out + FRAME_HEADER, len);
        /* Otherwise nghttp2 goes on with the data of all streams before drain_session() sees how much is pending. */
        return stream_pending(h->stream) + h->batch_len < WRITE_MARK ? 0 : NGHTTP2_ERR_PAUSE;
}

static ssize_t data_length(nghttp2_session *session UNUSED, uint8_t type UNUSED, int32_t stream UNUSED,
                           int32_t connection_window, int32_t stream_window, uint32_t frame_max, void *ctx UNUSED)
{
        int64_t len = DATA_MAX;

        len = len < frame_max ? len : frame_max;
        len = len < connection_window ? len : connection_window;
        return (ssize_t)(len < stream_window ? len : stream_window);
}

/* Moves nghttp2's output to the stream, in as few writes as the buffers allow. */
static void drain_session(struct h2 *h)
{
        h->batch = loop_buffer_take(h->loop);
        h->is_settings_due = false;
        h->is_busy = true;
        while (stream_pending(h->stream) + h->batch_len < WRITE_MARK) {
                const uint8_t *frame = NULL;
                ssize_t count = nghttp2_session_mem_send(h->session, &frame);

                if (count < 0)
                        h2_end(h, error_new(ERROR_INTERNAL, "HTTP/2 fails: %s", nghttp2_strerror((int)count)));
                if (count <= 0)
                        break;
                struct str bytes = str_of_bytes(frame, (size_t)count);
                if (bytes.len > LOOP_BUFFER_WITH_SPARE) {
                        send_batch(h);
                        stream_write(h->stream, bytes);
                } else {
                        memcpy(extend_batch(h, bytes.len), bytes.ptr, bytes.len);
                }
        }
        send_batch(h);
        h->is_busy = false;
        loop_buffer_give(h->loop, h->batch);
        h->batch = NULL;
}

static void flush(struct h2 *h)
{
        if (h->is_over)
                return;
        drain_session(h);
        if (h->is_over)
                return;
        if (stream_pending(h->stream) > LIMIT_UNREAD_OUTPUT) {
                too_many(h, "does not read its answers");
        } else if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) {
                h->is_peer_done = true; /* a GOAWAY was sent or received, and no stream is open */
                h2_end(h, error_new(ERROR_UNAVAILABLE, "the connection was ended by GOAWAY"));
        }
}

/* Sends the last bytes: a GOAWAY informs the peer which of its streams were processed, if it still reads. */
static void wind_up(struct h2 *h)
{
        uint32_t code = h->why == NULL                               ? NGHTTP2_NO_ERROR
                        : h->why->code == ERROR_RESOURCE_EXHAUSTED ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                     : NGHTTP2_INTERNAL_ERROR;

        /* A client without open streams and without an error sends no GOAWAY: its server opens no streams. */
        bool is_of_use = !h->is_peer_done && (h->options.is_server || h->open > 0 || h->why != NULL);
        if (is_of_use && nghttp2_session_terminate_session(h->session, code) == 0)
                drain_session(h);
        timer_free(h->timer);
        h->timer = NULL;
        stream_close(h->stream);
        h->stream = NULL;
        nghttp2_session_del(h->session);
        h->session = NULL;
        h2_memory_release(&h->memory);
        h->is_ended = true;
}

static void h2_turn(void *ctx)
{
        struct h2 *h = ctx;

        h->is_turn_due = false;
        if (h->is_over) {
                if (!h->is_ended)
                        wind_up(h);
                h->events->on_end(h);
                return;
        }
        if (h->events->on_turn != NULL)
                h->events->on_turn(h);
        flush(h); /* if this ends the connection, another turn reports it */
}

/* ---- input -------------------------------------------------------------------------------------------------- */

/* The return value of every callback of nghttp2: processing stops once the connection is over. */
static int go_on(const struct h2 *h)
{
        return h->is_over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_frame(nghttp2_session *session UNUSED, const nghttp2_frame_hd *hd, void *ctx)
{
        struct h2 *h = ctx;
        bool is_empty_data = hd->type == NGHTTP2_DATA && hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
        bool is_control = hd->type == NGHTTP2_PING || hd->type == NGHTTP2_SETTINGS || hd->type == NGHTTP2_PRIORITY ||
                          hd->type == NGHTTP2_WINDOW_UPDATE; /* nghttp2 skips unknown types without a callback */

        if (!is_empty_data && !is_control)
                budget_refund(&h->options.control_frames, CONTROL_PER_DATA);
        else if (!budget_spend(&h->options.control_frames, loop_now(h->loop)))
                too_many(h, "sends too many frames without data");
        return go_on(h);
}

static int on_begin_headers(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
        struct h2 *h = ctx;

        if (!h->is_over && h->options.is_server && frame->hd.type == NGHTTP2_HEADERS &&
            frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                h->events->on_begin(h, frame->hd.stream_id);
        return go_on(h);
}

static int on_header(nghttp2_session *session UNUSED, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags UNUSED, void *ctx)
{
        struct h2 *h = ctx;

        if (!h->is_over)
                h->events->on_header(h, frame->hd.stream_id, str_of_bytes(name, name_len), str_of_bytes(value, value_len));
        return go_on(h);
}

static int on_frame_recv(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
        struct h2 *h = ctx;
        int32_t stream = frame->hd.stream_id;
        bool carries_call = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

        if (h->is_over)
                return go_on(h);
        /* A server that has already answered resets the rest of the client's request with NO_ERROR; that is no abuse. */
        if (frame->hd.type == NGHTTP2_RST_STREAM &&
            (h->options.is_server || frame->rst_stream.error_code != NGHTTP2_NO_ERROR))
                h2_spend_reset(h);
        if (frame->hd.type == NGHTTP2_GOAWAY && h->events->on_goaway != NULL)
                h->events->on_goaway(h);
        bool is_settings = frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
        if (is_settings && h->events->on_settings != NULL)
                h->events->on_settings(h);
        if (frame->hd.type == NGHTTP2_HEADERS && h->events->on_headers != NULL)
                h->events->on_headers(h, stream);
        if (!h->is_over && carries_call && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
                h->events->on_last(h, stream);
        return go_on(h);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags UNUSED, int32_t stream, const uint8_t *data,
                         size_t len, void *ctx)
{
        struct h2 *h = ctx;

        if (!h->is_over)
                h->events->on_data(h, stream, str_of_bytes(data, len));
        if (!h->is_over && h->options.stream_window > 0)
                nghttp2_session_consume_connection(session, len);
        return go_on(h);
}

static int on_frame_sent(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
        struct h2 *h = ctx;

        if (h->is_over)
                return 0; /* lets the last GOAWAY be sent */
        if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
                h2_spend_reset(h);
        if (h->options.is_server && frame->hd.type == NGHTTP2_HEADERS &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
                h->events->on_sent_last(h, frame->hd.stream_id);
        if (h->events->on_sent_data_end != NULL && frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
                h->events->on_sent_data_end(h, frame->hd.stream_id);
        return 0;
}

_Static_assert(LIMIT_HTTP2_HEAD_SENT >= LIMIT_HTTP_HEAD + 12 * (LIMIT_HTTP_FIELDS + 4), "a head of the gateways can be sent (nghttp2_hd_deflate_bound)");

/*
 * A request was not sent because a GOAWAY of the server came first; nghttp2 may close its stream next. The peer of a stream whose response
 * cannot be sent would wait for it.
 */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error UNUSED, void *ctx)
{
        struct h2 *h = ctx;
        int32_t stream = frame->hd.stream_id;

        if (h->is_over || frame->hd.type != NGHTTP2_HEADERS)
                return 0;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                h->events->on_not_begun(h, stream);
        else if (nghttp2_session_get_stream_local_close(session, stream) == 0)
                nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_INTERNAL_ERROR);
        return 0;
}

static int on_stream_close(nghttp2_session *session UNUSED, int32_t stream, uint32_t error_code, void *ctx)
{
        struct h2 *h = ctx;

        if (!h->is_over)
                h->events->on_stream_end(h, stream, error_code);
        return 0;
}

static void on_read(void *ctx, struct str bytes)
{
        struct h2 *h = ctx;

        if (h->is_over)
                return;
        h->received = loop_now(h->loop);
        h->pinged = (struct instant){ 0 };
        h->is_busy = true;
        h->has_output = false;
        ssize_t count = nghttp2_session_mem_recv(h->session, str_bytes(bytes), bytes.len);
        h->is_busy = false;
        if (count < 0)
                h2_end(h, error_new(ERROR_INVALID_ARGUMENT, "the peer does not keep to HTTP/2: %s",
                                    nghttp2_strerror((int)count)));
        if (!h->is_over && h->events->on_received != NULL)
                h->events->on_received(h);
        /* A request that came with the client's settings is answered soon; our settings are sent with the answer. */
        if (h->is_settings_due && h->open > 0 && !h->has_output && !h->is_over)
                return;
        flush(h);
}

static void on_drain(void *ctx)
{
        flush(ctx);
}

static void on_stream_over(void *ctx, struct error *err)
{
        struct h2 *h = ctx;
        struct error *closed = error_new(ERROR_UNAVAILABLE, "the connection was closed by the peer");

        h->is_peer_done = true;
        h2_end(h, err == NULL ? closed : error_because(closed, err));
}

static const struct stream_events stream_events = { on_read, on_drain, on_stream_over };

/* ---- timers ------------------------------------------------------------------------------------------------- */

void h2_wake_by(struct h2 *h, struct instant by)
{
        if (h->is_over || by.ns == INT64_MAX || (timer_is_running(h->timer) && h->timer_due.ns <= by.ns))
                return;
        h->timer_due = by;
        timer_start(h->timer, instant_since(by, loop_now(h->loop)));
}

static struct instant after(struct instant t, int64_t ms)
{
        return instant_add(t, MILLISECONDS(ms));
}

_Static_assert(TIMEOUT_KEEPALIVE + TIMEOUT_KEEPALIVE_ANSWER < 30 * 1000, "a dead connection is noticed within 30 seconds");

/* Sends a ping after silence; ends the connection if a ping stays unanswered. */
static struct instant keep_alive(struct h2 *h, struct instant now)
{
        if (h->pinged.ns != 0 && now.ns >= after(h->pinged, TIMEOUT_KEEPALIVE_ANSWER).ns)
                h2_end(h, error_new(ERROR_UNAVAILABLE, "the peer does not answer any more"));
        else if (h->pinged.ns == 0 && now.ns >= after(h->received, TIMEOUT_KEEPALIVE).ns) {
                h->pinged = now;
                nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
        }
        return h->pinged.ns != 0 ? after(h->pinged, TIMEOUT_KEEPALIVE_ANSWER) : after(h->received, TIMEOUT_KEEPALIVE);
}

static struct instant watch_idleness(struct h2 *h, struct instant now)
{
        if (h->options.idle.ns == 0)
                return NEVER;
        struct instant end = instant_add(h->idle_since, h->options.idle);
        if (now.ns < end.ns)
                return end;
        h2_go_away(h); /* if no stream is open, this ends the connection */
        return NEVER;
}

/* The timer is never stopped early: when it fires, it handles the deadlines that are due and restarts. */
static void on_timer(void *ctx)
{
        struct h2 *h = ctx;
        struct instant now = loop_now(h->loop);

        h->is_busy = true; /* one flush at the end is enough */
        struct instant owners = h->events->on_time(h, now);
        if (!h->is_over) {
                struct instant ours = h->open > 0 || h->options.is_kept_alive ? keep_alive(h, now) : watch_idleness(h, now);

                h2_wake_by(h, owners.ns < ours.ns ? owners : ours);
        }
        h->is_busy = false;
        flush(h);
}

void h2_opened(struct h2 *h)
{
        if (h->open++ == 0) {
                h->received = loop_now(h->loop);
                h2_wake_by(h, after(h->received, TIMEOUT_KEEPALIVE));
        }
}

void h2_closed(struct h2 *h)
{
        if (--h->open > 0 || h->options.idle.ns == 0 || h->is_over)
                return;
        h->idle_since = loop_now(h->loop);
        h2_wake_by(h, instant_add(h->idle_since, h->options.idle));
}

/* ---- life --------------------------------------------------------------------------------------------------- */

/* These calls of nghttp2 fail only when memory is exhausted or when we misuse them. */
static void must(int status)
{
        if (status != 0)
                bug("nghttp2: %s", nghttp2_strerror(status));
}

static nghttp2_session *session_new(struct h2 *h)
{
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *option = NULL;
        nghttp2_session *session = NULL;

        must(nghttp2_session_callbacks_new(&callbacks));
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        if (h->events->put_data != NULL) {
                nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
                nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, data_length);
        }

        must(nghttp2_option_new(&option));
        nghttp2_option_set_no_closed_streams(option, 1);               /* used only for priorities, which are ignored */
        nghttp2_option_set_max_deflate_dynamic_table_size(option, 0);  /* our headers are few: a table is not worth its memory */
        nghttp2_option_set_max_send_header_block_length(option, LIMIT_HTTP2_HEAD_SENT);
        nghttp2_option_set_no_auto_window_update(option, h->options.stream_window > 0);
        if (h->options.resets.per_second > 0)
                nghttp2_option_set_stream_reset_rate_limit(option, (uint64_t)h->options.resets.burst,
                                                           (uint64_t)h->options.resets.per_second);
        must(h->options.is_server ? nghttp2_session_server_new3(&session, callbacks, h, option, &h->memory.hooks)
                                  : nghttp2_session_client_new3(&session, callbacks, h, option, &h->memory.hooks));
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        return session;
}

static void submit_settings(struct h2 *h)
{
        nghttp2_settings_entry settings[6] = {
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->options.max_streams },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HTTP2_HEADER_LIST },
                { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 }, /* no table in memory for an idle connection */
        };
        size_t count = 3;

        /* Without priorities nghttp2 serves streams one after the other: good for answers, bad for sessions. */
        if (h->options.stream_window == 0)
                settings[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 };
        else
                settings[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                                              (uint32_t)h->options.stream_window };
        if (!h->options.is_server) /* only a client may send this setting */
                settings[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
        must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, count));
        if (h->options.stream_window > 0)
                must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, INT32_MAX));
}

void h2_init(struct h2 *h, struct loop *l, struct stream *s, const struct h2_events *events, struct h2_options options)
{
        *h = (struct h2){ .loop = l, .stream = s, .events = events, .options = options };
        h2_memory_init(&h->memory, !options.is_brief);
        h->session = session_new(h);
        h->timer = timer_new(l, on_timer, h);
        h->received = h->idle_since = h->options.resets.at = h->options.control_frames.at = loop_now(l);

        submit_settings(h);
        stream_listen(s, &stream_events, h);
        stream_read(s, true);
        if (options.idle.ns > 0)
                h2_wake_by(h, instant_add(h->idle_since, options.idle));
        if (options.is_kept_alive)
                h2_wake_by(h, after(h->received, TIMEOUT_KEEPALIVE));
        h->is_settings_due = options.is_server && options.is_brief;
        if (h->is_settings_due)
                h2_wake_by(h, after(h->received, SETTINGS_WAIT_MS));
        else
                h2_request_turn(h);
}

void h2_release(struct h2 *h)
{
        error_free(h->why);
        h->why = NULL;
}

void *h2_stream_owner(const struct h2 *h, int32_t stream)
{
        return h->session == NULL ? NULL : nghttp2_session_get_stream_user_data(h->session, stream);
}

nghttp2_nv h2_header(struct str name, struct str value, uint8_t flags)
{
        /* nghttp2 only reads names and values. */
        return (nghttp2_nv){
                .name = (uint8_t *)(uintptr_t)name.ptr,
                .value = (uint8_t *)(uintptr_t)value.ptr,
                .namelen = name.len,
                .valuelen = value.len,
                .flags = flags,
        };
}
