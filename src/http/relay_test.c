/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error_testing.h"
#include "base/limits.h"
#include "http/relay_testing.h"

#define GET "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static int set_up(void **state)
{
        struct relay_owner *o = NEW(struct relay_owner);

        owner_start(o, LOOP_BUFFER);
        *state = o;
        return 0;
}

static int tear_down(void **state)
{
        owner_release(*state);
        free(*state);
        return 0;
}

static void turn(struct relay_owner *o)
{
        owner_turn(o, 50);
}

static void given(struct relay_owner *o, const char *request)
{
        stream_write(o->client.stream, str_of(request));
        turn(o);
}

static void respond(struct relay_owner *o, size_t backend, const char *response)
{
        assert_true(backend < o->backend_count);
        stream_write(o->backends[backend].stream, str_of(response));
        turn(o);
}

/* What the client, or a backend, has received since the last check. */
static void assert_got(struct peer *p, const char *expected)
{
        assert_string_equal(buf_c(&p->received), expected);
        buf_clear(&p->received);
}

static void assert_page(struct relay_owner *o, enum http_failure failure, const char *status_line)
{
        assert_int_equal(o->failures, 1);
        assert_int_equal(o->failure, failure);
        if (!str_starts_with(buf_str(&o->client.received), str_of(status_line)))
                fail_msg("%s", buf_c(&o->client.received));
        assert_true(str_ends_with(buf_str(&o->client.received), STR("\r\n\r\npage")));
        buf_clear(&o->client.received);
}

static void advance(struct relay_owner *o, int64_t ms)
{
        loop_advance(&o->loop, &o->clock, MILLISECONDS(ms));
        turn(o);
}

/* ---- exchanges --------------------------------------------------------------------------------------------- */

static void both_connections_are_kept_for_the_next_request(void **state)
{
        struct relay_owner *o = *state;

        for (int i = 0; i < 3; i++) {
                given(o, GET);
                assert_got(&o->backends[0], GET);
                respond(o, 0, OK);
                assert_got(&o->client, OK);
        }
        assert_int_equal(o->backend_count, 1);
        assert_int_equal(o->record_count, 3);
        assert_int_equal(o->records[2].status, 200);
        assert_int_equal(o->records[2].sent, 2);
        assert_true(o->records[2].is_complete);
}

static void heads_can_be_edited_both_ways(void **state)
{
        struct relay_owner *o = *state;

        o->edits = true;
        given(o, "GET / HTTP/1.1\r\nHost: a\r\nX-Remove: 1\r\nConnection: X-Added\r\n\r\n");
        assert_got(&o->backends[0], "GET / HTTP/1.1\r\nHost: a\r\nX-Added: 1\r\n\r\n");
        respond(o, 0, "HTTP/1.1 204 No Content\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 204 No Content\r\nX-Answered: 1\r\n\r\n");
}

