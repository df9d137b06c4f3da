/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of users: issued ones are read back unchanged, by us and by OpenSSL, and no other form is accepted.
 */
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/cert_testing.h"

static const struct str two_roles[] = { STR_INIT("access"), STR_INIT("team:web=prod+1") };
static const struct str two_logins[] = { STR_INIT("root"), STR_INIT("_www.data-1") };

static struct x509_user_subject alice(void)
{
        return (struct x509_user_subject){ .user = STR("alice+1@example.com"), .cluster = STR("example.com"),
                                           .roles = two_roles, .role_count = 2, .logins = two_logins, .login_count = 2 };
}

static struct ssh_user_subject ssh_alice(void)
{
        return (struct ssh_user_subject){ .user = STR("alice+1@example.com"), .roles = two_roles, .role_count = 2,
                                          .principals = two_logins, .principal_count = 2, .permit_pty = true,
                                          .permit_port_forwarding = true, .permit_agent_forwarding = true };
}

static struct error *issue(struct fixture *f, const struct x509_user_subject *subject, struct buf *der)
{
        return x509_issue_user(f->user_ca.x509, subject, buf_str(&f->keys.tls_public), times_of(BEGIN, END), der, NULL);
}

/* ---- X.509 ---------------------------------------------------------------------------------------------------- */

static void openssl_accepts_user_certificates_for_clients_only(void **state)
{
        struct fixture *f = *state;
        struct x509_user_subject subject = alice();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        const struct str ca = buf_str(&f->user_ca.cert), host_ca = buf_str(&f->host_ca.cert);

        assert_done(issue(f, &subject, &der));
        const struct str leaf = buf_str(&der);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN + 1), X509_V_OK);
        assert_int_equal(verified(ca, leaf, X509_PURPOSE_SSL_SERVER, NULL, BEGIN + 1), X509_V_ERR_INVALID_PURPOSE);
        assert_int_not_equal(verified(host_ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL, BEGIN + 1), X509_V_OK);
        assert_done(cert_check_issuer(leaf, ca));
        assert_refused(cert_check_issuer(leaf, host_ca), ERROR_UNAUTHENTICATED, "not signed by this CA");
        assert_true(cert_is_issued_by(leaf, ca));
        assert_false(cert_is_issued_by(leaf, host_ca));
        assert_false(cert_is_issued_by(leaf, STR("")));

        X509 *x = parsed(leaf);
        assert_int_equal(X509_check_ca(x), 0);
        assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_CLIENT);
        assert_int_equal(X509_get_ext_by_NID(x, NID_subject_alt_name, -1), -1);
        X509_free(x);
}

static void reads_the_user_of_a_certificate(void **state)
{
        struct fixture *f = *state;
        struct x509_user_subject subject = alice();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        char serial[CERT_SERIAL_HEX_SIZE];
        struct cert_info info;

        assert_done(x509_issue_user(f->user_ca.x509, &subject, buf_str(&f->keys.tls_public), times_of(BEGIN, END), &der, serial));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_true(info.is_user);
        assert_false(info.is_ca);
        assert_str(info.common_name, "alice+1@example.com");
        assert_str(info.cluster, "example.com");
        assert_int_equal(info.role_count, 2);
        assert_str(info.roles[0], "access");
        assert_str(info.roles[1], "team:web=prod+1");
        assert_int_equal(info.login_count, 2);
        assert_str(info.logins[0], "root");
        assert_str(info.logins[1], "_www.data-1");
        assert_str(info.role, "");
        assert_str(info.host_id, "");
        assert_str(info.serial_hex, serial);
        assert_int_equal(walltime_unix(info.times.not_after), END);

        subject.role_count = subject.login_count = 0;
        buf_clear(&der);
        assert_done(issue(f, &subject, &der));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_true(info.is_user);
        assert_int_equal(info.role_count + info.login_count, 0);
}

