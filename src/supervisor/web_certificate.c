/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/web_certificate.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/socket.h"
#include "net/tls.h"
#include "os/file.h"
#include "pki/cert_check.h"

typedef Cteleport__Internal__V1__HttpsKeyPair pair_message;

enum {
        PEM_MAX = 32 * KiB,         /* a key, or a chain of a few certificates */
        PAIRS_BYTES_MAX = 60 * KiB, /* the pairs must fit into one control message, with its frame */
        DNS_NAME_MAX = 253,         /* RFC 1035 section 2.3.4 */
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

static bool is_same_pair(const pair_message *a, const pair_message *b)
{
        return str_equal(bytes_str(&a->cert_pem), bytes_str(&b->cert_pem)) && secret_equal(bytes_str(&a->key_pem), bytes_str(&b->key_pem));
}

static bool are_same_pairs(const struct web_keypairs *a, const struct web_keypairs *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!is_same_pair(a->pairs[i], b->pairs[i]))
                        return false;
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

/* Whether the files of a pair match: a crash between the two writes leaves a new key beside the older certificate. */
static struct error *check_own_pair(const pair_message *pair, struct walltime now)
{
        AUTO(key) key = { 0 };
        AUTO(buf) der = BUF_MAX(PEM_MAX);
        struct cert_times times;

        TRY(key_from_pem(&key, bytes_str(&pair->key_pem)));
        TRY(cert_pem_to_der(bytes_str(&pair->cert_pem), &der));
        TRY(cert_check_key(buf_str(&der), &key));
        TRY(cert_validity(buf_str(&der), &times));
        if (times.not_after.ns <= now.ns)
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

static size_t collect_names(const struct launch *l, struct arena *arena, struct str *names)
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
                if (err == NULL && name_is_host(host) && !name_is_ip(host) && host.len + strlen("*.") <= DNS_NAME_MAX && count < LIMIT_CERT_NAMES) /* applications are below it */
                        names[count++] = str_of(arena_printf(arena, "*.%.*s", STR_ARG(host)));
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
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        size_t count = collect_names(l, arena, names);
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

/* ---- checks of a configured pair ------------------------------------------------------------------ */

static struct error *check_validity(const char *path, struct str cert_der, struct walltime now)
{
        struct cert_times times;
        AUTO(buf) end = BUF_MAX(64);
        AUTO(buf) begin = BUF_MAX(64);

        TRY(cert_validity(cert_der, &times));
        walltime_put_rfc3339(&begin, times.not_before);
        walltime_put_rfc3339(&end, times.not_after);
        if (times.not_after.ns <= now.ns)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s has expired on %s", path, buf_c(&end)),
                                  "renew it; a running proxy takes the new file by: systemctl reload teleport");
        if (times.not_before.ns > now.ns)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s is not valid before %s", path, buf_c(&begin)),
                                  "check the clock of this machine");
        return NULL;
}

static void count_name(void *ctx, struct str name)
{
        size_t *count = ctx;

        (void)name;
        ++*count;
}

static struct error *check_name_count(const char *path, struct str cert_der)
{
        size_t count = 0;

        TRY(cert_each_dns_name(cert_der, count_name, &count));
        if (count > LIMIT_WEB_CERT_NAMES)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s has %zu names, more than %d", path, count, LIMIT_WEB_CERT_NAMES),
                                  "use several certificates, or a wildcard");
        return NULL;
}

/* Checks that TLS accepts the pair, as the proxy will use it, and that clients can accept it now. */
static struct error *check_pair(const Cteleport__V1__KeyPair *files, const pair_message *pair, struct walltime now)
{
        AUTO_PTR(tls_context) tls = NULL;
        AUTO(buf) der = BUF_MAX(PEM_MAX);
        const struct tls_identity identity = { bytes_str(&pair->cert_pem), bytes_str(&pair->key_pem) };

        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE }, &tls));
        struct error *err = tls_context_add(tls, NULL, identity);
        if (err == NULL)
                err = cert_pem_to_der(identity.cert_chain_pem, &der);
        if (err != NULL)
                return error_wrap(err, "%s with %s", files->cert_file, files->key_file);
        TRY(check_validity(files->cert_file, buf_str(&der), now));
        return check_name_count(files->cert_file, buf_str(&der));
}

