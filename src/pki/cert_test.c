/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert.h"

#include "base/text.h"
#include "pki/cert_testing.h"
#include "pki/der.h"
#include "pki/pem.h"
#include "pki/public_key.h"

static struct x509_subject instance_subject(void)
{
        static const struct str roles[] = { STR_INIT("Node"), STR_INIT("App") };
        static const struct str dns[] = { STR_INIT("web-1"), STR_INIT("web-1.example.com") };
        static const struct str ips[] = { STR_INIT("10.0.0.1"), STR_INIT("2001:db8::1") };

        return (struct x509_subject){
                .common_name = STR(HOST_ID ".example.com"),
                .role = STR("Instance"),
                .cluster = STR("example.com"),
                .system_roles = roles,
                .system_role_count = ARRAY_LEN(roles),
                .dns_names = dns,
                .dns_name_count = ARRAY_LEN(dns),
                .ip_addresses = ips,
                .ip_address_count = ARRAY_LEN(ips),
        };
}

static struct error *issue(struct fixture *f, const struct x509_subject *subject, struct buf *der)
{
        return x509_issue_host(f->host_ca.x509, subject, buf_str(&f->keys.tls_public), times_of(BEGIN, END), der, NULL);
}

/* ---- X.509 ---------------------------------------------------------------------------------------------------- */

static void issues_certificates_that_openssl_verifies(void **state)
{
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        char serial[CERT_SERIAL_HEX_SIZE];
        const struct str ca = buf_str(&f->host_ca.cert);

        assert_done(x509_issue_host(f->host_ca.x509, &subject, buf_str(&f->keys.tls_public), times_of(BEGIN + 100, BEGIN + 200), &der,
                                    serial));
        const struct str leaf = buf_str(&der);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, "web-1", BEGIN + 150), X509_V_OK);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, "10.0.0.1", BEGIN + 150), X509_V_OK);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, "2001:db8::1", BEGIN + 150), X509_V_OK);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN + 150), X509_V_OK);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, "web-2", BEGIN + 150),
                         X509_V_ERR_HOSTNAME_MISMATCH);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, "10.0.0.2", BEGIN + 150),
                         X509_V_ERR_IP_ADDRESS_MISMATCH);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN + 99), X509_V_ERR_CERT_NOT_YET_VALID);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN + 201), X509_V_ERR_CERT_HAS_EXPIRED);

        X509 *x = parsed(leaf);
        assert_int_equal(X509_check_ca(x), 0);
        assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER | XKU_SSL_CLIENT);
        X509_free(x);
}

static void issues_no_certificate_that_could_sign_others(void **state)
{
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct x509_ca *none = NULL;

        assert_done(x509_issue_host(f->host_ca.x509, &subject, buf_str(&f->keys.tls_public), times_of(BEGIN, BEGIN + 9), &der, NULL));
        assert_refused(x509_ca_load(buf_str(&der), &f->keys.tls, &none), ERROR_FAILED_PRECONDITION, "not that of a CA");
        assert_null(none);
}

static void reads_the_certificates_it_issued(void **state)
{
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        char serial[CERT_SERIAL_HEX_SIZE];
        struct cert_info info;

        struct cert_issue last = { 0 };
        for (size_t i = 0; i < 300; i++) { /* many in a second, and each later than the one before */
                buf_clear(&der);
                assert_done(
                        x509_issue_host(f->host_ca.x509, &subject, buf_str(&f->keys.tls_public), times_of(BEGIN, END), &der, serial));
                assert_done(cert_read(f->arena, buf_str(&der), &info));
                assert_str(info.serial_hex, serial);
                struct cert_issue issue = cert_issue_of(walltime_unix(info.times.not_before), info.serial_hex);
                assert_true(cert_issue_is_before(last, issue));
                assert_false(cert_issue_is_before(issue, last));
                assert_false(cert_issue_is_before(issue, issue));
                last = issue;
        }
        assert_true(cert_issue_is_before(last, (struct cert_issue){ BEGIN + 1, 0 }));
        assert_str(info.common_name, HOST_ID ".example.com");
        assert_str(info.host_id, HOST_ID);
        assert_str(info.role, "Instance");
        assert_str(info.cluster, "example.com");
        assert_int_equal(info.system_role_count, 2);
        assert_str(info.system_roles[0], "Node");
        assert_str(info.system_roles[1], "App");
        assert_int_equal(walltime_unix(info.times.not_before), BEGIN);
        assert_int_equal(walltime_unix(info.times.not_after), END);
        assert_true(str_starts_with(info.issuer, STR("O=example.com, CN=example.com, serialNumber=")));
        assert_false(info.is_ca);

        assert_done(cert_read(f->arena, buf_str(&f->host_ca.cert), &info));
        assert_true(info.is_ca);
        assert_str(info.cluster, "example.com");
        assert_str(info.role, "");
        assert_str(info.host_id, "");
}

