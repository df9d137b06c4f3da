/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream made of two descriptors, such as standard input and output.
 */
#ifndef CLIENT_FD_STREAM_H
#define CLIENT_FD_STREAM_H

#include "net/stream.h"

struct loop;

/*
 * Reads `in`, writes `out`; both owned from now on, made non-blocking (and blocking again at close, because
 * other processes may share them). Pipes get large buffers. FAILED_PRECONDITION for files, which epoll
 * does not support.
 */
struct error *fd_stream_new(struct loop *l, int in, int out, struct stream **ret) MUST_USE;

#endif
