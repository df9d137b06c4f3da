/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading certificates of our own making. The parser is OpenSSL's, the same that TLS believed; on top
 * of it only what our maker writes is accepted: each subject attribute it knows, at most once.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/cert_profile.h"
#include "pki/openssl.h"
#include "pki/pem.h"

static struct error *read_time(const ASN1_TIME *t, struct walltime *ret)
{
        struct tm tm;

        if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
                return openssl_error(ERROR_INVALID_ARGUMENT, "the certificate has a time that cannot be read");
        struct civil c = {
                .year = tm.tm_year + 1900,
                .month = tm.tm_mon + 1,
                .day = tm.tm_mday,
                .hour = tm.tm_hour,
                .minute = tm.tm_min,
                .second = tm.tm_sec,
        };
        return walltime_of_civil(c, ret);
}

/* The attribute's text. It becomes part of messages and decisions: the alphabets of names only. */
static struct error *read_name_value(struct arena *a, const X509_NAME_ENTRY *entry, struct str *ret)
{
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
        int type = ASN1_STRING_type(value);
        struct str text = str_of_bytes(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));

        if (type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject has text of a kind we do not write");
        /* "<host id>.<cluster>" is longer than a name. */
        for (size_t i = 0; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && !str_contains(STR("._-"), str_slice(text, i, 1)))
                        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject has characters we do not write");
        if (text.len == 0 || text.len > 2 * LIMIT_NAME)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject has a value of %zu bytes", text.len);
        *ret = arena_str(a, text);
        return NULL;
}

static struct error *add_system_role(struct cert_info *info, struct str value)
{
        if (info->system_role_count == ARRAY_LEN(info->system_roles))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate has more than %zu system roles",
                                 ARRAY_LEN(info->system_roles));
        info->system_roles[info->system_role_count++] = value;
        return NULL;
}

static struct error *read_attribute(struct arena *a, const X509_NAME_ENTRY *entry, struct cert_info *info,
                                    struct str *ca_serial)
{
        const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
        struct str type = str_of_bytes(OBJ_get0_data(object), OBJ_length(object));
        struct str value;
        const struct {
                struct oid oid;
                struct str *into; /* NULL: one of several */
        } known[] = {
                { OID_COMMON_NAME, &info->common_name }, { OID_ORGANIZATION, &info->role },
                { OID_CLUSTER, &info->cluster },         { OID_SYSTEM_ROLE, NULL },
                { OID_SERIAL_NUMBER, ca_serial },
        };

        TRY(read_name_value(a, entry, &value));
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                if (!der_oid_is(type, known[i].oid))
                        continue;
                if (known[i].into == NULL)
                        return add_system_role(info, value);
                if (!str_is_empty(*known[i].into))
                        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject says one thing twice");
                *known[i].into = value;
                return NULL;
        }
        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject says something that ours do not");
}

static struct error *read_subject(struct arena *a, const X509 *x, struct cert_info *info)
{
        const X509_NAME *name = X509_get_subject_name(x);
        struct str ca_serial = { 0 };

        for (int i = 0; i < X509_NAME_entry_count(name); i++)
                TRY(read_attribute(a, X509_NAME_get_entry(name, i), info, &ca_serial));
        if (str_is_empty(info->common_name) || str_is_empty(info->role))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject has no name or no role");
        if (info->is_ca) { /* O and CN are the cluster */
                if (!str_equal(info->common_name, info->role) || !str_is_empty(info->cluster) || info->system_role_count > 0)
                        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject is not that of a CA of ours");
                info->cluster = info->role;
                info->role = (struct str){ 0 };
                return NULL;
        }
        if (str_is_empty(info->cluster) || !str_is_empty(ca_serial))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject is not that of a host of ours");

