/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/pb.h"
#include "supervisor/web_certificate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file_testing.h"
#include "pki/cert_check.h"
#include "pki/pki_testing.h"
#include "resource/config_file.h"

static const struct walltime now = { 1800000000LL * 1000000000 };

struct fixture {
        char *dir;
        struct launch launch;
        struct web_keypairs pairs;
        Cteleport__V1__KeyPair files, *list[1]; /* configured */
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        f->launch.arena = arena_new(1 * MiB);
        f->launch.config = config_file_empty(f->launch.arena);
        f->launch.config->proxy_service = arena_alloc(f->launch.arena, sizeof(Cteleport__V1__ProxyConfig));
        cteleport__v1__proxy_config__init(f->launch.config->proxy_service);
        f->launch.nodename = "auth-1";
        f->launch.data_dir = f->dir;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        if (f->list[0] != NULL) {
                free(f->files.cert_file);
                free(f->files.key_file);
        }
        web_keypairs_release(&f->pairs);
        launch_release(&f->launch);
        free(f);
        return 0;
}

/* The pairs that a start at this time would load; the former pairs are released. */
static void load(struct fixture *f, struct walltime at)
{
        web_keypairs_release(&f->pairs);
        assert_null(web_keypairs_load(&f->launch, at, &f->pairs));
        assert_int_equal(f->pairs.count, 1);
}

/* Whether it is still the pair of the last load. */
static bool is_kept(struct fixture *f, struct walltime at)
{
        AUTO(web_keypairs) again = { 0 };

        assert_null(web_keypairs_load(&f->launch, at, &again));
        return web_keypairs_equal(&f->pairs, &again);
}

static void note_name(void *ctx, struct str name)
{
        buf_put(ctx, name);
        buf_put_char(ctx, ' ');
}

static void makes_a_pair_with_the_names_of_the_proxy(void **state)
{
        struct fixture *f = *state;
        char *addresses[] = { "proxy.example.com:443", "auth-1", "10.0.0.1:3080" };
        AUTO(buf) der = BUF_MAX(16 * KiB);
        AUTO(buf) names = BUF_MAX(4 * KiB);
        AUTO(key) key = { 0 };

        f->launch.config->proxy_service->public_addr = addresses;
        f->launch.config->proxy_service->n_public_addr = ARRAY_LEN(addresses);
        load(f, now);
        const Cteleport__Internal__V1__HttpsKeyPair *pair = f->pairs.pairs[0];
        assert_null(cert_pem_to_der(pb_str(pair->cert_pem), &der));
        assert_null(key_from_pem(&key, pb_str(pair->key_pem)));
        assert_null(cert_check_key(buf_str(&der), &key));
        assert_null(cert_each_dns_name(buf_str(&der), note_name, &names));
        assert_string_equal(buf_c(&names), "proxy.example.com auth-1 localhost ");
}

static void keeps_the_pair_from_start_to_start(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *key_path = path_in(f->dir, "webproxy_key.pem");

        load(f, now);
        assert_true(is_kept(f, now));
        assert_true(is_kept(f, walltime_add(now, HOURS(24 * 364))));
        assert_int_equal(mode_of(key_path), 0600);
}

static void makes_a_new_pair_when_the_old_one_has_expired(void **state)
{
        struct fixture *f = *state;

        load(f, now);
        assert_false(is_kept(f, walltime_add(now, HOURS(24 * 365 + 1))));
}

static void makes_a_new_pair_when_key_and_certificate_differ(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *key_path = path_in(f->dir, "webproxy_key.pem");
        AUTO(key) other = given_key(KEY_ECDSA_P256);
        AUTO(secret) pem = { 0 };

        load(f, now);
        assert_null(key_to_pem(&other, &pem));
        assert_null(file_write_atomic(key_path, secret_str(&pem), 0600));
        assert_false(is_kept(f, now));
}

/* The files that the configuration names; the mode is that of the key. */
static void given_configured_pair(struct fixture *f, mode_t mode)
{
        f->files = (Cteleport__V1__KeyPair)CTELEPORT__V1__KEY_PAIR__INIT;
        f->files.cert_file = path_in(f->dir, "cert.pem");
        f->files.key_file = path_in(f->dir, "key.pem");
        f->list[0] = &f->files;
        f->launch.config->proxy_service->https_keypairs = f->list;
        f->launch.config->proxy_service->n_https_keypairs = ARRAY_LEN(f->list);
        assert_null(file_write_atomic(f->files.cert_file, STR("a certificate"), 0644));
        assert_null(file_write_atomic(f->files.key_file, STR("a key"), mode));
}

static void reads_the_configured_files_as_they_are(void **state)
{
        struct fixture *f = *state;

        given_configured_pair(f, 0600);
        load(f, now);
        assert_memory_equal(f->pairs.pairs[0]->key_pem.data, "a key", 5);
        assert_null(file_write_atomic(f->files.cert_file, STR("the next one"), 0644));
        assert_false(is_kept(f, now));
}

static void refuses_a_configured_key_that_others_may_read(void **state)
{
        struct fixture *f = *state;

        given_configured_pair(f, 0640);
        AUTO_PTR(error) err = web_keypairs_load(&f->launch, now, &f->pairs);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_PERMISSION_DENIED);
        assert_memory_equal(err->what, "https_keypairs: ", strlen("https_keypairs: "));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(makes_a_pair_with_the_names_of_the_proxy),
                TEST(keeps_the_pair_from_start_to_start),
                TEST(makes_a_new_pair_when_the_old_one_has_expired),
                TEST(makes_a_new_pair_when_key_and_certificate_differ),
                TEST(reads_the_configured_files_as_they_are),
                TEST(refuses_a_configured_key_that_others_may_read),
        };

        return cmocka_run_group_tests_name("web_certificate", tests, NULL, NULL);
}
