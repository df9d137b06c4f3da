/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/state.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

enum { SERVER_ID_BYTES = 8, KEY_FILE_MAX = 16 * KiB };

/* ---- the account ---------------------------------------------------------------------------------------- */

static struct error *make_account(const char *path, struct key *ret)
{
        AUTO(secret) pem = { 0 };
        AUTO(key) key = { 0 };

        TRY(key_generate(&key, KEY_ECDSA_P256));
        TRY(key_to_pem(&key, &pem));
        TRY(file_write_atomic(path, secret_str(&pem), 0600));
        *ret = key;
        key = (struct key){ 0 };
        return NULL;
}

static struct error *load_account(const char *path, struct key *ret)
{
        AUTO(buf) text = BUF_MAX(KEY_FILE_MAX);
        struct error *err = file_read_private(path, &text);

        if (err != NULL && err->code == ERROR_NOT_FOUND) {
                error_free(err);
                return make_account(path, ret);
        }
        if (err != NULL)
                return err;
        err = key_from_pem(ret, buf_str(&text));
        if (text.ptr != NULL)
                wipe(text.ptr, text.room);
        if (err == NULL)
                return NULL;
        return error_hint(error_wrap(err, "the account key %s", path), "restore it, or remove it to begin a new account");
}

/* ---- the certificate ------------------------------------------------------------------------------------ */

static void load_certificate(const char *path, const struct str *names, size_t count, struct walltime now, struct acme_state *s)
{
        AUTO(secret) pem = { 0 };
        struct cert_times times;
        AUTO_PTR(error) err = acme_pair_read(path, names, count, &pem, &times);

        if (err != NULL || times.not_after.ns <= now.ns)
                return;
        s->pem = pem;
        s->times = times;
        pem = (struct secret){ 0 };
}

struct error *acme_state_keep(struct acme_state *s, struct acme_pair pair)
{
        AUTO_MEM char *path = mem_printf("%s/certificate.pem", s->dir);

        return acme_pair_write(path, pair, &s->pem, &s->times);
}

struct acme_pair acme_state_pair(const struct acme_state *s)
{
        return (struct acme_pair){ secret_str(&s->pem), secret_str(&s->pem) };
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

struct error *acme_state_load(const char *base, const char *directory_url, const struct str *names, size_t count, struct walltime now,
                              struct acme_state *ret)
{
        AUTO(acme_state) s = { 0 };
        AUTO(buf) id = BUF_MAX(64);
        uint8_t digest[32];

        sha256(str_of(directory_url), digest);
        hex_encode(&id, str_of_bytes(digest, SERVER_ID_BYTES));
        s.dir = mem_printf("%s/%s", base, buf_c(&id));
        AUTO_MEM char *account = mem_printf("%s/account.pem", s.dir);
        AUTO_MEM char *certificate = mem_printf("%s/certificate.pem", s.dir);
        TRY(dir_make(s.dir, 0700));
        TRY(load_account(account, &s.account));
        load_certificate(certificate, names, count, now, &s);
        *ret = s;
        s = (struct acme_state){ 0 };
        return NULL;
}

void acme_state_release(struct acme_state *s)
{
        free(s->dir);
        key_release(&s->account);
        secret_release(&s->pem);
        *s = (struct acme_state){ 0 };
}

struct walltime acme_renewal_time(struct cert_times times, uint32_t random)
{
        int64_t validity = walltime_since(times.not_after, times.not_before).ns;
        int64_t jitter = validity / 30 / 1000 * (int64_t)(random % 1000);

        return walltime_add(times.not_before, (struct duration){ validity / 3 * 2 - jitter });
}

struct duration acme_renewal_rest(struct cert_times times)
{
        return (struct duration){ walltime_since(times.not_after, times.not_before).ns / 3 };
}
