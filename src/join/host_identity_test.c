/* SPDX-License-Identifier: Apache-2.0 */
#include "join/identity_testing.h"

struct fixture {
        struct fake_cluster cluster, other;
        struct host_keys keys;
        struct host_certificates certs;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        fake_cluster_init(&f->other, walltime_of_unix(1800000000));
        assert_done(host_keys_generate(&f->keys));
        f->certs = fake_certify_keys(&f->cluster, "Node", &f->keys);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        fake_cluster_release(&f->cluster);
        fake_cluster_release(&f->other);
        host_keys_release(&f->keys);
        free(f);
        return 0;
}

static struct error *make(struct fixture *f, struct host_expectation expected)
{
        AUTO(host_identity) id = { 0 };
        return host_identity_make(&id, &f->keys, &f->certs, expected);
}

static void accepts_a_certificate_for_its_key_by_its_ca(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        assert_done(host_identity_make(&id, &f->keys, &f->certs,
                                (struct host_expectation){ STR("Node"), STR(HOST_ID), STR(CLUSTER) }));
        assert_true(str_equal(id.host_id, STR(HOST_ID)));
        assert_true(str_equal(id.cluster, STR(CLUSTER)));
        assert_int_equal(id.serial.len, CERT_SERIAL_HEX_SIZE - 1);
}

static void keeps_an_ssh_certificate_of_a_node_only(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) node = { 0 }, proxy = { 0 };
        assert_done(host_identity_make(&node, &f->keys, &f->certs, (struct host_expectation){ 0 }));
        assert_true(str_equal(node.certs.ssh_cert, f->certs.ssh_cert));

        struct host_certificates as_node = f->certs;
        f->certs = fake_certify_keys(&f->cluster, "Proxy", &f->keys);
        assert_done(host_identity_make(&proxy, &f->keys, &f->certs, (struct host_expectation){ 0 }));
        assert_int_equal(proxy.certs.ssh_cert.len, 0);
        assert_int_equal(proxy.certs.ssh_ca_count, 0);
        f->certs = as_node;
}

static void refuses_another_role_host_or_cluster(void **state)
{
        struct fixture *f = *state;

        assert_code(make(f, (struct host_expectation){ .role = STR("Proxy") }), ERROR_UNAUTHENTICATED);
        assert_code(make(f, (struct host_expectation){ .host_id = STR("12345678-1234-4234-8234-000000000000") }),
                  ERROR_UNAUTHENTICATED);
        assert_code(make(f, (struct host_expectation){ .cluster = STR("example.org") }), ERROR_UNAUTHENTICATED);
}

static void refuses_certificates_for_other_keys(void **state)
{
        struct fixture *f = *state;
        AUTO(host_keys) others = { 0 };
        assert_done(host_keys_generate(&others));
        struct host_certificates of_others = fake_certify_keys(&f->cluster, "Node", &others);
        struct host_certificates mine = f->certs;

        f->certs.tls_cert = of_others.tls_cert;
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
        f->certs = mine;
        f->certs.ssh_cert = of_others.ssh_cert;
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
}

static void refuses_certificates_by_another_ca(void **state)
{
        struct fixture *f = *state;
        struct host_certificates mine = f->certs;

        f->certs.tls_ca_certs[0] = buf_str(&f->other.ca.cert);
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
        f->certs = mine;
        f->certs.ssh_ca_keys[0] = buf_str(&f->other.ca.keys.ssh_public);
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
        f->certs = mine;
        f->certs.tls_ca_count = 0;
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
}

static void takes_the_old_and_the_new_ca_of_a_rotation(void **state)
{
        struct fixture *f = *state;
        f->certs.tls_ca_certs[0] = buf_str(&f->other.ca.cert);
        f->certs.tls_ca_certs[1] = buf_str(&f->cluster.ca.cert);
        f->certs.tls_ca_count = 2;
        assert_done(make(f, (struct host_expectation){ 0 }));
}

static void refuses_an_answer_with_a_ca_that_no_pin_names(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) pin = BUF_MAX(128);
        assert_done(ca_pin_of_cert(buf_str(&f->cluster.ca.cert), &pin));
        const char *pins[] = { buf_c(&pin) };
        struct host_expectation expected = { .pins = { pins, 1 } };

        assert_done(make(f, expected));
        f->certs.tls_ca_certs[f->certs.tls_ca_count++] = buf_str(&f->other.ca.cert);
        assert_code(make(f, expected), ERROR_UNAUTHENTICATED);
}

/* Two rotations: the pin names the first CA, whose Auth Service named the second one, whose Auth Service named the third. */
static void trusts_the_successors_of_a_pinned_ca(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) pin = BUF_MAX(128);
        AUTO(host_identity) first = { 0 };
        AUTO(host_identity) second = { 0 };
        AUTO(host_identity) third = { 0 };
        assert_done(ca_pin_of_cert(buf_str(&f->other.ca.cert), &pin));
        const char *list[] = { "sha256:00", buf_c(&pin) }, *others[] = { "sha256:00" };
        const struct ca_pins pins = { list, 2 };
        struct host_expectation expected = { .pins = pins };

        first.certs.tls_ca_certs[first.certs.tls_ca_count++] = buf_str(&f->other.ca.cert);
        assert_code(make(f, expected), ERROR_UNAUTHENTICATED);
        host_certificates_vouch(&f->certs, &first, &pins);
        assert_done(host_identity_make(&second, &f->keys, &f->certs, expected));
        assert_int_equal(second.certs.tls_ca_count, 1);
        assert_int_equal(second.certs.vouching_count, 1);
        host_certificates_vouch(&f->certs, &second, &pins);
        assert_done(host_identity_make(&third, &f->keys, &f->certs, expected));
        /* The operator has replaced the pin: what it vouched for is not trusted any more. */
        assert_code(make(f, (struct host_expectation){ .pins = { others, 1 } }), ERROR_UNAUTHENTICATED);
        host_certificates_vouch(&f->certs, &third, &(struct ca_pins){ others, 1 });
        assert_int_equal(f->certs.vouching_count, 0);
}