static void finds_no_host_id_in_a_common_name_of_another_cluster(void **state)
{
        static const char *const names[] = { HOST_ID ".example.org", HOST_ID "example.com", HOST_ID ".x.example.com",
                                             "web-1.example.com", HOST_ID };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct x509_subject subject = instance_subject();
                AUTO(buf) der = BUF_MAX(CERT_MAX);
                struct cert_info info;

                subject.common_name = str_of(names[i]);
                assert_done(issue(f, &subject, &der));
                assert_done(cert_read(f->arena, buf_str(&der), &info));
                assert_str(info.host_id, "");
        }
}

static void certifies_keys_of_every_accepted_kind(void **state)
{
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        static const enum key_kind kinds[] = { KEY_ECDSA_P256, KEY_ED25519, KEY_RSA_2048 };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(key) key = given_key(kinds[i]);
                AUTO(buf) public = BUF_MAX(4 * KiB);
                AUTO(buf) der = BUF_MAX(CERT_MAX);

                assert_done(key_public_der(&key, &public));
                assert_done(x509_issue_host(f->host_ca.x509, &subject, buf_str(&public), times_of(BEGIN, END), &der, NULL));
                assert_int_equal(verified(buf_str(&f->host_ca.cert), buf_str(&der), X509_PURPOSE_SSL_SERVER, "web-1", BEGIN),
                                 X509_V_OK);
                X509 *x = parsed(buf_str(&der));
                assert_int_equal(X509_check_private_key(x, key.handle), 1);
                X509_free(x);
        }
}

static void refuses_to_issue_beyond_its_limits(void **state)
{
        static const struct str bad_names[] = { STR_INIT("*.example.com"), STR_INIT(""), STR_INIT("a b"),
                                                STR_INIT("a\0b") };
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        struct str many[LIMIT_CERT_NAMES + 1];
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        const struct str key = buf_str(&f->keys.tls_public);
        const struct cert_times good = times_of(BEGIN, END);

        assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, times_of(BEGIN, END + 1), &der, NULL),
                       ERROR_INVALID_ARGUMENT, "outlives its CA");
        assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, times_of(BEGIN - 1, END), &der, NULL),
                       ERROR_INVALID_ARGUMENT, "outlives its CA");
        assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, times_of(END, BEGIN), &der, NULL), ERROR_INVALID_ARGUMENT,
                       "ends before");
        assert_refused(x509_issue_host(f->host_ca.x509, &subject, STR("x"), good, &der, NULL), ERROR_INVALID_ARGUMENT,
                       "public key");
        for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
                subject.dns_names = &bad_names[i];
                subject.dns_name_count = 1;
                assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, good, &der, NULL), ERROR_INVALID_ARGUMENT,
                               "not a valid host name");
        }
        subject.ip_addresses = &bad_names[0];
        subject.ip_address_count = 1;
        subject.dns_name_count = 0;
        assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, good, &der, NULL), ERROR_INVALID_ARGUMENT, "address");
        subject.ip_address_count = 0;
        for (size_t i = 0; i < ARRAY_LEN(many); i++)
                many[i] = STR("a");
        subject.dns_names = many;
        subject.dns_name_count = ARRAY_LEN(many);
        assert_refused(x509_issue_host(f->host_ca.x509, &subject, key, good, &der, NULL), ERROR_INVALID_ARGUMENT, "too many");
        assert_int_equal(der.len, 0);
        subject.dns_name_count = LIMIT_CERT_NAMES;
        assert_done(x509_issue_host(f->host_ca.x509, &subject, key, good, &der, NULL));
}

