/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connected socket as a stream.
 *
 * An idle socket holds no buffer: reads use a loop buffer, writes are passed to the kernel at once,
 * and only the bytes that the kernel does not accept are queued. After stream_close() the socket may linger:
 *
 *     open ──close──▶ sending the queue ──▶ FIN sent, reading until the peer's end ──▶ closed
 *
 * because a close() with unread input makes the kernel reset the connection, and the reset may destroy
 * the last bytes sent (an HTTP refusal, a TLS alert) before the peer reads them.
 */
#include "net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/sources.h"

/* State of a closed socket while it lingers. */
struct lingering {
        struct loop_hook hook;
        struct timer *deadline;
        struct socket *socket;
        size_t discarded;
};

struct socket {
        struct stream stream;
        struct loop *loop;
        uv_poll_t poll;
        char *queue; /* allocated only while bytes are queued */
        size_t queue_head, queue_len, queue_room;
        size_t read_most; /* maximum of bytes per read */
        struct error *broken; /* error that is not reported yet */
        struct lingering *lingering;
        int fd;
        int polled;    /* events that libuv polls for */
        unsigned refs; /* one for the open handle, one for each deferred call */
        bool wanted;   /* the owner reads */
        bool is_read_ended;
        bool is_shut_wanted, is_shut;
        bool is_broken;
        bool has_ended; /* on_end was called */
        bool is_drain_due; /* the queue was dropped after the orderly end */
        bool has_written;
        bool is_closed; /* the owner closed the stream */
};

static struct socket *socket_of(struct stream *s)
{
        return CONTAINER_OF(s, struct socket, stream);
}