static bool has_pair_for(const struct web_keypairs *k, struct str host)
{
        for (size_t i = 0; i < k->count; i++) {
                AUTO(buf) der = BUF_MAX(PEM_MAX);
                AUTO_PTR(error) err = cert_pem_to_der(bytes_str(&k->pairs[i]->cert_pem), &der);

                if (err == NULL && cert_is_for_host(buf_str(&der), host))
                        return true;
        }
        return false;
}

static void put_name(void *ctx, struct str name)
{
        AUTO_MEM char *shown = escaped(name);
        struct buf *out = ctx;

        buf_printf(out, "%s%s", out->len == 0 ? "" : ", ", shown);
}

/* Describes what the certificates are for: "FILE is for a.example.com, b.example.com". */
static void put_names(struct buf *out, const Cteleport__V1__ProxyConfig *proxy, const struct web_keypairs *k)
{
        for (size_t i = 0; i < k->count; i++) {
                AUTO(buf) der = BUF_MAX(PEM_MAX);
                AUTO(buf) names = BUF_MAX(ESCAPE_LIMIT);
                AUTO_PTR(error) err = cert_pem_to_der(bytes_str(&k->pairs[i]->cert_pem), &der);

                if (err == NULL)
                        err = cert_each_dns_name(buf_str(&der), put_name, &names);
                buf_printf(out, "%s%s is for %s", i == 0 ? "" : "; ", proxy->https_keypairs[i]->cert_file,
                           names.len == 0 ? "no host name" : buf_c(&names));
        }
}

/* Checks that some certificate is for each name by which clients reach this proxy. */
static struct error *check_public_names(const Cteleport__V1__ProxyConfig *proxy, const struct web_keypairs *k)
{
        struct error *err = NULL;

        for (size_t i = 0; i < proxy->n_public_addr; i++) {
                struct str host;
                int port;

                TRY(address_split(str_of(proxy->public_addr[i]), 443, &host, &port));
                if (has_pair_for(k, host))
                        continue;
                AUTO_MEM char *shown = escaped(host);
                AUTO(buf) names = BUF_MAX(4 * KiB);
                put_names(&names, proxy, k);
                err = error_also(err, error_hint(error_new(ERROR_FAILED_PRECONDITION, "no certificate is for '%s' of proxy_service.public_addr: %s",
                                                           shown, buf_c(&names)),
                                                 "get a certificate for that name, or correct public_addr; behind a load balancer that ends TLS, "
                                                 "leave https_keypairs out"));
        }
        return err;
}

/* ---- loading ------------------------------------------------------------------------------------- */

static struct error *load_pair(const Cteleport__V1__ProxyConfig *proxy, size_t index, struct walltime now, struct web_keypairs *k)
{
        const Cteleport__V1__KeyPair *files = proxy->https_keypairs[index];
        AUTO(web_keypairs) loaded = { 0 };
        struct error *err = load_files(files->cert_file, files->key_file, &loaded);

        if (err == NULL)
                err = check_pair(files, loaded.pairs[0], now);
        if (err != NULL)
                return err->hint != NULL ? err :
                                           error_hint(err, "name the files of a certificate in proxy_service.https_keypairs[%zu]; without https_keypairs the "
                                                           "proxy makes one of its own", index + 1);
        k->pairs[k->count++] = loaded.pairs[0];
        loaded.count = 0;
        return NULL;
}