static void pipelined_requests_are_served_in_order(void **state)
{
        struct relay_owner *o = *state;

        given(o, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_got(&o->backends[0], "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
        respond(o, 0, OK);
        assert_got(&o->client, OK);
        assert_got(&o->backends[0], "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
        respond(o, 0, OK);
        assert_got(&o->client, OK);
        assert_int_equal(o->backend_count, 1);
}

static void a_body_is_passed_on_as_it_comes(void **state)
{
        struct relay_owner *o = *state;

        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        assert_got(&o->backends[0], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        given(o, "defGET /next HTTP/1.1\r\n");
        assert_got(&o->backends[0], "def");
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12");
        respond(o, 0, "34");
        assert_got(&o->client, "34");
        assert_int_equal(o->records[0].received, 6);
        given(o, "Host: a\r\n\r\n");
        assert_got(&o->backends[0], "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void a_head_that_comes_alone_does_not_wait_for_its_body(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        respond(o, 0, "ok");
        assert_got(&o->client, "ok");
}

static void the_owner_reads_a_short_body_itself(void **state)
{
        struct relay_owner *o = *state;

        o->collects = 6;
        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        assert_got(&o->client, "");
        given(o, "defPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngh\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef");
        given(o, "0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ngh"
                               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nabcdefg");
        assert_int_equal(o->status, 413);
        assert_int_equal(o->backend_count, 0);
}

static void a_body_for_the_owner_must_arrive_in_time(void **state)
{
        struct relay_owner *o = *state;

        o->collects = 6;
        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        advance(o, TIMEOUT_HTTP_HEAD + 1);
        assert_int_equal(o->status, 408);
        assert_int_equal(o->failure, HTTP_FAILURE_REQUEST);
}

static void chunks_and_trailers_are_passed_on(void **state)
{
        struct relay_owner *o = *state;

        given(o, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0003;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Real-Ip: 6\r\n\r\n");
        assert_got(&o->backends[0], "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
        respond(o, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n");
        given(o, GET);
        assert_int_equal(o->backend_count, 1);
}

static void a_body_until_the_end_becomes_chunks(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, "HTTP/1.0 200 OK\r\n\r\nabc");
        stream_shutdown(o->backends[0].stream);
        turn(o);
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_false(o->client.has_ended);
        given(o, GET);
        assert_int_equal(o->backend_count, 2);
        assert_got(&o->backends[1], GET);
}

static void a_client_of_http_1_0_gets_no_chunks(void **state)
{
        struct relay_owner *o = *state;

        given(o, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        respond(o, 0, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok");
        assert_true(o->client.has_ended);
        assert_null(o->relay);
}

static void a_response_to_head_has_no_body(void **state)
{
        struct relay_owner *o = *state;

        given(o, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        given(o, GET);
        assert_int_equal(o->backend_count, 1);
}

static void interim_responses_come_before_the_body_is_sent(void **state)
{
        struct relay_owner *o = *state;

        given(o, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        assert_got(&o->backends[0], "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        respond(o, 0, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 100 Continue\r\n\r\n");
        given(o, "hi");
        assert_got(&o->backends[0], "hi");
        respond(o, 0, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK);
        assert_got(&o->client, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK);
        assert_int_equal(o->records[0].status, 200);
}

static void an_early_response_ends_the_connection_after_it(void **state)
{
        struct relay_owner *o = *state;

        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
        respond(o, 0, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
        assert_got(&o->client, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        assert_true(o->client.has_ended);
        assert_true(o->backends[0].has_ended);
        given(o, "more of the body");
        assert_non_null(o->relay); /* reads on, so that the client gets the response */
        stream_shutdown(o->client.stream);
        turn(o);
        assert_null(o->relay);
}

static void a_client_that_sends_on_after_the_response_is_closed(void **state)
{
        struct relay_owner *o = *state;

        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
        respond(o, 0, OK);
        advance(o, TIMEOUT_HTTP_LINGER);
        assert_null(o->relay);
}

static void requests_can_be_answered_without_a_backend(void **state)
{
        struct relay_owner *o = *state;

        o->answers = true;
        given(o, GET GET);
        assert_got(&o->client, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
        assert_int_equal(o->backend_count, 0);
        assert_int_equal(o->record_count, 2);
}

/* ---- upgrades ----------------------------------------------------------------------------------------------- */

#define UPGRADE "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void an_upgraded_connection_becomes_a_tunnel(void **state)
{
        struct relay_owner *o = *state;

        given(o, UPGRADE "early");
        assert_got(&o->backends[0], UPGRADE);
        respond(o, 0, SWITCH "frame");
        assert_got(&o->client, SWITCH "frame");
        assert_got(&o->backends[0], "early");
        assert_int_equal(o->records[0].status, 101);
        given(o, GET "\n\n");
        assert_got(&o->backends[0], GET "\n\n");
        advance(o, 24 * 3600 * 1000);
        respond(o, 0, "bye");
        assert_got(&o->client, "bye");
        stream_shutdown(o->backends[0].stream);
        turn(o);
        assert_true(o->client.has_ended);
        stream_shutdown(o->client.stream);
        turn(o);
        assert_null(o->relay);
        assert_int_equal(o->record_count, 1);
}

static void a_refused_upgrade_is_an_ordinary_response(void **state)
{
        struct relay_owner *o = *state;

        given(o, UPGRADE);
        respond(o, 0, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        assert_got(&o->client, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        given(o, GET);
        assert_got(&o->backends[0], UPGRADE GET);
}

static void an_upgrade_that_was_not_offered_is_refused(void **state)
{
        static const char *const requests[] = { GET, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other, h2c\r\n\r\n" };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                struct relay_owner *o = *state;

                given(o, requests[i]);
                respond(o, 0, SWITCH);
                assert_page(o, HTTP_FAILURE_MALFORMED, "HTTP/1.1 502 ");
                assert_true(o->backends[0].has_ended);
                tear_down(state);
                set_up(state);
        }
}

/* ---- failures ----------------------------------------------------------------------------------------------- */

static void malformed_requests_never_reach_a_backend(void **state)
{
        static const struct {
                const char *request, *status_line;
        } cases[] = {
                { "GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n", "HTTP/1.1 400 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "HTTP/1.1 501 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 417 " },
                { "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 " },
                { "\x16\x03\x01\r\n\r\n", "HTTP/1.1 400 " },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct relay_owner *o = *state;

                given(o, cases[i].request);
                assert_page(o, HTTP_FAILURE_REQUEST, cases[i].status_line);
                assert_true(o->client.has_ended);
                given(o, GET);
                assert_int_equal(o->backend_count, 0);
                assert_int_equal(o->record_count, 1);
                tear_down(state);
                set_up(state);
        }
}

static void a_malformed_body_ends_the_request_at_the_backend(void **state)
{
        struct relay_owner *o = *state;

        given(o, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x1\r\n");
        assert_page(o, HTTP_FAILURE_REQUEST, "HTTP/1.1 400 ");
        assert_true(o->backends[0].has_ended);
        assert_true(o->client.has_ended);
        assert_int_equal(o->record_count, 1);
}

static void a_head_without_end_is_refused(void **state)
{
        struct relay_owner *o = *state;

        given(o, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < LIMIT_HTTP_HEAD / 16 + 1; i++)
                stream_write(o->client.stream, STR("X-Field: 012345\r\n"));
        turn(o);
        assert_page(o, HTTP_FAILURE_REQUEST, "HTTP/1.1 431 ");
}

static void a_slow_request_is_refused(void **state)
{
        struct relay_owner *o = *state;

        given(o, "GET / HTTP/1.1\r\n");
        advance(o, TIMEOUT_HTTP_HEAD);
        assert_page(o, HTTP_FAILURE_REQUEST, "HTTP/1.1 408 ");
}

static const struct {
        const char *name, *response; /* before the backend closes */
        enum http_failure failure;
} bad_responses[] = {
        { "nothing", "", HTTP_FAILURE_CLOSED },
        { "half a head", "HTTP/1.1 200 OK\r\nX: ", HTTP_FAILURE_CLOSED },
        { "only interim responses", "HTTP/1.1 100 Continue\r\n\r\n", HTTP_FAILURE_CLOSED },
        { "no HTTP", "SSH-2.0-x\r\n\r\n", HTTP_FAILURE_MALFORMED },
        { "a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", HTTP_FAILURE_MALFORMED },
        { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n" OK, HTTP_FAILURE_MALFORMED },
        { "a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_FAILURE_MALFORMED },
        { "an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", HTTP_FAILURE_MALFORMED },
};

static void bad_responses_become_pages(void **state)
{
        for (size_t i = 0; i < ARRAY_LEN(bad_responses); i++) {
                struct relay_owner *o = *state;

                given(o, GET);
                respond(o, 0, bad_responses[i].response);
                stream_shutdown(o->backends[0].stream);
                turn(o);
                while (str_starts_with(buf_str(&o->client.received), STR("HTTP/1.1 100 Continue\r\n\r\n")))
                        buf_consume(&o->client.received, STR("HTTP/1.1 100 Continue\r\n\r\n").len);
                if (o->failures != 1 || o->failure != bad_responses[i].failure)
                        fail_msg("%s: %d failures, class %d", bad_responses[i].name, o->failures, (int)o->failure);
                assert_page(o, bad_responses[i].failure, "HTTP/1.1 502 ");
                /* The client's connection goes on, with another one to the backend. */
                given(o, GET);
                assert_int_equal(o->backend_count, 2);
                tear_down(state);
                set_up(state);
        }
}

static void a_response_with_too_many_fields_becomes_a_page(void **state)
{
        struct relay_owner *o = *state;
        AUTO(buf) response = BUF_MAX(1 * MiB);

        given(o, GET);
        buf_put_c(&response, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 10000; i++)
                buf_put_c(&response, "X: y\r\n");
        buf_put_c(&response, "\r\n");
        respond(o, 0, buf_c(&response));
        assert_page(o, HTTP_FAILURE_MALFORMED, "HTTP/1.1 502 ");
}

static void interim_responses_without_end_become_a_page(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        for (int i = 0; i <= LIMIT_HTTP_INTERIM; i++)
                respond(o, 0, "HTTP/1.1 103 Early Hints\r\n\r\n");
        assert_int_equal(o->failures, 1);
        assert_int_equal(o->failure, HTTP_FAILURE_MALFORMED);
}

static void a_backend_that_does_not_respond_becomes_a_page(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        advance(o, TIMEOUT_HTTP_RESPONSE);
        assert_page(o, HTTP_FAILURE_SLOW, "HTTP/1.1 504 ");
}

static void a_response_head_that_trickles_becomes_a_page(void **state)
{
        struct relay_owner *o = *state;
        int seconds = 0;

        given(o, GET);
        respond(o, 0, "HTTP/1.1 200 OK\r\nX: ");
        while (o->failures == 0 && seconds++ < 1000) {
                respond(o, 0, "y");
                advance(o, 1000);
        }
        assert_page(o, HTTP_FAILURE_SLOW, "HTTP/1.1 504 ");
        assert_int_equal(seconds, TIMEOUT_HTTP_HEAD / 1000);
}

static void events_may_come_at_any_interval(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        buf_clear(&o->client.received);
        for (int i = 0; i < 5; i++) {
                advance(o, 3600 * 1000);
                respond(o, 0, "5\r\ndata\n\r\n");
                assert_got(&o->client, "5\r\ndata\n\r\n");
        }
}

static void a_response_that_breaks_off_does_not_look_complete(void **state)
{
        static const char *const responses[] = { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" };

        for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
                struct relay_owner *o = *state;

                given(o, GET);
                respond(o, 0, responses[i]);
                stream_shutdown(o->backends[0].stream);
                turn(o);
                assert_got(&o->client, responses[i]);
                assert_true(o->client.has_ended);
                assert_null(o->relay);
                assert_int_equal(o->record_count, 1);
                assert_false(o->records[0].is_complete);
                tear_down(state);
                set_up(state);
        }
}

static void a_response_of_unknown_end_that_breaks_does_not_look_complete(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, "HTTP/1.1 200 OK\r\n\r\nok");
        memory_stream_break(o->backends[0].stream);
        turn(o);
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        assert_true(o->client.has_ended);
}

static void unsolicited_bytes_are_never_the_next_response(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, OK "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        assert_got(&o->client, OK);
        given(o, GET);
        assert_int_equal(o->backend_count, 2);
        respond(o, 1, OK);
        assert_got(&o->client, OK);
        respond(o, 1, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        assert_true(o->backends[1].has_ended);
        given(o, GET);
        assert_int_equal(o->backend_count, 3);
        assert_got(&o->client, "");
}

/* The relay sends its request before it sees that the kept connection has ended. */
static void end_kept_connection(struct relay_owner *o, const char *next)
{
        given(o, GET);
        respond(o, 0, OK);
        buf_clear(&o->client.received);
        stream_write(o->client.stream, str_of(next));
        for (int i = 0; i < 50 && o->backends[0].received.len <= STR(GET).len; i++)
                owner_turn(o, 1);
        stream_shutdown(o->backends[0].stream);
        turn(o);
}

static void a_request_is_repeated_if_the_kept_connection_has_ended(void **state)
{
        struct relay_owner *o = *state;

        end_kept_connection(o, GET);
        assert_int_equal(o->reconnects, 1);
        assert_int_equal(o->backend_count, 2);
        assert_got(&o->backends[1], GET);
        respond(o, 1, OK);
        assert_got(&o->client, OK);
        assert_int_equal(o->record_count, 2);
}

static void a_request_that_may_have_worked_is_not_repeated(void **state)
{
        static const char *const requests[] = { "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                struct relay_owner *o = *state;

                end_kept_connection(o, requests[i]);
                assert_page(o, HTTP_FAILURE_CLOSED, "HTTP/1.1 502 ");
                assert_int_equal(o->reconnects, 0);
                assert_int_equal(o->backend_count, 1);
                tear_down(state);
                set_up(state);
        }
}

static void a_new_connection_is_tried_once_only(void **state)
{
        struct relay_owner *o = *state;

        end_kept_connection(o, GET);
        stream_shutdown(o->backends[1].stream);
        turn(o);
        assert_page(o, HTTP_FAILURE_CLOSED, "HTTP/1.1 502 ");
        assert_int_equal(o->backend_count, 2);
}

/* ---- ends --------------------------------------------------------------------------------------------------- */

static void an_exchange_ends_with_its_client(void **state)
{
        static const char *const responses[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok" };

        for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
                struct relay_owner *o = *state;

                given(o, GET);
                respond(o, 0, responses[i]);
                stream_close(o->client.stream);
                o->client.stream = NULL;
                turn(o);
                assert_true(o->backends[0].has_ended);
                assert_null(o->relay);
                assert_int_equal(o->record_count, 1);
                assert_false(o->records[0].is_complete);
                tear_down(state);
                set_up(state);
        }
}

static void an_exchange_is_reported_once_if_the_owner_asks_first(void **state)
{
        struct relay_owner *o = *state;

        http_relay_report(o->relay);
        assert_int_equal(o->record_count, 0);
        given(o, GET);
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok");
        http_relay_report(o->relay);
        assert_int_equal(o->record_count, 1);
        assert_int_equal(o->records[0].status, 200);
        assert_int_equal(o->records[0].sent, 2);
        assert_false(o->records[0].is_complete);
        http_relay_close(o->relay);
        turn(o);
        assert_null(o->relay);
        assert_int_equal(o->record_count, 1);
}

static void a_client_may_end_while_its_backend_is_dialled(void **state)
{
        struct relay_owner *o = *state;

        o->waits = true;
        given(o, GET);
        stream_shutdown(o->client.stream);
        turn(o);
        assert_null(o->relay);
        assert_int_equal(o->record_count, 1);
}

/* The dial of an owner may end in the same turn of the loop as its client. */
static void a_decision_after_the_end_of_its_client_is_ignored(void **state)
{
        for (int forwards = 0; forwards < 2; forwards++) {
                struct relay_owner *o = *state;

                o->waits = true;
                given(o, GET);
                http_relay_close(o->relay);
                if (forwards)
                        owner_connect(o);
                else
                        http_relay_answer(o->relay, 502, NULL, STR("page"));
                turn(o);
                assert_null(o->relay);
                assert_true(!forwards || o->backends[0].has_ended);
                assert_got(&o->client, "");
                assert_int_equal(o->record_count, 1);
                assert_false(o->records[0].is_complete);
                tear_down(state);
                set_up(state);
        }
}

static void idle_connections_are_closed(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        respond(o, 0, OK);
        advance(o, TIMEOUT_HTTP_BACKEND_IDLE);
        assert_true(o->backends[0].has_ended);
        assert_non_null(o->relay);
        advance(o, TIMEOUT_HTTP_IDLE);
        assert_null(o->relay);
}

static void a_request_for_another_server_is_handed_over(void **state)
{
        struct relay_owner *o = *state;
        struct peer next = { 0 };

        given(o, GET);
        respond(o, 0, OK);
        assert_got(&o->client, OK);
        given(o, "POST /f HTTP/1.1\r\nHost: foreign\r\nContent-Length: 4\r\n\r\nab");
        assert_null(o->relay);
        assert_non_null(o->foreign);
        assert_int_equal(o->record_count, 1);
        assert_true(o->backends[0].has_ended);
        assert_false(o->client.has_ended);
        peer_start(&next, o->foreign);
        o->foreign = NULL;
        given(o, "cd");
        assert_got(&next, "POST /f HTTP/1.1\r\nHost: foreign\r\nContent-Length: 4\r\n\r\nabcd");
        stream_write(next.stream, STR(OK));
        turn(o);
        assert_got(&o->client, OK);
        stream_close(next.stream);
        buf_release(&next.received);
}

static void a_drained_connection_closes_after_its_request(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET);
        http_relay_drain(o->relay);
        turn(o);
        respond(o, 0, OK);
        assert_got(&o->client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        assert_null(o->relay);
        tear_down(state);
        set_up(state);
        o = *state;
        http_relay_drain(o->relay);
        turn(o);
        assert_null(o->relay);
}

static void a_connection_can_be_closed_at_any_time(void **state)
{
        static const char *const requests[] = { "", "GET / ", GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", UPGRADE };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++)
                for (int responses = 0; responses < 3; responses++) {
                        struct relay_owner *o = *state;

                        given(o, requests[i]);
                        if (responses > 0 && o->backend_count > 0)
                                respond(o, 0, i == ARRAY_LEN(requests) - 1 ? SWITCH : responses == 1 ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no" : OK);
                        if (o->relay != NULL)
                                http_relay_close(o->relay);
                        turn(o);
                        assert_null(o->relay);
                        assert_true(o->client.has_ended);
                        tear_down(state);
                        set_up(state);
                }
}

/* ---- back pressure ------------------------------------------------------------------------------------------ */

enum { MUCH = 4 * MiB };

static void a_client_that_does_not_read_stops_its_backend(void **state)
{
        struct relay_owner *o = *state;
        AUTO_MEM char *zeros = mem_alloc(MUCH);

        given(o, GET);
        stream_read(o->client.stream, false);
        respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
        stream_write(o->backends[0].stream, (struct str){ zeros, MUCH });
        owner_turn(o, 500);
        assert_true(stream_pending(o->backends[0].stream) >= MUCH - 3 * LIMIT_HTTP_WINDOW);
        stream_read(o->client.stream, true);
        owner_turn(o, 1000);
        assert_int_equal(o->records[0].sent, MUCH);
        assert_true(o->records[0].is_complete);
        assert_true(o->client.received.len > MUCH);
}

static void a_client_that_does_not_read_gets_no_further_responses(void **state)
{
        enum { REQUESTS = 20000 };
        struct relay_owner *o = *state;
        AUTO(buf) requests = BUF_MAX(MUCH);

        o->answers = true;
        for (int i = 0; i < REQUESTS; i++)
                buf_put_c(&requests, GET);
        stream_read(o->client.stream, false);
        stream_write(o->client.stream, buf_str(&requests));
        owner_turn(o, 500);
        assert_true(o->record_count < REQUESTS / 2);
        stream_read(o->client.stream, true);
        for (int i = 0; i < 100 && o->record_count < REQUESTS; i++)
                turn(o);
        assert_int_equal(o->record_count, REQUESTS);
        assert_non_null(o->relay);
}

static void a_backend_that_does_not_read_stops_its_client(void **state)
{
        struct relay_owner *o = *state;
        AUTO_MEM char *zeros = mem_alloc(MUCH);

        given(o, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
        stream_read(o->backends[0].stream, false);
        stream_write(o->client.stream, (struct str){ zeros, MUCH });
        owner_turn(o, 500);
        assert_true(stream_pending(o->client.stream) >= MUCH - 4 * LIMIT_HTTP_WINDOW);
        stream_read(o->backends[0].stream, true);
        owner_turn(o, 1000);
        respond(o, 0, OK);
        assert_got(&o->client, OK);
        assert_int_equal(o->records[0].received, MUCH);
}

static void a_stalled_body_ends_the_exchange(void **state)
{
        for (int side = 0; side < 3; side++) {
                struct relay_owner *o = *state;
                AUTO_MEM char *zeros = mem_alloc(MUCH);

                given(o, side == 0 ? GET : "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
                advance(o, 1000); /* the time counts from the last byte, not from the request */
                respond(o, 0, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
                if (side == 0) { /* the client does not read */
                        stream_read(o->client.stream, false);
                        stream_write(o->backends[0].stream, (struct str){ zeros, MUCH });
                } else if (side == 1) { /* the backend does not read */
                        stream_read(o->backends[0].stream, false);
                        stream_write(o->client.stream, (struct str){ zeros, MUCH });
                } /* else the client does not send */
                owner_turn(o, 500);
                advance(o, TIMEOUT_HTTP_STALL - 500);
                assert_non_null(o->relay);
                advance(o, 501);
                assert_null(o->relay);
                assert_true(o->backends[0].has_ended || side == 1);
                assert_false(o->records[0].is_complete);
                tear_down(state);
                set_up(state);
        }
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                A_TEST(both_connections_are_kept_for_the_next_request),
                A_TEST(heads_can_be_edited_both_ways),
                A_TEST(pipelined_requests_are_served_in_order),
                A_TEST(a_body_is_passed_on_as_it_comes),
                A_TEST(a_head_that_comes_alone_does_not_wait_for_its_body),
                A_TEST(the_owner_reads_a_short_body_itself),
                A_TEST(a_body_for_the_owner_must_arrive_in_time),
                A_TEST(chunks_and_trailers_are_passed_on),
                A_TEST(a_body_until_the_end_becomes_chunks),
                A_TEST(a_client_of_http_1_0_gets_no_chunks),
                A_TEST(a_response_to_head_has_no_body),
                A_TEST(interim_responses_come_before_the_body_is_sent),
                A_TEST(an_early_response_ends_the_connection_after_it),
                A_TEST(a_client_that_sends_on_after_the_response_is_closed),
                A_TEST(requests_can_be_answered_without_a_backend),
                A_TEST(an_upgraded_connection_becomes_a_tunnel),
                A_TEST(a_refused_upgrade_is_an_ordinary_response),
                A_TEST(an_upgrade_that_was_not_offered_is_refused),
                A_TEST(malformed_requests_never_reach_a_backend),
                A_TEST(a_malformed_body_ends_the_request_at_the_backend),
                A_TEST(a_head_without_end_is_refused),
                A_TEST(a_slow_request_is_refused),
                A_TEST(bad_responses_become_pages),
                A_TEST(a_response_with_too_many_fields_becomes_a_page),
                A_TEST(interim_responses_without_end_become_a_page),
                A_TEST(a_backend_that_does_not_respond_becomes_a_page),
                A_TEST(a_response_head_that_trickles_becomes_a_page),
                A_TEST(events_may_come_at_any_interval),
                A_TEST(a_response_that_breaks_off_does_not_look_complete),
                A_TEST(a_response_of_unknown_end_that_breaks_does_not_look_complete),
                A_TEST(unsolicited_bytes_are_never_the_next_response),
                A_TEST(a_request_is_repeated_if_the_kept_connection_has_ended),
                A_TEST(a_request_that_may_have_worked_is_not_repeated),
                A_TEST(a_new_connection_is_tried_once_only),
                A_TEST(an_exchange_ends_with_its_client),
                A_TEST(an_exchange_is_reported_once_if_the_owner_asks_first),
                A_TEST(a_client_may_end_while_its_backend_is_dialled),
                A_TEST(a_decision_after_the_end_of_its_client_is_ignored),
                A_TEST(idle_connections_are_closed),
                A_TEST(a_request_for_another_server_is_handed_over),
                A_TEST(a_drained_connection_closes_after_its_request),
                A_TEST(a_connection_can_be_closed_at_any_time),
                A_TEST(a_client_that_does_not_read_stops_its_backend),
                A_TEST(a_client_that_does_not_read_gets_no_further_responses),
                A_TEST(a_backend_that_does_not_read_stops_its_client),
                A_TEST(a_stalled_body_ends_the_exchange),
        };

        return cmocka_run_group_tests_name("http_relay", tests, NULL, NULL);
}
