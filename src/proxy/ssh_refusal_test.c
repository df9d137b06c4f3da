/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ssh_refusal.h"

#include "base/interop.h"
#include "base/limits.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"

struct stage {
        struct loop loop;
        struct ear client;
        struct ssh_refusal *refusal;
        int done;
};

static void on_done(void *ctx)
{
        ((struct stage *)ctx)->done++;
}

/* A client that has read the refusal. */
static void refuse(struct stage *s)
{
        struct stream *here, *there;

        *s = (struct stage){ 0 };
        assert_null(loop_init(&s->loop, NULL));
        memory_stream_pair(&s->loop, &here, &there);
        ear_listen(&s->client, here);
        stream_read(here, true);
        s->refusal = ssh_refusal_start(&s->loop, there, on_done, s);
        RUN_UNTIL(&s->loop, s->client.received.len > 0);
        assert_int_equal(s->done, 0);
}

static void assert_over(struct stage *s)
{
        RUN_UNTIL(&s->loop, s->done == 1);
        ear_release(&s->client);
        run_a_while(&s->loop);
        assert_int_equal(s->done, 1);
        loop_release(&s->loop);
}

static void sends_the_reason_until_the_peer_hangs_up(void **state)
{
        struct stage s;

        (void)state;
        refuse(&s);
        struct str received = buf_str(&s.client.received);
        assert_true(str_starts_with(received, STR("SSH-2.0-cteleport\r\n")));
        assert_true(str_contains(received, STR(INTEROP_CLIENT_HINT)));
        assert_int_equal((received.len - strlen("SSH-2.0-cteleport\r\n")) % 8, 0); /* whole blocks (RFC 4253 section 6) */
        stream_write(s.client.stream, STR("SSH-2.0-Go\r\n"));
        run_a_while(&s.loop);
        assert_int_equal(s.done, 0);
        stream_shutdown(s.client.stream);
        assert_over(&s);
}

static void ends_if_the_peer_sends_too_much(void **state)
{
        struct stage s;
        AUTO(buf) much = BUF_MAX(LIMIT_HTTP1_HEADER + 1);

        (void)state;
        refuse(&s);
        memset(buf_extend(&much, LIMIT_HTTP1_HEADER + 1), 'x', LIMIT_HTTP1_HEADER + 1);
        stream_write(s.client.stream, buf_str(&much));
        RUN_UNTIL(&s.loop, s.client.ends == 1);
        assert_over(&s);
}

static void can_be_ended(void **state)
{
        struct stage s;

        (void)state;
        refuse(&s);
        ssh_refusal_cancel(s.refusal);
        ssh_refusal_cancel(s.refusal);
        assert_int_equal(s.done, 0); /* from the loop only */
        assert_over(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sends_the_reason_until_the_peer_hangs_up),
                cmocka_unit_test(ends_if_the_peer_sends_too_much),
                cmocka_unit_test(can_be_ended),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
