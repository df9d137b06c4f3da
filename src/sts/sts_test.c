/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tests send requests as auth does: over a link. Cases that need a TLS server with a name of AWS are in tests/e2e.
 */
#include "rpc/pb.h"
#include "sts/sts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "internal.pb-c.h"
#include "net/http_testing.h"
#include "net/socket.h"
#include "rpc/link.h"

struct fixture {
        struct loop loop;
        struct http_peer peer; /* plain HTTP: to a TLS client, a peer that breaks the handshake */
        struct link *link;
        pid_t child;
        unsigned done, lost;
        enum error_code code;
        int outcome, tries;
        char *message;
};

static bool no_answer(void *ctx, struct str request, struct buf *out)
{
        (void)ctx;
        (void)request;
        (void)out;
        return true;
}

static void on_ready(void *ctx)
{
        (void)ctx;
}

static void on_lost(void *ctx)
{
        struct fixture *f = ctx;

        f->lost++;
}

static void on_done(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;
        const Cteleport__Internal__V1__StsAnswer *a = (const Cteleport__Internal__V1__StsAnswer *)answer;

        f->done++;
        free(f->message);
        f->message = NULL;
        f->code = 0;
        if (err != NULL) {
                f->code = err->code;
                f->message = str_dup(str_of(err->what));
                error_free(err);
                return;
        }
        f->outcome = (int)a->outcome;
        f->tries = a->tries;
        f->message = str_dup(str_of(a->message));
}

