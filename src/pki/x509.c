/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 certificates, encoded by our own DER writer and signed with reusable contexts.
 *
 * With OpenSSL's X509 objects the encoding takes ten times as long as the signature: each field is encoded
 * several times and each algorithm is looked up by name.
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/cert_profile.h"
#include "pki/openssl.h"
#include "pki/public_key.h"

enum {
        SERIAL_SIZE = 16,
        SIGNATURE_MAX = 80,     /* two P-256 scalars in DER have at most 72 bytes */
        KEY_ID_SIZE = 20,       /* the length of SHA-1, which is customary (RFC 5280 section 4.2.1.2) */
        COMMON_NAME_BOUND = 64, /* ub-common-name (RFC 5280 appendix A.1), which browsers enforce */
};

/* KeyUsage (RFC 5280 section 4.2.1.3): bit 0 is the highest. */
enum { USE_DIGITAL_SIGNATURE = 0x80, USE_KEY_CERT_SIGN = 0x04, USE_CRL_SIGN = 0x02 };

/* The permissions of a kind of certificate. */
struct profile {
        bool is_ca; /* a CA that issues only end entities: path length 0 */
        uint8_t key_usage;
        bool is_server, is_client;
};

static const struct profile ca_profile = { .is_ca = true, .key_usage = USE_KEY_CERT_SIGN | USE_CRL_SIGN };
static const struct profile host_profile = { .key_usage = USE_DIGITAL_SIGNATURE, .is_server = true, .is_client = true };
static const struct profile user_profile = { .key_usage = USE_DIGITAL_SIGNATURE, .is_client = true };
static const struct profile web_profile = { .key_usage = USE_DIGITAL_SIGNATURE, .is_server = true };

/* The contents of a certificate, already checked. */
struct contents {
        const struct profile *profile;
        uint8_t serial[SERIAL_SIZE];
        struct str issuer, subject; /* Name, DER */
        struct cert_times times;
        struct public_key public_key;
        struct str issuer_key_id; /* "": self-signed, which needs none (section 4.2.1.1) */
        const struct str *dns_names;
        size_t dns_name_count;
        const struct str *ip_addresses;
        size_t ip_address_count;
};

/* ---- signatures: ecdsa-with-SHA256 -------------------------------------------------------------------- */

struct ecdsa {
        EVP_PKEY_CTX *sign; /* initialised once, usable for any number of signatures */
        EVP_MD *sha256;
};

static void ecdsa_release(struct ecdsa *e)
{
        EVP_PKEY_CTX_free(e->sign);
        EVP_MD_free(e->sha256);
        *e = (struct ecdsa){ 0 };
}

static struct error *ecdsa_init(struct ecdsa *e, const struct key *key)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key public;

        TRY(key_public_der(key, &spki));
        TRY(public_key_of_spki(buf_str(&spki), &public));
        if (public.kind != PUBLIC_KEY_P256)
                return error_new(ERROR_FAILED_PRECONDITION, "the key that signs X.509 certificates is not ECDSA P-256");
        e->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        e->sign = EVP_PKEY_CTX_new_from_pkey(NULL, key->handle, NULL);
        if (e->sha256 == NULL || e->sign == NULL || EVP_PKEY_sign_init(e->sign) != 1) {
                ecdsa_release(e);
                return openssl_error(ERROR_INTERNAL, "cannot prepare an ECDSA signature");
        }
        return NULL;
}

static struct error *ecdsa_sign(struct ecdsa *e, struct str bytes, uint8_t out[SIGNATURE_MAX], size_t *ret_len)
{
        uint8_t digest[32];
        size_t len = SIGNATURE_MAX;

        if (EVP_Digest(bytes.ptr, bytes.len, digest, NULL, e->sha256, NULL) != 1 ||
            EVP_PKEY_sign(e->sign, out, &len, digest, sizeof digest) != 1)
                return openssl_error(ERROR_INTERNAL, "cannot sign a certificate");
        *ret_len = len;
        return NULL;
}

/* ---- the certificate, from its parts to the whole --------------------------------------------------- */

static void put_signature_algorithm(struct der *d)
{
        der_begin(d, DER_SEQUENCE);
        der_put_oid(d, OID_ECDSA_SHA256);
        der_end(d);
}

/* Writes one RelativeDistinguishedName of a Name. */
static void put_attribute(struct der *d, struct oid type, uint8_t tag, struct str value)
{
        der_begin(d, DER_SET);
        der_begin(d, DER_SEQUENCE);
        der_put_oid(d, type);
        der_put(d, tag, value);
        der_end(d);
        der_end(d);
}

