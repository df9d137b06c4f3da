/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS over a stream: the handshake, then records in and out.
 *
 *     handshaking ──▶ open ──▶ read ended (close_notify) ──▶ closed
 *          │            └────▶ broken ─────────────────────────▲
 *          └─ failed: alert sent, lower stream closed, done(error)
 *
 * OpenSSL has no access to the socket. Its BIO reads from `in`, a view of the bytes just delivered by the lower stream,
 * and writes straight to the lower stream; nothing is copied into a memory BIO, and an idle connection
 * holds no buffer. Input that the owner is not ready to read stays encrypted in `held`, with the lower stream
 * paused, so that at most one read is held.
 *
 * pump() is the only place that calls the owner, and it runs only from the loop: on events of the lower
 * stream, or deferred (schedule_pump).
 */
#include <openssl/err.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "loop/buffer_spare.h"
#include "net/tls_internal.h"

struct tls_handshake {
        struct tls_stream *tls;
        void (*done)(void *ctx, struct stream *tls, struct error *err);
        void *ctx;
        struct timer *deadline;
        struct duration within;
        char *server_name;     /* or NULL */
        struct error *refusal; /* reason to refuse the peer's certificate */
        char *refused;         /* a description of it, or NULL */
        bool has_received;        /* the first bytes were received */
        bool lacks_alpn;          /* the server speaks none of the protocols offered */
};

static void pump(struct tls_stream *t);

static struct tls_stream *tls_of(struct stream *s)
{
        return CONTAINER_OF(s, struct tls_stream, stream);
}

static void tls_unref(struct tls_stream *t)
{
        if (--t->refs > 0)
                return;
        SSL_free(t->ssl);
        tls_context_unref(t->context);
        peer_chain_free(t->chain);
        free(t->held);
        error_free(t->end);
        free(t);
}

/* ---- the BIO of OpenSSL -------------------------------------------------------------------------------- */

static void send_gathered(struct tls_stream *t)
{
        stream_write(t->lower, (struct str){ t->gathered, t->gathered_len });
        t->gathered_len = 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_written)
{
        struct tls_stream *t = BIO_get_data(bio);

        *ret_written = len;
        if (t->lower == NULL)
                return 1;
        if (!t->is_writing && t->handshake == NULL)
                t->control_bytes += len;
        if (t->gathered != NULL && t->gathered_len + len > LOOP_BUFFER_WITH_SPARE)
                send_gathered(t);
        if (t->gathered == NULL || len > LOOP_BUFFER_WITH_SPARE) {
                stream_write(t->lower, (struct str){ bytes, len });
        } else {
                memcpy(t->gathered + t->gathered_len, bytes, len);
                t->gathered_len += len;
        }
        return 1;
}

static int bio_read(BIO *bio, char *out, size_t room, size_t *ret_read)
{
        struct tls_stream *t = BIO_get_data(bio);
        size_t len = room < t->in.len ? room : t->in.len;

        BIO_clear_retry_flags(bio);
        *ret_read = len;
        if (len == 0) {
                BIO_set_retry_read(bio);
                return 0;
        }
        memcpy(out, t->in.ptr, len);
        t->in = str_slice(t->in, len, t->in.len);
        return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
        (void)bio;
        (void)number;
        (void)pointer;
        return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
        BIO_set_init(bio, 1);
        return 1;
}

BIO_METHOD *tls_bio_method_new(void)
{
        BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_START, "stream");

        if (method == NULL || !BIO_meth_set_create(method, bio_create) || !BIO_meth_set_write_ex(method, bio_write) ||
            !BIO_meth_set_read_ex(method, bio_read) || !BIO_meth_set_ctrl(method, bio_ctrl))
                bug("OpenSSL refuses a BIO method");
        return method;
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

static void on_scheduled_pump(void *ctx)
{
        struct tls_stream *t = ctx;

        t->is_pump_scheduled = false;
        if (!t->is_closed)
                pump(t);
        tls_unref(t);
}

/* Schedules pump() to run from the loop. */
static void schedule_pump(struct tls_stream *t)
{
        if (t->is_pump_scheduled || t->is_pumping)
                return;
        t->is_pump_scheduled = true;
        t->refs++;
        loop_defer(t->loop, on_scheduled_pump, t);
}

/* Breaks the stream: err (owned) is reported to the owner; if called again, the first error stays. */
static void break_off(struct tls_stream *t, struct error *err)
{
        t->is_drain_due |= t->has_ended && !t->is_broken;
        t->is_broken = true;
        t->in.len = 0;
        if (t->end != NULL || t->has_ended) {
                error_free(err);
                return;
        }
        t->end = err;
}

