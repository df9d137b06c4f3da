/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/authorities.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "pki/pki_testing.h"

enum { NOW = 1700000000 };

/* Every file of a CA. */
static const char *const files[] = {
        "cluster",          "host.tls.key.pem",  "host.tls.cert.pem", "host.ssh.key.pem",
        "user.tls.key.pem", "user.tls.cert.pem", "user.ssh.key.pem", "jwt.key.pem",
};

static const struct ca_template template = { .cluster = STR_INIT("example.com"), .now = { NOW * 1000000000LL } };

struct fixture {
        char dir[64]; /* the data directory */
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        snprintf(f->dir, sizeof f->dir, "/tmp/authorities_test.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        *state = f;
        return 0;
}

static void remove_tree(const char *path)
{
        DIR *dir = opendir(path);
        struct dirent *entry;

        while (dir != NULL && (entry = readdir(dir)) != NULL) {
                AUTO_MEM char *inner = mem_printf("%s/%s", path, entry->d_name);

                if (entry->d_name[0] != '.' && unlink(inner) < 0)
                        remove_tree(inner);
                else if (entry->d_name[0] == '.' && entry->d_name[1] != '\0' && entry->d_name[1] != '.')
                        unlink(inner);
        }
        if (dir != NULL)
                closedir(dir);
        rmdir(path);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        remove_tree(f->dir);
        free(f);
        return 0;
}

static char *path_of(const struct fixture *f, const char *name)
{
        return mem_printf("%s/%s", f->dir, name);
}

static void given_ca(struct fixture *f)
{
        assert_done(authorities_create(f->dir, &template));
}

static bool exists(const struct fixture *f, const char *name)
{
        AUTO_MEM char *path = path_of(f, name);

        return access(path, F_OK) == 0;
}

static void given_file(const struct fixture *f, const char *name, struct str bytes)
{
        AUTO_MEM char *path = path_of(f, name);

        assert_done(file_write_atomic(path, bytes, 0600));
}

static void assert_unusable(const struct fixture *f, const char *why)
{
        AUTO(authorities) as = { 0 };

        assert_refused(authorities_load(&as, f->dir), ERROR_FAILED_PRECONDITION, why);
}

static void makes_a_ca_that_it_reads_again(void **state)
{
        struct fixture *f = *state;
        AUTO(authorities) as = { 0 };
        AUTO(authorities) again = { 0 };
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        struct cert_info info;

        given_ca(f);
        assert_done(authorities_load(&as, f->dir));
        assert_str(buf_str(&as.cluster), "example.com");
        for (size_t i = 0; i < AUTHORITY_JWT; i++) {
                assert_done(cert_read(arena, buf_str(&as.all[i].tls_cert), &info));
                assert_true(info.is_ca);
                assert_str(info.cluster, "example.com");
                assert_int_equal(walltime_unix(info.times.not_before), NOW - LIMIT_CERT_BACKDATE_SECONDS);
                assert_true(walltime_unix(info.times.not_after) > NOW + 9LL * 365 * 24 * 3600);
        }
        assert_int_equal(as.own_key_count, 5);
        for (size_t i = 0; i < as.own_key_count; i++) /* all different (N4) */
                for (size_t k = 0; k < i; k++)
                        assert_false(public_key_equal(&as.own_keys[i], &as.own_keys[k]));
        assert_done(authorities_load(&again, f->dir));
        assert_true(str_equal(buf_str(&as.all[0].tls_cert), buf_str(&again.all[0].tls_cert)));
        assert_true(as.all[AUTHORITY_JWT].jwt_id.len > 0);
        assert_true(str_equal(buf_str(&as.all[AUTHORITY_JWT].jwt_id), buf_str(&again.all[AUTHORITY_JWT].jwt_id)));
}

static void makes_the_key_for_tokens_of_the_wanted_kind(void **state)
{
        static const enum key_kind kinds[] = { KEY_RSA_2048, KEY_ECDSA_P256 };
        struct fixture *f = *state;
        AUTO_MEM char *dir = path_of(f, "ca");

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(authorities) as = { 0 };
                struct ca_template t = template;
                struct public_key key;

                t.token_key = kinds[i];
                assert_done(authorities_create(f->dir, &t));
                assert_done(authorities_load(&as, f->dir));
                assert_done(public_key_of_spki(buf_str(&as.all[AUTHORITY_JWT].jwt_spki), &key));
                assert_int_equal(key.kind, kinds[i] == KEY_RSA_2048 ? PUBLIC_KEY_RSA : PUBLIC_KEY_P256);
                remove_tree(dir);
        }
}