static void socket_unref(struct socket *s)
{
        if (--s->refs > 0)
                return;
        error_free(s->broken);
        free(s);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_polled(struct socket *s, int events)
{
        int status = 0;

        if (events == s->polled)
                return;
        s->polled = events;
        if (events == 0)
                uv_poll_stop(&s->poll);
        else
                status = uv_poll_start(&s->poll, events, on_poll);
        if (status < 0)
                bug("uv_poll_start: %s", uv_strerror(status));
}

/*
 * Polls for the events needed now. Polling for input stops only when an event arrives while the owner
 * has paused reading, so that a short pause costs no system call.
 */
static void update_polled(struct socket *s)
{
        int events = s->polled & UV_READABLE;

        if (s->is_closed || s->is_broken)
                events = 0;
        if (s->wanted && !s->is_read_ended && !s->is_broken)
                events |= UV_READABLE;
        if (s->queue_len > 0)
                events |= UV_WRITABLE;
        set_polled(s, events);
}

/* ---- breaking ------------------------------------------------------------------------------------------ */

static void drop_queue(struct socket *s)
{
        free(s->queue);
        s->queue = NULL;
        s->queue_head = s->queue_len = s->queue_room = 0;
}

static void report_broken(void *ctx)
{
        struct socket *s = ctx;

        if (s->broken != NULL && !s->is_closed && !s->has_ended && s->stream.events != NULL) {
                struct error *err = s->broken;

                s->broken = NULL;
                s->has_ended = true;
                s->stream.events->on_end(s->stream.ctx, err);
        } else if (s->is_drain_due && !s->is_closed && s->stream.events->on_drain != NULL) {
                s->is_drain_due = false;
                s->stream.events->on_drain(s->stream.ctx);
        }
        socket_unref(s);
}

static void report_broken_soon(struct socket *s)
{
        s->refs++;
        loop_defer(s->loop, report_broken, s);
}

static void break_off(struct socket *s, int errnum, const char *doing)
{
        if (s->is_broken)
                return;
        s->is_broken = true;
        s->is_drain_due = s->has_ended && s->queue_len > 0;
        drop_queue(s);
        set_polled(s, 0);
        if (s->is_drain_due && !s->is_closed)
                report_broken_soon(s);
        if (s->is_closed || s->has_ended)
                return;
        s->broken = errnum == EPIPE || errnum == ECONNRESET
                            ? error_new(ERROR_UNAVAILABLE, "the peer closed the connection")
                            : error_errno(errnum, "%s failed", doing);
        report_broken_soon(s);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* Sends as many bytes as the kernel accepts, possibly none; breaks the socket on an error. */
static size_t send_some(struct socket *s, struct str bytes)
{
        ssize_t n;

        do
                n = send(s->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
                return (size_t)n;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
                break_off(s, errno, "sending");
        return 0;
}

static void enqueue(struct socket *s, struct str bytes)
{
        if (s->queue_head + s->queue_len + bytes.len > s->queue_room) {
                /* Doubling at least keeps the cost of moving in proportion to the bytes written; the first block fits exactly. */
                size_t needed = s->queue_len + bytes.len;
                size_t room = s->queue == NULL ? needed : needed > s->queue_room / 2 ? 2 * needed : s->queue_room;
                char *queue = mem_resize(NULL, room, 1);

                if (s->queue_len > 0)
                        memcpy(queue, s->queue + s->queue_head, s->queue_len);
                free(s->queue);
                s->queue = queue;
                s->queue_head = 0;
                s->queue_room = room;
        }
        memcpy(s->queue + s->queue_head + s->queue_len, bytes.ptr, bytes.len);
        s->queue_len += bytes.len;
}

static void shut_if_due(struct socket *s)
{
        if (!s->is_shut_wanted || s->is_shut || s->is_broken || s->queue_len > 0)
                return;
        s->is_shut = true;
        shutdown(s->fd, SHUT_WR); /* fails only when the peer has disconnected, which the next read reports */
}

static void socket_write(struct stream *stream, struct str bytes)
{
        struct socket *s = socket_of(stream);

        if (s->is_broken || s->is_shut_wanted)
                return;
        s->has_written = true;
        if (s->queue_len == 0)
                bytes = str_slice(bytes, send_some(s, bytes), bytes.len);
        if (s->is_broken || str_is_empty(bytes))
                return;
        enqueue(s, bytes);
        update_polled(s);
}

/* The socket is writable: sends the queue, and notifies the owner when the queue is empty. */
static void flush(struct socket *s)
{
        if (s->queue_len == 0)
                return;
        size_t sent = send_some(s, (struct str){ s->queue + s->queue_head, s->queue_len });
        if (s->is_broken)
                return;
        s->queue_head += sent;
        s->queue_len -= sent;
        if (s->queue_len > 0)
                return;
        drop_queue(s);
        shut_if_due(s);
        if (!s->is_closed && s->stream.events != NULL && s->stream.events->on_drain != NULL)
                s->stream.events->on_drain(s->stream.ctx);
}

static void socket_shutdown(struct stream *stream)
{
        struct socket *s = socket_of(stream);

        s->is_shut_wanted = true;
        shut_if_due(s);
}

static size_t socket_pending(const struct stream *stream)
{
        return CONTAINER_OF(stream, const struct socket, stream)->queue_len;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void take_in(struct socket *s)
{
        char *buffer = loop_buffer_take(s->loop);
        ssize_t n = recv(s->fd, buffer, s->read_most, MSG_DONTWAIT);

        if (n > 0) {
                s->stream.events->on_read(s->stream.ctx, (struct str){ buffer, (size_t)n });
        } else if (n == 0) {
                s->is_read_ended = true;
                s->has_ended = true;
                s->stream.events->on_end(s->stream.ctx, NULL);
        } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
                break_off(s, errno, "receiving");
        }
        loop_buffer_give(s->loop, buffer);
}

static void socket_read(struct stream *stream, bool wanted)
{
        struct socket *s = socket_of(stream);

        s->wanted = wanted;
        if (!wanted)
                return;
        if (s->broken != NULL) /* the error occurred while the owner had paused */
                report_broken_soon(s);
        update_polled(s);
}

/* ---- closing ------------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
        socket_unref(handle->data);
}

static void close_now(struct socket *s)
{
        if (s->lingering != NULL) {
                loop_hook_remove(&s->lingering->hook);
                timer_free(s->lingering->deadline);
                free(s->lingering);
                s->lingering = NULL;
        }
        drop_queue(s);
        uv_close((uv_handle_t *)&s->poll, on_poll_closed); /* after this call libuv does not use the descriptor */
        close(s->fd);
}

static void on_linger_expired(void *ctx)
{
        close_now(ctx);
}

static void run(struct loop_hook *g)
{
        close_now(CONTAINER_OF(g, struct lingering, hook)->socket);
}

/* Reads and discards input; true when the end of the input or an error was reached. */
static bool receive_out(struct socket *s)
{
        char *buffer = loop_buffer_take(s->loop);
        ssize_t n = recv(s->fd, buffer, LOOP_BUFFER, MSG_DONTWAIT);
        bool is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);

        loop_buffer_give(s->loop, buffer);
        if (n > 0 && s->lingering != NULL)
                s->lingering->discarded += (size_t)n;
        return is_over;
}

/* One step of lingering: discards input, closes the socket when nothing is left to do. */
static void linger_on(struct socket *s, bool is_readable)
{
        if (is_readable && !s->is_read_ended)
                s->is_read_ended = receive_out(s);
        if (s->is_broken || (s->queue_len == 0 && (s->is_read_ended || s->lingering->discarded > LIMIT_LINGER_INPUT))) {
                close_now(s);
                return;
        }
        set_polled(s, (s->is_read_ended ? 0 : UV_READABLE) | (s->queue_len > 0 ? UV_WRITABLE : 0));
        /* While only the peer's end is awaited, the handle must not keep the loop running. */
        if (s->queue_len == 0)
                uv_unref((uv_handle_t *)&s->poll);
}

static void socket_close(struct stream *stream)
{
        struct socket *s = socket_of(stream);

        s->is_closed = true;
        s->wanted = false;
        /* Often the peer has closed its side already: then lingering is unnecessary. */
        if (!s->is_broken && s->queue_len == 0 && s->has_written && !s->is_read_ended)
                s->is_read_ended = receive_out(s);
        if (s->is_broken || (s->queue_len == 0 && (s->is_read_ended || !s->has_written))) {
                close_now(s);
                return;
        }
        s->lingering = NEW(struct lingering);
        s->lingering->socket = s;
        s->lingering->deadline = timer_new(s->loop, on_linger_expired, s);
        timer_start(s->lingering->deadline, MILLISECONDS(TIMEOUT_LINGER));
        timer_unref(s->lingering->deadline);
        loop_hook_add(s->loop, &s->lingering->hook, run);
        socket_shutdown(stream);
        linger_on(s, false);
}

/* ---- the stream ---------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct socket *s = poll->data;

        loop_note_event(s->loop);
        if (status < 0) {
                /* libuv has stopped polling and does not report the error; the calls below will fail with it. */
                s->polled = 0;
                events = UV_READABLE | UV_WRITABLE;
        }
        if (events & UV_WRITABLE)
                flush(s);
        if (s->is_closed) {
                if (!uv_is_closing((uv_handle_t *)poll))
                        linger_on(s, events & UV_READABLE);
                return;
        }
        if ((events & UV_READABLE) && !s->is_broken) {
                if (s->wanted && !s->is_read_ended)
                        take_in(s);
                else
                        set_polled(s, s->polled & ~UV_READABLE);
        }
        if (!s->is_closed)
                update_polled(s);
}

