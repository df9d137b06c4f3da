/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a recording to the cluster, while it is written and afterwards:
 *
 *      get a client ─▶ Record: open ─▶ "begin at …" ─▶ read a piece ─▶ send ─▶ … ─▶ finish ─▶ "finished"
 *            ▲                │ lost                     ▲         │
 *            └──── a pause ◀──┘                          └─ acks ◀─┘
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "agent/spool_internal.h"
#include "rpc/pb.h"

static void on_retry(void *ctx);
static void piece_free(void *ctx);

void upload_init(struct spool_file *f)
{
        f->upload.retry = timer_new(f->spool->loop, on_retry, f);
        f->upload.backoff = (struct backoff){ .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MAX) };
}

static void leave_queue(struct spool_file *f)
{
        if (f->upload.is_queued)
                TAILQ_REMOVE(&f->spool->turns, f, upload.turn);
        f->upload.is_queued = false;
}

/* Returns budget, and continues the uploads that have waited longest for it. */
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

/* Reserves budget for a piece; false: the file is queued, and give_back continues it in its turn. */
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
        job_cancel(f->upload.reading, piece_free);
}

bool upload_is_busy(const struct spool_file *f)
{
        return f->upload.call != NULL || f->upload.is_request_pending || (f->upload.reading != NULL && !f->spool->is_closing);
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

/*
 * The file stays, and the next run uploads it again. A running session gets the error. A file with a header at most, of a
 * session that the cluster does not know, has nothing to keep: its process ended before the session began.
 */
static void refuse(struct spool_file *f, struct error *err)
{
        if (f->is_empty && err->code == ERROR_NOT_FOUND) {
                log_info("The empty recording of a session that never began is removed", LOG_C("session_id", f->id));
                error_free(err);
                f->is_unwanted = true;
                spool_file_settle(f);
                return;
        }
        log_warn("The cluster does not accept a recording; it stays in the spool", LOG_C("session_id", f->id), LOG_ERR(err));
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
        f->upload.has_offset = f->upload.has_finished_sending = false;
        leave_queue(f);
        give_back(f, f->upload.reserved);
        if (f->is_unwanted) {
                error_free(err);
                spool_file_settle(f);
        } else if (err != NULL && agent_is_final(err, ERROR_DATA_LOSS)) {
                refuse(f, err);
        } else {
                try_later(f, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the cluster hung up"));
        }
}

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

/* A piece of the file, or the marker of a hole in the file. */
struct piece {
        struct spool_file *file;
        int fd; /* duplicated for the job */
        uint64_t from;
        struct buf bytes;
        bool is_hole;
        uint32_t next; /* of a hole: number of the chunk after it */
        struct error *err;
};

static void piece_free(void *ctx)
{
        struct piece *p = ctx;

        if (p->fd >= 0)
                close(p->fd);
        buf_release(&p->bytes);
        error_free(p->err);
        free(p);
}

static void read_job(void *ctx)
{
        struct piece *p = ctx;

        if (p->is_hole) {
                size_t part = p->bytes.len;

                buf_clear(&p->bytes);
                recording_put_hole(&p->bytes, part, p->next);
                return;
        }
        for (size_t at = 0; at < p->bytes.len;) {
                ssize_t n = pread(p->fd, p->bytes.ptr + at, p->bytes.len - at, (off_t)(p->from + at));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        p->err = n < 0 ? error_errno(errno, "cannot read the recording")
                                       : error_new(ERROR_DATA_LOSS, "the recording became shorter");
                        return;
                }
                at += (size_t)n;
        }
}

static void send_piece(struct spool_file *f, struct str bytes)
{
        struct upload *u = &f->upload;
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordChunk chunk = CTELEPORT__V1__RECORD_CHUNK__INIT;

        chunk.offset = (int64_t)u->sent;
        chunk.data = pb_bytes(bytes);
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_CHUNK;
        up.chunk = &chunk;
        rpc_client_send(u->call, &up.base);
        u->sent += bytes.len;
        u->sent_at = loop_now(f->spool->loop);
}

/* Delays small pieces of a running session: each costs an fsync in the Auth Service. */
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
        struct piece *p = ctx;
        struct spool_file *f = p->file;
        struct upload *u = &f->upload;

        u->reading = NULL;
        if (p->err != NULL) {
                log_warn("A recording cannot be read", LOG_C("session_id", f->id), LOG_ERR(p->err));
                f->is_refused = true; /* the next run checks the file again */
                if (f->is_published)
                        stop(f);
        } else if (u->call != NULL && u->has_offset && u->sent == p->from && u->reserved >= p->bytes.len) {
                send_piece(f, buf_str(&p->bytes));
        } else {
                give_back(f, u->reserved); /* the stream for which it was read has ended */
        }
        piece_free(p);
        upload_advance(f);
}

