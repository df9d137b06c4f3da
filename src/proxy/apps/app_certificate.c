/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_certificate.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/pem.h"

struct app_certificate {
        bool is_of_cluster; /* the fields below are set */
        char *user, *app, *session;
        struct secret secret; /* empty: it is not one for applications */
        struct cert_times times;
};

static bool is_issued_by(struct str der, struct str ca_pem)
{
        struct pem_block block;

        while (pem_next(&ca_pem, &block)) {
                AUTO(buf) ca = BUF_MAX(CERT_MAX);
                AUTO_PTR(error) err = pem_decode(&block, &ca);

                if (err == NULL && cert_is_issued_by(der, buf_str(&ca)))
                        return true;
        }
        return false;
}

struct app_certificate *app_certificate_new(struct str der, struct str user_cas_pem, struct str cluster)
{
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct app_certificate *c = NEW(struct app_certificate);
        struct cert_info info = { 0 };
        AUTO_PTR(error) err = der.len > CERT_MAX ? error_new(ERROR_INVALID_ARGUMENT, "the certificate is too large") : cert_read(arena, der, &info);

        if (err != NULL || !info.is_user || !str_equal(info.cluster, cluster) || !is_issued_by(der, user_cas_pem))
                return c;
        c->is_of_cluster = true;
        c->user = str_dup(info.common_name);
        c->app = str_dup(info.app);
        c->session = str_dup(info.web_session);
        c->secret = secret_of(info.app_secret);
        c->times = info.times;
        return c;
}

void app_certificate_free(struct app_certificate *c)
{
        if (c == NULL)
                return;
        free(c->user);
        free(c->app);
        free(c->session);
        secret_release(&c->secret);
        free(c);
}

static struct error *check(const struct app_certificate *c, const char *app, struct walltime now)
{
        if (!c->is_of_cluster)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not one of a user of this cluster");
        if (str_is_empty(str_of(c->session)) || str_is_empty(str_of(c->app)) || str_is_empty(secret_str(&c->secret)))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is not one for applications");
        if (!str_equal(str_of(c->app), str_of(app)))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is good for the application '%s' only", c->app);
        if (now.ns >= c->times.not_after.ns)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate has expired");
        if (now.ns < c->times.not_before.ns)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not valid yet: a clock is wrong");
        return NULL;
}

struct error *app_certificate_check(const struct app_certificate *c, const char *app, struct walltime now)
{
        struct error *err = check(c, app, now);

        return err == NULL ? NULL : error_hint(err, "get a certificate for this application: tsh apps login %s", app);
}

struct str app_certificate_user(const struct app_certificate *c)
{
        return str_of(c->user);
}

struct str app_certificate_session(const struct app_certificate *c)
{
        return str_of(c->session);
}

struct str app_certificate_secret(const struct app_certificate *c)
{
        return secret_str(&c->secret);
}
