/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert_check.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/names.h"

static X509 *parse(struct str der)
{
        const unsigned char *at = str_bytes(der);
        ERR_clear_error();
        if (der.len == 0 || der.len > LONG_MAX)
                return NULL;
        X509 *cert = d2i_X509(NULL, &at, (long)der.len);
        if (cert != NULL && at != str_bytes(der) + der.len) {
                X509_free(cert);
                return NULL;
        }
        return cert;
}

static struct error *does_not_parse(void)
{
        return error_new(ERROR_INVALID_ARGUMENT, "a certificate is malformed");
}

struct error *cert_check_key(struct str cert_der, const struct key *k)
{
        X509 *cert = parse(cert_der);
        if (cert == NULL)
                return does_not_parse();
        const EVP_PKEY *in_cert = X509_get0_pubkey(cert);
        bool is_ours = in_cert != NULL && EVP_PKEY_eq(in_cert, k->handle) == 1;
        X509_free(cert);
        ERR_clear_error();
        if (!is_ours)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is for another key than this host's");
        return NULL;
}

struct error *cert_check_issuer(struct str cert_der, struct str ca_der)
{
        X509 *cert = parse(cert_der), *ca = parse(ca_der);
        struct error *err = NULL;
        if (cert == NULL || ca == NULL)
                err = does_not_parse();
        else if (X509_check_ca(ca) != 1)
                err = error_new(ERROR_UNAUTHENTICATED, "the issuer's certificate is not that of a CA");
        else if (X509_check_issued(ca, cert) != X509_V_OK || X509_verify(cert, X509_get0_pubkey(ca)) != 1)
                err = error_new(ERROR_UNAUTHENTICATED, "the certificate was not signed by this CA");
        X509_free(cert);
        X509_free(ca);
        ERR_clear_error();
        return err;
}

bool cert_is_issued_by(struct str cert_der, struct str ca_der)
{
        AUTO_PTR(error) err = cert_check_issuer(cert_der, ca_der);

        return err == NULL;
}

static bool has_attribute(const X509_NAME *name, int nid)
{
        return X509_NAME_get_index_by_NID(name, nid, -1) >= 0;
}

static const ASN1_STRING *attribute(const X509_NAME *name, int nid)
{
        int at = X509_NAME_get_index_by_NID(name, nid, -1);
        return at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
}

bool cert_is_of_teleport(struct str cert_der)
{
        X509 *cert = parse(cert_der);
        if (cert == NULL)
                return false;
        const X509_NAME *issuer = X509_get_issuer_name(cert), *subject = X509_get_subject_name(cert);
        const ASN1_STRING *cn = attribute(issuer, NID_commonName), *o = attribute(issuer, NID_organizationName);
        bool is_by_cluster = cn != NULL && o != NULL && has_attribute(issuer, NID_serialNumber) && ASN1_STRING_length(cn) == ASN1_STRING_length(o) &&
                             memcmp(ASN1_STRING_get0_data(cn), ASN1_STRING_get0_data(o), (size_t)ASN1_STRING_length(cn)) == 0;
        bool is_in_their_form = X509_get_signature_nid(cert) == NID_sha256WithRSAEncryption ||
                                (cn != NULL && ASN1_STRING_type(cn) == V_ASN1_PRINTABLESTRING) || has_attribute(subject, NID_streetAddress) ||
                                has_attribute(subject, NID_postalCode);
        X509_free(cert);
        ERR_clear_error();
        return is_by_cluster && is_in_their_form;
}

struct error *cert_each_dns_name(struct str cert_der, void (*each)(void *ctx, struct str name), void *ctx)
{
        X509 *cert = parse(cert_der);
        if (cert == NULL)
                return does_not_parse();
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
                if (n->type != GEN_DNS)
                        continue;
                struct str text =
                        str_of_bytes(ASN1_STRING_get0_data(n->d.dNSName), (size_t)ASN1_STRING_length(n->d.dNSName));
                if (!str_is_empty(text) && str_find_char(text, '\0') == text.len)
                        each(ctx, text);
        }
        GENERAL_NAMES_free(names);
        X509_free(cert);
        ERR_clear_error();
        return NULL;
}

enum { WALLTIME_LAST_YEAR = 2261 }; /* 64 bits of nanoseconds since 1970 end in 2262 */

static struct error *walltime_of_asn1(const ASN1_TIME *time, struct walltime *ret)
{
        struct tm tm;

        if (ASN1_TIME_to_tm(time, &tm) != 1)
                return does_not_parse();
        if (tm.tm_year + 1900 > WALLTIME_LAST_YEAR) { /* "99991231235959Z": no end (RFC 5280 section 4.1.2.5) */
                *ret = (struct walltime){ INT64_MAX };
                return NULL;
        }
        return walltime_of_civil((struct civil){ .year = tm.tm_year + 1900, .month = tm.tm_mon + 1, .day = tm.tm_mday,
                                                 .hour = tm.tm_hour, .minute = tm.tm_min, .second = tm.tm_sec },
                                 ret);
}

struct error *cert_validity(struct str cert_der, struct cert_times *ret)
{
        struct cert_times times;
        X509 *cert = parse(cert_der);
        if (cert == NULL)
                return does_not_parse();
        struct error *err = walltime_of_asn1(X509_get0_notBefore(cert), &times.not_before);
        if (err == NULL)
                err = walltime_of_asn1(X509_get0_notAfter(cert), &times.not_after);
        X509_free(cert);
        ERR_clear_error();
        if (err == NULL)
                *ret = times;
        return err;
}

bool cert_is_for_host(struct str cert_der, struct str host)
{
        X509 *cert = parse(cert_der);
        AUTO_MEM char *text = str_dup(host);
        bool is_for = false;

        if (cert != NULL && name_is_ip(host)) /* a DNS name that looks like an address does not count */
                is_for = X509_check_ip_asc(cert, text, 0) == 1;
        else if (cert != NULL)
                is_for = X509_check_host(cert, text, host.len, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                                         NULL) == 1;
        X509_free(cert);
        ERR_clear_error();
        return is_for;
}