static void report_end(struct tls_stream *t)
{
        struct error *err = t->end;

        t->end = NULL;
        t->has_ended = true;
        t->has_failed = err != NULL;
        t->stream.events->on_end(t->stream.ctx, err);
}

static void report_drain(struct tls_stream *t)
{
        t->is_drain_due = false;
        if (t->handshake == NULL && t->stream.events != NULL && t->stream.events->on_drain != NULL)
                t->stream.events->on_drain(t->stream.ctx);
}

/* ---- the handshake ------------------------------------------------------------------------------------- */

void tls_keep_refusal(SSL *ssl, struct error *err, X509 *leaf)
{
        struct tls_stream *t = SSL_get_app_data(ssl);

        if (t->handshake == NULL || t->handshake->refusal != NULL) {
                error_free(err);
                return;
        }
        t->handshake->refusal = err;
        if (!t->context->is_server && leaf != NULL)
                t->handshake->refused = tls_certificate_text(leaf);
}

struct str tls_expected_name(SSL *ssl)
{
        const struct tls_stream *t = SSL_get_app_data(ssl);

        return str_of(t->handshake == NULL ? NULL : t->handshake->server_name);
}

static void release(struct tls_stream *t)
{
        t->is_closed = true;
        stream_close(t->lower);
        t->lower = NULL;
        tls_unref(t);
}

/* Calls done with the stream, which the owner owns from then on, or with the error in t->end and releases the stream. */
static void handshake_finish(struct tls_stream *t)
{
        struct tls_handshake *h = t->handshake;
        struct error *err = t->end;

        t->handshake = NULL;
        t->end = NULL;
        timer_free(h->deadline);
        error_free(h->refusal);
        if (err != NULL)
                release(t); /* pump holds another reference */
        h->done(h->ctx, err == NULL ? &t->stream : NULL, err);
        free(h->server_name);
        free(h->refused);
        free(h);
}

static const char *other_side(const struct tls_stream *t)
{
        return t->context->is_server ? "client" : "server";
}

static struct error *check_negotiated(const struct tls_stream *t)
{
        const unsigned char *name;
        unsigned len;

        if (t->context->is_server || t->context->alpn_len == 0 || t->context->is_alpn_optional)
                return NULL;
        SSL_get0_alpn_selected(t->ssl, &name, &len);
        return len > 0 ? NULL : tls_no_alpn();
}

/* Runs the handshake as far as the received bytes allow; true when it has finished or failed (t->end). */
static bool handshake_step(struct tls_stream *t)
{
        struct tls_handshake *h = t->handshake;

        if (t->end != NULL)
                return true;
        if (!h->has_received && t->in.len > 0) {
                unsigned char first = (unsigned char)t->in.ptr[0];

                h->has_received = true;
                if (first != SSL3_RT_HANDSHAKE && first != SSL3_RT_ALERT) {
                        break_off(t, tls_not_tls(t->context->is_server, t->in));
                        return true;
                }
        }
        ERR_clear_error();
        int status = SSL_do_handshake(t->ssl);
        if (status == 1) {
                t->end = check_negotiated(t);
                h->lacks_alpn = t->end != NULL;
                return true;
        }
        if (SSL_get_error(t->ssl, status) == SSL_ERROR_WANT_READ)
                return false;
        if (h->refusal != NULL) {
                break_off(t, h->refusal);
                h->refusal = NULL;
                ERR_clear_error();
        } else {
                h->lacks_alpn = ERR_GET_REASON(ERR_peek_error()) == SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL;
                /* Before the server is authenticated, an alert is not proven to be its own. */
                break_off(t, error_for(tls_failure(t->context->is_server), REASON_CONNECTION));
        }
        return true;
}

static void on_deadline(void *ctx)
{
        struct tls_stream *t = ctx;

        break_off(t, error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "no TLS handshake with the %s within %lld ms",
                                          other_side(t), (long long)duration_ms(t->handshake->within)),
                                "is it a TLS port? something else may be listening there"));
        pump(t);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* The connection ended without close_notify: an attacker may have cut it (RFC 8446 section 6.1). */
static void note_cut(struct tls_stream *t)
{
        break_off(t, error_new(ERROR_UNAVAILABLE, "the %s ended the connection without ending TLS", other_side(t)));
}

