/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte selects X.509 (DER), X.509 (PEM) or SSH; the rest is a certificate. OpenSSL must read the same
 * values as our reader from an accepted X.509 certificate. An accepted SSH certificate must
 * stay within its limits and have valid keys and (by construction) a valid signature.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/public_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_CAP = 64 * KiB };

#define insist(condition)                                                                                              \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        abort();                                                                                       \
        } while (0)

static struct str text_of(const X509_NAME *name, int nid)
{
        int at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, nid, -1);
        const ASN1_STRING *s = at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));

        return s == NULL ? STR("") : str_of_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static void insist_same_time(const ASN1_TIME *theirs, struct walltime ours)
{
        insist(ASN1_TIME_cmp_time_t(theirs, (time_t)walltime_unix(ours)) == 0);
}

/* Compares a repeatable attribute with the list. CAs and hosts have no list, but a single value: `alone`. */
static void insist_same_list(const X509_NAME *name, int nid, const struct str *list, size_t count, struct str alone)
{
        int at = -1;

        for (size_t i = 0; i < count; i++) {
                at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, nid, at);
                insist(at >= 0);
                const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
                insist(str_equal(str_of_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), list[i]));
        }
        if (count == 0)
                insist(str_equal(text_of(name, nid), alone));
        else
                insist(X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, nid, at) < 0);
}

/*
 * The extended key usage determines the kind of certificate: a user's is never valid for servers. It is read directly:
 * OpenSSL's summary omits all usages if another extension is damaged.
 */
static void insist_same_use(X509 *x, const struct cert_info *info)
{
        EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
        int server = 0, client = 0;

        for (int i = 0; i < sk_ASN1_OBJECT_num(uses); i++) {
                int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(uses, i));

                insist(nid == NID_server_auth || nid == NID_client_auth);
                server += nid == NID_server_auth;
                client += nid == NID_client_auth;
        }
        sk_ASN1_OBJECT_pop_free(uses, ASN1_OBJECT_free);
        insist(server == (!info->is_ca && !info->is_user) && client == !info->is_ca);
        insist(!info->is_user || X509_get_ext_by_NID(x, NID_subject_alt_name, -1) < 0);
}

static void insist_openssl_agrees(struct str der, const struct cert_info *info)
{
        const unsigned char *at = str_bytes(der);
        X509 *x = d2i_X509(NULL, &at, (long)der.len);
        AUTO(buf) serial = BUF_MAX(64);
        static const uint8_t zeros[16];

        insist(x != NULL && at == str_bytes(der) + der.len);
        const X509_NAME *subject = X509_get_subject_name(x);
        insist(str_equal(text_of(subject, NID_commonName), info->common_name));
        insist_same_list(subject, NID_organizationName, info->roles, info->role_count, info->is_ca ? info->cluster : info->role);
        insist_same_list(subject, NID_localityName, info->logins, info->login_count, STR(""));
        insist_same_time(X509_get0_notBefore(x), info->times.not_before);
        insist_same_time(X509_get0_notAfter(x), info->times.not_after);
        const ASN1_INTEGER *number = X509_get0_serialNumber(x);
        struct str bytes = str_of_bytes(ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number));
        while (bytes.len > 0 && bytes.ptr[0] == 0)
                bytes = str_slice(bytes, 1, bytes.len);
        insist(bytes.len <= sizeof zeros);
        hex_encode(&serial, str_of_bytes(zeros, sizeof zeros - bytes.len));
        hex_encode(&serial, bytes);
        insist(str_equal(buf_str(&serial), info->serial_hex));
        /* OpenSSL may accept less of a damaged certificate, but must never take a host for a CA or a CA for a host. */
        BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(x, NID_basic_constraints, NULL, NULL);
        insist(constraints != NULL && (constraints->ca != 0) == info->is_ca);
        BASIC_CONSTRAINTS_free(constraints);
        insist_same_use(x, info);
        X509_free(x);
        ERR_clear_error();
}

static void fuzz_x509(struct str der)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        struct cert_info info;
        AUTO_PTR(error) err = cert_read(arena, der, &info);

        if (err != NULL) {
                insist(err->code == ERROR_INVALID_ARGUMENT);
                return;
        }
        insist(str_is_empty(info.host_id) || name_is_host_id(info.host_id));
        insist(!info.is_ca || str_is_empty(info.role));
        insist(!info.is_user || (!info.is_ca && str_is_empty(info.host_id) && name_is_user(info.common_name)));
        insist_openssl_agrees(der, &info);
}

static struct error *fuzz_each(void *ctx, struct str der)
{
        (void)ctx;
        fuzz_x509(der);
        return NULL;
}

static void fuzz_ssh(struct str wire)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        AUTO(buf) key = BUF_MAX(PUBLIC_KEY_MAX);
        struct ssh_cert_info info;
        AUTO_PTR(error) err = ssh_cert_read(arena, wire, &info);

        if (err != NULL) {
                insist(err->code == ERROR_INVALID_ARGUMENT);
                return;
        }
        insist(info.principal_count > 0);
        for (size_t i = 0; i < info.principal_count; i++)
                if (info.kind == SSH_CERT_USER)
                        insist(name_is_login(info.principals[i]) || str_starts_with(info.principals[i], SSH_NOLOGIN_PREFIX));
                else
                        insist(name_is_host(info.principals[i]) || name_is_ip(info.principals[i]));
        insist(info.kind == SSH_CERT_USER ? name_is_user(info.key_id) : info.extension_count == 0);
        for (size_t i = 1; i < info.extension_count; i++)
                insist(str_compare(info.extensions[i - 1].name, info.extensions[i].name) < 0);
        AUTO_PTR(error) bad_key = public_key_check_ssh(info.public_key, &key);
        insist(bad_key == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct str in = size == 0 ? STR("") : str_of_bytes(data + 1, size - 1);

        if (size == 0)
                return 0;
        if (data[0] % 3 == 0)
                fuzz_x509(in);
        else if (data[0] % 3 == 1)
                error_free(cert_pem_each(in, fuzz_each, NULL));
        else
                fuzz_ssh(in);
        return 0;
}
