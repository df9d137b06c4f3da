/* SPDX-License-Identifier: Apache-2.0 */
/* Which names of applications get a certificate, and at what pace. */
#include "acme/apps.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/error_testing.h"
#include "net/made_cert_testing.h"
#include "os/file.h"
#include "os/file_testing.h"

enum { NOW = 1800000000, DAY = 24 * 3600, WEEK = 7 * DAY };

struct fixture {
        char *dir;
        struct acme_apps *apps;
        struct acme_now now;
        size_t seen; /* by a callback */
};

static void pass(struct fixture *f, int64_t seconds)
{
        f->now.wall = walltime_add(f->now.wall, SECONDS(seconds));
        f->now.instant = instant_add(f->now.instant, SECONDS(seconds));
}

static void restart(struct fixture *f)
{
        AUTO_MEM char *path = mem_printf("%s/apps", f->dir);

        acme_apps_close(f->apps);
        assert_done(acme_apps_open(path, f->now, &f->apps));
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        f->now = (struct acme_now){ walltime_of_unix(NOW), { SECONDS(1000).ns } };
        restart(f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        acme_apps_close(f->apps);
        test_dir_free(f->dir);
        free(f);
        return 0;
}

struct wanted {
        enum acme_apps_answer answer;
        struct acme_app *app;
        int64_t pause; /* s */
        const char *why;
};

static struct wanted want(struct fixture *f, const char *name)
{
        struct duration pause = { 0 };
        struct wanted w;

        w.answer = acme_apps_want(f->apps, str_of(name), f->now, &w.app, &pause, &w.why);
        w.pause = pause.ns / SECONDS(1).ns;
        return w;
}

static struct wanted want_numbered(struct fixture *f, int number)
{
        AUTO_MEM char *name = mem_printf("app-%d.example.com", number);

        return want(f, name);
}

/* The next name in the queue gets a certificate that begins now. */
static void issue(struct fixture *f, int days)
{
        struct acme_app *app = acme_apps_next(f->apps);

        assert_non_null(app);
        AUTO_MEM char *alt = mem_printf("DNS:%s", app->name);
        int64_t now = walltime_unix(f->now.wall);
        struct made_cert made = make_cert_at("app", alt, NULL, now, now + (int64_t)days * DAY);
        assert_done(acme_apps_keep(f->apps, app, (struct acme_pair){ str_of(made.cert_pem), str_of(made.key_pem) }, 0, f->now));
        made_cert_release(&made);
}

static void get(struct fixture *f, const char *name, int days)
{
        assert_int_equal(want(f, name).answer, ACME_APPS_ORDERED);
        issue(f, days);
}

static int64_t fail_next(struct fixture *f)
{
        struct acme_app *app = acme_apps_next(f->apps);

        assert_non_null(app);
        return acme_apps_failed(app, SECONDS(0), false, f->now).ns / SECONDS(1).ns;
}

static void only_names_of_hosts_get_certificates(void **state)
{
        static const struct {
                const char *name;
                bool is_name;
        } cases[] = {
                { "wiki.example.com", true },
                { "xn--bcher-kva.example.com", true },
                { "Wiki.example.com", false },
                { "wiki", false },
                { "", false },
                { "*.example.com", false },
                { "b\xc3\xbc" "cher.example.com", false },
                { "10.0.0.1", false },
                { "2001:db8::1", false },
                { "../account.example.com", false },
                { "a/b.example.com", false },
                { ".example.com", false },
                { "wiki..example.com", false },
                { "wiki example.com", false },
                { "wiki.example.com:443", false },
        };
        char longest[LIMIT_ACME_APP_NAME + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                if (acme_apps_is_name(str_of(cases[i].name)) != cases[i].is_name)
                        fail_msg("'%s'", cases[i].name);
        }
        for (size_t i = 0; i < sizeof longest; i++)
                longest[i] = i % 40 == 39 ? '.' : 'a';
        assert_true(acme_apps_is_name((struct str){ longest, LIMIT_ACME_APP_NAME - 1 }));
        assert_false(acme_apps_is_name((struct str){ longest, LIMIT_ACME_APP_NAME + 1 }));
}

static void a_name_is_ordered_once_and_kept_over_restarts(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        issue(f, 90);
        assert_null(acme_apps_next(f->apps));
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_KEPT);
        AUTO_MEM char *path = mem_printf("%s/apps/a.example.com.pem", f->dir);
        assert_int_equal(mode_of(path), 0600);
        restart(f);
        struct wanted w = want(f, "a.example.com");
        assert_int_equal(w.answer, ACME_APPS_KEPT);
        assert_ptr_equal(acme_apps_not_given(f->apps), w.app);
        w.app->is_given = true;
        assert_null(acme_apps_not_given(f->apps));
        acme_apps_forget_given(f->apps);
        assert_ptr_equal(acme_apps_not_given(f->apps), w.app);
}

