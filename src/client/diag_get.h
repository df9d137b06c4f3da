/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a page of a diagnostic address (teleport.diag_addr) by plain HTTP/1.1. Blocks.
 */
#ifndef CLIENT_DIAG_GET_H
#define CLIENT_DIAG_GET_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Appends the body of the answer with status 200 to out, whose maximum limits it. UNAVAILABLE with a hint: nothing answers at
 * `address` ("host:port") within TIMEOUT_CONNECT, or something else does.
 */
struct error *diag_get(const char *address, const char *path, struct buf *out) MUST_USE;

#endif
