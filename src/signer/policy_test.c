/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/policy.h"

#include <stdlib.h>

#include "base/text.h"
#include "signer/policy_testing.h"

#define HOST_ID        "1f2e3d4c-1111-4222-8333-444455556666"
#define OTHER_ID       "99999999-1111-4222-8333-444455556666"
#define OWN_DNS        HOST_ID ".example.com " HOST_ID /* in every certificate of the host */
#define HEX_OF_CLUSTER "6578616d706c652e636f6d" /* example.com */

struct fixture {
        struct policy_bench bench;
        Cteleport__Internal__V1__HostCertRequest request;
        char *principals[LISTS_MAX], *dns_names[LISTS_MAX], *system_roles[LISTS_MAX];
        struct policy_order order;
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

/* A request that is granted: an hour for a joining host. */
static Cteleport__Internal__V1__HostCertRequest *given_request(struct fixture *f, const char *role)
{
        Cteleport__Internal__V1__HostCertRequest *r = &f->request;

        cteleport__internal__v1__host_cert_request__init(r);
        r->host_id = pb_text(HOST_ID);
        r->node_name = pb_text("web-1");
        r->role = pb_text(role);
        r->reason = pb_text("join");
        r->ttl_seconds = 3600;
        r->tls_public_key = bytes_of(&f->bench.tls);
        r->ssh_public_key = bytes_of(&f->bench.ssh);
        r->principals = f->principals;
        r->dns_names = f->dns_names;
        r->system_roles = f->system_roles;
        return r;
}

static void given_principal(struct fixture *f, const char *name)
{
        f->principals[f->request.n_principals++] = pb_text(name);
}

static void given_dns_name(struct fixture *f, const char *name)
{
        f->dns_names[f->request.n_dns_names++] = pb_text(name);
}

static void given_system_role(struct fixture *f, const char *role)
{
        f->system_roles[f->request.n_system_roles++] = pb_text(role);
}

static struct error *checked(struct fixture *f)
{
        return policy_check(f->bench.arena, &f->bench.facts, &f->request, &f->order);
}

/* The names, separated by blanks. */
static void assert_names(const struct str *names, size_t count, const char *expected)
{
        AUTO(buf) got = BUF_MAX(64 * KiB);

        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_char(&got, ' ');
                buf_put(&got, names[i]);
        }
        assert_str(buf_str(&got), expected);
}

/* ---- granted requests --------------------------------------------------------------------------------------- */

static void certifies_a_joining_host_by_its_own_names(void **state)
{
        struct fixture *f = *state;

        given_request(f, "Instance");
        given_system_role(f, "Node");
        given_system_role(f, "App");
        given_principal(f, "web-1.internal");
        given_principal(f, "10.0.0.1");
        assert_done(checked(f));
        assert_str(f->order.x509.common_name, HOST_ID ".example.com");
        assert_str(f->order.x509.role, "Instance");
        assert_str(f->order.x509.cluster, "example.com");
        assert_names(f->order.x509.system_roles, f->order.x509.system_role_count, "Node App");
        assert_names(f->order.x509.dns_names, f->order.x509.dns_name_count, OWN_DNS " web-1.internal");
        assert_names(f->order.x509.ip_addresses, f->order.x509.ip_address_count, "10.0.0.1");
        assert_str(f->order.ssh.key_id, HOST_ID);
        assert_names(f->order.ssh.principals, f->order.ssh.principal_count,
                     OWN_DNS " web-1.example.com web-1"); /* not the requested one */
        assert_int_equal(walltime_unix(f->order.times.not_before), NOW - 60);
        assert_int_equal(walltime_unix(f->order.times.not_after), NOW + 3600);
}