/* in_force: pairs that replace those that are refused, or NULL. */
static struct error *load_pairs(const Cteleport__V1__ProxyConfig *proxy, struct walltime now, const struct web_keypairs *in_force,
                                struct web_keypairs *k)
{
        struct error *err = NULL;

        if (proxy->n_https_keypairs > WEB_KEYPAIRS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "https_keypairs has %zu entries, more than %d",
                                 proxy->n_https_keypairs, WEB_KEYPAIRS_MAX);
        for (size_t i = 0; i < proxy->n_https_keypairs; i++) {
                struct error *refused = load_pair(proxy, i, now, k);

                if (refused != NULL && in_force != NULL)
                        add_pair(k, bytes_str(&in_force->pairs[i]->cert_pem), bytes_str(&in_force->pairs[i]->key_pem));
                err = error_also(err, refused);
        }
        return err;
}

static size_t size_of(const struct web_keypairs *k)
{
        size_t total = 0;

        for (size_t i = 0; i < k->count; i++)
                total += k->pairs[i]->cert_pem.len + k->pairs[i]->key_pem.len;
        return total;
}

/* The checks of all pairs together. */
static struct error *check_pairs(const Cteleport__V1__ProxyConfig *proxy, const struct web_keypairs *k)
{
        size_t total = size_of(k);

        if (total > PAIRS_BYTES_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the files of https_keypairs hold %zu bytes, more than %d",
                                 total, PAIRS_BYTES_MAX);
        return check_public_names(proxy, k);
}

static bool has_configured(const struct launch *l)
{
        return l->config->proxy_service != NULL && l->config->proxy_service->n_https_keypairs > 0;
}

/* Prefixes each error of a chain with what it concerns. */
static struct error *explain(const struct launch *l, struct error *err)
{
        for (struct error *e = err; e != NULL; e = e->also)
                e = error_wrap(e, has_configured(l) ? "https_keypairs" : "the proxy's web certificate");
        return err;
}

struct error *web_keypairs_load(const struct launch *l, struct walltime now, struct web_keypairs *ret)
{
        AUTO(web_keypairs) loaded = { 0 };
        struct error *err = has_configured(l) ? load_pairs(l->config->proxy_service, now, NULL, &loaded) : load_own_pair(l, now, &loaded);

        if (err == NULL && has_configured(l))
                err = check_pairs(l->config->proxy_service, &loaded);
        if (err != NULL)
                return err->also == NULL ? explain(l, err) : error_join(err, "https_keypairs");
        *ret = loaded;
        loaded = (struct web_keypairs){ 0 };
        return NULL;
}

struct error *web_keypairs_reload(const struct launch *l, struct walltime now, struct web_keypairs *k, bool *ret_changed)
{
        AUTO(web_keypairs) loaded = { 0 };
        struct error *refused = NULL, *err = NULL;

        *ret_changed = false;
        if (has_configured(l)) {
                refused = load_pairs(l->config->proxy_service, now, k, &loaded);
                err = check_pairs(l->config->proxy_service, &loaded);
        } else {
                err = load_own_pair(l, now, &loaded);
        }
        if (err == NULL && !are_same_pairs(&loaded, k)) {
                struct web_keypairs old = *k;

                *k = loaded;
                loaded = old; /* released here */
                *ret_changed = true;
        }
        return explain(l, error_also(refused, err));
}

struct walltime web_keypairs_end(const struct web_keypairs *k)
{
        struct walltime first = { 0 };

        for (size_t i = 0; i < k->count; i++) {
                AUTO(buf) der = BUF_MAX(PEM_MAX);
                struct cert_times times;
                struct error *err = cert_pem_to_der(bytes_str(&k->pairs[i]->cert_pem), &der);

                if (err == NULL)
                        err = cert_validity(buf_str(&der), &times);
                if (err == NULL && (first.ns == 0 || times.not_after.ns < first.ns))
                        first = times.not_after;
                error_free(err); /* they were checked when they were loaded */
        }
        return first;
}
