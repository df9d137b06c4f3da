/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames over a stream.
 *
 *     open ──close sent──► closing ──close received──► ended
 *       ├────close received, answered at once───────────▲
 *       └──► broken: the peer failed, or violated the protocol (a close frame with the status is sent)
 *
 * libwslay parses and serializes; it has no access to the socket. It reads from `in`, a view of the bytes that the lower stream
 * just delivered. Output is gathered into one write. Payload is unmasked into one loop buffer and delivered at once, so that a
 * stream holds no payload and pausing it pauses the lower stream only.
 */
#include "net/websocket.h"

#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "pki/key.h"

enum { FRAME_OVERHEAD = 14, FRAME_MAX = LOOP_BUFFER - FRAME_OVERHEAD, HEADER_MAX = 10, MASK_SIZE = 4, STATUS_SIZE = 2, CONTROL_MAX = 125,
       CLOSE_MAX = 2 + MASK_SIZE + CONTROL_MAX };

/*
 * The position in the frames of the peer, followed in parallel to libwslay. That answers a malformed header by a close frame without
 * a status, and checks the reason of a close frame wrongly if it arrives in pieces; so it gets well-formed headers and whole
 * close frames only.
 */
struct position {
        uint8_t header[HEADER_MAX]; /* the bytes of the current header before its mask */
        size_t header_len;
        uint64_t left; /* bytes of the current mask and payload */
        uint8_t close[CLOSE_MAX]; /* the close frame so far; nothing counts after it */
        size_t close_len;
        bool is_close; /* the current frame is one */
};

struct websocket {
        struct stream stream;
        struct loop *loop;
        struct stream *lower;
        wslay_event_context_ptr wslay;
        struct timer *keepalive;
        struct position position;
        struct str in;        /* unparsed rest of the current read */
        char *payload;        /* loop buffer during a read: the unmasked payload */
        size_t payload_len;
        char *gathered;       /* loop buffer while frames are sent */
        size_t gathered_len;
        size_t control_bytes; /* answers to control frames sent since the lower stream's output queue was last empty */
        uint16_t refused;     /* status of the close frame for a protocol error that libwslay does not detect; 0: none */
        unsigned refs;        /* one for the owner, one for each callback on the stack */
        uint64_t message;     /* length of the current message, from its frame headers; libwslay checks it only when it buffers */
        uint8_t opcode;       /* of the current frame */
        bool has_read;        /* bytes were received since the keepalive timer last fired */
        bool is_pinged;       /* a ping is unanswered */
        bool wanted;
        bool is_shut;         /* the owner has ended its output */
        bool has_ended;       /* on_end was called */
        bool is_closed;       /* the owner closed the stream */
};

static struct websocket *websocket_of(struct stream *s)
{
        return CONTAINER_OF(s, struct websocket, stream);
}

static void websocket_unref(struct websocket *w)
{
        if (--w->refs > 0)
                return;
        wslay_event_context_free(w->wslay);
        free(w);
}

/* ---- callbacks of libwslay --------------------------------------------------------------------------------- */

static ssize_t on_wslay_recv(wslay_event_context_ptr wslay, uint8_t *out, size_t room, int flags, void *ctx)
{
        struct websocket *w = ctx;
        size_t len = room < w->in.len ? room : w->in.len;

        (void)flags;
        if (len == 0) {
                wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
                return -1;
        }
        memcpy(out, w->in.ptr, len);
        w->in = str_slice(w->in, len, w->in.len);
        return (ssize_t)len;
}

static void send_gathered(struct websocket *w)
{
        stream_write(w->lower, (struct str){ w->gathered, w->gathered_len });
        w->gathered_len = 0;
}

static ssize_t on_wslay_send(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len, int flags, void *ctx)
{
        struct websocket *w = ctx;

        (void)wslay;
        (void)flags;
        if (len > LOOP_BUFFER)
                len = LOOP_BUFFER;
        if (w->gathered_len + len > LOOP_BUFFER)
                send_gathered(w);
        memcpy(w->gathered + w->gathered_len, bytes, len);
        w->gathered_len += len;
        return (ssize_t)len;
}

static int on_wslay_mask(wslay_event_context_ptr wslay, uint8_t *out, size_t len, void *ctx)
{
        (void)wslay;
        (void)ctx;
        random_bytes(out, len);
        return 0;
}