static void extension_begin(struct der *d, struct oid type, bool is_critical)
{
        der_begin(d, DER_SEQUENCE);
        der_put_oid(d, type);
        if (is_critical)
                der_put_bool(d, true);
        der_begin(d, DER_OCTET_STRING);
}

static void extension_end(struct der *d)
{
        der_end(d);
        der_end(d);
}

static void put_basic_constraints(struct der *d, const struct profile *profile)
{
        extension_begin(d, OID_BASIC_CONSTRAINTS, true);
        der_begin(d, DER_SEQUENCE);
        if (profile->is_ca) { /* FALSE is the default and thus omitted */
                der_put_bool(d, true);
                der_put_small(d, 0);
        }
        der_end(d);
        extension_end(d);
}

static void put_key_usage(struct der *d, const struct profile *profile)
{
        extension_begin(d, OID_KEY_USAGE, true);
        der_put_named_bits(d, profile->key_usage);
        extension_end(d);
        if (!profile->is_server && !profile->is_client)
                return;
        extension_begin(d, OID_EXTENDED_KEY_USAGE, false);
        der_begin(d, DER_SEQUENCE);
        if (profile->is_server)
                der_put_oid(d, OID_SERVER_AUTH);
        if (profile->is_client)
                der_put_oid(d, OID_CLIENT_AUTH);
        der_end(d);
        extension_end(d);
}

/* The leftmost 160 bits of the key's SHA-256 (RFC 7093 section 2, method 1). */
static struct error *make_key_id(const struct public_key *key, uint8_t out[KEY_ID_SIZE])
{
        AUTO(buf) bits = BUF_MAX(PUBLIC_KEY_MAX);
        uint8_t digest[32];

        public_key_put_bits(key, &bits);
        TRY(buf_finish(&bits, "the public key"));
        sha256(buf_str(&bits), digest);
        memcpy(out, digest, KEY_ID_SIZE);
        return NULL;
}

static struct error *put_key_ids(struct der *d, const struct contents *c)
{
        uint8_t id[KEY_ID_SIZE];

        TRY(make_key_id(&c->public_key, id));
        extension_begin(d, OID_SUBJECT_KEY_ID, false);
        der_put(d, DER_OCTET_STRING, str_of_bytes(id, sizeof id));
        extension_end(d);
        if (str_is_empty(c->issuer_key_id))
                return NULL;
        extension_begin(d, OID_AUTHORITY_KEY_ID, false);
        der_begin(d, DER_SEQUENCE);
        der_put(d, DER_CONTEXT(0), c->issuer_key_id);
        der_end(d);
        extension_end(d);
        return NULL;
}

static struct error *put_ip_address(struct der *d, struct str literal)
{
        char text[INET6_ADDRSTRLEN] = { 0 };
        uint8_t address[sizeof(struct in6_addr)];
        size_t len = sizeof(struct in6_addr);

        if (!name_is_ip(literal)) {
                AUTO_MEM char *shown = escaped(literal);
                return error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be the address in a certificate", shown);
        }
        memcpy(text, literal.ptr, literal.len); /* an IP literal fits into text */
        if (inet_pton(AF_INET, text, address) == 1)
                len = sizeof(struct in_addr);
        else if (inet_pton(AF_INET6, text, address) != 1)
                bug("an address that is none");
        der_put(d, DER_CONTEXT(7), str_of_bytes(address, len));
        return NULL;
}

static struct error *put_subject_alt_names(struct der *d, const struct contents *c)
{
        size_t count = c->dns_name_count + c->ip_address_count;

        if (count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "%zu names are too many for a certificate; it may have %d",
                                 count, LIMIT_CERT_NAMES);
        if (count == 0)
                return NULL;
        extension_begin(d, OID_SUBJECT_ALT_NAME, false);
        der_begin(d, DER_SEQUENCE);
        for (size_t i = 0; i < c->dns_name_count; i++) {
                struct str host = c->dns_names[i];

                if (c->profile == &web_profile && str_starts_with(host, STR("*."))) /* applications are below the proxy's name */
                        host = str_slice(host, 2, host.len);
                TRY(name_check_host(host, "certificate name"));
                der_put(d, DER_CONTEXT(2), c->dns_names[i]);
        }
        for (size_t i = 0; i < c->ip_address_count; i++)
                TRY(put_ip_address(d, c->ip_addresses[i]));
        der_end(d);
        extension_end(d);
        return NULL;
}