static void note_read_failure(struct tls_stream *t, int status)
{
        switch (SSL_get_error(t->ssl, status)) {
        case SSL_ERROR_WANT_READ:
                if (t->is_lower_ended)
                        note_cut(t);
                break;
        case SSL_ERROR_ZERO_RETURN:
                t->is_read_ended = true;
                t->in.len = 0;
                break;
        default:
                break_off(t, tls_failure(t->context->is_server));
                break;
        }
}

/* Nothing is left to decrypt, so SSL_read can be skipped. At the lower stream's end it is not: only it reports the end of TLS. */
static bool is_drained(const struct tls_stream *t)
{
        return t->in.len == 0 && !t->is_lower_ended && !SSL_has_pending(t->ssl);
}

/* Decrypts whole records while the buffer has room for the largest one; 0 when nothing was decrypted. */
static size_t decrypt(struct tls_stream *t, char *buffer)
{
        size_t len = 0;

        while (len + SSL3_RT_MAX_PLAIN_LENGTH <= LOOP_BUFFER && !t->is_read_ended && !t->is_broken) {
                size_t n;

                ERR_clear_error();
                int status = SSL_read_ex(t->ssl, buffer + len, LOOP_BUFFER - len, &n);
                if (status != 1) {
                        note_read_failure(t, status);
                        break;
                }
                len += n;
                if (is_drained(t))
                        break;
        }
        if (stream_pending(t->lower) == 0)
                t->control_bytes = 0;
        if (t->control_bytes > LIMIT_TLS_CONTROL)
                break_off(t, error_new(ERROR_RESOURCE_EXHAUSTED,
                                       "the %s asks for TLS key updates and does not read the answers", other_side(t)));
        return len;
}

/* Delivers decrypted bytes while the owner reads. */
static void deliver(struct tls_stream *t)
{
        while (t->wanted && !t->is_closed && !t->is_read_ended && !t->is_broken) {
                char *buffer = loop_buffer_take(t->loop);
                size_t len = decrypt(t, buffer);

                if (len > 0)
                        t->stream.events->on_read(t->stream.ctx, (struct str){ buffer, len });
                loop_buffer_give(t->loop, buffer);
                if (len == 0 || is_drained(t))
                        break;
        }
}

/* Copies the rest of `in`, which is valid only during the event that delivered it. */
static void hold_rest(struct tls_stream *t)
{
        char *rest = NULL;

        if (t->in.len > 0 && !t->is_closed) {
                if (t->held != NULL && t->in.ptr == t->held)
                        return;
                rest = str_dup(t->in);
        }
        free(t->held);
        t->held = rest;
        t->in.ptr = rest;
        t->in.len = rest == NULL ? 0 : t->in.len;
}

static void pump(struct tls_stream *t)
{
        if (t->is_pumping)
                return;
        t->refs++;
        t->is_pumping = true;
        if (t->handshake != NULL && handshake_step(t))
                handshake_finish(t);
        if (t->handshake == NULL && !t->is_closed) {
                bool had_ended = t->has_ended;

                deliver(t);
                /* An error is reported even while the owner has paused; an orderly end waits. */
                if (!t->is_closed && !had_ended && t->stream.events != NULL && (t->end != NULL || t->is_read_ended) &&
                    (t->wanted || t->is_broken))
                        report_end(t);
                if (!t->is_closed && t->is_drain_due && !t->has_failed)
                        report_drain(t);
        }
        hold_rest(t);
        if (!t->is_closed)
                stream_read(t->lower, t->in.len == 0 && !t->is_lower_ended && !t->is_read_ended && !t->is_broken &&
                                              (t->handshake != NULL || t->wanted));
        t->is_pumping = false;
        tls_unref(t);
}

/* ---- events of the lower stream ------------------------------------------------------------------------ */

static void on_lower_read(void *ctx, struct str bytes)
{
        struct tls_stream *t = ctx;

        if (t->in.len > 0) { /* it delivered although it was paused: append, to keep the order */
                char *joined = mem_resize(NULL, t->in.len + bytes.len, 1);

                memcpy(joined, t->in.ptr, t->in.len);
                memcpy(joined + t->in.len, bytes.ptr, bytes.len);
                bytes = (struct str){ joined, t->in.len + bytes.len };
                free(t->held);
                t->held = joined;
        }
        t->in = bytes;
        pump(t);
}

static void on_lower_drain(void *ctx)
{
        struct tls_stream *t = ctx;

        t->control_bytes = 0;
        if (!t->is_broken)
                report_drain(t);
}

static struct error *ended_in_handshake(const struct tls_stream *t, struct error *cause)
{
        struct error *err = error_new(ERROR_UNAVAILABLE, "the %s closed the connection during the TLS handshake",
                                      other_side(t));

