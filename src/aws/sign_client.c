/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/secret.h"
#include "loop/loop.h"

struct aws_sign_client {
        struct loop *loop;
        int fd;                 /* -1: not received yet, or closed */
        uv_poll_t *poll;        /* on fd, while the answer is awaited */
        bool has_requested;
        bool is_ending;         /* done is due in the next turn of the loop */
        struct buf query;    /* the request, until it is sent */
        struct error *failure;  /* reason why no answer will arrive */
        struct aws_signed signed_request;
        void (*done)(void *ctx, struct aws_signed *s, struct error *err);
        void *ctx;
};

void aws_signed_release(struct aws_signed *s)
{
        if (s->packet.ptr != NULL)
                wipe(s->packet.ptr, s->packet.room);
        buf_release(&s->packet);
        *s = (struct aws_signed){ 0 };
}

static void on_closed(uv_handle_t *handle)
{
        free(handle);
}

static void hang_up(struct aws_sign_client *c)
{
        if (c->poll != NULL)
                uv_close((uv_handle_t *)c->poll, on_closed);
        c->poll = NULL;
        if (c->fd >= 0)
                close(c->fd);
        c->fd = -1;
}

struct aws_sign_client *aws_sign_client_new(struct loop *l)
{
        struct aws_sign_client *c = NEW(struct aws_sign_client);

        *c = (struct aws_sign_client){ .loop = l, .fd = -1, .query = BUF_MAX(AWS_SIGN_REQUEST_SIZE) };
        return c;
}

void aws_sign_client_free(struct aws_sign_client *c)
{
        if (c == NULL)
                return;
        hang_up(c);
        error_free(c->failure);
        buf_release(&c->query);
        aws_signed_release(&c->signed_request);
        free(c);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void finish(void *ctx)
{
        struct aws_sign_client *c = ctx;
        struct aws_signed signed_request = c->signed_request;
        struct error *err = c->failure;

        c->signed_request = (struct aws_signed){ 0 };
        c->failure = NULL;
        c->done(c->ctx, err == NULL ? &signed_request : NULL, err); /* done may have freed c */
        aws_signed_release(&signed_request);
}

/* Ends the request. err (owned): the reason of a failure; NULL: it is signed. If called again, the first result stays. */
static void end(struct aws_sign_client *c, struct error *err)
{
        hang_up(c);
        if (c->is_ending || (!c->has_requested && c->failure != NULL)) {
                error_free(err);
                return;
        }
        c->failure = err;
        if (!c->has_requested)
                return; /* reported with the next request */
        c->is_ending = true;
        loop_defer(c->loop, finish, c);
}

/* ---- request and answer --------------------------------------------------------------------------- */

static struct error *gone(void)
{
        return error_hint(error_new(ERROR_UNAVAILABLE, "the process that resolves AWS credentials ended without an answer"),
                          "see the lines of aws-sign in the log of this host");
}

/* The error that the other process reported; details for the log are not forwarded. */
static struct error *failure_of(const struct aws_sign_answer *a)
{
        struct error *err = error_new((enum error_code)a->code, "%.*s", STR_ARG(a->error));

        if (!str_is_empty(a->hint))
                err = error_hint(err, "%.*s", STR_ARG(a->hint));
        if (!str_is_empty(a->cause))
                err = error_because(err, error_new(ERROR_UNKNOWN, "%.*s", STR_ARG(a->cause)));
        return err;
}

static struct error *receive(struct aws_sign_client *c)
{
        struct aws_signed *s = &c->signed_request;
        struct iovec room;
        struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1 };
        ssize_t len;

        s->packet = BUF_MAX(AWS_SIGN_ANSWER_MAX);
        room = (struct iovec){ buf_extend(&s->packet, AWS_SIGN_ANSWER_MAX), AWS_SIGN_ANSWER_MAX };
        do
                len = recvmsg(c->fd, &message, MSG_DONTWAIT);
        while (len < 0 && errno == EINTR);
        if (len <= 0)
                return gone();
        s->packet.len = (size_t)len;
        if ((message.msg_flags & MSG_TRUNC) != 0)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "an answer about signing for AWS is over its limit");
        TRY(aws_sign_answer_parse(buf_str(&s->packet), &s->answer));
        return s->answer.code == 0 ? NULL : failure_of(&s->answer);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
        struct aws_sign_client *c = poll->data;

        (void)status;
        (void)events;
        end(c, receive(c));
}

static struct error *send_query(struct aws_sign_client *c)
{
        ssize_t sent;

        do
                sent = send(c->fd, c->query.ptr, c->query.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
        if (sent != (ssize_t)c->query.len)
                return gone();
        c->poll = NEW(uv_poll_t);
        c->poll->data = c;
        if (uv_poll_init(&c->loop->uv, c->poll, c->fd) != 0)
                bug("a socket that cannot be polled");
        uv_poll_start(c->poll, UV_READABLE | UV_DISCONNECT, on_answer);
        return NULL;
}

/* Sends the request once both the request and the socket are available. */
static void go_on(struct aws_sign_client *c)
{
        if (!c->has_requested || c->is_ending || c->fd < 0)
                return;
        struct error *err = send_query(c);
        if (err != NULL)
                end(c, err);
}

void aws_sign_client_connect(struct aws_sign_client *c, int fd)
{
        if (c->fd >= 0 || c->is_ending || c->failure != NULL) {
                close(fd);
                return;
        }
        c->fd = fd;
        go_on(c);
}

void aws_sign_client_fail(struct aws_sign_client *c, struct error *err)
{
        end(c, err);
}

void aws_sign_client_request(struct aws_sign_client *c, struct str challenge, struct str binding,
                         void (*done)(void *ctx, struct aws_signed *s, struct error *err), void *ctx)
{
        if (c->has_requested)
                bug("a process that signs once receives a second request");
        struct error *err = c->failure;
        c->failure = NULL;
        c->has_requested = true;
        c->done = done;
        c->ctx = ctx;
        if (err == NULL)
                err = aws_sign_request_put(&c->query, challenge, binding);
        if (err != NULL)
                end(c, err);
        else
                go_on(c);
}

bool aws_sign_client_has_requested(const struct aws_sign_client *c)
{
        return c->has_requested;
}

void aws_sign_client_cancel(struct aws_sign_client *c)
{
        end(c, error_new(ERROR_CANCELLED, "signing for AWS was cancelled"));
}