        size_t id_len = str_find_char(info->common_name, '.');
        struct str id = str_slice(info->common_name, 0, id_len);
        if (name_is_host_id(id) && str_equal(str_slice(info->common_name, id_len + 1, info->common_name.len), info->cluster))
                info->host_id = id;
        return NULL;
}

static struct error *read_serial(struct arena *a, const X509 *x, struct str *ret)
{
        const ASN1_INTEGER *number = X509_get0_serialNumber((X509 *)x);
        struct str bytes = str_of_bytes(ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number));
        AUTO(buf) hex = BUF_MAX(CERT_SERIAL_HEX_SIZE);
        static const uint8_t zeros[(CERT_SERIAL_HEX_SIZE - 1) / 2];

        if (ASN1_STRING_type(number) != V_ASN1_INTEGER || bytes.len > sizeof zeros)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate's serial number is not one of ours");
        hex_encode(&hex, str_of_bytes(zeros, sizeof zeros - bytes.len));
        hex_encode(&hex, bytes);
        *ret = arena_str(a, buf_str(&hex));
        return NULL;
}

static struct error *read_issuer(struct arena *a, const X509 *x, struct str *ret)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *line = NULL;

        if (bio == NULL || X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0, XN_FLAG_ONELINE) < 0) {
                BIO_free(bio);
                return openssl_error(ERROR_INVALID_ARGUMENT, "the certificate's issuer cannot be read");
        }
        long len = BIO_get_mem_data(bio, &line);
        AUTO_MEM char *shown = escaped(str_of_bytes(line, (size_t)len));
        *ret = arena_str(a, str_of(shown));
        BIO_free(bio);
        return NULL;
}

static struct error *read_certificate(struct arena *a, X509 *x, struct cert_info *ret)
{
        struct cert_info info = { .is_ca = X509_check_ca(x) == 1 };

        TRY(read_subject(a, x, &info));
        TRY(read_time(X509_get0_notBefore(x), &info.times.not_before));
        TRY(read_time(X509_get0_notAfter(x), &info.times.not_after));
        TRY(read_serial(a, x, &info.serial_hex));
        TRY(read_issuer(a, x, &info.issuer));
        *ret = info;
        return NULL;
}

struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret)
{
        const unsigned char *at = str_bytes(der);

        if (der.len == 0 || der.len > CERT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a certificate of %zu bytes is none of ours", der.len);
        X509 *x = d2i_X509(NULL, &at, (long)der.len);
        if (x == NULL)
                return openssl_error(ERROR_INVALID_ARGUMENT, "this is not an X.509 certificate");
        struct error *err = at == str_bytes(der) + der.len
                                    ? read_certificate(a, x, ret)
                                    : error_new(ERROR_INVALID_ARGUMENT, "there are bytes behind the certificate");
        X509_free(x);
        ERR_clear_error(); /* X509_check_ca may have left its opinion of an extension */
        return err;
}

/* ---- PEM -------------------------------------------------------------------------------------------------- */

void cert_der_to_pem(struct str der, struct buf *out)
{
        pem_put(out, "CERTIFICATE", der);
}

struct error *cert_pem_each(struct str pem, struct error *(*each)(void *ctx, struct str der), void *ctx)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct str rest = pem;
        struct pem_block block;

        while (pem_next(&rest, &block)) {
                if (!str_equal(block.label, STR("CERTIFICATE")))
                        continue;
                buf_clear(&der);
                TRY(pem_decode(&block, &der));
                TRY(buf_finish(&der, "the certificate"));
                TRY(each(ctx, buf_str(&der)));
        }
        return NULL;
}

struct error *cert_pem_to_der(struct str pem, struct buf *out_der)
{
        struct str rest = pem;
        struct pem_block block;

        while (pem_next(&rest, &block))
                if (str_equal(block.label, STR("CERTIFICATE"))) {
                        TRY(pem_decode(&block, out_der));
                        return buf_finish(out_der, "the certificate");
                }
        return error_new(ERROR_NOT_FOUND, "there is no certificate in the PEM text");
}
