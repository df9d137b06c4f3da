/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_testing.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"

struct http_peer_connection {
        uv_tcp_t tcp;
        struct http_peer *peer;
        struct http_peer_connection *next;
        struct buf in;
        char chunk[4096];
};

static void must(int status)
{
        if (status < 0)
                bug("test server: %s", uv_strerror(status));
}

static void on_peer_closed(uv_handle_t *handle)
{
        struct http_peer_connection *p = handle->data;

        buf_release(&p->in);
        free(p);
}

static void peer_close(struct http_peer_connection *p)
{
        for (struct http_peer_connection **at = &p->peer->peers; *at != NULL; at = &(*at)->next) {
                if (*at == p) {
                        *at = p->next;
                        break;
                }
        }
        if (!uv_is_closing((uv_handle_t *)&p->tcp))
                uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

static void on_written(uv_write_t *write, int status)
{
        (void)status;
        free(write);
}

static void peer_write(struct http_peer_connection *p, struct str bytes)
{
        uv_write_t *write = mem_alloc(sizeof *write + bytes.len);
        char *copy = (char *)(write + 1);

        memcpy(copy, bytes.ptr, bytes.len);
        must(uv_write(write, (uv_stream_t *)&p->tcp, &(uv_buf_t){ copy, bytes.len }, 1, on_written));
}

/* Length of the first complete request in the buffer, or 0. */
static size_t request_len(struct str in)
{
        const char *end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
        const char *length;
        int64_t body = 0;

        if (end == NULL)
                return 0;
        length = memmem(in.ptr, (size_t)(end - in.ptr), "Content-Length: ", 16);
        if (length != NULL) {
                struct str digits = { length + 16, (size_t)(end - length) - 16 };
                struct error *err = parse_int(str_split(&digits, '\r'), 0, MiB, "Content-Length", &body);

                if (err != NULL)
                        bug("test server: %s", err->what);
        }
        size_t need = (size_t)(end - in.ptr) + 4 + (size_t)body;
        return in.len >= need ? need : 0;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *chunk)
{
        struct http_peer_connection *p = stream->data;
        size_t len;

        if (count < 0) {
                peer_close(p);
                return;
        }
        buf_put(&p->in, (struct str){ chunk->base, (size_t)count });
        while ((len = request_len(buf_str(&p->in))) > 0) {
                AUTO(buf) out = BUF_MAX(1 * MiB);
                bool stays;

                p->peer->requests++;
                stays = p->peer->answer(p->peer->ctx, str_slice(buf_str(&p->in), 0, len), &out);
                buf_consume(&p->in, len);
                if (out.len > 0)
                        peer_write(p, buf_str(&out));
                if (!stays) {
                        peer_close(p);
                        return;
                }
        }
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
        struct http_peer_connection *p = handle->data;

        (void)wanted;
        *ret = (uv_buf_t){ p->chunk, sizeof p->chunk };
}

static void on_connection(uv_stream_t *listener, int status)
{
        struct http_peer *s = listener->data;
        struct http_peer_connection *p = NEW(struct http_peer_connection);

        must(status);
        p->peer = s;
        p->in = BUF_MAX(1 * MiB);
        p->next = s->peers;
        s->peers = p;
        s->connections++;
        must(uv_tcp_init(&s->loop->uv, &p->tcp));
        p->tcp.data = p;
        must(uv_accept(listener, (uv_stream_t *)&p->tcp));
        must(uv_read_start((uv_stream_t *)&p->tcp, on_room, on_read));
}

void http_peer_start(struct http_peer *s, struct loop *l,
                     bool (*answer)(void *ctx, struct str request, struct buf *out), void *ctx)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int len = sizeof address;

        *s = (struct http_peer){ .loop = l, .answer = answer, .ctx = ctx };
        must(uv_tcp_init(&l->uv, &s->listener));
        s->listener.data = s;
        must(uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0));
        must(uv_listen((uv_stream_t *)&s->listener, 16, on_connection));
        must(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &len));
        uv_unref((uv_handle_t *)&s->listener);
        snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(address.sin_port));
        snprintf(s->url, sizeof s->url, "http://%s", s->address);
}

void http_peer_send_unsolicited(struct http_peer *s, const char *bytes)
{
        for (struct http_peer_connection *p = s->peers; p != NULL; p = p->next)
                peer_write(p, str_of(bytes));
}

void http_peer_stop(struct http_peer *s)
{
        while (s->peers != NULL)
                peer_close(s->peers);
        uv_close((uv_handle_t *)&s->listener, NULL);
}

void http_peer_put(struct buf *out, int status, const char *content_type, const char *body)
{
        buf_printf(out, "HTTP/1.1 %d x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status, content_type,
                   strlen(body), body);
}