static void a_certificate_names_its_web_session(void **state)
{
        struct fixture *f = *state;
        struct x509_user_subject subject = alice();
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct cert_info info;

        subject.web_session = STR("0123456789abcdef0123456789abcdef");
        assert_done(issue(f, &subject, &der));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_str(info.web_session, "0123456789abcdef0123456789abcdef");
        assert_str(info.app_secret, "");
        subject.app_secret = STR("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        buf_clear(&der);
        assert_done(issue(f, &subject, &der));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_str(info.app_secret, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        subject.app_secret = STR("0123");
        assert_refused(issue(f, &subject, &der), ERROR_INVALID_ARGUMENT, "secret of the application's session");
        subject.app_secret = STR("");

        subject.web_session = STR("0123456789ABCDEF0123456789ABCDEF");
        assert_refused(issue(f, &subject, &der), ERROR_INVALID_ARGUMENT, "ID of the web session");
        subject.web_session = STR("");
        buf_clear(&der);
        assert_done(issue(f, &subject, &der));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_str(info.web_session, "");
}

static void users_and_hosts_are_never_confused(void **state)
{
        static const struct str roles[] = { STR_INIT("Instance") };
        struct fixture *f = *state;
        struct x509_user_subject user = { .user = STR(HOST_ID ".example.com"), .cluster = STR("example.com"),
                                            .roles = roles, .role_count = 1 };
        struct x509_subject host = { .common_name = user.user, .role = roles[0], .cluster = user.cluster };
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct cert_info info;

        assert_done(issue(f, &user, &der));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_true(info.is_user);
        assert_str(info.host_id, "");
        assert_str(info.role, "");

        buf_clear(&der);
        assert_done(x509_issue_host(f->host_ca.x509, &host, buf_str(&f->keys.tls_public), times_of(BEGIN, END), &der, NULL));
        assert_done(cert_read(f->arena, buf_str(&der), &info));
        assert_false(info.is_user);
        assert_str(info.host_id, HOST_ID);
        assert_int_equal(info.role_count, 0);
}

static void takes_as_many_roles_and_logins_as_one_may_have(void **state)
{
        struct fixture *f = *state;
        struct x509_user_subject subject = alice();
        struct str roles[LIMIT_USER_ROLES + 1], logins[LIMIT_CERT_NAMES + 1];
        char role[LIMIT_NAME], login[LIMIT_LOGIN_NAME];
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct cert_info info;

        memset(role, 'r', sizeof role);
        memset(login, 'l', sizeof login);
        for (size_t i = 0; i < ARRAY_LEN(roles); i++)
                roles[i] = str_of_bytes(role, sizeof role);
        for (size_t i = 0; i < ARRAY_LEN(logins); i++)
                logins[i] = str_of_bytes(login, sizeof login);
        subject.roles = roles;
        subject.logins = logins;
        subject.role_count = LIMIT_USER_ROLES;
        subject.login_count = LIMIT_CERT_NAMES;
        assert_done(issue(f, &subject, &der));
        assert_done(cert_read(arena, buf_str(&der), &info));
        assert_int_equal(info.role_count, LIMIT_USER_ROLES);
        assert_int_equal(info.login_count, LIMIT_CERT_NAMES);

        buf_clear(&der);
        subject.role_count++;
        assert_refused(issue(f, &subject, &der),
                       ERROR_INVALID_ARGUMENT, "too many");
        subject.role_count--;
        subject.login_count++;
        assert_refused(issue(f, &subject, &der),
                       ERROR_INVALID_ARGUMENT, "too many");
        assert_int_equal(der.len, 0);
}

static void refuses_to_certify_invalid_names(void **state)
{
        static const struct str bad[] = { STR_INIT(""), STR_INIT("-x"), STR_INIT("a b"), STR_INIT("a\0b"), STR_INIT("a\nb"),
                                          STR_INIT("a,b"), STR_INIT("a/b"), STR_INIT("a\"b"), STR_INIT("\xc3\xa4") };
        struct fixture *f = *state;
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        const struct str key = buf_str(&f->keys.tls_public);
        const struct cert_times good = times_of(BEGIN, END);

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct x509_user_subject s = alice();
                struct ssh_user_subject ssh = ssh_alice();

                s.user = ssh.user = bad[i];
                assert_refused(x509_issue_user(f->user_ca.x509, &s, key, good, &der, NULL), ERROR_INVALID_ARGUMENT, "name of the user");
                assert_refused(ssh_issue_user(f->user_ca.ssh, &ssh, buf_str(&f->keys.ssh_public), 1, good, &der), ERROR_INVALID_ARGUMENT,
                               "name of the user");
                s = alice(), ssh = ssh_alice();
                s.roles = ssh.roles = &bad[i];
                s.role_count = ssh.role_count = 1;
                assert_refused(x509_issue_user(f->user_ca.x509, &s, key, good, &der, NULL), ERROR_INVALID_ARGUMENT, "role");
                assert_refused(ssh_issue_user(f->user_ca.ssh, &ssh, buf_str(&f->keys.ssh_public), 1, good, &der), ERROR_INVALID_ARGUMENT,
                               "role");
                s = alice(), ssh = ssh_alice();
                s.logins = ssh.principals = &bad[i];
                s.login_count = ssh.principal_count = 1;
                assert_refused(x509_issue_user(f->user_ca.x509, &s, key, good, &der, NULL), ERROR_INVALID_ARGUMENT, "login");
                assert_refused(ssh_issue_user(f->user_ca.ssh, &ssh, buf_str(&f->keys.ssh_public), 1, good, &der), ERROR_INVALID_ARGUMENT,
                               "login");
        }
        struct x509_user_subject s = alice();
        assert_refused(x509_issue_user(f->user_ca.x509, &s, key, times_of(BEGIN, END + 1), &der, NULL), ERROR_INVALID_ARGUMENT,
                       "outlives its CA");
        assert_refused(x509_issue_user(f->user_ca.x509, &s, STR("x"), good, &der, NULL), ERROR_INVALID_ARGUMENT, "public key");
        assert_int_equal(der.len, 0);
}

static void refuses_user_certificates_with_foreign_fields(void **state)
{
        static const struct {
                const char *name;
                struct str from, to;
                const char *why;
        } cases[] = {
                { "good for servers", STR_INIT("\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"),
                  STR_INIT("\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"), "usages are not those" },
                { "good for code", STR_INIT("\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"),
                  STR_INIT("\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03"), "a usage that the cluster does not use" },
                { "no extended key usage", STR_INIT("\x55\x1d\x25"), STR_INIT("\x55\x1d\x11"), "usages are not those" },
                { "a user with a blank", STR_INIT("alice+1"), STR_INIT("alice 1"), "characters" },
                { "a user that is an option", STR_INIT("alice+1"), STR_INIT("-lice+1"), "not that of a user" },
                { "a user with a colon", STR_INIT("alice+1"), STR_INIT("alice:1"), "not that of a user" },
                { "a login with a colon", STR_INIT("_www.data-1"), STR_INIT("_www.data:1"), "not that of a user" },
                { "a login that is an option", STR_INIT("\x04root"), STR_INIT("\x04-oot"), "not that of a user" },
                { "a role that is an option", STR_INIT("\x06" "access"), STR_INIT("\x06" "-ccess"), "not that of a user" },
                { "a state instead of a login", STR_INIT("\x55\x04\x07\x0c\x04root"), STR_INIT("\x55\x04\x08\x0c\x04root"),
                  "the cluster does not use" },
                { "two users", STR_INIT("\x55\x04\x07\x0c\x04root"), STR_INIT("\x55\x04\x03\x0c\x04root"), "occurs twice" },
        };
        struct fixture *f = *state;
        struct x509_user_subject subject = alice();
        struct cert_info info;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) der = BUF_MAX(CERT_MAX);

                assert_done(issue(f, &subject, &der));
                alter(&der, cases[i].from, cases[i].to, 0);
                struct error *err = cert_read(f->arena, buf_str(&der), &info);
                if (err == NULL)
                        print_error("accepted: %s\n", cases[i].name);
                assert_refused(err, ERROR_INVALID_ARGUMENT, cases[i].why);
        }
}