static void refuses_to_be_a_member_by_the_proof_of_another_host(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        uint8_t other[JOIN_PROOF_SIZE] = { 1 };

        assert_done(host_identity_make(&id, &f->keys, &f->certs, (struct host_expectation){ 0 }));
        assert_done(host_identity_check_proof(&id, str_of_bytes(other, sizeof other))); /* not of a join by proof */
        id.has_join_proof = true;
        assert_done(host_identity_check_proof(&id, str_of_bytes(id.join_proof, sizeof id.join_proof)));
        assert_done(host_identity_check_proof(&id, STR("")));
        assert_code(host_identity_check_proof(&id, str_of_bytes(other, sizeof other)), ERROR_UNAUTHENTICATED);
        assert_code(host_identity_check_proof(&id, STR("short")), ERROR_UNAUTHENTICATED);
}

static void keeps_no_ssh_ca_without_a_certificate_by_it(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        f->certs.ssh_cert = STR("");
        assert_done(host_identity_make(&id, &f->keys, &f->certs, (struct host_expectation){ 0 }));
        assert_int_equal(id.certs.ssh_ca_count, 0);
}

static void refuses_a_ca_certificate_as_its_own(void **state)
{
        struct fixture *f = *state;
        f->certs.tls_cert = buf_str(&f->cluster.ca.cert);
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_UNAUTHENTICATED);
}

static void refuses_a_certificate_that_was_cut(void **state)
{
        struct fixture *f = *state;
        f->certs.tls_cert.len -= 1;
        assert_code(make(f, (struct host_expectation){ 0 }), ERROR_INVALID_ARGUMENT);
}

static void knows_when_it_has_ended_and_when_to_renew(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        assert_done(host_identity_make(&id, &f->keys, &f->certs, (struct host_expectation){ 0 }));
        assert_done(host_identity_check_times(&id, f->cluster.now));
        assert_code(host_identity_check_times(&id, id.times.not_after), ERROR_UNAUTHENTICATED);

        /* valid from a minute ago for an hour from now */
        int64_t early = walltime_since(host_identity_renew_at(&id, 0), f->cluster.now).ns;
        int64_t late = walltime_since(host_identity_renew_at(&id, 1000), f->cluster.now).ns;
        assert_int_equal(early, MINUTES(24).ns);
        assert_int_equal(late, MINUTES(36).ns);
}

static void measures_how_far_the_clocks_are_apart(void **state)
{
        struct fixture *f = *state;
        struct cert_times times = fake_times(&f->cluster);
        assert_int_equal(duration_ms(host_clock_skew(times, f->cluster.now)), 0);
        assert_int_equal(duration_ms(host_clock_skew(times, walltime_add(f->cluster.now, MINUTES(10)))), -600000);
        assert_int_equal(duration_ms(host_clock_skew(times, walltime_sub(f->cluster.now, MINUTES(10)))), 600000);
}

static void knows_a_certificate_that_begins_in_the_future(void **state)
{
        struct fixture *f = *state;
        struct cert_times times = fake_times(&f->cluster);
        static const struct {
                int64_t behind, skew; /* minutes: this host's clock behind that of the issue, and behind that of now */
                bool is_early;
        } rows[] = { { 0, 0, false }, { 60, 60, false }, { 60, 0, true }, { 0, -60, true }, { -60, -60, false }, { 1, 0, false }, { 0, 60, false } };

        for (size_t n = 0; n < ARRAY_LEN(rows); n++)
                assert_int_equal(host_times_are_early(times, walltime_sub(f->cluster.now, MINUTES(rows[n].behind)), MINUTES(rows[n].skew)), rows[n].is_early);
}

static void names_the_auth_service_by_the_cluster(void **state)
{
        (void)state;
        AUTO(buf) name = BUF_MAX(1 * KiB);
        cluster_auth_name(STR("root"), &name);
        assert_string_equal(buf_c(&name), "726f6f74.teleport.cluster.local");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(accepts_a_certificate_for_its_key_by_its_ca),
                TEST(keeps_an_ssh_certificate_of_a_node_only),
                TEST(refuses_another_role_host_or_cluster),
                TEST(refuses_certificates_for_other_keys),
                TEST(refuses_certificates_by_another_ca),
                TEST(takes_the_old_and_the_new_ca_of_a_rotation),
                TEST(trusts_the_successors_of_a_pinned_ca),
                TEST(refuses_an_answer_with_a_ca_that_no_pin_names),
                TEST(keeps_no_ssh_ca_without_a_certificate_by_it),
                TEST(refuses_to_be_a_member_by_the_proof_of_another_host),
                TEST(refuses_a_ca_certificate_as_its_own),
                TEST(refuses_a_certificate_that_was_cut),
                TEST(knows_when_it_has_ended_and_when_to_renew),
                TEST(measures_how_far_the_clocks_are_apart),
                TEST(knows_a_certificate_that_begins_in_the_future),
                TEST(names_the_auth_service_by_the_cluster),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
