/* SPDX-License-Identifier: Apache-2.0 */
#include "app/request_batch.h"

#include <stdlib.h>

#include "agent/spool.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"

enum { LINES_MAX = LIMIT_APP_REQUEST_BATCH + REQUEST_LINE_MAX };

struct request_batch {
        struct spool_file *recording;
        struct buf lines;     /* holds no memory while no request waits */
        struct timer *oldest; /* runs while lines wait */
};

static void hand_over(struct request_batch *b)
{
        timer_stop(b->oldest);
        spool_output(b->recording, buf_str(&b->lines));
        buf_release(&b->lines);
        b->lines = BUF_MAX(LINES_MAX);
}

static void on_oldest_due(void *ctx)
{
        hand_over(ctx);
}

struct request_batch *request_batch_new(struct loop *l, struct spool_file *recording)
{
        struct request_batch *b = NEW(struct request_batch);

        *b = (struct request_batch){ .recording = recording, .lines = BUF_MAX(LINES_MAX), .oldest = timer_new(l, on_oldest_due, b) };
        return b;
}

void request_batch_add(struct request_batch *b, const struct request_entry *entry)
{
        request_entry_put(&b->lines, entry);
        if (b->lines.len >= LIMIT_APP_REQUEST_BATCH)
                hand_over(b);
        else if (!timer_is_running(b->oldest))
                timer_start(b->oldest, MILLISECONDS(PACE_APP_REQUEST_BATCH));
}

void request_batch_free(struct request_batch *b)
{
        if (b == NULL)
                return;
        hand_over(b);
        timer_free(b->oldest);
        free(b);
}
