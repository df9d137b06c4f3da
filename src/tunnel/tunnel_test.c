/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tunnel_internal.h"
#include "tunnel/tunnel_memory.h"
#include "tunnel/tunnel_testing.h"

/* Bytes that show where they belong. */
static struct str pattern(size_t len)
{
        static char bytes[8 * MiB];

        assert_true(len <= sizeof bytes);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (char)(i * 2654435761u >> 13);
        return str_of_bytes(bytes, len);
}

static void assert_received_all(const struct ear *e, struct str sent)
{
        assert_int_equal(e->received.len, sent.len);
        assert_memory_equal(e->received.ptr, sent.ptr, sent.len);
}

/* ---- asking and answering ------------------------------------------------------------------------------------- */

static void the_agent_gets_the_request_of_the_client(void **state UNUSED)
{
        struct rig r;
        struct call c;

        rig_init(&r);
        call_start(&r, &c);
        RUN_UNTIL(&r.loop, c.done);
        assert_null(c.err);
        assert_string_equal(r.host_id, "7c1e");
        assert_string_equal(r.connection_id, "conn-1");
        assert_string_equal(r.client_addr, "192.0.2.7:40000");
        stream_close(c.stream);
        stream_close(r.accepted[0]);
        rig_release(&r);
}

static void bytes_go_both_ways_and_both_ends_end_in_order(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;
        struct str big = pattern(5 * MiB);

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_read(proxy.stream, true);
        stream_read(agent.stream, true);
        proxy.in_call = agent.in_call = true;
        stream_write(proxy.stream, STR("hello"));
        stream_write(agent.stream, big);
        assert_int_equal(stream_pending(agent.stream), big.len);
        stream_shutdown(agent.stream);
        stream_write(agent.stream, STR("too late"));
        proxy.in_call = agent.in_call = false;
        RUN_UNTIL(&r.loop, proxy.ends == 1 && agent.received.len == 5);
        assert_received_all(&proxy, big);
        assert_received(&agent, "hello");
        assert_null(proxy.err);
        assert_int_equal(agent.drains, 1);
        /* The other direction is still open. */
        stream_write(proxy.stream, STR(" world"));
        stream_shutdown(proxy.stream);
        RUN_UNTIL(&r.loop, agent.ends == 1);
        assert_received(&agent, "hello world");
        assert_null(agent.err);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void a_refusal_arrives_with_code_sentence_and_hint(void **state UNUSED)
{
        struct rig r;
        struct call c;

        rig_init(&r);
        r.manner = REFUSES;
        call_start(&r, &c);
        RUN_UNTIL(&r.loop, c.done);
        assert_int_equal(c.err->code, ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(c.err->what, "no sshd: 100% gone"));
        assert_non_null(c.err->hint);
        error_free(c.err);
        rig_release(&r);
}

static void a_cancelled_dial_ends_once_at_both_ends(void **state UNUSED)
{
        struct rig r;
        struct call c;

        rig_init(&r);
        r.manner = WAITS;
        call_start(&r, &c);
        RUN_UNTIL(&r.loop, r.poll != NULL);
        tunnel_connect_cancel(c.dial);
        tunnel_connect_cancel(c.dial);
        assert_int_equal(c.done, 0);
        RUN_UNTIL(&r.loop, c.done && r.gone);
        assert_int_equal(c.err->code, ERROR_CANCELLED);
        error_free(c.err);
        call_start(&r, &c); /* given up before it was even sent */
        tunnel_connect_cancel(c.dial);
        RUN_UNTIL(&r.loop, c.done);
        assert_int_equal(c.err->code, ERROR_CANCELLED);
        error_free(c.err);
        rig_release(&r);
}

static void an_answer_may_take_its_time(void **state UNUSED)
{
        struct rig r;
        struct call c;

        rig_init(&r);
        r.manner = WAITS;
        call_start(&r, &c);
        RUN_UNTIL(&r.loop, r.poll != NULL);
        run_a_while(&r.loop);
        assert_int_equal(c.done, 0);
        struct stream *s = tunnel_accept(r.poll);
        RUN_UNTIL(&r.loop, c.done);
        assert_non_null(c.stream);
        stream_close(s);
        stream_close(c.stream);
        rig_release(&r);
}

/* ---- flow ------------------------------------------------------------------------------------------------------- */

static void a_paused_reader_stalls_no_other_stream(void **state UNUSED)
{
        struct rig r;
        struct ear slow_proxy, slow_agent, proxy, agent;
        struct str big = pattern(8 * MiB), some = pattern(3 * MiB);

        rig_init(&r);
        pair_up(&r, &slow_proxy, &slow_agent);
        pair_up(&r, &proxy, &agent);
        stream_write(slow_agent.stream, big);
        run_a_while(&r.loop);
        /* The bytes in flight fill the window, and no more. */
        assert_true(stream_pending(slow_agent.stream) >= big.len - LIMIT_TUNNEL_WINDOW);
        assert_int_equal(slow_proxy.received.len, 0);
        stream_read(proxy.stream, true);
        stream_write(agent.stream, some);
        RUN_UNTIL(&r.loop, proxy.received.len == some.len);
        assert_received_all(&proxy, some);
        assert_int_equal(slow_proxy.received.len, 0);
        /* And it loses nothing. */
        stream_read(slow_proxy.stream, true);
        RUN_UNTIL(&r.loop, slow_proxy.received.len == big.len);
        assert_received_all(&slow_proxy, big);
        assert_int_equal(slow_agent.drains, 1);
        ear_release(&slow_proxy);
        ear_release(&slow_agent);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void a_stream_without_reads_holds_a_first_window(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;
        struct str big = pattern(8 * MiB);

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_write(agent.stream, big);
        run_a_while(&r.loop);
        assert_int_equal(stream_pending(agent.stream), big.len - LIMIT_STREAM_WINDOW_FIRST);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

/* Reads until its window is as large as permitted, then stops. Returns the bytes in flight to it then. */
static size_t under_way_to(struct rig *r, struct tunnel_memory *m, struct ear *proxy, struct ear *agent)
{
        struct str big = pattern(8 * MiB);

        tunnel_stream_grow_by(proxy->stream, tunnel_memory_may_grow, m);
        stream_read(proxy->stream, true);
        stream_write(agent->stream, big);
        RUN_UNTIL(&r->loop, proxy->received.len >= 4 * MiB);
        stream_read(proxy->stream, false);
        run_a_while(&r->loop);
        return big.len - proxy->received.len - stream_pending(agent->stream);
}

static void windows_grow_as_far_as_the_budget_has_room(void **state UNUSED)
{
        enum { MANY = 6 };
        struct budget b = { .total = 16 * MiB, .share = 3 * MiB };
        struct tunnel_memory m[MANY] = { { 0 } };
        struct ear proxy[MANY], agent[MANY];
        size_t under_way = 0;
        struct rig r;

        rig_init(&r);
        for (int i = 0; i < MANY; i++) {
                assert_null(tunnel_memory_open(&m[i], &b, STR("alice")));
                pair_up(&r, &proxy[i], &agent[i]);
        }
        for (int i = 0; i < MANY; i++) {
                size_t one = under_way_to(&r, &m[i], &proxy[i], &agent[i]);

                assert_in_range(one, 1, m[i].window);
                under_way += one;
        }
        assert_int_equal(m[0].window, LIMIT_TUNNEL_WINDOW);
        assert_true(m[MANY - 1].window < LIMIT_TUNNEL_WINDOW); /* and yet it got on */
        assert_in_range(under_way, LIMIT_TUNNEL_WINDOW, b.share);
        assert_in_range(b.used, under_way, b.share);
        for (int i = 0; i < MANY; i++) {
                ear_release(&proxy[i]);
                ear_release(&agent[i]);
                tunnel_memory_close(&m[i]);
        }
        assert_int_equal(b.used, 0);
        rig_release(&r);
        budget_release(&b);
}

static void a_stream_is_refused_when_no_first_window_is_there(void **state UNUSED)
{
        struct budget b = { .total = 1 * MiB, .share = 600 * KiB };
        struct tunnel_memory m[16] = { { 0 } };
        size_t count = 0;
        struct error *err = NULL;

        while (count < ARRAY_LEN(m) && (err = tunnel_memory_open(&m[count], &b, STR("alice"))) == NULL)
                count++;
        assert_int_equal(count, b.share / tunnel_memory_cost(LIMIT_STREAM_WINDOW_FIRST));
        assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
        error_free(err);
        assert_null(tunnel_memory_open(&m[15], &b, STR("bob")));
        tunnel_memory_close(&m[15]);
        while (count-- > 0)
                tunnel_memory_close(&m[count]);
        tunnel_memory_close(&m[0]); /* a zeroed one */
        budget_release(&b);
}

/* The products that limits.h states. */
static void the_products_of_the_limits_hold(void **state UNUSED)
{
        size_t first = tunnel_memory_cost(LIMIT_STREAM_WINDOW_FIRST);

        assert_true(first * LIMIT_SSH_DIALS_USER <= LIMIT_STREAM_MEMORY_USER);
        assert_true(first * LIMIT_SSH_DIALS <= LIMIT_STREAM_MEMORY);
        assert_true(first * LIMIT_SSH_CONNECTIONS <= LIMIT_STREAM_MEMORY_NODE);
        assert_int_equal(first / KiB, 112);
}

static void a_reader_may_pause_in_the_middle(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;
        struct str sent = pattern(700 * KiB);

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_write(agent.stream, sent);
        stream_shutdown(agent.stream);
        proxy.pause_on_read = true;
        while (!proxy.ends) {
                size_t before = proxy.received.len;

                stream_read(proxy.stream, true);
                RUN_UNTIL(&r.loop, proxy.received.len > before || proxy.ends);
                assert_true(proxy.received.len - before <= LOOP_BUFFER);
        }
        assert_received_all(&proxy, sent);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void streams_share_the_line_fairly(void **state UNUSED)
{
        struct rig r;
        struct ear bulk_proxy, bulk_agent, proxy, agent;
        struct str big = pattern(8 * MiB);

        rig_init(&r);
        pair_up(&r, &bulk_proxy, &bulk_agent);
        pair_up(&r, &proxy, &agent);
        stream_read(bulk_proxy.stream, true);
        stream_read(proxy.stream, true);
        stream_write(bulk_agent.stream, big);
        for (int i = 0; i < 8; i++)
                uv_run(&r.loop.uv, UV_RUN_NOWAIT);
        stream_write(agent.stream, STR("x"));
        RUN_UNTIL(&r.loop, proxy.received.len == 1);
        assert_true(bulk_proxy.received.len < big.len / 2);
        RUN_UNTIL(&r.loop, bulk_proxy.received.len == big.len);
        ear_release(&bulk_proxy);
        ear_release(&bulk_agent);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void carries_thousands_of_streams(void **state UNUSED)
{
        struct rig r;
        static struct ear proxy[INCOMING_STREAMS_MAX], agent[INCOMING_STREAMS_MAX];

        rig_init(&r);
        for (size_t i = 0; i < INCOMING_STREAMS_MAX; i++) {
                pair_up(&r, &proxy[i], &agent[i]);
                stream_read(proxy[i].stream, true);
                stream_read(agent[i].stream, true);
        }
        for (size_t i = 0; i < INCOMING_STREAMS_MAX; i++) {
                AUTO_MEM char *text = mem_printf("stream %zu", i);

                stream_write(proxy[i].stream, str_of(text));
                stream_write(agent[i].stream, pattern(1 + i % 50));
                stream_shutdown(agent[i].stream);
        }
        for (size_t i = 0; i < INCOMING_STREAMS_MAX; i++) {
                AUTO_MEM char *text = mem_printf("stream %zu", i);

                RUN_UNTIL(&r.loop, proxy[i].ends && agent[i].received.len == strlen(text));
                assert_received(&agent[i], text);
                assert_received_all(&proxy[i], pattern(1 + i % 50));
                ear_release(&proxy[i]);
        }
        for (size_t i = 0; i < INCOMING_STREAMS_MAX; i++) {
                RUN_UNTIL(&r.loop, agent[i].ends);
                ear_release(&agent[i]);
        }
        run_a_while(&r.loop);
        rig_release(&r);
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static void bytes_written_before_a_close_arrive(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;
        struct str sent = pattern(3 * MiB);

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_write(agent.stream, sent);
        ear_release(&agent);
        run_a_while(&r.loop);
        stream_read(proxy.stream, true);
        RUN_UNTIL(&r.loop, proxy.ends);
        assert_received_all(&proxy, sent);
        assert_null(proxy.err);
        stream_write(proxy.stream, sent); /* it is never read, and nothing waits for it */
        RUN_UNTIL(&r.loop, stream_pending(proxy.stream) == 0);
        ear_release(&proxy);
        rig_release(&r);
}

static void a_closed_stream_waits_for_its_reader_then_breaks(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_write(agent.stream, pattern(3 * MiB));
        ear_release(&agent);
        run_a_while(&r.loop);
        assert_int_equal(proxy.ends, 0);
        loop_advance(&r.loop, &r.clock, MILLISECONDS(TIMEOUT_LINGER));
        RUN_UNTIL(&r.loop, proxy.ends);
        assert_int_equal(proxy.err->code, ERROR_UNAVAILABLE);
        ear_release(&proxy);
        rig_release(&r);
}

static void a_writer_does_not_wait_for_a_closed_reader(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_read(agent.stream, true);
        stream_write(agent.stream, pattern(4 * MiB));
        run_a_while(&r.loop);
        assert_int_equal(agent.drains, 0);
        ear_release(&proxy);
        RUN_UNTIL(&r.loop, agent.ends && agent.drains);
        assert_int_equal(stream_pending(agent.stream), 0);
        ear_release(&agent);
        rig_release(&r);
}

static void a_lost_tunnel_breaks_its_streams(void **state UNUSED)
{
        struct rig r;
        struct ear reading_proxy, reading_agent, paused_proxy, paused_agent;
        struct call waiting, late;

        rig_init(&r);
        pair_up(&r, &reading_proxy, &reading_agent);
        pair_up(&r, &paused_proxy, &paused_agent);
        stream_read(reading_proxy.stream, true);
        stream_write(paused_agent.stream, STR("never read"));
        r.manner = WAITS;
        call_start(&r, &waiting);
        RUN_UNTIL(&r.loop, r.poll != NULL);
        tunnel_server_close(r.server);
        r.server = NULL;
        RUN_UNTIL(&r.loop, r.client_ends == 1 && waiting.done && reading_agent.ends && paused_agent.ends);
        assert_int_equal(waiting.err->code, ERROR_UNAVAILABLE);
        assert_int_equal(reading_proxy.err->code, ERROR_UNAVAILABLE);
        assert_int_equal(paused_proxy.err->code, ERROR_UNAVAILABLE); /* reported though it paused */
        assert_int_equal(r.server_ends, 0);
        assert_int_equal(r.gone, 0); /* no event after the owner closed it */
        r.poll = NULL;
        call_start(&r, &late); /* before its owner has closed the tunnel */
        RUN_UNTIL(&r.loop, late.done);
        assert_int_equal(late.err->code, ERROR_UNAVAILABLE);
        assert_int_equal(r.client_ends, 1);
        error_free(waiting.err);
        error_free(late.err);
        tunnel_close(r.tunnel);
        r.tunnel = NULL;
        run_a_while(&r.loop);
        stream_write(reading_proxy.stream, STR("to no reader")); /* streams outlive the tunnel */
        ear_release(&reading_proxy);
        ear_release(&reading_agent);
        ear_release(&paused_proxy);
        ear_release(&paused_agent);
        rig_release(&r);
}

static void a_lost_tunnel_empties_the_queue_of_a_stream_that_ended(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_read(agent.stream, true);
        stream_write(agent.stream, pattern(4 * MiB));
        stream_shutdown(proxy.stream);
        RUN_UNTIL(&r.loop, agent.ends == 1);
        assert_null(agent.err);
        assert_true(stream_pending(agent.stream) > 0);
        tunnel_close(r.tunnel);
        r.tunnel = NULL;
        RUN_UNTIL(&r.loop, agent.drains == 1 && r.server_ends == 1);
        stream_write(agent.stream, STR("hello"));
        run_a_while(&r.loop);
        assert_int_equal(agent.drains, 1);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void a_stream_that_broke_early_reports_it_to_its_later_owner(void **state UNUSED)
{
        struct rig r;
        struct call c;
        struct ear e = { 0 };

        rig_init(&r);
        call_start(&r, &c);
        RUN_UNTIL(&r.loop, c.done);
        tunnel_close(r.tunnel);
        r.tunnel = NULL;
        RUN_UNTIL(&r.loop, r.server_ends);
        run_a_while(&r.loop);
        ear_listen(&e, c.stream);
        stream_read(e.stream, true);
        assert_int_equal(e.ends, 0);
        RUN_UNTIL(&r.loop, e.ends);
        assert_non_null(e.err);
        ear_release(&e);
        stream_close(r.accepted[0]);
        rig_release(&r);
}

static void received_bytes_are_read_even_after_the_stream_ended(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        stream_write(agent.stream, STR("last words"));
        stream_shutdown(agent.stream);
        stream_shutdown(proxy.stream);
        run_a_while(&r.loop);
        tunnel_close(r.tunnel);
        r.tunnel = NULL;
        run_a_while(&r.loop);
        stream_read(proxy.stream, true);
        RUN_UNTIL(&r.loop, proxy.ends);
        assert_received(&proxy, "last words");
        assert_null(proxy.err);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void owners_may_let_go_inside_of_events(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        proxy.close_on_read = true;
        stream_read(proxy.stream, true);
        stream_read(agent.stream, true);
        agent.close_on_end = true;
        stream_write(agent.stream, pattern(2 * MiB));
        RUN_UNTIL(&r.loop, proxy.stream == NULL && agent.stream == NULL);
        ear_release(&proxy);
        ear_release(&agent);
        rig_release(&r);
}

static void a_drained_tunnel_keeps_its_streams_and_accepts_no_new_one(void **state UNUSED)
{
        struct rig r;
        struct ear proxy, agent;
        struct call late;

        rig_init(&r);
        pair_up(&r, &proxy, &agent);
        tunnel_drain(r.tunnel);
        call_start(&r, &late);
        RUN_UNTIL(&r.loop, late.done && r.drains == 1);
        assert_int_equal(late.err->code, ERROR_UNAVAILABLE);
        error_free(late.err);
        stream_read(proxy.stream, true);
        stream_write(agent.stream, STR("still here"));
        RUN_UNTIL(&r.loop, proxy.received.len == 10);
        assert_int_equal(r.client_ends + r.server_ends, 0);
        ear_release(&proxy);
        ear_release(&agent);
        RUN_UNTIL(&r.loop, r.client_ends == 1 && r.server_ends == 1); /* with the last stream the tunnel ends */
        rig_release(&r);
}

static void count_ready(void *ctx)
{
        ((struct rig *)ctx)->drains += 100;
}

static void count_leaving(void *ctx)
{
        ((struct rig *)ctx)->drains++;
}

static void the_agent_begins_and_leaves_a_tunnel(void **state UNUSED)
{
        struct rig r;
        struct call call = { 0 }, late = { 0 };

        rig_init(&r);
        tunnel_watch(r.tunnel, count_ready, count_leaving);
        RUN_UNTIL(&r.loop, r.drains == 100);
        call_start(&r, &call);
        RUN_UNTIL(&r.loop, call.done == 1);
        tunnel_server_drain(r.server);
        RUN_UNTIL(&r.loop, r.drains == 101);
        call_start(&r, &late);
        RUN_UNTIL(&r.loop, late.done == 1);
        assert_int_equal(late.err->code, ERROR_UNAVAILABLE);
        error_free(late.err);
        assert_int_equal(r.client_ends + r.server_ends, 0); /* the open stream continues */
        stream_close(call.stream);
        stream_close(r.accepted[0]);
        RUN_UNTIL(&r.loop, r.client_ends == 1 && r.server_ends == 1);
        assert_int_equal(r.drains, 101);
        rig_release(&r);
}

static void pings_keep_a_tunnel_and_find_a_dead_one(void **state UNUSED)
{
        struct rig r;
        struct stream *a, *b;

        rig_init(&r);
        for (int i = 0; i < 10; i++) {
                run_a_while(&r.loop);
                loop_advance(&r.loop, &r.clock, MILLISECONDS(TIMEOUT_KEEPALIVE));
                run_a_while(&r.loop);
        }
        assert_int_equal(r.client_ends + r.server_ends, 0);
        connected_pair(&r.loop, &a, &b); /* there is no peer at the other end */
        struct tunnel *deaf = tunnel_new(&r.loop, a, rig_on_client_end, &r);
        run_a_while(&r.loop);
        loop_advance(&r.loop, &r.clock, MILLISECONDS(TIMEOUT_KEEPALIVE));
        run_a_while(&r.loop);
        assert_int_equal(r.client_ends, 0);
        loop_advance(&r.loop, &r.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER));
        RUN_UNTIL(&r.loop, r.client_ends == 1);
        tunnel_close(deaf);
        stream_close(b);
        rig_release(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_agent_gets_the_request_of_the_client),
                cmocka_unit_test(bytes_go_both_ways_and_both_ends_end_in_order),
                cmocka_unit_test(a_refusal_arrives_with_code_sentence_and_hint),
                cmocka_unit_test(a_cancelled_dial_ends_once_at_both_ends),
                cmocka_unit_test(an_answer_may_take_its_time),
                cmocka_unit_test(a_paused_reader_stalls_no_other_stream),
                cmocka_unit_test(a_stream_without_reads_holds_a_first_window),
                cmocka_unit_test(windows_grow_as_far_as_the_budget_has_room),
                cmocka_unit_test(a_stream_is_refused_when_no_first_window_is_there),
                cmocka_unit_test(the_products_of_the_limits_hold),
                cmocka_unit_test(a_reader_may_pause_in_the_middle),
                cmocka_unit_test(streams_share_the_line_fairly),
                cmocka_unit_test(carries_thousands_of_streams),
                cmocka_unit_test(bytes_written_before_a_close_arrive),
                cmocka_unit_test(a_closed_stream_waits_for_its_reader_then_breaks),
                cmocka_unit_test(a_writer_does_not_wait_for_a_closed_reader),
                cmocka_unit_test(a_lost_tunnel_breaks_its_streams),
                cmocka_unit_test(a_lost_tunnel_empties_the_queue_of_a_stream_that_ended),
                cmocka_unit_test(a_stream_that_broke_early_reports_it_to_its_later_owner),
                cmocka_unit_test(received_bytes_are_read_even_after_the_stream_ended),
                cmocka_unit_test(owners_may_let_go_inside_of_events),
                cmocka_unit_test(the_agent_begins_and_leaves_a_tunnel),
                cmocka_unit_test(a_drained_tunnel_keeps_its_streams_and_accepts_no_new_one),
                cmocka_unit_test(pings_keep_a_tunnel_and_find_a_dead_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
