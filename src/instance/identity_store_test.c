/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "instance/identity_file.h"
#include "join/identity_testing.h"
#include "loop/job_testing.h"
#include "os/file_testing.h"
#include "rpc/pb.h"

static const struct ca_pins no_pins;

struct fixture {
        struct fake_cluster cluster;
        Cteleport__Internal__V1__Boot boot;
        struct instance *i;
        char *dir;
};

/* In memory of its own, so that an access after its end is found. */
static void given_an_instance(struct fixture *f)
{
        static const char *const roles[] = { "Instance", "Node", "Proxy" };

        f->i = NEW(struct instance);
        assert_null(loop_init(&f->i->loop, NULL));
        f->i->boot = &f->boot;
        for (size_t n = 0; n < ARRAY_LEN(roles); n++)
                f->i->slots[n] = (struct slot){ .role = roles[n], .is_wanted = true };
        f->i->store_again = timer_new(&f->i->loop, NULL, NULL);
        status_init(&f->i->status, &f->i->loop, ".");
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        *state = f;
        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        cteleport__internal__v1__boot__init(&f->boot);
        f->boot.data_dir = pb_text("/var/lib/teleport");
        f->dir = test_dir_new();
        assert_int_equal(chdir(f->dir), 0);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        fake_cluster_release(&f->cluster);
        free(f);
        return 0;
}

/* As instance.c ends, with the loop in memory of its own. */
static void end(struct fixture *f)
{
        identity_store_release(f->i);
        for (size_t n = 0; n < SLOT_COUNT; n++)
                host_identity_release(&f->i->slots[n].identity);
        timer_free(f->i->store_again);
        status_release(&f->i->status);
}

/* The identity is on the disk afterwards: the next start has it. */
static void an_instance_may_end_while_its_identity_is_stored(void **state)
{
        struct fixture *f = *state;

        for (int m = 0; m < JOB_MOMENTS; m++) {
                AUTO(host_identity) id = fake_identity(&f->cluster, "Proxy");
                AUTO(host_identity) back = { 0 };

                given_an_instance(f);
                job_hold(&f->i->loop, (enum job_moment)m);
                instance_take_identity(f->i, SLOT_PROXY, &id);
                assert_non_null(f->i->slots[SLOT_PROXY].storing);
                job_await_held(&f->i->loop);
                end(f);
                memset(f->i->slots, 0xa5, sizeof f->i->slots); /* a late access reads invalid bytes */
                job_resume();
                loop_release(&f->i->loop);
                free(f->i);
                assert_done(identity_load(".", "Proxy", &no_pins, &back));
                assert_int_equal(unlink("ids/proxy.json"), 0);
        }
}

/* The cluster's clock was an hour ahead when it issued the certificates, and is right again. */
static void certificates_from_the_future_are_found(void **state)
{
        struct fixture *f = *state;
        struct fake_clock clock;

        given_an_instance(f);
        fake_clock_init(&clock, walltime_unix(f->cluster.now) - 3600);
        f->i->loop.clock = &clock.clock;
        f->i->slots[SLOT_PROXY].identity = fake_identity(&f->cluster, "Proxy");
        assert_false(identity_store_mark_early(f->i, HOURS(1))); /* this host's clock is behind */
        assert_false(f->i->slots[SLOT_PROXY].is_early);
        assert_true(identity_store_mark_early(f->i, SECONDS(0)));
        assert_true(f->i->slots[SLOT_PROXY].is_early);
        assert_false(f->i->slots[SLOT_NODE].is_early); /* it has none */
        assert_false(identity_store_mark_early(f->i, SECONDS(0))); /* once in a while */
        end(f);
        loop_release(&f->i->loop);
        free(f->i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_instance_may_end_while_its_identity_is_stored, set_up, tear_down),
                cmocka_unit_test_setup_teardown(certificates_from_the_future_are_found, set_up, tear_down),
        };
        job_use_one_thread();
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