/* TBSCertificate, RFC 5280 section 4.1. */
static struct error *put_contents(struct der *d, const struct contents *c)
{
        der_begin(d, DER_SEQUENCE);
        der_begin(d, DER_CONTEXT_CONSTRUCTED(0));
        der_put_small(d, 2); /* version 3 */
        der_end(d);
        der_put_unsigned(d, str_of_bytes(c->serial, sizeof c->serial));
        put_signature_algorithm(d);
        der_put_encoded(d, c->issuer);
        der_begin(d, DER_SEQUENCE);
        der_put_time(d, c->times.not_before);
        der_put_time(d, c->times.not_after);
        der_end(d);
        der_put_encoded(d, c->subject);
        public_key_put_spki(&c->public_key, d->out);
        der_begin(d, DER_CONTEXT_CONSTRUCTED(3));
        der_begin(d, DER_SEQUENCE);
        put_basic_constraints(d, c->profile);
        put_key_usage(d, c->profile);
        TRY(put_key_ids(d, c));
        TRY(put_subject_alt_names(d, c));
        der_end(d);
        der_end(d);
        der_end(d);
        return buf_finish(d->out, "the certificate");
}

/* Signs the DER of a certificate or list: SEQUENCE { contents, algorithm, signature }. */
static struct error *sign_der(struct ecdsa *e, struct str inner, struct buf *out_der)
{
        uint8_t signature[SIGNATURE_MAX];
        size_t signature_len = 0;
        struct der d = der_over(out_der);

        TRY(ecdsa_sign(e, inner, signature, &signature_len));
        der_begin(&d, DER_SEQUENCE);
        der_put_encoded(&d, inner);
        put_signature_algorithm(&d);
        der_put_bits(&d, str_of_bytes(signature, signature_len));
        der_end(&d);
        return NULL;
}

static struct error *sign_contents(struct ecdsa *e, const struct contents *c, struct buf *out_der)
{
        AUTO(buf) inner = BUF_MAX(CERT_MAX);
        struct der d = der_over(&inner);

        TRY(put_contents(&d, c));
        TRY(sign_der(e, buf_str(&inner), out_der));
        return buf_finish(out_der, "the certificate");
}

static struct error *check_times(struct cert_times times)
{
        if (times.not_before.ns < 0 || times.not_after.ns <= times.not_before.ns)
                return error_new(ERROR_INVALID_ARGUMENT,
                                 "a certificate that begins before 1970 or ends before it begins");
        return NULL;
}

static void put_serial_hex(const uint8_t serial[SERIAL_SIZE], char *ret_hex)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < SERIAL_SIZE; i++) {
                ret_hex[2 * i] = digits[serial[i] >> 4];
                ret_hex[2 * i + 1] = digits[serial[i] & 0x0f];
        }
        ret_hex[2 * SERIAL_SIZE] = '\0';
}

/* Creates a random serial; its hex is written to ret_hex unless that is NULL. */
static void make_serial(uint8_t serial[SERIAL_SIZE], char *ret_hex)
{
        random_bytes(serial, SERIAL_SIZE);
        if (ret_hex != NULL)
                put_serial_hex(serial, ret_hex);
}

/* A serial that begins with the time: times of later serials are always greater. */
static void make_serial_of_now(uint8_t serial[SERIAL_SIZE], char *ret_hex, uint64_t *last)
{
        uint64_t now = (uint64_t)clock_wall(clock_system()).ns;

        *last = now > *last ? now : *last + 1;
        random_bytes(serial, SERIAL_SIZE);
        for (size_t i = 0; i < sizeof *last; i++)
                serial[i] = (uint8_t)(*last >> (8 * (sizeof *last - 1 - i)));
        if (ret_hex != NULL)
                put_serial_hex(serial, ret_hex);
}

struct cert_issue cert_issue_of(int64_t not_before, struct str serial_hex)
{
        char half[2 * sizeof(uint64_t) + 1] = { 0 };
        struct str first = str_slice(serial_hex, 0, sizeof half - 1);

        memcpy(half, first.ptr, first.len);
        return (struct cert_issue){ not_before, strtoull(half, NULL, 16) };
}

bool cert_issue_is_before(struct cert_issue a, struct cert_issue b)
{
        return a.not_before != b.not_before ? a.not_before < b.not_before : a.serial_time < b.serial_time;
}

/* ---- CAs ---------------------------------------------------------------------------------------------- */

