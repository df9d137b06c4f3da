/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/web_certificate.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "net/socket.h"
#include "os/file.h"
#include "pki/cert_check.h"
#include "pki/der.h"

typedef Cteleport__Internal__V1__HttpsKeyPair pair_message;

enum {
        PEM_MAX = 32 * KiB,         /* a key, or a chain of a few certificates */
        PAIRS_BYTES_MAX = 60 * KiB, /* the pairs must fit into one control message, with its frame */
        SELF_SIGNED_DAYS = 365,     /* longer ones are refused by some clients even when trusted by hand */
};

void web_keypairs_release(struct web_keypairs *k)
{
        for (size_t i = 0; i < k->count; i++) {
                wipe(k->pairs[i]->key_pem.data, k->pairs[i]->key_pem.len);
                cteleport__internal__v1__https_key_pair__free_unpacked(k->pairs[i], NULL);
        }
        *k = (struct web_keypairs){ 0 };
}

static struct str bytes_str(const ProtobufCBinaryData *data)
{
        return str_of_bytes(data->data, data->len);
}

bool web_keypairs_equal(const struct web_keypairs *a, const struct web_keypairs *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                if (!str_equal(bytes_str(&a->pairs[i]->cert_pem), bytes_str(&b->pairs[i]->cert_pem)) ||
                    !secret_equal(bytes_str(&a->pairs[i]->key_pem), bytes_str(&b->pairs[i]->key_pem)))
                        return false;
        }
        return true;
}

static ProtobufCBinaryData copy_bytes(struct str bytes)
{
        return (ProtobufCBinaryData){ .len = bytes.len, .data = (uint8_t *)mem_dup(bytes.ptr, bytes.len) };
}

static void add_pair(struct web_keypairs *k, struct str cert_pem, struct str key_pem)
{
        pair_message *pair = NEW(pair_message);

        cteleport__internal__v1__https_key_pair__init(pair);
        pair->cert_pem = copy_bytes(cert_pem);
        pair->key_pem = copy_bytes(key_pem);
        k->pairs[k->count++] = pair;
}

/* A buffer for a secret, wiped when it is released. */
struct secret_buf {
        struct buf bytes;
};

static void secret_buf_release(struct secret_buf *s)
{
        if (s->bytes.ptr != NULL)
                wipe(s->bytes.ptr, s->bytes.room);
        buf_release(&s->bytes);
}

static struct error *load_files(const char *cert_path, const char *key_path, struct web_keypairs *k)
{
        AUTO(buf) cert = BUF_MAX(PEM_MAX);
        AUTO(secret_buf) key = { BUF_MAX(PEM_MAX) };

        TRY(file_read(cert_path, &cert));
        TRY(file_read_private(key_path, &key.bytes));
        add_pair(k, buf_str(&cert), buf_str(&key.bytes));
        return NULL;
}

/* ---- self-signed certificate --------------------------------------------------------------------- */

/* notAfter of a certificate (RFC 5280 section 4.1): tbs, version, serial, algorithm, issuer, validity. */
static struct error *read_not_after(struct str der, struct walltime *ret)
{
        struct reader whole = reader_over(der);
        struct reader cert = der_enter(&whole, DER_SEQUENCE);
        struct reader tbs = der_enter(&cert, DER_SEQUENCE);

        (void)der_get(&tbs, DER_CONTEXT_CONSTRUCTED(0));
        (void)der_get(&tbs, DER_INTEGER);
        (void)der_get(&tbs, DER_SEQUENCE);
        (void)der_get(&tbs, DER_SEQUENCE);
        struct reader validity = der_enter(&tbs, DER_SEQUENCE);
        (void)der_get(&validity, DER_UTC_TIME);
        struct str text = der_get(&validity, DER_UTC_TIME); /* YYMMDDHHMMSSZ; our certificates end before 2050 */
        if (!reader_ok(&validity) || text.len != 13)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate has no time of its end");

        AUTO_MEM char *rfc3339 = mem_printf("20%.2s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text.ptr, text.ptr + 2, text.ptr + 4,
                                            text.ptr + 6, text.ptr + 8, text.ptr + 10);
        return walltime_parse_rfc3339(str_of(rfc3339), ret);
}

/* Whether the files of a pair match: a crash between the two writes leaves a new key beside the older certificate. */
static struct error *check_own_pair(const pair_message *pair, struct walltime now)
{
        AUTO(key) key = { 0 };
        AUTO(buf) der = BUF_MAX(PEM_MAX);
        struct walltime not_after;

        TRY(key_from_pem(&key, bytes_str(&pair->key_pem)));
        TRY(cert_pem_to_der(bytes_str(&pair->cert_pem), &der));
        TRY(cert_check_key(buf_str(&der), &key));
        TRY(read_not_after(buf_str(&der), &not_after));
        if (not_after.ns <= now.ns)
                return error_new(ERROR_FAILED_PRECONDITION, "the certificate has expired");
        return NULL;
}

