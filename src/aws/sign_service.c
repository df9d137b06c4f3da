/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "aws/identity_request.h"
#include "aws/sign_message.h"
#include "base/bug.h"
#include "loop/loop.h"

struct serving {
        struct loop loop;
        int fd;
        const struct aws_sign_request *requested;
        struct aws_resolve *resolve; /* running until its done */
        uv_poll_t client;
        struct timer *limit;
        struct signal_watch *watch;
        bool is_unwanted; /* the client does not wait for the answer any more */
        struct error *err;
};

static struct str text_of(const char *text)
{
        return text == NULL ? STR("") : str_of(text);
}

static struct error *send_packet(int fd, struct str packet)
{
        const int room = AWS_SIGN_ANSWER_MAX; /* the kernel doubles it; a packet is sent completely or not at all, socket(7) */
        ssize_t sent;

        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        do
                sent = send(fd, packet.ptr, packet.len, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent == (ssize_t)packet.len ? NULL : error_errno(errno, "cannot send the answer to a request to sign");
}

static void put_causes(struct buf *out, const struct error *err)
{
        for (const struct error *cause = err->cause; cause != NULL; cause = cause->cause)
                buf_printf(out, "%s%s", cause == err->cause ? "" : "; because ", cause->what);
}

/* Sends the answer. failure: why there is no signature, or NULL; borrowed. */
static struct error *answer(struct serving *s, const struct aws_resolution *r, const struct error *failure, struct str signed_request)
{
        AUTO(buf) packet = BUF_MAX(AWS_SIGN_ANSWER_MAX);
        AUTO(buf) causes = BUF_MAX(AWS_SIGN_TEXT);
        struct aws_sign_answer a = {
                .source = text_of(r->source),
                .region = text_of(r->region),
                .region_source = text_of(r->region_source),
                .sts_host = text_of(r->sts.name),
        };

        for (; a.warning_count < r->warning_count && a.warning_count < AWS_SIGN_WARNINGS; a.warning_count++)
                a.warnings[a.warning_count] = text_of(r->warnings[a.warning_count]);
        if (failure == NULL) {
                a.request = signed_request;
        } else {
                a.code = failure->code;
                a.error = text_of(failure->what);
                a.hint = text_of(failure->hint);
                put_causes(&causes, failure);
                a.cause = buf_str(&causes);
        }
        aws_sign_answer_put(&packet, &a);
        struct error *err = buf_finish(&packet, "answer to a request to sign");
        if (err == NULL)
                err = send_packet(s->fd, buf_str(&packet));
        if (packet.ptr != NULL)
                wipe(packet.ptr, packet.room);
        return err;
}

static void on_resolved(void *ctx, struct aws_resolution *r, struct error *failure)
{
        struct serving *s = ctx;
        AUTO(buf) proof = BUF_MAX(LIMIT_STS_REQUEST);

        s->resolve = NULL;
        if (failure == NULL)
                failure = aws_identity_request(r, s->requested->challenge, s->requested->binding, loop_wall(&s->loop), &proof);
        if (!s->is_unwanted)
                s->err = answer(s, r, failure, buf_str(&proof));
        if (proof.ptr != NULL)
                wipe(proof.ptr, proof.room);
        error_free(failure);
        uv_close((uv_handle_t *)&s->client, NULL);
        loop_stop(&s->loop);
}

static void give_up(void *ctx)
{
        struct serving *s = ctx;

        s->is_unwanted = true;
        uv_poll_stop(&s->client);
        if (s->resolve != NULL)
                aws_resolve_cancel(s->resolve);
}

/* A client sends one request: if it sends more or disconnects, its request is cancelled. */
static void on_client(uv_poll_t *client, int status, int events)
{
        (void)status;
        (void)events;
        give_up(client->data);
}

static void on_terminate(void *ctx, int signum)
{
        (void)signum;
        give_up(ctx);
}

static struct error *await_request(int fd)
{
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        int n = poll(&waiting, 1, TIMEOUT_AWS_SIGN_REQUEST);

        if (n < 0)
                return error_errno(errno, "cannot wait for the request to sign");
        return n > 0 ? NULL : error_new(ERROR_DEADLINE_EXCEEDED, "no request was received within %d seconds", TIMEOUT_AWS_SIGN_REQUEST / 1000);
}

/* *ret_end: the client disconnected without a request. */
static struct error *read_request(int fd, char *packet, size_t room, struct aws_sign_request *ret, bool *ret_end)
{
        ssize_t len;

        TRY(await_request(fd));
        do
                len = recv(fd, packet, room, 0);
        while (len < 0 && errno == EINTR);
        if (len < 0 && errno != ECONNRESET)
                return error_errno(errno, "cannot read the request to sign");
        *ret_end = len <= 0;
        return *ret_end ? NULL : aws_sign_request_parse(str_of_bytes(packet, (size_t)len), ret);
}

struct error *aws_sign_serve(int fd, const struct aws_resolve_options *options)
{
        char packet[AWS_SIGN_REQUEST_SIZE + 1]; /* one byte more, to detect a longer packet */
        struct aws_sign_request requested;
        struct serving s = { .fd = fd, .requested = &requested };
        bool is_end = false;

        TRY(read_request(fd, packet, sizeof packet, &requested, &is_end));
        if (is_end)
                return NULL;
        TRY(loop_init(&s.loop, NULL));
        if (uv_poll_init(&s.loop.uv, &s.client, fd) != 0)
                bug("a socket that cannot be polled");
        s.client.data = &s;
        s.limit = timer_new(&s.loop, give_up, &s);
        timer_start(s.limit, MILLISECONDS(TIMEOUT_AWS_SIGN));
        s.watch = signal_watch_new(&s.loop, SIGTERM, on_terminate, &s);
        s.resolve = aws_resolve_start(&s.loop, options, on_resolved, &s);
        uv_poll_start(&s.client, UV_READABLE | UV_DISCONNECT, on_client);
        loop_run(&s.loop);
        signal_watch_free(s.watch);
        timer_free(s.limit);
        loop_release(&s.loop);
        return s.err;
}
