/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "net/net_testing.h"
#include "net/socket.h"
#include "rpc/link_internal.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

enum { VERB = 7, IDS_MAX = 8 };

/* A client, and at the other end of the pair a service, a blocking server or a bare descriptor. */
struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct link *link;
        struct link_service *service;
        int fd; /* the other end, for tests that use the bare descriptor */
        uint32_t ids[IDS_MAX];
        size_t requested;
        bool is_ended;
        int lost;
        bool closes_on_done;
        bool is_silent; /* the service keeps the requests to itself */
};

/* The result of one request. */
struct outcome {
        struct fixture *f;
        int times;
        int code; /* 0: answered */
        bool is_sibling_gone;
        char text[64];
        char hint[64];
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        int ours = -1;

        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        assert_null(socket_pair(&ours, &f->fd));
        *state = f;
        f->ids[0] = (uint32_t)ours; /* until given_a_link takes it */
        return 0;
}

static void on_lost(void *ctx)
{
        struct fixture *f = ctx;

        f->lost++;
}

static void given_a_link(struct fixture *f)
{
        f->link = link_new(&f->loop, (int)f->ids[0], on_lost, f);
        f->ids[0] = 0;
}

static void on_requested(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct fixture *f = ctx;
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        ProtobufCMessage *msg = NULL;

        assert_int_equal(verb, VERB);
        assert_null(wire_decode(arena, &cteleport__internal__v1__identity_request__descriptor, body, &msg));
        f->ids[f->requested++] = id;
        if (!f->is_silent)
                link_service_answer(f->service, id, msg);
}

static void on_ended(void *ctx)
{
        struct fixture *f = ctx;

        f->is_ended = true;
}

