/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/connect.h"

#include <stdio.h>

#include "join/identity_testing.h"

static const char *const pins[] = { "sha256:00" };

enum knows { NOTHING = 0, PIN = 1, CA_FILE = 2, INSECURE = 4, STORED = 8 };

/* "route/proof@address", in the order in which they are tried. */
static const struct {
        const char *name;
        const char *proxy_server, *auth_server;
        unsigned knows;
        const char *ways;
} cases[] = {
        { "a proxy proves itself by its web certificate", "p:443", "", NOTHING, "web/system@p:443" },
        { "a proxy's default port", "p", "", NOTHING, "web/system@p:3080" },
        { "a pin is the only proof", "p:443", "", PIN, "cluster/pin@p:443" },
        { "beside a ca.cert, too", "p:443", "", PIN | CA_FILE, "cluster/pin@p:443" },
        { "and for a former member", "p:443", "", PIN | STORED, "cluster/pin@p:443" },
        { "ca.cert may be the web's or the cluster's", "p:443", "", CA_FILE,
          "web/file@p:443 cluster/file@p:443 web/system@p:443" },
        { "insecure is no reason to ignore a pin", "p:443", "", PIN | INSECURE, "cluster/pin@p:443" },
        { "a former member knows the cluster", "p:443", "", STORED, "cluster/stored@p:443 web/system@p:443" },
        { "auth first, then as a proxy", "", "a", PIN, "auth/pin@a:3025 cluster/pin@a:3025" },
        { "a port that looks like a proxy's", "", "a:443", PIN, "cluster/pin@a:443 auth/pin@a:443" },
        { "first use, where nothing is known", "", "a:3025", NOTHING, "auth/first@a:3025 web/system@a:3025" },
        { "no first use for a former member", "", "a:3025", STORED,
          "auth/stored@a:3025 cluster/stored@a:3025 web/system@a:3025" },
        { "no first use with a pin", "", "a:3025", PIN | INSECURE, "auth/pin@a:3025 cluster/pin@a:3025" },
        { "an IPv6 address", "[2001:db8::1]:443", "", NOTHING, "web/system@[2001:db8::1]:443" },
};

static void put_ways(struct buf *out, const struct connect_way *ways, size_t count)
{
        static const char *const route_names[] = { [ROUTE_PROXY_WEB] = "web", [ROUTE_PROXY_CLUSTER] = "cluster",
                                                   [ROUTE_AUTH] = "auth", [ROUTE_MEMBER] = "member" };
        static const char *const proof_names[] = {
                [PROOF_SYSTEM] = "system", [PROOF_CA_FILE] = "file",   [PROOF_STORED] = "stored",
                [PROOF_PIN] = "pin",       [PROOF_FIRST_USE] = "first", [PROOF_INSECURE] = "insecure",
        };
        for (size_t i = 0; i < count; i++)
                buf_printf(out, "%s%s/%s@%s", i == 0 ? "" : " ", route_names[ways[i].route], proof_names[ways[i].proof],
                           ways[i].address);
}

static void tries_the_ways_that_the_table_says(void **state)
{
        (void)state;
        struct fake_cluster cluster;
        fake_cluster_init(&cluster, walltime_of_unix(1800000000));
        AUTO(host_identity) stored = fake_identity(&cluster, "Instance");
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct connect_trust trust = {
                        .pins = { pins, cases[i].knows & PIN ? 1 : 0 },
                        .ca_file_pem = cases[i].knows & CA_FILE ? STR("pem") : STR(""),
                        .stored = cases[i].knows & STORED ? &stored : NULL,
                        .is_insecure = cases[i].knows & INSECURE,
                };
                struct connect_way ways[CONNECT_WAYS_MAX];
                size_t count;
                AUTO(buf) text = BUF_MAX(1 * KiB);
                assert_done(connect_ways_to_join(str_of(cases[i].proxy_server), str_of(cases[i].auth_server), &trust, ways, &count));
                put_ways(&text, ways, count);
                if (!str_equal(buf_str(&text), str_of(cases[i].ways)))
                        fail_msg("%s: %s instead of %s", cases[i].name, buf_c(&text), cases[i].ways);
        }
        fake_cluster_release(&cluster);
}