/* Refuses all further input of the peer, and queues a close frame with the status. */
static void refuse(struct websocket *w, uint16_t status)
{
        w->refused = status;
        wslay_event_shutdown_read(w->wslay);
        if (wslay_event_queue_close(w->wslay, status, NULL, 0) == WSLAY_ERR_NOMEM)
                bug("out of memory");
}

static void on_wslay_frame(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *frame, void *ctx)
{
        struct websocket *w = ctx;

        (void)wslay;
        w->opcode = frame->opcode;
        if (wslay_is_ctrl_frame(frame->opcode))
                return;
        if (frame->opcode != WSLAY_CONTINUATION_FRAME)
                w->message = 0;
        w->message += frame->payload_length; /* below 2^63, to at most LIMIT_WEBSOCKET_MESSAGE */
        if (frame->opcode == WSLAY_TEXT_FRAME)
                refuse(w, WSLAY_CODE_UNSUPPORTED_DATA);
        else if (w->message > LIMIT_WEBSOCKET_MESSAGE)
                refuse(w, WSLAY_CODE_MESSAGE_TOO_BIG);
}

static void on_wslay_payload(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *ctx)
{
        struct websocket *w = ctx;

        (void)wslay;
        if (wslay_is_ctrl_frame(w->opcode) || w->refused != 0)
                return;
        if (chunk->data_length > LOOP_BUFFER - w->payload_len)
                bug("a WebSocket frame has more payload than bytes");
        memcpy(w->payload + w->payload_len, chunk->data, chunk->data_length);
        w->payload_len += chunk->data_length;
}

static const struct wslay_event_callbacks wslay_callbacks = {
        .recv_callback = on_wslay_recv,
        .send_callback = on_wslay_send,
        .genmask_callback = on_wslay_mask,
        .on_frame_recv_start_callback = on_wslay_frame,
        .on_frame_recv_chunk_callback = on_wslay_payload,
};

/* Writes the queued frames; returns their length in bytes. */
static void send_frames(struct websocket *w)
{
        if (!wslay_event_want_write(w->wslay))
                return;
        w->gathered = loop_buffer_take(w->loop);
        if (wslay_event_send(w->wslay) != 0)
                bug("WebSocket frames cannot be written");
        send_gathered(w);
        loop_buffer_give(w->loop, w->gathered);
        w->gathered = NULL;
}

static void queue_frame(struct websocket *w, uint8_t opcode, struct str bytes)
{
        struct wslay_event_msg message = { .opcode = opcode, .msg = str_bytes(bytes), .msg_length = bytes.len };
        int status = wslay_event_queue_msg(w->wslay, &message);

        if (status != 0 && status != WSLAY_ERR_NO_MORE_MSG) /* NO_MORE_MSG: a close frame was sent */
                bug("a WebSocket message cannot be queued: %d", status);
}

/* ---- malformed headers ---------------------------------------------------------------------------------------- */

/* The length of a payload as the header states it in `size` bytes after its second one. */
static uint64_t extended_length(const uint8_t *header, size_t size)
{
        uint64_t length = 0;

        for (size_t i = 0; i < size; i++)
                length = length << 8 | header[2 + i];
        return length;
}

/* Takes the next byte of a header; false: it is malformed (section 5.2 on lengths, 5.5 on control frames). */
static bool take_header_byte(struct position *p, uint8_t byte)
{
        p->header[p->header_len++] = byte;
        if (p->header_len == 1)
                p->is_close = (byte & 0x0f) == WSLAY_CONNECTION_CLOSE;
        if (p->header_len < 2)
                return true;
        uint8_t opcode = p->header[0] & 0x0f, short_length = p->header[1] & 0x7f;
        bool is_final = (p->header[0] & 0x80) != 0;
        if (wslay_is_ctrl_frame(opcode) && (!is_final || short_length > CONTROL_MAX))
                return false;
        size_t size = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
        if (p->header_len < 2 + size)
                return true;
        uint64_t length = size == 0 ? short_length : extended_length(p->header, size);
        if ((size == 2 && length < 126) || (size == 8 && (length <= UINT16_MAX || length >> 63 != 0)))
                return false;
        p->left = length + ((p->header[1] & 0x80) != 0 ? MASK_SIZE : 0);
        p->header_len = 0;
        return true;
}

static bool has_close(const struct position *p)
{
        return p->is_close && p->header_len == 0 && p->left == 0;
}

