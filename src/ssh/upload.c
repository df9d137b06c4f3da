/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording on its way to the cluster, while it is written and after:
 *
 *      ask for auth ─▶ Record: open ─▶ "begin at …" ─▶ read a piece ─▶ send ─▶ … ─▶ finish ─▶ "finished"
 *            ▲                │ lost                     ▲         │
 *            └──── a pause ◀──┘                          └─ acks ◀─┘
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "ssh/spool_internal.h"

static void on_retry(void *ctx);

void upload_init(struct spool_file *f)
{
        f->upload.retry = timer_new(f->spool->loop, on_retry, f);
        f->upload.backoff = (struct backoff){ .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MOST) };
}

static void leave_queue(struct spool_file *f)
{
        if (f->upload.is_queued)
                TAILQ_REMOVE(&f->spool->turns, f, upload.turn);
        f->upload.is_queued = false;
}

/* The budget that bytes took is there for whoever waits longest. */
static void give_back(struct spool_file *f, size_t len)
{
        struct spool *sp = f->spool;

        f->upload.reserved -= len;
        sp->budget += len;
        while (sp->budget >= SPOOL_PIECE && !TAILQ_EMPTY(&sp->turns)) {
                struct spool_file *first = TAILQ_FIRST(&sp->turns);

                leave_queue(first);
                upload_advance(first);
        }
}

/* Whether there is budget for a piece; otherwise the file is called when it is its turn. */
static bool reserve(struct spool_file *f, size_t len)
{
        struct spool *sp = f->spool;

        if (f->upload.is_queued)
                return false;
        if (sp->budget < SPOOL_PIECE) {
                TAILQ_INSERT_TAIL(&sp->turns, f, upload.turn);
                f->upload.is_queued = true;
                return false;
        }
        f->upload.reserved += len;
        sp->budget -= len;
        return true;
}

void upload_release(struct spool_file *f)
{
        leave_queue(f);
        f->spool->budget += f->upload.reserved;
        timer_free(f->upload.retry);
        buf_release(&f->upload.piece);
        error_free(f->upload.read_error);
}

bool upload_is_busy(const struct spool_file *f)
{
        return f->upload.call != NULL || f->upload.is_asking || f->upload.is_reading;
}

static void stop(struct spool_file *f)
{
        f->is_published = false;
        timer_stop(f->upload.retry);
        if (f->upload.call != NULL)
                rpc_client_cancel(f->upload.call);
}

void upload_close(struct spool_file *f)
{
        stop(f);
        timer_free(f->upload.retry);
        f->upload.retry = NULL;
}

/* ---- ends --------------------------------------------------------------------------------------------------- */

/* What trying again will not change. */
static bool is_final(const struct error *err)
{
        switch (err->code) {
        case ERROR_NOT_FOUND:
        case ERROR_PERMISSION_DENIED:
        case ERROR_FAILED_PRECONDITION:
        case ERROR_DATA_LOSS:
        case ERROR_INVALID_ARGUMENT:
        case ERROR_UNIMPLEMENTED:
                return true;
        default:
                return false;
        }
}

/* The file stays, and the next run tries again; a session that goes on is told. */
static void refuse(struct spool_file *f, struct error *err)
{
        log_warn("The cluster does not take a recording; it stays in the spool", LOG_C("session_id", f->id), LOG_ERR(err));
        f->is_refused = true;
        f->is_published = false;
        spool_file_fail(f, err);
        spool_file_settle(f);
}

static void try_later(struct spool_file *f, struct error *err)
{
        log_debug("A recording waits for the cluster", LOG_C("session_id", f->id), LOG_ERR(err));
        error_free(err);
        if (f->is_published)
                timer_start(f->upload.retry, backoff_next(&f->upload.backoff));
        else
                spool_file_settle(f);
}

static void on_done(void *ctx, struct error *err)
{
        struct spool_file *f = ctx;

        f->upload.call = NULL;
        f->upload.has_offset = f->upload.has_finished_saying = false;
        leave_queue(f);
        give_back(f, f->upload.reserved);
        if (f->is_unwanted) {
                error_free(err);
                spool_file_settle(f);
        } else if (err != NULL && is_final(err)) {
                refuse(f, err);
        } else {
                try_later(f, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the cluster hung up"));
        }
}

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

static void read_job(void *ctx)
{
        struct spool_file *f = ctx;
        struct upload *u = &f->upload;

        for (size_t at = 0; at < u->piece.len;) {
                ssize_t n = pread(f->fd, u->piece.ptr + at, u->piece.len - at, (off_t)(u->read_from + at));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        u->read_error = n < 0 ? error_errno(errno, "cannot read the recording")
                                              : error_new(ERROR_DATA_LOSS, "the recording became shorter");
                        return;
                }
                at += (size_t)n;
        }
}

static void send_piece(struct spool_file *f)
{
        struct upload *u = &f->upload;
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordChunk chunk = CTELEPORT__V1__RECORD_CHUNK__INIT;

        chunk.offset = (int64_t)u->sent;
        chunk.data = (ProtobufCBinaryData){ .len = u->piece.len, .data = (uint8_t *)u->piece.ptr };
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_CHUNK;
        up.chunk = &chunk;
        rpc_client_send(u->call, &up.base);
        u->sent += u->piece.len;
        u->sent_at = loop_now(f->spool->loop);
}

