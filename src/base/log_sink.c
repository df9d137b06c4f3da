/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_sink.h"

#include <errno.h>
#include <linux/limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

static bool is_full_error(int error)
{
        return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

/* Waits until the descriptor takes more, at most `ms`. */
static bool wait_for_room(int fd, int ms)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return poll(&p, 1, ms) != 0; /* also after an error, which the next write reports */
}

static bool is_pipe(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* A pipe with room takes PIPE_BUF bytes at once; a longer write might wait for its reader. A line that is cut counts as lost. */
static ssize_t write_line(int fd, struct str line)
{
        size_t piece = line.len > PIPE_BUF && is_pipe(fd) ? PIPE_BUF : line.len, at = 0;

        while (at < line.len && (at == 0 || wait_for_room(fd, 0))) {
                struct str part = str_slice(line, at, piece);
                ssize_t n = write(fd, part.ptr, part.len);

                if (n <= 0)
                        return at == 0 ? n : (ssize_t)at;
                at += (size_t)n;
        }
        return (ssize_t)at;
}

/* A datagram is tried first: poll() reports room for it later than it is there. */
static enum log_sent send_now(const struct log_sink *sink, int fd, struct str line)
{
        if (!sink->is_datagram && !wait_for_room(fd, 0))
                return LOG_LOST;
        ssize_t n = sink->is_datagram ? send(fd, line.ptr, line.len, MSG_NOSIGNAL | MSG_DONTWAIT) : write_line(fd, line);
        if (n >= 0)
                return (size_t)n == line.len ? LOG_SENT : LOG_FAILED;
        return is_full_error(errno) ? LOG_LOST : LOG_FAILED;
}

enum log_sent log_sink_send(struct log_sink *sink, int fd, struct str line)
{
        enum log_sent sent = send_now(sink, fd, line);

        if (sent != LOG_LOST)
                return sent;
        struct instant now = clock_now(clock_system()), end = instant_add(now, MILLISECONDS(TIMEOUT_JOURNAL));
        if (now.ns < sink->waits_from.ns)
                return LOG_LOST;
        while (sent == LOG_LOST && now.ns < end.ns) {
                (void)wait_for_room(fd, (int)duration_ms(instant_since(end, now)) + 1);
                sent = send_now(sink, fd, line);
                now = clock_now(clock_system());
        }
        if (sent == LOG_LOST)
                sink->waits_from = instant_add(now, MILLISECONDS(PACE_LOG_WAIT));
        return sent;
}