struct x509_ca {
        uint64_t last_serial_time;
        struct ecdsa ecdsa;
        struct buf name; /* subject of the CA, which is the issuer of its certificates; DER */
        struct cert_times times;
        uint8_t key_id[KEY_ID_SIZE];
};

/* The public key of one of our own keys; `ret` borrows from `spki`. */
static struct error *public_half(const struct key *key, struct buf *spki, struct public_key *ret)
{
        TRY(key_public_der(key, spki));
        return public_key_of_spki(buf_str(spki), ret);
}

struct error *x509_ca_create(const struct key *key, struct str cluster, struct cert_times times, struct buf *out_der)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) name = BUF_MAX(CERT_MAX);
        struct contents c = { .profile = &ca_profile, .times = times };
        struct der d = der_over(&name);
        struct ecdsa ecdsa = { 0 };
        char serial_hex[CERT_SERIAL_HEX_SIZE];

        TRY(name_check_host(cluster, "cluster name"));
        TRY(check_times(times));
        TRY(public_half(key, &spki, &c.public_key));
        make_serial(c.serial, serial_hex);
        der_begin(&d, DER_SEQUENCE);
        put_attribute(&d, OID_ORGANIZATION, DER_UTF8_STRING, cluster);
        put_attribute(&d, OID_COMMON_NAME, DER_UTF8_STRING, cluster);
        /* Distinguishes the CAs of one cluster: host from user, old from new. */
        put_attribute(&d, OID_SERIAL_NUMBER, DER_PRINTABLE_STRING, str_of(serial_hex));
        der_end(&d);
        c.issuer = c.subject = buf_str(&name);

        TRY(ecdsa_init(&ecdsa, key));
        struct error *err = sign_contents(&ecdsa, &c, out_der);
        ecdsa_release(&ecdsa);
        return err;
}

void x509_ca_free(struct x509_ca *ca)
{
        if (ca == NULL)
                return;
        ecdsa_release(&ca->ecdsa);
        buf_release(&ca->name);
        free(ca);
}

/* Copies the name and the key identifier from the CA's own certificate. */
static struct error *read_ca(struct x509_ca *ca, X509 *x, const struct key *key)
{
        unsigned char *name = NULL;
        const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(x);

        if (X509_check_private_key(x, key->handle) != 1)
                return openssl_error(ERROR_FAILED_PRECONDITION,
                                     "the CA's key and its certificate do not belong together");
        if (id == NULL || ASN1_STRING_length(id) != KEY_ID_SIZE)
                return error_new(ERROR_FAILED_PRECONDITION, "the CA's certificate has no key identifier of ours");
        memcpy(ca->key_id, ASN1_STRING_get0_data(id), KEY_ID_SIZE);
        int len = i2d_X509_NAME(X509_get_subject_name(x), &name);
        if (len <= 0)
                return openssl_error(ERROR_FAILED_PRECONDITION, "the CA's certificate has no name");
        buf_put(&ca->name, str_of_bytes(name, (size_t)len));
        OPENSSL_free(name);
        return buf_finish(&ca->name, "the CA's name");
}

/* With a damaged private key, every certificate would be refused by all verifiers: checked here. */
static struct error *check_key_pair(const struct key *key)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->handle, NULL);
        bool is_pair = ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1;

        EVP_PKEY_CTX_free(ctx);
        if (!is_pair)
                return openssl_error(ERROR_FAILED_PRECONDITION, "the CA's private key is damaged");
        return NULL;
}

struct error *x509_ca_load(struct str cert_der, const struct key *key, struct x509_ca **ret)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        AUTO_PTR(x509_ca) ca = NEW(struct x509_ca);
        struct cert_info info;

        TRY(cert_read(arena, cert_der, &info));
        if (!info.is_ca)
                return error_new(ERROR_FAILED_PRECONDITION, "the CA's certificate is not that of a CA");
        ca->name = BUF_MAX(CERT_MAX);
        ca->times = info.times;
        TRY(check_key_pair(key));
        TRY(ecdsa_init(&ca->ecdsa, key));
        const unsigned char *at = str_bytes(cert_der);
        X509 *x = d2i_X509(NULL, &at, (long)cert_der.len);
        if (x == NULL)
                return openssl_error(ERROR_FAILED_PRECONDITION, "the CA's certificate cannot be read");
        struct error *err = read_ca(ca, x, key);
        X509_free(x);
        TRY(err);
        *ret = ca;
        ca = NULL;
        return NULL;
}

