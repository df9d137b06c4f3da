/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind the LOOP_BUFFER bytes of a buffer of loop_buffer_take() is room for what layers add to as many bytes that were read at once:
 * frames of HTTP/2 and records of TLS, whose sizes the sender of the bytes decides. So one read is passed on by one write.
 */
#ifndef LOOP_BUFFER_SPARE_H
#define LOOP_BUFFER_SPARE_H

#include "loop/loop.h"

enum { LOOP_BUFFER_WITH_SPARE = LOOP_BUFFER + 4 * KiB };

#endif
