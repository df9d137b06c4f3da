/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/identity_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "join/identity_testing.h"
#include "os/file.h"
#include "os/file_testing.h"

enum { FILE_MAX = 64 * KiB };

static const struct ca_pins no_pins;

struct fixture {
        struct fake_cluster cluster;
        struct host_identity id;
        char *dir;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        *state = f;
        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        f->id = fake_identity(&f->cluster, "Node");
        f->dir = test_dir_new();
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        host_identity_release(&f->id);
        fake_cluster_release(&f->cluster);
        free(f);
        return 0;
}

static void store(struct fixture *f)
{
        AUTO(buf) text = identity_buf();
        identity_put_json(&text, &f->id);
        assert_done(identity_write(f->dir, "Node", buf_str(&text)));
}

static void comes_back_as_it_was_stored(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) back = { 0 };
        AUTO(buf) before = BUF_MAX(FILE_MAX);
        AUTO(buf) after = BUF_MAX(FILE_MAX);
        f->id.has_join_proof = true;
        memset(f->id.join_proof, 7, sizeof f->id.join_proof);
        store(f);
        assert_done(identity_load(f->dir, "Node", &no_pins, &back));
        assert_true(back.has_join_proof);
        identity_put_json(&before, &f->id);
        identity_put_json(&after, &back);
        assert_true(str_equal(buf_str(&before), buf_str(&after)));
        assert_true(str_equal(back.serial, f->id.serial));
        AUTO_MEM char *ids = path_in(f->dir, "ids"), *file = path_in(f->dir, "ids/node.json");
        assert_int_equal(mode_of(file), 0600);
        assert_int_equal(mode_of(ids), 0700);
}

static void reports_a_missing_file(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };

        assert_code(identity_load(f->dir, "Node", &no_pins, &id), ERROR_NOT_FOUND);
}

static void refuses_a_file_that_others_may_read(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        AUTO_MEM char *path = path_in(f->dir, "ids/node.json");
        store(f);
        assert_int_equal(chmod(path, 0640), 0);
        struct error *err = identity_load(f->dir, "Node", &no_pins, &id);
        assert_non_null(err);
        error_free(err);
}

/* Root reads the identity of a service's account. Any other user could be given another's file, whose CA they would trust. */
static void only_root_reads_a_file_of_another_account(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        AUTO_MEM char *path = path_in(f->dir, "ids/node.json"), *ids = path_in(f->dir, "ids");

        store(f);
        assert_int_equal(chmod(f->dir, 0755) | chmod(ids, 0755) | chmod(path, 0644), 0);
        bool is_root = geteuid() == 0;
        if (is_root) {
                assert_done(identity_load_as_root(f->dir, "Node", &no_pins, &id));
                host_identity_release(&id);
                assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
                assert_done(identity_load_as_root(f->dir, "Node", &no_pins, &id));
                assert_int_equal(seteuid(12346), 0);
        }
        struct error *err = identity_load_as_root(f->dir, "Node", &no_pins, &id);
        if (is_root)
                assert_int_equal(seteuid(0), 0);
        assert_code(err, ERROR_PERMISSION_DENIED);
}

static void refuses_every_cut_of_the_file(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        identity_put_json(&text, &f->id);
        /* the last two bytes are the closing brace and a newline that is not required */
        for (size_t len = 0; len + 1 < text.len; len += 7) {
                AUTO(host_identity) id = { 0 };
                struct error *err = identity_read_json(str_slice(buf_str(&text), 0, len), (struct host_expectation){ .role = STR("Node") }, &id);
                if (err == NULL)
                        fail_msg("%zu of %zu bytes were enough", len, text.len);
                error_free(err);
        }
}

static void refuses_parts_of_two_identities(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) other = fake_identity(&f->cluster, "Node");
        AUTO(host_identity) id = { 0 };
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        f->id.certs.tls_cert = other.certs.tls_cert;
        identity_put_json(&text, &f->id);
        assert_code(identity_read_json(buf_str(&text), (struct host_expectation){ .role = STR("Node") }, &id), ERROR_UNAUTHENTICATED);
}

static void refuses_the_identity_of_another_role(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        identity_put_json(&text, &f->id);
        assert_code(identity_read_json(buf_str(&text), (struct host_expectation){ .role = STR("Proxy") }, &id), ERROR_UNAUTHENTICATED);
}

static void refuses_an_invalid_identity(void **state)
{
        (void)state;
        static const char *const texts[] = {
                "", "null", "[]", "{}", "{\"kind\": \"identity\"}", "{\"kind\": \"identity\", \"version\": \"v1\", \"spec\": {}}",
                "{\"kind\": \"identity\", \"version\": \"v2\"}", "{\"kind\": \"identity\", \"version\": \"v2\", \"spec\": {}}",
                "{\"kind\": \"identity\", \"kind\": \"identity\", \"version\": \"v2\", \"spec\": {}}",
                "{\"kind\": \"identity\", \"version\": \"v2\", \"spec\": {\"tls_key\": 1, \"tls_ca_certs\": {}}}",
        };
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                AUTO(host_identity) id = { 0 };

                assert_code(identity_read_json(str_of(texts[i]), (struct host_expectation){ .role = STR("Node") }, &id), ERROR_INVALID_ARGUMENT);
        }
}

static void refuses_a_ca_that_no_pin_names(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        AUTO(buf) pin = BUF_MAX(128);
        assert_done(ca_pin_of_cert(buf_str(&f->cluster.ca.cert), &pin));
        const char *ours[] = { buf_c(&pin) }, *others[] = { "sha256:00" };
        store(f);
        assert_code(identity_load(f->dir, "Node", &(struct ca_pins){ others, 1 }, &id), ERROR_UNAUTHENTICATED);
        assert_done(identity_load(f->dir, "Node", &(struct ca_pins){ ours, 1 }, &id));
}

static void keeps_the_pins_that_vouch_for_its_cas(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) id = { 0 };
        const char *earlier[] = { "sha256:00" }, *others[] = { "sha256:01" };

        f->id.certs.vouching_pins[f->id.certs.vouching_count++] = STR("sha256:00");
        f->id.certs.ca_revision = STR("host:\"1\":standby");
        store(f);
        assert_code(identity_load(f->dir, "Node", &(struct ca_pins){ others, 1 }, &id), ERROR_UNAUTHENTICATED);
        assert_done(identity_load(f->dir, "Node", &(struct ca_pins){ earlier, 1 }, &id));
        assert_str(id.certs.vouching_pins[0], "sha256:00");
        assert_str(id.certs.ca_revision, "host:\"1\":standby");
}

static void keeps_an_identity_without_an_ssh_certificate(void **state)
{
        struct fixture *f = *state;
        AUTO(host_identity) back = { 0 };
        host_certificates_drop_ssh(&f->id.certs);
        store(f);
        assert_done(identity_load(f->dir, "Node", &no_pins, &back));
        assert_true(str_is_empty(back.certs.ssh_cert));
        assert_int_equal(back.certs.ssh_ca_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(comes_back_as_it_was_stored),
                TEST(reports_a_missing_file),
                TEST(refuses_a_file_that_others_may_read),
                TEST(only_root_reads_a_file_of_another_account),
                TEST(refuses_every_cut_of_the_file),
                TEST(refuses_parts_of_two_identities),
                TEST(refuses_the_identity_of_another_role),
                TEST(refuses_an_invalid_identity),
                TEST(refuses_a_ca_that_no_pin_names),
                TEST(keeps_the_pins_that_vouch_for_its_cas),
                TEST(keeps_an_identity_without_an_ssh_certificate),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