static void add_name(struct str *names, size_t *count, struct str name)
{
        bool fits = *count < LIMIT_CERT_NAMES && (name_is_host(name) || name_is_ip(name));

        for (size_t i = 0; i < *count && fits; i++)
                fits = !str_equal_nocase(names[i], name);
        if (fits)
                names[(*count)++] = name;
}

static size_t collect_names(const struct launch *l, struct str *names)
{
        static const char *const always[] = { "localhost", "127.0.0.1", "::1" };
        const Cteleport__V1__ProxyConfig *proxy = l->config->proxy_service;
        size_t count = 0;

        for (size_t i = 0; proxy != NULL && i < proxy->n_public_addr; i++) {
                struct str host;
                int port;
                AUTO_PTR(error) err = address_split(str_of(proxy->public_addr[i]), 443, &host, &port);

                if (err == NULL) /* config_check reports invalid addresses */
                        add_name(names, &count, host);
        }
        add_name(names, &count, str_of(l->nodename));
        for (size_t i = 0; i < ARRAY_LEN(always); i++)
                add_name(names, &count, str_of(always[i]));
        return count;
}

static struct error *make_own_pair(const struct launch *l, const char *cert_path, const char *key_path,
                                   struct walltime now, struct web_keypairs *k)
{
        const struct cert_times times = {
                .not_before = walltime_sub(now, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)),
                .not_after = walltime_add(now, HOURS(24 * SELF_SIGNED_DAYS)),
        };
        struct str names[LIMIT_CERT_NAMES];
        size_t count = collect_names(l, names);
        AUTO(key) key = { 0 };
        AUTO(secret) key_pem = { 0 };
        AUTO(buf) der = BUF_MAX(PEM_MAX);
        AUTO(buf) cert_pem = BUF_MAX(PEM_MAX);

        TRY(key_generate(&key, KEY_ECDSA_P256));
        TRY(x509_self_signed_web(&key, names, count, times, &der));
        TRY(key_to_pem(&key, &key_pem));
        cert_der_to_pem(buf_str(&der), &cert_pem);
        TRY(buf_finish(&cert_pem, "the web certificate"));
        TRY(file_write_atomic(key_path, secret_str(&key_pem), 0600));
        TRY(file_write_atomic(cert_path, buf_str(&cert_pem), 0600));
        add_pair(k, buf_str(&cert_pem), secret_str(&key_pem));
        return NULL;
}

static struct error *load_own_pair(const struct launch *l, struct walltime now, struct web_keypairs *k)
{
        AUTO_MEM char *cert_path = mem_printf("%s/webproxy_cert.pem", l->data_dir);
        AUTO_MEM char *key_path = mem_printf("%s/webproxy_key.pem", l->data_dir);
        AUTO(web_keypairs) stored = { 0 };
        struct error *err = load_files(cert_path, key_path, &stored);

        /* The operator must repair an existing file that cannot be read: it is not replaced. */
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err;
        if (err == NULL)
                err = check_own_pair(stored.pairs[0], now);
        if (err == NULL) {
                *k = stored;
                stored = (struct web_keypairs){ 0 };
                return NULL;
        }
        error_free(err);
        return make_own_pair(l, cert_path, key_path, now, k);
}

/* ---- loading ------------------------------------------------------------------------------------- */

static struct error *load_configured(const Cteleport__V1__ProxyConfig *proxy, struct web_keypairs *k)
{
        size_t total = 0;

        if (proxy->n_https_keypairs > WEB_KEYPAIRS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "https_keypairs has %zu entries, more than %d",
                                 proxy->n_https_keypairs, WEB_KEYPAIRS_MAX);
        for (size_t i = 0; i < proxy->n_https_keypairs; i++) {
                const Cteleport__V1__KeyPair *files = proxy->https_keypairs[i];

                struct error *err = load_files(files->cert_file, files->key_file, k);
                if (err != NULL && err->hint == NULL)
                        err = error_hint(err, "name the files of a certificate in proxy_service.https_keypairs[%zu]; without https_keypairs the "
                                              "proxy makes one of its own", i + 1);
                TRY(err);
                total += k->pairs[i]->cert_pem.len + k->pairs[i]->key_pem.len;
        }
        if (total > PAIRS_BYTES_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the files of https_keypairs hold %zu bytes, more than %d",
                                 total, PAIRS_BYTES_MAX);
        return NULL;
}

struct error *web_keypairs_load(const struct launch *l, struct walltime now, struct web_keypairs *ret)
{
        const Cteleport__V1__ProxyConfig *proxy = l->config->proxy_service;
        AUTO(web_keypairs) loaded = { 0 };
        bool is_configured = proxy != NULL && proxy->n_https_keypairs > 0;
        struct error *err = is_configured ? load_configured(proxy, &loaded) : load_own_pair(l, now, &loaded);

        if (err != NULL)
                return error_wrap(err, is_configured ? "https_keypairs" : "the proxy's web certificate");
        *ret = loaded;
        loaded = (struct web_keypairs){ 0 };
        return NULL;
}