/* The whole table of roles: the names that each may hold. */
static void gives_each_role_its_permissions(void **state)
{
        static const struct {
                const char *role, *dns_names;
        } cases[] = {
                { "Instance", OWN_DNS },
                { "Node", OWN_DNS },
                { "App", OWN_DNS },
                { "Db", OWN_DNS },
                { "Discovery", OWN_DNS },
                { "Kube", OWN_DNS " public.example.net" },
                { "WindowsDesktop", OWN_DNS " public.example.net" },
                { "Proxy", OWN_DNS " public.example.net teleport.cluster.local " HEX_OF_CLUSTER ".teleport.cluster.local" },
                { "Auth", OWN_DNS " public.example.net teleport.cluster.local " HEX_OF_CLUSTER ".teleport.cluster.local" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                given_request(f, cases[i].role)->reason = pb_text("local");
                given_dns_name(f, "public.example.net");
                assert_done(checked(f));
                assert_names(f->order.x509.dns_names, f->order.x509.dns_name_count, cases[i].dns_names);
                assert_int_equal(str_is_empty(f->order.ssh_public_key), strcmp(cases[i].role, "Node") != 0);
        }
}

/* ssh is case-sensitive and requests names in lower case; the cluster's name is optional. */
static void names_a_node_in_every_spelling_for_ssh(void **state)
{
        static const struct {
                const char *name, *principals;
        } cases[] = {
                { "web-9", "web-9.example.com web-9" },
                { "Web-9", "web-9.example.com web-9 Web-9" },
                { "Web-9.Example.com", "web-9.example.com web-9 Web-9.Example.com" },
                { "web-9.lan", "web-9.lan.example.com web-9.lan" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                given_request(f, "Node")->node_name = pb_text(cases[i].name);
                given_principal(f, "db-1");
                given_principal(f, "db-1.example.com");
                assert_done(checked(f));
                AUTO_MEM char *expected = mem_printf(OWN_DNS " %s", cases[i].principals);
                assert_names(f->order.ssh.principals, f->order.ssh.principal_count, expected);
        }
}

static void lets_only_the_cluster_itself_bear_its_names(void **state)
{
        static const struct {
                const char *role, *reason, *name;
                bool is_granted;
        } cases[] = {
                { "Node", "join", "example.com", false },
                { "Node", "join", "EXAMPLE.com", false },
                { "Node", "renew", "localhost", false },
                { "Node", "join", "127.0.0.2", false },
                { "Node", "join", "teleport.cluster.local", false },
                { "Node", "join", HEX_OF_CLUSTER ".teleport.cluster.local", false },
                { "Instance", "join", "example.com", false },
                { "Kube", "join", "example.com", false },
                { "Node", "local", "example.com", true },
                { "Proxy", "join", "example.com", true },
                { "Auth", "renew", "127.0.0.2", true },
                { "Node", "join", OTHER_ID, false },
                { "Node", "join", "ABCDEFAB-1111-4222-8333-444455556666", false },
                { "Node", "join", "localhost.example.com", false },
                { "Node", "local", OTHER_ID ".example.com", false },
                { "Proxy", "join", OTHER_ID, false },
                { "Auth", "local", "123456789012-i-0123456789abcdef0", false },
                { "Node", "join", HOST_ID ".internal", true },
                { "Node", "join", "www.example.com", true },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                given_request(f, cases[i].role)->reason = pb_text(cases[i].reason);
                given_principal(f, cases[i].name);
                if (cases[i].is_granted)
                        assert_done(checked(f));
                else
                        assert_refused(checked(f), ERROR_PERMISSION_DENIED, cases[i].name);
        }
}

static void leaves_out_a_node_name_that_the_host_may_not_bear(void **state)
{
        static const char *const names[] = { "example.com", "localhost", OTHER_ID, "ABCDEFAB-1111-4222-8333-444455556666", "" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                given_request(f, "Node")->node_name = pb_text(names[i]);
                assert_done(checked(f));
                assert_names(f->order.ssh.principals, f->order.ssh.principal_count, OWN_DNS);
        }
        given_request(f, "Node")->node_name = pb_text("example.com");
        f->request.reason = pb_text("local");
        assert_done(checked(f));
        assert_names(f->order.ssh.principals, f->order.ssh.principal_count,
                     OWN_DNS " example.com.example.com example.com");
}

static void lists_each_name_once(void **state)
{
        struct fixture *f = *state;

        given_request(f, "Kube");
        given_principal(f, "web-1");
        given_principal(f, "kube.internal");
        given_principal(f, "KUBE.internal");
        given_dns_name(f, "kube.internal");
        assert_done(checked(f));
        assert_names(f->order.ssh.principals, f->order.ssh.principal_count,
                     OWN_DNS " web-1.example.com web-1");
        assert_names(f->order.x509.dns_names, f->order.x509.dns_name_count, OWN_DNS " web-1 kube.internal");
}

static void ends_no_certificate_after_its_ca(void **state)
{
        struct fixture *f = *state;

        given_request(f, "Node");
        f->bench.facts.ca_times = times_of(NOW - 10, NOW + 100);
        assert_done(checked(f));
        assert_int_equal(walltime_unix(f->order.times.not_before), NOW - 10);
        assert_int_equal(walltime_unix(f->order.times.not_after), NOW + 100);
        f->bench.facts.ca_times = times_of(NOW - 10, NOW);
        assert_refused(checked(f), ERROR_FAILED_PRECONDITION, "outside the life of the cluster's CA");
        f->bench.facts.ca_times = times_of(NOW + 1, NOW + 100);
        assert_refused(checked(f), ERROR_FAILED_PRECONDITION, "outside the life of the cluster's CA");
}

static void issues_no_ssh_certificate_where_no_key_was_given(void **state)
{
        struct fixture *f = *state;

        given_request(f, "App")->ssh_public_key = (ProtobufCBinaryData){ 0 };
        assert_done(checked(f));
        assert_true(str_is_empty(f->order.ssh_public_key));
}

/* ---- refused requests ------------------------------------------------------------------------------------------ */

static void with_role_admin(struct fixture *f)
{
        f->request.role = pb_text("Admin");
}
static void with_role_in_lower_case(struct fixture *f)
{
        f->request.role = pb_text("node");
}
static void with_no_role(struct fixture *f)
{
        f->request.role = pb_text("");
}
static void with_auth_by_joining(struct fixture *f)
{
        f->request.role = pb_text("Auth");
}
static void with_unknown_reason(struct fixture *f)
{
        f->request.reason = pb_text("because");
}
static void with_no_reason(struct fixture *f)
{
        f->request.reason = pb_text("");
}
static void with_name_for_host_id(struct fixture *f)
{
        f->request.host_id = pb_text("web-1");
}
static void with_no_host_id(struct fixture *f)
{
        f->request.host_id = pb_text("");
}
static void with_path_for_host_id(struct fixture *f)
{
        f->request.host_id = pb_text("../../etc");
}
static void with_wildcard_node_name(struct fixture *f)
{
        f->request.node_name = pb_text("*");
}
static void with_blank_in_node_name(struct fixture *f)
{
        f->request.node_name = pb_text("web 1");
}
static void with_wildcard_principal(struct fixture *f)
{
        given_principal(f, "*.example.com");
}
static void with_empty_principal(struct fixture *f)
{
        given_principal(f, "");
}
static void with_pattern_principal(struct fixture *f)
{
        given_principal(f, "!web");
}
static void with_wildcard_dns_name(struct fixture *f)
{
        f->request.role = pb_text("Proxy"), given_dns_name(f, "*.teleport.cluster.local");
}
static void with_no_life(struct fixture *f)
{
        f->request.ttl_seconds = 0;
}
static void with_negative_life(struct fixture *f)
{
        f->request.ttl_seconds = -1;
}
static void with_too_long_a_life(struct fixture *f)
{
        f->request.ttl_seconds = LIMIT_HOST_CERT_SECONDS + 1;
}
static void with_endless_life(struct fixture *f)
{
        f->request.ttl_seconds = INT64_MAX;
}
static void with_no_tls_key(struct fixture *f)
{
        f->request.tls_public_key.len = 0;
}
static void with_broken_tls_key(struct fixture *f)
{
        f->request.tls_public_key.len--;
}
static void with_ca_as_tls_key(struct fixture *f)
{
        f->request.tls_public_key = bytes_of(&f->bench.ca_tls);
}
static void with_ssh_ca_as_tls_key(struct fixture *f)
{
        f->request.tls_public_key = bytes_of(&f->bench.ca_ssh_spki);
}
static void with_ca_as_ssh_key(struct fixture *f)
{
        f->request.ssh_public_key = bytes_of(&f->bench.ca_ssh_wire);
}
static void with_broken_ssh_key(struct fixture *f)
{
        f->request.ssh_public_key.len--;
}
static void with_spki_as_ssh_key(struct fixture *f)
{
        f->request.ssh_public_key = bytes_of(&f->bench.tls);
}
static void with_system_roles_of_a_node(struct fixture *f)
{
        given_system_role(f, "Node");
}
static void with_unknown_system_role(struct fixture *f)
{
        f->request.role = pb_text("Instance"), given_system_role(f, "Root");
}
static void with_system_role_twice(struct fixture *f)
{
        f->request.role = pb_text("Instance"), given_system_role(f, "Node"), given_system_role(f, "Node");
}
static void with_auth_as_system_role(struct fixture *f)
{
        f->request.role = pb_text("Instance"), given_system_role(f, "Auth");
}

static void with_too_many_names(struct fixture *f)
{
        for (size_t i = 0; i < LISTS_MAX; i++)
                given_principal(f, arena_printf(f->bench.arena, "name-%zu", i));
}

static void with_too_many_names_in_two_lists(struct fixture *f)
{
        f->request.role = pb_text("Kube");
        for (size_t i = 0; i < 60; i++) {
                given_dns_name(f, arena_printf(f->bench.arena, "name-%zu", i));
                given_principal(f, arena_printf(f->bench.arena, "10.0.0.%zu", i));
        }
}

static void refuses_requests_outside_the_policy(void **state)
{
        static const struct {
                const char *name;
                void (*given)(struct fixture *f);
                enum error_code code;
                const char *why;
        } cases[] = {
#define CASE(n, code, why) { #n, n, code, why }
                CASE(with_role_admin, ERROR_INVALID_ARGUMENT, "not a role"),
                CASE(with_role_in_lower_case, ERROR_INVALID_ARGUMENT, "not a role"),
                CASE(with_no_role, ERROR_INVALID_ARGUMENT, "not a role"),
                CASE(with_auth_by_joining, ERROR_PERMISSION_DENIED, "no host can join as Auth"),
                CASE(with_unknown_reason, ERROR_INVALID_ARGUMENT, "not a reason"),
                CASE(with_no_reason, ERROR_INVALID_ARGUMENT, "not a reason"),
                CASE(with_name_for_host_id, ERROR_INVALID_ARGUMENT, "not a host ID"),
                CASE(with_no_host_id, ERROR_INVALID_ARGUMENT, "not a host ID"),
                CASE(with_path_for_host_id, ERROR_INVALID_ARGUMENT, "not a host ID"),
                CASE(with_wildcard_node_name, ERROR_INVALID_ARGUMENT, "node name '*'"),
                CASE(with_blank_in_node_name, ERROR_INVALID_ARGUMENT, "node name 'web 1'"),
                CASE(with_wildcard_principal, ERROR_INVALID_ARGUMENT, "not a valid host name"),
                CASE(with_empty_principal, ERROR_INVALID_ARGUMENT, "not a valid host name"),
                CASE(with_pattern_principal, ERROR_INVALID_ARGUMENT, "not a valid host name"),
                CASE(with_wildcard_dns_name, ERROR_INVALID_ARGUMENT, "not a valid host name"),
                CASE(with_no_life, ERROR_INVALID_ARGUMENT, "for 0 seconds"),
                CASE(with_negative_life, ERROR_INVALID_ARGUMENT, "for -1 seconds"),
                CASE(with_too_long_a_life, ERROR_INVALID_ARGUMENT, "for 86401 seconds"),
                CASE(with_endless_life, ERROR_INVALID_ARGUMENT, "seconds; the signer gives"),
                CASE(with_no_tls_key, ERROR_INVALID_ARGUMENT, "the public key"),
                CASE(with_broken_tls_key, ERROR_INVALID_ARGUMENT, "the public key"),
                CASE(with_ca_as_tls_key, ERROR_PERMISSION_DENIED, "of one of the cluster's CAs"),
                CASE(with_ssh_ca_as_tls_key, ERROR_PERMISSION_DENIED, "of one of the cluster's CAs"),
                CASE(with_ca_as_ssh_key, ERROR_PERMISSION_DENIED, "of one of the cluster's CAs"),
                CASE(with_broken_ssh_key, ERROR_INVALID_ARGUMENT, "the SSH public key"),
                CASE(with_spki_as_ssh_key, ERROR_INVALID_ARGUMENT, "the SSH public key"),
                CASE(with_system_roles_of_a_node, ERROR_INVALID_ARGUMENT, "lists no other roles"),
                CASE(with_unknown_system_role, ERROR_INVALID_ARGUMENT, "not a role"),
                CASE(with_system_role_twice, ERROR_INVALID_ARGUMENT, "comes twice"),
                CASE(with_auth_as_system_role, ERROR_PERMISSION_DENIED, "no host can join as Auth"),
                CASE(with_too_many_names, ERROR_INVALID_ARGUMENT, "more than 100 names"),
                CASE(with_too_many_names_in_two_lists, ERROR_INVALID_ARGUMENT, "more than 100 names"),
#undef CASE
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                given_request(f, "Node");
                cases[i].given(f);
                struct error *err = checked(f);
                if (err == NULL)
                        print_error("granted: %s\n", cases[i].name);
                assert_refused(err, cases[i].code, cases[i].why);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(certifies_a_joining_host_by_its_own_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(gives_each_role_its_permissions, set_up, tear_down),
                cmocka_unit_test_setup_teardown(names_a_node_in_every_spelling_for_ssh, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lets_only_the_cluster_itself_bear_its_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(leaves_out_a_node_name_that_the_host_may_not_bear, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lists_each_name_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_no_certificate_after_its_ca, set_up, tear_down),
                cmocka_unit_test_setup_teardown(issues_no_ssh_certificate_where_no_key_was_given, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_requests_outside_the_policy, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
