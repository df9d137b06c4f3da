/* SPDX-License-Identifier: Apache-2.0 */
#include "sts_stand_in.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/identity_request.h"
#include "base/bug.h"
#include "base/mem.h"
#include "figures.h"
#include "loop/loop.h"
#include "net/tls.h"
#include "os/file.h"
#include "pki/cert.h"

enum { REQUEST_MAX = 32 * KiB, CERT_TEXT_MAX = 8 * KiB };

static const char identity[] =
        "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":{\"Account\":\"" STAND_IN_ACCOUNT "\","
        "\"Arn\":\"arn:aws:sts::" STAND_IN_ACCOUNT ":assumed-role/bench/i-0123456789abcdef0\","
        "\"UserId\":\"AROAEXAMPLE:i-0123456789abcdef0\"},\"ResponseMetadata\":{\"RequestId\":\"bench\"}}}";

struct stand_in {
        struct loop loop;
        struct tls_context *tls;
        struct str answer;
};

struct api_client {
        struct stand_in *stand_in;
        struct stream *tls;
        struct buf in;
};

static void api_client_free(struct api_client *a)
{
        stream_close(a->tls);
        buf_release(&a->in);
        free(a);
}

/* The body is always the same, so a request is its head and a known number of bytes. */
static size_t request_len(struct str in)
{
        const char *end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
        size_t need = end == NULL ? SIZE_MAX : (size_t)(end - in.ptr) + strlen("\r\n\r\n" AWS_IDENTITY_BODY);

        return need <= in.len ? need : 0;
}

static void on_read(void *ctx, struct str bytes)
{
        struct api_client *a = ctx;
        size_t len;

        buf_put(&a->in, bytes);
        while ((len = request_len(buf_str(&a->in))) > 0) {
                buf_consume(&a->in, len);
                stream_write(a->tls, a->stand_in->answer);
        }
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err);
        api_client_free(ctx);
}

static const struct stream_events api_client_events = { .on_read = on_read, .on_end = on_end };

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct api_client *a = ctx;

        a->tls = tls;
        if (err != NULL) {
                on_end(a, err);
                return;
        }
        stream_listen(tls, &api_client_events, a);
        stream_read(tls, true);
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct stand_in *s = ctx;
        struct api_client *a = NEW(struct api_client);

        (void)peer;
        *a = (struct api_client){ .stand_in = s, .in = BUF_MAX(REQUEST_MAX) };
        (void)!tls_start(&s->loop, s->tls, socket_stream(&s->loop, fd), NULL, SECONDS(10), on_handshake, a);
}

static NO_RETURN void serve(int listening, struct str chain, struct str key)
{
        static const char *const alpn[] = { "http/1.1", NULL };
        struct stand_in s = { 0 };
        char *text = mem_printf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                                "x-amzn-RequestId: bench\r\n\r\n%s", strlen(identity), identity);

        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        s.answer = str_of(text);
        must(loop_init(&s.loop, NULL));
        must(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE, .alpn = alpn }, &s.tls));
        must(tls_context_add(s.tls, NULL, (struct tls_identity){ chain, key }));
        (void)!listener_new(&s.loop, listening, on_accepted, &s);
        loop_run(&s.loop);
        _exit(0);
}

void sts_stand_in_start(struct sts_stand_in *s, const char *dir)
{
        const struct str name = STR("sts." STAND_IN_REGION ".amazonaws.com");
        struct walltime now = clock_wall(clock_system());
        struct cert_times times = { walltime_sub(now, HOURS(1)), walltime_add(now, HOURS(24)) };
        struct key key = { 0 };
        AUTO(secret) key_pem = { 0 };
        AUTO(buf) der = BUF_MAX(CERT_TEXT_MAX), pem = BUF_MAX(CERT_TEXT_MAX);
        int listening;

        must(key_generate(&key, KEY_ECDSA_P256));
        must(key_to_pem(&key, &key_pem));
        must(x509_self_signed_web(&key, &name, 1, times, &der));
        key_release(&key);
        cert_der_to_pem(buf_str(&der), &pem);
        s->ca_path = mem_printf("%s/sts.pem", dir);
        must(file_write_atomic(s->ca_path, buf_str(&pem), 0644));
        must(socket_listen_tcp(STR("127.0.0.1:0"), &listening, s->address));
        s->pid = fork();
        if (s->pid < 0)
                bug("cannot fork");
        if (s->pid == 0)
                serve(listening, buf_str(&pem), secret_str(&key_pem));
        close(listening);
}

void sts_stand_in_stop(struct sts_stand_in *s)
{
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        free(s->ca_path);
        *s = (struct sts_stand_in){ 0 };
}