static void refuses_ca_keys_that_do_not_fit(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct x509_ca *ca = NULL;
        struct ssh_ca *ssh_ca = NULL;

        assert_refused(x509_ca_load(buf_str(&f->host_ca.cert), &f->keys.tls, &ca), ERROR_FAILED_PRECONDITION,
                       "do not belong together");
        assert_refused(x509_ca_load(buf_str(&f->host_ca.cert), &f->keys.ssh, &ca), ERROR_FAILED_PRECONDITION,
                       "not ECDSA P-256");
        assert_refused(x509_ca_create(&f->keys.ssh, STR("example.com"), times_of(BEGIN, END), &der),
                       ERROR_FAILED_PRECONDITION, "not ECDSA P-256");
        assert_refused(x509_ca_create(&f->host_ca.keys.tls, STR("a b"), times_of(BEGIN, END), &der), ERROR_INVALID_ARGUMENT,
                       "cluster name");
        assert_refused(ssh_ca_load(&f->host_ca.keys.tls, &ssh_ca), ERROR_FAILED_PRECONDITION, "not Ed25519");
}

static void makes_a_web_certificate_that_stands_alone(void **state)
{
        struct fixture *f = *state;
        const struct str names[] = { STR("proxy.example.com"), STR("*.proxy.example.com"), STR("127.0.0.1"), STR("::1") };
        const struct str wildcard = STR("a.*.example.com");
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        const struct cert_times times = times_of(BEGIN, END);

        assert_done(x509_self_signed_web(&f->keys.tls, names, ARRAY_LEN(names), times, &der));
        const struct str web = buf_str(&der);
        assert_int_equal(verified(web, web, X509_PURPOSE_SSL_SERVER, "proxy.example.com", BEGIN), X509_V_OK);
        assert_int_equal(verified(web, web, X509_PURPOSE_SSL_SERVER, "::1", BEGIN), X509_V_OK);
        assert_int_equal(verified(web, web, X509_PURPOSE_SSL_SERVER, "app.proxy.example.com", BEGIN), X509_V_OK);
        assert_int_equal(verified(web, web, X509_PURPOSE_SSL_SERVER, "other.example.com", BEGIN),
                         X509_V_ERR_HOSTNAME_MISMATCH);
        assert_int_equal(verified(web, web, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN), X509_V_ERR_INVALID_PURPOSE);
        X509 *x = parsed(web);
        assert_int_equal(X509_check_ca(x), 0);
        X509_free(x);

        assert_refused(x509_self_signed_web(&f->keys.tls, names, 0, times, &der), ERROR_INVALID_ARGUMENT, "needs 1 to");
        assert_refused(x509_self_signed_web(&f->keys.tls, &wildcard, 1, times, &der), ERROR_INVALID_ARGUMENT,
                       "not a valid host name");
}

static void refuses_certificates_that_are_not_whole(void **state)
{
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct cert_info info;

        assert_done(issue(f, &subject, &der));
        for (size_t len = 0; len < der.len; len++)
                assert_code(cert_read(f->arena, str_slice(buf_str(&der), 0, len), &info), ERROR_INVALID_ARGUMENT);
        buf_put_u8(&der, 0);
        assert_refused(cert_read(f->arena, buf_str(&der), &info), ERROR_INVALID_ARGUMENT, "too many");
        AUTO(buf) huge = BUF_MAX(CERT_MAX + 1);
        memset(buf_extend(&huge, CERT_MAX + 1), 0x30, CERT_MAX + 1);
        assert_refused(cert_read(f->arena, buf_str(&huge), &info), ERROR_INVALID_ARGUMENT, "which is too large");
}

