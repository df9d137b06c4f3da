/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination of log lines. A destination that takes nothing, such as a journald that hangs or a pipe that nobody reads, costs
 * a process TIMEOUT_JOURNAL once in PACE_LOG_WAIT: a line that waited in vain is lost, and the lines after it do not wait.
 */
#ifndef BASE_LOG_SINK_H
#define BASE_LOG_SINK_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/str.h"

/* Initially zeroed. */
struct log_sink {
        struct instant waits_from; /* before this time no line waits */
        bool is_datagram;          /* each line is one datagram */
};

enum log_sent {
        LOG_SENT,
        LOG_LOST,   /* the destination is full */
        LOG_FAILED, /* the destination is gone, or does not take this line */
};

/* Writes a line to the descriptor. */
enum log_sent log_sink_send(struct log_sink *sink, int fd, struct str line);

#endif
