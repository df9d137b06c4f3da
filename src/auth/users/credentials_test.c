/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/users/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/loop.h"

struct fixture {
        struct loop loop;
        struct store *store;
        struct credential read;
        bool is_there, is_damaged;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        assert_null(store_open(&f->loop, (struct store_options){ .type = "memory" }, &f->store));
        *state = f;
        return 0;
}

static void on_closed(void *ctx)
{
        (void)ctx;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        credential_release(&f->read);
        store_close(f->store, on_closed, f);
        loop_run(&f->loop);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        (void)ctx, (void)revision;
        assert_null(err);
}

static void on_item(void *ctx, const struct store_item *item, struct error *err)
{
        struct fixture *f = ctx;

        assert_null(err);
        credential_release(&f->read);
        f->is_there = item != NULL;
        err = credential_read(item, &f->read);
        f->is_damaged = err != NULL;
        if (err != NULL)
                assert_int_equal(err->code, ERROR_DATA_LOSS);
        error_free(err);
}

static void read_of(struct fixture *f, const char *user)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        password_key(str_of(user), &key);
        store_get(f->store, buf_str(&key), on_item, f);
        loop_run(&f->loop);
}

static void keeps_what_a_login_is_compared_with(void **state)
{
        struct fixture *f = *state;
        AUTO(credential) c = { 0 };
        struct store_txn *t = store_txn_new(f->store);

        c.hash = (struct str){ str_dup(STR("$argon2id$x")), 11 };
        c.totp_key = secret_of(STR("0123456789\0abcdefghi"));
        c.last_step = 56789;
        c.changed = 1700000000;
        credential_add_source(&c, "192.0.2.1");
        credential_put(t, STR("alice"), &c);
        store_txn_commit(t, on_written, f);
        read_of(f, "alice");
        assert_true(f->is_there);
        assert_true(str_equal(f->read.hash, c.hash));
        assert_true(str_equal(secret_str(&f->read.totp_key), secret_str(&c.totp_key)));
        assert_int_equal(f->read.last_step, 56789);
        assert_int_equal(f->read.changed, 1700000000);
        assert_true(credential_knows(&f->read, "192.0.2.1"));
        assert_int_not_equal(f->read.revision, 0);

        read_of(f, "bob");
        assert_false(f->is_there);
        assert_int_equal(f->read.revision, 0);
        assert_int_equal(f->read.hash.len + f->read.totp_key.len, 0);

        t = store_txn_new(f->store);
        credentials_forget(t, STR("alice"));
        store_txn_commit(t, on_written, f);
        read_of(f, "alice");
        assert_false(f->is_there);
}

static void refuses_a_record_that_is_none(void **state)
{
        struct fixture *f = *state;

        store_put(f->store, STR("/passwords/alice"), STR("\xff\xff\xff"), (struct walltime){ 0 }, on_written, f);
        read_of(f, "alice");
        assert_true(f->is_damaged);
}

static void remembers_the_places_of_the_last_logins(void **state)
{
        AUTO(credential) c = { 0 };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_SOURCES; i++) {
                char source[SOURCE_TEXT_MAX];

                snprintf(source, sizeof source, "192.0.2.%d", i);
                credential_add_source(&c, source);
        }
        credential_add_source(&c, "192.0.2.0"); /* was the oldest, is the newest now */
        assert_int_equal(c.source_count, LIMIT_LOGIN_SOURCES);
        credential_add_source(&c, "2001:db8::/64");
        assert_int_equal(c.source_count, LIMIT_LOGIN_SOURCES);
        assert_true(credential_knows(&c, "2001:db8::/64"));
        assert_true(credential_knows(&c, "192.0.2.0"));
        assert_false(credential_knows(&c, "192.0.2.1"));
        assert_true(credential_knows(&c, "192.0.2.2"));
}

static void keeps_invites_under_what_does_not_tell_their_token(void **state)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        (void)state;
        invite_key(STR("abc"), &key); /* FIPS 180-2 appendix B.1 */
        assert_string_equal(buf_c(&key), "/invites/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(keeps_what_a_login_is_compared_with, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_record_that_is_none, set_up, tear_down),
                cmocka_unit_test(remembers_the_places_of_the_last_logins),
                cmocka_unit_test(keeps_invites_under_what_does_not_tell_their_token),
        };

        return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