static void refuses_certificates_with_fields_that_ours_never_have(void **state)
{
        static const struct {
                const char *name;
                struct str from, to;
                size_t nth;
                const char *why;
        } cases[] = {
                { "version 2", STR_INIT("\xa0\x03\x02\x01\x02"), STR_INIT("\xa0\x03\x02\x01\x01"), 0, "version 3" },
                { "another algorithm inside", STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x02"),
                  STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x03"), 0, "not signed with" },
                { "another algorithm outside", STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x02"),
                  STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x03"), 1, "not signed with" },
                { "NUL in the role", STR_INIT("Instance"), STR_INIT("Inst\0nce"), 0, "characters" },
                { "blank in the role", STR_INIT("Instance"), STR_INIT("Inst nce"), 0, "characters" },
                { "role as a teletex string", STR_INIT("\x0c\x08Instance"), STR_INIT("\x14\x08Instance"), 0,
                  "another type" },
                { "a country instead of the role", STR_INIT("\x55\x04\x0a\x0c\x08"), STR_INIT("\x55\x04\x06\x0c\x08"),
                  0, "the cluster does not use" },
                { "two common names", STR_INIT("\x55\x04\x0a\x0c\x08"), STR_INIT("\x55\x04\x03\x0c\x08"), 0,
                  "occurs twice" },
                { "a CA's serial number in a host's name", STR_INIT("\x55\x04\x0a\x0c\x08"),
                  STR_INIT("\x55\x04\x05\x13\x08"), 0, "not that of a host" },
                { "month 13",
                  STR_INIT("\x17\x0d"
                           "231114221320Z"),
                  STR_INIT("\x17\x0d"
                           "231314221320Z"),
                  0, "calendar" },
                { "second 60",
                  STR_INIT("\x17\x0d"
                           "231114221320Z"),
                  STR_INIT("\x17\x0d"
                           "231114221360Z"),
                  0, "calendar" },
                { "a time with an offset",
                  STR_INIT("\x17\x0d"
                           "231114221320Z"),
                  STR_INIT("\x17\x0d"
                           "2311142213+00"),
                  0, "DER form" },
                { "an unknown extension", STR_INIT("\x06\x03\x55\x1d\x11"), STR_INIT("\x06\x03\x55\x1d\x1e"), 0,
                  "extension" },
                { "an extension twice", STR_INIT("\x06\x03\x55\x1d\x11"), STR_INIT("\x06\x03\x55\x1d\x0e"), 0,
                  "occurs twice" },
                { "key usage that is not critical", STR_INIT("\x55\x1d\x0f\x01\x01\xff"),
                  STR_INIT("\x55\x1d\x0f\x01\x01\x00"), 0, "not critical" },
                { "no basic constraints", STR_INIT("\x55\x1d\x13\x01\x01\xff"), STR_INIT("\x55\x1d\x0f\x01\x01\xff"), 0,
                  "twice" },
        };
        struct fixture *f = *state;
        struct x509_subject subject = instance_subject();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(buf) altered = BUF_MAX(CERT_MAX);
        struct cert_info info;

        assert_done(issue(f, &subject, &der));
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                buf_clear(&altered);
                buf_put(&altered, buf_str(&der));
                alter(&altered, cases[i].from, cases[i].to, cases[i].nth);
                struct error *err = cert_read(f->arena, buf_str(&altered), &info);
                if (err == NULL)
                        print_error("accepted: %s\n", cases[i].name);
                assert_refused(err, ERROR_INVALID_ARGUMENT, cases[i].why);
        }
}

/* ---- PEM ------------------------------------------------------------------------------------------------------ */

static struct error *count_certificate(void *ctx, struct str der)
{
        size_t *count = ctx;

        *count += der.len > 0;
        return NULL;
}

static struct error *refuse_certificate(void *ctx, struct str der)
{
        (void)ctx, (void)der;
        return error_new(ERROR_ABORTED, "enough");
}

/* The list under its CA, as OpenSSL reads it; free it with X509_CRL_free. */
static X509_CRL *parsed_crl(struct str der)
{
        const unsigned char *at = str_bytes(der);
        X509_CRL *list = d2i_X509_CRL(NULL, &at, (long)der.len);

        assert_non_null(list);
        assert_ptr_equal(at, str_bytes(der) + der.len);
        return list;
}

static void issues_an_empty_crl_that_openssl_verifies(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        assert_done(x509_issue_crl(f->host_ca.x509, times_of(BEGIN + 100, BEGIN + 200), 0xfedcba9876543210, &der));
        X509_CRL *list = parsed_crl(buf_str(&der));
        X509 *ca = parsed(buf_str(&f->host_ca.cert)), *other = parsed(buf_str(&f->user_ca.cert));
        assert_int_equal(X509_CRL_verify(list, X509_get0_pubkey(ca)), 1);
        assert_int_not_equal(X509_CRL_verify(list, X509_get0_pubkey(other)), 1);
        assert_int_equal(X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(ca)), 0);
        assert_null(X509_CRL_get_REVOKED(list));
        assert_int_equal(X509_CRL_get_version(list), X509_CRL_VERSION_2);
        ASN1_INTEGER *number = X509_CRL_get_ext_d2i(list, NID_crl_number, NULL, NULL);
        uint64_t value = 0;
        assert_int_equal(ASN1_INTEGER_get_uint64(&value, number), 1);
        assert_true(value == 0xfedcba9876543210);
        ASN1_INTEGER_free(number);
        X509_free(ca);
        X509_free(other);
        X509_CRL_free(list);
        assert_refused(x509_issue_crl(f->host_ca.x509, times_of(BEGIN, END + 1), 1, &der), ERROR_INVALID_ARGUMENT, "");
}

