/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two descriptors as one stream: what a program has on its standard input and output.
 */
#ifndef CLIENT_FD_STREAM_H
#define CLIENT_FD_STREAM_H

#include "net/stream.h"

struct loop;

/*
 * Reads `in`, writes `out`; both owned from now on, made non-blocking (and blocking again when it closes, for
 * others may share them). Pipes are given large buffers. FAILED_PRECONDITION for files, which cannot
 * be waited for.
 */
struct error *fd_stream_new(struct loop *l, int in, int out, struct stream **ret) MUST_USE;

#endif