static void it_is_renewed_when_it_is_wanted_after_two_thirds(void **state)
{
        struct fixture *f = *state;

        get(f, "a.example.com", 90);
        pass(f, 59 * DAY);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_KEPT);
        pass(f, 2 * DAY);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        assert_true(fail_next(f) > 0);
        size_t valid, failed;
        acme_apps_count(f->apps, &valid, &failed);
        assert_int_equal(valid, 1); /* the old one stays */
        assert_int_equal(failed, 1);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_LATER);
        pass(f, DAY);
        get(f, "a.example.com", 90);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_KEPT);
        restart(f);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_KEPT);
}

static void a_name_that_fails_waits_longer_each_time(void **state)
{
        struct fixture *f = *state;
        int64_t hour = 0;

        for (int failures = 0; hour <= 12 * 3600; failures++) {
                assert_int_equal(want(f, "bad.example.com").answer, ACME_APPS_ORDERED);
                int64_t pause = fail_next(f);
                struct wanted w = want(f, "bad.example.com");
                assert_int_equal(w.answer, ACME_APPS_LATER);
                assert_in_range(w.pause, pause - 1, pause);
                assert_null(w.why); /* its failure was logged */
                if (hour <= 3600)
                        assert_true(failures < 5); /* CAs permit 5 an hour */
                AUTO_MEM char *good = mem_printf("good-%d.example.com", failures);
                get(f, good, 1); /* nobody else waits */
                pass(f, pause + 1);
                hour += pause + 1;
        }
}

static void the_wait_that_a_ca_asks_for_is_kept(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        struct acme_app *app = acme_apps_next(f->apps);
        assert_int_equal(acme_apps_failed(app, HOURS(20), false, f->now).ns, HOURS(20).ns);
        assert_int_equal(want(f, "a.example.com").pause, 20 * 3600);
}

static void count_app(void *ctx, struct acme_app *app)
{
        struct fixture *f = ctx;

        (void)app;
        f->seen++;
}

static void a_reload_permits_failed_names_again(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        assert_true(fail_next(f) > 60);
        get(f, "b.example.com", 90);
        acme_apps_retry(f->apps, count_app, f);
        assert_int_equal(f->seen, 1);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        assert_int_equal(want(f, "b.example.com").answer, ACME_APPS_KEPT);
        struct acme_app *app = acme_apps_next(f->apps);
        assert_true(acme_apps_failed(app, SECONDS(0), true, f->now).ns > MILLISECONDS(PACE_ACME_POLL_MAX).ns); /* not the first failure */
}

static void orders_follow_each_other_at_a_pace(void **state)
{
        struct fixture *f = *state;
        int ordered = 0;

        for (int i = 0; i < 1000; i++)
                ordered += want_numbered(f, i).answer == ACME_APPS_ORDERED;
        assert_int_equal(ordered, LIMIT_ACME_APP_ORDERS);
        struct wanted w = want_numbered(f, 999);
        assert_in_range(w.pause, 1, PACE_ACME_APP_ORDER / 1000);
        assert_non_null(w.why);
        while (acme_apps_next(f->apps) != NULL)
                ordered--;
        assert_int_equal(ordered, 0);
        pass(f, w.pause);
        assert_int_equal(want_numbered(f, 999).answer, ACME_APPS_ORDERED);
        assert_int_equal(want_numbered(f, 998).answer, ACME_APPS_LATER);
}