        if (!t->context->is_server)
                err = error_hint(err, "is it a TLS port? the server's log may show more");
        return cause == NULL ? err : error_because(err, cause);
}

/* An alert of TLS below, such as that of a load balancer in a connection upgrade: it says nothing of the peer of this TLS. */
static struct error *disown_alert(struct error *err)
{
        if (err == NULL || err->reason != REASON_IDENTITY)
                return err;
        err->code = ERROR_UNAVAILABLE;
        err = error_hint(err, "something in front of the cluster ends TLS, such as a load balancer: let it accept clients without a certificate "
                              "of their own");
        return error_for(err, REASON_CONNECTION);
}

static void on_lower_end(void *ctx, struct error *err)
{
        struct tls_stream *t = ctx;

        t->is_lower_ended = true;
        err = disown_alert(err);
        if (t->handshake != NULL)
                break_off(t, ended_in_handshake(t, err));
        else if (err != NULL)
                break_off(t, err);
        else if (t->in.len == 0 && !t->is_read_ended)
                note_cut(t);
        pump(t);
}

static const struct stream_events lower_events = {
        .on_read = on_lower_read,
        .on_drain = on_lower_drain,
        .on_end = on_lower_end,
};

/* ---- the stream ---------------------------------------------------------------------------------------- */

static void tls_read(struct stream *stream, bool wanted)
{
        struct tls_stream *t = tls_of(stream);

        t->wanted = wanted;
        if (t->is_pumping)
                return; /* pump() checks when the callback has returned */
        if (wanted && (t->in.len > 0 || t->end != NULL || (t->is_read_ended && !t->has_ended)))
                schedule_pump(t);
        else if (!t->is_broken && !t->is_lower_ended && !t->is_read_ended)
                stream_read(t->lower, wanted);
}

static void tls_write(struct stream *stream, struct str bytes)
{
        struct tls_stream *t = tls_of(stream);
        size_t written;

        if (t->is_broken || t->is_shut)
                return;
        t->is_writing = true;
        if (bytes.len > SSL3_RT_MAX_PLAIN_LENGTH)
                t->gathered = loop_buffer_take(t->loop);
        ERR_clear_error();
        bool is_ok = SSL_write_ex(t->ssl, bytes.ptr, bytes.len, &written) == 1;
        if (t->gathered != NULL) {
                send_gathered(t);
                loop_buffer_give(t->loop, t->gathered);
                t->gathered = NULL;
        }
        t->is_writing = false;
        if (is_ok)
                return;
        break_off(t, tls_failure(t->context->is_server));
        schedule_pump(t);
}

static void tls_shutdown(struct stream *stream)
{
        struct tls_stream *t = tls_of(stream);

        if (t->is_shut || t->is_broken)
                return;
        t->is_shut = true;
        t->is_writing = true;
        ERR_clear_error();
        SSL_shutdown(t->ssl); /* sends close_notify; 0 means that the peer's has not arrived, which is no failure */
        t->is_writing = false;
}

static void tls_close(struct stream *stream)
{
        struct tls_stream *t = tls_of(stream);

        tls_shutdown(stream);
        t->in.len = 0;
        release(t);
}

/* Whether OpenSSL has the head of a record whose rest has not arrived: SSL_has_pending() does not count it. */
static bool is_within_record(const struct tls_stream *t)
{
        return strcmp(SSL_rstate_string(t->ssl), "RB") == 0;
}

struct stream *tls_leave(struct stream *stream, struct str last)
{
        struct tls_stream *t = tls_of(stream);
        struct stream *lower = t->lower;

        if (stream->ops != &tls_ops || t->handshake != NULL)
                bug("only an established TLS stream can be left");
        if (t->in.len > 0 || SSL_has_pending(t->ssl) || is_within_record(t))
                return NULL;
        if (t->is_lower_ended || t->is_read_ended || t->is_shut || t->is_broken)
                return NULL;
        if (!str_is_empty(last))
                tls_write(stream, last);
        if (t->is_broken)
                return NULL;
        stream_read(lower, false);
        t->lower = NULL;
        t->is_closed = true;
        tls_unref(t);
        return lower;
}

static size_t tls_pending(const struct stream *stream)
{
        const struct tls_stream *t = CONTAINER_OF(stream, const struct tls_stream, stream);

        return t->is_broken ? 0 : stream_pending(t->lower);
}