static void finds_certificates_among_other_pem_blocks(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) pem = BUF_MAX(4 * CERT_MAX);
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        size_t count = 0;

        buf_put_c(&pem, "a comment\n");
        assert_done(key_public_pem(&f->keys.tls, &pem));
        buf_put_c(&pem, "-----BEGIN CERTIFICATE-----\nnever ended\n");
        cert_der_to_pem(buf_str(&f->host_ca.cert), &pem);
        buf_put_c(&pem, "\r\n");
        cert_der_to_pem(buf_str(&f->host_ca.cert), &pem);
        assert_done(cert_pem_each(buf_str(&pem), count_certificate, &count));
        assert_int_equal(count, 2);
        assert_done(cert_pem_to_der(buf_str(&pem), &der));
        assert_true(str_equal(buf_str(&der), buf_str(&f->host_ca.cert)));
        assert_refused(cert_pem_each(buf_str(&pem), refuse_certificate, NULL), ERROR_ABORTED, "enough");
        buf_clear(&der);
        assert_refused(cert_pem_to_der(STR("nothing\n"), &der), ERROR_NOT_FOUND, "no certificate");
        assert_refused(cert_pem_to_der(STR("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), &der),
                       ERROR_INVALID_ARGUMENT, "base64");
        assert_done(cert_pem_each(STR(""), refuse_certificate, NULL));
}

static void reads_pem_with_carriage_returns(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) pem = BUF_MAX(CERT_MAX);
        AUTO(buf) windows = BUF_MAX(CERT_MAX);
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        cert_der_to_pem(buf_str(&f->host_ca.cert), &pem);
        for (struct str rest = buf_str(&pem); !str_is_empty(rest);) {
                buf_put(&windows, str_split(&rest, '\n'));
                buf_put_c(&windows, "\r\n");
        }
        assert_done(cert_pem_to_der(buf_str(&windows), &der));
        assert_true(str_equal(buf_str(&der), buf_str(&f->host_ca.cert)));
}

/* ---- SSH ------------------------------------------------------------------------------------------------------ */

static struct ssh_host_subject ssh_subject(void)
{
        static const struct str principals[] = { STR_INIT(HOST_ID ".example.com"), STR_INIT("web-1"),
                                                 STR_INIT("127.0.0.1"), STR_INIT("::1") };

        return (struct ssh_host_subject){ .key_id = STR(HOST_ID),
                                          .principals = principals,
                                          .principal_count = ARRAY_LEN(principals) };
}

static void issues_ssh_certificates_for_every_kind_of_key(void **state)
{
        struct fixture *f = *state;
        struct ssh_host_subject subject = ssh_subject();
        static const struct {
                enum key_kind kind;
                const char *type;
        } kinds[] = {
                { KEY_ECDSA_P256, "ecdsa-sha2-nistp256-cert-v01@openssh.com " },
                { KEY_ED25519, "ssh-ed25519-cert-v01@openssh.com " },
                { KEY_RSA_2048, "ssh-rsa-cert-v01@openssh.com " },
        };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(key) key = given_key(kinds[i].kind);
                AUTO(buf) public = BUF_MAX(4 * KiB);
                AUTO(buf) wire = BUF_MAX(CERT_MAX);
                AUTO(buf) line = BUF_MAX(2 * CERT_MAX);
                struct ssh_cert_info info;

                assert_done(key_public_ssh(&key, &public));
                assert_done(ssh_issue_host(f->host_ca.ssh, &subject, buf_str(&public), 0xfedcba9876543210,
                                           times_of(BEGIN, END), &wire));
                assert_done(ssh_cert_read(f->arena, buf_str(&wire), &info)); /* which verifies the signature */
                assert_int_equal(info.kind, SSH_CERT_HOST);
                assert_true(info.serial == 0xfedcba9876543210);
                assert_str(info.key_id, HOST_ID);
                assert_int_equal(info.principal_count, 4);
                assert_str(info.principals[0], HOST_ID ".example.com");
                assert_str(info.principals[3], "::1");
                assert_int_equal(info.valid_after, BEGIN);
                assert_int_equal(info.valid_before, END);
                assert_true(str_equal(info.public_key, buf_str(&public)));
                assert_true(str_equal(info.ca_key, buf_str(&f->host_ca.keys.ssh_public)));
                assert_done(ssh_wire_to_line(buf_str(&wire), &line));
                assert_true(str_starts_with(buf_str(&line), str_of(kinds[i].type)));
        }
}

