/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app_dial.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/app_sni.h"
#include "cluster/app_status.h"
#include "cluster/connect.h"
#include "loop/conversation.h"
#include "net/tls.h"

enum { DIAL, CHECK, HANDSHAKE, STATUS, OVER };

static const struct conversation_state states[] = {
        [DIAL] = { "dial", SECONDS(0), TO(CHECK) | TO(OVER) }, /* these three have deadlines of their own */
        [CHECK] = { "check", SECONDS(0), TO(HANDSHAKE) | TO(OVER) },
        [HANDSHAKE] = { "handshake", SECONDS(0), TO(STATUS) | TO(OVER) },
        [STATUS] = { "status", MILLISECONDS(TIMEOUT_DIAL_NODE), TO(DIAL) | TO(OVER) },
        [OVER] = { "over", SECONDS(0), 0 },
};

struct app_dial {
        struct loop *loop;
        const struct profile *profile;
        struct app_hosts *hosts;
        char *app, *host_id;
        uint32_t port;
        struct conversation at;
        struct client_dial *dial;
        struct stream *stream; /* of the current step */
        struct buf status;
        struct buf tried;        /* the IDs of hosts that have failed, separated by commas */
        unsigned tries;          /* their number */
        struct error *unreached; /* why the last of them has failed; NULL: there is none */
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
};

/* One of s and err is given. */
static void finish(struct app_dial *d, struct stream *s, struct error *err)
{
        conversation_enter(&d->at, OVER);
        conversation_release(&d->at);
        if (s == NULL)
                stream_close(d->stream);
        d->done(d->ctx, s, client_refusal_hint(err, d->profile));
        buf_release(&d->status);
        buf_release(&d->tried);
        error_free(d->unreached);
        free(d->host_id);
        free(d->app);
        free(d);
}

static void fail(struct app_dial *d, struct error *err)
{
        finish(d, NULL, error_wrap(err, "cannot connect to the application '%s'", d->app));
}

/* ---- the next host ---------------------------------------------------------------------------------------- */

static void on_dialled(void *ctx, struct stream *s, struct error *err);

static void dial(struct app_dial *d)
{
        d->dial = client_dial_app(d->loop, d->profile, d->app, d->port, buf_c(&d->tried), on_dialled, d);
}

/* The host has not reached the application, which has received nothing: another host is tried. err is owned. */
static void try_another(struct app_dial *d, struct error *err)
{
        if (++d->tries == LIMIT_DIAL_TRIES) {
                finish(d, NULL, err);
                return;
        }
        error_free(d->unreached);
        d->unreached = err;
        buf_printf(&d->tried, "%s%s", d->tries == 1 ? "" : ",", d->host_id);
        stream_close(d->stream);
        d->stream = NULL;
        buf_clear(&d->status);
        free(d->host_id);
        d->host_id = NULL;
        conversation_enter(&d->at, DIAL);
        dial(d);
}

static struct error *no_status(const struct app_dial *d, struct error *err)
{
        return error_wrap(err, "cannot connect to the application '%s'", d->app);
}

static void on_expired(void *ctx)
{
        struct app_dial *d = ctx;

        try_another(d, no_status(d, error_new(ERROR_DEADLINE_EXCEEDED, "its host did not answer in time")));
}

/* ---- the status ------------------------------------------------------------------------------------------- */

static void on_status(void *ctx, struct str bytes)
{
        struct app_dial *d = ctx;
        struct str refusal;
        size_t used = 0;

        buf_put(&d->status, bytes);
        app_status_parse(buf_str(&d->status), &used, &refusal);
        if (used == 0)
                return;
        stream_read(d->stream, false);
        if (refusal.ptr != NULL) {
                AUTO_MEM char *shown = escaped(refusal);

                try_another(d, error_new(ERROR_PERMISSION_DENIED, "%s", shown));
                return;
        }
        struct str rest = str_slice(buf_str(&d->status), used, d->status.len);
        finish(d, rest.len == 0 ? d->stream : stream_with_prefix(d->loop, d->stream, rest), NULL);
}