/* As the first start does after an upgrade from a release without it. */
static void adds_the_ca_jwt_to_a_directory_without_it(void **state)
{
        struct fixture *f = *state;
        AUTO(authorities) as = { 0 };
        AUTO(authorities) again = { 0 };
        AUTO_MEM char *dir = path_of(f, "ca");
        AUTO_MEM char *path = path_of(f, "ca/jwt.key.pem");

        given_ca(f);
        assert_int_equal(unlink(path), 0);
        assert_done(authorities_load(&as, f->dir));
        assert_false(authority_exists(&as.all[AUTHORITY_JWT]));
        assert_int_equal(as.own_key_count, 4);
        assert_done(authorities_add_jwt(&as, dir, &template));
        assert_true(authority_exists(&as.all[AUTHORITY_JWT]));
        assert_int_equal(as.own_key_count, 5);
        assert_done(authorities_load(&again, f->dir));
        assert_true(str_equal(buf_str(&as.all[0].tls_cert), buf_str(&again.all[0].tls_cert)));
        assert_true(str_equal(buf_str(&as.all[AUTHORITY_JWT].jwt_id), buf_str(&again.all[AUTHORITY_JWT].jwt_id)));
}

static void keeps_the_directory_and_its_files_to_itself(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *dir = path_of(f, "ca");
        struct stat st;

        given_ca(f);
        assert_int_equal(stat(dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", dir, files[i]);

                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
        }
        assert_false(exists(f, "ca.new"));
}

static void a_missing_ca_means_a_missing_directory(void **state)
{
        struct fixture *f = *state;
        AUTO(authorities) as = { 0 };
        AUTO_MEM char *dir = path_of(f, "ca");

        assert_refused(authorities_load(&as, f->dir), ERROR_NOT_FOUND, "no CA");
        assert_int_equal(mkdir(dir, 0700), 0);
        assert_unusable(f, "cluster");
        assert_int_equal(rmdir(dir), 0);
        given_file(f, "ca", STR("a file"));
        assert_unusable(f, "not a directory");
        assert_int_equal(unlink(dir), 0);
        assert_int_equal(symlink("/nonexistent", dir), 0);
        assert_unusable(f, "cannot be used");
}

static void never_makes_a_second_ca(void **state)
{
        struct fixture *f = *state;
        AUTO(authorities) before = { 0 };
        AUTO(authorities) after = { 0 };

        given_ca(f);
        assert_done(authorities_load(&before, f->dir));
        assert_refused(authorities_create(f->dir, &template), ERROR_ALREADY_EXISTS,
                       "already has");
        assert_done(authorities_load(&after, f->dir));
        assert_true(str_equal(buf_str(&before.all[0].tls_cert), buf_str(&after.all[0].tls_cert)));
}

/* A start may end after any of the files, and in the middle of one: the temporary file is then still there. */
static void begins_anew_after_a_first_start_that_was_cut_short(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *draft = path_of(f, "ca.new");
        AUTO_MEM char *dir = path_of(f, "ca");

        for (size_t written = 0; written <= ARRAY_LEN(files); written++) {
                AUTO(authorities) as = { 0 };

                assert_int_equal(mkdir(draft, 0700), 0);
                for (size_t i = 0; i < written; i++) {
                        AUTO_MEM char *name = mem_printf("ca.new/%s", files[i]);
                        given_file(f, name, STR("half"));
                }
                given_file(f, "ca.new/.host.tls.key.pem.0123456789abcdef", STR("ha"));
                assert_refused(authorities_load(&as, f->dir), ERROR_NOT_FOUND, "no CA");
                given_ca(f);
                assert_done(authorities_load(&as, f->dir));
                assert_false(exists(f, "ca.new"));
                remove_tree(dir);
        }
}

static void refuses_a_ca_with_a_file_missing_or_damaged(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *dir = path_of(f, "ca");

        given_ca(f);
        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
                AUTO_MEM char *name = mem_printf("ca/%s", files[i]);
                AUTO_MEM char *path = path_of(f, name);
                AUTO(buf) good = BUF_MAX(64 * KiB);
                AUTO(authorities) as = { 0 };

                assert_done(file_read_private(path, &good));
                assert_int_equal(unlink(path), 0);
                if (strcmp(files[i], "jwt.key.pem") != 0) /* directories of earlier releases do not have it */
                        assert_unusable(f, files[i]);
                given_file(f, name, STR(""));
                assert_unusable(f, files[i]);
                given_file(f, name, str_slice(buf_str(&good), 0, good.len / 2));
                if (strcmp(files[i], "cluster") == 0) /* "exampl": a name, but not that of the certificates */
                        assert_unusable(f, "another cluster");
                else
                        assert_unusable(f, files[i]);
                given_file(f, name, buf_str(&good));
                assert_int_equal(chmod(path, 0640), 0);
                assert_unusable(f, files[i]);
                assert_int_equal(chmod(path, 0600), 0);
                assert_done(authorities_load(&as, f->dir));
        }
        assert_true(exists(f, "ca"));
}

