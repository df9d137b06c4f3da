/* SPDX-License-Identifier: Apache-2.0 */
#include "net/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "loop/loop.h"

enum { TOTAL = 4, PER_SOURCE = 3 };

struct request {
        struct admitted admitted;
        char peer[ADDRESS_TEXT_MAX];
        int ended;
};

struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct sources sources;
        struct admission admission;
        struct request requests[2 * TOTAL];
        size_t count;
};

static void end(void *ctx, struct admitted *a)
{
        struct request *r = CONTAINER_OF(a, struct request, admitted);

        (void)ctx;
        assert_null(a->admission);
        r->ended++;
}

static bool may_end(void *ctx, const struct admitted *a)
{
        (void)ctx;
        return !a->is_fixed;
}

static void set_up(struct fixture *f)
{
        *f = (struct fixture){ 0 };
        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        f->sources.limits[SOURCE_JOINS] = (struct source_limit){ TOTAL, PER_SOURCE };
        f->admission = (struct admission){ .loop = &f->loop, .sources = &f->sources, .counter = SOURCE_JOINS, .end = end, .may_end = may_end };
}

static void tear_down(struct fixture *f)
{
        for (size_t i = 0; i < f->count; i++)
                admission_leave(&f->requests[i].admitted);
        assert_int_equal(f->sources.totals[SOURCE_JOINS], 0);
        assert_null(f->admission.newest);
        sources_release(&f->sources);
        loop_release(&f->loop);
}

static enum admission_result enter(struct fixture *f, const char *peer)
{
        struct request *r = &f->requests[f->count];

        snprintf(r->peer, sizeof r->peer, "%s", peer);
        enum admission_result result = admission_enter(&f->admission, &r->admitted, r->peer);
        if (result == ADMISSION_GRANTED)
                f->count++;
        fake_clock_advance(&f->clock, SECONDS(1));
        return result;
}

static void a_source_is_refused_beyond_its_share(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        for (int i = 0; i < PER_SOURCE; i++)
                assert_int_equal(enter(&f, "[2001:db8::1]:1"), ADMISSION_GRANTED);
        assert_int_equal(enter(&f, "[2001:db8::2]:1"), ADMISSION_SOURCE_FULL); /* of the same /64 */
        assert_int_equal(enter(&f, "192.0.2.1:1"), ADMISSION_GRANTED);
        tear_down(&f);
}

static void the_oldest_of_the_largest_source_is_ended_for_another(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        assert_int_equal(enter(&f, "192.0.2.1:1"), ADMISSION_GRANTED);
        for (int i = 0; i < PER_SOURCE; i++)
                assert_int_equal(enter(&f, "192.0.2.2:1"), ADMISSION_GRANTED);
        assert_int_equal(enter(&f, "192.0.2.3:1"), ADMISSION_GRANTED);
        assert_int_equal(f.requests[0].ended, 0);
        assert_int_equal(f.requests[1].ended, 1);
        assert_int_equal(f.requests[2].ended, 0);
        admission_leave(&f.requests[1].admitted); /* counted no more */
        assert_int_equal(f.sources.totals[SOURCE_JOINS], TOTAL);
        tear_down(&f);
}

static void an_admission_without_an_end_function_stays(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        for (int i = 0; i < TOTAL; i++) {
                assert_int_equal(enter(&f, i < PER_SOURCE ? "192.0.2.1:1" : "192.0.2.2:1"), ADMISSION_GRANTED);
                f.requests[i].admitted.is_fixed = true;
        }
        assert_int_equal(enter(&f, "192.0.2.3:1"), ADMISSION_FULL);
        f.requests[2].admitted.is_fixed = false;
        assert_int_equal(enter(&f, "192.0.2.3:1"), ADMISSION_GRANTED);
        assert_int_equal(f.requests[2].ended, 1);
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_source_is_refused_beyond_its_share),
                cmocka_unit_test(the_oldest_of_the_largest_source_is_ended_for_another),
                cmocka_unit_test(an_admission_without_an_end_function_stays),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
