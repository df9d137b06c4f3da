/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes of one service, as after a reload: the current one and a former one that finishes its connections. */
#include "instance/sibling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "rpc/link.h"
#include "rpc/pb.h"

#define HOST "11111111-1111-4111-8111-111111111111"

/* A process of the service. */
struct process {
        struct link *link;
        char *serial; /* of the last identity it got */
        bool has_failed;
};

struct fixture {
        struct loop loop;
        struct host_identity identity;
        bool is_in_place;
        struct sibling *siblings;
        size_t changes; /* calls of on_tunnels */
        struct process processes[2];
};

static void on_tunnels(void *ctx)
{
        ((struct fixture *)ctx)->changes++;
}

static void on_lost(void *ctx)
{
        (void)ctx;
}

static void start(struct fixture *f, struct process *p)
{
        int here, there;

        assert_null(socket_pair(&here, &there));
        f->siblings = sibling_new(&f->loop, here,
                                  (struct sibling_events){ .role = "Node", .identity = &f->identity, .is_in_place = &f->is_in_place, .auth_addr = "",
                                                           .on_tunnels = on_tunnels, .ctx = f },
                                  f->siblings);
        p->link = link_new(&f->loop, there, on_lost, p);
}

static void turn(struct fixture *f)
{
        for (int i = 0; i < 8; i++)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

static void end(struct fixture *f, struct process *p)
{
        if (p->link != NULL)
                link_close(p->link);
        p->link = NULL;
        turn(f);
}

static void on_identity(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct process *p = ctx;
        const Cteleport__Internal__V1__Identity *msg = (const Cteleport__Internal__V1__Identity *)answer;

        p->has_failed = err != NULL;
        if (err == NULL) {
                free(p->serial);
                p->serial = str_dup(str_of(msg->serial));
        }
        error_free(err);
}

static void on_reported(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)ctx, (void)answer;
        error_free(err);
}

/* Requests an identity that is newer than the one it has. */
static void request(struct fixture *f, struct process *p)
{
        Cteleport__Internal__V1__IdentityRequest message = CTELEPORT__INTERNAL__V1__IDENTITY_REQUEST__INIT;
        AUTO_MEM char *have = str_dup(p->serial == NULL ? STR("") : str_of(p->serial));

        message.role = pb_text("Node");
        message.have_serial = have;
        link_request(p->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY, &message.base, &cteleport__internal__v1__identity__descriptor,
                     HOURS(1), on_identity, p);
        turn(f);
}

static void report(struct fixture *f, struct process *p, const char *host_id, uint32_t count)
{
        Cteleport__Internal__V1__TunnelsReport message = CTELEPORT__INTERNAL__V1__TUNNELS_REPORT__INIT;

        message.host_id = pb_text(host_id);
        message.count = count;
        link_request(p->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_TUNNELS, &message.base, &cteleport__internal__v1__tunnels_noted__descriptor,
                     HOURS(1), on_reported, p);
        turn(f);
}

static void renew(struct fixture *f, const char *serial)
{
        f->identity.serial = str_of(serial);
        sibling_check(f->siblings);
        turn(f);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        f->identity = (struct host_identity){ .role = STR("Node"), .host_id = STR(HOST), .cluster = STR("example.test"), .serial = STR("1"),
                                              .arena = arena_new(1 * KiB) };
        f->is_in_place = true;
        start(f, &f->processes[0]);
        start(f, &f->processes[1]);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(f->processes); i++) {
                end(f, &f->processes[i]);
                free(f->processes[i].serial);
        }
        sibling_free(f->siblings);
        turn(f);
        arena_free(f->identity.arena);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void a_former_process_gets_renewed_identities_too(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < 2; i++) {
                request(f, &f->processes[i]);
                assert_string_equal(f->processes[i].serial, "1");
                request(f, &f->processes[i]); /* waits */
        }
        renew(f, "2");
        for (size_t i = 0; i < 2; i++) {
                assert_string_equal(f->processes[i].serial, "2");
                request(f, &f->processes[i]);
        }
        end(f, &f->processes[0]);
        renew(f, "3");
        assert_string_equal(f->processes[0].serial, "2");
        assert_string_equal(f->processes[1].serial, "3");
}

static void tunnels_of_either_process_count(void **state)
{
        struct fixture *f = *state;

        report(f, &f->processes[0], HOST, 2);
        assert_int_equal(sibling_tunnels(f->siblings, STR(HOST)), 2);
        report(f, &f->processes[1], HOST, 1);
        assert_int_equal(sibling_tunnels(f->siblings, STR(HOST)), 2);
        assert_int_equal(sibling_tunnels(f->siblings, STR("another")), 0);
        end(f, &f->processes[0]);
        assert_int_equal(sibling_tunnels(f->siblings, STR(HOST)), 1);
        report(f, &f->processes[1], "another", 1);
        assert_int_equal(sibling_tunnels(f->siblings, STR(HOST)), 0);
        assert_int_equal(f->changes, 4);
}

/* As many links as the supervisor lets live: those that have ended do not count, and the oldest gives way. */
static void the_number_of_links_is_limited(void **state)
{
        struct fixture *f = *state;
        struct process more[LIMIT_FORMER_PROCESSES] = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(more); i++) {
                struct process ended = { 0 };

                start(f, &ended);
                end(f, &ended);
                start(f, &more[i]);
        }
        request(f, &f->processes[1]);
        assert_non_null(f->processes[1].serial);
        request(f, &f->processes[0]);
        assert_true(f->processes[0].has_failed);
        for (size_t i = 0; i < ARRAY_LEN(more); i++) {
                request(f, &more[i]);
                end(f, &more[i]);
                assert_string_equal(more[i].serial, "1");
                free(more[i].serial);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_former_process_gets_renewed_identities_too, set_up, tear_down),
                cmocka_unit_test_setup_teardown(tunnels_of_either_process_count, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_number_of_links_is_limited, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("sibling", tests, NULL, NULL);
}
