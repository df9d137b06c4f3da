/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/login_permit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pki/cert.h"
#include "pki/pki_testing.h"

enum { NOW = 1700000000 };

/* A host CA, and a certificate that it issued for a role. */
struct issuer {
        struct test_ca ca;
        struct test_keys keys;
        struct buf certificate, pin;
};

static void issuer_init(struct issuer *i, const char *role)
{
        const struct x509_subject subject = { .common_name = STR("11111111-1111-4111-8111-111111111111.example.com"),
                                              .role = str_of(role), .cluster = STR("example.com") };

        *i = (struct issuer){ .certificate = BUF_MAX(CERT_MAX), .pin = BUF_MAX(128) };
        test_ca_init(&i->ca, times_of(NOW - 1000, NOW + 100000));
        test_keys_init(&i->keys);
        assert_done(x509_issue_host(i->ca.x509, &subject, buf_str(&i->keys.tls_public), times_of(NOW - 100, NOW + 1000), &i->certificate, NULL));
        assert_done(ca_pin_of_cert(buf_str(&i->ca.cert), &i->pin));
}

static void issuer_release(struct issuer *i)
{
        test_ca_release(&i->ca);
        test_keys_release(&i->keys);
        buf_release(&i->certificate);
        buf_release(&i->pin);
}

static const char nonce[] = "0123456789abcdef0123456789abcdef";

static struct login_permit a_permit(void)
{
        return (struct login_permit){ .connection_id = STR("99999999-9999-4999-8999-999999999999"), .host_id = STR("the-host"),
                                      .login = STR("root"), .certificate = STR("a certificate"),
                                      .nonce = str_of_bytes(nonce, LOGIN_PERMIT_NONCE), .permits = LOGIN_PERMIT_PTY };
}

static struct error *check(const struct login_permit *p, struct str signature, const struct issuer *i, const struct issuer *trusted,
                           int64_t now)
{
        AUTO_MEM char *pin = str_dup(buf_str(&trusted->pin));
        const char *const list[] = { pin };
        const struct ca_pins pins = { list, 1 };

        return login_permit_check(p, signature, buf_str(&i->certificate), buf_str(&i->ca.cert), &pins, walltime_of_unix(now));
}

static void is_valid_for_the_signed_fields_only(void **state)
{
        struct issuer auth;
        AUTO(buf) signature = BUF_MAX(KiB);
        const struct login_permit good = a_permit();
        struct login_permit changed[] = { good, good, good, good, good, good };

        (void)state;
        issuer_init(&auth, "Auth");
        assert_done(login_permit_sign(&good, &auth.keys.tls, &signature));
        assert_done(check(&good, buf_str(&signature), &auth, &auth, NOW));
        changed[0].connection_id = STR("99999999-9999-4999-8999-999999999998");
        changed[1].host_id = STR("the-hosu");
        changed[2].login = STR("rook");
        changed[3].certificate = STR("a certificata");
        changed[4].nonce = str_of_bytes("0123456789abcdef0123456789abcdeF", LOGIN_PERMIT_NONCE);
        changed[5].permits = LOGIN_PERMITS_ALL;
        for (size_t i = 0; i < ARRAY_LEN(changed); i++)
                assert_failed(check(&changed[i], buf_str(&signature), &auth, &auth, NOW));
        for (size_t i = 0; i < signature.len; i++) {
                signature.ptr[i] ^= 1;
                assert_failed(check(&good, buf_str(&signature), &auth, &auth, NOW));
                signature.ptr[i] ^= 1;
                assert_failed(check(&good, str_slice(buf_str(&signature), 0, i), &auth, &auth, NOW));
        }
        issuer_release(&auth);
}

static void takes_no_text_across_the_border_of_two_fields(void **state)
{
        struct issuer auth;
        AUTO(buf) signature = BUF_MAX(KiB);
        struct login_permit p = a_permit();

        (void)state;
        issuer_init(&auth, "Auth");
        p.host_id = STR("host");
        p.login = STR("root");
        assert_done(login_permit_sign(&p, &auth.keys.tls, &signature));
        p.host_id = STR("hos");
        p.login = STR("troot");
        assert_failed(check(&p, buf_str(&signature), &auth, &auth, NOW));
        issuer_release(&auth);
}

static void believes_the_auth_service_of_the_cluster_alone(void **state)
{
        static const char *const others[] = { "Node", "Proxy", "Instance" };
        struct issuer auth, unauthenticated;
        AUTO(buf) signature = BUF_MAX(KiB);
        const struct login_permit p = a_permit();
        const struct ca_pins none = { 0 };

        (void)state;
        issuer_init(&auth, "Auth");
        issuer_init(&unauthenticated, "Auth");
        assert_done(login_permit_sign(&p, &unauthenticated.keys.tls, &signature));
        assert_failed(check(&p, buf_str(&signature), &unauthenticated, &auth, NOW));
        assert_failed(login_permit_check(&p, buf_str(&signature), buf_str(&unauthenticated.certificate), buf_str(&unauthenticated.ca.cert), &none,
                                          walltime_of_unix(NOW)));
        assert_failed(login_permit_check(&p, buf_str(&signature), buf_str(&unauthenticated.certificate), buf_str(&auth.ca.cert),
                                          &(struct ca_pins){ (const char *const[]){ buf_c(&auth.pin) }, 1 }, walltime_of_unix(NOW)));
        issuer_release(&unauthenticated);
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                issuer_init(&unauthenticated, others[i]);
                buf_clear(&signature);
                assert_done(login_permit_sign(&p, &unauthenticated.keys.tls, &signature));
                assert_failed(check(&p, buf_str(&signature), &unauthenticated, &unauthenticated, NOW));
                issuer_release(&unauthenticated);
        }
        buf_clear(&signature);
        assert_done(login_permit_sign(&p, &auth.keys.tls, &signature));
        assert_failed(check(&p, buf_str(&signature), &auth, &auth, NOW - 200));
        assert_failed(check(&p, buf_str(&signature), &auth, &auth, NOW + 1000));
        issuer_release(&auth);
}

static void refuses_invalid_permits(void **state)
{
        struct issuer auth;
        struct login_permit p = a_permit();
        AUTO(buf) signature = BUF_MAX(KiB);

        (void)state;
        issuer_init(&auth, "Auth");
        AUTO_MEM char *pin = str_dup(buf_str(&auth.pin));
        const char *const list[] = { pin };
        const struct ca_pins pins = { list, 1 };
        assert_done(login_permit_sign(&p, &auth.keys.tls, &signature));
        for (size_t i = 0; i < auth.certificate.len && i < auth.ca.cert.len; i += 7) {
                assert_failed(login_permit_check(&p, buf_str(&signature), str_slice(buf_str(&auth.certificate), 0, i),
                                                  buf_str(&auth.ca.cert), &pins, walltime_of_unix(NOW)));
                assert_failed(login_permit_check(&p, buf_str(&signature), buf_str(&auth.certificate),
                                                  str_slice(buf_str(&auth.ca.cert), 0, i), &pins, walltime_of_unix(NOW)));
        }
        p.nonce = STR("short");
        assert_failed(login_permit_sign(&p, &auth.keys.tls, &signature));
        assert_failed(check(&p, buf_str(&signature), &auth, &auth, NOW));
        issuer_release(&auth);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_valid_for_the_signed_fields_only),
                cmocka_unit_test(takes_no_text_across_the_border_of_two_fields),
                cmocka_unit_test(believes_the_auth_service_of_the_cluster_alone),
                cmocka_unit_test(refuses_invalid_permits),
        };

        return cmocka_run_group_tests_name("login_permit", tests, NULL, NULL);
}