/* The length of the next piece. *ret_hole: the hole of which the piece marks (a part). 0: no marker fits the rest of the hole. */
static size_t next_piece(const struct spool_file *f, const struct spool_hole **ret_hole)
{
        const struct upload *u = &f->upload;
        uint64_t end = f->size;

        *ret_hole = NULL;
        for (size_t i = 0; i < f->hole_count; i++) {
                const struct spool_hole *h = &f->holes[i];

                if (h->from <= u->sent && u->sent < h->to) {
                        *ret_hole = h;
                        return recording_hole_part(h->to - u->sent);
                }
                if (h->from > u->sent && h->from < end)
                        end = h->from;
        }
        return end - u->sent < SPOOL_PIECE ? (size_t)(end - u->sent) : SPOOL_PIECE;
}

/* If the cluster has more of the last chunk than this disk, the recording ends there. Otherwise the two copies differ. */
static void end_within_hole(struct spool_file *f, const struct spool_hole *hole)
{
        if (hole->to == f->size) {
                f->size = f->upload.sent;
                upload_advance(f);
                return;
        }
        log_warn("The cluster's part of a damaged recording differs from the file on this node; it stays in the spool", LOG_C("session_id", f->id));
        f->is_refused = true;
        stop(f);
}

static void read_piece(struct spool_file *f)
{
        struct upload *u = &f->upload;
        const struct spool_hole *hole;
        size_t len = next_piece(f, &hole);

        if (len == 0) {
                end_within_hole(f, hole);
                return;
        }
        if (!reserve(f, len))
                return;
        struct piece *p = NEW(struct piece);
        *p = (struct piece){ .file = f, .fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0), .from = u->sent, .bytes = BUF_MAX(SPOOL_PIECE), .is_hole = hole != NULL,
                             .next = hole != NULL ? hole->next : 0 };
        buf_extend(&p->bytes, len);
        u->reading = loop_job(f->spool->loop, read_job, on_read, p);
}

static void send_finish(struct spool_file *f)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordFinish finish = CTELEPORT__V1__RECORD_FINISH__INIT;

        finish.size = (int64_t)f->size;
        finish.is_aborted = f->is_aborted;
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_FINISH;
        up.finish = &finish;
        f->upload.has_finished_sending = true;
        rpc_client_send(f->upload.call, &up.base);
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

/* Data that an earlier stream has delivered stays valid, even if this host's disk lost it in a power failure. */
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
                rpc_client_cancel(f->upload.call); /* invalid offset: begins again */
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

        f->upload.is_request_pending = false;
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
                if (u->is_request_pending || u->reading != NULL || timer_is_running(u->retry))
                        return;
                u->is_request_pending = true;
                agent_request_auth(f->spool->agent, on_client, f);
                return;
        }
        if (!u->has_offset || u->reading != NULL || u->has_finished_sending)
                return;
        if (u->sent < f->size) {
                if (!is_paced(f))
                        read_piece(f);
        } else if (u->sent >= f->size && f->is_complete) {
                send_finish(f);
        }
}
