/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that clients send at the hosts of applications: the good one, and others. */
#include <stdlib.h>

#include "base/mem.h"
#include "pki/pki_testing.h"
#include "proxy/apps/app_certificate.h"

#define SESSION "0123456789abcdef0123456789abcdef"
#define SECRET  SESSION "fedcba9876543210fedcba9876543210"

enum { BEGIN = 1700000000, END = BEGIN + 3600, CA_END = BEGIN + 100000 };

struct fixture {
        struct test_ca users, others;
        struct test_keys keys;
        struct buf trust;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        test_ca_init(&f->users, times_of(BEGIN, CA_END));
        test_ca_init(&f->others, times_of(BEGIN, CA_END));
        test_keys_init(&f->keys);
        f->trust = BUF_MAX(4 * CERT_MAX);
        cert_der_to_pem(buf_str(&f->users.cert), &f->trust);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_ca_release(&f->users);
        test_ca_release(&f->others);
        test_keys_release(&f->keys);
        buf_release(&f->trust);
        free(f);
        return 0;
}

static struct x509_user_subject subject_of(const char *session, const char *app, const char *secret)
{
        static const struct str role = STR_INIT("access");

        return (struct x509_user_subject){ .user = STR("alice"), .cluster = STR("example.com"), .roles = &role, .role_count = 1,
                                           .web_session = str_of(session), .app = str_of(app), .app_secret = str_of(secret) };
}

static struct app_certificate *given(struct fixture *f, struct test_ca *ca, const struct x509_user_subject *subject, const char *cluster)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        assert_done(x509_issue_user(ca->x509, subject, buf_str(&f->keys.tls_public), times_of(BEGIN, END), &der, NULL));
        return app_certificate_new(buf_str(&der), buf_str(&f->trust), str_of(cluster));
}

static void the_certificate_of_the_application_is_accepted(void **state)
{
        struct fixture *f = *state;
        const struct x509_user_subject subject = subject_of(SESSION, "wiki", SECRET);
        struct app_certificate *c = given(f, &f->users, &subject, "example.com");

        assert_done(app_certificate_check(c, "wiki", walltime_of_unix(BEGIN)));
        assert_done(app_certificate_check(c, "wiki", walltime_of_unix(END - 1)));
        assert_true(str_equal(app_certificate_user(c), STR("alice")));
        assert_true(str_equal(app_certificate_session(c), STR(SESSION)));
        assert_true(str_equal(app_certificate_secret(c), STR(SECRET)));
        assert_refused(app_certificate_check(c, "wiki", walltime_of_unix(END)), ERROR_UNAUTHENTICATED, "has expired");
        assert_refused(app_certificate_check(c, "wiki", walltime_of_unix(BEGIN - 1)), ERROR_UNAUTHENTICATED, "not valid yet");
        assert_refused(app_certificate_check(c, "wik", walltime_of_unix(BEGIN)), ERROR_PERMISSION_DENIED, "for the application 'wiki' only");
        app_certificate_free(c);
}

static void others_are_refused(void **state)
{
        struct fixture *f = *state;
        const struct {
                const char *session, *app, *secret, *cluster;
                bool is_of_other_ca;
                enum error_code code;
                const char *what;
        } cases[] = {
                { SESSION, "wiki", SECRET, "example.com", true, ERROR_UNAUTHENTICATED, "not one of a user of this cluster" },
                { SESSION, "wiki", SECRET, "example.net", false, ERROR_UNAUTHENTICATED, "not one of a user of this cluster" },
                { "", "", "", "example.com", false, ERROR_PERMISSION_DENIED, "not one for applications" }, /* of a login */
                { SESSION, "", "", "example.com", false, ERROR_PERMISSION_DENIED, "not one for applications" }, /* of a login in a browser */
                { SESSION, "wiki", "", "example.com", false, ERROR_PERMISSION_DENIED, "not one for applications" }, /* of a session, in the proxy */
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct x509_user_subject subject = subject_of(cases[i].session, cases[i].app, cases[i].secret);
                struct app_certificate *c = given(f, cases[i].is_of_other_ca ? &f->others : &f->users, &subject, cases[i].cluster);

                assert_refused(app_certificate_check(c, "wiki", walltime_of_unix(BEGIN)), cases[i].code, cases[i].what);
                app_certificate_free(c);
        }
}

static void malformed_certificates_are_refused(void **state)
{
        struct fixture *f = *state;
        const struct str cases[] = { STR(""), STR("0"), buf_str(&f->users.cert) };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct app_certificate *c = app_certificate_new(cases[i], buf_str(&f->trust), STR("example.com"));

                assert_refused(app_certificate_check(c, "wiki", walltime_of_unix(BEGIN)), ERROR_UNAUTHENTICATED, "not one of a user of this cluster");
                assert_true(str_is_empty(app_certificate_secret(c)));
                app_certificate_free(c);
        }
        app_certificate_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_certificate_of_the_application_is_accepted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(others_are_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(malformed_certificates_are_refused, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
