/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates that the signer issues to users, whatever auth requests.
 */
#include <stdlib.h>

#include "base/names.h"
#include "base/text.h"
#include "signer/policy_testing.h"

#define UUID "1f2e3d4c-1111-4222-8333-444455556666"

struct fixture {
        struct policy_bench bench;
        Cteleport__Internal__V1__UserCertRequest request;
        char *roles[LISTS_MAX], *logins[LISTS_MAX];
        struct user_order order;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        policy_bench_init(&f->bench);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        policy_bench_release(&f->bench);
        free(f);
        return 0;
}

/* A request that is granted. */
static Cteleport__Internal__V1__UserCertRequest *given_request(struct fixture *f)
{
        Cteleport__Internal__V1__UserCertRequest *r = &f->request;

        cteleport__internal__v1__user_cert_request__init(r);
        r->user = pb_text("alice");
        r->roles = f->roles;
        r->logins = f->logins;
        f->roles[r->n_roles++] = pb_text("access");
        f->logins[r->n_logins++] = pb_text("root");
        r->reason = pb_text("login");
        r->ttl_seconds = 3600;
        r->tls_public_key = bytes_of(&f->bench.tls);
        r->ssh_public_key = bytes_of(&f->bench.ssh);
        return r;
}

static struct error *checked(struct fixture *f)
{
        return policy_check_user(f->bench.arena, &f->bench.facts, &f->request, &f->order);
}

static void certifies_a_user_with_roles_and_logins(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__UserCertRequest *r = given_request(f);

        f->logins[r->n_logins++] = pb_text("ubuntu");
        r->permit_agent_forwarding = true;
        assert_done(checked(f));
        assert_str(f->order.x509.user, "alice");
        assert_str(f->order.x509.cluster, "example.com");
        assert_int_equal(f->order.x509.login_count, 2);
        assert_str(f->order.ssh.user, "alice");
        assert_str(f->order.ssh.roles[0], "access");
        assert_int_equal(f->order.ssh.principal_count, 2);
        assert_str(f->order.ssh.principals[1], "ubuntu");
        assert_true(f->order.ssh.permit_pty);
        assert_true(f->order.ssh.permit_agent_forwarding);
        assert_false(f->order.ssh.permit_port_forwarding);
        assert_int_equal(walltime_unix(f->order.times.not_before), NOW - LIMIT_CERT_BACKDATE_SECONDS);
        assert_int_equal(walltime_unix(f->order.times.not_after), NOW + 3600);
}

static void the_certificate_of_a_web_session_is_short_and_alone(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__UserCertRequest *r = given_request(f);

        r->reason = pb_text("web");
        r->web_session = pb_text("0123456789abcdef0123456789abcdef");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "no SSH certificate");
        r->ssh_public_key = (ProtobufCBinaryData){ 0 };
        assert_done(checked(f));
        assert_str(f->order.x509.web_session, "0123456789abcdef0123456789abcdef");
        r->ttl_seconds = LIMIT_WEB_SESSION_SECONDS + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "it may last 43200");
        r->ttl_seconds = 60;
        r->web_session = pb_text("0123");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "needs its ID");
        r->web_session = pb_text("");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "need an SSH key");
}

static void the_certificate_for_an_application_may_have_its_secret(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__UserCertRequest *r = given_request(f);

        r->reason = pb_text("app");
        r->ssh_public_key = (ProtobufCBinaryData){ 0 };
        r->web_session = pb_text("0123456789abcdef0123456789abcdef");
        r->app = pb_text("wiki");
        r->app_secret = pb_text("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        r->ttl_seconds = LIMIT_USER_CERT_SECONDS; /* it ends with its login */
        assert_done(checked(f));
        assert_str(f->order.x509.app_secret, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        r->app_secret = pb_text("0123");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "a secret, of 64 digits");
        r->app_secret = pb_text("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        r->app = pb_text("");
        r->ttl_seconds = 60;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "only the session of an application has a secret");
        r->web_session = pb_text("");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "belongs to no session");
}

static void a_user_without_logins_gets_a_principal_without_account(void **state)
{
        struct fixture *f = *state;

        given_request(f)->n_logins = 0;
        assert_done(checked(f));
        assert_int_equal(f->order.x509.login_count, 0);
        assert_int_equal(f->order.ssh.principal_count, 1);
        assert_true(str_starts_with(f->order.ssh.principals[0], SSH_NOLOGIN_PREFIX));
        assert_int_equal(f->order.ssh.principals[0].len, SSH_NOLOGIN_PREFIX.len + 36);
        assert_false(name_is_login(f->order.ssh.principals[0]));
}

