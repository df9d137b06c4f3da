/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of recordings, for a user who is logged in. Auth decides which recordings the user may list and read.
 *
 *     /web/recordings            the list, newest first; ?q= searches in user, login, host and session ID
 *     /web/recordings/ID         the player, or the requests to an application (web_requests.h), and the links to:
 *     /web/recordings/ID.cast    the recording as asciicast v2
 *     /web/recordings/ID.txt     its plain text
 *
 * The last two are sent as they are read: one answer of auth is held at a time, and the next is requested when the browser has
 * taken it.
 */
#ifndef PROXY_WEB_WEB_RECORDINGS_H
#define PROXY_WEB_WEB_RECORDINGS_H

#include "proxy/web/web_internal.h"

/* GET /web/recordings and below. */
void web_recordings_open(void *ctx, struct http_exchange *x);

#endif