/* ---- SSH ------------------------------------------------------------------------------------------------------ */

static void user_ssh_certificates_carry_the_permissions(void **state)
{
        struct fixture *f = *state;
        struct ssh_user_subject subject = ssh_alice();
        AUTO(buf) wire = BUF_MAX(CERT_MAX);
        struct ssh_cert_info info;

        assert_done(ssh_issue_user(f->user_ca.ssh, &subject, buf_str(&f->keys.ssh_public), 0xfedcba9876543210, times_of(BEGIN, END), &wire));
        assert_done(ssh_cert_read(f->arena, buf_str(&wire), &info)); /* which verifies the signature */
        assert_int_equal(info.kind, SSH_CERT_USER);
        assert_true(info.serial == 0xfedcba9876543210);
        assert_str(info.key_id, "alice+1@example.com");
        assert_int_equal(info.principal_count, 2);
        assert_str(info.principals[0], "root");
        assert_str(info.principals[1], "_www.data-1");
        assert_int_equal(info.valid_before, END);
        assert_true(str_equal(info.public_key, buf_str(&f->keys.ssh_public)));
        assert_true(str_equal(info.ca_key, buf_str(&f->user_ca.keys.ssh_public)));
        assert_int_equal(info.extension_count, 4);
        assert_str(info.extensions[0].name, "permit-agent-forwarding");
        assert_str(info.extensions[0].value, "");
        assert_str(info.extensions[3].name, "teleport-roles");
        assert_str(info.extensions[3].value, "{\"version\":\"v1\",\"roles\":[\"access\",\"team:web=prod+1\"]}");
        assert_true(ssh_cert_permits(&info, STR("permit-pty")));
        assert_false(ssh_cert_permits(&info, STR("permit-X11-forwarding")));

        subject.permit_pty = subject.permit_agent_forwarding = subject.permit_port_forwarding = false;
        buf_clear(&wire);
        assert_done(ssh_issue_user(f->user_ca.ssh, &subject, buf_str(&f->keys.ssh_public), 1, times_of(BEGIN, END), &wire));
        assert_done(ssh_cert_read(f->arena, buf_str(&wire), &info));
        assert_int_equal(info.extension_count, 1);
        assert_false(ssh_cert_permits(&info, STR("permit-pty")));
}