static void refuses_names_that_are_none(void **state)
{
        static const struct {
                const char *user, *role, *login;
        } cases[] = {
                { "", "access", "root" },
                { "-alice", "access", "root" },
                { "alice bob", "access", "root" },
                { "alice\n", "access", "root" },
                { "alice,root", "access", "root" },
                { "\xc3\xa4lice", "access", "root" },
                { UUID, "access", "root" },
                { UUID ".example.com", "access", "root" },
                { "123456789012-i-0123456789abcdef0", "access", "root" },
                { "alice", "", "root" },
                { "alice", "-access", "root" },
                { "alice", "ac cess", "root" },
                { "alice", "ac\"cess", "root" },
                { "alice", "access", "" },
                { "alice", "access", "-oProxyCommand=id" },
                { "alice", "access", "-teleport-nologin-" UUID },
                { "alice", "access", "root,admin" },
                { "alice", "access", "ro*" },
                { "alice", "access", "alice:x" },
                { "alice", "access", "a2345678901234567890123456789012345678901234567890123456789012345" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                given_request(f)->user = pb_text(cases[i].user);
                f->roles[0] = pb_text(cases[i].role);
                f->logins[0] = pb_text(cases[i].login);
                struct error *err = checked(f);
                if (err == NULL)
                        print_error("granted: '%s' '%s' '%s'\n", cases[i].user, cases[i].role, cases[i].login);
                assert_refused(err, ERROR_INVALID_ARGUMENT, "that the signer certifies");
        }
}

static void refuses_lists_that_are_too_long_or_say_one_thing_twice(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__UserCertRequest *r = given_request(f);

        f->roles[r->n_roles++] = pb_text("access");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "the role 'access' comes twice");
        r = given_request(f);
        f->logins[r->n_logins++] = pb_text("root");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "the login 'root' comes twice");
        given_request(f)->n_roles = LIMIT_USER_ROLES + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "it may have");
        given_request(f)->n_logins = LIMIT_CERT_NAMES + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "it may have");
        given_request(f)->n_roles = 0;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "without roles");
}

static void keeps_to_thirty_hours_and_the_life_of_the_ca(void **state)
{
        struct fixture *f = *state;

        given_request(f)->ttl_seconds = 30 * 3600;
        assert_done(checked(f));
        assert_int_equal(walltime_unix(f->order.times.not_after), NOW + 30 * 3600);
        given_request(f)->ttl_seconds = 30 * 3600 + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "the signer gives 1 to");
        given_request(f)->ttl_seconds = 0;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "the signer gives 1 to");
        given_request(f)->ttl_seconds = INT64_MIN;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "the signer gives 1 to");
        f->bench.facts.ca_times = times_of(NOW - 10, NOW + 60);
        given_request(f);
        assert_done(checked(f));
        assert_int_equal(walltime_unix(f->order.times.not_before), NOW - 10);
        assert_int_equal(walltime_unix(f->order.times.not_after), NOW + 60);
        f->bench.facts.ca_times = times_of(NOW - 10, NOW);
        assert_refused(checked(f), ERROR_FAILED_PRECONDITION, "outside the life");
}

static void refuses_keys_of_its_own_and_keys_that_are_none(void **state)
{
        struct fixture *f = *state;

        given_request(f)->tls_public_key = bytes_of(&f->bench.ca_tls);
        assert_refused(checked(f), ERROR_PERMISSION_DENIED, "one of the cluster's CAs");
        given_request(f)->tls_public_key = bytes_of(&f->bench.ca_ssh_spki);
        assert_refused(checked(f), ERROR_PERMISSION_DENIED, "one of the cluster's CAs");
        given_request(f)->ssh_public_key = bytes_of(&f->bench.ca_ssh_wire);
        assert_refused(checked(f), ERROR_PERMISSION_DENIED, "one of the cluster's CAs");
        given_request(f)->ssh_public_key.len = 0;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "need an SSH key");
        given_request(f)->ssh_public_key.len--;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "");
        given_request(f)->tls_public_key.len = 0;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "");
}

static void wants_a_reason_that_it_knows(void **state)
{
        struct fixture *f = *state;

        given_request(f)->reason = pb_text("join");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a reason");
        given_request(f)->reason = pb_text("");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a reason");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(certifies_a_user_with_roles_and_logins, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_user_without_logins_gets_a_principal_without_account, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_certificate_of_a_web_session_is_short_and_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_certificate_for_an_application_may_have_its_secret, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_names_that_are_none, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_lists_that_are_too_long_or_say_one_thing_twice, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_to_thirty_hours_and_the_life_of_the_ca, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_keys_of_its_own_and_keys_that_are_none, set_up, tear_down),
                cmocka_unit_test_setup_teardown(wants_a_reason_that_it_knows, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("policy_user", tests, NULL, NULL);
}
