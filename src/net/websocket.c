/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames over a stream.
 *
 *     open ──close sent──► closing ──close received──► ended
 *       ├────close received, answered at once───────────▲
 *       └──► broken: the peer failed, or violated the protocol (a close frame with the status is sent)
 *
 * A frame is parsed as its bytes come; of its payload only that of a control frame is stored. Payload of messages is unmasked into one loop
 * buffer and delivered at once, so that a stream holds none and pausing it pauses the lower stream only. Frames are made in a loop buffer and
 * written at once. The numbers of sections are those of RFC 6455.
 */
#include "net/websocket.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "pki/key.h"

enum { MASK_SIZE = 4, HEADER_MAX = 10 + MASK_SIZE, FRAME_MAX = LOOP_BUFFER - HEADER_MAX, CONTROL_MAX = 125, STATUS_SIZE = 2,
       LENGTH_16 = 126, LENGTH_64 = 127, BIT_FINAL = 0x80, BITS_RESERVED = 0x70, BITS_OPCODE = 0x0f, BIT_MASK = 0x80 };

/* Section 5.2. */
enum opcode { OPCODE_CONTINUATION = 0, OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

/* Section 7.4.1. */
enum status {
        STATUS_NORMAL = 1000,
        STATUS_GOING_AWAY = 1001,
        STATUS_PROTOCOL_ERROR = 1002,
        STATUS_UNSUPPORTED = 1003,
        STATUS_NONE = 1005,
        STATUS_INVALID_PAYLOAD = 1007,
        STATUS_POLICY_VIOLATION = 1008,
        STATUS_TOO_BIG = 1009,
};

struct websocket {
        struct stream stream;
        struct loop *loop;
        struct stream *lower;
        struct timer *keepalive;
        enum websocket_role role;
        /* the current frame of the peer */
        uint8_t header[HEADER_MAX];
        size_t header_len;
        bool is_in_payload; /* its header is complete */
        uint64_t at, left;  /* bytes of its payload so far, and to come */
        uint64_t message;   /* payload of the current message so far, by the headers of its frames */
        bool is_in_message; /* the message continues after this frame */
        uint8_t control[CONTROL_MAX]; /* payload of a control frame */
        size_t control_len;
        /* during a read */
        char *payload; /* loop buffer */
        size_t payload_len;
        char *gathered; /* loop buffer of frames to be written; NULL: none */
        size_t gathered_len;
        /* the closing handshake */
        uint16_t status_received; /* STATUS_NONE: of a close frame without one; 0: none was received */
        uint16_t status_refused;  /* the violation by the peer, whose input is ignored since; 0: none */
        bool is_close_sent;
        size_t control_bytes; /* answers to control frames sent since the lower stream's output queue was last empty */
        unsigned refs;        /* one for the owner, one for each callback on the stack */
        struct instant received, sent; /* time of the last bytes */
        struct instant pinged;         /* time of the ping that is unanswered; 0: none */
        bool wanted;
        bool is_shut;         /* the owner has ended its output */
        bool has_ended;       /* on_end was called */
        bool has_failed;      /* with an error */
        bool is_closed;       /* the owner closed the stream */
};

static struct websocket *websocket_of(struct stream *s)
{
        return CONTAINER_OF(s, struct websocket, stream);
}

static void websocket_unref(struct websocket *w)
{
        if (--w->refs == 0)
                free(w);
}

/* ---- frames to the peer ------------------------------------------------------------------------------------- */

/* Copies bytes masked by the key, or unmasked, which is the same (section 5.3). `at` is the position of the first of them in the payload. */
static void mask(char *out, struct str bytes, const uint8_t key[MASK_SIZE], uint64_t at)
{
        uint8_t turned[sizeof(uint64_t)];
        uint64_t word, pattern;
        size_t n = 0;

        for (size_t i = 0; i < sizeof turned; i++)
                turned[i] = key[(at + i) % MASK_SIZE];
        memcpy(&pattern, turned, sizeof pattern);
        for (; n + sizeof word <= bytes.len; n += sizeof word) {
                memcpy(&word, bytes.ptr + n, sizeof word);
                word ^= pattern;
                memcpy(out + n, &word, sizeof word);
        }
        for (; n < bytes.len; n++)
                out[n] = (char)((uint8_t)bytes.ptr[n] ^ turned[n % MASK_SIZE]);
}

static void send_gathered(struct websocket *w)
{
        if (w->gathered == NULL)
                return;
        stream_write(w->lower, (struct str){ w->gathered, w->gathered_len });
        loop_buffer_give(w->loop, w->gathered);
        w->gathered = NULL;
        w->gathered_len = 0;
        w->sent = loop_now(w->loop);
}

static void put_byte(struct websocket *w, uint64_t byte)
{
        w->gathered[w->gathered_len++] = (char)(byte & 0xff);
}

/* Section 5.2. */
static void put_header(struct websocket *w, enum opcode opcode, size_t length)
{
        uint8_t masked = w->role == WEBSOCKET_CLIENT ? BIT_MASK : 0;
        int size = length <= CONTROL_MAX ? 0 : length <= UINT16_MAX ? 2 : 8;

        put_byte(w, BIT_FINAL | (uint64_t)opcode);
        put_byte(w, masked | (size == 0 ? length : size == 2 ? LENGTH_16 : LENGTH_64));
        while (size-- > 0)
                put_byte(w, (uint64_t)length >> 8 * size);
}

/* Gathers a frame of at most FRAME_MAX bytes; nothing is sent after a close frame. The caller sends what is gathered. */
static void put_frame(struct websocket *w, enum opcode opcode, struct str bytes)
{
        uint8_t key[MASK_SIZE] = { 0 };

        if (w->is_close_sent)
                return;
        w->is_close_sent = opcode == OPCODE_CLOSE;
        if (w->gathered_len + HEADER_MAX + bytes.len > LOOP_BUFFER)
                send_gathered(w);
        if (w->gathered == NULL)
                w->gathered = loop_buffer_take(w->loop);
        put_header(w, opcode, bytes.len);
        if (w->role == WEBSOCKET_CLIENT) {
                random_bytes(key, sizeof key);
                memcpy(w->gathered + w->gathered_len, key, sizeof key);
                w->gathered_len += sizeof key;
                mask(w->gathered + w->gathered_len, bytes, key, 0);
        } else if (bytes.len > 0) {
                memcpy(w->gathered + w->gathered_len, bytes.ptr, bytes.len);
        }
        w->gathered_len += bytes.len;
}

static void put_close(struct websocket *w, uint16_t status)
{
        const char bytes[STATUS_SIZE] = { (char)(status >> 8), (char)(status & 0xff) };

        put_frame(w, OPCODE_CLOSE, (struct str){ bytes, sizeof bytes });
}

/* Refuses all further input of the peer, with a close frame. */
static void refuse(struct websocket *w, uint16_t status)
{
        w->status_refused = status;
        put_close(w, status);
}

/* ---- frames of the peer ---------------------------------------------------------------------------------------- */

static enum opcode opcode_of(const struct websocket *w)
{
        return w->header[0] & BITS_OPCODE;
}

static bool is_control(const struct websocket *w)
{
        return (opcode_of(w) & 0x08) != 0;
}

/* Bytes of the length after the second byte of the header. */
static size_t length_size(const struct websocket *w)
{
        uint8_t length = w->header[1] & (uint8_t)~BIT_MASK;

        return length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
}

/* The violation by the first two bytes of a header (sections 5.1, 5.2, 5.4, 5.5); 0: none. */
static uint16_t check_header(const struct websocket *w)
{
        bool is_final = (w->header[0] & BIT_FINAL) != 0, is_masked = (w->header[1] & BIT_MASK) != 0;

        if ((w->header[0] & BITS_RESERVED) != 0 || is_masked != (w->role == WEBSOCKET_SERVER))
                return STATUS_PROTOCOL_ERROR;
        switch (opcode_of(w)) {
        case OPCODE_CONTINUATION:
                return w->is_in_message ? 0 : STATUS_PROTOCOL_ERROR;
        case OPCODE_BINARY:
                return w->is_in_message ? STATUS_PROTOCOL_ERROR : 0;
        case OPCODE_TEXT:
                return w->is_in_message ? STATUS_PROTOCOL_ERROR : STATUS_UNSUPPORTED;
        case OPCODE_CLOSE:
        case OPCODE_PING:
        case OPCODE_PONG:
                return is_final && length_size(w) == 0 ? 0 : STATUS_PROTOCOL_ERROR;
        }
        return STATUS_PROTOCOL_ERROR;
}

/* Begins a frame whose length is complete; returns the violation, 0: none. */
static uint16_t begin_frame(struct websocket *w)
{
        size_t size = length_size(w);
        uint64_t length = size == 0 ? w->header[1] & (uint8_t)~BIT_MASK : 0;

        for (size_t i = 0; i < size; i++)
                length = length << 8 | w->header[2 + i];
        if ((size == 2 && length < LENGTH_16) || (size == 8 && (length <= UINT16_MAX || length >> 63 != 0)))
                return STATUS_PROTOCOL_ERROR;
        w->at = 0;
        w->left = length;
        w->control_len = 0;
        if (is_control(w))
                return 0;
        w->message = (w->is_in_message ? w->message : 0) + length; /* below 2^63, to at most LIMIT_WEBSOCKET_MESSAGE */
        w->is_in_message = (w->header[0] & BIT_FINAL) == 0;
        return w->message > LIMIT_WEBSOCKET_MESSAGE ? STATUS_TOO_BIG : 0;
}

/* Takes the next byte of a header. */
static void take_header_byte(struct websocket *w, uint8_t byte)
{
        uint16_t violation = 0;

        w->header[w->header_len++] = byte;
        if (w->header_len < 2)
                return;
        size_t length_end = 2 + length_size(w), end = length_end + (w->role == WEBSOCKET_SERVER ? MASK_SIZE : 0);
        if (w->header_len == 2)
                violation = check_header(w);
        if (w->header_len == length_end && violation == 0)
                violation = begin_frame(w);
        if (violation != 0)
                refuse(w, violation);
        w->is_in_payload = w->header_len == end;
}

/* Whether a close frame may have the status (section 7.4, and the registry of IANA). */
static bool is_status(unsigned status)
{
        return (status >= 1000 && status <= 1014 && status != 1004 && status != STATUS_NONE && status != 1006) || (status >= 3000 && status <= 4999);
}

/* Section 5.5.1: the payload is empty, or a status and a reason in UTF-8. */
static void take_close(struct websocket *w, struct str payload)
{
        unsigned status = payload.len < STATUS_SIZE ? STATUS_NONE : (unsigned)(w->control[0] << 8 | w->control[1]);

        if (payload.len == 1 || (payload.len > 1 && !is_status(status))) {
                refuse(w, STATUS_PROTOCOL_ERROR);
        } else if (!text_is_utf8(str_slice(payload, STATUS_SIZE, payload.len))) {
                refuse(w, STATUS_INVALID_PAYLOAD);
        } else {
                w->status_received = (uint16_t)status;
                put_frame(w, OPCODE_CLOSE, payload);
        }
}

static void end_frame(struct websocket *w)
{
        struct str payload = str_of_bytes(w->control, w->control_len);

        w->header_len = 0;
        w->is_in_payload = false;
        if (opcode_of(w) == OPCODE_CLOSE)
                take_close(w, payload);
        else if (opcode_of(w) == OPCODE_PING)
                put_frame(w, OPCODE_PONG, payload);
}

/* Takes payload of the current frame. */
static void take_payload(struct websocket *w, struct str bytes)
{
        static const uint8_t no_key[MASK_SIZE];
        const uint8_t *key = w->role == WEBSOCKET_SERVER ? w->header + w->header_len - MASK_SIZE : no_key;
        size_t *len = is_control(w) ? &w->control_len : &w->payload_len;
        char *out = is_control(w) ? (char *)w->control : w->payload;

        if (bytes.len > (is_control(w) ? CONTROL_MAX : LOOP_BUFFER) - *len)
                bug("a WebSocket frame has more payload than bytes");
        mask(out + *len, bytes, key, w->at);
        w->at += bytes.len;
        *len += bytes.len;
        w->left -= bytes.len;
}

/* Parses bytes of the peer up to a violation or a close frame, after which nothing counts. */
static void parse(struct websocket *w, struct str bytes)
{
        while (w->status_refused == 0 && w->status_received == 0) {
                size_t n = !w->is_in_payload ? 1 : w->left < bytes.len ? (size_t)w->left : bytes.len;

                if (w->is_in_payload && w->left == 0) {
                        end_frame(w);
                        continue;
                }
                if (str_is_empty(bytes))
                        break;
                if (w->is_in_payload)
                        take_payload(w, str_slice(bytes, 0, n));
                else
                        take_header_byte(w, (uint8_t)bytes.ptr[0]);
                bytes = str_slice(bytes, n, bytes.len);
        }
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
        w->has_failed = err != NULL;
        stream_read(w->lower, false);
        timer_stop(w->keepalive);
        w->stream.events->on_end(w->stream.ctx, err);
}

/* `reason` is that of the close frame. */
static struct error *failure_of_status(unsigned status, struct str reason)
{
        AUTO_MEM char *shown = escaped(reason);