/* Whether the reason of the close frame is UTF-8 (section 5.5.1). */
static bool is_reason_valid(const struct position *p)
{
        char reason[CONTROL_MAX];
        size_t mask = (p->close[1] & 0x80) != 0 ? MASK_SIZE : 0, begin = 2 + mask + STATUS_SIZE;

        for (size_t i = begin; i < p->close_len; i++)
                reason[i - begin] = (char)(p->close[i] ^ (mask == 0 ? 0 : p->close[2 + (i - 2 - mask) % MASK_SIZE]));
        return p->close_len <= begin || text_is_utf8((struct str){ reason, p->close_len - begin });
}

/*
 * Follows the frames in `bytes`. Returns the number of bytes before a close frame or a violation, all if there is neither.
 * *ret_status is set by a violation, to the status with which the peer is refused.
 */
static size_t follow_frames(struct position *p, struct str bytes, uint16_t *ret_status)
{
        size_t end = p->is_close ? 0 : bytes.len, n;

        for (size_t at = 0; at < bytes.len && !has_close(p); at += n) {
                struct str rest = str_slice(bytes, at, bytes.len);
                bool is_valid = true;

                n = p->left == 0 ? 1 : p->left < rest.len ? (size_t)p->left : rest.len;
                if (p->left == 0)
                        is_valid = take_header_byte(p, (uint8_t)rest.ptr[0]);
                else
                        p->left -= n;
                if (!is_valid) {
                        *ret_status = WSLAY_CODE_PROTOCOL_ERROR;
                        return at < end ? at : end;
                }
                if (p->is_close) {
                        end = at < end ? at : end;
                        memcpy(p->close + p->close_len, rest.ptr, n);
                        p->close_len += n;
                }
        }
        if (has_close(p) && !is_reason_valid(p))
                *ret_status = WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA;
        return end;
}

/* ---- ends --------------------------------------------------------------------------------------------------- */

/* err is owned; NULL: an orderly end. */
static void report_end(struct websocket *w, struct error *err)
{
        if (w->is_closed || w->has_ended || w->stream.events == NULL) {
                error_free(err);
                return;
        }
        w->has_ended = true;
        stream_read(w->lower, false);
        timer_stop(w->keepalive);
        w->stream.events->on_end(w->stream.ctx, err);
}

static struct error *failure_of_status(unsigned status)
{
        switch (status) {
        case WSLAY_CODE_NORMAL_CLOSURE:
        case WSLAY_CODE_GOING_AWAY:
        case WSLAY_CODE_NO_STATUS_RCVD:
        case 0:
                return NULL;
        default:
                return error_new(ERROR_UNAVAILABLE, "the peer closed the WebSocket with status %u", status);
        }
}

/* Called after a read: checks whether it was the last one. */
static void check_end(struct websocket *w)
{
        if (wslay_event_get_close_received(w->wslay)) {
                stream_shutdown(w->lower);
                report_end(w, failure_of_status(wslay_event_get_status_code_received(w->wslay)));
        } else if (!wslay_event_get_read_enabled(w->wslay)) {
                stream_shutdown(w->lower);
                report_end(w, error_new(ERROR_UNAVAILABLE, "the peer broke the WebSocket protocol (status %u)",
                                        wslay_event_get_status_code_sent(w->wslay)));
        } else if (w->control_bytes > LIMIT_WEBSOCKET_CONTROL) {
                refuse(w, WSLAY_CODE_POLICY_VIOLATION);
                send_frames(w);
                report_end(w, error_new(ERROR_RESOURCE_EXHAUSTED, "the peer of a WebSocket sends pings and does not read the answers"));
        }
}

/* ---- the lower stream ---------------------------------------------------------------------------------------- */

/* Passes bytes to libwslay, which ignores them after a refusal. */
static void parse(struct websocket *w, struct str bytes)
{
        w->in = bytes;
        if (wslay_event_recv(w->wslay) != 0)
                refuse(w, WSLAY_CODE_INTERNAL_SERVER_ERROR);
        w->in = (struct str){ 0 };
}

static void on_lower_read(void *ctx, struct str bytes)
{
        struct websocket *w = ctx;
        char *buffer = loop_buffer_take(w->loop);

        w->refs++;
        w->has_read = true;
        uint16_t status = 0;
        w->payload = buffer;
        w->payload_len = 0;
        parse(w, str_slice(bytes, 0, follow_frames(&w->position, bytes, &status)));
        if (status != 0 && wslay_event_get_read_enabled(w->wslay))
                refuse(w, status);
        else if (has_close(&w->position))
                parse(w, str_of_bytes(w->position.close, w->position.close_len));
        size_t before = stream_pending(w->lower);
        send_frames(w);
        size_t after = stream_pending(w->lower);
        w->control_bytes = after == 0 ? 0 : w->control_bytes + (after - before);
        if (w->payload_len > 0 && !w->is_closed)
                w->stream.events->on_read(w->stream.ctx, (struct str){ buffer, w->payload_len });
        if (!w->is_closed)
                check_end(w);
        loop_buffer_give(w->loop, buffer);
        websocket_unref(w);
}

