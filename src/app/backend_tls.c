/* SPDX-License-Identifier: Apache-2.0 */
#include "app/backend_tls.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "net/tls.h"
#include "os/file.h"
#include "rpc/wire.h"

enum { FILE_MAX = 256 * KiB };

struct backend_tls_app {
        const Cteleport__V1__AppConfig *app;
        struct buf ca, cert, key; /* "" not given */
        struct error *failure;    /* why the files cannot be used */
        struct tls_context *context; /* NULL: not made yet */
};

static struct error *read_one(const char *path, struct buf *out)
{
        *out = BUF_MAX(FILE_MAX);
        return path == NULL || path[0] == '\0' ? NULL : file_read(path, out);
}

static struct error *read_files(struct backend_tls_app *a)
{
        const Cteleport__V1__AppTlsConfig *tls = a->app->tls;

        if (tls == NULL)
                return NULL;
        TRY(read_one(tls->ca_cert_file, &a->ca));
        TRY(read_one(tls->cert_file, &a->cert));
        return read_one(tls->key_file, &a->key);
}

void backend_tls_load(struct backend_tls *b, const Cteleport__V1__AppServiceConfig *service)
{
        b->apps = mem_array(service->n_apps, sizeof *b->apps);
        b->count = service->n_apps;
        for (size_t i = 0; i < b->count; i++) {
                b->apps[i].app = service->apps[i];
                b->apps[i].failure = read_files(&b->apps[i]);
                if (b->apps[i].failure != NULL)
                        log_warn("A file of an application's tls cannot be read, its users get an error", LOG_C("app", service->apps[i]->name),
                                 LOG_ERR(b->apps[i].failure));
        }
}

void backend_tls_release(struct backend_tls *b)
{
        for (size_t i = 0; i < b->count; i++) {
                struct backend_tls_app *a = &b->apps[i];

                buf_release(&a->ca);
                buf_release(&a->cert);
                if (a->key.ptr != NULL)
                        explicit_bzero(a->key.ptr, a->key.len);
                buf_release(&a->key);
                error_free(a->failure);
                tls_context_free(a->context);
        }
        free(b->apps);
        for (size_t i = 0; i < ARRAY_LEN(b->plain); i++)
                tls_context_free(b->plain[i]);
        *b = (struct backend_tls){ 0 };
}

static bool is_insecure(const Cteleport__V1__AppConfig *app)
{
        return app->has_insecure_skip_verify && app->insecure_skip_verify;
}

static struct error *make(const struct backend_tls_app *a, struct str roots_pem, struct tls_context **ret)
{
        static const char *const alpn[] = { "http/1.1", NULL };
        TRY(tls_context_new((struct tls_options){ .peer = is_insecure(a->app) ? TLS_PEER_INSECURE : TLS_PEER_REQUIRED, .trust_pem = buf_str(&a->ca),
                                                  .roots_pem = roots_pem, .alpn = alpn }, ret));
        struct error *err = a->cert.len == 0 ? NULL : tls_context_add(*ret, NULL, (struct tls_identity){ buf_str(&a->cert), buf_str(&a->key) });
        if (err != NULL) {
                tls_context_free(*ret);
                *ret = NULL;
        }
        return err;
}

static bool has_same_settings(const Cteleport__V1__AppConfig *a, const Cteleport__V1__AppConfig *b)
{
        AUTO(buf) one = BUF_MAX(FILE_MAX), other = BUF_MAX(FILE_MAX);

        if (strcmp(a->name, b->name) != 0 || is_insecure(a) != is_insecure(b) || a->tls == NULL || b->tls == NULL)
                return false;
        wire_encode(&one, &a->tls->base);
        wire_encode(&other, &b->tls->base);
        return str_equal(buf_str(&one), buf_str(&other));
}

/* The context of all applications that have no files. */
static struct error *get_plain(struct backend_tls *b, const Cteleport__V1__AppConfig *app, struct str roots_pem, struct tls_context **ret)
{
        const struct backend_tls_app a = { .app = app };
        struct tls_context **plain = &b->plain[is_insecure(app)];

        if (*plain == NULL)
                TRY(make(&a, roots_pem, plain));
        *ret = *plain;
        return NULL;
}

struct error *backend_tls_get(struct backend_tls *b, const Cteleport__V1__AppConfig *app, struct str roots_pem, struct tls_context **ret)
{
        if (app->tls == NULL)
                return get_plain(b, app, roots_pem, ret);
        for (size_t i = 0; i < b->count; i++) {
                struct backend_tls_app *a = &b->apps[i];

                if (!has_same_settings(a->app, app))
                        continue;
                if (a->failure == NULL && a->context == NULL)
                        a->failure = make(a, roots_pem, &a->context);
                if (a->failure != NULL)
                        return error_because(error_new(ERROR_FAILED_PRECONDITION, "the host of the application '%s' cannot use the files of its tls settings", app->name),
                                             error_copy(a->failure));
                *ret = a->context;
                return NULL;
        }
        return error_new(ERROR_UNAVAILABLE, "the tls settings of the application '%s' were changed, and its files are not read yet", app->name);
}