        if (status == STATUS_NORMAL || status == STATUS_GOING_AWAY || status == STATUS_NONE)
                return NULL;
        return error_new(ERROR_UNAVAILABLE, "the peer closed the WebSocket with status %u%s%s%s", status, str_is_empty(reason) ? "" : ", '", shown,
                         str_is_empty(reason) ? "" : "'");
}

/* Called after a read: checks whether it was the last one. */
static void check_end(struct websocket *w)
{
        if (w->status_received != 0) {
                stream_shutdown(w->lower);
                report_end(w, failure_of_status(w->status_received, str_slice(str_of_bytes(w->control, w->control_len), STATUS_SIZE, w->control_len)));
        } else if (w->status_refused != 0) {
                stream_shutdown(w->lower);
                report_end(w, error_new(ERROR_UNAVAILABLE, "the peer broke the WebSocket protocol (status %u)", w->status_refused));
        } else if (w->control_bytes > LIMIT_WEBSOCKET_CONTROL) {
                refuse(w, STATUS_POLICY_VIOLATION);
                send_gathered(w);
                report_end(w, error_new(ERROR_RESOURCE_EXHAUSTED, "the peer of a WebSocket sends pings and does not read the answers"));
        }
}

/* ---- the lower stream ---------------------------------------------------------------------------------------- */

static void on_lower_read(void *ctx, struct str bytes)
{
        struct websocket *w = ctx;
        char *buffer = loop_buffer_take(w->loop);

        w->refs++;
        w->received = loop_now(w->loop);
        w->pinged = (struct instant){ 0 };
        w->payload = buffer;
        w->payload_len = 0;
        size_t before = stream_pending(w->lower);
        parse(w, bytes);
        send_gathered(w);
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
        if (!w->has_failed && w->stream.events != NULL && w->stream.events->on_drain != NULL)
                w->stream.events->on_drain(w->stream.ctx);
}

static void on_lower_end(void *ctx, struct error *err)
{
        struct websocket *w = ctx;

        if (err != NULL && w->has_ended) { /* the lower stream has dropped its queue and reports no more */
                error_free(err);
                on_lower_drain(w);
                return;
        }
        report_end(w, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the connection ended without a WebSocket close frame"));
}

static const struct stream_events lower_events = { .on_read = on_lower_read, .on_drain = on_lower_drain, .on_end = on_lower_end };

/* ---- keepalive ------------------------------------------------------------------------------------------------ */

static struct instant after(struct instant t, int64_t ms)
{
        return instant_add(t, MILLISECONDS(ms));
}

/* The time of the next ping, or of the end because the last one is unanswered. It never becomes earlier except by a ping. */
static struct instant keepalive_due(const struct websocket *w)
{
        if (!w->wanted) /* an answer would not be read */
                return after(w->sent, TIMEOUT_UPGRADE_KEEPALIVE);
        if (w->pinged.ns != 0)
                return after(w->pinged, TIMEOUT_KEEPALIVE_ANSWER);
        return after(w->received.ns < w->sent.ns ? w->received : w->sent, TIMEOUT_UPGRADE_KEEPALIVE);
}

/* The timer is never stopped early: when it fires before the time that is due by now, it is only restarted. */
static void on_keepalive(void *ctx)
{
        struct websocket *w = ctx;
        struct instant now = loop_now(w->loop);
        bool is_due = now.ns >= keepalive_due(w).ns;

        if (is_due && w->wanted && w->pinged.ns != 0) {
                report_end(w, error_new(ERROR_DEADLINE_EXCEEDED, "the peer of a WebSocket does not answer"));
                return;
        }
        if (is_due) {
                put_frame(w, OPCODE_PING, STR(""));
                send_gathered(w);
                w->sent = now; /* also after our close frame, when no ping is sent any more */
        }
        if (is_due && w->wanted && now.ns >= after(w->received, TIMEOUT_UPGRADE_KEEPALIVE).ns)
                w->pinged = now;
        timer_start(w->keepalive, instant_since(keepalive_due(w), now));
}

/* ---- the stream ----------------------------------------------------------------------------------------------- */

static void websocket_read(struct stream *stream, bool wanted)
{
        struct websocket *w = websocket_of(stream);

        if (wanted && !w->wanted) { /* the answer may be unread */
                w->received = loop_now(w->loop);
                w->pinged = (struct instant){ 0 };
        }
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
                put_frame(w, OPCODE_BINARY, str_slice(bytes, 0, FRAME_MAX));
                send_gathered(w);
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
        put_close(w, STATUS_NORMAL);
        send_gathered(w);
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

        w->stream.ops = &websocket_ops;
        w->role = role;
        w->loop = l;
        w->lower = lower;
        w->refs = 1;
        w->keepalive = timer_new(l, on_keepalive, w);
        w->received = w->sent = loop_now(l);
        timer_start(w->keepalive, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE));
        stream_listen(lower, &lower_events, w);
        return &w->stream;
}
