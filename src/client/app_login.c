/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app_login.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/profile_internal.h"
#include "os/file.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/seal.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { SEALED_MAX = SEAL_TEXT_MAX + KiB };

#define CERT_SUFFIX "-x509.pem"

/* ---- files ------------------------------------------------------------------------------------------------------ */

static const char *directory_of(const struct profile *p)
{
        return arena_printf(p->arena, "%s/%s", profile_app_directory(p), p->cluster);
}

static struct app_login login_of(const struct profile *p, const char *app)
{
        const char *directory = directory_of(p);

        return (struct app_login){ .app = arena_printf(p->arena, "%s", app), .cert = arena_printf(p->arena, "%s/%s" CERT_SUFFIX, directory, app),
                                   .key = arena_printf(p->arena, "%s/%s.key", directory, app), .session = "" };
}

/* Whether the file is a certificate of this user for the application that its name says, and valid. */
static bool read_login(const struct profile *p, struct walltime now, struct app_login *login)
{
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX), der = BUF_MAX(CERT_MAX);
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct cert_info info = { 0 };
        AUTO_PTR(error) err = file_read(login->cert, &pem);

        if (err == NULL)
                err = cert_pem_to_der(buf_str(&pem), &der);
        if (err == NULL)
                err = cert_read(arena, buf_str(&der), &info);
        if (err != NULL || !info.is_user || !str_equal(info.common_name, str_of(p->user)) || !str_equal(info.app, str_of(login->app)) ||
            str_is_empty(info.web_session) || now.ns >= info.times.not_after.ns)
                return false;
        login->session = str_to_c(p->arena, info.web_session);
        return true;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct app_login *)a)->app, ((const struct app_login *)b)->app);
}

struct error *app_login_list(const struct profile *p, struct walltime now, struct app_login **ret, size_t *ret_count)
{
        struct app_login *list = arena_alloc(p->arena, LIMIT_APP_SESSIONS_USER * sizeof *list);
        const char *path = directory_of(p);
        size_t count = 0;
        DIR *directory = opendir(path);

        if (directory == NULL && errno != ENOENT)
                return error_errno(errno, "cannot read %s", path);
        for (const struct dirent *e; directory != NULL && count < LIMIT_APP_SESSIONS_USER && (e = readdir(directory)) != NULL;) {
                struct str name = str_of(e->d_name);

                if (!str_ends_with(name, STR(CERT_SUFFIX)))
                        continue;
                name.len -= strlen(CERT_SUFFIX);
                if (!name_is_app(name))
                        continue;
                list[count] = login_of(p, str_to_c(p->arena, name));
                if (read_login(p, now, &list[count]))
                        count++;
        }
        if (directory != NULL)
                closedir(directory);
        qsort(list, count, sizeof *list, by_name);
        *ret = list;
        *ret_count = count;
        return NULL;
}

const struct app_login *app_login_find(const struct app_login *list, size_t count, const char *app)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(list[i].app, app) == 0)
                        return &list[i];
        return NULL;
}

static struct error *store(const struct profile *p, const struct app_login *login, struct str cert_der, struct str key_pem)
{
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);

        cert_der_to_pem(cert_der, &pem);
        TRY(buf_finish(&pem, "the certificate for an application"));
        TRY(dir_make(profile_app_directory(p), 0700));
        TRY(dir_make(directory_of(p), 0700));
        TRY(file_write_atomic(login->key, key_pem, 0600));
        return file_write_atomic(login->cert, buf_str(&pem), 0600);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/* A new key: its public half, and the private one as PEM. */
static struct error *make_key(struct buf *public_key, struct secret *pem)
{
        struct key key = { 0 };
        struct error *err = key_generate(&key, KEY_ECDSA_P256);

        if (err == NULL)
                err = key_public_der(&key, public_key);
        if (err == NULL)
                err = key_to_pem(&key, pem);
        key_release(&key);
        return err;
}

static struct error *request_certificate(struct api_client *a, const char *app, const char *id, struct str client_key, struct str *ret_cert)
{
        Cteleport__V1__CreateAppSessionRequest request = CTELEPORT__V1__CREATE_APP_SESSION_REQUEST__INIT;
        AUTO(buf) public_key = BUF_MAX(2 * KiB), sealed = BUF_MAX(SEALED_MAX), secret = BUF_MAX(2 * APP_SECRET_LEN);
        AUTO(secret) session_key = { 0 };
        uint8_t bytes[APP_SECRET_LEN / 2];
        ProtobufCMessage *answer = NULL;

        random_bytes(bytes, sizeof bytes);
        hex_encode(&secret, str_of_bytes(bytes, sizeof bytes));
        wipe(bytes, sizeof bytes);
        TRY(make_key(&public_key, &session_key));
        TRY(seal(buf_str(&secret), str_of(id), secret_str(&session_key), &sealed));
        request.app = pb_text(app);
        request.id = pb_text(id);
        request.public_key = pb_bytes(buf_str(&public_key));
        request.sealed_key = pb_bytes(buf_str(&sealed));
        request.client_public_key = pb_bytes(client_key);
        request.client_secret = pb_text(buf_c(&secret));
        struct error *err = api_client_request(a, "/cteleport.v1.Web/CreateAppSession", &request.base, &cteleport__v1__create_web_session_response__descriptor, &answer);
        wipe(secret.ptr, secret.len);
        TRY(err);
        *ret_cert = pb_str(((const Cteleport__V1__CreateWebSessionResponse *)(const void *)answer)->client_cert);
        if (str_is_empty(*ret_cert))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the cluster makes no certificates for applications"), "upgrade its Auth Service, or use: tsh proxy app %s", app);
        return NULL;
}

static struct error *end_session(struct api_client *a, const char *id)
{
        Cteleport__V1__DeleteAppSessionRequest request = CTELEPORT__V1__DELETE_APP_SESSION_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        request.id = pb_text(id);
        struct error *err = api_client_request(a, "/cteleport.v1.Web/DeleteAppSession", &request.base, &cteleport__v1__empty__descriptor, &answer);
        if (err == NULL || err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err); /* it has ended before */
        return NULL;
}

struct error *app_login_create(struct api_client *a, const struct profile *p, const char *app, struct app_login *ret)
{
        AUTO(buf) client_key = BUF_MAX(2 * KiB), id = BUF_MAX(2 * WEB_SESSION_ID_LEN);
        AUTO(secret) key_pem = { 0 };
        uint8_t bytes[WEB_SESSION_ID_LEN / 2];
        struct app_login login = login_of(p, app), former = login;
        bool has_former = read_login(p, loop_wall(&a->loop), &former);
        struct str cert = { 0 };

        random_bytes(bytes, sizeof bytes);
        hex_encode(&id, str_of_bytes(bytes, sizeof bytes));
        TRY(make_key(&client_key, &key_pem));
        TRY(request_certificate(a, app, buf_c(&id), buf_str(&client_key), &cert));
        TRY(store(p, &login, cert, secret_str(&key_pem)));
        login.session = arena_printf(p->arena, "%s", buf_c(&id));
        *ret = login;
        return has_former ? end_session(a, former.session) : NULL;
}

struct error *app_login_end(struct api_client *a, const struct app_login *login)
{
        TRY(end_session(a, login->session));
        if ((unlink(login->cert) != 0 && errno != ENOENT) || (unlink(login->key) != 0 && errno != ENOENT))
                return error_errno(errno, "cannot remove %s", login->cert);
        return NULL;
}
