/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fd_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"

/* The kernel's default limit of a pipe for unprivileged users: a large pipe needs fewer turns of the loop for the same bytes. */
enum { PIPE_SIZE = 1 * MiB };

struct fd_stream {
        struct stream stream;
        struct loop *loop;
        uv_poll_t in, out;
        int in_fd, out_fd;
        int in_flags, out_flags; /* flags before this stream changed them */
        struct buf queue;
        size_t queue_head;
        struct error *broken;     /* not reported to the owner yet */
        struct loop_hook hook;  /* while it lingers after close */
        unsigned refs;            /* one for both handles, and one for each deferred call */
        bool is_reading, is_writing; /* polled */
        bool is_read_ended, is_shut_wanted, is_out_closed;
        bool is_broken, has_ended, is_closed, is_gone;
};

static struct fd_stream *fd_stream_of(struct stream *s)
{
        return CONTAINER_OF(s, struct fd_stream, stream);
}

static void unref(struct fd_stream *s)
{
        if (--s->refs > 0)
                return;
        error_free(s->broken);
        buf_release(&s->queue);
        free(s);
}

static size_t queued(const struct fd_stream *s)
{
        return s->queue.len - s->queue_head;
}

/* ---- the descriptors --------------------------------------------------------------------------------------- */

static void restore(int fd, int flags)
{
        if ((flags & O_NONBLOCK) == 0)
                fcntl(fd, F_SETFL, flags);
        close(fd);
}

static void close_out(struct fd_stream *s)
{
        if (s->is_out_closed)
                return;
        s->is_out_closed = true;
        s->is_writing = false;
        uv_poll_stop(&s->out);
        restore(s->out_fd, s->out_flags);
}

static void on_handle_closed(uv_handle_t *handle)
{
        unref(handle->data);
}

/* Releases both descriptors; afterwards none is polled. */
static void release_descriptors(struct fd_stream *s)
{
        if (s->is_gone)
                return;
        s->is_gone = true;
        loop_hook_remove(&s->hook);
        close_out(s);
        uv_poll_stop(&s->in);
        restore(s->in_fd, s->in_flags);
        uv_close((uv_handle_t *)&s->in, on_handle_closed);
        uv_close((uv_handle_t *)&s->out, on_handle_closed);
}

static void run(struct loop_hook *g)
{
        release_descriptors(CONTAINER_OF(g, struct fd_stream, hook));
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_writable(uv_poll_t *poll, int status, int events);

static void poll_in(struct fd_stream *s, bool wanted)
{
        wanted = wanted && !s->is_read_ended && !s->is_broken;
        if (wanted == s->is_reading)
                return;
        s->is_reading = wanted;
        if (!wanted)
                uv_poll_stop(&s->in);
        else if (uv_poll_start(&s->in, UV_READABLE, on_readable) != 0)
                bug("uv_poll_start");
}

static void poll_out(struct fd_stream *s, bool wanted)
{
        if (wanted == s->is_writing || s->is_out_closed)
                return;
        s->is_writing = wanted;
        if (!wanted)
                uv_poll_stop(&s->out);
        else if (uv_poll_start(&s->out, UV_WRITABLE, on_writable) != 0)
                bug("uv_poll_start");
}

/* ---- breaking ------------------------------------------------------------------------------------------------- */

static void report_broken(void *ctx)
{
        struct fd_stream *s = ctx;

        if (s->broken != NULL && !s->is_closed && !s->has_ended) {
                struct error *err = s->broken;

                s->broken = NULL;
                s->has_ended = true;
                s->stream.events->on_end(s->stream.ctx, err);
        } else if (s->broken != NULL && !s->is_closed && s->stream.events->on_drain != NULL) {
                s->stream.events->on_drain(s->stream.ctx);
        }
        unref(s);
}

static void break_off(struct fd_stream *s, int errnum, const char *doing)
{
        if (s->is_broken)
                return;
        s->is_broken = true;
        buf_clear(&s->queue);
        s->queue_head = 0;
        poll_in(s, false);
        poll_out(s, false);
        if (s->is_closed) {
                release_descriptors(s);
                return;
        }
        s->broken = errnum == EPIPE ? error_new(ERROR_UNAVAILABLE, "the reader closed the output")
                                    : error_errno(errnum, "%s failed", doing);
        s->refs++;
        loop_defer(s->loop, report_broken, s);
}

/* ---- reading and writing ---------------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
        struct fd_stream *s = CONTAINER_OF(poll, struct fd_stream, in);

        (void)status, (void)events;
        char *room = loop_buffer_take(s->loop);
        ssize_t n = read(s->in_fd, room, STREAM_WRITE_BEST);
        int errnum = errno;
        s->refs++; /* keeps the memory, because the owner may close the stream */
        if (n > 0) {
                s->stream.events->on_read(s->stream.ctx, str_of_bytes(room, (size_t)n));
        } else if (n == 0) {
                s->is_read_ended = true;
                poll_in(s, false);
                if (!s->has_ended)
                        s->stream.events->on_end(s->stream.ctx, NULL);
                s->has_ended = true;
        } else if (errnum != EAGAIN && errnum != EINTR) {
                break_off(s, errnum, "reading the input");
        }
        loop_buffer_give(s->loop, room);
        unref(s);
}