static void a_week_has_a_bounded_number_of_new_names(void **state)
{
        struct fixture *f = *state;
        int issued = 0;

        for (int i = 0; i < 100; i++, pass(f, PACE_ACME_APP_ORDER / 1000))
                if (want_numbered(f, i).answer == ACME_APPS_ORDERED) {
                        issue(f, 4);
                        issued++;
                }
        assert_int_equal(issued, LIMIT_ACME_APPS_WEEK);
        restart(f); /* its files count */
        assert_int_equal(want(f, "new.example.com").answer, ACME_APPS_LATER);
        assert_non_null(want(f, "new.example.com").why);
        pass(f, 3 * DAY);
        assert_int_equal(want_numbered(f, 0).answer, ACME_APPS_ORDERED); /* a renewal */
        issue(f, 4);
        pass(f, WEEK - 3 * DAY);
        assert_int_equal(want(f, "new.example.com").answer, ACME_APPS_ORDERED);
}

static void the_number_of_names_is_bounded(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_ACME_APPS; i++, pass(f, DAY)) {
                assert_int_equal(want_numbered(f, i).answer, ACME_APPS_ORDERED);
                if (i == 0)
                        assert_true(fail_next(f) > 0);
                else
                        issue(f, 1000);
        }
        pass(f, DAY);
        get(f, "new.example.com", 1000); /* in place of the one that has only failed */
        struct wanted w = want(f, "another.example.com");
        assert_int_equal(w.answer, ACME_APPS_LATER);
        assert_int_equal(w.pause, PACE_ACME_APP_FULL / 1000);
        assert_non_null(w.why);
        assert_int_equal(want_numbered(f, 1).answer, ACME_APPS_KEPT);
}

static void an_application_that_is_gone_costs_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = mem_printf("%s/apps/gone.example.com.pem", f->dir);

        get(f, "gone.example.com", 90);
        pass(f, 91 * DAY);
        acme_apps_sweep(f->apps, f->now, count_app, f);
        assert_int_equal(f->seen, 0);
        assert_null(acme_apps_next(f->apps));
        pass(f, 6 * DAY + 1);
        acme_apps_sweep(f->apps, f->now, count_app, f);
        assert_int_equal(f->seen, 1);
        assert_int_equal(access(path, F_OK), -1);
        get(f, "gone.example.com", 90);
        pass(f, 100 * DAY);
        restart(f); /* removes it, too */
        assert_int_equal(access(path, F_OK), -1);
        assert_null(acme_apps_not_given(f->apps));
}

static void files_that_are_none_of_its_own_are_left_out(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *other = mem_printf("%s/apps/b.example.com.pem", f->dir);
        AUTO_MEM char *name = mem_printf("%s/apps/NAME.pem", f->dir);
        AUTO_MEM char *path = mem_printf("%s/apps/a.example.com.pem", f->dir);

        get(f, "a.example.com", 90);
        assert_done(file_write_atomic(name, STR("x"), 0600));
        assert_int_equal(link(path, other), 0); /* a certificate of another name */
        restart(f);
        assert_int_equal(want(f, "b.example.com").answer, ACME_APPS_ORDERED);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_KEPT);
        issue(f, 90);
        assert_done(file_write_atomic(path, STR("-----BEGIN"), 0600));
        restart(f);
        assert_int_equal(want(f, "a.example.com").answer, ACME_APPS_ORDERED);
        assert_int_equal(want(f, "b.example.com").answer, ACME_APPS_KEPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_names_of_hosts_get_certificates),
                TEST(a_name_is_ordered_once_and_kept_over_restarts),
                TEST(it_is_renewed_when_it_is_wanted_after_two_thirds),
                TEST(a_name_that_fails_waits_longer_each_time),
                TEST(the_wait_that_a_ca_asks_for_is_kept),
                TEST(a_reload_permits_failed_names_again),
                TEST(orders_follow_each_other_at_a_pace),
                TEST(a_week_has_a_bounded_number_of_new_names),
                TEST(the_number_of_names_is_bounded),
                TEST(an_application_that_is_gone_costs_nothing),
                TEST(files_that_are_none_of_its_own_are_left_out),
        };

        return cmocka_run_group_tests_name("acme_apps", tests, NULL, NULL);
}
