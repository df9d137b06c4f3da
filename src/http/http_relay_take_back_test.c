/* SPDX-License-Identifier: Apache-2.0 */
/* Responses that the owner takes back, to request them from another backend. */
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

static void given(struct relay_owner *o, const char *request)
{
        stream_write(o->client.stream, str_of(request));
        owner_turn(o, 50);
}

static void respond(struct relay_owner *o, size_t backend, const char *response)
{
        assert_true(backend < o->backend_count);
        stream_write(o->backends[backend].stream, str_of(response));
        owner_turn(o, 50);
}

static void assert_got(struct peer *p, const char *expected)
{
        assert_string_equal(buf_c(&p->received), expected);
        buf_clear(&p->received);
}

static void a_response_is_taken_back_and_requested_elsewhere(void **state)
{
        struct relay_owner *o = *state;

        given(o, GET GET);
        o->take_backs = 2;
        respond(o, 0, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
        assert_true(o->backends[0].has_ended);
        assert_got(&o->backends[1], GET);
        respond(o, 1, "HTTP/1.1 502 Bad Gateway\r\n\r\nuntil the end");
        assert_got(&o->client, "");
        assert_got(&o->backends[2], GET);
        respond(o, 2, OK);
        assert_got(&o->client, OK);
        assert_got(&o->backends[2], GET); /* the next one stays there */
        respond(o, 2, OK);
        assert_got(&o->client, OK);
        assert_int_equal(o->record_count, 2);
        assert_int_equal(o->records[0].sent, 2);
        assert_int_equal(o->reconnects, 2);
}

static void a_response_to_a_body_is_not_taken_back(void **state)
{
        struct relay_owner *o = *state;

        o->take_backs = 1;
        given(o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        respond(o, 0, OK);
        assert_got(&o->client, OK);
        assert_int_equal(o->take_backs, 0);
        assert_int_equal(o->reconnects, 0);
        assert_int_equal(o->backend_count, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_response_is_taken_back_and_requested_elsewhere, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_response_to_a_body_is_not_taken_back, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("relay_take_back", tests, NULL, NULL);
}