/* Writes as much as the kernel accepts now; returns the number of bytes. */
static size_t write_some(struct fd_stream *s, struct str bytes)
{
        size_t done = 0;

        while (done < bytes.len) {
                ssize_t n = write(s->out_fd, bytes.ptr + done, bytes.len - done);

                if (n >= 0) {
                        done += (size_t)n;
                } else if (errno == EAGAIN) {
                        break;
                } else if (errno != EINTR) {
                        break_off(s, errno, "writing the output");
                        break;
                }
        }
        return done;
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
        struct fd_stream *s = CONTAINER_OF(poll, struct fd_stream, out);

        (void)status, (void)events;
        s->queue_head += write_some(s, str_slice(buf_str(&s->queue), s->queue_head, s->queue.len));
        if (s->is_broken || queued(s) > 0)
                return;
        buf_clear(&s->queue);
        s->queue_head = 0;
        poll_out(s, false);
        if (s->is_shut_wanted)
                close_out(s);
        if (s->is_closed)
                release_descriptors(s);
        else if (s->stream.events->on_drain != NULL)
                s->stream.events->on_drain(s->stream.ctx);
}

static void fd_read(struct stream *stream, bool wanted)
{
        poll_in(fd_stream_of(stream), wanted);
}

static void fd_write(struct stream *stream, struct str bytes)
{
        struct fd_stream *s = fd_stream_of(stream);

        if (s->is_broken || s->is_shut_wanted || s->is_out_closed)
                return;
        if (queued(s) == 0) {
                size_t done = write_some(s, bytes);

                if (s->is_broken || done == bytes.len)
                        return;
                bytes = str_slice(bytes, done, bytes.len);
        } else if (s->queue_head > PIPE_SIZE) {
                buf_consume(&s->queue, s->queue_head);
                s->queue_head = 0;
        }
        buf_put(&s->queue, bytes);
        poll_out(s, true);
}

static void fd_shutdown(struct stream *stream)
{
        struct fd_stream *s = fd_stream_of(stream);

        s->is_shut_wanted = true;
        if (queued(s) == 0)
                close_out(s);
}

static void fd_close(struct stream *stream)
{
        struct fd_stream *s = fd_stream_of(stream);

        s->is_closed = true;
        poll_in(s, false);
        if (queued(s) == 0 || s->is_broken)
                release_descriptors(s);
        else
                loop_hook_add(s->loop, &s->hook, run);
}

static size_t fd_pending(const struct stream *stream)
{
        return queued(CONTAINER_OF(stream, const struct fd_stream, stream));
}

static const struct stream_ops ops = {
        .read = fd_read, .write = fd_write, .shutdown = fd_shutdown, .close = fd_close, .pending = fd_pending
};

/* ---- beginning ---------------------------------------------------------------------------------------------------- */

/* Prepares the descriptor for epoll, which accepts neither files nor directories. */
static struct error *prepare(int fd, const char *name, int *ret_flags)
{
        struct stat st;

        if (fstat(fd, &st) != 0)
                return error_errno(errno, "the standard %s is not open", name);
        if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !isatty(fd))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the standard %s is no pipe, socket or terminal", name),
                                  "this command is made to be a ProxyCommand of ssh");
        *ret_flags = fcntl(fd, F_GETFL);
        if (*ret_flags < 0 || fcntl(fd, F_SETFL, *ret_flags | O_NONBLOCK) != 0)
                return error_errno(errno, "cannot prepare the standard %s", name);
        if (S_ISFIFO(st.st_mode))
                fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* optional: the system may have a lower limit */
        return NULL;
}

struct error *fd_stream_new(struct loop *l, int in, int out, struct stream **ret)
{
        int in_flags, out_flags;

        TRY(prepare(in, "input", &in_flags));
        TRY(prepare(out, "output", &out_flags));
        struct fd_stream *s = NEW(struct fd_stream);
        *s = (struct fd_stream){ .stream = { .ops = &ops }, .loop = l, .in_fd = in, .out_fd = out, .in_flags = in_flags,
                                 .out_flags = out_flags, .refs = 2 };
        s->queue = BUF_MAX(SIZE_MAX / 2); /* the owner limits the pending bytes */
        s->in.data = s->out.data = s;
        if (uv_poll_init(&l->uv, &s->in, in) != 0 || uv_poll_init(&l->uv, &s->out, out) != 0)
                bug("uv_poll_init");
        *ret = &s->stream;
        return NULL;
}