struct cert_times x509_ca_times(const struct x509_ca *ca)
{
        return ca->times;
}

/* ---- lists of revoked certificates ---------------------------------------------------------------------- */

static void put_u64(struct der *d, uint64_t number)
{
        uint8_t bytes[sizeof number];

        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(number >> (8 * (sizeof bytes - 1 - i)));
        der_put_unsigned(d, str_of_bytes(bytes, sizeof bytes));
}

/* Both extensions are required (RFC 5280 sections 5.2.1 and 5.2.3). */
static void put_crl_extensions(struct der *d, const struct x509_ca *ca, uint64_t number)
{
        der_begin(d, DER_CONTEXT_CONSTRUCTED(0));
        der_begin(d, DER_SEQUENCE);
        extension_begin(d, OID_AUTHORITY_KEY_ID, false);
        der_begin(d, DER_SEQUENCE);
        der_put(d, DER_CONTEXT(0), str_of_bytes(ca->key_id, sizeof ca->key_id));
        der_end(d);
        extension_end(d);
        extension_begin(d, OID_CRL_NUMBER, false);
        put_u64(d, number);
        extension_end(d);
        der_end(d);
        der_end(d);
}

struct error *x509_issue_crl(struct x509_ca *ca, struct cert_times times, uint64_t number, struct buf *out_der)
{
        AUTO(buf) inner = BUF_MAX(CERT_MAX);
        struct der d = der_over(&inner);

        TRY(check_times(times));
        if (times.not_before.ns < ca->times.not_before.ns || times.not_after.ns > ca->times.not_after.ns)
                return error_new(ERROR_INVALID_ARGUMENT, "a list that outlives its CA");
        der_begin(&d, DER_SEQUENCE);
        der_put_small(&d, 1); /* version 2 */
        put_signature_algorithm(&d);
        der_put_encoded(&d, buf_str(&ca->name));
        der_put_time(&d, times.not_before);
        der_put_time(&d, times.not_after);
        put_crl_extensions(&d, ca, number);
        der_end(&d);
        TRY(buf_finish(&inner, "the list of revoked certificates"));
        TRY(sign_der(&ca->ecdsa, buf_str(&inner), out_der));
        return buf_finish(out_der, "the list of revoked certificates");
}

/* ---- hosts and users ------------------------------------------------------------------------------------ */

/* Issues a certificate: sets the CA's name and key identifier, the subject's key and a random serial in c, and signs it. */
static struct error *issue(struct x509_ca *ca, struct contents *c, struct str public_key_der, struct buf *out_der,
                           char *ret_serial_hex)
{
        TRY(check_times(c->times));
        if (c->times.not_before.ns < ca->times.not_before.ns || c->times.not_after.ns > ca->times.not_after.ns)
                return error_new(ERROR_INVALID_ARGUMENT, "a certificate that outlives its CA");
        TRY(public_key_of_spki(public_key_der, &c->public_key));
        c->issuer = buf_str(&ca->name);
        c->issuer_key_id = str_of_bytes(ca->key_id, sizeof ca->key_id);
        make_serial_of_now(c->serial, ret_serial_hex, &ca->last_serial_time);
        return sign_contents(&ca->ecdsa, c, out_der);
}

struct error *x509_issue_host(struct x509_ca *ca, const struct x509_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex)
{
        AUTO(buf) name = BUF_MAX(CERT_MAX);
        struct der d = der_over(&name);
        struct contents c = {
                .profile = &host_profile,
                .times = times,
                .dns_names = subject->dns_names,
                .dns_name_count = subject->dns_name_count,
                .ip_addresses = subject->ip_addresses,
                .ip_address_count = subject->ip_address_count,
        };

        der_begin(&d, DER_SEQUENCE);
        put_attribute(&d, OID_ORGANIZATION, DER_UTF8_STRING, subject->role);
        put_attribute(&d, OID_COMMON_NAME, DER_UTF8_STRING, subject->common_name);
        put_attribute(&d, OID_CLUSTER, DER_UTF8_STRING, subject->cluster);
        for (size_t i = 0; i < subject->system_role_count; i++)
                put_attribute(&d, OID_SYSTEM_ROLE, DER_UTF8_STRING, subject->system_roles[i]);
        der_end(&d);
        TRY(buf_finish(&name, "the certificate's subject"));
        c.subject = buf_str(&name);
        return issue(ca, &c, public_key_der, out_der, ret_serial_hex);
}