static void never_issues_an_ssh_certificate_that_fits_more_than_its_names(void **state)
{
        static const struct str patterns[] = { STR_INIT("*"), STR_INIT("web-?"), STR_INIT("!web"), STR_INIT(""),
                                               STR_INIT("a,b") };
        struct fixture *f = *state;
        struct ssh_host_subject subject = ssh_subject();
        struct str many[LIMIT_CERT_NAMES + 1];
        AUTO(buf) wire = BUF_MAX(CERT_MAX);
        const struct str key = buf_str(&f->keys.ssh_public);
        const struct cert_times times = times_of(BEGIN, END);

        for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
                subject.principals = &patterns[i];
                subject.principal_count = 1;
                assert_refused(ssh_issue_host(f->host_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT,
                               "not a valid host name");
        }
        subject.principal_count = 0;
        assert_refused(ssh_issue_host(f->host_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT, "needs 1 to");
        for (size_t i = 0; i < ARRAY_LEN(many); i++)
                many[i] = STR("a");
        subject.principals = many;
        subject.principal_count = ARRAY_LEN(many);
        assert_refused(ssh_issue_host(f->host_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT, "needs 1 to");
        subject = ssh_subject();
        assert_refused(ssh_issue_host(f->host_ca.ssh, &subject, key, 1, times_of(END, BEGIN), &wire), ERROR_INVALID_ARGUMENT,
                       "ends before");
        assert_done(ssh_issue_host(f->host_ca.ssh, &subject, key, 1, times, &wire));
        AUTO(buf) nested = BUF_MAX(CERT_MAX);
        assert_refused(ssh_issue_host(f->host_ca.ssh, &subject, buf_str(&wire), 1, times, &nested), ERROR_INVALID_ARGUMENT,
                       "an SSH certificate");
}

static void refuses_ssh_certificates_with_any_byte_changed(void **state)
{
        struct fixture *f = *state;
        struct ssh_host_subject subject = ssh_subject();
        AUTO(buf) wire = BUF_MAX(CERT_MAX);
        struct ssh_cert_info info;

        assert_done(ssh_issue_host(f->host_ca.ssh, &subject, buf_str(&f->keys.ssh_public), 1, times_of(BEGIN, END), &wire));
        refuses_any_changed_byte(f->arena, &wire);
        buf_put_u8(&wire, 0);
        assert_refused(ssh_cert_read(f->arena, buf_str(&wire), &info), ERROR_INVALID_ARGUMENT, "too many");
        assert_refused(ssh_cert_read(f->arena, buf_str(&f->keys.ssh_public), &info), ERROR_INVALID_ARGUMENT,
                       "not an SSH certificate");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(issues_certificates_that_openssl_verifies),
                cmocka_unit_test(issues_no_certificate_that_could_sign_others),
                cmocka_unit_test(reads_the_certificates_it_issued),
                cmocka_unit_test(finds_no_host_id_in_a_common_name_of_another_cluster),
                cmocka_unit_test(certifies_keys_of_every_accepted_kind),
                cmocka_unit_test(refuses_to_issue_beyond_its_limits),
                cmocka_unit_test(refuses_ca_keys_that_do_not_fit),
                cmocka_unit_test(makes_a_web_certificate_that_stands_alone),
                cmocka_unit_test(refuses_certificates_that_are_not_whole),
                cmocka_unit_test(refuses_certificates_with_fields_that_ours_never_have),
                cmocka_unit_test(issues_an_empty_crl_that_openssl_verifies),
                cmocka_unit_test(finds_certificates_among_other_pem_blocks),
                cmocka_unit_test(reads_pem_with_carriage_returns),
                cmocka_unit_test(issues_ssh_certificates_for_every_kind_of_key),
                cmocka_unit_test(never_issues_an_ssh_certificate_that_fits_more_than_its_names),
                cmocka_unit_test(refuses_ssh_certificates_with_any_byte_changed),
        };

        return cmocka_run_group_tests_name("cert", tests, set_up, tear_down);
}