static void on_lower_drain(void *ctx)
{
        struct websocket *w = ctx;

        w->control_bytes = 0;
        if (!w->has_ended && w->stream.events != NULL && w->stream.events->on_drain != NULL)
                w->stream.events->on_drain(w->stream.ctx);
}

static void on_lower_end(void *ctx, struct error *err)
{
        struct websocket *w = ctx;

        report_end(w, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the connection ended without a WebSocket close frame"));
}

static const struct stream_events lower_events = { .on_read = on_lower_read, .on_drain = on_lower_drain, .on_end = on_lower_end };

/* ---- keepalive ------------------------------------------------------------------------------------------------ */

static void on_keepalive(void *ctx)
{
        struct websocket *w = ctx;
        bool is_silent = !w->has_read && w->wanted;

        w->has_read = false;
        if (is_silent && w->is_pinged) {
                report_end(w, error_new(ERROR_DEADLINE_EXCEEDED, "the peer of a WebSocket does not answer"));
                return;
        }
        w->is_pinged = is_silent;
        if (is_silent || !w->wanted) {
                queue_frame(w, WSLAY_PING, STR(""));
                send_frames(w);
        }
        timer_start(w->keepalive, MILLISECONDS(is_silent ? TIMEOUT_KEEPALIVE_ANSWER : TIMEOUT_KEEPALIVE));
}

/* ---- the stream ----------------------------------------------------------------------------------------------- */

static void websocket_read(struct stream *stream, bool wanted)
{
        struct websocket *w = websocket_of(stream);

        if (wanted && !w->wanted)
                w->is_pinged = false; /* the answer may be unread */
        w->wanted = wanted;
        if (!w->has_ended)
                stream_read(w->lower, wanted);
}

static void websocket_write(struct stream *stream, struct str bytes)
{
        struct websocket *w = websocket_of(stream);

        if (w->is_shut || w->has_ended)
                return;
        while (!str_is_empty(bytes)) {
                queue_frame(w, WSLAY_BINARY_FRAME, str_slice(bytes, 0, FRAME_MAX));
                send_frames(w);
                bytes = str_slice(bytes, FRAME_MAX, bytes.len);
        }
}

static void websocket_shutdown(struct stream *stream)
{
        struct websocket *w = websocket_of(stream);

        if (w->is_shut)
                return;
        w->is_shut = true;
        if (w->has_ended)
                return;
        if (wslay_event_queue_close(w->wslay, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == WSLAY_ERR_NOMEM)
                bug("out of memory");
        send_frames(w);
}

static void websocket_close(struct stream *stream)
{
        struct websocket *w = websocket_of(stream);

        websocket_shutdown(stream);
        w->is_closed = true;
        timer_free(w->keepalive);
        stream_close(w->lower);
        w->lower = NULL;
        websocket_unref(w);
}

static size_t websocket_pending(const struct stream *stream)
{
        return stream_pending(CONTAINER_OF(stream, const struct websocket, stream)->lower);
}

static const struct stream_ops websocket_ops = {
        .read = websocket_read,
        .write = websocket_write,
        .shutdown = websocket_shutdown,
        .close = websocket_close,
        .pending = websocket_pending,
};

struct stream *websocket_stream(struct loop *l, struct stream *lower, enum websocket_role role)
{
        struct websocket *w = NEW(struct websocket);
        int status = role == WEBSOCKET_SERVER ? wslay_event_context_server_init(&w->wslay, &wslay_callbacks, w)
                                              : wslay_event_context_client_init(&w->wslay, &wslay_callbacks, w);

        if (status != 0)
                bug("libwslay cannot be initialized: %d", status);
        wslay_event_config_set_no_buffering(w->wslay, 1);
        w->stream.ops = &websocket_ops;
        w->loop = l;
        w->lower = lower;
        w->refs = 1;
        w->keepalive = timer_new(l, on_keepalive, w);
        timer_start(w->keepalive, MILLISECONDS(TIMEOUT_KEEPALIVE));
        stream_listen(lower, &lower_events, w);
        return &w->stream;
}