static void refuses_files_that_do_not_belong_together(void **state)
{
        static const struct {
                const char *from, *to, *why;
        } swaps[] = {
                { "ca/user.tls.key.pem", "ca/host.tls.key.pem", "do not belong together" },
                { "ca/user.tls.cert.pem", "ca/host.tls.cert.pem", "do not belong together" },
                { "ca/host.ssh.key.pem", "ca/host.tls.key.pem", "not ECDSA P-256" },
                { "ca/host.tls.key.pem", "ca/host.ssh.key.pem", "not Ed25519" },
                { "ca/host.ssh.key.pem", "ca/jwt.key.pem", "neither P-256 nor RSA" },
        };
        struct fixture *f = *state;

        given_ca(f);
        for (size_t i = 0; i < ARRAY_LEN(swaps); i++) {
                AUTO_MEM char *from = path_of(f, swaps[i].from);
                AUTO_MEM char *to = path_of(f, swaps[i].to);
                AUTO(buf) good = BUF_MAX(64 * KiB);
                AUTO(buf) other = BUF_MAX(64 * KiB);

                assert_done(file_read_private(to, &good));
                assert_done(file_read_private(from, &other));
                given_file(f, swaps[i].to, buf_str(&other));
                assert_unusable(f, swaps[i].why);
                given_file(f, swaps[i].to, buf_str(&good));
        }
}

static void makes_no_ca_for_a_name_that_is_none(void **state)
{
        struct fixture *f = *state;

        assert_refused(authorities_create(f->dir, &(struct ca_template){ .cluster = STR("") }), ERROR_INVALID_ARGUMENT,
                       "cluster name");
        assert_refused(authorities_create(f->dir, &(struct ca_template){ .cluster = STR("../x") }), ERROR_INVALID_ARGUMENT,
                       "cluster name");
        assert_false(exists(f, "ca"));
        assert_false(exists(f, "ca.new"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(makes_a_ca_that_it_reads_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(makes_the_key_for_tokens_of_the_wanted_kind, set_up, tear_down),
                cmocka_unit_test_setup_teardown(adds_the_ca_jwt_to_a_directory_without_it, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_the_directory_and_its_files_to_itself, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_missing_ca_means_a_missing_directory, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(never_makes_a_second_ca, set_up, tear_down),
                cmocka_unit_test_setup_teardown(begins_anew_after_a_first_start_that_was_cut_short, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_ca_with_a_file_missing_or_damaged, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_files_that_do_not_belong_together, set_up, tear_down),
                cmocka_unit_test_setup_teardown(makes_no_ca_for_a_name_that_is_none, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("authorities", tests, NULL, NULL);
}