/* Small pieces of a session that goes on wait for each other: each is an fsync at auth. */
static bool is_paced(struct spool_file *f)
{
        struct upload *u = &f->upload;
        struct duration since = instant_since(loop_now(f->spool->loop), u->sent_at);
        int64_t left = MILLISECONDS(PACE_UPLOAD).ns - since.ns;

        if (f->is_complete || f->size - u->sent >= SPOOL_PIECE || u->sent == 0 || left <= 0)
                return false;
        if (!timer_is_running(u->retry))
                timer_start(u->retry, (struct duration){ left });
        return true;
}

static void on_read(void *ctx)
{
        struct spool_file *f = ctx;
        struct upload *u = &f->upload;
        AUTO_PTR(error) err = u->read_error;

        u->read_error = NULL;
        u->is_reading = false;
        if (err != NULL) {
                log_warn("A recording cannot be read", LOG_C("session_id", f->id), LOG_ERR(err));
                f->is_refused = true; /* the next run looks at it anew */
                if (f->is_published)
                        stop(f);
        } else if (u->call != NULL && u->has_offset && u->sent == u->read_from && u->reserved >= u->piece.len) {
                send_piece(f);
        } else {
                give_back(f, u->reserved); /* the stream it was read for is gone */
        }
        buf_release(&u->piece);
        upload_advance(f);
}

static void read_piece(struct spool_file *f)
{
        struct upload *u = &f->upload;
        uint64_t left = f->size - u->sent;
        size_t len = left < SPOOL_PIECE ? (size_t)left : SPOOL_PIECE;

        if (!reserve(f, len))
                return;
        u->piece = BUF_MAX(SPOOL_PIECE);
        buf_extend(&u->piece, len);
        u->read_from = u->sent;
        u->is_reading = true;
        loop_job(f->spool->loop, read_job, on_read, f);
}

static void say_finish(struct spool_file *f)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordFinish finish = CTELEPORT__V1__RECORD_FINISH__INIT;

        finish.size = (int64_t)f->size;
        finish.is_aborted = f->is_aborted;
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_FINISH;
        up.finish = &finish;
        f->upload.has_finished_saying = true;
        rpc_client_send(f->upload.call, &up.base);
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

/* What an earlier stream brought there stands, even what a power cut took from our own disk: then it is the end. */
static void take_offset(struct spool_file *f, uint64_t offset)
{
        struct upload *u = &f->upload;

        if (!u->has_offset) {
                u->has_offset = true;
                u->sent = u->acked = offset;
                backoff_reset(&u->backoff);
        }
        size_t len = offset > u->acked ? (size_t)(offset - u->acked) : 0;
        u->acked = offset;
        give_back(f, len < u->reserved ? len : u->reserved);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct spool_file *f = ctx;
        const Cteleport__V1__RecordDown *down = (const Cteleport__V1__RecordDown *)msg;

        if (down->is_finished) {
                f->is_unwanted = f->is_complete || f->has_failed;
                rpc_client_half_close(f->upload.call);
                return;
        }
        if (down->offset < 0 || (f->upload.has_offset && (uint64_t)down->offset > f->upload.sent)) {
                rpc_client_cancel(f->upload.call); /* nonsense: begin anew */
                return;
        }
        take_offset(f, (uint64_t)down->offset);
        upload_advance(f);
}

static const struct rpc_client_events events = { on_message, on_done };

static void open_stream(struct spool_file *f, struct rpc_client *client)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordOpen open = CTELEPORT__V1__RECORD_OPEN__INIT;

        f->upload.call = rpc_client_call(client,
                                         (struct rpc_client_call_options){
                                                 .path = "/cteleport.v1.SessionService/Record",
                                                 .response = &cteleport__v1__record_down__descriptor,
                                         },
                                         &events, f);
        open.session_id = f->id;
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_OPEN;
        up.open = &open;
        rpc_client_send(f->upload.call, &up.base);
}

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct spool_file *f = ctx;

        f->upload.is_asking = false;
        if (err != NULL)
                try_later(f, err);
        else if (f->is_published)
                open_stream(f, client);
        else
                spool_file_settle(f);
}

static void on_retry(void *ctx)
{
        upload_advance(ctx);
}

void upload_advance(struct spool_file *f)
{
        struct upload *u = &f->upload;

        if (!f->is_published) {
                spool_file_settle(f);
                return;
        }
        if (u->call == NULL) {
                if (u->is_asking || u->is_reading || timer_is_running(u->retry))
                        return;
                u->is_asking = true;
                ssh_auth_client(f->spool->service, on_client, f);
                return;
        }
        if (!u->has_offset || u->is_reading || u->has_finished_saying)
                return;
        if (u->sent < f->size) {
                if (!is_paced(f))
                        read_piece(f);
        } else if (u->sent >= f->size && f->is_complete) {
                say_finish(f);
        }
}