static void calls_only_first_use_and_insecure_unverified(void **state)
{
        (void)state;
        static const enum connect_proof verified[] = { PROOF_SYSTEM, PROOF_CA_FILE, PROOF_STORED, PROOF_PIN };
        for (size_t i = 0; i < ARRAY_LEN(verified); i++)
                assert_int_equal(connect_way_trust(&(struct connect_way){ .proof = verified[i] }), JOIN_TRUST_VERIFIED);
        assert_int_equal(connect_way_trust(&(struct connect_way){ .proof = PROOF_FIRST_USE }), JOIN_TRUST_FIRST_USE);
        assert_int_equal(connect_way_trust(&(struct connect_way){ .proof = PROOF_INSECURE }), JOIN_TRUST_INSECURE);
}

/* The role in a certificate of the cluster is checked, whatever trust the handshake used. */
static void lets_no_host_pose_as_a_server(void **state)
{
        (void)state;
        struct fake_cluster cluster;
        struct walltime now = walltime_of_unix(1800000000);
        fake_cluster_init(&cluster, now);
        AUTO(host_identity) node = fake_identity(&cluster, "Node");
        AUTO(host_identity) proxy = fake_identity(&cluster, "Proxy");
        AUTO(host_identity) auth = fake_identity(&cluster, "Auth");

        assert_code(connect_check_web_certificate(node.certs.tls_cert, now), ERROR_UNAUTHENTICATED);
        assert_code(connect_check_web_certificate(auth.certs.tls_cert, now), ERROR_UNAUTHENTICATED);
        assert_done(connect_check_web_certificate(proxy.certs.tls_cert, now));
        assert_done(connect_check_web_certificate(STR("a certificate of the web"), now));
        assert_code(connect_check_role(node.certs.tls_cert, "Auth", now), ERROR_UNAUTHENTICATED);
        assert_code(connect_check_role(proxy.certs.tls_cert, "Auth", now), ERROR_UNAUTHENTICATED);
        assert_done(connect_check_role(auth.certs.tls_cert, "Auth", now));
        assert_code(connect_check_role(auth.certs.tls_cert, "Auth", auth.times.not_after), ERROR_UNAUTHENTICATED);
        fake_cluster_release(&cluster);
}

static void refuses_invalid_addresses(void **state)
{
        (void)state;
        struct connect_trust trust = { 0 };
        struct connect_way ways[CONNECT_WAYS_MAX];
        size_t count;

        assert_code(connect_ways_to_join(STR("p:http"), STR(""), &trust, ways, &count), ERROR_INVALID_ARGUMENT);
        assert_code(connect_ways_to_join(STR(""), STR(""), &trust, ways, &count), ERROR_FAILED_PRECONDITION);
}

static void a_member_has_one_connect_way(void **state)
{
        (void)state;
        struct connect_way way;
        assert_done(connect_way_of_member(STR("p:443"), STR(""), &way));
        assert_int_equal(way.route, ROUTE_MEMBER);
        assert_int_equal(way.proof, PROOF_STORED);
        assert_string_equal(way.address, "p:443");
        assert_done(connect_way_of_member(STR(""), STR("a"), &way));
        assert_string_equal(way.address, "a:3025");
}

static void a_tunnel_leads_to_a_proxy_that_the_cluster_knows(void **state)
{
        (void)state;
        struct connect_way way;
        assert_done(connect_way_of_tunnel(STR("p.example.com"), &way));
        assert_int_equal(way.route, ROUTE_TUNNEL);
        assert_int_equal(way.proof, PROOF_STORED);
        assert_string_equal(way.address, "p.example.com:3080");
        assert_code(connect_way_of_tunnel(STR("p:"), &way), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tries_the_ways_that_the_table_says),
                cmocka_unit_test(calls_only_first_use_and_insecure_unverified),
                cmocka_unit_test(lets_no_host_pose_as_a_server),
                cmocka_unit_test(refuses_invalid_addresses),
                cmocka_unit_test(a_member_has_one_connect_way),
                cmocka_unit_test(a_tunnel_leads_to_a_proxy_that_the_cluster_knows),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