const struct stream_ops tls_ops = {
        .read = tls_read,
        .write = tls_write,
        .shutdown = tls_shutdown,
        .close = tls_close,
        .pending = tls_pending,
};

/* ---- starting ------------------------------------------------------------------------------------------ */

static void must(bool ok, const char *what)
{
        if (!ok)
                bug("OpenSSL refuses %s: %s", what, ERR_reason_error_string(ERR_peek_error()));
}

/* Sets the SNI of the client and, unless any server is accepted, the name that the certificate must have. */
static struct error *set_server_name(struct tls_stream *t, const char *server_name)
{
        struct str name = str_of(server_name);
        X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);

        if (str_is_empty(name)) {
                if (t->context->peer != TLS_PEER_REQUIRED)
                        return NULL;
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the TLS server is missing");
        }
        if (name_is_ip(name)) { /* no SNI: RFC 6066 section 3 */
                must(X509_VERIFY_PARAM_set1_ip_asc(param, server_name) == 1, "an IP address");
                return NULL;
        }
        TRY(name_check_host(name, "the name of the TLS server"));
        must(SSL_set_tlsext_host_name(t->ssl, unconst(t->context->announced == NULL ? server_name : t->context->announced)) == 1, "a server name");
        must(X509_VERIFY_PARAM_set1_host(param, name.ptr, name.len) == 1, "a host name");
        return NULL;
}

static struct error *prepare(struct tls_stream *t, const char *server_name)
{
        SSL_CTX *ctx = tls_context_default(t->context);

        if (ctx == NULL)
                return error_new(ERROR_FAILED_PRECONDITION, "this TLS server has no certificate yet");
        t->ssl = SSL_new(ctx);
        must(t->ssl != NULL, "a connection");
        SSL_set_app_data(t->ssl, t);
        BIO *bio = BIO_new(t->context->bio);
        must(bio != NULL, "a BIO");
        BIO_set_data(bio, t);
        SSL_set_bio(t->ssl, bio, bio);
        X509_VERIFY_PARAM_set_time(SSL_get0_param(t->ssl), walltime_unix(loop_wall(t->loop)));
        if (t->context->is_server) {
                SSL_set_accept_state(t->ssl);
                return NULL;
        }
        SSL_set_connect_state(t->ssl);
        return set_server_name(t, server_name);
}

struct tls_handshake *tls_start(struct loop *l, struct tls_context *c, struct stream *lower, const char *server_name,
                                struct duration within,
                                void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        struct tls_stream *t = NEW(struct tls_stream);
        struct tls_handshake *h = NEW(struct tls_handshake);

        t->stream.ops = &tls_ops;
        t->loop = l;
        t->context = c;
        c->refs++;
        t->lower = lower;
        t->refs = 1;
        t->handshake = h;
        h->tls = t;
        h->done = done;
        h->ctx = ctx;
        h->within = within;
        h->server_name = server_name == NULL ? NULL : str_dup(str_of(server_name));
        h->deadline = timer_new(l, on_deadline, t);
        timer_start(h->deadline, within);
        stream_listen(lower, &lower_events, t);
        struct error *err = prepare(t, h->server_name);
        if (err != NULL)
                break_off(t, err);
        if (err != NULL || !c->is_server)
                schedule_pump(t); /* fails, or sends the ClientHello */
        else
                stream_read(lower, true);
        return h;
}

void tls_offer(struct tls_handshake *h, const char *const *alpn)
{
        AUTO(buf) wire = BUF_MAX(TLS_ALPN_MAX);

        tls_put_alpn(&wire, alpn);
        must(SSL_set_alpn_protos(h->tls->ssl, (const unsigned char *)wire.ptr, (unsigned)wire.len) == 0, "the application protocols");
}

bool tls_handshake_is_answered(const struct tls_handshake *h)
{
        return h->has_received;
}

const char *tls_handshake_refused(const struct tls_handshake *h)
{
        return h->refused;
}

bool tls_handshake_lacks_alpn(const struct tls_handshake *h)
{
        return h->lacks_alpn;
}

struct str tls_handshake_alpn(const struct tls_handshake *h)
{
        const unsigned char *name = NULL;
        unsigned len = 0;

        if (h->tls->ssl != NULL)
                SSL_get0_alpn_selected(h->tls->ssl, &name, &len);
        return str_of_bytes(name, len);
}

void tls_cancel(struct tls_handshake *h)
{
        struct tls_stream *t = h->tls;

        stream_read(t->lower, false);
        break_off(t, error_new(ERROR_CANCELLED, "the TLS handshake was given up"));
        schedule_pump(t);
}