static void never_issues_a_user_ssh_certificate_without_principals(void **state)
{
        static const struct str nologin = STR_INIT("-teleport-nologin-" HOST_ID), almost = STR_INIT("-teleport-nologin-root");
        struct fixture *f = *state;
        struct ssh_user_subject subject = ssh_alice();
        struct str many[LIMIT_CERT_NAMES + 1];
        AUTO(buf) wire = BUF_MAX(CERT_MAX);
        const struct str key = buf_str(&f->keys.ssh_public);
        const struct cert_times times = times_of(BEGIN, END);
        struct ssh_cert_info info;

        subject.principal_count = 0;
        assert_refused(ssh_issue_user(f->user_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT, "needs 1 to");
        for (size_t i = 0; i < ARRAY_LEN(many); i++)
                many[i] = STR("a");
        subject.principals = many;
        subject.principal_count = ARRAY_LEN(many);
        assert_refused(ssh_issue_user(f->user_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT, "needs 1 to");
        subject.principals = &almost;
        subject.principal_count = 1;
        assert_refused(ssh_issue_user(f->user_ca.ssh, &subject, key, 1, times, &wire), ERROR_INVALID_ARGUMENT, "cannot be a login");
        subject.principals = &nologin;
        assert_done(ssh_issue_user(f->user_ca.ssh, &subject, key, 1, times, &wire));
        assert_done(ssh_cert_read(f->arena, buf_str(&wire), &info));
        assert_true(str_equal(info.principals[0], nologin));
}

static void refuses_user_ssh_certificates_with_any_byte_changed(void **state)
{
        struct fixture *f = *state;
        struct ssh_user_subject subject = ssh_alice();
        AUTO(buf) wire = BUF_MAX(CERT_MAX);

        assert_done(ssh_issue_user(f->user_ca.ssh, &subject, buf_str(&f->keys.ssh_public), 1, times_of(BEGIN, END), &wire));
        refuses_any_changed_byte(f->arena, &wire);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(openssl_accepts_user_certificates_for_clients_only),
                cmocka_unit_test(reads_the_user_of_a_certificate),
                cmocka_unit_test(a_certificate_names_its_web_session),
                cmocka_unit_test(users_and_hosts_are_never_confused),
                cmocka_unit_test(takes_as_many_roles_and_logins_as_one_may_have),
                cmocka_unit_test(refuses_to_certify_invalid_names),
                cmocka_unit_test(refuses_user_certificates_with_foreign_fields),
                cmocka_unit_test(user_ssh_certificates_carry_the_permissions),
                cmocka_unit_test(never_issues_a_user_ssh_certificate_without_principals),
                cmocka_unit_test(refuses_user_ssh_certificates_with_any_byte_changed),
        };

        return cmocka_run_group_tests_name("user_cert", tests, set_up, tear_down);
}