/* cert_read() makes the same checks. */
static struct error *check_user(const struct x509_user_subject *subject)
{
        if (!name_is_user(subject->user) || !name_is_host(subject->cluster))
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the user or cluster cannot be in a certificate");
        if (subject->role_count > LIMIT_USER_ROLES || subject->login_count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "%zu roles and %zu logins are too many for a certificate",
                                 subject->role_count, subject->login_count);
        if (!str_is_empty(subject->web_session) && !web_session_is_id(subject->web_session))
                return error_new(ERROR_INVALID_ARGUMENT, "the ID of the web session cannot be in a certificate");
        if (!str_is_empty(subject->app) && !name_is_app(subject->app))
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the application cannot be in a certificate");
        if (!str_is_empty(subject->app_secret) && !app_secret_is_one(subject->app_secret))
                return error_new(ERROR_INVALID_ARGUMENT, "the secret of the application's session cannot be in a certificate");
        for (size_t i = 0; i < subject->role_count; i++)
                TRY(name_check_token(subject->roles[i], "role"));
        for (size_t i = 0; i < subject->login_count; i++)
                if (!name_is_login(subject->logins[i])) {
                        AUTO_MEM char *shown = escaped(subject->logins[i]);
                        return error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be a login in a certificate", shown);
                }
        return NULL;
}

struct error *x509_issue_user(struct x509_ca *ca, const struct x509_user_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex)
{
        AUTO(buf) name = BUF_MAX(CERT_MAX);
        struct der d = der_over(&name);
        struct contents c = { .profile = &user_profile, .times = times };

        TRY(check_user(subject));
        der_begin(&d, DER_SEQUENCE);
        for (size_t i = 0; i < subject->role_count; i++)
                put_attribute(&d, OID_ORGANIZATION, DER_UTF8_STRING, subject->roles[i]);
        put_attribute(&d, OID_COMMON_NAME, DER_UTF8_STRING, subject->user);
        for (size_t i = 0; i < subject->login_count; i++)
                put_attribute(&d, OID_LOCALITY, DER_UTF8_STRING, subject->logins[i]);
        put_attribute(&d, OID_CLUSTER, DER_UTF8_STRING, subject->cluster);
        if (!str_is_empty(subject->web_session))
                put_attribute(&d, OID_WEB_SESSION, DER_UTF8_STRING, subject->web_session);
        if (!str_is_empty(subject->app))
                put_attribute(&d, OID_APP_NAME, DER_UTF8_STRING, subject->app);
        if (!str_is_empty(subject->app_secret))
                put_attribute(&d, OID_APP_SECRET, DER_UTF8_STRING, subject->app_secret);
        der_end(&d);
        TRY(buf_finish(&name, "the certificate's subject"));
        c.subject = buf_str(&name);
        return issue(ca, &c, public_key_der, out_der, ret_serial_hex);
}

/* ---- certificates for HTTPS ----------------------------------------------------------------------------- */

struct error *x509_self_signed_web(const struct key *key, const struct str *names, size_t count,
                                   struct cert_times times, struct buf *out_der)
{
        struct str dns[LIMIT_CERT_NAMES], ips[LIMIT_CERT_NAMES];
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) name = BUF_MAX(CERT_MAX);
        struct contents c = { .profile = &web_profile, .times = times, .dns_names = dns, .ip_addresses = ips };
        struct der d = der_over(&name);
        struct ecdsa ecdsa = { 0 };

        if (count == 0 || count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "a web certificate needs 1 to %d names, not %zu",
                                 LIMIT_CERT_NAMES, count);
        for (size_t i = 0; i < count; i++)
                if (name_is_ip(names[i]))
                        ips[c.ip_address_count++] = names[i];
                else
                        dns[c.dns_name_count++] = names[i];
        TRY(check_times(times));
        TRY(public_half(key, &spki, &c.public_key));
        make_serial(c.serial, NULL);
        der_begin(&d, DER_SEQUENCE);
        put_attribute(&d, OID_ORGANIZATION, DER_UTF8_STRING, STR("self-signed"));
        if (names[0].len <= COMMON_NAME_BOUND)
                put_attribute(&d, OID_COMMON_NAME, DER_UTF8_STRING, names[0]);
        der_end(&d);
        c.issuer = c.subject = buf_str(&name);

        TRY(ecdsa_init(&ecdsa, key));
        struct error *err = sign_contents(&ecdsa, &c, out_der);
        ecdsa_release(&ecdsa);
        return err;
}