static void on_status_end(void *ctx, struct error *err)
{
        struct app_dial *d = ctx;

        try_another(d, no_status(d, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "its host ended the connection without a reason")));
}

static const struct stream_events status_events = { .on_read = on_status, .on_end = on_status_end };

/* ---- the handshake ---------------------------------------------------------------------------------------- */

/* The remedies of the handshake are for operators of servers. */
static struct error *impostor_hint(struct error *err)
{
        return err->code != ERROR_UNAUTHENTICATED ? err : error_hint(err, "report it to an administrator: the connection does not lead to the host of the application, or that has an old certificate");
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct app_dial *d = ctx;

        d->stream = tls;
        if (err == NULL)
                err = connect_check_role(tls_peer_cert_der(tls), "App", loop_wall(d->loop));
        if (err != NULL) {
                fail(d, impostor_hint(err));
                return;
        }
        if (!str_equal(tls_alpn(tls), STR(APP_ALPN_TCP))) { /* HTTP, whose responses say all */
                finish(d, tls, NULL);
                return;
        }
        conversation_enter(&d->at, STATUS);
        stream_listen(tls, &status_events, d);
        stream_read(tls, true);
}

static void on_checked(void *ctx, struct error *err)
{
        static const char *const alpn[] = { APP_ALPN_TCP, APP_ALPN_LOCAL, APP_ALPN_HTTP, NULL };
        struct app_dial *d = ctx;
        struct tls_context *context = NULL;

        if (err == NULL)
                err = client_tls_context(d->profile, alpn, &context);
        if (err != NULL) {
                fail(d, err);
                return;
        }
        AUTO_MEM char *name = mem_printf("%s.%s", d->host_id, d->profile->cluster), *announced = app_sni_new(d->app, d->port);
        struct stream *lower = d->stream;

        d->stream = NULL;
        tls_context_announce(context, announced);
        conversation_enter(&d->at, HANDSHAKE);
        struct tls_handshake *handshake = tls_start(d->loop, context, lower, name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, d);
        (void)handshake; /* ends by itself */
        tls_context_free(context);
}

/* ---- the dial --------------------------------------------------------------------------------------------- */

static bool was_tried(struct app_dial *d, struct str id)
{
        struct str list = buf_str(&d->tried);

        while (!str_is_empty(list))
                if (str_equal(str_split(&list, ','), id))
                        return true;
        return false;
}

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct app_dial *d = ctx;
        struct str id = err == NULL ? str_of(client_dial_host_id(d->dial)) : STR("");
        bool is_no_other = d->unreached != NULL && (err != NULL || was_tried(d, id)); /* an older proxy names the same host again */

        d->stream = s;
        if (is_no_other) {
                error_free(err);
                err = d->unreached;
                d->unreached = NULL;
        }
        if (err != NULL) {
                finish(d, NULL, err); /* by the proxy, in words for the user */
                return;
        }
        d->host_id = str_dup(id);
        if (*d->host_id == '\0') {
                fail(d, error_new(ERROR_UNAVAILABLE, "the proxy does not name the host of the application"));
                return;
        }
        conversation_enter(&d->at, CHECK);
        app_hosts_check(d->hosts, d->profile, d->host_id, on_checked, d);
}

void app_dial_start(struct loop *l, const struct profile *p, const char *app, uint32_t port, struct app_hosts *hosts,
                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct app_dial *d = NEW(struct app_dial);

        *d = (struct app_dial){ .loop = l, .profile = p, .hosts = hosts, .app = str_dup(str_of(app)), .port = port, .done = done, .ctx = ctx };
        d->status = BUF_MAX(LOOP_BUFFER + 1 + APP_REFUSAL_MAX);
        d->tried = BUF_MAX(LIMIT_DIAL_TRIES * LIMIT_NAME);
        conversation_init(&d->at, l, states, DIAL, on_expired, d);
        dial(d);
}
