/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_service.h"

#include <errno.h>
#include <sys/socket.h>

#include "aws/identity_request.h"
#include "aws/sign_message.h"
#include "base/bug.h"
#include "loop/loop.h"

struct serving {
        struct loop loop;
        int fd;
        const struct aws_sign_request *asked;
        struct aws_resolve *resolve; /* under way until its done */
        uv_poll_t client;
        struct error *err;
};

static struct str text_of(const char *text)
{
        return text == NULL ? STR("") : str_of(text);
}

static struct error *send_packet(int fd, struct str packet)
{
        ssize_t sent;

        do
                sent = send(fd, packet.ptr, packet.len, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent == (ssize_t)packet.len ? NULL : error_errno(errno, "cannot send the answer to a request to sign");
}

/* failure: why there is no signature, or NULL; borrowed. */
static struct error *answer(struct serving *s, const struct aws_resolution *r, const struct error *failure, struct str signed_request)
{
        AUTO(buf) packet = BUF_MAX(AWS_SIGN_ANSWER_MAX);
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
                failure = aws_identity_request(r, s->asked->challenge, s->asked->binding, loop_wall(&s->loop), &proof);
        s->err = answer(s, r, failure, buf_str(&proof));
        if (proof.ptr != NULL)
                wipe(proof.ptr, proof.room);
        error_free(failure);
        uv_close((uv_handle_t *)&s->client, NULL);
        loop_stop(&s->loop);
}

/* The client asks once: that it says more, or hangs up, ends what it asked for. */
static void on_client(uv_poll_t *client, int status, int events)
{
        struct serving *s = client->data;

        (void)status;
        (void)events;
        uv_poll_stop(client);
        if (s->resolve != NULL)
                aws_resolve_cancel(s->resolve);
}

static struct error *read_request(int fd, char *packet, size_t room, struct aws_sign_request *ret)
{
        ssize_t len;

        do
                len = recv(fd, packet, room, 0);
        while (len < 0 && errno == EINTR);
        if (len < 0)
                return error_errno(errno, "cannot read the request to sign");
        return aws_sign_request_parse(str_of_bytes(packet, (size_t)len), ret);
}

struct error *aws_sign_serve(int fd, const struct aws_resolve_options *options)
{
        char packet[AWS_SIGN_REQUEST_SIZE + 1]; /* one more, so that a longer one is seen */
        struct aws_sign_request asked;
        struct serving s = { .fd = fd, .asked = &asked };

        TRY(read_request(fd, packet, sizeof packet, &asked));
        TRY(loop_init(&s.loop, NULL));
        if (uv_poll_init(&s.loop.uv, &s.client, fd) != 0)
                bug("a socket that cannot be polled");
        s.client.data = &s;
        s.resolve = aws_resolve_start(&s.loop, options, on_resolved, &s);
        uv_poll_start(&s.client, UV_READABLE | UV_DISCONNECT, on_client);
        loop_run(&s.loop);
        loop_release(&s.loop);
        return s.err;
}
