/* SPDX-License-Identifier: Apache-2.0 */
#include "login/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/job_testing.h"

/* The smallest parameters of Argon2, so that the test is fast. */
static const struct password_cost cheap = { .memory = 8, .passes = 1 };

struct fixture {
        struct loop loop;
        struct passwords *passwords;
        char encoded[256];
        int right, wrong, refused, cancelled;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        assert_null(passwords_load());
        f->passwords = passwords_new(&f->loop, cheap);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        passwords_free(f->passwords);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void keep_hash(void *ctx, struct str encoded, struct error *err)
{
        struct fixture *f = ctx;

        assert_null(err);
        assert_true(encoded.len < sizeof f->encoded);
        memcpy(f->encoded, encoded.ptr, encoded.len);
        f->encoded[encoded.len] = '\0';
}

static void count_verdict(void *ctx, bool is_right, struct error *err)
{
        struct fixture *f = ctx;

        if (err == NULL) {
                f->right += is_right;
                f->wrong += !is_right;
        } else {
                assert_false(is_right);
                f->refused += err->code == ERROR_RESOURCE_EXHAUSTED;
                f->cancelled += err->code == ERROR_CANCELLED;
        }
        error_free(err);
}

static void knows_a_password_by_its_hash(void **state)
{
        struct fixture *f = *state;
        const uint8_t salt[PASSWORD_SALT_SIZE] = "0123456789abcde";

        password_hash(f->passwords, STR("s"), STR("correct horse battery"), salt, keep_hash, f);
        loop_run(&f->loop);
        assert_true(str_starts_with(str_of(f->encoded), STR("$argon2id$v=19$m=8,t=1,p=1$")));
        password_verify(f->passwords, STR("s"), STR("correct horse battery"), str_of(f->encoded), count_verdict, f);
        password_verify(f->passwords, STR("s"), STR("correct horse battery "), str_of(f->encoded), count_verdict, f);
        password_verify(f->passwords, STR("s"), STR(""), str_of(f->encoded), count_verdict, f);
        password_verify(f->passwords, STR("s"), STR("correct horse\0battery"), str_of(f->encoded), count_verdict, f);
        password_verify(f->passwords, STR("s"), STR("correct horse battery"), STR(""), count_verdict, f); /* no such user */
        loop_run(&f->loop);
        assert_int_equal(f->right, 1);
        assert_int_equal(f->wrong, 4);
}

static void reports_a_hash_that_is_damaged(void **state)
{
        struct fixture *f = *state;

        password_verify(f->passwords, STR("s"), STR("x"), STR("$argon2id$v=19$m=8,t=1,p=1$x"), count_verdict, f);
        loop_run(&f->loop);
        assert_int_equal(f->right + f->wrong + f->refused, 0);
}

static void takes_no_more_than_it_can_work_out_soon(void **state)
{
        struct fixture *f = *state;
        const int room = LIMIT_PASSWORD_WORK + LIMIT_PASSWORD_WAITING;

        for (int i = 0; i < room + 5; i++) {
                const char source[] = { (char)('a' + i / LIMIT_PASSWORD_WAITING_SOURCE), '\0' };

                password_verify(f->passwords, str_of(source), STR("x"), STR(""), count_verdict, f);
        }
        loop_run(&f->loop);
        assert_int_equal(f->refused, 5);
        assert_int_equal(f->wrong, room);
        password_verify(f->passwords, STR("a"), STR("x"), STR(""), count_verdict, f); /* and continues */
        loop_run(&f->loop);
        assert_int_equal(f->wrong, room + 1);
}

static void leaves_room_for_other_sources(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 100; i++)
                password_verify(f->passwords, STR("flood"), STR("x"), STR(""), count_verdict, f);
        password_verify(f->passwords, STR("other"), STR("x"), STR(""), count_verdict, f);
        loop_run(&f->loop);
        assert_int_equal(f->wrong, LIMIT_PASSWORD_WORK + LIMIT_PASSWORD_WAITING_SOURCE + 1);
        assert_int_equal(f->refused, 100 + 1 - f->wrong);
}

static void ends_at_any_moment_of_its_work(void **state)
{
        struct fixture *f = *state;

        for (int m = 0; m < JOB_MOMENTS; m++) {
                f->cancelled = f->wrong = 0;
                job_hold(&f->loop, (enum job_moment)m);
                password_verify(f->passwords, STR("s"), STR("x"), STR(""), count_verdict, f);
                job_await_held(&f->loop);
                passwords_free(f->passwords);
                job_resume();
                loop_run(&f->loop);
                assert_int_equal(f->cancelled, 1);
                assert_int_equal(f->wrong, 0);
                f->passwords = passwords_new(&f->loop, cheap);
        }
}

static void answers_all_callers_when_it_ends(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 5; i++)
                password_verify(f->passwords, STR("s"), STR("x"), STR(""), count_verdict, f);
        passwords_free(f->passwords);
        f->passwords = NULL;
        assert_int_equal(f->cancelled, 5);
        loop_run(&f->loop);
        assert_int_equal(f->wrong, 0);
}

static void wants_new_passwords_long_and_typeable(void **state)
{
        static const struct {
                struct str password;
                const char *why; /* NULL: good */
        } rows[] = {
                { STR_INIT("correct horse"), NULL },
                { STR_INIT("twelve chars"), NULL },
                { STR_INIT("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"), NULL },
                { STR_INIT(""), "too short" },
                { STR_INIT("eleven char"), "too short" },
                { STR_INIT("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"), "too short" }, /* twelve bytes */
                { STR_INIT("aaaaaaaaaaaaaaaa"), "again and again" },
                { STR_INIT("Alice@Example.com"), "name of the user" },
                { STR_INIT("correct\0horse"), "no keyboard" },
                { STR_INIT("correct\nhorse"), "no keyboard" },
                { STR_INIT("correct\x7fhorse"), "no keyboard" },
                { STR_INIT("correct \xff horse"), "no keyboard" },
        };
        char longest[LIMIT_PASSWORD + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(error) err = password_check_new(rows[i].password, STR("alice@example.com"));

                if ((err == NULL) != (rows[i].why == NULL) ||
                    (err != NULL && !str_contains(str_of(err->what), str_of(rows[i].why))))
                        fail_msg("row %zu", i);
                if (err != NULL)
                        assert_non_null(err->hint);
        }
        for (size_t i = 0; i < sizeof longest; i++)
                longest[i] = (char)('a' + i % 26);
        AUTO_PTR(error) good = password_check_new(str_of_bytes(longest, LIMIT_PASSWORD), STR("alice"));
        AUTO_PTR(error) bad = password_check_new(str_of_bytes(longest, LIMIT_PASSWORD + 1), STR("alice"));
        assert_null(good);
        assert_non_null(bad);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(knows_a_password_by_its_hash, set_up, tear_down),
                cmocka_unit_test_setup_teardown(reports_a_hash_that_is_damaged, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_no_more_than_it_can_work_out_soon, set_up, tear_down),
                cmocka_unit_test_setup_teardown(leaves_room_for_other_sources, set_up, tear_down),
                cmocka_unit_test_setup_teardown(answers_all_callers_when_it_ends, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_at_any_moment_of_its_work, set_up, tear_down),
                cmocka_unit_test(wants_new_passwords_long_and_typeable),
        };

        job_use_one_thread();
        return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