static const struct stream_ops socket_ops = {
        .read = socket_read,
        .write = socket_write,
        .shutdown = socket_shutdown,
        .close = socket_close,
        .pending = socket_pending,
};

struct stream *socket_stream(struct loop *l, int fd)
{
        struct socket *s = NEW(struct socket);

        s->stream.ops = &socket_ops;
        s->loop = l;
        s->fd = fd;
        s->read_most = LOOP_BUFFER;
        s->refs = 1;
        int status = uv_poll_init(&l->uv, &s->poll, fd);
        if (status < 0)
                bug("descriptor %d cannot be watched: %s", fd, uv_strerror(status));
        s->poll.data = s;
        return &s->stream;
}

void socket_stream_limit_reads(struct stream *stream, size_t most)
{
        socket_of(stream)->read_most = most < LOOP_BUFFER ? most : LOOP_BUFFER;
}

/* ---- about sockets ------------------------------------------------------------------------------------- */

struct error *socket_pair(int *ret_a, int *ret_b)
{
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
                return error_errno(errno, "cannot make a pair of sockets");
        *ret_a = fds[0];
        *ret_b = fds[1];
        return NULL;
}

void socket_set_tcp_options(int fd)
{
        const int on = 1, idle = TIMEOUT_TCP_KEEPALIVE / 1000, pace = PACE_TCP_KEEPALIVE / 1000, count = LIMIT_TCP_KEEPALIVE;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pace, sizeof pace);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void socket_peer_address(int fd, char *ret_text)
{
        struct sock_address peer = { .len = sizeof peer.storage };

        ret_text[0] = '\0';
        if (getpeername(fd, (struct sockaddr *)&peer.storage, &peer.len) == 0)
                sock_address_text(&peer, ret_text);
}

bool socket_is_own(int fd, const char *peer)
{
        struct sock_address own = { .len = sizeof own.storage };
        char text[ADDRESS_TEXT_MAX] = "";

        if (getsockname(fd, (struct sockaddr *)&own.storage, &own.len) == 0)
                sock_address_text(&own, text);
        return text[0] != '\0' && str_equal(address_ip(text), address_ip(peer));
}

struct error *socket_peer_cred(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid)
{
        struct ucred cred;
        socklen_t len = sizeof cred;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
                return error_errno(errno, "cannot identify the process at the other end of the socket");
        *ret_uid = cred.uid;
        *ret_gid = cred.gid;
        *ret_pid = cred.pid;
        return NULL;
}

#ifndef SO_PEERPIDFD
enum { SO_PEERPIDFD = 77 }; /* missing in older headers; asm-generic/socket.h */
#endif

struct error *socket_peer_pidfd(int fd, int *ret_fd)
{
        int pidfd = -1;
        socklen_t len = sizeof pidfd;

        *ret_fd = -1;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
                *ret_fd = pidfd;
        else if (errno != ENOPROTOOPT)
                return error_new(ERROR_UNAVAILABLE, "the process at the other end of the socket is gone");
        return NULL;
}
