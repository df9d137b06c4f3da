/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking end of a link, for a process that handles one request at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/link_internal.h"

struct link_server {
        int fd;
        struct buf in;
        struct buf out;
        size_t served; /* bytes of `in` used by the previous request */
};

struct link_server *link_server_new(int fd)
{
        struct link_server *s = NEW(struct link_server);

        s->fd = fd;
        fcntl(fd, F_SETFL, 0); /* clear O_NONBLOCK */
        s->in = BUF_MAX(LINK_FRAME_MAX);
        s->out = BUF_MAX(LINK_OUT_MAX);
        return s;
}

void link_server_free(struct link_server *s)
{
        if (s == NULL)
                return;
        close(s->fd);
        buf_release(&s->in);
        buf_release(&s->out);
        free(s);
}

/* Appends the result of one read, up to the size of the largest frame. Zero bytes: the end or, with MSG_DONTWAIT, no data. */
static struct error *read_some(struct link_server *s, int flags, size_t *ret_count)
{
        size_t before = s->in.len;
        size_t wanted = LINK_FRAME_MAX - before;

        if (wanted > 16 * KiB)
                wanted = 16 * KiB;
        void *at = buf_extend(&s->in, wanted);
        ssize_t count;
        do
                count = recv(s->fd, at, wanted, flags);
        while (count < 0 && errno == EINTR);
        s->in.len = before + (count > 0 ? (size_t)count : 0);
        /* If a peer dies with unread answers, the socket pair is reset; this counts as its end. */
        if (count < 0 && errno != ECONNRESET && errno != EAGAIN)
                return error_errno(errno, "cannot read from the link");
        *ret_count = count > 0 ? (size_t)count : 0;
        return NULL;
}

static void drop_served(struct link_server *s)
{
        buf_consume(&s->in, s->served);
        s->served = 0;
}

bool link_server_has_next(struct link_server *s)
{
        drop_served(s);
        for (;;) {
                struct link_frame frame;
                size_t size = 0, got = 0;
                AUTO_PTR(error) err = link_frame_read(buf_str(&s->in), &frame, &size);

                if (err != NULL || size > 0)
                        return err == NULL;
                err = read_some(s, MSG_DONTWAIT, &got);
                if (err != NULL || got == 0)
                        return false;
        }
}

struct error *link_server_flush(struct link_server *s)
{
        bool is_written = s->out.len == 0 || fd_write_all(s->fd, buf_str(&s->out));
        int errnum = errno;

        buf_clear(&s->out);
        return is_written ? NULL : error_errno(errnum, "cannot write to the link");
}

struct error *link_server_next(struct link_server *s, struct link_request *ret, bool *ret_end)
{
        struct link_frame frame;
        size_t size = 0, got = 0;

        *ret_end = false;
        drop_served(s);
        for (;;) {
                TRY(link_frame_read(buf_str(&s->in), &frame, &size));
                if (size > 0)
                        break;
                TRY(link_server_flush(s));
                TRY(read_some(s, 0, &got));
                if (got == 0 && s->in.len > 0)
                        return error_new(ERROR_DATA_LOSS, "the link ended in the middle of a request");
                if (got == 0) {
                        *ret_end = true;
                        return error_new(ERROR_NOT_FOUND, "no more requests: the other process closed the link");
                }
        }
        s->served = size;
        *ret = (struct link_request){ .id = frame.id, .verb = frame.code, .body = frame.body };
        return NULL;
}

struct error *link_server_answer(struct link_server *s, uint32_t id, const ProtobufCMessage *answer)
{
        link_frame_put_answer(&s->out, id, answer);
        return s->out.len >= LINK_OUT_MARK ? link_server_flush(s) : NULL;
}

struct error *link_server_refuse(struct link_server *s, uint32_t id, const struct error *err)
{
        link_frame_put_error(&s->out, id, err);
        return s->out.len >= LINK_OUT_MARK ? link_server_flush(s) : NULL;
}