static int setup(void **state)
{
        struct fixture *f = NEW(struct fixture);
        int ours, theirs;

        assert_null(socket_pair(&ours, &theirs));
        assert_null(loop_init(&f->loop, NULL));
        http_peer_start(&f->peer, &f->loop, no_answer, f);
        f->child = fork();
        assert_true(f->child >= 0);
        if (f->child == 0) {
                close(ours);
                struct error *err = sts_main(theirs, (struct sts_options){ .connect_to = f->peer.address }, on_ready, NULL);
                _exit(err == NULL ? 0 : 1);
        }
        close(theirs);
        f->link = link_new(&f->loop, ours, on_lost, f);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        int status;

        link_close(f->link);
        http_peer_stop(&f->peer);
        loop_run(&f->loop);
        loop_release(&f->loop);
        assert_int_equal(waitpid(f->child, &status, 0), f->child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        free(f->message);
        free(f);
        return 0;
}

static void request_identity(struct fixture *f, const char *source, const char *host, const char *name, const char *value, int64_t within_ms)
{
        Cteleport__Internal__V1__StsHeader header = CTELEPORT__INTERNAL__V1__STS_HEADER__INIT;
        Cteleport__Internal__V1__StsHeader authorization = CTELEPORT__INTERNAL__V1__STS_HEADER__INIT;
        Cteleport__Internal__V1__StsHeader *headers[] = { &header, &authorization };
        Cteleport__Internal__V1__StsQuery query = CTELEPORT__INTERNAL__V1__STS_QUERY__INIT;
        AUTO_MEM char *host_copy = str_dup(str_of(host));
        AUTO_MEM char *name_copy = str_dup(str_of(name));
        AUTO_MEM char *value_copy = str_dup(str_of(value));

        header.name = name_copy;
        header.value = value_copy;
        authorization.name = (char[]){ "Authorization" };
        authorization.value = (char[]){ "AWS4-HMAC-SHA256 x" };
        query.host = host_copy;
        query.headers = headers;
        query.n_headers = ARRAY_LEN(headers);
        query.within_ms = within_ms;
        query.source = pb_text(source);
        link_request(f->link, CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY, &query.base,
                 &cteleport__internal__v1__sts_answer__descriptor, SECONDS(20), on_done, f);
}

static void send_request(struct fixture *f, const char *host, const char *name, const char *value, int64_t within_ms)
{
        request_identity(f, "", host, name, value, within_ms);
}

static void run_until(struct fixture *f, unsigned count)
{
        while (f->done < count)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void refuses_hosts_that_are_not_sts(void **state)
{
        struct fixture *f = *state;

        send_request(f, "sts.evil.amazonaws.com", "X-Amz-Date", "20260101T000000Z", 1000);
        run_until(f, 1);
        assert_int_equal(f->code, ERROR_PERMISSION_DENIED);
        send_request(f, "169.254.169.254", "X-Amz-Date", "20260101T000000Z", 1000);
        run_until(f, 2);
        assert_int_equal(f->code, ERROR_PERMISSION_DENIED);
        assert_int_equal(f->peer.connections, 0);
}

static void refuses_headers_that_would_change_the_frame(void **state)
{
        static const struct {
                const char *name, *value;
        } cases[] = {
                { "Host", "evil" },          { "content-length", "0" },   { "Transfer-Encoding", "chunked" },
                { "Accept-Encoding", "br" }, { "Bad Name", "x" },         { "X-Amz-Date", "a\r\nHost: evil" },
                { "X-Amz-Date:", "x" },      { "authorization", "twice" }, { "", "x" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                send_request(f, "sts.us-east-1.amazonaws.com", cases[i].name, cases[i].value, 1000);
                run_until(f, (unsigned)i + 1);
                assert_int_equal(f->code, ERROR_INVALID_ARGUMENT);
        }
        assert_int_equal(f->peer.connections, 0);
}

static void tries_again_when_the_connection_breaks(void **state)
{
        struct fixture *f = *state;

        /* The peer waits for a header that never ends; the test ends the wait by closing. */
        send_request(f, "sts.us-east-1.amazonaws.com", "X-Amz-Date", "20260101T000000Z", 10000);
        while (f->done == 0) {
                uv_run(&f->loop.uv, UV_RUN_ONCE);
                http_peer_send_unsolicited(&f->peer, "this is no TLS\n");
        }
        assert_int_equal(f->code, 0);
        assert_int_equal(f->outcome, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE);
        assert_int_equal(f->tries, 2);
        assert_int_equal(f->peer.connections, 2);
}

static void answers_within_the_time_it_was_given(void **state)
{
        struct fixture *f = *state;

        send_request(f, "sts.us-east-1.amazonaws.com", "X-Amz-Date", "20260101T000000Z", 50);
        run_until(f, 1);
        assert_int_equal(f->outcome, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE);
        assert_int_equal(f->tries, 1);
}

#define DATE "X-Amz-Date", "20260101T000000Z"

/* Until this number of queries has reached the peer, which does not answer. */
static void run_until_requested(struct fixture *f, unsigned connections)
{
        while (f->peer.connections < connections)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void asks_another_host_while_one_is_silent(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_STS_IN_FLIGHT + 20; i++)
                request_identity(f, "", "sts.us-east-1.amazonaws.com", DATE, 10000);
        run_until_requested(f, LIMIT_STS_IN_FLIGHT);
        request_identity(f, "192.0.2.1", "sts.us-west-2.amazonaws.com", DATE, 10000);
        run_until_requested(f, LIMIT_STS_IN_FLIGHT + 1);
        assert_int_equal(f->done, 0);
}

static void shares_a_host_among_the_sources(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_STS_IN_FLIGHT; i++)
                request_identity(f, "192.0.2.1", "sts.us-east-1.amazonaws.com", DATE, 10000);
        run_until_requested(f, LIMIT_STS_IN_FLIGHT_SOURCE);
        request_identity(f, "192.0.2.2", "sts.us-east-1.amazonaws.com", DATE, 10000);
        run_until_requested(f, LIMIT_STS_IN_FLIGHT_SOURCE + 1);
        assert_int_equal(f->done, 0);
}

static void refuses_at_once_requests_over_the_limit_of_a_host(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_STS_WAITING_SLOW_SOURCE + 1; i++)
                request_identity(f, "192.0.2.1", "sts.us-east-1.amazonaws.com", DATE, 10000);
        run_until(f, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->message, "of this address to sts.us-east-1"));
        for (int i = 0; i < LIMIT_STS_WAITING_SLOW - LIMIT_STS_WAITING_SLOW_SOURCE + 1; i++)
                request_identity(f, "", "sts.us-east-1.amazonaws.com", DATE, 10000);
        run_until(f, 2);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->message, "too many requests to sts.us-east-1"));
        /* However many silent hosts there are, each has its reserve. */
        for (int i = 0; i < LIMIT_STS_WAITING_SLOW_ALL; i++)
                request_identity(f, "", "sts.us-east-2.amazonaws.com", DATE, 10000);
        for (int i = 0; i < LIMIT_STS_WAITING_RESERVE + 20; i++)
                request_identity(f, "", "sts.eu-west-1.amazonaws.com", DATE, 10000);
        run_until_requested(f, 2 * LIMIT_STS_IN_FLIGHT + LIMIT_STS_WAITING_RESERVE);
}

static void ends_pending_requests_with_its_client(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 100; i++)
                send_request(f, "sts.us-east-1.amazonaws.com", "X-Amz-Date", "20260101T000000Z", 10000);
        while (f->peer.connections < 64)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        /* teardown closes the link and waits for the process */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(refuses_hosts_that_are_not_sts, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_headers_that_would_change_the_frame, setup, teardown),
                cmocka_unit_test_setup_teardown(tries_again_when_the_connection_breaks, setup, teardown),
                cmocka_unit_test_setup_teardown(answers_within_the_time_it_was_given, setup, teardown),
                cmocka_unit_test_setup_teardown(asks_another_host_while_one_is_silent, setup, teardown),
                cmocka_unit_test_setup_teardown(shares_a_host_among_the_sources, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_at_once_requests_over_the_limit_of_a_host, setup, teardown),
                cmocka_unit_test_setup_teardown(ends_pending_requests_with_its_client, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