static void given_a_service(struct fixture *f)
{
        f->service = link_service_new(&f->loop, f->fd, on_requested, on_ended, f);
        f->fd = -1;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        link_close(f->link);
        link_service_free(f->service);
        if (f->fd >= 0)
                close(f->fd);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void on_done(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct outcome *o = ctx;

        o->times++;
        o->code = err == NULL ? 0 : (int)err->code;
        o->is_sibling_gone = error_is_for(err, REASON_SIBLING);
        if (answer != NULL)
                snprintf(o->text, sizeof o->text, "%s", ((const Cteleport__Internal__V1__IdentityRequest *)answer)->role);
        if (err != NULL) {
                snprintf(o->text, sizeof o->text, "%s", err->what);
                snprintf(o->hint, sizeof o->hint, "%s", err->hint == NULL ? "" : err->hint);
        }
        error_free(err);
        if (o->f->closes_on_done) {
                link_close(o->f->link);
                o->f->link = NULL;
        }
}

static void send_request(struct fixture *f, const char *text, struct outcome *o)
{
        Cteleport__Internal__V1__IdentityRequest request = CTELEPORT__INTERNAL__V1__IDENTITY_REQUEST__INIT;

        *o = (struct outcome){ .f = f };
        request.role = pb_text(text);
        link_request(f->link, VERB, &request.base, &cteleport__internal__v1__identity_request__descriptor, SECONDS(5), on_done,
                 o);
}

static void carries_a_question_and_its_answer(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        given_a_link(f);
        given_a_service(f);
        send_request(f, "Proxy", &o);
        assert_int_equal(o.times, 0); /* never from inside the call */
        RUN_UNTIL(&f->loop, o.times > 0);
        assert_int_equal(o.code, 0);
        assert_string_equal(o.text, "Proxy");
}

static void takes_answers_in_any_order(void **state)
{
        struct fixture *f = *state;
        struct outcome first, second;

        f->is_silent = true;
        given_a_link(f);
        given_a_service(f);
        send_request(f, "first", &first);
        send_request(f, "second", &second);
        RUN_UNTIL(&f->loop, f->requested == 2);
        link_service_answer(f->service, f->ids[1], NULL);
        RUN_UNTIL(&f->loop, second.times > 0);
        assert_int_equal(first.times, 0);
        link_service_refuse(f->service, f->ids[0],
                            error_hint(error_new(ERROR_PERMISSION_DENIED, "no such role"), "ask for another"));
        RUN_UNTIL(&f->loop, first.times > 0);
        assert_int_equal(first.code, ERROR_PERMISSION_DENIED);
        assert_string_equal(first.text, "no such role");
        assert_string_equal(first.hint, "ask for another");
}

static void gives_up_at_the_deadline_and_ignores_the_late_answer(void **state)
{
        struct fixture *f = *state;
        struct outcome late, next;

        f->is_silent = true;
        given_a_link(f);
        given_a_service(f);
        send_request(f, "late", &late);
        RUN_UNTIL(&f->loop, f->requested == 1);
        loop_advance(&f->loop, &f->clock, SECONDS(6));
        RUN_UNTIL(&f->loop, late.times > 0);
        assert_int_equal(late.code, ERROR_DEADLINE_EXCEEDED);
        link_service_answer(f->service, f->ids[0], NULL);
        f->is_silent = false;
        send_request(f, "next", &next);
        RUN_UNTIL(&f->loop, next.times > 0);
        assert_int_equal(next.code, 0);
        assert_int_equal(late.times, 1);
}

static void fails_open_requests_before_it_reports_the_loss_of_the_peer(void **state)
{
        struct fixture *f = *state;
        struct outcome open, later;

        f->is_silent = true;
        given_a_link(f);
        given_a_service(f);
        send_request(f, "open", &open);
        RUN_UNTIL(&f->loop, f->requested == 1);
        link_service_free(f->service);
        f->service = NULL;
        RUN_UNTIL(&f->loop, open.times > 0);
        assert_int_equal(open.code, ERROR_UNAVAILABLE);
        RUN_UNTIL(&f->loop, f->lost > 0);
        send_request(f, "later", &later);
        assert_int_equal(later.times, 0);
        RUN_UNTIL(&f->loop, later.times > 0);
        assert_int_equal(later.code, ERROR_UNAVAILABLE);
        assert_true(open.is_sibling_gone && later.is_sibling_gone);
        assert_int_equal(f->lost, 1);
}

static void cancels_open_requests_when_it_is_closed(void **state)
{
        struct fixture *f = *state;
        struct outcome one, two;

        given_a_link(f);
        send_request(f, "one", &one);
        send_request(f, "two", &two);
        link_close(f->link);
        f->link = NULL;
        assert_int_equal(one.times, 0);
        RUN_UNTIL(&f->loop, two.times > 0);
        assert_int_equal(one.code, ERROR_CANCELLED);
        assert_int_equal(two.code, ERROR_CANCELLED);
        assert_false(one.is_sibling_gone); /* it was ours to end */
        assert_int_equal(f->lost, 0);
}

static void may_be_closed_by_the_callback_of_a_request(void **state)
{
        struct fixture *f = *state;
        struct outcome one, two;

        given_a_link(f);
        given_a_service(f);
        f->closes_on_done = true;
        send_request(f, "one", &one);
        send_request(f, "two", &two);
        RUN_UNTIL(&f->loop, two.times > 0);
        assert_int_equal(one.code, 0);
        assert_int_equal(two.code, ERROR_CANCELLED);
        assert_int_equal(one.times + two.times, 2);
}

static void refuses_a_frame_that_is_too_long(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        given_a_link(f);
        send_request(f, "one", &o);
        assert_int_equal(write(f->fd, "\xff\xff\xff\xff", 4), 4);
        RUN_UNTIL(&f->loop, o.times > 0);
        assert_int_equal(o.code, ERROR_UNAVAILABLE);
        RUN_UNTIL(&f->loop, f->lost > 0);
}

static void refuses_a_request_that_no_frame_holds(void **state)
{
        struct fixture *f = *state;
        struct outcome o, small;
        AUTO_MEM char *large = mem_alloc(LINK_MESSAGE_MAX + 1);

        memset(large, 'x', LINK_MESSAGE_MAX);
        given_a_link(f);
        given_a_service(f);
        send_request(f, large, &o);
        send_request(f, "small", &small);
        RUN_UNTIL(&f->loop, o.times > 0);
        assert_int_equal(o.code, ERROR_RESOURCE_EXHAUSTED);
        RUN_UNTIL(&f->loop, small.times > 0); /* the link itself is unharmed */
        assert_int_equal(small.code, 0);
}

static void puts_frames_together_from_single_bytes(void **state)
{
        struct fixture *f = *state;
        struct outcome o;
        AUTO(buf) out = BUF_MAX(1 * KiB);

        given_a_link(f);
        send_request(f, "one", &o);
        link_frame_put_answer(&out, 1, NULL);
        for (size_t i = 0; i < out.len; i++) {
                assert_int_equal(o.times, 0);
                assert_int_equal(write(f->fd, out.ptr + i, 1), 1);
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        }
        RUN_UNTIL(&f->loop, o.times > 0);
        assert_int_equal(o.code, 0);
}

static void reports_the_loss_of_the_client_to_the_service(void **state)
{
        struct fixture *f = *state;

        given_a_link(f);
        given_a_service(f);
        link_close(f->link);
        f->link = NULL;
        RUN_UNTIL(&f->loop, f->is_ended);
        link_service_answer(f->service, 1, NULL); /* harmless now */
}

static void requests_of_one_turn_leave_together(void **state)
{
        struct fixture *f = *state;
        struct outcome one, two;
        char bytes[4 * KiB];
        struct link_frame frame;
        size_t first = 0, second = 0;

        given_a_link(f);
        send_request(f, "one", &one);
        send_request(f, "two", &two);
        assert_int_equal(recv(f->fd, bytes, sizeof bytes, MSG_DONTWAIT), -1); /* nothing is written before the turn ends */
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        ssize_t got = recv(f->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        assert_true(got > 0);
        assert_null(link_frame_read(str_of_bytes(bytes, (size_t)got), &frame, &first));
        assert_null(link_frame_read(str_of_bytes(bytes + first, (size_t)got - first), &frame, &second));
        assert_true(first > 0 && second > 0);
        assert_int_equal(first + second, (size_t)got);
        link_close(f->link);
        f->link = NULL;
        RUN_UNTIL(&f->loop, one.times > 0 && two.times > 0);
}

static void serves_a_blocking_process(void **state)
{
        struct fixture *f = *state;
        struct outcome answered, refused;
        struct link_server *server = link_server_new(f->fd);
        struct link_request request;
        bool is_end = false;

        f->fd = -1;
        given_a_link(f);
        send_request(f, "one", &answered);
        send_request(f, "two", &refused);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT); /* all queued requests are written */

        assert_null(link_server_next(server, &request, &is_end));
        assert_int_equal(request.verb, VERB);
        assert_null(link_server_answer(server, request.id, NULL));
        assert_null(link_server_next(server, &request, &is_end));
        AUTO_PTR(error) err = error_because(error_new(ERROR_FAILED_PRECONDITION, "no keys"), error_new(ERROR_INTERNAL, "x"));
        assert_null(link_server_refuse(server, request.id, err));
        assert_null(link_server_flush(server));
        RUN_UNTIL(&f->loop, refused.times > 0);
        assert_int_equal(answered.code, 0);
        assert_int_equal(refused.code, ERROR_FAILED_PRECONDITION);
        assert_string_equal(refused.text, "no keys");

        link_close(f->link);
        f->link = NULL;
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        AUTO_PTR(error) end = link_server_next(server, &request, &is_end);
        assert_non_null(end);
        assert_int_equal(end->code, ERROR_NOT_FOUND);
        assert_true(is_end);
        link_server_free(server);
}

static void blocking_server_notices_half_a_request(void **state)
{
        struct fixture *f = *state;
        struct link_server *server = link_server_new((int)f->ids[0]);
        struct link_request request;
        bool is_end = false;

        assert_int_equal(write(f->fd, "\0\0\0\x08\0\0", 6), 6);
        close(f->fd);
        f->fd = -1;
        AUTO_PTR(error) err = link_server_next(server, &request, &is_end);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_DATA_LOSS);
        assert_false(is_end);
        link_server_free(server);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(carries_a_question_and_its_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_answers_in_any_order, set_up, tear_down),
                cmocka_unit_test_setup_teardown(gives_up_at_the_deadline_and_ignores_the_late_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(fails_open_requests_before_it_reports_the_loss_of_the_peer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(cancels_open_requests_when_it_is_closed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(may_be_closed_by_the_callback_of_a_request, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_frame_that_is_too_long, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_request_that_no_frame_holds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(puts_frames_together_from_single_bytes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(reports_the_loss_of_the_client_to_the_service, set_up, tear_down),
                cmocka_unit_test_setup_teardown(requests_of_one_turn_leave_together, set_up, tear_down),
                cmocka_unit_test_setup_teardown(serves_a_blocking_process, set_up, tear_down),
                cmocka_unit_test_setup_teardown(blocking_server_notices_half_a_request, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
