/* SPDX-License-Identifier: Apache-2.0 */
#include "session/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "session/wire.h"

static struct error *unreachable(struct error *cause)
{
        return error_because(error_hint(error_new(ERROR_UNAVAILABLE, "the SSH Service of this node cannot be reached"),
                                        "an operator of this node can check: journalctl -u teleport"),
                             cause);
}

static struct error *lost(void)
{
        return error_new(ERROR_UNAVAILABLE, "the SSH Service of this node has closed the connection");
}

static struct error *abstract_address(const char *name, struct sockaddr_un *ret, socklen_t *ret_len)
{
        size_t len = strlen(name);

        if (len == 0 || len >= sizeof ret->sun_path)
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the SSH Service's socket is not one");
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path + 1, name, len);
        *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
        return NULL;
}

/* Limits the time that connect(2) blocks while the listener's backlog is full. */
static void limit_connect(int fd)
{
        struct timeval within = { .tv_sec = TIMEOUT_CONNECT / 1000 };

        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within);
}

static struct error *check_server(int fd, uid_t server)
{
        struct ucred peer;
        socklen_t len = sizeof peer;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return error_errno(errno, "cannot get the owner of the socket");
        if (peer.uid != server)
                return error_new(ERROR_PERMISSION_DENIED, "user %u listens instead of the SSH Service", peer.uid);
        return NULL;
}

struct error *channel_open(struct channel *c, const char *name, uid_t server)
{
        struct sockaddr_un address;
        socklen_t len;

        *c = (struct channel){ .fd = -1, .in = BUF_MAX(SESSION_FRAME_MAX), .out = BUF_MAX(4 * SESSION_FRAME_MAX) };
        TRY(abstract_address(name, &address, &len));
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return unreachable(error_errno(errno, "cannot make a socket"));
        limit_connect(fd);
        if (connect(fd, (const struct sockaddr *)&address, len) < 0)
                return unreachable(error_errno(errno, "cannot connect"));
        TRY(check_server(fd, server));
        c->fd = fd;
        fd = -1;
        return NULL;
}

void channel_release(struct channel *c)
{
        if (c->fd >= 0)
                close(c->fd);
        buf_release(&c->in);
        buf_release(&c->out);
        arena_free(c->arena);
        *c = (struct channel){ .fd = -1 };
}

void channel_put(struct channel *c, const helper_up *up)
{
        session_frame_put(&c->out, &up->base);
}

static struct error *lose(struct channel *c)
{
        close(c->fd);
        c->fd = -1;
        buf_clear(&c->out);
        return lost();
}

struct error *channel_write(struct channel *c)
{
        while (c->fd >= 0 && c->out.len > 0) {
                ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0)
                        buf_consume(&c->out, (size_t)n);
                else if (errno == EAGAIN)
                        return NULL;
                else if (errno != EINTR)
                        return lose(c);
        }
        return c->fd < 0 ? lost() : NULL;
}

struct error *channel_read(struct channel *c)
{
        char *at;
        ssize_t n;

        if (c->fd < 0)
                return lost();
        size_t room = SESSION_FRAME_MAX - c->in.len;
        if (room == 0) /* a whole frame is in the buffer and must be consumed first */
                return NULL;
        at = buf_extend(&c->in, room);
        n = recv(c->fd, at, room, MSG_DONTWAIT);
        c->in.len -= n > 0 ? room - (size_t)n : room;
        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
                return NULL;
        return lose(c);
}

struct error *channel_next(struct channel *c, const helper_down **ret)
{
        ProtobufCMessage *msg = NULL;
        size_t len = 0;

        *ret = NULL;
        arena_free(c->arena);
        c->arena = NULL;
        if (c->in.len == 0)
                return NULL;
        c->arena = arena_new(SESSION_ARENA);
        TRY(session_frame_read(buf_str(&c->in), &cteleport__session__v1__helper_down__descriptor, c->arena, &msg, &len));
        buf_consume(&c->in, len);
        if (len > 0)
                *ret = (const helper_down *)msg;
        return NULL;
}

struct error *channel_turn(struct channel *c, short events, void (*handle_message)(void *ctx, const helper_down *down), void *ctx)
{
        const helper_down *down;

        TRY(channel_write(c));
        if (events & (POLLIN | POLLHUP | POLLERR))
                TRY(channel_read(c));
        for (;;) {
                TRY(channel_next(c, &down));
                if (down == NULL)
                        return NULL;
                handle_message(ctx, down);
        }
}

/* Waits until the descriptor is ready for one of `events`, at most until `end`. */
static struct error *wait_for(struct channel *c, short events, struct instant end)
{
        struct pollfd p = { .fd = c->fd, .events = events };
        int64_t ms = duration_ms(instant_since(end, clock_now(clock_system())));

        if (c->fd < 0)
                return lost();
        if (ms <= 0 || poll(&p, 1, (int)ms) == 0)
                return error_new(ERROR_DEADLINE_EXCEEDED, "the SSH Service of this node does not answer in time");
        return NULL;
}

static struct error *flush_until(struct channel *c, struct instant end)
{
        for (;;) {
                TRY(channel_write(c));
                if (c->out.len == 0)
                        return NULL;
                TRY(wait_for(c, POLLOUT, end));
        }
}

struct error *channel_flush(struct channel *c, struct duration within)
{
        return flush_until(c, instant_add(clock_now(clock_system()), within));
}

struct error *channel_await(struct channel *c, struct duration within, const helper_down **ret)
{
        struct instant end = instant_add(clock_now(clock_system()), within);

        TRY(flush_until(c, end));
        for (;;) {
                TRY(channel_next(c, ret));
                if (*ret != NULL)
                        return NULL;
                TRY(wait_for(c, POLLIN, end));
                TRY(channel_read(c));
        }
}
